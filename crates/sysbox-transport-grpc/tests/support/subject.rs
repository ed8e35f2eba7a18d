//! What tests that are the same over every transport test here.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of it")]

pub(crate) use sysbox_transport_grpc::{GrpcFs as Fs, GrpcMgr as Mgr, serve_mgr};

/// An empty SETTINGS frame, with which every HTTP/2 server begins.
pub(crate) const GREETING: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
