//! The threads of one engine process: started, wired and ended here, and nowhere else.
//!
//! Owns: `veloz run` and what other commands share with it; [`Boot`] is everything before a thread of ours runs,
//! [`Session`] what runs. What ends it is in `run/ends.rs`, the translation of the configuration in
//! `run/settings.rs` and `run/account.rs`. Does not: decide anything about market data or orders.
//!
//! | thread | what it does | where |
//! | --- | --- | --- |
//! | `veloz-core` | sockets, engine | its own CPU |
//! | `veloz-connector`, `veloz-connect-N` | make connections | every other CPU, nice +10 |
//! | `veloz-drain`, `veloz-http` | telemetry, `/health`, `/metrics` | every other CPU |
//! | `venue` | the embedded venue, when there is one | every other CPU |
//! | `veloz-paper`, `veloz-paper-ask` | feed a live market into the embedded venue, with `sim_engine` on a live source | every other CPU |
//! | `veloz-start` | asks the venue for its instruments, then ends | every other CPU |
//! | `veloz-capture` | writes a capture, when there is one | every other CPU |
//! | `veloz-state` | keeps the state file, when there is an account | every other CPU |
//! | `veloz-dead-man` | cancels our orders when the core stands still, when there is an account | every other CPU |
//! | `veloz-log` | writes log lines | every other CPU |
//! | `veloz-traces`, `OpenTelemetry.T…` | exports spans, when there is a collector | every other CPU, nice +10 |
//! | main | signals, log of connections, live status | every other CPU |
//!
//! The first SIGINT or SIGTERM ends the process cleanly: no new orders, ours are cancelled, and the venue has
//! `orders.shutdown_timeout_ms` to confirm it. Exit code 0 when no order is left, 3 with the ids of those that are.
//! The second signal ends it at once. SIGHUP reads the limits anew. A thread that panics ends the process with exit
//! code 1 and a sentence.

mod account;
mod agreement;
mod api;
mod boot;
mod dead_man;
pub mod ends;
mod keeper;
mod notify;
mod reload;
mod session;
mod settings;

pub use boot::{Boot, NotStarted};
pub use session::{End, Left, Session};

use crate::capture::tap::{BlockWriter, Drained};
use crate::capture::writer::Totals;
use crate::cli::{EXIT_FAILURE, EXIT_OK, EXIT_ORDERS_LEFT, RunArgs};
use crate::config::{ConfigError, Loaded};
use crate::logging::{self, Logging};
use crate::status::{self, Screen};
use ends::{Signals, Wish};
use notify::Notifier;
use reload::reload_limits;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use veloz_core::edge::core_loop::NoTap;
use veloz_core::edge::cpu;

/// How often the main thread looks around.
const PATROL: Duration = Duration::from_millis(20);
/// How long the capture's writer rests when no block waits.
const CAPTURE_REST: Duration = Duration::from_millis(5);

/// `veloz run`; `reload` reads the configuration anew, from where `loaded` came.
pub fn run(
    loaded: &Loaded,
    reload: impl Fn() -> Result<Loaded, ConfigError>,
    arguments: &RunArgs,
) -> u8 {
    let (logging, screen) = match install_logging(loaded) {
        Ok(installed) => installed,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return EXIT_FAILURE;
        }
    };
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(sentence) => return fail(&sentence),
    };
    let boot = match Boot::new(&loaded.config, || signals.asked()) {
        Ok(boot) => boot,
        Err(not_started) => return not_started.exit_code(),
    };
    let title = format!(
        "{}, core {}, {}",
        boot.source,
        boot.placement
            .cpu
            .map_or_else(|| "not pinned".to_owned(), |cpu| format!("on CPU {cpu}")),
        boot.edge.idle.label()
    );
    let instruments = boot.instruments.clone();
    let session = match boot.start(NoTap, &logging) {
        Ok(session) => session,
        Err(sentence) => return fail(&sentence),
    };
    let end = observe(
        &session,
        &screen,
        &title,
        arguments.seconds,
        !arguments.no_status,
        || signals.wish(),
        || {
            reopen_log(&logging);
            reload_limits(&session, &instruments, loaded, &reload);
        },
    );
    let (_, left) = session.stop();
    finish_trading(&end, &left)
}

/// Sets up logging and writes what the configuration has to say. The log goes on while its handle lives.
///
/// # Errors
/// A sentence that says why there is no log.
pub fn install_logging(loaded: &Loaded) -> Result<(Logging, Arc<Screen>), String> {
    let screen = Arc::new(Screen::stdout());
    let logging = logging::install(&loaded.config.log, &screen)?;
    for warning in &loaded.warnings {
        tracing::warn!(component = "config", "{warning}");
    }
    Ok((logging, screen))
}

/// Opens the log's files anew.
pub fn reopen_log(logging: &Logging) {
    logging.reopen();
    tracing::info!(
        component = "core",
        event_type = "log_reopened",
        "SIGHUP: log files are opened anew"
    );
}

/// Stays with a session until its time is over, `wish` says so or something breaks; does `reload` when that is wished;
/// shows the live status when that is wished and standard output is a terminal.
pub fn observe<T>(
    session: &Session<T>,
    screen: &Screen,
    title: &str,
    seconds: Option<u64>,
    live: bool,
    wish: impl Fn() -> Wish,
    reload: impl Fn(),
) -> End {
    let url = session.sidecar().url();
    tracing::info!(
        component = "core",
        event_type = "started",
        health = format!("{url}/health"),
        ready = format!("{url}/health/ready"),
        metrics = format!("{url}/metrics"),
        stream = format!("{url}/api/stream"),
        api = format!("{url}/api/openapi.json"),
        "{}",
        first_steps(url, session.sidecar().asks_who())
    );
    let live = live && std::io::stdout().is_terminal();
    let notifier = Notifier::from_environment();
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let end = session.watch(
        || {
            let ends = match wish() {
                Wish::Nothing => false,
                Wish::Reload => {
                    notifier.around_reload(&reload);
                    false
                }
                Wish::End => true,
            };
            ends || until.is_some_and(|until| Instant::now() >= until)
        },
        |session| {
            if !live && !notifier.listens() {
                return;
            }
            let status = session.sidecar().status();
            notifier.look(Instant::now(), &status);
            if live {
                let frame = status::render(&status, title, url, status::terminal_size());
                // A terminal that is gone ends the process by a signal, not by this.
                let _ = screen.draw(&frame);
            }
        },
    );
    notifier.stopping();
    if live {
        let _ = screen.draw("");
    }
    end
}

/// What a new user opens next.
fn first_steps(url: &str, asks_who: bool) -> String {
    if asks_who {
        return format!(
            "running; {url}/health/ready tells whether all is well; log in with POST {url}/api/auth/login {{\"user_id\", \"password\"}} \
             and send the access_token that it gives as Authorization: Bearer for {url}/api/openapi.json, /api/stream and \
             the rest; /metrics takes the scrape token of auth.scrape_token too; Ctrl-C ends it"
        );
    }
    format!(
        "running; open {url}/health/ready to see whether all is well, {url}/metrics for figures, {url}/api/stream for \
         events and {url}/api/openapi.json for what can be asked; Ctrl-C ends it"
    )
}

/// Starts the thread that writes a capture; it ends when the tap is gone and everything is on disk.
///
/// # Errors
/// When the system has no thread left.
pub fn capture_thread(mut blocks: BlockWriter<File>) -> io::Result<JoinHandle<io::Result<Totals>>> {
    std::thread::Builder::new()
        .name("veloz-capture".to_owned())
        .spawn(move || {
            cpu::lower_priority();
            loop {
                match blocks.drain()? {
                    Drained::Some => {}
                    Drained::None => std::thread::sleep(CAPTURE_REST),
                    Drained::Ended => break,
                }
            }
            let (totals, file) = blocks.finish()?;
            file.sync_all()?;
            Ok(totals)
        })
}

/// Logs why a session ended and gives the exit code.
pub fn finish(end: &End) -> u8 {
    match end {
        End::Asked => {
            tracing::info!(component = "core", event_type = "stopped", "stopped");
            EXIT_OK
        }
        End::Panic(thread) => fail(&format!(
            "the thread {thread} panicked (its words are on standard error); the process ends, because it would go on half blind"
        )),
        End::CoreEnded => fail("the core ended although nobody asked it to"),
    }
}

/// As [`finish`], and names the orders that may still be open.
fn finish_trading(end: &End, left: &Left) -> u8 {
    let code = finish(end);
    if left.orders.is_empty() && left.is_all {
        return code;
    }
    if !left.orders.is_empty() {
        let ids: Vec<String> = left.orders.iter().map(ToString::to_string).collect();
        tracing::error!(
            component = "core",
            event_type = "orders_left",
            orders = ids.join(" "),
            "the venue did not confirm in time that these orders are gone; `veloz cancel-all` cancels what is left"
        );
    }
    if !left.is_all {
        tracing::error!(
            component = "core",
            event_type = "orders_left",
            "the venue did not say in time which orders an earlier run left open; `veloz cancel-all` cancels what there is"
        );
    }
    if code == EXIT_OK {
        EXIT_ORDERS_LEFT
    } else {
        code
    }
}

/// Logs why nothing goes on and gives the exit code.
pub fn fail(sentence: &str) -> u8 {
    tracing::error!(component = "core", event_type = "failed", "{sentence}");
    EXIT_FAILURE
}

#[cfg(test)]
mod tests {
    use super::first_steps;

    #[test]
    fn a_new_user_hears_what_to_open_and_how_to_log_in() {
        let open = first_steps("http://127.0.0.1:8080", false);
        let closed = first_steps("https://[::1]:8443", true);
        for path in [
            "/health/ready",
            "/metrics",
            "/api/stream",
            "/api/openapi.json",
        ] {
            assert!(
                open.contains(&format!("http://127.0.0.1:8080{path}")),
                "{path}"
            );
            assert!(closed.contains(path), "{path}");
        }
        assert!(!open.contains("log in"));
        for word in [
            "https://[::1]:8443/api/auth/login",
            "Authorization: Bearer",
            "scrape token",
        ] {
            assert!(closed.contains(word), "{word}");
        }
    }
}
