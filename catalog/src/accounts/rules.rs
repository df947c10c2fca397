//! What may become of users, roles, tokens, grants and policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_base::SqlState;
use weir_base::nearest::nearest;

use super::{
    ADMIN, Account, AccountId, AccountKind, Accounts, Grant, PUBLIC, Policy, PolicyId, Privilege,
    Target, Token, TokenHash, TokenId, Verifiers,
};
use crate::{Error, ObjectId, Result};

/// As of other names, see `check_name`.
const NAME_BYTES_MAX: usize = 63;

impl Accounts {
    /// The user or role of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] that names the nearest one.
    pub fn require(&self, name: &str) -> Result<&Arc<Account>> {
        self.named(name).ok_or_else(|| Error::NotFound {
            what: "role".to_owned(),
            name: name.to_owned(),
            hint: nearest(name, self.all().map(|account| account.name.as_str()))
                .map(|near| format!("did you mean \"{near}\"?")),
            sqlstate: SqlState::UNDEFINED_OBJECT,
        })
    }

    /// Makes a user or a role.
    ///
    /// # Errors
    /// When the name is taken or cannot be one.
    pub fn create_account(
        &mut self,
        kind: AccountKind,
        name: &str,
        verifiers: Option<Verifiers>,
        now_ms: i64,
    ) -> Result<AccountId> {
        check_name(name)?;
        if let Some(taken) = self.named(name) {
            return Err(Error::rule(
                SqlState::DUPLICATE_OBJECT,
                format!("{} already exists", taken.describe()),
                None,
            ));
        }
        let id = AccountId(self.next_id());
        self.put_account(Account {
            kind,
            verifiers,
            may_sign_in: kind == AccountKind::User,
            ..Account::role(id, name, now_ms)
        });
        Ok(id)
    }

    /// Changes a user or role, but not its identity.
    ///
    /// # Errors
    /// When it is built in, or its new name is taken.
    pub fn change_account(
        &mut self,
        id: AccountId,
        change: impl FnOnce(&mut Account),
    ) -> Result<()> {
        let mut account = self.changeable(id)?.as_ref().clone();
        change(&mut account);
        if let Some(other) = self.named(&account.name)
            && other.id != id
        {
            return Err(Error::rule(
                SqlState::DUPLICATE_OBJECT,
                format!("{} already exists", other.describe()),
                None,
            ));
        }
        check_name(&account.name)?;
        account.id = id;
        self.put_account(account);
        Ok(())
    }

    /// Removes a user or role with its tokens, its grants and its place in policies and other roles.
    ///
    /// # Errors
    /// When it is built in, or is the only one to whom a policy applies.
    pub fn drop_account(&mut self, id: AccountId) -> Result<()> {
        let account = Arc::clone(self.changeable(id)?);
        let alone = self
            .policies
            .values()
            .find(|policy| policy.to.len() == 1 && policy.to.contains(&id));
        if let Some(policy) = alone {
            return Err(Error::rule(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "{} cannot be dropped: policy \"{}\" applies to nobody else",
                    account.describe(),
                    policy.name
                ),
                "drop the policy first",
            ));
        }
        self.accounts.remove(&id);
        self.by_name.remove(&account.name);
        let tokens: Vec<TokenId> = self
            .tokens
            .values()
            .filter(|token| token.user == id)
            .map(|token| token.id)
            .collect();
        for token in tokens {
            self.drop_token(token);
        }
        self.grants.retain(|(to, _), _| *to != id);
        for policy in self.policies.values_mut() {
            if policy.to.contains(&id) {
                Arc::make_mut(policy).to.remove(&id);
            }
        }
        for other in self.accounts.values_mut() {
            if other.roles.contains(&id) {
                Arc::make_mut(other).roles.remove(&id);
            }
        }
        Ok(())
    }

    /// Gives a role to a user or role.
    ///
    /// # Errors
    /// When it is not a role, or the role would have itself.
    pub fn grant_role(&mut self, role: AccountId, to: AccountId) -> Result<()> {
        let given = self.required(role)?;
        if given.kind != AccountKind::Role || role == PUBLIC {
            return Err(Error::rule(
                SqlState("0LP01"),
                format!("{} cannot be granted", given.describe()),
                "grant a role",
            ));
        }
        if self.roles_of(role).contains(&to) {
            return Err(Error::rule(
                SqlState("0LP01"),
                format!("{} would have itself", given.describe()),
                None,
            ));
        }
        let mut account = self.changeable(to)?.as_ref().clone();
        account.roles.insert(role);
        self.put_account(account);
        Ok(())
    }

    /// Takes a role from a user or role.
    ///
    /// # Errors
    /// When the one who has it is built in.
    pub fn revoke_role(&mut self, role: AccountId, from: AccountId) -> Result<()> {
        let mut account = self.changeable(from)?.as_ref().clone();
        account.roles.remove(&role);
        self.put_account(account);
        Ok(())
    }

    /// Adds to what somebody may do on a target.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn grant(
        &mut self,
        to: AccountId,
        on: Target,
        privileges: impl IntoIterator<Item = Privilege>,
    ) -> Result<()> {
        self.required(to)?;
        let mut all: BTreeSet<Privilege> = privileges.into_iter().collect();
        if let Some(earlier) = self.grants.get(&(to, on)) {
            all.extend(&earlier.privileges);
        }
        if !all.is_empty() {
            let grant = Grant {
                to,
                on,
                privileges: all,
            };
            self.grants.insert((to, on), Arc::new(grant));
        }
        Ok(())
    }

    /// Takes from what somebody may do on a target.
    pub fn revoke(
        &mut self,
        from: AccountId,
        on: Target,
        privileges: impl IntoIterator<Item = Privilege>,
    ) {
        let key = (from, on);
        let Some(earlier) = self.grants.get(&key) else {
            return;
        };
        let mut left = earlier.as_ref().clone();
        for privilege in privileges {
            left.privileges.remove(&privilege);
        }
        if left.privileges.is_empty() {
            self.grants.remove(&key);
        } else {
            self.grants.insert(key, Arc::new(left));
        }
    }

    /// Keeps a token. Its identity is given here.
    ///
    /// # Errors
    /// When the user has one of that name, or is none.
    pub fn create_token(&mut self, mut token: Token) -> Result<TokenId> {
        check_name(&token.name)?;
        let user = Arc::clone(self.required(token.user)?);
        if user.kind != AccountKind::User {
            return Err(Error::rule(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "{} cannot sign in, so that it has no tokens",
                    user.describe()
                ),
                "name a user",
            ));
        }
        if self.token_named(token.user, &token.name).is_some() {
            return Err(Error::rule(
                SqlState::DUPLICATE_OBJECT,
                format!("{} already has a token \"{}\"", user.describe(), token.name),
                None,
            ));
        }
        token.id = TokenId(self.next_id());
        let id = token.id;
        self.put_token(token);
        Ok(id)
    }

    /// The token of this name that a user has.
    pub fn token_named(&self, user: AccountId, name: &str) -> Option<&Arc<Token>> {
        self.tokens
            .values()
            .find(|token| token.user == user && token.name == name)
    }

    /// Removes a token; nobody signs in by it any more.
    pub fn drop_token(&mut self, id: TokenId) {
        if let Some(token) = self.tokens.remove(&id) {
            let hash: &TokenHash = &token.hash;
            self.by_hash.remove(hash);
        }
    }

    /// Makes a policy. Its identity is given here.
    ///
    /// # Errors
    /// When the relation has one of that name.
    pub fn create_policy(&mut self, mut policy: Policy) -> Result<PolicyId> {
        check_name(&policy.name)?;
        if self
            .policies_on(policy.on)
            .any(|other| other.name == policy.name)
        {
            return Err(Error::rule(
                SqlState::DUPLICATE_OBJECT,
                format!("policy \"{}\" already exists", policy.name),
                None,
            ));
        }
        policy.id = PolicyId(self.next_id());
        let id = policy.id;
        self.policies.insert(id, Arc::new(policy));
        Ok(id)
    }

    /// Removes a policy.
    pub fn drop_policy(&mut self, id: PolicyId) {
        self.policies.remove(&id);
    }

    /// Forgets what was granted on, and which policies are about, objects that are gone.
    pub fn forget_objects(&mut self, is_gone: impl Fn(ObjectId) -> bool) {
        self.grants.retain(|(_, on), _| match on {
            Target::Object(id) | Target::AllIn { schema: id, .. } => !is_gone(*id),
            Target::Server => true,
        });
        self.policies.retain(|_, policy| !is_gone(policy.on));
    }

    /// Whether somebody can sign in who may do everything.
    pub fn has_admin(&self) -> bool {
        self.all().any(|account| {
            account.kind == AccountKind::User
                && account.may_sign_in
                && self.roles_of(account.id).contains(&ADMIN)
        })
    }

    /// Whether somebody who may do everything has something to sign in with: a password, or a token that allows it all.
    pub fn lets_an_admin_in(&self, now_ms: i64) -> bool {
        self.all().any(|account| {
            let has_password = account.verifiers.is_some()
                && account.valid_until_ms.is_none_or(|until| until > now_ms);
            let has_token = || {
                self.tokens().any(|token| {
                    token.user == account.id && token.scope.is_none() && !token.has_expired(now_ms)
                })
            };
            account.kind == AccountKind::User
                && account.may_sign_in
                && self.roles_of(account.id).contains(&ADMIN)
                && (has_password || has_token())
        })
    }

    fn required(&self, id: AccountId) -> Result<&Arc<Account>> {
        self.account(id).ok_or_else(|| Error::NotFound {
            what: "role".to_owned(),
            name: id.0.to_string(),
            hint: Some("it was dropped meanwhile".to_owned()),
            sqlstate: SqlState::UNDEFINED_OBJECT,
        })
    }

    fn changeable(&self, id: AccountId) -> Result<&Arc<Account>> {
        let account = self.required(id)?;
        if account.is_built_in() {
            return Err(Error::rule(
                SqlState("2BP01"),
                format!("{} is built in", account.describe()),
                None,
            ));
        }
        Ok(account)
    }

    /// Whether this may follow on `earlier`.
    ///
    /// # Errors
    /// When nobody would be left who can help the others in.
    pub(crate) fn may_follow(&self, earlier: &Self) -> Result<()> {
        if earlier.has_admin() && !self.has_admin() {
            return Err(Error::rule(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                "nobody would be left who may sign in and has the role \"admin\"",
                "give another user the role first",
            ));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    let wrong = |message: String| Err(Error::rule(SqlState("42602"), message, None));
    if name.is_empty() || name.chars().any(char::is_control) {
        return wrong(format!("{name:?} cannot be a name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return wrong(format!(
            "name \"{name}\" is longer than {NAME_BYTES_MAX} bytes"
        ));
    }
    if name.starts_with("pg_") || matches!(name, "none" | "current_user" | "session_user") {
        return Err(Error::rule(
            SqlState("42939"),
            format!("name \"{name}\" is reserved"),
            "choose another name",
        ));
    }
    Ok(())
}
