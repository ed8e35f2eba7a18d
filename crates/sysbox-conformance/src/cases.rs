//! The rules, by the part of the contract that they belong to.

mod clone;
mod cloned;
mod errors;
mod facade;
mod files;
mod fs;
mod life;
mod mounts;
mod register;
mod relay;
mod restart;
pub(crate) mod script;
mod session;
mod sharing;
mod sources;
mod stop;
mod subids;
mod together;
mod update;
pub(crate) mod values;
mod volumes;

use crate::Case;

/// Every case, in the order of a container's life.
pub fn cases() -> Vec<&'static Case> {
    let all = [
        register::CASES,
        subids::CASES,
        sharing::CASES,
        update::CASES,
        mounts::CASES,
        volumes::CASES,
        sources::CASES,
        clone::CASES,
        cloned::CASES,
        stop::CASES,
        fs::CASES,
        errors::CASES,
        together::CASES,
        restart::CASES,
        facade::CASES,
        session::CASES,
        relay::CASES,
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Ability;

    #[test]
    fn no_two_cases_have_the_same_name() {
        let names: BTreeSet<_> = cases().iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases().len());
    }

    #[test]
    fn each_case_needs_the_ports_that_its_group_names() {
        for case in cases() {
            let needs = |ability| case.needs.contains(&ability);
            assert!(needs(Ability::Mgr) || needs(Ability::Fs), "{}", case.name);
            assert_eq!(needs(Ability::Relay), case.group.starts_with("relay::"), "{}", case.name);
            assert!(!case.group.starts_with("mgr::") || needs(Ability::Mgr), "{}", case.name);
            assert!(!case.group.starts_with("fs::") || needs(Ability::Fs), "{}", case.name);
        }
    }
}
