//! What requests leave in the audit log, what can be asked of it, and what happens when it is not there.

use super::identities::{Guarded, PASSWORD, Shown, guarded};
use super::*;
use crate::audit::record::{Entry, LogType};
use crate::audit::store::{AuditConfig, AuditStore};
use crate::audit::verify::verify;
use crate::audit::writer::queue;
use crate::auth::FIRST_ADMIN;

/// Waits until everything that was given is on the disk.
fn flush(guarded: &Guarded) -> bool {
    let state = &guarded.fixture.state;
    let log = state.audit.clone().expect("there");
    let mark = Entry::of_system(LogType::Order, "mark", (state.unix)(), json!({}));
    block_on(log.record_durably(mark)).is_ok()
}

/// Every record as it lies on the disk.
pub(super) fn text_of_records(guarded: &Guarded) -> String {
    assert!(flush(guarded));
    let directory = guarded.directory.path().join("audit");
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).expect("there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|kind| kind == "ndjson") {
            text.push_str(&std::fs::read_to_string(path).expect("read"));
        }
    }
    text
}

fn records(guarded: &Guarded) -> Vec<Value> {
    text_of_records(guarded)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Records of an action, oldest first.
fn of(guarded: &Guarded, action: &str) -> Vec<Value> {
    let mut found = records(guarded);
    found.retain(|record| record["action"] == action);
    found
}

#[test]
fn what_happens_with_identities_is_recorded_with_who_and_from_where() {
    let guarded = guarded();
    let mut request = request_for(
        Method::POST,
        "/api/auth/login",
        &json!({ "user_id": "tom", "password": PASSWORD }),
    );
    request.headers_mut().extend([
        (
            axum::http::HeaderName::from_static("x-request-id"),
            HeaderValue::from_static("req-abc123"),
        ),
        (
            axum::http::header::USER_AGENT,
            HeaderValue::from_static("curl/7.68.0"),
        ),
    ]);
    let (status, tokens) = guarded.json(request, Shown::Nothing);
    assert_eq!(status, StatusCode::OK);
    let success = &of(&guarded, "login_success")[0];
    for (field, value) in [
        ("log_type", json!("auth")),
        ("user_id", json!("tom")),
        ("ip_address", json!("127.0.0.1")),
        ("request_id", json!("req-abc123")),
        (
            "details",
            json!({ "auth_method": "password", "reason": null, "user_agent": "curl/7.68.0" }),
        ),
        ("datetime", json!("2024-02-23T12:00:00.123Z")),
    ] {
        assert_eq!(success[field], value, "{field}");
    }

    let wrong = json!({ "user_id": "tom", "password": "wrong horse" });
    guarded.post("/api/auth/login", &wrong, Shown::Nothing);
    let nobody = json!({ "user_id": "hunter2hunter2", "password": "wrong horse" });
    guarded.post("/api/auth/login", &nobody, Shown::Nothing);
    let failed = of(&guarded, "login_failed");
    let who: Vec<&Value> = failed.iter().map(|record| &record["user_id"]).collect();
    assert_eq!(who, ["tom", ""], "an id that is nobody's may be a password");

    let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    let (access, refresh) = (text("access_token"), text("refresh_token"));
    guarded.get("/api/auth/keys", Shown::Token(&access));
    let denied = &of(&guarded, "permission_denied")[0];
    assert_eq!(denied["user_id"], "tom");
    assert_eq!(denied["details"]["permission"], "admin:keys");
    guarded.get("/api/auth/keys", Shown::Token("a.b.c"));
    let refused = &of(&guarded, "authentication_failed")[0];
    assert_eq!(refused["details"]["reason"], "forged");
    assert_eq!(refused["details"]["endpoint"], "/api/auth/keys");

    let with = |path: &str, token: &str| {
        guarded.post(path, &json!({ "refresh_token": token }), Shown::Nothing)
    };
    with("/api/auth/refresh", "a.b.c");
    let (_, next) = with("/api/auth/refresh", &refresh);
    with("/api/auth/logout", "a.b.c");
    with(
        "/api/auth/logout",
        next["refresh_token"].as_str().expect("a token"),
    );
    for (action, user) in [
        ("token_refresh_failed", ""),
        ("token_refresh_success", "tom"),
        ("logout_failed", ""),
        ("logout", "tom"),
    ] {
        let found = of(&guarded, action);
        assert_eq!(found.len(), 1, "{action}");
        assert_eq!(found[0]["user_id"], user, "{action}");
    }

    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    let (_, made) = guarded.post("/api/auth/keys", &json!({ "name": "bot" }), admin);
    let key_id = made["key_id"].as_str().expect("an id").to_owned();
    guarded.delete(&format!("/api/auth/keys?key_id={key_id}"), admin);
    for action in ["api_key_created", "api_key_revoked"] {
        let record = &of(&guarded, action)[0];
        assert_eq!(record["log_type"], "api_key");
        assert_eq!(record["user_id"], "admin");
        assert_eq!(record["details"]["key_id"], key_id);
    }
    let give = json!({ "user_id": "vera", "roles": ["trader"] });
    guarded.post("/api/auth/roles", &give, admin);
    guarded.delete("/api/auth/roles?user_id=admin&roles=admin", admin);
    let given = &of(&guarded, "roles_given")[0];
    assert_eq!(given["details"]["to"], "vera");
    assert_eq!(of(&guarded, "roles_take_failed").len(), 1, "the last admin");

    let accesses = of(&guarded, "request");
    assert!(accesses.iter().all(|record| record["log_type"] == "access"));
    let first = &accesses[0];
    assert_eq!(first["user_id"], "tom");
    assert_eq!(first["details"]["auth_method"], "jwt");
    assert_eq!(first["details"]["endpoint"], "/api/auth/keys");
    assert_eq!(first["details"]["status"], 403);
    let report = verify(&guarded.directory.path().join("audit")).expect("read");
    assert_eq!(report.fault, None);
}

#[test]
fn a_panic_is_recorded_as_an_error() {
    async fn broken() -> Response {
        panic!("a broken handler")
    }
    static BROKEN: [Route; 1] = [Route {
        verb: Verb::Get,
        path: "/broken",
        access: Access::Public,
        serve: || get(broken),
    }];
    let guarded = super::identities::guarded_by(&BROKEN, super::identities::with_identities());
    let status = guarded.ask(get_request("/broken"), Shown::Nothing).status();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let record = &of(&guarded, "handler_panicked")[0];
    assert_eq!(record["log_type"], "error");
    assert_eq!(record["details"]["panic"], "a broken handler");
}

#[test]
fn while_nothing_can_be_recorded_nothing_is_administrated_and_trading_goes_on() {
    let guarded = guarded();
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    let audit = guarded.directory.path().join("audit");
    let moved = guarded.directory.path().join("moved");
    assert!(flush(&guarded));
    std::fs::rename(&audit, &moved).expect("moved");

    let keys = |guarded: &Guarded| {
        let (_, listed) = guarded.get("/api/auth/keys", admin);
        listed["keys"].as_array().map(Vec::len)
    };
    let before = keys(&guarded);
    let name = json!({ "name": "bot" });
    let give = json!({ "user_id": "vera", "roles": ["admin"] });
    let key_id = guarded.get("/api/auth/keys", admin).1["keys"][0]["key_id"].clone();
    let revoke = format!("/api/auth/keys?key_id={}", key_id.as_str().expect("an id"));
    for (status, body) in [
        guarded.post("/api/auth/keys", &name, admin),
        guarded.post("/api/auth/roles", &give, admin),
        guarded.delete(&revoke, admin),
        guarded.delete("/api/auth/roles?user_id=tom&roles=trader", admin),
        guarded.post("/api/audit/archive", &json!({}), admin),
    ] {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert_eq!(body["error"], "audit_unavailable");
    }
    assert_eq!(keys(&guarded), before);
    let (_, roles) = guarded.get("/api/auth/roles", admin);
    assert_eq!(
        roles["users"],
        json!({ "admin": ["admin"], "tom": ["trader"], "vera": ["viewer"] })
    );
    // Whoever trades still gets in.
    guarded.login("tom");
    let page = text(guarded.ask(get_request("/metrics"), admin));
    assert!(page.contains("\nveloz_audit_writable 0\n"));

    std::fs::rename(&moved, &audit).expect("moved back");
    let (status, _) = guarded.post("/api/auth/keys", &name, admin);
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(of(&guarded, "audit_records_lost").len(), 1);
    assert_eq!(verify(&audit).expect("read").fault, None);
    let page = text(guarded.ask(get_request("/metrics"), admin));
    assert!(page.contains("\nveloz_audit_writable 1\n"));
}

#[test]
fn an_act_whose_record_gets_to_the_disk_after_it_was_refused_has_a_second_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut writer = None;
    let fixture = fixture_with(|state| {
        let config = AuditConfig {
            directory: directory.path().to_owned(),
            copy: None,
            heads: None,
            retention_days_min: 0,
        };
        let (store, findings) = AuditStore::open(&config, (state.unix)()).expect("opens");
        let (log, end) = queue(store, findings, Arc::clone(&state.audit_metrics));
        state.audit = Some(log);
        writer = Some(end);
    });
    // Its time goes by itself to whatever is waited for, and the writer does nothing meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    for path in ["/api/admin/readwrite", "/api/admin/reload-config"] {
        let router = fixture.router(on_this_machine());
        let request = request_for(Method::POST, path, &json!({}));
        let response = runtime.block_on(router.oneshot(request));
        let response = response.expect("infallible");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(response).contains("audit_unavailable"));
    }
    drop((runtime, fixture));
    writer.expect("made").run(|| UnixMs(1_708_689_600_123));
    let text = std::fs::read_to_string(directory.path().join("auth_2024-02-23.ndjson"));
    let records: Vec<Value> = text
        .expect("there")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let actions: Vec<_> = records.iter().map(|record| &record["action"]).collect();
    assert_eq!(
        actions,
        [
            "read_write",
            "read_write_failed",
            "config_reloaded",
            "config_reload_failed"
        ]
    );
    for failed in [&records[1], &records[3]] {
        assert_eq!(
            failed["details"],
            json!({ "error": "audit_unavailable", "outcome": "refused" })
        );
    }
}

#[test]
fn an_admin_looks_records_up_as_existing_clients_do() {
    let guarded = guarded();
    guarded.login("tom");
    guarded.login("vera");
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    assert!(flush(&guarded));
    let logs = |query: &str| {
        let (status, body) = guarded.get(&format!("/api/audit/logs{query}"), admin);
        assert_eq!(status, StatusCode::OK, "{query} {body}");
        body
    };
    let all = logs("?log_type=auth&limit=1");
    assert_eq!(
        (
            &all["total"],
            &all["limit"],
            &all["offset"],
            &all["has_more"]
        ),
        (&json!(2), &json!(1), &json!(0), &json!(true))
    );
    assert_eq!(all["logs"][0]["user_id"], "vera", "the newest first");
    assert_eq!(all["logs"][0]["timestamp"], 1_708_689_600.123);
    assert_eq!(all["logs"][0]["seq"], 2);
    let second = logs("?type=auth&limit=1&offset=1");
    assert_eq!(second["logs"][0]["user_id"], "tom");
    assert_eq!(second["has_more"], false);
    for (query, total) in [
        ("?user_id=tom&action=login_success", 1),
        ("?user_id=tom&action=logout", 0),
        ("?log_type=auth&start_time=1708689600.123", 2),
        ("?log_type=auth&start_time=1708689600.124", 0),
        ("?log_type=auth&end_time=2024-02-23T12:00:00.123Z", 2),
        ("?log_type=auth&end_time=2024-02-23T11:59:59Z", 0),
        ("?log_type=auth&type=auth", 2),
    ] {
        assert_eq!(logs(query)["total"], total, "{query}");
    }
    assert_eq!(logs("")["limit"], 100);
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=ten", "limit"),
        ("?offset=-1", "offset"),
        ("?log_type=admin", "log_type"),
        ("?type=admin", "type"),
        ("?type=auth&log_type=order", "type"),
        ("?start_time=now", "start_time"),
        ("?end_time=NaN", "end_time"),
    ] {
        let (status, body) = guarded.get(&format!("/api/audit/logs{query}"), admin);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(body["field"], field, "{query}");
    }
}

#[test]
fn an_admin_sees_what_there_is_and_has_it_packed() {
    let guarded = guarded();
    guarded.login("tom");
    let admin = guarded.key(FIRST_ADMIN);
    let admin = Shown::Key(&admin);
    assert!(flush(&guarded));
    let (status, stats) = guarded.get("/api/audit/stats", admin);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(stats["status"], "active");
    assert_eq!(
        stats["policies"]["access"],
        json!({ "retention_days": 14, "archive_before_delete": false, "max_file_size_mb": 100 })
    );
    assert_eq!(stats["policies"]["order"]["retention_days"], 365);
    assert_eq!(stats["log_files"]["auth"]["count"], 1);
    assert_eq!(stats["archive_files"], 0);
    assert!(
        stats["total_size_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0)
    );
    let (status, body) = guarded.post("/api/audit/archive", &json!({}), admin);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({
            "ok": true,
            "stats": { "archived_files": 0, "deleted_files": 0, "bytes_freed": 0, "errors": [] },
        })
    );
    assert_eq!(of(&guarded, "audit_archive").len(), 1);
}

#[test]
fn where_nothing_is_recorded_the_routes_of_the_log_say_so() {
    let fixture = fixture();
    for (method, path) in [
        (Method::GET, "/api/audit/logs"),
        (Method::GET, "/api/audit/stats"),
        (Method::POST, "/api/audit/archive"),
    ] {
        let response = fixture.ask(request_for(method, path, &json!({})));
        assert_eq!(response.status(), StatusCode::CONFLICT, "{path}");
        let body: Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!(body["error"], "not_initialized");
    }
}
