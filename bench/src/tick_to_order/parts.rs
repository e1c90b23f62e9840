//! The parts of the road that are ours to decide: signal, risk check and order build, as means of batches.
//!
//! Owns: [`parts`]. A call takes less than two readings of a clock, so batches are timed and divided; the parts'
//! batches alternate within a round. What a part is given is laid out beforehand and comes from memory that is warm.

use super::Proof;
use super::account::{HERE, credentials, global_limits, instrument_limits, instruments};
use super::flow::{Flow, UNIX_MS_AT_ZERO};
use super::median;
use super::ours::{Lean, Trader};
use super::watch::Unstamped;
use std::fmt;
use std::hint::black_box;
use veloz_core::edge::clock::Clock;
use veloz_core::instrument::Instrument;
use veloz_core::order::{Intent, OrderId};
use veloz_core::risk::{Admitted, Conditions, OpenOrders, Ratio, Risk, Touch, TradingState};
use veloz_core::strategy::{Action, Actions, LiveBook, OwnOrders, Strategy as _, View};
use veloz_core::units::{E8, E8_ONE, Nanos, Ticks, VenueMillis};
use veloz_core::venue::binance::order_entry::{ClientOrderIds, OrderEntry};

/// Calls of a batch.
const CALLS: u64 = 1_000;

/// A name, what is called in a batch, and the mean of each batch in nanoseconds.
type Timed<'a> = (&'static str, &'a mut dyn FnMut(), Vec<f64>);

/// One part.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    /// Nanoseconds a call: the median of the batches' means.
    ns: f64,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<44} {:>6.1} ns", self.name, self.ns)
    }
}

/// Times so many batches of each part.
pub fn parts(batches: usize) -> Vec<Part> {
    let clock = Clock::calibrate();
    let mut flow = Flow::new();
    let mut trader = Trader::plain(Unstamped::default(), &flow);
    // The first diff completes the book.
    let tick = flow.next_tick();
    trader.pass();
    let arrival = trader.arrival(&tick);
    trader.receive(&arrival);
    trader.look();
    trader.sent();
    trader.settle();
    trader.tidy();

    let instruments = instruments();
    let instrument = instruments.get(HERE);
    let book = trader.engine().book(HERE).expect("live");
    let live = LiveBook {
        book,
        updated_at: Nanos::ZERO,
    };
    let view = view(instrument, live);
    let intent = wanted(&view);
    let conditions = conditions(&view);
    let mut risk = Risk::new(global_limits(), vec![instrument_limits()]).expect("in range");
    let admitted = risk.admit(Nanos::ZERO, &intent, instrument, &conditions);
    let admitted = admitted.expect("no limit binds");
    let [mut logged_on, mut signed] = [Proof::LogOn, Proof::Hmac].map(|proof| {
        let ids = ClientOrderIds::new("bench").expect("a prefix");
        OrderEntry::new(&instruments, ids, credentials(proof), 5_000).expect("in range")
    });

    let mut actions = Actions::new();
    let mut signal = || {
        for _ in 0..CALLS {
            actions.clear();
            Lean.on_book(black_box(&view), &mut actions);
            black_box(actions.as_slice());
        }
    };
    let mut now = Nanos::ZERO;
    let mut check = || {
        for _ in 0..CALLS {
            now = now.plus(Nanos::from_ms(1));
            let mut conditions = *black_box(&conditions);
            if let Some(touch) = &mut conditions.touch {
                touch.updated_at = now;
            }
            let admitted = risk.admit(now, black_box(&intent), instrument, &conditions);
            assert!(black_box(admitted).is_ok(), "no limit binds");
        }
    };
    let mut build_logged_on = || build(&mut logged_on, &admitted);
    let mut build_signed = || build(&mut signed, &admitted);
    let mut all: [Timed<'_>; 4] = [
        ("signal: five levels a side", &mut signal, Vec::new()),
        ("risk check: every limit set", &mut check, Vec::new()),
        ("order build, logged on", &mut build_logged_on, Vec::new()),
        ("order build, HMAC-signed", &mut build_signed, Vec::new()),
    ];
    for _ in 0..batches {
        for (_, call, ns) in &mut all {
            let from = clock.now();
            call();
            ns.push(clock.now().since(from).0 as f64 / CALLS as f64);
        }
    }
    all.into_iter()
        .map(|(name, _, ns)| Part {
            name,
            ns: median(ns.into_iter()),
        })
        .collect()
}

fn build(entry: &mut OrderEntry, admitted: &Admitted) {
    for sequence in 1..=CALLS as u32 {
        let id = OrderId { run: 1, sequence };
        let at = VenueMillis(UNIX_MS_AT_ZERO + u64::from(sequence));
        let request = entry.place(at, id, black_box(admitted));
        black_box(request.message);
    }
}

fn view<'a>(instrument: &'a Instrument, live: LiveBook<'a>) -> View<'a> {
    View {
        now: Nanos::ZERO,
        instrument: HERE,
        rules: instrument,
        book: Some(live),
        position: E8(0),
        own: OwnOrders::default(),
        trading: TradingState::Active,
    }
}

fn wanted(view: &View<'_>) -> Intent {
    let mut actions = Actions::new();
    Lean.on_book(view, &mut actions);
    match actions.as_slice() {
        [Action::Place(quote)] => quote.intent(HERE),
        other => panic!("the strategy wants {other:?}"),
    }
}

/// A rich account without orders.
fn conditions(view: &View<'_>) -> Conditions {
    let none = OpenOrders::default();
    let (bid, ask): (Ticks, Ticks) = view.touch().expect("both sides");
    Conditions {
        ready: true,
        backlog: false,
        link_backpressure: false,
        duplicate_client_id: false,
        venue_budget_ready: true,
        clock_offset_ns: Some(0),
        touch: Some(Touch {
            bid: Some(bid),
            ask: Some(ask),
            updated_at: view.now,
        }),
        position: E8(0),
        open_buys: none,
        open_sells: none,
        counts_twice: false,
        open_orders_total: 0,
        available_base: E8(100 * E8_ONE),
        available_quote: E8(10_000_000 * E8_ONE),
        equity: E8(16_000_000 * E8_ONE),
        gross_exposure: Some(E8(0)),
        instrument_exposure: E8(0),
        quote_to_account: Ratio::ONE,
        day_change: Some(E8(0)),
        drawdown_bps: Some(0),
    }
}
