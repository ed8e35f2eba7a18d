//! Why a field was changed, by what the conversion noted.

use std::{borrow::Cow, collections::HashMap};

use sysbox::syscont::Changes;

/// The notes of a conversion, by field.
#[derive(Debug)]
pub(super) struct Reasons(HashMap<String, Vec<&'static str>>);

impl Reasons {
    pub(super) fn new(changes: &Changes) -> Self {
        let mut reasons: HashMap<String, Vec<&'static str>> = HashMap::new();
        for change in changes {
            // A note on a part of a member says why the member was changed.
            for field in [Some(&*change.field), member(&change.field)].into_iter().flatten() {
                let of_field = reasons.entry(field.to_owned()).or_default();
                if !of_field.contains(&change.reason) {
                    of_field.push(change.reason);
                }
            }
        }
        Self(reasons)
    }

    /// Why a field was changed: what was noted of it, else of the nearest field that it is in.
    pub(super) fn of(&self, field: &str) -> Option<String> {
        let mut at = Cow::Borrowed(field);
        loop {
            if let Some(reasons) = self.0.get(&*at) {
                return Some(reasons.join("; "));
            }
            at = Cow::Owned(outer(&at)?.to_owned());
        }
    }
}

/// The member of a list that a part belongs to: `mounts[/sys]` for `mounts[/sys].options`.
fn member(field: &str) -> Option<&str> {
    let end = field.rfind("].")?;
    field.get(..=end)
}

/// What a field is in: the list of a member, the object of a property. A name in brackets may have dots and brackets.
fn outer(field: &str) -> Option<&str> {
    let list = if field.ends_with(']') { field.find('[') } else { None };
    let end = list.or_else(|| field.rfind('.'))?;
    field.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(notes: &[(&'static str, &'static str)]) -> Reasons {
        let mut changes = Changes::default();
        notes.iter().for_each(|(field, reason)| changes.note(*field, reason));
        Reasons::new(&changes)
    }

    #[test]
    fn the_nearest_note_tells_why() {
        let reasons =
            reasons(&[("process", "far"), ("process.capabilities", "near"), ("process.env[A.b[]", "exact")]);
        assert_eq!(reasons.of("process.capabilities.bounding[CAP_KILL]").as_deref(), Some("near"));
        assert_eq!(reasons.of("process.env[A.b[]").as_deref(), Some("exact"));
        assert_eq!(reasons.of("process.env[C.d]").as_deref(), Some("far"));
        assert_eq!(reasons.of("processes"), None);
        assert_eq!(reasons.of("mounts[/a.b/process]"), None);
    }

    #[test]
    fn a_note_on_a_part_tells_why_its_member_was_changed() {
        let reasons = reasons(&[("mounts[/sys].options", "part"), ("mounts", "list")]);
        assert_eq!(reasons.of("mounts[/sys]").as_deref(), Some("part"));
        assert_eq!(reasons.of("mounts[/proc]").as_deref(), Some("list"));
    }

    #[test]
    fn what_was_noted_twice_of_a_field_is_told_in_order_and_once() {
        let reasons =
            reasons(&[("mounts[/run]", "first"), ("mounts[/run]", "second"), ("mounts[/run]", "first")]);
        assert_eq!(reasons.of("mounts[/run]").as_deref(), Some("first; second"));
    }
}
