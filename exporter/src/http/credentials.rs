//! How a request says who makes it.
//!
//! Owns: [`of`]. Does not: know whether it is true. Invariant: a request says it in one way; one that
//! says it in two is refused, because the two could disagree.

use super::problem::{Code, Problem};
use super::query::Query;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request shows.
pub(super) enum Credential {
    /// `Authorization: Bearer ...`.
    Token(String),
    /// `X-API-Key: ...`.
    Key(String),
    /// `?ticket=...`, where streams are.
    Ticket(String),
}

/// The credential of a request, if it has one; `query` is given where tickets are accepted.
///
/// # Errors
/// `bad_params` for several, and for what is none.
pub(super) fn of(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Credential>, Problem> {
    let mut found = Vec::new();
    for value in headers.get_all(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        });
        found.push(Credential::Token(token.ok_or_else(|| {
            Problem::new(
                Code::InvalidToken,
                "Authorization is understood as Bearer and a token",
            )
        })?));
    }
    for value in headers.get_all(API_KEY) {
        let key = value.to_str().map_err(|_| {
            Problem::new(
                Code::InvalidApiKey,
                "X-API-Key holds what no key of ours has",
            )
        })?;
        found.push(Credential::Key(key.to_owned()));
    }
    if let Some(ticket) = Query::parse(query)?.get("ticket") {
        found.push(Credential::Ticket(ticket.to_owned()));
    }
    let first = found.pop();
    if found.is_empty() {
        Ok(first)
    } else {
        Err(Problem::new(
            Code::BadParams,
            "a request carries one token, one API key, or one ticket",
        ))
    }
}
