//! Golden values, edge cases, and the recorder against the plain functions.

use super::equity::EQUITY_BINS_MAX;
use super::*;
use Confidence::{P95, P99};
use proptest::prelude::*;
use veloz_core::units::{E8, E8_ONE};

/// Returns whose figures three well-known libraries agree on.
const RETURNS: [f64; 20] = [
    0.012, -0.008, 0.005, 0.0, -0.021, 0.017, 0.003, -0.004, 0.009, -0.013, 0.022, -0.006, 0.001,
    -0.030, 0.011, 0.008, -0.002, 0.014, -0.009, 0.006,
];

/// Equal to the last printed digit of a value with `digits` significant ones.
#[track_caller]
fn printed(got: f64, expected: f64, digits: i32) {
    let magnitude = expected.abs().log10().floor() as i32 + 1;
    let unit = 10f64.powi(magnitude - digits);
    assert!(
        (got - expected).abs() <= unit / 2.0 * 1.000_001,
        "{got} is not {expected} to {digits} digits"
    );
}

#[test]
fn golden_values_to_the_printed_digit() {
    let sorted = moments::sorted(&RETURNS);
    printed(moments::mean(&RETURNS), 0.00075, 12);
    printed(moments::deviation(&RETURNS, 1), 0.0128754151696, 12);
    printed(moments::deviation(&RETURNS, 0), 0.0125494023762, 12);
    printed(moments::quantile(&sorted, 0.05), -0.02145, 12);
    printed(moments::quantile(&sorted, 0.01), -0.02829, 12);

    printed(tail::historical_var(&sorted, P95), 0.02145, 12);
    printed(tail::historical_var(&sorted, P99), 0.02829, 12);
    printed(tail::expected_shortfall(&sorted, P95), 0.03, 12);
    printed(tail::expected_shortfall(&sorted, P99), 0.03, 12);
    printed(tail::parametric_var(&RETURNS, P95), 0.0204281733402, 12);
    printed(tail::parametric_var(&RETURNS, P99), 0.0292026947072, 12);
    printed(
        tail::parametric_shortfall(&RETURNS, P95),
        0.0258082837723,
        12,
    );

    let (year, trading) = (365.0, 252.0);
    printed(performance::sharpe(&RETURNS, 0.0, year), 1.11287517274, 12);
    printed(
        performance::sharpe(&RETURNS, 0.0, trading),
        0.92469879557,
        11,
    );
    printed(performance::sortino(&RETURNS, 0.0, year), 1.54916504349, 12);
    printed(
        performance::sortino(&RETURNS, 0.0, trading),
        1.2872162889,
        11,
    );
    printed(
        performance::downside_risk(&RETURNS, 0.0, year),
        0.176708092627,
        12,
    );
    printed(
        performance::downside_risk(&RETURNS, 0.0, trading),
        0.146828471353,
        12,
    );
    let growth = performance::cagr(&RETURNS, year);
    printed(growth, 0.2773603032, 10);
    printed(performance::cagr(&RETURNS, trading), 0.184131534835, 12);
    let drawdown = performance::max_drawdown(&RETURNS);
    printed(drawdown, 0.03485582, 10);
    printed(performance::calmar(growth, drawdown), 7.95735986703, 12);
    let calmar = performance::calmar(performance::cagr(&RETURNS, trading), drawdown);
    printed(calmar, 5.28266254632, 12);

    let outcomes = Outcomes::of(&RETURNS);
    printed(outcomes.win_rate(), 0.578947368421, 12);
    printed(outcomes.profit_factor(), 1.16129032258, 12);

    let positions = [120_000.0, -80_000.0, 30_000.0, -10_000.0];
    let exposure = Exposure::of(&positions, 100_000.0);
    let expected = Exposure {
        gross: 240_000.0,
        net: 60_000.0,
        long: 150_000.0,
        short: 90_000.0,
        leverage: 2.4,
        net_leverage: 0.6,
    };
    assert_eq!(exposure, expected);
    let concentration = Concentration::of(&positions);
    assert_eq!(concentration.positions, 4);
    printed(concentration.hhi, 0.378472222222, 12);
    printed(concentration.hhi_normalised, 0.171296296296, 12);
    printed(concentration.largest, 0.5, 12);
    printed(concentration.top_3, 0.958333333333, 12);
}

#[test]
fn what_is_not_defined_is_nan() {
    let figures = Figures::of(&RETURNS[..19], 365.0, 0.0, 0.0);
    assert!(figures.var_95.is_nan() && figures.shortfall_95.is_nan());
    assert!(figures.calmar.is_nan(), "without a drawdown");
    assert!(figures.parametric_var_95 > 0.0 && figures.sharpe > 0.0);
    let figures = Figures::of(&RETURNS, 365.0, 0.1, 0.0);
    assert!(figures.var_95 > 0.0 && figures.shortfall_95 > 0.0);
    assert!(figures.var_99.is_nan() && figures.shortfall_99.is_nan());
    let hundred: Vec<f64> = RETURNS.iter().copied().cycle().take(100).collect();
    assert!(Figures::of(&hundred, 365.0, 0.1, 0.0).var_99 > 0.0);

    // One third has no exact binary form, so the mean of equal values is not always one of them.
    let flat = [1.0 / 3.0; 7];
    assert!(performance::sharpe(&flat, 0.0, 365.0).is_nan());
    assert!(performance::sortino(&flat, 0.0, 365.0).is_nan(), "no loss");
    assert!(performance::sharpe(&[0.1], 0.0, 365.0).is_nan());
    assert!(performance::cagr(&[-1.5], 365.0).is_nan());
    assert_eq!(performance::cagr(&[-1.0, 0.5], 365.0), -1.0);

    let nothing = Figures::of(&[], 365.0, f64::NAN, f64::NAN);
    for (name, value) in [
        ("var", nothing.var_95),
        ("parametric", nothing.parametric_var_99),
        ("sharpe", nothing.sharpe),
        ("sortino", nothing.sortino),
        ("cagr", nothing.cagr),
        ("calmar", nothing.calmar),
        ("wins", nothing.win_rate),
        ("drawdown", performance::max_drawdown(&[])),
        ("quantile", moments::quantile(&[], 0.5)),
        ("mean", moments::mean(&[])),
    ] {
        assert!(value.is_nan(), "{name}: {value}");
    }
}

#[test]
fn wins_losses_exposure_and_concentration_at_their_edges() {
    assert_eq!(Outcomes::of(&[0.1, 0.0]).profit_factor(), f64::INFINITY);
    assert_eq!(Outcomes::of(&[-0.1]).profit_factor(), 0.0);
    assert_eq!(Outcomes::of(&[0.0, 0.0]).profit_factor(), 0.0);
    assert_eq!(Outcomes::of(&[0.1, 0.0]).win_rate(), 1.0);

    for equity in [0.0, -5.0, f64::NAN] {
        let exposure = Exposure::of(&[10.0, -4.0], equity);
        assert!(exposure.leverage.is_nan() && exposure.net_leverage.is_nan());
        assert_eq!((exposure.gross, exposure.net), (14.0, 6.0));
    }
    let none = Concentration::of(&[0.0]);
    assert_eq!(
        (none.positions, none.hhi, none.largest, none.top_3),
        (0, 0.0, 0.0, 0.0)
    );
    let one = Concentration::of(&[-7.0, 0.0]);
    assert_eq!(
        (one.positions, one.hhi, one.largest, one.top_3),
        (1, 1.0, 1.0, 1.0)
    );
    assert!(one.hhi_normalised.is_nan());
    let even = Concentration::of(&[5.0, -5.0]);
    assert_eq!((even.hhi, even.hhi_normalised), (0.5, 0.0));
}

const DAY_S: u64 = 86_400;

fn usd(whole: i64) -> E8 {
    E8(whole * E8_ONE)
}

#[test]
fn periods_close_at_midnight_and_the_first_one_only_starts_the_record() {
    let mut recorder = EquityRecorder::new(DAY_S);
    let at = |day: u64, hour: u64| (day * 24 + hour) * 3_600_000;
    assert_eq!(recorder.figures().returns, 0);
    assert!(recorder.figures().max_drawdown.is_nan());

    recorder.mark(at(10, 13), usd(900));
    recorder.mark(at(10, 23), usd(1_000));
    recorder.mark(at(11, 0), usd(1_050));
    assert!(recorder.returns().is_empty());
    recorder.mark(at(11, 20), usd(1_100));
    // A clock that goes back ends nothing.
    recorder.mark(at(10, 5), usd(1_100));
    // Nothing was marked on day 12.
    recorder.mark(at(13, 1), usd(1_210));
    recorder.mark(at(14, 1), usd(1_089));
    let returns = recorder.returns();
    assert_eq!(returns.len(), 2);
    printed(returns[0], 0.1, 12);
    printed(returns[1], 0.1, 12);
    let figures = recorder.figures();
    printed(figures.current_drawdown, 0.1, 12);
    printed(figures.max_drawdown, 0.1, 12);
    printed(figures.calmar, figures.cagr / 0.1, 12);
}

#[test]
fn money_paid_in_or_out_is_neither_gain_nor_loss() {
    let mut recorder = EquityRecorder::new(1);
    recorder.flow(usd(5));
    recorder.mark(1_000, usd(100));
    recorder.flow(usd(900));
    recorder.mark(1_500, usd(1_000));
    recorder.mark(2_000, usd(1_100));
    recorder.flow(usd(-1_000));
    recorder.mark(3_000, usd(110));
    recorder.mark(4_000, usd(110));
    let returns = recorder.returns();
    printed(returns[0], 0.1, 12);
    printed(returns[1], 0.1, 12);
    assert_eq!(recorder.figures().max_drawdown, 0.0);
    assert_eq!(recorder.equity(), Some(usd(110)));
}

#[test]
fn after_a_total_loss_the_record_starts_anew() {
    let mut recorder = EquityRecorder::new(1);
    recorder.mark(0, usd(0));
    assert_eq!(recorder.equity(), None, "nothing to follow yet");
    recorder.mark(1_000, usd(100));
    recorder.mark(2_000, usd(-3));
    assert_eq!(recorder.figures().current_drawdown, 1.0);
    recorder.mark(3_000, usd(0));
    assert_eq!(recorder.figures().max_drawdown, 1.0);
    recorder.mark(4_000, usd(50));
    assert_eq!(recorder.figures().max_drawdown, 0.0);
    assert!(recorder.returns().is_empty());

    // Taking everything out is no loss.
    recorder.flow(usd(-50));
    recorder.mark(5_000, usd(0));
    recorder.flow(usd(20));
    recorder.mark(6_000, usd(20));
    assert_eq!(recorder.figures().max_drawdown, 0.0);
    assert_eq!(recorder.returns(), [0.0]);
}

#[test]
fn the_oldest_close_goes_first_and_its_drawdown_is_remembered() {
    let mut recorder = EquityRecorder::new(1);
    recorder.mark(0, usd(200));
    for second in 1..EQUITY_BINS_MAX as u64 + 10 {
        recorder.mark(second * 1_000, usd(100));
    }
    assert_eq!(recorder.returns().len(), EQUITY_BINS_MAX - 1);
    assert!(recorder.returns().iter().all(|value| *value == 0.0));
    assert_eq!(recorder.figures().max_drawdown, 0.5);
}

#[test]
fn a_record_is_made_again_from_its_bins() {
    let mut recorder = EquityRecorder::new(DAY_S);
    let mut bins = Vec::new();
    for (day, equity, flows) in [
        (1, 1_000, 0),
        (2, 1_010, 0),
        (3, 950, 0),
        (5, 1_990, 1_000),
        (6, 2_001, 0),
    ] {
        recorder.flow(usd(flows));
        recorder.mark(day * DAY_S * 1_000, usd(equity));
        bins.push(EquityBin {
            index: day,
            equity: usd(equity),
            flows: usd(flows),
        });
    }
    // What a clock that went back left behind is not taken twice.
    bins.insert(3, bins[1]);
    let mut resumed = EquityRecorder::resumed(DAY_S, bins);
    for recorder in [&mut recorder, &mut resumed] {
        recorder.flow(usd(7));
        recorder.mark(7 * DAY_S * 1_000 + 5, usd(2_020));
    }
    assert_eq!(resumed.returns(), recorder.returns());
    assert_eq!(resumed.equity(), recorder.equity());
    assert_eq!(
        resumed.figures().max_drawdown,
        recorder.figures().max_drawdown
    );
}

fn returns() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-0.2f64..0.2, 1..150)
}

proptest! {
    /// A recorder that is marked once a period says what the plain functions say of the same returns.
    #[test]
    fn the_recorder_agrees_with_the_functions(returns in returns()) {
        let mut recorder = EquityRecorder::new(DAY_S);
        let mut equity = 1_000_000.0;
        let mark = |recorder: &mut EquityRecorder, day: usize, equity: f64| {
            recorder.mark(day as u64 * DAY_S * 1_000, E8((equity * 1e8) as i64));
        };
        mark(&mut recorder, 0, equity);
        for (day, value) in returns.iter().enumerate() {
            equity *= 1.0 + value;
            mark(&mut recorder, day + 1, equity);
        }
        mark(&mut recorder, returns.len() + 1, equity);
        let got = recorder.figures();
        let expected = Figures::of(
            &returns,
            365.0,
            performance::max_drawdown(&returns),
            performance::current_drawdown(&returns),
        );
        prop_assert_eq!(got.returns, expected.returns);
        for (got, expected) in [
            (got.var_95, expected.var_95),
            (got.var_99, expected.var_99),
            (got.shortfall_95, expected.shortfall_95),
            (got.parametric_var_99, expected.parametric_var_99),
            (got.sharpe, expected.sharpe),
            (got.cagr, expected.cagr),
            (got.max_drawdown, expected.max_drawdown),
            (got.current_drawdown, expected.current_drawdown),
            (got.win_rate, expected.win_rate),
            (got.profit_factor, expected.profit_factor),
        ] {
            let near = (got - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            prop_assert!(near || got == expected || (got.is_nan() && expected.is_nan()));
        }
    }

    #[test]
    fn shares_and_sums_keep_their_bounds(notionals in prop::collection::vec(-1e9f64..1e9, 0..40)) {
        let exposure = Exposure::of(&notionals, 1.0);
        prop_assert!(exposure.net.abs() <= exposure.gross * (1.0 + 1e-12));
        let spread = Concentration::of(&notionals);
        if spread.positions > 0 {
            let least = 1.0 / spread.positions as f64;
            prop_assert!(spread.hhi >= least * (1.0 - 1e-9) && spread.hhi <= 1.0 + 1e-9);
            prop_assert!(spread.largest <= spread.top_3 && spread.top_3 <= 1.0 + 1e-9);
        }
    }
}
