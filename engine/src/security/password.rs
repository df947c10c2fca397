//! Passwords, as SCRAM keeps them (RFC 5802, RFC 7677): a salt, a count, and two keys.

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use weir_base::Kind;
use weir_catalog::accounts::{ScramKeys, Verifiers};

use crate::error::{Error, Result};

/// How often a new password is hashed. Kafka's clients refuse less than 4096, and some of them more than 16384.
const ITERATIONS: u32 = 10_000;
const SALT_BYTES: usize = 16;

/// The hash that a SCRAM exchange uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// What a door that speaks SCRAM needs to know of a user, as [`Engine::scram`](crate::Engine::scram) gives it.
pub type ScramVerifier = ScramKeys;

impl ScramHash {
    /// The name of the SASL mechanism: `SCRAM-SHA-256`.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of a hash.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        // HMAC takes keys of every length, so that no error is possible; the empty answer would match nothing.
        match self {
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
        }
        .unwrap_or_default()
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let prepared = prepared(password);
        let mut salted = vec![0; self.size()];
        match self {
            Self::Sha256 => {
                pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, &mut salted);
            }
            Self::Sha512 => {
                pbkdf2::pbkdf2_hmac::<Sha512>(prepared.as_bytes(), salt, iterations, &mut salted);
            }
        }
        salted
    }

    /// What to keep of a password.
    pub(super) fn keys(self, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let salted = self.salted(password, salt, iterations);
        let client_key = self.hmac(&salted, b"Client Key");
        ScramKeys {
            salt: salt.to_vec(),
            iterations,
            stored_key: self.digest(&client_key),
            server_key: self.hmac(&salted, b"Server Key"),
        }
    }
}

/// What the catalog keeps of a new password.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn verifiers(password: &str) -> Result<Verifiers> {
    Ok(Verifiers {
        sha256: ScramHash::Sha256.keys(password, &random::<SALT_BYTES>()?, ITERATIONS),
        sha512: ScramHash::Sha512.keys(password, &random::<SALT_BYTES>()?, ITERATIONS),
    })
}

/// Whether `password` is the one of which `keys` were kept. It takes as long for a wrong one.
pub(super) fn matches(password: &str, keys: &ScramKeys) -> bool {
    let given = ScramHash::Sha256.keys(password, &keys.salt, keys.iterations);
    given.stored_key.ct_eq(&keys.stored_key).into()
}

/// The keys that a user who is not there seems to have: always the same in one process, so that asking twice does not tell.
pub(super) fn mock_keys(hash: ScramHash, secret: &[u8], user: &str) -> ScramKeys {
    let derive = |what: &str| hash.hmac(secret, format!("{what}:{user}").as_bytes());
    let mut salt = derive("salt");
    salt.truncate(SALT_BYTES);
    ScramKeys {
        salt,
        iterations: ITERATIONS,
        stored_key: derive("stored"),
        server_key: derive("server"),
    }
}

/// A password as it is hashed: by SASLprep, or as it is where that forbids it, as PostgreSQL does.
fn prepared(password: &str) -> std::borrow::Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(std::borrow::Cow::Borrowed(password))
}

/// Bytes that nobody can foresee.
///
/// # Errors
/// When the system gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| {
        Error::new(
            Kind::Unavailable,
            format!("the system gives no random bytes: {error}"),
        )
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3: from its salt and count follow the proofs that it prints.
    #[test]
    fn keys_are_those_of_the_standard() {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let salt = base64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramHash::Sha256.keys("pencil", &salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = ScramHash::Sha256.hmac(&keys.server_key, message.as_bytes());
        assert_eq!(
            base64.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert!(matches("pencil", &keys) && !matches("pencils", &keys));
    }

    #[test]
    fn who_is_not_there_always_seems_to_have_the_same_salt() {
        let mock = |user| mock_keys(ScramHash::Sha256, b"secret", user);
        assert_eq!(mock("ada"), mock("ada"));
        assert_ne!(mock("ada").salt, mock("bob").salt);
        assert_eq!(mock("ada").salt.len(), SALT_BYTES);
    }
}
