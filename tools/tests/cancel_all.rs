//! `veloz cancel-all` as its users start it, against a venue that matches, with everything going wrong in between.

#[path = "support/trader.rs"]
mod trader;

use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use trader::{Exchange, Trader};
use veloz::venue::{Fault, Surface};
use veloz_exporter::api::EXCHANGE_KEYS_ENDING;

/// Who signs.
#[derive(Clone, Copy)]
enum Key {
    Ed25519,
    Hmac,
    /// The same as [`Key::Hmac`], in the file of a key that was written over the API.
    WrittenOverTheApi,
}

fn cancel_all(exchange: &Exchange, key: Key, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veloz"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VELOZ_") {
            command.env_remove(name);
        }
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let mut set = |name: &str, value: &str| {
        command.args(["--set", &format!("{name}={value}")]);
    };
    set("venue.source", "binance");
    set("venue.execution_mode", "binance_testnet_spot");
    set("venue.api_url", &exchange.api_url());
    let ca_file = exchange.key("../ca.pem");
    set("venue.ca_file", ca_file.to_str().expect("UTF-8"));
    set("state.dir", state.path().to_str().expect("UTF-8"));
    // How long it waits for orders that may be on their way.
    set("account.recv_window_ms", "500");
    match key {
        Key::Ed25519 => {
            let pem = exchange.key("ed25519.pem");
            set("venue.private_key_file", pem.to_str().expect("UTF-8"));
            command.env("VELOZ_BINANCE_API_KEY_FILE", exchange.key("api_key"));
        }
        Key::Hmac => {
            command
                .env("VELOZ_BINANCE_API_KEY_FILE", exchange.key("hmac_api_key"))
                .env("VELOZ_BINANCE_API_SECRET_FILE", exchange.key("hmac_secret"));
        }
        Key::WrittenOverTheApi => write_key(exchange, state.path()),
    }
    let output = command
        .arg("cancel-all")
        .args(arguments)
        .output()
        .expect("the command runs");
    for name in ["hmac_secret", "hmac_api_key", "api_key", "ed25519.pem"] {
        let secret = std::fs::read_to_string(exchange.key(name)).expect("a key file");
        for line in secret.lines().filter(|line| line.len() > 30) {
            for text in [&output.stdout, &output.stderr] {
                let shown = String::from_utf8_lossy(text);
                assert!(!shown.contains(line), "{name} is shown: {shown}");
            }
        }
    }
    output
}

/// What the API leaves in the state directory when a key is written over it.
fn write_key(exchange: &Exchange, state: &Path) {
    let half = |name| {
        let text = std::fs::read_to_string(exchange.key(name)).expect("a key file");
        text.trim().to_owned()
    };
    let text = serde_json::json!({
        "exchange": "binance",
        "api_key": half("hmac_api_key"),
        "api_secret": half("hmac_secret"),
    });
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(state.join(format!("veloz.{EXCHANGE_KEYS_ENDING}")))
        .expect("a new file");
    file.write_all(text.to_string().as_bytes())
        .expect("room for a key");
}

fn words(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Two orders of the instance, one of another, one by hand.
fn place(trader: &mut Trader<'_>) {
    trader.bid("BTCUSDT", "vz-veloz_1_1");
    trader.bid("ETHUSDT", "vz-veloz_7_zz");
    trader.bid("BTCUSDT", "vz-veloz2_1_1");
    trader.bid("BTCUSDT", "web-1");
}

const OTHERS: [&str; 2] = ["vz-veloz2_1_1", "web-1"];

#[test]
fn the_instances_orders_go_and_nobody_elses() {
    for key in [Key::Ed25519, Key::Hmac, Key::WrittenOverTheApi] {
        let exchange = Exchange::start();
        let mut trader = Trader::new(&exchange);
        place(&mut trader);
        let output = cancel_all(&exchange, key, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        assert_eq!(trader.open(), OTHERS);
        let text = words(&output);
        assert_eq!(text.matches("cancelled BTCUSDT BUY").count(), 1, "{text}");
        assert_eq!(text.matches("cancelled ETHUSDT BUY").count(), 1, "{text}");
        assert!(
            text.contains("no open order of instance veloz is left; 2 cancelled"),
            "{text}"
        );

        let again = cancel_all(&exchange, key, &["--json"]);
        assert_eq!(again.status.code(), Some(0));
        let end: Value = serde_json::from_slice(&again.stdout).expect("one object");
        assert_eq!(end["outcome"], "none_left");
        assert_eq!(end["cancelled"], 0);

        let account = cancel_all(
            &exchange,
            key,
            &["--account", "--yes", "--symbol", "ETHUSDT"],
        );
        assert_eq!(account.status.code(), Some(0), "{}", words(&account));
        assert_eq!(trader.open(), OTHERS);
        let account = cancel_all(&exchange, key, &["--account", "--yes"]);
        assert_eq!(account.status.code(), Some(0), "{}", words(&account));
        assert_eq!(trader.open(), [""; 0]);
    }
}

#[test]
fn what_goes_wrong_in_between_leaves_no_order() {
    let faults = [
        Fault::ResponseLost,
        Fault::TimeoutAccepted,
        Fault::TimeoutRefused,
        Fault::DropAfterAccept,
        Fault::Unavailable,
        Fault::SessionRevoked,
        Fault::CancelDelayed { ms: 50 },
        Fault::Halt { ms: 300 },
        Fault::Fragment,
        Fault::MalformedJson,
        Fault::Reset,
    ];
    let exchange = Exchange::start();
    for fault in faults {
        let mut trader = Trader::new(&exchange);
        trader.bid("BTCUSDT", "vz-veloz_1_1");
        trader.bid("ETHUSDT", "vz-veloz_1_2");
        assert!(exchange.venue.inject_on(fault, Surface::Api));
        let output = cancel_all(&exchange, Key::Ed25519, &[]);
        let text = words(&output);
        assert_eq!(output.status.code(), Some(0), "{fault:?}: {text}");
        let mut trader = Trader::new(&exchange);
        assert_eq!(trader.open(), [""; 0], "{fault:?}: {text}");
    }
}

#[test]
fn orders_that_stay_are_named() {
    let exchange = Exchange::start();
    let mut trader = Trader::new(&exchange);
    let id = trader.bid("BTCUSDT", "vz-veloz_1_1");
    assert!(exchange.venue.inject(Fault::Halt { ms: 600_000 }));
    let output = cancel_all(&exchange, Key::Hmac, &["--timeout", "1"]);
    let text = words(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("left BTCUSDT BUY"), "{text}");
    assert!(
        text.contains(&format!("order {id}, vz-veloz_1_1")),
        "{text}"
    );
    assert!(
        text.contains("1 open orders of instance veloz are left"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_found_out_is_a_failure() {
    let exchange = Exchange::start();
    // A key that the venue does not know.
    let path = exchange.key("hmac_api_key");
    let known = std::fs::read_to_string(&path).expect("a key");
    let unknown: String = known.trim().chars().rev().collect();
    std::fs::write(&path, unknown).expect("written");
    let output = cancel_all(&exchange, Key::Hmac, &[]);
    let text = words(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("-2015"), "{text}");

    let output = cancel_all(&exchange, Key::Hmac, &["--symbol", "NONESUCH"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));

    // Nobody answers at its address any more.
    let gone = Exchange::start();
    let address = gone.venue.address();
    drop(gone);
    let output = Command::new(env!("CARGO_BIN_EXE_veloz"))
        .env_remove("VELOZ_CONFIG")
        .env("VELOZ_BINANCE_API_KEY_FILE", exchange.key("hmac_api_key"))
        .env("VELOZ_BINANCE_API_SECRET_FILE", exchange.key("hmac_secret"))
        .args(["--set", "venue.source=binance"])
        .args(["--set", "venue.execution_mode=binance_testnet_spot"])
        .args(["--set", &format!("venue.api_url=wss://{address}/ws-api/v3")])
        .args(["--set", "account.recv_window_ms=100"])
        .args(["cancel-all", "--timeout", "1", "--json"])
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(
        words(&output).contains("time ran out"),
        "{}",
        words(&output)
    );
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_veloz"))
            .env_remove("VELOZ_CONFIG")
            .args(arguments)
            .output()
            .expect("the command runs");
        (output.status.code(), words(&output))
    };
    let (code, text) = run(&["cancel-all"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing to cancel"), "{text}");
    let (code, text) = run(&["cancel-all", "--account"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--yes"), "{text}");
    let live = [
        "--set",
        "venue.source=binance",
        "--set",
        "venue.execution_mode=binance_spot",
        "cancel-all",
    ];
    let (code, text) = run(&live);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there are no keys"), "{text}");
}
