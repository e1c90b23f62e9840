//! The live status of `veloz run` on a terminal, and the screen that it shares with log lines.
//!
//! Owns: [`Screen`], the one writer to standard output of a running process, and [`render`]. Does not:
//! collect what it shows. Invariants: a log line never tears the status and the status never overwrites a log line;
//! off a terminal nothing but lines is written; nothing has to be restored when the process is killed,
//! because the cursor is never hidden and no mode is changed.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use veloz_core::telemetry::records::{BookState, EngineState};
use veloz_core::units::E8;
use veloz_exporter::status::{BookLine, PositionLine, Status, TradingLine};

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

    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
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

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// A terminal that does not tell its size.
const SIZE_UNKNOWN: Size = Size {
    rows: 24,
    columns: 80,
};

/// Size of the terminal on standard output.
pub fn terminal_size() -> Size {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the call writes a `winsize` where it is told, and `size` is one.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if result != 0 || size.ws_row == 0 || size.ws_col == 0 {
        return SIZE_UNKNOWN;
    }
    Size {
        rows: usize::from(size.ws_row),
        columns: usize::from(size.ws_col),
    }
}

/// The frame that shows `status`: whole lines that fit the terminal. `title` says what runs, `url` is
/// where the server listens.
pub fn render(status: &Status, title: &str, url: &str, size: Size) -> String {
    let mut lines = vec![format!(
        "VeloZ {}   {title}   up {}   links: {} market, {} API, {} orders",
        engine_word(status),
        uptime(status.at.0 / 1_000_000_000),
        status.links_up[0],
        status.links_up[1],
        status.links_up[2],
    )];
    lines.push(String::new());
    lines.push(format!(
        "{:<12} {:<9} {:>30} {:>30} {:>10} {:>7} {:>7}",
        "symbol", "book", "bid", "ask", "spread", "msg/s", "lag ms"
    ));
    let trading = status
        .trading
        .map(|trading| trading_rows(&trading, &status.positions))
        .unwrap_or_default();
    let below = 6 + status.latencies.len() + trading.len();
    let room = size.rows.saturating_sub(lines.len() + below + 2).max(1);
    lines.extend(status.books.iter().take(room).map(book_row));
    if status.books.len() > room {
        let hidden = &status.books[room..];
        let live = hidden
            .iter()
            .filter(|book| book.state == Some(BookState::Live))
            .count();
        lines.push(format!("and {} more, {live} of them live", hidden.len()));
    }
    lines.extend(trading);
    lines.push(String::new());
    lines.push(format!(
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "latency, us, last 1 s", "p50", "p90", "p99", "p99.9", "max"
    ));
    for line in &status.latencies {
        let quantiles = &line.last_second;
        let cells = [
            quantiles.p50_ns,
            quantiles.p90_ns,
            quantiles.p99_ns,
            quantiles.p999_ns,
            quantiles.max_ns,
        ]
        .map(|ns| match quantiles.count {
            0 => "-".to_owned(),
            _ => micros(ns),
        });
        let [p50, p90, p99, p999, max] = cells;
        lines.push(format!(
            "{:<22} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}",
            line.stage.label()
        ));
    }
    let mut rings = String::from("rings");
    for ring in &status.rings {
        let _ = write!(
            rings,
            "   {} {}/{} (most {}, lost {})",
            ring.name, ring.used, ring.capacity, ring.used_max, ring.lost
        );
    }
    lines.push(rings);
    lines.push(format!(
        "{} messages/s, {} kB/s   faults {}   reconnects {}",
        status.rates.messages,
        status.rates.bytes / 1_000,
        status.faults,
        status.reconnects
    ));
    lines.push(format!("{url}/health   {url}/metrics   Ctrl-C ends"));

    let mut frame = String::new();
    for line in lines.iter().take(size.rows.saturating_sub(1)) {
        frame.extend(line.trim_end().chars().take(size.columns));
        frame.push('\n');
    }
    frame
}

fn engine_word(status: &Status) -> &'static str {
    if status.running {
        status.engine.map_or("starting", EngineState::label)
    } else {
        "not running"
    }
}

fn uptime(seconds: u64) -> String {
    format!(
        "{}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn book_row(book: &BookLine) -> String {
    let side = |level: Option<(E8, E8)>| {
        level.map_or_else(
            || "-".to_owned(),
            |(price, qty)| format!("{} x {}", short(price), short(qty)),
        )
    };
    let spread = match (book.bid, book.ask) {
        (Some((bid, _)), Some((ask, _))) => short(E8(ask.0 - bid.0)),
        _ => "-".to_owned(),
    };
    let lag = book
        .lag_ns
        .map_or_else(|| "-".to_owned(), |lag| format!("{:.1}", lag as f64 / 1e6));
    format!(
        "{:<12} {:<9} {:>30} {:>30} {:>10} {:>7} {:>7}",
        book.symbol,
        book.state.map_or("unread", BookState::label),
        side(book.bid),
        side(book.ask),
        spread,
        book.messages_per_second,
        lag
    )
}

/// Positions that the frame has room for; the rest is in the log and in the metrics.
const POSITIONS_SHOWN_MAX: usize = 8;

/// The account and those of its positions that are open.
fn trading_rows(trading: &TradingLine, positions: &[PositionLine]) -> Vec<String> {
    let known = |value: Option<E8>| value.map_or_else(|| "-".to_owned(), short);
    let mut rows = vec![
        String::new(),
        format!(
            "trading {}, {}{}{}   {} orders open, {} unresolved   limits used {}.{:02} %",
            trading.phase.label(),
            trading.state.label(),
            if trading.is_killed {
                ", kill switch on"
            } else {
                ""
            },
            if trading.strategy_runs {
                ""
            } else {
                ", strategy paused"
            },
            trading.open_orders,
            trading.unresolved_orders,
            trading.utilization_bps / 100,
            trading.utilization_bps % 100,
        ),
        format!(
            "equity {}   realized {}   unrealized {}",
            known(trading.equity),
            short(trading.realized),
            short(trading.unrealized),
        ),
    ];
    let open = positions.iter().filter(|position| position.qty != E8(0));
    rows.extend(open.take(POSITIONS_SHOWN_MAX).map(|position| {
        format!(
            "{:<12} position {:>16} at {:>14}   realized {:>14}   unrealized {:>14}",
            position.symbol,
            short(position.qty),
            short(position.entry),
            short(position.realized),
            known(position.unrealized),
        )
    }));
    rows
}

/// A decimal without its trailing zeros, two places at least.
fn short(value: E8) -> String {
    const PLACES_MIN: usize = 2;
    let text = value.to_string();
    let point = text.find('.').unwrap_or(text.len());
    let trimmed = text.trim_end_matches('0').len();
    text[..trimmed.max((point + 1 + PLACES_MIN).min(text.len()))].to_owned()
}

fn micros(ns: u64) -> String {
    format!("{}.{}", ns / 1_000, ns % 1_000 / 100)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use veloz_core::risk::TradingState;
    use veloz_core::telemetry::histograms::Stage;
    use veloz_core::telemetry::records::TradingPhase;
    use veloz_core::units::Nanos;
    use veloz_exporter::latency::Quantiles;
    use veloz_exporter::status::{LatencyLine, Rates, RingLine};

    #[derive(Clone, Default)]
    pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

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
        pub(crate) fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().expect("no panic"));
            String::from_utf8(bytes).expect("text")
        }
    }

    #[test]
    fn decimals_lose_their_trailing_zeros_only() {
        let cases = [
            (6_183_763_000_000, "61837.63"),
            (378_826_000, "3.78826"),
            (100_000_000, "1.00"),
            (0, "0.00"),
            (1, "0.00000001"),
        ];
        for (value, expected) in cases {
            assert_eq!(short(E8(value)), expected);
        }
    }

    #[test]
    fn a_frame_fits_its_terminal_and_says_what_it_leaves_out() {
        let mut status = Status {
            at: Nanos::from_secs(3_723),
            engine: Some(EngineState::Ready),
            running: true,
            links_up: [1, 1, 0],
            books: vec![BookLine {
                bid: Some((E8(6_183_763_000_000), E8(378_826_000))),
                ask: Some((E8(6_183_764_000_000), E8(154_698_000))),
                lag_ns: Some(1_250_000),
                messages_per_second: 62,
                ..BookLine::without_price("BTCUSDT", Some(BookState::Live))
            }],
            rates: Rates {
                messages: 62,
                bytes: 40_000,
                trades: 1,
                touches: 3,
                turns: 9,
            },
            latencies: vec![LatencyLine {
                stage: Stage::RecvToBook,
                last_second: Quantiles {
                    count: 62,
                    p50_ns: 850,
                    p90_ns: 1_200,
                    p99_ns: 4_000,
                    p999_ns: 4_000,
                    max_ns: 4_321,
                },
                since_start: Quantiles::default(),
            }],
            trading: Some(TradingLine {
                phase: TradingPhase::Ready,
                state: TradingState::Active,
                is_killed: false,
                strategy_runs: true,
                open_orders: 4,
                unresolved_orders: 1,
                equity: Some(E8(99_984_000_000_000)),
                realized: E8(-123_450_000),
                unrealized: E8(5_000_000),
                utilization_bps: 1_207,
            }),
            positions: vec![PositionLine {
                symbol: "BTCUSDT".to_owned(),
                qty: E8(-322_677),
                entry: E8(6_183_082_000_000),
                realized: E8(-123_450_000),
                unrealized: None,
            }],
            slowest: None,
            rings: vec![RingLine {
                name: "records",
                used: 0,
                used_max: 3,
                capacity: 4_096,
                taken: 12,
                lost: 0,
            }],
            faults: 0,
            reconnects: 0,
        };
        let wide = Size {
            rows: 24,
            columns: 200,
        };
        let frame = render(&status, "embedded venue", "http://127.0.0.1:8080", wide);
        assert_eq!(
            frame,
            "VeloZ ready   embedded venue   up 1:02:03   links: 1 market, 1 API, 0 orders\n\
             \n\
             symbol       book                                 bid                            ask     spread   msg/s  lag ms\n\
             BTCUSDT      live                  61837.63 x 3.78826             61837.64 x 1.54698       0.01      62     1.2\n\
             \n\
             trading ready, ACTIVE   4 orders open, 1 unresolved   limits used 12.07 %\n\
             equity 999840.00   realized -1.2345   unrealized 0.05\n\
             BTCUSDT      position      -0.00322677 at       61830.82   realized        -1.2345   unrealized              -\n\
             \n\
             latency, us, last 1 s        p50       p90       p99     p99.9       max\n\
             recv_to_book                 0.8       1.2       4.0       4.0       4.3\n\
             rings   records 0/4096 (most 3, lost 0)\n\
             62 messages/s, 40 kB/s   faults 0   reconnects 0\n\
             http://127.0.0.1:8080/health   http://127.0.0.1:8080/metrics   Ctrl-C ends\n"
        );

        let book = status.books[0].clone();
        status.books = vec![book; 64];
        let small = Size {
            rows: 20,
            columns: 40,
        };
        let frame = render(&status, "embedded venue", "http://127.0.0.1:8080", small);
        assert!(frame.lines().count() < small.rows);
        assert!(
            frame
                .lines()
                .all(|line| line.chars().count() <= small.columns)
        );
        assert!(frame.contains(" more, "), "{frame}");
        assert!(frame.contains("/health"), "{frame}");
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
