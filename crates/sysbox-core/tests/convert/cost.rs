//! What a conversion costs that does not depend on the machine.

use oci_spec::runtime::Spec;
use sysbox_core::ContainerConfig;

use super::fake::World;

/// Half a millisecond of nothing but allocating, where the machine is slow.
const MOST: u64 = 1000;

#[test]
fn converting_what_docker_writes_takes_fewer_than_1000_allocations() {
    let world = World::new(ContainerConfig::default());
    let given: Spec =
        serde_json::from_str(include_str!("../fixtures/specs/docker-default.json")).expect("a spec");
    let count = |spec: Spec| {
        let (sysbox, mut converted) = (world.sysbox(), None);
        let cost = allocation_counter::measure(|| converted = Some(world.convert_in(sysbox, spec)));
        (cost.count_total, converted.expect("ran").expect("converted").spec)
    };
    let (first, converted) = count(given);
    let (second, _) = count(converted);
    println!("allocations: {first} to convert, {second} where nothing is to be changed");
    assert!(first < MOST && second < MOST, "{first} to convert, {second} a second time");
}
