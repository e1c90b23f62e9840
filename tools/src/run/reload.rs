//! SIGHUP: the limits are read anew and applied between two events.
//!
//! Owns: [`reload_limits`]. Does not: change anything else of a running engine; what else differs is told and waits
//! for the next start. Invariants: limits that cannot be read change nothing; a limit that was set over the API is tightened
//! and never loosened, because files have one author and loosening takes two people.

use super::session::Session;
use crate::config::{ConfigError, Loaded};
use crate::state::HeldLimits;
use veloz_core::event::{Command, Token};
use veloz_core::instrument::Instruments;
use veloz_core::risk::LimitsChange;

/// Reads the configuration anew and hands its limits to the core.
pub(super) fn reload_limits<T>(
    session: &Session<T>,
    instruments: &Instruments,
    running: &Loaded,
    reload: &dyn Fn() -> Result<Loaded, ConfigError>,
) {
    let fresh = match reload() {
        Ok(fresh) => fresh,
        Err(error) => return refused(&error.to_string()),
    };
    for warning in &fresh.warnings {
        tracing::warn!(component = "config", "{warning}");
    }
    let limits = match fresh.config.risk.resolve(instruments) {
        Ok(limits) => limits,
        Err(error) => return refused(&error.to_string()),
    };
    let HeldLimits { limits, kept } = match session.hold_limits(limits, instruments) {
        Ok(held) => held,
        Err(error) => return refused(&error),
    };
    let of_instruments = instruments
        .iter()
        .zip(limits.instruments)
        .map(|((index, _), own)| LimitsChange::Instrument(index, own));
    for change in [LimitsChange::Global(limits.global)]
        .into_iter()
        .chain(of_instruments)
    {
        let command = Command::SetLimits {
            token: Token::default(),
            change,
        };
        if !session.command(command) {
            return refused("the core is too busy to take them; what it took already holds");
        }
        session.sidecar().api().limits().changed(&change);
    }
    if let Err(error) = session.forget_changed_limits() {
        tracing::error!(
            component = "state",
            event_type = "error",
            "limits that were changed while running come back at the next start: {error}"
        );
    }
    let mut other = fresh.config;
    other.risk = running.config.risk.clone();
    if other != running.config {
        tracing::warn!(
            component = "config",
            "other keys changed too: they take effect at the next start"
        );
    }
    if !kept.is_empty() {
        tracing::warn!(
            component = "config",
            event_type = "limits_kept",
            "{}",
            kept_sentence(&kept)
        );
    }
    tracing::info!(
        component = "config",
        event_type = "limits_reloaded",
        "limits are read anew"
    );
}

/// Which limits stay as they were set over the API, and how they are loosened.
pub(super) fn kept_sentence(kept: &[String]) -> String {
    format!(
        "{} stay as they were set over the API: files tighten them and do not loosen them; propose it with POST /api/risk/limits and have somebody else approve it",
        kept.join(", ")
    )
}

fn refused(why: &str) {
    tracing::error!(
        component = "config",
        event_type = "limits_refused",
        "the limits stay as they are: {why}"
    );
}
