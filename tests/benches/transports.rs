//! What a call costs over each backend and transport of the conformance suite, and what a container's whole life does.
//!
//! `cargo bench -p sysbox-tests --bench transports`. Servers are threads of this process, so two cores are shared by all; for
//! daemons of their own, a floor to compare with and many callers at once, see `sysbox bench`.
#![expect(clippy::expect_used, reason = "a bench that cannot go on has nothing to report")]

use std::{num::NonZeroU32, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use sysbox::{
    AbsPath, ContainerId, IdMappings, IdRange, MgrPort, PortError, Registration, ShiftType, SubidRequest,
    Update, transport::attentively,
};
use sysbox_conformance::Subject;
use sysbox_tests::conformance::{ROWS, Rights, Row};
use tokio::runtime::Runtime;

fn transports(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = |row: Row| runtime.block_on(row.harness(Rights::None, None).fresh()).expect("a backend");
    let id: ContainerId = "bench".parse().expect("valid");

    let mut group = criterion.benchmark_group("alloc_subids");
    for row in ROWS {
        let subject = start(row);
        let mgr = mgr(&subject);
        runtime.block_on(mgr.register(&registration(&id))).expect("registered");
        let request = ids(&id);
        group.bench_function(row.name, |bencher| {
            bencher.iter(|| runtime.block_on(attentively(mgr.alloc_subids(&request))).expect("given"));
        });
        end(&runtime, subject);
    }
    group.finish();

    let mut group = criterion.benchmark_group("life");
    for row in ROWS {
        let subject = start(row);
        let mgr = mgr(&subject);
        group.bench_function(row.name, |bencher| {
            bencher.iter(|| runtime.block_on(attentively(life(&*mgr, &id))).expect("lived"));
        });
        end(&runtime, subject);
    }
    group.finish();
}

/// The manager's part of a container that is run once.
async fn life(mgr: &dyn MgrPort, id: &ContainerId) -> Result<(), PortError> {
    mgr.register(&registration(id)).await?;
    let given = mgr.alloc_subids(&ids(id)).await?;
    let mappings = |first| {
        let range = IdRange::new(first, 65_536).expect("ids that were given");
        IdMappings::single(range).expect("it maps all")
    };
    mgr.update(&Update {
        id: id.clone(),
        userns: None,
        netns: None,
        uid_mappings: mappings(given.uid.0),
        gid_mappings: mappings(given.gid.0),
        rootfs_shift: ShiftType::IdMappedMount,
    })
    .await?;
    mgr.unregister(id).await?;
    mgr.remove(id).await
}

fn mgr(subject: &Subject) -> Arc<dyn MgrPort> {
    subject.ports.mgr.clone().expect("every kind has a manager")
}

/// Servers wait for their callers, which the runtime drives.
fn end(runtime: &Runtime, subject: Subject) {
    let Subject { ports, capacity: _, guard } = subject;
    runtime.block_on(async { drop(ports) });
    let ended = runtime.spawn_blocking(move || drop(guard));
    runtime.block_on(ended).expect("it ends");
}

fn registration(id: &ContainerId) -> Registration {
    Registration {
        id: id.clone(),
        rootfs: AbsPath::new("/run/bench/rootfs").expect("absolute"),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    }
}

fn ids(id: &ContainerId) -> SubidRequest {
    SubidRequest { id: id.clone(), size: NonZeroU32::new(65_536).expect("not 0") }
}

criterion_group!(benches, transports);
criterion_main!(benches);
