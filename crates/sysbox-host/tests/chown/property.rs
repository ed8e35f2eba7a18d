//! Random trees come back exactly as they were.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, test_runner::TestRunner};
use rustix::fs::FileType;

use super::support::*;

/// An inode to be made, and the directory to make it in, by its place among those that are there.
#[derive(Clone, Debug)]
struct Made {
    parent: prop::sample::Index,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    acl: Option<(u32, u32)>,
    capability: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Whiteout,
    /// A second name of a file.
    Link,
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..3, 0u32..COUNT, Just(COUNT - 1), COUNT..COUNT + 3]
}

fn made() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        4 => Just(Kind::File),
        3 => Just(Kind::Directory),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Whiteout),
        2 => Just(Kind::Link),
    ];
    let acl = prop::option::of((id(), id()));
    let capability = prop::option::of(id());
    (any::<prop::sample::Index>(), kind, 0u32..=0o7777, (id(), id()), acl, capability).prop_map(
        |(parent, kind, mode, owner, acl, capability)| Made { parent, kind, mode, owner, acl, capability },
    )
}

fn make(root: &Path, tree: &[Made]) {
    let mut directories = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    for (index, made) in tree.iter().enumerate() {
        let path = made.parent.get(&directories).join(index.to_string());
        match made.kind {
            Kind::File => files.push(file(&path, made.mode, made.owner)),
            Kind::Directory => directories.push(directory(&path, made.mode, made.owner)),
            Kind::Symlink => symlink(Path::new("/etc/passwd"), &path, made.owner),
            Kind::Fifo => drop(node(&path, FileType::Fifo, 0, made.mode, made.owner)),
            Kind::Whiteout => drop(node(&path, FileType::CharacterDevice, 0, made.mode, made.owner)),
            Kind::Link if files.is_empty() => files.push(file(&path, made.mode, made.owner)),
            Kind::Link => fs::hard_link(made.parent.get(&files), &path).expect("same file system"),
        }
        if matches!(made.kind, Kind::Symlink | Kind::Link) {
            continue;
        }
        if let Some((user, group)) = made.acl {
            set_attribute(&path, ACCESS_ACL, &acl(&[user], &[group]));
        }
        match (made.kind, made.acl, made.capability) {
            (Kind::Directory, Some((user, group)), Some(_)) => {
                set_attribute(&path, DEFAULT_ACL, &acl(&[group], &[user]));
            }
            (Kind::File, _, Some(root)) => set_attribute(&path, CAPABILITY, &capability(root)),
            _ => {}
        }
    }
}

/// What the owners must be, by a rule that is simpler than the code's.
fn shifted((uid, gid): (u32, u32)) -> (u32, u32) {
    let shift = |id, by| if id < COUNT { id + by } else { id };
    (shift(uid, UIDS), shift(gid, GIDS))
}

fn there_and_back(root: &Path, tree: &[Made]) {
    make(root, tree);
    let before = snapshot(root);
    shift(root).expect("it can be shifted");
    let between = snapshot(root);
    for (path, facts) in &before {
        let found = &between[path];
        assert_eq!(found.owner, shifted(facts.owner), "{path:?}");
        assert_eq!((found.mode, found.modified), (facts.mode, facts.modified), "{path:?}");
        assert!(!found.attributes.contains_key(MARK.as_ref() as &std::ffi::OsStr), "{path:?}");
    }
    revert(root).expect("it can be reverted");
    assert_same(&snapshot(root), &before);
}

#[test]
fn a_shift_and_its_revert_leave_every_inode_as_it_was() {
    require_root();
    let places = [Place::temporary(), Place::tmpfs(), Place::ext4()];
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(made(), 0..60), |tree| {
            for place in &places {
                let root = tempfile::tempdir_in(place.root()).expect("a new directory");
                there_and_back(root.path(), &tree);
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
