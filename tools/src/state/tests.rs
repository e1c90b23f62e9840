//! The state through restarts, crashes, and a second process.

use super::*;
use crate::config::limits::tests::instruments;
use std::fs;
use tempfile::TempDir;
use veloz_core::instrument::{AssetIndex, InstrumentIndex};
use veloz_core::order::{OrderId, Side};
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::telemetry::records::TradesKnown;
use veloz_core::units::{E8, Lots, Nanos, Ticks};

const NOW: u64 = 1_800_000_000;

fn directory() -> (TempDir, StatePlace) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = StatePlace::Directory(directory.path().join("veloz"));
    (directory, place)
}

fn open(place: &StatePlace, now_unix_s: u64) -> Result<StateStore, StateError> {
    StateStore::open(place, "veloz", now_unix_s)
}

/// A state with something in every field.
fn full() -> State {
    let table = instruments();
    let limits = InstrumentLimits {
        order_qty_max: Some(Lots(1_500)),
        order_notional_max: Some(E8(7)),
        position_max: None,
        open_orders_max: Some(3),
        price_collar_bps: Some(50),
    };
    let btc = table.get(InstrumentIndex(0));
    let mut equity = EquityHistory::default();
    for index in 0..3 {
        equity.push(
            86_400,
            EquityBin {
                index,
                equity_e8: -5,
                flows_e8: 4,
            },
        );
    }
    equity.marks = Some(EquityMarks {
        day: 20_000,
        day_start_e8: 1,
        day_flows_e8: -2,
        peak_e8: i64::MAX,
    });
    State {
        run: 9,
        kill_switch: Some(KillSwitch::new("by hand: \"test\"\n", 12)),
        global_limits: Some(
            GlobalLimits {
                daily_loss_max: Some(E8(500)),
                market_data_age_max: Some(Nanos::from_ms(5)),
                ..GlobalLimits::default()
            }
            .into(),
        ),
        instrument_limits: [(
            "BTCUSDT".to_owned(),
            SavedInstrumentLimits::new(limits, btc),
        )]
        .into(),
        api_limits: ApiLimits {
            global: Some(SavedGlobalLimits::from(GlobalLimits {
                open_orders_max: Some(4),
                ..GlobalLimits::default()
            })),
            instruments: [(
                "BTCUSDT".to_owned(),
                SavedInstrumentLimits::new(InstrumentLimits::default(), btc),
            )]
            .into(),
        },
        baselines_e8: [("币".to_owned(), -1), ("BTC".to_owned(), 5)].into(),
        trades: [(
            "BTCUSDT".to_owned(),
            SavedTrades {
                through: u64::MAX - 1,
                since: [u64::MAX].into(),
            },
        )]
        .into(),
        equity,
    }
}

#[test]
fn what_is_saved_comes_back_and_runs_are_numbered_upwards() {
    let (_directory, place) = directory();
    let store = open(&place, NOW).expect("a first start");
    assert_eq!(store.read(|state| state.run), NOW as u32);
    assert_eq!(store.read(|state| state.kill_switch.clone()), None);
    store
        .update(|state| {
            *state = State {
                run: state.run,
                ..full()
            };
        })
        .expect("saved");
    drop(store);

    // The clock went back a year.
    let store = open(&place, NOW - 31_536_000).expect("a second start");
    let expected = State {
        run: NOW as u32 + 1,
        ..full()
    };
    assert_eq!(store.read(State::clone), expected);
    drop(store);
    let store = open(&place, NOW + 60).expect("a third start");
    assert_eq!(store.read(|state| state.run), NOW as u32 + 60);
    assert!(store.path().expect("on disk").ends_with("veloz.state"));
}

#[test]
fn limits_come_back_as_they_were() {
    let table = instruments();
    let btc = table.get(InstrumentIndex(0));
    let eth = table.get(InstrumentIndex(1));
    let saved = full().instrument_limits["BTCUSDT"];
    let limits = saved.on_grid_of(btc).expect("on the grid");
    assert_eq!(limits.order_qty_max, Some(Lots(1_500)));
    assert_eq!(SavedInstrumentLimits::new(limits, btc), saved);
    let hundredths = saved.on_grid_of(eth).expect("1.5 is on it");
    assert_eq!(hundredths.order_qty_max, Some(Lots(150)));
    let off = SavedInstrumentLimits {
        order_qty_max_e8: Some(500_000),
        ..saved
    };
    assert_eq!(off.on_grid_of(eth), None, "0.005 on a grid of 0.01");
    let global = full().global_limits.expect("set");
    assert_eq!(SavedGlobalLimits::from(GlobalLimits::from(global)), global);
}

#[test]
fn a_second_process_is_told_who_has_it() {
    let (_directory, place) = directory();
    let store = open(&place, NOW).expect("a first start");
    let refused = open(&place, NOW).expect_err("in use").to_string();
    let owner = format!("in use by process {}", std::process::id());
    assert!(refused.contains(&owner), "{refused}");
    assert!(refused.contains("account.instance"), "{refused}");
    let other = StateStore::open(&place, "other", NOW).expect("another prefix");
    assert_eq!(other.read(|state| state.run), NOW as u32);
    drop(store);
    open(&place, NOW).expect("free again");
}

#[test]
fn a_torn_file_stops_the_start_wherever_it_is_torn() {
    let (_directory, place) = directory();
    let path = open(&place, NOW)
        .expect("a first start")
        .path()
        .expect("on disk");
    let whole = file::render("veloz", &full());
    let put = |bytes: &[u8]| {
        // Some file systems flush a file that is truncated and written again, which takes its time.
        fs::remove_file(&path).expect("removed");
        fs::write(&path, bytes).expect("written");
    };
    for length in 0..whole.len() {
        put(&whole[..length]);
        let refused = open(&place, NOW).expect_err("torn");
        assert!(
            matches!(refused, StateError::Unreadable { .. }),
            "{length}: {refused}"
        );
        assert_eq!(fs::read(&path).expect("left alone"), &whole[..length]);
    }
    for position in 0..whole.len() {
        let mut spoilt = whole.clone();
        spoilt[position] ^= 0x04;
        put(&spoilt);
        open(&place, NOW).expect_err("spoilt");
    }
    put(&whole);
    open(&place, NOW).expect("whole again");
}

#[test]
fn each_fault_of_a_file_is_named() {
    let whole = file::render("veloz", &full());
    let text = String::from_utf8(whole.clone()).expect("text");
    let sealed = |json: &str| {
        format!(
            "veloz-state 3 {:08x} {}\n{json}",
            crc32fast::hash(json.as_bytes()),
            json.len()
        )
    };
    let (_, json) = text.split_once('\n').expect("two parts");
    let cases = [
        ("hello".to_owned(), "this is no state file"),
        (
            text.replacen(" 3 ", " 4 ", 1),
            "its format is version 4, expected 3",
        ),
        (format!("{text}x"), "it is torn"),
        (
            text.replacen("\"peak_e8\":9", "\"peak_e8\":8", 1),
            "its checksum is wrong",
        ),
        (
            sealed(&json.replacen("\"run\":9,", "", 1)),
            "missing field `run`",
        ),
        (
            sealed(&json.replacen(",\"day_flows_e8\":-2", "", 1)),
            "missing field `day_flows_e8`",
        ),
        (
            sealed(&json.replacen("\"position_max_e8\":null,", "", 1)),
            "missing field `position_max_e8`",
        ),
        (
            sealed(&json.replacen("\"run\":9,", "\"run\":9,\"walk\":1,", 1)),
            "unknown field `walk`",
        ),
        (
            String::from_utf8(file::render("other", &full())).expect("text"),
            "it belongs to instance other",
        ),
        (
            format!("{text}{}", " ".repeat(4 << 20)),
            "it is larger than",
        ),
    ];
    let (_directory, place) = directory();
    let path = open(&place, NOW)
        .expect("a first start")
        .path()
        .expect("on disk");
    for (text, expected) in cases {
        fs::write(&path, &text).expect("written");
        let refused = open(&place, NOW).expect_err("refused").to_string();
        assert!(refused.contains(expected), "{refused}\nlacks {expected}");
        assert!(refused.contains("veloz.state"), "{refused}");
        assert!(refused.contains("move it away"), "{refused}");
    }
}

#[test]
fn a_write_that_was_cut_off_leaves_the_old_state() {
    let (_directory, place) = directory();
    let store = open(&place, NOW).expect("a first start");
    let path = store.path().expect("on disk");
    store
        .update(|state| state.kill_switch = Some(KillSwitch::new("loss", 1)))
        .expect("saved");
    drop(store);
    let fresh = path.with_extension("state.new");
    let next = file::render("veloz", &full());
    // Killed while writing the new file, at every byte, and before the rename.
    for length in (0..next.len()).step_by(61).chain([next.len()]) {
        fs::write(&fresh, &next[..length]).expect("written");
        let store = open(&place, NOW).expect("the old state");
        let reason = store.read(|state| state.kill_switch.clone().map(|kill| kill.reason));
        assert_eq!(reason.as_deref(), Some("loss"), "{length}");
        assert!(!fresh.exists(), "the next write took its place");
    }
    // Killed during the very first write: nothing was ever numbered or latched.
    fs::remove_file(&path).expect("removed");
    fs::write(&fresh, &next[..20]).expect("written");
    let store = open(&place, NOW + 5).expect("a first start");
    assert_eq!(store.read(|state| state.run), NOW as u32 + 5);
}

#[test]
fn what_cannot_be_saved_is_said_and_holds_until_it_can() {
    let (_directory, place) = directory();
    let store = open(&place, NOW).expect("a first start");
    let path = store.path().expect("on disk");
    let home = path.parent().expect("a directory").to_owned();
    let away = home.with_extension("away");
    fs::rename(&home, &away).expect("taken away");
    let refused = store
        .update(|state| state.kill_switch = Some(KillSwitch::new("loss", 1)))
        .expect_err("nowhere to go");
    assert!(refused.to_string().contains("cannot save it"), "{refused}");
    assert!(store.read(|state| state.kill_switch.is_some()));
    fs::rename(&away, &home).expect("back again");
    store.update(|_| ()).expect("saved now");
    drop(store);
    let store = open(&place, NOW).expect("a second start");
    assert!(store.read(|state| state.kill_switch.is_some()));
}

#[test]
fn a_directory_that_cannot_be_made_is_a_sentence() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let occupied = directory.path().join("file");
    fs::write(&occupied, "").expect("written");
    let place = StatePlace::Directory(occupied.join("veloz"));
    let refused = open(&place, NOW).expect_err("a file is in the way");
    assert!(refused.to_string().contains("state.dir"), "{refused}");
}

#[test]
fn the_last_run_number_is_not_given_twice() {
    let (_directory, place) = directory();
    let store = open(&place, NOW).expect("a first start");
    store.update(|state| state.run = u32::MAX).expect("saved");
    drop(store);
    let refused = open(&place, NOW).expect_err("no number is left");
    assert!(matches!(refused, StateError::RunsExhausted { .. }));
    assert_eq!(next_run(None, 0), Some(1));
    assert_eq!(next_run(Some(5), u64::MAX), Some(u32::MAX));
}

#[test]
fn nothing_is_kept_where_there_is_no_place() {
    let store = open(&StatePlace::Nowhere, NOW).expect("always");
    assert_eq!(store.path(), None);
    store.update(|state| state.run += 1).expect("in memory");
    assert_eq!(store.read(|state| state.run), NOW as u32 + 1);
}

#[test]
fn bins_are_bounded_and_of_one_length() {
    let mut history = EquityHistory::default();
    let bin = |index| EquityBin {
        index,
        equity_e8: 1,
        flows_e8: 0,
    };
    for index in 0..2 * EQUITY_BINS_MAX as u64 {
        history.push(60, bin(index));
    }
    assert_eq!(history.bins.len(), EQUITY_BINS_MAX);
    assert_eq!(history.bins.front().map(|bin| bin.index), Some(1_024));
    history.push(60, bin(2_047));
    assert_eq!(history.bins.len(), EQUITY_BINS_MAX, "the same period");
    history.push(60, bin(2_000));
    assert_eq!(
        history.bins.back(),
        Some(&bin(2_000)),
        "the clock went back"
    );
    assert_eq!(
        history.bins.iter().filter(|bin| bin.index >= 2_000).count(),
        1
    );
    history.push(1, bin(7));
    assert_eq!((history.period_s, history.bins.len()), (1, 1));
    assert_eq!(
        KillSwitch::new(&"x".repeat(1_000), 0).reason.len(),
        REASON_CHARS_MAX
    );
}

#[test]
fn trades_are_known_up_to_one_and_above_it_by_name() {
    let table = instruments();
    let fill = |trade_id| RecordBody::Fill {
        order: OrderId::from_bits(1),
        instrument: InstrumentIndex(0),
        side: Side::Buy,
        is_maker: true,
        fee_asset: AssetIndex(0),
        trade_id,
        price: Ticks(1),
        qty: Lots(1),
        fee: E8(0),
    };
    let known = |through| RecordBody::TradesKnown {
        instrument: InstrumentIndex(0),
        how: TradesKnown::Settled,
        through,
    };
    let mut state = State::default();
    // Of an instrument whose trades the venue was never asked for, nothing can be said.
    assert!(!state.take_trade(&fill(7), &table));
    assert_eq!(state.trades_known(&table), []);
    for body in [known(10), fill(13), fill(9), fill(12), fill(13)] {
        assert!(state.take_trade(&body, &table));
    }
    let told = |state: &State| {
        let [known] = &state.trades_known(&table)[..] else {
            panic!("one instrument");
        };
        assert_eq!(known.symbol, table.get(InstrumentIndex(0)).symbol);
        (known.through, known.since.clone())
    };
    assert_eq!(told(&state), (10, vec![13, 12]));
    state.take_trade(&known(12), &table);
    state.take_trade(&known(11), &table);
    assert_eq!(told(&state), (12, vec![13]));
    // One more than fit: the lowest is taken for the one below which none is missing.
    for trade_id in 20..20 + TRADES_SINCE_MAX as u64 {
        state.take_trade(&fill(trade_id), &table);
    }
    let (through, since) = told(&state);
    assert_eq!((through, since.len()), (13, TRADES_SINCE_MAX));
}

#[test]
fn files_of_the_versions_before_are_read() {
    let saved = full();
    let changed = ApiLimits {
        global: saved.global_limits,
        instruments: saved.instrument_limits.clone(),
    };
    for (version, missing) in [(1, &["trades", "api_limits"][..]), (2, &["api_limits"])] {
        let (directory, place) = directory();
        let mut json = serde_json::json!({ "instance": "veloz", "state": &saved });
        let object = json["state"].as_object_mut().expect("an object");
        for key in missing {
            object.remove(*key).expect("it is there");
        }
        let rest = json.to_string();
        let bytes = format!(
            "veloz-state {version} {:08x} {}\n{rest}",
            crc32fast::hash(rest.as_bytes()),
            rest.len()
        );
        let folder = directory.path().join("veloz");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("veloz.state"), bytes).expect("written");
        let store = open(&place, NOW).expect("it is read");
        let expected = State {
            run: store.read(|state| state.run),
            trades: if version == 1 {
                BTreeMap::new()
            } else {
                saved.trades.clone()
            },
            // Only the API changed limits that were saved.
            api_limits: changed.clone(),
            ..saved.clone()
        };
        assert_eq!(store.read(State::clone), expected);
    }
}
