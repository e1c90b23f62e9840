//! The closed table of routes: method, path, who may ask, and the handler.
//!
//! Owns: [`ROUTES`]; the router is built from it and from nothing else. Does not: check anything itself.
//! Invariants: no route exists outside this table; the `endpoint` label of metrics and logs is a path of
//! it, or [`UNMATCHED`] for all others together, whatever clients make up.

use super::HttpState;
use super::pages;
use axum::http::Method;
use axum::routing::{MethodRouter, get};
use std::sync::Arc;

/// The `endpoint` label of a path that is none of ours.
pub const UNMATCHED: &str = "unmatched";

/// Methods that the table knows. `HEAD` goes with `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
}

impl Verb {
    /// As requests spell it.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
        }
    }

    fn is(self, method: &Method) -> bool {
        self.method() == *method || (self == Self::Get && *method == Method::HEAD)
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody who reaches the port, without a rate limit: a probe that is refused restarts the engine.
    Probe,
    /// Scrapers.
    Scrape,
}

/// One entry of the table.
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    /// Makes the handler.
    pub serve: fn() -> MethodRouter<Arc<HttpState>>,
}

impl Route {
    /// Whether the metrics port serves it too.
    pub fn is_for_monitoring(&self) -> bool {
        match self.access {
            Access::Probe | Access::Scrape => true,
        }
    }
}

const fn route(
    verb: Verb,
    path: &'static str,
    access: Access,
    serve: fn() -> MethodRouter<Arc<HttpState>>,
) -> Route {
    Route {
        verb,
        path,
        access,
        serve,
    }
}

/// Every route.
pub static ROUTES: &[Route] = &[
    route(Verb::Get, "/metrics", Access::Scrape, || {
        get(pages::metrics)
    }),
    route(Verb::Get, "/health", Access::Probe, || get(pages::health)),
    route(Verb::Get, "/health/live", Access::Probe, || {
        get(pages::live)
    }),
    route(Verb::Get, "/health/ready", Access::Probe, || {
        get(pages::ready)
    }),
    route(Verb::Get, "/health/startup", Access::Probe, || {
        get(pages::startup)
    }),
];

/// The entry of a request whose path the router matched to `pattern`.
pub fn find(method: &Method, pattern: &str) -> Option<&'static Route> {
    ROUTES
        .iter()
        .find(|route| route.path == pattern && route.verb.is(method))
}

/// The `endpoint` label of a pattern that the router matched, if it matched any.
pub fn endpoint(pattern: Option<&str>) -> &'static str {
    ROUTES
        .iter()
        .map(|route| route.path)
        .find(|path| Some(*path) == pattern)
        .unwrap_or(UNMATCHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_stands_once() {
        for (position, route) in ROUTES.iter().enumerate() {
            let twice = ROUTES[..position]
                .iter()
                .any(|other| other.path == route.path && other.verb == route.verb);
            assert!(!twice, "{:?} {}", route.verb, route.path);
            assert!(route.path.starts_with('/') && !route.path.ends_with('/'));
        }
    }

    #[test]
    fn head_goes_with_get_and_nothing_else_does() {
        assert!(find(&Method::HEAD, "/metrics").is_some());
        assert!(find(&Method::POST, "/metrics").is_none());
        assert!(find(&Method::GET, "/metrics/").is_none());
        assert_eq!(endpoint(Some("/health/live")), "/health/live");
        assert_eq!(endpoint(Some("/health/liv")), UNMATCHED);
        assert_eq!(endpoint(None), UNMATCHED);
    }
}
