//! The closed table of routes: method, path, who may ask, and the handler.
//!
//! Owns: [`ROUTES`]; the router is built from it and from nothing else. Does not: check anything itself.
//! Invariants: no route exists outside this table; the `endpoint` label of metrics and logs is a path of
//! it, or [`UNMATCHED`] for all others together, whatever clients make up.

use super::{HttpState, audit_routes, auth_routes, pages};
use crate::api::{
    account, admin, amend, engine, exchange_keys, limits, market, openapi, orders, settings,
    strategies,
};
use crate::auth::permission::Permission;
use crate::stream;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post};
use std::sync::Arc;

/// What a client of the stream must be allowed, as long as it listens.
pub(crate) const STREAM_PERMISSION: Permission = Permission::ReadMarket;

/// The `endpoint` label of a path that is none of ours.
pub const UNMATCHED: &str = "unmatched";

/// Methods that the table knows. `HEAD` goes with `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes or does.
    Post,
    /// Takes back.
    Delete,
}

impl Verb {
    /// As requests spell it.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
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
    /// Scrapers, by their token, and whoever may see the configuration.
    Scrape,
    /// Anybody: where one becomes somebody.
    Public,
    /// Who has this permission.
    Needs(Permission),
    /// The same, and a ticket may stand for the identity.
    Stream(Permission),
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
            Access::Probe | Access::Scrape => !self.path.starts_with("/api/"),
            Access::Public | Access::Needs(_) | Access::Stream(_) => false,
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
    // Monitoring.
    route(Verb::Get, "/metrics", Access::Scrape, || {
        get(pages::metrics)
    }),
    route(Verb::Get, "/health", Access::Probe, || get(pages::health)),
    route(Verb::Get, "/api/health", Access::Public, || {
        get(pages::api_health)
    }),
    route(Verb::Get, "/health/live", Access::Probe, || {
        get(pages::live)
    }),
    route(Verb::Get, "/health/ready", Access::Probe, || {
        get(pages::ready)
    }),
    route(Verb::Get, "/health/startup", Access::Probe, || {
        get(pages::startup)
    }),
    // Identities.
    route(Verb::Post, "/api/auth/login", Access::Public, || {
        post(auth_routes::login)
    }),
    route(Verb::Post, "/api/auth/refresh", Access::Public, || {
        post(auth_routes::refresh)
    }),
    // Public, because who logs out need not have a fresh access token; the refresh token is checked.
    route(Verb::Post, "/api/auth/logout", Access::Public, || {
        post(auth_routes::logout)
    }),
    route(Verb::Post, "/api/auth/stream-ticket", MARKET, || {
        post(auth_routes::stream_ticket)
    }),
    route(Verb::Get, "/api/auth/keys", KEYS, || {
        get(auth_routes::list_keys)
    }),
    route(Verb::Post, "/api/auth/keys", KEYS, || {
        post(auth_routes::make_key)
    }),
    route(Verb::Delete, "/api/auth/keys", KEYS, || {
        delete(auth_routes::revoke_key)
    }),
    route(Verb::Get, "/api/auth/roles", USERS, || {
        get(auth_routes::list_roles)
    }),
    route(Verb::Post, "/api/auth/roles", USERS, || {
        post(auth_routes::give_roles)
    }),
    route(Verb::Delete, "/api/auth/roles", USERS, || {
        delete(auth_routes::take_roles)
    }),
    // The audit log.
    route(Verb::Get, "/api/audit/logs", CONFIG, || {
        get(audit_routes::logs)
    }),
    route(Verb::Get, "/api/audit/stats", CONFIG, || {
        get(audit_routes::stats)
    }),
    route(Verb::Post, "/api/audit/archive", CONFIG, || {
        post(audit_routes::archive)
    }),
    // The engine.
    route(Verb::Get, "/api/config", READ, || get(engine::config)),
    route(Verb::Get, "/api/status", READ, || {
        get(engine::engine_status)
    }),
    route(Verb::Get, "/api/execution/ping", READ, || get(engine::ping)),
    route(Verb::Get, "/api/latency", READ, || get(market::latency)),
    route(Verb::Post, "/api/start", PLACE, || post(engine::start)),
    route(Verb::Post, "/api/stop", PLACE, || post(engine::stop)),
    route(Verb::Post, "/api/control/start", PLACE, || {
        post(engine::start)
    }),
    route(Verb::Post, "/api/control/stop", PLACE, || {
        post(engine::stop)
    }),
    route(Verb::Post, "/api/halt", CANCEL, || post(engine::halt)),
    route(Verb::Post, "/api/reduce-only", PLACE, || {
        post(engine::reduce_only)
    }),
    route(Verb::Post, "/api/resume", PLACE, || post(engine::resume)),
    route(Verb::Post, "/api/kill-switch/trip", CANCEL, || {
        post(engine::trip)
    }),
    route(Verb::Post, "/api/kill-switch/reset", CONFIG, || {
        post(engine::reset)
    }),
    // The market.
    route(Verb::Get, "/api/market", MARKET, || get(market::market)),
    route(Verb::Get, "/api/book", MARKET, || get(market::book)),
    // Orders.
    route(Verb::Get, "/api/orders", ORDERS, || get(orders::events)),
    route(Verb::Get, "/api/orders_state", ORDERS, || {
        get(orders::states)
    }),
    route(Verb::Get, "/api/order_state", ORDERS, || get(orders::one)),
    route(Verb::Get, "/api/trades", ORDERS, || get(orders::trades)),
    route(Verb::Post, "/api/order", PLACE, || post(orders::place)),
    route(Verb::Post, "/api/cancel", CANCEL, || post(orders::cancel)),
    route(Verb::Post, "/api/cancel-all", CANCEL, || {
        post(orders::cancel_all)
    }),
    route(Verb::Post, "/api/cancel-replace", PLACE, || {
        post(orders::cancel_replace)
    }),
    route(Verb::Post, "/api/amend", PLACE, || post(amend::amend)),
    // The account.
    route(Verb::Get, "/api/account", ACCOUNT, || get(account::account)),
    route(Verb::Get, "/api/positions", ACCOUNT, || get(account::list)),
    route(Verb::Get, "/api/positions/{symbol}", ACCOUNT, || {
        get(account::one)
    }),
    // Strategies.
    route(Verb::Get, "/api/strategies", READ, || get(strategies::list)),
    route(Verb::Get, "/api/strategies/{id}", READ, || {
        get(strategies::one)
    }),
    route(Verb::Post, "/api/strategies/{id}/start", PLACE, || {
        post(strategies::start)
    }),
    route(Verb::Post, "/api/strategies/{id}/stop", PLACE, || {
        post(strategies::stop)
    }),
    // Risk.
    route(Verb::Get, "/api/risk/limits", READ, || get(limits::show)),
    route(Verb::Post, "/api/risk/limits", CONFIG, || {
        post(limits::change)
    }),
    route(Verb::Post, "/api/risk/limits/approve", CONFIG, || {
        post(limits::approve)
    }),
    route(Verb::Post, "/api/risk/limits/withdraw", CONFIG, || {
        post(limits::withdraw)
    }),
    route(Verb::Get, "/api/risk/utilization", ACCOUNT, || {
        get(limits::utilization)
    }),
    // Administration.
    route(Verb::Post, "/api/config", CONFIG, || {
        post(admin::save_config)
    }),
    route(Verb::Get, "/api/settings", READ, || get(settings::show)),
    route(Verb::Post, "/api/settings", PLACE, || post(settings::save)),
    route(Verb::Get, "/api/settings/export", READ, || {
        get(settings::export)
    }),
    route(Verb::Post, "/api/settings/import", CONFIG, || {
        post(settings::import)
    }),
    route(Verb::Get, "/api/exchange-keys", READ, || {
        get(exchange_keys::list)
    }),
    route(Verb::Post, "/api/exchange-keys", CONFIG, || {
        post(exchange_keys::save)
    }),
    route(Verb::Delete, "/api/exchange-keys", CONFIG, || {
        delete(exchange_keys::remove)
    }),
    route(Verb::Post, "/api/exchange-keys/test", CONFIG, || {
        post(exchange_keys::test)
    }),
    route(Verb::Get, "/api/admin/log-level", READ, || {
        get(admin::log_level)
    }),
    route(Verb::Post, "/api/admin/log-level", CONFIG, || {
        post(admin::set_log_level)
    }),
    route(Verb::Post, "/api/admin/maintenance", CONFIG, || {
        post(admin::maintenance)
    }),
    route(Verb::Post, "/api/admin/ready", CONFIG, || {
        post(admin::ready)
    }),
    route(Verb::Post, "/api/admin/readonly", CONFIG, || {
        post(admin::readonly)
    }),
    route(Verb::Post, "/api/admin/readwrite", CONFIG, || {
        post(admin::readwrite)
    }),
    route(Verb::Post, "/api/admin/reload-config", CONFIG, || {
        post(admin::reload)
    }),
    // The description of all this.
    route(Verb::Get, "/api/openapi.json", READ, || get(openapi::serve)),
    // Events.
    route(Verb::Get, "/api/stream", EVENTS, || {
        get(stream::route::stream)
    }),
];

const CONFIG: Access = Access::Needs(Permission::AdminConfig);
const READ: Access = Access::Needs(Permission::ReadConfig);
const ORDERS: Access = Access::Needs(Permission::ReadOrders);
const ACCOUNT: Access = Access::Needs(Permission::ReadAccount);
const PLACE: Access = Access::Needs(Permission::WriteOrders);
const CANCEL: Access = Access::Needs(Permission::WriteCancel);
const MARKET: Access = Access::Needs(Permission::ReadMarket);
const EVENTS: Access = Access::Stream(STREAM_PERMISSION);
const KEYS: Access = Access::Needs(Permission::AdminKeys);
const USERS: Access = Access::Needs(Permission::AdminUsers);

/// The entry of a table for a request whose path the router matched to `pattern`.
pub fn find(
    table: &'static [Route],
    method: &Method,
    pattern: Option<&str>,
) -> Option<&'static Route> {
    table
        .iter()
        .find(|route| Some(route.path) == pattern && route.verb.is(method))
}

/// The `endpoint` label of a pattern that the router matched, if it matched any.
pub fn endpoint(table: &'static [Route], pattern: Option<&str>) -> &'static str {
    table
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
        let found = |method: Method, path: &str| find(ROUTES, &method, Some(path)).is_some();
        assert!(found(Method::HEAD, "/metrics"));
        assert!(!found(Method::POST, "/metrics"));
        assert!(!found(Method::GET, "/metrics/"));
        assert!(find(ROUTES, &Method::GET, None).is_none());
        let label = |path: Option<&str>| endpoint(ROUTES, path);
        assert_eq!(label(Some("/health/live")), "/health/live");
        assert_eq!(label(Some("/health/liv")), UNMATCHED);
        assert_eq!(label(None), UNMATCHED);
    }
}
