//! The way of a new order: checks, the plan, the trades, and its rest.
//!
//! Owns: what must hold before an order is accepted, and what happens in its own transaction.
//! Does not: settle trades. Two kinds of checks, as at the venue: those that need no account are
//! made first, and a test order ends there; then those of the matching engine.

use veloz_core::units::E8;

use super::arithmetic::{worth, worth_at_most};
use super::event::{Execution, Prevented};
use super::order::{
    AccountIndex, ExpiryReason, NewOrder, Order, OrderSide, OrderStatus, OrderType, Placed,
    PreventedMatch, Quantity, StpMode, TimeInForce,
};
use super::plan::{End, Maker, Plan, Step, Taker, Want, plan};
use super::queue::Queue;
use super::resting::{Resting, reaches};
use super::settlement::{Ending, OpenOrder, Part, held};
use super::symbol::Shown;
use super::{Exchange, Liquidity, OrderRef, Refusal, SymbolStatus};
use crate::venue::source::SymbolIndex;

/// An order that may come in, and what it will do.
pub(super) struct Entry {
    order: Order,
    plan: Plan,
    shown: Shown,
}

impl Exchange {
    /// What can be said without the account's balances and without matching: mode, filters.
    pub(super) fn check(
        &self,
        account: AccountIndex,
        order: &NewOrder,
        book: &dyn Liquidity,
    ) -> Result<(), Refusal> {
        let rules = self.rules(order.symbol);
        if !rules.stp_allowed.contains(&self.stp(order)) {
            return Err(Refusal::StpNotAllowed);
        }
        let reference = self.reference_price(order.symbol, book);
        rules.check(order, reference)?;
        let open = self.open_orders(account, Some(order.symbol)).count();
        if may_rest(order) && open >= rules.orders_max {
            return Err(Refusal::FilterFailure("MAX_NUM_ORDERS"));
        }
        Ok(())
    }

    fn stp(&self, order: &NewOrder) -> StpMode {
        let default = self.rules(order.symbol).stp_default;
        order.stp.unwrap_or(default)
    }

    /// What the matching engine asks of an order that passed [`check`](Self::check).
    pub(super) fn admit(
        &self,
        account: AccountIndex,
        new: NewOrder,
        book: &dyn Liquidity,
    ) -> Result<Entry, Refusal> {
        let market = &self.markets[new.symbol.0];
        if market.rules.status != SymbolStatus::Trading {
            return Err(Refusal::MarketClosed);
        }
        let with_id = self.accounts[account.0].open_with(new.symbol, &new.client_order_id);
        if with_id.is_some() {
            return Err(Refusal::Duplicate);
        }
        let (plan, shown) = self.plan(account, &new, book);
        if new.kind == OrderType::LimitMaker && !plan.steps.is_empty() {
            return Err(Refusal::WouldMatch);
        }
        let (qty, stp) = (new.qty, self.stp(&new));
        let order = self.order_of(account, new, stp, &plan);
        if order.quote_order_qty.0 > 0 && order.orig_qty.0 == 0 && plan.end == End::Filled {
            // Not even one step can be bought or sold for so much.
            return Err(Refusal::FilterFailure("LOT_SIZE"));
        }
        let needs = match (order.kind, order.side, qty) {
            (OrderType::Market, OrderSide::Buy, _) => plan.quote,
            (OrderType::Market, OrderSide::Sell, Quantity::Quote(_)) => Some(plan.executed),
            (OrderType::Limit | OrderType::LimitMaker, OrderSide::Buy, _) => {
                worth_at_most(order.price, order.orig_qty)
            }
            (_, OrderSide::Sell, _) => Some(order.orig_qty),
        };
        let (Some(needs), Some(_)) = (needs, plan.quote) else {
            return Err(Refusal::PriceTimesQtyZero);
        };
        let (paid, _) = market.assets(order.side);
        if needs > self.ledger.free(account, paid) {
            return Err(Refusal::InsufficientBalance);
        }
        Ok(Entry { order, plan, shown })
    }

    /// What the order would do now, and the public book that it was planned on.
    fn plan(&self, account: AccountIndex, new: &NewOrder, book: &dyn Liquidity) -> (Plan, Shown) {
        let market = &self.markets[new.symbol.0];
        let taker = Taker {
            account,
            side: new.side,
            limit: new.price,
            want: match new.qty {
                Quantity::Base(qty) => Want::Base(qty),
                Quantity::Quote(budget) => Want::Quote {
                    budget,
                    step: market.rules.lot.step,
                },
            },
            stp: self.stp(new),
        };
        let makers = self.makers(&taker, new.symbol);
        let on = |shown: Shown| {
            let public = market.available(new.side.opposite(), &shown);
            (plan(taker, &public, &makers), shown)
        };
        let (plan, near) = on(market.shown(new.symbol, book, Shown::NEAR));
        let taken_whole = plan.end == End::BookOver && !near.covers(new.side.opposite(), new.price);
        let joined_far = may_rest(new) && !near.covers(new.side, new.price);
        if taken_whole || joined_far {
            return on(market.shown(new.symbol, book, Shown::WHOLE));
        }
        (plan, near)
    }

    /// Resting orders that a taker can reach, the first to trade first.
    fn makers(&self, taker: &Taker, symbol: SymbolIndex) -> Vec<Maker> {
        let resting = self.markets[symbol.0].resting.iter(taker.side.opposite());
        resting
            .take_while(|resting| reaches(taker.side, taker.limit, resting.price))
            .map(|resting| {
                let order = self.accounts[resting.account.0].open_order(symbol, resting.order_id);
                Maker {
                    account: resting.account,
                    order_id: resting.order_id,
                    price: resting.price,
                    remaining: order.remaining(),
                    ahead: resting.queue.ahead(),
                }
            })
            .collect()
    }

    fn order_of(&self, account: AccountIndex, new: NewOrder, stp: StpMode, plan: &Plan) -> Order {
        let (orig_qty, quote_order_qty) = match new.qty {
            Quantity::Base(qty) => (qty, E8(0)),
            // What it trades and, when the book runs out, what it would have traded more.
            Quantity::Quote(quote) => {
                let wanting = match plan.end {
                    End::BookOver => plan.wanting.0,
                    End::Filled | End::Prevented => 0,
                };
                let whole = plan.executed.0 + plan.prevented.0;
                (E8(whole.saturating_add(wanting)), quote)
            }
        };
        Order {
            account,
            symbol: new.symbol,
            id: self.markets[new.symbol.0].next_order_id,
            client_order_id: new.client_order_id,
            side: new.side,
            kind: new.kind,
            time_in_force: new.time_in_force,
            price: new.price.unwrap_or(E8(0)),
            orig_qty,
            quote_order_qty,
            executed_qty: E8(0),
            cumulative_quote: E8(0),
            prevented_qty: E8(0),
            status: OrderStatus::New,
            stp,
            strategy: new.strategy,
            created: self.now,
            updated: self.now,
            amends: 0,
            expiry: None,
        }
    }

    /// Lets an order in: its acceptance, its trades, and its rest or end.
    pub(super) fn enter(&mut self, entry: Entry) -> Placed {
        let Entry { order, plan, shown } = entry;
        let taker = OpenOrder {
            account: order.account,
            symbol: order.symbol,
            order_id: order.id,
        };
        let market = &mut self.markets[order.symbol.0];
        market.next_order_id += 1;
        market.incoming = Some(order.id);
        let (paid, _) = market.assets(order.side);
        self.ledger.hold(order.account, paid, E8(0), held(&order));
        self.accounts[order.account.0].insert(order.clone());
        self.report(order.clone(), Execution::New, |_| {});

        let mut placed = Placed {
            order,
            fills: Vec::new(),
            prevented: Vec::new(),
        };
        let fills_all = plan.end == End::Filled && plan.prevented.0 == 0;
        if placed.order.time_in_force != TimeInForce::Fok || fills_all {
            for step in &plan.steps {
                self.step(taker, *step, &shown, &mut placed);
            }
        }
        self.settle_rest(taker, &shown);
        self.markets[taker.symbol.0].incoming = None;
        self.finish();
        let orders = &self.accounts[taker.account.0];
        let which = OrderRef::Id(taker.order_id);
        let order = orders.find(taker.symbol, &which);
        placed.order = order.expect("the newest order is not forgotten").clone();
        placed
    }

    fn step(&mut self, taker: OpenOrder, step: Step, shown: &Shown, placed: &mut Placed) {
        let symbol = taker.symbol;
        let side = placed.order.side;
        match step {
            Step::Public { price, qty } => {
                let trade_id = self.next_trade(symbol, price);
                placed.fills.push(self.fill(
                    taker,
                    Part {
                        trade_id,
                        price,
                        qty,
                        maker: false,
                    },
                ));
                self.skip_counterparty();
                let market = &mut self.markets[symbol.0];
                let level = shown.level(side.opposite(), price);
                market.taken_mut(side.opposite()).take(level, qty);
                for resting in market.resting.at_mut(side.opposite(), price) {
                    resting.queue.advance(qty);
                }
            }
            Step::Trade { maker, qty } => {
                let part = Part {
                    trade_id: self.next_trade(symbol, maker.price),
                    price: maker.price,
                    qty,
                    maker: false,
                };
                placed.fills.push(self.fill(taker, part));
                let counterparty = OpenOrder {
                    account: maker.account,
                    symbol,
                    order_id: maker.order_id,
                };
                self.fill(
                    counterparty,
                    Part {
                        maker: true,
                        ..part
                    },
                );
            }
            Step::Prevent {
                maker,
                match_qty,
                maker_qty,
                taker_qty,
            } => {
                let market = &mut self.markets[symbol.0];
                let match_id = market.next_match_id;
                market.next_match_id += 1;
                let prevented = |qty, counter_order_id| Prevented {
                    match_id,
                    counter_order_id,
                    qty,
                    price: maker.price,
                    match_qty,
                    match_quote: worth(maker.price, match_qty)
                        .expect("a resting order's worth is a number"),
                };
                if taker_qty.0 > 0 {
                    self.prevent(taker, prevented(taker_qty, maker.order_id));
                }
                if maker_qty.0 > 0 {
                    let counterparty = OpenOrder {
                        account: maker.account,
                        symbol,
                        order_id: maker.order_id,
                    };
                    self.prevent(counterparty, prevented(maker_qty, taker.order_id));
                }
                placed.prevented.push(PreventedMatch {
                    match_id,
                    maker_order_id: maker.order_id,
                    price: maker.price,
                    maker_prevented_qty: maker_qty,
                    taker_prevented_qty: taker_qty,
                });
            }
        }
    }

    /// What has not traded rests or expires.
    fn settle_rest(&mut self, taker: OpenOrder, shown: &Shown) {
        let OpenOrder {
            account,
            symbol,
            order_id,
        } = taker;
        let which = OrderRef::Id(order_id);
        let Ok(order) = self.accounts[account.0].find_open(symbol, &which) else {
            return;
        };
        let (side, price) = (order.side, order.price);
        let expired = match (order.kind, order.time_in_force) {
            (OrderType::Market, _) => Some(ExpiryReason::InsufficientLiquidity),
            (OrderType::Limit | OrderType::LimitMaker, TimeInForce::Ioc) => {
                Some(ExpiryReason::UnfilledIoc)
            }
            (OrderType::Limit | OrderType::LimitMaker, TimeInForce::Fok) => {
                Some(ExpiryReason::UnfilledFok)
            }
            (OrderType::Limit | OrderType::LimitMaker, TimeInForce::Gtc) => None,
        };
        let market = &mut self.markets[symbol.0];
        if let Some(reason) = expired {
            self.end(taker, Ending::Expired(Some(reason)));
            return;
        }
        let level = shown.level(side, price);
        let ahead = market.taken(side).available(level);
        market.resting.insert(
            side,
            Resting {
                account,
                order_id,
                price,
                queue: Queue::join(level.qty, ahead),
            },
        );
    }

    /// A refused half of a cancel-replace, which the account is told of. It has a number, and no
    /// query finds it.
    pub(super) fn reject(&mut self, account: AccountIndex, new: NewOrder, refusal: Refusal) {
        let (symbol, stp) = (new.symbol, self.stp(&new));
        let mut order = self.order_of(account, new, stp, &Plan::nothing());
        self.markets[symbol.0].next_order_id += 1;
        order.status = OrderStatus::Rejected;
        self.report(order, Execution::Rejected, |report| {
            report.reject = Some(refusal);
        });
    }
}

/// Whether an order can stay on the book.
fn may_rest(order: &NewOrder) -> bool {
    match order.kind {
        OrderType::Market => false,
        OrderType::LimitMaker => true,
        OrderType::Limit => order.time_in_force == TimeInForce::Gtc,
    }
}
