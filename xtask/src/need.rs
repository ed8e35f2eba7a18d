//! What a task needs of the machine: looked for as programs, installed as packages.
//!
//! A need is met by the program being there, wherever it came from, so that any distribution will do; only
//! installing depends on apt-get (Debian, Ubuntu) or dnf (Fedora).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::TaskError;
use crate::process;
use crate::root::Root;

/// A program, or another file by its path, and the packages that bring it.
#[derive(Debug)]
pub(crate) struct Need {
    program: &'static str,
    purpose: &'static str,
    debian: &'static [&'static str],
    fedora: &'static [&'static str],
    is_usable: fn(&Path) -> bool,
}

/// What building the workspace needs beside Rust itself.
pub(crate) const BUILD: &[Need] = &[
    Need {
        program: "cc",
        purpose: "compiles the bundled SQLite",
        debian: &["gcc", "libc6-dev"],
        fedora: &["gcc"],
        is_usable: Path::exists,
    },
    Need {
        program: "/usr/include/seccomp.h",
        purpose: "libseccomp, which makes seccomp filters",
        debian: &["libseccomp-dev"],
        fedora: &["libseccomp-devel"],
        is_usable: Path::exists,
    },
];

/// What the tests need beside [`BUILD`].
pub(crate) const TESTS: &[Need] = &[
    Need {
        program: "busybox",
        purpose: "root file system of test containers, statically linked",
        debian: &["busybox-static"],
        fedora: &["busybox"],
        is_usable: is_static,
    },
    Need {
        program: "mkfs.ext4",
        purpose: "file systems to test on",
        debian: &["e2fsprogs"],
        fedora: &["e2fsprogs"],
        is_usable: Path::exists,
    },
    Need {
        program: "strace",
        purpose: "makes system calls fail in tests",
        debian: &["strace"],
        fedora: &["strace"],
        is_usable: Path::exists,
    },
];

/// What the tests with programs in other languages need beside [`BUILD`] and [`TESTS`].
pub(crate) const INTEROP: &[Need] = &[
    Need {
        program: "python3",
        purpose: "clients and daemons in Python, with venv and ensurepip",
        debian: &["python3-venv"],
        fedora: &["python3"],
        is_usable: makes_environments,
    },
    Need {
        program: "go",
        purpose: "clients in Go, as Sysbox's own; 1.26 or newer, see https://go.dev/dl",
        // The newest that Debian or Ubuntu have is too old.
        debian: &[],
        fedora: &["golang"],
        is_usable: is_new_enough_go,
    },
];

/// What `boot` needs beside [`BUILD`].
pub(crate) const BOOT: &[Need] = &[
    Need {
        program: "debootstrap",
        purpose: "makes a Debian",
        debian: &["debootstrap"],
        fedora: &["debootstrap"],
        is_usable: Path::exists,
    },
    Need {
        program: "/usr/share/keyrings/debian-archive-keyring.gpg",
        purpose: "the keys that a Debian is signed with",
        debian: &["debian-archive-keyring"],
        fedora: &["debian-keyring"],
        is_usable: Path::exists,
    },
    Need {
        program: "nsenter",
        purpose: "runs programs in a container",
        debian: &["util-linux"],
        fedora: &["util-linux-core"],
        is_usable: Path::exists,
    },
];

/// Sees to it that every need is met, installing what is missing.
///
/// # Errors
/// `NotLinux`; `Missing` with the programs' names where no known package manager is there, or none of its packages will
/// do; `NoRoot` or `Ended` where the packages cannot be installed; `StillMissing` where installing did not help.
pub(crate) fn provide(needs: &[&Need]) -> Result<(), TaskError> {
    if std::env::consts::OS != "linux" {
        return Err(TaskError::NotLinux { os: std::env::consts::OS });
    }
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)?;
    let missing: Vec<String> =
        missing.iter().filter(|need| !need.is_met()).map(|need| need.describe()).collect();
    if missing.is_empty() { Ok(()) } else { Err(TaskError::StillMissing { missing }) }
}

/// The path of `program`: on PATH, or where Debian keeps what only root is expected to call.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

impl Need {
    fn is_met(&self) -> bool {
        find(self.program).is_some_and(|file| (self.is_usable)(&file))
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.program, self.purpose)
    }
}

/// Installs the packages of `missing`, asking no questions.
fn install(missing: &[&Need]) -> Result<(), TaskError> {
    if find("apt-get").is_some() {
        let packages = packages(missing, |need| need.debian)?;
        call_as_root("apt-get", ["update", "--quiet"])?;
        let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
        call_as_root("apt-get", install.into_iter().chain(packages))
    } else if find("dnf").is_some() {
        let packages = packages(missing, |need| need.fedora)?;
        call_as_root("dnf", ["install", "--assumeyes"].into_iter().chain(packages))
    } else {
        packages(missing, |_| &[]).map(drop)
    }
}

/// The packages that bring what is missing; `Missing` if there is one that no package brings.
fn packages(
    missing: &[&Need],
    of: fn(&Need) -> &'static [&'static str],
) -> Result<Vec<&'static str>, TaskError> {
    let names = |needs: Vec<&&Need>| needs.iter().map(|need| need.describe()).collect::<Vec<_>>();
    let unpackaged: Vec<_> = missing.iter().filter(|need| of(need).is_empty()).collect();
    if !unpackaged.is_empty() {
        return Err(TaskError::Missing { missing: names(unpackaged) });
    }
    println!("installing what is missing: {}", names(missing.iter().collect()).join(", "));
    Ok(missing.iter().flat_map(|need| of(need)).copied().collect())
}

/// Runs a package manager as root, without a terminal to ask on.
fn call_as_root(program: &str, arguments: impl IntoIterator<Item = &'static str>) -> Result<(), TaskError> {
    let environment = [("DEBIAN_FRONTEND", OsString::from("noninteractive"))];
    let mut command = Root::detect()?.command(OsStr::new(program), &environment)?;
    process::succeed(command.args(arguments).stdin(Stdio::null()))
}

/// Whether a Python can make virtual environments; Debian's can only with a package more.
fn makes_environments(python: &Path) -> bool {
    let import = Command::new(python).args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

fn is_new_enough_go(go: &Path) -> bool {
    let output = Command::new(go).args(["env", "GOVERSION"]).output();
    output.is_ok_and(|output| {
        go_version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= (1, 26))
    })
}

/// The first two numbers of a version such as `go1.26.8` or `go1.27rc1`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.trim().strip_prefix("go")?.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the program at `path` runs in a root file system that holds nothing else.
fn is_static(path: &Path) -> bool {
    /// More than the ELF header and the program headers of any busybox.
    const HEADERS: u64 = 4096;
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADERS).read_to_end(&mut head));
    read.is_ok() && asks_for_interpreter(&head) == Some(false)
}

/// Whether a 64-bit little-endian ELF program has a `PT_INTERP` header, that is, is dynamically linked (elf(5));
/// `None` if `head` is the start of no such program.
fn asks_for_interpreter(head: &[u8]) -> Option<bool> {
    const MAGIC_64_BIT_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();

    let half = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    if !head.starts_with(MAGIC_64_BIT_LITTLE_ENDIAN) {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(head.get(32..40)?.try_into().ok()?)).ok()?;
    let (entry_size, entries) = (half(54)?, half(56)?);
    let types: Option<Vec<&[u8]>> = (0..entries)
        .map(|entry| {
            let start = table.checked_add(entry * entry_size)?;
            head.get(start..start.checked_add(4)?)
        })
        .collect();
    Some(types?.contains(&PT_INTERP.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of an ELF program with program headers of the given types.
    fn elf(types: &[u32]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[32..40].copy_from_slice(&64_u64.to_le_bytes());
        head[54..56].copy_from_slice(&56_u16.to_le_bytes());
        head[56..58].copy_from_slice(&u16::try_from(types.len()).unwrap().to_le_bytes());
        for kind in types {
            head.extend(kind.to_le_bytes());
            head.extend([0; 52]);
        }
        head
    }

    #[test]
    fn a_program_with_an_interpreter_header_is_dynamic() {
        assert_eq!(asks_for_interpreter(&elf(&[6, 3, 1])), Some(true));
        assert_eq!(asks_for_interpreter(&elf(&[1, 1])), Some(false));
    }

    #[test]
    fn what_is_no_whole_elf_head_counts_as_unusable() {
        assert_eq!(asks_for_interpreter(b"#!/bin/sh\n"), None);
        let whole = elf(&[6, 3, 1]);
        for length in 0..64 + 2 * 56 {
            assert_eq!(asks_for_interpreter(&whole[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn hostile_elf_offsets_do_not_overflow() {
        let mut head = elf(&[1]);
        head[32..40].fill(0xff);
        assert_eq!(asks_for_interpreter(&head), None);
    }

    #[test]
    fn versions_of_go_are_compared_by_their_first_two_numbers() {
        assert_eq!(go_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(go_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(go_version("go1.9"), Some((1, 9)));
        assert_eq!(go_version("devel +abc"), None);
    }

    #[test]
    fn what_no_package_brings_is_named_alone_and_nothing_is_installed() {
        let needs: Vec<&Need> = INTEROP.iter().collect();
        let missing = packages(&needs, |need| need.debian).unwrap_err();
        assert!(
            matches!(missing, TaskError::Missing { missing } if missing.len() == 1 && missing[0].starts_with("go "))
        );
        assert_eq!(packages(&needs, |need| need.fedora).unwrap(), ["python3", "golang"]);
    }

    #[test]
    fn a_program_that_is_on_no_machine_is_not_found() {
        assert_eq!(find("a-program-that-is-on-no-machine"), None);
    }
}
