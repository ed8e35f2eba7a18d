//! What a process may rely on that keeps no connection.

use pollster::block_on;
use sysbox_core::MgrPort;

use crate::{
    manager::{Place, SIZE, alloc, register, remove, running, stop},
    worker::{Worker, open, own_state, tell, work},
};

#[test]
fn nothing_is_left_open_between_calls_and_no_thread_is_started() {
    let test = "per_call::nothing_is_left_open_between_calls_and_no_thread_is_started";
    if let Some((place, _)) = work() {
        let before = own_state();
        let mgr = open(place);
        let mut after = vec![("open", own_state())];
        register(&mgr, "c").expect("a new container");
        after.push(("register", own_state()));
        let (first, _) = alloc(&mgr, "c", SIZE).expect("enough ids");
        after.push(("alloc_subids", own_state()));
        block_on(mgr.update(&running("c", first))).expect("registered");
        after.push(("update", own_state()));
        stop(&mgr, "c");
        remove(&mgr, "c");
        mgr.list().expect("readable");
        after.push(("unregister, remove and list", own_state()));
        after.iter().filter(|(_, state)| *state != before).for_each(|(call, _)| tell(call));
        tell("done");
        return;
    }
    let place = Place::with_slots(1);
    let told: Vec<_> = Worker::spawn(test, &place.path(""), "c").lines().collect();
    assert_eq!(told, ["done"]);
}
