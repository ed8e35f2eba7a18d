//! Backends that break one rule, to see whether the suite notices.
//!
//! All of them are one decorator, which passes everything on but for one thing; the table says which. A flaw belongs behind a
//! transport, on the side of the backend: so it is also seen whether the transport would hide it.

mod alter;
mod breaks;
mod define;
mod files;
mod fs;
mod habit;
mod mgr;
mod spoil;
mod table;

use std::sync::Arc;

use sysbox_core::{FsPort, MgrPort};

use self::breaks::Flawed;

pub use self::table::Flaw;

impl Flaw {
    /// The manager with this flaw.
    pub fn mgr(self, port: Arc<dyn MgrPort>) -> Arc<dyn MgrPort> {
        Arc::new(Flawed::new(self, port))
    }

    /// The fs daemon with this flaw.
    pub fn fs(self, port: Arc<dyn FsPort>) -> Arc<dyn FsPort> {
        Arc::new(Flawed::new(self, port))
    }

    /// Whether a transport mends it: a caller's end of one says itself which call was made, and the other end may carry a call
    /// out whose caller went away.
    pub const fn is_mended_by_transports(self) -> bool {
        matches!(self, Self::ErrorNamesAnotherCall | Self::LeakWhenAbandoned)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_flaw_has_a_name_of_its_own_and_a_rule() {
        let names: BTreeSet<_> = Flaw::ALL.iter().map(|flaw| flaw.name()).collect();
        assert_eq!(names.len(), Flaw::ALL.len());
        assert!(Flaw::ALL.iter().all(|flaw| flaw.rule().ends_with('.')));
    }

    #[cfg(feature = "suite")]
    #[test]
    fn each_flaw_belongs_to_a_group_of_cases_that_its_abilities_let_run() {
        for flaw in Flaw::ALL {
            let of_group = |case: &&&crate::Case| case.group == flaw.group();
            let runs = |case: &&crate::Case| case.needs.iter().all(|ability| flaw.needs().contains(ability));
            assert!(
                crate::cases().iter().filter(of_group).copied().any(|case| runs(&case)),
                "{}",
                flaw.name()
            );
        }
    }
}
