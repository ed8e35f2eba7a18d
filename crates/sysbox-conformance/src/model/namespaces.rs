//! Which namespaces a container is in: a path names one, device and inode tell whether two are the same.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
};

use sysbox_core::{AbsPath, ContainerId, ErrorKind, host::NamespaceId};

use super::{container::Nr, refusal::Refusal};

/// A namespace by the path that was given for it. Without an identity it is like no other.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) path: AbsPath,
    pub(super) identity: Option<NamespaceId>,
}

/// The namespaces that decide about ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespaces {
    pub(super) user: Option<Namespace>,
    pub(super) net: Option<Namespace>,
}

impl Namespaces {
    /// Those that a container is to join; a path that names none is `InvalidArgument`.
    pub(super) fn to_join(user: Option<&AbsPath>, net: Option<&AbsPath>) -> Result<Self, Refusal> {
        let join = |path: Option<&AbsPath>, kind| {
            let named = |path| identity(path).map_err(|error| no_namespace(kind, path, error));
            path.map(|path| Ok(Namespace { path: path.clone(), identity: Some(named(path)?) })).transpose()
        };
        Ok(Self { user: join(user, "user")?, net: join(net, "network")? })
    }

    /// Those that a container runs in. It may have ended already, and its namespaces with it.
    pub(super) fn of_running(user: Option<&AbsPath>, net: Option<&AbsPath>) -> Self {
        let find = |path: &AbsPath| Namespace { path: path.clone(), identity: identity(path).ok() };
        Self { user: user.map(find), net: net.map(find) }
    }

    /// Whether the container that is said to run in these still does: a runtime that was killed tells nobody.
    pub(super) fn are_there(&self) -> bool {
        self.user.as_ref().or(self.net.as_ref()).is_some_and(Namespace::is_there)
    }
}

impl Namespace {
    /// Whether its path still names it. The kernel gives the identity of one that is gone to a later one.
    fn is_there(&self) -> bool {
        self.identity.is_some() && identity(&self.path).ok() == self.identity
    }
}

/// The containers that run in each namespace of one kind, in the order in which they were first registered.
#[derive(Debug, Default)]
pub(super) struct Inhabitants(HashMap<NamespaceId, BTreeMap<Nr, ContainerId>>);

impl Inhabitants {
    pub(super) fn of(&self, namespace: Option<&Namespace>) -> impl Iterator<Item = &ContainerId> {
        let known = namespace.and_then(|namespace| self.0.get(&namespace.identity?));
        known.into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn enter(&mut self, namespace: Option<&Namespace>, nr: Nr, id: &ContainerId) {
        if let Some(identity) = namespace.and_then(|namespace| namespace.identity) {
            self.0.entry(identity).or_default().insert(nr, id.clone());
        }
    }

    pub(super) fn leave(&mut self, namespace: Option<&Namespace>, nr: Nr) {
        let Some(identity) = namespace.and_then(|namespace| namespace.identity) else { return };
        if let Some(inhabitants) = self.0.get_mut(&identity) {
            inhabitants.remove(&nr);
            if inhabitants.is_empty() {
                self.0.remove(&identity);
            }
        }
    }
}

fn identity(path: &AbsPath) -> io::Result<NamespaceId> {
    let file = fs::metadata(path)?;
    Ok(NamespaceId { dev: file.dev(), ino: file.ino() })
}

fn no_namespace(kind: &str, path: &AbsPath, source: io::Error) -> Refusal {
    let message =
        format!("is to join {kind} namespace {path}, which cannot be opened; give one that is there");
    Refusal::new(ErrorKind::InvalidArgument, message).with_source(source)
}
