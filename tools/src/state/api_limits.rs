//! Limits that were set over the API: what configuration files tighten and never loosen.
//!
//! Owns: [`ApiLimits`]. Does not: decide who may set a limit. Invariants: a limit counts as set when a change over the API
//! moved it, and stays so until another such change; one that was moved to nothing (two people agreed that it binds no
//! more) is not held; what files say of it passes when it is as tight or tighter.

use super::{SavedGlobalLimits, SavedInstrumentLimits, present};
use crate::config::limits::Limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use veloz_core::instrument::{Instrument, Instruments};
use veloz_core::risk::{GlobalLimits, InstrumentLimits};

/// Each limit as it was set; what was not set does not bind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiLimits {
    /// The global ones.
    #[serde(deserialize_with = "present")]
    pub global: Option<SavedGlobalLimits>,
    /// Those of instruments, by symbol.
    pub instruments: BTreeMap<String, SavedInstrumentLimits>,
}

/// Limits of files after what was set over the API had its say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    /// The limits that hold.
    pub limits: Limits,
    /// Those that files would loosen, by their keys.
    pub kept: Vec<String>,
}

impl ApiLimits {
    /// The global limits were changed over the API.
    pub fn note_global(&mut self, before: &GlobalLimits, after: &GlobalLimits) {
        let bound = self.global.get_or_insert(SavedGlobalLimits {
            concentration_from_e8: i64::MAX,
            ..SavedGlobalLimits::default()
        });
        let (before, after) = (
            SavedGlobalLimits::from(*before),
            SavedGlobalLimits::from(*after),
        );
        macro_rules! note {
            ($($limit:ident),+) => { $(moved(&mut bound.$limit, before.$limit, after.$limit);)+ };
        }
        note!(
            open_orders_max,
            orders_per_second_max,
            leverage_max_percent,
            concentration_max_percent,
            concentration_from_e8,
            daily_loss_max_e8,
            drawdown_max_bps,
            market_data_age_max_ns,
            clock_offset_max_ns
        );
    }

    /// The limits of an instrument were changed over the API.
    pub fn note_instrument(
        &mut self,
        instrument: &Instrument,
        before: InstrumentLimits,
        after: InstrumentLimits,
    ) {
        let symbol = instrument.symbol.as_str().to_owned();
        let bound = self.instruments.entry(symbol).or_default();
        let before = SavedInstrumentLimits::new(before, instrument);
        let after = SavedInstrumentLimits::new(after, instrument);
        macro_rules! note {
            ($($limit:ident),+) => { $(moved(&mut bound.$limit, before.$limit, after.$limit);)+ };
        }
        note!(
            order_qty_max_e8,
            order_notional_max_e8,
            position_max_e8,
            open_orders_max,
            price_collar_bps
        );
    }

    /// What holds when files say `fresh`.
    ///
    /// # Errors
    /// One sentence when a quantity that was set does not fit its instrument's present grid.
    pub fn hold(&self, mut fresh: Limits, instruments: &Instruments) -> Result<HeldLimits, String> {
        let mut kept = Vec::new();
        if let Some(bound) = &self.global {
            let mut global = SavedGlobalLimits::from(fresh.global);
            macro_rules! hold {
                ($($limit:ident $key:literal),+) => { $(
                    if held(&mut global.$limit, bound.$limit) {
                        kept.push(concat!("risk.", $key).to_owned());
                    }
                )+ };
            }
            hold!(
                open_orders_max "open_orders_max",
                orders_per_second_max "orders_per_second_max",
                leverage_max_percent "leverage_max_percent",
                concentration_max_percent "concentration_max_percent",
                daily_loss_max_e8 "daily_loss_max",
                drawdown_max_bps "drawdown_max_bps",
                market_data_age_max_ns "market_data_age_max_ms",
                clock_offset_max_ns "clock_offset_max_ms"
            );
            if global.concentration_from_e8 > bound.concentration_from_e8 {
                global.concentration_from_e8 = bound.concentration_from_e8;
                kept.push("risk.concentration_from".to_owned());
            }
            fresh.global = global.into();
        }
        for ((_, instrument), own) in instruments.iter().zip(&mut fresh.instruments) {
            let symbol = instrument.symbol.as_str();
            let Some(bound) = self.instruments.get(symbol) else {
                continue;
            };
            let mut saved = SavedInstrumentLimits::new(*own, instrument);
            macro_rules! hold {
                ($($limit:ident $key:literal),+) => { $(
                    if held(&mut saved.$limit, bound.$limit) {
                        kept.push(format!(concat!("risk.instruments.{}.", $key), symbol));
                    }
                )+ };
            }
            hold!(
                order_qty_max_e8 "order_qty_max",
                order_notional_max_e8 "order_notional_max",
                position_max_e8 "position_max",
                open_orders_max "open_orders_max",
                price_collar_bps "price_collar_bps"
            );
            *own = saved.on_grid_of(instrument).ok_or_else(|| {
                format!("the limits of {symbol} that were set over the API do not fit its present grid; change them anew")
            })?;
        }
        Ok(HeldLimits {
            limits: fresh,
            kept,
        })
    }
}

/// A limit that a change moved is set from now on.
fn moved<T: PartialEq + Copy>(bound: &mut T, before: T, after: T) {
    if before != after {
        *bound = after;
    }
}

/// Takes the bound where a limit is looser; whether it was.
fn held<T: PartialOrd + Copy>(limit: &mut Option<T>, bound: Option<T>) -> bool {
    let Some(bound) = bound else {
        return false;
    };
    let looser = limit.is_none_or(|limit| limit > bound);
    if looser {
        *limit = Some(bound);
    }
    looser
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::tests::instruments;
    use veloz_core::instrument::InstrumentIndex;
    use veloz_core::units::{E8, Lots, Nanos};

    fn files(global: GlobalLimits, first: InstrumentLimits) -> Limits {
        let mut limits = vec![InstrumentLimits::default(); instruments().count()];
        limits[0] = first;
        Limits {
            global,
            instruments: limits,
        }
    }

    #[test]
    fn files_tighten_what_was_set_and_loosen_only_what_was_not() {
        let table = instruments();
        let btc = table.get(InstrumentIndex(0));
        let before = GlobalLimits {
            open_orders_max: Some(50),
            daily_loss_max: Some(E8(100)),
            concentration_from: E8(500),
            ..GlobalLimits::default()
        };
        let own = InstrumentLimits {
            order_qty_max: Some(Lots(1_000)),
            ..InstrumentLimits::default()
        };
        let mut set = ApiLimits::default();
        let unset = set.hold(files(before, own), &table).expect("on the grid");
        assert_eq!(unset.limits, files(before, own));
        assert!(unset.kept.is_empty());
        let after = GlobalLimits {
            open_orders_max: Some(5),
            clock_offset_max: Some(Nanos(7)),
            ..before
        };
        let smaller = InstrumentLimits {
            order_qty_max: Some(Lots(10)),
            ..own
        };
        set.note_global(&before, &after);
        set.note_instrument(btc, own, smaller);

        // The same files again, with what nobody set looser.
        let looser = GlobalLimits {
            daily_loss_max: None,
            concentration_from: E8(900),
            ..before
        };
        let held = set.hold(files(looser, own), &table).expect("on the grid");
        let expected = GlobalLimits {
            open_orders_max: Some(5),
            clock_offset_max: Some(Nanos(7)),
            ..looser
        };
        assert_eq!(held.limits, files(expected, smaller));
        assert_eq!(
            held.kept,
            [
                "risk.open_orders_max",
                "risk.clock_offset_max_ms",
                "risk.instruments.BTCUSDT.order_qty_max"
            ]
        );
        // Tighter ones pass, and back again up to what was set.
        for orders in [3, 5] {
            let tight = GlobalLimits {
                open_orders_max: Some(orders),
                ..expected
            };
            let held = set
                .hold(files(tight, smaller), &table)
                .expect("on the grid");
            assert_eq!((held.limits.global, held.kept.len()), (tight, 0));
        }
        // Two people loosened it: files are held to that.
        let agreed = GlobalLimits {
            open_orders_max: None,
            concentration_from: E8(600),
            ..after
        };
        set.note_global(&after, &agreed);
        let held = set
            .hold(files(looser, smaller), &table)
            .expect("on the grid");
        assert_eq!(held.limits.global.open_orders_max, Some(50));
        assert_eq!(held.limits.global.concentration_from, E8(600));
        assert_eq!(
            held.kept,
            ["risk.clock_offset_max_ms", "risk.concentration_from"]
        );
    }

    #[test]
    fn what_is_held_is_never_looser_than_what_was_set_nor_than_the_files() {
        use proptest::prelude::*;
        let table = instruments();
        let global = || {
            let limit = || proptest::option::of(1..9u32);
            (limit(), limit(), 0..9i64, proptest::option::of(1..9i64)).prop_map(
                |(open_orders_max, drawdown_max_bps, from, loss)| GlobalLimits {
                    open_orders_max,
                    drawdown_max_bps,
                    concentration_from: E8(from),
                    daily_loss_max: loss.map(E8),
                    ..GlobalLimits::default()
                },
            )
        };
        proptest!(|(steps in proptest::collection::vec(global(), 1..5), fresh in global())| {
            let mut set = ApiLimits::default();
            let mut at = steps[0];
            for step in &steps[1..] {
                set.note_global(&at, step);
                at = *step;
            }
            let own = InstrumentLimits::default();
            let held = set.hold(files(fresh, own), &table).expect("on the grid");
            prop_assert!(held.limits.global.is_within(&fresh));
            prop_assert_eq!(held.kept.is_empty(), held.limits.global == fresh);
            if let Some(bound) = set.global {
                prop_assert!(held.limits.global.is_within(&bound.into()));
            }
        });
    }
}
