//! From signal to fill, counted: why a quiet strategy is quiet.
//!
//! Owns: [`Funnel`], one plain count for each stage and each reason, with a single writer. Does not:
//! publish itself, or know orders; the engine tells each order's step once, as it happens.
//!
//! **The sums.** "now" counts come from [`Standing`]: how many orders are between two stages at this
//! moment. [`Funnel::check`] holds all of them:
//!
//! | identity | left | right |
//! | --- | --- | --- |
//! | `signals` | signals | suppressed (all reasons) + wishes (all kinds) + overflowed |
//! | `intents` | wishes (place, replace) | intents (strategy) + replaced in vain |
//! | `admission` | intents (strategy, operator) | rejected (all reasons) + admitted |
//! | `encoding` | admitted | unencoded + encoded |
//! | `sending` | encoded | unsent + sent + encoded now |
//! | `answers` | sent | acknowledged + refused + unknown + unanswered now |
//! | `unknowns` | unknown | found + never arrived + unresolved now |
//! | `open_orders` | acknowledged + found + adopted | ended (filled, cancelled, expired, by self-trade prevention) + open now |
//! | `never_open` | unencoded + unsent + refused + never arrived | ended (rejected) |
//!
//! Amends and cancels leave the funnel as wishes: they bring no fill. Fills have no identity here,
//! because one order may have many.

use super::actions::{Actions, Suppression, Wish};
use crate::order::{DoneReason, Origin};
use crate::risk::Rejection;

labelled! {
    /// Stages without a reason of their own. Each order passes each at most once.
    pub enum Stage {
        /// Calls of a strategy.
        Looks = "looks",
        /// Decisions of a strategy.
        Signals = "signals",
        /// Signals whose action found the list full.
        Overflowed = "overflowed",
        /// Replacements that did not reach risk because their order had ended.
        ReplacedInVain = "replaced_in_vain",
        /// Let through by risk.
        Admitted = "admitted",
        /// Admitted, but there was no room to encode it or it cannot be written.
        Unencoded = "unencoded",
        /// Written as bytes of a link.
        Encoded = "encoded",
        /// Its link ended before the kernel took the first of its bytes: the venue never saw it.
        Unsent = "unsent",
        /// The kernel took it.
        Sent = "sent",
        /// The venue's first word was that it has it, by answer or by report.
        Acknowledged = "acknowledged",
        /// The venue's first word was that it does not take it.
        Refused = "refused",
        /// No word in time, the link lost, or an answer that leaves it open, before anything else was
        /// heard.
        Unknown = "unknown",
        /// An unknown one that the venue turned out to have.
        Found = "found",
        /// An unknown one that the venue turned out not to have.
        NeverArrived = "never_arrived",
        /// Open orders of earlier runs, taken over when reconciling.
        Adopted = "adopted",
        /// Fills booked, each trade once.
        Fills = "fills",
    }
}

labelled! {
    /// The sums that [`Funnel::check`] holds.
    pub enum Identity {
        /// Every decision came out as something.
        Signals = "signals",
        /// Every order that the strategy wanted reached risk.
        Intents = "intents",
        /// Risk answered each.
        Admission = "admission",
        /// Each admitted order was written or not.
        Encoding = "encoding",
        /// Each written order was sent or not.
        Sending = "sending",
        /// Each sent order has one first answer.
        Answers = "answers",
        /// Each unknown outcome became known.
        Unknowns = "unknowns",
        /// Each order that the venue had has ended or is open.
        OpenOrders = "open_orders",
        /// Each order that the venue never had ended as rejected.
        NeverOpen = "never_open",
    }
}

/// Orders between two stages at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Encoded; the kernel has not taken them.
    pub encoded: u64,
    /// Sent; nothing heard.
    pub unanswered: u64,
    /// Unknown, and never known to be at the venue.
    pub unresolved: u64,
    /// At the venue as far as is known, whatever is under way about them.
    pub open: u64,
}

/// A sum does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the funnel leaks at {}: {left} in, {right} out", .identity.label())]
pub struct Leak {
    /// Which sum.
    pub identity: Identity,
    /// Its left side.
    pub left: u64,
    /// Its right side.
    pub right: u64,
}

/// Rows of [`Funnel::rows`].
pub const FUNNEL_ROWS: usize = Stage::ALL.len()
    + Suppression::ALL.len()
    + Wish::ALL.len()
    + Origin::ALL.len()
    + Rejection::ALL.len()
    + DoneReason::ALL.len();

/// All counts; see the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funnel {
    stages: [u64; Stage::ALL.len()],
    suppressed: [u64; Suppression::ALL.len()],
    wishes: [u64; Wish::ALL.len()],
    intents: [u64; Origin::ALL.len()],
    rejected: [u64; Rejection::ALL.len()],
    ended: [u64; DoneReason::ALL.len()],
}

impl Default for Funnel {
    fn default() -> Self {
        Self::new()
    }
}

impl Funnel {
    /// All counts zero.
    pub const fn new() -> Self {
        Self {
            stages: [0; Stage::ALL.len()],
            suppressed: [0; Suppression::ALL.len()],
            wishes: [0; Wish::ALL.len()],
            intents: [0; Origin::ALL.len()],
            rejected: [0; Rejection::ALL.len()],
            ended: [0; DoneReason::ALL.len()],
        }
    }

    /// Counts one call of a strategy with everything that came of it.
    pub fn count_look(&mut self, actions: &Actions) {
        self.stages[Stage::Looks.index()] += 1;
        self.stages[Stage::Signals.index()] += u64::from(actions.signals());
        self.stages[Stage::Overflowed.index()] += u64::from(actions.overflowed());
        if actions.signals() as usize > actions.as_slice().len() {
            for reason in Suppression::ALL {
                self.suppressed[reason.index()] += u64::from(actions.suppressed(reason));
            }
        }
        for action in actions.as_slice() {
            self.wishes[action.wish().index()] += 1;
        }
    }

    /// Counts a step of one order. Looks, signals and overflows come through [`Funnel::count_look`].
    #[inline]
    pub fn count(&mut self, stage: Stage) {
        self.stages[stage.index()] += 1;
    }

    /// Counts an intent that risk is asked about.
    #[inline]
    pub fn count_intent(&mut self, origin: Origin) {
        self.intents[origin.index()] += 1;
    }

    /// Counts an intent that risk refused.
    #[inline]
    pub fn count_rejected(&mut self, reason: Rejection) {
        self.rejected[reason.index()] += 1;
    }

    /// Counts the end of an order.
    #[inline]
    pub fn count_ended(&mut self, reason: DoneReason) {
        self.ended[reason.index()] += 1;
    }

    /// A stage's count.
    pub const fn stage(&self, stage: Stage) -> u64 {
        self.stages[stage.index()]
    }

    /// Signals suppressed for a reason.
    pub const fn suppressed(&self, reason: Suppression) -> u64 {
        self.suppressed[reason.index()]
    }

    /// Actions of a kind.
    pub const fn wishes(&self, wish: Wish) -> u64 {
        self.wishes[wish.index()]
    }

    /// Intents of an origin.
    pub const fn intents(&self, origin: Origin) -> u64 {
        self.intents[origin.index()]
    }

    /// Intents refused for a reason.
    pub const fn rejected(&self, reason: Rejection) -> u64 {
        self.rejected[reason.index()]
    }

    /// Orders that ended so.
    pub const fn ended(&self, reason: DoneReason) -> u64 {
        self.ended[reason.index()]
    }

    /// Every count as `(stage, reason, count)`; stages without reasons carry an empty one.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let stages = Stage::ALL.map(|stage| (stage.label(), "", self.stage(stage)));
        let suppressed =
            Suppression::ALL.map(|reason| ("suppressed", reason.label(), self.suppressed(reason)));
        let wishes = Wish::ALL.map(|wish| ("wishes", wish.label(), self.wishes(wish)));
        let intents = Origin::ALL.map(|origin| ("intents", origin.label(), self.intents(origin)));
        let rejected =
            Rejection::ALL.map(|reason| ("rejected", reason.label(), self.rejected(reason)));
        let ended = DoneReason::ALL.map(|reason| ("ended", reason.label(), self.ended(reason)));
        stages
            .into_iter()
            .chain(suppressed)
            .chain(wishes)
            .chain(intents)
            .chain(rejected)
            .chain(ended)
    }

    /// Both sides of a sum.
    pub fn sides(&self, identity: Identity, now: &Standing) -> (u64, u64) {
        let stage = |stage: Stage| self.stage(stage);
        match identity {
            Identity::Signals => (
                stage(Stage::Signals),
                self.suppressed.iter().sum::<u64>()
                    + self.wishes.iter().sum::<u64>()
                    + stage(Stage::Overflowed),
            ),
            Identity::Intents => (
                self.wishes(Wish::Place) + self.wishes(Wish::Replace),
                self.intents(Origin::Strategy) + stage(Stage::ReplacedInVain),
            ),
            Identity::Admission => (
                self.intents.iter().sum(),
                self.rejected.iter().sum::<u64>() + stage(Stage::Admitted),
            ),
            Identity::Encoding => (
                stage(Stage::Admitted),
                stage(Stage::Unencoded) + stage(Stage::Encoded),
            ),
            Identity::Sending => (
                stage(Stage::Encoded),
                stage(Stage::Unsent) + stage(Stage::Sent) + now.encoded,
            ),
            Identity::Answers => (
                stage(Stage::Sent),
                stage(Stage::Acknowledged)
                    + stage(Stage::Refused)
                    + stage(Stage::Unknown)
                    + now.unanswered,
            ),
            Identity::Unknowns => (
                stage(Stage::Unknown),
                stage(Stage::Found) + stage(Stage::NeverArrived) + now.unresolved,
            ),
            Identity::OpenOrders => (
                stage(Stage::Acknowledged) + stage(Stage::Found) + stage(Stage::Adopted),
                self.ended(DoneReason::Filled)
                    + self.ended(DoneReason::Cancelled)
                    + self.ended(DoneReason::Expired)
                    + self.ended(DoneReason::ExpiredInMatch)
                    + now.open,
            ),
            Identity::NeverOpen => (
                stage(Stage::Unencoded)
                    + stage(Stage::Unsent)
                    + stage(Stage::Refused)
                    + stage(Stage::NeverArrived),
                self.ended(DoneReason::Rejected),
            ),
        }
    }

    /// Holds every sum of the table above.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self, now: &Standing) -> Result<(), Leak> {
        for identity in Identity::ALL {
            let (left, right) = self.sides(identity, now);
            if left != right {
                return Err(Leak {
                    identity,
                    left,
                    right,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::OrderId;
    use crate::strategy::Action;

    /// Twelve orders on all roads, and one more between each two stages.
    fn busy() -> (Funnel, Standing) {
        let mut funnel = Funnel::new();
        let order = OrderId {
            run: 1,
            sequence: 1,
        };
        let replace = Action::Replace {
            order,
            price: crate::units::Ticks(1),
            qty: crate::units::Lots(1),
        };
        for _ in 0..14 {
            let mut look = Actions::new();
            look.push(replace);
            look.push(Action::Cancel(order));
            look.suppress(Suppression::NoChange);
            funnel.count_look(&look);
        }
        let mut full = Actions::new();
        for _ in 0..crate::limits::ACTIONS_PER_LOOK_MAX + 2 {
            full.push(Action::Cancel(order));
        }
        funnel.count_look(&full);
        funnel.count(Stage::ReplacedInVain);
        for _ in 0..13 {
            funnel.count_intent(Origin::Strategy);
        }
        for _ in 0..3 {
            funnel.count_intent(Origin::Operator);
        }
        funnel.count_rejected(Rejection::OrderRate);
        funnel.count_rejected(Rejection::SelfTrade);
        let mut times = |stage, count| (0..count).for_each(|_| funnel.count(stage));
        times(Stage::Admitted, 14);
        times(Stage::Unencoded, 1);
        times(Stage::Encoded, 13);
        times(Stage::Unsent, 1);
        times(Stage::Sent, 11);
        times(Stage::Acknowledged, 5);
        times(Stage::Refused, 1);
        times(Stage::Unknown, 4);
        times(Stage::Found, 2);
        times(Stage::NeverArrived, 1);
        times(Stage::Adopted, 1);
        times(Stage::Fills, 3);
        for reason in [
            DoneReason::Filled,
            DoneReason::Filled,
            DoneReason::Cancelled,
            DoneReason::Expired,
            DoneReason::ExpiredInMatch,
        ] {
            funnel.count_ended(reason);
        }
        for _ in 0..4 {
            funnel.count_ended(DoneReason::Rejected);
        }
        let standing = Standing {
            encoded: 1,
            unanswered: 1,
            unresolved: 1,
            open: 3,
        };
        (funnel, standing)
    }

    #[test]
    fn every_sum_holds_when_each_step_is_counted_once() {
        let (funnel, standing) = busy();
        assert_eq!(funnel.check(&standing), Ok(()));
        assert_eq!(Funnel::new().check(&Standing::default()), Ok(()));
        assert_eq!(funnel.stage(Stage::Looks), 15);
        assert_eq!(funnel.stage(Stage::Overflowed), 2);
        assert_eq!(funnel.wishes(Wish::Replace), 14);
        assert_eq!(funnel.suppressed(Suppression::NoChange), 14);
        let total: u64 = funnel.rows().map(|(.., count)| count).sum();
        let counted = funnel.stages.iter().sum::<u64>()
            + funnel.suppressed.iter().sum::<u64>()
            + funnel.wishes.iter().sum::<u64>()
            + funnel.intents.iter().sum::<u64>()
            + funnel.rejected.iter().sum::<u64>()
            + funnel.ended.iter().sum::<u64>();
        assert_eq!(total, counted, "every count has its row");
        let mut labels: Vec<_> = funnel
            .rows()
            .map(|(stage, reason, _)| (stage, reason))
            .collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(
            labels.len(),
            funnel.rows().count(),
            "no two rows share a label"
        );
    }

    #[test]
    fn a_step_that_is_not_counted_is_found() {
        for identity in Identity::ALL {
            let (mut funnel, mut standing) = busy();
            match identity {
                Identity::Signals => funnel.stages[Stage::Signals.index()] -= 1,
                Identity::Intents => funnel.stages[Stage::ReplacedInVain.index()] -= 1,
                Identity::Admission => funnel.rejected[Rejection::SelfTrade.index()] -= 1,
                Identity::Encoding => funnel.stages[Stage::Unencoded.index()] -= 1,
                Identity::Sending => standing.encoded = 0,
                Identity::Answers => standing.unanswered = 0,
                Identity::Unknowns => standing.unresolved = 0,
                Identity::OpenOrders => standing.open = 0,
                Identity::NeverOpen => funnel.ended[DoneReason::Rejected.index()] -= 1,
            }
            let leak = funnel.check(&standing).expect_err(identity.label());
            assert_eq!(leak.identity, identity);
            assert_ne!(leak.left, leak.right);
        }
    }

    #[test]
    fn a_step_that_is_counted_twice_is_found() {
        // Looks and fills stand in no sum: a strategy may look in vain, and an order may have many
        // fills.
        let free = [Stage::Looks, Stage::Fills];
        for stage in Stage::ALL {
            let (mut funnel, standing) = busy();
            funnel.count(stage);
            assert_eq!(
                funnel.check(&standing).is_err(),
                !free.contains(&stage),
                "{}",
                stage.label()
            );
        }
        for reason in DoneReason::ALL {
            let (mut funnel, standing) = busy();
            funnel.count_ended(reason);
            assert!(funnel.check(&standing).is_err(), "{}", reason.label());
        }
    }
}
