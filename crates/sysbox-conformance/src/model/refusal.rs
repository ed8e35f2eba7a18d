//! A call that breaks a rule, before it is said which call and container it was.

use sysbox_core::{ContainerId, ErrorKind, Operation, PortError};

/// Why a call is refused. Nothing has been changed then.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: ErrorKind,
    /// Goes on after "container ID ".
    message: String,
    source: Option<std::io::Error>,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn with_source(self, source: std::io::Error) -> Self {
        Self { source: Some(source), ..self }
    }

    pub(super) fn unknown() -> Self {
        Self::new(ErrorKind::NotFound, "is not registered; register it first, or check its id")
    }

    pub(super) fn of(self, operation: Operation, id: &ContainerId) -> PortError {
        let error = PortError::new(operation, self.kind, format!("container {id} {}", self.message));
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}
