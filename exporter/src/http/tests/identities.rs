//! Ports where identities count: who gets in, who gets how far, and what nobody ever sees.

use super::*;
use crate::api::Place;
use crate::audit::store::{AuditConfig, AuditStore};
use crate::audit::writer::queue;
use crate::auth::keys::{KeyFault, KeySpec, new_secret};
use crate::auth::permission::{Permissions, Role};
use crate::auth::users::UserFault;
use crate::auth::{AuthConfig, FIRST_ADMIN, password};
use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::sync::LazyLock;

pub(super) const PASSWORD: &str = "correct horse battery";
const SCRAPE_TOKEN: &str = "scrape-token-of-the-tests";
const JWT_SECRET: &str = "jwt-secret-of-the-tests-32-bytes!";

/// The hash of [`PASSWORD`]: each takes a while.
static HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD).expect("long enough"));

pub(super) struct Guarded {
    pub(super) fixture: Fixture,
    router: Router,
    pub(super) directory: tempfile::TempDir,
}

pub(super) fn guarded() -> Guarded {
    guarded_by(ROUTES, with_identities())
}

pub(super) fn with_identities() -> Surface {
    Surface {
        trust: Trust::Identities,
        ..on_this_machine()
    }
}

pub(super) fn guarded_by(table: &'static [Route], surface: Surface) -> Guarded {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fixture = fixture_with(|state| {
        let config = ApiConfig {
            place: Some(Place {
                directory: directory.path().join("state"),
                instance: "vz".to_owned(),
            }),
            ..api_config()
        };
        state.api = Arc::new(Api::open(config).expect("opens"));
        let config = AuthConfig {
            directory: directory.path().to_owned(),
            jwt_secret: Some(JWT_SECRET.into()),
            admin_password: Some(PASSWORD.into()),
            access_life: Duration::from_hours(1),
            refresh_life: Duration::from_hours(168),
        };
        let now = Arc::clone(&state.now);
        let clock = BucketClock::new(move || now());
        let auth = Auth::open(
            &config,
            Arc::clone(&state.auth_metrics),
            clock,
            (state.unix)(),
        );
        let auth = auth.expect("opens");
        auth.store()
            .update::<_, UserFault>(|document| {
                for (user_id, role) in [("vera", Role::Viewer), ("tom", Role::Trader)] {
                    document.add_user(user_id, HASH.clone(), &[role], UnixMs(1))?;
                }
                Ok(())
            })
            .expect("added");
        state.auth = Some(Arc::new(auth));
        let config = AuditConfig {
            directory: directory.path().join("audit"),
            copy: None,
            heads: None,
            retention_days_min: 0,
        };
        let (store, findings) = AuditStore::open(&config, (state.unix)()).expect("opens");
        let (log, writer) = queue(store, findings, Arc::clone(&state.audit_metrics));
        state.audit = Some(log);
        let now = (state.unix)();
        // Ends with the fixture, which has the other end of the queue.
        std::thread::spawn(move || writer.run(|| now));
        state.scrape_token = Some(SecretDigest::of(SCRAPE_TOKEN));
    });
    Guarded {
        router: router_of(table, Arc::clone(&fixture.state), surface),
        fixture,
        directory,
    }
}

/// What a client has in its hand.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    Nothing,
    Token(&'a str),
    Key(&'a str),
}

impl Guarded {
    pub(super) fn ask(&self, mut request: Request, shown: Shown<'_>) -> Response {
        let (name, value) = match shown {
            Shown::Nothing => return answer_of(&self.router, request),
            Shown::Token(token) => (AUTHORIZATION, format!("Bearer {token}")),
            Shown::Key(key) => (
                axum::http::HeaderName::from_static("x-api-key"),
                key.to_owned(),
            ),
        };
        let value = HeaderValue::from_str(&value).expect("a header");
        request.headers_mut().insert(name, value);
        answer_of(&self.router, request)
    }

    pub(super) fn json(&self, request: Request, shown: Shown<'_>) -> (StatusCode, Value) {
        let response = self.ask(request, shown);
        let status = response.status();
        let body = serde_json::from_str(&text(response)).expect("a JSON body");
        (status, body)
    }

    pub(super) fn post(&self, path: &str, body: &Value, shown: Shown<'_>) -> (StatusCode, Value) {
        self.json(request_for(Method::POST, path, body), shown)
    }

    pub(super) fn get(&self, path: &str, shown: Shown<'_>) -> (StatusCode, Value) {
        self.json(get_request(path), shown)
    }

    pub(super) fn delete(&self, path: &str, shown: Shown<'_>) -> (StatusCode, Value) {
        let mut request = get_request(path);
        *request.method_mut() = Method::DELETE;
        self.json(request, shown)
    }

    /// Access and refresh token.
    pub(super) fn login(&self, user_id: &str) -> (String, String) {
        let credentials = json!({ "user_id": user_id, "password": PASSWORD });
        let (status, body) = self.post("/api/auth/login", &credentials, Shown::Nothing);
        assert_eq!(status, StatusCode::OK, "{body}");
        let token = |name: &str| body[name].as_str().expect("a token").to_owned();
        (token("access_token"), token("refresh_token"))
    }

    /// A key of a user with everything that the user may.
    pub(super) fn key(&self, user_id: &str) -> String {
        let secret = new_secret();
        let spec = KeySpec {
            user_id: user_id.to_owned(),
            name: "test".to_owned(),
            permissions: Permissions::ALL,
            expires_at: None,
            allowed_addresses: Vec::new(),
            rate: None,
        };
        let auth = self.fixture.state.auth.as_ref().expect("there");
        auth.store()
            .update::<_, KeyFault>(|document| document.add_key(spec, &secret, UnixMs(1)))
            .expect("made");
        secret.api_key
    }
}

/// What each route needs, as the contract has it: `-` for nothing.
const CONTRACT: &[(&str, &str, &str)] = &[
    ("GET", "/metrics", "read:config"),
    ("GET", "/health", "-"),
    ("GET", "/api/health", "-"),
    ("GET", "/health/live", "-"),
    ("GET", "/health/ready", "-"),
    ("GET", "/health/startup", "-"),
    ("POST", "/api/auth/login", "-"),
    ("POST", "/api/auth/refresh", "-"),
    ("POST", "/api/auth/logout", "-"),
    ("POST", "/api/auth/stream-ticket", "read:market"),
    ("GET", "/api/auth/keys", "admin:keys"),
    ("POST", "/api/auth/keys", "admin:keys"),
    ("DELETE", "/api/auth/keys", "admin:keys"),
    ("GET", "/api/auth/roles", "admin:users"),
    ("POST", "/api/auth/roles", "admin:users"),
    ("DELETE", "/api/auth/roles", "admin:users"),
    ("GET", "/api/audit/logs", "admin:config"),
    ("GET", "/api/audit/stats", "admin:config"),
    ("POST", "/api/audit/archive", "admin:config"),
    ("GET", "/api/config", "read:config"),
    ("GET", "/api/status", "read:config"),
    ("GET", "/api/execution/ping", "read:config"),
    ("GET", "/api/latency", "read:config"),
    ("POST", "/api/start", "write:orders"),
    ("POST", "/api/stop", "write:orders"),
    ("POST", "/api/control/start", "write:orders"),
    ("POST", "/api/control/stop", "write:orders"),
    ("POST", "/api/halt", "write:cancel"),
    ("POST", "/api/reduce-only", "write:orders"),
    ("POST", "/api/resume", "write:orders"),
    ("POST", "/api/kill-switch/trip", "write:cancel"),
    ("POST", "/api/kill-switch/reset", "admin:config"),
    ("GET", "/api/market", "read:market"),
    ("GET", "/api/book", "read:market"),
    ("GET", "/api/orders", "read:orders"),
    ("GET", "/api/orders_state", "read:orders"),
    ("GET", "/api/order_state", "read:orders"),
    ("GET", "/api/trades", "read:orders"),
    ("POST", "/api/order", "write:orders"),
    ("POST", "/api/cancel", "write:cancel"),
    ("POST", "/api/cancel-all", "write:cancel"),
    ("POST", "/api/cancel-replace", "write:orders"),
    ("POST", "/api/amend", "write:orders"),
    ("GET", "/api/account", "read:account"),
    ("GET", "/api/positions", "read:account"),
    ("GET", "/api/positions/{symbol}", "read:account"),
    ("GET", "/api/strategies", "read:config"),
    ("POST", "/api/risk/limits", "admin:config"),
    ("GET", "/api/risk/limits", "read:config"),
    ("POST", "/api/risk/limits/approve", "admin:config"),
    ("POST", "/api/risk/limits/withdraw", "admin:config"),
    ("GET", "/api/risk/utilization", "read:account"),
    ("POST", "/api/config", "admin:config"),
    ("GET", "/api/settings", "read:config"),
    ("POST", "/api/settings", "write:orders"),
    ("GET", "/api/settings/export", "read:config"),
    ("POST", "/api/settings/import", "admin:config"),
    ("GET", "/api/exchange-keys", "read:config"),
    ("POST", "/api/exchange-keys", "admin:config"),
    ("DELETE", "/api/exchange-keys", "admin:config"),
    ("POST", "/api/exchange-keys/test", "admin:config"),
    ("GET", "/api/admin/log-level", "read:config"),
    ("POST", "/api/admin/log-level", "admin:config"),
    ("POST", "/api/admin/maintenance", "admin:config"),
    ("POST", "/api/admin/ready", "admin:config"),
    ("POST", "/api/admin/readonly", "admin:config"),
    ("POST", "/api/admin/readwrite", "admin:config"),
    ("POST", "/api/admin/reload-config", "admin:config"),
    ("GET", "/api/openapi.json", "read:config"),
    ("GET", "/api/strategies/{id}", "read:config"),
    ("POST", "/api/strategies/{id}/start", "write:orders"),
    ("POST", "/api/strategies/{id}/stop", "write:orders"),
    ("GET", "/api/stream", "read:market"),
];

/// Permissions of the contract with who has them.
const MATRIX: &[(&str, [bool; 3])] = &[
    ("-", [true, true, true]),
    ("read:market", [true, true, true]),
    ("read:config", [true, true, true]),
    ("read:orders", [false, true, true]),
    ("read:account", [false, true, true]),
    ("write:orders", [false, true, true]),
    ("write:cancel", [false, true, true]),
    ("admin:keys", [false, false, true]),
    ("admin:users", [false, false, true]),
    ("admin:config", [false, false, true]),
];

#[test]
fn every_route_asks_each_role_for_what_the_contract_says() {
    // Each user asks more often here than he may.
    let surface = Surface {
        rate: RateRule::per_second(100_000, 100_000),
        ..with_identities()
    };
    let guarded = guarded_by(ROUTES, surface);
    let tokens = ["vera", "tom", FIRST_ADMIN].map(|user| guarded.login(user).0);
    let keys = ["vera", "tom", FIRST_ADMIN].map(|user| guarded.key(user));
    let known = ROUTES.len();
    assert_eq!(CONTRACT.len(), known, "a route is not in the contract");
    for (method, path, needs) in CONTRACT {
        let (_, who) = MATRIX
            .iter()
            .find(|(name, _)| name == needs)
            .expect("known");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let status = |shown: Shown<'_>| {
            let path = path
                .replace("{symbol}", "BTCUSDT")
                .replace("{id}", "market_maker");
            let request = request_for(method.clone(), &path, &json!({}));
            guarded.ask(request, shown).status()
        };
        let let_in = |status: StatusCode| {
            let named = path.contains("{id}");
            assert!(named || status != StatusCode::NOT_FOUND, "{method} {path}");
            !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        };
        assert_eq!(
            let_in(status(Shown::Nothing)),
            *needs == "-",
            "{method} {path}"
        );
        for (position, expected) in who.iter().enumerate() {
            for shown in [Shown::Token(&tokens[position]), Shown::Key(&keys[position])] {
                let got = status(shown);
                assert_eq!(let_in(got), *expected, "{method} {path} {position}: {got}");
                if !expected {
                    assert_eq!(got, StatusCode::FORBIDDEN);
                }
            }
        }
    }
    let denied = guarded.fixture.state.auth_metrics.denied();
    assert!(denied > 0);
}

#[test]
fn without_an_identity_nobody_learns_which_routes_there_are() {
    let guarded = guarded();
    let key = guarded.key("vera");
    for (method, path) in [
        (Method::GET, "/api/nothing"),
        (Method::GET, "/"),
        (Method::POST, "/metrics"),
        (Method::DELETE, "/api/auth/login"),
        (Method::OPTIONS, "/metrics"),
        (Method::GET, "/api/auth/keys/"),
        (Method::GET, "/api/auth//keys"),
    ] {
        let request = || request_for(method.clone(), path, &json!({}));
        let response = guarded.ask(request(), Shown::Nothing);
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"veloz\""
        );
        let status = guarded.ask(request(), Shown::Key(&key)).status();
        assert!(
            matches!(
                status,
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            ),
            "{method} {path} {status}"
        );
    }
    let (_, body) = guarded.get("/api/auth/keys", Shown::Nothing);
    assert_eq!(body["error"], "authentication_required");
    let (_, body) = guarded.get("/api/auth/keys", Shown::Key(&key));
    assert_eq!(body["error"], "forbidden");
    assert_eq!(body["message"], "Required permissions: admin:keys");
}

#[test]
fn a_login_answers_as_existing_clients_know_it() {
    let guarded = guarded();
    let good = json!({ "user_id": "admin", "password": PASSWORD });
    let (status, body) = guarded.post("/api/auth/login", &good, Shown::Nothing);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3_600);
    assert!(body["access_token"].is_string() && body["refresh_token"].is_string());

    let refusals = [
        (
            json!({ "user_id": "admin", "password": "wrong horse" }),
            401,
            "invalid_credentials",
            None,
        ),
        (
            json!({ "user_id": "nobody", "password": PASSWORD }),
            401,
            "invalid_credentials",
            None,
        ),
        (
            json!({ "user_id": "admin" }),
            400,
            "bad_params",
            Some("password"),
        ),
        (
            json!({ "password": PASSWORD }),
            400,
            "bad_params",
            Some("user_id"),
        ),
        (
            json!({ "user_id": 7, "password": PASSWORD }),
            400,
            "bad_params",
            Some("user_id"),
        ),
        (json!([]), 400, "bad_json", None),
    ];
    for (body, status, error, field) in refusals {
        let (got, answer) = guarded.post("/api/auth/login", &body, Shown::Nothing);
        assert_eq!(got.as_u16(), status, "{answer}");
        assert_eq!(answer["error"], error);
        assert_eq!(answer["field"].as_str(), field);
    }
}

#[test]
fn a_body_that_is_none_is_refused_before_anything_reads_it() {
    let guarded = guarded();
    let login = |change: &dyn Fn(&mut Request)| {
        let mut request = request_for(Method::POST, "/api/auth/login", &json!({}));
        change(&mut request);
        let (status, body) = guarded.json(request, Shown::Nothing);
        (
            status.as_u16(),
            body["error"].as_str().expect("a code").to_owned(),
        )
    };
    let kind = |kind: &'static str| {
        login(&|request| {
            let value = HeaderValue::from_static(kind);
            request.headers_mut().insert(CONTENT_TYPE, value);
        })
    };
    assert_eq!(
        kind("text/plain"),
        (415, "unsupported_media_type".to_owned())
    );
    assert_eq!(kind("application/xml").0, 415);
    let missing = login(&|request| {
        request.headers_mut().remove(CONTENT_TYPE);
    });
    assert_eq!(missing.0, 415);
    let with = |text: String| login(&|request| *request.body_mut() = Body::from(text.clone()));
    let deep = format!("{{\"user_id\":{}{}}}", "[".repeat(500), "]".repeat(500));
    for text in [
        "",
        "{",
        "{\"user_id\":\"a\",\"user_id\":\"b\",\"password\":\"c\"}",
        "{\"user_id\":NaN}",
        &deep,
    ] {
        assert_eq!(
            with(text.to_owned()),
            (400, "bad_json".to_owned()),
            "{text}"
        );
    }
    let large = format!("{{\"user_id\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(with(large), (413, "body_too_large".to_owned()));
    // A stream, whose length nobody says.
    let part = || Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b' '; 1 << 16])));
    let (status, body) = guarded.json(
        {
            let parts = futures_util::stream::iter((0..20).map(move |_| part()));
            let mut request = request_for(Method::POST, "/api/auth/login", &json!({}));
            *request.body_mut() = Body::new(StreamBody::new(parts));
            request
        },
        Shown::Nothing,
    );
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (413, &json!("body_too_large"))
    );
}

/// A body of which nothing comes.
struct Silence;

impl hyper::body::Body for Silence {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let guarded = guarded();
    let mut request = request_for(Method::POST, "/api/auth/login", &json!({}));
    *request.body_mut() = Body::new(Silence);
    // Time stands still until nothing else can happen, then jumps.
    let response = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(guarded.router.clone().oneshot(request))
        .expect("infallible");
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let body: Value = serde_json::from_str(&text(response)).expect("JSON");
    assert_eq!(body["error"], "request_timeout");
}

#[test]
fn tokens_are_prolonged_and_ended_and_forged_ones_end_nothing() {
    let guarded = guarded();
    let (access, refresh) = guarded.login("tom");
    let ticket = |access: &str| {
        guarded
            .post("/api/auth/stream-ticket", &json!({}), Shown::Token(access))
            .0
    };
    assert_eq!(ticket(&access), StatusCode::OK);
    let with = |path: &str, token: &str| {
        guarded.post(path, &json!({ "refresh_token": token }), Shown::Nothing)
    };
    let (status, next) = with("/api/auth/refresh", &refresh);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&next["token_type"], &next["expires_in"]),
        (&json!("Bearer"), &json!(3_600))
    );

    for forged in [access.as_str(), "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let (status, body) = with("/api/auth/logout", forged);
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(body["error"], "invalid_refresh_token");
        assert_eq!(
            with("/api/auth/refresh", forged).0,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(ticket(&access), StatusCode::OK);
    let newest = next["refresh_token"].as_str().expect("rotated");
    let (status, body) = with("/api/auth/logout", newest);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({ "ok": true, "message": "Logged out successfully" })
    );
    assert_eq!(ticket(&access), StatusCode::UNAUTHORIZED);
    let after = next["access_token"].as_str().expect("a token");
    let (status, body) = guarded.post("/api/auth/stream-ticket", &json!({}), Shown::Token(after));
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body["error"], "invalid_token");
    let (status, body) = guarded.post("/api/auth/refresh", &json!({}), Shown::Nothing);
    assert_eq!(
        (status.as_u16(), &body["field"]),
        (400, &json!("refresh_token"))
    );
}

#[test]
fn an_admin_makes_lists_and_revokes_keys() {
    let guarded = guarded();
    let (admin, _) = guarded.login(FIRST_ADMIN);
    let admin = Shown::Token(&admin);
    let wanted = json!({
        "name": "bot",
        "user_id": "tom",
        "permissions": ["read:orders", "write"],
        "expires_at": "2024-02-23T13:00:00Z",
        "allowed_ips": ["127.0.0.0/8"],
        "rate_limit": { "capacity": 2, "refill": "0.5" },
    });
    let (status, made) = guarded.post("/api/auth/keys", &wanted, admin);
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        made["message"],
        "Store this key securely. It will not be shown again."
    );
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    let (key_id, api_key) = (text("key_id"), text("api_key"));
    assert!(key_id.starts_with("vk_") && key_id.len() == 19);
    assert!(api_key.starts_with("veloz_") && api_key.len() == 70);

    // Its own rate, and its own permissions.
    let request = || get_request("/api/auth/keys");
    let used = guarded.ask(request(), Shown::Key(&api_key));
    assert_eq!(used.status(), StatusCode::FORBIDDEN);
    assert_eq!(used.headers()["x-ratelimit-limit"], "2");
    guarded.ask(request(), Shown::Key(&api_key));
    let third = guarded.ask(request(), Shown::Key(&api_key));
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.headers()[RETRY_AFTER], "2");
    // From elsewhere.
    let mut elsewhere = request();
    elsewhere
        .extensions_mut()
        .insert(Peer(IpAddr::from([192, 0, 2, 1])));
    let (status, body) = guarded.json(elsewhere, Shown::Key(&api_key));
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (401, &json!("invalid_api_key"))
    );

    let (_, listed) = guarded.get("/api/auth/keys", admin);
    let entry = &listed["keys"][0];
    assert_eq!(
        *entry,
        json!({
            "key_id": key_id,
            "user_id": "tom",
            "name": "bot",
            "created_at": "2024-02-23T12:00:00.123Z",
            "last_used_at": "2024-02-23T12:00:00.123Z",
            "expires_at": "2024-02-23T13:00:00.000Z",
            "revoked": false,
            "permissions": ["read:orders", "write:orders", "write:cancel"],
            "allowed_ips": ["127.0.0.0/8"],
            "rate_limit": { "capacity": 2, "refill": 0.5 },
        })
    );

    let (status, body) = guarded.delete(&format!("/api/auth/keys?key_id={key_id}"), admin);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({ "ok": true, "key_id": key_id }));
    let (status, body) = guarded.get("/api/auth/keys", Shown::Key(&api_key));
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (401, &json!("invalid_api_key"))
    );
    let (status, body) = guarded.delete("/api/auth/keys?key_id=vk_0", admin);
    assert_eq!(
        (status.as_u16(), &body["error"]),
        (404, &json!("not_found"))
    );
    assert_eq!(
        guarded.delete("/api/auth/keys", admin).0,
        StatusCode::BAD_REQUEST
    );
}

#[test]
fn a_key_that_cannot_be_meant_is_refused_by_field() {
    let guarded = guarded();
    let admin = guarded.key(FIRST_ADMIN);
    let long = "x".repeat(101);
    for (body, field) in [
        (json!({}), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": long }), "name"),
        (json!({ "name": "a\nb" }), "name"),
        (
            json!({ "name": "a", "permissions": ["fly"] }),
            "permissions",
        ),
        (json!({ "name": "a", "permissions": [] }), "permissions"),
        (json!({ "name": "a", "permissions": "read" }), "permissions"),
        (json!({ "name": "a", "user_id": "nobody" }), "user_id"),
        (
            json!({ "name": "a", "expires_at": "yesterday" }),
            "expires_at",
        ),
        (json!({ "name": "a", "expires_at": 1_000 }), "expires_at"),
        (
            json!({ "name": "a", "allowed_ips": ["here"] }),
            "allowed_ips",
        ),
        (json!({ "name": "a", "rate_limit": {} }), "capacity"),
        (
            json!({ "name": "a", "rate_limit": { "capacity": 0 } }),
            "capacity",
        ),
        (
            json!({ "name": "a", "rate_limit": { "capacity": 1, "refill": 0 } }),
            "refill",
        ),
        (
            json!({ "name": "a", "rate_limit": { "capacity": 1, "refill": "0.0001" } }),
            "refill",
        ),
    ] {
        let (status, answer) = guarded.post("/api/auth/keys", &body, Shown::Key(&admin));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["field"], field, "{body}");
    }
    let plain = json!({ "name": "a" });
    let (status, _) = guarded.post("/api/auth/keys", &plain, Shown::Key(&admin));
    assert_eq!(status, StatusCode::CREATED);
    let (_, listed) = guarded.get("/api/auth/keys", Shown::Key(&admin));
    let made = listed["keys"]
        .as_array()
        .and_then(|keys| keys.last())
        .expect("a key");
    assert_eq!(made["user_id"], "admin", "one's own if nobody is named");
    assert_eq!(
        made["permissions"].as_array().map(Vec::len),
        Some(6),
        "read and write"
    );
}

#[test]
fn a_field_that_nobody_reads_is_refused() {
    let guarded = guarded();
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    let rate = json!({ "capacity": 1, "refill": 1, "refil": 2 });
    for (path, body) in [
        (
            "/api/auth/keys",
            json!({ "name": "a", "permission": ["read"] }),
        ),
        (
            "/api/auth/keys",
            json!({ "name": "a", "expires": "2030-01-01T00:00:00Z" }),
        ),
        ("/api/auth/keys", json!({ "name": "a", "rate_limit": rate })),
        (
            "/api/auth/roles",
            json!({ "user_id": "vera", "roles": ["viewer"], "x": 1 }),
        ),
        (
            "/api/auth/login",
            json!({ "user_id": "tom", "password": PASSWORD, "otp": "1" }),
        ),
        ("/api/auth/refresh", json!({ "refresh_token": "a", "x": 1 })),
        ("/api/auth/logout", json!({ "refresh_token": "a", "x": 1 })),
    ] {
        let (status, answer) = guarded.post(path, &body, admin);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert_eq!(answer["error"], "bad_params", "{path}");
    }
    let (_, listed) = guarded.get("/api/auth/keys", admin);
    assert_eq!(
        listed["keys"].as_array().map(Vec::len),
        Some(1),
        "the test's own"
    );
}

#[test]
fn nobody_makes_a_key_with_which_he_administrates_as_another() {
    let guarded = guarded();
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    for permissions in [
        json!(["admin"]),
        json!(["read", "admin:config"]),
        json!(["admin:keys"]),
        json!(["write", "admin:users"]),
    ] {
        let of_tom = json!({ "name": "x", "user_id": "tom", "permissions": permissions });
        let (status, body) = guarded.post("/api/auth/keys", &of_tom, admin);
        assert_eq!(status, StatusCode::FORBIDDEN, "{permissions}");
        assert_eq!(body["field"], "permissions");
        let own = json!({ "name": "x", "user_id": FIRST_ADMIN, "permissions": permissions });
        let (status, _) = guarded.post("/api/auth/keys", &own, admin);
        assert_eq!(status, StatusCode::CREATED);
    }
    let of_tom = json!({ "name": "x", "user_id": "tom", "permissions": ["read", "write"] });
    let (_, made) = guarded.post("/api/auth/keys", &of_tom, admin);
    let key = made["api_key"].as_str().expect("a key").to_owned();
    // A role that comes later adds nothing to it.
    let give = json!({ "user_id": "tom", "roles": ["admin"] });
    assert_eq!(
        guarded.post("/api/auth/roles", &give, admin).0,
        StatusCode::OK
    );
    let (status, _) = guarded.get("/api/auth/keys", Shown::Key(&key));
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[test]
fn an_admin_gives_lists_and_takes_roles() {
    let guarded = guarded();
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    let (status, body) = guarded.get("/api/auth/roles", admin);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({
            "users": { "admin": ["admin"], "tom": ["trader"], "vera": ["viewer"] },
            "metrics": {
                "total_users": 3,
                "role_counts": { "viewer": 1, "trader": 1, "admin": 1 },
            },
            "available_roles": ["viewer", "trader", "admin"],
        })
    );
    let give = json!({ "user_id": "vera", "roles": ["trader"] });
    let (_, body) = guarded.post("/api/auth/roles", &give, admin);
    assert_eq!(
        body,
        json!({ "ok": true, "user_id": "vera", "roles": ["viewer", "trader"] })
    );
    let one = json!({ "user_id": "vera", "role": "admin" });
    assert_eq!(
        guarded.post("/api/auth/roles", &one, admin).0,
        StatusCode::OK
    );
    let path = "/api/auth/roles?user_id=vera&roles=admin,trader";
    let (_, body) = guarded.delete(path, admin);
    assert_eq!(
        body,
        json!({ "ok": true, "user_id": "vera", "removed_roles": ["trader", "admin"] })
    );
    let (_, body) = guarded.get("/api/auth/roles?user_id=vera", admin);
    assert_eq!(body["users"], json!({ "vera": ["viewer"] }));

    for (body, status) in [
        (json!({ "user_id": "nobody", "roles": ["viewer"] }), 404),
        (json!({ "user_id": "vera", "roles": ["king"] }), 400),
        (json!({ "user_id": "vera", "roles": [] }), 400),
        (json!({ "user_id": "vera" }), 400),
        (
            json!({ "user_id": "vera", "roles": ["viewer"], "role": "viewer" }),
            400,
        ),
    ] {
        assert_eq!(
            guarded.post("/api/auth/roles", &body, admin).0.as_u16(),
            status,
            "{body}"
        );
    }
    let (status, body) = guarded.delete("/api/auth/roles?user_id=admin&role=admin", admin);
    assert_eq!((status.as_u16(), &body["error"]), (409, &json!("conflict")));
    assert_eq!(
        guarded.get("/api/auth/roles?user_id=nobody", admin).0,
        StatusCode::NOT_FOUND
    );
}

static STREAMING: [Route; 2] = [
    Route {
        verb: Verb::Get,
        path: "/api/stream",
        access: Access::Stream(crate::auth::permission::Permission::ReadMarket),
        serve: || get(async |who: axum::Extension<crate::auth::Principal>| who.user_id.clone()),
    },
    Route {
        verb: Verb::Post,
        path: "/api/auth/stream-ticket",
        access: Access::Needs(crate::auth::permission::Permission::ReadMarket),
        serve: || post(auth_routes::stream_ticket),
    },
];

#[test]
fn a_ticket_opens_one_stream_and_nothing_else() {
    let guarded = guarded_by(&STREAMING, with_identities());
    let key = guarded.key("vera");
    let ticket = || {
        let (status, body) = guarded.post("/api/auth/stream-ticket", &json!({}), Shown::Key(&key));
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["expires_in"], 30);
        body["ticket"].as_str().expect("a ticket").to_owned()
    };
    let stream =
        |query: &str| guarded.ask(get_request(&format!("/api/stream{query}")), Shown::Nothing);
    assert_eq!(stream("").status(), StatusCode::UNAUTHORIZED);
    let first = ticket();
    let opened = stream(&format!("?ticket={first}&last_id=7"));
    assert_eq!(opened.status(), StatusCode::OK);
    assert_eq!(text(opened), "vera");
    assert_eq!(
        stream(&format!("?ticket={first}")).status(),
        StatusCode::UNAUTHORIZED
    );
    let second = ticket();
    let elsewhere = request_for(
        Method::POST,
        &format!("/api/auth/stream-ticket?ticket={second}"),
        &json!({}),
    );
    assert_eq!(
        guarded.ask(elsewhere, Shown::Nothing).status(),
        StatusCode::UNAUTHORIZED
    );
    let both = get_request(&format!("/api/stream?ticket={second}"));
    assert_eq!(
        guarded.ask(both, Shown::Key(&key)).status(),
        StatusCode::BAD_REQUEST
    );
}

/// A logout, a revoked key and a lost role each end the stream that they had opened, and no other.
#[test]
fn a_stream_ends_when_who_opened_it_may_not_listen_any_more() {
    let guarded = guarded();
    let (tom, refresh) = guarded.login("tom");
    let (vera, _) = guarded.login("vera");
    let (admin, _) = guarded.login(FIRST_ADMIN);
    let key = guarded.key("tom");
    let (_, body) = guarded.get("/api/auth/keys", Shown::Token(&admin));
    let key_id = body["keys"][0]["key_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let (_, body) = guarded.post("/api/auth/stream-ticket", &json!({}), Shown::Token(&tom));
    let ticket = body["ticket"].as_str().expect("a ticket");
    let with_ticket = format!("/api/stream?ticket={ticket}");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let open = async |path: &str, name: &'static str, value: String| {
            let mut request = get_request(path);
            if !name.is_empty() {
                let value = HeaderValue::from_str(&value).expect("a header");
                request.headers_mut().insert(name, value);
            }
            let response = guarded.router.clone().oneshot(request).await;
            let response = response.expect("infallible");
            assert_eq!(response.status(), StatusCode::OK, "{path} {name}");
            response.into_body()
        };
        let bearer = |token: &str| format!("Bearer {token}");
        let mut of_tom = open("/api/stream", "authorization", bearer(&tom)).await;
        let mut of_ticket = open(&with_ticket, "", String::new()).await;
        let mut of_key = open("/api/stream", "x-api-key", key.clone()).await;
        let mut of_vera = open("/api/stream", "authorization", bearer(&vera)).await;
        let mut of_admin = open("/api/stream", "authorization", bearer(&admin)).await;
        // The greeting, and a comment that comes ten seconds later.
        let alive = async |body: &mut Body| {
            let frame = body.frame().await;
            frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_data()))
        };
        for _ in 0..2 {
            for body in [
                &mut of_tom,
                &mut of_ticket,
                &mut of_key,
                &mut of_vera,
                &mut of_admin,
            ] {
                assert!(alive(body).await);
            }
        }
        let auth = guarded.fixture.state.auth.as_ref().expect("there");
        auth.logout(refresh).await.expect("ours");
        assert!(!alive(&mut of_tom).await && !alive(&mut of_ticket).await);
        assert!(alive(&mut of_key).await && alive(&mut of_vera).await);
        let store = auth.store();
        store
            .update::<_, KeyFault>(|document| document.revoke_key(&key_id))
            .expect("known");
        assert!(!alive(&mut of_key).await && alive(&mut of_vera).await);
        store
            .update::<_, UserFault>(|document| document.take_roles("vera", &[Role::Viewer]))
            .expect("known");
        assert!(!alive(&mut of_vera).await && alive(&mut of_admin).await);
    });
}

#[test]
fn the_scrape_token_opens_the_metrics_and_nothing_else() {
    let guarded = guarded();
    let scraper = Shown::Token(SCRAPE_TOKEN);
    let status = |path: &str, shown: Shown<'_>| guarded.ask(get_request(path), shown).status();
    assert_eq!(status("/metrics", Shown::Nothing), StatusCode::UNAUTHORIZED);
    assert_eq!(status("/metrics", scraper), StatusCode::OK);
    assert_eq!(
        status("/metrics", Shown::Token("scrape-token-of-the-test")),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(status("/api/auth/keys", scraper), StatusCode::UNAUTHORIZED);
    assert_eq!(status("/health/live", Shown::Nothing), StatusCode::OK);

    // On a port for scrapers alone.
    let surface = Surface {
        trust: Trust::Scraper,
        reach: Reach::Monitoring,
        ..on_this_machine()
    };
    let guarded = guarded_by(ROUTES, surface);
    let status = |path: &str, shown: Shown<'_>| guarded.ask(get_request(path), shown).status();
    assert_eq!(status("/metrics", scraper), StatusCode::OK);
    assert_eq!(status("/metrics", Shown::Nothing), StatusCode::UNAUTHORIZED);
    assert_eq!(
        status("/health/ready", Shown::Nothing),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(status("/api/auth/keys", scraper), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_request_says_in_one_way_who_makes_it() {
    let guarded = guarded();
    let key = guarded.key(FIRST_ADMIN);
    let mut both = get_request("/api/auth/keys");
    both.headers_mut()
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(
        guarded.ask(both, Shown::Key(&key)).status(),
        StatusCode::BAD_REQUEST
    );
    for odd in ["Basic YTpi", "Bearer", "x"] {
        let mut request = get_request("/api/auth/keys");
        request
            .headers_mut()
            .insert(AUTHORIZATION, HeaderValue::from_static(odd));
        let status = guarded.ask(request, Shown::Nothing).status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{odd}");
    }
}

#[test]
fn where_nobody_logs_in_the_routes_of_identities_say_so() {
    let fixture = fixture();
    for (method, path, _) in CONTRACT {
        if !path.starts_with("/api/auth/") {
            continue;
        }
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let response = fixture.ask(request_for(method, path, &json!({})));
        assert_eq!(response.status(), StatusCode::CONFLICT, "{path}");
        let body: Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!(body["error"], "auth_not_configured");
    }
}

#[test]
fn users_have_their_own_bucket_and_those_without_a_name_share_their_addresses() {
    let surface = Surface {
        rate: RateRule::per_second(3, 1),
        ..with_identities()
    };
    let guarded = guarded_by(ROUTES, surface);
    let (tom, _) = guarded.login("tom");
    let status = |shown: Shown<'_>| guarded.ask(get_request("/api/auth/keys"), shown);
    let first = status(Shown::Token(&tom));
    assert_eq!(first.headers()["x-ratelimit-remaining"], "2");
    for expected in [403, 403, 429] {
        assert_eq!(status(Shown::Token(&tom)).status().as_u16(), expected);
    }
    // The login above took one of the address.
    for expected in [401, 401, 429, 429] {
        assert_eq!(status(Shown::Nothing).status().as_u16(), expected);
    }
    let probe = guarded.ask(get_request("/health"), Shown::Nothing);
    assert_eq!(probe.status(), StatusCode::OK);
}

#[test]
fn answers_with_secrets_are_not_compressed() {
    let guarded = guarded();
    let mut request = request_for(
        Method::POST,
        "/api/auth/login",
        &json!({ "user_id": "tom", "password": PASSWORD }),
    );
    request
        .headers_mut()
        .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let response = guarded.ask(request, Shown::Nothing);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(CONTENT_ENCODING));
}

/// All files below a directory, with their content.
fn files(directory: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = std::fs::read(&path).expect("readable");
            found.push((path, content));
        }
    }
    found
}

/// The same with a key that makes it one of many.
fn keyed(mut request: Request, key: &'static str) -> Request {
    let name = axum::http::HeaderName::from_static("idempotency-key");
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static(key));
    request
}

/// What the API keeps on disk: secrets in the one file that is for them, which its owner alone may read.
#[test]
fn no_secret_is_on_the_disk_but_in_its_own_file() {
    use std::os::unix::fs::PermissionsExt as _;
    const CANARY: &str = "canary-of-the-venue-0b1f";
    let mut guarded = guarded();
    super::api::with_account(&mut guarded.fixture);
    let _core = super::api::play(&guarded.fixture.state);
    let admin = guarded.key(FIRST_ADMIN);
    let shown = Shown::Key(&admin);
    let mut secrets = vec![CANARY.to_owned(), "idempotent-canary".to_owned()];
    let mut outputs = Vec::new();
    let log = Lines::up_to(tracing::Level::TRACE, || {
        let post = |path: &str, body: &Value| {
            let request = keyed(request_for(Method::POST, path, body), "idempotent-canary-1");
            guarded.json(request, shown)
        };
        for (path, body, name) in [
            ("/api/auth/keys", json!({ "name": "bot" }), "api_key"),
            ("/api/auth/stream-ticket", json!({}), "ticket"),
        ] {
            let (status, body) = post(path, &body);
            assert!(status.is_success(), "{body}");
            secrets.push(body[name].as_str().expect("a secret").to_owned());
        }
        let key = json!({ "exchange": "binance", "api_key": "public", "api_secret": CANARY });
        let order = super::api::order("mine");
        let amend = json!({ "client_order_id": "mine", "qty": 0.00001 });
        for (path, body) in [
            ("/api/exchange-keys", key),
            ("/api/exchange-keys/test", json!({ "exchange": "binance" })),
            ("/api/order", order),
            ("/api/amend", amend),
            ("/api/settings", json!({ "general": { "theme": "dark" } })),
        ] {
            let (status, body) = post(path, &body);
            assert!(status.as_u16() < 500, "{path} {body}");
            outputs.push(body.to_string());
        }
        for route in ROUTES {
            let ends = !matches!(route.access, Access::Stream(_));
            if route.verb == Verb::Get && ends {
                let path = route.path.replace("{symbol}", "BTCUSDT");
                outputs.push(text(guarded.ask(get_request(&path), shown)));
            }
        }
    });
    outputs.push(log);
    outputs.push(super::audited::text_of_records(&guarded));
    secrets.push(admin.clone());
    let files = files(guarded.directory.path());
    let mut seen = 0;
    for (path, content) in &files {
        let name = path.file_name().expect("a file").to_string_lossy();
        if name.starts_with("vz.") {
            seen += 1;
            let mode = std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} is for its owner alone");
        }
        if name != "vz.exchange-keys.json" {
            outputs.push(String::from_utf8_lossy(content).into_owned());
        }
    }
    assert!(seen >= 4, "keys, ids, settings, the venue's key: {files:?}");
    for secret in &secrets {
        for output in &outputs {
            assert!(!output.contains(secret.as_str()), "{secret} in {output}");
        }
    }
}

/// Everything that is secret, said in every way that a client can say it, and looked for everywhere.
#[test]
fn no_secret_is_in_any_output() {
    let guarded = guarded();
    let mut secrets = vec![
        PASSWORD.to_owned(),
        SCRAPE_TOKEN.to_owned(),
        JWT_SECRET.to_owned(),
        "canary-password".to_owned(),
        "canary-token".to_owned(),
    ];
    let mut outputs = Vec::new();
    let log = Lines::up_to(tracing::Level::TRACE, || {
        let (access, refresh) = guarded.login("tom");
        let key = guarded.key(FIRST_ADMIN);
        let made = guarded
            .post(
                "/api/auth/keys",
                &json!({ "name": "bot" }),
                Shown::Key(&key),
            )
            .1;
        let ticket = guarded
            .post("/api/auth/stream-ticket", &json!({}), Shown::Token(&access))
            .1;
        let bad_login = json!({ "user_id": "canary-password", "password": "canary-password" });
        let requests = [
            request_for(Method::POST, "/api/auth/login", &bad_login),
            request_for(Method::POST, "/api/auth/login", &json!("canary-password")),
            request_for(
                Method::POST,
                "/api/auth/refresh",
                &json!({ "refresh_token": "canary-token" }),
            ),
            request_for(
                Method::POST,
                "/api/auth/logout",
                &json!({ "refresh_token": "canary-token" }),
            ),
            get_request("/api/auth/keys?key_id=canary-token"),
            get_request("/canary-token?x=canary-token"),
        ];
        for request in requests {
            outputs.push(text(guarded.ask(request, Shown::Nothing)));
        }
        for shown in [
            Shown::Token("canary-token"),
            Shown::Key("canary-token"),
            Shown::Token(SCRAPE_TOKEN),
        ] {
            outputs.push(text(guarded.ask(get_request("/api/auth/keys"), shown)));
        }
        outputs.push(text(
            guarded.ask(get_request("/api/auth/keys"), Shown::Key(&key)),
        ));
        outputs.push(text(
            guarded.ask(get_request("/api/auth/roles"), Shown::Key(&key)),
        ));
        outputs.push(text(
            guarded.ask(get_request("/metrics"), Shown::Token(SCRAPE_TOKEN)),
        ));
        secrets.extend([access, refresh, key]);
        for (body, name) in [(&made, "api_key"), (&ticket, "ticket")] {
            secrets.push(body[name].as_str().expect("a secret").to_owned());
        }
    });
    assert!(log.contains("a credential was refused"), "{log}");
    outputs.push(log);
    outputs.push(super::audited::text_of_records(&guarded));
    for secret in &secrets {
        for output in &outputs {
            assert!(!output.contains(secret.as_str()), "{secret} in {output}");
        }
    }
}
