//! Step 1: settings that a container carries in the environment of its init process, `SYSBOX_*=VALUE`.
//!
//! They are those of a container, not of a process: what is executed in a container that runs cannot carry any.

use std::path::Component;

use oci_spec::runtime::Process;

use super::{Changes, SpecError};
use crate::{AbsPath, ContainerConfig};

const PREFIX: &str = "SYSBOX_";
const IGNORE_SYSFS_CHOWN: &str = "SYSBOX_IGNORE_SYSFS_CHOWN";
const ALLOW_TRUSTED_XATTR: &str = "SYSBOX_ALLOW_TRUSTED_XATTR";
const HONOR_CAPS: &str = "SYSBOX_HONOR_CAPS";
const SYSCONT_MODE: &str = "SYSBOX_SYSCONT_MODE";
const SKIP_UID_SHIFT: &str = "SYSBOX_SKIP_UID_SHIFT";
const NAMES: [&str; 5] = [IGNORE_SYSFS_CHOWN, ALLOW_TRUSTED_XATTR, HONOR_CAPS, SYSCONT_MODE, SKIP_UID_SHIFT];

/// What the environment of a container's init process sets in place of what the manager mandates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `SYSBOX_IGNORE_SYSFS_CHOWN`, see [`ContainerConfig::ignore_sysfs_chown`].
    pub ignore_sysfs_chown: Option<bool>,
    /// `SYSBOX_ALLOW_TRUSTED_XATTR`, see [`ContainerConfig::allow_trusted_xattr`].
    pub allow_trusted_xattr: Option<bool>,
    /// `SYSBOX_HONOR_CAPS`, see [`ContainerConfig::honor_caps`].
    pub honor_caps: Option<bool>,
    /// `SYSBOX_SYSCONT_MODE`, see [`ContainerConfig::syscont_mode`].
    pub syscont_mode: Option<bool>,
    /// `SYSBOX_SKIP_UID_SHIFT`: mounts at and below these paths inside are never ID-shifted.
    pub skip_uid_shift: Vec<AbsPath>,
}

impl Settings {
    /// Reads the settings of a container's init process, whose environment is left as it is.
    ///
    /// # Errors
    /// [`SpecError`] of `process.env` for any other name that begins with `SYSBOX_`, for a setting without a value, for a value
    /// that is not as it should be, and for two values of one setting.
    pub fn read(process: Option<&Process>) -> Result<Self, SpecError> {
        let mut settings = Self::default();
        let mut values = [None; NAMES.len()];
        for setting in process.into_iter().flat_map(entries).filter_map(setting) {
            let (name, value) = setting?;
            let read = NAMES.iter().zip(&mut values).find(|(known, _)| **known == name);
            match read.map(|(_, read)| read.replace(value)) {
                Some(Some(before)) if before != value => return Err(set_twice(name, before, value)),
                Some(Some(_)) => {}
                Some(None) | None => settings.set(name, value)?,
            }
        }
        Ok(settings)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), SpecError> {
        match name {
            IGNORE_SYSFS_CHOWN => self.ignore_sysfs_chown = Some(switch(name, value)?),
            ALLOW_TRUSTED_XATTR => self.allow_trusted_xattr = Some(switch(name, value)?),
            HONOR_CAPS => self.honor_caps = Some(switch(name, value)?),
            SYSCONT_MODE => self.syscont_mode = Some(switch(name, value)?),
            _ => self.skip_uid_shift = paths(name, value)?,
        }
        Ok(())
    }

    /// Takes the settings out of the environment of a process that is to be executed in a container that runs, whatever their
    /// values: what they set was settled when the container was made.
    ///
    /// # Errors
    /// [`SpecError`] of `process.env` for any other name that begins with `SYSBOX_`, and for a setting without a value; the process
    /// and the changes are as they were then.
    pub fn strip(process: &mut Process, changes: &mut Changes) -> Result<(), SpecError> {
        let names: Result<Vec<_>, _> =
            entries(process).filter_map(setting).map(|setting| setting.map(|(name, _)| name)).collect();
        for name in names? {
            changes.note(field(name), "it sets something of the whole container, which runs already");
        }
        if let Some(env) = process.env_mut() {
            env.retain(|entry| !entry.starts_with(PREFIX));
        }
        Ok(())
    }

    /// What the manager mandates, with these settings in place of it where they say something.
    pub fn over(&self, config: &ContainerConfig) -> ContainerConfig {
        let Self { ignore_sysfs_chown, allow_trusted_xattr, honor_caps, syscont_mode, skip_uid_shift: _ } =
            self;
        ContainerConfig {
            ignore_sysfs_chown: ignore_sysfs_chown.unwrap_or(config.ignore_sysfs_chown),
            allow_trusted_xattr: allow_trusted_xattr.unwrap_or(config.allow_trusted_xattr),
            honor_caps: honor_caps.unwrap_or(config.honor_caps),
            syscont_mode: syscont_mode.unwrap_or(config.syscont_mode),
            ..config.clone()
        }
    }
}

fn entries(process: &Process) -> impl Iterator<Item = &str> {
    process.env().iter().flatten().map(String::as_str)
}

/// The name and value of an entry of an environment that is a setting, or is meant to be one.
fn setting(entry: &str) -> Option<Result<(&'static str, &str), SpecError>> {
    if !entry.starts_with(PREFIX) {
        return None;
    }
    let Some((name, value)) = entry.split_once('=') else {
        return Some(Err(SpecError::new(
            "process.env",
            format!("with {entry:?}"),
            "a setting is given as NAME=VALUE",
        )));
    };
    let known = NAMES.into_iter().find(|known| *known == name);
    Some(known.map(|known| (known, value)).ok_or_else(|| unknown(name)))
}

fn unknown(name: &str) -> SpecError {
    let rule = format!("names that begin with {PREFIX} are settings, and there are {}", NAMES.join(", "));
    SpecError::new("process.env", format!("with {name:?}"), rule)
}

fn set_twice(name: &str, before: &str, value: &str) -> SpecError {
    SpecError::new(field(name), format!("both {before:?} and {value:?}"), "a setting has one value")
}

fn switch(name: &str, value: &str) -> Result<bool, SpecError> {
    match value {
        "TRUE" => Ok(true),
        "FALSE" => Ok(false),
        _ => Err(SpecError::new(field(name), format!("{value:?}"), "it takes TRUE or FALSE, in capitals")),
    }
}

fn paths(name: &str, value: &str) -> Result<Vec<AbsPath>, SpecError> {
    const RULE: &str = "it takes absolute paths inside, separated by commas, without white space";
    let refused = |found: &str, rule: &str| SpecError::new(field(name), format!("{found:?}"), rule);
    if value.contains(char::is_whitespace) {
        return Err(refused(value, RULE));
    }
    let path = |item: &str| {
        let path = AbsPath::new(item).map_err(|error| refused(value, &format!("{RULE}: {error}")))?;
        let leads_up = path.as_path().components().any(|component| component == Component::ParentDir);
        if leads_up { Err(refused(item, "it takes paths without ..")) } else { Ok(path) }
    };
    value.split(',').map(path).collect()
}

fn field(name: &str) -> String {
    ["process.env[", name, "]"].concat()
}

#[cfg(test)]
mod tests;
