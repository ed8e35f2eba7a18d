//! A manager whose calls wait until they are let go.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use sysbox_core::{HostGid, HostUid, Subids, port::MockMgrPort};
use sysbox_transport::Offloaded;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::served::{LONG, within};

/// Sees and releases the calls of [`holding`].
#[derive(Debug)]
pub(crate) struct Hold {
    begun: UnboundedReceiver<String>,
    go: mpsc::Sender<()>,
    done: Arc<AtomicUsize>,
}

impl Hold {
    /// Waits until a call has begun, and tells its container.
    pub(crate) async fn begun(&mut self) -> String {
        within(self.begun.recv()).await.expect("the port is there")
    }

    /// Whether no further call has begun.
    pub(crate) fn nothing_begun(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }

    /// Lets one call go on.
    pub(crate) fn let_go(&self) {
        self.go.send(()).expect("the port is there");
    }

    /// How many calls were carried out.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

/// A manager of which `alloc_subids` waits until it is let go, and who lets it.
pub(crate) fn holding() -> (Offloaded<MockMgrPort>, Hold) {
    let (tell, begun) = unbounded_channel();
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(move |request| {
        tell.send(request.id.to_string()).expect("seen");
        gone.lock().expect("no panic").recv_timeout(LONG).expect("let go");
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Subids { uid: HostUid(231_072), gid: HostGid(231_072) })
    });
    (Offloaded::new(Arc::new(port)), Hold { begun, go, done })
}
