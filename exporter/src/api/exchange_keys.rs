//! `/api/exchange-keys*`: the venue's keys, written and never read back.
//!
//! Owns: [`ExchangeKeys`], the handlers. Does not: trade with a key; the next start does, where the configuration names
//! none. Invariants: what the next start could not sign with is refused; no answer, log line or record holds a secret or a part of it; the file is for its owner alone and
//! replaced as a whole.

use super::UnreadableState;
use super::admin::{key_act, who};
use super::administration::NotDone;
use super::answer::{Answer, answer, ok};
use super::settings::replace;
use crate::auth::{Principal, blocking};
use crate::http::HttpState;
use crate::http::body::{self, Fields, expected};
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use veloz_core::venue::binance::order_entry::ApiKey;
use veloz_core::wire::sign::{KeyError, Signer};

/// The one venue that is spoken to.
const EXCHANGE: &str = "binance";
/// Bytes of a key or a secret; an Ed25519 key in PEM has 120.
const KEY_BYTES_MAX: usize = 4_096;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;
/// Permissions of one key, and characters of each.
const PERMISSIONS_MAX: usize = 16;

/// A key of the venue.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Key {
    name: String,
    api_key: SecretString,
    api_secret: SecretString,
    permissions: Vec<String>,
    created_at: String,
}

/// The same in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    exchange: String,
    name: String,
    api_key: String,
    api_secret: String,
    permissions: Vec<String>,
    created_at: String,
}

/// The venue's key, if one was written.
#[derive(Debug, Default)]
pub(crate) struct ExchangeKeys {
    key: Mutex<Option<Key>>,
    file: Option<PathBuf>,
}

impl ExchangeKeys {
    /// The one that a file holds.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub(crate) fn open(file: PathBuf) -> Result<Self, UnreadableState> {
        let line: Option<KeyLine> = match std::fs::read(&file) {
            // The parser's words may repeat a part of the text.
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|_| UnreadableState::new(&file, &"this is no file of keys"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(UnreadableState::new(&file, &error)),
        };
        Ok(Self {
            key: Mutex::new(line.map(|line| Key {
                name: line.name,
                api_key: line.api_key.into(),
                api_secret: line.api_secret.into(),
                permissions: line.permissions,
                created_at: line.created_at,
            })),
            file: Some(file),
        })
    }

    fn read(&self) -> Option<Key> {
        self.lock().clone()
    }

    fn write(&self, key: Option<Key>) -> Result<(), Problem> {
        let mut held = self.lock();
        if let Some(file) = &self.file {
            let line = key.as_ref().map(|key| KeyLine {
                exchange: EXCHANGE.to_owned(),
                name: key.name.clone(),
                api_key: key.api_key.expose_secret().to_owned(),
                api_secret: key.api_secret.expose_secret().to_owned(),
                permissions: key.permissions.clone(),
                created_at: key.created_at.clone(),
            });
            let text = serde_json::to_string(&line).expect("plain values");
            replace(file, text.as_bytes()).map_err(|error| {
                tracing::error!(component = "gateway", %error, "an exchange key is not kept");
                Problem::new(Code::StorageUnavailable, "the key cannot be kept")
            })?;
        }
        *held = key;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Key>> {
        // It is replaced as a whole.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What signs with a secret: an Ed25519 key in PEM, else an HMAC secret.
///
/// # Errors
/// When it is neither.
pub fn signer(secret: &[u8]) -> Result<Signer, KeyError> {
    if secret.starts_with(b"-----BEGIN") {
        Signer::from_pem(secret)
    } else {
        Signer::hmac(secret)
    }
}

/// What may be shown of a key.
fn shown(key: &Key) -> Value {
    json!({
        "exchange": EXCHANGE,
        "name": key.name,
        "created_at": key.created_at,
        "has_secret": true,
        "permissions": key.permissions,
    })
}

/// What an export names: which keys there are.
pub(super) fn named(state: &HttpState) -> Vec<Value> {
    let key = state.api.exchange_keys.read();
    key.iter()
        .map(|key| json!({ "exchange": EXCHANGE, "name": key.name }))
        .collect()
}

/// `GET /api/exchange-keys`.
pub(crate) async fn list(State(state): State<Arc<HttpState>>) -> Answer {
    let keys: Vec<Value> = state.api.exchange_keys.read().iter().map(shown).collect();
    ok(&json!({ "keys": keys }))
}

fn exchange_of(fields: &Fields) -> Result<(), Problem> {
    if fields.text("exchange")?.eq_ignore_ascii_case(EXCHANGE) {
        return Ok(());
    }
    Err(expected("exchange", "binance, the one venue here,"))
}

/// One of two names of the same secret.
fn secret(
    fields: &Fields,
    name: &'static str,
    other: &'static str,
) -> Result<SecretString, Problem> {
    let text = match fields.optional_text(name)? {
        Some(text) => text,
        None => fields
            .optional_text(other)?
            .ok_or_else(|| expected(name, "a text"))?,
    };
    let plain = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n');
    if text.is_empty() || text.len() > KEY_BYTES_MAX || !text.bytes().all(plain) {
        return Err(expected(name, "a key as the venue gave it"));
    }
    Ok(text.into())
}

/// `POST /api/exchange-keys`: takes the place of the one before.
pub(crate) async fn save(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_json(request).await?;
    fields.only(&[
        "exchange",
        "api_key",
        "apiKey",
        "api_secret",
        "apiSecret",
        "name",
        "permissions",
        "testnet",
        "passphrase",
    ])?;
    exchange_of(&fields)?;
    let name = fields.optional_text("name")?.unwrap_or(EXCHANGE);
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(expected("name", "a text of at most 100 characters"));
    }
    let permissions = fields.optional_texts("permissions")?.unwrap_or_default();
    let short = |text: &&str| text.len() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
    if permissions.len() > PERMISSIONS_MAX || !permissions.iter().all(short) {
        return Err(expected("permissions", "a short list of words"));
    }
    let key = Key {
        name: name.to_owned(),
        api_key: secret(&fields, "api_key", "apiKey")?,
        api_secret: secret(&fields, "api_secret", "apiSecret")?,
        permissions: permissions.into_iter().map(str::to_owned).collect(),
        created_at: (state.unix)().rfc3339(),
    };
    if ApiKey::new(key.api_key.expose_secret()).is_err() {
        return Err(expected("api_key", "a key as the venue gives them"));
    }
    if signer(key.api_secret.expose_secret().as_bytes()).is_err() {
        return Err(expected(
            "api_secret",
            "an HMAC secret, or an Ed25519 key in PEM,",
        ));
    }
    let name = key.name.clone();
    let details = json!({ "exchange": EXCHANGE, "name": name });
    let keeper = Arc::clone(&state);
    // A key in the place of another is its rotation.
    let action = if state.api.exchange_keys.read().is_some() {
        "exchange_key_rotated"
    } else {
        "exchange_key_saved"
    };
    let kept = blocking(move || keeper.api.exchange_keys.write(Some(key)));
    key_act(action, details)
        .perform(
            &state,
            &who(&caller, &principal),
            "exchange_key_save_failed",
            kept,
        )
        .await?;
    let body = json!({
        "ok": true,
        "exchange": EXCHANGE,
        "name": name,
        "keyId": EXCHANGE,
        "message": "The key is kept; the next start trades with it where the configuration names none",
    });
    Ok(answer(StatusCode::CREATED, &body))
}

/// `DELETE /api/exchange-keys?exchange=`.
pub(crate) async fn remove(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Answer {
    let query = Query::parse(uri.query())?;
    let exchange = query.get("exchange").or(query.get("key_id"));
    let exchange = exchange.ok_or_else(|| expected("exchange", "a value"))?;
    if !exchange.eq_ignore_ascii_case(EXCHANGE) || state.api.exchange_keys.read().is_none() {
        return Err(no_key());
    }
    let details = json!({ "exchange": EXCHANGE });
    let keeper = Arc::clone(&state);
    let gone = blocking(move || keeper.api.exchange_keys.write(None));
    key_act("exchange_key_removed", details)
        .perform(
            &state,
            &who(&caller, &principal),
            "exchange_key_remove_failed",
            gone,
        )
        .await?;
    ok(&json!({ "ok": true, "exchange": EXCHANGE }))
}

fn no_key() -> Problem {
    Problem::new(Code::NotFound, "no key of this exchange is kept").field("exchange")
}

/// `POST /api/exchange-keys/test`: asks the venue about the account of the key that is kept.
pub(crate) async fn test(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_fields(request).await?;
    fields.only(&["exchange"])?;
    exchange_of(&fields)?;
    let key = state.api.exchange_keys.read().ok_or_else(no_key)?;
    let details = json!({ "exchange": EXCHANGE });
    key_act("exchange_key_tested", details)
        .record(
            &state,
            &who(&caller, &principal),
            "exchange_key_test_failed",
        )
        .await?;
    let administration = Arc::clone(&state.api.administration);
    let asked = Instant::now();
    let tested = blocking(move || {
        administration.test_key(key.api_key.expose_secret(), key.api_secret.expose_secret())
    })
    .await;
    let latency_ms = asked.elapsed().as_millis() as u64;
    match tested {
        Ok(permissions) => ok(&json!({
            "ok": true,
            "success": true,
            "exchange": EXCHANGE,
            "permissions": permissions,
            "latencyMs": latency_ms,
        })),
        // The test itself went well: its result is that the key is not good.
        Err(NotDone::Unsound(why)) => ok(&json!({
            "ok": false,
            "success": false,
            "exchange": EXCHANGE,
            "error": "invalid_api_key",
            "message": why,
            "latencyMs": latency_ms,
        })),
        Err(other) => Err(other.into()),
    }
}
