//! The strategy that a configuration names, dispatched by a match.
//!
//! Owns: [`StrategyConfig`], [`Configured`], and [`NoStrategy`], which leaves all orders to operators.

use super::sizing::OutOfRange;
use super::{
    Actions, Imbalance, ImbalanceConfig, MarketMaker, MarketMakerConfig, OrderUpdate, PublicTrade,
    Strategy, View,
};
use crate::units::Nanos;

/// Which strategy runs, with its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrategyConfig {
    /// None: orders come from operators alone.
    #[default]
    None,
    /// [`MarketMaker`].
    MarketMaker(MarketMakerConfig),
    /// [`Imbalance`].
    Imbalance(ImbalanceConfig),
}

impl StrategyConfig {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        match self {
            Self::None => Ok(()),
            Self::MarketMaker(config) => config.validate(),
            Self::Imbalance(config) => config.validate(),
        }
    }
}

/// Does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoStrategy;

impl Strategy for NoStrategy {
    fn name(&self) -> &'static str {
        "none"
    }

    fn on_book(&mut self, _view: &View<'_>, _actions: &mut Actions) {}

    fn on_trade(&mut self, _view: &View<'_>, _trade: &PublicTrade, _actions: &mut Actions) {}

    fn on_order(&mut self, _view: &View<'_>, _update: &OrderUpdate, _actions: &mut Actions) {}

    fn on_timer(&mut self, _view: &View<'_>, _actions: &mut Actions) {}
}

/// One of the strategies of this crate.
pub enum Configured {
    /// No strategy.
    None(NoStrategy),
    /// Quotes both sides.
    MarketMaker(MarketMaker),
    /// Takes on imbalance.
    Imbalance(Imbalance),
}

impl Configured {
    /// The strategy that `config` names, over `instrument_count` instruments.
    ///
    /// # Errors
    /// When a parameter is outside its range.
    pub fn new(config: &StrategyConfig, instrument_count: usize) -> Result<Self, OutOfRange> {
        Ok(match *config {
            StrategyConfig::None => Self::None(NoStrategy),
            StrategyConfig::MarketMaker(config) => {
                Self::MarketMaker(MarketMaker::new(config, instrument_count)?)
            }
            StrategyConfig::Imbalance(config) => {
                Self::Imbalance(Imbalance::new(config, instrument_count)?)
            }
        })
    }
}

/// Calls the strategy that is there.
macro_rules! dispatch {
    ($self:ident, $strategy:ident => $call:expr) => {
        match $self {
            Configured::None($strategy) => $call,
            Configured::MarketMaker($strategy) => $call,
            Configured::Imbalance($strategy) => $call,
        }
    };
}

impl Strategy for Configured {
    fn name(&self) -> &'static str {
        dispatch!(self, strategy => strategy.name())
    }

    fn on_book(&mut self, view: &View<'_>, actions: &mut Actions) {
        dispatch!(self, strategy => strategy.on_book(view, actions));
    }

    fn on_trade(&mut self, view: &View<'_>, trade: &PublicTrade, actions: &mut Actions) {
        dispatch!(self, strategy => strategy.on_trade(view, trade, actions));
    }

    fn on_order(&mut self, view: &View<'_>, update: &OrderUpdate, actions: &mut Actions) {
        dispatch!(self, strategy => strategy.on_order(view, update, actions));
    }

    fn on_timer(&mut self, view: &View<'_>, actions: &mut Actions) {
        dispatch!(self, strategy => strategy.on_timer(view, actions));
    }

    fn next_timer(&self) -> Nanos {
        dispatch!(self, strategy => strategy.next_timer())
    }
}
