//! Makes the Rust code of the wire contract from `proto/`, for `cargo xtask codegen`.
//!
//! The code is committed, so that nobody who builds the workspace needs a protobuf compiler; the test here fails when it is not
//! what this program would write.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use prost::Message;

const PROTOS: &[&str] = &["sysbox_mgr.proto", "sysbox_fs.proto", "sysbox_mgr_ext.proto"];

fn main() -> anyhow::Result<()> {
    let target = target();
    for (name, content) in generate()? {
        let file = target.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn target() -> PathBuf {
    root().join("crates/sysbox-transport-grpc/src/generated")
}

/// The files by name: one of Rust a package, and the descriptors that server reflection shows.
fn generate() -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let descriptors = protox::compile(PROTOS, [root().join("proto")]).context("proto/ is not valid")?;
    let out = tempfile::tempdir()?;
    let mut files = BTreeMap::from([("descriptors.bin".to_owned(), descriptors.encode_to_vec())]);
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(descriptors)
        .context("no code can be made from proto/")?;
    for entry in fs::read_dir(out.path())? {
        let entry = entry?;
        // A module's file, which lints and the formatter pass by.
        let name = entry.file_name().to_string_lossy().trim_end_matches(".rs").replace('.', "_") + ".rs";
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_code_is_what_the_contract_gives() {
        let generated = generate().expect("proto/ is valid");
        assert!(generated.len() >= 3, "{:?}", generated.keys());
        let is_generated = |entry: &fs::DirEntry| entry.file_name() != ".gitattributes";
        let committed = fs::read_dir(target()).expect("there").map(|entry| entry.expect("readable"));
        let committed: BTreeMap<String, Vec<u8>> = committed
            .filter(is_generated)
            .map(|entry| {
                let content = fs::read(entry.path()).expect("readable");
                (entry.file_name().into_string().expect("UTF-8"), content)
            })
            .collect();
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&generated), "run: cargo xtask codegen");
        for (name, content) in &generated {
            assert!(committed[name] == *content, "{name} is stale; run: cargo xtask codegen");
        }
    }
}
