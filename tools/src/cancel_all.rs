//! `veloz cancel-all`: takes every open order of this instance, or of the account, back, without the engine.
//!
//! Owns: the command, what it prints, and its exit codes: 0 no order is left, 3 some are (and which), 1 it could
//! not be found out, 2 wrong command line or configuration. What is asked of the venue is the canceller's.
//!
//! It needs configuration and keys alone: systemd runs it when the engine's process is gone
//! (`ExecStopPost=veloz cancel-all`), and people do when they do not trust the engine. An order that was sent
//! just before can reach the venue as long as `account.recv_window_ms` says, so the last look comes after that.

use crate::canceller::driver::{Driver, Told};
use crate::canceller::requests::OpenOrder;
use crate::canceller::{Canceller, CancellerConfig, Notice, Scope};
use crate::cli::{CancelAllArgs, EXIT_FAILURE, EXIT_OK, EXIT_ORDERS_LEFT, EXIT_USAGE};
use crate::config::{Config, ExecutionMode, Loaded};
use crate::keys;
use serde_json::json;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::Endpoint;
use veloz_core::edge::tls::client_config;
use veloz_core::units::Nanos;
use veloz_core::venue::binance::order_entry::ClientOrderIds;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(5);
/// How long the kernel may take for one request.
const SEND_TIMEOUT: Nanos = Nanos::from_secs(2);
/// First wait after a failure.
const BACKOFF_BASE: Nanos = Nanos::from_ms(250);
/// Longest such wait: with it a sweep of five minutes stays far below the venue's 300 connections.
const BACKOFF_MAX: Nanos = Nanos::from_secs(5);

/// How a sweep ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The venue lists no order.
    NoneLeft {
        /// How many were cancelled.
        cancelled: usize,
    },
    /// Time ran out, and these were open when the venue was last asked.
    Left(Vec<OpenOrder>),
    /// It could not be found out.
    Failed(String),
}

impl Outcome {
    /// The command's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoneLeft { .. } => EXIT_OK,
            Self::Left(_) => EXIT_ORDERS_LEFT,
            Self::Failed(_) => EXIT_FAILURE,
        }
    }
}

/// `veloz cancel-all`.
pub fn cancel_all(loaded: &Loaded, arguments: &CancelAllArgs) -> u8 {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    if loaded.config.venue.execution_mode == ExecutionMode::SimEngine {
        println!(
            "nothing to cancel: venue.execution_mode is \"sim_engine\", so orders are in the engine's own process and end with it"
        );
        return EXIT_OK;
    }
    let clock = Clock::kernel();
    let mut driver = match driver(&loaded.config, arguments, clock) {
        Ok(driver) => driver,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return EXIT_USAGE;
        }
    };
    let settle = Nanos::from_ms(loaded.config.account.recv_window_ms);
    let patience = settle.plus(Nanos::from_secs(arguments.timeout));
    let mut lines = Lines {
        json: arguments.json,
        out: io::stdout().lock(),
    };
    let outcome = sweep(&mut driver, clock, patience, &mut |notice| {
        lines.notice(notice);
    });
    let whose = if arguments.account {
        "of the account".to_owned()
    } else {
        format!("of instance {}", loaded.config.account.instance)
    };
    lines.end(&outcome, &whose);
    outcome.exit_code()
}

/// A driver for this configuration.
fn driver(config: &Config, arguments: &CancelAllArgs, clock: Clock) -> Result<Driver, String> {
    let credentials = keys::credentials_at_venue(config)
        .map_err(|fault| fault.to_string())?
        .ok_or(
            "there are no keys, so the venue cannot be asked for open orders: set VELOZ_BINANCE_API_KEY_FILE and venue.private_key_file, or VELOZ_BINANCE_API_SECRET_FILE",
        )?;
    let scope = if arguments.account {
        Scope::Account
    } else {
        let ids =
            ClientOrderIds::new(&config.account.instance).map_err(|error| error.to_string())?;
        Scope::Instance(ids)
    };
    let canceller = CancellerConfig {
        scope,
        symbol: arguments.symbol.clone(),
        recv_window_ms: config.account.recv_window_ms,
        answer_max: Nanos::from_ms(config.orders.cancel_timeout_ms),
        settle: Nanos::from_ms(config.account.recv_window_ms),
        backoff_base: BACKOFF_BASE,
        backoff_max: BACKOFF_MAX,
        seed: RandomState::new().build_hasher().finish(),
    };
    Ok(Driver::new(
        Canceller::new(canceller, credentials),
        endpoint(config)?,
        clock,
        CONNECT_TIMEOUT,
        SEND_TIMEOUT,
    ))
}

/// The venue's websocket API as the configuration has it.
///
/// # Errors
/// One sentence that names the key.
pub fn endpoint(config: &Config) -> Result<Endpoint, String> {
    let ca_file = &config.venue.ca_file;
    let ca_files: Vec<_> = (!ca_file.as_os_str().is_empty())
        .then(|| ca_file.clone())
        .into_iter()
        .collect();
    let tls = client_config(&ca_files, &[]).map_err(|error| format!("`venue.ca_file`: {error}"))?;
    Endpoint::new(&config.venue.api_url, &tls).map_err(|error| format!("`venue.api_url`: {error}"))
}

/// Sweeps for as long as `patience` on `clock`; `tell` hears of every order.
pub fn sweep(
    driver: &mut Driver,
    clock: Clock,
    patience: Nanos,
    tell: &mut impl FnMut(&Notice),
) -> Outcome {
    let give_up_at = clock.now().plus(patience);
    let mut last_trouble = None;
    driver.canceller.begin(clock.now());
    let outcome = loop {
        driver.turn(give_up_at, &mut |told| {
            if let Told::Notice(notice) = told {
                tell(&notice);
                if let Notice::Trouble(words) = notice {
                    last_trouble = Some(words);
                }
            }
        });
        if driver.canceller.is_clean() {
            break Outcome::NoneLeft {
                cancelled: driver.canceller.cancelled(),
            };
        }
        if let Some(words) = driver.canceller.failure() {
            break Outcome::Failed(words.to_owned());
        }
        if clock.now() >= give_up_at {
            break match driver.canceller.left() {
                Some(left) if !left.is_empty() => Outcome::Left(left.to_vec()),
                Some(_) | None => Outcome::Failed(format!(
                    "time ran out before the venue could be asked for what is left: {}",
                    last_trouble.as_deref().unwrap_or("it does not answer")
                )),
            };
        }
    };
    driver.close();
    outcome
}

/// What is printed: a line an order, or a JSON object each.
struct Lines<W> {
    json: bool,
    out: W,
}

impl<W: Write> Lines<W> {
    fn notice(&mut self, notice: &Notice) {
        if !self.json {
            match notice {
                // The end says it.
                Notice::Clean { .. } => {}
                Notice::Trouble(words) => complain(&format!("trouble: {words}")),
                Notice::Cancelled(_)
                | Notice::Gone(_)
                | Notice::Refused { .. }
                | Notice::Unknown { .. } => self.line(&notice.to_string()),
            }
            return;
        }
        let value = match notice {
            Notice::Cancelled(order) => json!({"event": "cancelled", "order": order}),
            Notice::Gone(order) => json!({"event": "gone", "order": order}),
            Notice::Refused { order, words } => {
                json!({"event": "refused", "order": order, "words": words})
            }
            Notice::Unknown { order, words } => {
                json!({"event": "unknown", "order": order, "words": words})
            }
            Notice::Trouble(words) => json!({"event": "trouble", "words": words}),
            Notice::Clean { .. } => return,
        };
        self.line(&value.to_string());
    }

    fn end(&mut self, outcome: &Outcome, whose: &str) {
        if self.json {
            let value = match outcome {
                Outcome::NoneLeft { cancelled } => {
                    json!({"event": "end", "outcome": "none_left", "cancelled": cancelled})
                }
                Outcome::Left(orders) => {
                    json!({"event": "end", "outcome": "left", "orders": orders})
                }
                Outcome::Failed(words) => {
                    json!({"event": "end", "outcome": "failed", "words": words})
                }
            };
            self.line(&value.to_string());
            return;
        }
        match outcome {
            Outcome::NoneLeft { cancelled } => {
                self.line(&format!(
                    "no open order {whose} is left; {cancelled} cancelled"
                ));
            }
            Outcome::Left(orders) => {
                for order in orders {
                    self.line(&format!("left {order}"));
                }
                complain(&format!(
                    "error: {} open orders {whose} are left",
                    orders.len()
                ));
            }
            Outcome::Failed(words) => complain(&format!("error: {words}")),
        }
    }

    fn line(&mut self, text: &str) {
        // A reader that went away does not keep orders from being cancelled.
        let _ = writeln!(self.out, "{text}");
    }
}

/// As [`Lines::line`], on standard error.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests;
