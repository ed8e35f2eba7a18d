//! One connection, from its first byte to its last.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Context,
    time::Duration,
};

use sysbox_transport::{ServerOptions, Stream, causes::Chain};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Service, desk::Desk, transport::Transport};
use crate::{
    frame::OVERHEAD,
    hello::{EAGER, Hello, Limits, PROTOCOL_VERSION, Verdict},
    link::{Link, LinkError},
};

/// Serves a connection until its peer leaves, its time is up, or `stop`.
pub(super) async fn serve<S: Service>(
    stream: Stream,
    service: S,
    options: Arc<ServerOptions>,
    stop: CancellationToken,
) {
    let mut link = Link::new(stream).with_patience(options.handshake);
    let ours = Hello::new(S::SERVICE, limits(&options));
    let greeted = tokio::select! {
        greeted = timeout(options.handshake, greeted(&mut link)) => greeted,
        () = stop.cancelled() => return part(link, ours.with_verdict(Verdict::Stopping, ""), &options).await,
    };
    let theirs = match greeted {
        Ok(Ok(theirs)) => theirs,
        Ok(Err(error)) => {
            tracing::debug!(error = %Chain(&error), "a peer is not spoken with");
            let message = "it does not speak this protocol";
            return part(link, ours.with_verdict(Verdict::Mismatch, message), &options).await;
        }
        Err(_) => return,
    };
    if let Some(message) = mismatch(&ours, &theirs) {
        tracing::debug!(message, "a peer is not served");
        return part(link, ours.with_verdict(Verdict::Mismatch, message), &options).await;
    }
    link.send(|to| to.extend(ours.encode()));
    link.limit(options.message.max(EAGER).saturating_add(OVERHEAD));
    let most = usize::try_from(options.streams).unwrap_or(usize::MAX).max(1);
    let desk = Desk::new(service, Transport::new(link, theirs.limits.bytes), most);
    carry_on(desk, &options, stop).await;
}

/// Tells a peer that it is not served, once it has said hello.
pub(super) async fn refuse<S: Service>(
    stream: Stream,
    reason: String,
    options: Arc<ServerOptions>,
    stop: CancellationToken,
) {
    let mut link = Link::new(stream);
    let ours = Hello::new(S::SERVICE, limits(&options)).with_verdict(Verdict::NotPermitted, reason);
    tokio::select! {
        _ = timeout(options.handshake, greeted(&mut link)) => {}
        () = stop.cancelled() => {}
    }
    part(link, ours, &options).await;
}

async fn carry_on<S: Service>(mut desk: Desk<S>, options: &ServerOptions, stop: CancellationToken) {
    let mut stopped = pin!(stop.cancelled());
    let mut first_is_late = pin!(sleep(options.handshake));
    let mut metronome = Metronome::new();
    let mut fetched = None;
    let ended = poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready()
            || (desk.taken() == 0 && first_is_late.as_mut().poll(cx).is_ready())
        {
            desk.stop();
        }
        let ended = desk.poll(cx).map(Some);
        metronome.poll(desk.taken(), cx);
        if ended.is_pending() && desk.is_done() {
            let grace = fetched.get_or_insert_with(|| Box::pin(sleep(options.grace)));
            return grace.as_mut().poll(cx).map(|()| None);
        }
        ended
    });
    // How a connection ended concerns only its peer.
    if let Some(Err(error)) = ended.await {
        tracing::debug!(error = %Chain(&error), "a connection ended");
    }
}

/// A timer that goes as long as calls come.
///
/// tarpc sets a timer for each call. One that is due before all others makes tokio wake itself by a system call, and the
/// extra turn of its loop is a tenth of what a call takes; where there is another that is due sooner, it does not.
struct Metronome {
    beat: Pin<Box<Sleep>>,
    /// How many calls there were when it was set.
    since: usize,
}

impl Metronome {
    /// Shorter than any call waits by default.
    const BEAT: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self { beat: Box::pin(sleep(Self::BEAT)), since: 0 }
    }

    fn poll(&mut self, taken: usize, cx: &mut Context<'_>) {
        while taken != self.since && self.beat.as_mut().poll(cx).is_ready() {
            self.since = taken;
            self.beat.as_mut().reset(Instant::now() + Self::BEAT);
        }
    }
}

async fn greeted(link: &mut Link) -> Result<Hello, LinkError> {
    poll_fn(|cx| link.poll_hello(cx)).await?.ok_or(LinkError::Ended)
}

/// Says hello and no more. The peer has the grace to hear it: what it still sends is read, for a peer that cannot write because the
/// socket is closed may take that for the reason, and never read what was said.
async fn part(mut link: Link, hello: Hello, options: &ServerOptions) {
    link.send(|to| to.extend(hello.encode()));
    let said = async {
        poll_fn(|cx| link.poll_flush(cx)).await?;
        link.close_writing()?;
        poll_fn(|cx| link.poll_ignored(cx)).await
    };
    if let Ok(Err(error)) = timeout(options.grace, said).await {
        tracing::debug!(%error, "a peer does not hear why it is not served");
    }
}

fn limits(options: &ServerOptions) -> Limits {
    let bytes = u64::try_from(options.message).unwrap_or(u64::MAX);
    Limits { bytes, calls: options.streams.max(1) }
}

fn mismatch(ours: &Hello, theirs: &Hello) -> Option<String> {
    if theirs.version != PROTOCOL_VERSION {
        return Some(format!("version {} is spoken here, and {} there", ours.version, theirs.version));
    }
    (theirs.service != ours.service)
        .then(|| format!("the {} is served here, and the {} was asked for", ours.service, theirs.service))
}
