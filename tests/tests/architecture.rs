//! The shape of the workspace, as cargo sees it: which crate may depend on which, what the core must never pull in,
//! where versions and lints are declared, and under which licences our dependencies come.
//!
//! A new crate needs a row in [`INWARDS`] before these tests let it in.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{
    CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId, Resolve, TargetKind,
};
use spdx::{Expression, ParseMode};
use toml::{Table, Value};

/// Every member, and the members it may depend on. What is nearer to the kernel or to the user comes later.
const INWARDS: &[(&str, &[&str])] = &[
    ("sysbox-core", &[]),
    ("sysbox-host", &["sysbox-core"]),
    ("sysbox-embedded", &["sysbox-core", "sysbox-host"]),
    ("sysbox-transport", &["sysbox-core"]),
    ("sysbox-transport-seccomp", &["sysbox-core", "sysbox-transport"]),
    ("sysbox-transport-grpc", &["sysbox-core", "sysbox-transport"]),
    ("sysbox-transport-tarpc", &["sysbox-core", "sysbox-transport"]),
    ("sysbox-conformance", &["sysbox-core"]),
    (
        "sysbox",
        &[
            "sysbox-core",
            "sysbox-host",
            "sysbox-embedded",
            "sysbox-transport",
            "sysbox-transport-seccomp",
            "sysbox-transport-grpc",
            "sysbox-transport-tarpc",
            "sysbox-conformance",
        ],
    ),
    ("sysbox-cli", &["sysbox"]),
    ("sysbox-tests", &["sysbox-core", "sysbox-host", "sysbox-embedded", "sysbox-conformance", "sysbox"]),
    ("xtask", &[]),
    ("codegen", &[]),
];

/// What would tie the core to a transport, to an async runtime or to an operating system.
const OUTSIDE_THE_CORE: &[&str] =
    &["libc", "nix", "prost", "rusqlite", "rustix", "tarpc", "tokio", "tonic", "windows-sys"];

/// Licences that let a program under Apache-2.0 be shipped; of several offered, one must be among them. All are
/// permissive but MPL-2.0, whose copyleft ends at the files of the library itself (libcontainer needs `pathrs`). One that
/// reaches our own files (GPL, LGPL, AGPL, EPL, ...) has no place here.
const LICENCES: &[&str] = &["Apache-2.0", "BSD-3-Clause", "MIT", "MPL-2.0", "Unicode-3.0", "Zlib"];

/// Packages that name no licence in their manifest, and the licence that their licence file was read to be.
const LICENCES_READ: &[(&str, &str)] = &[("rust-criu", "MIT")];

/// The fields of `[package]` that no member may set for itself.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    // Without the filter cargo would download the dependencies of every other platform as well.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), platform])
        .exec()
        .expect("cargo metadata describes the workspace")
});

/// Fails with one line for each offender.
#[track_caller]
fn assert_none(rule: &str, offenders: impl IntoIterator<Item = String>) {
    let offenders: Vec<String> = offenders.into_iter().collect();
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn dependencies_between_our_crates_point_inwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = INWARDS.iter().copied().collect();
    let members: BTreeSet<&str> =
        METADATA.workspace_packages().iter().map(|member| member.name.as_str()).collect();

    let gone = allowed.keys().filter(|name| !members.contains(*name));
    let mut offenders: Vec<String> = gone.map(|name| format!("{name} has a row but is no member")).collect();
    for member in METADATA.workspace_packages() {
        let Some(inner) = allowed.get(member.name.as_str()) else {
            offenders.push(format!("{} has no row", member.name));
            continue;
        };
        let ours = member.dependencies.iter().map(|dependency| dependency.name.as_str());
        let outwards =
            ours.filter(|name| members.contains(name) && *name != *member.name && !inner.contains(name));
        offenders.extend(outwards.map(|name| format!("{} -> {name}", member.name)));
    }
    assert_none("crates depend on what the table INWARDS does not allow", offenders);
}

#[test]
fn the_core_pulls_in_no_transport_no_runtime_and_no_system_library() {
    let core = METADATA.workspace_packages().into_iter().find(|package| package.name == "sysbox-core");
    let tree = normal_tree(&core.expect("sysbox-core is a member").id);
    assert!(tree.contains("serde"), "the tree was not walked: {tree:?}");
    let offenders = OUTSIDE_THE_CORE.iter().filter(|name| tree.contains(**name));
    assert_none("sysbox-core pulls in", offenders.map(|name| (*name).to_owned()));
}

/// The names of all packages that `root` needs when it runs, development and build dependencies left out.
fn normal_tree(root: &PackageId) -> BTreeSet<&'static str> {
    let resolve: &Resolve = METADATA.resolve.as_ref().expect("metadata was asked for with dependencies");
    let edges: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, &node.deps)).collect();
    let mut seen = BTreeSet::from([root]);
    let mut pending = vec![root];
    while let Some(package) = pending.pop() {
        let is_normal = |kind: &cargo_metadata::DepKindInfo| kind.kind == DependencyKind::Normal;
        let normal = edges[package].iter().filter(|dependency| dependency.dep_kinds.iter().any(is_normal));
        pending.extend(normal.map(|dependency| &dependency.pkg).filter(|package| seen.insert(package)));
    }
    METADATA.packages.iter().filter(|package| seen.contains(&package.id)).map(|p| p.name.as_str()).collect()
}

#[test]
fn every_dependency_comes_under_an_allowed_licence() {
    let foreign = METADATA.packages.iter().filter(|package| package.source.is_some());
    let mut offenders: Vec<String> = foreign.filter_map(licence_problem).collect();
    let is_there = |name: &str| METADATA.packages.iter().any(|package| package.name == name);
    let gone = LICENCES_READ.iter().filter(|(name, _)| !is_there(name));
    offenders.extend(
        gone.map(|(name, _)| format!("{name} is no dependency any more, strike it off LICENCES_READ")),
    );
    assert_none("dependencies whose licence does not allow them", offenders);
}

/// Why `package` may not be used; `None` if it may.
fn licence_problem(package: &Package) -> Option<String> {
    let read = LICENCES_READ.iter().find(|(name, _)| package.name == name).map(|(_, licence)| *licence);
    let Some(licence) = read.or(package.license.as_deref()) else {
        return Some(format!("{}: names none, read its licence file", package.name));
    };
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{}: {licence}: {}", package.name, error.reason)),
    };
    let is_allowed = expression
        .evaluate(|requirement| requirement.license.id().is_some_and(|id| LICENCES.contains(&id.name)));
    (!is_allowed).then(|| format!("{}: {licence}", package.name))
}

#[test]
fn every_member_inherits_version_edition_licence_lints_and_dependencies() {
    let mut offenders = Vec::new();
    for member in METADATA.workspace_packages() {
        let manifest = read_manifest(member.manifest_path.as_std_path());
        let package = manifest.get("package").and_then(Value::as_table).expect("a member is a package");
        let own = INHERITED.iter().filter(|field| !is_inherited(package.get(**field)));
        offenders.extend(own.map(|field| format!("{}: {field}", member.name)));
        if !is_inherited(manifest.get("lints")) {
            offenders.push(format!("{}: lints", member.name));
        }
        let own = dependencies(&manifest).into_iter().filter(|(_, value)| !is_inherited(Some(value)));
        offenders.extend(own.map(|(name, _)| format!("{}: dependency {name}", member.name)));
    }
    assert_none("not inherited by `workspace = true`", offenders);
}

#[test]
fn every_shared_dependency_is_used_by_a_member() {
    let root = read_manifest(&METADATA.workspace_root.as_std_path().join("Cargo.toml"));
    let shared = root["workspace"]["dependencies"].as_table().expect("the workspace declares dependencies");
    let manifests: Vec<Table> = METADATA
        .workspace_packages()
        .iter()
        .map(|member| read_manifest(member.manifest_path.as_std_path()))
        .collect();
    let used: BTreeSet<String> = manifests.iter().flat_map(dependencies).map(|(name, _)| name).collect();
    assert_none(
        "declared and used by no member",
        shared.keys().filter(|name| !used.contains(*name)).cloned(),
    );
}

fn read_manifest(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).expect("cargo has just read this manifest");
    text.parse().expect("cargo has just parsed this manifest")
}

/// Whether a value of a manifest is `{ workspace = true, ... }`.
fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// All dependencies that a manifest declares, of every kind and for every platform.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(platforms.filter_map(Value::as_table));
    let kinds = tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)));
    kinds.filter_map(Value::as_table).flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn every_crate_but_the_kernel_adapter_forbids_unsafe_code() {
    let mut offenders = Vec::new();
    for member in METADATA.workspace_packages().into_iter().filter(|member| member.name != "sysbox-host") {
        // Tests and benches are held by the workspace's lint: only there may a reason be given to lift it.
        let shipped = member.targets.iter().filter(|target| !target.is_test() && !target.is_bench());
        for root in shipped.map(|target| &target.src_path) {
            let text = std::fs::read_to_string(root).expect("the root file of a target can be read");
            if !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
                offenders.push(root.to_string());
            }
        }
    }
    assert_none("without #![forbid(unsafe_code)]", offenders);
}

#[test]
fn the_feature_for_tests_with_root_stands_exactly_where_such_tests_are() {
    const FEATURE: &str = "root-tests";
    let mut offenders = Vec::new();
    for member in METADATA.workspace_packages() {
        let requires =
            |target: &&cargo_metadata::Target| target.required_features.iter().any(|name| name == FEATURE);
        let marked: Vec<_> = member.targets.iter().filter(requires).collect();
        if member.features.contains_key(FEATURE) && marked.is_empty() {
            offenders.push(format!("{}: no test target requires {FEATURE}", member.name));
        }
        let others = marked.iter().filter(|target| !target.is_kind(TargetKind::Test));
        offenders.extend(others.map(|target| format!("{}: {} is no test", member.name, target.name)));
    }
    assert_none("tests with root that would never run", offenders);
}

#[test]
fn every_test_that_is_named_for_a_rule_of_spec_conversion_is_there() {
    let root = METADATA.workspace_root.as_std_path();
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it can be read");
    let is_wanted = |section: &&str| section.starts_with("Spec conversion");
    let section = text.split("\n## ").find(is_wanted).expect("it has this section");
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // The name of a test is a sentence. What else is in code style there is a path, a value or a field.
    let is_sentence = |name: &&str| name.matches('_').count() > 3 && !name.contains(['/', '.']);
    let named: Vec<_> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(is_sentence).collect();
    assert!(named.len() > 50, "only {} tests are named", named.len());
    let mut sources = String::new();
    for file in rust_files(&root.join("crates/sysbox-core/src")) {
        sources += &std::fs::read_to_string(file).expect("it can be read");
    }
    let is_missing = |name: &&str| !sources.contains(&format!("fn {name}("));
    let missing = named.into_iter().filter(is_missing).map(str::to_owned);
    assert_none("rules of spec conversion without their test", missing);
}

/// The Rust files below a directory.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("it can be read");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let below = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    let mut files: Vec<_> = paths.flat_map(below).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}
