//! Random trees: whatever the target was before, it is as the source afterwards, and a second call changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::TestRunner};
use rustix::fs::FileType;

use super::support::*;

/// An inode to be made: its directory, by its place among those that are there, and its name, of few, so that trees share some.
#[derive(Clone, Debug)]
struct Made {
    parent: prop::sample::Index,
    name: u8,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    modified: i64,
    acl: Option<(u32, u32)>,
    capability: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    File {
        len: u16,
    },
    Sparse,
    Directory,
    Symlink,
    Fifo,
    Whiteout,
    /// A further name of a file.
    Link,
}

fn made() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        4 => prop::sample::select(vec![0u16, 1, 4096, 5000]).prop_map(|len| Kind::File { len }),
        1 => Just(Kind::Sparse),
        4 => Just(Kind::Directory),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Whiteout),
        3 => Just(Kind::Link),
    ];
    let id = || 0u32..4;
    let acl = prop::option::of((id(), id()));
    let capability = prop::option::of(id());
    (any::<prop::sample::Index>(), 0u8..6, kind, 0u32..=0o7777, (id(), id()), 0i64..3, acl, capability)
        .prop_map(|(parent, name, kind, mode, owner, modified, acl, capability)| Made {
            parent,
            name,
            kind,
            mode,
            owner,
            modified,
            acl,
            capability,
        })
}

fn make(root: &Path, tree: &[Made]) {
    let mut directories = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    for made in tree {
        let path = made.parent.get(&directories).join(made.name.to_string());
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match made.kind {
            Kind::File { len } => files.push(file(&path, vec![b'x'; len.into()], made.mode, made.owner)),
            Kind::Sparse => {
                fs::File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("a sparse file");
                files.push(own(&path, made.mode, made.owner));
            }
            Kind::Directory => directories.push(directory(&path, made.mode, made.owner)),
            Kind::Symlink => symlink("/etc/passwd", &path, made.owner),
            Kind::Fifo => drop(node(&path, FileType::Fifo, 0, made.mode, made.owner)),
            Kind::Whiteout => drop(node(&path, FileType::CharacterDevice, 0, made.mode, made.owner)),
            Kind::Link if files.is_empty() => files.push(file(&path, "x", made.mode, made.owner)),
            Kind::Link => fs::hard_link(made.parent.get(&files), &path).expect("same file system"),
        }
        attributes(&path, made);
    }
    for path in directories.iter().skip(1).chain(&files) {
        // Few times, so that files are taken as unchanged whose contents are; of what is made again it is another one.
        let content = fs::metadata(path).expect("it is there").len();
        set_modified(path, 1_000 + i64::try_from(content).expect("small"), 0);
    }
}

fn attributes(path: &Path, made: &Made) {
    if matches!(made.kind, Kind::Symlink | Kind::Link) {
        return set_modified(path, made.modified, 0);
    }
    if let Some((user, group)) = made.acl {
        set_attribute(path, ACCESS_ACL, &acl(user, group));
    }
    match (made.kind, made.acl, made.capability) {
        (Kind::Directory, Some((user, group)), Some(_)) => {
            set_attribute(path, DEFAULT_ACL, &acl(group, user));
        }
        (Kind::File { .. }, _, Some(root)) => set_attribute(path, CAPABILITY, &capability(root)),
        (_, None, Some(_)) => set_attribute(path, "trusted.x", b"1"),
        _ => {}
    }
}

#[test]
fn any_target_is_as_any_source_afterwards() {
    require_root();
    let places = [Place::temporary(), Place::tmpfs(), Place::made_by(&["mkfs.btrfs", "-q"], 256)];
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let tree = || prop::collection::vec(made(), 0..50);
    TestRunner::new(config)
        .run(&(tree(), tree()), |(source, target)| {
            for place in &places {
                for root in [place.source(), place.target()] {
                    sysbox_host::remove::remove_tree(&abs(&root)).expect("it can be removed");
                    directory(&root, 0o755, (0, 0));
                }
                make(&place.source(), &source);
                make(&place.target(), &target);
                mirror_and_check(place);
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
