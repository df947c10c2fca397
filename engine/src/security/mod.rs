//! Who a session is, how that is proved, and what it may do.
//!
//! A door takes [`Credentials`] to [`Engine::sign_in`](crate::Engine::sign_in), or goes through SCRAM with a [`ScramExchange`],
//! and gets a [`Principal`]; the session that it opens for that one is allowed what the users' [`Rights`] say, whatever the door.
//! Users, tokens and grants lie in the catalog; this module compares, decides, counts failures and keeps the audit log.

mod audit;
mod credentials;
mod password;
mod principal;
mod rights;
mod scram;
mod sign_in;
mod throttle;
mod tokens;

pub(crate) use audit::{Audit, AuditEvent};
pub use credentials::Credentials;
pub(crate) use password::verifiers;
pub use password::{ScramHash, ScramVerifier};
pub(crate) use principal::OPERATOR;
pub use principal::Principal;
pub use rights::Rights;
pub(crate) use rights::denied;
pub use scram::ScramExchange;
pub(crate) use sign_in::SignIns;
pub(crate) use tokens::new_token;
