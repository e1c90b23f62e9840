//! `veloz record`: from a venue to a capture.
//!
//! Owns: the command's own arguments as configuration, the capture file, and what is said at the end.
//! Does not: start threads (`run.rs` does). The engine that runs is the one that `veloz run` runs; it
//! is only watched.

use crate::capture::header::CaptureHeader;
use crate::capture::tap::tap;
use crate::capture::writer::CaptureWriter;
use crate::cli::{EXIT_FAILURE, RecordArgs};
use crate::config::Loaded;
use crate::run::ends::{Signals, Wish};
use crate::run::{Boot, capture_thread, fail, finish, install_logging, observe, reopen_log};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

impl RecordArgs {
    /// The arguments as configuration flags, which go under the user's own: a recorder must not need
    /// the port of the engine that runs beside it.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec!["http.port=0".to_owned()];
        let mut set = |key: &str, value: &str| flags.push(format!("{key}={value}"));
        if let Some(url) = &self.url {
            set("venue.source", "binance");
            set("venue.market_url", url);
            if self.api_url.is_none()
                && let Some(api_url) = api_beside(url)
            {
                set("venue.api_url", &api_url);
            }
        }
        if let Some(url) = &self.api_url {
            set("venue.source", "binance");
            set("venue.api_url", url);
        }
        if let Some(path) = &self.ca_file {
            set("venue.ca_file", &path.to_string_lossy());
        }
        if let Some(symbols) = &self.symbols {
            set("market_data.symbols", symbols);
        }
        flags
    }
}

/// The websocket API on the host of a stream address: a simulated venue serves both. Binance has them
/// on hosts of their own, so its addresses have none.
fn api_beside(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let of_binance = [".binance.com", ".binance.vision"]
        .iter()
        .any(|suffix| host.ends_with(suffix));
    (!of_binance).then(|| format!("{scheme}://{authority}/ws-api/v3"))
}

/// `veloz record`.
pub fn record(loaded: &Loaded, arguments: &RecordArgs) -> u8 {
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
    let boot = match Boot::watching(&loaded.config, || signals.asked()) {
        Ok(boot) => boot,
        Err(not_started) => return not_started.exit_code(),
    };
    let out = &arguments.out;
    let header = CaptureHeader {
        source: boot.source.clone(),
        created_unix_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_millis() as u64),
        engine: boot.engine,
        instruments: boot.instruments.clone(),
    };
    let begun = create(out, &header).and_then(|capture| {
        let (tap, blocks) = tap(capture);
        let writer = capture_thread(blocks)?;
        Ok((tap, writer))
    });
    let (tap, writer) = match begun {
        Ok(begun) => begun,
        Err(error) => return fail(&format!("{}: {error}", out.display())),
    };
    let title = format!("recording {} into {}", boot.source, out.display());
    let session = match boot.start(tap, &logging) {
        Ok(session) => session,
        Err(sentence) => return fail(&sentence),
    };
    let wish = || {
        if writer.is_finished() {
            Wish::End
        } else {
            signals.wish()
        }
    };
    let end = observe(
        &session,
        &screen,
        &title,
        arguments.seconds,
        true,
        wish,
        || reopen_log(&logging),
    );
    // With the tap the last block goes to the writer, which then ends.
    drop(session.stop());
    match writer.join() {
        Ok(Ok(totals)) => {
            tracing::info!(
                component = "capture",
                event_type = "capture_written",
                file = %out.display(),
                events = totals.events,
                bytes = totals.bytes,
                lost = totals.lost,
                "capture written"
            );
            if totals.lost > 0 {
                tracing::warn!(
                    component = "capture",
                    event_type = "capture_incomplete",
                    lost = totals.lost,
                    "the capture is incomplete: the disk did not keep up; it notes where"
                );
            }
            finish(&end)
        }
        Ok(Err(error)) => fail(&format!(
            "{}: {error}; what was written before can be replayed",
            out.display()
        )),
        Err(_) => fail("the capture's writer panicked"),
    }
}

fn create(path: &Path, header: &CaptureHeader) -> io::Result<CaptureWriter<File>> {
    CaptureWriter::new(File::create_new(path)?, header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_venue_has_its_api_on_the_same_host() {
        let cases = [
            (
                "wss://127.0.0.1:9443/stream",
                Some("wss://127.0.0.1:9443/ws-api/v3"),
            ),
            (
                "ws://venue.test/stream?x",
                Some("ws://venue.test/ws-api/v3"),
            ),
            ("wss://stream.binance.com:9443/stream", None),
            ("wss://data-stream.binance.vision/stream", None),
            ("nonsense", None),
        ];
        for (url, expected) in cases {
            assert_eq!(api_beside(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn arguments_become_configuration() {
        let arguments = RecordArgs {
            url: Some("wss://127.0.0.1:9443/stream".to_owned()),
            api_url: None,
            ca_file: Some("ca.pem".into()),
            symbols: Some("BTCUSDT,ETHUSDT".to_owned()),
            out: "x.capture".into(),
            seconds: None,
        };
        let loaded = crate::config::load(&[], [], &arguments.flags()).expect("valid");
        let config = loaded.config;
        assert_eq!(config.venue.source, crate::config::Source::Binance);
        assert_eq!(config.venue.api_url, "wss://127.0.0.1:9443/ws-api/v3");
        assert_eq!(config.venue.ca_file, Path::new("ca.pem"));
        assert_eq!(config.market_data.symbols, ["BTCUSDT", "ETHUSDT"]);
        assert_eq!(config.http.port, 0);
    }
}
