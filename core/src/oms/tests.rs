//! Every pair of state and input, and the stories that a table cannot tell.

mod model;
mod stories;

use super::*;
use crate::order::{
    DoneReason, ExecutionKind, ExecutionReport, Fill, Intent, OrderKind, Origin, OwnTrade,
    SelfTradePrevention, Side, TimeInForce, VenueStatus,
};
use crate::units::{E8, Lots, Ticks, VenueMillis};
use std::fmt::Write as _;

const HERE: InstrumentIndex = InstrumentIndex(0);
const PRICE: Ticks = Ticks(1_000);
const QTY: Lots = Lots(10);
const VENUE_ID: u64 = 77;

const CONFIG: OmsConfig = OmsConfig {
    answer_max: Nanos(1_000),
    cancel_max: Nanos(2_000),
    replace_max: Nanos(3_000),
    grace: Nanos(100),
    ask_again: Nanos(500),
    answer_horizon: Nanos(6_000),
};

fn intent(side: Side, price: Ticks, qty: Lots) -> Intent {
    Intent {
        instrument: HERE,
        side,
        kind: if price == Ticks(0) {
            OrderKind::Market
        } else {
            OrderKind::Limit
        },
        time_in_force: TimeInForce::Gtc,
        price,
        qty,
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
        origin: Origin::Strategy,
    }
}

fn buy() -> Admitted {
    Admitted::unchecked(intent(Side::Buy, PRICE, QTY))
}

fn fill(trade_id: u64, qty: i64) -> Fill {
    Fill {
        trade_id,
        price: PRICE,
        qty: Lots(qty),
        fee: E8(0),
        fee_asset: None,
        is_maker: true,
        at: VenueMillis(trade_id),
    }
}

/// One buy of ten at the venue, and what is told of it.
struct Case {
    oms: Oms,
    id: OrderId,
    now: Nanos,
    execution_id: u64,
}

impl Case {
    fn admitted() -> Self {
        let mut oms = Oms::new(2, 7, CONFIG);
        let id = oms.admit(Nanos(10), buy(), None).expect("room");
        Self {
            oms,
            id,
            now: Nanos(10),
            execution_id: 100,
        }
    }

    fn sent() -> Self {
        let mut case = Self::admitted();
        case.expect(Input::Sent, "S");
        case
    }

    fn live() -> Self {
        let mut case = Self::sent();
        case.expect(ACKNOWLEDGED, "L");
        case
    }

    fn partially_filled() -> Self {
        let mut case = Self::live();
        let report = case.trade_report(1, 4, 4);
        case.expect(Input::Report(&report), "P+4");
        case
    }

    fn state(&self) -> OrderState {
        self.order().state()
    }

    fn order(&self) -> &Order {
        self.oms.order(self.id).expect("known")
    }

    fn apply(&mut self, input: Input<'_>) -> Applied {
        self.now.0 += 1;
        let applied = self.oms.apply(self.now, self.id, input);
        self.oms.table.assert_invariants();
        applied
    }

    #[track_caller]
    fn expect(&mut self, input: Input<'_>, expected: &str) {
        let applied = self.apply(input);
        assert_eq!(describe(&applied), expected, "{input:?}");
    }

    /// Everything that is overdue at `now`.
    fn overdue(&mut self, now: u64) -> String {
        self.now = Nanos(now);
        let mut all = Vec::new();
        while let Some(overdue) = self.oms.overdue(self.now) {
            assert_eq!(overdue.id, self.id);
            all.push(describe(&Applied {
                transition: overdue.transition,
                fill: None,
                fault: overdue.fault,
                ask: Some(overdue.ask),
            }));
        }
        self.oms.table.assert_invariants();
        all.join(", ")
    }

    fn report(
        &mut self,
        kind: ExecutionKind,
        status: VenueStatus,
        executed: i64,
    ) -> ExecutionReport {
        self.execution_id += 1;
        ExecutionReport {
            instrument: HERE,
            key: OrderKey::Ours(self.id),
            venue_order_id: VENUE_ID,
            kind,
            status,
            side: Side::Buy,
            price: PRICE,
            qty: QTY,
            executed: Lots(executed),
            prevented: Lots(0),
            fill: None,
            execution_id: self.execution_id,
            transacted: VenueMillis(self.execution_id),
            event: VenueMillis(self.execution_id),
        }
    }

    fn trade_report(&mut self, trade_id: u64, qty: i64, executed: i64) -> ExecutionReport {
        let status = if executed == QTY.0 {
            VenueStatus::Filled
        } else {
            VenueStatus::PartiallyFilled
        };
        ExecutionReport {
            fill: Some(fill(trade_id, qty)),
            ..self.report(ExecutionKind::Trade, status, executed)
        }
    }

    fn order_status(&self, status: VenueStatus, executed: i64) -> OrderStatus {
        OrderStatus {
            instrument: HERE,
            key: OrderKey::Ours(self.id),
            venue_order_id: VENUE_ID,
            status,
            side: Side::Buy,
            price: PRICE,
            qty: QTY,
            executed: Lots(executed),
            updated: VenueMillis(1),
        }
    }
}

fn own_trade(trade_id: u64, qty: i64) -> OwnTrade {
    OwnTrade {
        instrument: HERE,
        venue_order_id: VENUE_ID,
        side: Side::Buy,
        fill: fill(trade_id, qty),
    }
}

const ACKNOWLEDGED: Input<'static> = Input::Acknowledged {
    venue_order_id: VENUE_ID,
    at: VenueMillis(5),
};

/// One letter a state; `D` and a second letter for the ends.
fn letter(state: OrderState) -> &'static str {
    match state {
        OrderState::Admitted => "A",
        OrderState::Sent => "S",
        OrderState::Live => "L",
        OrderState::PartiallyFilled => "P",
        OrderState::CancelSent => "C",
        OrderState::ReplaceSent => "R",
        OrderState::Unresolved => "U",
        OrderState::Done(DoneReason::Filled) => "Df",
        OrderState::Done(DoneReason::Cancelled) => "Dc",
        OrderState::Done(DoneReason::Rejected) => "Dr",
        OrderState::Done(DoneReason::Expired) => "De",
        OrderState::Done(DoneReason::ExpiredInMatch) => "Dm",
    }
}

/// The new state if any, `+lots`, `!fault`, `?s` or `?t` for a question; `-` for nothing at all.
fn describe(applied: &Applied) -> String {
    let mut words = String::new();
    if let Some((_, after)) = applied.transition {
        words += letter(after);
    }
    if let Some(fill) = applied.fill {
        write!(words, "+{}", fill.qty.0).expect("a string takes all");
    }
    if let Some(fault) = applied.fault {
        words += match fault {
            OmsFault::UnknownOrder => "!unknown",
            OmsFault::Overfill => "!over",
            OmsFault::WentBack => "!back",
            OmsFault::Contradicted => "!contra",
            OmsFault::Reopened => "!reopen",
            OmsFault::Vanished => "!vanish",
            OmsFault::AskedInVain => "!vain",
            OmsFault::FillForgotten => "!forgot",
            OmsFault::Illegal => "!ill",
        };
    }
    match applied.ask {
        Some(Ask::Status(_)) => words += "?s",
        Some(Ask::Trades(_)) => words += "?t",
        None => {}
    }
    if words.is_empty() {
        words.push('-');
    }
    words
}

type Make = fn() -> Case;

/// Every state that the table speaks of, made the ordinary way.
const STATES: [(&str, Make); 14] = [
    ("admitted", Case::admitted),
    ("sent", Case::sent),
    ("live", Case::live),
    ("partially filled", Case::partially_filled),
    ("cancel sent", || {
        let mut case = Case::live();
        case.expect(Input::CancelSent, "C");
        case
    }),
    ("replace sent", || {
        let mut case = Case::live();
        case.expect(Input::ReplaceSent, "R");
        case
    }),
    ("unresolved, never shown", || {
        let mut case = Case::sent();
        case.expect(Input::OutcomeUnknown, "U?s");
        case
    }),
    ("unresolved after a cancel", || {
        let mut case = Case::live();
        case.expect(Input::CancelSent, "C");
        case.expect(Input::CancelUnknown, "U?s");
        case
    }),
    ("cancelled, a fill missing", || {
        let mut case = Case::live();
        let status = case.order_status(VenueStatus::Canceled, 4);
        let asked_at = case.now;
        case.expect(
            Input::Status {
                status: &status,
                asked_at,
            },
            "U",
        );
        case
    }),
    ("filled", || {
        let mut case = Case::live();
        let report = case.trade_report(1, 10, 10);
        case.expect(Input::Report(&report), "Df+10");
        case
    }),
    ("cancelled", || {
        let mut case = Case::live();
        let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, 0);
        case.expect(Input::Report(&report), "Dc");
        case
    }),
    ("refused", || {
        let mut case = Case::sent();
        case.expect(Input::Refused { code: -2010 }, "Dr");
        case
    }),
    ("expired", || {
        let mut case = Case::live();
        let report = case.report(ExecutionKind::Expired, VenueStatus::Expired, 0);
        case.expect(Input::Report(&report), "De");
        case
    }),
    ("expired in match", || {
        let mut case = Case::live();
        let kind = ExecutionKind::TradePrevention;
        let report = case.report(kind, VenueStatus::ExpiredInMatch, 0);
        case.expect(Input::Report(&report), "Dm");
        case
    }),
];

/// What each input does in each of [`STATES`], in their order, in the words of [`describe`].
const TABLE: &str = "
    input                     | A     | S     | L          | P          | C          | R          | U plac | U canc    | U fills   | Df       | Dc         | Dr           | De         | Dm
    sent                      | S     | !ill  | !ill       | !ill       | !ill       | !ill       | !ill   | !ill      | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    sent again                | !ill  | -     | !ill       | !ill       | !ill       | !ill       | !ill   | !ill      | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    not sent                  | Dr    | !ill  | !ill       | !ill       | !ill       | !ill       | !ill   | !ill      | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    acknowledged              | L     | L     | -          | -          | -          | -          | L      | -         | -         | -        | -          | L!reopen     | -          | -
    refused                   | Dr    | Dr    | U!contra?s | U!contra?s | U!contra?s | U!contra?s | Dr     | !contra   | !contra   | !contra  | !contra    | -            | !contra    | !contra
    outcome unknown           | U?s   | U?s   | -          | -          | -          | -          | -      | -         | -         | -        | -          | -            | -          | -
    report: new               | L     | L     | -          | -          | -          | -          | L      | -         | -         | -        | -          | L!reopen     | -          | -
    report: trade             | P+2   | P+2   | P+2        | +2         | +2         | +2         | P+2    | +2        | +2!contra | +2!over  | +2!contra  | P+2!reopen   | +2!contra  | +2!contra
    report: filled            | Df+10 | Df+10 | Df+10      | Df+6       | Df+10      | Df+10      | Df+10  | Df+10     | +6!contra | +1!over  | +10!contra | Df+10!reopen | +10!contra | +10!contra
    report: cancelled         | Dc    | Dc    | Dc         | Dc         | Dc         | Dc         | Dc     | Dc        | -         | !contra  | -          | Dc!reopen    | !contra    | !contra
    report: rejected          | Dr    | Dr    | Dr         | Dr         | Dr         | Dr         | Dr     | Dr        | !contra   | !contra  | !contra    | -            | !contra    | !contra
    report: expired           | De    | De    | De         | De         | De         | De         | De     | De        | !contra   | !contra  | !contra    | De!reopen    | -          | !contra
    report: prevented         | Dm    | Dm    | Dm         | Dm         | Dm         | Dm         | Dm     | Dm        | !contra   | !contra  | !contra    | Dm!reopen    | !contra    | -
    report: replaced          | L     | L     | -          | -          | -          | L          | L      | -         | -         | -        | -          | L!reopen     | -          | -
    status: new               | L     | L     | -          | -          | -          | -          | L      | L         | -         | -        | -          | L!reopen     | -          | -
    status: new, asked early  | L     | L     | -          | -          | -          | -          | L      | -         | -         | -        | -          | L!reopen     | -          | -
    status: cancelled, 3 more | U     | U     | U          | U          | U          | U          | -      | -         | !contra   | U!contra | U!contra   | U!reopen     | U!contra   | U!contra
    not found, early          | -     | -     | -          | -          | -          | -          | -      | -         | -         | -        | -          | -            | -          | -
    not found, late           | -     | Dr    | U!vanish?t | U!vanish?t | U!vanish?t | U!vanish?t | Dr     | !vanish?t | -         | -        | -          | -            | -          | -
    trade                     | P+2   | P+2   | P+2        | +2         | +2         | +2         | +2     | +2        | +2        | +2!over  | +2!contra  | P+2!reopen   | +2!contra  | +2!contra
    trades complete           | -     | -     | -          | -          | -          | -          | -      | -         | -         | -        | -          | -            | -          | -
    cancel sent               | !ill  | -     | C          | C          | !ill       | C          | -      | -         | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    cancel refused            | -     | -     | -          | -          | L          | -          | -      | -         | -         | -        | -          | -            | -          | -
    cancel refused, unknown   | -     | -     | -          | -          | U          | -          | -      | -         | -         | -        | -          | -            | -          | -
    cancel unknown            | -     | -     | -          | -          | U?s        | -          | -      | -         | -         | -        | -          | -            | -          | -
    replace sent              | !ill  | !ill  | R          | R          | !ill       | !ill       | !ill   | !ill      | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    replace sent again        | !ill  | !ill  | !ill       | !ill       | !ill       | -          | !ill   | !ill      | !ill      | !ill     | !ill       | !ill         | !ill       | !ill
    replace refused           | -     | -     | -          | -          | -          | L          | -      | -         | -         | -        | -          | -            | -          | -
    replace refused, unknown  | -     | -     | -          | -          | -          | U          | -      | -         | -         | -        | -          | -            | -          | -
    replace unknown           | -     | -     | -          | -          | -          | U?s        | -      | -         | -         | -        | -          | -            | -          | -
    amended                   | L     | L     | -          | -          | -          | L          | L      | -         | -         | -        | -          | L!reopen     | -          | -
";

/// Applies the input of a row's name.
fn apply_named(case: &mut Case, name: &str) -> Applied {
    let now = case.now.plus(Nanos(1));
    let known = case.order().told.0;
    match name {
        "sent" => case.apply(Input::Sent),
        "sent again" => case.apply(Input::SentAgain),
        "not sent" => case.apply(Input::NotSent),
        "acknowledged" => case.apply(ACKNOWLEDGED),
        "refused" => case.apply(Input::Refused { code: -2010 }),
        "outcome unknown" => case.apply(Input::OutcomeUnknown),
        "report: new" => {
            let report = case.report(ExecutionKind::New, VenueStatus::New, known);
            case.apply(Input::Report(&report))
        }
        "report: trade" => {
            let report = case.trade_report(50, 2, known + 2);
            case.apply(Input::Report(&report))
        }
        "report: filled" => {
            let report = case.trade_report(50, (10 - known).max(1), 10);
            case.apply(Input::Report(&report))
        }
        "report: cancelled" => {
            let report = case.report(ExecutionKind::Canceled, VenueStatus::Canceled, known);
            case.apply(Input::Report(&report))
        }
        "report: rejected" => {
            let report = case.report(ExecutionKind::Rejected, VenueStatus::Rejected, known);
            case.apply(Input::Report(&report))
        }
        "report: expired" => {
            let report = case.report(ExecutionKind::Expired, VenueStatus::Expired, known);
            case.apply(Input::Report(&report))
        }
        "report: prevented" => {
            let kind = ExecutionKind::TradePrevention;
            let report = case.report(kind, VenueStatus::ExpiredInMatch, known);
            case.apply(Input::Report(&report))
        }
        "report: replaced" => {
            let mut report = case.report(ExecutionKind::Replaced, VenueStatus::New, known);
            report.qty = Lots(8);
            case.apply(Input::Report(&report))
        }
        "status: new" => {
            let status = case.order_status(VenueStatus::New, known);
            case.apply(Input::Status {
                status: &status,
                asked_at: now,
            })
        }
        "status: new, asked early" => {
            let status = case.order_status(VenueStatus::New, known);
            case.apply(Input::Status {
                status: &status,
                asked_at: Nanos(10),
            })
        }
        "status: cancelled, 3 more" => {
            let status = case.order_status(VenueStatus::Canceled, known + 3);
            case.apply(Input::Status {
                status: &status,
                asked_at: now,
            })
        }
        "not found, early" => case.apply(Input::StatusNotFound { asked_at: now }),
        "not found, late" => case.apply(Input::StatusNotFound {
            asked_at: now.plus(CONFIG.answer_horizon),
        }),
        "trade" => {
            let trade = own_trade(50, 2);
            case.apply(Input::Trade(&trade))
        }
        "trades complete" => case.apply(Input::TradesComplete),
        "cancel sent" => case.apply(Input::CancelSent),
        "cancel refused" => case.apply(Input::CancelRefused {
            unknown_order: false,
        }),
        "cancel refused, unknown" => case.apply(Input::CancelRefused {
            unknown_order: true,
        }),
        "cancel unknown" => case.apply(Input::CancelUnknown),
        "replace sent" => case.apply(Input::ReplaceSent),
        "replace sent again" => case.apply(Input::ReplaceSentAgain),
        "replace refused" => case.apply(Input::ReplaceRefused {
            unknown_order: false,
        }),
        "replace refused, unknown" => case.apply(Input::ReplaceRefused {
            unknown_order: true,
        }),
        "replace unknown" => case.apply(Input::ReplaceUnknown),
        "amended" => {
            let mut status = case.order_status(VenueStatus::New, known);
            status.qty = Lots(8);
            case.apply(Input::Amended(&status))
        }
        other => panic!("no input is called {other}"),
    }
}

#[test]
fn every_pair_of_state_and_input_does_what_the_table_says() {
    let mut rows = TABLE.trim().lines().map(|line| {
        let mut cells = line.split('|').map(str::trim);
        (cells.next().expect("a name"), cells.collect::<Vec<_>>())
    });
    let (_, heads) = rows.next().expect("a head");
    assert_eq!(heads.len(), STATES.len());
    let mut count = 0;
    for (name, cells) in rows {
        assert_eq!(cells.len(), STATES.len(), "{name}");
        for ((state, make), expected) in STATES.into_iter().zip(cells) {
            let mut case = make();
            let applied = apply_named(&mut case, name);
            assert_eq!(describe(&applied), expected, "{name} when {state}");
            assert_eq!(
                applied.transition.map(|(_, after)| after),
                applied.transition.map(|_| case.state()),
            );
            count += 1;
        }
    }
    assert_eq!(count, 31 * 14, "rows went missing");
}

/// The states of the table are all states that there are.
#[test]
fn the_table_has_a_column_for_every_state() {
    for state in OrderState::ALL {
        assert!(
            STATES.iter().any(|(_, make)| make().state() == state),
            "{state:?}"
        );
    }
}
