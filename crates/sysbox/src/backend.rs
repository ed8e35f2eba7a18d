//! Backends by URL.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use sysbox_core::{AbsPath, HostPort, InvalidPath, session::Ports};

/// Which backend answers, as `embedded:` or `embedded:///data-root`.
///
/// ```
/// use sysbox::BackendUrl;
///
/// assert!("embedded:///var/lib/here".parse::<BackendUrl>().is_ok());
/// assert!("embedded://relative".parse::<BackendUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendUrl {
    /// The manager in this process, with its state below a data root.
    Embedded {
        /// The data root; `None` for the one of [`BackendOptions`].
        data_root: Option<AbsPath>,
    },
}

impl Default for BackendUrl {
    fn default() -> Self {
        Self::Embedded { data_root: None }
    }
}

impl FromStr for BackendUrl {
    type Err = InvalidBackendUrl;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let unknown = || InvalidBackendUrl::Scheme { url: url.to_owned() };
        let (scheme, rest) = url.split_once(':').ok_or_else(unknown)?;
        if scheme != "embedded" {
            return Err(unknown());
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let data_root = AbsPath::new(PathBuf::from(path))
            .map_err(|source| InvalidBackendUrl::Path { url: url.to_owned(), source })?;
        Ok(Self::Embedded { data_root: Some(data_root) })
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { data_root: None } => f.write_str("embedded:"),
            Self::Embedded { data_root: Some(path) } => write!(f, "embedded://{path}"),
        }
    }
}

/// Why a text is not a [`BackendUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBackendUrl {
    /// Its scheme names no backend.
    #[error("backend {url:?} is not known; the backends are embedded: and embedded:///DATA-ROOT")]
    Scheme {
        /// The text.
        url: String,
    },
    /// Its path is not one.
    #[error("backend {url:?} has no absolute path")]
    Path {
        /// The text.
        url: String,
        /// The rule that is broken.
        #[source]
        source: InvalidPath,
    },
}

/// What a backend may need besides its URL.
#[derive(Clone, Debug, Default)]
pub struct BackendOptions {
    /// The data root of the embedded backend where its URL names none.
    pub data_root: Option<AbsPath>,
    /// Where the embedded backend takes ids from.
    #[cfg(feature = "embedded")]
    pub subids: sysbox_embedded::SubidSource,
}

/// A backend that was opened: the ports for the facades, and what only this backend has.
#[derive(Clone, Debug)]
pub struct Backend {
    ports: Ports,
    #[cfg(feature = "embedded")]
    embedded: Option<Arc<sysbox_embedded::EmbeddedMgr>>,
}

impl Backend {
    /// The data root of the embedded backend where neither URL nor options name one.
    pub const DEFAULT_DATA_ROOT: &str = "/var/lib/sysbox-embedded";

    /// Opens the backend that a URL names.
    ///
    /// # Errors
    /// [`BackendError`] when it cannot be opened or this build does not have it.
    #[cfg_attr(
        not(feature = "embedded"),
        expect(unused_variables, reason = "only the embedded backend needs them")
    )]
    pub fn open(
        url: &BackendUrl,
        options: &BackendOptions,
        host: Arc<dyn HostPort>,
    ) -> Result<Self, BackendError> {
        match url {
            #[cfg(feature = "embedded")]
            BackendUrl::Embedded { .. } => {
                let config = embedded_config(url, options)?;
                let mgr = Arc::new(sysbox_embedded::EmbeddedMgr::open(config, host)?);
                let ports = Ports { mgr: Some(mgr.clone()), ..Ports::default() };
                Ok(Self { ports, embedded: Some(mgr) })
            }
            #[cfg(not(feature = "embedded"))]
            BackendUrl::Embedded { .. } => Err(BackendError::NotBuilt { feature: "embedded" }),
        }
    }

    /// Checks, without opening or making anything, that the backend of a URL could give a container `size` ids.
    ///
    /// # Errors
    /// [`BackendError`] when it could not, or an account file is not valid.
    #[cfg_attr(
        not(feature = "embedded"),
        expect(unused_variables, reason = "only the embedded backend needs them")
    )]
    pub fn check_ids(url: &BackendUrl, options: &BackendOptions, size: u32) -> Result<(), BackendError> {
        match url {
            #[cfg(feature = "embedded")]
            BackendUrl::Embedded { .. } => {
                let config = embedded_config(url, options)?;
                Ok(sysbox_embedded::check_subids(&config, size)?)
            }
            #[cfg(not(feature = "embedded"))]
            BackendUrl::Embedded { .. } => Err(BackendError::NotBuilt { feature: "embedded" }),
        }
    }

    /// The ports, to be given to [`Sysbox::new`](crate::Sysbox::new).
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// The embedded manager, if this is it: it can list what it knows.
    #[cfg(feature = "embedded")]
    pub fn embedded(&self) -> Option<&sysbox_embedded::EmbeddedMgr> {
        self.embedded.as_deref()
    }
}

#[cfg(feature = "embedded")]
fn embedded_config(
    url: &BackendUrl,
    options: &BackendOptions,
) -> Result<sysbox_embedded::Config, BackendError> {
    let BackendUrl::Embedded { data_root } = url;
    let default = || AbsPath::new(Backend::DEFAULT_DATA_ROOT);
    let given = data_root.clone().or_else(|| options.data_root.clone());
    let data_root = given.map_or_else(default, Ok).map_err(BackendError::DataRoot)?;
    let mut config = sysbox_embedded::Config::new(data_root);
    config.subids = options.subids.clone();
    Ok(config)
}

/// A backend could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The data root is not a path.
    #[error("the data root is not valid")]
    DataRoot(#[source] InvalidPath),
    /// The embedded manager could not be opened.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] sysbox_embedded::OpenError),
    /// It has no ids for containers.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Ids(#[from] sysbox_embedded::SubidPoolsError),
    /// This build is without it.
    #[error("this build has no such backend; build with the feature {feature}")]
    NotBuilt {
        /// The cargo feature.
        feature: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_written() {
        let root = AbsPath::new("/var/lib/here").expect("absolute");
        for (text, url) in [
            ("embedded:", BackendUrl::Embedded { data_root: None }),
            ("embedded:///var/lib/here", BackendUrl::Embedded { data_root: Some(root) }),
        ] {
            assert_eq!(text.parse(), Ok(url.clone()));
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn an_unknown_scheme_or_a_relative_path_is_refused() {
        for url in ["", "embedded", "grpc+unix:///run/sysbox", "http://x"] {
            assert!(matches!(url.parse::<BackendUrl>(), Err(InvalidBackendUrl::Scheme { .. })), "{url}");
        }
        for url in ["embedded://here", "embedded:here"] {
            assert!(matches!(url.parse::<BackendUrl>(), Err(InvalidBackendUrl::Path { .. })), "{url}");
        }
    }
}
