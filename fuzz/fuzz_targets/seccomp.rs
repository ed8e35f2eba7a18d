//! The message that comes with a seccomp descriptor: any bytes, and what is taken is encoded and read as the same again.
//!
//! `cargo +nightly fuzz run seccomp`
#![no_main]

use sysbox_transport_seccomp::fuzz::{decode, encode};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(init) = decode(input) {
        assert_eq!(decode(encode(&init).as_bytes()).expect("what is encoded is decoded"), init);
    }
});
