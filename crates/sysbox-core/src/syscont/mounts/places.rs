//! Where a manager can give something.

use std::path::Path;

use super::{emulated::EMULATED_PATHS, system, systemd};

/// What a read-only rootfs takes besides what systemd does.
const WRITABLE: &str = "/tmp";

/// Whether a manager can give something at a place: not where a conversion may mount something itself. It would be that or the
/// manager's by turns, and a mark there could have a conversion drop its own mount.
pub(super) fn can_be_given(place: &Path) -> bool {
    let own = system::MOUNTS.iter().chain(&systemd::MOUNTS).map(|row| row.destination);
    !own.chain(EMULATED_PATHS).chain([WRITABLE]).any(|own| place == Path::new(own))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::syscont::{
        Changes,
        mounts::{
            add_emulated, add_system_mounts, complete_read_only, complete_systemd,
            testing::{abs, destinations, spec},
        },
    };

    #[test]
    fn nothing_can_be_given_where_a_conversion_mounts_something_itself() {
        for program in ["/sbin/init", "/bin/sh"] {
            let process = json!({ "cwd": "/", "args": [program], "user": { "uid": 0, "gid": 0 } });
            let mut spec = spec(json!({ "root": { "path": "/r", "readonly": true }, "process": process }));
            let mut changes = Changes::default();
            add_system_mounts(&mut spec, &mut changes);
            add_emulated(&mut spec, &abs("/var/lib/sysboxfs/c1"), &mut changes);
            complete_systemd(&mut spec, &mut changes);
            complete_read_only(&mut spec, false, &mut changes);
            let own = destinations(&spec);
            assert!(own.len() >= 13 && !own.into_iter().any(can_be_given), "{program}");
        }
        for free in ["/var/lib/docker", "/run/k0s", "/tmpx", "/proc/sysx"] {
            assert!(can_be_given(Path::new(free)), "{free}");
        }
    }
}
