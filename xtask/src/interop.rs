//! What `tests/interop` needs: clients and daemons in other languages, made from `proto/` as anybody would make them.
//!
//! Everything is below `interop` in the target folder, and is made anew only when what it is made of has changed. Nothing of it
//! is committed, so that no stub can be older than the contract.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::error::TaskError;
use crate::{build, need, process};

/// The .proto files, and the Go package that each becomes.
const PROTOS: [(&str, &str); 3] =
    [("sysbox_mgr.proto", "wire"), ("sysbox_fs.proto", "wire"), ("sysbox_mgr_ext.proto", "ext")];

/// The Go modules: the same client over different versions of grpc-go.
const GO_MODULES: [&str; 3] = ["v1.34", "v1.63", "newest"];

/// The programs that make Go code of .proto files.
const GO_PLUGINS: [&str; 2] =
    ["google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"];

/// `cargo xtask interop`: makes all of it, for tests that are run by themselves.
pub(crate) fn run() -> Result<ExitCode, TaskError> {
    need::provide(&need::INTEROP.iter().collect::<Vec<_>>())?;
    make()?;
    Ok(ExitCode::SUCCESS)
}

/// Makes all of it. What a program needs of the machine must be there.
pub(crate) fn make() -> Result<(), TaskError> {
    let place = Place { sources: build::workspace().join("tests/interop"), made: target()?.join("interop") };
    place.python()?;
    GO_MODULES.iter().try_for_each(|module| place.go(module))
}

/// The target folder: this program is in the folder of its profile there, as the tests are.
pub(crate) fn target() -> Result<PathBuf, TaskError> {
    let own = std::env::current_exe().map_err(|source| file_error(Path::new("/proc/self/exe"), source))?;
    Ok(own.ancestors().nth(2).unwrap_or(&own).to_owned())
}

struct Place {
    sources: PathBuf,
    made: PathBuf,
}

impl Place {
    /// A virtual environment with gRPC for Python, and the stubs.
    fn python(&self) -> Result<(), TaskError> {
        let requirements = self.sources.join("python/requirements.txt");
        let (venv, stubs) = (self.made.join("python/venv"), self.made.join("python/stubs"));
        let venv_inputs = vec![requirements.clone()];
        make_unless_same(&venv, &venv_inputs, || {
            println!("making {}", venv.display());
            process::succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
            let mut pip = Command::new(self.python_program());
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            process::succeed(pip.args(["--only-binary", ":all:", "--requirement"]).arg(&requirements))
        })?;
        make_unless_same(&stubs, &[venv_inputs, protos()].concat(), || {
            let output = |kind: &str| format!("--{kind}={}", stubs.display());
            process::succeed(
                self.protoc().args([output("python_out"), output("grpc_python_out")]).args(protos()),
            )
        })
    }

    /// The client in Go, of a module.
    fn go(&self, module: &str) -> Result<(), TaskError> {
        let made = self.made.join("go").join(module);
        let sources = self.sources.join("go");
        let inputs = [files(&sources.join(module))?, files(&sources.join("client"))?, protos()].concat();
        make_unless_same(&made, &inputs, || {
            println!("making {}", made.display());
            for file in files(&sources.join(module))?.iter().chain([&sources.join("tools.go")]) {
                copy_into(file, &made)?;
            }
            for file in files(&sources.join("client"))? {
                copy_into(&file, &made.join("client"))?;
            }
            process::succeed(go_build(&made).args(GO_PLUGINS))?;
            process::succeed(self.protoc().args(go_arguments(&made)).args(protos()))?;
            process::succeed(go_build(&made).arg("./client"))
        })
    }

    fn python_program(&self) -> PathBuf {
        self.made.join("python/venv/bin/python")
    }

    /// The protoc that comes with gRPC for Python.
    fn protoc(&self) -> Command {
        let mut command = Command::new(self.python_program());
        command.args(["-m", "grpc_tools.protoc", "--proto_path"]).arg(build::workspace().join("proto"));
        command
    }
}

fn protos() -> Vec<PathBuf> {
    PROTOS.map(|(file, _)| build::workspace().join("proto").join(file)).into()
}

/// A build of static programs into the folder `bin` of a module.
fn go_build(module: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module).env("CGO_ENABLED", "0").args(["build", "-buildvcs=false", "-o", "bin/"]);
    command
}

/// What makes protoc write Go into a module, with the plugins that were built there.
fn go_arguments(module: &Path) -> Vec<String> {
    let bin = module.join("bin");
    let one = |kind: &str| {
        let packages = PROTOS.map(|(file, package)| format!("--{kind}_opt=M{file}=interop/{package}"));
        let [plugin, output, prefix] = [
            format!("--plugin=protoc-gen-{kind}={}/protoc-gen-{kind}", bin.display()),
            format!("--{kind}_out={}", module.display()),
            format!("--{kind}_opt=module=interop"),
        ];
        [vec![plugin, output, prefix], packages.into()].concat()
    };
    [one("go"), one("go-grpc")].concat()
}

/// Empties the folder `made` and lets `make` fill it, unless it was filled from the same files. Of the last step of `make` a
/// stamp is left, so that what was made by half is made anew.
fn make_unless_same(
    made: &Path,
    inputs: &[PathBuf],
    make: impl FnOnce() -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let stamp = made.join("made-of");
    let mut text = String::new();
    for input in inputs {
        text += &fs::read_to_string(input).map_err(|source| file_error(input, source))?;
    }
    if fs::read_to_string(&stamp).is_ok_and(|earlier| earlier == text) {
        return Ok(());
    }
    match fs::remove_dir_all(made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(made, error)),
        _ => fs::create_dir_all(made).map_err(|source| file_error(made, source))?,
    }
    make()?;
    fs::write(&stamp, text).map_err(|source| file_error(&stamp, source))
}

/// The files in a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, TaskError> {
    let paths = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = paths.map_err(|source| file_error(folder, source))?;
    paths.sort();
    Ok(paths)
}

fn copy_into(file: &Path, folder: &Path) -> Result<(), TaskError> {
    let target = folder.join(file.file_name().unwrap_or_default());
    let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(file, &target));
    copied.map(drop).map_err(|source| file_error(&target, source))
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> TaskError {
    TaskError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_was_made_whole_is_made_anew_only_when_an_input_changes() {
        let dir = std::env::temp_dir().join(format!("xtask-interop-{}", std::process::id()));
        let (made, input) = (dir.join("made"), dir.join("input"));
        let count = Cell::new(0);
        let once = |outcome: Result<(), TaskError>| {
            let _ = make_unless_same(&made, std::slice::from_ref(&input), || {
                count.set(count.get() + 1);
                outcome
            });
            count.get()
        };
        fs::create_dir_all(&dir).unwrap();
        fs::write(&input, "1").unwrap();
        assert_eq!(once(Err(TaskError::NoRuntime)), 1);
        assert_eq!(once(Ok(())), 2, "it was made by half");
        assert_eq!(once(Ok(())), 2);
        fs::write(&input, "2").unwrap();
        assert_eq!(once(Ok(())), 3);
        fs::remove_dir_all(&dir).unwrap();
    }
}
