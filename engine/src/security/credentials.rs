//! What somebody shows to be let in.

use std::fmt;

use weir_catalog::Secret;

/// What somebody shows to be let in. `Debug` does not print the secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user's name and password. In the place of the password, a token of that user is taken too: many clients have a
    /// field for passwords alone.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token, which says whose it is.
    Token(Secret),
}

impl Credentials {
    /// A name and a password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            user: user.into(),
            password: Secret::new(password),
        }
    }

    /// A token.
    pub fn token(value: impl Into<String>) -> Self {
        Self::Token(Secret::new(value))
    }
}

/// As whom, for messages and logs; a token's user is not known before it is found.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => f.write_str(user),
            Self::Token(_) => f.write_str("(token)"),
        }
    }
}
