//! One rule, and how it is seen whether a backend keeps it.

use std::{error::Error, fmt::Debug, iter::successors, pin::Pin};

use sysbox_core::{
    ErrorKind, PortError, SessionError,
    session::{RestoreError, TeardownError},
};

use crate::{Ability, World};

/// A rule that backends must keep.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The part of the contract that it belongs to, such as `mgr::register`.
    pub group: &'static str,
    /// The rule, as a sentence with underscores.
    pub name: &'static str,
    /// What a backend must be able to do for the rule to mean anything.
    pub needs: &'static [Ability],
    /// Finds out whether the backend keeps it.
    pub run: fn(&mut World) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>,
}

/// Whether a rule was kept.
pub type Outcome = Result<(), Broken>;

/// A rule was not kept, or it could not be found out.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Broken {
    what: String,
    is_seen: bool,
}

impl Broken {
    /// What was seen, and what should have been.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_seen: true }
    }

    /// What was missing, so that nothing was seen: a backend, or something of the host.
    pub(crate) fn unseen(missing: impl Into<String>) -> Self {
        Self { what: missing.into(), is_seen: false }
    }

    /// Whether a backend was seen to break the rule. Otherwise there was none, or no directory or runtime for the case.
    pub const fn is_seen(&self) -> bool {
        self.is_seen
    }
}

impl From<PortError> for Broken {
    fn from(error: PortError) -> Self {
        let PortError { operation, kind, .. } = error;
        let broken = unexpected(&error);
        let hint = match kind {
            ErrorKind::Unimplemented => "; a harness whose backends do not do this declares the lack of it",
            _ => "",
        };
        Self { what: format!("{operation:?} is refused as {kind:?}: {broken}{hint}"), ..broken }
    }
}

impl From<SessionError> for Broken {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Call { source, .. } => source.into(),
            error => unexpected(&error),
        }
    }
}

impl From<TeardownError> for Broken {
    fn from(error: TeardownError) -> Self {
        unexpected(&error)
    }
}

impl From<RestoreError> for Broken {
    fn from(error: RestoreError) -> Self {
        unexpected(&error)
    }
}

fn unexpected(error: &(dyn Error + 'static)) -> Broken {
    let chain: Vec<_> = successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    Broken::new(format!("a call that should have been answered failed: {}", chain.join(": ")))
}

/// Requires two values to be the same.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(Broken::new(format!("{what}: {found:?}, where {expected:?} was expected")))
}

/// Requires a call to be refused with this kind.
pub(crate) fn refused<T: Debug>(
    what: &str,
    answer: Result<T, PortError>,
    kind: ErrorKind,
) -> Result<PortError, Broken> {
    match answer {
        Err(error) if error.kind == kind => Ok(error),
        Err(error) => Err(Broken::new(format!(
            "{what}: refused as {:?} ({error}), where {kind:?} was expected",
            error.kind
        ))),
        Ok(answer) => Err(Broken::new(format!("{what}: answered {answer:?}, where {kind:?} was expected"))),
    }
}

/// A [`Case`] of a function: `case!("mgr::register", its_name, [Mgr])`.
macro_rules! case {
    ($group:literal, $name:ident, [$($ability:ident),*]) => {
        $crate::Case {
            group: $group,
            name: stringify!($name),
            needs: &[$($crate::Ability::$ability),*],
            run: |world| Box::pin($name(world)),
        }
    };
}
pub(crate) use case;

#[cfg(test)]
mod tests {
    use sysbox_core::Operation;

    use super::*;

    #[test]
    fn a_call_that_is_refused_is_told_with_its_kind_and_the_cure() {
        let error = PortError::new(Operation::ReqMounts, ErrorKind::Unimplemented, "not done");
        let broken = Broken::from(error).to_string();
        for part in ["ReqMounts", "Unimplemented", "not done", "declares the lack"] {
            assert!(broken.contains(part), "{broken}");
        }
    }
}
