//! Which ids are in force with which files.

use std::fs;

use tempfile::TempDir;

use super::*;

struct Etc(TempDir);

impl Etc {
    fn with(files: &[(&str, &str)]) -> Self {
        let etc = Self(tempfile::tempdir().expect("a directory"));
        files.iter().for_each(|(name, text)| etc.write(name, text));
        etc
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("writable");
    }

    fn source(&self, subids: SubidSource) -> PoolSource {
        let file = |name| self.0.path().join(name);
        let files = AccountFiles {
            passwd: file("passwd"),
            group: file("group"),
            subuid: file("subuid"),
            subgid: file("subgid"),
        };
        PoolSource::new(subids, files)
    }

    fn pools(&self) -> Arc<Pools> {
        self.source(SubidSource::Files).current().expect("readable")
    }
}

fn range(first: u32, count: u32) -> IdRange {
    IdRange::new(first, count).expect("a valid range")
}

fn ranges(set: &IdSet) -> Vec<IdRange> {
    set.ranges().collect()
}

#[test]
fn entries_of_the_user_count_by_name_and_by_number_and_are_merged() {
    let etc = Etc::with(&[
        ("passwd", "sysbox:x:997:997::/:\n"),
        ("subuid", "sysbox:131072:65536\n997:196608:65536\nsysbox:131072:65536\nother:1000000:65536\n"),
        ("subgid", "sysbox:655360:131072\n"),
    ]);
    let pools = etc.pools();
    assert_eq!(ranges(&pools.uids.usable), [range(131_072, 131_072)]);
    assert_eq!(ranges(&pools.gids.usable), [range(655_360, 131_072)]);
    assert!(matches!(&pools.uids.origin, SubidOrigin::File(file) if file.ends_with("subuid")));
}

#[test]
fn without_an_entry_the_built_in_range_is_used_less_what_others_have() {
    let etc = Etc::with(&[
        ("passwd", "ldap:x:1073741900:100::/:\n"),
        ("subuid", "alice:1073872896:10\nbob:1073807361:65536\n"),
    ]);
    let pools = etc.pools();
    assert!(matches!(&pools.uids.origin, SubidOrigin::BuiltIn));
    assert_eq!(ranges(&pools.uids.usable), [range(1_073_938_432, 805_109_760)]);
    assert_eq!(ranges(&pools.gids.usable), [range(0x4000_0000, 0x3000_0000)]);
}

#[test]
fn no_slot_with_an_account_is_in_any_pool() {
    let etc = Etc::with(&[
        ("passwd", "root:x:0:0::/:\nhigh:x:200000:1::/:\n"),
        ("group", "high:x:140000:\n"),
        ("subuid", "sysbox:65536:327680\n"),
    ]);
    let wanted = [range(65_536, 131_072), range(262_144, 131_072)];
    assert_eq!(ranges(&etc.pools().uids.usable), wanted);
    let configured = etc.source(SubidSource::Range(range(65_536, 327_680))).current().expect("readable");
    assert_eq!(ranges(&configured.uids.usable), wanted);
    assert_eq!(ranges(&configured.gids.usable), [range(65_536, 65_536), range(196_608, 196_608)]);
}

#[test]
fn a_changed_file_is_read_again() {
    let etc = Etc::with(&[("subuid", "sysbox:131072:65536\n")]);
    let source = etc.source(SubidSource::Files);
    let before = source.current().expect("readable");
    assert!(Arc::ptr_eq(&before, &source.current().expect("unchanged")));
    etc.write("subuid", "sysbox:1966080:65536\n");
    assert_eq!(ranges(&source.current().expect("readable").uids.usable), [range(1_966_080, 65_536)]);
    etc.write("subuid", "sysbox:oops\n");
    assert!(matches!(source.current(), Err(AccountFileError::Malformed { line: 1, .. })));
    fs::remove_file(etc.0.path().join("subuid")).expect("there");
    assert!(matches!(source.current().expect("as if empty").uids.origin, SubidOrigin::BuiltIn));
}

#[test]
fn a_pool_that_is_too_small_says_how_large_it_is_and_what_is_needed() {
    let told = |text: &str, size| Etc::with(&[("subuid", text)]).pools().uids.too_small_for(size);
    assert_eq!(told("sysbox:65536:65536\n", 65_536), None);
    let small = told("sysbox:65536:1000\n", 65_536).expect("too small");
    assert!(small.contains("1000 ids") && small.contains("65536 ids in a row"), "{small}");
    let unaligned = told("sysbox:65537:1000\n", 1).expect("no multiple of 65536");
    assert!(unaligned.contains("none from which a range can begin"), "{unaligned}");
    let etc = Etc::with(&[("subuid", "sysbox:65536:65536\n"), ("passwd", "a:x:65536:1::/:\n")]);
    let emptied = etc.pools().uids.too_small_for(1).expect("emptied");
    assert!(emptied.contains("account"), "{emptied}");
}

#[test]
fn an_earlier_range_is_kept_unless_somebody_else_has_it_now() {
    let etc = Etc::with(&[
        ("subuid", "sysbox:655360:65536\nalice:131072:65536\n"),
        ("passwd", "a:x:300000:1::/:\n"),
    ]);
    let pool = etc.pools().uids.clone();
    assert!(pool.lets_keep(range(655_360, 65_536)), "it is in the pool");
    assert!(pool.lets_keep(range(0x4000_0000, 65_536)), "it is nobody's");
    assert!(!pool.lets_keep(range(131_072, 65_536)), "it is alice's");
    assert!(!pool.lets_keep(range(262_144, 65_536)), "it has an account");
}
