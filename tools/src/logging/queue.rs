//! Lines on their way to the disk and the terminal.
//!
//! Owns: the bounded queue, the thread behind it, and the [`Outlets`] that it writes to. Does not: lay
//! lines out. Invariants: who sends never waits; a failing outlet costs its line, is counted, and does
//! not keep the other from its own; dropping the [`Queue`] writes what waits, within [`END_BOUND`].

use super::Shape;
use super::files::Files;
use crate::status::Screen;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;
use time::OffsetDateTime;
use veloz_core::edge::cpu;
use veloz_exporter::log::LogCounts;

/// Lines that wait: a second of the worst flood that the record log lets through, several times over.
/// At some 300 bytes each that is 2.5 MB, and 70 MB if each carried a value of the largest size.
pub(super) const QUEUE_LINES_MAX: usize = 8_192;
/// How often the thread looks for a wish when no line comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the end waits for the last lines.
const END_BOUND: Duration = Duration::from_secs(1);
/// No CPU to leave.
const NO_CPU: usize = usize::MAX;

/// One line in the shapes that the outlets want.
pub(super) struct Entry {
    pub(super) at: OffsetDateTime,
    pub(super) error: bool,
    pub(super) json: Option<String>,
    pub(super) text: Option<String>,
}

impl Entry {
    fn line(&self, shape: Shape) -> &str {
        let line = match shape {
            Shape::Json => &self.json,
            Shape::Text => &self.text,
        };
        line.as_deref().unwrap_or_default()
    }
}

/// The end that takes lines.
pub(super) struct Sender(SyncSender<Entry>);

impl Sender {
    pub(super) fn pair() -> (Self, Receiver<Entry>) {
        let (sender, receiver) = mpsc::sync_channel(QUEUE_LINES_MAX);
        (Self(sender), receiver)
    }

    /// Whether there was room.
    pub(super) fn send(&self, entry: Entry) -> bool {
        self.0.try_send(entry).is_ok()
    }
}

/// What others ask of the writing thread.
struct Wishes {
    reopen: AtomicBool,
    end: AtomicBool,
    leave_cpu: AtomicUsize,
}

/// The handle on the writing thread.
pub(super) struct Queue {
    wishes: Arc<Wishes>,
    ended: Receiver<()>,
}

impl Queue {
    pub(super) fn start(outlets: Outlets, counts: Arc<LogCounts>) -> io::Result<(Self, Sender)> {
        let (sender, lines) = Sender::pair();
        let (ending, ended) = mpsc::channel();
        let wishes = Arc::new(Wishes {
            reopen: AtomicBool::new(false),
            end: AtomicBool::new(false),
            leave_cpu: AtomicUsize::new(NO_CPU),
        });
        let asked = Arc::clone(&wishes);
        std::thread::Builder::new()
            .name("veloz-log".to_owned())
            .spawn(move || {
                // A refusal costs the core some time and nothing else.
                let _ = cpu::lower_priority();
                write_until(&lines, &asked, outlets, &counts);
                // Whoever waits for the end finds the queue closed.
                drop(lines);
                drop(ending);
            })?;
        Ok((Self { wishes, ended }, sender))
    }

    pub(super) fn reopen(&self) {
        self.wishes.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) fn leave_core_cpu(&self, cpu: usize) {
        self.wishes.leave_cpu.store(cpu, Ordering::Relaxed);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.wishes.end.store(true, Ordering::Release);
        // Whether it ended or did not in time, there is nobody left to tell.
        let _ = self.ended.recv_timeout(END_BOUND);
    }
}

fn write_until(lines: &Receiver<Entry>, wishes: &Wishes, mut outlets: Outlets, counts: &LogCounts) {
    loop {
        let entry = match lines.recv_timeout(LOOK_EVERY) {
            Ok(entry) => Some(entry),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Before the line: what is logged after a wish meets the wish fulfilled.
        if wishes.reopen.swap(false, Ordering::Relaxed) {
            outlets.reopen();
        }
        let cpu = wishes.leave_cpu.swap(NO_CPU, Ordering::Relaxed);
        if cpu != NO_CPU {
            let _ = cpu::leave_core_cpu(cpu);
        }
        if let Some(entry) = entry {
            outlets.write(&entry, counts);
        }
        if wishes.end.load(Ordering::Acquire) {
            for entry in lines.try_iter() {
                outlets.write(&entry, counts);
            }
            return;
        }
    }
}

/// Where lines go.
pub(super) struct Outlets {
    /// Standard output.
    pub(super) screen: Arc<Screen>,
    pub(super) screen_shape: Shape,
    /// Whether standard output gets errors alone.
    pub(super) screen_errors_only: bool,
    /// The directory, if there is one.
    pub(super) files: Option<(Files, Shape)>,
}

impl Outlets {
    /// The shapes that are wanted.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let of_files = self.files.iter().map(|(_, shape)| *shape);
        of_files.chain([self.screen_shape]).collect()
    }

    fn write(&mut self, entry: &Entry, counts: &LogCounts) {
        if let Some((files, shape)) = &mut self.files
            && files
                .write(entry.at, entry.line(*shape).as_bytes(), entry.error)
                .is_err()
        {
            counts.failed();
        }
        if (entry.error || !self.screen_errors_only)
            && self
                .screen
                .line(entry.line(self.screen_shape).as_bytes())
                .is_err()
        {
            counts.failed();
        }
    }

    fn reopen(&mut self) {
        if let Some((files, _)) = &mut self.files {
            files.reopen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::status::tests::Memory;
    use std::path::Path;

    fn entry(message: &str, error: bool) -> Entry {
        Entry {
            at: OffsetDateTime::from_unix_timestamp(1_795_400_111).expect("in range"),
            error,
            json: Some(format!("{{\"message\":\"{message}\"}}\n")),
            text: Some(format!("{message}\n")),
        }
    }

    fn outlets(dir: &Path, screen: &Arc<Screen>, screen_errors_only: bool) -> Outlets {
        let mut section = config::load_text("test.toml", "")
            .expect("valid")
            .config
            .log;
        dir.clone_into(&mut section.dir);
        Outlets {
            screen: Arc::clone(screen),
            screen_shape: Shape::Text,
            screen_errors_only,
            files: Some((Files::open(&section).expect("a directory"), Shape::Json)),
        }
    }

    #[test]
    fn what_waits_at_the_end_is_written_and_errors_stand_on_the_screen_too() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let memory = Memory::default();
        let screen = Arc::new(Screen::new(Box::new(memory.clone())));
        let outlets = outlets(directory.path(), &screen, true);
        let counts = Arc::<LogCounts>::default();
        let (queue, sender) = Queue::start(outlets, Arc::clone(&counts)).expect("a thread");
        for number in 0..1_000 {
            assert!(sender.send(entry(&number.to_string(), number == 500)));
        }
        drop(queue);
        let written = std::fs::read_to_string(directory.path().join("veloz.log")).expect("written");
        assert_eq!(written.lines().count(), 1_000);
        let errors = std::fs::read_to_string(directory.path().join("veloz-error.ndjson"));
        assert_eq!(errors.expect("written"), "{\"message\":\"500\"}\n");
        assert_eq!(memory.take(), "500\n");
        assert_eq!(counts.writes_failed(), 0);
        assert!(!sender.send(entry("late", false)), "nobody writes any more");
    }

    #[test]
    fn a_directory_that_is_gone_costs_lines_and_is_counted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let memory = Memory::default();
        let screen = Arc::new(Screen::new(Box::new(memory.clone())));
        let dir = directory.path().join("logs");
        let mut outlets = outlets(&dir, &screen, false);
        let counts = LogCounts::default();
        outlets.write(&entry("one", false), &counts);
        std::fs::remove_dir_all(&dir).expect("removable");
        outlets.reopen();
        outlets.write(&entry("two", false), &counts);
        assert_eq!(counts.writes_failed(), 1);
        std::fs::create_dir(&dir).expect("creatable");
        outlets.write(&entry("three", false), &counts);
        assert_eq!(counts.writes_failed(), 1);
        let written = std::fs::read_to_string(dir.join("veloz.log")).expect("written");
        assert_eq!(written, "{\"message\":\"three\"}\n");
        assert_eq!(memory.take(), "one\ntwo\nthree\n");
    }
}
