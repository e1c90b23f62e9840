//! Every operation that is described: a verb, a path, and what belongs to them.
//!
//! Owns: [`DOCS`]. Does not: say what a schema is (`openapi/requests.rs`, `openapi/answers.rs`), or which refusals many routes
//! share (`openapi/refusals.rs`). Invariant: as many entries as `http::routes` has, one each.

use super::{Doc, read, take, write};

/// What is described.
pub(super) const DOCS: &[Doc] = &[
    read(
        "/metrics",
        "Metrics, as text or OpenMetrics",
        &[],
        &[(200, "Metrics")],
    ),
    read("/health", "The process serves", &[], &[(200, "Health")]),
    read(
        "/api/health",
        "The process serves, and whether the engine is connected",
        &[],
        &[(200, "ApiHealth")],
    ),
    read("/health/live", "The process serves", &[], &[(200, "Alive")]),
    read(
        "/health/ready",
        "Every configured component is good, or which is not",
        &[],
        &[(200, "Ready"), (503, "NotReady")],
    ),
    read(
        "/health/startup",
        "Every component was good once",
        &[],
        &[(200, "Alive"), (503, "NotStarted")],
    ),
    write(
        "/api/auth/login",
        "Tokens for a password",
        Some("Login"),
        &[(200, "Tokens")],
    ),
    write(
        "/api/auth/refresh",
        "New tokens for a refresh token",
        Some("RefreshToken"),
        &[(200, "Tokens")],
    ),
    write(
        "/api/auth/logout",
        "End of a session",
        Some("RefreshToken"),
        &[(200, "Done")],
    ),
    write(
        "/api/auth/stream-ticket",
        "A ticket for one stream",
        None,
        &[(200, "Ticket")],
    ),
    read(
        "/api/auth/keys",
        "API keys, without their secrets",
        &[],
        &[(200, "Keys")],
    )
    .refusing(&[409]),
    write(
        "/api/auth/keys",
        "A new API key, shown once; one of another user has no admin permission",
        Some("NewKey"),
        &[(201, "KeyMade")],
    ),
    take(
        "/api/auth/keys",
        "Revokes an API key",
        &[("key_id", true, "text")],
        &[(200, "KeyRevoked")],
    )
    .refusing(&[404, 409]),
    read(
        "/api/auth/roles",
        "Users and their roles",
        &[("user_id", false, "text")],
        &[(200, "RolesOfUsers")],
    )
    .refusing(&[404, 409]),
    write(
        "/api/auth/roles",
        "Gives roles",
        Some("Roles"),
        &[(200, "RolesGiven")],
    )
    .refusing(&[404]),
    take(
        "/api/auth/roles",
        "Takes roles",
        &[
            ("user_id", true, "text"),
            ("roles", false, "text"),
            ("role", false, "text"),
        ],
        &[(200, "RolesTaken")],
    )
    .refusing(&[404, 409]),
    read(
        "/api/audit/logs",
        "Audit records",
        &[
            ("log_type", false, "log_type"),
            ("type", false, "log_type"),
            ("user_id", false, "text"),
            ("action", false, "text"),
            ("start_time", false, "text"),
            ("end_time", false, "text"),
            ("limit", false, "limit"),
            ("offset", false, "offset"),
        ],
        &[(200, "AuditPage")],
    )
    .refusing(&[409]),
    read(
        "/api/audit/stats",
        "What audit records there are",
        &[],
        &[(200, "AuditStats")],
    )
    .refusing(&[409]),
    write(
        "/api/audit/archive",
        "Packs old audit records",
        None,
        &[(200, "AuditArchived")],
    ),
    read(
        "/api/config",
        "What the process is",
        &[],
        &[(200, "Config")],
    ),
    write(
        "/api/config",
        "Checks and saves a configuration for a restart",
        Some("AnyObject"),
        &[(200, "ConfigSaved")],
    ),
    read(
        "/api/status",
        "Where the engine stands",
        &[],
        &[(200, "Status")],
    ),
    read(
        "/api/execution/ping",
        "Whether orders could get to the venue",
        &[],
        &[(200, "Ping")],
    )
    .refusing(&[409]),
    read(
        "/api/latency",
        "Quantiles of every stage in nanoseconds",
        &[],
        &[(200, "Latencies")],
    ),
    write(
        "/api/start",
        "Trading is active, the strategy acts",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/stop",
        "The strategy rests, trading is halted, our orders are cancelled",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/control/start",
        "Another name of /api/start",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/control/stop",
        "Another name of /api/stop",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/halt",
        "No new orders; cancels pass",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/reduce-only",
        "Only what makes a position smaller",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/resume",
        "Anything within the limits",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/kill-switch/trip",
        "Halt, cancel everything, stay so over restarts",
        None,
        &[(200, "Operated")],
    ),
    write(
        "/api/kill-switch/reset",
        "Unlatches the kill switch; trading stays halted",
        None,
        &[(200, "Operated")],
    ),
    read(
        "/api/market",
        "The last price and the touch",
        &[("symbol", false, "text")],
        &[(200, "Market")],
    ),
    read(
        "/api/book",
        "The best levels of a book",
        &[("symbol", false, "text"), ("depth", false, "depth")],
        &[(200, "Book")],
    )
    .refusing(&[409]),
    read(
        "/api/orders",
        "What happened to orders, oldest first",
        &[("limit", false, "limit")],
        &[(200, "OrderEvents")],
    ),
    read(
        "/api/orders_state",
        "Orders as they stand, newest first",
        &[
            ("limit", false, "limit"),
            ("symbol", false, "text"),
            ("open", false, "truth"),
        ],
        &[(200, "Orders")],
    ),
    read(
        "/api/order_state",
        "One order as it stands",
        &[("client_order_id", true, "text")],
        &[(200, "Order")],
    )
    .refusing(&[404]),
    read(
        "/api/trades",
        "Our fills, newest first",
        &[("limit", false, "limit"), ("symbol", false, "text")],
        &[(200, "Trades")],
    ),
    write(
        "/api/order",
        "Places an order",
        Some("NewOrder"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    ),
    write(
        "/api/cancel",
        "Takes an order back",
        Some("Cancel"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    write(
        "/api/cancel-all",
        "Takes all orders back, or those of a symbol",
        Some("CancelAll"),
        &[(200, "CancelledAll"), (202, "CancelledAll")],
    ),
    write(
        "/api/cancel-replace",
        "Takes an untouched order back and places another",
        Some("CancelReplace"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    write(
        "/api/amend",
        "Makes an order smaller; it keeps its place in the queue",
        Some("Amend"),
        &[(200, "OrderDone"), (202, "UnderWay")],
    )
    .refusing(&[404]),
    read(
        "/api/account",
        "Balances and equity",
        &[],
        &[(200, "Account")],
    ),
    read(
        "/api/positions",
        "Positions that are not flat",
        &[],
        &[(200, "Positions")],
    ),
    read(
        "/api/positions/{symbol}",
        "One position",
        &[],
        &[(200, "Position")],
    )
    .refusing(&[404]),
    read(
        "/api/strategies",
        "What trades by itself",
        &[],
        &[(200, "Strategies")],
    ),
    read(
        "/api/strategies/{id}",
        "One strategy",
        &[],
        &[(200, "StrategyDetail")],
    )
    .refusing(&[404]),
    write(
        "/api/strategies/{id}/start",
        "The strategy may act",
        None,
        &[(200, "Done")],
    )
    .refusing(&[404]),
    write(
        "/api/strategies/{id}/stop",
        "The strategy acts no more; its orders stay",
        None,
        &[(200, "Done")],
    )
    .refusing(&[404]),
    read(
        "/api/risk/limits",
        "Limits, and changes that wait for approval",
        &[],
        &[(200, "Limits")],
    ),
    write(
        "/api/risk/limits",
        "Tightens limits, or proposes to loosen them",
        Some("LimitsChange"),
        &[(200, "LimitsMade"), (202, "LimitsProposed")],
    ),
    write(
        "/api/risk/limits/approve",
        "Approves what somebody else proposed, after a login: no API key approves",
        Some("Proposal"),
        &[(200, "LimitsApproved")],
    )
    .refusing(&[404]),
    write(
        "/api/risk/limits/withdraw",
        "Withdraws a proposal",
        Some("Proposal"),
        &[(200, "LimitsWithdrawn")],
    )
    .refusing(&[404]),
    read(
        "/api/risk/utilization",
        "How much of every limit is used",
        &[],
        &[(200, "Utilization")],
    ),
    read(
        "/api/settings",
        "What the process is, and what a user interface keeps",
        &[],
        &[(200, "Settings")],
    ),
    write(
        "/api/settings",
        "Keeps sections of a user interface",
        Some("AnyObject"),
        &[(200, "SettingsSaved")],
    ),
    read(
        "/api/settings/export",
        "The settings as a document",
        &[],
        &[(200, "SettingsExport")],
    ),
    write(
        "/api/settings/import",
        "Takes a document of settings",
        Some("SettingsDocument"),
        &[(200, "SettingsImported")],
    ),
    read(
        "/api/exchange-keys",
        "The venue's key, without its secret",
        &[],
        &[(200, "ExchangeKeys")],
    ),
    write(
        "/api/exchange-keys",
        "Keeps a key of the venue",
        Some("ExchangeKey"),
        &[(201, "ExchangeKeyKept")],
    ),
    take(
        "/api/exchange-keys",
        "Removes the key",
        &[("exchange", false, "text"), ("key_id", false, "text")],
        &[(200, "ExchangeKeyRemoved")],
    )
    .refusing(&[404]),
    write(
        "/api/exchange-keys/test",
        "Asks the venue whether the key is good",
        Some("Exchange"),
        &[(200, "ExchangeKeyTested")],
    )
    .refusing(&[404]),
    read(
        "/api/admin/log-level",
        "The log's level",
        &[],
        &[(200, "LogLevelNow")],
    ),
    write(
        "/api/admin/log-level",
        "Sets the log's level",
        Some("LogLevel"),
        &[(200, "LogLevelSet")],
    ),
    write(
        "/api/admin/maintenance",
        "Begins or ends maintenance",
        Some("Maintenance"),
        &[(200, "MaintenanceNow")],
    ),
    write(
        "/api/admin/ready",
        "Ends maintenance; an API that was made read-only stays so",
        None,
        &[(200, "MaintenanceNow")],
    ),
    write(
        "/api/admin/readonly",
        "The API takes no orders until readwrite, whatever maintenance does",
        None,
        &[(200, "ReadOnlyNow")],
    ),
    write(
        "/api/admin/readwrite",
        "The API takes orders again, unless there is maintenance",
        None,
        &[(200, "ReadOnlyNow")],
    ),
    write(
        "/api/admin/reload-config",
        "Reads the configured limits anew",
        None,
        &[(200, "Done")],
    ),
    read(
        "/api/openapi.json",
        "This document",
        &[],
        &[(200, "Description")],
    ),
    read(
        "/api/stream",
        "Events as they happen (server-sent events)",
        &[
            ("last_id", false, "offset"),
            ("events", false, "events"),
            ("filter", false, "events"),
            ("symbols", false, "symbols"),
            ("ticket", false, "text"),
        ],
        &[(200, "Events")],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ROUTES;

    #[test]
    fn every_route_is_described_once_and_nothing_else_is() {
        for route in ROUTES {
            let found = DOCS
                .iter()
                .filter(|doc| doc.verb == route.verb && doc.path == route.path);
            assert_eq!(found.count(), 1, "{:?} {}", route.verb, route.path);
        }
        assert_eq!(
            DOCS.len(),
            ROUTES.len(),
            "something is described that is not there"
        );
    }
}
