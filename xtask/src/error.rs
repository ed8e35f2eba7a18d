//! Why a task did not end well. Each error says what was attempted and, where a person can mend it, how; causes are
//! kept as sources and printed once, by [`chain`].

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Everything that ends a task before its own verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The command line names no known task.
    #[error("{problem}; `cargo xtask help` lists the tasks")]
    Usage { problem: String },
    /// The operating system is not Linux.
    #[error("system containers need Linux, this is {os}")]
    NotLinux { os: &'static str },
    /// A program could not be started or waited for.
    #[error("cannot run `{command}`")]
    Start {
        command: String,
        #[source]
        source: io::Error,
    },
    /// The output of a program could not be read, or printed further.
    #[error("cannot pass on the output of `{command}`")]
    Output {
        command: String,
        #[source]
        source: io::Error,
    },
    /// A program whose success is needed ended otherwise.
    #[error("`{command}` ended with {status}")]
    Ended { command: String, status: ExitStatus },
    /// A file or folder of the workspace or of the target folder could not be used.
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The build went through without the binary `sysbox`.
    #[error("cargo built no binary `sysbox`; is package sysbox-cli still a member of the workspace?")]
    NoRuntime,
    /// The machine of `boot` did not do what it should.
    #[error("{problem}")]
    Boot { problem: String },
    /// Root is needed, and there is no way to become root.
    #[error("`{program}` must run as root, and sudo is not installed; install sudo, or call this as root")]
    NoRoot { program: String },
    /// Something needed is missing, and there is no known package manager to install it.
    #[error("missing on this machine, install and call again: {}", missing.join(", "))]
    Missing { missing: Vec<String> },
    /// Something needed is still missing after its package was installed.
    #[error("the packages were installed, but these are still not found: {}", missing.join(", "))]
    StillMissing { missing: Vec<String> },
}

/// The error and its causes, outermost first, as one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_exactly_once() {
        let source = io::Error::other("no such thing");
        let error = TaskError::Start { command: "frob --all".to_owned(), source };
        assert_eq!(chain(&error), "cannot run `frob --all`: no such thing");
    }
}
