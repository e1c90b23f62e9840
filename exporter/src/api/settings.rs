//! `/api/settings*`: what the process is in a few words, and what a user interface keeps here.
//!
//! Owns: [`Settings`], the handlers. Does not: change what trades. Invariant: a setting that would look like a limit or
//! a rule of security and bind nothing is not taken: `risk`, `advanced` and `security` are refused with the
//! name of what binds. The document is one file, replaced as a whole.

use super::UnreadableState;
use super::admin::record;
use super::answer::{Answer, ok};
use super::exchange_keys;
use crate::auth::{Principal, blocking};
use crate::http::HttpState;
use crate::http::body::{self, Fields, Json, expected};
use crate::http::exchange::Caller;
use crate::http::problem::{Code, Problem};
use axum::Extension;
use axum::extract::{Request, State};
use serde_json::{Map, Value, json};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the whole document: what is known has one kilobyte. A larger one is refused.
const BYTES_MAX: usize = 16 << 10;

/// Sections that a user interface keeps here.
const KEPT: [&str; 2] = ["general", "trading"];

/// Sections that are decided elsewhere, and where.
const ELSEWHERE: [(&str, &str); 3] = [
    ("risk", "limits bind at POST /api/risk/limits"),
    (
        "advanced",
        "the log's level is set at POST /api/admin/log-level, the rest in the configuration",
    ),
    (
        "security",
        "users and sessions are decided by [auth] in the configuration",
    ),
];

/// What a user interface keeps.
#[derive(Debug)]
pub(crate) struct Settings {
    document: Mutex<Map<String, Value>>,
    file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            document: Mutex::new(defaults()),
            file: None,
        }
    }
}

/// What existing clients find when nothing was kept.
fn defaults() -> Map<String, Value> {
    let Value::Object(defaults) = json!({
        "general": {
            "language": "en", "theme": "system", "timezone": "UTC", "dateFormat": "ISO",
            "notifications": {
                "orderFills": true, "priceAlerts": true, "systemAlerts": true, "sound": true,
            },
        },
        "trading": {
            "defaultSymbol": "BTCUSDT", "orderConfirmation": true, "doubleClickToTrade": false,
            "defaultOrderType": "limit", "defaultTimeInForce": "GTC", "slippageTolerance": 0.005,
        },
    }) else {
        unreachable!("an object is an object");
    };
    defaults
}

impl Settings {
    /// Those that a file holds.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub(crate) fn open(file: PathBuf) -> Result<Self, UnreadableState> {
        let document = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| UnreadableState::new(&file, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => defaults(),
            Err(error) => return Err(UnreadableState::new(&file, &error)),
        };
        Ok(Self {
            document: Mutex::new(document),
            file: Some(file),
        })
    }

    fn read(&self) -> Map<String, Value> {
        self.lock().clone()
    }

    /// Puts sections over those that are there.
    fn merge(&self, sections: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
        let mut held = self.lock();
        let mut document = held.clone();
        for (name, section) in sections {
            match (document.get_mut(&name), section) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, section) => {
                    document.insert(name, section);
                }
            }
        }
        let text = Value::from(document.clone()).to_string();
        if text.len() > BYTES_MAX {
            return Err(Problem::new(
                Code::BadParams,
                format!("settings of at most {BYTES_MAX} bytes are kept"),
            ));
        }
        if let Some(file) = &self.file {
            replace(file, text.as_bytes()).map_err(|error| {
                tracing::error!(component = "gateway", %error, "settings are not kept");
                Problem::new(Code::StorageUnavailable, "the settings cannot be kept")
            })?;
        }
        held.clone_from(&document);
        Ok(document)
    }

    fn lock(&self) -> MutexGuard<'_, Map<String, Value>> {
        // It is replaced as a whole.
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces a file as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// What the process is, in five words that existing clients read.
fn process(state: &HttpState) -> Map<String, Value> {
    let first = veloz_core::instrument::InstrumentIndex(0);
    Map::from_iter([
        (
            "market_source".to_owned(),
            state.api.profile.market_source.into(),
        ),
        (
            "market_symbol".to_owned(),
            state.instruments.get(first).symbol.as_str().into(),
        ),
        (
            "execution_mode".to_owned(),
            state.api.profile.execution_mode.into(),
        ),
        ("auth_enabled".to_owned(), state.auth.is_some().into()),
        ("audit_enabled".to_owned(), state.audit.is_some().into()),
    ])
}

fn all(state: &HttpState) -> Map<String, Value> {
    let mut all = process(state);
    all.extend(state.api.settings.read());
    all
}

/// `GET /api/settings`.
pub(crate) async fn show(State(state): State<Arc<HttpState>>) -> Answer {
    ok(&json!({ "settings": all(&state) }))
}

/// `POST /api/settings`: sections by their names, or one as `{section, data}`.
pub(crate) async fn save(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_json(request).await?;
    let sections = match fields.optional_text("section")? {
        Some(section) => {
            fields.only(&["section", "data"])?;
            let data = fields
                .get("data")
                .ok_or_else(|| expected("data", "an object"))?;
            vec![(section, data)]
        }
        None => fields.iter().collect(),
    };
    let sections = kept(&sections)?;
    let saved = merged(&state, &caller, &principal, "settings_saved", sections).await?;
    ok(&json!({ "ok": true, "settings": saved }))
}

/// The sections of a request, as they may be kept.
fn kept(sections: &[(&str, &Json)]) -> Result<Map<String, Value>, Problem> {
    let mut all = Map::new();
    for (name, section) in sections {
        if let Some((elsewhere, where_)) = ELSEWHERE.iter().find(|(known, _)| known == name) {
            return Err(Problem::new(
                Code::BadParams,
                format!("{elsewhere} is not kept here: {where_}"),
            )
            .field(*elsewhere));
        }
        let (Some(known), Json::Object(section)) =
            (KEPT.iter().find(|known| *known == name), section)
        else {
            return Err(expected("section", "an object named general or trading"));
        };
        all.insert((*known).to_owned(), value_of_fields(section)?);
    }
    if all.is_empty() {
        return Err(expected("section", "an object named general or trading"));
    }
    Ok(all)
}

fn value_of_fields(fields: &Fields) -> Result<Value, Problem> {
    fields
        .iter()
        .map(|(name, value)| value_of(value).map(|value| (name.to_owned(), value)))
        .collect::<Result<Map<_, _>, _>>()
        .map(Value::Object)
}

fn value_of(value: &Json) -> Result<Value, Problem> {
    match value {
        Json::Null => Ok(Value::Null),
        Json::Bool(truth) => Ok(Value::Bool(*truth)),
        // Nothing here is money: a setting of a screen may be a float.
        Json::Number(text) => serde_json::from_str(text)
            .map_err(|_| expected("data", "numbers that a screen can show")),
        Json::Text(text) => Ok(Value::String(text.clone())),
        Json::List(list) => list.iter().map(value_of).collect(),
        Json::Object(fields) => value_of_fields(fields),
    }
}

async fn merged(
    state: &Arc<HttpState>,
    caller: &Caller,
    principal: &Principal,
    action: &'static str,
    sections: Map<String, Value>,
) -> Result<Map<String, Value>, Problem> {
    let names: Vec<&String> = sections.keys().collect();
    let details = json!({ "sections": names });
    record(state, caller, principal, action, details, false).await?;
    let keeper = Arc::clone(state);
    blocking(move || keeper.api.settings.merge(sections)).await?;
    Ok(all(state))
}

/// `GET /api/settings/export`.
pub(crate) async fn export(State(state): State<Arc<HttpState>>) -> Answer {
    ok(&json!({
        "version": "1.0",
        "exported_at": (state.unix)().rfc3339(),
        "settings": all(&state),
        "exchange_keys": exchange_keys::named(&state),
    }))
}

/// `POST /api/settings/import`: what an export holds. What says what the process is is not taken from there; keys
/// are not in an export, so none are imported.
pub(crate) async fn import(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let fields = body::read_json(request).await?;
    if fields.text("version")? != "1.0" {
        return Err(expected("version", "1.0"));
    }
    let settings = fields
        .optional_object("settings")?
        .ok_or_else(|| expected("settings", "an object"))?;
    let of_process = process(&state);
    let sections: Vec<(&str, &Json)> = settings
        .iter()
        .filter(|(name, _)| !of_process.contains_key(*name))
        .collect();
    let sections = kept(&sections)?;
    merged(&state, &caller, &principal, "settings_imported", sections).await?;
    ok(&json!({ "ok": true, "imported": { "settings": true, "exchange_keys": false } }))
}
