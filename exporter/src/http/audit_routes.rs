//! `/api/audit/*`: looking records up, what there is, and packing what is old.
//!
//! Owns: the handlers, and the JSON that existing clients know. Does not: read files itself
//! (`crate::audit`).

use super::HttpState;
use super::body::expected;
use super::exchange::Caller;
use super::pages::json_answer;
use super::problem::{Code, Problem};
use super::query::Query;
use crate::audit::query::{AuditQuery, LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, QueryError, overview};
use crate::audit::record::LogType;
use crate::audit::retention::retention_days;
use crate::audit::store::FILE_BYTES_MAX;
use crate::audit::writer::AuditLog;
use crate::auth::{Principal, blocking};
use crate::wall::UnixMs;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

type Answer = Result<Response, Problem>;

fn audit_of(state: &HttpState) -> Result<AuditLog, Problem> {
    state.audit.clone().ok_or_else(|| {
        Problem::new(
            Code::NotInitialized,
            "nothing is recorded here: the audit log is off, or nowhere",
        )
    })
}

#[derive(Serialize)]
struct Page {
    logs: Vec<Box<RawValue>>,
    total: usize,
    limit: usize,
    offset: usize,
    has_more: bool,
}

pub(super) async fn logs(State(state): State<Arc<HttpState>>, uri: Uri) -> Answer {
    let audit = audit_of(&state)?;
    let query = query_of(&Query::parse(uri.query())?)?;
    let (limit, offset) = (query.limit, query.offset);
    // One at a time: each may read half a gigabyte.
    let turn = state.audit_readers.acquire().await;
    let turn = turn.expect("the semaphore is never closed");
    let page = blocking(move || query.run(audit.directory())).await;
    drop(turn);
    let page = page.map_err(|error| match error {
        QueryError::TooMuch => Problem::new(Code::BadParams, error.to_string()).field("start_time"),
        QueryError::Io(_) => {
            tracing::error!(component = "audit", %error, "a query failed");
            Problem::new(Code::AuditUnavailable, "the audit log cannot be read")
        }
    })?;
    let has_more = offset + page.records.len() < page.total;
    let body = serde_json::to_string(&Page {
        logs: page.records,
        total: page.total,
        limit,
        offset,
        has_more,
    })
    .expect("records are JSON");
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((headers, Body::from(body)).into_response())
}

fn query_of(parameters: &Query) -> Result<AuditQuery, Problem> {
    let named = |name: &'static str| {
        parameters
            .get(name)
            .map(|text| {
                LogType::named(text)
                    .ok_or_else(|| expected(name, "one of auth, order, api_key, error, access"))
            })
            .transpose()
    };
    let log_type = match (named("log_type")?, named("type")?) {
        (Some(one), Some(other)) if one != other => {
            return Err(expected("type", "the same as log_type, or neither"));
        }
        (one, other) => one.or(other),
    };
    let time = |name: &'static str| {
        parameters
            .get(name)
            .map(|text| {
                UnixMs::parse(text)
                    .ok_or_else(|| expected(name, "a time in Unix seconds or RFC 3339"))
            })
            .transpose()
    };
    Ok(AuditQuery {
        log_type,
        user_id: parameters.get("user_id").map(str::to_owned),
        action: parameters.get("action").map(str::to_owned),
        from: time("start_time")?,
        until: time("end_time")?,
        limit: parameters.whole("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?,
        offset: parameters.whole("offset", 0..=OFFSET_MAX, 0)?,
    })
}

pub(super) async fn stats(State(state): State<Arc<HttpState>>) -> Answer {
    let audit = audit_of(&state)?;
    let days_min = audit.retention_days_min();
    let found = blocking(move || overview(audit.directory())).await;
    let found = found.map_err(|error| {
        tracing::error!(component = "audit", %error, "the files cannot be counted");
        Problem::new(Code::AuditUnavailable, "the audit log cannot be read")
    })?;
    let policies: serde_json::Map<String, Value> = LogType::ALL
        .into_iter()
        .map(|log_type| {
            let policy = json!({
                "retention_days": retention_days(log_type, days_min),
                "archive_before_delete": log_type.is_archived(),
                "max_file_size_mb": FILE_BYTES_MAX >> 20,
            });
            (log_type.label().to_owned(), policy)
        })
        .collect();
    let files: serde_json::Map<String, Value> = found
        .live
        .iter()
        .map(|(log_type, (count, bytes))| {
            let of_type = json!({ "count": count, "size_bytes": bytes });
            (log_type.label().to_owned(), of_type)
        })
        .collect();
    let writable = state.audit_metrics.is_writable();
    let body = json!({
        "status": if writable { "active" } else { "failing" },
        "policies": policies,
        "log_files": files,
        "archive_files": found.archive_files,
        "total_size_bytes": found.live_bytes(),
        "archive_size_bytes": found.archive_bytes,
    });
    Ok(json_answer(StatusCode::OK, &body))
}

pub(super) async fn archive(
    State(state): State<Arc<HttpState>>,
    Extension(caller): Extension<Caller>,
    Extension(principal): Extension<Principal>,
) -> Answer {
    let audit = audit_of(&state)?;
    let now = (state.unix)();
    let entry = caller.entry(
        LogType::Auth,
        "audit_archive",
        &principal.user_id,
        json!({}),
        now,
    );
    state.record_first(entry, "audit_archive_failed").await?;
    let stats = audit.archive(now).await.map_err(|_| unavailable())?;
    if let Some(error) = stats.errors.first()
        && stats.archived_files + stats.deleted_files == 0
    {
        return Err(Problem::new(Code::ArchiveFailed, error.clone()));
    }
    let body = json!({
        "ok": true,
        "stats": {
            "archived_files": stats.archived_files,
            "deleted_files": stats.deleted_files,
            "bytes_freed": stats.bytes_freed,
            "errors": stats.errors,
        },
    });
    Ok(json_answer(StatusCode::OK, &body))
}

/// What an administrative action hears when its record could not be written first.
pub(super) fn unavailable() -> Problem {
    Problem::new(
        Code::AuditUnavailable,
        "the audit log cannot be written, so nothing was done",
    )
}
