//! Calls of the strategy, and what comes of them.
//!
//! Does not: decide; risk and the strategy do. Invariants: the strategy is called only while it may act; every
//! action of one call is done or refused before the next call; news of its orders reaches it after the event
//! that made it, in order.

use crate::event::Token;
use crate::instrument::InstrumentIndex;
use crate::limits::NEWS_ROUNDS_MAX;
use crate::order::{OrderId, OrderState, Origin};
use crate::strategy::{
    Action, LiveBook, OrderUpdate, OwnOrder, PublicTrade, Stage as FunnelStage, Strategy, View,
};
use crate::telemetry::histograms::Stage;
use crate::units::Nanos;
use crate::venue::binance::resync::SyncState;

use super::{Desk, Stopwatch};

/// What the strategy is called for.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Look<'a> {
    /// The book changed; when it was updated, on the stopwatch.
    Book(Nanos),
    /// The book is not live any more.
    BookLost,
    /// A public trade.
    Trade(&'a PublicTrade),
    /// News of an own order.
    Order(&'a OrderUpdate),
    /// Its timer passed.
    Timer,
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Calls the strategy for an instrument and does what it wants.
    pub(in crate::engine) fn look(&mut self, index: InstrumentIndex, look: Look<'_>) {
        self.show_own(index);
        let trading = &mut *self.trading;
        let market = &self.markets[index.as_usize()];
        trading.actions.clear();
        let view = View {
            now: self.now,
            instrument: index,
            rules: self.instruments.get(index),
            book: (market.sync.state() == SyncState::Live).then_some(LiveBook {
                book: &market.book,
                updated_at: market.updated_at,
            }),
            position: trading.portfolio.position(index).qty(),
            own: &trading.own,
            trading: trading.risk.state(),
        };
        match look {
            Look::Book(_) | Look::BookLost => {
                trading.strategy.on_book(&view, &mut trading.actions);
            }
            Look::Trade(trade) => trading
                .strategy
                .on_trade(&view, trade, &mut trading.actions),
            Look::Order(update) => {
                trading
                    .strategy
                    .on_order(&view, update, &mut trading.actions);
            }
            Look::Timer => trading.strategy.on_timer(&view, &mut trading.actions),
        }
        trading.funnel.count_look(&trading.actions);
        let mut decided = Nanos::ZERO;
        if let Look::Book(book_at) = look {
            decided = self.watch.stamp();
            self.telemetry
                .histograms
                .record(Stage::BookToDecided, book_at, decided);
        }
        if !self.trading.actions.as_slice().is_empty() {
            if decided == Nanos::ZERO {
                decided = self.watch.stamp();
            }
            // By position, so that what is done may borrow the rest; nothing that is done calls the strategy.
            for position in 0..self.trading.actions.as_slice().len() {
                let action = self.trading.actions.as_slice()[position];
                self.act(index, &action, decided);
            }
            self.trading.actions.clear();
        }
    }

    /// Does one thing that the strategy wants.
    fn act(&mut self, index: InstrumentIndex, action: &Action, decided: Nanos) {
        // A refusal is counted and recorded where it is made; the strategy sees that nothing changed.
        match action {
            Action::Place(quote) => {
                let intent = quote.intent(index);
                let _ = self.submit(&intent, None, Token::default(), decided);
            }
            Action::Replace { order, price, qty } => {
                let replaced = self.replace(
                    *order,
                    *price,
                    *qty,
                    Origin::Strategy,
                    None,
                    Token::default(),
                    decided,
                );
                if let Err(refused) = replaced {
                    if refused.is_in_vain() {
                        self.trading.funnel.count(FunnelStage::ReplacedInVain);
                    }
                    self.withdraw(*order);
                }
            }
            Action::Amend { order, qty } => {
                let _ = self.amend(*order, *qty);
            }
            Action::Cancel(order) => self.take_back(*order),
        }
    }

    /// What a strategy wants elsewhere it does not want where it is: an order that could not be replaced goes.
    #[cold]
    fn withdraw(&mut self, id: OrderId) {
        let state = self.trading.oms.order(id).map(crate::oms::Order::state);
        if let Some(OrderState::Live | OrderState::PartiallyFilled) = state {
            self.take_back(id);
        }
    }

    /// Takes a strategy's order back, unless that was refused a moment ago: it will want it again.
    fn take_back(&mut self, id: OrderId) {
        if !self.cancel_backs_off(id) {
            let _ = self.cancel(id);
        }
    }

    /// Lists the open orders of an instrument for the strategy.
    fn show_own(&mut self, index: InstrumentIndex) {
        let trading = &mut *self.trading;
        trading.own.clear();
        for order in trading.oms.open(index) {
            trading.own.push(OwnOrder {
                id: order.id(),
                origin: order.origin(),
                side: order.side(),
                price: order.price(),
                qty: order.qty(),
                remaining: order.remaining(),
                state: order.state(),
            });
        }
    }

    /// Tells the strategy what happened to its orders, and does what it makes of that.
    pub(in crate::engine) fn tell_news(&mut self) {
        for _ in 0..NEWS_ROUNDS_MAX {
            let Some(news) = self.trading.news.pop_front() else {
                return;
            };
            if self.trading.strategy_acts() {
                self.look(news.instrument, Look::Order(&news.update));
            }
        }
        // A strategy that answers every answer goes on in the next turn.
        self.wake();
    }

    /// Tells the strategy which books stopped being live.
    pub(super) fn tell_lost_books(&mut self) {
        while let Some(index) = self.trading.lost_books.pop() {
            if self.trading.strategy_acts()
                && self.markets[index.as_usize()].sync.state() != SyncState::Live
            {
                self.look(index, Look::BookLost);
            }
        }
    }

    /// Calls the strategy's timer for every instrument, if it is due.
    pub(super) fn serve_strategy_timer(&mut self) {
        if !self.trading.strategy_acts() || self.trading.strategy.next_timer() > self.now {
            return;
        }
        for position in 0..self.markets.len() {
            self.look(InstrumentIndex(position as u16), Look::Timer);
        }
    }
}
