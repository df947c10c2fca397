//! Users, roles, rights, tokens and policies.

use std::fmt;

use datafusion_sql::sqlparser::ast::{Ident, ObjectName};

use super::{ObjectKind, SqlExpr};

/// Users, roles and rights.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// `CREATE USER`, `CREATE ROLE`.
    CreateAccount(CreateAccount),
    /// `ALTER USER`, `ALTER ROLE`.
    AlterAccount {
        /// Whom.
        name: Ident,
        /// What changes.
        options: AccountOptions,
        /// `RENAME TO name`.
        rename_to: Option<Ident>,
    },
    /// `DROP USER`, `DROP ROLE`.
    DropAccounts {
        /// Whom.
        names: Vec<Ident>,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `GRANT … ON … TO …`.
    Grant(Rights),
    /// `REVOKE … ON … FROM …`.
    Revoke(Rights),
    /// `GRANT role, … TO role, …`.
    GrantRoles {
        /// What is granted.
        roles: Vec<Ident>,
        /// To whom.
        to: Vec<Ident>,
    },
    /// `REVOKE role, … FROM role, …`.
    RevokeRoles {
        /// What is taken away.
        roles: Vec<Ident>,
        /// From whom.
        from: Vec<Ident>,
    },
    /// `CREATE TOKEN name [FOR user] [SCOPE privilege, …] [EXPIRES expression]`.
    CreateToken {
        /// The token's name.
        name: Ident,
        /// Whose it is; without it the one who asks.
        user: Option<Ident>,
        /// All that it may be used for; without it all that the user may.
        scope: Option<Vec<Ident>>,
        /// When it is no longer taken: a moment, or an interval from now on.
        expires: Option<SqlExpr>,
    },
    /// `DROP TOKEN name [FOR user]`, `REVOKE TOKEN name [FOR user]`.
    DropToken {
        /// The token's name.
        name: Ident,
        /// Whose it is; without it the one who asks.
        user: Option<Ident>,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `CREATE POLICY name ON t [FOR SELECT] TO role, … [USING (condition)] [MASK (column AS expression, …)]`.
    CreatePolicy(CreatePolicy),
    /// `DROP POLICY name ON t`.
    DropPolicy {
        /// The policy's name.
        name: Ident,
        /// What it is about.
        on: ObjectName,
        /// `IF EXISTS`.
        if_exists: bool,
    },
}

/// `CREATE USER | ROLE name …`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateAccount {
    /// Whether it signs in: `USER`, or `ROLE … LOGIN`.
    pub is_user: bool,
    /// Its name.
    pub name: Ident,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// What is said of it.
    pub options: AccountOptions,
    /// `IN ROLE role, …`.
    pub in_roles: Vec<Ident>,
}

/// What is said of a user or role.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountOptions {
    /// `PASSWORD '…'`; `PASSWORD NULL` is an inner `None`.
    pub password: Option<Option<Password>>,
    /// `LOGIN`, `NOLOGIN`.
    pub login: Option<bool>,
    /// `VALID UNTIL '…'`: of the password.
    pub valid_until: Option<String>,
}

/// A password in a statement. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is granted or revoked, on what, and to or from whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// The words of the privileges; `None` is `ALL`.
    pub privileges: Option<Vec<Ident>>,
    /// On what.
    pub on: RightsOn,
    /// To or from whom; `PUBLIC` is everybody.
    pub whom: Vec<Ident>,
}

/// What rights are on.
#[derive(Debug, Clone, PartialEq)]
pub enum RightsOn {
    /// Relations and sinks, by name; of this kind, where one is said. `TABLE` stands for all kinds, as in PostgreSQL.
    Relations(Option<ObjectKind>, Vec<ObjectName>),
    /// `SCHEMA s, …`.
    Schemas(Vec<ObjectName>),
    /// `ALL TABLES | STREAMS | … IN SCHEMA s, …`, also those to come; `None` is all relations: `ALL TABLES`.
    AllIn(Option<ObjectKind>, Vec<ObjectName>),
    /// `CONNECTION c, …`.
    Connections(Vec<ObjectName>),
    /// `SERVER`.
    Server,
}

/// `CREATE POLICY`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatePolicy {
    /// Its name.
    pub name: Ident,
    /// What it is about.
    pub on: ObjectName,
    /// To whom it applies.
    pub to: Vec<Ident>,
    /// Which rows they see.
    pub rows: Option<SqlExpr>,
    /// What they see in the place of columns.
    pub masks: Vec<(Ident, SqlExpr)>,
}

impl Access {
    /// The command tag.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::CreateAccount(create) if create.is_user => "CREATE USER",
            Self::CreateAccount(_) => "CREATE ROLE",
            Self::AlterAccount { .. } => "ALTER ROLE",
            Self::DropAccounts { .. } => "DROP ROLE",
            Self::Grant(_) => "GRANT",
            Self::Revoke(_) => "REVOKE",
            Self::GrantRoles { .. } => "GRANT ROLE",
            Self::RevokeRoles { .. } => "REVOKE ROLE",
            Self::CreateToken { .. } => "CREATE TOKEN",
            Self::DropToken { .. } => "DROP TOKEN",
            Self::CreatePolicy(_) => "CREATE POLICY",
            Self::DropPolicy { .. } => "DROP POLICY",
        }
    }
}
