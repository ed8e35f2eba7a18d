//! What a clone remembers, in a file of its directory: the layers that it is about, and whom they were shifted for.
//!
//! The file is replaced as a whole and is on disk before anything is done by it. Its fields end with a NUL byte each, which
//! no path has.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use sysbox_core::{AbsPath, ContainerId, host::OverlayLayers};

use super::{CloneError, error::abs, mounts::Rootfs};
use crate::error::failed;

const VERSION: &[u8] = b"sysbox overlay clone 1";

/// Where the kernel gives a name that nobody else has.
const RANDOM_UUID: &str = "/proc/sys/kernel/random/uuid";

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The mount point of the rootfs.
    pub(super) rootfs: AbsPath,
    /// Its layers, absolute, and of its options those that the bottom must have too.
    pub(super) layers: OverlayLayers,
    /// Names the work directories of this clone.
    token: String,
    /// Whom the upper layer is being shifted for, from before the first change until after the last one back.
    pub(super) shifted_for: Option<ContainerId>,
}

impl Memory {
    /// What there is to remember of a rootfs that is cloned for the first time.
    pub(super) fn new(rootfs: &Rootfs) -> Result<Self, CloneError> {
        let token = fs::read_to_string(RANDOM_UUID).map_err(failed("read", RANDOM_UUID))?.trim().to_owned();
        Ok(Self { rootfs: rootfs.path().clone(), layers: of_interest(rootfs), token, shifted_for: None })
    }

    /// Whether it is about the rootfs as that is now.
    pub(super) fn is_of(&self, rootfs: &Rootfs) -> bool {
        self.rootfs == *rootfs.path() && self.layers == of_interest(rootfs)
    }

    /// The upper layer of the rootfs.
    pub(super) fn upper(&self) -> Result<AbsPath, CloneError> {
        abs(self.layers.upper.clone().unwrap_or_default())
    }

    /// The directory for the work directories of this clone's top overlays, in the one of the rootfs: they must be on the
    /// mount of its upper layer, and two overlays must not have the same.
    pub(super) fn works(&self) -> Result<AbsPath, CloneError> {
        abs(self.layers.work.clone().unwrap_or_default().join(format!("sysbox-{}", self.token)))
    }

    /// What is remembered in this directory, if anything.
    pub(super) fn read(dir: &AbsPath) -> Result<Option<Self>, CloneError> {
        let path = file(dir);
        match fs::read(&path) {
            Ok(text) => Self::parse(&text).map(Some).ok_or(CloneError::Memory { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", path.display())(error).into()),
        }
    }

    /// Remembers it in this directory.
    pub(super) fn write(&self, dir: &AbsPath) -> Result<(), CloneError> {
        let (path, new) = (file(dir), dir.as_path().join("memory.new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&self.text())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        Ok(write().map_err(failed("write", path.display()))?)
    }

    fn text(&self) -> Vec<u8> {
        let mut text = [VERSION, b"\0"].concat();
        let mut add = |key: &str, value: &[u8]| text.extend([key.as_bytes(), b"=", value, b"\0"].concat());
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let OverlayLayers { lower, data, upper, work, options } = &self.layers;
        add("rootfs", &bytes(self.rootfs.as_path()));
        add("token", self.token.as_bytes());
        lower.iter().for_each(|path| add("lower", &bytes(path)));
        data.iter().for_each(|path| add("data", &bytes(path)));
        upper.iter().for_each(|path| add("upper", &bytes(path)));
        work.iter().for_each(|path| add("work", &bytes(path)));
        options.iter().for_each(|option| add("option", option.as_bytes()));
        self.shifted_for.iter().for_each(|container| add("shifted-for", container.as_str().as_bytes()));
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = text.strip_suffix(b"\0")?.split(|&byte| byte == 0);
        if fields.next()? != VERSION {
            return None;
        }
        let (mut rootfs, mut token, mut shifted_for) = (None, None, None);
        let mut layers = OverlayLayers {
            lower: Vec::new(),
            data: Vec::new(),
            upper: None,
            work: None,
            options: Vec::new(),
        };
        for field in fields {
            let at = field.iter().position(|&byte| byte == b'=')?;
            let value = &field[at + 1..];
            let path = || PathBuf::from(OsString::from_vec(value.to_vec()));
            let word = || str::from_utf8(value).ok().map(str::to_owned);
            match &field[..at] {
                b"rootfs" => rootfs = Some(AbsPath::new(path()).ok()?),
                b"token" => token = Some(word()?),
                b"lower" => layers.lower.push(path()),
                b"data" => layers.data.push(path()),
                b"upper" => layers.upper = Some(path()),
                b"work" => layers.work = Some(path()),
                b"option" => layers.options.push(word()?),
                b"shifted-for" => shifted_for = Some(word()?.parse().ok()?),
                _ => return None,
            }
        }
        // What would be removed or shifted by a half of it.
        let is_whole = layers.upper.is_some() && layers.work.is_some() && !layers.lower.is_empty();
        Some(Self {
            rootfs: rootfs?,
            layers,
            token: token.filter(|token| is_whole && is_name(token))?,
            shifted_for,
        })
    }
}

/// Whether it is one name, that leads nowhere else.
fn is_name(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn file(dir: &AbsPath) -> PathBuf {
    dir.as_path().join("memory")
}

/// What of a rootfs tells whether its clone still fits.
fn of_interest(rootfs: &Rootfs) -> OverlayLayers {
    // Whether files are what they should be is as true for the bottom.
    let counts = |option: &&String| option.starts_with("verity=");
    let layers = rootfs.layers();
    OverlayLayers { options: layers.options.iter().filter(counts).cloned().collect(), ..layers.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        Memory {
            rootfs: AbsPath::new("/r o:o,t\n\\fs").expect("absolute"),
            layers: OverlayLayers {
                lower: paths(&["/a=b", "/c d\n"]),
                data: vec![OsString::from_vec(b"/\xff".to_vec()).into()],
                upper: Some("/u".into()),
                work: Some("/w".into()),
                options: vec!["verity=on".to_owned()],
            },
            token: "0-a".to_owned(),
            shifted_for: Some("c1".parse().expect("valid")),
        }
    }

    #[test]
    fn what_is_remembered_is_read_as_it_was_written() {
        let place = tempfile::tempdir().expect("made");
        let dir = AbsPath::new(place.path()).expect("absolute");
        assert_eq!(Memory::read(&dir).expect("nothing there"), None);
        for memory in [memory(), Memory { shifted_for: None, ..memory() }] {
            memory.write(&dir).expect("written");
            assert_eq!(Memory::read(&dir).expect("readable"), Some(memory));
        }
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 1);
    }

    #[test]
    fn what_is_not_whole_or_of_another_version_is_refused() {
        let text = memory().text();
        for len in 0..text.len() {
            // The last field may be missing: it is not always there.
            let shorter = Memory::parse(&text[..len]);
            assert!(shorter.is_none_or(|shorter| shorter.shifted_for.is_none()), "{len}");
        }
        let replaced = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&text).replace(from, to);
            Memory::parse(text.as_bytes())
        };
        assert_eq!(replaced("clone 1", "clone 2"), None);
        assert_eq!(replaced("upper=", "uppper="), None);
        assert_eq!(replaced("token=0-a", "token=../a"), None);
    }
}
