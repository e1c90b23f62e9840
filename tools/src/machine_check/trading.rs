//! What trading needs besides a machine: keys, a place for its state, and a true clock.
//!
//! Owns: those findings. Does not: change anything: nothing is written, no lock is taken. The clocks and the
//! question to the venue are arguments, so that a test can set them wrong.

use super::{Finding, State};
use crate::cancel_all::endpoint;
use crate::config::trading::StatePlace;
use crate::config::{Config, Source};
use crate::keys::Account;
use crate::state::{Inspected, inspect};
use serde::Deserialize;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::SystemTime;
use veloz_core::edge::connector::request_once;
use veloz_core::units::Nanos;

/// How long the venue may take to tell its time.
const TIME_TIMEOUT: Nanos = Nanos::from_secs(3);

/// The findings of trading, in reading order.
pub(super) fn judge(config: &Config) -> Vec<Finding> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut findings = vec![keys(config), state(config, variable)];
    if config.venue.source == Source::Binance {
        findings.push(venue_clock(config, measure(unix_ns, || ask_time(config))));
    }
    findings
}

fn keys(config: &Config) -> Finding {
    const WHY: &str = "orders are signed with the account's key; without one nothing trades";
    let subject = "keys";
    match Account::configured(config) {
        Ok(Account::Simulated) => {
            Finding::ok(subject, "none needed: orders are simulated".to_owned(), WHY)
        }
        Ok(Account::MarketDataOnly) => Finding::note(
            subject,
            "none: the market is followed, nothing trades".to_owned(),
            WHY,
            "set VELOZ_BINANCE_API_KEY_FILE and venue.private_key_file to trade".to_owned(),
        ),
        Ok(Account::Of(credentials)) if credentials.signer.can_log_on() => Finding::ok(
            subject,
            "an Ed25519 key: connections log on once".to_owned(),
            WHY,
        ),
        Ok(Account::Of(_)) => Finding::note(
            subject,
            "an HMAC secret: every request is signed".to_owned(),
            WHY,
            "an Ed25519 key takes the signature off every order (venue.private_key_file)"
                .to_owned(),
        ),
        Err(fault) => Finding {
            subject,
            state: State::Error,
            found: fault.to_string(),
            why: WHY,
            advice: "the start would be refused with these words".to_owned(),
        },
    }
}

fn state(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Finding {
    const WHY: &str = "the kill switch, run numbers and changed limits outlive a restart there";
    let subject = "state";
    let error = |found: String, advice: &str| Finding {
        subject,
        state: State::Error,
        found,
        why: WHY,
        advice: advice.to_owned(),
    };
    let directory = match config.state_place(variable) {
        Ok(StatePlace::Nowhere) => {
            return Finding::ok(subject, "not kept: orders are simulated".to_owned(), WHY);
        }
        Ok(StatePlace::Directory(directory)) => directory,
        Err(fault) => return error(fault.to_string(), "set state.dir"),
    };
    if let Some(fault) = not_writable(&directory) {
        return error(
            format!("{}: {fault}", directory.display()),
            "correct state.dir or its permissions (StateDirectory= in the unit makes one)",
        );
    }
    let place = directory.display();
    match inspect(&directory, &config.account.instance) {
        Ok(Inspected::Nothing) => Finding::ok(subject, format!("{place}: a first start"), WHY),
        Ok(Inspected::State(state)) => match &state.kill_switch {
            None => Finding::ok(subject, format!("{place}: last run {}", state.run), WHY),
            Some(kill) => Finding::warning(
                subject,
                format!("{place}: the kill switch is latched: {}", kill.reason),
                WHY,
                "reset it once the reason is understood; until then nothing is traded".to_owned(),
            ),
        },
        Err(fault) => error(
            fault.to_string(),
            "the start would be refused with these words",
        ),
    }
}

/// Why no file can be made in a directory, or in the nearest one above that exists; `None` when one can.
fn not_writable(directory: &Path) -> Option<String> {
    let existing = directory.ancestors().find(|path| path.exists())?;
    if !existing.is_dir() {
        return Some(format!("{} is no directory", existing.display()));
    }
    let path = CString::new(existing.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path is a string that ends in zero, and the call only reads it.
    let allowed = unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } == 0;
    (!allowed).then(|| {
        format!(
            "no file can be made in {}: {}",
            existing.display(),
            std::io::Error::last_os_error()
        )
    })
}

/// The venue's clock minus ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// How far it is ahead, in milliseconds.
    ahead_ms: i64,
    /// How far that may be off.
    uncertain_ms: i64,
}

/// Asks for the venue's time, in milliseconds, and holds it against `unix_ns`.
pub(super) fn measure(
    unix_ns: impl Fn() -> i128,
    ask: impl FnOnce() -> Result<u64, String>,
) -> Result<Offset, String> {
    let sent = unix_ns();
    let venue_ms = ask()?;
    let received = unix_ns();
    let middle_ms = sent.midpoint(received) / 1_000_000;
    let too_far = |_| "the venue's time is none".to_owned();
    Ok(Offset {
        ahead_ms: i64::try_from(i128::from(venue_ms) - middle_ms).map_err(too_far)?,
        uncertain_ms: i64::try_from((received - sent) / 2 / 1_000_000 + 1).map_err(too_far)?,
    })
}

fn ask_time(config: &Config) -> Result<u64, String> {
    #[derive(Deserialize)]
    struct Answer {
        result: Time,
    }
    #[derive(Deserialize)]
    struct Time {
        #[serde(rename = "serverTime")]
        server_time: u64,
    }
    let endpoint = endpoint(config)?;
    let answer = request_once(&endpoint, r#"{"id":1,"method":"time"}"#, TIME_TIMEOUT)
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&answer)
        .map(|answer: Answer| answer.result.server_time)
        .map_err(|error| format!("the venue's answer to time cannot be read: {error}"))
}

fn unix_ns() -> i128 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i128)
}

pub(super) fn venue_clock(config: &Config, measured: Result<Offset, String>) -> Finding {
    const WHY: &str =
        "the venue refuses requests that are too old or from the future, and so does risk";
    let subject = "venue clock";
    let offset = match measured {
        Ok(offset) => offset,
        Err(why) => {
            return Finding::warning(
                subject,
                format!("not measured: {why}"),
                WHY,
                "venue.api_url, venue.ca_file and the network decide this".to_owned(),
            );
        }
    };
    let found = format!(
        "the venue's is {} ms {} this machine's, give or take {} ms",
        offset.ahead_ms.unsigned_abs(),
        if offset.ahead_ms < 0 {
            "behind"
        } else {
            "ahead of"
        },
        offset.uncertain_ms
    );
    let Some(bound_ms) = config.risk.clock_offset_max_ms.get() else {
        return Finding::note(
            subject,
            found,
            WHY,
            "set risk.clock_offset_max_ms, so that a wrong clock is noticed".to_owned(),
        );
    };
    // Only what is beyond doubt.
    let surely = (offset.ahead_ms.abs() - offset.uncertain_ms)
        .max(0)
        .unsigned_abs();
    if surely <= bound_ms {
        return Finding::ok(subject, found, WHY);
    }
    Finding {
        subject,
        state: State::Error,
        found: format!("{found}; risk.clock_offset_max_ms is {bound_ms}"),
        why: WHY,
        advice: "set this machine's clock (chronyc makestep) and keep it set; orders are refused until then"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;
    use crate::state::{KillSwitch, StateStore};
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn config(text: &str) -> Config {
        load_text("test.toml", text).expect("valid").config
    }

    fn live(rest: &str) -> Config {
        config(&format!(
            "[venue]\nsource = \"binance\"\nexecution_mode = \"binance_spot\"\n{rest}"
        ))
    }

    /// An offset measured by a clock that is `wrong_ms` ahead, over a round trip of 40 ms.
    fn measured(wrong_ms: i64) -> Result<Offset, String> {
        let readings = Cell::new(0);
        let unix_ns = || {
            let reading = readings.get();
            readings.set(reading + 1);
            (i128::from(NOW_MS) + i128::from(wrong_ms) + 40 * reading) * 1_000_000
        };
        measure(unix_ns, || Ok(NOW_MS + 20))
    }

    #[test]
    fn a_clock_that_is_ten_seconds_off_is_an_error_either_way() {
        let config = live("");
        for wrong_ms in [10_000, -10_000] {
            let finding = venue_clock(&config, measured(wrong_ms));
            assert_eq!(finding.state, State::Error, "{}", finding.found);
            assert!(finding.found.contains("10000 ms"), "{}", finding.found);
            assert!(finding.found.contains("clock_offset_max_ms is 1000"));
            assert!(!finding.advice.is_empty());
        }
        for right_ms in [0, 900, -900, 1_015] {
            let finding = venue_clock(&config, measured(right_ms));
            assert_eq!(finding.state, State::Ok, "{right_ms}: {}", finding.found);
        }
        let unbound = live("[risk]\nclock_offset_max_ms = \"none\"\n");
        assert_eq!(venue_clock(&unbound, measured(0)).state, State::Note);
        let mute = venue_clock(&config, measure(|| 0, || Err("no route".to_owned())));
        assert_eq!(mute.state, State::Warning);
        assert!(mute.found.contains("no route"));
    }

    #[test]
    fn keys_are_none_whole_or_an_error() {
        assert_eq!(keys(&config("")).state, State::Ok);
        assert_eq!(keys(&live("")).state, State::Note);
        let strategy = live("[strategy]\nkind = \"market_maker\"\n");
        assert_eq!(keys(&strategy).state, State::Error);
        let half = live("private_key_file = \"/no/such/key\"\n");
        let finding = keys(&half);
        assert_eq!(finding.state, State::Error);
        assert!(finding.found.contains("venue.api_key"), "{}", finding.found);
    }

    #[test]
    fn the_state_can_be_kept_or_the_reason_is_said() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = directory.path().join("a/b");
        let configured = config(&format!("[state]\ndir = {place:?}\n"));
        let look = |config: &Config| state(config, |_| None);
        assert_eq!(look(&config("")).state, State::Ok);
        let first = look(&configured);
        assert_eq!(first.state, State::Ok);
        assert!(first.found.contains("a first start"), "{}", first.found);
        assert!(!place.exists(), "a check changes nothing");

        let store = StateStore::open(&StatePlace::Directory(place.clone()), "veloz", 7);
        let store = store.expect("a first start");
        assert_eq!(look(&configured).state, State::Ok);
        store
            .update(|state| state.kill_switch = Some(KillSwitch::new("loss", 1)))
            .expect("saved");
        let latched = look(&configured);
        assert_eq!(latched.state, State::Warning);
        assert!(latched.found.contains("latched: loss"), "{}", latched.found);

        fs::write(place.join("veloz.state"), "x").expect("written");
        assert_eq!(look(&configured).state, State::Error);
        let file = directory.path().join("file");
        fs::write(&file, "").expect("written");
        let blocked = config(&format!("[state]\ndir = {:?}\n", file.join("x")));
        assert_eq!(look(&blocked).state, State::Error);
        let homeless = look(&live(""));
        assert_eq!(homeless.state, State::Error);
        assert!(homeless.found.contains("XDG_STATE_HOME"));

        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).expect("set");
        let sealed = directory.path().join("new");
        let finding = look(&config(&format!("[state]\ndir = {sealed:?}\n")));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("set");
        // Root may write everywhere.
        let root = fs::metadata("/proc/self")
            .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        let expected = if root { State::Ok } else { State::Error };
        assert_eq!(finding.state, expected, "{}", finding.found);
    }
}
