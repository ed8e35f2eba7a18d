//! A connection that speaks HTTP/2.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use sysbox_core::AbsPath;
use sysbox_transport::{CallError, ClientOptions, Connection, Stream};
use tokio::task::AbortHandle;

/// How much of one reply may be on its way unread.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much of all replies.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The headers and trailers of one reply; a status with its causes has up to 16 KiB.
const MAX_HEADERS: u32 = 64 << 10;

#[derive(Debug)]
pub(crate) struct Http2 {
    pub(super) requests: SendRequest<Bytes>,
    driver: AbortHandle,
}

impl Connection for Http2 {
    const PROTOCOL: &'static str = "gRPC";
    const TELLS_UNTAKEN: bool = false;

    async fn open(stream: Stream, socket: &AbsPath, _: &ClientOptions) -> Result<Self, CallError> {
        let (requests, driver) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|source| super::error::not_taken(socket, source))?;
        // How it ends is told to each call that is on it.
        let driver = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        Ok(Self { requests, driver })
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        // A peer that does not read would let h2's own farewell wait for ever.
        self.driver.abort();
    }
}
