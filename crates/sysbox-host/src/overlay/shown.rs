//! The options of an overlay as the mount table shows them, and back.
//!
//! They are escaped twice: by overlayfs, where a backslash takes from a character what it means in a list of layers, and
//! then in octal by the table. A layer appended by itself (`lowerdir+`, `datadir+`) has no escapes of overlayfs.

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    mem,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use sysbox_core::host::OverlayLayers;

use crate::mountinfo::unescape;

/// Reads the options of the file system from the table. Layers stay relative where they are.
pub(super) fn parse(mut options: &[u8]) -> OverlayLayers {
    let mut layers =
        OverlayLayers { lower: Vec::new(), data: Vec::new(), upper: None, work: None, options: Vec::new() };
    while !options.is_empty() {
        let (option, rest) = split_option(options);
        options = rest;
        let option = unescape(option);
        let (key, value) = split_once(&option, b'=').unwrap_or((&option, b""));
        match key {
            b"lowerdir" => add_list(value, &mut layers),
            b"lowerdir+" => layers.lower.push(path(value.to_vec())),
            b"datadir+" => layers.data.push(path(value.to_vec())),
            b"upperdir" => layers.upper = Some(path(without_backslashes(value))),
            b"workdir" => layers.work = Some(path(without_backslashes(value))),
            // What every file system shows, and SELinux for every one: no options to be set.
            b"rw" | b"seclabel" => {}
            _ => layers.options.push(String::from_utf8_lossy(&option).replace('"', "")),
        }
    }
    layers
}

/// The first option and what follows it. The kernel escapes commas, save in a label of SELinux, which it puts in quotes.
fn split_option(options: &[u8]) -> (&[u8], &[u8]) {
    let comma = |from: usize| options[from..].iter().position(|&byte| byte == b',').map(|at| from + at);
    let quoted = options.windows(9).position(|window| window == b"context=\"").map(|at| at + 9);
    let end = match (comma(0), quoted) {
        (Some(end), Some(quote)) if quote <= end => {
            let close = options[quote..].iter().position(|&byte| byte == b'"').map_or(quote, |at| quote + at);
            comma(close)
        }
        (end, _) => end,
    };
    end.map_or((options, &[]), |end| (&options[..end], &options[end + 1..]))
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Adds the layers of `a:b::data`.
fn add_list(list: &[u8], layers: &mut OverlayLayers) {
    let (mut layer, mut is_data) = (Vec::new(), false);
    let mut add = |layer: &mut Vec<u8>| {
        // Two colons in a row leave nothing between them, and what follows is data only.
        if layer.is_empty() {
            is_data = true;
            return;
        }
        let layer = path(mem::take(layer));
        if mem::take(&mut is_data) { layers.data.push(layer) } else { layers.lower.push(layer) }
    };
    let mut bytes = list.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => layer.extend(bytes.next()),
            b':' => add(&mut layer),
            _ => layer.push(byte),
        }
    }
    add(&mut layer);
}

/// The layers as one value of `lowerdir`, for kernels that have no `lowerdir+`.
pub(super) fn list(layers: &OverlayLayers) -> OsString {
    let mut list = Vec::new();
    for (nth, lower) in layers.lower.iter().enumerate() {
        list.extend(if nth == 0 { "" } else { ":" }.bytes());
        list.extend(with_backslashes(lower));
    }
    for data in &layers.data {
        list.extend(b"::");
        list.extend(with_backslashes(data));
    }
    OsString::from_vec(list)
}

/// A path as overlayfs takes it: a backslash before each character that means something in a list.
pub(super) fn with_backslashes(path: &Path) -> Vec<u8> {
    let escaped = |&byte: &u8| [b'\\', byte].into_iter().skip(usize::from(!matches!(byte, b'\\' | b':')));
    path.as_os_str().as_bytes().iter().flat_map(escaped).collect()
}

fn without_backslashes(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' { plain.extend(bytes.next()) } else { plain.push(byte) }
    }
    plain
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Makes relative layers absolute.
///
/// Container engines mount from a directory of theirs, to keep the list short, and the table does not say from which. It is
/// taken to be the nearest one above the upper layer, or else above the mount point, below which all those layers exist.
pub(super) fn absolute(mut layers: OverlayLayers, mount_point: &Path) -> Result<OverlayLayers, Unresolved> {
    let all = |layers: &OverlayLayers| -> Vec<PathBuf> {
        let OverlayLayers { lower, data, upper, work, options: _ } = layers;
        lower.iter().chain(data).chain(upper).chain(work).cloned().collect()
    };
    let relative: Vec<PathBuf> = all(&layers).into_iter().filter(|layer| layer.is_relative()).collect();
    let Some(first) = relative.first() else { return Ok(layers) };
    let upper = layers.upper.iter().filter(|upper| upper.is_absolute());
    let above = |path: &Path| path.ancestors().skip(1).map(Path::to_path_buf).collect::<Vec<_>>();
    let base = upper
        .flat_map(|upper| above(upper))
        .chain(above(mount_point))
        .find(|base| relative.iter().all(|layer| base.join(layer).is_dir()))
        .ok_or_else(|| Unresolved { layer: first.clone() })?;
    let OverlayLayers { lower, data, upper, work, options: _ } = &mut layers;
    for layer in lower.iter_mut().chain(data).chain(upper).chain(work) {
        *layer = base.join(&*layer);
    }
    Ok(layers)
}

/// A relative layer whose directory is not to be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its layer {layer:?} is relative, and no directory above its upper layer or mount point has it; \
     mount the overlay with absolute paths"
)]
pub(super) struct Unresolved {
    layer: PathBuf,
}
