//! API keys: what clients sign with, and what the venue checks signatures against.
//!
//! Owns: key formats, pairs made at start, verification. Does not: know accounts, parameters or
//! time. Invariant: no secret is ever printed; `Debug` shows public halves only. Source: Binance
//! Spot `web-socket-api.md` and `rest-api.md`, "SIGNED request security".

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// Characters of an API key, and of the HMAC secrets that the venue makes.
pub(crate) const API_KEY_CHARS: usize = 64;

/// What stands before the 32 bytes of a key in an Ed25519 SubjectPublicKeyInfo (RFC 8410, 4).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_PUBLIC_BYTES: usize = 32;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An API key that the venue itself would call ill-formed.
    #[error("an API key has {API_KEY_CHARS} letters and digits")]
    ApiKey,
    /// An empty HMAC secret.
    #[error("an HMAC secret must not be empty")]
    EmptySecret,
    /// Neither PEM nor base64 of an Ed25519 public key.
    #[error("not an Ed25519 public key: expected PEM, or base64 of the key or its DER")]
    PublicKey,
    /// Not a PKCS#8 Ed25519 private key in PEM.
    #[error("not an Ed25519 private key: expected PKCS#8 in PEM")]
    PrivateKey,
    /// The machine gave no randomness.
    #[error("the machine's random numbers are not available")]
    Random,
}

/// One API key of an account, as it is configured.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyConfig {
    /// Name of the account that it acts for.
    pub account: String,
    /// 64 letters and digits, sent in the clear with each request.
    pub api_key: String,
    /// What its signatures are checked against.
    pub credential: Credential,
}

/// What the signatures of a key are checked against.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// HMAC-SHA256 with this secret.
    HmacSecret(String),
    /// Ed25519 with this public key: PEM, or base64 of its DER or of its 32 bytes.
    Ed25519Public(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HmacSecret(_) => f.write_str("HmacSecret(redacted)"),
            Self::Ed25519Public(public) => f.debug_tuple("Ed25519Public").field(public).finish(),
        }
    }
}

impl fmt::Debug for ApiKeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyConfig")
            .field("account", &self.account)
            .field("api_key", &self.api_key)
            .field("credential", &self.credential)
            .finish()
    }
}

/// The client's side of the two keys that a venue without configured ones makes for its first
/// account.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {
    /// Key for `session.logon` and everything else.
    pub ed25519_api_key: String,
    /// Its private half, PKCS#8 in PEM.
    pub ed25519_private_pem: String,
    /// Key for clients that sign each request with HMAC-SHA256.
    pub hmac_api_key: String,
    /// Its secret.
    pub hmac_secret: String,
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys")
            .field("ed25519_api_key", &self.ed25519_api_key)
            .field("hmac_api_key", &self.hmac_api_key)
            .finish_non_exhaustive()
    }
}

impl ClientKeys {
    /// A fresh pair of each kind.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Random)?;
        Ok(Self {
            ed25519_api_key: random_text()?,
            ed25519_private_pem: pem("PRIVATE KEY", pkcs8.as_ref()),
            hmac_api_key: random_text()?,
            hmac_secret: random_text()?,
        })
    }

    /// The venue's side of both, for the account of this name.
    pub fn configs(&self, account: &str) -> Result<Vec<ApiKeyConfig>, KeyError> {
        let pair = private_key(&self.ed25519_private_pem)?;
        let public = pair
            .public_key()
            .as_der()
            .map_err(|_| KeyError::PrivateKey)?;
        Ok(vec![
            ApiKeyConfig {
                account: account.to_owned(),
                api_key: self.ed25519_api_key.clone(),
                credential: Credential::Ed25519Public(STANDARD.encode(public.as_ref())),
            },
            ApiKeyConfig {
                account: account.to_owned(),
                api_key: self.hmac_api_key.clone(),
                credential: Credential::HmacSecret(self.hmac_secret.clone()),
            },
        ])
    }
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Hmac,
    Ed25519,
}

/// A key that is ready to check signatures.
pub(crate) struct ApiKey {
    pub(crate) text: String,
    verifier: Verifier,
}

enum Verifier {
    Hmac(Box<hmac::Key>),
    Ed25519([u8; ED25519_PUBLIC_BYTES]),
}

impl ApiKey {
    pub(crate) fn new(config: &ApiKeyConfig) -> Result<Self, KeyError> {
        if !is_well_formed(&config.api_key) {
            return Err(KeyError::ApiKey);
        }
        let verifier = match &config.credential {
            Credential::HmacSecret(secret) if secret.is_empty() => {
                return Err(KeyError::EmptySecret);
            }
            Credential::HmacSecret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                Verifier::Hmac(Box::new(key))
            }
            Credential::Ed25519Public(text) => Verifier::Ed25519(public_key(text)?),
        };
        Ok(Self {
            text: config.api_key.clone(),
            verifier,
        })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        match self.verifier {
            Verifier::Hmac(_) => KeyKind::Hmac,
            Verifier::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// Whether `signature`, in the text form of the key's kind, signs `payload`.
    pub(crate) fn verifies(&self, payload: &[u8], signature: &str) -> bool {
        match &self.verifier {
            Verifier::Hmac(key) => {
                hex(signature).is_some_and(|tag| hmac::verify(key, payload, &tag).is_ok())
            }
            Verifier::Ed25519(public) => STANDARD.decode(signature).is_ok_and(|signature| {
                UnparsedPublicKey::new(&ED25519, public)
                    .verify(payload, &signature)
                    .is_ok()
            }),
        }
    }
}

/// What the venue takes for an API key before it looks for its owner.
pub(crate) fn is_well_formed(api_key: &str) -> bool {
    api_key.len() == API_KEY_CHARS && api_key.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Bytes of hexadecimal text, whatever its case.
fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

fn public_key(text: &str) -> Result<[u8; ED25519_PUBLIC_BYTES], KeyError> {
    let text = text.trim();
    let bytes = if text.starts_with("-----") {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes());
        der.map_err(|_| KeyError::PublicKey)?.as_ref().to_vec()
    } else {
        STANDARD.decode(text).map_err(|_| KeyError::PublicKey)?
    };
    let key = bytes.strip_prefix(&ED25519_SPKI_PREFIX).unwrap_or(&bytes);
    key.try_into().map_err(|_| KeyError::PublicKey)
}

fn private_key(pem: &str) -> Result<Ed25519KeyPair, KeyError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| KeyError::PrivateKey)?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|_| KeyError::PrivateKey)
}

/// Sixty-four letters and digits.
fn random_text() -> Result<String, KeyError> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    // The largest multiple of 62 in a byte: what is above would make some letters more likely.
    const FAIR: u8 = 248;
    let mut text = String::with_capacity(API_KEY_CHARS);
    while text.len() < API_KEY_CHARS {
        let mut bytes = [0; API_KEY_CHARS];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
        let fair = bytes.into_iter().filter(|&byte| byte < FAIR);
        let letters = fair.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        text.extend(letters.take(API_KEY_CHARS - text.len()));
    }
    Ok(text)
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        out.extend(line.iter().map(|&byte| char::from(byte)));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// The client's side of signing, for tests.
#[cfg(test)]
pub(crate) mod client {
    use super::*;

    pub(crate) fn hmac_hex(secret: &str, payload: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, payload.as_bytes());
        let bytes = tag.as_ref().iter();
        bytes.fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    pub(crate) fn ed25519_base64(pem: &str, payload: &str) -> String {
        let pair = private_key(pem).expect("a private key");
        STANDARD.encode(pair.sign(payload.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Signatures printed in the venue's documents, or computed with keys that are.
    const VECTORS: &str = include_str!("signatures.json");

    fn key(credential: Credential) -> Result<ApiKey, KeyError> {
        ApiKey::new(&ApiKeyConfig {
            account: String::new(),
            api_key: "k".repeat(API_KEY_CHARS),
            credential,
        })
    }

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().expect("text")
    }

    #[test]
    fn documented_hmac_signatures_are_right_in_either_case() {
        let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
        let hmac = &vectors["hmac_sha256"];
        let key = key(Credential::HmacSecret(text(hmac, "secret").to_owned())).expect("a key");
        assert_eq!(key.kind(), KeyKind::Hmac);
        let cases = hmac["vectors"].as_array().expect("vectors");
        assert_eq!(cases.len(), 6);
        for case in cases {
            let (payload, signature) = (text(case, "payload"), text(case, "signature_hex"));
            assert!(key.verifies(payload.as_bytes(), signature), "{payload}");
            assert!(key.verifies(payload.as_bytes(), &signature.to_uppercase()));
            assert_eq!(client::hmac_hex(text(hmac, "secret"), payload), signature);
            let other = format!("{payload} ");
            assert!(!key.verifies(other.as_bytes(), signature));
            assert!(!key.verifies(payload.as_bytes(), &signature[..62]));
        }
        for bad in ["", "zz", "abc", "+1"] {
            assert!(!key.verifies(b"timestamp=1578963600000", bad), "{bad}");
        }
    }

    #[test]
    fn documented_ed25519_signatures_are_right_however_the_key_is_written() {
        let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
        let ed25519 = &vectors["ed25519"];
        let raw = hex(text(ed25519, "public_hex")).expect("hex");
        let der = [&ED25519_SPKI_PREFIX[..], &raw].concat();
        let private = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            text(ed25519, "pkcs8_pem_body")
        );
        let derived = private_key(&private).expect("a private key");
        assert_eq!(derived.public_key().as_ref(), raw);
        let forms = [
            STANDARD.encode(&raw),
            STANDARD.encode(&der),
            pem("PUBLIC KEY", &der),
        ];
        let cases = ed25519["vectors"].as_array().expect("vectors");
        assert_eq!(cases.len(), 4);
        for form in forms {
            let key = key(Credential::Ed25519Public(form)).expect("a key");
            assert_eq!(key.kind(), KeyKind::Ed25519);
            for case in cases {
                let (payload, signature) = (text(case, "payload"), text(case, "signature_base64"));
                assert!(key.verifies(payload.as_bytes(), signature), "{payload:?}");
                assert_eq!(client::ed25519_base64(&private, payload), signature);
                assert!(!key.verifies(b"something else", signature));
                assert!(!key.verifies(payload.as_bytes(), &signature.to_lowercase()));
            }
        }
    }

    #[test]
    fn keys_that_cannot_work_are_refused() {
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJB\n-----END PUBLIC KEY-----";
        for text in ["", "AAAA", "not base64!", rsa] {
            let refused = key(Credential::Ed25519Public(text.to_owned())).err();
            assert_eq!(refused, Some(KeyError::PublicKey), "{text}");
        }
        let empty = key(Credential::HmacSecret(String::new())).err();
        assert_eq!(empty, Some(KeyError::EmptySecret));
        let short = ApiKey::new(&ApiKeyConfig {
            account: String::new(),
            api_key: "short".to_owned(),
            credential: Credential::HmacSecret("s".to_owned()),
        });
        assert_eq!(short.err(), Some(KeyError::ApiKey));
        let keys = ClientKeys {
            ed25519_private_pem: "no key".to_owned(),
            ..ClientKeys::generate().expect("random")
        };
        assert_eq!(keys.configs("main"), Err(KeyError::PrivateKey));
    }

    #[test]
    fn generated_keys_fit_each_other_and_hide_their_secrets() {
        let keys = ClientKeys::generate().expect("random");
        assert_ne!(keys, ClientKeys::generate().expect("random"));
        let configs = keys.configs("main").expect("sound");
        let [ed25519, hmac] = &configs[..] else {
            panic!("two keys");
        };
        let ed25519 = ApiKey::new(ed25519).expect("a key");
        let signature = client::ed25519_base64(&keys.ed25519_private_pem, "a=1");
        assert!(ed25519.verifies(b"a=1", &signature));
        let hmac = ApiKey::new(hmac).expect("a key");
        assert!(hmac.verifies(b"a=1", &client::hmac_hex(&keys.hmac_secret, "a=1")));
        let shown = format!("{keys:?} {configs:?}");
        assert!(shown.contains(&keys.hmac_api_key));
        assert!(!shown.contains(&keys.hmac_secret));
        assert!(!shown.contains("PRIVATE"));
    }
}
