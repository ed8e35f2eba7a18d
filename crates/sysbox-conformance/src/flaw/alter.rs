//! What flaws do to the values of a message.

use sysbox_core::IdMappings;

/// Alters each of a list.
pub(super) fn each<T>(list: &mut [T], alter: fn(&mut T)) {
    list.iter_mut().for_each(alter);
}

/// No mappings.
pub(super) fn none() -> IdMappings {
    IdMappings::default()
}

/// Drops the last extent.
pub(super) fn shorten(mappings: &mut IdMappings) {
    if let Some((_, rest)) = mappings.as_slice().split_last() {
        // A part of mappings is mappings.
        *mappings = IdMappings::new(rest.iter().copied()).unwrap_or_default();
    }
}

/// Drops all extents with the host's root but the first of all.
pub(super) fn overlook_root(mappings: &mut IdMappings) {
    let seen = mappings.as_slice().iter().enumerate();
    let seen =
        seen.filter(|(nth, extent)| *nth == 0 || !extent.host().contains(0)).map(|(_, extent)| *extent);
    // A part of mappings is mappings.
    *mappings = IdMappings::new(seen).unwrap_or_default();
}
