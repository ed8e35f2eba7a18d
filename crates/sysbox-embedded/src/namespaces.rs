//! Which namespaces a container is in: a path names one, its identity tells whether two are the same.

use sysbox_core::{AbsPath, ErrorKind, HostError, HostPort, host::NamespaceId};

use crate::error::Fault;

/// A namespace by the path that was given for it. Without an identity it is like no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) path: AbsPath,
    pub(crate) identity: Option<NamespaceId>,
}

/// The namespaces that decide about ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) user: Option<Namespace>,
    pub(crate) net: Option<Namespace>,
}

impl Namespaces {
    /// Those that a container is to join.
    ///
    /// # Errors
    /// `InvalidArgument` when a path names none.
    pub(crate) fn to_join(
        host: &dyn HostPort,
        user: Option<&AbsPath>,
        net: Option<&AbsPath>,
    ) -> Result<Self, Fault> {
        let join = |path: Option<&AbsPath>, kind| {
            let named = path.map(|path| named(host, path).map_err(|error| no_namespace(kind, path, error)));
            named.transpose()
        };
        Ok(Self { user: join(user, "user")?, net: join(net, "network")? })
    }

    /// Those that a container runs in. It may have ended already, and its namespaces with it.
    pub(crate) fn of_running(host: &dyn HostPort, user: Option<&AbsPath>, net: Option<&AbsPath>) -> Self {
        let find = |path: &AbsPath| {
            named(host, path).unwrap_or_else(|error| {
                tracing::debug!(%path, %error, "a namespace is gone");
                Namespace { path: path.clone(), identity: None }
            })
        };
        Self { user: user.map(find), net: net.map(find) }
    }
}

impl Namespace {
    /// Whether its path still names it. The kernel gives the identity of one that is gone to a later one.
    pub(crate) fn is_there(&self, host: &dyn HostPort) -> bool {
        self.identity.is_some() && host.namespace(&self.path).ok() == self.identity
    }
}

fn named(host: &dyn HostPort, path: &AbsPath) -> Result<Namespace, HostError> {
    Ok(Namespace { path: path.clone(), identity: Some(host.namespace(path)?) })
}

fn no_namespace(kind: &str, path: &AbsPath, source: HostError) -> Fault {
    let message =
        format!("is to join {kind} namespace {path}, which cannot be opened; give one that is there");
    Fault::Host { kind: ErrorKind::InvalidArgument, message, source }
}
