//! Signing in: comparing what is shown with what is kept, slowly for who guesses and quickly for who comes back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, SemaphorePermit};
use weir_base::{Kind, SqlState};
use weir_catalog::accounts::{Token, TokenId};
use weir_catalog::{Account, AccountId, Accounts};

use super::password::{matches, mock_keys, random};
use super::scram::wrong_password;
use super::throttle::Throttle;
use super::tokens::{hash_of, looks_like_a_token};
use super::{AuditEvent, Credentials, Principal, ScramHash, ScramVerifier};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Passwords that are hashed at once: each takes a core for some milliseconds.
const HASHED_AT_ONCE: usize = 2;
/// Sign-ins of one user by one token from one address are noted once in so long.
const NOTED_EVERY_MS: i64 = 5 * 60_000;
/// Bytes that are shown of a name that somebody signs in with.
const SHOWN_BYTES: usize = 64;
/// Right passwords that are remembered, as a keyed hash, for clients that send theirs with every request.
const REMEMBERED_MAX: usize = 1_000;

/// Who signed in, by which token, from where.
type Entrance = (AccountId, Option<TokenId>, IpAddr);

/// What signing in needs to remember.
#[derive(Debug)]
pub(crate) struct SignIns {
    throttle: Mutex<Throttle>,
    hashing: Semaphore,
    /// Of this process alone: what is derived from it is worth nothing elsewhere.
    secret: [u8; 32],
    remembered: Mutex<HashMap<AccountId, Remembered>>,
    /// When who signed in from where was last noted.
    noted: Mutex<HashMap<Entrance, i64>>,
}

#[derive(Debug)]
struct Remembered {
    /// The stored key that the password was found to fit; a new password has another.
    stored_key: Vec<u8>,
    password: [u8; 32],
}

impl SignIns {
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            throttle: Mutex::default(),
            hashing: Semaphore::new(HASHED_AT_ONCE),
            secret: random()?,
            remembered: Mutex::default(),
            noted: Mutex::default(),
        })
    }

    /// Whether a sign-in is to be noted: clients without connections sign in with every request.
    fn is_news(&self, principal: &Principal, from: IpAddr, now_ms: i64) -> bool {
        let Some(account) = principal.account() else {
            return false;
        };
        let mut noted = self.noted.lock();
        if noted.len() >= REMEMBERED_MAX {
            noted.clear();
        }
        let last = noted.insert((account, principal.token(), from), now_ms);
        let is_news = last.is_none_or(|last| now_ms - last >= NOTED_EVERY_MS);
        if let (false, Some(last)) = (is_news, last) {
            noted.insert((account, principal.token(), from), last);
        }
        is_news
    }

    fn keyed(&self, password: &str) -> [u8; 32] {
        use hmac::Mac;
        // Keys of every length are taken.
        hmac::Hmac::<Sha256>::new_from_slice(&self.secret)
            .map(|mac| mac.chain_update(password).finalize().into_bytes().into())
            .unwrap_or_default()
    }

    fn remembers(&self, account: &Account, password: &str) -> bool {
        let stored_key = account
            .verifiers
            .as_ref()
            .map(|keys| &keys.sha256.stored_key);
        let remembered = self.remembered.lock();
        let Some(known) = remembered.get(&account.id) else {
            return false;
        };
        Some(&known.stored_key) == stored_key && known.password.ct_eq(&self.keyed(password)).into()
    }

    fn remember(&self, account: &Account, password: &str) {
        let Some(keys) = &account.verifiers else {
            return;
        };
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(
            account.id,
            Remembered {
                stored_key: keys.sha256.stored_key.clone(),
                password: self.keyed(password),
            },
        );
    }
}

impl Engine {
    /// Whether nobody gets a session without credentials.
    pub fn requires_sign_in(&self) -> bool {
        self.0.settings.auth
    }

    /// Who it is that shows these credentials, at the address `from`.
    ///
    /// # Errors
    /// 28P01 when name, password or token are not right, which of them is not said; 28000 when the user may not sign in, or
    /// has to wait after failures ([`Error::retry_after`]).
    pub async fn sign_in(&self, credentials: Credentials, from: IpAddr) -> Result<Principal> {
        let named = credentials.to_string();
        // Nobody guesses 256 bits: a token that is right need not wait for what others at its address got wrong.
        let guesses = match &credentials {
            Credentials::Token(_) => false,
            Credentials::Password { password, .. } => !looks_like_a_token(password.expose()),
        };
        if guesses {
            self.may_try(&named, from)?;
        }
        let accounts = self.0.catalog.accounts();
        // Kept until a failure is counted, so that who waits for it is told.
        let mut place = None;
        let found = match &credentials {
            Credentials::Token(value) => self.token_of(&accounts, None, value.expose()),
            Credentials::Password { user, password } if looks_like_a_token(password.expose()) => {
                self.token_of(&accounts, Some(user), password.expose())
            }
            Credentials::Password { user, password } => {
                self.password_of(&accounts, user, password.expose(), from, &mut place)
                    .await?
            }
        };
        let admitted =
            found.and_then(|(account, token)| self.admit(&accounts, &account, token.as_deref()));
        match admitted {
            Ok(principal) => {
                self.let_in(&named, &principal, from);
                Ok(principal)
            }
            Err(error) => {
                // Who got tokens wrong waits before it is told so again.
                if !guesses {
                    self.may_try(&named, from)?;
                }
                self.failed_to_sign_in(&named, from);
                Err(error)
            }
        }
    }

    /// The principal of a user who has proved a password to the door itself, by SCRAM with [`Engine::scram`].
    ///
    /// # Errors
    /// 28000 when the user is not there or may not sign in.
    pub fn signed_in(&self, user: &str, from: IpAddr) -> Result<Principal> {
        let accounts = self.0.catalog.accounts();
        let admitted = match accounts.user(user) {
            Some(account) => self
                .password_in_time(account)
                .and_then(|()| self.admit(&accounts, account, None)),
            None => Err(wrong_password(user)),
        };
        match admitted {
            Ok(principal) => {
                self.let_in(user, &principal, from);
                Ok(principal)
            }
            Err(error) => {
                self.failed_to_sign_in(user, from);
                Err(error)
            }
        }
    }

    /// What a door that speaks SCRAM compares a proof with. A user who is not there, or has no password, seems to have one: the
    /// answer is always the same, and no proof fits it.
    pub fn scram(&self, user: &str, hash: ScramHash) -> ScramVerifier {
        let accounts = self.0.catalog.accounts();
        let kept = accounts.user(user).and_then(|user| user.verifiers.as_ref());
        match (kept, hash) {
            (Some(keys), ScramHash::Sha256) => keys.sha256.clone(),
            (Some(keys), ScramHash::Sha512) => keys.sha512.clone(),
            (None, hash) => mock_keys(hash, &self.0.sign_ins.secret, user),
        }
    }

    /// Whether `user` may try to sign in from there now. A door that runs SCRAM without [`super::ScramExchange`] asks first.
    ///
    /// # Errors
    /// 28000 with the time to wait, after many failures.
    pub fn may_try(&self, user: &str, from: IpAddr) -> Result<()> {
        let now_ms = self.0.clock.now_ms();
        match self.0.sign_ins.throttle.lock().wait(user, from, now_ms) {
            None => Ok(()),
            Some(wait) => Err(
                Error::new(Kind::LimitExceeded, "too many failures to sign in")
                    .with_sqlstate(SqlState::INVALID_AUTHORIZATION)
                    .with_retry_after(wait)
                    .with_hint(format!("try again in {} s", wait.as_secs() + 1)),
            ),
        }
    }

    /// Counts a failure to sign in. A door that runs SCRAM without [`super::ScramExchange`] tells of a wrong proof by it.
    pub fn failed_to_sign_in(&self, user: &str, from: IpAddr) {
        let now_ms = self.0.clock.now_ms();
        self.0.sign_ins.throttle.lock().failed(user, from, now_ms);
        // Nobody has a longer name, and anybody can send one.
        let user = user
            .get(..user.floor_char_boundary(SHOWN_BYTES))
            .unwrap_or_default();
        self.0.audit.note(AuditEvent::SignInFailed { user, from });
    }

    fn let_in(&self, named: &str, principal: &Principal, from: IpAddr) {
        self.0.sign_ins.throttle.lock().succeeded(named, from);
        if !self
            .0
            .sign_ins
            .is_news(principal, from, self.0.clock.now_ms())
        {
            return;
        }
        self.0.audit.note(AuditEvent::SignedIn {
            user: principal.user(),
            from,
            by_token: principal.token().is_some(),
        });
    }

    fn token_of(
        &self,
        accounts: &Accounts,
        user: Option<&str>,
        value: &str,
    ) -> Result<(Arc<Account>, Option<Arc<Token>>)> {
        let unknown = || match user {
            Some(user) => wrong_password(user),
            None => Error::new(Kind::Denied, "the token is not valid")
                .with_sqlstate(SqlState("28P01"))
                .with_hint("it may have expired or been revoked"),
        };
        let token = accounts.token_of(&hash_of(value)).ok_or_else(unknown)?;
        let account = accounts.account(token.user).ok_or_else(unknown)?;
        let is_anothers = user.is_some_and(|user| user != account.name);
        if is_anothers || token.has_expired(self.0.clock.now_ms()) {
            return Err(unknown());
        }
        Ok((Arc::clone(account), Some(Arc::clone(token))))
    }

    /// The account of a name and password; the inner error is that they are not right.
    async fn password_of<'a>(
        &'a self,
        accounts: &Accounts,
        user: &str,
        password: &str,
        from: IpAddr,
        place: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<Result<(Arc<Account>, Option<Arc<Token>>)>> {
        let sign_ins = &self.0.sign_ins;
        let account = accounts.user(user);
        if let Some(account) = account
            && sign_ins.remembers(account, password)
        {
            let in_time = self.password_in_time(account);
            return Ok(in_time.map(|()| (Arc::clone(account), None)));
        }
        let keys = self.scram(user, ScramHash::Sha256);
        // The semaphore is never closed.
        *place = sign_ins.hashing.acquire().await.ok();
        // Many guesses that come at once wait here: those before have been counted meanwhile.
        self.may_try(user, from)?;
        let given = password.to_owned();
        let is_right = tokio::task::spawn_blocking(move || matches(&given, &keys)).await;
        let is_right = is_right.map_err(crate::lanes::panicked)?;
        Ok(match account {
            Some(account) if is_right => {
                sign_ins.remember(account, password);
                let in_time = self.password_in_time(account);
                in_time.map(|()| (Arc::clone(account), None))
            }
            _ => Err(wrong_password(user)),
        })
    }

    fn password_in_time(&self, account: &Account) -> Result<()> {
        match account.valid_until_ms {
            Some(until) if until <= self.0.clock.now_ms() => Err(wrong_password(&account.name)),
            _ => Ok(()),
        }
    }

    fn admit(
        &self,
        accounts: &Accounts,
        account: &Account,
        token: Option<&Token>,
    ) -> Result<Principal> {
        if !account.may_sign_in {
            return Err(may_not(&account.name));
        }
        let roles = accounts
            .roles_of(account.id)
            .into_iter()
            .filter(|role| *role != account.id)
            .filter_map(|role| Some(accounts.account(role)?.name.clone()))
            .collect();
        Ok(Principal::new(
            account.name.as_str(),
            account.id,
            token.map(|token| token.id),
            roles,
        ))
    }
}

/// What a user is told who may not sign in.
pub(super) fn may_not(user: &str) -> Error {
    Error::new(Kind::Denied, format!("user {user:?} may not sign in"))
        .with_sqlstate(SqlState::INVALID_AUTHORIZATION)
}
