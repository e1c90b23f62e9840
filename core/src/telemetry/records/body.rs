//! What records say: states, causes, and one variant for each thing that must not be lost.
//!
//! Owns: [`RecordBody`] and the closed sets that it names. Does not: encode or carry records. Invariant: every
//! variant is `Copy`, holds numbers only, and fits one cache line with the record's number and time.

use crate::event::{LinkDown, LinkId, Token};
use crate::instrument::{AssetIndex, InstrumentIndex};
use crate::oms::OmsFault;
use crate::order::{ClientId, Intent, OrderId, OrderKind, OrderState, Origin, Side, TimeInForce};
use crate::risk::{Rejection, TradingState};
use crate::units::{E8, Lots, Ticks, VenueMillis};
use crate::venue::binance::order_error::{Cause, ErrorKind, Refusal};

labelled! {
    /// Where the local copy of a book stands.
    pub enum BookState {
        /// No stream delivers updates of it.
        Waiting = "waiting",
        /// Updates are buffered until a snapshot joins them, for the first time on this connection.
        Syncing = "syncing",
        /// Equal to the venue's book as of the last update; the only state in which it may be used.
        Live = "live",
        /// It was live and is being rebuilt.
        Resyncing = "resyncing",
    }
}

labelled! {
    /// Why a book is rebuilt.
    pub enum ResyncCause {
        /// An update id is missing.
        Gap = "gap",
        /// Update ids went back.
        IdsWentBack = "ids_went_back",
        /// The best bid reached the best ask.
        Crossed = "crossed",
        /// The snapshot is older than the first buffered update.
        SnapshotTooOld = "snapshot_too_old",
        /// The venue refused the snapshot request or did not answer it in time.
        SnapshotFailed = "snapshot_failed",
        /// More updates arrived than the buffer holds before a snapshot joined them.
        BufferFull = "buffer_full",
        /// An update could not be read: the book may miss it.
        Unreadable = "unreadable",
        /// A level does not fit the book's bounds.
        Capacity = "capacity",
        /// The connection that carried its updates ended.
        LinkDown = "link_down",
        /// Its updates stopped while the venue's other streams went on.
        Silent = "silent",
        /// Its best price is not the one that the venue published for the same update id.
        TouchMismatch = "touch_mismatch",
    }
}

labelled! {
    /// Where the engine stands.
    pub enum EngineState {
        /// Connections are being made.
        Starting = "starting",
        /// Every book is live.
        Ready = "ready",
        /// At least one book is not live.
        Degraded = "degraded",
        /// An operator asked for the end.
        Stopping = "stopping",
        /// All links are closed.
        Stopped = "stopped",
    }
}

labelled! {
    /// How far trading has come, beside the books.
    pub enum TradingPhase {
        /// No account is configured: market data alone.
        Off = "off",
        /// No order link is logged on.
        Starting = "starting",
        /// The venue is being asked what it holds of us.
        Reconciling = "reconciling",
        /// The venue and we agree; orders may go out.
        Ready = "ready",
        /// No new orders; ours are being cancelled.
        Stopping = "stopping",
        /// Asked to stop, and no order of ours is left.
        Stopped = "stopped",
    }
}

labelled! {
    /// Why the trading state or the kill switch changed.
    pub enum HaltCause {
        /// An operator said so.
        Operator = "operator",
        /// More was filled than ordered.
        Overfill = "overfill",
        /// A fill names an order of ours that we do not know.
        UnknownOrder = "unknown_order",
        /// Records were lost: the sidecar no longer knows everything.
        RecordsLost = "records_lost",
        /// The venue banned us.
        Banned = "banned",
        /// The dead-man cancelled our orders because the core stood still.
        DeadMan = "dead_man",
        /// It was so when the last run ended.
        Restored = "restored",
        /// What the venue tells of our orders cannot be made to agree with what we know.
        Books = "books_disagree",
        /// The venue does not let the account trade, or takes our key for wrong.
        Venue = "venue",
    }
}

labelled! {
    /// What became of a command.
    pub enum CommandResult {
        /// It was carried out; what the venue makes of it follows in other records.
        Done = "done",
        /// Risk refused it.
        Rejected = "rejected",
        /// No order has this id.
        UnknownOrder = "unknown_order",
        /// The order is over, or a change of it is under way already.
        NotOpen = "not_open",
        /// No account is configured, or the order link is down.
        NotTrading = "not_trading",
        /// A value cannot be: an amend that is not smaller, a limit out of its range.
        InvalidValue = "invalid_value",
        /// A bounded table is full.
        Full = "full",
    }
}

labelled! {
    /// What we asked of the venue about an order.
    pub enum OrderRequest {
        /// A new order.
        Place = "place",
        /// A cancel.
        Cancel = "cancel",
        /// A cancel and a new order in its stead.
        Replace = "replace",
        /// A smaller quantity.
        Amend = "amend",
        /// What became of it.
        Query = "query",
    }
}

labelled! {
    /// What we asked of the venue beside orders.
    pub enum VenueRequest {
        /// That a stream delivers what it must, or no more.
        Streams = "streams",
        /// A depth snapshot, to build a book from or for its update id.
        Snapshot = "snapshot",
        /// The venue's time.
        Time = "time",
        /// To be let in with our key.
        LogOn = "log_on",
        /// To hear what happens to our orders.
        UserData = "user_data",
        /// The trades of an instrument that may be missed.
        MissedTrades = "missed_trades",
        /// Whose an order is that a missed trade names.
        OrderOwner = "order_owner",
        /// All open orders.
        OpenOrders = "open_orders",
        /// All balances.
        Account = "account",
        /// How many orders the venue has counted.
        OrderCounts = "order_counts",
    }
}

labelled! {
    /// How it is known that no trade up to some id is missing.
    pub enum TradesKnown {
        /// No earlier run said anything: what the account traded before is in its balances alone.
        FirstRun = "first_run",
        /// The venue was asked at the start for everything since the last run.
        CaughtUp = "caught_up",
        /// The same, and there was more than a start may ask for: the rest is in the balances alone.
        CutShort = "cut_short",
        /// The venue was asked what it holds of us, and nothing was open to doubt after that.
        Settled = "settled",
    }
}

/// What happened. Every variant is `Copy` and holds numbers only; text is made by the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordBody {
    /// A connection came up.
    LinkUp {
        /// Which one.
        link: LinkId,
    },
    /// A connection ended or did not come up.
    LinkDown {
        /// Which one.
        link: LinkId,
        /// Why.
        cause: LinkDown,
    },
    /// A book changed its state.
    BookState {
        /// Which book.
        instrument: InstrumentIndex,
        /// Its state before.
        from: BookState,
        /// Its state now.
        to: BookState,
        /// The last update id applied, or 0 when there is none.
        last_update_id: u64,
    },
    /// A book is rebuilt.
    Resync {
        /// Which book.
        instrument: InstrumentIndex,
        /// Why.
        cause: ResyncCause,
        /// The update id that should have come, or 0 where ids are not the cause.
        expected: u64,
        /// The update id that came, or 0 where ids are not the cause.
        got: u64,
    },
    /// The venue sent something that it must not.
    Fault {
        /// The connection that carried it.
        link: LinkId,
        /// The instrument, where the message named one of ours.
        instrument: Option<InstrumentIndex>,
        /// The number of its kind: the discriminant of the venue's fault enum.
        kind: u8,
        /// A number that the kind explains: an offset, a length, an id.
        detail: u64,
    },
    /// The venue refused a request.
    RequestRefused {
        /// The connection that carried it.
        link: LinkId,
        /// What was asked.
        request: VenueRequest,
        /// Our id of the request.
        request_id: u64,
        /// The venue's error code.
        code: i64,
        /// What the refusal means; `None` on streams, whose codes the table of refusals does not have.
        kind: Option<ErrorKind>,
    },
    /// The engine changed its state.
    EngineState {
        /// Before.
        from: EngineState,
        /// Now.
        to: EngineState,
    },
    /// The last record of a run: the links still up were closed.
    Shutdown {
        /// How many were up.
        links_closed: u32,
    },
    /// Risk let an order through.
    OrderAdmitted {
        /// Its number.
        order: OrderId,
        /// What is traded.
        instrument: InstrumentIndex,
        /// Which way.
        side: Side,
        /// What it may do to the book.
        kind: OrderKind,
        /// How long it stands.
        time_in_force: TimeInForce,
        /// Who wanted it.
        origin: Origin,
        /// Its price; zero for market orders.
        price: Ticks,
        /// Its quantity.
        qty: Lots,
        /// The command that asked for it; zero for the strategy's own.
        token: Token,
    },
    /// The client's own id of an order; follows its admission.
    OrderAlias {
        /// Whose.
        order: OrderId,
        /// The alias.
        client_id: ClientId,
    },
    /// An open order of an earlier run, or one long forgotten, was taken over; its state follows.
    OrderAdopted {
        /// Its number.
        order: OrderId,
        /// What is traded.
        instrument: InstrumentIndex,
        /// Which way.
        side: Side,
        /// Its price; zero for market orders.
        price: Ticks,
    },
    /// An order changed its state.
    OrderState {
        /// Which one.
        order: OrderId,
        /// What it trades.
        instrument: InstrumentIndex,
        /// Before.
        from: OrderState,
        /// Now.
        to: OrderState,
        /// The venue's id; zero while unknown.
        venue_order_id: u64,
        /// How much of it traded.
        executed: Lots,
        /// Its quantity now, amends included.
        qty: Lots,
    },
    /// A fill, told once.
    Fill {
        /// Whose.
        order: OrderId,
        /// What was traded.
        instrument: InstrumentIndex,
        /// Which way.
        side: Side,
        /// Whether our order rested.
        is_maker: bool,
        /// In which asset the fee was taken; the quote asset when there was none.
        fee_asset: AssetIndex,
        /// The venue's id of the trade.
        trade_id: u64,
        /// At what price.
        price: Ticks,
        /// How much.
        qty: Lots,
        /// The fee.
        fee: E8,
    },
    /// Risk refused an intent.
    OrderRejected {
        /// What was to be traded.
        instrument: InstrumentIndex,
        /// Why not.
        reason: Rejection,
        /// Which way.
        side: Side,
        /// Who wanted it.
        origin: Origin,
        /// At what price.
        price: Ticks,
        /// How much.
        qty: Lots,
        /// The command that asked for it; zero for the strategy's own.
        token: Token,
    },
    /// The venue refused a request about an order.
    VenueRefused {
        /// Which one.
        order: OrderId,
        /// What it trades.
        instrument: InstrumentIndex,
        /// What was asked.
        request: OrderRequest,
        /// The venue's error code.
        code: i32,
        /// What the refusal means: the code alone does not say it.
        kind: ErrorKind,
        /// What its words say besides.
        cause: Cause,
    },
    /// What was told of an order does not fit what is known of it.
    OrderFault {
        /// Which one.
        order: OrderId,
        /// What it trades.
        instrument: InstrumentIndex,
        /// What is wrong.
        fault: OmsFault,
    },
    /// What a command came to.
    CommandDone {
        /// The command's number.
        token: Token,
        /// What became of it.
        result: CommandResult,
        /// Risk's reason, when that was it.
        reason: Option<Rejection>,
        /// The order that it was about, when there is one.
        order: Option<OrderId>,
    },
    /// A position changed by a fill.
    Position {
        /// In what.
        instrument: InstrumentIndex,
        /// How much of the base asset; negative when short.
        qty: E8,
        /// Average entry price, quote per whole base; zero when flat.
        entry: E8,
        /// Realised profit and loss so far, before fees, in the quote asset.
        realized: E8,
    },
    /// The venue told of a balance.
    Balance {
        /// Of which asset.
        asset: AssetIndex,
        /// Free.
        free: E8,
        /// Bound in orders.
        locked: E8,
        /// The venue's time of it.
        at: VenueMillis,
    },
    /// What of an asset is held beside trading and is no position.
    Baseline {
        /// Which asset.
        asset: AssetIndex,
        /// How much.
        amount: E8,
    },
    /// Up to which id no trade of an instrument is missing: what the next run asks from.
    TradesKnown {
        /// In what.
        instrument: InstrumentIndex,
        /// How it is known.
        how: TradesKnown,
        /// The id.
        through: u64,
    },
    /// Trading came further, or fell back.
    TradingPhase {
        /// Before.
        from: TradingPhase,
        /// Now.
        to: TradingPhase,
        /// Orders of ours that are open now.
        open_orders: u32,
        /// Of those, orders whose outcome is unknown.
        unresolved: u32,
    },
    /// What may be traded changed.
    TradingState {
        /// Before.
        from: TradingState,
        /// Now.
        to: TradingState,
        /// Why.
        cause: HaltCause,
    },
    /// The kill switch was tripped or reset.
    KillSwitch {
        /// Whether it is latched now.
        latched: bool,
        /// Why.
        cause: HaltCause,
    },
    /// Limits changed.
    Limits {
        /// Of one instrument, or the global ones.
        instrument: Option<InstrumentIndex>,
    },
}

impl RecordBody {
    /// An admission.
    pub fn admitted(order: OrderId, intent: &Intent, token: Token) -> Self {
        Self::OrderAdmitted {
            order,
            instrument: intent.instrument,
            side: intent.side,
            kind: intent.kind,
            time_in_force: intent.time_in_force,
            origin: intent.origin,
            price: intent.price,
            qty: intent.qty,
            token,
        }
    }

    /// A refusal by the venue.
    pub const fn venue_refused(
        order: OrderId,
        instrument: InstrumentIndex,
        request: OrderRequest,
        refusal: Refusal,
    ) -> Self {
        Self::VenueRefused {
            order,
            instrument,
            request,
            code: refusal.code,
            kind: refusal.kind,
            cause: refusal.cause,
        }
    }

    /// A refusal by risk.
    pub fn rejected(intent: &Intent, reason: Rejection, token: Token) -> Self {
        Self::OrderRejected {
            instrument: intent.instrument,
            reason,
            side: intent.side,
            origin: intent.origin,
            price: intent.price,
            qty: intent.qty,
            token,
        }
    }
}
