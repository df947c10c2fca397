//! The server's side of a SCRAM exchange (RFC 5802), for every door that speaks SASL.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;
use weir_base::SqlState;

use super::password::random;
use super::{Principal, ScramHash, ScramVerifier};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Bytes of one message; real ones have a few hundred.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// One try to sign in by SCRAM: [`ScramExchange::first`], then [`ScramExchange::last`]. Channel binding is not offered.
#[derive(Debug)]
pub struct ScramExchange {
    engine: Engine,
    hash: ScramHash,
    from: IpAddr,
    /// Whom the door knows already; the name within the exchange is then not looked at, as PostgreSQL does.
    known_as: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Challenged(Challenge),
    Ended,
}

#[derive(Debug)]
struct Challenge {
    user: String,
    /// What the client's last message must repeat: its first header.
    header: String,
    nonce: String,
    /// `client-first-message-bare,server-first-message`.
    so_far: String,
    verifier: ScramVerifier,
}

impl ScramExchange {
    /// An exchange with a client at `from`. A door that has the user's name from elsewhere gives it as `known_as`.
    pub fn new(engine: Engine, hash: ScramHash, from: IpAddr, known_as: Option<String>) -> Self {
        Self {
            engine,
            hash,
            from,
            known_as,
            state: State::Begun,
        }
    }

    /// The server's answer to the client's first message.
    ///
    /// # Errors
    /// 28000 when the message is malformed, wants channel binding, or has to wait after failures.
    pub fn first(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        if !matches!(self.state, State::Begun) {
            return Err(malformed("a first message came twice"));
        }
        self.state = State::Ended;
        let parsed = ClientFirst::parse(text(message)?)?;
        let user = match &self.known_as {
            Some(user) => user.clone(),
            None => parsed.user,
        };
        self.engine.may_try(&user, self.from)?;
        let verifier = self.engine.scram(&user, self.hash);
        let nonce = format!("{}{}", parsed.nonce, BASE64.encode(random::<18>()?));
        let answer = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&verifier.salt),
            verifier.iterations
        );
        self.state = State::Challenged(Challenge {
            user,
            header: parsed.header,
            nonce,
            so_far: format!("{},{answer}", parsed.bare),
            verifier,
        });
        Ok(answer.into_bytes())
    }

    /// The server's last message, and who the client is.
    ///
    /// # Errors
    /// 28P01 when the proof is not the password's, 28000 when the message is malformed or the user may not sign in.
    pub fn last(&mut self, message: &[u8]) -> Result<(Vec<u8>, Principal)> {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(malformed("a last message came first"));
        };
        // Many exchanges may have begun at once: those that failed meanwhile count for this one.
        self.engine.may_try(&challenge.user, self.from)?;
        let checked = text(message).and_then(|message| challenge.check(self.hash, message));
        match checked {
            Ok(answer) => {
                let principal = self.engine.signed_in(&challenge.user, self.from)?;
                Ok((answer.into_bytes(), principal))
            }
            Err(error) => {
                self.engine.failed_to_sign_in(&challenge.user, self.from);
                Err(error)
            }
        }
    }
}

impl Challenge {
    /// The server's proof, if the client's is right.
    fn check(&self, hash: ScramHash, message: &str) -> Result<String> {
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or_else(|| malformed("the last message has no proof"))?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c="));
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        if binding != Some(BASE64.encode(&self.header).as_str()) {
            return Err(malformed(
                "the channel binding is not that of the first message",
            ));
        }
        if nonce != Some(self.nonce.as_str()) {
            return Err(malformed("the nonce is not the one that was given"));
        }
        let proof = BASE64
            .decode(proof)
            .ok()
            .filter(|proof| proof.len() == hash.size())
            .ok_or_else(|| malformed("the proof is not valid"))?;
        let signed = format!("{},{without_proof}", self.so_far);
        let signature = hash.hmac(&self.verifier.stored_key, signed.as_bytes());
        let client_key: Vec<u8> = proof
            .iter()
            .zip(&signature)
            .map(|(proof, signature)| proof ^ signature)
            .collect();
        let stored_key = hash.digest(&client_key);
        if !bool::from(stored_key.ct_eq(&self.verifier.stored_key)) {
            return Err(wrong_password(&self.user));
        }
        let proof = hash.hmac(&self.verifier.server_key, signed.as_bytes());
        Ok(format!("v={}", BASE64.encode(proof)))
    }
}

/// `n,,n=user,r=nonce` in its parts.
#[derive(Debug, PartialEq, Eq)]
struct ClientFirst {
    header: String,
    bare: String,
    user: String,
    nonce: String,
}

impl ClientFirst {
    fn parse(message: &str) -> Result<Self> {
        let mut parts = message.splitn(3, ',');
        let binding = parts.next().unwrap_or_default();
        let authorised = parts.next();
        let (Some(authorised), Some(bare)) = (authorised, parts.next()) else {
            return Err(malformed("the first message has too few parts"));
        };
        if !matches!(binding, "n" | "y") {
            return Err(malformed("channel binding is not offered"));
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|part| part.strip_prefix("n="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        let (Some(user), Some(nonce)) = (user, nonce.filter(|nonce| !nonce.is_empty())) else {
            return Err(malformed("the first message has no name or no nonce"));
        };
        match authorised.strip_prefix("a=") {
            None if authorised.is_empty() => {}
            Some(other) if other == user => {}
            Some(_) => return Err(malformed("nobody may act as another")),
            None => return Err(malformed("the first message's header is not understood")),
        }
        Ok(Self {
            header: format!("{binding},{authorised},"),
            bare: bare.to_owned(),
            user: unescaped(user)?,
            nonce: nonce.to_owned(),
        })
    }
}

/// A name in which `,` and `=` are written as `=2C` and `=3D`.
fn unescaped(name: &str) -> Result<String> {
    let plain = name.replace("=2C", ",").replace("=3D", "\u{0}");
    // A name has no zero of its own.
    if plain.contains('=') || name.contains('\u{0}') {
        return Err(malformed("the name is not escaped"));
    }
    Ok(plain.replace('\u{0}', "="))
}

fn text(message: &[u8]) -> Result<&str> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(malformed("the message is too long"));
    }
    std::str::from_utf8(message).map_err(|_| malformed("the message is no text"))
}

fn malformed(what: &str) -> Error {
    Error::new(
        weir_base::Kind::Denied,
        format!("malformed SCRAM message: {what}"),
    )
    .with_sqlstate(SqlState::INVALID_AUTHORIZATION)
}

/// What everybody is told whose name or password is not right; it does not say which.
pub(super) fn wrong_password(user: &str) -> Error {
    Error::new(
        weir_base::Kind::Denied,
        format!("password authentication failed for user {user:?}"),
    )
    .with_sqlstate(SqlState("28P01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages_are_taken_apart() {
        let parsed = ClientFirst::parse("n,,n=a=2Cb=3D,r=abc").unwrap();
        assert_eq!(
            (parsed.user.as_str(), parsed.nonce.as_str()),
            ("a,b=", "abc")
        );
        assert_eq!(
            (parsed.header.as_str(), parsed.bare.as_str()),
            ("n,,", "n=a=2Cb=3D,r=abc")
        );
        for wrong in [
            "",
            "n,,",
            "n,,n=ada",
            "n,,r=abc,n=ada",
            "p=tls-unique,,n=ada,r=abc",
            "n,a=bob,n=ada,r=abc",
            "n,x,n=ada,r=abc",
            "n,,m=new,n=ada,r=abc",
            "n,,n=a=2cb,r=abc",
            "n,,n=ada,r=",
        ] {
            assert!(ClientFirst::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_standards_exchange_is_accepted() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let challenge = Challenge {
            user: "user".to_owned(),
            header: "n,,".to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
            so_far: "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                .to_owned(),
            verifier: ScramHash::Sha256.keys("pencil", &salt, 4096),
        };
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let answer = challenge.check(ScramHash::Sha256, last).unwrap();
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let wrong = last.replace("p=dH", "p=eH");
        let error = challenge.check(ScramHash::Sha256, &wrong).unwrap_err();
        assert_eq!(weir_base::Classify::sqlstate(&error), SqlState("28P01"));
    }
}
