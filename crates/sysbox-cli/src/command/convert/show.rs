//! Differences for people: by field, a line for each, with the reason behind `#`.

use super::{
    diff::{Difference, Kind},
    words,
};

/// How wide the text is to be, where nothing in it is longer.
const WIDTH: usize = 100;

/// Reasons stand in one column as far as what is before them is no wider than this.
const WIDEST_COLUMN: usize = 48;

/// What continues a line.
const HANGING: &str = "      ";

/// The text of differences, line by line.
pub(super) fn lines(differences: &[Difference]) -> Vec<String> {
    if differences.is_empty() {
        return vec!["nothing changes: this is the spec of a system container already".to_owned()];
    }
    let mut lines = Vec::new();
    for section in differences.chunk_by(|a, b| heading(a) == heading(b)) {
        lines.extend(section.first().map(|first| heading(first).to_owned()));
        let entries = entries(section);
        let texts = entries.iter().map(|entry| entry.text().chars().count());
        let column = texts.filter(|width| *width <= WIDEST_COLUMN).max().unwrap_or(0);
        lines.extend(entries.iter().flat_map(|entry| entry.lines(column)));
    }
    lines
}

/// The sets of capabilities are one section.
fn heading(difference: &Difference) -> &str {
    if set(difference).is_some() { "process.capabilities" } else { &difference.group }
}

fn set(difference: &Difference) -> Option<&str> {
    difference.group.strip_prefix("process.capabilities.")
}

/// Members of a list with which the same was done for the same reason.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    sign: char,
    /// The sets of capabilities that they are in.
    sets: Vec<String>,
    members: Vec<String>,
    words: String,
    reason: String,
}

/// What is said of many is said once.
fn entries(section: &[Difference]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for difference in section {
        let new = Entry::of(difference);
        let same = |entry: &&mut Entry| {
            (entry.sign, &entry.sets, &entry.words, &entry.reason)
                == (new.sign, &new.sets, &new.words, &new.reason)
        };
        match entries.iter_mut().find(same) {
            Some(entry) => entry.members.extend(new.members),
            None => entries.push(new),
        }
    }
    let mut merged: Vec<Entry> = Vec::new();
    for entry in entries {
        let same = |other: &&mut Entry| {
            (other.sign, &other.members, &other.words, &other.reason)
                == (entry.sign, &entry.members, &entry.words, &entry.reason)
        };
        match merged.iter_mut().find(same) {
            Some(other) => other.sets.extend(entry.sets),
            None => merged.push(entry),
        }
    }
    merged
}

impl Entry {
    fn of(difference: &Difference) -> Self {
        Self {
            sign: match difference.change {
                Kind::Added => '+',
                Kind::Removed => '-',
                Kind::Changed | Kind::Reordered => '~',
            },
            sets: set(difference).map(str::to_owned).into_iter().collect(),
            members: difference.member.iter().map(|member| printable(member)).collect(),
            words: printable(&words::of(difference)),
            reason: difference
                .reason
                .as_deref()
                .map_or_else(|| "for no reason that is known".to_owned(), printable),
        }
    }

    fn text(&self) -> String {
        let named = [self.sets.join(", "), self.members.join(", "), self.words.clone()];
        named.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }

    fn lines(&self, column: usize) -> Vec<String> {
        let text = self.text();
        let line = format!("  {} {text:column$}  # {}", self.sign, self.reason);
        if text.chars().count() <= column && line.chars().count() <= WIDTH {
            return vec![line];
        }
        let mut lines = wrapped(&format!("  {} ", self.sign), &text, HANGING);
        lines.extend(wrapped(&format!("{HANGING}# "), &self.reason, &format!("{HANGING}# ")));
        lines
    }
}

/// Breaks a text between words, and words that are longer than a line behind commas.
fn wrapped(first: &str, text: &str, further: &str) -> Vec<String> {
    let room = WIDTH - HANGING.len();
    let words = text.split_inclusive(' ').flat_map(|word| {
        let long = word.chars().count() > room;
        word.split_inclusive(if long { ',' } else { ' ' })
    });
    let (mut lines, mut line, mut is_new) = (Vec::new(), first.to_owned(), true);
    for word in words {
        if !is_new && line.chars().count() + word.trim_end().chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, further.to_owned()));
        }
        line.push_str(word);
        is_new = false;
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The text without what would do something to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn added(group: &str, member: &str, after: Value, reason: &str) -> Difference {
        Difference {
            group: group.to_owned(),
            member: Some(member.to_owned()),
            field: format!("{group}[{member}]"),
            change: Kind::Added,
            before: None,
            after: Some(after),
            reason: Some(reason.to_owned()),
        }
    }

    #[test]
    fn each_section_has_its_reasons_in_a_column() {
        let namespace = |kind: &str, reason| added("linux.namespaces", kind, json!({ "type": kind }), reason);
        let shown = lines(&[namespace("user", "one"), namespace("cgroup", "two")]);
        assert_eq!(shown, ["linux.namespaces", "  + user    # one", "  + cgroup  # two"]);
    }

    #[test]
    fn what_is_done_to_many_for_one_reason_is_said_once() {
        let capability = |set: &str, name: &str| {
            added(&format!("process.capabilities.{set}"), name, json!(name), "root inside has them")
        };
        let shown = lines(&[
            capability("bounding", "CAP_A"),
            capability("bounding", "CAP_B"),
            capability("effective", "CAP_A"),
            capability("effective", "CAP_B"),
        ]);
        let line = "  + bounding, effective: CAP_A, CAP_B  # root inside has them";
        assert_eq!(shown, ["process.capabilities", line]);
    }

    #[test]
    fn a_long_list_is_broken_and_its_reason_is_below() {
        let allow = json!([{ "action": "SCMP_ACT_ALLOW" }]);
        let calls =
            (0..40).map(|n| added("linux.seccomp.syscalls", &format!("call{n}"), allow.clone(), "needed"));
        let shown = lines(&calls.collect::<Vec<_>>());
        assert!(shown.len() > 4 && shown.iter().all(|line| line.chars().count() <= WIDTH), "{shown:#?}");
        assert_eq!(shown.last().map(String::as_str), Some("      # needed"));
        let text = shown.join(" ");
        assert!((0..40).all(|n| text.contains(&format!("call{n}"))) && text.contains("call39: allow"));
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let shown = lines(&[added("process.env", "A\u{1b}[2J", json!("x\ny"), "why")]).join("\n");
        assert!(shown.contains("A\\u{1b}[2J: x\\ny"), "{shown:?}");
    }

    #[test]
    fn that_nothing_changes_is_said() {
        assert_eq!(lines(&[]).len(), 1);
    }
}
