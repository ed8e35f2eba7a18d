//! How the errors of the kernel become those of the port. No text of a cause stands in the text of its effect.

use std::{error::Error, fmt::Display, io};

use rustix::io::Errno;
use sysbox_core::HostError;

/// Makes a [`HostError`] of what `operation` on `subject` met; to be given to `map_err`.
pub(crate) fn failed<E: Into<Box<dyn Error + Send + Sync>>>(
    operation: &'static str,
    subject: impl Display,
) -> impl FnOnce(E) -> HostError {
    move |source| HostError::new(operation, subject.to_string(), source)
}

/// An error and what caused it in one line, for an answer that is text.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A refusal of the kernel, and what a person can do about it.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
pub(crate) struct Advised {
    pub(crate) advice: &'static str,
    #[source]
    pub(crate) source: Errno,
}

impl Advised {
    /// The refusal behind an error of the standard library, with the advice that fits it.
    pub(crate) fn from_io(error: &io::Error, advice: impl FnOnce(Errno) -> &'static str) -> Self {
        // The library makes errors without a number for what it checks itself, such as a NUL byte in a path.
        let source = Errno::from_io_error(error).unwrap_or(Errno::INVAL);
        Self { advice: advice(source), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_the_operation_and_every_cause_once() {
        let cause = Advised { advice: "run as root", source: Errno::PERM };
        let error = failed::<Advised>("mount", "/a")(cause);
        assert_eq!(chain(&error), "cannot mount /a: run as root: Operation not permitted (os error 1)");
    }
}
