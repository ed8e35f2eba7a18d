//! What a directory tree is like, to be compared with what it is like later.
//!
//! It holds all that is the user's: kinds, permissions, owners, links, devices, attributes of every name space, times of
//! change of contents, contents. It leaves out what the kernel changes by itself: inode numbers, ctime, atime.

use std::{
    collections::BTreeMap,
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, lgetxattr, llistxattr},
    io::Errno,
};

/// Contents of files up to this size are compared too.
const SMALL: u64 = 64 * 1024;

/// A directory tree at one time, by path from its root on.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    device: u64,
    /// `None` for a directory in which something was made on purpose, or whose time is left out.
    modified: Option<(i64, i64)>,
    attributes: BTreeMap<String, Vec<u8>>,
    contents: u64,
}

impl Snapshot {
    /// The tree below a directory, and the directory itself as `.`.
    ///
    /// # Panics
    /// When something in it cannot be read.
    pub fn of(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut waiting = vec![PathBuf::from(".")];
        while let Some(relative) = waiting.pop() {
            let path = root.join(&relative);
            let metadata = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            if metadata.is_dir() {
                let names = fs::read_dir(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
                waiting.extend(names.map(|name| relative.join(name.expect("readable").file_name())));
            }
            entries.insert(relative, Entry::of(&path, &metadata));
        }
        Self(entries)
    }

    /// The same without what was made at `path` on purpose, and without the traces that this left in its directory.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let path = Path::new(".").join(path);
        self.0.retain(|other, _| !other.starts_with(&path));
        if let Some(parent) = path.parent().and_then(|parent| self.0.get_mut(parent)) {
            parent.modified = None;
        }
        self
    }

    /// The same without the numbers of links: on overlayfs they are those of the layer that a file is on at the time.
    #[must_use]
    pub fn without_links(mut self) -> Self {
        self.0.values_mut().for_each(|entry| entry.links = 0);
        self
    }

    /// The same without the times of directories, which change with every name that is made or removed in them.
    #[must_use]
    pub fn without_times_of_directories(mut self) -> Self {
        let directories = self.0.values_mut().filter(|entry| FileType::from_raw_mode(entry.mode).is_dir());
        directories.for_each(|entry| entry.modified = None);
        self
    }

    /// How many inodes are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many inodes belong to users from `first` on.
    pub fn count_from(&self, first: u32) -> usize {
        self.0.values().filter(|entry| entry.uid >= first).count()
    }

    /// What is different in a later snapshot, a line for each inode.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let gone = self.0.keys().filter(|path| !later.0.contains_key(*path));
        let gone = gone.map(|path| format!("{} is gone", path.display()));
        let other = later.0.iter().filter_map(|(path, now)| match self.0.get(path) {
            None => Some(format!("{} is new: {now}", path.display())),
            Some(before) if before != now => {
                Some(format!("{} was {before}\n    and is {now}", path.display()))
            }
            Some(_) => None,
        });
        gone.chain(other).collect()
    }

    /// Fails, showing the first differences, unless a later snapshot is the same.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn assert_same(&self, later: &Self, when: &str) {
        let differences = self.differences(later);
        let shown: Vec<_> = differences.iter().take(12).map(String::as_str).collect();
        assert!(
            differences.is_empty(),
            "{when}: {} of {} inodes changed:\n  {}",
            differences.len(),
            self.len(),
            shown.join("\n  ")
        );
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of {} inodes", self.0.len())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, uid, gid, links, device, modified, attributes, contents } = self;
        write!(f, "mode {mode:o} owner {uid}:{gid} links {links} device {device:x} modified {modified:?}")?;
        for (name, value) in attributes {
            write!(f, " {name}={}", value.escape_ascii())?;
        }
        write!(f, " contents {contents:x}")
    }
}

impl Entry {
    fn of(path: &Path, metadata: &fs::Metadata) -> Self {
        let contents = if metadata.is_symlink() {
            hash(&fs::read_link(path).expect("readable"))
        } else if metadata.is_file() && metadata.len() <= SMALL {
            hash(&fs::read(path).unwrap_or_else(|e| panic!("{path:?}: {e}")))
        } else if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
        Self {
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            links: metadata.nlink(),
            device: metadata.rdev(),
            modified: Some((metadata.mtime(), metadata.mtime_nsec())),
            attributes: attributes(path),
            contents,
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let len = match llistxattr(path, names.as_mut_slice()) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => 0,
        Err(error) => panic!("attributes of {path:?}: {error}"),
    };
    let names = names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let attribute = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 4096];
        let len = lgetxattr(path, &*name, value.as_mut_slice())
            .unwrap_or_else(|e| panic!("{name} of {path:?}: {e}"));
        value.truncate(len);
        (name, value)
    };
    names.map(attribute).collect()
}
