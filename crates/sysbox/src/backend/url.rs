//! The URL of a backend.

use std::{fmt, path::PathBuf, str::FromStr};

use sysbox_core::{AbsPath, InvalidPath};

use super::Backend;

/// Which backend answers: `embedded:`, `embedded:///DATA-ROOT`, `grpc+unix:///SOCKET-DIR` or `tarpc+unix:///SOCKET-DIR`.
///
/// Without a path it is the default one: of [`BackendOptions`](super::BackendOptions) for data, of [`Backend`] for sockets. What
/// follows `://` is the path as it is: absolute, nothing in it percent-encoded, and no query or fragment after it.
///
/// ```
/// use sysbox::BackendUrl;
///
/// assert!("embedded:///var/lib/here".parse::<BackendUrl>().is_ok());
/// assert!("grpc+unix:///run/sysbox".parse::<BackendUrl>().is_ok());
/// assert!("embedded://relative".parse::<BackendUrl>().is_err());
/// assert!("embedded:/var/lib/here".parse::<BackendUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendUrl {
    /// The manager in this process, with its state below a data root.
    Embedded {
        /// The data root; `None` for the one of [`BackendOptions`](super::BackendOptions).
        data_root: Option<AbsPath>,
    },
    /// Daemons that speak gRPC.
    Grpc {
        /// The directory of their sockets.
        dir: AbsPath,
    },
    /// Daemons that speak tarpc.
    Tarpc {
        /// The directory of their sockets.
        dir: AbsPath,
    },
}

impl BackendUrl {
    /// The directory of the daemons' sockets, where daemons answer.
    pub const fn socket_dir(&self) -> Option<&AbsPath> {
        match self {
            Self::Embedded { .. } => None,
            Self::Grpc { dir } | Self::Tarpc { dir } => Some(dir),
        }
    }
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
        let path = |default: &str| {
            let path = match rest.strip_prefix("//") {
                None if rest.starts_with('/') => {
                    let meant = format!("{scheme}://{rest}");
                    return Err(InvalidBackendUrl::Slashes { url: url.to_owned(), meant });
                }
                given => given.unwrap_or(rest),
            };
            let path = if path.is_empty() { default } else { path };
            AbsPath::new(PathBuf::from(path))
                .map_err(|source| InvalidBackendUrl::Path { url: url.to_owned(), source })
        };
        match scheme {
            "embedded" if rest.is_empty() || rest == "//" => Ok(Self::default()),
            "embedded" => Ok(Self::Embedded { data_root: Some(path("")?) }),
            "grpc+unix" => Ok(Self::Grpc { dir: path(Backend::DEFAULT_SOCKET_DIR)? }),
            "tarpc+unix" => Ok(Self::Tarpc { dir: path(Backend::DEFAULT_TARPC_SOCKET_DIR)? }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { data_root: None } => f.write_str("embedded:"),
            Self::Embedded { data_root: Some(path) } => write!(f, "embedded://{path}"),
            Self::Grpc { dir } => write!(f, "grpc+unix://{dir}"),
            Self::Tarpc { dir } => write!(f, "tarpc+unix://{dir}"),
        }
    }
}

/// Why a text is not a [`BackendUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBackendUrl {
    /// Its scheme names no backend.
    #[error(
        "backend {url:?} is not known; the backends are embedded:, embedded:///DATA-ROOT, grpc+unix:///SOCKET-DIR and \
         tarpc+unix:///SOCKET-DIR"
    )]
    Scheme {
        /// The text.
        url: String,
    },
    /// Its path comes after one slash instead of three.
    #[error("backend {url:?} lacks two slashes; write it {meant}")]
    Slashes {
        /// The text.
        url: String,
        /// The URL with that path.
        meant: String,
    },
    /// Its path is not one.
    #[error(
        "backend {url:?} has no absolute path; write it with three slashes, as in grpc+unix:///run/sysbox"
    )]
    Path {
        /// The text.
        url: String,
        /// The rule that is broken.
        #[source]
        source: InvalidPath,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> AbsPath {
        AbsPath::new(path).expect("absolute")
    }

    #[test]
    fn a_url_is_read_as_it_is_written() {
        for (text, url) in [
            ("embedded:", BackendUrl::Embedded { data_root: None }),
            ("embedded:///var/lib/here", BackendUrl::Embedded { data_root: Some(path("/var/lib/here")) }),
            ("grpc+unix:///run/here", BackendUrl::Grpc { dir: path("/run/here") }),
            ("tarpc+unix:///run/here", BackendUrl::Tarpc { dir: path("/run/here") }),
        ] {
            assert_eq!(text.parse(), Ok(url.clone()));
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn daemons_are_looked_for_where_sysbox_puts_them_and_beside_it() {
        assert_eq!("grpc+unix:".parse(), Ok(BackendUrl::Grpc { dir: path("/run/sysbox") }));
        assert_eq!("tarpc+unix:".parse(), Ok(BackendUrl::Tarpc { dir: path("/run/sysbox-tarpc") }));
    }

    #[test]
    fn an_unknown_scheme_or_a_relative_path_is_refused() {
        for url in ["", "embedded", "grpc:///run/sysbox", "tarpc:///run", "http://x"] {
            assert!(matches!(url.parse::<BackendUrl>(), Err(InvalidBackendUrl::Scheme { .. })), "{url}");
        }
        for url in ["embedded://here", "embedded:here", "grpc+unix://run/sysbox", "tarpc+unix:run"] {
            assert!(matches!(url.parse::<BackendUrl>(), Err(InvalidBackendUrl::Path { .. })), "{url}");
        }
    }

    #[test]
    fn a_path_after_one_slash_is_refused_with_the_url_to_write() {
        for scheme in ["embedded", "grpc+unix", "tarpc+unix"] {
            let url = format!("{scheme}:/run/here");
            let refused = url.parse::<BackendUrl>().expect_err("refused");
            let text = format!("backend {url:?} lacks two slashes; write it {scheme}:///run/here");
            assert_eq!(refused.to_string(), text);
        }
    }

    #[test]
    fn what_follows_the_slashes_is_the_path_as_it_is() {
        let data_root = Some(path("/a%20b?c=d#e"));
        assert_eq!("embedded:///a%20b?c=d#e".parse(), Ok(BackendUrl::Embedded { data_root }));
    }
}
