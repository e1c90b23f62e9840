//! An engine under replay.
//!
//! Owns: [`Replayed`]: virtual time, every record hashed and counted, the books as they stood at the end. Does not:
//! read a clock, or know where its events come from. Invariant: the same input gives the same records, bit for bit,
//! with their stamps masked.

use super::summary::{BookSummary, Summary};
use crate::capture::import::Handler;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use veloz_core::book::Side;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Command, Event};
use veloz_core::instrument::Instruments;
use veloz_core::outbox::Outbox;
use veloz_core::telemetry::counters::MessageKind;
use veloz_core::telemetry::records::{Record, RecordBody, ResyncCause};
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::Nanos;

/// An engine under replay: virtual time, every record hashed.
pub struct Replayed {
    engine: Engine<NoStopwatch>,
    telemetry: TelemetryReader,
    hash: Sha256,
    records_out: Option<BufWriter<File>>,
    records: u64,
    faults: BTreeMap<u8, u64>,
    resyncs: BTreeMap<ResyncCause, u64>,
    links_up: u64,
    fills: u64,
    events: u64,
    first: Option<Nanos>,
    last: Nanos,
    /// The books as they stood when the engine was told to stop.
    at_shutdown: Option<Vec<BookSummary>>,
}

impl Replayed {
    /// An engine with the recorded start; `records_out` gets the masked records.
    ///
    /// # Errors
    /// A sentence when the instruments need more streams than a connection carries.
    pub fn new(
        config: EngineConfig,
        instruments: Instruments,
        records_out: Option<File>,
    ) -> Result<Self, String> {
        let (core_end, reader) = telemetry(instruments.count(), Sizes::default());
        let engine = Engine::new(config, instruments, core_end, NoStopwatch)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            engine,
            telemetry: reader,
            hash: Sha256::new(),
            records_out: records_out.map(BufWriter::new),
            records: 0,
            faults: BTreeMap::new(),
            resyncs: BTreeMap::new(),
            links_up: 0,
            fills: 0,
            events: 0,
            first: None,
            last: Nanos::ZERO,
            at_shutdown: None,
        })
    }

    /// The engine as it stands.
    pub fn engine(&self) -> &Engine<NoStopwatch> {
        &self.engine
    }

    /// What came of it all.
    ///
    /// # Errors
    /// When the records file cannot be written to its end.
    pub fn finish(mut self) -> io::Result<Summary> {
        if let Some(out) = &mut self.records_out {
            out.flush()?;
        }
        let books = self.at_shutdown.take().unwrap_or_else(|| self.books());
        let counters = &self.telemetry.counters;
        Ok(Summary {
            events: self.events,
            messages: MessageKind::ALL
                .into_iter()
                .map(|kind| (kind, counters.messages(kind)))
                .collect(),
            span: self.last.since(self.first.unwrap_or_default()),
            faults: self.faults,
            resyncs: self.resyncs,
            links_up: self.links_up,
            fills: self.fills,
            books,
            records: self.records,
            records_sha256: self.hash.finalize().into(),
        })
    }

    fn books(&self) -> Vec<BookSummary> {
        let instruments = self.engine.instruments();
        instruments
            .iter()
            .map(|(index, instrument)| {
                let book = self.engine.book(index);
                let best = |side| {
                    let level = book?.best(side)?;
                    Some((instrument.price(level.price), instrument.qty(level.qty)))
                };
                let count = |side| book.map_or(0, |book| book.level_count(side));
                BookSummary {
                    symbol: instrument.symbol.as_str().to_owned(),
                    state: format!("{:?}", self.engine.book_state(index).0).to_lowercase(),
                    last_update_id: self.engine.book_state(index).1,
                    bid: best(Side::Bid),
                    ask: best(Side::Ask),
                    levels: (count(Side::Bid), count(Side::Ask)),
                }
            })
            .collect()
    }

    fn take_record(&mut self, record: &Record) -> io::Result<()> {
        let bytes = record.masked().to_bytes();
        self.hash.update(bytes);
        if let Some(out) = &mut self.records_out {
            out.write_all(&bytes)?;
        }
        self.records += 1;
        match record.body {
            RecordBody::Fault { kind, .. } => *self.faults.entry(kind).or_default() += 1,
            // Every book is given up when the engine stops; that is no rebuild.
            RecordBody::Resync { .. } if self.at_shutdown.is_some() => {}
            RecordBody::Resync { cause, .. } => *self.resyncs.entry(cause).or_default() += 1,
            RecordBody::LinkUp { .. } => self.links_up += 1,
            RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => {}
            RecordBody::Fill { .. } => self.fills += 1,
        }
        Ok(())
    }
}

impl Handler for Replayed {
    fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()> {
        if matches!(event, Event::Command(Command::Shutdown)) {
            self.at_shutdown = Some(self.books());
        }
        self.events += 1;
        self.first.get_or_insert(now);
        self.last = now;
        self.engine.handle(now, *event, out);
        while let Some(record) = self.telemetry.records.pop() {
            self.take_record(&record)?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.engine.next_deadline()
    }
}
