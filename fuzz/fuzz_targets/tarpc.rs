//! What both sides of tarpc send: any bytes, read as a hello, as frames and as every message there is, and what came in must go out
//! the same.
//!
//! `cargo +nightly fuzz run tarpc`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    sysbox_transport_tarpc::fuzz::connection(input);
    sysbox_transport_tarpc::fuzz::messages(input);
});
