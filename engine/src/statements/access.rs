//! Users, roles, grants, tokens and policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::sql::sqlparser::ast;
use weir_base::SqlState;
use weir_catalog::accounts::{
    AccountId, AccountKind, Accounts, Policy, PolicyId, Target, Token, TokenId, Verifiers,
};
use weir_catalog::{Account, Entry, Privilege};
use weir_sql::statement::{
    Access, AccountOptions, CreateAccount, CreatePolicy, Password, Rights, RightsOn, SqlExpr,
};

use super::alter::catalog_kind;
use super::{Execution, ident_position, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::lanes::panicked;
use crate::planning::Reading;
use crate::rows::expression;
use crate::security::{denied, new_token, verifiers};

/// The fewest characters of a password.
const PASSWORD_LENGTH_MIN: usize = 8;

impl Execution {
    pub(super) async fn access(&self, access: Access, tag: &str) -> Result<Answer> {
        match access {
            Access::CreateAccount(create) => self.create_account(create).await?,
            Access::AlterAccount {
                name,
                options,
                rename_to,
            } => {
                self.alter_account(&name, options, rename_to.as_ref())
                    .await?;
            }
            Access::DropAccounts { names, if_exists } => {
                self.drop_accounts(&names, if_exists).await?;
            }
            Access::Grant(rights) => self.grant(&rights, true).await?,
            Access::Revoke(rights) => self.grant(&rights, false).await?,
            Access::GrantRoles { roles, to } => self.grant_roles(&roles, &to, true).await?,
            Access::RevokeRoles { roles, from } => self.grant_roles(&roles, &from, false).await?,
            Access::CreateToken {
                name,
                user,
                scope,
                expires,
            } => {
                let answer = self
                    .create_token(&name, user.as_ref(), scope.as_deref(), expires.as_ref())
                    .await?;
                self.changed_access();
                return Ok(answer);
            }
            Access::DropToken {
                name,
                user,
                if_exists,
            } => self.drop_token(&name, user.as_ref(), if_exists).await?,
            Access::CreatePolicy(create) => self.create_policy(create).await?,
            Access::DropPolicy {
                name,
                on,
                if_exists,
            } => self.drop_policy(&name, &on, if_exists).await?,
        }
        self.changed_access();
        Ok(self.done(tag))
    }

    /// What rights changed for is looked at again.
    fn changed_access(&self) {
        self.note_change();
        self.engine.end_what_was_revoked();
    }

    async fn create_account(&self, create: CreateAccount) -> Result<()> {
        self.rights.require_admin("create users and roles")?;
        let name = normalized(&create.name);
        let accounts = self.accounts();
        if create.if_not_exists && accounts.named(&name).is_some() {
            return Ok(());
        }
        let kind = match create.is_user {
            true => AccountKind::User,
            false => AccountKind::Role,
        };
        let roles = create
            .in_roles
            .iter()
            .map(|role| role_id(&accounts, role))
            .collect::<Result<Vec<_>>>()?;
        let password = create.options.password.flatten();
        if password.is_some() && kind == AccountKind::Role {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "a role does not sign in, and has no password",
            )
            .with_hint("write CREATE USER"));
        }
        let verifiers = self.verifiers(password).await?;
        let until = self.valid_until(create.options.valid_until.as_deref())?;
        let now_ms = self.engine.clock.now_ms();
        self.change_accounts(move |accounts| {
            let id = accounts.create_account(kind, &name, verifiers, now_ms)?;
            if let Some(until) = until {
                accounts.change_account(id, |account| account.valid_until_ms = until)?;
            }
            for role in roles {
                accounts.grant_role(role, id)?;
            }
            Ok(())
        })
        .await
    }

    async fn alter_account(
        &self,
        name: &ast::Ident,
        options: AccountOptions,
        rename_to: Option<&ast::Ident>,
    ) -> Result<()> {
        let accounts = self.accounts();
        let is_password_alone = options.login.is_none()
            && options.valid_until.is_none()
            && rename_to.is_none()
            && options.password.is_some();
        let account = self.own_or_administered(
            &accounts,
            Some(name),
            is_password_alone,
            "change users and roles",
        )?;
        if account.kind == AccountKind::Role
            && (options.password.is_some() || options.login == Some(true))
        {
            return Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{} does not sign in", account.describe()),
            )
            .with_hint("CREATE USER makes one who does"));
        }
        let password = match options.password {
            None => None,
            Some(password) => Some(self.verifiers(password).await?),
        };
        let until = self.valid_until(options.valid_until.as_deref())?;
        let rename_to = rename_to.map(normalized);
        let login = options.login;
        self.change_accounts(move |accounts| {
            accounts.change_account(account.id, |account| {
                if let Some(verifiers) = password {
                    account.verifiers = verifiers;
                }
                if let Some(login) = login {
                    account.may_sign_in = login;
                }
                if let Some(until) = until {
                    account.valid_until_ms = until;
                }
                if let Some(name) = rename_to {
                    account.name = name;
                }
            })
        })
        .await
    }

    async fn drop_accounts(&self, names: &[ast::Ident], if_exists: bool) -> Result<()> {
        self.rights.require_admin("drop users and roles")?;
        let accounts = self.accounts();
        let mut doomed = Vec::with_capacity(names.len());
        for name in names {
            match accounts.named(&normalized(name)) {
                None if if_exists => {}
                _ => doomed.push(role_id(&accounts, name)?),
            }
        }
        let snapshot = self.snapshot();
        let owned = snapshot
            .entries()
            .find(|entry| entry.owner.is_some_and(|owner| doomed.contains(&owner)));
        if let Some(owned) = owned {
            return Err(Error::invalid(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("{} belongs to one of them", owned.describe()),
            )
            .with_hint("drop it first; ALTER USER … NOLOGIN keeps its owner out"));
        }
        self.change_accounts(move |accounts| {
            doomed
                .into_iter()
                .try_for_each(|id| accounts.drop_account(id))
        })
        .await
    }

    async fn grant_roles(
        &self,
        roles: &[ast::Ident],
        whom: &[ast::Ident],
        grants: bool,
    ) -> Result<()> {
        self.rights.require_admin("grant roles")?;
        let accounts = self.accounts();
        let ids = |names: &[ast::Ident]| {
            let ids = names.iter().map(|name| role_id(&accounts, name));
            ids.collect::<Result<Vec<_>>>()
        };
        let (roles, whom) = (ids(roles)?, ids(whom)?);
        self.change_accounts(move |accounts| {
            for role in roles {
                for who in &whom {
                    match grants {
                        true => accounts.grant_role(role, *who)?,
                        false => accounts.revoke_role(role, *who)?,
                    }
                }
            }
            Ok(())
        })
        .await
    }

    async fn grant(&self, rights: &Rights, grants: bool) -> Result<()> {
        let targets = self.targets(&rights.on)?;
        let possible = possible(&rights.on);
        let privileges = match &rights.privileges {
            None => possible.to_vec(),
            Some(words) => words
                .iter()
                .map(|word| privilege(word, possible))
                .collect::<Result<_>>()?,
        };
        let accounts = self.accounts();
        let whom = rights
            .whom
            .iter()
            .map(|name| role_id(&accounts, name))
            .collect::<Result<Vec<_>>>()?;
        self.change_accounts(move |accounts| {
            for on in targets {
                for who in &whom {
                    match grants {
                        true => accounts.grant(*who, on, privileges.iter().copied())?,
                        false => accounts.revoke(*who, on, privileges.iter().copied()),
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// What a grant is about, where the user may grant on it.
    fn targets(&self, on: &RightsOn) -> Result<Vec<Target>> {
        use weir_sql::statement::ObjectKind as Kind;
        let object = |kind, name| {
            let entry = self.owned(kind, name)?;
            Ok(Target::Object(entry.id))
        };
        match on {
            RightsOn::Server => {
                self.rights.require_admin("grant on the server")?;
                Ok(vec![Target::Server])
            }
            RightsOn::Relations(kind, names) => {
                names.iter().map(|name| object(*kind, name)).collect()
            }
            RightsOn::Schemas(names) => names
                .iter()
                .map(|name| object(Some(Kind::Schema), name))
                .collect(),
            RightsOn::Connections(names) => names
                .iter()
                .map(|name| object(Some(Kind::Connection), name))
                .collect(),
            RightsOn::AllIn(kind, schemas) => {
                // Who owns a schema does not own what others make there.
                self.rights.require_admin("grant on all of a schema")?;
                let kind = kind.map(catalog_kind).transpose()?;
                let schemas = schemas.iter().map(|name| {
                    let schema = self.owned(Some(Kind::Schema), name)?.id;
                    Ok(Target::AllIn { schema, kind })
                });
                schemas.collect()
            }
        }
    }

    async fn create_token(
        &self,
        name: &ast::Ident,
        user: Option<&ast::Ident>,
        scope: Option<&[ast::Ident]>,
        expires: Option<&SqlExpr>,
    ) -> Result<Answer> {
        let accounts = self.accounts();
        let user = self.own_or_administered(&accounts, user, true, "create tokens of others")?;
        let scope = scope
            .map(|words| {
                let words = words.iter().map(|word| privilege(word, &Privilege::ALL));
                words.collect::<Result<BTreeSet<_>>>()
            })
            .transpose()?;
        let now_ms = self.engine.clock.now_ms();
        let expires_at_ms = match expires {
            None => None,
            Some(expires) => Some(self.moment(expires)?),
        };
        if expires_at_ms.is_some_and(|at| at <= now_ms) {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "the token would have expired already",
            ));
        }
        let (value, hash) = new_token()?;
        let token = Token {
            id: TokenId(0),
            name: normalized(name),
            user: user.id,
            hash,
            scope,
            expires_at_ms,
            created_at_ms: now_ms,
        };
        let shown = token.name.clone();
        self.change_accounts(move |accounts| accounts.create_token(token).map(drop))
            .await?;
        let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let text = |text: &str| Arc::new(StringViewArray::from(vec![text])) as _;
        let schema = Schema::new(vec![
            Field::new("name", DataType::Utf8View, false),
            Field::new("user", DataType::Utf8View, false),
            Field::new("token", DataType::Utf8View, false),
            Field::new("expires_at", utc, true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                text(&shown),
                text(&user.name),
                text(value.expose()),
                Arc::new(TimestampMillisecondArray::from(vec![expires_at_ms]).with_timezone("UTC")),
            ],
        )?;
        Ok(self.rows(batch))
    }

    async fn drop_token(
        &self,
        name: &ast::Ident,
        user: Option<&ast::Ident>,
        if_exists: bool,
    ) -> Result<()> {
        let accounts = self.accounts();
        let user = self.own_or_administered(&accounts, user, true, "revoke tokens of others")?;
        let Some(token) = accounts.token_named(user.id, &normalized(name)) else {
            if if_exists {
                return Ok(());
            }
            return Err(Error::invalid(
                SqlState::UNDEFINED_OBJECT,
                format!("{} has no token \"{}\"", user.describe(), normalized(name)),
            )
            .with_position(ident_position(name)));
        };
        let id = token.id;
        self.change_accounts(move |accounts| {
            accounts.drop_token(id);
            Ok(())
        })
        .await
    }

    async fn create_policy(&self, create: CreatePolicy) -> Result<()> {
        let entry = self.owned(None, &create.on)?;
        let accounts = self.accounts();
        let to = create
            .to
            .iter()
            .map(|name| role_id(&accounts, name))
            .collect::<Result<_>>()?;
        let mut masks = BTreeMap::new();
        for (column, mask) in create.masks {
            let name = normalized(&column);
            if masks.insert(name.clone(), mask.sql).is_some() {
                return Err(Error::invalid(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column \"{name}\" is masked twice"),
                )
                .with_position(ident_position(&column)));
            }
        }
        let policy = Policy {
            id: PolicyId(0),
            name: normalized(&create.name),
            on: entry.id,
            to,
            rows: create.rows.map(|rows| rows.sql),
            masks,
            created_at_ms: self.engine.clock.now_ms(),
        };
        self.planner(self.snapshot(), Reading::Bounded)
            .check_policy(&entry, &policy)
            .await?;
        self.change_accounts(move |accounts| accounts.create_policy(policy).map(drop))
            .await
    }

    async fn drop_policy(
        &self,
        name: &ast::Ident,
        on: &ast::ObjectName,
        if_exists: bool,
    ) -> Result<()> {
        let entry = self.owned(None, on)?;
        let wanted = normalized(name);
        let accounts = self.accounts();
        let policy = accounts
            .policies_on(entry.id)
            .find(|policy| policy.name == wanted);
        let Some(policy) = policy else {
            if if_exists {
                return Ok(());
            }
            return Err(Error::invalid(
                SqlState::UNDEFINED_OBJECT,
                format!("{} has no policy \"{wanted}\"", entry.describe()),
            )
            .with_position(ident_position(name)));
        };
        let id = policy.id;
        self.change_accounts(move |accounts| {
            accounts.drop_policy(id);
            Ok(())
        })
        .await
    }

    /// An object that belongs to the user.
    fn owned(
        &self,
        kind: Option<weir_sql::statement::ObjectKind>,
        name: &ast::ObjectName,
    ) -> Result<Arc<Entry>> {
        let place = |error: Error| error.with_position(position_of(name));
        let snapshot = self.snapshot();
        let visible = self.rights.visible(&snapshot);
        let entry = match kind {
            Some(kind) => visible.require(catalog_kind(kind)?, &self.object_name(kind, name)?),
            None => visible.relation(&self.name(name)?),
        };
        let entry = entry.map_err(|error| place(error.into()))?;
        self.rights.require_owner(entry, &snapshot).map_err(place)?;
        if entry.is_temporary() {
            return Err(place(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{} is its session's alone", entry.describe()),
            )));
        }
        Ok(Arc::clone(entry))
    }

    /// The user that a statement is about: without a name the one who asks; another only for admins. Where `own_is_fine`, one may do it
    /// for oneself; but not by a token with a scope or an end, which would otherwise make one without.
    fn own_or_administered(
        &self,
        accounts: &Accounts,
        name: Option<&ast::Ident>,
        own_is_fine: bool,
        doing: &str,
    ) -> Result<Arc<Account>> {
        let principal = self.rights.principal();
        let account = match name {
            None => {
                let own = principal.account().and_then(|id| accounts.account(id));
                own.ok_or_else(|| {
                    Error::invalid(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "nobody has signed in here whose it could be",
                    )
                    .with_hint("name a user: FOR …")
                })?
            }
            Some(name) => match accounts.named(&normalized(name)) {
                Some(account) => account,
                // Who is no admin does not learn who is there.
                None => {
                    self.rights.require_admin(doing)?;
                    return Err(unknown(accounts, name));
                }
            },
        };
        let is_own = Some(account.id) == principal.account() && own_is_fine;
        if !is_own {
            self.rights.require_admin(doing)?;
        } else if self.rights.are_lent() && !self.rights.is_admin() {
            // What it made would allow more, or outlive it.
            return Err(denied(format!(
                "permission denied to {doing}: the token has a scope, or expires"
            )));
        }
        Ok(Arc::clone(account))
    }

    fn accounts(&self) -> Arc<Accounts> {
        self.engine.catalog.accounts()
    }

    /// Changes the accounts durably, off the async threads.
    async fn change_accounts(
        &self,
        change: impl FnOnce(&mut Accounts) -> weir_catalog::Result<()> + Send + 'static,
    ) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        let changed = tokio::task::spawn_blocking(move || engine.catalog.change_accounts(change));
        Ok(changed.await.map_err(panicked)??)
    }

    /// What to keep of a password, computed off the async threads.
    async fn verifiers(&self, password: Option<Password>) -> Result<Option<Verifiers>> {
        let Some(Password(password)) = password else {
            return Ok(None);
        };
        if password.chars().count() < PASSWORD_LENGTH_MIN {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("a password has at least {PASSWORD_LENGTH_MIN} characters"),
            ));
        }
        let kept = tokio::task::spawn_blocking(move || verifiers(&password)).await;
        kept.map_err(panicked)?.map(Some)
    }

    /// The moment until which a password is taken; an inner `None` is for ever.
    fn valid_until(&self, text: Option<&str>) -> Result<Option<Option<i64>>> {
        match text {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("infinity") => Ok(Some(None)),
            Some(text) => self
                .milliseconds(&weir_catalog::quote_literal(text))
                .map(|at| Some(Some(at))),
        }
    }

    /// The moment that an expression gives; an interval counts from now.
    fn moment(&self, expr: &SqlExpr) -> Result<i64> {
        match &expr.expr {
            ast::Expr::Interval(_) => self.milliseconds(&format!("now() + {}", expr.sql)),
            _ => self.milliseconds(&expr.sql),
        }
    }

    fn milliseconds(&self, sql: &str) -> Result<i64> {
        let wrong = || {
            Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "a moment is expected, such as TIMESTAMP '2030-01-01 00:00:00' or INTERVAL '30 days'",
            )
        };
        let sql = format!("CAST({sql} AS TIMESTAMP(3))");
        let expr = expression(&self.engine, &sql, &DFSchema::empty())?;
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        let expr = crate::planning::executable(&self.engine.base_state, expr, &DFSchema::empty())?;
        let value = match expr.evaluate(&row)? {
            ColumnarValue::Scalar(value) => value,
            ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0)?,
        };
        match value {
            ScalarValue::TimestampMillisecond(Some(at), _) => Ok(at),
            _ => Err(wrong()),
        }
    }
}

/// The account of a name in a statement; `PUBLIC` is everybody.
fn role_id(accounts: &Accounts, name: &ast::Ident) -> Result<AccountId> {
    let found = accounts.named(&normalized(name));
    found
        .map(|account| account.id)
        .ok_or_else(|| unknown(accounts, name))
}

fn unknown(accounts: &Accounts, name: &ast::Ident) -> Error {
    let error = match accounts.require(&normalized(name)) {
        Err(error) => Error::from(error),
        Ok(account) => Error::unsupported(account.describe()),
    };
    error.with_position(ident_position(name))
}

/// What can be granted on something.
fn possible(on: &RightsOn) -> &'static [Privilege] {
    use Privilege::{Create, Delete, Files, Insert, Select, Update, Usage};
    match on {
        RightsOn::Relations(..) | RightsOn::AllIn(..) => &[Select, Insert, Update, Delete],
        RightsOn::Schemas(_) => &[Create, Usage],
        RightsOn::Connections(_) => &[Usage],
        RightsOn::Server => &[Create, Files],
    }
}

fn privilege(word: &ast::Ident, possible: &[Privilege]) -> Result<Privilege> {
    let found = Privilege::from_sql(&word.value).filter(|privilege| possible.contains(privilege));
    found.ok_or_else(|| {
        let possible: Vec<_> = possible.iter().map(|privilege| privilege.sql()).collect();
        Error::invalid(
            SqlState("0LP01"),
            format!(
                "privilege {} cannot be granted here",
                word.value.to_uppercase()
            ),
        )
        .with_hint(format!("one of {}", possible.join(", ")))
        .with_position(ident_position(word))
    })
}
