//! The live status of `veloz run` on a terminal, and the screen that it shares with log lines.
//!
//! Owns: [`Screen`], the one writer to standard output of a running process. Does not: collect what it
//! shows. Invariants: a log line never tears the status and the status never overwrites a log line;
//! off a terminal nothing but lines is written; nothing has to be restored when the process is killed,
//! because the cursor is never hidden and no mode is changed.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Standard output of a running process: log lines above, the status below them.
pub struct Screen {
    shared: Mutex<Shared>,
}

struct Shared {
    out: Box<dyn Write + Send>,
    /// The status as it stands on the terminal; empty when there is none.
    frame: String,
}

/// Clears from the cursor to the end of the screen.
const CLEAR_BELOW: &str = "\x1b[J";

impl Screen {
    /// The screen on standard output.
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()))
    }

    fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            shared: Mutex::new(Shared {
                out,
                frame: String::new(),
            }),
        }
    }

    /// Writes a whole log line, above the status when there is one.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn line(&self, line: &[u8]) -> io::Result<()> {
        self.with(|shared| {
            let mut bytes = shared.erase().into_bytes();
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(shared.frame.as_bytes());
            shared.out.write_all(&bytes)?;
            shared.out.flush()
        })
    }

    /// Replaces the status. `frame` is whole lines, none wider than the terminal; empty for none.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn draw(&self, frame: &str) -> io::Result<()> {
        self.with(|shared| {
            let text = shared.erase() + frame;
            frame.clone_into(&mut shared.frame);
            shared.out.write_all(text.as_bytes())?;
            shared.out.flush()
        })
    }

    fn with<T>(&self, write: impl FnOnce(&mut Shared) -> T) -> T {
        // A panic while writing leaves nothing worse than a torn line.
        write(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// Moves to where the status starts and clears it.
    fn erase(&self) -> String {
        match self.frame.lines().count() {
            0 => String::new(),
            rows => format!("\r\x1b[{rows}A{CLEAR_BELOW}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().expect("no panic"));
            String::from_utf8(bytes).expect("text")
        }
    }

    #[test]
    fn lines_scroll_above_the_status_and_nothing_but_lines_without_one() {
        let memory = Memory::default();
        let screen = Screen::new(Box::new(memory.clone()));
        screen.line(b"one\n").expect("memory");
        assert_eq!(memory.take(), "one\n");

        screen.draw("a\nb\n").expect("memory");
        assert_eq!(memory.take(), "a\nb\n");
        screen.line(b"two\n").expect("memory");
        assert_eq!(memory.take(), "\r\x1b[2A\x1b[Jtwo\na\nb\n");
        screen.draw("c\n").expect("memory");
        assert_eq!(memory.take(), "\r\x1b[2A\x1b[Jc\n");
        screen.draw("").expect("memory");
        assert_eq!(memory.take(), "\r\x1b[1A\x1b[J");
        screen.line(b"three\n").expect("memory");
        assert_eq!(memory.take(), "three\n");
    }
}
