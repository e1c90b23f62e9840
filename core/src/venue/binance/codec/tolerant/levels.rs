//! Arrays of price levels, as tolerantly as the rest.
//!
//! Owns: the visitors that put levels into the scratch. A level is an array of two decimals in strings;
//! what stands behind them is skipped, since the venue used to send an empty third element.

use super::super::Grids;
use crate::units::{Grid, Level, Lots, Ticks};
use crate::venue::binance::fault::VenueFault;
use crate::wire::json::raw::Raw;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

/// Reads an array of levels into the front of `side`; returns how many it had.
pub(super) fn read(array: Raw<'_>, grids: Grids, side: &mut [Level]) -> Result<usize, VenueFault> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(array.get());
    let read = json.deserialize_seq(SideVisitor {
        grids,
        side,
        fault: &mut fault,
    });
    match (read, fault) {
        (_, Some(kind)) => Err(kind),
        (Ok(count), None) => Ok(count),
        (Err(error), None) if error.is_data() => Err(VenueFault::WrongType),
        (Err(_), None) => Err(VenueFault::Malformed),
    }
}

struct SideVisitor<'l> {
    grids: Grids,
    side: &'l mut [Level],
    fault: &'l mut Option<VenueFault>,
}

impl<'de> Visitor<'de> for SideVisitor<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of levels")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(level) = seq.next_element_seed(LevelSeed {
            grids: self.grids,
            fault: self.fault,
        })? {
            let kind = match self.side.get_mut(count) {
                Some(place) if level.price != Ticks(0) => {
                    *place = level;
                    count += 1;
                    continue;
                }
                Some(_) => VenueFault::ZeroPrice,
                None => VenueFault::TooManyLevels,
            };
            *self.fault = Some(kind);
            return Err(A::Error::custom("level"));
        }
        Ok(count)
    }
}

struct LevelSeed<'l> {
    grids: Grids,
    fault: &'l mut Option<VenueFault>,
}

impl<'de> DeserializeSeed<'de> for LevelSeed<'_> {
    type Value = Level;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Level, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LevelSeed<'_> {
    type Value = Level;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("price and quantity")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Level, A::Error> {
        let mut next = |grid: Grid| {
            let fault = &mut *self.fault;
            let number = seq.next_element_seed(DecimalSeed { grid, fault })?;
            number.ok_or_else(|| A::Error::invalid_length(1, &"price and quantity"))
        };
        let level = Level {
            price: Ticks(next(self.grids.tick)?),
            qty: Lots(next(self.grids.lot)?),
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(level)
    }
}

struct DecimalSeed<'l> {
    grid: Grid,
    fault: &'l mut Option<VenueFault>,
}

impl<'de> DeserializeSeed<'de> for DecimalSeed<'_> {
    type Value = i64;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<i64, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for DecimalSeed<'_> {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal in a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        self.grid.parse(text.as_bytes()).map_err(|error| {
            *self.fault = Some(error.into());
            E::custom("decimal")
        })
    }
}
