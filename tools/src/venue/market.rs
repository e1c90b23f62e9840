//! The market behind the venue: one that moves with time, a recorded session, or one that is fed.
//!
//! Owns: which of them it is, and how each is made from a configuration. Does not: publish.

use super::fed::Fed;
use super::flow::{SymbolProfile, SyntheticMarket};
use super::recorded::{Recorded, RecordedError, Recording};
use super::source::{MarketSource, Snapshot, SymbolIndex, SymbolSpec, VenueMicros};

/// Where a venue's public flow comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum MarketConfig {
    /// Generated: BTCUSDT, ETHUSDT, or `S000USDT` to `S999USDT`.
    Synthetic {
        /// The symbols, in the order of `exchangeInfo`.
        symbols: Vec<String>,
        /// The same seed gives the same market.
        seed: u64,
    },
    /// Recorded, served unchanged.
    Recorded(Recording),
    /// Another venue's public flow, pushed in from outside
    /// ([`VenueHandle::feed`](super::VenueHandle::feed)).
    Fed {
        /// The symbols, in the order of `exchangeInfo`.
        symbols: Vec<SymbolSpec>,
    },
}

impl Default for MarketConfig {
    fn default() -> Self {
        Self::Synthetic {
            symbols: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
            seed: 1,
        }
    }
}

/// Why there is no market.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// The generator knows no such symbol.
    #[error(
        "the synthetic market has no symbol {0}: expected BTCUSDT, ETHUSDT or S000USDT to S999USDT"
    )]
    UnknownSymbol(String),
    /// A symbol is listed twice.
    #[error("the symbol {0} is listed twice")]
    Twice(String),
    /// The captures cannot be served.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
}

/// The market of a running venue.
pub(crate) enum Market {
    Source(Box<dyn MarketSource>),
    Recorded(Box<Recorded>),
    Fed(Box<Fed>),
}

impl Market {
    pub(crate) fn open(config: &MarketConfig, start: VenueMicros) -> Result<Self, MarketError> {
        match config {
            MarketConfig::Synthetic { symbols, seed } => {
                let mut profiles = Vec::with_capacity(symbols.len());
                for (position, symbol) in symbols.iter().enumerate() {
                    if symbols[..position].contains(symbol) {
                        return Err(MarketError::Twice(symbol.clone()));
                    }
                    profiles.push(profile(symbol)?);
                }
                let market = SyntheticMarket::new(*seed, start, &profiles);
                Ok(Self::Source(Box::new(market)))
            }
            MarketConfig::Recorded(recording) => {
                Ok(Self::Recorded(Box::new(Recorded::open(recording)?)))
            }
            MarketConfig::Fed { symbols } => Ok(Self::Fed(Box::new(Fed::new(symbols)))),
        }
    }

    pub(crate) fn symbols(&self) -> &[SymbolSpec] {
        match self {
            Self::Source(source) => source.symbols(),
            Self::Recorded(recorded) => recorded.symbols(),
            Self::Fed(fed) => fed.symbols(),
        }
    }

    pub(crate) fn snapshot(&self, symbol: SymbolIndex, limit: usize) -> Snapshot {
        match self {
            Self::Source(source) => source.snapshot(symbol, limit),
            Self::Recorded(recorded) => recorded.snapshot(symbol, limit),
            Self::Fed(fed) => fed.snapshot(symbol, limit),
        }
    }

    pub(crate) fn next_at(&self) -> Option<VenueMicros> {
        match self {
            Self::Source(source) => source.next_at(),
            Self::Recorded(recorded) => recorded.next_at(),
            Self::Fed(fed) => fed.next_at(),
        }
    }

    /// An update id that no diff of the symbol precedes.
    pub(crate) fn first_id(&self, symbol: SymbolIndex) -> u64 {
        match self {
            Self::Source(source) => source.snapshot(symbol, 1).last_update_id,
            Self::Recorded(recorded) => recorded.first_id(symbol).unwrap_or_default(),
            Self::Fed(fed) => fed.snapshot(symbol, 1).last_update_id,
        }
    }

    pub(crate) fn recorded(&mut self) -> Option<&mut Recorded> {
        match self {
            Self::Source(_) | Self::Fed(_) => None,
            Self::Recorded(recorded) => Some(recorded),
        }
    }

    pub(crate) fn fed(&mut self) -> Option<&mut Fed> {
        match self {
            Self::Source(_) | Self::Recorded(_) => None,
            Self::Fed(fed) => Some(fed),
        }
    }
}

fn profile(symbol: &str) -> Result<SymbolProfile, MarketError> {
    let unknown = || MarketError::UnknownSymbol(symbol.to_owned());
    match symbol {
        "BTCUSDT" => Ok(SymbolProfile::btcusdt()),
        "ETHUSDT" => Ok(SymbolProfile::ethusdt()),
        _ => {
            let number = symbol
                .strip_prefix('S')
                .and_then(|rest| rest.strip_suffix("USDT"))
                .filter(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(unknown)?;
            Ok(SymbolProfile::numbered(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_symbols_are_known_by_name() {
        let open = |names: &[&str]| {
            let symbols = names.iter().map(|&name| name.to_owned()).collect();
            let config = MarketConfig::Synthetic { symbols, seed: 1 };
            Market::open(&config, VenueMicros(0)).map(|market| market.symbols().len())
        };
        assert_eq!(open(&["BTCUSDT", "ETHUSDT", "S007USDT"]).ok(), Some(3));
        for unknown in ["btcusdt", "S7USDT", "S+07USDT", "DOGEUSDT", ""] {
            assert!(
                matches!(open(&[unknown]), Err(MarketError::UnknownSymbol(_))),
                "{unknown}"
            );
        }
        assert!(matches!(
            open(&["BTCUSDT", "BTCUSDT"]),
            Err(MarketError::Twice(_))
        ));
    }
}
