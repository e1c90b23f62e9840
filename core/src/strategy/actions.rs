//! What a strategy wants done, and why it wants nothing.
//!
//! Owns: [`Action`], [`Quote`], [`Suppression`], and the bounded list [`Actions`]. Does not: perform
//! anything; what is placed or replaced still has to pass risk.
//!
//! Invariant: every decision of a strategy is one signal and comes out as exactly one of an action, a
//! counted suppression, or a counted overflow, so the sums of [`super::Funnel`] hold by construction.

use crate::instrument::InstrumentIndex;
use crate::limits::ACTIONS_PER_LOOK_MAX;
use crate::order::{Intent, OrderId, OrderKind, Origin, SelfTradePrevention, Side, TimeInForce};
use crate::units::{Lots, Ticks};

/// An order that a strategy wants, of the instrument that it was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Which way.
    pub side: Side,
    /// What it may do to the book.
    pub kind: OrderKind,
    /// How long it stands; [`TimeInForce::Gtc`] for other kinds than [`OrderKind::Limit`].
    pub time_in_force: TimeInForce,
    /// At what price; zero for [`OrderKind::Market`].
    pub price: Ticks,
    /// How much; positive.
    pub qty: Lots,
    /// What happens when it meets an order of ours.
    pub self_trade_prevention: SelfTradePrevention,
}

impl Quote {
    /// The intent that risk is asked about.
    pub const fn intent(&self, instrument: InstrumentIndex) -> Intent {
        Intent {
            instrument,
            side: self.side,
            kind: self.kind,
            time_in_force: self.time_in_force,
            price: self.price,
            qty: self.qty,
            self_trade_prevention: self.self_trade_prevention,
            origin: Origin::Strategy,
        }
    }
}

/// One thing that a strategy wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new order.
    Place(Quote),
    /// An order goes, and another of the same kind and side comes only if it went. Both count as open
    /// until then.
    Replace {
        /// Which one goes.
        order: OrderId,
        /// The new one's price.
        price: Ticks,
        /// The new one's quantity.
        qty: Lots,
    },
    /// An order becomes smaller and keeps its place in the queue.
    Amend {
        /// Which one.
        order: OrderId,
        /// Its whole quantity from then on, what traded included: below the present one, above what
        /// traded.
        qty: Lots,
    },
    /// An order goes.
    Cancel(OrderId),
}

labelled! {
    /// The kinds of [`Action`].
    pub enum Wish {
        /// [`Action::Place`].
        Place = "place",
        /// [`Action::Replace`].
        Replace = "replace",
        /// [`Action::Amend`].
        Amend = "amend",
        /// [`Action::Cancel`].
        Cancel = "cancel",
    }
}

impl Action {
    /// Its kind.
    #[inline]
    pub const fn wish(&self) -> Wish {
        match self {
            Self::Place(_) => Wish::Place,
            Self::Replace { .. } => Wish::Replace,
            Self::Amend { .. } => Wish::Amend,
            Self::Cancel(_) => Wish::Cancel,
        }
    }
}

labelled! {
    /// Why a signal led to no action.
    pub enum Suppression {
        /// What stands is what is wanted, or near enough.
        NoChange = "no_change",
        /// A request about the same order is not answered yet, or its outcome is unknown.
        InFlight = "in_flight",
        /// The strategy's own bound on its position leaves nothing.
        Inventory = "inventory",
        /// The venue's rules leave nothing: below the smallest quantity or notional, or outside the
        /// prices.
        NoRoom = "no_room",
        /// The book is not live, is too old, is crossed, or has only one side.
        BookNotLive = "book_not_live",
        /// The estimate behind the signal has seen too little.
        WarmingUp = "warming_up",
        /// Too soon after the last request.
        CoolDown = "cool_down",
        /// It would meet an order of ours on the other side.
        OwnOrder = "own_order",
        /// The trading state does not allow it.
        State = "state",
    }
}

/// Actions of one look at the market, in order, and what was suppressed.
#[derive(Clone, Debug)]
pub struct Actions {
    list: [Action; ACTIONS_PER_LOOK_MAX],
    len: usize,
    suppressed: [u32; Suppression::ALL.len()],
    overflowed: u32,
}

impl Default for Actions {
    fn default() -> Self {
        Self::new()
    }
}

impl Actions {
    /// An empty list.
    pub const fn new() -> Self {
        let unused = Action::Cancel(OrderId {
            run: 0,
            sequence: 0,
        });
        Self {
            list: [unused; ACTIONS_PER_LOOK_MAX],
            len: 0,
            suppressed: [0; Suppression::ALL.len()],
            overflowed: 0,
        }
    }

    /// A signal that leads to an action. One beyond [`ACTIONS_PER_LOOK_MAX`] is counted and not done:
    /// the strategy sees at its next look that nothing changed, and decides again.
    #[inline]
    pub fn push(&mut self, action: Action) {
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = action;
            self.len += 1;
        } else {
            self.overflowed += 1;
        }
    }

    /// A signal that leads to nothing.
    #[inline]
    pub fn suppress(&mut self, reason: Suppression) {
        self.suppressed[reason.index()] += 1;
    }

    /// The actions, in the order they were asked for.
    #[inline]
    pub fn as_slice(&self) -> &[Action] {
        &self.list[..self.len]
    }

    /// Signals that were suppressed for this reason.
    #[inline]
    pub fn suppressed(&self, reason: Suppression) -> u32 {
        self.suppressed[reason.index()]
    }

    /// Signals whose action found the list full.
    #[inline]
    pub fn overflowed(&self) -> u32 {
        self.overflowed
    }

    /// All signals of the look.
    pub fn signals(&self) -> u32 {
        self.len as u32 + self.suppressed.iter().sum::<u32>() + self.overflowed
    }

    /// Forgets everything, for the next look.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.suppressed = [0; Suppression::ALL.len()];
        self.overflowed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_an_action_a_suppression_or_an_overflow() {
        let mut actions = Actions::new();
        let order = OrderId {
            run: 1,
            sequence: 1,
        };
        for _ in 0..ACTIONS_PER_LOOK_MAX + 3 {
            actions.push(Action::Cancel(order));
        }
        for reason in Suppression::ALL {
            actions.suppress(reason);
        }
        assert_eq!(actions.as_slice().len(), ACTIONS_PER_LOOK_MAX);
        assert_eq!(actions.overflowed(), 3);
        assert!(
            Suppression::ALL
                .iter()
                .all(|&reason| actions.suppressed(reason) == 1)
        );
        let signals = ACTIONS_PER_LOOK_MAX + 3 + Suppression::ALL.len();
        assert_eq!(actions.signals() as usize, signals);
        actions.clear();
        assert_eq!((actions.signals(), actions.as_slice()), (0, &[][..]));
    }
}
