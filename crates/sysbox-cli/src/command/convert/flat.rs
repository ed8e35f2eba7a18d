//! A spec taken apart into what can be compared: properties, and members of lists by what tells them apart.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// What identifies a part of a spec.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The property, or the list that it is a member of, as the OCI runtime specification names it.
    pub(super) group: String,
    /// What tells a member of a list from the others.
    pub(super) member: Option<String>,
    /// How many before it have the same name.
    nth: usize,
}

/// A property or a member of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) value: Value,
}

impl Place {
    /// The name of the field, as notes of a conversion have it.
    pub(super) fn field(&self) -> String {
        let Self { group, member, .. } = self;
        member.as_ref().map_or_else(|| group.clone(), |member| format!("{group}[{member}]"))
    }
}

/// How members of a list are told apart.
#[derive(Clone, Copy, Debug)]
enum Naming {
    /// By a path that they have in this property.
    Path(&'static str),
    /// By a text that they have in this property.
    Property(&'static str),
    /// They are paths.
    Paths,
    /// They are names, in no order.
    Names,
    /// They are `NAME=VALUE`.
    Settings,
    /// They are rules with many names each.
    Rules,
}

fn naming(group: &str) -> Option<Naming> {
    Some(match group {
        "mounts" => Naming::Path("destination"),
        "linux.devices" => Naming::Path("path"),
        "linux.namespaces" | "process.rlimits" => Naming::Property("type"),
        "linux.maskedPaths" | "linux.readonlyPaths" => Naming::Paths,
        "linux.seccomp.syscalls" => Naming::Rules,
        "process.env" => Naming::Settings,
        _ if group.starts_with("process.capabilities.") => Naming::Names,
        _ => return None,
    })
}

/// The parts of a spec. What is empty has none.
pub(super) fn parts(spec: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    take_apart("", spec, &mut parts);
    let mut seen: HashMap<Place, usize> = HashMap::new();
    for part in &mut parts {
        let before = seen.entry(part.place.clone()).or_default();
        part.place.nth = *before;
        *before += 1;
    }
    parts
}

fn take_apart(group: &str, value: &Value, parts: &mut Vec<Part>) {
    match (value, naming(group)) {
        (Value::Null, _) => {}
        (Value::Array(members), Some(naming)) => parts.extend(named(group, members, naming)),
        (Value::Object(properties), _) => {
            for (name, value) in properties {
                if name.contains(['.', '[']) {
                    parts.push(part(group, Some(name.clone()), value.clone()));
                } else if group.is_empty() {
                    take_apart(name, value, parts);
                } else {
                    take_apart(&format!("{group}.{name}"), value, parts);
                }
            }
        }
        _ => parts.push(part(group, None, value.clone())),
    }
}

fn part(group: &str, member: Option<String>, value: Value) -> Part {
    Part { place: Place { group: group.to_owned(), member, nth: 0 }, value }
}

fn named(group: &str, members: &[Value], naming: Naming) -> Vec<Part> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = |value: Option<&Value>| plain(&text(value));
    let each = |name: &dyn Fn(&Value) -> String| -> Vec<Part> {
        members.iter().map(|member| part(group, Some(name(member)), member.clone())).collect()
    };
    match naming {
        Naming::Path(property) => each(&|member| path(member.get(property))),
        Naming::Property(property) => each(&|member| text(member.get(property))),
        Naming::Paths => each(&|member| path(Some(member))),
        Naming::Names => {
            let mut parts = each(&|member| text(Some(member)));
            parts.sort_by(|a, b| a.place.member.cmp(&b.place.member));
            parts
        }
        Naming::Settings => members.iter().map(|member| setting(group, &text(Some(member)))).collect(),
        Naming::Rules => rules(group, members),
    }
}

/// The path without what has no meaning in it.
fn plain(path: &str) -> String {
    Path::new(path).components().collect::<PathBuf>().display().to_string()
}

fn setting(group: &str, text: &str) -> Part {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    part(group, Some(name.to_owned()), value.into())
}

/// What the rules of a seccomp profile say, by system call. Their order means nothing.
fn rules(group: &str, rules: &[Value]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut place_of: HashMap<&str, usize> = HashMap::new();
    for rule in rules {
        let mut said = rule.clone();
        if let Some(said) = said.as_object_mut() {
            said.retain(|name, value| name != "names" && !value.is_null());
        }
        let names = rule.get("names").and_then(Value::as_array).into_iter().flatten();
        for name in names.filter_map(Value::as_str) {
            let at = *place_of.entry(name).or_insert(parts.len());
            match parts.get_mut(at).and_then(|part| part.value.as_array_mut()) {
                Some(others) if others.contains(&said) => {}
                Some(others) => others.push(said.clone()),
                None => parts.push(part(group, Some(name.to_owned()), Value::Array(vec![said.clone()]))),
            }
        }
    }
    for rules in parts.iter_mut().filter_map(|part| part.value.as_array_mut()) {
        rules.sort_by_cached_key(ToString::to_string);
    }
    parts
}
