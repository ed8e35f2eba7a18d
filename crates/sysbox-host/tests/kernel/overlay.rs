//! Overlays by themselves: any names, many layers, and what refusals say.

use std::{error::Error, fs, os::unix::fs::chown, path::PathBuf, process::Command};

use sysbox_core::{HostError, HostPort, host::OverlayLayers};
use sysbox_host::{LinuxHost, overlay};

use crate::place::{GID, Place, UID, gids, owner, uids};

const ODD_NAMES: [&str; 8] =
    ["plain", "co:lon", "com,ma", r"back\slash", "spa ce", "quo\"te", "tab\t", "é=\n"];

/// Mount options that the kernel adds by itself and that say nothing of what was asked for.
fn without_defaults(mut layers: OverlayLayers) -> OverlayLayers {
    layers.options.retain(|option| !["redirect_dir", "uuid"].iter().any(|added| option.starts_with(added)));
    layers
}

#[test]
fn layers_of_any_name_are_mounted_and_read_back_as_given() {
    let place = Place::new();
    let layers = place.layers(&ODD_NAMES, r"up:p,e\r x", r"w:o,r\k x");
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    for (nth, name) in ODD_NAMES.iter().enumerate() {
        assert!(merged.as_path().join(format!("from-{nth}")).exists(), "{name:?}");
    }
    let read = LinuxHost::new().overlay_layers(&merged).expect("asked").expect("an overlay");
    assert_eq!(without_defaults(read), layers);
    assert!(LinuxHost::new().overlay_layers(&place.at("missing")).is_err());
    assert_eq!(LinuxHost::new().overlay_layers(&place.dir("merged/from")).expect("asked"), None);
}

#[test]
fn a_path_longer_than_the_kernel_takes_as_text_is_mounted() {
    let place = Place::new();
    let long = format!("{}/{}", "a".repeat(200), "b".repeat(200));
    let layers = place.layers(&[&long], &format!("{long}-upper"), &format!("{long}-work"));
    let merged = place.dir("merged");
    overlay::mount(&layers, &merged).expect("mounted");
    assert!(merged.as_path().join("from-0").exists());
    let read = LinuxHost::new().overlay_layers(&merged).expect("asked").expect("an overlay");
    assert_eq!(without_defaults(read), layers);
}

#[test]
fn as_many_layers_as_the_kernel_takes_can_be_mounted_plain_and_id_mapped() {
    let place = Place::on_tmpfs();
    let names: Vec<String> = (0..500).map(|nth| format!("layer-{nth}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let layers = OverlayLayers { upper: None, work: None, ..place.layers(&names, "upper", "work") };
    let (plain, mapped) = (place.dir("plain"), place.dir("mapped"));
    overlay::mount(&layers, &plain).expect("mounted");
    let read = LinuxHost::new().overlay_layers(&plain).expect("asked").expect("an overlay");
    assert_eq!(read.lower, layers.lower);
    overlay::mount_idmapped(&layers, &mapped, &place.dir("scratch"), &uids(), &gids()).expect("mounted");
    assert_eq!(owner(mapped.as_path().join("from-499")), (UID, GID));
}

#[test]
fn relative_layers_of_an_engine_are_found() {
    let place = Place::new();
    for dir in ["l/A", "l/B", "id/diff", "id/work", "id/merged"] {
        place.dir(dir);
    }
    let options = r"lowerdir=l/A:l/B,upperdir=id/diff,workdir=id/work";
    let mount = Command::new("mount")
        .args(["-i", "-t", "overlay", "-o", options, "overlay", "id/merged"])
        .current_dir(place.at("."))
        .status();
    assert!(mount.expect("mount of util-linux").success());
    let read = LinuxHost::new().overlay_layers(&place.at("id/merged")).expect("asked").expect("an overlay");
    assert_eq!(read.lower, [PathBuf::from(place.at("l/A")), PathBuf::from(place.at("l/B"))]);
    assert_eq!(read.upper.as_deref(), Some(place.at("id/diff").as_path()));
    assert_eq!(read.work.as_deref(), Some(place.at("id/work").as_path()));
}

fn cause(error: &HostError) -> String {
    error.source().expect("kept").to_string()
}

#[test]
fn a_refusal_has_the_kernels_own_words() {
    let place = Place::new();
    let mut layers = place.layers(&["lower"], "upper", "work");
    layers.options.push("nonsense=1".to_owned());
    let error = overlay::mount(&layers, &place.dir("merged")).expect_err("refused");
    assert!(cause(&error).contains("nonsense"), "{}", cause(&error));
}

#[test]
fn an_upper_layer_that_cannot_be_written_is_an_error_and_no_read_only_overlay() {
    let place = Place::new();
    let layers = place.layers(&["lower"], "upper", "work");
    let (merged, scratch) = (place.dir("merged"), place.dir("scratch"));
    // An owner that the mapping does not know.
    let work = layers.work.as_deref().expect("given");
    chown(work, Some(70_000), Some(70_000)).expect("root may");
    let error = overlay::mount_idmapped(&layers, &merged, &scratch, &uids(), &gids()).expect_err("read-only");
    assert!(cause(&error).contains("read-only"), "{}", cause(&error));
    assert_eq!(owner(&merged), (0, 0), "nothing is attached");
}

#[test]
fn nothing_is_left_on_the_scratch_directory_and_many_may_use_it_at_once() {
    let place = Place::new();
    let scratch = place.dir("scratch");
    let mount = |nth: usize| {
        let layers =
            place.layers(&[&format!("{nth}/lower")], &format!("{nth}/upper"), &format!("{nth}/work"));
        let merged = place.dir(&format!("{nth}/merged"));
        overlay::mount_idmapped(&layers, &merged, &scratch, &uids(), &gids()).expect("mounted");
        assert_eq!(owner(merged.as_path().join("from-0")), (UID, GID));
    };
    std::thread::scope(|scope| {
        for nth in 0..8 {
            scope.spawn(move || mount(nth));
        }
    });
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
    assert!(!table.contains(&scratch.to_string()), "{table}");
    assert_eq!(fs::read_dir(&scratch).expect("read").count(), 0);
    assert_eq!(
        table.lines().filter(|line| line.contains(" - overlay ") && line.contains("/merged ")).count(),
        8
    );
}
