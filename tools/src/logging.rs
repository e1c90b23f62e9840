//! Log lines of the sidecar threads and the start: JSON or text, to standard output or into files.
//!
//! Owns: [`install`], and [`Logging`], the handle on what it installed. The parts: `logging/line.rs`
//! (what a line looks like), `logging/layer.rs` (from events to lines), `logging/queue.rs` (the thread
//! that writes), `logging/files.rs` (rotation). Does not: run on the core thread, which never logs.
//!
//! Who logs never waits for a disk or a terminal: lines go through a bounded queue, and what finds it
//! full is counted. Without a directory everything goes to standard output. With one, lines go into
//! `veloz.log` there, errors also into `veloz-error.ndjson`, whose name keeps it away from collectors of
//! `*.log`, which would see each error twice; a terminal still shows everything, and standard output
//! that is none shows errors, so that a service manager has the last words.

mod files;
mod layer;
mod line;
mod queue;

use crate::config::{LogFormat, LogLevel, LogSection};
use crate::status::Screen;
use files::Files;
use layer::Lines;
use queue::{Outlets, Queue};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use veloz_exporter::log::{Log, LogCounts};

/// Shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// The process's log. Dropping it writes what still waits, within a second.
pub struct Logging {
    /// The level and the counts.
    pub log: Arc<Log>,
    queue: Queue,
}

impl Logging {
    /// Closes the files and opens them by name again, because something moved them away.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Keeps the writing thread off the core's CPU, which was not known when it started.
    pub fn leave_core_cpu(&self, core_cpu: Option<usize>) {
        if let Some(cpu) = core_cpu {
            self.queue.leave_core_cpu(cpu);
        }
    }
}

/// Installs the process's one log.
///
/// # Errors
/// A sentence when the process has one already, the directory cannot be used, or no thread is left.
pub fn install(section: &LogSection, screen: &Arc<Screen>) -> Result<Logging, String> {
    let terminal = io::stdout().is_terminal();
    let section = &section.placed(|name| std::env::var(name).ok());
    let files = if section.dir.as_os_str().is_empty() {
        None
    } else {
        let files = Files::open(section)
            .map_err(|error| format!("`log.dir` is {}: {error}", section.dir.display()))?;
        Some(files)
    };
    let shape_of = |person_reads: bool| match section.format {
        LogFormat::Json => Shape::Json,
        LogFormat::Text => Shape::Text,
        LogFormat::Auto if person_reads => Shape::Text,
        LogFormat::Auto => Shape::Json,
    };
    let outlets = Outlets {
        screen: Arc::clone(screen),
        screen_shape: shape_of(terminal),
        screen_errors_only: files.is_some() && !terminal,
        files: files.map(|files| (files, shape_of(false))),
    };
    let shapes = outlets.shapes();
    let counts = Arc::<LogCounts>::default();
    let (queue, sender) = Queue::start(outlets, Arc::clone(&counts))
        .map_err(|error| format!("the log has no thread: {error}"))?;

    let level = level_of(section.level);
    let (filter, set_level) = layer::filter(level);
    tracing_subscriber::registry()
        .with(filter)
        .with(Lines::new(shapes, sender, Arc::clone(&counts)))
        .try_init()
        .map_err(|error| format!("logging cannot be set up: {error}"))?;
    let log = Log::new(level, counts, set_level);
    Ok(Logging {
        log: Arc::new(log),
        queue,
    })
}

fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}
