//! Overlays of any make.

use std::{fs, process::Command};

use rustix::mount::{UnmountFlags, unmount};
use sysbox_core::host::OverlayLayers;
use sysbox_host::overlay;

use crate::{
    place::{GID, Place, UID, as_container_root, owner},
    rootfs::Rootfs,
};

/// Clones what is mounted, and goes there and back with it.
fn there_and_back(place: &Place, layers: OverlayLayers, count: usize) {
    let path = place.dir("mer,ged: x");
    overlay::mount(&layers, &path).expect("mounted");
    there_and_back_mounted(&Rootfs::at(layers, path, place.at(r"clo:ne\,x y")), count);
}

fn there_and_back_mounted(rootfs: &Rootfs, count: usize) {
    rootfs.attach();
    rootfs.shift();
    for nth in 0..count {
        assert_eq!(owner(rootfs.shown(&format!("from-{nth}"))), (UID, GID), "{nth}");
    }
    as_container_root(rootfs.clone.path(), "echo more >> from-0; echo new > made");
    rootfs.revert();
    for name in ["from-0", "made"] {
        assert_eq!(owner(rootfs.path.as_path().join(name)), (0, 0));
    }
    rootfs.clone.discard().expect("discarded");
    assert_eq!(rootfs.works(), 1, "only what the kernel makes there");
}

#[test]
fn layers_of_any_name() {
    let names = ["plain", "co:lon", "com,ma", r"back\slash", "spa ce", "quo\"te", "tab\t", "é=\n"];
    let place = Place::new();
    let layers = place.layers(&names, r"up:p,e\r x", r"w:o,r\k x");
    there_and_back(&place, layers, names.len());
}

#[test]
fn more_layers_than_fit_in_a_page() {
    let place = Place::on_tmpfs();
    let names: Vec<String> = (0..120).map(|nth| format!("{}-{nth}", "layer".repeat(10))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let layers = place.layers(&names, "upper", "work");
    there_and_back(&place, layers, names.len());
}

#[test]
fn paths_longer_than_the_kernel_takes_as_text() {
    let place = Place::new();
    let long = format!("{}/{}", "a".repeat(200), "b".repeat(200));
    let layers = place.layers(&[&long], &format!("{long}-upper"), &format!("{long}-work"));
    let path = place.dir("merged");
    overlay::mount(&layers, &path).expect("mounted");
    there_and_back_mounted(&Rootfs::at(layers, path, place.at(&format!("{long}-clone"))), 1);
}

#[test]
fn relative_layers_of_an_engine() {
    let place = Place::new();
    let layers = place.layers(&["l/A", "l/B"], "id/diff", "id/work");
    place.dir("id/merged");
    let options = "lowerdir=l/A:l/B,upperdir=id/diff,workdir=id/work";
    let mount = Command::new("mount")
        .args(["-i", "-t", "overlay", "-o", options, "overlay", "id/merged"])
        .current_dir(place.at("."))
        .status();
    assert!(mount.expect("mount of util-linux").success());
    there_and_back_mounted(&Rootfs::at(layers, place.at("id/merged"), place.at("clone")), 2);
}

/// A layer with a file that has no data but leads to those of `base/from-0`.
fn without_data(place: &Place, work: &str) -> OverlayLayers {
    let layers = place.layers(&["base"], "copied", "work-before");
    let (before, layers) =
        (place.dir("before"), OverlayLayers { options: vec!["metacopy=on".to_owned()], ..layers });
    overlay::mount(&layers, &before).expect("mounted");
    let done = Command::new("sh").args(["-ec", work]).current_dir(&before).status();
    assert!(done.expect("a shell").success());
    unmount(before.as_path(), UnmountFlags::empty()).expect("not in use");
    let (upper, work) = (place.dir("upper").into(), place.dir("work").into());
    OverlayLayers { lower: vec![place.at("copied").into()], upper: Some(upper), work: Some(work), ..layers }
}

fn the_data_are_found(place: &Place, layers: OverlayLayers, name: &str) {
    let path = place.dir("merged");
    overlay::mount(&layers, &path).expect("mounted");
    let rootfs = Rootfs::at(layers, path, place.at("clone"));
    rootfs.attach();
    rootfs.shift();
    assert_eq!(owner(rootfs.shown(name)), (UID, GID + 5));
    let data = || fs::read_to_string(rootfs.shown(name)).expect("there");
    assert_eq!(data(), "base/from-0");
    as_container_root(rootfs.clone.path(), &format!("echo -n + >> {name}"));
    rootfs.revert();
    assert_eq!((owner(rootfs.shown(name)), data()), ((0, 5), "base/from-0+".to_owned()));
}

#[test]
fn a_lower_layer_with_files_that_have_their_data_in_another() {
    let place = Place::new();
    let mut layers = without_data(&place, "chgrp 5 from-0");
    layers.lower.push(place.at("base").into());
    the_data_are_found(&place, layers, "from-0");
}

#[test]
fn a_lower_layer_with_files_that_have_their_data_in_a_data_layer() {
    let place = Place::new();
    // It leads to a path from the root where it is not in the directory that it came from.
    let mut layers = without_data(&place, "mkdir dir; chgrp 5 from-0; mv from-0 dir/moved");
    layers.data.push(place.at("base").into());
    the_data_are_found(&place, layers, "dir/moved");
}
