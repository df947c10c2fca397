//! `weir.users`, `weir.roles`, `weir.grants`, `weir.tokens`, `weir.policies`: all for admins, else what is the reader's own.

use weir_catalog::accounts::{Account, AccountId, AccountKind, Accounts, Target};

use super::System;
use super::rows::{Definition, Type, Value};
use Type::{Bool, Text, Time};

pub(super) static TABLES: [Definition; 5] = [USERS, ROLES, GRANTS, TOKENS, POLICIES];

const USERS: Definition = Definition {
    name: "users",
    columns: &[
        ("name", Text),
        ("may_sign_in", Bool),
        ("has_password", Bool),
        ("valid_until", Time),
        ("roles", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        let accounts = system.rights.accounts();
        for account in shown(system, AccountKind::User) {
            rows.push([
                ("name", (&account.name).into()),
                ("may_sign_in", account.may_sign_in.into()),
                ("has_password", account.verifiers.is_some().into()),
                (
                    "valid_until",
                    account.valid_until_ms.map(Value::Time).into(),
                ),
                ("roles", names(accounts, &account.roles)),
                ("created_at", Value::Time(account.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

const ROLES: Definition = Definition {
    name: "roles",
    columns: &[
        ("name", Text),
        ("built_in", Bool),
        ("roles", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        let accounts = system.rights.accounts();
        for account in shown(system, AccountKind::Role) {
            // The built-in ones are there from the start, which no clock was asked for.
            let created_at = (!account.is_built_in()).then_some(Value::Time(account.created_at_ms));
            rows.push([
                ("name", (&account.name).into()),
                ("built_in", account.is_built_in().into()),
                ("roles", names(accounts, &account.roles)),
                ("created_at", created_at.into()),
            ])?;
        }
        Ok(())
    },
};

const GRANTS: Definition = Definition {
    name: "grants",
    columns: &[
        ("grantee", Text),
        ("privilege", Text),
        ("kind", Text),
        ("schema", Text),
        ("name", Text),
    ],
    fill: |system, rows| {
        let accounts = system.rights.accounts();
        for grant in accounts.grants() {
            let Some(grantee) = accounts.account(grant.to).filter(|to| is_shown(system, to)) else {
                continue;
            };
            let entry = |id| system.catalog.by_id(id);
            let (kind, schema, name) = match grant.on {
                Target::Server => ("SERVER".to_owned(), None, None),
                Target::Object(id) => match entry(id) {
                    Some(entry) => (
                        entry.kind().sql().to_owned(),
                        Some(entry.name.schema.clone()).filter(|schema| !schema.is_empty()),
                        Some(entry.name.name.clone()),
                    ),
                    // It was dropped, or is not there for the reader.
                    None => continue,
                },
                Target::AllIn { schema, kind } => match entry(schema) {
                    Some(schema) => (
                        format!("ALL {}S", kind.map_or("TABLE", |kind| kind.sql())),
                        Some(schema.name.name.clone()),
                        None,
                    ),
                    None => continue,
                },
            };
            for privilege in &grant.privileges {
                rows.push([
                    ("grantee", (&grantee.name).into()),
                    ("privilege", privilege.sql().into()),
                    ("kind", kind.clone().into()),
                    ("schema", schema.clone().into()),
                    ("name", name.clone().into()),
                ])?;
            }
        }
        Ok(())
    },
};

const TOKENS: Definition = Definition {
    name: "tokens",
    columns: &[
        ("user", Text),
        ("name", Text),
        ("scope", Text),
        ("expires_at", Time),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        let accounts = system.rights.accounts();
        for token in accounts.tokens() {
            let own = system.rights.principal().account() == Some(token.user);
            let Some(user) = accounts
                .account(token.user)
                .filter(|_| own || system.rights.is_admin())
            else {
                continue;
            };
            let scope = token.scope.as_ref().map(|scope| {
                let words: Vec<_> = scope.iter().map(|privilege| privilege.sql()).collect();
                words.join(", ")
            });
            rows.push([
                ("user", (&user.name).into()),
                ("name", (&token.name).into()),
                ("scope", scope.into()),
                ("expires_at", token.expires_at_ms.map(Value::Time).into()),
                ("created_at", Value::Time(token.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

const POLICIES: Definition = Definition {
    name: "policies",
    columns: &[
        ("schema", Text),
        ("relation", Text),
        ("name", Text),
        ("roles", Text),
        ("rows", Text),
        ("masks", Text),
        ("created_at", Time),
    ],
    fill: |system, rows| {
        let accounts = system.rights.accounts();
        for policy in accounts.policies() {
            // What hides something from somebody is for those who hide it.
            let Some(entry) = system
                .catalog
                .by_id(policy.on)
                .filter(|entry| system.rights.owns(entry))
            else {
                continue;
            };
            let masks: Vec<String> = policy
                .masks
                .iter()
                .map(|(column, mask)| format!("{} AS {mask}", weir_catalog::quote_ident(column)))
                .collect();
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("relation", (&entry.name.name).into()),
                ("name", (&policy.name).into()),
                ("roles", names(accounts, &policy.to)),
                ("rows", policy.rows.as_ref().into()),
                (
                    "masks",
                    (!masks.is_empty()).then(|| masks.join(", ")).into(),
                ),
                ("created_at", Value::Time(policy.created_at_ms)),
            ])?;
        }
        Ok(())
    },
};

/// The users or roles that the reader may know of.
fn shown(system: &System, kind: AccountKind) -> impl Iterator<Item = &Account> {
    let all = system.rights.accounts().all().map(AsRef::as_ref);
    all.filter(move |account: &&Account| account.kind == kind && is_shown(system, account))
}

/// Admins know of everybody; others of themselves and their roles.
fn is_shown(system: &System, account: &Account) -> bool {
    system.rights.is_admin() || system.rights.has_role(account.id) || account.is_built_in()
}

fn names<'a>(accounts: &Accounts, ids: impl IntoIterator<Item = &'a AccountId>) -> Value {
    let names: Vec<&str> = ids
        .into_iter()
        .filter_map(|id| Some(accounts.account(*id)?.name.as_str()))
        .collect();
    (!names.is_empty()).then(|| names.join(", ")).into()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use weir_catalog::ObjectId;
    use weir_catalog::accounts::{
        AccountKind, Accounts, Policy, PolicyId, Privilege, Target, Token, TokenHash, TokenId,
    };

    /// A user with a role, a token, and rights and a policy on one relation.
    pub(in crate::system) fn accounts(relation: ObjectId) -> Accounts {
        let mut accounts = Accounts::default();
        let user = accounts
            .create_account(AccountKind::User, "ada", None, 0)
            .unwrap();
        let role = accounts
            .create_account(AccountKind::Role, "readers", None, 0)
            .unwrap();
        accounts.grant_role(role, user).unwrap();
        accounts
            .grant(role, Target::Object(relation), [Privilege::Select])
            .unwrap();
        let token = Token {
            id: TokenId(0),
            name: "laptop".to_owned(),
            user,
            hash: TokenHash([7; 32]),
            scope: None,
            expires_at_ms: None,
            created_at_ms: 0,
        };
        accounts.create_token(token).unwrap();
        let policy = Policy {
            id: PolicyId(0),
            name: "cheap".to_owned(),
            on: relation,
            to: BTreeSet::from([role]),
            rows: Some("price < 100".to_owned()),
            masks: BTreeMap::new(),
            created_at_ms: 0,
        };
        accounts.create_policy(policy).unwrap();
        accounts
    }
}
