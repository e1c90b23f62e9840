//! Carrying out what was planned: fills, fees, prevented trades, ends of orders, and their events.
//!
//! Owns: every change of an order after its acceptance. Does not: decide whom an order meets.
//! Invariant: what an account has locked of an asset is the sum of what its open orders hold; an
//! order holds, for a purchase its remaining quantity at its price rounded up, for a sale its
//! remaining quantity, and MARKET orders nothing, as they never wait.
//!
//! Fees are taken from what the order receives, or in BNB when the account wishes so, has enough
//! free, and BNB is not what the order pays with. They are rounded down to the eighth decimal.

use veloz_core::units::{E8, E8_ONE};

use super::Exchange;
use super::arithmetic::{converted, part, worth, worth_at_most};
use super::event::{Event, Execution, Prevented, Report};
use super::ledger::{AssetIndex, BNB};
use super::order::{
    AccountIndex, AccountTrade, ExpiryReason, Fill, Order, OrderSide, OrderStatus, OrderType,
    TimeInForce,
};
use crate::venue::source::SymbolIndex;

/// Names an open order.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenOrder {
    pub(super) account: AccountIndex,
    pub(super) symbol: SymbolIndex,
    pub(super) order_id: u64,
}

impl OpenOrder {
    pub(super) fn of(order: &Order) -> Self {
        Self {
            account: order.account,
            symbol: order.symbol,
            order_id: order.id,
        }
    }
}

/// One side of a trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) trade_id: u64,
    pub(super) price: E8,
    pub(super) qty: E8,
    pub(super) maker: bool,
}

/// How an order ends without trading.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending<'a> {
    /// With the cancel's own id.
    Canceled(&'a str),
    Expired(Option<ExpiryReason>),
}

/// What an order holds of the asset that it pays with.
pub(super) fn held(order: &Order) -> E8 {
    if !order.status.is_open() || order.kind == OrderType::Market {
        return E8(0);
    }
    match order.side {
        OrderSide::Buy => worth_at_most(order.price, order.remaining())
            .expect("an order is admitted only if its worth is a number"),
        OrderSide::Sell => order.remaining(),
    }
}

impl Exchange {
    /// Changes an open order, what it holds, and whether it rests.
    pub(super) fn change(&mut self, which: OpenOrder, change: impl FnOnce(&mut Order)) -> Order {
        let OpenOrder {
            account,
            symbol,
            order_id,
        } = which;
        let orders = &mut self.accounts[account.0];
        let before = held(orders.open_order(symbol, order_id));
        let now = self.now;
        let order = orders.change(symbol, order_id, |order| {
            order.updated = now;
            change(order);
        });
        let after = held(order);
        let order = order.clone();
        let market = &mut self.markets[symbol.0];
        let paid = market.assets(order.side).0;
        if before != after {
            self.ledger.hold(account, paid, before, after);
        }
        if !order.status.is_open() && market.incoming != Some(order_id) {
            market.resting.remove(order.side, order.price, order_id);
        }
        order
    }

    /// One order's part of a trade; its counterparty's is the caller's to settle.
    pub(super) fn fill(&mut self, which: OpenOrder, part: Part) -> Fill {
        let Part {
            trade_id,
            price,
            qty,
            maker,
        } = part;
        let quote_qty = worth(price, qty).expect("planned trades have a worth");
        let order = self.change(which, |order| {
            order.executed_qty = E8(order.executed_qty.0 + qty.0);
            order.cumulative_quote = E8(order.cumulative_quote.0 + quote_qty.0);
            order.status = if order.remaining().0 == 0 {
                OrderStatus::Filled
            } else {
                OrderStatus::PartiallyFilled
            };
        });
        let (paid, received) = self.markets[which.symbol.0].assets(order.side);
        let (pays, receives) = match order.side {
            OrderSide::Buy => (quote_qty, qty),
            OrderSide::Sell => (qty, quote_qty),
        };
        self.ledger.pay(which.account, paid, pays);
        self.ledger.receive(which.account, received, receives);
        let (commission, asset) = self.commission(which, &order, maker, receives, quote_qty);
        self.ledger.charge(which.account, asset, commission);
        let fill = Fill {
            trade_id,
            order_id: which.order_id,
            price,
            qty,
            quote_qty,
            commission,
            commission_asset: self.ledger.name(asset).to_owned(),
            maker,
        };
        self.accounts[which.account.0].traded(AccountTrade {
            symbol: which.symbol,
            side: order.side,
            at: self.now,
            fill: fill.clone(),
        });
        self.report(order, Execution::Trade, |report| {
            report.fill = Some(fill.clone());
        });
        fill
    }

    /// The fee of a fill, and in what it is paid.
    fn commission(
        &self,
        which: OpenOrder,
        order: &Order,
        maker: bool,
        receives: E8,
        quote_qty: E8,
    ) -> (E8, AssetIndex) {
        let account = &self.config.accounts[which.account.0];
        let rate = if maker {
            account.maker_fee
        } else {
            account.taker_fee
        };
        let (paid, received) = self.markets[which.symbol.0].assets(order.side);
        let bnb = self.ledger.asset(BNB).expect("there always is BNB");
        if account.fees_in_bnb && paid != bnb {
            let rate = part(rate, E8(E8_ONE - self.config.bnb_discount.0));
            let fee = if received == bnb {
                Some(part(receives, rate))
            } else {
                let price = self.bnb_price(which.symbol);
                price.and_then(|price| converted(part(quote_qty, rate), price))
            };
            if let Some(fee) = fee
                && fee <= self.ledger.free(which.account, bnb)
            {
                return (fee, bnb);
            }
        }
        (part(receives, rate), received)
    }

    /// What a BNB costs in the symbol's quote asset: where it trades, its last price, else as
    /// configured.
    fn bnb_price(&self, symbol: SymbolIndex) -> Option<E8> {
        let quote = &self.markets[symbol.0].rules.spec.quote;
        let traded = self.markets.iter().find_map(|market| {
            let spec = &market.rules.spec;
            (spec.base == BNB && spec.quote == *quote).then_some(market.last_price)?
        });
        let configured = self.config.bnb_prices.iter();
        traded.or_else(|| {
            configured
                .filter(|(asset, _)| asset == quote)
                .map(|(_, price)| *price)
                .next()
        })
    }

    /// Self-trade prevention takes from an order.
    pub(super) fn prevent(&mut self, which: OpenOrder, prevented: Prevented) {
        let order = self.change(which, |order| {
            order.prevented_qty = E8(order.prevented_qty.0 + prevented.qty.0);
            if order.remaining().0 == 0 {
                order.status = OrderStatus::ExpiredInMatch;
            }
        });
        self.report(order, Execution::TradePrevention, |report| {
            report.prevented = Some(prevented);
        });
    }

    /// Ends an open order.
    pub(super) fn end(&mut self, which: OpenOrder, ending: Ending<'_>) -> Order {
        let order = self.change(which, |order| match ending {
            Ending::Canceled(_) => order.status = OrderStatus::Canceled,
            Ending::Expired(reason) => {
                order.status = OrderStatus::Expired;
                order.expiry = reason;
            }
        });
        match ending {
            Ending::Canceled(cancel_id) => {
                self.report(order.clone(), Execution::Canceled, |report| {
                    report.cancel_id = Some(cancel_id.to_owned());
                });
            }
            Ending::Expired(_) => {
                self.report(order.clone(), Execution::Expired, |_| {});
            }
        }
        order
    }

    /// Tells an order's account what happened to it; the number of the execution.
    pub(super) fn report(
        &mut self,
        order: Order,
        execution: Execution,
        with: impl FnOnce(&mut Report),
    ) -> u64 {
        let execution_id = self.next_execution_id;
        self.next_execution_id += 1;
        let may_rest = order.kind != OrderType::Market && order.time_in_force == TimeInForce::Gtc;
        let mut report = Report {
            account: order.account,
            execution,
            execution_id,
            at: self.now,
            on_book: order.status.is_open() && (may_rest || execution == Execution::New),
            fill: None,
            expiry: order.expiry,
            reject: None,
            cancel_id: None,
            previous_client_id: None,
            prevented: None,
            order,
        };
        with(&mut report);
        self.events.push(Event::Report(Box::new(report)));
        execution_id
    }

    /// Ends a transaction: the balances that it touched.
    pub(super) fn finish(&mut self) {
        for (account, assets) in self.ledger.take_touched() {
            let at = self.now;
            self.events.push(Event::Balances {
                account,
                at,
                assets,
            });
        }
    }
}
