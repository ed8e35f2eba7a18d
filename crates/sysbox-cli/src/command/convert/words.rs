//! Values of a spec in words.

use serde_json::{Map, Value};

use super::diff::{Difference, Kind};

/// What a difference comes to, beside the name of its member; empty where the name says it all.
pub(super) fn of(difference: &Difference) -> String {
    let Difference { group, change, before, after, .. } = difference;
    let said = |value: &Option<Value>| value.as_ref().map(|value| value_of(group, value)).unwrap_or_default();
    match (change, before, after) {
        (Kind::Reordered, _, _) => format!("order: {}", said(after)),
        (Kind::Changed, Some(Value::Object(before)), Some(Value::Object(after))) => properties(before, after),
        (Kind::Changed, _, _) => format!("{} -> {}", said(before), said(after)),
        (Kind::Added, _, _) => said(after),
        (Kind::Removed, _, _) => said(before),
    }
}

fn value_of(group: &str, value: &Value) -> String {
    match (group, value) {
        // A name, or a path, that is the name of its member.
        ("linux.maskedPaths" | "linux.readonlyPaths", _) => String::new(),
        _ if group.starts_with("process.capabilities.") => String::new(),
        ("linux.seccomp.syscalls", Value::Array(rules)) => joined(rules, rule, " or "),
        ("linux.uidMappings" | "linux.gidMappings", Value::Array(extents)) => joined(extents, extent, ", "),
        ("linux.namespaces", Value::Object(namespace)) => {
            namespace.get("path").map(|path| format!("that of {}", plain(path))).unwrap_or_default()
        }
        ("mounts", Value::Object(mount)) => described(mount),
        ("mounts", Value::Array(destinations)) => joined(destinations, plain, " "),
        _ => plain(value),
    }
}

fn joined(values: &[Value], words: impl Fn(&Value) -> String, between: &str) -> String {
    values.iter().map(words).collect::<Vec<_>>().join(between)
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn described(mount: &Map<String, Value>) -> String {
    let text = |name: &str| mount.get(name).map(plain).filter(|text| !text.is_empty());
    let (kind, source) = (text("type").unwrap_or_else(|| "bind".to_owned()), text("source"));
    let of =
        source.filter(|source| *source != kind).map(|source| format!(" of {source}")).unwrap_or_default();
    let options = options(mount);
    let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(",")) };
    format!("{kind}{of}{options}")
}

fn options(mount: &Map<String, Value>) -> Vec<&str> {
    mount.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The properties that are not the same.
fn properties(before: &Map<String, Value>, after: &Map<String, Value>) -> String {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let said = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), plain);
    let words = |name: &String| match name.as_str() {
        "options" => changed_options(&options(before), &options(after)),
        _ => format!("{name} {} -> {}", said(before.get(name)), said(after.get(name))),
    };
    names.into_iter().filter(differs).map(words).collect::<Vec<_>>().join(", ")
}

fn changed_options(before: &[&str], after: &[&str]) -> String {
    let gone = before.iter().filter(|option| !after.contains(option)).map(|option| format!("-{option}"));
    let new = after.iter().filter(|option| !before.contains(option)).map(|option| format!("+{option}"));
    let changed: Vec<String> = gone.chain(new).collect();
    if changed.is_empty() {
        return format!("options in the order {}", after.join(","));
    }
    format!("options {}", changed.join(" "))
}

/// What a seccomp rule says, such as `errno 38` or `allow if arg0 == 8`.
fn rule(rule: &Value) -> String {
    let action = rule.get("action").map(plain).unwrap_or_default();
    let action = action.strip_prefix("SCMP_ACT_").unwrap_or(&action).to_lowercase();
    let errno = rule.get("errnoRet").map(|errno| format!(" {errno}")).unwrap_or_default();
    let conditions = rule.get("args").and_then(Value::as_array).filter(|args| !args.is_empty());
    let conditions = conditions.map(|args| format!(" if {}", joined(args, condition, " and ")));
    format!("{action}{errno}{}", conditions.unwrap_or_default())
}

/// A condition on an argument of a system call (`seccomp_rule_add(3)`).
fn condition(arg: &Value) -> String {
    let number = |name: &str| arg.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (index, value, second) = (number("index"), number("value"), number("valueTwo"));
    let operator = arg.get("op").and_then(Value::as_str).unwrap_or_default();
    let sign = match operator {
        "SCMP_CMP_NE" => "!=",
        "SCMP_CMP_LT" => "<",
        "SCMP_CMP_LE" => "<=",
        "SCMP_CMP_EQ" => "==",
        "SCMP_CMP_GE" => ">=",
        "SCMP_CMP_GT" => ">",
        "SCMP_CMP_MASKED_EQ" => return format!("arg{index} & {value:#x} == {second:#x}"),
        other => other,
    };
    format!("arg{index} {sign} {value}")
}

/// Ids inside and what they are on the host.
fn extent(extent: &Value) -> String {
    let number = |name: &str| extent.get(name).map(plain).unwrap_or_default();
    format!("{} is {} outside, {} ids", number("containerID"), number("hostID"), number("size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(group: &str, before: Value, after: Value) -> String {
        let change = match (&before, &after) {
            (Value::Null, _) => Kind::Added,
            (_, Value::Null) => Kind::Removed,
            _ => Kind::Changed,
        };
        let there = |value: Value| (!value.is_null()).then_some(value);
        let (before, after) = (there(before), there(after));
        let (group, field) = (group.to_owned(), group.to_owned());
        of(&Difference { group, member: None, field, change, before, after, reason: None })
    }

    #[test]
    fn a_mount_is_described_whole_when_it_is_new_and_by_what_differs_when_it_is_not() {
        let sysfs = |options: &[&str]| json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options });
        assert_eq!(words("mounts", Value::Null, sysfs(&["ro", "nosuid"])), "sysfs (ro,nosuid)");
        let bind = json!({ "destination": "/a", "type": "bind", "source": "/b" });
        assert_eq!(words("mounts", bind.clone(), Value::Null), "bind of /b");
        assert_eq!(words("mounts", sysfs(&["ro", "nosuid"]), sysfs(&["nosuid", "rw"])), "options -ro +rw");
        assert_eq!(words("mounts", sysfs(&["a", "b"]), sysfs(&["b", "a"])), "options in the order b,a");
        let tmpfs = json!({ "destination": "/a", "type": "tmpfs" });
        assert_eq!(words("mounts", bind, tmpfs), "source /b -> none, type bind -> tmpfs");
    }

    #[test]
    fn what_a_rule_says_is_told_as_an_expression() {
        let errno = json!([{ "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }]);
        let masked = json!([{ "action": "SCMP_ACT_ALLOW", "args": [
            { "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 2_114_060_288, "valueTwo": 0 },
            { "index": 2, "op": "SCMP_CMP_NE", "value": 9 }] }]);
        assert_eq!(
            words("linux.seccomp.syscalls", errno, masked),
            "errno 38 -> allow if arg0 & 0x7e020000 == 0x0 and arg2 != 9"
        );
    }

    #[test]
    fn ids_are_told_as_inside_and_outside() {
        let extents = json!([{ "containerID": 0, "hostID": 231_072, "size": 65_536 }]);
        assert_eq!(words("linux.uidMappings", Value::Null, extents), "0 is 231072 outside, 65536 ids");
    }
}
