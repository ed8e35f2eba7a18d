//! The directories of a tree, noted while it is walked.

use std::ffi::CString;

/// One of the [`Directories`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryId(usize);

/// The directories of a tree, each by its name in its parent: a path takes no more room the deeper it is.
#[derive(Debug, Default)]
pub(crate) struct Directories(Vec<(DirectoryId, CString)>);

impl Directories {
    /// The root, which has no name.
    pub(crate) const ROOT: DirectoryId = DirectoryId(0);

    /// Adds a directory.
    pub(crate) fn push(&mut self, parent: DirectoryId, name: CString) -> DirectoryId {
        self.0.push((parent, name));
        DirectoryId(self.0.len())
    }

    /// The path of a directory below the root; `.` for the root itself.
    pub(crate) fn path(&self, mut id: DirectoryId) -> Vec<u8> {
        let mut names = Vec::new();
        while id != Self::ROOT {
            let (parent, name) = &self.0[id.0 - 1];
            names.push(name.to_bytes());
            id = *parent;
        }
        if names.is_empty() {
            return b".".to_vec();
        }
        names.reverse();
        names.join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_the_path_of_its_ancestors_names() {
        let mut directories = Directories::default();
        let a = directories.push(Directories::ROOT, c"a".to_owned());
        let b = directories.push(a, c"b".to_owned());
        let c = directories.push(Directories::ROOT, c"c".to_owned());
        let paths = [Directories::ROOT, a, b, c].map(|id| directories.path(id));
        assert_eq!(paths, [&b"."[..], b"a", b"a/b", b"c"].map(<[u8]>::to_vec));
    }
}
