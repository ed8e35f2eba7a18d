//! The filter in front of the gRPC server: what a client sends, in pieces of any size.
//!
//! `cargo +nightly fuzz run authority`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sysbox_transport_grpc::fuzz::authority(input));
