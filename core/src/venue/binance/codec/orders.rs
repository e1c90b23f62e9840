//! Binance Spot answers on the orders link and user data events: bytes to [`OrderMessage`].
//!
//! Owns: what an answer or event says in our vocabulary, and the scratch that lists are decoded into. Does
//! not: know which requests are under way; an answer's id says by itself what was asked ([`RequestId`]).
//!
//! Invariants: a message becomes an [`OrderMessage`] or a typed [`Fault`], never a panic; nothing is defaulted;
//! a list that does not fit is a fault and never cut; nothing is allocated for a message that is not at fault.
//! What is not ours never hides what is: other symbols and assets are skipped and counted, and orders of others
//! whose numbers do not fit our grids likewise. `tolerant` defines what a message means; `fast` reads the usual
//! forms of the frequent ones and must agree.

mod fast;
mod tolerant;

use super::{Grids, RequestWeight, symbols::SymbolTable};
use crate::event::Payload;
use crate::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments};
use crate::limits::{ORDER_WINDOWS_MAX, ORDERS_PER_ANSWER_MAX, OWN_TRADES_MAX};
use crate::order::{Balance, ExecutionReport, OrderKey, OrderStatus, OwnTrade};
use crate::units::{E8, Nanos, VenueMillis};
use crate::venue::binance::fault::Fault;
use crate::venue::binance::order_entry::{ClientOrderIds, RequestId};
use crate::venue::binance::order_error::Refusal;
use crate::wire::json::Scanner;

/// One message of the orders link, decoded; lists live in the decoder until its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderMessage<'a> {
    /// An answer.
    Reply {
        /// What was asked; `None` when the venue names no id or none of ours.
        id: Option<RequestId>,
        /// The venue's status, with the meaning of HTTP's.
        status: u16,
        /// What is used of the limits, as far as the answer says.
        limits: Limits,
        /// What the answer is.
        outcome: OrderOutcome<'a>,
    },
    /// Something happened to an order.
    Report(ExecutionReport),
    /// What the account holds now of the assets that may have changed.
    Account {
        /// When it was told (`E`).
        event: VenueMillis,
        /// When it changed (`u`).
        updated: VenueMillis,
        /// Those of our assets; absolute.
        balances: &'a [Balance],
    },
    /// A deposit, a withdrawal or a transfer changed a balance.
    BalanceDelta {
        /// Which asset of ours.
        asset: AssetIndex,
        /// By how much; negative when it left the account.
        delta: E8,
        /// When it was told (`E`).
        event: VenueMillis,
        /// When it counted (`T`).
        cleared: VenueMillis,
    },
    /// Somebody outside of trading locked or unlocked a part of a balance.
    ExternalLock {
        /// Which asset of ours.
        asset: AssetIndex,
        /// How much more is locked; negative when less is.
        delta: E8,
        /// When it was told (`E`).
        event: VenueMillis,
        /// When it counted (`T`).
        at: VenueMillis,
    },
    /// Something happened to a list of orders; we make none.
    ListStatus,
    /// The user data events of this link have ended.
    StreamTerminated {
        /// When it was told (`E`).
        event: VenueMillis,
    },
    /// The venue ended the session: what is sent now is not ours any more.
    SessionRevoked {
        /// The venue's code.
        code: i32,
    },
    /// The venue will close this connection soon.
    ServerShutdown {
        /// When it was told (`E`).
        event: VenueMillis,
    },
    /// Valid, and nothing to us; counted.
    Ignored,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderOutcome<'a> {
    /// The session is logged on.
    LoggedOn {
        /// The venue's time of the answer.
        at: VenueMillis,
    },
    /// User data events follow.
    Subscribed {
        /// The venue's number of the subscription.
        id: u64,
    },
    /// The venue has the order.
    Placed(Placed),
    /// The order is cancelled; what traded of it before stands in it.
    Cancelled(OrderStatus),
    /// What became of both halves of a replacement.
    CancelReplaced {
        /// The old order.
        cancel: CancelLeg,
        /// The new order.
        new: NewLeg,
    },
    /// The order is smaller now.
    Amended(OrderStatus),
    /// All open orders of the instrument are cancelled: these.
    AllCancelled(&'a [OrderStatus]),
    /// All open orders of what was asked for, but those of others that do not fit our grids.
    OpenOrders(&'a [OrderStatus]),
    /// Where one order stands.
    Status(OrderStatus),
    /// What the account holds of our assets.
    Account {
        /// Absolute.
        balances: &'a [Balance],
        /// Whether the venue lets the account trade.
        can_trade: bool,
    },
    /// Own trades, in the venue's order; also those of orders that others made on the account.
    Trades(&'a [OwnTrade]),
    /// How many orders count: in the answer's [`Limits`].
    OrderCounts,
    /// The venue's time.
    ServerTime(VenueMillis),
    /// Success, and nothing besides: `ping`, or an answer to nothing of ours.
    Empty,
    /// The request was refused, or what became of it is unknown.
    Error {
        /// What the refusal means.
        refusal: Refusal,
        /// When to ask again, on the venue's clock, when it says so.
        retry_after: Option<VenueMillis>,
    },
}

/// A new order that the venue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What it trades.
    pub instrument: InstrumentIndex,
    /// Whose it is: ours, unless the venue mixed up its answers.
    pub key: OrderKey,
    /// The venue's id of it.
    pub venue_order_id: u64,
    /// When the venue took it.
    pub at: VenueMillis,
}

/// The old order of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelLeg {
    /// Cancelled.
    Cancelled(OrderStatus),
    /// The cancel was refused.
    Failed(Refusal),
    /// Not tried.
    NotAttempted,
}

/// The new order of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewLeg {
    /// The venue has it.
    Placed(Placed),
    /// Refused.
    Failed(Refusal),
    /// Not tried, because the cancel failed; it counts as an order all the same.
    NotAttempted,
}

/// What is used of the limits, as one answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Request weight of the running minute.
    pub weight: Option<RequestWeight>,
    /// Unfilled orders of each window, in the venue's order.
    pub orders: [Option<OrderCount>; ORDER_WINDOWS_MAX],
}

/// Unfilled orders of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCount {
    /// How long the window is; windows are aligned to the venue's clock.
    pub window: Nanos,
    /// Counted so far in the running window.
    pub used: u32,
    /// Allowed.
    pub limit: u32,
}

/// How many messages took which way, and what was left out, since the decoder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderDecoderCounts {
    /// Read by the scanner.
    pub fast: u64,
    /// Read by the tolerant parser, [`OrderMessage::Ignored`] and faults included.
    pub tolerant: u64,
    /// [`OrderMessage::Ignored`].
    pub ignored: u64,
    /// Orders and events of symbols that are not ours.
    pub other_symbols: u64,
    /// Balances of assets that are not ours.
    pub other_assets: u64,
    /// Orders of others whose numbers do not fit our grids, or whose words we do not know.
    pub unreadable_foreign: u64,
    /// Fills of ours whose fee was taken in an asset that is not ours: the fill is told without it.
    pub other_fee_assets: u64,
}

/// The window of request weight.
const MINUTE: Nanos = Nanos::from_secs(60);

/// What decoding needs to know.
#[derive(Clone, Debug)]
struct Context {
    symbols: SymbolTable,
    grids: Vec<Grids>,
    assets: Assets,
    ids: ClientOrderIds,
    counts: OrderDecoderCounts,
}

/// The lists of the message that was decoded last; each is full at its capacity.
#[derive(Clone, Debug)]
struct Lists {
    orders: Bounded<OrderStatus>,
    trades: Bounded<OwnTrade>,
    balances: Bounded<Balance>,
}

/// A list that never grows beyond the memory that it was made with.
#[derive(Clone, Debug)]
struct Bounded<T> {
    items: Vec<T>,
    max: usize,
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Full;

/// Decodes the messages of all orders links of one engine.
#[derive(Clone, Debug)]
pub struct OrderDecoder {
    context: Context,
    lists: Lists,
    scanner: bool,
}

impl OrderDecoder {
    /// A decoder for these instruments, assets and ids, all its memory reserved.
    pub fn new(instruments: &Instruments, assets: &Assets, ids: ClientOrderIds) -> Self {
        Self::with_scanner(instruments, assets, ids, Scanner::detect())
    }

    /// A decoder with or without the scanner, for tests and benches; vectors play no part here.
    pub fn with_scanner(
        instruments: &Instruments,
        assets: &Assets,
        ids: ClientOrderIds,
        scanner: Scanner,
    ) -> Self {
        Self {
            context: Context {
                symbols: SymbolTable::new(instruments),
                grids: instruments
                    .iter()
                    .map(|(_, instrument)| Grids {
                        tick: instrument.tick,
                        lot: instrument.lot,
                    })
                    .collect(),
                assets: assets.clone(),
                ids,
                counts: OrderDecoderCounts::default(),
            },
            lists: Lists {
                orders: Bounded::new(ORDERS_PER_ANSWER_MAX),
                trades: Bounded::new(OWN_TRADES_MAX),
                balances: Bounded::new(assets.count()),
            },
            scanner: scanner != Scanner::Tolerant,
        }
    }

    /// Decodes one message.
    ///
    /// # Errors
    /// A [`Fault`] that names the instrument wherever the message got far enough to tell.
    #[inline]
    pub fn decode(&mut self, payload: Payload<'_>) -> Result<OrderMessage<'_>, Fault> {
        let usual = if self.scanner {
            fast::decode(&payload, &self.context, &mut self.lists.balances)
        } else {
            None
        };
        match usual {
            Some(OrderMessage::Account { event, updated, .. }) => {
                self.context.counts.fast += 1;
                Ok(OrderMessage::Account {
                    event,
                    updated,
                    balances: &self.lists.balances.items,
                })
            }
            Some(message) => {
                self.context.counts.fast += 1;
                Ok(message)
            }
            None => self.decode_tolerantly(payload),
        }
    }

    #[cold]
    #[inline(never)]
    fn decode_tolerantly(&mut self, payload: Payload<'_>) -> Result<OrderMessage<'_>, Fault> {
        self.context.counts.tolerant += 1;
        let message = tolerant::decode(payload.bytes(), &mut self.context, &mut self.lists)?;
        if message == OrderMessage::Ignored {
            self.context.counts.ignored += 1;
        }
        Ok(message)
    }

    /// How many messages took which way, and what was left out.
    pub const fn counts(&self) -> OrderDecoderCounts {
        self.context.counts
    }
}

impl Context {
    #[inline]
    fn grids(&self, instrument: InstrumentIndex) -> Grids {
        self.grids[instrument.as_usize()]
    }
}

impl<T> Bounded<T> {
    fn new(max: usize) -> Self {
        Self {
            items: Vec::with_capacity(max),
            max,
        }
    }

    #[inline]
    fn push(&mut self, item: T) -> Result<(), Full> {
        if self.items.len() == self.max {
            return Err(Full);
        }
        self.items.push(item);
        Ok(())
    }
}

impl Limits {
    /// Notes one row of the venue's list; a window named twice counts as the second says.
    #[inline]
    fn note(&mut self, count: OrderCount) -> Result<(), Full> {
        let same = |slot: &&mut Option<OrderCount>| match slot {
            Some(held) => held.window == count.window,
            None => true,
        };
        // Slots fill from the front, so the first that fits is the right one.
        match self.orders.iter_mut().find(same) {
            Some(slot) => {
                *slot = Some(count);
                Ok(())
            }
            None => Err(Full),
        }
    }
}

#[cfg(test)]
mod tests;
