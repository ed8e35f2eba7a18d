//! What tests that are the same over every transport test here.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of it")]

pub(crate) use sysbox_transport_tarpc::{TarpcFs as Fs, TarpcMgr as Mgr, serve_mgr};

/// What a manager says first: version 1, served, requests of 4 MiB, one call at once.
pub(crate) const GREETING: &[u8] = b"sysbox-tarpc\x01\0\0\0\x01\0\0\0\0\0\x40\0\0\0\0\0\x01\0\0\0";
