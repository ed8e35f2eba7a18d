//! Step 4, once the ids are known: sysctls with ids that the container may not have.

use oci_spec::runtime::Spec;

use super::Changes;
use crate::IdRange;

/// The groups that may ping without privileges (the kernel's `networking/ip-sysctl`).
const PING_GROUPS: &str = "net.ipv4.ping_group_range";

/// The greatest id that the kernel takes there.
const GREATEST: u64 = i32::MAX as u64;

/// What says that no group may: the first is greater than the last.
const NOBODY: &str = "1 0";

/// Clamps the groups that may ping to those that the container has, whose host's ids are `gids`: the kernel takes ids that the user
/// namespace maps, and refuses all others.
///
/// What is not two decimal numbers is left as it is, for the runtime to refuse.
pub fn fit_ping_groups(spec: &mut Spec, gids: IdRange, changes: &mut Changes) {
    let sysctls = spec.linux_mut().as_mut().and_then(|linux| linux.sysctl_mut().as_mut());
    let Some(groups) = sysctls.and_then(|sysctls| sysctls.get_mut(PING_GROUPS)) else { return };
    if let Some(fitting) = two_numbers(groups).and_then(|range| fitting(range, gids)) {
        *groups = fitting;
        changes.note(
            "linux.sysctl[net.ipv4.ping_group_range]",
            "the kernel takes only groups that the container has",
        );
    }
}

/// The range that fits, unless the given one does.
fn fitting((first, last): (u64, u64), gids: IdRange) -> Option<String> {
    let greatest = GREATEST.min(u64::from(gids.count()) - 1);
    match (first <= greatest, last <= greatest) {
        (true, true) => None,
        (true, false) => Some(format!("{first} {greatest}")),
        (false, _) => Some(NOBODY.to_owned()),
    }
}

/// Two numbers with white space between, as the kernel reads them (`proc_doulongvec_minmax`).
fn two_numbers(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split([' ', '\t', '\n']).filter(|number| !number.is_empty()).map(decimal);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Some(first)), Some(Some(last)), None) => Some((first, last)),
        _ => None,
    }
}

/// A number that is decimal to the kernel too, to which `010` is 8 and `+8` is none.
fn decimal(number: &str) -> Option<u64> {
    let is_octal = number.starts_with('0') && number != "0";
    let is_plain = number.bytes().all(|digit| digit.is_ascii_digit()) && !is_octal;
    is_plain.then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELD: &str = "linux.sysctl[net.ipv4.ping_group_range]";

    fn spec(groups: &str) -> Spec {
        let sysctls = json!({ PING_GROUPS: groups, "net.ipv4.ip_forward": "99999999 99999999" });
        serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": { "sysctl": sysctls } }))
            .expect("a spec")
    }

    /// What becomes of a range in a container with this many groups, and that it is noted if it changed, and stays then.
    fn fitted(groups: &str, size: u32) -> String {
        let gids = IdRange::new(231_072, size).expect("valid");
        let (mut spec, mut changes) = (spec(groups), Changes::default());
        fit_ping_groups(&mut spec, gids, &mut changes);
        let sysctls = spec.linux().as_ref().and_then(|linux| linux.sysctl().clone()).expect("there");
        assert_eq!(sysctls["net.ipv4.ip_forward"], "99999999 99999999", "others stay");
        let noted: Vec<_> = changes.iter().map(|change| change.field.as_ref()).collect();
        let expected = if sysctls[PING_GROUPS] == groups { vec![] } else { vec![FIELD] };
        assert_eq!(noted, expected, "{groups:?}");
        let (once, mut again) = (spec.clone(), Changes::default());
        fit_ping_groups(&mut spec, gids, &mut again);
        assert_eq!((&spec, again.is_empty()), (&once, true), "{groups:?}");
        sysctls[PING_GROUPS].clone()
    }

    #[test]
    fn groups_that_may_ping_are_clamped_to_those_that_the_container_has() {
        assert_eq!(fitted("0 2147483647", 65_536), "0 65535");
        assert_eq!(fitted("100\t65536\n", 65_536), "100 65535");
        assert_eq!(fitted(" 65535   99999 ", 65_536), "65535 65535");
        assert_eq!(fitted("0 2147483647", 70_000), "0 69999");
    }

    #[test]
    fn groups_that_the_container_has_stay_as_they_are_written() {
        for groups in ["0 65535", "0\t0", " 5 7\n", "1 0", "65535 3"] {
            assert_eq!(fitted(groups, 65_536), groups);
        }
    }

    #[test]
    fn where_the_container_has_none_of_them_no_group_may_ping() {
        for groups in ["65536 65536", "70000 2147483647", "65536 0"] {
            assert_eq!(fitted(groups, 65_536), "1 0");
        }
    }

    #[test]
    fn no_id_is_greater_than_the_sysctl_takes() {
        assert_eq!(fitted("0 4294967295", u32::MAX - 231_072), "0 2147483647");
    }

    #[test]
    fn what_is_not_two_decimal_numbers_is_left_to_the_runtime() {
        for groups in [
            "",
            " ",
            "99999",
            "0 99999 5",
            "0 -99999",
            "0 +99999",
            "0 0x7fffffff",
            "0 0100000",
            "00 99999",
            "0,99999",
            "0 99999\0",
            "a b",
            "0 99999999999999999999999",
            "0\u{a0}99999",
            "0 \u{663}99999",
        ] {
            assert_eq!(fitted(groups, 65_536), groups);
        }
    }

    #[test]
    fn a_spec_without_the_sysctl_is_given_none() {
        for linux in [json!({}), json!({ "sysctl": {} }), json!(null)] {
            let mut spec: Spec =
                serde_json::from_value(json!({ "ociVersion": "1.0.2", "linux": linux })).expect("a spec");
            let (before, mut changes) = (spec.clone(), Changes::default());
            fit_ping_groups(&mut spec, IdRange::new(1, 65_536).expect("valid"), &mut changes);
            assert_eq!((spec, changes.is_empty()), (before, true));
        }
    }
}
