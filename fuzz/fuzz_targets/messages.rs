//! What both sides of gRPC send: any bytes, read as every message there is, and what came in must go out the same.
//!
//! `cargo +nightly fuzz run messages`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sysbox_transport_grpc::fuzz::messages(input));
