//! What is different between two specs, each difference with its reason.

use std::collections::HashMap;

use oci_spec::runtime::Spec;
use serde::Serialize;
use serde_json::Value;
use sysbox::syscont::Changes;

use super::{
    flat::{self, Part, Place},
    reasons::Reasons,
};

/// The list in which order counts, and members are told apart.
const ORDERED: &str = "mounts";

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    #[serde(skip)]
    pub(super) group: String,
    #[serde(skip)]
    pub(super) member: Option<String>,
    pub(super) field: String,
    pub(super) change: Kind,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    pub(super) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Added,
    Removed,
    Changed,
    /// Of a list: its members are in another order.
    Reordered,
}

/// What is different after a conversion that made these changes, by field.
///
/// # Errors
/// What cannot be said in JSON: a path that is no UTF-8.
pub(super) fn between(
    before: &Spec,
    after: &Spec,
    changes: &Changes,
) -> Result<Vec<Difference>, serde_json::Error> {
    Ok(of_values(&serde_json::to_value(before)?, &serde_json::to_value(after)?, &Reasons::new(changes)))
}

fn of_values(before: &Value, after: &Value, reasons: &Reasons) -> Vec<Difference> {
    let (before, after) = (flat::parts(before), flat::parts(after));
    let later: HashMap<&Place, &Value> = after.iter().map(|part| (&part.place, &part.value)).collect();
    let earlier: HashMap<&Place, &Value> = before.iter().map(|part| (&part.place, &part.value)).collect();
    let make = |place: &Place, change, before: Option<&Value>, after: Option<&Value>| Difference {
        group: place.group.clone(),
        member: place.member.clone(),
        field: place.field(),
        change,
        before: before.cloned(),
        after: after.cloned(),
        reason: reasons.of(&place.field()),
    };
    let gone_or_changed = before.iter().filter_map(|Part { place, value }| match later.get(place) {
        None => Some(make(place, Kind::Removed, Some(value), None)),
        Some(now) if *now != value => Some(make(place, Kind::Changed, Some(value), Some(now))),
        Some(_) => None,
    });
    let new = after.iter().filter(|part| !earlier.contains_key(&part.place));
    let new = new.map(|Part { place, value }| make(place, Kind::Added, None, Some(value)));
    let mut differences: Vec<Difference> = gone_or_changed.chain(new).collect();
    differences.extend(reordered(&before, &after, &earlier, &later, reasons));
    differences.sort_by(|a, b| a.group.cmp(&b.group));
    differences
}

/// Whether those that were there before are in another order.
fn reordered(
    before: &[Part],
    after: &[Part],
    earlier: &HashMap<&Place, &Value>,
    later: &HashMap<&Place, &Value>,
    reasons: &Reasons,
) -> Option<Difference> {
    let members = |parts: &[Part]| -> Vec<Place> {
        parts.iter().map(|part| part.place.clone()).filter(|place| place.group == ORDERED).collect()
    };
    let (before, after) = (members(before), members(after));
    let kept = before.iter().filter(|place| later.contains_key(place));
    if kept.eq(after.iter().filter(|place| earlier.contains_key(place))) {
        return None;
    }
    let names = |places: Vec<Place>| Some(places.into_iter().filter_map(|place| place.member).collect());
    Some(Difference {
        group: ORDERED.to_owned(),
        member: None,
        field: ORDERED.to_owned(),
        change: Kind::Reordered,
        before: names(before),
        after: names(after),
        reason: reasons.of(ORDERED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Kind and field of each difference.
    fn differences(before: &Value, after: &Value) -> Vec<(Kind, String)> {
        let found = of_values(before, after, &Reasons::new(&Changes::default()));
        found.into_iter().map(|found| (found.change, found.field)).collect()
    }

    fn mounts(destinations: &[&str]) -> Value {
        json!({ "mounts": destinations.iter().map(|at| json!({ "destination": at })).collect::<Vec<_>>() })
    }

    #[test]
    fn what_is_the_same_is_no_difference() {
        let spec = json!({ "root": { "path": "/r" }, "process": { "env": ["A=1", "B"] }, "hostname": null });
        assert_eq!(differences(&spec, &spec), []);
        let none = json!({ "root": { "path": "/r" }, "process": { "env": ["B", "A=1"], "args": null } });
        assert_eq!(differences(&spec, &none), [], "nothing that has a meaning");
    }

    #[test]
    fn properties_are_named_by_their_path_and_members_by_what_tells_them_apart() {
        let before = json!({
            "annotations": { "a.b": "1" },
            "linux": { "maskedPaths": ["/proc/kcore", "/x"], "namespaces": [{ "type": "pid" }] },
            "process": { "oomScoreAdj": -1000, "env": ["container=oci"], "args": ["sh"] },
        });
        let after = json!({
            "annotations": { "a.b": "2" },
            "linux": { "maskedPaths": ["/x/"], "namespaces": [{ "type": "pid" }, { "type": "user" }] },
            "process": { "oomScoreAdj": -999, "env": ["container=private-users"], "args": ["sh", "-l"] },
        });
        let named = |kind, field: &str| (kind, field.to_owned());
        assert_eq!(
            differences(&before, &after),
            [
                named(Kind::Changed, "annotations[a.b]"),
                named(Kind::Removed, "linux.maskedPaths[/proc/kcore]"),
                named(Kind::Changed, "linux.maskedPaths[/x]"),
                named(Kind::Added, "linux.namespaces[user]"),
                named(Kind::Changed, "process.args"),
                named(Kind::Changed, "process.env[container]"),
                named(Kind::Changed, "process.oomScoreAdj"),
            ]
        );
    }

    #[test]
    fn mounts_in_another_order_are_one_difference() {
        let found = differences(&mounts(&["/a", "/b", "/gone"]), &mounts(&["/b", "/new", "/a"]));
        let expected =
            [(Kind::Removed, "mounts[/gone]"), (Kind::Added, "mounts[/new]"), (Kind::Reordered, "mounts")];
        assert_eq!(found, expected.map(|(kind, field)| (kind, field.to_owned())));
    }

    #[test]
    fn a_mount_between_others_does_not_put_them_in_another_order() {
        let found = differences(&mounts(&["/a", "/b"]), &mounts(&["/new", "/a", "/new2", "/b"]));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn of_two_mounts_at_one_place_the_second_can_go() {
        let found = differences(&mounts(&["/a", "/a/"]), &mounts(&["/a"]));
        assert_eq!(found, [(Kind::Removed, "mounts[/a]".to_owned())]);
    }

    #[test]
    fn rules_are_compared_by_system_call_whatever_rule_a_name_is_in() {
        let seccomp = |rules: Value| json!({ "linux": { "seccomp": { "syscalls": rules } } });
        let allow = "SCMP_ACT_ALLOW";
        let before = seccomp(
            json!([{ "names": ["read", "clone"], "action": allow }, { "names": ["bpf"], "action": "SCMP_ACT_ERRNO" }]),
        );
        let after =
            seccomp(json!([{ "names": ["bpf"], "action": allow }, { "names": ["mount"], "action": allow },
            { "names": ["clone"], "action": allow }, { "names": ["read"], "action": allow }]));
        let field = |name: &str| format!("linux.seccomp.syscalls[{name}]");
        assert_eq!(
            differences(&before, &after),
            [(Kind::Changed, field("bpf")), (Kind::Added, field("mount"))]
        );
    }
}
