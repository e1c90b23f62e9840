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
use veloz_core::units::E8;

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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategySection {
    /// Which one.
    pub kind: StrategyWord,
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

/// Which strategy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyKind {
    /// None: orders come from people.
    None,
    /// Two-sided quotes.
    MarketMaker,
    /// Takes on book imbalance.
    Imbalance,
}

impl StrategyKind {
    /// As the configuration spells it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MarketMaker => "market_maker",
            Self::Imbalance => "imbalance",
        }
    }
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSection {
    /// The directory, or `auto`.
    pub dir: PathBuf,
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
    pub fn strategy(&self) -> StrategyKind {
        match self.strategy.kind {
            StrategyWord::Auto => match self.venue.source {
                Source::Embedded => StrategyKind::MarketMaker,
                Source::Binance => StrategyKind::None,
            },
            StrategyWord::None => StrategyKind::None,
            StrategyWord::MarketMaker => StrategyKind::MarketMaker,
            StrategyWord::Imbalance => StrategyKind::Imbalance,
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
        if self.state.dir != Path::new(AUTO) {
            return Ok(StatePlace::Directory(self.state.dir.clone()));
        }
        if self.venue.execution_mode == ExecutionMode::SimEngine {
            return Ok(StatePlace::Nowhere);
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
            .map(StatePlace::Directory)
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
        assert_eq!(config("").strategy(), StrategyKind::MarketMaker);
        assert_eq!(config(TESTNET).strategy(), StrategyKind::None);
        let paper = "[venue]\nsource = \"binance\"\n";
        assert_eq!(config(paper).strategy(), StrategyKind::None);
        let chosen = format!("{TESTNET}[strategy]\nkind = \"imbalance\"\n");
        assert_eq!(config(&chosen).strategy(), StrategyKind::Imbalance);
        let none = "[strategy]\nkind = \"none\"\n";
        assert_eq!(config(none).strategy(), StrategyKind::None);
        for kind in [
            StrategyKind::None,
            StrategyKind::MarketMaker,
            StrategyKind::Imbalance,
        ] {
            let named = format!("[strategy]\nkind = \"{}\"\n", kind.label());
            assert_eq!(config(&named).strategy(), kind);
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
    fn every_mode_of_self_trade_prevention_has_its_word() {
        for mode in SelfTradePrevention::ALL {
            let text = format!("[orders]\nself_trade_prevention = \"{}\"\n", mode.label());
            let word = config(&text).orders.self_trade_prevention;
            assert_eq!(SelfTradePrevention::from(word), mode);
        }
    }
}
