//! Settings in the environment of the init process.

use proptest::prelude::*;

use super::*;

fn process(env: &[&str]) -> Process {
    let mut process = Process::default();
    *process.env_mut() = Some(env.iter().map(|entry| String::from(*entry)).collect());
    process
}

fn read(env: &[&str]) -> Result<Settings, SpecError> {
    Settings::read(Some(&process(env)))
}

fn error(env: &[&str]) -> String {
    read(env).expect_err("refused").to_string()
}

#[test]
fn each_setting_is_read_by_its_name_and_what_is_not_set_says_nothing() {
    let all = read(&[
        "PATH=/bin",
        "SYSBOX_IGNORE_SYSFS_CHOWN=TRUE",
        "SYSBOX_ALLOW_TRUSTED_XATTR=FALSE",
        "SYSBOX_HONOR_CAPS=TRUE",
        "SYSBOX_SYSCONT_MODE=FALSE",
        "SYSBOX_SKIP_UID_SHIFT=/a,/b/c",
    ]);
    let paths = ["/a", "/b/c"].map(|path| AbsPath::new(path).expect("absolute"));
    let expected = Settings {
        ignore_sysfs_chown: Some(true),
        allow_trusted_xattr: Some(false),
        honor_caps: Some(true),
        syscont_mode: Some(false),
        skip_uid_shift: paths.to_vec(),
    };
    assert_eq!(all, Ok(expected));
    assert_eq!(read(&["SYSBOXES=2", "sysbox_honor_caps=1", ""]), Ok(Settings::default()));
    assert_eq!(Settings::read(None), Ok(Settings::default()));
}

#[test]
fn a_setting_overrides_what_the_manager_mandates_and_the_rest_stays() {
    let mandated =
        ContainerConfig { honor_caps: true, no_rootfs_cloning: true, ..ContainerConfig::default() };
    let settings = read(&["SYSBOX_SYSCONT_MODE=FALSE", "SYSBOX_IGNORE_SYSFS_CHOWN=TRUE"]).expect("valid");
    let expected = ContainerConfig { syscont_mode: false, ignore_sysfs_chown: true, ..mandated.clone() };
    assert_eq!(settings.over(&mandated), expected);
    assert_eq!(Settings::default().over(&mandated), mandated);
}

#[test]
fn a_switch_takes_true_or_false_in_capitals_alone() {
    for value in ["true", "1", "", "TRUE ", " FALSE", "True", "TRUE=TRUE"] {
        let entry = format!("SYSBOX_HONOR_CAPS={value}");
        let expected = format!(
            "spec field process.env[SYSBOX_HONOR_CAPS] is {value:?}; it takes TRUE or FALSE, in capitals"
        );
        assert_eq!(error(&[&entry]), expected);
    }
}

#[test]
fn any_other_name_that_begins_with_sysbox_is_an_error_that_tells_the_names_there_are() {
    let error = error(&["SYSBOX_HONOUR_CAPS=TRUE"]);
    assert!(error.starts_with(r#"spec field process.env is with "SYSBOX_HONOUR_CAPS"; names"#), "{error}");
    assert!(NAMES.iter().all(|name| error.contains(name)), "{error}");
    assert!(read(&["SYSBOX_=TRUE"]).is_err());
    assert!(read(&["SYSBOX_HONOR_CAPS =TRUE"]).is_err());
}

#[test]
fn a_setting_without_a_value_is_malformed() {
    for entry in ["SYSBOX_HONOR_CAPS", "SYSBOX_", "SYSBOX_X"] {
        assert!(error(&[entry]).ends_with("a setting is given as NAME=VALUE"));
    }
}

#[test]
fn paths_to_skip_are_absolute_without_white_space_or_dots_and_none_is_empty() {
    for value in ["", "a", "/a,", ",/a", "/a,,/b", "/a, /b", "/a b", "/a\t", "/a\n", "/a/../b", "/..", "/a\0"]
    {
        let error = read(&[&format!("SYSBOX_SKIP_UID_SHIFT={value}")]).expect_err(value);
        assert_eq!(error.field, "process.env[SYSBOX_SKIP_UID_SHIFT]");
    }
    assert!(read(&["SYSBOX_SKIP_UID_SHIFT=/a..b,/..c"]).is_ok(), "only a whole component leads up");
}

#[test]
fn one_setting_with_two_values_is_an_error_and_with_one_value_twice_is_none() {
    let error = error(&["SYSBOX_HONOR_CAPS=TRUE", "A=b", "SYSBOX_HONOR_CAPS=FALSE"]);
    assert_eq!(
        error,
        r#"spec field process.env[SYSBOX_HONOR_CAPS] is both "TRUE" and "FALSE"; a setting has one value"#
    );
    let twice = read(&["SYSBOX_HONOR_CAPS=TRUE", "SYSBOX_HONOR_CAPS=TRUE"]).expect("the same");
    assert_eq!(twice.honor_caps, Some(true));
}

#[test]
fn settings_are_taken_from_what_is_executed_whatever_their_values() {
    let mut process = process(&["A=b", "SYSBOX_HONOR_CAPS=maybe", "SYSBOX_SKIP_UID_SHIFT=", "PATH=/bin"]);
    let mut changes = Changes::default();
    Settings::strip(&mut process, &mut changes).expect("known names");
    assert_eq!(process.env().as_deref(), Some(&["A=b".to_owned(), "PATH=/bin".to_owned()][..]));
    let fields: Vec<_> = changes.iter().map(|change| change.field.as_ref()).collect();
    assert_eq!(fields, ["process.env[SYSBOX_HONOR_CAPS]", "process.env[SYSBOX_SKIP_UID_SHIFT]"]);

    let mut again = Changes::default();
    Settings::strip(&mut process, &mut again).expect("none");
    assert!(again.is_empty());
}

#[test]
fn what_is_executed_with_another_name_is_refused_and_left_as_it_is() {
    for entry in ["SYSBOX_X=1", "SYSBOX_HONOR_CAPS"] {
        let mut process = process(&["SYSBOX_SYSCONT_MODE=TRUE", entry]);
        let before = process.clone();
        let mut changes = Changes::default();
        Settings::strip(&mut process, &mut changes).expect_err("refused");
        assert_eq!((process, changes.is_empty()), (before, true), "nothing was done, and nothing told");
    }
}

proptest! {
    #[test]
    fn no_environment_makes_a_panic(env in prop::collection::vec("(SYSBOX_[A-Z_]{0,4}|SYSBOX_SKIP_UID_SHIFT=)?.{0,12}", 0..6)) {
        let entries: Vec<_> = env.iter().map(String::as_str).collect();
        let mut process = process(&entries);
        let kept = read(&entries).is_ok();
        prop_assert!(!kept || Settings::strip(&mut process, &mut Changes::default()).is_ok());
    }
}
