//! What the server knows about who asked to be let in.
//!
//! Owns: [`AuthMetrics`]. Invariant: labels come from two closed sets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use veloz_core::labelled;

labelled! {
    /// By what somebody said who he is.
    pub enum Means {
        /// A user's password.
        Password = "password",
        /// A refresh token.
        RefreshToken = "refresh_token",
        /// An access token.
        AccessToken = "access_token",
        /// An API key.
        ApiKey = "api_key",
        /// A stream ticket.
        Ticket = "ticket",
        /// The scrape token.
        ScrapeToken = "scrape_token",
    }
}

labelled! {
    /// What came of it.
    pub enum Outcome {
        /// Let in.
        Success = "success",
        /// Not who he says.
        Failure = "failure",
        /// Too many attempts.
        RateLimited = "rate_limited",
    }
}

/// Counts of attempts.
#[derive(Default)]
pub struct AuthMetrics {
    attempts: [[AtomicU64; Outcome::ALL.len()]; Means::ALL.len()],
    denied: AtomicU64,
}

impl AuthMetrics {
    /// Counts one.
    pub fn count(&self, means: Means, outcome: Outcome) {
        self.attempts[means.index()][outcome.index()].fetch_add(1, Relaxed);
    }

    /// Counts a request of somebody who may not make it.
    pub fn count_denied(&self) {
        self.denied.fetch_add(1, Relaxed);
    }

    /// Attempts so far.
    pub fn attempts(&self, means: Means, outcome: Outcome) -> u64 {
        self.attempts[means.index()][outcome.index()].load(Relaxed)
    }

    /// Requests of somebody who may not make them.
    pub fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }
}
