//! What is told of replies that break the rules of gRPC, and of what HTTP/2 reports.

use std::error::Error;

use super::*;

fn socket() -> AbsPath {
    AbsPath::new("/run/sysbox/sysmgr.sock").expect("absolute")
}

#[test]
fn a_reply_that_breaks_the_rules_is_told_with_its_socket_and_what_to_do() {
    for (reply, told, kind) in [
        (BadReply::Http(StatusCode::NOT_FOUND), "404", ErrorKind::Unimplemented),
        (BadReply::Http(StatusCode::IM_A_TEAPOT), "418", ErrorKind::Unknown),
        (BadReply::ContentType("text/html".into()), "text/html", ErrorKind::Internal),
        (BadReply::NoStatus, "cut off", ErrorKind::Internal),
        (
            BadReply::TooLong { max: 4096 },
            "4096 bytes; raise ClientOptions::max_reply",
            ErrorKind::ResourceExhausted,
        ),
    ] {
        let error = bad_reply(&socket(), reply).into_port_error(sysbox_core::Operation::AllocSubids);
        assert_eq!(error.kind, kind);
        assert!(error.message.contains("socket /run/sysbox/sysmgr.sock"), "{error}");
        assert!(error.message.contains(told) && error.message.contains("not known"), "{error}");
    }
}

#[test]
fn what_http2_reports_is_the_source() {
    let of = |reason: Reason| of_sent(&socket(), h2::Error::from(reason));
    let error = of(Reason::INTERNAL_ERROR);
    assert!(error.source().is_some_and(|source| source.is::<h2::Error>()), "{error:?}");
}
