//! Whether a host is fit to run system containers.

use crate::{
    HostError, HostPort,
    host::{KernelRelease, OsRelease},
};

const USERNS_CLONE: &str = "kernel.unprivileged_userns_clone";
const MAX_USER_NAMESPACES: &str = "user.max_user_namespaces";

/// Whether an old kernel is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelCheck {
    /// It is.
    #[default]
    Enforce,
    /// It is not: the user takes the risk.
    Skip,
}

/// What the verdict depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The distribution.
    pub os: OsRelease,
    /// The running kernel.
    pub kernel: KernelRelease,
    /// `kernel.unprivileged_userns_clone`, where the kernel has it (Debian's and Ubuntu's up to 6.5).
    pub unprivileged_userns_clone: Option<String>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<String>,
}

/// Why a host is not fit, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostCheckError {
    /// The kernel is too old.
    #[error(
        "kernel {found} is below the required {}.{} on {distro}; boot a newer kernel, or switch the kernel check off",
        required.0, required.1
    )]
    KernelTooOld {
        /// The running kernel.
        found: KernelRelease,
        /// The version that is required on this distribution.
        required: (u32, u32),
        /// The distribution's `ID`.
        distro: String,
    },
    /// A sysctl forbids user namespaces.
    #[error("sysctl {name} is {value:?}, which forbids user namespaces; set it: sysctl -w {name}={needed}")]
    UserNamespacesForbidden {
        /// The sysctl.
        name: &'static str,
        /// Its value.
        value: String,
        /// A value that allows them.
        needed: &'static str,
    },
    /// The host could not be asked.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The oldest kernel, as (major, minor), that a distribution's system containers run on.
pub fn required_kernel(os: &OsRelease) -> (u32, u32) {
    // Ubuntu's kernels carry shiftfs and the seccomp continuation that others have from 5.5 on.
    if os.id == "ubuntu" { (5, 0) } else { (5, 5) }
}

/// Judges a host by its facts.
///
/// # Errors
/// [`HostCheckError`] for the first rule that the host breaks.
pub fn verdict(check: KernelCheck, facts: &HostFacts) -> Result<(), HostCheckError> {
    let required = required_kernel(&facts.os);
    if check == KernelCheck::Enforce && !facts.kernel.at_least(required.0, required.1) {
        return Err(HostCheckError::KernelTooOld {
            found: facts.kernel.clone(),
            required,
            distro: facts.os.id.clone(),
        });
    }
    let forbids =
        |name, value: &Option<String>, bad: fn(&str) -> bool, needed| match value.as_deref().map(str::trim) {
            Some(value) if bad(value) => {
                Err(HostCheckError::UserNamespacesForbidden { name, value: value.to_owned(), needed })
            }
            _ => Ok(()),
        };
    forbids(USERNS_CLONE, &facts.unprivileged_userns_clone, |value| value != "1", "1")?;
    forbids(MAX_USER_NAMESPACES, &facts.max_user_namespaces, |value| value == "0", "65536")
}

/// Checks that the host is configured to run system containers. Go: `CheckHostConfig`.
///
/// # Errors
/// [`HostCheckError`] for the first rule that the host breaks, or when it cannot be asked. A host without os-release is
/// judged as one of no particular distribution.
#[doc(alias = "CheckHostConfig")]
pub fn check_host_config(host: &dyn HostPort, check: KernelCheck) -> Result<(), HostCheckError> {
    verdict(
        check,
        &HostFacts {
            os: host.os_release()?,
            kernel: host.kernel_release()?,
            unprivileged_userns_clone: host.sysctl(USERNS_CLONE)?,
            max_user_namespaces: host.sysctl(MAX_USER_NAMESPACES)?,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MockHostPort;

    fn facts(distro: &str, kernel: &str, clone: Option<&str>, max: Option<&str>) -> HostFacts {
        HostFacts {
            os: format!("ID={distro}").parse().expect("valid"),
            kernel: kernel.parse().expect("valid"),
            unprivileged_userns_clone: clone.map(str::to_owned),
            max_user_namespaces: max.map(str::to_owned),
        }
    }

    #[test]
    fn a_kernel_from_5_5_on_is_fit_and_on_ubuntu_from_5_0_on() {
        for (distro, kernel, fit) in [
            ("debian", "5.5-rc1", true),
            ("debian", "5.4.0", false),
            ("ubuntu", "5.0.0-13-generic", true),
            ("ubuntu", "4.19.0", false),
            ("fedora", "6.18.44-fc-v657", true),
        ] {
            let facts = facts(distro, kernel, None, None);
            assert_eq!(verdict(KernelCheck::Enforce, &facts).is_ok(), fit, "{distro} {kernel}");
            assert!(verdict(KernelCheck::Skip, &facts).is_ok());
        }
    }

    #[test]
    fn unprivileged_userns_clone_must_be_1_where_it_is() {
        let judge = |value| verdict(KernelCheck::Skip, &facts("debian", "6.1", value, Some("7000")));
        assert!(judge(None).is_ok() && judge(Some("1")).is_ok() && judge(Some("1\n")).is_ok());
        assert!(matches!(judge(Some("0")), Err(HostCheckError::UserNamespacesForbidden { needed: "1", .. })));
    }

    #[test]
    fn max_user_namespaces_must_not_be_0() {
        let judge = |value| verdict(KernelCheck::Skip, &facts("debian", "6.1", None, value));
        assert!(judge(None).is_ok() && judge(Some("1")).is_ok());
        assert!(matches!(judge(Some("0")), Err(HostCheckError::UserNamespacesForbidden { .. })));
    }

    #[test]
    fn the_host_is_asked_for_exactly_the_facts_of_the_verdict() {
        let mut host = MockHostPort::new();
        host.expect_os_release().times(1).returning(|| Ok("ID=debian".parse().expect("valid")));
        host.expect_kernel_release().times(1).returning(|| Ok("4.19.0".parse().expect("valid")));
        host.expect_sysctl().times(2).returning(|_| Ok(None));
        let error = check_host_config(&host, KernelCheck::Enforce).expect_err("too old");
        assert_eq!(
            error.to_string(),
            "kernel 4.19.0 is below the required 5.5 on debian; boot a newer kernel, or switch the kernel check off"
        );
    }
}
