//! Building with cargo, and what came out: the runtime and the test programs, as cargo's own messages tell.
//!
//! No package is named here: which test needs root, and which is to be run over every backend, stands in the manifests, as
//! `required-features = ["root-tests", "every-backend"]`.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Artifact, Message};

use crate::error::TaskError;
use crate::process;

/// The feature that marks test targets which need root.
const ROOT_TESTS: &str = "root-tests";

/// The feature that marks test targets which are run over every backend.
const EVERY_BACKEND: &str = "every-backend";

/// The programs that a build made.
#[derive(Debug, Default)]
pub(crate) struct Built {
    runtime: Option<PathBuf>,
    /// One per test target, in the order of their titles.
    pub(crate) tests: Vec<TestProgram>,
}

/// The test program of one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TestProgram {
    /// The source file, from the workspace's root: `crates/sysbox-core/src/lib.rs`.
    pub(crate) title: String,
    /// The package's directory, in which cargo runs its tests.
    pub(crate) directory: PathBuf,
    pub(crate) executable: PathBuf,
    pub(crate) needs_root: bool,
    pub(crate) is_for_every_backend: bool,
}

impl Built {
    /// The binary `sysbox`.
    pub(crate) fn runtime(&self) -> Result<&PathBuf, TaskError> {
        self.runtime.as_ref().ok_or(TaskError::NoRuntime)
    }

    fn add(&mut self, artifact: &Artifact) {
        let Some(executable) = &artifact.executable else { return };
        if artifact.profile.test {
            self.tests.push(TestProgram::new(artifact, executable.into()));
        } else if artifact.target.is_bin() && artifact.target.name == "sysbox" {
            self.runtime = Some(executable.into());
        }
    }
}

/// The cargo that called us, so that a toolchain chosen by the caller stays chosen.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds the runtime alone, as a user would.
pub(crate) fn runtime() -> Result<Built, TaskError> {
    build(&["--package", "sysbox-cli", "--bin", "sysbox"])
}

/// Builds the runtime and every test program of the workspace in one go, with one set of features, so that no
/// dependency is compiled twice.
pub(crate) fn everything() -> Result<Built, TaskError> {
    build(&["--workspace", "--all-features", "--bins", "--tests", "--examples"])
}

/// The root of the workspace, of which this package is a folder.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

fn build(selection: &[&str]) -> Result<Built, TaskError> {
    let mut command = cargo();
    command.args(["build", "--message-format=json-render-diagnostics"]).args(selection);
    let (built, status) = process::read_output(&mut command, |output| {
        let mut built = Built::default();
        for message in Message::parse_stream(output) {
            if let Message::CompilerArtifact(artifact) = message? {
                built.add(&artifact);
            }
        }
        built.tests.sort();
        Ok(built)
    })?;
    process::ended(&command, status)?;
    Ok(built)
}

impl TestProgram {
    fn new(artifact: &Artifact, executable: PathBuf) -> Self {
        let directory = artifact.manifest_path.parent().unwrap_or(&artifact.manifest_path);
        let source = &artifact.target.src_path;
        let requires = |mark| artifact.target.required_features.iter().any(|feature| feature == mark);
        Self {
            title: source.strip_prefix(workspace()).unwrap_or(source).to_string(),
            directory: directory.into(),
            executable,
            needs_root: requires(ROOT_TESTS),
            is_for_every_backend: requires(EVERY_BACKEND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as `cargo build --message-format=json` prints it, its variable parts put in.
    fn artifact(target: &str, is_test: bool) -> Artifact {
        let message = format!(
            r#"{{"package_id":"path+file:///w/crates/sysbox-host#0.1.0","manifest_path":"/w/crates/sysbox-host/Cargo.toml",
                "target":{{"crate_types":["bin"],"edition":"2024","doc":false,"doctest":false,"test":true,{target}}},
                "profile":{{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":{is_test}}},
                "features":["root-tests"],"filenames":["/t/deps/out-1"],"executable":"/t/deps/out-1","fresh":true}}"#
        );
        serde_json::from_str(&message).unwrap()
    }

    fn built_from(artifact: &Artifact) -> Built {
        let mut built = Built::default();
        built.add(artifact);
        built
    }

    #[test]
    fn what_a_test_needs_is_what_its_target_requires() {
        let source = r#""kind":["test"],"name":"tree","src_path":"/w/tests/tree.rs""#;
        let rooted = format!(r#"{source},"required-features":["root-tests"]"#);
        let over_all = format!(r#"{source},"required-features":["root-tests","every-backend"]"#);
        let cases = [(source, false, false), (&rooted, true, false), (&over_all, true, true)];
        for (target, needs_root, is_for_every_backend) in cases {
            let built = built_from(&artifact(target, true));
            let expected = TestProgram {
                title: "/w/tests/tree.rs".to_owned(),
                directory: "/w/crates/sysbox-host".into(),
                executable: "/t/deps/out-1".into(),
                needs_root,
                is_for_every_backend,
            };
            assert_eq!(built.tests, [expected]);
        }
    }

    #[test]
    fn the_runtime_is_the_binary_itself_and_not_its_unit_tests() {
        let target = r#""kind":["bin"],"name":"sysbox","src_path":"/w/crates/sysbox-cli/src/main.rs""#;
        let binary = built_from(&artifact(target, false));
        assert_eq!(binary.runtime().unwrap().to_str(), Some("/t/deps/out-1"));
        assert!(binary.tests.is_empty());
        assert!(matches!(built_from(&artifact(target, true)).runtime(), Err(TaskError::NoRuntime)));
    }
}
