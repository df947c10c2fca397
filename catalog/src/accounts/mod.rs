//! Who may come in, and what they may do: users, roles, tokens, grants and policies, in versions.
//!
//! An [`Accounts`] is one version of all of them, immutable once it is current. A change is made on a draft, by functions that
//! know the rules, and becomes true by [`Catalog::change_accounts`](crate::Catalog::change_accounts). What proves somebody's
//! identity is kept only as what it can be compared with: SCRAM's keys, and hashes of tokens.

mod account;
mod grants;
mod policy;
mod rules;
mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use account::{Account, AccountId, AccountKind, ScramKeys, Verifiers};
pub use grants::{Grant, Privilege, Target};
pub use policy::{Policy, PolicyId};
pub use token::{Token, TokenHash, TokenId};

use crate::ObjectId;

/// The role of those who read everything.
pub const READER: AccountId = AccountId(1);
/// The role of those who read and write everything, and create.
pub const WRITER: AccountId = AccountId(2);
/// The role of those who may do everything.
pub const ADMIN: AccountId = AccountId(3);
/// The role that everybody has.
pub const PUBLIC: AccountId = AccountId(4);
/// The first identity that is not built in.
const FIRST_ID: u64 = 100;

/// One version of all users, roles, tokens, grants and policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    version: u64,
    next_id: u64,
    accounts: BTreeMap<AccountId, Arc<Account>>,
    tokens: BTreeMap<TokenId, Arc<Token>>,
    policies: BTreeMap<PolicyId, Arc<Policy>>,
    grants: BTreeMap<(AccountId, Target), Arc<Grant>>,
    by_name: HashMap<String, AccountId>,
    by_hash: HashMap<TokenHash, TokenId>,
}

/// What the store keeps of a version, one record each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A user, or a role that is not built in.
    Account(Account),
    /// A token.
    Token(Token),
    /// A policy.
    Policy(Policy),
    /// What one account may do on one target.
    Grant(Grant),
    /// The version, and the next identity.
    Counters { version: u64, next_id: u64 },
}

/// What tells records apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum RecordKey {
    Account(AccountId),
    Token(TokenId),
    Policy(PolicyId),
    Grant(AccountId, Target),
    Counters,
}

impl Default for Accounts {
    fn default() -> Self {
        let mut this = Self {
            version: 0,
            next_id: FIRST_ID,
            accounts: BTreeMap::new(),
            tokens: BTreeMap::new(),
            policies: BTreeMap::new(),
            grants: BTreeMap::new(),
            by_name: HashMap::new(),
            by_hash: HashMap::new(),
        };
        for (id, name) in [
            (READER, "reader"),
            (WRITER, "writer"),
            (ADMIN, "admin"),
            (PUBLIC, "public"),
        ] {
            this.put_account(Account::role(id, name, 0));
        }
        this
    }
}

impl Accounts {
    /// The number of this version; a change makes the next.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The user or role of this identity.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// The user or role of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name).and_then(|id| self.accounts.get(id))
    }

    /// The user of this name; a role is none.
    pub fn user(&self, name: &str) -> Option<&Arc<Account>> {
        self.named(name)
            .filter(|account| account.kind == AccountKind::User)
    }

    /// All users and roles, the built-in ones first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// All tokens, the oldest first.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.values()
    }

    /// The token whose value has this hash.
    pub fn token_of(&self, hash: &TokenHash) -> Option<&Arc<Token>> {
        self.by_hash.get(hash).and_then(|id| self.tokens.get(id))
    }

    /// The token of this identity.
    pub fn token(&self, id: TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(&id)
    }

    /// All grants.
    pub fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants.values()
    }

    /// What is granted to one account, not counting the roles that it has.
    pub fn grants_to(&self, to: AccountId) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants
            .range((to, Target::Server)..)
            .take_while(move |((grantee, _), _)| *grantee == to)
            .map(|(_, grant)| grant)
    }

    /// All policies, the oldest first.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// The policies on one relation, the oldest first.
    pub fn policies_on(&self, relation: ObjectId) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies
            .values()
            .filter(move |policy| policy.on == relation)
    }

    /// An account and all roles that it has, directly, through other roles, and as everybody does.
    pub fn roles_of(&self, id: AccountId) -> BTreeSet<AccountId> {
        let mut all = BTreeSet::from([id, PUBLIC]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for role in self.account(id).iter().flat_map(|account| &account.roles) {
                if all.insert(*role) {
                    open.push(*role);
                }
            }
        }
        all
    }

    /// A version of these records.
    pub(crate) fn load(records: impl IntoIterator<Item = Record>) -> Self {
        let mut this = Self::default();
        for record in records {
            match record {
                Record::Account(account) => this.put_account(account),
                Record::Token(token) => this.put_token(token),
                Record::Policy(policy) => {
                    this.policies.insert(policy.id, Arc::new(policy));
                }
                Record::Grant(grant) => {
                    let key = (grant.to, grant.on);
                    this.grants.insert(key, Arc::new(grant));
                }
                Record::Counters { version, next_id } => {
                    this.version = version;
                    this.next_id = next_id;
                }
            }
        }
        this
    }

    /// What the store keeps of it.
    pub(crate) fn records(&self) -> BTreeMap<RecordKey, Record> {
        let accounts = self
            .accounts
            .values()
            .filter(|account| !account.is_built_in())
            .map(|account| {
                let record = Record::Account(account.as_ref().clone());
                (RecordKey::Account(account.id), record)
            });
        let tokens = self.tokens.values().map(|token| {
            let record = Record::Token(token.as_ref().clone());
            (RecordKey::Token(token.id), record)
        });
        let policies = self.policies.values().map(|policy| {
            let record = Record::Policy(policy.as_ref().clone());
            (RecordKey::Policy(policy.id), record)
        });
        let grants = self.grants.iter().map(|((to, on), grant)| {
            let record = Record::Grant(grant.as_ref().clone());
            (RecordKey::Grant(*to, *on), record)
        });
        let counters = Record::Counters {
            version: self.version,
            next_id: self.next_id,
        };
        accounts
            .chain(tokens)
            .chain(policies)
            .chain(grants)
            .chain([(RecordKey::Counters, counters)])
            .collect()
    }

    /// The version after this one, to be changed.
    pub(crate) fn draft(&self) -> Self {
        Self {
            version: self.version + 1,
            ..self.clone()
        }
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn put_account(&mut self, account: Account) {
        if let Some(earlier) = self.accounts.get(&account.id) {
            self.by_name.remove(&earlier.name);
        }
        self.by_name.insert(account.name.clone(), account.id);
        self.accounts.insert(account.id, Arc::new(account));
    }

    fn put_token(&mut self, token: Token) {
        self.by_hash.insert(token.hash, token.id);
        self.tokens.insert(token.id, Arc::new(token));
    }
}
