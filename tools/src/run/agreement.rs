//! Whether our books of the account are those of the venue in this process, at the end of a session.
//!
//! Owns: [`tell`], which logs it. Does not: change anything. A live venue is asked for its account while the session
//! runs; the simulated one ends with us, so this is the last time that both can be looked at.

use crate::venue::{Holdings, VenueHandle};
use std::collections::BTreeMap;
use veloz_core::edge::clock::Clock;
use veloz_core::engine::Engine;
use veloz_core::instrument::{AssetIndex, Assets, Instruments};
use veloz_core::portfolio::Portfolio;
use veloz_core::strategy::Configured;
use veloz_core::units::E8;

/// Logs whether every balance is the venue's to the last unit, and every position what is held above the baseline.
/// Nothing is logged without an account, or when it was never listed.
pub(super) fn tell(engine: &Engine<Clock, Configured>, venue: &VenueHandle) {
    let (Some(portfolio), Some(assets)) = (engine.portfolio(), engine.assets()) else {
        return;
    };
    let Some(holdings) = venue.first_account_holdings() else {
        return;
    };
    if !portfolio.is_started() {
        return;
    }
    match compare(portfolio, assets, engine.instruments(), &holdings) {
        Ok(()) => tracing::info!(
            component = "portfolio",
            event_type = "account_agrees",
            trades = holdings.trades.len(),
            "our balances and positions are those of the venue's account to the last unit"
        ),
        Err(what) => tracing::error!(
            component = "portfolio",
            event_type = "account_disagrees",
            "our books are not the venue's: {what}"
        ),
    }
}

/// One sentence about the first difference.
fn compare(
    portfolio: &Portfolio,
    assets: &Assets,
    instruments: &Instruments,
    venue: &Holdings,
) -> Result<(), String> {
    let theirs: BTreeMap<&str, i64> = venue
        .balances
        .iter()
        .map(|(asset, free, locked)| (asset.as_str(), free.0.saturating_add(locked.0)))
        .collect();
    for (index, name) in assets.iter() {
        let theirs = theirs.get(name.as_str()).copied().unwrap_or_default();
        let ours = portfolio.total(index);
        if ours.0 != theirs {
            return Err(format!(
                "{name}: we have {ours}, the venue has {}",
                E8(theirs)
            ));
        }
    }
    // Instruments of one base share what is held of it.
    let mut positions = BTreeMap::<AssetIndex, i64>::new();
    for (index, instrument) in instruments.iter() {
        let base = assets
            .find(instrument.base.as_bytes())
            .ok_or_else(|| format!("{} is no asset of the account", instrument.base))?;
        *positions.entry(base).or_default() += portfolio.position(index).qty().0;
    }
    for (base, position) in positions {
        let Some(baseline) = portfolio.baseline(base) else {
            continue;
        };
        let held = portfolio.total(base).0 - baseline.0;
        if held != position {
            return Err(format!(
                "{}: {} above the baseline are held, and the positions come to {}",
                assets.get(base),
                E8(held),
                E8(position)
            ));
        }
    }
    Ok(())
}
