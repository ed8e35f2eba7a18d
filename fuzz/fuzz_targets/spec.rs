//! The spec of a container: any bytes, and what is converted into that of a system container is one, so another conversion changes nothing.
//!
//! `cargo +nightly fuzz run spec`
#![no_main]

#[path = "../../crates/sysbox-core/tests/convert/fake.rs"]
mod fake;

use std::sync::LazyLock;

use fake::World;
use oci_spec::runtime::Spec;
use sysbox_core::{ContainerConfig, syscont::to_json};

/// With everything that a conversion may be asked for, and with as little as can be.
static WORLDS: LazyLock<[World; 2]> = LazyLock::new(|| {
    let config = ContainerConfig { ignore_sysfs_chown: true, ..ContainerConfig::default() };
    let little = ContainerConfig { syscont_mode: false, ..ContainerConfig::default() };
    [World::new(config), World { mgr: false, fs: false, overlay: false, ..World::new(little) }]
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Spec>(input) else { return };
    for world in WORLDS.iter() {
        let Ok(once) = world.convert(spec.clone()) else { continue };
        let before = to_json(&once.spec).expect("it was JSON before");
        let twice = world.convert(once.spec).expect("what is converted can be converted");
        assert_eq!(before, to_json(&twice.spec).expect("it was JSON before"));
        assert!(twice.changes.is_empty(), "{:?}", twice.changes);
    }
});
