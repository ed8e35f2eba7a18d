//! The first message of each end: who it is, what it speaks, and how much it takes.
//!
//! ```text
//! "sysbox-tarpc" | version u32 | service u8 | verdict u8 | message length u16 | bytes u64 | calls u32 | message
//! ```
//!
//! Numbers are little-endian. **This form never changes**, whatever comes after it, so that ends of different versions can still
//! tell each other so. A client says what it asks for and how long an answer it takes; a server says what it is, whether it
//! serves this client, and how much it takes. The first calls may follow a client's hello at once.

use std::fmt;

/// The version of all that follows a hello.
pub(crate) const PROTOCOL_VERSION: u32 = 1;
/// A request of so many bytes may be sent before the server has said how many it takes.
pub(crate) const EAGER: usize = 16 << 10;
/// The most bytes of a message.
const LONGEST_MESSAGE: usize = 1024;

const MAGIC: &[u8; 12] = b"sysbox-tarpc";
/// All but the message.
const FIXED: usize = 32;

/// Who an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The version that it speaks.
    pub(crate) version: u32,
    /// What is asked for, or served.
    pub(crate) service: Service,
    /// Whether the other end is served.
    pub(crate) verdict: Verdict,
    /// How much it takes.
    pub(crate) limits: Limits,
    /// For people: why the other end is not served.
    pub(crate) message: String,
}

/// What a socket is for. One that is not known is told as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service(u8);

impl Service {
    /// The calls of `MgrPort`.
    pub(crate) const MGR: Self = Self(1);
    /// The calls of `FsPort`.
    pub(crate) const FS: Self = Self(2);
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MGR => f.write_str("manager"),
            Self::FS => f.write_str("fs daemon"),
            Self(other) => write!(f, "service {other}, which this version does not know"),
        }
    }
}

/// Whether the other end is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is; a client says so too.
    Served,
    /// Its user is not served.
    NotPermitted,
    /// No more calls are taken; the next daemon may.
    Stopping,
    /// The two do not fit together, as their hellos say.
    Mismatch,
}

/// How much an end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many bytes a request, or an answer, may have.
    pub(crate) bytes: u64,
    /// How many calls may be open at once.
    pub(crate) calls: u32,
}

impl Hello {
    /// One of this version that has nothing to say against the other end.
    pub(crate) const fn new(service: Service, limits: Limits) -> Self {
        let message = String::new();
        Self { version: PROTOCOL_VERSION, service, verdict: Verdict::Served, limits, message }
    }

    /// The same with a verdict, and why.
    pub(crate) fn with_verdict(self, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { verdict, message: message.into(), ..self }
    }

    /// As it is sent; of a message that is too long, the beginning.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = &self.message[..self.message.floor_char_boundary(LONGEST_MESSAGE)];
        let length = u16::try_from(message.len()).unwrap_or_default();
        let mut bytes = Vec::with_capacity(FIXED + message.len());
        bytes.extend(MAGIC);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend([self.service.0, self.verdict.code()]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.limits.bytes.to_le_bytes());
        bytes.extend(self.limits.calls.to_le_bytes());
        bytes.extend(message.as_bytes());
        bytes
    }

    /// Reads one from the first bytes of a peer, and tells how many it took; `None` while there are too few.
    ///
    /// # Errors
    /// [`NotOurs`] as soon as the bytes cannot begin a hello.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, NotOurs> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(NotOurs::of(bytes));
        }
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
        let [.., v0, v1, v2, v3, service, verdict, l0, l1, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] =
            *fixed;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if length > LONGEST_MESSAGE {
            return Err(NotOurs::Other);
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let hello = Self {
            version: u32::from_le_bytes([v0, v1, v2, v3]),
            service: Service(service),
            verdict: Verdict::of(verdict),
            limits: Limits {
                bytes: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
                calls: u32::from_le_bytes([c0, c1, c2, c3]),
            },
            message: String::from_utf8_lossy(message).into_owned(),
        };
        Ok(Some((hello, FIXED + length)))
    }

    /// Whether a server's answer to `asked` lets calls be made, and how much the server takes.
    pub(crate) fn check(self, asked: Service) -> Result<Limits, Refusal> {
        match self.verdict {
            _ if self.version != PROTOCOL_VERSION => Err(Refusal::Version { theirs: self.version }),
            _ if self.service != asked => Err(Refusal::Service { theirs: self.service, asked }),
            Verdict::Served => Ok(self.limits),
            Verdict::Stopping => Err(Refusal::Stopping),
            Verdict::NotPermitted => Err(Refusal::NotPermitted { message: self.message }),
            Verdict::Mismatch => Err(Refusal::Other { message: self.message }),
        }
    }
}

impl Verdict {
    const fn code(self) -> u8 {
        match self {
            Self::Served => 0,
            Self::NotPermitted => 1,
            Self::Stopping => 2,
            Self::Mismatch => 3,
        }
    }

    /// One that is not known is no permission.
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Served,
            1 => Self::NotPermitted,
            2 => Self::Stopping,
            _ => Self::Mismatch,
        }
    }
}

/// Why a server takes no calls of this client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// One of the two is older.
    #[error(
        "it speaks version {theirs} of the protocol and this program version {PROTOCOL_VERSION}; upgrade {}",
        if *theirs < PROTOCOL_VERSION { "the daemon" } else { "this program" }
    )]
    Version {
        /// What the server speaks.
        theirs: u32,
    },
    /// It is another daemon.
    #[error("it is the {theirs} and not the {asked}; name that one's socket")]
    Service {
        /// What it is.
        theirs: Service,
        /// What was asked for.
        asked: Service,
    },
    /// This user is not served.
    #[error("{message}")]
    NotPermitted {
        /// Who is.
        message: String,
    },
    /// The next daemon may take them.
    #[error("it is stopping")]
    Stopping,
    /// The server finds something that this client does not.
    #[error("it does not serve this program: {message}")]
    Other {
        /// What.
        message: String,
    },
}

/// A peer does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOurs {
    /// It speaks HTTP/2.
    #[error("it speaks HTTP/2, as gRPC does; use the gRPC transport with it")]
    Http2,
    /// It speaks something else.
    #[error("what it sends is not of this protocol")]
    Other,
}

impl NotOurs {
    /// An HTTP/2 server begins with a SETTINGS frame (RFC 9113, section 3.4), a client with `PRI`.
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0, 0, _, 4, ..] | [b'P', b'R', b'I', ..] => Self::Http2,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bytes: 4 << 20, calls: 256 };

    #[test]
    fn the_form_of_a_hello_is_what_it_always_was() {
        let hello = Hello::new(Service::FS, Limits { bytes: 0x0102, calls: 3 });
        let bytes = hello.with_verdict(Verdict::NotPermitted, "no").encode();
        let expected = b"sysbox-tarpc\x01\0\0\0\x02\x01\x02\0\x02\x01\0\0\0\0\0\0\x03\0\0\0no";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let server = |version, service, verdict| {
            let hello = Hello::new(service, LIMITS).with_verdict(verdict, "because");
            Hello { version, ..hello }.check(Service::MGR)
        };
        assert_eq!(server(1, Service::MGR, Verdict::Served).expect("served"), LIMITS);
        for (version, service, verdict, says) in [
            (
                7,
                Service::MGR,
                Verdict::Mismatch,
                "version 7 of the protocol and this program version 1; upgrade this",
            ),
            (
                0,
                Service::MGR,
                Verdict::Served,
                "version 0 of the protocol and this program version 1; upgrade the d",
            ),
            (1, Service::FS, Verdict::Mismatch, "it is the fs daemon and not the manager"),
            (1, Service(9), Verdict::Served, "service 9"),
            (1, Service::MGR, Verdict::Stopping, "stopping"),
            (1, Service::MGR, Verdict::NotPermitted, "because"),
            (1, Service::MGR, Verdict::Mismatch, "because"),
        ] {
            let refusal = server(version, service, verdict).expect_err("refused").to_string();
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn a_peer_of_another_protocol_is_known_by_its_first_bytes() {
        assert_eq!(Hello::parse(b"PRI * HTTP/2.0\r\n"), Err(NotOurs::Http2));
        assert_eq!(Hello::parse(&[0, 0, 18, 4, 0, 0, 0, 0, 0]), Err(NotOurs::Http2));
        assert_eq!(Hello::parse(b"G"), Err(NotOurs::Other));
        assert_eq!(Hello::parse(b"sysbox-x"), Err(NotOurs::Other));
    }

    #[test]
    fn a_message_is_cut_between_two_characters() {
        let hello = Hello::new(Service::MGR, LIMITS).with_verdict(Verdict::Mismatch, "ä".repeat(1000));
        let (read, took) = Hello::parse(&hello.encode()).expect("ours").expect("whole");
        assert_eq!((read.message, took), ("ä".repeat(512), FIXED + 1024));
        let odd = Hello::new(Service::MGR, LIMITS)
            .with_verdict(Verdict::Mismatch, format!("x{}", "ä".repeat(1000)));
        let (read, _) = Hello::parse(&odd.encode()).expect("ours").expect("whole");
        assert_eq!(read.message.len(), 1023);
    }

    proptest! {
        #[test]
        fn a_hello_is_read_as_it_was_written_and_not_before_it_is_whole(
            version: u32, service: u8, bytes: u64, calls: u32, code in 0..4_u8, message in ".{0,200}", after: Vec<u8>,
        ) {
            let limits = Limits { bytes, calls };
            let hello = Hello { version, service: Service(service), verdict: Verdict::of(code), limits, message };
            let written = hello.encode();
            for length in 0..written.len() {
                prop_assert_eq!(Hello::parse(&written[..length]), Ok(None));
            }
            let read = Hello::parse(&[written.clone(), after].concat());
            prop_assert_eq!(read, Ok(Some((hello, written.len()))));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Hello::parse(&bytes);
            let _ = Hello::parse(&[MAGIC.to_vec(), rest].concat());
        }
    }
}
