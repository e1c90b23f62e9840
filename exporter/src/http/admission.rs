//! Whether a request gets as far as a handler.
//!
//! Owns: [`check_form`] (shape, host and origin), [`admit`] (who it is, how often, whether he may) and
//! [`check_parameters`].
//! Does not: render the refusal (`problem.rs`) or count it (`exchange.rs`). Invariants: where identities
//! count, a route that is not in the table is denied to who has none; what is refused here touched no
//! state but a bucket, a ticket and the counts.

use super::credentials::{self, Credential};
use super::exchange::{Caller, Unformed};
use super::problem::{Code, Problem};
use super::rate::Verdict;
use super::routes::{self, Access, Route};
use super::{Port, Trust, guard, query, shape};
use crate::api::openapi;
use crate::audit::record::LogType;
use crate::auth::metrics::{Means, Outcome};
use crate::auth::permission::Permission;
use crate::auth::{Auth, Principal, Refused};
use crate::wall::UnixMs;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Refuses what no route should have to look at.
pub(super) async fn check_form(
    State(port): State<Arc<Port>>,
    request: Request,
    next: Next,
) -> Response {
    match form_of(&port, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            response.extensions_mut().insert(Unformed);
            response
        }
    }
}

fn form_of(port: &Port, request: &Request) -> Result<(), Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    shape::check(uri, headers, port.surface.shape)?;
    if port.surface.trust == Trust::Machine {
        if !guard::names_loopback(headers, uri) {
            return Err(Problem::new(
                Code::Misdirected,
                "without authentication the Host must be a loopback name",
            ));
        }
        let cors = &port.surface.cors;
        if guard::is_foreign_write(request.method(), headers, port.surface.scheme(), cors) {
            return Err(Problem::new(
                Code::Forbidden,
                "without authentication a web page of another origin changes nothing here",
            ));
        }
    }
    Ok(())
}

/// Finds out who asks, takes a token for the request, and lets it through if he may.
pub(super) async fn admit(
    State(port): State<Arc<Port>>,
    mut request: Request,
    next: Next,
) -> Response {
    let pattern = request.extensions().get::<MatchedPath>();
    let pattern = pattern.map(MatchedPath::as_str);
    let route = routes::find(port.table, request.method(), pattern);
    if route.is_some_and(|route| route.access == Access::Probe) {
        return next.run(request).await;
    }
    let caller: &Caller = request.extensions().get().expect("set by the outer layer");
    let caller = caller.clone();
    let now = (port.state.unix)();
    let found = identify(&port, route, &request, &caller, now);
    let verdict = match (&port.rates, &found) {
        (Some(rates), Ok(Some(principal))) => Some(rates.of_principal(principal, caller.address)),
        (Some(rates), Ok(None) | Err(_)) => Some(rates.of_address(caller.address)),
        (None, _) => None,
    };
    let mut response = if let Some(wait) = verdict.and_then(|verdict| verdict.retry_in) {
        port.state.requests.rate_limited();
        too_many(wait).into_response()
    } else {
        match found {
            Ok(principal) => {
                let mut response = match may(&port, route, principal.as_ref(), &caller) {
                    Ok(()) => {
                        request.extensions_mut().extend(carrying(principal.clone()));
                        next.run(request).await
                    }
                    Err(refusal) => refusal.into_response(),
                };
                // For who records what came of it.
                response.extensions_mut().extend(carrying(principal));
                response
            }
            Err(refusal) => refusal.into_response(),
        }
    };
    if let Some(verdict) = verdict {
        state_rate(response.headers_mut(), verdict, now);
    }
    response
}

/// Refuses query parameters that the route does not know. Probes and scrapers are answered whatever they add: a probe that
/// is refused restarts the engine.
pub(super) async fn check_parameters(
    State(port): State<Arc<Port>>,
    request: Request,
    next: Next,
) -> Response {
    let pattern = request.extensions().get::<MatchedPath>();
    let pattern = pattern.map(MatchedPath::as_str);
    let route = routes::find(port.table, request.method(), pattern);
    let checked = match (route, request.uri().query()) {
        (Some(route), Some(query)) => match route.access {
            Access::Probe | Access::Scrape => Ok(()),
            Access::Public | Access::Needs(_) | Access::Stream(_) => {
                openapi::parameters(route.verb, route.path)
                    .map_or(Ok(()), |known| query::only(query, known))
            }
        },
        (None, _) | (_, None) => Ok(()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn carrying(principal: Option<Principal>) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(principal) = principal {
        extensions.insert(principal);
    }
    extensions
}

/// Who asks: `None` where nobody has to say, or nobody did.
fn identify(
    port: &Port,
    route: Option<&Route>,
    request: &Request,
    caller: &Caller,
    now: UnixMs,
) -> Result<Option<Principal>, Problem> {
    let scrapes = route.is_some_and(|route| route.access == Access::Scrape);
    match port.surface.trust {
        Trust::Machine | Trust::Anybody => Ok(Some(Principal::machine())),
        Trust::Scraper => {
            let credential = credentials::of(request.headers(), None)?;
            Ok(scraper(port, credential.as_ref()).filter(|_| scrapes))
        }
        Trust::Identities => {
            if route.is_some_and(|route| route.access == Access::Public) {
                return Ok(None);
            }
            let streams = matches!(route.map(|route| route.access), Some(Access::Stream(_)));
            let query = request.uri().query().filter(|_| streams);
            let Some(credential) = credentials::of(request.headers(), query)? else {
                return Ok(None);
            };
            if let Some(scraper) = scraper(port, Some(&credential)).filter(|_| scrapes) {
                return Ok(Some(scraper));
            }
            let auth = port.auth();
            let by = match &credential {
                Credential::Token(token) => auth.by_token(token, now),
                Credential::Key(key) => auth.by_key(key, caller.address, now),
                Credential::Ticket(ticket) => auth.by_ticket(ticket, now),
            };
            by.map(Some).map_err(|refused| {
                tracing::info!(
                    component = "auth",
                    request_id = caller.request_id,
                    ip_address = %caller.address,
                    reason = refused.label(),
                    "a credential was refused"
                );
                port.state.record(|at| {
                    let details = json!({
                        "reason": refused.label(),
                        "method": request.method().as_str(),
                        "endpoint": route.map_or(routes::UNMATCHED, |route| route.path),
                    });
                    caller.entry(LogType::Auth, "authentication_failed", "", details, at)
                });
                Problem::from(refused)
            })
        }
    }
}

fn scraper(port: &Port, credential: Option<&Credential>) -> Option<Principal> {
    let (Some(expected), Some(Credential::Token(token))) = (&port.state.scrape_token, credential)
    else {
        return None;
    };
    let known = expected.is_of(token);
    if known {
        port.state
            .auth_metrics
            .count(Means::ScrapeToken, Outcome::Success);
    }
    known.then(Principal::scraper)
}

/// Lets who asks through, or says why not.
fn may(
    port: &Port,
    route: Option<&Route>,
    principal: Option<&Principal>,
    caller: &Caller,
) -> Result<(), Problem> {
    let access = route.map(|route| route.access);
    let Some(who) = principal else {
        return match access {
            Some(Access::Public) => Ok(()),
            None | Some(Access::Probe | Access::Scrape | Access::Needs(_) | Access::Stream(_)) => {
                Err(Problem::new(
                    Code::AuthenticationRequired,
                    "an access token, an API key or a ticket is required",
                ))
            }
        };
    };
    let needed = match access {
        // The router says that there is no such path, or no such method.
        None | Some(Access::Probe | Access::Public) => None,
        Some(Access::Scrape) if *who == Principal::scraper() => None,
        Some(Access::Scrape) => Some(Permission::ReadConfig),
        Some(Access::Needs(permission) | Access::Stream(permission)) => Some(permission),
    };
    match needed.filter(|needed| !who.permissions.has(*needed)) {
        None => Ok(()),
        Some(needed) => {
            port.state.auth_metrics.count_denied();
            port.state.record(|at| {
                let details = json!({
                    "permission": needed.label(),
                    "method": route.map(|route| route.verb.method().as_str().to_owned()),
                    "endpoint": route.map_or(routes::UNMATCHED, |route| route.path),
                    "auth_method": who.via.label(),
                });
                caller.entry(
                    LogType::Auth,
                    "permission_denied",
                    &who.user_id,
                    details,
                    at,
                )
            });
            Err(Problem::new(
                Code::Forbidden,
                format!("Required permissions: {}", needed.label()),
            ))
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Token(_) | Refused::Session | Refused::Ticket => Self::new(
                Code::InvalidToken,
                "the token or ticket is not good, or not any more",
            ),
            Refused::Key(_) => Self::new(
                Code::InvalidApiKey,
                "the API key is not good, or not from here, or not any more",
            ),
        }
    }
}

impl Port {
    /// The one who knows identities, on a port where they count.
    fn auth(&self) -> &Auth {
        let auth = self.state.auth.as_deref();
        auth.expect("a port asks for identities only when somebody knows them")
    }
}

/// The refusal of who asks too often.
pub(super) fn too_many(wait: Duration) -> Problem {
    Problem::new(Code::RateLimitExceeded, "too many requests")
        .retry_after(whole_seconds(wait).max(1))
}

fn state_rate(headers: &mut HeaderMap, verdict: Verdict, now: UnixMs) {
    headers.insert(RATE_LIMIT, verdict.limit.into());
    headers.insert(RATE_REMAINING, verdict.remaining.into());
    let reset = now.plus_ms(verdict.full_in.as_millis() as u64);
    headers.insert(RATE_RESET, reset.0.div_ceil(1_000).into());
}

/// Seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
