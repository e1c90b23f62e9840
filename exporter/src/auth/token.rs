//! Tokens: what is signed, and what a signature proves.
//!
//! Owns: [`Signer`], [`Claims`]. Does not: know whether a session still lives (`sessions.rs`).
//! Invariants: HS256 and nothing else is signed or accepted; access and refresh tokens have keys of
//! their own, so that neither passes for the other; every claim is required; time is an argument.

use crate::wall::UnixMs;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who signs.
const ISSUER: &str = "veloz";
/// For whom.
const AUDIENCE: &str = "veloz-api";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To be shown with every request.
    Access,
    /// To get the next pair.
    Refresh,
}

/// What a token says. The names of claims are RFC 7519's; `sid` is the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub sub: String,
    /// When it was signed, in Unix seconds.
    pub iat: u64,
    /// When it ends, in Unix seconds.
    pub exp: u64,
    /// The token's own id.
    pub jti: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub purpose: Purpose,
    /// The session that it belongs to.
    pub sid: String,
    /// What the user may do, for clients to look at; the server asks its own table each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl Claims {
    /// Claims for a session of a user.
    pub fn new(
        purpose: Purpose,
        user_id: &str,
        session: &str,
        jti: &str,
        iat: u64,
        exp: u64,
    ) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user_id.to_owned(),
            iat,
            exp,
            jti: jti.to_owned(),
            purpose,
            sid: session.to_owned(),
            permissions: Vec::new(),
        }
    }
}

/// Why a token is none of ours, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No token, another algorithm, another key, or claims that are missing or not ours.
    #[error("forged")]
    Forged,
    /// Signed by us, and over.
    #[error("expired")]
    Expired,
}

/// Signs and verifies.
pub struct Signer {
    access: Keys,
    refresh: Keys,
    validation: Validation,
}

struct Keys {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl Keys {
    fn of(secret: &[u8]) -> Self {
        Self {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }
}

impl Signer {
    /// Signs with this secret.
    pub fn new(secret: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library would read the machine's clock; `verify` compares with its argument.
        validation.validate_exp = false;
        Self {
            access: Keys::of(secret.as_bytes()),
            refresh: Keys::of(&Sha256::digest(format!("{secret}_refresh"))),
            validation,
        }
    }

    fn keys(&self, purpose: Purpose) -> &Keys {
        match purpose {
            Purpose::Access => &self.access,
            Purpose::Refresh => &self.refresh,
        }
    }

    /// The token that says this.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = Header::new(Algorithm::HS256);
        jsonwebtoken::encode(&header, claims, &self.keys(claims.purpose).sign)
            .expect("plain claims and a key of the right kind")
    }

    /// What a token says, when it was signed for this purpose.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub fn verify(&self, token: &str, purpose: Purpose, now: UnixMs) -> Result<Claims, TokenFault> {
        let claims = self.verify_signature(token, purpose)?;
        if claims.exp <= now.seconds() {
            return Err(TokenFault::Expired);
        }
        Ok(claims)
    }

    /// The same, for a token that may be over.
    ///
    /// # Errors
    /// [`TokenFault::Forged`].
    pub fn verify_signature(&self, token: &str, purpose: Purpose) -> Result<Claims, TokenFault> {
        jsonwebtoken::decode::<Claims>(token, &self.keys(purpose).verify, &self.validation)
            .ok()
            .map(|token| token.claims)
            .filter(|claims| claims.purpose == purpose)
            .ok_or(TokenFault::Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn claims(purpose: Purpose) -> Claims {
        let iat = NOW.seconds();
        Claims::new(purpose, "alice", "s1", "j1", iat, iat + 3_600)
    }

    fn sign_with(secret: &[u8], algorithm: Algorithm, claims: &Value) -> String {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("a token")
    }

    #[test]
    fn what_we_sign_is_ours_until_it_is_over() {
        let signer = Signer::new(SECRET);
        for purpose in [Purpose::Access, Purpose::Refresh] {
            let token = signer.sign(&claims(purpose));
            assert_eq!(signer.verify(&token, purpose, NOW), Ok(claims(purpose)));
            let last = UnixMs(NOW.0 + 3_599_999);
            assert!(signer.verify(&token, purpose, last).is_ok());
            let over = UnixMs(NOW.0 + 3_600_000);
            assert_eq!(
                signer.verify(&token, purpose, over),
                Err(TokenFault::Expired)
            );
            assert_eq!(
                signer.verify_signature(&token, purpose),
                Ok(claims(purpose))
            );
        }
    }

    #[test]
    fn neither_kind_passes_for_the_other() {
        let signer = Signer::new(SECRET);
        let refresh = signer.sign(&claims(Purpose::Refresh));
        assert_eq!(
            signer.verify(&refresh, Purpose::Access, NOW),
            Err(TokenFault::Forged)
        );
        // Also not with the right key and the wrong word.
        let mut mixed = serde_json::to_value(claims(Purpose::Refresh)).expect("JSON");
        let token = sign_with(SECRET.as_bytes(), Algorithm::HS256, &mixed);
        assert_eq!(
            signer.verify(&token, Purpose::Access, NOW),
            Err(TokenFault::Forged)
        );
        mixed["type"] = json!("access");
        let token = sign_with(SECRET.as_bytes(), Algorithm::HS256, &mixed);
        assert!(signer.verify(&token, Purpose::Access, NOW).is_ok());
    }

    #[test]
    fn forgeries_are_refused() {
        let signer = Signer::new(SECRET);
        let good = signer.sign(&claims(Purpose::Access));
        let parts: Vec<&str> = good.split('.').collect();
        // {"alg":"none","typ":"JWT"} and {"typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let missing = "eyJ0eXAiOiJKV1QifQ";
        let value = serde_json::to_value(claims(Purpose::Access)).expect("JSON");
        let with = |name: &str, to: Option<Value>| {
            let mut value = value.clone();
            match to {
                Some(to) => value[name] = to,
                None => drop(value.as_object_mut().expect("claims").remove(name)),
            }
            sign_with(SECRET.as_bytes(), Algorithm::HS256, &value)
        };
        let mut forged = vec![
            String::new(),
            "a.b.c".to_owned(),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{missing}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{good}x"),
            sign_with(
                b"another key of thirty-two bytes!",
                Algorithm::HS256,
                &value,
            ),
            sign_with(SECRET.as_bytes(), Algorithm::HS384, &value),
            sign_with(SECRET.as_bytes(), Algorithm::HS512, &value),
            with("iss", Some(json!("somebody"))),
            with("aud", Some(json!("something"))),
            with("aud", Some(json!(["something"]))),
            with("type", Some(json!("root"))),
            with("exp", Some(json!("never"))),
            with("exp", Some(json!(-1))),
        ];
        for claim in ["iss", "aud", "sub", "iat", "exp", "jti", "type", "sid"] {
            forged.push(with(claim, None));
        }
        for token in &forged {
            assert_eq!(
                signer.verify(token, Purpose::Access, NOW),
                Err(TokenFault::Forged),
                "{token}"
            );
        }
        // One character of the payload changed.
        let other = claims(Purpose::Access);
        let mallory = Claims {
            sub: "mallory".to_owned(),
            ..other
        };
        let payload = Signer::new(SECRET).sign(&mallory);
        let payload = payload.split('.').nth(1).expect("a payload");
        let spliced = format!("{}.{payload}.{}", parts[0], parts[2]);
        assert_eq!(
            signer.verify(&spliced, Purpose::Access, NOW),
            Err(TokenFault::Forged)
        );
    }
}
