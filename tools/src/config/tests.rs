//! The configuration as its users meet it: what loads, what is refused, and in which words.

use super::*;
use trading::StrategyWord;
use veloz_core::strategy::StrategyConfig;

/// File names with texts, or variables with values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn with(files: Pairs<'_>, variables: Pairs<'_>, flags: &[&str]) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    layers.add_text(None, BUILT_IN);
    for (name, text) in files {
        layers.add_text(Some(std::path::Path::new(name)), text);
    }
    layers.add_environment(
        variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    );
    for flag in flags {
        layers.add_flag(flag);
    }
    build(layers)
}

fn refusal(files: Pairs<'_>, variables: Pairs<'_>, flags: &[&str]) -> String {
    with(files, variables, flags)
        .map(|loaded| loaded.print())
        .expect_err("refused")
        .to_string()
}

#[test]
fn the_built_in_file_gives_every_key_a_value_and_an_explanation() {
    let loaded = with(&[], &[], &[]).expect("the built-in file is valid");
    assert_eq!(loaded.config.http.port, 8080);
    assert_eq!(loaded.config.venue.source, Source::Embedded);
    assert_eq!(loaded.config.market_data.symbols, ["BTCUSDT", "ETHUSDT"]);
    assert!(loaded.warnings.is_empty());

    let mut section = "";
    let mut seen = Vec::new();
    let lines: Vec<&str> = BUILT_IN.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            assert!(
                lines[number - 1].starts_with("# "),
                "{section}.{name} has no explanation directly above it"
            );
            seen.push(format!("{section}.{name}"));
        }
    }
    let table: Vec<&str> = keys::KEYS
        .iter()
        .filter(|key| !key.is_pattern())
        .map(|key| key.path)
        .collect();
    assert_eq!(
        seen, table,
        "the file and the table list the same keys in the same order"
    );
}

#[test]
fn every_overlay_loads_and_says_what_its_name_says() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/");
    let cases = [
        ("paper", Source::Binance, ExecutionMode::SimEngine),
        (
            "testnet",
            Source::Binance,
            ExecutionMode::BinanceTestnetSpot,
        ),
        ("live", Source::Binance, ExecutionMode::BinanceSpot),
        ("bench", Source::Embedded, ExecutionMode::SimEngine),
    ];
    for (name, source, mode) in cases {
        let file = PathBuf::from(format!("{directory}{name}.toml"));
        let loaded = load(&[file], [], &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.config.venue.source, source, "{name}");
        assert_eq!(loaded.config.venue.execution_mode, mode, "{name}");
        let trades_by_itself = loaded.config.strategy() != StrategyConfig::None;
        assert_eq!(trades_by_itself, source == Source::Embedded, "{name}");
    }
}

#[test]
fn later_layers_win_and_print_says_who_did() {
    let overlay = (
        "site.toml",
        "[http]\nport = 9001\n[log]\nlevel = \"debug\"\n",
    );
    let loaded = with(
        &[overlay],
        &[("VELOZ_PORT", "9002"), ("VELOZ_LOG_LEVEL", "WARNING")],
        &["http.port=9003"],
    )
    .expect("valid");
    assert_eq!(loaded.config.http.port, 9003);
    assert_eq!(loaded.config.log.level, LogLevel::Warn);
    let text = loaded.print();
    assert!(text.contains("port = 9003 # flag --set\n"), "{text}");
    assert!(
        text.contains("level = \"warn\" # environment variable VELOZ_LOG_LEVEL\n"),
        "{text}"
    );

    let file_only = with(&[overlay], &[], &[]).expect("valid").print();
    assert!(
        file_only.contains("port = 9001 # site.toml:2\n"),
        "{file_only}"
    );
    let again = load_text("printed.toml", &file_only).expect("what print prints loads");
    assert_eq!(again.config.http.port, 9001);
}

#[test]
fn a_fault_names_where_what_and_what_was_expected() {
    let cases: &[(Pairs<'_>, Pairs<'_>, &[&str], &str)] = &[
        (
            &[("site.toml", "[http]\nport = 70000\n")],
            &[],
            &[],
            "site.toml:2: `http.port` is 70000, expected a whole number from 0 to 65535",
        ),
        (
            &[("site.toml", "[http]\nport = \"80\"\n")],
            &[],
            &[],
            "site.toml:2: `http.port` is \"80\", expected a whole number from 0 to 65535",
        ),
        (
            &[("site.toml", "[http]\nprot = 80\n")],
            &[],
            &[],
            "site.toml:2: unknown key `http.prot` (value 80); did you mean `http.port`?",
        ),
        (
            &[("site.toml", "http = 80\n")],
            &[],
            &[],
            "site.toml:1: unknown key `http` (value 80); `veloz config print` lists all",
        ),
        (
            &[("site.toml", "[http]\nport = = 80\n")],
            &[],
            &[],
            "site.toml:2:8: not valid TOML",
        ),
        (
            &[],
            &[("VELOZ_MARKET_DATA__SILENCE_MS", "5")],
            &[],
            "environment variable VELOZ_MARKET_DATA__SILENCE_MS: `market_data.silence_ms` is 5, expected a whole number of ms from 1000 to 600000",
        ),
        (
            &[],
            &[("VELOZ_EXECUTION_MODE", "moon")],
            &[],
            "environment variable VELOZ_EXECUTION_MODE: `venue.execution_mode` is \"moon\", expected one of sim_engine, binance_testnet_spot, binance_spot",
        ),
        (
            &[],
            &[("VELOZ_HTTP__PROT", "1")],
            &[],
            "environment variable VELOZ_HTTP__PROT (value \"1\") is unknown; did you mean `http.port`?",
        ),
        (
            &[],
            &[],
            &["http.port"],
            "flag --set \"http.port\": expected key=value",
        ),
        (
            &[],
            &[],
            &["http.address=0.0.0.0"],
            "flag --set: `http.address` is 0.0.0.0, expected a loopback address",
        ),
        (
            &[("site.toml", "[venue]\nprivate_key_file = \"/key.pem\"\n")],
            &[("VELOZ_BINANCE_API_SECRET", "x")],
            &[],
            "site.toml:2: `venue.private_key_file` is set and so is `venue.api_secret`, expected one of them",
        ),
        (
            &[],
            &[(
                "VELOZ_BINANCE_API_SECRET",
                "-----BEGIN PRIVATE KEY-----\nMC4C",
            )],
            &[],
            "(a PEM goes into venue.private_key_file)",
        ),
        (
            &[],
            &[("VELOZ_EXECUTION_MODE", "binance_spot")],
            &[],
            "environment variable VELOZ_EXECUTION_MODE: `venue.execution_mode` sends orders to Binance while config/veloz.toml (built in) takes",
        ),
    ];
    for (files, variables, flags, expected) in cases {
        let text = refusal(files, variables, flags);
        assert!(text.contains(expected), "{text}\nlacks\n{expected}");
    }
}

#[test]
fn tables_of_names_take_any_instrument_that_is_followed() {
    let site = (
        "site.toml",
        "[risk.instruments.ETHUSDT]\nposition_max = 20\n[risk.instruments.BTCUSDT]\nposition_max = \"0.5\"\nopen_orders_max = \"none\"\n[account.baselines]\nBTC = \"1\"\n",
    );
    let loaded = with(
        &[site],
        &[("VELOZ_RISK__INSTRUMENTS__BTCUSDT__PRICE_COLLAR_BPS", "50")],
        &["risk.instruments.BTCUSDT.position_max=0.25"],
    )
    .expect("valid");
    let text = loaded.print();
    let expected = "\n[account.baselines]\nBTC = \"1\" # site.toml:7\n\n[risk.instruments.BTCUSDT]\nopen_orders_max = \"none\" # site.toml:5\nposition_max = \"0.25\" # flag --set\nprice_collar_bps = 50 # environment variable VELOZ_RISK__INSTRUMENTS__BTCUSDT__PRICE_COLLAR_BPS\n\n[risk.instruments.ETHUSDT]\nposition_max = \"20\" # site.toml:2\n";
    assert!(text.ends_with(expected), "{text}");
    let again = load_text("printed.toml", &text).expect("what print prints loads");
    assert_eq!(again.config, loaded.config);

    let other = "[market_data]\nsymbols = [\"币安人生USDT\"]\n[risk.instruments.\"币安人生USDT\"]\nopen_orders_max = 1\n";
    let loaded = with(&[("other.toml", other)], &[], &[]).expect("valid");
    let again = load_text("printed.toml", &loaded.print()).expect("what print prints loads");
    assert_eq!(again.config, loaded.config);

    let cases: &[(&str, &str)] = &[
        (
            "[risk.instruments.SOLUSDT]\nopen_orders_max = 1\n",
            "a.toml:2: `risk.instruments.SOLUSDT.open_orders_max` limits an instrument that is not in `market_data.symbols`",
        ),
        (
            "[risk.instruments.btcusdt]\nopen_orders_max = 1\n",
            "a.toml:2: unknown key `risk.instruments.btcusdt.open_orders_max` (value 1); did you mean `risk.instruments.BTCUSDT.open_orders_max`?",
        ),
        (
            "[risk.instruments.BTCUSDT]\nposition_max = 0.5\n",
            "a.toml:2: `risk.instruments.BTCUSDT.position_max` is 0.5, expected a decimal number above zero in quotes",
        ),
        (
            "[risk]\ndaily_loss_max = \"-5\"\n",
            "a.toml:2: `risk.daily_loss_max` is \"-5\", expected",
        ),
        (
            "[risk.every_instrument]\nopen_orders_max = 0\n",
            "expected a whole number of orders from 1 to 256 or \"none\"",
        ),
        (
            "[risk]\nopen_orders_max = 257\n",
            "a.toml:2: `risk.open_orders_max` is 257, expected a whole number of orders from 1 to 256 or \"none\"",
        ),
        (
            "[risk.instruments.BTCUSDT]\nopen_orders_max = 100000\n",
            "a.toml:2: `risk.instruments.BTCUSDT.open_orders_max` is 100000, expected a whole number of orders from 1 to 256",
        ),
    ];
    for (text, expected) in cases {
        let text = refusal(&[("a.toml", text)], &[], &[]);
        assert!(text.contains(expected), "{text}\nlacks\n{expected}");
    }
}

#[test]
fn older_variables_of_trading_set_todays_keys() {
    let loaded = with(
        &[],
        &[
            ("VELOZ_ORDER_RATE_LIMIT", "7"),
            ("VELOZ_RISK_MAX_DAILY_LOSS", "500"),
            ("VELOZ_RISK_MAX_POSITION_SIZE", "0.25"),
            ("VELOZ_STRATEGY_NAME", "imbalance"),
            ("VELOZ_STRATEGY_PARAM_1", "1.0"),
        ],
        &[],
    )
    .expect("valid");
    let risk = &loaded.config.risk;
    assert_eq!(risk.orders_per_second_max, limits::Limit::At(7));
    assert_eq!(
        risk.daily_loss_max.get().map(|e8| e8.0),
        Some(50_000_000_000)
    );
    assert_eq!(
        risk.every_instrument.position_max.get().map(|e8| e8.0),
        Some(25_000_000)
    );
    assert_eq!(loaded.config.strategy.kind, StrategyWord::Imbalance);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    let unknown = refusal(&[], &[("VELOZ_STRATEGY_NAME", "test_strategy")], &[]);
    assert!(
        unknown.contains("`strategy.kind` is \"test_strategy\""),
        "{unknown}"
    );
}

#[test]
fn all_faults_are_reported_together() {
    let error = with(
        &[("a.toml", "[http]\nport = -1\nprot = 1\n")],
        &[("VELOZ_NONSENSE", "1")],
        &["log.level=loud"],
    )
    .map(|loaded| loaded.print())
    .expect_err("refused");
    assert_eq!(error.0.len(), 4, "{error}");
}

#[test]
fn a_variable_without_meaning_warns_with_its_replacement() {
    let loaded = with(&[], &[("VELOZ_WAL_DIR", "/wal"), ("VELOZ_PRESET", "")], &[]).expect("valid");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].contains("VELOZ_WAL_DIR has no effect: "),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn a_secret_is_never_echoed() {
    const VALUE: &str = "hunter2hunter2";
    let loaded = with(&[], &[("VELOZ_BINANCE_API_KEY", VALUE)], &[]).expect("valid");
    assert!(loaded.config.venue.api_key.is_set());
    for text in [loaded.print(), format!("{:?}", loaded.config)] {
        assert!(text.contains(REDACTED), "{text}");
        assert!(!text.contains(VALUE), "{text}");
    }

    let inline = format!("[venue]\napi_secret = \"{VALUE}\"\n");
    let misspelt = format!("[venue]\napi_secert = \"{VALUE}\"\n");
    let unquoted = format!("[venue]\napi_secret = {VALUE}\n");
    let cases = [
        refusal(&[("a.toml", &inline)], &[], &[]),
        refusal(&[("a.toml", &misspelt)], &[], &[]),
        refusal(&[("a.toml", &unquoted)], &[], &[]),
        refusal(&[], &[], &[&format!("venue.api_key={VALUE}")]),
        refusal(&[], &[("VELOZ_BINANCE_API_KYE", VALUE)], &[]),
        refusal(
            &[],
            &[("VELOZ_BINANCE_API_KEY", &format!("{VALUE} {VALUE}"))],
            &[],
        ),
        refusal(&[], &[], &[&format!("venue.api_url=wss://me:{VALUE}@host")]),
    ];
    for text in cases {
        assert!(!text.contains(VALUE), "{text}");
    }
}

#[test]
fn a_secret_comes_from_the_file_that_a_variable_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("key");
    std::fs::write(&path, "hunter2hunter2\n").expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).expect("set");
    let path = path.to_str().expect("UTF-8").to_owned();
    let loaded = with(&[], &[("VELOZ_BINANCE_API_KEY_FILE", &path)], &[]).expect("valid");
    assert!(loaded.config.venue.api_key.is_set());

    let missing = refusal(&[], &[("VELOZ_BINANCE_API_KEY_FILE", "/no/such/file")], &[]);
    assert!(
        missing.contains("/no/such/file: cannot be read"),
        "{missing}"
    );
    assert!(missing.contains("VELOZ_BINANCE_API_KEY_FILE"), "{missing}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|[\\[\\]=\"\n.a-z0-9]){0,200}") {
        let _ = load_text("any.toml", &text).map_err(|error| error.to_string());
    }
}

#[test]
fn log_files_are_where_the_service_manager_says_unless_a_directory_is_named() {
    let placed = |text: &str, variable: Option<&str>| {
        let section = load_text("test.toml", text).expect("valid").config.log;
        let placed = section.placed(|name| {
            assert_eq!(name, "LOGS_DIRECTORY");
            variable.map(str::to_owned)
        });
        placed.dir.to_str().expect("UTF-8").to_owned()
    };
    let units = Some("/var/log/veloz:/var/log/veloz/audit");
    assert_eq!(placed("", units), "/var/log/veloz");
    assert_eq!(placed("", None), "");
    assert_eq!(placed("", Some("here")), "", "not an absolute path");
    assert_eq!(placed("[log]\ndir = \"\"\n", units), "");
    assert_eq!(placed("[log]\ndir = \"logs\"\n", units), "logs");
}
