//! The ways to a backend that are measured beside each other. To add one is a variant here, an arm in
//! [`client`](super::client) where it is called and one in [`serve`](super::serve) where it is served; everything else goes by
//! [`Way::ALL`].

use clap::ValueEnum;
use serde::Serialize;

/// How a call gets to the backend and its answer back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// The port is called directly.
    InProcess,
    /// A message goes over a unix socket and one comes back, no more.
    PingPong,
    /// tarpc over a kept connection.
    Tarpc,
    /// gRPC over a kept connection.
    Grpc,
    /// gRPC over a connection for each call.
    GrpcPerCall,
}

impl Way {
    /// All of them. Those to be compared with the floor stand next to it, for they are measured in this order.
    pub(crate) const ALL: [Self; 5] =
        [Self::InProcess, Self::PingPong, Self::Tarpc, Self::Grpc, Self::GrpcPerCall];

    /// What the others are held against: no way over a socket can be faster.
    pub(crate) const FLOOR: Self = Self::PingPong;

    /// Its name, in reports and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::PingPong => "ping-pong",
            Self::Tarpc => "tarpc",
            Self::Grpc => "grpc",
            Self::GrpcPerCall => "grpc-per-call",
        }
    }

    /// What it is, for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::InProcess => "the port is called directly, no socket",
            Self::PingPong => "the floor: messages of the same length over a unix socket, no protocol",
            Self::Tarpc => "tarpc over a kept connection",
            Self::Grpc => "gRPC over a kept connection",
            Self::GrpcPerCall => "gRPC over a connection for each call, as Sysbox's own client does",
        }
    }

    /// Whether there is a server, in a process of its own.
    pub(crate) const fn has_server(self) -> bool {
        !matches!(self, Self::InProcess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_has_the_same_name_on_the_command_line_and_in_reports() {
        for way in Way::value_variants() {
            let given = way.to_possible_value().expect("none is hidden");
            assert_eq!(given.get_name(), way.name());
            assert_eq!(serde_json::to_value(way).expect("a text"), way.name());
            assert!(Way::ALL.contains(way), "{way:?} is not measured");
        }
    }
}
