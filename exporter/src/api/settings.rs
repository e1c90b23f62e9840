//! `/api/settings*`: what the process is in a few words, and what a user interface keeps here.
//!
//! Owns: [`Settings`], the handlers. Does not: change what trades. Invariant: a setting that would look like a limit or
//! a rule of security and bind nothing is not taken: `risk`, `advanced` and `security` are refused with the
//! name of what binds; what is kept has the names and types of [`defaults`]. The document is one file, replaced as a
//! whole.

use super::UnreadableState;
use super::admin::{act, who};
use super::answer::{Answer, ok};
use super::exchange_keys;
use super::orders::Who;
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

/// Characters of one text.
const TEXT_CHARS_MAX: usize = 100;

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
pub(super) fn defaults() -> Map<String, Value> {
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
            put_over(document.entry(name).or_insert(Value::Null), section);
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

/// Puts a value over another: of objects name by name, so that what is not named stays.
fn put_over(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                put_over(old.entry(name).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

/// Refuses a setting that has no such name or another type; `path` names it by words of ours.
fn check(path: &str, known: &Value, new: &Value) -> Result<(), Problem> {
    let what = match (known, new) {
        (Value::Object(known), Value::Object(new)) => {
            for (name, value) in new {
                let Some(known) = known.get(name) else {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    return Err(unfit(path, &format!("nothing but {}", names.join(", "))));
                };
                check(&format!("{path}.{name}"), known, value)?;
            }
            return Ok(());
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Number(_), Value::Number(_)) => return Ok(()),
        (Value::String(_), Value::String(text))
            if text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control) =>
        {
            return Ok(());
        }
        (Value::Object(_), _) => "an object",
        (Value::Bool(_), _) => "true or false",
        (Value::Number(_), _) => "a number",
        (Value::String(_) | Value::Null | Value::Array(_), _) => "a short text",
    };
    Err(unfit(path, what))
}

fn unfit(path: &str, what: &str) -> Problem {
    Problem::new(Code::BadParams, format!("{path}: {what} is expected")).field(path.to_owned())
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
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .inspect_err(|_| {
            // A full disk needs what it takes; when it stays, the next one is written over it.
            let _ = std::fs::remove_file(&new);
        })
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

/// `POST /api/settings`: sections by their names, or one as `{section, data}`, or what `GET` answers, bare or not. What
/// says what the process is may stand among them as it is.
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
        None => match fields.optional_object("settings")? {
            Some(settings) => {
                fields.only(&["settings"])?;
                settings.iter().collect()
            }
            None => fields.iter().collect(),
        },
    };
    let sections = kept(&without_process(&state, sections)?)?;
    let actions = ("settings_saved", "settings_save_failed");
    let saved = merged(&state, &who(&caller, &principal), actions, sections).await?;
    ok(&json!({ "ok": true, "settings": saved }))
}

/// The sections beside what says what the process is, which is refused where it says something else.
fn without_process<'a>(
    state: &HttpState,
    sections: Vec<(&'a str, &'a Json)>,
) -> Result<Vec<(&'a str, &'a Json)>, Problem> {
    let of_process = process(state);
    let mut others = Vec::with_capacity(sections.len());
    for (name, value) in sections {
        match of_process.get_key_value(name) {
            None => others.push((name, value)),
            Some((_, is)) if value_of(value)? == *is => {}
            Some((known, is)) => {
                return Err(Problem::new(
                    Code::BadParams,
                    format!("{known}: it is {is} as long as this process runs"),
                )
                .field(known.clone()));
            }
        }
    }
    Ok(others)
}

/// The sections of a request, as they may be kept.
fn kept(sections: &[(&str, &Json)]) -> Result<Map<String, Value>, Problem> {
    let mut all = Map::new();
    let shape = defaults();
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
        let section = value_of_fields(section)?;
        check(known, &shape[*known], &section)?;
        all.insert((*known).to_owned(), section);
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
    who: &Who<'_>,
    (action, failed): (&'static str, &'static str),
    sections: Map<String, Value>,
) -> Result<Map<String, Value>, Problem> {
    let names: Vec<&String> = sections.keys().collect();
    let details = json!({ "sections": names });
    let keeper = Arc::clone(state);
    let kept = blocking(move || keeper.api.settings.merge(sections));
    act(action, details, false)
        .perform(state, who, failed, kept)
        .await?;
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
    fields.only(&[
        "version",
        "settings",
        "import_exchange_keys",
        "exported_at",
        "exchange_keys",
    ])?;
    if fields.get("import_exchange_keys").is_some() {
        fields.truth("import_exchange_keys")?;
    }
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
    let actions = ("settings_imported", "settings_import_failed");
    merged(&state, &who(&caller, &principal), actions, sections).await?;
    ok(&json!({ "ok": true, "imported": { "settings": true, "exchange_keys": false } }))
}
