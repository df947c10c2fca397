//! Why a server does not start.

use weir_base::{Classify, Kind};

/// The server's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a server does not start, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("{origin}: {reason}")]
    Config {
        /// Where the wrong value stands: a file, an environment variable, a flag.
        origin: String,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The address can be reached from other machines, and what that asks for is not there.
    #[error(
        "{door} would listen on {address}, which other machines can reach, without {}",
        missing_words(*auth, *tls)
    )]
    PublicBind {
        /// Which front door.
        door: &'static str,
        /// The address asked for.
        address: String,
        /// Whether people have to sign in.
        auth: bool,
        /// Whether doors speak TLS.
        tls: bool,
    },
    /// The certificate cannot be used.
    #[error("TLS: {reason}")]
    Tls {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The address cannot be listened on.
    #[error("{door} cannot listen on {address}: {source}")]
    Bind {
        /// Which front door.
        door: &'static str,
        /// The address asked for.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Logging was already set up in this process.
    #[error("logging cannot be set up: {0}")]
    Logging(String),
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Config { .. } => Kind::Invalid,
            Self::PublicBind { .. } => Kind::Denied,
            Self::Tls { .. } => Kind::Invalid,
            Self::Bind { .. } => Kind::Unavailable,
            Self::Logging(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Config { hint, .. } => hint.clone(),
            Self::PublicBind { .. } => Some(
                "set auth.enabled and tls.enabled (--auth --tls), or listen on 127.0.0.1 or [::1]; \
                 --dangerously-open-to-the-network does without"
                    .to_owned(),
            ),
            Self::Tls { hint, .. } => hint.map(str::to_owned),
            Self::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "another process listens there; port 0 picks a free one, off closes the door"
                    .to_owned(),
            ),
            Self::Bind { .. } | Self::Logging(_) => None,
        }
    }
}

fn missing_words(auth: bool, tls: bool) -> &'static str {
    match (auth, tls) {
        (false, false) => "credentials and TLS",
        (false, true) => "credentials",
        (true, _) => "TLS",
    }
}
