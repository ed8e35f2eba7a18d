//! What it takes to convert Docker's default spec, with daemons and a host that answer at once.
//!
//! `cargo bench -p sysbox-core --bench convert`. The time is that of the conversion alone, and not of reading the JSON, copying the spec or
//! registering the container. How often it allocates memory is held by a test, `tests/convert/cost.rs`.
#![expect(clippy::expect_used, reason = "it is a bench")]

#[path = "../tests/convert/fake.rs"]
mod fake;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use oci_spec::runtime::Spec;
use sysbox_core::ContainerConfig;

use fake::World;

const DOCKER_DEFAULT: &str = include_str!("../tests/fixtures/specs/docker-default.json");

fn conversion(criterion: &mut Criterion) {
    let world = World::new(ContainerConfig::default());
    let given: Spec = serde_json::from_str(DOCKER_DEFAULT).expect("a spec");
    let converted = world.convert(given.clone()).expect("Docker's default can be converted").spec;
    for (name, spec) in [("docker's default", given), ("what was converted", converted)] {
        criterion.bench_function(name, |bencher| {
            let parts = || (world.sysbox(), spec.clone());
            bencher.iter_batched(
                parts,
                |(sysbox, spec)| world.convert_in(sysbox, spec),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, conversion);
criterion_main!(benches);
