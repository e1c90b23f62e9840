//! How to write a strategy: this one joins the best bid when flat, and the best ask when it holds
//! something.
//!
//! It is called for one instrument at a time with all it may know, a [`View`]. Four habits keep it
//! honest: keep no list of orders, [`View::own`] is the truth; do nothing while a request is under way,
//! and leave an operator's orders alone; turn each decision into one action or one suppression, so that
//! a quiet strategy can be explained; prices are ticks and quantities lots. To run it with the engine,
//! give it a variant in `StrategyConfig` and `Configured` (`core/src/strategy/configured.rs`).

use veloz_core::order::{OrderKind, OrderState, Origin, Side, TimeInForce};
use veloz_core::strategy::{
    Action, Actions, OrderUpdate, PublicTrade, Quote, Strategy, Suppression, View,
};
use veloz_core::units::{Lots, Ticks};

/// Buys at the best bid, sells at the best ask, `size` at a time.
pub(crate) struct Joiner {
    /// How much; legal on every instrument that it runs on.
    pub(crate) size: Lots,
}

impl Joiner {
    fn look(&self, view: &View<'_>, actions: &mut Actions) {
        let mut ours = view
            .own
            .iter()
            .filter(|order| order.origin == Origin::Strategy);
        let current = ours.next();
        let wanted = view.touch().map(|(bid, ask)| {
            let is_flat = view.position.0 <= 0;
            if is_flat {
                (Side::Buy, bid)
            } else {
                (Side::Sell, ask)
            }
        });
        match (current, wanted) {
            (Some(order), _) if order.state != OrderState::Live => {
                actions.suppress(Suppression::InFlight);
            }
            (None, None) => actions.suppress(Suppression::BookNotLive),
            (None, Some((side, price))) => actions.push(self.quote(side, price, view)),
            (Some(order), Some(wanted)) if (order.side, order.price) == wanted => {
                actions.suppress(Suppression::NoChange);
            }
            (Some(order), _) => actions.push(Action::Cancel(order.id)),
        }
    }

    fn quote(&self, side: Side, price: Ticks, view: &View<'_>) -> Action {
        Action::Place(Quote {
            side,
            kind: OrderKind::LimitMaker,
            time_in_force: TimeInForce::Gtc,
            price,
            qty: self.size,
            self_trade_prevention: view.rules.order_rules.self_trade_prevention,
        })
    }
}

impl Strategy for Joiner {
    fn name(&self) -> &'static str {
        "joiner"
    }

    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        self.look(view, actions);
    }

    fn on_trade(&mut self, _view: &View<'_>, _trade: &PublicTrade, _actions: &mut Actions) {}

    fn on_order(&mut self, view: &View<'_>, _update: &OrderUpdate, actions: &mut Actions) {
        self.look(view, actions);
    }

    fn on_timer(&mut self, _view: &View<'_>, _actions: &mut Actions) {}
}
