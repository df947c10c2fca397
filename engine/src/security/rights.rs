//! What somebody may do, from the grants of the user and its roles.
//!
//! [`Rights`] belong to one version of the accounts, and decide about entries of the catalog, not about text. What somebody has
//! no right at all on is not there for them: it is left out of lists, and asking for it gives the same error as for a name that
//! does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use weir_base::{Kind, SqlState};
use weir_catalog::accounts::{ADMIN, Policy, READER, Target, WRITER};
use weir_catalog::{AccountId, Accounts, DEFAULT_SCHEMA, Entry, ObjectKind, Privilege, Snapshot};

use super::Principal;
use crate::error::{Error, Result};

/// What one principal may do, in one version of the accounts.
#[derive(Debug, Clone)]
pub struct Rights {
    principal: Principal,
    accounts: Arc<Accounts>,
    /// The user, and all roles that it has.
    roles: BTreeSet<AccountId>,
    /// All that the token allows; `None` is everything.
    scope: Option<BTreeSet<Privilege>>,
    granted: BTreeMap<Target, BTreeSet<Privilege>>,
    /// The catalog that was looked at last, and what of it is there for this one. Its version would not tell: a transaction has
    /// catalogs of its own.
    visible: Arc<Mutex<Option<[Arc<Snapshot>; 2]>>>,
}

impl Rights {
    /// The operator's: everything.
    pub(crate) fn operator(accounts: Arc<Accounts>) -> Self {
        Self {
            principal: Principal::operator(),
            accounts,
            roles: BTreeSet::from([ADMIN]),
            scope: None,
            granted: BTreeMap::new(),
            visible: Arc::default(),
        }
    }

    /// Those of `principal` at `now_ms`.
    ///
    /// # Errors
    /// 28000 when the user or its token is gone, has expired, or may no longer sign in.
    pub(crate) fn of(principal: &Principal, accounts: Arc<Accounts>, now_ms: i64) -> Result<Self> {
        let Some(id) = principal.account() else {
            return Ok(Self::operator(accounts));
        };
        let user = accounts.account(id).filter(|user| user.may_sign_in);
        let user = user.ok_or_else(|| super::sign_in::may_not(principal.user()))?;
        // Policies name users: somebody else may have the name by now by which this one signed in.
        let principal = &match user.name == principal.user() {
            true => principal.clone(),
            false => {
                let roles = principal.roles().to_vec();
                Principal::new(user.name.as_str(), id, principal.token(), roles)
            }
        };
        let scope = match principal.token() {
            None => None,
            Some(token) => {
                let token = accounts.token(token);
                let token = token.filter(|token| !token.has_expired(now_ms));
                let token = token.ok_or_else(|| {
                    Error::new(Kind::Denied, "the token has expired or was revoked")
                        .with_sqlstate(SqlState::INVALID_AUTHORIZATION)
                })?;
                token.scope.clone()
            }
        };
        Ok(Self::of_account(principal.clone(), id, accounts, scope))
    }

    /// Those of the owner of an object, with which its query runs, whoever reads it; but the server's own work, which keeps what was
    /// allowed when it began, goes on with those of the operator.
    pub(crate) fn of_owner(&self, owner: Option<AccountId>) -> Self {
        match owner.filter(|_| !self.principal.is_operator()) {
            None => Self::operator(Arc::clone(&self.accounts)),
            Some(id) => {
                // An owner that was dropped may do nothing.
                let name = self.accounts.account(id).map(|user| user.name.clone());
                let owner = Principal::new(name.unwrap_or_default(), id, None, Vec::new());
                Self::of_account(owner, id, Arc::clone(&self.accounts), None)
            }
        }
    }

    fn of_account(
        principal: Principal,
        id: AccountId,
        accounts: Arc<Accounts>,
        scope: Option<BTreeSet<Privilege>>,
    ) -> Self {
        let roles = accounts.roles_of(id);
        let mut granted: BTreeMap<Target, BTreeSet<Privilege>> = BTreeMap::new();
        for grant in roles.iter().flat_map(|role| accounts.grants_to(*role)) {
            let all = granted.entry(grant.on).or_default();
            all.extend(&grant.privileges);
        }
        Self {
            principal,
            accounts,
            roles,
            scope,
            granted,
            visible: Arc::default(),
        }
    }

    /// Whether they are still those of their user.
    pub(crate) fn still_hold(&self, accounts: &Arc<Accounts>, now_ms: i64) -> bool {
        Arc::ptr_eq(&self.accounts, accounts) && self.expire_at_ms().is_none_or(|at| at > now_ms)
    }

    /// Whose they are.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether everything is allowed: to the operator, and to who has the role `admin`, but not by a token with a scope.
    pub fn is_admin(&self) -> bool {
        self.scope.is_none() && self.roles.contains(&ADMIN)
    }

    /// The version of the accounts that they belong to.
    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Whether this is the user, or a role that it has.
    pub(crate) fn has_role(&self, id: AccountId) -> bool {
        self.roles.contains(&id)
    }

    /// Whether they come by a token that allows less, or for less long, than the user's password does.
    pub(crate) fn are_lent(&self) -> bool {
        self.scope.is_some() || self.expire_at_ms().is_some()
    }

    /// When the token that they come with is no longer taken, in milliseconds since the Unix epoch.
    pub(crate) fn expire_at_ms(&self) -> Option<i64> {
        let token = self.principal.token()?;
        self.accounts.token(token)?.expires_at_ms
    }

    /// Whether the object belongs to the user or to one of its roles: they change it, drop it, and grant on it.
    pub fn owns(&self, entry: &Entry) -> bool {
        let is_owner = entry.owner.is_some_and(|owner| self.roles.contains(&owner));
        let in_scope = self.scope.as_ref();
        let in_scope = in_scope.is_none_or(|scope| scope.contains(&Privilege::Create));
        self.is_admin() || (is_owner && in_scope)
    }

    /// Whether the object may be used in this way.
    pub fn allows(&self, privilege: Privilege, entry: &Entry, snapshot: &Snapshot) -> bool {
        if self.is_admin() {
            return true;
        }
        if !self.in_scope(privilege) {
            return false;
        }
        let schema = match entry.kind() {
            ObjectKind::Schema => Some(entry.id),
            ObjectKind::Connection => None,
            _ => snapshot.schema(&entry.name.schema).map(|schema| schema.id),
        };
        let is_owner = entry.owner.is_some_and(|owner| self.roles.contains(&owner));
        // Who owns a schema does not own what others made there.
        is_owner
            || self.by_built_in_role(privilege, entry.kind())
            || self.has(&Target::Object(entry.id), privilege)
            || schema
                .filter(|_| entry.kind().is_relation())
                .is_some_and(|schema| {
                    let kind = Some(entry.kind());
                    self.has(&Target::AllIn { schema, kind }, privilege)
                        || self.has(&Target::AllIn { schema, kind: None }, privilege)
                })
    }

    /// Whether all relations may be read: by the built-in roles.
    pub fn reads_everything(&self) -> bool {
        let has = |role| self.roles.contains(&role);
        self.in_scope(Privilege::Select) && (has(ADMIN) || has(WRITER) || has(READER))
    }

    /// Whether what belongs to no schema may be made and changed, the schema registry among it.
    pub fn defines_on_server(&self) -> bool {
        self.allows_on_server(Privilege::Create)
    }

    /// Whether something is allowed that belongs to no object: files, new schemas and connections, new topics.
    pub fn allows_on_server(&self, privilege: Privilege) -> bool {
        self.is_admin()
            || (self.in_scope(privilege)
                && (self.has(&Target::Server, privilege)
                    || self.roles.contains(&ADMIN)
                    || (privilege == Privilege::Create && self.roles.contains(&WRITER))))
    }

    /// Whether the object is there for this one: whether anything at all may be done with it, or with something in it.
    pub fn sees(&self, entry: &Entry, snapshot: &Snapshot) -> bool {
        if self.is_admin() || self.owns(entry) {
            return true;
        }
        match entry.kind() {
            ObjectKind::Schema => {
                entry.name.name == DEFAULT_SCHEMA
                    || self.allows(Privilege::Create, entry, snapshot)
                    || self.has_any(&Target::Object(entry.id))
                    || self
                        .granted
                        .keys()
                        .any(|on| matches!(on, Target::AllIn { schema, .. } if *schema == entry.id))
                    || snapshot
                        .relations_in(&entry.name.name)
                        .any(|entry| self.sees(entry, snapshot))
            }
            _ => Privilege::ALL
                .into_iter()
                .any(|privilege| self.allows(privilege, entry, snapshot)),
        }
    }

    /// The catalog with what is there for this one.
    pub(crate) fn visible(&self, snapshot: &Arc<Snapshot>) -> Arc<Snapshot> {
        if self.is_admin() {
            return Arc::clone(snapshot);
        }
        let mut known = self.visible.lock();
        if let Some([all, visible]) = known.as_ref()
            && Arc::ptr_eq(all, snapshot)
        {
            return Arc::clone(visible);
        }
        let visible = Arc::new(snapshot.filtered(|entry| self.sees(entry, snapshot)));
        *known = Some([Arc::clone(snapshot), Arc::clone(&visible)]);
        visible
    }

    /// The policies that this one is subject to on a relation. Owners and admins are subject to none.
    pub(crate) fn policies_on(&self, entry: &Entry) -> Vec<Arc<Policy>> {
        let is_owner = entry.owner.is_some_and(|owner| self.roles.contains(&owner));
        if is_owner || self.roles.contains(&ADMIN) {
            return Vec::new();
        }
        self.accounts
            .policies_on(entry.id)
            .filter(|policy| policy.to.iter().any(|to| self.roles.contains(to)))
            .cloned()
            .collect()
    }

    /// Refuses what [`Self::allows`] does not allow.
    ///
    /// # Errors
    /// 42501 with object and privilege; or, for what is not there for this one, that it is not there.
    pub(crate) fn require(
        &self,
        privilege: Privilege,
        entry: &Entry,
        snapshot: &Arc<Snapshot>,
    ) -> Result<()> {
        if self.allows(privilege, entry, snapshot) {
            return Ok(());
        }
        self.require_seen(entry, snapshot)?;
        let mut error = denied(format!(
            "permission denied for {}: {privilege} is not granted to \"{}\"",
            entry.describe(),
            self.principal.user()
        ));
        if self.scope.is_some() {
            error = error.with_hint("the token's scope may be what is missing");
        }
        Err(error)
    }

    /// Refuses who does not own the object.
    ///
    /// # Errors
    /// As [`Self::require`].
    pub(crate) fn require_owner(&self, entry: &Entry, snapshot: &Arc<Snapshot>) -> Result<()> {
        if self.owns(entry) {
            return Ok(());
        }
        self.require_seen(entry, snapshot)?;
        Err(denied(format!(
            "permission denied for {}: \"{}\" is not its owner",
            entry.describe(),
            self.principal.user()
        )))
    }

    /// Refuses what [`Self::allows_on_server`] does not allow; `doing` says what.
    ///
    /// # Errors
    /// 42501.
    pub(crate) fn require_on_server(&self, privilege: Privilege, doing: &str) -> Result<()> {
        if self.allows_on_server(privilege) {
            return Ok(());
        }
        Err(denied(format!(
            "permission denied to {doing}: {privilege} ON SERVER is not granted to \"{}\"",
            self.principal.user()
        )))
    }

    /// Refuses who may not do everything; `doing` says what.
    ///
    /// # Errors
    /// 42501.
    pub(crate) fn require_admin(&self, doing: &str) -> Result<()> {
        if self.is_admin() {
            return Ok(());
        }
        Err(denied(format!(
            "permission denied to {doing}: \"{}\" does not have the role \"admin\"",
            self.principal.user()
        )))
    }

    /// What is not there for this one is not there.
    fn require_seen(&self, entry: &Entry, snapshot: &Arc<Snapshot>) -> Result<()> {
        if self.sees(entry, snapshot) {
            return Ok(());
        }
        let visible = self.visible(snapshot);
        let found = match entry.kind() {
            kind if !kind.is_relation() => visible.require(kind, &entry.name),
            _ => visible.relation(&entry.name),
        };
        found.map(|_| ()).map_err(Error::from)
    }

    fn in_scope(&self, privilege: Privilege) -> bool {
        self.scope
            .as_ref()
            .is_none_or(|scope| scope.contains(&privilege))
    }

    fn by_built_in_role(&self, privilege: Privilege, kind: ObjectKind) -> bool {
        let has = |role| self.roles.contains(&role);
        match privilege {
            // Whoever has it without a scope was let through before.
            _ if has(ADMIN) => true,
            Privilege::Select => kind.is_relation() && (has(READER) || has(WRITER)),
            Privilege::Insert | Privilege::Update | Privilege::Delete => {
                kind.is_relation() && has(WRITER)
            }
            Privilege::Create => kind == ObjectKind::Schema && has(WRITER),
            Privilege::Usage => kind == ObjectKind::Connection && has(WRITER),
            Privilege::Files => false,
        }
    }

    fn has(&self, on: &Target, privilege: Privilege) -> bool {
        self.granted
            .get(on)
            .is_some_and(|granted| granted.contains(&privilege))
    }

    fn has_any(&self, on: &Target) -> bool {
        self.granted.contains_key(on)
    }
}

/// What is not allowed.
pub(crate) fn denied(message: String) -> Error {
    Error::new(Kind::Denied, message).with_sqlstate(SqlState::INSUFFICIENT_PRIVILEGE)
}
