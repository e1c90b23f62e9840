//! `veloz replay`: a capture through the very same engine, in virtual time.
//!
//! Owns: the commands `replay`, `import` and `export`, which all drive an engine with its records hashed
//! (`replay/replayed.rs`); what they print about it is in `replay/summary.rs`. Does not: read a clock for the engine;
//! the only clock here times the replay itself. Invariant: a file that is there is never overwritten by a capture or
//! its text.

mod replayed;
pub mod summary;

pub use replayed::Replayed;

use crate::capture::CaptureError;
use crate::capture::block::Entry;
use crate::capture::export::Exporter;
use crate::capture::header::CaptureHeader;
use crate::capture::import::{Handler, PlayError, Played, TextSession, instruments};
use crate::capture::reader::CaptureReader;
use crate::capture::text::{Survey, TextError, parse_grid, survey};
use crate::capture::writer::{CaptureWriter, Totals};
use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_USAGE, ExportArgs, ImportArgs, ReplayArgs, TextArgs};
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use summary::Summary;
use veloz_core::config::EngineConfig;
use veloz_core::event::Event;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::outbox::Outbox;
use veloz_core::units::Nanos;

/// Events between two looks at the progress bar.
const PROGRESS_EVERY: u64 = 1_024;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The capture is damaged; what stands before the damage was replayed.
    #[error("{}: {cause}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: CaptureError,
    },
    /// The text input cannot be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// A file cannot be opened or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// The recorded start does not start an engine.
    #[error("{0}")]
    Start(String),
    /// The command line does not fit its input.
    #[error("{0}")]
    Usage(String),
}

impl From<TextError> for ReplayError {
    fn from(error: TextError) -> Self {
        Self::Play(error.into())
    }
}

/// Plays a capture to its end or to its first damage; returns events lost while recording.
///
/// # Errors
/// [`ReplayError::Capture`] when it is damaged, [`ReplayError::Play`] when the handler cannot write.
pub fn play_capture<R: io::Read>(
    reader: &mut CaptureReader<R>,
    path: &Path,
    handler: &mut impl Handler,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ReplayError> {
    let mut out = Outbox::new();
    loop {
        if reader.events().is_multiple_of(PROGRESS_EVERY) {
            progress(reader.offset());
        }
        match reader.next_entry() {
            Ok(Some(Entry::Event { now, event })) => {
                handler
                    .handle(now, &event, &mut out)
                    .map_err(PlayError::Write)?;
                out.clear();
            }
            Ok(Some(Entry::Lost { .. })) => {}
            Ok(None) => return Ok(reader.lost()),
            Err(cause) => {
                return Err(ReplayError::Capture {
                    path: path.to_owned(),
                    cause,
                });
            }
        }
    }
}

/// Text input, surveyed.
struct TextInput {
    survey: Survey,
    instruments: Instruments,
}

fn survey_text(files: &[PathBuf], arguments: &TextArgs) -> Result<TextInput, ReplayError> {
    let known = arguments
        .grid
        .iter()
        .map(|grid| parse_grid(grid).map_err(ReplayError::Usage))
        .collect::<Result<_, _>>()?;
    let survey = survey(files, &known)?;
    let instruments = instruments(&survey)?;
    Ok(TextInput {
        survey,
        instruments,
    })
}

/// `veloz replay`.
pub fn replay(arguments: &ReplayArgs) -> u8 {
    exit_code(replay_files(arguments))
}

fn replay_files(arguments: &ReplayArgs) -> Result<(), ReplayError> {
    let mut captures = Vec::new();
    for path in &arguments.files {
        captures.push(is_capture(path)?);
    }
    let records = arguments.records.as_deref();
    if captures.iter().all(|capture| *capture) {
        if records.is_some() && arguments.files.len() > 1 {
            return Err(ReplayError::Usage(
                "--records takes the records of one capture; replay them one by one".to_owned(),
            ));
        }
        for path in &arguments.files {
            replay_capture(path, records)?;
        }
        return Ok(());
    }
    if captures.iter().any(|capture| *capture) {
        return Err(ReplayError::Usage(
            "captures and text files cannot be mixed in one replay".to_owned(),
        ));
    }
    let input = survey_text(&arguments.files, &arguments.text)?;
    let mut replayed = Replayed::new(EngineConfig::default(), input.instruments, create(records)?)
        .map_err(ReplayError::Start)?;
    let session = TextSession::open(&arguments.files, &input.survey)?;
    let started = Instant::now();
    let bar = progress_bar(&arguments.files);
    let played = session.play(&mut replayed, &mut |bytes| bar.set_position(bytes))?;
    bar.finish_and_clear();
    let summary = replayed
        .finish()
        .map_err(|cause| file_error(records, cause))?;
    println!("{}", pace(&summary, started.elapsed()));
    print_played(&played);
    println!("{summary}");
    Ok(())
}

fn replay_capture(path: &Path, records: Option<&Path>) -> Result<(), ReplayError> {
    let mut reader = open_capture(path)?;
    let CaptureHeader {
        source,
        engine,
        instruments,
        ..
    } = reader.header().clone();
    let mut replayed =
        Replayed::new(engine, instruments, create(records)?).map_err(ReplayError::Start)?;
    let started = Instant::now();
    let bar = progress_bar(&[path.to_owned()]);
    let outcome = play_capture(&mut reader, path, &mut replayed, &mut |bytes| {
        bar.set_position(bytes);
    });
    bar.finish_and_clear();
    let summary = replayed
        .finish()
        .map_err(|cause| file_error(records, cause))?;
    println!("{}, recorded from {source}", path.display());
    println!("{}", pace(&summary, started.elapsed()));
    if reader.lost() > 0 {
        println!(
            "incomplete: the recorder lost {} events, so this is not what the engine did",
            reader.lost()
        );
    }
    println!("{summary}");
    outcome.map(drop)
}

/// `veloz import`.
pub fn import(arguments: &ImportArgs) -> u8 {
    exit_code(import_files(arguments))
}

/// An engine that has every event written before it handles it.
struct Importer {
    replayed: Replayed,
    capture: CaptureWriter<BufWriter<File>>,
}

impl Handler for Importer {
    fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()> {
        self.capture.push(now, event)?;
        self.replayed.handle(now, event, out)
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.replayed.next_deadline()
    }
}

fn import_files(arguments: &ImportArgs) -> Result<(), ReplayError> {
    let input = survey_text(&arguments.files, &arguments.text)?;
    let session = TextSession::open(&arguments.files, &input.survey)?;
    let names: Vec<String> = arguments
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let header = CaptureHeader {
        source: names.join(" "),
        created_unix_ms: session.unix_ns_at_zero() / 1_000_000,
        engine: EngineConfig::default(),
        instruments: input.instruments,
    };
    let out = &arguments.out;
    let failed = |cause| file_error(Some(out), cause);
    let file = File::create_new(out).map_err(failed)?;
    let replayed = Replayed::new(header.engine, header.instruments.clone(), None)
        .map_err(ReplayError::Start)?;
    let mut importer = Importer {
        replayed,
        capture: CaptureWriter::new(BufWriter::new(file), &header).map_err(failed)?,
    };
    let bar = progress_bar(&arguments.files);
    let played = session.play(&mut importer, &mut |bytes| bar.set_position(bytes))?;
    bar.finish_and_clear();
    let (Totals { events, bytes, .. }, _) = importer.capture.finish().map_err(failed)?;
    let summary = importer.replayed.finish().map_err(failed)?;
    println!("{}: {events} events in {bytes} bytes", out.display());
    print_played(&played);
    println!("{summary}");
    Ok(())
}

/// `veloz export`.
pub fn export(arguments: &ExportArgs) -> u8 {
    exit_code(export_file(arguments))
}

fn export_file(arguments: &ExportArgs) -> Result<(), ReplayError> {
    let path = &arguments.file;
    let mut reader = open_capture(path)?;
    let header = reader.header().clone();
    let chosen = chosen_instrument(&header.instruments, arguments.symbol.as_deref())?;
    let symbol = header.instruments.get(chosen).symbol.as_str().to_owned();
    let replayed =
        Replayed::new(header.engine, header.instruments, None).map_err(ReplayError::Start)?;
    let out_path = arguments.out.as_deref();
    let failed = |cause| file_error(out_path, cause);
    let out: Box<dyn FinishWrite> = match out_path {
        None => Box::new(BufWriter::new(io::stdout())),
        Some(path) => {
            let file = BufWriter::new(File::create_new(path).map_err(failed)?);
            if path.extension().is_some_and(|suffix| suffix == "gz") {
                Box::new(GzEncoder::new(file, Compression::default()))
            } else {
                Box::new(file)
            }
        }
    };
    let mut exporter = Exporter::new(replayed, out, symbol);
    let outcome = play_capture(&mut reader, path, &mut exporter, &mut |_| {});
    let (lines, out) = exporter.finish();
    out.finish_write().map_err(failed)?;
    if out_path.is_some() {
        println!("{lines} lines");
    }
    outcome.map(drop)
}

/// An output that has something to write at its end.
trait FinishWrite: Write {
    /// Writes what is pending.
    fn finish_write(self: Box<Self>) -> io::Result<()>;
}

impl<W: Write> FinishWrite for BufWriter<W> {
    fn finish_write(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl FinishWrite for GzEncoder<BufWriter<File>> {
    fn finish_write(self: Box<Self>) -> io::Result<()> {
        self.finish()?.flush()
    }
}

/// Opens a capture.
///
/// # Errors
/// [`ReplayError`] when the file cannot be opened or is no capture.
fn open_capture(path: &Path) -> Result<CaptureReader<BufReader<File>>, ReplayError> {
    let file = File::open(path).map_err(|cause| file_error(Some(path), cause))?;
    CaptureReader::new(BufReader::new(file)).map_err(|cause| ReplayError::Capture {
        path: path.to_owned(),
        cause,
    })
}

/// The instrument of a capture that `--symbol` names, or its only one.
///
/// # Errors
/// A sentence that lists the symbols when the choice is open or wrong.
fn chosen_instrument(
    instruments: &Instruments,
    symbol: Option<&str>,
) -> Result<InstrumentIndex, ReplayError> {
    let symbols: Vec<&str> = instruments
        .iter()
        .map(|(_, instrument)| instrument.symbol.as_str())
        .collect();
    let chosen = match symbol {
        Some(symbol) => instruments.find(symbol),
        None if instruments.count() == 1 => Some(InstrumentIndex(0)),
        None => None,
    };
    chosen.ok_or_else(|| {
        ReplayError::Usage(format!(
            "text form holds one symbol a file: choose one with --symbol, of {}",
            symbols.join(", ")
        ))
    })
}

/// Prints an error and gives the exit code.
fn exit_code(outcome: Result<(), ReplayError>) -> u8 {
    match outcome {
        Ok(()) => EXIT_OK,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                ReplayError::Usage(_) => EXIT_USAGE,
                ReplayError::Capture { .. }
                | ReplayError::Play(_)
                | ReplayError::File { .. }
                | ReplayError::Start(_) => EXIT_FAILURE,
            }
        }
    }
}

fn is_capture(path: &Path) -> Result<bool, ReplayError> {
    let failed = |cause| file_error(Some(path), cause);
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = [0; crate::capture::MAGIC.len()];
    let filled = crate::capture::header::fill(&mut file, &mut magic).map_err(failed)?;
    Ok(filled == magic.len() && magic == crate::capture::MAGIC)
}

fn create(path: Option<&Path>) -> Result<Option<File>, ReplayError> {
    path.map(|path| File::create(path).map_err(|cause| file_error(Some(path), cause)))
        .transpose()
}

fn file_error(path: Option<&Path>, cause: io::Error) -> ReplayError {
    ReplayError::File {
        path: path.map_or_else(PathBuf::new, Path::to_owned),
        cause,
    }
}

fn pace(summary: &Summary, took: Duration) -> String {
    let messages = summary.message_count();
    let seconds = took.as_secs_f64().max(1e-9);
    let span = summary.span.0 as f64 / 1e9;
    format!(
        "{messages} messages ({} events) over {span:.1} s of market time, replayed in {seconds:.2} s: {:.0} messages/s, {:.0} times real time",
        summary.events,
        messages as f64 / seconds,
        span / seconds
    )
}

fn print_played(played: &Played) {
    if played.undelivered > 0 {
        println!(
            "{} messages came while no market link was up",
            played.undelivered
        );
    }
    if played.snapshots_unused > 0 {
        println!(
            "{} depth snapshots were never asked for",
            played.snapshots_unused
        );
    }
}

/// A bar over the bytes of the files; invisible off a terminal.
fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let bytes = files
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|meta| meta.len())
        .sum();
    let style = ProgressStyle::with_template(
        "{bar:40} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
    )
    .expect("a constant template");
    ProgressBar::new(bytes).with_style(style)
}

#[cfg(test)]
mod tests;
