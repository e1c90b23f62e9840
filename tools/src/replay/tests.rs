//! Text, captures and replays give each other back.

use super::*;
use crate::cli::TextArgs;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::Read as _;

/// One message of a session, by what it changes.
#[derive(Clone, Debug)]
enum Step {
    Diff { bid: u32, ask: u32, qty: u32 },
    Ticker { qty: u32 },
    Trade { qty: u32 },
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        (0..50u32, 0..50u32, 0..900u32).prop_map(|(bid, ask, qty)| Step::Diff { bid, ask, qty }),
        (1..900u32).prop_map(|qty| Step::Ticker { qty }),
        (1..900u32).prop_map(|qty| Step::Trade { qty }),
    ];
    (0..400_000_000u64, step)
}

/// A session of BTCUSDT in text form: a first diff, the snapshot behind it, then the steps.
fn session(steps: &[(u64, Step)]) -> String {
    let mut text = String::new();
    let mut at = 1_723_161_253_000_000_000u64;
    let mut id = 1_000u64;
    let mut diff = |at: u64, bid: u32, ask: u32, qty: u32| {
        id += 1;
        format!(
            "{at} {{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"BTCUSDT\",\"U\":{id},\"u\":{id},\"b\":[[\"{}.50\",\"{}.25000\"]],\"a\":[[\"{}.75\",\"{}.25000\"]]}}}}\n",
            at / 1_000_000,
            900 + bid,
            qty,
            1_000 + ask,
            qty
        )
    };
    text.push_str(&diff(at, 0, 0, 1));
    at += 300_000_000;
    let _ = writeln!(
        text,
        "{at} {{\"lastUpdateId\":1001,\"bids\":[[\"899.50\",\"1.00000\"]],\"asks\":[[\"1099.75\",\"2.00000\"]]}}"
    );
    for (ticker_id, (gap, step)) in (1..).zip(steps) {
        at += gap;
        match step {
            Step::Diff { bid, ask, qty } => text.push_str(&diff(at, *bid, *ask, *qty)),
            Step::Ticker { qty } => {
                let _ = writeln!(
                    text,
                    "{at} {{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{ticker_id},\"s\":\"BTCUSDT\",\"b\":\"899.50\",\"B\":\"{qty}.00000\",\"a\":\"1099.75\",\"A\":\"{qty}.00000\"}}}}"
                );
            }
            Step::Trade { qty } => {
                let _ = writeln!(
                    text,
                    "{at} {{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":1,\"s\":\"BTCUSDT\",\"t\":{at},\"p\":\"950.00\",\"q\":\"{qty}.00000\",\"T\":1,\"m\":true,\"M\":true}}}}"
                );
            }
        }
    }
    text
}

fn read(path: &Path) -> String {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .expect("readable");
    text
}

/// The summary of a replay of text or of a capture.
fn summary_of(path: &Path) -> Summary {
    if is_capture(path).expect("readable") {
        let mut reader = open_capture(path).expect("a capture");
        let header = reader.header().clone();
        let mut replayed = Replayed::new(header.engine, header.instruments, None).expect("starts");
        play_capture(&mut reader, path, &mut replayed, &mut |_| {}).expect("intact");
        return replayed.finish().expect("memory");
    }
    let files = [path.to_owned()];
    let input = survey_text(&files, &TextArgs::default()).expect("surveyed");
    let mut replayed =
        Replayed::new(EngineConfig::default(), input.instruments, None).expect("starts");
    TextSession::open(&files, &input.survey)
        .and_then(|session| session.play(&mut replayed, &mut |_| {}))
        .expect("plays");
    replayed.finish().expect("memory")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn text_becomes_a_capture_and_the_same_text_again(
        steps in proptest::collection::vec(any_step(), 0..60)
    ) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let text = session(&steps);
        std::fs::write(at("a.txt"), &text).expect("written");
        import_files(&ImportArgs {
            files: vec![at("a.txt")],
            out: at("a.capture"),
            text: TextArgs::default(),
        })
        .expect("imported");
        export_file(&ExportArgs {
            file: at("a.capture"),
            symbol: None,
            out: Some(at("b.txt")),
        })
        .expect("exported");
        prop_assert_eq!(read(&at("b.txt")), text);

        let from_text = summary_of(&at("a.txt"));
        let from_capture = summary_of(&at("a.capture"));
        prop_assert_eq!(&from_capture, &summary_of(&at("a.capture")), "the same twice");
        prop_assert_eq!(from_capture.records_hash(), from_text.records_hash());
        prop_assert!(from_text.faults.is_empty(), "{:?}", from_text.faults);
        let joined = steps.iter().any(|(_, step)| matches!(step, Step::Diff { .. }));
        let expected = if joined { "live" } else { "bridging" };
        prop_assert_eq!(&from_text.books[0].state, expected);
    }
}

#[test]
fn the_recorded_sessions_replay_to_live_books_without_a_gap() {
    let Some(data) = std::env::var_os("VELOZ_DATA_DIR") else {
        println!("skipped: VELOZ_DATA_DIR is not set");
        return;
    };
    let spot = PathBuf::from(data).join("spot");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let capture = directory.path().join("eth.capture");
    let files = vec![spot.join("ethusdt_20240808.gz")];
    import_files(&ImportArgs {
        files: files.clone(),
        out: capture.clone(),
        text: TextArgs::default(),
    })
    .expect("imported");
    let summary = summary_of(&capture);
    assert_eq!(summary, summary_of(&capture), "the same twice");
    assert_eq!(summary.records_hash(), summary_of(&files[0]).records_hash());
    assert!(summary.faults.is_empty(), "{summary}");
    assert!(summary.resyncs.is_empty(), "{summary}");
    assert_eq!(summary.books[0].state, "live", "{summary}");

    let text = directory.path().join("eth.txt");
    export_file(&ExportArgs {
        file: capture,
        symbol: Some("ETHUSDT".to_owned()),
        out: Some(text.clone()),
    })
    .expect("exported");
    let mut recorded = String::new();
    flate2::read::MultiGzDecoder::new(File::open(&files[0]).expect("there"))
        .read_to_string(&mut recorded)
        .expect("gzip");
    assert!(
        read(&text) == recorded,
        "the export differs from the recording"
    );
}

#[test]
fn records_are_written_masked_and_equal_for_equal_input() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("a.txt"), session(&[(5, Step::Trade { qty: 3 })])).expect("written");
    for out in ["r1", "r2"] {
        replay_files(&ReplayArgs {
            files: vec![at("a.txt")],
            records: Some(at(out)),
            text: TextArgs::default(),
        })
        .expect("replayed");
    }
    let bytes = std::fs::read(at("r1")).expect("written");
    assert_eq!(bytes, std::fs::read(at("r2")).expect("written"));
    let summary = summary_of(&at("a.txt"));
    assert_eq!(bytes.len() as u64, summary.records * 64);
    assert_eq!(
        summary.records_sha256,
        <[u8; 32]>::from(Sha256::digest(&bytes)),
        "the hash is that of the file"
    );
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("a.txt"), session(&[])).expect("written");
    import_files(&ImportArgs {
        files: vec![at("a.txt")],
        out: at("a.capture"),
        text: TextArgs::default(),
    })
    .expect("imported");
    let replay = |files: &[&str], records: bool| {
        replay_files(&ReplayArgs {
            files: files.iter().map(|name| at(name)).collect(),
            records: records.then(|| at("r")),
            text: TextArgs::default(),
        })
    };
    assert!(replay(&["a.capture", "a.capture"], false).is_ok());
    for refused in [
        replay(&["a.capture", "a.txt"], false),
        replay(&["a.capture", "a.capture"], true),
    ] {
        assert!(matches!(refused, Err(ReplayError::Usage(_))));
    }
    assert!(matches!(
        replay(&["missing"], false),
        Err(ReplayError::File { .. })
    ));
    let twice = import_files(&ImportArgs {
        files: vec![at("a.txt")],
        out: at("a.capture"),
        text: TextArgs::default(),
    });
    assert!(
        matches!(twice, Err(ReplayError::File { .. })),
        "not overwritten"
    );

    let bytes = std::fs::read(at("a.capture")).expect("written");
    std::fs::write(at("cut.capture"), &bytes[..bytes.len() - 20]).expect("written");
    assert!(matches!(
        replay(&["cut.capture"], false),
        Err(ReplayError::Capture { .. })
    ));
}
