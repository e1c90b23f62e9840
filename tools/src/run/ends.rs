//! What ends a process: signals, and panics of its threads.

use crate::cli::EXIT_FAILURE;
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What somebody outside wants of a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it goes on.
    Nothing,
    /// That it opens its log files and reads its limits anew.
    Reload,
    /// That it ends.
    End,
}

/// SIGINT and SIGTERM, which end the process, and SIGHUP, which makes it open its log files and read its limits anew.
pub struct Signals {
    end: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    /// Whether a terminal stood at standard output. When it goes it sends SIGHUP too.
    terminal: bool,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// A sentence when the system refuses.
    pub fn install() -> Result<Self, String> {
        let refused = |error: io::Error| format!("signals cannot be listened for: {error}");
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the first signal finds the flag down, raises it, and is waited for.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                i32::from(EXIT_FAILURE),
                Arc::clone(&asked),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .map_err(refused)?;
        }
        let hangup = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&hangup))
            .map_err(refused)?;
        Ok(Self {
            end: asked,
            hangup,
            terminal: io::stdout().is_terminal(),
        })
    }

    /// Whether the end was asked for, by a signal or by closing the terminal.
    pub fn asked(&self) -> bool {
        let left_alone = || {
            let hung_up = self.hangup.load(Ordering::Relaxed);
            hung_up && self.terminal && !io::stdout().is_terminal()
        };
        self.end.load(Ordering::Relaxed) || left_alone()
    }

    /// What was wished since the last call. Who wants an end does not want anything else.
    pub fn wish(&self) -> Wish {
        if self.asked() {
            Wish::End
        } else if self.hangup.swap(false, Ordering::Relaxed) {
            Wish::Reload
        } else {
            Wish::Nothing
        }
    }
}

/// The name of the first thread that panicked.
pub(super) type Panics = &'static OnceLock<String>;

static PANICKED: OnceLock<String> = OnceLock::new();

/// Whether a panic on this thread ends the process. On the HTTP thread a panic in a request is answered
/// with 500 and counted, and the sidecar tells when the thread itself ended; the core aborts by itself.
fn ends_the_process(thread: &str) -> bool {
    let ours = thread == "venue" || thread.starts_with("veloz-");
    ours && !matches!(thread, "veloz-http" | "veloz-core")
}

/// Notes panics of our threads from now on.
pub(super) fn watch_panics() -> Panics {
    static HOOKED: OnceLock<()> = OnceLock::new();
    HOOKED.get_or_init(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            default(info);
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            if ends_the_process(name) {
                note_panic(name);
            }
        }));
    });
    &PANICKED
}

pub(super) fn note_panic(thread: &str) {
    // Only the first matters.
    let _ = PANICKED.set(thread.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_process_where_nothing_else_answers_it() {
        let cases = [
            ("veloz-drain", true),
            ("veloz-connector", true),
            ("veloz-connect-7", true),
            ("veloz-capture", true),
            ("venue", true),
            ("veloz-http", false),
            ("veloz-core", false),
            ("main", false),
            ("run::tests::a_panic", false),
        ];
        for (thread, expected) in cases {
            assert_eq!(ends_the_process(thread), expected, "{thread}");
        }
    }
}
