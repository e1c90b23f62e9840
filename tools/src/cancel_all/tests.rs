//! What the command prints, and what it refuses to start with.

use super::*;
use crate::canceller::requests::tests::order;
use crate::config::{load, load_text};

fn arguments(account: bool) -> CancelAllArgs {
    CancelAllArgs {
        account,
        yes: account,
        symbol: None,
        timeout: 10,
        json: false,
    }
}

/// The lines of a sweep that met everything.
fn printed(json: bool, outcome: &Outcome) -> String {
    let mut out = Vec::new();
    let mut lines = Lines {
        json,
        out: &mut out,
    };
    let words = || "words \"quoted\"".to_owned();
    for notice in [
        Notice::Cancelled(order(1, "vz-a_1_1")),
        Notice::Gone(order(2, "vz-a_1_2")),
        Notice::Refused {
            order: order(3, "vz-a_1_3"),
            words: words(),
        },
        Notice::Unknown {
            order: order(4, "vz-a_1_4"),
            words: words(),
        },
        Notice::Clean { cancelled: 1 },
    ] {
        lines.notice(&notice);
    }
    lines.end(outcome, "of instance a");
    String::from_utf8(out).expect("text")
}

#[test]
fn each_order_has_one_line() {
    let none_left = Outcome::NoneLeft { cancelled: 1 };
    assert_eq!(
        printed(false, &none_left),
        "cancelled BTCUSDT BUY 1.00000000 at 100.00000000 (0.00000000 filled), order 1, vz-a_1_1\n\
         already over BTCUSDT BUY 1.00000000 at 100.00000000 (0.00000000 filled), order 2, vz-a_1_2\n\
         refused BTCUSDT BUY 1.00000000 at 100.00000000 (0.00000000 filled), order 3, vz-a_1_3: words \"quoted\"\n\
         unknown BTCUSDT BUY 1.00000000 at 100.00000000 (0.00000000 filled), order 4, vz-a_1_4: words \"quoted\"\n\
         no open order of instance a is left; 1 cancelled\n"
    );
    assert_eq!(none_left.exit_code(), 0);
    let left = Outcome::Left(vec![order(7, "vz-a_1_7")]);
    assert!(printed(false, &left).ends_with(
        "\nleft BTCUSDT BUY 1.00000000 at 100.00000000 (0.00000000 filled), order 7, vz-a_1_7\n"
    ));
    assert_eq!(left.exit_code(), 3);
    assert_eq!(Outcome::Failed(String::new()).exit_code(), 1);
}

#[test]
fn each_json_line_is_one_object() {
    let left = Outcome::Left(vec![order(7, "vz-a_1_7")]);
    let text = printed(true, &left);
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["cancelled", "gone", "refused", "unknown", "end"]);
    assert_eq!(events[0]["order"]["order_id"], 1);
    assert_eq!(events[2]["words"], "words \"quoted\"");
    assert_eq!(events[4]["outcome"], "left");
    assert_eq!(events[4]["orders"][0]["client_order_id"], "vz-a_1_7");
}

#[test]
fn what_is_needed_and_missing_is_a_sentence() {
    let clock = Clock::kernel();
    let live = "[venue]\nsource = \"binance\"\nexecution_mode = \"binance_spot\"\n";
    let refusal = |text: &str, variables: &[(&str, &str)]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, text).expect("written");
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let config = load(&[file], variables, &[]).expect("valid").config;
        driver(&config, &arguments(false), clock)
            .err()
            .expect("refused")
    };
    let keys = [
        ("VELOZ_BINANCE_API_KEY", "key"),
        ("VELOZ_BINANCE_API_SECRET", "canary7d1f0a93canary"),
    ];
    let cases = [
        (refusal(live, &[]), "there are no keys"),
        (
            refusal(live, &keys[..1]),
            "`venue.api_key` is set and its other half is not",
        ),
        (
            refusal(&format!("{live}ca_file = \"/no/such/ca.pem\"\n"), &keys),
            "`venue.ca_file`",
        ),
    ];
    for (sentence, expected) in cases {
        assert!(sentence.contains(expected), "{sentence}");
        assert!(!sentence.contains("canary"), "{sentence}");
    }
    let simulated = load_text("test.toml", "").expect("valid");
    assert_eq!(cancel_all(&simulated, &arguments(false)), EXIT_OK);
    let keyless = load_text("test.toml", live).expect("valid");
    assert_eq!(cancel_all(&keyless, &arguments(false)), EXIT_USAGE);
}
