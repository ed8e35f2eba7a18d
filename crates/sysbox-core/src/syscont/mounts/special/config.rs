//! Files of a rootfs that say where a special directory is. A rootfs is not trusted: whatever is in them is a place, the default, or an
//! error, and takes no more time and memory than its length.

use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize;

use super::{UnreadableConfig, constant};
use crate::{AbsPath, HostPort, path::InvalidPath, syscont::mounts::list::leads_up};

/// What editors of some systems begin UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// The most bytes of YAML that are read: the parser takes up to 150 times as much memory.
const MOST_OF_YAML: usize = 64 << 10;
/// The most that an error repeats of a value.
const SHOWN: usize = 80;

/// A file that says where a special directory is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    file: &'static str,
    read: fn(&[u8]) -> Result<Option<String>, Wrong>,
    rule: &'static str,
}

/// What is wrong with a file.
struct Wrong(String);

impl Config {
    pub(super) const DOCKER: Self = Self {
        file: "/etc/docker/daemon.json",
        read: data_root,
        rule: "give Docker's `data-root` there as text of a JSON object, or leave it out",
    };
    pub(super) const K3S: Self = Self { file: "/etc/rancher/k3s/config.yaml", ..Self::RKE2 };
    pub(super) const RKE2: Self = Self {
        file: "/etc/rancher/rke2/config.yaml",
        read: data_dir,
        rule: "give `data-dir` there as text of a YAML mapping, or leave it out",
    };

    /// The directory that the file names; none if there is no file, or it does not say.
    pub(super) fn directory(
        self,
        rootfs: &AbsPath,
        host: &dyn HostPort,
    ) -> Result<Option<AbsPath>, UnreadableConfig> {
        let Self { file, read, rule } = self;
        let wrong = |found, rule: &str| {
            let (rootfs, rule) = (rootfs.clone(), rule.to_owned());
            UnreadableConfig::Content { rootfs, file, found, rule }
        };
        let Some(content) = host.rootfs_file(rootfs, &constant(file))? else { return Ok(None) };
        let value = read(&content).map_err(|Wrong(found)| wrong(found, rule))?;
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        let place = place(&value).map_err(|rule| wrong(format!("naming {}", shown(&value)), rule))?;
        Ok(Some(place))
    }
}

/// A place in the container, or the rule that it breaks.
fn place(value: &str) -> Result<AbsPath, &'static str> {
    let place = AbsPath::new(value).map_err(|error| match error {
        InvalidPath::Relative { .. } => "give an absolute path",
        InvalidPath::Nul { .. } => "give a path without NUL",
        InvalidPath::TooLong { .. } => "give a path of at most 4095 bytes",
    })?;
    if leads_up(place.as_path()) {
        return Err("give a path without `..`");
    }
    if place.as_path() == Path::new("/") {
        return Err("give a directory below the root");
    }
    Ok(place)
}

fn shown(value: &str) -> String {
    let beginning: String = value.chars().take(SHOWN).collect();
    let rest = if beginning.len() < value.len() { "..." } else { "" };
    format!("{beginning:?}{rest}")
}

/// `data-root` of Docker's configuration, with or without a byte order mark. The parser passes over all else without recursion.
fn data_root(content: &[u8]) -> Result<Option<String>, Wrong> {
    #[derive(Deserialize)]
    struct Daemon {
        #[serde(rename = "data-root")]
        data_root: Option<String>,
    }
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content).trim_ascii();
    match content.first() {
        None => Ok(None),
        // What serde derives takes a list of values as well.
        Some(b'{') => serde_json::from_slice::<Daemon>(content)
            .map(|daemon| daemon.data_root)
            .map_err(|error| Wrong(format!("not understood ({})", shown(&error.to_string())))),
        Some(_) => Err(Wrong("no JSON object".to_owned())),
    }
}

/// `data-dir` of the first YAML document: by its events, so that nothing is recursive and no alias is expanded.
fn data_dir(content: &[u8]) -> Result<Option<String>, Wrong> {
    if content.len() > MOST_OF_YAML {
        return Err(Wrong(format!("of more than {MOST_OF_YAML} bytes")));
    }
    let text = std::str::from_utf8(content).map_err(|_| Wrong("not UTF-8".to_owned()))?;
    let mut top = Top::default();
    for event in Parser::new_from_str(text) {
        let (event, _) =
            event.map_err(|error| Wrong(format!("not understood ({})", shown(&error.to_string()))))?;
        if event == Event::DocumentEnd {
            break;
        }
        top.take(event)?;
    }
    Ok(top.value)
}

/// The mapping at the top of a document, as far as it was read.
#[derive(Default)]
struct Top {
    depth: usize,
    /// Whether what comes next at the top is a value, and whether it is the one that is wanted.
    is_value: bool,
    is_wanted: bool,
    was_given: bool,
    value: Option<String>,
}

impl Top {
    fn take(&mut self, event: Event<'_>) -> Result<(), Wrong> {
        match event {
            Event::MappingEnd | Event::SequenceEnd => self.depth = self.depth.saturating_sub(1),
            Event::MappingStart(..) | Event::SequenceStart(..) | Event::Scalar(..) | Event::Alias(_) => {
                match self.depth {
                    0 => begins(&event)?,
                    1 => self.take_of_top(&event)?,
                    _ => {}
                }
                let is_nested = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
                self.depth += usize::from(is_nested);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Takes the next key or value of the mapping; of one that is nested, its beginning.
    fn take_of_top(&mut self, event: &Event<'_>) -> Result<(), Wrong> {
        if !self.is_value {
            self.is_wanted = matches!(event, Event::Scalar(key, ..) if key == "data-dir");
        } else if self.is_wanted {
            if std::mem::replace(&mut self.was_given, true) {
                return Err(Wrong("naming two directories".to_owned()));
            }
            let Event::Scalar(value, style, ..) = event else {
                return Err(Wrong("naming a directory by other than text".to_owned()));
            };
            self.value = (!is_null(value, *style)).then(|| value.to_string());
        }
        self.is_value = !self.is_value;
        Ok(())
    }
}

/// Checks that a document begins with a mapping, or is empty.
fn begins(event: &Event<'_>) -> Result<(), Wrong> {
    match event {
        Event::MappingStart(..) => Ok(()),
        Event::Scalar(value, style, ..) if is_null(value, *style) => Ok(()),
        _ => Err(Wrong("no YAML mapping".to_owned())),
    }
}

/// Whether a scalar is what YAML has for nothing (core schema, 10.3.2 of YAML 1.2.2).
fn is_null(value: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests;
