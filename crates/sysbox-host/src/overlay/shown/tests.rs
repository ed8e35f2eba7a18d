//! What overlayfs shows of its layers is what they are, whatever their names.

use super::*;
use proptest::prelude::*;

fn layers(lower: &[&str], data: &[&str], upper: Option<(&str, &str)>, options: &[&str]) -> OverlayLayers {
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
    OverlayLayers {
        lower: paths(lower),
        data: paths(data),
        upper: upper.map(|(upper, _)| upper.into()),
        work: upper.map(|(_, work)| work.into()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    }
}

/// As Linux 6.18 showed overlays that were mounted by mount(2) and by fsconfig(2).
#[test]
fn layers_are_read_in_both_forms_that_kernels_show() {
    assert_eq!(
        parse(br"rw,lowerdir=l1:l\134:2:l\134\1343:l\134\0544,upperdir=up\134:p,workdir=w\134:w"),
        layers(&["l1", "l:2", r"l\3", "l,4"], &[], Some(("up:p", "w:w")), &[])
    );
    assert_eq!(
        parse(br"ro,lowerdir+=/t/l\1343,lowerdir+=/t/l\0544,lowerdir+=/t/l\0405,datadir+=/t/a:b,redirect_dir=on"),
        layers(&[r"/t/l\3", "/t/l,4", "/t/l 5"], &["/t/a:b"], None, &["ro", "redirect_dir=on"])
    );
    assert_eq!(
        parse(br"rw,lowerdir+=/l,upperdir=/up\134\134q,workdir=/w\134\134q,uuid=on"),
        layers(&["/l"], &[], Some((r"/up\q", r"/w\q")), &["uuid=on"])
    );
}

#[test]
fn data_only_layers_come_after_two_colons() {
    assert_eq!(
        parse(br"ro,lowerdir=/a:/b::/c::/d,metacopy=on"),
        layers(&["/a", "/b"], &["/c", "/d"], None, &["ro", "metacopy=on"])
    );
}

#[test]
fn a_label_of_selinux_keeps_its_commas_and_a_quote_in_a_name_is_part_of_it() {
    assert_eq!(
        parse(br#"rw,context="system_u:object_r:container_file_t:s0:c1,c2",seclabel,lowerdir=/l,volatile"#),
        layers(&["/l"], &[], None, &["context=system_u:object_r:container_file_t:s0:c1,c2", "volatile"])
    );
    assert_eq!(
        parse(br#"ro,lowerdir="a:b",xino=on"#),
        layers(&[r#""a"#, r#"b""#], &[], None, &["ro", "xino=on"])
    );
}

#[test]
fn relative_layers_are_found_from_the_nearest_directory_that_has_them_all() {
    let home = tempfile::tempdir().expect("made");
    for dir in ["l/A", "l/B", "id/merged", "id/diff", "id/work", "id/l/A"] {
        std::fs::create_dir_all(home.path().join(dir)).expect("made");
    }
    let at = |path: &str| home.path().join(path);
    let shown = layers(&["l/A", "l/B"], &[], Some(("id/diff", "id/work")), &[]);
    let found = absolute(shown.clone(), &at("id/merged")).expect("they are there");
    assert_eq!(found.lower, [at("l/A"), at("l/B")]);
    assert_eq!((found.upper, found.work), (Some(at("id/diff")), Some(at("id/work"))));

    let missing = absolute(shown, Path::new("/nowhere/merged"));
    assert_eq!(missing, Err(Unresolved { layer: "l/A".into() }));
}

/// What `seq_show_option` of the kernel does to a value.
fn as_table(value: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| match byte {
        b',' | b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![byte],
    };
    value.iter().flat_map(escaped).collect()
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    let byte = prop_oneof![Just(b':'), Just(b'\\'), Just(b','), Just(b' '), Just(b'"'), 1u8..=255];
    proptest::collection::vec(byte, 1..20).prop_map(path)
}

proptest! {
    #[test]
    fn reading_options_never_panics(options in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&options);
    }

    #[test]
    fn any_layers_are_read_from_either_form_as_they_were_given(
        lower in proptest::collection::vec(any_path(), 1..5),
        data in proptest::collection::vec(any_path(), 0..3),
        (upper, work) in (any_path(), any_path()),
    ) {
        let given = OverlayLayers { lower, data, upper: Some(upper), work: Some(work), options: vec!["index=off".to_owned()] };
        let mut end = b",index=off".to_vec();
        for (key, path) in [("upperdir", &given.upper), ("workdir", &given.work)] {
            end.extend(format!(",{key}=").bytes());
            end.extend(as_table(&with_backslashes(path.as_deref().expect("given"))));
        }
        let mut listed = b"rw,lowerdir=".to_vec();
        listed.extend(as_table(list(&given).as_bytes()));
        listed.extend(&end);
        prop_assert_eq!(&parse(&listed), &given);

        let mut appended = b"rw".to_vec();
        let paths = given.lower.iter().map(|path| ("lowerdir", path)).chain(given.data.iter().map(|path| ("datadir", path)));
        for (key, path) in paths {
            appended.extend(format!(",{key}+=").bytes());
            appended.extend(as_table(path.as_os_str().as_bytes()));
        }
        appended.extend(&end);
        prop_assert_eq!(&parse(&appended), &given);
    }
}
