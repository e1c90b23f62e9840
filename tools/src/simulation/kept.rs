//! What the state file of a simulated process holds of trades, and what a death takes from it.
//!
//! Owns: [`Kept`]. Does not: know what the engine or the venue holds. The real keeper writes what it has been told in
//! order, all that is there at once; so a process that dies leaves a beginning of its records, and lacks those of the
//! last write, which may not have ended, and of those that waited for it ([`LOST_MAX`]). What the first round with the
//! venue found out is never lost here: an instance without it begins anew, and books nothing of what traded meanwhile.
//!
//! Invariant: a trade may be told again only if its record was lost, and once for each time that it was.

use crate::state::State;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::{BTreeSet, VecDeque};
use veloz_core::config::KnownTrades;
use veloz_core::instrument::Instruments;
use veloz_core::telemetry::records::{RecordBody, TradesKnown};
use veloz_core::units::Nanos;

/// How old a record may be that is not on disk: the drain's turn, a write that was under way, and its own, on a disk that
/// takes its time.
pub(super) const LOST_MAX: Nanos = Nanos::from_ms(500);
/// One death in so many loses nothing.
const LOSSLESS: u32 = 3;

/// See the module's text.
pub(super) struct Kept {
    instruments: Instruments,
    /// What is on disk for certain.
    state: State,
    /// What may not be, oldest first.
    unsaved: VecDeque<(Nanos, RecordBody)>,
    /// Instrument and trade id of recorded fills that the disk does not know.
    lost: BTreeSet<(usize, u64)>,
    /// Its own, so that what it draws moves nothing else of a run.
    random: SmallRng,
}

impl Kept {
    pub(super) fn new(instruments: &Instruments, seed: u64) -> Self {
        Self {
            instruments: instruments.clone(),
            state: State::default(),
            unsaved: VecDeque::new(),
            lost: BTreeSet::new(),
            random: SmallRng::seed_from_u64(!seed),
        }
    }

    /// What a record of `at` says of trades. Whether it is a fill that a death had lost, told again.
    pub(super) fn take(&mut self, at: Nanos, body: &RecordBody) -> bool {
        match *body {
            RecordBody::Fill {
                instrument,
                trade_id,
                ..
            } => {
                self.unsaved.push_back((at, *body));
                self.lost.remove(&(instrument.as_usize(), trade_id))
            }
            RecordBody::TradesKnown {
                how: TradesKnown::FirstRun,
                ..
            } => {
                self.state.take_trade(body, &self.instruments);
                false
            }
            RecordBody::TradesKnown { .. } => {
                self.unsaved.push_back((at, *body));
                false
            }
            _ => {
                self.save_before(at.since(LOST_MAX));
                false
            }
        }
    }

    /// The process dies at `now`, and what it wrote is all that the next one knows.
    pub(super) fn die(&mut self, now: Nanos) {
        let window = if self.random.random_range(0..LOSSLESS) == 0 {
            Nanos::ZERO
        } else {
            Nanos(self.random.random_range(0..=LOST_MAX.0))
        };
        self.die_with(now, window);
    }

    /// The same, without the records of so long before.
    pub(super) fn die_with(&mut self, now: Nanos, window: Nanos) {
        if window == Nanos::ZERO {
            self.save_before(Nanos::MAX);
        }
        self.save_before(now.since(window));
        let lost = self.unsaved.drain(..);
        self.lost.extend(lost.filter_map(|(_, body)| match body {
            RecordBody::Fill {
                instrument,
                trade_id,
                ..
            } => Some((instrument.as_usize(), trade_id)),
            _ => None,
        }));
    }

    /// What the next engine is told of the trades so far.
    pub(super) fn trades_known(&self) -> Vec<KnownTrades> {
        self.state.trades_known(&self.instruments)
    }

    /// Everything before `at` is on disk.
    fn save_before(&mut self, at: Nanos) {
        while self.unsaved.front().is_some_and(|(since, _)| *since < at)
            && let Some((_, body)) = self.unsaved.pop_front()
        {
            self.state.take_trade(&body, &self.instruments);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::tests::{fill, instruments};
    use super::*;
    use veloz_core::instrument::InstrumentIndex;

    fn known(how: TradesKnown, through: u64) -> RecordBody {
        let instrument = InstrumentIndex(0);
        RecordBody::TradesKnown {
            instrument,
            how,
            through,
        }
    }

    fn told(kept: &Kept) -> Vec<(u64, Vec<u64>)> {
        let trades = kept.trades_known().into_iter();
        trades.map(|known| (known.through, known.since)).collect()
    }

    #[test]
    fn a_death_leaves_a_beginning_of_the_records_and_each_lost_fill_may_be_told_once_more() {
        let mut kept = Kept::new(&instruments(), 1);
        kept.take(Nanos::from_ms(1), &known(TradesKnown::FirstRun, 5));
        for (ms, trade_id) in [(100, 6), (200, 7), (300, 8)] {
            assert!(!kept.take(Nanos::from_ms(ms), &fill(trade_id)));
        }
        kept.take(Nanos::from_ms(310), &known(TradesKnown::Settled, 8));
        kept.die_with(Nanos::from_ms(320), Nanos::from_ms(120));
        assert_eq!(told(&kept), [(5, vec![6])]);
        let again = [6, 7, 7, 8, 9].map(|id| kept.take(Nanos::from_ms(400), &fill(id)));
        assert_eq!(again, [false, true, false, true, false]);
    }

    #[test]
    fn what_is_old_enough_is_never_lost_nor_what_was_first_found_out() {
        let mut kept = Kept::new(&instruments(), 1);
        kept.take(Nanos::from_ms(1), &fill(4));
        kept.take(Nanos::from_ms(2), &known(TradesKnown::FirstRun, 5));
        kept.take(Nanos::from_ms(3), &fill(6));
        let later = LOST_MAX.plus(Nanos::from_ms(4));
        kept.take(later, &RecordBody::Limits { instrument: None });
        kept.die_with(later, LOST_MAX);
        assert_eq!(told(&kept), [(5, vec![6])]);
        kept.take(later, &fill(7));
        kept.die_with(later, Nanos::ZERO);
        assert_eq!(told(&kept), [(5, vec![6, 7])]);
    }
}
