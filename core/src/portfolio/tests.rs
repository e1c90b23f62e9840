//! Scenarios of one account, and the sums against a recount under anything that can happen.

use super::*;
use crate::instrument::{Instrument, Symbol};
use crate::limits::CONVERSION_STEPS_MAX;
use crate::units::{E8_ONE, Lots};
use proptest::prelude::*;

const ONE: i64 = E8_ONE;
const CENT: i64 = 1_000_000;

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("short")
}

/// Cent ticks and lots of 1e-8.
fn pair(base: &str, quote: &str) -> Instrument {
    Instrument {
        base: symbol(base),
        quote: symbol(quote),
        ..crate::instrument::tests::instrument(&format!("{base}{quote}"), CENT, 1)
    }
}

struct Account {
    instruments: Instruments,
    assets: Assets,
    portfolio: Portfolio,
}

impl Account {
    fn build(
        pairs: &[(&str, &str)],
        currency: &str,
        baselines: &[(&str, i64)],
    ) -> Result<Self, NoConversion> {
        let list = pairs.iter().map(|(base, quote)| pair(base, quote));
        let instruments = Instruments::new(list.collect()).expect("few");
        let assets = Assets::new(&instruments, &[symbol("BNB"), symbol(currency)]);
        let find = |name: &str| assets.find(name.as_bytes()).expect("named");
        let config = PortfolioConfig {
            account_currency: find(currency),
            // Everything is a position unless a test says otherwise.
            baselines: assets
                .iter()
                .map(|(asset, name)| {
                    let listed = baselines
                        .iter()
                        .find(|(listed, _)| *listed == name.as_str());
                    (asset, E8(listed.map_or(0, |&(_, amount)| amount)))
                })
                .collect(),
        };
        let portfolio = Portfolio::new(&instruments, &assets, config)?;
        Ok(Self {
            instruments,
            assets,
            portfolio,
        })
    }

    fn new(pairs: &[(&str, &str)], currency: &str) -> Self {
        Self::build(pairs, currency, &[]).expect("all convert")
    }

    /// Bitcoin and bnb against tether, started at 1,000 with 1 BTC, 1 BNB and 100,000 USDT, marked at 50,000 and 500.
    fn usual() -> Self {
        let mut account = Self::new(&[("BTC", "USDT"), ("BNB", "USDT")], "USDT");
        for (name, amount) in [("BTC", ONE), ("BNB", ONE), ("USDT", 100_000 * ONE)] {
            assert_eq!(account.told(name, amount, 0, 1_000), BalanceChange::First);
        }
        account.portfolio.listed(VenueMillis(1_000));
        account.portfolio.start(&[]);
        account.mark("BTCUSDT", 5_000_000, 5_000_000);
        account.mark("BNBUSDT", 50_000, 50_000);
        account
    }

    fn asset(&self, name: &str) -> AssetIndex {
        self.assets.find(name.as_bytes()).expect("named")
    }

    fn instrument(&self, name: &str) -> InstrumentIndex {
        self.instruments.find(name).expect("named")
    }

    fn told(&mut self, name: &str, free: i64, locked: i64, as_of: u64) -> BalanceChange {
        let balance = Balance {
            asset: self.asset(name),
            free: E8(free),
            locked: E8(locked),
        };
        let change = self.portfolio.balance(balance, VenueMillis(as_of));
        self.portfolio.assert_invariants();
        change
    }

    fn mark(&mut self, name: &str, bid: i64, ask: i64) {
        let instrument = self.instrument(name);
        self.portfolio.mark(instrument, Ticks(bid), Ticks(ask));
        self.portfolio.assert_invariants();
    }

    /// `qty` in whole coins' 1e-8, `ticks` in cents.
    fn fill(
        &mut self,
        name: &str,
        side: Side,
        qty: i64,
        ticks: i64,
        fee: (i64, &str),
        at: u64,
    ) -> Booked {
        let fill = Fill {
            trade_id: at,
            price: Ticks(ticks),
            qty: Lots(qty),
            fee: E8(fee.0),
            fee_asset: self.assets.find(fee.1.as_bytes()),
            is_maker: false,
            at: VenueMillis(at),
        };
        let booked = self.portfolio.fill(self.instrument(name), side, &fill);
        self.portfolio.assert_invariants();
        booked
    }

    fn total(&self, name: &str) -> i64 {
        self.portfolio.total(self.asset(name)).0
    }

    fn figures(&self, name: &str) -> Figures {
        self.portfolio.figures(self.instrument(name))
    }

    fn worth(&self, name: &str, amount: i64) -> Option<i64> {
        let worth = self
            .portfolio
            .in_account_currency(self.asset(name), E8(amount));
        worth.map(|worth| worth.0)
    }
}

const NO_FEE: (i64, &str) = (0, "");

#[test]
fn assets_convert_along_the_shortest_way_directly_or_inversely() {
    let mut account = Account::new(
        &[
            ("EUR", "USDT"),
            ("BTC", "USDT"),
            ("ETH", "BTC"),
            ("ETH", "USDT"),
            ("BTC", "TRY"),
        ],
        "EUR",
    );
    assert_eq!(account.worth("EUR", 7), Some(7));
    assert_eq!(account.worth("USDT", ONE), None);
    account.mark("EURUSDT", 124, 126);
    assert_eq!(account.worth("USDT", 5 * ONE), Some(4 * ONE));
    account.mark("BTCUSDT", 5_000_000, 5_000_000);
    assert_eq!(account.worth("BTC", ONE), Some(40_000 * ONE));
    // Not by way of BTC, whose mark with ETH is absurd.
    account.mark("ETHBTC", 100, 100);
    assert_eq!(account.worth("ETH", ONE), None);
    account.mark("ETHUSDT", 250_000, 250_000);
    assert_eq!(account.worth("ETH", ONE), Some(2_000 * ONE));
    // Lira through bitcoin and tether: inverse, direct, inverse.
    account.mark("BTCTRY", 200_000_000, 200_000_000);
    assert_eq!(account.worth("TRY", 50 * ONE), Some(ONE));
    // A mark moves what lies behind it.
    account.mark("EURUSDT", 250, 250);
    assert_eq!(account.worth("TRY", 50 * ONE), Some(ONE / 2));
    // Half ticks count.
    account.mark("BTCUSDT", 5_000_000, 5_000_001);
    assert_eq!(account.worth("BTC", ONE), Some(20_000 * ONE + ONE / 500));
    assert_eq!(
        account
            .portfolio
            .mark_half_ticks(account.instrument("BTCUSDT")),
        Some(10_000_001)
    );
    assert_eq!(
        account.portfolio.mark_price(account.instrument("BTCUSDT")),
        Some(E8(50_000 * ONE + ONE / 200))
    );
    // BNB is known, held by nobody, and needs no conversion.
    assert_eq!(account.worth("BNB", ONE), None);
}

#[test]
fn an_asset_without_conversion_fails_the_start() {
    let apart = Account::build(&[("BTC", "USDT"), ("ETH", "EUR")], "USDT", &[]);
    let Err(refused) = apart else {
        panic!("EUR does not convert")
    };
    assert_eq!(
        (refused.asset, refused.account_currency),
        (symbol("ETH"), symbol("USDT"))
    );
    let far = ["A", "B", "C", "D", "E", "F"];
    let chain: Vec<_> = far.windows(2).map(|two| (two[0], two[1])).collect();
    assert!(Account::build(&chain[..CONVERSION_STEPS_MAX], "A", &[]).is_ok());
    assert!(Account::build(&chain, "A", &[]).is_err());
}

#[test]
fn what_is_above_the_baseline_is_a_position_from_its_first_mark() {
    let baselines = [("BTC", 3 * ONE)];
    let mut account =
        Account::build(&[("BTC", "USDT"), ("BTC", "TRY")], "USDT", &baselines).expect("converts");
    assert_eq!(account.told("BTC", 5 * ONE, 0, 10), BalanceChange::First);
    assert_eq!(account.portfolio.equity(), None);
    account.portfolio.listed(VenueMillis(10));
    account.portfolio.start(&[]);
    let btc = account.instrument("BTCUSDT");
    assert_eq!(account.portfolio.position(btc).qty(), E8(2 * ONE));
    assert_eq!(account.portfolio.position(btc).average_entry(), None);
    assert_eq!(account.portfolio.position_value(btc), None);
    assert_eq!(account.portfolio.exposure().unmarked, 1);
    let other = account.instrument("BTCTRY");
    assert_eq!(account.portfolio.position(other).qty(), E8(0));

    account.mark("BTCUSDT", 5_000_000, 5_000_000);
    assert_eq!(
        account.portfolio.position(btc).average_entry(),
        Some(E8(50_000 * ONE))
    );
    assert_eq!(account.portfolio.equity(), Some(E8(250_000 * ONE)));
    account.mark("BTCUSDT", 5_100_000, 5_100_000);
    assert_eq!(account.portfolio.unrealized(btc), Some(E8(2_000 * ONE)));
    assert_eq!(account.figures("BTCUSDT").unrealized, E8(2_000 * ONE));
    let exposure = account.portfolio.exposure();
    assert_eq!((exposure.long, exposure.short), (E8(102_000 * ONE), E8(0)));
    assert_eq!(exposure.unmarked, 0);

    // Below the baseline is short.
    let _ = account.fill("BTCUSDT", Side::Sell, 3 * ONE, 5_100_000, NO_FEE, 20);
    let exposure = account.portfolio.exposure();
    assert_eq!((exposure.long, exposure.short), (E8(0), E8(51_000 * ONE)));
    assert_eq!(
        (exposure.gross(), exposure.net()),
        (E8(51_000 * ONE), E8(-51_000 * ONE))
    );
    assert_eq!(account.portfolio.equity(), Some(E8(255_000 * ONE)));
}

#[test]
fn fees_in_base_quote_and_a_third_asset_go_where_they_are_taken_from() {
    let mut account = Account::usual();
    let btc = account.instrument("BTCUSDT");
    assert_eq!(account.portfolio.equity(), Some(E8(150_500 * ONE)));

    let booked = account.fill(
        "BTCUSDT",
        Side::Buy,
        ONE,
        5_000_000,
        (ONE / 1_000, "BTC"),
        1_010,
    );
    assert_eq!(booked, Booked::Counted { realized: E8(0) });
    assert_eq!(account.total("BTC"), 2 * ONE - ONE / 1_000);
    assert_eq!(account.total("USDT"), 50_000 * ONE);
    assert_eq!(
        account.portfolio.position(btc).qty(),
        E8(2 * ONE - ONE / 1_000)
    );
    assert_eq!(account.figures("BTCUSDT").fees, E8(50 * ONE));

    let booked = account.fill(
        "BTCUSDT",
        Side::Sell,
        ONE,
        5_010_000,
        (50 * ONE, "USDT"),
        1_020,
    );
    assert_eq!(
        booked,
        Booked::Counted {
            realized: E8(100 * ONE)
        }
    );
    assert_eq!(account.total("USDT"), 100_050 * ONE);
    assert_eq!(account.figures("BTCUSDT").fees, E8(100 * ONE));

    let _ = account.fill(
        "BTCUSDT",
        Side::Sell,
        ONE / 2,
        4_990_000,
        (ONE / 10, "BNB"),
        1_030,
    );
    assert_eq!(account.total("BNB"), ONE - ONE / 10);
    let bnb = account.instrument("BNBUSDT");
    assert_eq!(account.portfolio.position(bnb).qty(), E8(ONE));
    let figures = account.figures("BTCUSDT");
    assert_eq!(figures.fees, E8(150 * ONE));
    assert_eq!(figures.realized, E8(50 * ONE));
    assert_eq!(
        (figures.realized_profit, figures.realized_loss),
        (E8(100 * ONE), E8(50 * ONE))
    );
    assert_eq!((figures.won, figures.lost, figures.even), (1, 1, 0));
    assert_eq!(account.portfolio.figures_total(), figures);
    // All fees and results are in equity, nothing else is.
    let expected = 150_500 * ONE - 150 * ONE + 50 * ONE;
    assert_eq!(account.portfolio.equity(), Some(E8(expected)));
}

#[test]
fn what_nothing_can_value_yet_waits_for_its_mark() {
    let mut account = Account::new(&[("ETH", "BTC"), ("BTC", "USDT"), ("BNB", "USDT")], "USDT");
    for name in ["ETH", "BTC", "BNB", "USDT"] {
        assert_eq!(account.told(name, 10 * ONE, 0, 10), BalanceChange::First);
    }
    account.portfolio.listed(VenueMillis(10));
    account.portfolio.start(&[]);
    account.mark("ETHBTC", 10, 10);
    let _ = account.fill("ETHBTC", Side::Sell, ONE, 20, (ONE, "BNB"), 20);
    account
        .portfolio
        .flow(account.asset("BNB"), E8(ONE), VenueMillis(21));
    let eth = account.instrument("ETHBTC");
    assert_eq!(account.portfolio.position(eth).realized(), E8(ONE / 10));
    assert_eq!(account.figures("ETHBTC").realized, E8(0));
    assert_eq!(account.portfolio.equity(), None);
    assert_eq!(
        account.portfolio.fees_unvalued(account.asset("BNB")),
        E8(ONE)
    );

    account.mark("BTCUSDT", 5_000_000, 5_000_000);
    assert_eq!(account.figures("ETHBTC").realized, E8(5_000 * ONE));
    assert_eq!(account.portfolio.equity(), None);
    account.mark("BNBUSDT", 50_000, 50_000);
    assert_eq!(account.portfolio.fees_unvalued(account.asset("BNB")), E8(0));
    assert_eq!(account.figures("ETHBTC").fees, E8(0));
    assert_eq!(account.portfolio.figures_total().fees, E8(500 * ONE));
    // 9 ETH at 0.1 BTC, 10.2 BTC, 10 BNB, 10 USDT.
    let expected = (9 * 5_000 + 510_000 + 5_000 + 10) * ONE;
    assert_eq!(account.portfolio.equity(), Some(E8(expected)));
}

#[test]
fn fills_that_the_start_contains_are_not_booked_again() {
    let mut account = Account::usual();
    let btc = account.instrument("BTCUSDT");
    for at in [900, 1_000] {
        let booked = account.fill("BTCUSDT", Side::Buy, ONE, 5_000_000, NO_FEE, at);
        assert_eq!(booked, Booked::Contained);
    }
    assert_eq!(account.portfolio.position(btc).qty(), E8(ONE));
    assert_eq!(
        (account.total("BTC"), account.total("USDT")),
        (ONE, 100_000 * ONE)
    );
    let booked = account.fill("BTCUSDT", Side::Buy, ONE, 5_000_000, NO_FEE, 1_001);
    assert_eq!(booked, Booked::Counted { realized: E8(0) });
    assert_eq!(
        (account.total("BTC"), account.total("USDT")),
        (2 * ONE, 50_000 * ONE)
    );
}

#[test]
fn a_fill_found_after_the_balances_that_hold_it_is_no_flow() {
    let mut account = Account::usual();
    let _ = account.portfolio.observe(0);
    // The link was down: the account shows what a fill at 1,500 did before the fill is found.
    let btc = BalanceChange::Differed { by: E8(ONE) };
    assert_eq!(account.told("BTC", 2 * ONE, 0, 1_500), btc);
    let usdt = BalanceChange::Differed {
        by: E8(-50_000 * ONE),
    };
    assert_eq!(account.told("USDT", 50_000 * ONE, 0, 1_500), usdt);
    account.mark("BTCUSDT", 5_200_000, 5_200_000);
    let before = account.portfolio.equity();
    let _ = account.fill("BTCUSDT", Side::Buy, ONE, 5_000_000, NO_FEE, 1_500);
    assert_eq!(account.portfolio.equity(), before);
    assert_eq!(
        (account.total("BTC"), account.total("USDT")),
        (2 * ONE, 50_000 * ONE)
    );
    // Both coins are worth 2,000 more than they cost.
    assert_eq!(account.portfolio.day_change(), Some(E8(4_000 * ONE)));
    assert_eq!(account.portfolio.day_flows(), E8(0));
}

#[test]
fn deposits_and_what_nobody_explains_are_flows() {
    let mut account = Account::usual();
    let usdt = account.asset("USDT");
    assert!(account.portfolio.observe(86_400_000));
    account
        .portfolio
        .flow(usdt, E8(1_000 * ONE), VenueMillis(1_100));
    assert_eq!(account.portfolio.day_flows(), E8(1_000 * ONE));
    assert_eq!(
        account.told("USDT", 101_000 * ONE, 0, 1_100),
        BalanceChange::Agreed
    );
    // This time the amount comes before the announcement, and is half a bitcoin.
    let differed = BalanceChange::Differed { by: E8(ONE / 2) };
    assert_eq!(account.told("BTC", ONE, ONE / 2, 1_200), differed);
    account
        .portfolio
        .flow(account.asset("BTC"), E8(ONE / 2), VenueMillis(1_200));
    assert_eq!(account.total("BTC"), ONE + ONE / 2);
    assert_eq!(account.portfolio.day_flows(), E8(26_000 * ONE));
    assert_eq!(account.portfolio.day_change(), Some(E8(0)));
    assert_eq!(account.portfolio.peak_equity(), account.portfolio.equity());

    account.mark("BTCUSDT", 4_900_000, 4_900_000);
    assert_eq!(account.portfolio.day_change(), Some(E8(-1_500 * ONE)));
    // 1,500 of 176,500.
    assert_eq!(account.portfolio.drawdown_bps(), Some(84));
    let saved = account.portfolio.to_save().expect("known");
    assert_eq!(saved.day_start_equity, E8(150_500 * ONE));
    assert_eq!(saved.flows, E8(26_000 * ONE));

    let mut next = Account::usual();
    next.portfolio.restore(saved);
    assert!(!next.portfolio.observe(2 * 86_400_000 - 1));
    assert_eq!(next.portfolio.day_change(), Some(E8(-26_000 * ONE)));
    assert_eq!(
        next.portfolio.drawdown_bps(),
        Some(next.portfolio.drawdown_max_bps())
    );
    assert!(next.portfolio.observe(2 * 86_400_000));
    assert_eq!(next.portfolio.day_change(), Some(E8(0)));
}

#[test]
fn what_is_available_is_bound_by_our_orders_and_by_the_venues_word() {
    let mut account = Account::usual();
    let usdt = account.asset("USDT");
    let available =
        |account: &Account, reserved: i64| account.portfolio.available(usdt, E8(reserved)).0;
    assert_eq!(available(&account, 0), 100_000 * ONE);
    assert_eq!(available(&account, 30_000 * ONE), 70_000 * ONE);
    let _ = account.told("USDT", 60_000 * ONE, 40_000 * ONE, 1_100);
    assert_eq!(available(&account, 30_000 * ONE), 60_000 * ONE);
    assert_eq!(account.portfolio.free(usdt), E8(60_000 * ONE));
    assert_eq!(account.portfolio.locked(usdt), E8(40_000 * ONE));
    assert_eq!(available(&account, 200_000 * ONE), 0);
}

#[test]
#[should_panic(expected = "balances come before fills")]
fn fills_before_the_start_are_a_mistake() {
    let mut account = Account::new(&[("BTC", "USDT")], "USDT");
    let _ = account.fill("BTCUSDT", Side::Buy, ONE, 1, NO_FEE, 1);
}

#[derive(Clone, Debug)]
enum Op {
    Fill {
        pair: usize,
        is_sell: bool,
        qty: i64,
        ticks: i64,
        fee: i64,
        fee_asset: usize,
        ago: u64,
    },
    Mark {
        pair: usize,
        bid: i64,
        spread: i64,
    },
    Flow {
        asset: usize,
        delta: i64,
    },
    Told {
        asset: usize,
        free: i64,
        locked: i64,
        ago: u64,
    },
    Observe(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let fill = (0..4usize, any::<bool>(), 1..=10 * ONE, 1..=1_000_000i64)
        .prop_flat_map(|fill| (Just(fill), 0..=ONE, 0..5usize, 0..4u64))
        .prop_map(
            |((pair, is_sell, qty, ticks), fee, fee_asset, ago)| Op::Fill {
                pair,
                is_sell,
                qty,
                ticks,
                fee,
                fee_asset,
                ago,
            },
        );
    let mark = (0..4usize, 1..=1_000_000i64, 0..=3i64).prop_map(|(pair, bid, spread)| Op::Mark {
        pair,
        bid,
        spread,
    });
    let flow = (0..5usize, -ONE..=ONE).prop_map(|(asset, delta)| Op::Flow { asset, delta });
    let told =
        (0..5usize, 0..=1_000 * ONE, 0..=ONE, 0..4u64).prop_map(|(asset, free, locked, ago)| {
            Op::Told {
                asset,
                free,
                locked,
                ago,
            }
        });
    prop_oneof![4 => fill, 4 => mark, 1 => flow, 1 => told, 1 => (0..100u64).prop_map(Op::Observe)]
}

proptest! {
    /// Whatever happens in whatever order: the sums are those of a recount, and what must not fall does not.
    #[test]
    fn sums_agree_with_a_recount(ops in proptest::collection::vec(op(), 1..60)) {
        let pairs = [("BTC", "USDT"), ("ETH", "BTC"), ("BNB", "USDT"), ("ETH", "USDT")];
        let names = ["BTCUSDT", "ETHBTC", "BNBUSDT", "ETHUSDT"];
        let assets = ["BTC", "ETH", "BNB", "USDT", "nothing"];
        let mut account = Account::new(&pairs, "USDT");
        account.portfolio.listed(VenueMillis(10));
        account.portfolio.start(&[]);
        let (mut at, mut day) = (10u64, 0);
        let mut before = Figures::default();
        for op in ops {
            at += 2;
            match op {
                Op::Fill { pair, is_sell, qty, ticks, fee, fee_asset, ago } => {
                    let side = if is_sell { Side::Sell } else { Side::Buy };
                    let fee = if assets[fee_asset] == "nothing" { 0 } else { fee };
                    let fee = (fee, assets[fee_asset]);
                    let _ = account.fill(names[pair], side, qty, ticks, fee, at - ago);
                }
                Op::Mark { pair, bid, spread } => account.mark(names[pair], bid, bid + spread),
                Op::Flow { asset, delta } => if let Some(asset) = account.assets.find(assets[asset].as_bytes()) {
                    account.portfolio.flow(asset, E8(delta), VenueMillis(at));
                },
                Op::Told { asset, free, locked, ago } => if assets[asset] != "nothing" {
                    let _ = account.told(assets[asset], free, locked, at - ago);
                },
                Op::Observe(hours) => {
                    day += hours * 3_600_000;
                    let _ = account.portfolio.observe(day);
                }
            }
            account.portfolio.assert_invariants();
            let now = account.portfolio.figures_total();
            prop_assert!(now.realized_profit >= before.realized_profit);
            prop_assert!(now.realized_loss >= before.realized_loss);
            prop_assert!(now.fees >= before.fees);
            prop_assert!(now.realized.0 <= now.realized_profit.0 - now.realized_loss.0 + 1);
            before = now;
        }
    }

    /// The account as a whole: what equity gained since everything was first marked is what trading made, and nothing
    /// else: realized plus unrealized minus fees, in account currency, to the rounding of what is shown.
    #[test]
    fn equity_gains_what_trading_makes(
        first in (1i64..=10_000_000, 1i64..=10_000_000),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let names = ["BTCUSDT", "BNBUSDT"];
        let mut account = Account::new(&[("BTC", "USDT"), ("BNB", "USDT")], "USDT");
        for (name, amount) in [("BTC", 1_000 * ONE), ("BNB", 0), ("USDT", 5_000_000 * ONE)] {
            let _ = account.told(name, amount, 0, 10);
        }
        account.portfolio.listed(VenueMillis(10));
        account.portfolio.start(&[]);
        account.mark("BTCUSDT", first.0, first.0);
        account.mark("BNBUSDT", first.1, first.1 + 1);
        let begin = account.portfolio.equity().expect("marked");
        let mut at = 10;
        for op in ops {
            at += 1;
            match op {
                Op::Fill { pair, is_sell, qty, ticks, fee, fee_asset, .. } => {
                    let name = names[pair % 2];
                    let side = if is_sell { Side::Sell } else { Side::Buy };
                    let asset = if fee_asset % 2 == 0 { &name[..3] } else { "USDT" };
                    let _ = account.fill(name, side, qty, ticks, (fee, asset), at);
                }
                Op::Mark { pair, bid, spread } => {
                    account.mark(names[pair % 2], bid, bid + spread);
                }
                Op::Flow { .. } | Op::Told { .. } | Op::Observe(_) => {}
            }
            let gained = account.portfolio.equity().expect("marked").0 - begin.0;
            let figures = account.portfolio.figures_total();
            let made = figures.realized.0 + figures.unrealized.0 - figures.fees.0;
            prop_assert!((gained - made).abs() <= 3, "{gained} against {made}");
        }
    }
}

fn missed(account: &Account, name: &str, side: Side, qty: i64, ticks: i64, at: u64) -> Missed {
    Missed {
        instrument: account.instrument(name),
        side,
        fill: Fill {
            trade_id: at,
            price: Ticks(ticks),
            qty: Lots(qty),
            fee: E8(0),
            fee_asset: None,
            is_maker: false,
            at: VenueMillis(at),
        },
    }
}

/// Two instruments of one base, 3 BTC as of 1,000 above a baseline of 1.
fn restarted() -> Account {
    let pairs = [("BTC", "USDT"), ("BTC", "EUR"), ("EUR", "USDT")];
    let mut account = Account::build(&pairs, "USDT", &[("BTC", ONE)]).expect("all convert");
    for (name, amount) in [("BTC", 3 * ONE), ("EUR", 0), ("USDT", 100_000 * ONE)] {
        assert_eq!(account.told(name, amount, 0, 1_000), BalanceChange::First);
    }
    account.portfolio.listed(VenueMillis(1_000));
    account
}

#[test]
fn missed_fills_are_taken_out_of_what_was_there_and_booked() {
    let mut account = restarted();
    let list = [
        missed(&account, "BTCUSDT", Side::Buy, 2 * ONE, 5_000_000, 900),
        missed(&account, "BTCUSDT", Side::Sell, ONE, 5_100_000, 950),
        missed(&account, "BTCEUR", Side::Buy, ONE / 2, 4_000_000, 990),
        // After the balances, told before the start.
        missed(&account, "BTCUSDT", Side::Sell, ONE / 4, 5_200_000, 1_001),
    ];
    let [.., later] = &list;
    account
        .portfolio
        .moved_by(later.instrument, later.side, &later.fill);
    account.portfolio.start(&list);
    account.portfolio.assert_invariants();
    let position = |name: &str| *account.portfolio.position(account.instrument(name));
    // Half a bitcoin was there before all of them, at the price of the first: 0.5 + 2 - 1 - 0.25.
    let first = position("BTCUSDT");
    assert_eq!(first.qty(), E8(ONE + ONE / 4));
    assert_eq!(first.average_entry(), Some(E8(50_000 * ONE)));
    assert_eq!(first.realized(), E8(1_000 * ONE + 500 * ONE));
    assert_eq!(position("BTCEUR").qty(), E8(ONE / 2));
    assert_eq!(account.total("BTC"), 3 * ONE - ONE / 4);
    let both = first.qty().0 + position("BTCEUR").qty().0;
    assert_eq!(both, account.total("BTC") - ONE);
}

#[test]
fn a_contained_fill_found_late_changes_no_quantity() {
    let mut account = restarted();
    account.portfolio.start(&[]);
    account.mark("BTCUSDT", 5_000_000, 5_000_000);
    let sold = missed(&account, "BTCUSDT", Side::Sell, ONE, 5_300_000, 800);
    let (instrument, side) = (sold.instrument, sold.side);
    assert_eq!(
        account.portfolio.fill(instrument, side, &sold.fill),
        Booked::Contained
    );
    account.portfolio.late(instrument, side, &sold.fill);
    account.portfolio.assert_invariants();
    let position = account.portfolio.position(instrument);
    assert_eq!(position.qty(), E8(2 * ONE));
    assert_eq!(position.average_entry(), Some(E8(50_000 * ONE)));
    // Three were held at 50,000, and one of them went at 53,000.
    assert_eq!(position.realized(), E8(3_000 * ONE));
    assert_eq!(account.total("BTC"), 3 * ONE);
}

#[test]
fn amounts_told_between_balances_and_start_are_no_part_of_what_was_there() {
    let mut account = restarted();
    let bought = missed(&account, "BTCUSDT", Side::Buy, ONE, 5_000_000, 1_005);
    account
        .portfolio
        .moved_by(bought.instrument, bought.side, &bought.fill);
    assert_eq!(
        account.told("BTC", 4 * ONE, 0, 1_005),
        BalanceChange::Agreed
    );
    account.portfolio.start(&[bought]);
    let position = account.portfolio.position(bought.instrument);
    assert_eq!(position.qty(), E8(3 * ONE));
    assert_eq!(account.total("BTC"), 4 * ONE);
}
