//! Who a session is.

use std::sync::Arc;

use weir_catalog::AccountId;
use weir_catalog::accounts::TokenId;

/// The name of the one user where nobody signs in, and of the first one where somebody does.
pub(crate) const OPERATOR: &str = "weir";

/// Who a session is. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(Arc<Who>);

#[derive(Debug, PartialEq, Eq)]
struct Who {
    user: String,
    /// `None` is the operator, who may do everything.
    account: Option<AccountId>,
    /// The token by which it signed in, which may narrow what it may do.
    token: Option<TokenId>,
    roles: Vec<String>,
}

impl Principal {
    /// The operator: who is on the machine itself, where nobody has to sign in; and the server's own work.
    pub(crate) fn operator() -> Self {
        Self(Arc::new(Who {
            user: OPERATOR.to_owned(),
            account: None,
            token: None,
            roles: vec!["admin".to_owned()],
        }))
    }

    pub(crate) fn new(
        user: impl Into<String>,
        account: AccountId,
        token: Option<TokenId>,
        roles: Vec<String>,
    ) -> Self {
        Self(Arc::new(Who {
            user: user.into(),
            account: Some(account),
            token,
            roles,
        }))
    }

    /// The user's name: `current_user`.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The names of the roles that the user had when it signed in, those that it has through others among them. What it may do
    /// now is told by [`Session::rights`](crate::Session::rights).
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Whether the other is the same user, signed in by the same token or by none.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.account == other.0.account && self.0.token == other.0.token
    }

    /// Whether it is the operator, who has no account and may do everything.
    pub fn is_operator(&self) -> bool {
        self.0.account.is_none()
    }

    /// The user's identity; that of the operator is `None`.
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.0.account
    }

    pub(crate) fn token(&self) -> Option<TokenId> {
        self.0.token
    }
}
