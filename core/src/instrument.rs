//! Instruments: what a symbol is, on which grids its prices and quantities live.
//!
//! Owns: [`Symbol`], [`Instrument`], the dense [`InstrumentIndex`] and the table [`Instruments`]; the same
//! for the assets that they are made of.
//! Does not: read a venue's format (`venue/<venue>/exchange_info.rs` does), hold any state that
//! changes while trading. Invariant: an index handed out by a table is valid for it for ever.

use crate::limits::{INSTRUMENTS_MAX, SYMBOL_BYTES_MAX};
use crate::order::SelfTradePrevention;
use crate::units::{E8, Grid, Lots, Ticks};
use std::fmt;

/// A venue's name of an instrument, UTF-8, upper case as payloads carry it (`BTCUSDT`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol {
    bytes: [u8; SYMBOL_BYTES_MAX],
    len: u8,
}

impl Symbol {
    /// A symbol from text; `None` when it is empty or longer than [`SYMBOL_BYTES_MAX`].
    pub fn new(text: &str) -> Option<Self> {
        let source = text.as_bytes();
        if source.is_empty() || source.len() > SYMBOL_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; SYMBOL_BYTES_MAX];
        bytes[..source.len()].copy_from_slice(source);
        Some(Self {
            bytes,
            len: source.len() as u8,
        })
    }

    /// The symbol's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("built from a str of whole characters")
    }

    /// The symbol's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Dense index of an instrument in its [`Instruments`] table, `[0, len)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct InstrumentIndex(pub u16);

impl InstrumentIndex {
    /// The index as an array position.
    #[inline]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Dense index of an asset in its [`Assets`] table, `[0, len)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct AssetIndex(pub u16);

impl AssetIndex {
    /// The index as an array position.
    #[inline]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Every asset that an engine of some instruments can hold: their bases and quotes, and those that fees
/// are paid in. Immutable after start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    list: Vec<Symbol>,
}

impl Assets {
    /// The assets of `instruments` in order of first mention, then `others` that they do not name.
    pub fn new(instruments: &Instruments, others: &[Symbol]) -> Self {
        let mut list: Vec<Symbol> = Vec::with_capacity(2 * instruments.count() + others.len());
        let named = instruments
            .iter()
            .flat_map(|(_, instrument)| [instrument.base, instrument.quote])
            .chain(others.iter().copied());
        for asset in named {
            if !list.contains(&asset) {
                list.push(asset);
            }
        }
        Self { list }
    }

    /// Number of assets.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The name of an asset.
    #[inline]
    pub fn get(&self, index: AssetIndex) -> Symbol {
        self.list[index.as_usize()]
    }

    /// The index of a name. Linear over a handful.
    pub fn find(&self, name: &[u8]) -> Option<AssetIndex> {
        self.list
            .iter()
            .position(|asset| asset.as_bytes() == name)
            .map(|position| AssetIndex(position as u16))
    }

    /// All assets with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (AssetIndex, Symbol)> {
        self.list
            .iter()
            .enumerate()
            .map(|(position, &asset)| (AssetIndex(position as u16), asset))
    }
}

/// Bounds of a price or a quantity, in its unit; `None` where the venue disables that bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// Smallest legal value.
    pub min: Option<T>,
    /// Largest legal value.
    pub max: Option<T>,
}

/// What is fixed about an instrument while the engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// The venue's name.
    pub symbol: Symbol,
    /// Asset that is bought and sold.
    pub base: Symbol,
    /// Asset that pays.
    pub quote: Symbol,
    /// Price grid: one [`Ticks`].
    pub tick: Grid,
    /// Quantity grid: one [`Lots`].
    pub lot: Grid,
    /// Legal order prices.
    pub price_bounds: Bounds<Ticks>,
    /// Legal order quantities.
    pub qty_bounds: Bounds<Lots>,
    /// Smallest legal price x quantity, in the quote asset; `None` when the venue sets none.
    pub notional_min: Option<E8>,
    /// Largest legal price x quantity, in the quote asset; `None` when the venue sets none.
    pub notional_max: Option<E8>,
    /// What binds new orders beyond the grids and bounds above.
    pub order_rules: OrderRules,
    /// Whether the venue says that the instrument trades now.
    pub trading: bool,
}

/// What a venue demands of new orders; orders that rest already may be off it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRules {
    /// Quantities come in whole multiples of this many lots; at least 1.
    pub qty_step: Lots,
    /// Legal quantities of market orders, beside the instrument's bounds.
    pub market_qty_bounds: Bounds<Lots>,
    /// Market orders come in whole multiples of this many lots, beside `qty_step`; at least 1.
    pub market_qty_step: Lots,
    /// Whether `notional_min` binds market orders.
    pub notional_min_market: bool,
    /// Whether `notional_max` binds market orders.
    pub notional_max_market: bool,
    /// Orders that the venue lets stand open at a time; `None` when it sets no bound.
    pub open_orders_max: Option<u32>,
    /// What the venue does by itself when an order meets another of the same account.
    pub self_trade_prevention: SelfTradePrevention,
    /// Bit `1 << mode as u8` for each mode that the venue allows.
    pub self_trade_prevention_allowed: u8,
}

impl OrderRules {
    /// No rule beyond the instrument's grids and bounds: what captures of market data know.
    pub const UNRESTRICTED: Self = Self {
        qty_step: Lots(1),
        market_qty_bounds: Bounds {
            min: None,
            max: None,
        },
        market_qty_step: Lots(1),
        notional_min_market: false,
        notional_max_market: false,
        open_orders_max: None,
        self_trade_prevention: SelfTradePrevention::ExpireMaker,
        self_trade_prevention_allowed: u8::MAX,
    };

    /// Whether orders may ask for this mode of self-trade prevention.
    pub const fn allows(&self, mode: SelfTradePrevention) -> bool {
        self.self_trade_prevention_allowed & (1 << mode as u8) != 0
    }
}

impl Instrument {
    /// A price as decimal text of the venue; exact.
    pub fn price(&self, ticks: Ticks) -> E8 {
        self.tick
            .value(ticks.0)
            .expect("ticks parsed on this grid fit back")
    }

    /// A quantity as decimal text of the venue; exact.
    pub fn qty(&self, lots: Lots) -> E8 {
        self.lot
            .value(lots.0)
            .expect("lots parsed on this grid fit back")
    }
}

/// Why a table of instruments cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentsError {
    /// More instruments than [`INSTRUMENTS_MAX`].
    #[error("{count} instruments, at most {INSTRUMENTS_MAX} fit one core thread")]
    TooMany {
        /// How many were asked for.
        count: usize,
    },
    /// One symbol stands twice in the list.
    #[error("instrument {0} is listed twice")]
    Duplicate(Symbol),
    /// There is nothing to trade or watch.
    #[error("no instrument is configured")]
    Empty,
}

/// All instruments of one engine, indexed densely; immutable after start.
#[derive(Clone, Debug)]
pub struct Instruments {
    list: Vec<Instrument>,
}

impl Instruments {
    /// A table in the order given.
    pub fn new(list: Vec<Instrument>) -> Result<Self, InstrumentsError> {
        if list.is_empty() {
            return Err(InstrumentsError::Empty);
        }
        if list.len() > INSTRUMENTS_MAX {
            return Err(InstrumentsError::TooMany { count: list.len() });
        }
        for (position, instrument) in list.iter().enumerate() {
            if list[..position]
                .iter()
                .any(|earlier| earlier.symbol == instrument.symbol)
            {
                return Err(InstrumentsError::Duplicate(instrument.symbol));
            }
        }
        Ok(Self { list })
    }

    /// Number of instruments, in `[1, INSTRUMENTS_MAX]`.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The instrument at an index of this table.
    #[inline]
    pub fn get(&self, index: InstrumentIndex) -> &Instrument {
        &self.list[index.as_usize()]
    }

    /// The index of a symbol. Linear: for start-up and the sidecar, not for the hot path.
    pub fn find(&self, symbol: &str) -> Option<InstrumentIndex> {
        self.iter()
            .find(|(_, instrument)| instrument.symbol.as_str() == symbol)
            .map(|(index, _)| index)
    }

    /// All instruments with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (InstrumentIndex, &Instrument)> {
        self.list
            .iter()
            .enumerate()
            .map(|(position, instrument)| (InstrumentIndex(position as u16), instrument))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A spot instrument with the grids given in 1e-8 units, for tests of other modules.
    pub(crate) fn instrument(symbol: &str, tick_e8: i64, lot_e8: i64) -> Instrument {
        Instrument {
            symbol: Symbol::new(symbol).expect("short"),
            base: Symbol::new(symbol.trim_end_matches("USDT")).expect("short"),
            quote: Symbol::new("USDT").expect("short"),
            tick: Grid::new(E8(tick_e8)).expect("positive"),
            lot: Grid::new(E8(lot_e8)).expect("positive"),
            price_bounds: Bounds {
                min: None,
                max: None,
            },
            qty_bounds: Bounds {
                min: None,
                max: None,
            },
            notional_min: None,
            notional_max: None,
            order_rules: OrderRules::UNRESTRICTED,
            trading: true,
        }
    }

    #[test]
    fn a_table_is_dense_and_unique() {
        let table = Instruments::new(vec![
            instrument("BTCUSDT", 1_000_000, 1_000),
            instrument("ETHUSDT", 1_000_000, 10_000),
        ])
        .expect("two instruments");
        assert_eq!(table.find("ETHUSDT"), Some(InstrumentIndex(1)));
        assert_eq!(table.find("ethusdt"), None);
        assert_eq!(
            table
                .get(InstrumentIndex(0))
                .price(Ticks(6_183_763))
                .to_string(),
            "61837.63000000"
        );

        let twice = Instruments::new(vec![instrument("A", 1, 1), instrument("A", 1, 1)]);
        assert_eq!(
            twice.unwrap_err(),
            InstrumentsError::Duplicate(Symbol::new("A").expect("short"))
        );
        assert_eq!(
            Instruments::new(vec![]).unwrap_err(),
            InstrumentsError::Empty
        );
    }

    #[test]
    fn symbols_are_bounded_and_may_be_non_ascii() {
        assert!(Symbol::new("").is_none());
        assert!(Symbol::new(&"X".repeat(SYMBOL_BYTES_MAX + 1)).is_none());
        assert_eq!(
            Symbol::new("币安人生USDT").expect("fits").as_str(),
            "币安人生USDT"
        );
    }
}
