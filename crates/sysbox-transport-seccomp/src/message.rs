//! The text of the one message: whose descriptor comes with it.
//!
//! It is byte for byte what Go's `encoding/json` makes of the reference's struct. Both functions are pure.

use std::error::Error;

use serde::Deserialize;
use sysbox_core::{ContainerId, InvalidContainerId, port::SeccompInit};

/// The most bytes that Sysbox's own daemon takes: the size of the buffer that it fills with one read.
pub const SYSBOX_FS_LIMIT: usize = 100;

/// The most bytes that a receiver of this crate takes. The longest id makes a message of 1054.
pub const MAX_MESSAGE: usize = 4096;

/// The receiver's whole answer.
pub(crate) const ACK: &[u8; 3] = b"ack";

/// The message as it is sent.
pub fn encode(init: &SeccompInit) -> String {
    // Of the characters that an id may have, JSON escapes none.
    format!(r#"{{"pid":{},"cntrId":"{}"}}"#, init.pid, init.id)
}

/// Reads a message. White space around it is part of JSON and taken; anything else is not.
///
/// # Errors
/// [`InvalidMessage`]; `Incomplete` where more bytes could make it a message.
pub fn decode(bytes: &[u8]) -> Result<SeccompInit, InvalidMessage> {
    // Serde would also take an array of the two values.
    match bytes.trim_ascii_start().first() {
        None => return Err(InvalidMessage::Incomplete),
        Some(b'{') => {}
        Some(_) => return Err(InvalidMessage::NoObject),
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let wire = Wire::deserialize(&mut json).map_err(InvalidMessage::from_json)?;
    json.end().map_err(|_| InvalidMessage::Trailing)?;
    if wire.pid <= 0 {
        return Err(InvalidMessage::Pid { pid: wire.pid });
    }
    let id = ContainerId::try_from(wire.id).map_err(InvalidMessage::Id)?;
    Ok(SeccompInit { pid: wire.pid, id })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    pid: i32,
    #[serde(rename = "cntrId")]
    id: String,
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// They end before it does.
    #[error("the message ends early")]
    Incomplete,
    /// The text is not a JSON object.
    #[error("the message is no JSON object; it is to read {{\"pid\":<number>,\"cntrId\":\"<id>\"}}")]
    NoObject,
    /// The text is not JSON.
    #[error("the message is not JSON")]
    Json {
        /// Where and why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A field is missing, unknown, there twice or of another type.
    #[error("the message has not the fields pid, a 32-bit number, and cntrId, a text, once each")]
    Fields {
        /// Which and why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something other than white space follows the object.
    #[error("the message goes on after its JSON object; a connection carries one message")]
    Trailing,
    /// No process has this id.
    #[error("pid {pid} is no process; the first is 1")]
    Pid {
        /// The number.
        pid: i32,
    },
    /// No container has this id.
    #[error("cntrId is no container id")]
    Id(#[source] InvalidContainerId),
}

impl InvalidMessage {
    fn from_json(error: serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Eof => Self::Incomplete,
            serde_json::error::Category::Data => Self::Fields { source: error.into() },
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                Self::Json { source: error.into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = ContainerId> {
        "[A-Za-z0-9_+.-]{1,1024}".prop_filter_map("a directory", |id| id.parse().ok())
    }

    fn error(text: &str) -> InvalidMessage {
        decode(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn a_message_reads_as_gos_encoding_does() {
        let init = SeccompInit { pid: 4711, id: "web_1+a.b-c".parse().expect("valid") };
        assert_eq!(encode(&init), r#"{"pid":4711,"cntrId":"web_1+a.b-c"}"#);
    }

    #[test]
    fn the_order_of_fields_white_space_and_escapes_are_as_json_has_them() {
        let text = " {\n\"cntrId\": \"\\u0063\\u0031\", \"pid\": 7 }\r\n";
        let init = decode(text.as_bytes()).expect("valid");
        assert_eq!((init.pid, init.id.as_str()), (7, "c1"));
    }

    #[test]
    fn what_is_no_object_or_no_json_is_told_apart() {
        for text in [r#"[7,"c1"]"#, "7", "null", "x", "\u{feff}{}", "\0"] {
            assert!(matches!(error(text), InvalidMessage::NoObject), "{text:?}");
        }
        for text in ["{pid:7}", "{\"pid\":07}", "{]", "{\"pid\":1,}", "{\"cntrId\":\"a\nb\"}", "{\"pid\" 1}"]
        {
            assert!(matches!(error(text), InvalidMessage::Json { .. }), "{text:?}");
        }
        let not_utf8 = decode(b"{\"pid\":1,\"cntrId\":\"\xff\"}").expect_err("not UTF-8");
        assert!(matches!(not_utf8, InvalidMessage::Json { .. }));
    }

    #[test]
    fn fields_are_there_once_each_and_have_their_types() {
        for text in [
            "{}",
            r#"{"pid":7}"#,
            r#"{"cntrId":"c1"}"#,
            r#"{"pid":7,"pid":7,"cntrId":"c1"}"#,
            r#"{"pid":7,"cntrId":"c1","further":1}"#,
            r#"{"PID":7,"cntrId":"c1"}"#,
            r#"{"pid":"7","cntrId":"c1"}"#,
            r#"{"pid":7.0,"cntrId":"c1"}"#,
            r#"{"pid":2147483648,"cntrId":"c1"}"#,
            r#"{"pid":7,"cntrId":null}"#,
            r#"{"pid":7,"cntrId":["c1"]}"#,
        ] {
            assert!(matches!(error(text), InvalidMessage::Fields { .. }), "{text}");
        }
    }

    #[test]
    fn a_process_a_container_and_nothing_more_must_be_meant() {
        for pid in [0, -1, i32::MIN] {
            let text = format!(r#"{{"pid":{pid},"cntrId":"c1"}}"#);
            assert!(matches!(error(&text), InvalidMessage::Pid { pid: found } if found == pid));
        }
        for id in ["", "..", "a/b", "a\\u0000b", "\\u00e9", &"x".repeat(1025)] {
            let text = format!(r#"{{"pid":1,"cntrId":"{id}"}}"#);
            assert!(matches!(error(&text), InvalidMessage::Id(_)), "{text}");
        }
        for after in ["{}", "x", "\0", "}", r#"{"pid":1,"cntrId":"c1"}"#] {
            let text = format!(r#"{{"pid":1,"cntrId":"c1"}}{after}"#);
            assert!(matches!(error(&text), InvalidMessage::Trailing), "{text:?}");
        }
    }

    /// Texts that are often nearly the message.
    const JSON_LIKE: &str = r#"\{("pid"|"cntrId"|[0-9eE:,\{\}\[\]".+-]|\\u[0-9a-f]{0,4}| ){0,40}"#;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(pid in 1..=i32::MAX, id in ids()) {
            let init = SeccompInit { pid, id };
            prop_assert_eq!(decode(encode(&init).as_bytes()).expect("valid"), init);
        }

        #[test]
        fn a_message_that_is_cut_off_is_incomplete_and_nothing_else(
            pid in 1..=i32::MAX,
            escape: bool,
            at: prop::sample::Index,
        ) {
            let id = if escape { r"\u0063\u002D\u0031" } else { "c-1" };
            let text = format!("\t{{ \"pid\" : {pid} , \"cntrId\" : \"{id}\" }}");
            let cut = decode(&text.as_bytes()[..at.index(text.len())]);
            prop_assert!(matches!(cut, Err(InvalidMessage::Incomplete)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_json_like_text_makes_it_panic_or_gives_what_cannot_be_sent(text in JSON_LIKE) {
            if let Ok(init) = decode(text.as_bytes()) {
                prop_assert_eq!(decode(encode(&init).as_bytes()).expect("valid"), init);
            }
        }
    }
}
