//! What `cargo xtask codegen` makes from `proto/`: messages, clients and servers.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::use_self,
    clippy::or_fun_call,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::allow_attributes_without_reason,
    clippy::str_to_string,
    clippy::manual_let_else,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lints and formatter are for what people write"
)]

/// The wire contract: package `protobuf`.
pub(crate) mod pb {
    include!("generated/protobuf.rs");
}

/// What our manager does beyond it.
pub(crate) mod ext {
    include!("generated/sysbox_mgr_ext_v1.rs");
}

/// The descriptors of all of it.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
