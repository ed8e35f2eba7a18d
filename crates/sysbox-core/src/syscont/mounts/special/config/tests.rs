//! Files of a rootfs that is not trusted say where a directory is, or are refused.

use proptest::prelude::*;

use super::*;
use crate::{MockHostPort, port::MOST_OF_ROOTFS_FILE, syscont::mounts::testing::abs};

fn read(config: Config, content: impl Into<Vec<u8>>) -> Result<Option<String>, String> {
    let content = content.into();
    let mut host = MockHostPort::new();
    host.expect_rootfs_file().returning(move |_, _| Ok(Some(content.clone())));
    match config.directory(&abs("/rootfs"), &host) {
        Ok(directory) => Ok(directory.map(|directory| directory.to_string())),
        Err(UnreadableConfig::Content { found, .. }) => Err(found),
        Err(UnreadableConfig::Host(error)) => panic!("the host answered: {error}"),
    }
}

fn json(content: &str) -> Result<Option<String>, String> {
    read(Config::DOCKER, content)
}

fn yaml(content: &str) -> Result<Option<String>, String> {
    read(Config::K3S, content)
}

fn at(place: &str) -> Result<Option<String>, String> {
    Ok(Some(place.to_owned()))
}

#[test]
fn each_file_is_looked_for_where_its_program_has_it() {
    let files = [Config::DOCKER, Config::K3S, Config::RKE2].map(|config| config.file);
    assert_eq!(
        files,
        ["/etc/docker/daemon.json", "/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml"]
    );
}

#[test]
fn of_json_the_one_field_at_the_top_is_read() {
    assert_eq!(
        json(r#"{"hosts":[{"data-root":"/no"}],"data-root":"/data","x":{"data-root":"/no"}}"#),
        at("/data")
    );
    assert_eq!(json("\n {\"data-root\": \"/a\\nb\"}\n"), at("/a\nb"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    assert_eq!(json("\u{feff}{\"data-root\":\"/data\"}"), at("/data"));
    assert_eq!(json("\u{feff}"), Ok(None));
    json("\u{feff}\u{feff}{}").expect_err("one is enough");
    json("{}\u{feff}").expect_err("it is at the beginning");
}

#[test]
fn of_yaml_the_one_key_at_the_top_of_the_first_document_is_read() {
    let nested = "a:\n  data-dir: /no\n? [data-dir, x]\n: y\ndata-dir: /data # here\nb: [{data-dir: /no}]\n";
    assert_eq!(yaml(nested), at("/data"));
    assert_eq!(yaml("---\n{a: data-dir, 'data-dir': '/data'}\n---\ndata-dir: /second\n"), at("/data"));
    assert_eq!(yaml("\u{feff}data-dir: >-\n  /da\n  ta\n"), at("/da ta"));
}

#[test]
fn a_file_that_does_not_say_leaves_the_default() {
    for nothing in ["", "  \n", "{}", r#"{"debug":true}"#, r#"{"data-root":null}"#, r#"{"data-root":""}"#] {
        assert_eq!(json(nothing), Ok(None), "{nothing}");
    }
    for nothing in [
        "",
        "# c\n",
        "---\n",
        "a: b",
        "{}",
        "data-dir:",
        "data-dir: ~",
        "data-dir: ''",
        "a: &x data-dir\n*x : b",
    ] {
        assert_eq!(yaml(nothing), Ok(None), "{nothing}");
    }
}

#[test]
fn what_is_not_in_the_format_is_an_error() {
    for wrong in [
        "[]",
        r#"["/data"]"#,
        "7",
        "null",
        "{",
        "{}x",
        r#"{"data-root":7}"#,
        r#"{"data-root":["/d"]}"#,
        r#"{"data-root":"/a","data-root":"/b"}"#,
        "{\"a\":\"\u{0}\"}",
    ] {
        json(wrong).expect_err(wrong);
    }
    for wrong in [
        "- data-dir: /d",
        "/data",
        "'a",
        "{",
        "a: b: c",
        "data-dir: [/d]",
        "data-dir: {a: b}",
        "a: &x /d\ndata-dir: *x",
        "data-dir: /a\ndata-dir: /b",
        "data-dir: *unknown",
        "\t- a",
    ] {
        yaml(wrong).expect_err(wrong);
    }
    read(Config::K3S, b"data-dir: /\xff".to_vec()).expect_err("no UTF-8");
    read(Config::DOCKER, b"{\"data-root\":\"/\xff\"}".to_vec()).expect_err("no UTF-8");
}

#[test]
fn a_special_directory_is_absolute_and_below_the_root() {
    for wrong in ["data", "./data", "/", "//", "/.", "/a/../b", "/..", "~/d", "/a\\u0000b"] {
        json(&format!(r#"{{"data-root":"{wrong}"}}"#)).expect_err(wrong);
    }
    for fine in ["/data", "/processes", "/sys2/x", "/a//b/", "/..a", "/dev/shm/d"] {
        assert_eq!(json(&format!(r#"{{"data-root":"{fine}"}}"#)), at(fine));
    }
}

#[test]
fn an_error_says_the_one_rule_that_is_broken() {
    let long = format!("/{}", "x".repeat(AbsPath::MAX_LEN));
    for (value, rule) in [
        ("data", "give an absolute path"),
        ("", "give an absolute path"),
        ("/a\0b", "give a path without NUL"),
        (&long, "give a path of at most 4095 bytes"),
        ("/a/../b", "give a path without `..`"),
        ("//", "give a directory below the root"),
    ] {
        assert_eq!(place(value), Err(rule), "{value:?}");
    }
}

#[test]
fn an_error_names_the_file_and_repeats_only_the_beginning_of_what_is_there() {
    let mut host = MockHostPort::new();
    let content = format!(r#"{{"data-root":"{}"}}"#, "é".repeat(MOST_OF_ROOTFS_FILE / 4));
    host.expect_rootfs_file().returning(move |_, _| Ok(Some(content.clone().into_bytes())));
    let error = Config::DOCKER.directory(&abs("/rootfs"), &host).expect_err("relative").to_string();
    assert!(error.starts_with(r#"/etc/docker/daemon.json in rootfs /rootfs is naming "é"#), "{error}");
    assert!(error.len() < 500, "{error}");
}

#[test]
fn the_most_of_anything_that_is_read_is_understood_or_refused_without_deep_recursion() {
    let beginnings = [
        "[",
        "{",
        "{\"a\":",
        "[{",
        "- ",
        "? ",
        ": ",
        "a: ",
        "&a ",
        "*a ",
        "!a ",
        "%a\n",
        "'",
        "\"",
        "|\n",
        ">",
        "#",
        ",",
        "\n",
        "\t",
        " ",
        "---\n",
        "...\n",
        "a\n",
        "a:\n",
        "- a\n",
        "\\",
        "\u{0}",
        "é",
        "{\"data-root\":",
        "a: &a [*a,",
        "[a,",
        "\"\\u0041",
        "? - ",
    ];
    for beginning in beginnings {
        for (config, most) in [(Config::DOCKER, MOST_OF_ROOTFS_FILE), (Config::K3S, MOST_OF_YAML)] {
            let content = beginning.repeat(most / beginning.len());
            if let Ok(directory) = read(config, content) {
                assert_eq!(directory, None, "{beginning:?} names no directory");
            }
        }
    }
}

#[test]
fn yaml_of_more_than_64_kib_is_refused() {
    let content = |len: usize| format!("data-dir: /data\n{}", "#".repeat(len - 16));
    assert_eq!(yaml(&content(MOST_OF_YAML)), at("/data"));
    assert_eq!(yaml(&content(MOST_OF_YAML + 1)), Err("of more than 65536 bytes".to_owned()));
}

#[test]
fn aliases_are_not_expanded() {
    let mut laughs = "a0: &a0 [x]\n".to_owned();
    for n in 1..64 {
        let aliases = format!("*a{}, ", n - 1).repeat(10);
        laughs.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    assert_eq!(yaml(&format!("{laughs}data-dir: /data\n")), at("/data"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for config in [Config::DOCKER, Config::K3S] {
            let _ = read(config, bytes.clone());
        }
    }

    #[test]
    fn whatever_looks_like_yaml_gives_the_default_an_error_or_a_place_that_is_allowed(
        text in r#"([-?:,\[\]{}#&*!|>'"%@`\n\t \\a/~0.]|data-dir|data-root|---|\.\.\.|: |- |\n  |/data|\.\.){0,40}"#
    ) {
        for config in [Config::DOCKER, Config::K3S] {
            if let Ok(Some(directory)) = read(config, text.clone()) {
                prop_assert!(place(&directory).is_ok());
            }
        }
    }

    #[test]
    fn a_place_survives_both_formats(name in "[a-z/ é#:'\"{\\[-]{1,40}") {
        let path = format!("/x{name}");
        let quoted = serde_json::to_string(&path).expect("text");
        prop_assert_eq!(json(&format!("{{\"data-root\":{quoted}}}")), at(&path));
        prop_assert_eq!(yaml(&format!("data-dir: {quoted}\n")), at(&path));
    }
}
