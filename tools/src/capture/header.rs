//! What a replay needs beside the events: the instruments and what the engine was told at start.
//!
//! Owns: [`CaptureHeader`] and its bytes. Invariant: a header that decodes gives an engine the same
//! start as the one that was recorded; a field added to [`EngineConfig`] fails to compile here, so
//! that the format's version cannot be forgotten.

use super::{CaptureError, Damage, FILE_HEAD_BYTES, HEADER_BYTES_MAX, MAGIC, VERSION};
use std::io::{Read, Write};
use veloz_core::config::{
    BookConfig, EngineConfig, LinkConfig, PartialDepth, RequestConfig, SnapshotDepth, Streams,
};
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::limits::LEVELS_PER_SIDE_MAX;
use veloz_core::units::{E8, Grid, Lots, Nanos, Ticks};

/// Bytes of [`CaptureHeader::source`].
const SOURCE_BYTES_MAX: usize = 255;

/// What stands before the events.
#[derive(Clone, Debug)]
pub struct CaptureHeader {
    /// Where the events come from, for people: an address or file names; at most 255 bytes are kept.
    pub source: String,
    /// When the capture was begun, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// What the engine was told at start.
    pub engine: EngineConfig,
    /// The instruments, in the order of their indices.
    pub instruments: Instruments,
}

impl CaptureHeader {
    /// Writes the file header.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<u64> {
        let mut body = Body(Vec::new());
        let mut source_len = self.source.len().min(SOURCE_BYTES_MAX);
        while !self.source.is_char_boundary(source_len) {
            source_len -= 1;
        }
        body.text(&self.source[..source_len]);
        body.u64(self.created_unix_ms);
        body.engine(&self.engine);
        body.u64(self.instruments.count() as u64);
        for (_, instrument) in self.instruments.iter() {
            body.instrument(instrument);
        }
        assert!(body.0.len() <= HEADER_BYTES_MAX, "256 instruments fit");

        let mut bytes = Vec::with_capacity(FILE_HEAD_BYTES + body.0.len() + 4);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(0u16.to_le_bytes());
        bytes.extend((body.0.len() as u32).to_le_bytes());
        bytes.extend(body.0);
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        out.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads the file header and its length.
    pub(super) fn read(input: &mut impl Read) -> Result<(Self, u64), CaptureError> {
        let damage = |cause: Damage| CaptureError { offset: 0, cause };
        let mut head = [0; FILE_HEAD_BYTES];
        let filled = fill(input, &mut head).map_err(|error| damage(error.into()))?;
        if filled < MAGIC.len() || head[..8] != MAGIC {
            return Err(damage(Damage::NotACapture));
        }
        if filled < head.len() {
            return Err(damage(Damage::Truncated));
        }
        let found = u16::from_le_bytes([head[8], head[9]]);
        if found != VERSION {
            return Err(damage(Damage::Version { found }));
        }
        let len = u32::from_le_bytes(head[12..16].try_into().expect("four bytes")) as usize;
        if len > HEADER_BYTES_MAX {
            return Err(damage(Damage::Header("it is longer than any header")));
        }
        let mut rest = vec![0; len + 4];
        if fill(input, &mut rest).map_err(|error| damage(error.into()))? < rest.len() {
            return Err(damage(Damage::Truncated));
        }
        let (body, crc) = rest.split_at(len);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(body);
        if hasher.finalize().to_le_bytes() != *crc {
            return Err(damage(Damage::Checksum));
        }
        let header = Self::decode(body).map_err(|what| damage(Damage::Header(what)))?;
        Ok((header, (FILE_HEAD_BYTES + rest.len()) as u64))
    }

    fn decode(body: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Fields(body);
        let source = fields.text()?.to_owned();
        let created_unix_ms = fields.u64()?;
        let engine = fields.engine()?;
        let count = fields.u64()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(fields.instrument()?);
        }
        if !fields.0.is_empty() {
            return Err("bytes follow the last instrument");
        }
        let instruments =
            Instruments::new(list).map_err(|_| "the instruments do not make a table")?;
        Ok(Self {
            source,
            created_unix_ms,
            engine,
            instruments,
        })
    }
}

/// Reads until `buffer` is full or the input ends; returns how much was read.
pub(crate) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Body(Vec<u8>);

impl Body {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    fn option(&mut self, value: Option<i64>) {
        self.u8(u8::from(value.is_some()));
        self.i64(value.unwrap_or(0));
    }

    fn text(&mut self, text: &str) {
        self.u8(text.len() as u8);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn engine(&mut self, engine: &EngineConfig) {
        let EngineConfig {
            seed,
            streams,
            links,
            books,
            requests,
        } = *engine;
        self.u64(seed);

        let Streams {
            book_ticker,
            trade,
            agg_trade,
            partial_depth,
        } = streams;
        self.u8(u8::from(book_ticker));
        self.u8(u8::from(trade));
        self.u8(u8::from(agg_trade));
        self.u8(match partial_depth {
            None => 0,
            Some(PartialDepth::Five) => 5,
            Some(PartialDepth::Ten) => 10,
            Some(PartialDepth::Twenty) => 20,
        });

        let LinkConfig {
            rotate_after,
            rotate_jitter,
            overlap,
            silence_max,
            connect_timeout,
            backoff_base,
            backoff_max,
        } = links;
        for duration in [
            rotate_after,
            rotate_jitter,
            overlap,
            silence_max,
            connect_timeout,
            backoff_base,
            backoff_max,
        ] {
            self.u64(duration.0);
        }

        let BookConfig {
            snapshot_depth,
            first_diff_wait,
            backoff_base,
            backoff_max,
            silence_max,
            lag_max,
        } = books;
        self.u64(match snapshot_depth {
            SnapshotDepth::Auto => 0,
            SnapshotDepth::Levels(levels) => u64::from(levels),
        });
        for duration in [
            first_diff_wait,
            backoff_base,
            backoff_max,
            silence_max,
            lag_max,
        ] {
            self.u64(duration.0);
        }

        let RequestConfig {
            weight_per_minute,
            reply_timeout,
            clock_interval,
        } = requests;
        self.u64(u64::from(weight_per_minute));
        self.u64(reply_timeout.0);
        self.u64(clock_interval.0);
    }

    fn instrument(&mut self, instrument: &Instrument) {
        let Instrument {
            symbol,
            base,
            quote,
            tick,
            lot,
            price_bounds,
            qty_bounds,
            notional_min,
            notional_max,
            order_rules: _,
            trading,
        } = instrument;
        for name in [symbol, base, quote] {
            self.text(name.as_str());
        }
        self.i64(unit(tick));
        self.i64(unit(lot));
        self.option(price_bounds.min.map(|ticks| ticks.0));
        self.option(price_bounds.max.map(|ticks| ticks.0));
        self.option(qty_bounds.min.map(|lots| lots.0));
        self.option(qty_bounds.max.map(|lots| lots.0));
        self.option(notional_min.map(|value| value.0));
        self.option(notional_max.map(|value| value.0));
        self.u8(u8::from(*trading));
    }
}

/// The size of one unit of a grid.
fn unit(grid: &Grid) -> i64 {
    grid.value(1).expect("one unit is in range").0
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    fn flag(&mut self) -> Result<bool, &'static str> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        let bytes = self.take(8)?.try_into().expect("eight bytes");
        Ok(u64::from_le_bytes(bytes))
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        self.u64().map(|value| value as i64)
    }

    fn nanos(&mut self) -> Result<Nanos, &'static str> {
        self.u64().map(Nanos)
    }

    fn option(&mut self) -> Result<Option<i64>, &'static str> {
        let there = self.flag()?;
        let value = self.i64()?;
        Ok(there.then_some(value))
    }

    fn text(&mut self) -> Result<&'a str, &'static str> {
        let len = usize::from(self.u8()?);
        std::str::from_utf8(self.take(len)?).map_err(|_| "a text is not UTF-8")
    }

    fn symbol(&mut self) -> Result<Symbol, &'static str> {
        Symbol::new(self.text()?).ok_or("a symbol is empty or too long")
    }

    fn grid(&mut self) -> Result<Grid, &'static str> {
        Grid::new(E8(self.i64()?)).ok_or("a grid is not positive")
    }

    fn engine(&mut self) -> Result<EngineConfig, &'static str> {
        Ok(EngineConfig {
            seed: self.u64()?,
            streams: Streams {
                book_ticker: self.flag()?,
                trade: self.flag()?,
                agg_trade: self.flag()?,
                partial_depth: match self.u8()? {
                    0 => None,
                    5 => Some(PartialDepth::Five),
                    10 => Some(PartialDepth::Ten),
                    20 => Some(PartialDepth::Twenty),
                    _ => return Err("no such partial depth"),
                },
            },
            links: LinkConfig {
                rotate_after: self.nanos()?,
                rotate_jitter: self.nanos()?,
                overlap: self.nanos()?,
                silence_max: self.nanos()?,
                connect_timeout: self.nanos()?,
                backoff_base: self.nanos()?,
                backoff_max: self.nanos()?,
            },
            books: BookConfig {
                snapshot_depth: match self.u64()? {
                    0 => SnapshotDepth::Auto,
                    levels if levels <= LEVELS_PER_SIDE_MAX as u64 => {
                        SnapshotDepth::Levels(levels as u16)
                    }
                    _ => return Err("a snapshot deeper than the venue gives"),
                },
                first_diff_wait: self.nanos()?,
                backoff_base: self.nanos()?,
                backoff_max: self.nanos()?,
                silence_max: self.nanos()?,
                lag_max: self.nanos()?,
            },
            requests: RequestConfig {
                weight_per_minute: u32::try_from(self.u64()?)
                    .map_err(|_| "a request weight out of range")?,
                reply_timeout: self.nanos()?,
                clock_interval: self.nanos()?,
            },
        })
    }

    fn instrument(&mut self) -> Result<Instrument, &'static str> {
        Ok(Instrument {
            symbol: self.symbol()?,
            base: self.symbol()?,
            quote: self.symbol()?,
            tick: self.grid()?,
            lot: self.grid()?,
            price_bounds: Bounds {
                min: self.option()?.map(Ticks),
                max: self.option()?.map(Ticks),
            },
            qty_bounds: Bounds {
                min: self.option()?.map(Lots),
                max: self.option()?.map(Lots),
            },
            notional_min: self.option()?.map(E8),
            notional_max: self.option()?.map(E8),
            order_rules: OrderRules::UNRESTRICTED,
            trading: self.flag()?,
        })
    }
}
