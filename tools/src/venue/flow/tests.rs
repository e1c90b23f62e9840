//! What holds for every synthetic market: one seed, one flow; ids without gaps; books that a client
//! can rebuild; hours that end in a sane market.

use super::measure::RebuiltBook;
use super::profile::ProfileError;
use super::{SymbolProfile, SyntheticMarket};
use crate::venue::source::{
    DepthSpeed, Level, MarketEvent, MarketSource, Published, Snapshot, SymbolIndex, VenueMicros,
};

const START: VenueMicros = VenueMicros(1_723_161_254_000_000);
const FIRST: SymbolIndex = SymbolIndex(0);

fn open(seed: u64, profiles: &[SymbolProfile]) -> SyntheticMarket {
    SyntheticMarket::new(seed, START, profiles)
}

fn after(us: u64) -> VenueMicros {
    VenueMicros(START.0 + us)
}

fn run(market: &mut SyntheticMarket, us: u64) -> Vec<Published> {
    let mut out = Vec::new();
    market.advance(after(us), &mut out);
    out
}

/// Folds every number of every event into one, so that any difference shows.
fn digest(published: &[Published]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut fold = |value: u64| {
        for byte in value.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for one in published {
        fold(one.at.0);
        fold(one.symbol.0 as u64);
        let mut level = |level: &Level| {
            fold(level.price.0 as u64);
            fold(level.qty.0 as u64);
        };
        match &one.event {
            MarketEvent::Depth {
                first_id,
                last_id,
                bids,
                asks,
                ..
            } => {
                bids.iter().chain(asks).for_each(&mut level);
                fold(*first_id);
                fold(*last_id);
            }
            MarketEvent::PartialDepth { speed } => fold(*speed as u64),
            MarketEvent::BookTicker {
                update_id,
                bid,
                ask,
            } => {
                level(bid);
                level(ask);
                fold(*update_id);
            }
            MarketEvent::Trade(trade) => {
                fold(trade.id);
                fold(trade.price.0 as u64);
                fold(trade.qty.0 as u64);
                fold(u64::from(trade.buyer_is_maker));
            }
            MarketEvent::AggTrade {
                id,
                first_trade_id,
                last_trade_id,
                price,
                qty,
                buyer_is_maker,
            } => {
                fold(*id);
                fold(*first_trade_id);
                fold(*last_trade_id);
                fold(price.0 as u64);
                fold(qty.0 as u64);
                fold(u64::from(*buyer_is_maker));
            }
            MarketEvent::Recorded { .. } => panic!("a synthetic market records nothing"),
        }
    }
    hash
}

#[test]
fn a_seed_gives_one_flow_on_every_machine() {
    let profiles = [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()];
    let published = run(&mut open(42, &profiles), 30_000_000);
    assert_eq!(
        (published.len(), digest(&published)),
        (8_939, 16_367_136_400_586_005_087)
    );
    let other = run(&mut open(43, &profiles), 30_000_000);
    assert_ne!(digest(&other), digest(&published));
}

#[test]
fn how_time_is_sliced_does_not_matter() {
    let profiles = [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()];
    let whole = run(&mut open(7, &profiles), 20_000_000);
    let mut market = open(7, &profiles);
    let mut sliced = Vec::new();
    let mut now = START;
    // Steps of uneven length, among them none and one to exactly what is due.
    for step in (0..).map(|turn| turn % 13 * 1_237) {
        let due = market.next_at().expect("a market goes on for ever");
        now = if step == 0 {
            due
        } else {
            VenueMicros(now.0 + step)
        };
        now = now.min(after(20_000_000));
        market.advance(now, &mut sliced);
        if now == after(20_000_000) {
            break;
        }
    }
    assert!(whole == sliced);
    assert!(whole.is_sorted_by_key(|one| one.at));
}

#[test]
fn a_symbol_does_not_depend_on_its_neighbours() {
    let crowd: Vec<_> = (0..64).map(SymbolProfile::numbered).collect();
    let alone = run(&mut open(5, &crowd[40..41]), 3_000_000);
    let among: Vec<_> = run(&mut open(5, &crowd), 3_000_000)
        .into_iter()
        .filter(|one| one.symbol == SymbolIndex(40))
        .map(|one| Published {
            symbol: FIRST,
            ..one
        })
        .collect();
    assert!(alone == among);
    let mut names: Vec<_> = crowd.iter().map(|profile| &profile.symbol).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 64);
}

/// What a client knows of one symbol, with the checks that it can make.
struct Client {
    fast: RebuiltBook,
    slow: RebuiltBook,
    fast_next: Option<u64>,
    slow_next: Option<u64>,
    ticker_id: u64,
    next_trade: Option<u64>,
    next_aggregate: Option<u64>,
    /// Trades that no aggregate covers yet: id, price, quantity, maker's side.
    open_trades: Vec<(u64, i64, i64, bool)>,
}

fn rebuilt(snapshot: &Snapshot) -> RebuiltBook {
    let side = |levels: &[Level]| -> Vec<_> {
        levels
            .iter()
            .map(|level| (level.price.0, level.qty.0))
            .collect()
    };
    RebuiltBook::new(
        snapshot.last_update_id,
        &side(&snapshot.bids),
        &side(&snapshot.asks),
    )
}

impl Client {
    fn new(snapshot: &Snapshot) -> Self {
        Self {
            fast: rebuilt(snapshot),
            slow: rebuilt(snapshot),
            fast_next: None,
            slow_next: None,
            ticker_id: 0,
            next_trade: None,
            next_aggregate: None,
            open_trades: Vec::new(),
        }
    }

    fn read(&mut self, event: &MarketEvent, profile: &SymbolProfile) {
        let on_grid = |level: &Level| {
            assert!(level.price.0 > 0);
            assert_eq!(level.price.0 % profile.tick_e8, 0);
            assert!(level.qty.0 >= 0);
            assert_eq!(level.qty.0 % profile.lot_e8, 0);
            (level.price.0, level.qty.0)
        };
        match event {
            MarketEvent::Depth {
                speed,
                first_id,
                last_id,
                bids,
                asks,
            } => {
                let (book, next) = match speed {
                    DepthSpeed::Ms100 => (&mut self.fast, &mut self.fast_next),
                    DepthSpeed::Ms1000 => (&mut self.slow, &mut self.slow_next),
                };
                assert!(next.is_none_or(|next| next == *first_id), "ids have no gap");
                assert!(first_id <= last_id);
                *next = Some(last_id + 1);
                assert!(!bids.is_empty() || !asks.is_empty());
                assert!(bids.is_sorted_by(|a, b| a.price > b.price));
                assert!(asks.is_sorted_by(|a, b| a.price < b.price));
                let bids: Vec<_> = bids.iter().map(on_grid).collect();
                let asks: Vec<_> = asks.iter().map(on_grid).collect();
                book.apply(*first_id, *last_id, &bids, &asks);
            }
            MarketEvent::BookTicker {
                update_id,
                bid,
                ask,
            } => {
                assert!(*update_id > self.ticker_id);
                self.ticker_id = *update_id;
                let (bid, ask) = (on_grid(bid), on_grid(ask));
                assert!(bid.0 < ask.0, "never crossed");
                assert!(bid.1 > 0 && ask.1 > 0);
                assert!(self.fast_next.is_none_or(|next| *update_id >= next));
            }
            MarketEvent::Trade(trade) => {
                assert!(self.next_trade.is_none_or(|next| next == trade.id));
                self.next_trade = Some(trade.id + 1);
                on_grid(&Level {
                    price: trade.price,
                    qty: trade.qty,
                });
                assert!(trade.qty.0 > 0);
                self.open_trades
                    .push((trade.id, trade.price.0, trade.qty.0, trade.buyer_is_maker));
            }
            MarketEvent::AggTrade {
                id,
                first_trade_id,
                last_trade_id,
                price,
                qty,
                buyer_is_maker,
            } => {
                assert!(self.next_aggregate.is_none_or(|next| next == *id));
                self.next_aggregate = Some(id + 1);
                let trades = std::mem::take(&mut self.open_trades);
                assert_eq!(trades.first().map(|trade| trade.0), Some(*first_trade_id));
                assert_eq!(trades.last().map(|trade| trade.0), Some(*last_trade_id));
                assert!(
                    trades
                        .iter()
                        .all(|trade| (trade.1, trade.3) == (price.0, *buyer_is_maker))
                );
                assert_eq!(trades.iter().map(|trade| trade.2).sum::<i64>(), qty.0);
            }
            MarketEvent::PartialDepth { .. } => {}
            MarketEvent::Recorded { .. } => panic!("a synthetic market records nothing"),
        }
    }
}

#[test]
fn a_client_rebuilds_the_book_from_any_snapshot() {
    for profile in [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()] {
        let mut market = open(11, std::slice::from_ref(&profile));
        let mut client = Client::new(&market.snapshot(FIRST, usize::MAX));
        let mut late = rebuilt(&market.snapshot(FIRST, usize::MAX));
        let mut out = Vec::new();
        let (mut diffs, mut compared) = (0, 0);
        while diffs < 1_000 {
            let due = market.next_at().expect("a market goes on for ever");
            market.advance(due, &mut out);
            assert!(out.iter().all(|one| one.at == due));
            let top = market.snapshot(FIRST, 1);
            for one in &out {
                client.read(&one.event, &profile);
                let (speed, first_id, last_id, bids, asks) = match &one.event {
                    MarketEvent::Depth {
                        speed,
                        first_id,
                        last_id,
                        bids,
                        asks,
                    } => (speed, first_id, last_id, bids, asks),
                    MarketEvent::BookTicker {
                        update_id,
                        bid,
                        ask,
                    } if *update_id == top.last_update_id => {
                        assert_eq!((top.bids[0], top.asks[0]), (*bid, *ask));
                        compared += 1;
                        continue;
                    }
                    _ => continue,
                };
                let now = rebuilt(&market.snapshot(FIRST, usize::MAX));
                assert_eq!(now.id, *last_id);
                let book = match speed {
                    DepthSpeed::Ms100 => &client.fast,
                    DepthSpeed::Ms1000 => &client.slow,
                };
                assert!(book.bids == now.bids && book.asks == now.asks);
                if *speed == DepthSpeed::Ms100 {
                    diffs += 1;
                    let side = |levels: &[Level]| -> Vec<_> {
                        levels
                            .iter()
                            .map(|level| (level.price.0, level.qty.0))
                            .collect()
                    };
                    late.apply(*first_id, *last_id, &side(bids), &side(asks));
                    assert!(late.bids == now.bids && late.asks == now.asks);
                }
            }
            // A client that asks between two diffs bridges with the next one.
            if out
                .iter()
                .any(|one| matches!(one.event, MarketEvent::Trade(_)))
            {
                late = rebuilt(&market.snapshot(FIRST, usize::MAX));
            }
            out.clear();
        }
        assert!(compared > 1_000);
        assert!(client.open_trades.len() < 64, "every order is closed");
    }
}

#[test]
fn a_market_opens_deep_and_wide() {
    for profile in [SymbolProfile::btcusdt(), SymbolProfile::ethusdt()] {
        let snapshot = open(1, std::slice::from_ref(&profile)).snapshot(FIRST, 5_000);
        let best = snapshot.bids[0].price.0;
        assert_eq!(best, profile.start_bid_ticks * profile.tick_e8);
        for side in [&snapshot.bids, &snapshot.asks] {
            assert!((1_000..=5_000).contains(&side.len()), "{}", side.len());
            let far = side.last().expect("levels").price.0;
            assert!(
                (far - best).abs() * 5 > best,
                "far-off prices stand in the book"
            );
        }
        let short = open(1, std::slice::from_ref(&profile)).snapshot(FIRST, 100);
        assert_eq!(short.bids, snapshot.bids[..100]);
    }
}

#[test]
fn hours_end_in_a_sane_market() {
    // A day where it costs little.
    const SECONDS: u64 = if cfg!(debug_assertions) { 6 } else { 24 } * 3_600;
    let profile = SymbolProfile::btcusdt();
    let mut market = open(2, std::slice::from_ref(&profile));
    let start = profile.start_bid_ticks * profile.tick_e8;
    let mut out = Vec::new();
    let (mut low, mut high, mut messages) = (start, start, 0);
    for second in 1..=SECONDS {
        market.advance(after(second * 1_000_000), &mut out);
        messages += out.len() as u64;
        out.clear();
        if !second.is_multiple_of(300) {
            continue;
        }
        let snapshot = market.snapshot(FIRST, usize::MAX);
        let (bid, ask) = (snapshot.bids[0].price.0, snapshot.asks[0].price.0);
        assert!(bid < ask);
        assert!((ask - bid) * 200 < start, "the spread closes again");
        (low, high) = (low.min(bid), high.max(bid));
        for side in [&snapshot.bids, &snapshot.asks] {
            assert!((800..=8_000).contains(&side.len()), "{}", side.len());
        }
    }
    assert!(high - low > start / 200, "the price moves: {low} to {high}");
    assert!(
        high - low < start / 5,
        "the price stays near: {low} to {high}"
    );
    let per_second = messages / SECONDS;
    assert!((150..300).contains(&per_second), "{per_second}");
}

#[test]
fn a_damaged_profile_names_its_table() {
    let text = include_str!("profile/btcusdt.toml");
    assert!(SymbolProfile::parse(text).is_ok());
    let damaged = text.replacen("shift_ticks = [1, ", "shift_ticks = [0, ", 1);
    assert!(matches!(
        SymbolProfile::parse(&damaged),
        Err(ProfileError::Table {
            table: "shift_ticks",
            ..
        })
    ));
    let grid = text.replacen("tick_e8 = 1000000", "tick_e8 = 0", 1);
    assert!(matches!(
        SymbolProfile::parse(&grid),
        Err(ProfileError::Table {
            table: "tick_e8",
            ..
        })
    ));
    let falling = text.replacen("shift_ticks = [1, ", "shift_ticks = [9, ", 1);
    assert!(matches!(
        SymbolProfile::parse(&falling),
        Err(ProfileError::Form(_))
    ));
    let unknown = text.replacen("lot_e8", "lots_e8", 1);
    assert!(matches!(
        SymbolProfile::parse(&unknown),
        Err(ProfileError::Form(_))
    ));
}
