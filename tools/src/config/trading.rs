//! The sections that decide trading: the account, its orders, the strategy, and where state is kept.
//!
//! Owns: those sections, and what their words `auto` mean. Does not: know limits (`config/limits.rs`), or
//! read keys (`keys.rs`).

use super::limits::E8Text;
use super::{Config, ExecutionMode, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use veloz_core::instrument::Assets;
use veloz_core::order::SelfTradePrevention;
use veloz_core::strategy::{ImbalanceConfig, MarketMakerConfig, OutOfRange, StrategyConfig};
use veloz_core::units::{E8, Nanos};

/// `[account]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSection {
    /// Prefix of this instance's order ids at the venue.
    pub instance: String,
    /// The asset that equity, exposure and the global limits are counted in.
    pub currency: String,
    /// How old a request may be when the venue looks at it, in milliseconds.
    pub recv_window_ms: u64,
    /// Amounts that are no position, by asset; what is not named is what the account held at first sight.
    #[serde(default)]
    pub baselines: BTreeMap<String, E8Text>,
}

impl AccountSection {
    /// The configured baselines, by asset.
    ///
    /// # Errors
    /// One sentence when a baseline names an asset that this engine does not hold.
    pub fn baselines(&self, assets: &Assets) -> Result<Vec<Option<E8>>, String> {
        let mut found = vec![None; assets.count()];
        for (name, amount) in &self.baselines {
            let Some(asset) = assets.find(name.as_bytes()) else {
                let known: Vec<String> = assets.iter().map(|(_, name)| name.to_string()).collect();
                return Err(format!(
                    "`account.baselines.{name}` names an asset that no instrument of market_data.symbols has, expected one of {}",
                    known.join(", ")
                ));
            };
            found[asset.as_usize()] = Some(amount.0);
        }
        Ok(found)
    }
}

/// `[orders]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersSection {
    /// How long the venue may take to answer a new order, in milliseconds.
    pub answer_timeout_ms: u64,
    /// The same for a cancel.
    pub cancel_timeout_ms: u64,
    /// The same for an amend or a replacement.
    pub replace_timeout_ms: u64,
    /// What the venue is to do when an order of ours meets another.
    pub self_trade_prevention: SelfTradePreventionWord,
    /// How long the end of the process waits until no order is left, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// Age of the core's last turn at which it is taken for stuck, in milliseconds.
    pub heartbeat_bound_ms: u64,
}

/// [`SelfTradePrevention`] as the configuration spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfTradePreventionWord {
    /// Nothing.
    None,
    /// The taker's rest expires.
    ExpireTaker,
    /// What rests expires.
    ExpireMaker,
    /// Both expire.
    ExpireBoth,
    /// Both shrink.
    Decrement,
}

impl From<SelfTradePreventionWord> for SelfTradePrevention {
    fn from(word: SelfTradePreventionWord) -> Self {
        match word {
            SelfTradePreventionWord::None => Self::None,
            SelfTradePreventionWord::ExpireTaker => Self::ExpireTaker,
            SelfTradePreventionWord::ExpireMaker => Self::ExpireMaker,
            SelfTradePreventionWord::ExpireBoth => Self::ExpireBoth,
            SelfTradePreventionWord::Decrement => Self::Decrement,
        }
    }
}

/// `[strategy]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategySection {
    /// Which one.
    pub kind: StrategyWord,
    /// Parameters of the market maker.
    pub market_maker: MarketMakerSection,
    /// Parameters of the imbalance taker.
    pub imbalance: ImbalanceSection,
}

/// Which strategy is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyWord {
    /// The market maker on the embedded venue, none anywhere else.
    Auto,
    /// None: orders come from people.
    None,
    /// Two-sided quotes.
    MarketMaker,
    /// Takes on book imbalance.
    Imbalance,
}

/// `[strategy.market_maker]`; the keys are those of [`MarketMakerConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketMakerSection {
    quote_notional: E8Text,
    inventory_max_quotes: u32,
    risk_aversion_e6: u32,
    horizon_updates: u32,
    arrival_decay_e3: u32,
    volatility_half_life_updates: u32,
    warm_up_updates: u32,
    half_spread_min_ticks: u32,
    offset_max_ticks: u32,
    requote_ticks: u32,
    requote_percent: u32,
    requote_interval_ms: u64,
    book_age_max_ms: u64,
}

impl From<MarketMakerSection> for MarketMakerConfig {
    fn from(section: MarketMakerSection) -> Self {
        Self {
            quote_notional: section.quote_notional.0,
            inventory_max_quotes: section.inventory_max_quotes,
            risk_aversion_e6: section.risk_aversion_e6,
            horizon_updates: section.horizon_updates,
            arrival_decay_e3: section.arrival_decay_e3,
            volatility_half_life_updates: section.volatility_half_life_updates,
            warm_up_updates: section.warm_up_updates,
            half_spread_min_ticks: section.half_spread_min_ticks,
            offset_max_ticks: section.offset_max_ticks,
            requote_ticks: section.requote_ticks,
            requote_percent: section.requote_percent,
            requote_interval: Nanos::from_ms(section.requote_interval_ms),
            book_age_max: Nanos::from_ms(section.book_age_max_ms),
        }
    }
}

/// `[strategy.imbalance]`; the keys are those of [`ImbalanceConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImbalanceSection {
    levels: u32,
    enter_permille: i32,
    exit_permille: i32,
    order_notional: E8Text,
    position_max_orders: u32,
    cool_down_ms: u64,
    exit_interval_ms: u64,
    hold_max_ms: u64,
    book_age_max_ms: u64,
}

impl From<ImbalanceSection> for ImbalanceConfig {
    fn from(section: ImbalanceSection) -> Self {
        Self {
            levels: section.levels,
            enter_permille: section.enter_permille,
            exit_permille: section.exit_permille,
            order_notional: section.order_notional.0,
            position_max_orders: section.position_max_orders,
            cool_down: Nanos::from_ms(section.cool_down_ms),
            exit_interval: Nanos::from_ms(section.exit_interval_ms),
            hold_max: Nanos::from_ms(section.hold_max_ms),
            book_age_max: Nanos::from_ms(section.book_age_max_ms),
        }
    }
}

impl StrategySection {
    /// What its strategies say against their parameters, each with the table that it stands in.
    pub fn faults(&self) -> Vec<(&'static str, OutOfRange)> {
        let market_maker = MarketMakerConfig::from(self.market_maker).validate();
        let imbalance = ImbalanceConfig::from(self.imbalance).validate();
        let faults = [
            ("strategy.market_maker", market_maker),
            ("strategy.imbalance", imbalance),
        ];
        faults
            .into_iter()
            .filter_map(|(table, checked)| Some((table, checked.err()?)))
            .collect()
    }
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSection {
    /// The directory, or `auto`.
    pub dir: PathBuf,
}

/// `[analytics]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsSection {
    /// Length of a period in seconds; zero lets the venue decide.
    pub period_s: u32,
}

/// Where what outlives a restart is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// Nowhere: the simulated account ends with the process.
    Nowhere,
    /// In this directory.
    Directory(PathBuf),
}

/// No directory can be chosen for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`state.dir` is \"auto\", but none of the environment variables STATE_DIRECTORY, XDG_STATE_HOME and HOME names an absolute path; set state.dir"
)]
pub struct NoStateDirectory;

impl Config {
    /// The strategy that runs.
    pub fn strategy(&self) -> StrategyConfig {
        let market_maker = || StrategyConfig::MarketMaker(self.strategy.market_maker.into());
        match self.strategy.kind {
            StrategyWord::Auto => match self.venue.source {
                Source::Embedded => market_maker(),
                Source::Binance => StrategyConfig::None,
            },
            StrategyWord::None => StrategyConfig::None,
            StrategyWord::MarketMaker => market_maker(),
            StrategyWord::Imbalance => StrategyConfig::Imbalance(self.strategy.imbalance.into()),
        }
    }

    /// Length of a period of the track record in seconds, above zero.
    pub fn analytics_period_s(&self) -> u32 {
        const DAY_S: u32 = 86_400;
        match (self.analytics.period_s, self.venue.source) {
            (0, Source::Embedded) => 1,
            (0, Source::Binance) => DAY_S,
            (period_s, _) => period_s,
        }
    }

    /// Where the state is kept: the configured directory; else, where orders are simulated, nowhere; else
    /// systemd's `$STATE_DIRECTORY`, else `veloz` in `$XDG_STATE_HOME`, else `~/.local/state/veloz`.
    /// `variable` looks an environment variable up.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when the environment names none of them.
    pub fn state_place(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<StatePlace, NoStateDirectory> {
        let simulated = self.venue.execution_mode == ExecutionMode::SimEngine;
        if simulated && self.state.dir == Path::new(AUTO) {
            return Ok(StatePlace::Nowhere);
        }
        self.state_directory(variable).map(StatePlace::Directory)
    }

    /// The same for what is kept of simulated orders too.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when the environment names none of them.
    pub fn state_directory(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<PathBuf, NoStateDirectory> {
        if self.state.dir != Path::new(AUTO) {
            return Ok(self.state.dir.clone());
        }
        let absolute = |name: &str| {
            variable(name)
                // systemd separates several directories by colons; the first is the unit's own.
                .and_then(|text| text.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute())
        };
        absolute("STATE_DIRECTORY")
            .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join("veloz")))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state/veloz")))
            .ok_or(NoStateDirectory)
    }
}

/// The word that lets the program choose.
const AUTO: &str = "auto";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;
    use veloz_core::instrument::{Instruments, Symbol};

    fn config(text: &str) -> Config {
        load_text("test.toml", text).expect("valid").config
    }

    const TESTNET: &str =
        "[venue]\nsource = \"binance\"\nexecution_mode = \"binance_testnet_spot\"\n";

    #[test]
    fn a_strategy_trades_by_itself_on_the_embedded_venue_alone() {
        let market_maker = StrategyConfig::MarketMaker(MarketMakerConfig::default());
        let imbalance = StrategyConfig::Imbalance(ImbalanceConfig::default());
        assert_eq!(config("").strategy(), market_maker);
        assert_eq!(config(TESTNET).strategy(), StrategyConfig::None);
        let paper = "[venue]\nsource = \"binance\"\n";
        assert_eq!(config(paper).strategy(), StrategyConfig::None);
        let chosen = format!("{TESTNET}[strategy]\nkind = \"imbalance\"\n");
        assert_eq!(config(&chosen).strategy(), imbalance);
        let chosen = format!("{TESTNET}[strategy]\nkind = \"market_maker\"\n");
        assert_eq!(config(&chosen).strategy(), market_maker);
        let none = "[strategy]\nkind = \"none\"\n";
        assert_eq!(config(none).strategy(), StrategyConfig::None);
    }

    #[test]
    fn every_parameter_reaches_its_strategy() {
        let text = "[strategy]\nkind = \"market_maker\"\n[strategy.market_maker]\nquote_notional = \"1.5\"\n\
                    inventory_max_quotes = 2\nrisk_aversion_e6 = 3\nhorizon_updates = 4\narrival_decay_e3 = 5\n\
                    volatility_half_life_updates = 6\nwarm_up_updates = 7\nhalf_spread_min_ticks = 8\n\
                    offset_max_ticks = 9\nrequote_ticks = 10\nrequote_percent = 11\nrequote_interval_ms = 12\n\
                    book_age_max_ms = 13\n";
        assert_eq!(
            config(text).strategy(),
            StrategyConfig::MarketMaker(MarketMakerConfig {
                quote_notional: E8(150_000_000),
                inventory_max_quotes: 2,
                risk_aversion_e6: 3,
                horizon_updates: 4,
                arrival_decay_e3: 5,
                volatility_half_life_updates: 6,
                warm_up_updates: 7,
                half_spread_min_ticks: 8,
                offset_max_ticks: 9,
                requote_ticks: 10,
                requote_percent: 11,
                requote_interval: Nanos::from_ms(12),
                book_age_max: Nanos::from_ms(13),
            })
        );
        let text = "[strategy]\nkind = \"imbalance\"\n[strategy.imbalance]\nlevels = 1\nenter_permille = 2\n\
                    exit_permille = -3\norder_notional = 4\nposition_max_orders = 5\ncool_down_ms = 6\n\
                    exit_interval_ms = 7\nhold_max_ms = 8\nbook_age_max_ms = 9\n";
        assert_eq!(
            config(text).strategy(),
            StrategyConfig::Imbalance(ImbalanceConfig {
                levels: 1,
                enter_permille: 2,
                exit_permille: -3,
                order_notional: E8(400_000_000),
                position_max_orders: 5,
                cool_down: Nanos::from_ms(6),
                exit_interval: Nanos::from_ms(7),
                hold_max: Nanos::from_ms(8),
                book_age_max: Nanos::from_ms(9),
            })
        );
    }

    #[test]
    fn a_parameter_that_its_strategy_refuses_is_named() {
        let cases = [
            (
                "[strategy.market_maker]\nhalf_spread_min_ticks = 5\noffset_max_ticks = 4\n",
                "test.toml:2: `strategy.market_maker`: half_spread_min_ticks is 5, expected 0 to 4",
            ),
            (
                "[strategy.imbalance]\nenter_permille = 300\nexit_permille = 300\n",
                "test.toml:3: `strategy.imbalance`: exit_permille is 300, expected -1000 to 299",
            ),
            (
                "[strategy.market_maker]\nquote_notional = \"0\"\n",
                "test.toml:2: `strategy.market_maker`: quote_notional is 0, expected 1 to",
            ),
        ];
        for (text, expected) in cases {
            let refused = load_text("test.toml", text)
                .expect_err("refused")
                .to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn the_state_goes_where_the_first_of_the_rules_says() {
        type Environment<'a> = &'a [(&'a str, &'a str)];
        let place = |text: &str, environment: Environment<'_>| {
            config(text).state_place(|name| {
                environment
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let directory = |path: &str| Ok(StatePlace::Directory(path.into()));
        let all: Environment<'_> = &[
            ("STATE_DIRECTORY", "/var/lib/veloz:/var/lib/other"),
            ("XDG_STATE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        assert_eq!(place("", all), Ok(StatePlace::Nowhere));
        let named = "[state]\ndir = \"here\"\n";
        assert_eq!(place(named, all), directory("here"));
        assert_eq!(place(TESTNET, all), directory("/var/lib/veloz"));
        assert_eq!(place(TESTNET, &all[1..]), directory("/xdg/veloz"));
        assert_eq!(
            place(TESTNET, &all[2..]),
            directory("/home/me/.local/state/veloz")
        );
        let relative = [("HOME", "home")];
        assert_eq!(place(TESTNET, &relative), Err(NoStateDirectory));
    }

    #[test]
    fn baselines_are_of_assets_that_the_engine_holds() {
        let instruments = crate::config::limits::tests::instruments();
        let instruments: &Instruments = &instruments;
        let assets = Assets::new(instruments, &[Symbol::new("BNB").expect("short")]);
        let text = "[account.baselines]\nBTC = \"1.5\"\nBNB = 2\n";
        let baselines = config(text).account.baselines(&assets).expect("known");
        let of = |name: &str| baselines[assets.find(name.as_bytes()).expect("held").as_usize()];
        assert_eq!(of("BTC"), Some(E8(150_000_000)));
        assert_eq!(of("BNB"), Some(E8(200_000_000)));
        assert_eq!(of("USDT"), None);

        let text = "[account.baselines]\nDOGE = \"1\"\n";
        let refused = config(text)
            .account
            .baselines(&assets)
            .expect_err("foreign");
        assert!(refused.contains("`account.baselines.DOGE`"), "{refused}");
        assert!(refused.contains("BTC, USDT"), "{refused}");
    }

    #[test]
    fn periods_are_seconds_in_the_demonstration_and_days_elsewhere() {
        assert_eq!(config("").analytics_period_s(), 1);
        assert_eq!(config(TESTNET).analytics_period_s(), 86_400);
        let named = "[analytics]\nperiod_s = 60\n";
        assert_eq!(config(named).analytics_period_s(), 60);
    }

    #[test]
    fn every_mode_of_self_trade_prevention_has_its_word() {
        for mode in SelfTradePrevention::ALL {
            let text = format!("[orders]\nself_trade_prevention = \"{}\"\n", mode.label());
            let word = config(&text).orders.self_trade_prevention;
            assert_eq!(SelfTradePrevention::from(word), mode);
        }
    }
}
