//! `/api/auth/*`: logging in and out, API keys, roles, tickets.
//!
//! Owns: the handlers, and the JSON that existing clients know. Does not: decide what is allowed
//! (`crate::auth`), or check permissions (`admission.rs`).

use super::HttpState;
use super::admission::too_many;
use super::body::{self, Fields, expected};
use super::exchange::{Caller, Sensitive};
use super::pages::json_answer;
use super::problem::{Code, Problem};
use super::query::Query;
use super::rate::RateRule;
use crate::audit::record::LogType;
use crate::auth::document::ApiKey;
use crate::auth::keys::{KeyFault, KeySpec, new_secret};
use crate::auth::permission::{Permissions, Role};
use crate::auth::store::StoreError;
use crate::auth::tickets::TICKET_LIFE_MS;
use crate::auth::users::UserFault;
use crate::auth::{Auth, LoginFault, Principal, TokenPair, blocking};
use crate::http::addresses::Network;
use crate::wall::UnixMs;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::sync::Arc;
use veloz_core::units::E8;

/// Characters of a key's name.
const NAME_CHARS_MAX: usize = 100;
/// Networks that a key may be used from.
const NETWORKS_MAX: usize = 64;
/// Requests at once of one key.
const CAPACITY_MAX: u32 = 1_000_000;

type Answer = Result<Response, Problem>;

/// The one who knows identities, unless nobody has to say who he is.
fn auth_of(state: &HttpState) -> Result<Arc<Auth>, Problem> {
    state.auth.clone().ok_or_else(|| {
        Problem::new(
            Code::AuthNotConfigured,
            "nobody logs in here: auth.enabled is false",
        )
    })
}

pub(super) async fn login(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let auth = auth_of(&state)?;
    let fields = body::read_json(request).await?;
    fields.only(&["user_id", "password"])?;
    let user_id = fields.text("user_id")?;
    let password = fields.text("password")?.into();
    let now = (state.unix)();
    let result = auth
        .login(user_id.to_owned(), password, caller.address, now)
        .await;
    let (action, reason) = match &result {
        Ok(_) => ("login_success", None),
        Err(LoginFault::TooMany(_)) => ("login_failed", Some("rate_limited")),
        Err(LoginFault::Store(_)) => ("login_failed", Some("storage")),
        Err(LoginFault::Credentials | LoginFault::RefreshToken { .. }) => {
            ("login_failed", Some("credentials"))
        }
    };
    state.record(|at| {
        // People type their password into the wrong field: an id that is nobody's is not kept.
        let known = auth.store().read(now, |document| {
            document.users().any(|(id, _)| id == user_id)
        });
        let who = if known { user_id } else { "" };
        let details = json!({ "auth_method": "password", "reason": reason });
        caller.entry(LogType::Auth, action, who, details, at)
    });
    Ok(tokens(&result?))
}

pub(super) async fn refresh(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let auth = auth_of(&state)?;
    let fields = body::read_json(request).await?;
    fields.only(&["refresh_token"])?;
    let token = fields.text("refresh_token")?.to_owned();
    let result = auth.refresh(token, (state.unix)()).await;
    let (action, who) = match &result {
        Ok(pair) => ("token_refresh_success", pair.user_id.as_str()),
        Err(LoginFault::RefreshToken {
            stolen_from: Some(user_id),
        }) => ("refresh_token_reused", user_id.as_str()),
        Err(_) => ("token_refresh_failed", ""),
    };
    state.record(|at| {
        let details = json!({ "auth_method": "refresh_token" });
        caller.entry(LogType::Auth, action, who, details, at)
    });
    Ok(tokens(&result?))
}

fn tokens(pair: &TokenPair) -> Response {
    sensitive(&json!({
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in_s,
    }))
}

pub(super) async fn logout(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let auth = auth_of(&state)?;
    let fields = body::read_json(request).await?;
    fields.only(&["refresh_token"])?;
    let result = auth.logout(fields.text("refresh_token")?.to_owned()).await;
    let (action, who) = match &result {
        Ok(user_id) => ("logout", user_id.clone().unwrap_or_default()),
        Err(_) => ("logout_failed", String::new()),
    };
    state.record(|at| caller.entry(LogType::Auth, action, &who, json!({}), at));
    result?;
    let body = json!({ "ok": true, "message": "Logged out successfully" });
    Ok(json_answer(StatusCode::OK, &body))
}

pub(super) async fn stream_ticket(
    State(state): State<Arc<HttpState>>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    let auth = auth_of(&state)?;
    let ticket = auth
        .give_ticket(&principal, (state.unix)())
        .ok_or_else(|| too_many(std::time::Duration::from_millis(TICKET_LIFE_MS)))?;
    Ok(sensitive(&json!({
        "ticket": ticket,
        "expires_in": TICKET_LIFE_MS / 1_000,
    })))
}

pub(super) async fn list_keys(State(state): State<Arc<HttpState>>) -> Answer {
    let auth = auth_of(&state)?;
    let store = auth.store();
    let keys: Vec<ApiKey> = store.read((state.unix)(), |document| document.keys().to_vec());
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            let last_used_at = key.last_used_at.max(store.last_use(&key.key_id));
            let rate = key.rate.map(|rate| {
                json!({
                    "capacity": rate.capacity,
                    "refill": f64::from(rate.refill_per_1000_s.get()) / 1e3,
                })
            });
            json!({
                "key_id": key.key_id,
                "user_id": key.user_id,
                "name": key.name,
                "created_at": key.created_at.rfc3339(),
                "last_used_at": last_used_at.map(UnixMs::rfc3339),
                "expires_at": key.expires_at.map(UnixMs::rfc3339),
                "revoked": key.revoked,
                "permissions": key.permissions.labels(),
                "allowed_ips": key.allowed_addresses,
                "rate_limit": rate,
            })
        })
        .collect();
    Ok(json_answer(StatusCode::OK, &json!({ "keys": keys })))
}

pub(super) async fn make_key(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let auth = auth_of(&state)?;
    let fields = body::read_json(request).await?;
    let now = (state.unix)();
    let spec = key_spec(&fields, &principal, now)?;
    if spec.user_id != principal.user_id
        && spec.permissions.within(Permissions::ADMIN) != Permissions::NONE
    {
        // Who could act as another admin would be both pairs of eyes.
        return Err(not_as_another(&state, &caller, &principal));
    }
    let secret = new_secret();
    let act = Act {
        log_type: LogType::ApiKey,
        done: "api_key_created",
        failed: "api_key_create_failed",
        details: json!({
            "key_id": secret.key_id,
            "owner": spec.user_id,
            "permissions": spec.permissions.labels(),
        }),
    };
    let secret = act
        .by(&state, &caller, &principal, move || {
            auth.store()
                .update::<_, KeyFault>(|document| document.add_key(spec, &secret, now))
                .map(|()| secret)
        })
        .await?;
    let body = json!({
        "key_id": secret.key_id,
        "api_key": secret.api_key,
        "message": "Store this key securely. It will not be shown again.",
    });
    let mut response = sensitive(&body);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The refusal of a key with which an admin would administrate as somebody else; a given role adds nothing to a key
/// without these permissions later.
fn not_as_another(state: &HttpState, caller: &Caller, principal: &Principal) -> Problem {
    state.record(|at| {
        let details = json!({ "permission": "admin", "reason": "key_of_another_user" });
        let who = &principal.user_id;
        caller.entry(LogType::Auth, "permission_denied", who, details, at)
    });
    Problem::new(
        Code::Forbidden,
        "a key of another user has no admin permission: only its user makes one that has",
    )
    .field("permissions")
}

pub(super) async fn revoke_key(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Answer {
    let auth = auth_of(&state)?;
    let query = Query::parse(uri.query())?;
    let key_id = query.text("key_id")?.to_owned();
    let known = auth.store().read((state.unix)(), |document| {
        document.keys().iter().any(|key| key.key_id == key_id)
    });
    if !known {
        return Err(KeyFault::UnknownKey.into());
    }
    let act = Act {
        log_type: LogType::ApiKey,
        done: "api_key_revoked",
        failed: "api_key_revoke_failed",
        details: json!({ "key_id": key_id }),
    };
    let revoked = key_id.clone();
    act.by(&state, &caller, &principal, move || {
        auth.store()
            .update::<_, KeyFault>(|document| document.revoke_key(&revoked))
    })
    .await?;
    let body = json!({ "ok": true, "key_id": key_id });
    Ok(json_answer(StatusCode::OK, &body))
}

pub(super) async fn list_roles(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let auth = auth_of(&state)?;
    let query = Query::parse(uri.query())?;
    let asked = query.get("user_id");
    let (users, counts) = auth.store().read((state.unix)(), |document| {
        let users: serde_json::Map<String, Value> = document
            .users()
            .filter(|(user_id, _)| asked.is_none_or(|asked| asked == *user_id))
            .map(|(user_id, user)| (user_id.to_owned(), labels(&user.roles)))
            .collect();
        let counts = Role::ALL.map(|role| {
            let with = document
                .users()
                .filter(|(_, user)| user.roles.contains(&role));
            (role.label().to_owned(), Value::from(with.count()))
        });
        (users, counts)
    });
    if let Some(asked) = asked
        && !users.contains_key(asked)
    {
        return Err(UserFault::Unknown.into());
    }
    let body = json!({
        "metrics": {
            "total_users": users.len(),
            "role_counts": serde_json::Map::from_iter(counts),
        },
        "users": users,
        "available_roles": labels(&Role::ALL),
    });
    Ok(json_answer(StatusCode::OK, &body))
}

pub(super) async fn give_roles(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Answer {
    let auth = auth_of(&state)?;
    let fields = body::read_json(request).await?;
    fields.only(&["user_id", "roles", "role"])?;
    let user_id = fields.text("user_id")?.to_owned();
    let given = match (
        fields.optional_texts("roles")?,
        fields.optional_text("role")?,
    ) {
        (Some(roles), None) => roles,
        (None, Some(role)) => vec![role],
        (None, None) | (Some(_), Some(_)) => {
            return Err(expected("roles", "a list of roles"));
        }
    };
    let given = roles(given)?;
    must_exist(&state, &auth, &user_id)?;
    let act = Act {
        log_type: LogType::Auth,
        done: "roles_given",
        failed: "roles_give_failed",
        details: json!({ "to": user_id, "roles": labels(&given) }),
    };
    let of = user_id.clone();
    let all = act
        .by(&state, &caller, &principal, move || {
            auth.store()
                .update::<_, UserFault>(|document| document.give_roles(&of, &given))
        })
        .await?;
    let body = json!({ "ok": true, "user_id": user_id, "roles": labels(&all) });
    Ok(json_answer(StatusCode::OK, &body))
}

pub(super) async fn take_roles(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Answer {
    let auth = auth_of(&state)?;
    let query = Query::parse(uri.query())?;
    let user_id = query.text("user_id")?.to_owned();
    let named = query.get("roles").or(query.get("role"));
    let named = named.ok_or_else(|| expected("roles", "a list of roles separated by commas"))?;
    let taken = roles(named.split(',').map(str::trim).collect())?;
    must_exist(&state, &auth, &user_id)?;
    let act = Act {
        log_type: LogType::Auth,
        done: "roles_taken",
        failed: "roles_take_failed",
        details: json!({ "from": user_id, "roles": labels(&taken) }),
    };
    let of = user_id.clone();
    let removed = act
        .by(&state, &caller, &principal, move || {
            auth.store()
                .update::<_, UserFault>(|document| document.take_roles(&of, &taken))
        })
        .await?;
    let body = json!({ "ok": true, "user_id": user_id, "removed_roles": labels(&removed) });
    Ok(json_answer(StatusCode::OK, &body))
}

fn must_exist(state: &HttpState, auth: &Auth, user_id: &str) -> Result<(), Problem> {
    let exists = auth.store().read((state.unix)(), |document| {
        document.users().any(|(known, _)| known == user_id)
    });
    if exists {
        Ok(())
    } else {
        Err(UserFault::Unknown.into())
    }
}

/// An administrative action: recorded before it is done, so that none is done without a record.
struct Act {
    log_type: LogType,
    /// What the record says.
    done: &'static str,
    /// What a second record says, when it could not be done after all.
    failed: &'static str,
    details: Value,
}

impl Act {
    async fn by<T, F>(
        self,
        state: &HttpState,
        caller: &Caller,
        principal: &Principal,
        work: impl FnOnce() -> Result<T, F> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Send + 'static,
        Problem: From<F>,
    {
        let entry = |action, at| {
            let details = self.details.clone();
            caller.entry(self.log_type, action, &principal.user_id, details, at)
        };
        state
            .record_first(entry(self.done, (state.unix)()), self.failed)
            .await?;
        let result = blocking(work).await.map_err(Problem::from);
        if result.is_err() {
            state.record(|at| entry(self.failed, at));
        }
        result
    }
}

fn labels(roles: &[Role]) -> Value {
    roles.iter().map(|role| role.label()).collect()
}

fn roles(names: Vec<&str>) -> Result<Vec<Role>, Problem> {
    let found: Option<Vec<Role>> = names.into_iter().map(Role::named).collect();
    found
        .filter(|roles| !roles.is_empty())
        .ok_or_else(|| expected("roles", "a list of viewer, trader or admin"))
}

/// What a new key shall be, from the body of the request.
fn key_spec(fields: &Fields, principal: &Principal, now: UnixMs) -> Result<KeySpec, Problem> {
    fields.only(&[
        "name",
        "permissions",
        "user_id",
        "expires_at",
        "allowed_ips",
        "rate_limit",
    ])?;
    let name = fields.text("name")?;
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let what = format!("a text of at most {NAME_CHARS_MAX} characters");
        return Err(expected("name", &what));
    }
    let permissions = fields
        .optional_texts("permissions")?
        .unwrap_or_else(|| vec!["read", "write"]);
    let permissions = Permissions::named(permissions)
        .ok()
        .filter(|permissions| *permissions != Permissions::NONE)
        .ok_or_else(|| expected("permissions", "a list of permissions"))?;
    let user_id = fields
        .optional_text("user_id")?
        .unwrap_or(&principal.user_id);
    let expires_at = fields
        .optional_number("expires_at")?
        .map(|text| {
            UnixMs::parse(text).filter(|end| *end > now).ok_or_else(|| {
                expected("expires_at", "a time to come, in Unix seconds or RFC 3339")
            })
        })
        .transpose()?;
    let networks = fields.optional_texts("allowed_ips")?.unwrap_or_default();
    let allowed_addresses: Option<Vec<Network>> = (networks.len() <= NETWORKS_MAX)
        .then(|| networks.into_iter().map(Network::parse).collect())
        .flatten();
    Ok(KeySpec {
        user_id: user_id.to_owned(),
        name: name.to_owned(),
        permissions,
        expires_at,
        allowed_addresses: allowed_addresses
            .ok_or_else(|| expected("allowed_ips", "a list of networks or addresses"))?,
        rate: fields
            .optional_object("rate_limit")?
            .map(rate)
            .transpose()?,
    })
}

fn rate(fields: &Fields) -> Result<RateRule, Problem> {
    fields.only(&["capacity", "refill"])?;
    let capacity = fields
        .optional_number("capacity")?
        .and_then(|text| text.parse::<NonZeroU32>().ok())
        .filter(|capacity| capacity.get() <= CAPACITY_MAX)
        .ok_or_else(|| expected("capacity", "a whole number from 1 to 1000000"))?;
    let refill = fields
        .optional_number("refill")?
        .and_then(|text| E8::parse(text.as_bytes()).ok())
        // Thousandths a second; finer would say nothing.
        .filter(|refill| refill.0 % 100_000 == 0)
        .and_then(|refill| u32::try_from(refill.0 / 100_000).ok())
        .filter(|thousandths| *thousandths <= 10_000_000)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| expected("refill", "a number from 0.001 to 10000"))?;
    Ok(RateRule {
        capacity,
        refill_per_1000_s: refill,
    })
}

/// An answer that holds a secret, and so is not compressed: its length would tell about it.
fn sensitive(body: &Value) -> Response {
    let mut response = json_answer(StatusCode::OK, body);
    response.extensions_mut().insert(Sensitive);
    response
}

impl From<LoginFault> for Problem {
    fn from(fault: LoginFault) -> Self {
        match fault {
            LoginFault::Credentials => Self::new(
                Code::InvalidCredentials,
                "no user has this id and this password",
            ),
            LoginFault::RefreshToken { .. } => Self::new(
                Code::InvalidRefreshToken,
                "the refresh token is not good, or not any more",
            ),
            LoginFault::TooMany(wait) => too_many(wait),
            LoginFault::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(component = "auth", %error, "the auth file was not written");
        Self::new(
            Code::StorageUnavailable,
            "the change could not be kept, so it was not made",
        )
    }
}

impl From<UserFault> for Problem {
    fn from(fault: UserFault) -> Self {
        match fault {
            UserFault::Unknown => Self::new(Code::NotFound, fault.to_string()).field("user_id"),
            UserFault::BadId => Self::new(Code::BadParams, fault.to_string()).field("user_id"),
            UserFault::Exists | UserFault::TooMany | UserFault::LastAdmin => {
                Self::new(Code::Conflict, fault.to_string())
            }
            UserFault::Password(fault) => {
                Self::new(Code::BadParams, fault.to_string()).field("password")
            }
            UserFault::Store(error) => error.into(),
        }
    }
}

impl From<KeyFault> for Problem {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::UnknownUser => Self::new(Code::BadParams, fault.to_string()).field("user_id"),
            KeyFault::UnknownKey => Self::new(Code::NotFound, fault.to_string()).field("key_id"),
            KeyFault::TooMany => Self::new(Code::Conflict, fault.to_string()),
            KeyFault::Store(error) => error.into(),
        }
    }
}
