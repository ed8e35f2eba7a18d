//! What it takes to give a rootfs ID-mapped, by the number of its files and layers. Needs root.
//!
//! Everything is mounted in a mount namespace of the benchmark's own, on a tmpfs.
#![expect(clippy::expect_used, reason = "it is a bench")]

use std::{fs, path::Path};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sysbox_core::{
    AbsPath, HostPort, IdMappings, IdRange,
    host::{Feature, OverlayLayers},
};
use sysbox_host::{LinuxHost, UserNamespace, mount_namespace, overlay, rootfs};

/// A directory that every host has, to mount the benchmark's tmpfs on.
const PLACE: &str = "/mnt";

fn dir(name: &str) -> AbsPath {
    let path = Path::new(PLACE).join(name);
    fs::create_dir_all(&path).expect("made");
    AbsPath::new(path).expect("absolute")
}

fn mappings() -> IdMappings {
    IdMappings::single(IdRange::new(1_000_000, 65_536).expect("valid")).expect("valid")
}

/// Attaches the rootfs ID-mapped and detaches it again.
fn attach(rootfs: &AbsPath, target: &AbsPath, scratch: &AbsPath, ids: &IdMappings) {
    rootfs::attach_idmapped(rootfs, target, scratch, ids, ids).expect("attached");
    unmount(target.as_path(), UnmountFlags::DETACH).expect("detached");
}

fn benches(criterion: &mut Criterion) {
    mount_namespace::enter_private().expect("run as root");
    mount("tmpfs", PLACE, "tmpfs", MountFlags::empty(), None).expect("mounted");
    let (target, scratch, ids) = (dir("target"), dir("scratch"), mappings());

    let mut group = criterion.benchmark_group("attach_idmapped");
    for files in [10, 100_000] {
        let tree = dir(&format!("tree-{files}"));
        (0..files)
            .try_for_each(|nth: u32| fs::write(tree.as_path().join(nth.to_string()), ""))
            .expect("written");
        group.bench_function(BenchmarkId::new("tree", files), |bench| {
            bench.iter(|| attach(&tree, &target, &scratch, &ids));
        });
        let layers = OverlayLayers {
            lower: vec![tree.into()],
            data: Vec::new(),
            upper: Some(dir(&format!("upper-{files}")).into()),
            work: Some(dir(&format!("work-{files}")).into()),
            options: Vec::new(),
        };
        let merged = dir(&format!("merged-{files}"));
        overlay::mount(&layers, &merged).expect("mounted");
        group.bench_function(BenchmarkId::new("overlay", files), |bench| {
            bench.iter(|| attach(&merged, &target, &scratch, &ids));
        });
    }
    group.finish();

    criterion.bench_function("user_namespace", |bench| {
        bench.iter(|| UserNamespace::new(&ids, &ids).expect("made"));
    });
    let mut group = criterion.benchmark_group("probe");
    let host = LinuxHost::new();
    for feature in
        [Feature::OverlayOnIdMapped, Feature::OverlayMetacopy, Feature::IdMappedMount(target.clone())]
    {
        group
            .bench_function(feature.to_string(), |bench| bench.iter(|| host.probe(&feature).expect("asked")));
    }
    group.finish();
}

criterion_group!(idmap, benches);
criterion_main!(idmap);
