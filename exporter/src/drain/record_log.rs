//! Records as log lines.
//!
//! Owns: [`RecordLog`], and the `event_type` of each kind. Does not: choose where lines go; that is the subscriber's. Invariant: no kind of
//! record writes more than [`LINES_PER_WINDOW_MAX`] lines a second, because a venue that sends nothing
//! but faults must not fill a disk; what is left out is counted and told once a second.

mod trading;

use std::sync::Arc;
use tracing::{error, info, warn};
use veloz_core::event::{LinkDown, LinkId, LinkRole};
use veloz_core::instrument::{AssetIndex, Assets, InstrumentIndex, Instruments};
use veloz_core::telemetry::records::{BookState, Record, RecordBody};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::fault::{Fault, VenueFault};
use veloz_core::venue::binance::order_error::ErrorKind;

use crate::catalogue::role_label;

/// Lines of one kind of record between two calls of [`RecordLog::end_window`], about a second. Three
/// state changes of each of 64 books fit.
pub const LINES_PER_WINDOW_MAX: u32 = 200;

/// Kinds that are limited apart.
#[derive(Clone, Copy)]
enum Kind {
    Link,
    Book,
    Resync,
    Fault,
    Request,
    Engine,
    Hole,
    Order,
    Rejection,
    Account,
    Trading,
}

const KINDS: usize = 11;

/// Writes records to the log.
pub struct RecordLog {
    exchange: &'static str,
    instruments: Arc<Instruments>,
    assets: Arc<Assets>,
    lines: [u32; KINDS],
    suppressed_in_window: u64,
    suppressed: u64,
}

impl RecordLog {
    /// A log of records about these instruments and assets.
    pub fn new(exchange: &'static str, instruments: Arc<Instruments>, assets: Arc<Assets>) -> Self {
        Self {
            exchange,
            instruments,
            assets,
            lines: [0; KINDS],
            suppressed_in_window: 0,
            suppressed: 0,
        }
    }

    /// Lines left out since the start.
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Starts a new window for the limits.
    pub fn end_window(&mut self) {
        self.lines = [0; KINDS];
        if self.suppressed_in_window > 0 {
            warn!(
                component = "telemetry",
                event_type = "log_suppressed",
                lines = self.suppressed_in_window,
                "log lines left out: too many of one kind; the metrics count them all"
            );
            self.suppressed_in_window = 0;
        }
    }

    /// Says that records between two numbers never came.
    pub fn hole(&mut self, expected: u64, got: u64) {
        if self.may_write(Kind::Hole) {
            error!(
                component = "telemetry",
                event_type = "records_lost",
                expected,
                got,
                "records are missing: the ring was full"
            );
        }
    }

    /// Writes one record; `now` tells how long it took to get here.
    pub fn record(&mut self, now: Nanos, record: &Record) {
        let age_us = now.since(record.at).0 / 1_000;
        match record.body {
            RecordBody::LinkUp { link } => self.link_up(link, age_us),
            RecordBody::LinkDown { link, cause } => self.link_down(link, cause, age_us),
            RecordBody::BookState {
                instrument,
                from,
                to,
                last_update_id,
            } => self.book(instrument, from, to, last_update_id),
            RecordBody::Resync {
                instrument,
                cause,
                expected,
                got,
            } => {
                if self.may_write(Kind::Resync) {
                    warn!(
                        component = "market_data",
                        event_type = "book_resync",
                        exchange = self.exchange,
                        symbol = self.symbol(instrument),
                        cause = cause.label(),
                        expected,
                        got,
                        "book is rebuilt"
                    );
                }
            }
            RecordBody::Fault {
                link,
                instrument,
                kind,
                detail,
            } => self.fault(link, instrument, kind, detail),
            RecordBody::RequestRefused {
                link,
                request,
                request_id,
                code,
                kind,
            } => {
                if self.may_write(Kind::Request) {
                    warn!(
                        component = component(link.role),
                        event_type = "request_refused",
                        exchange = self.exchange,
                        link = role_label(link.role),
                        generation = link.generation,
                        request = request.label(),
                        request_id,
                        code,
                        kind = kind.map(ErrorKind::label),
                        "the venue refused a request"
                    );
                }
            }
            RecordBody::EngineState { from, to } => {
                if self.may_write(Kind::Engine) {
                    info!(
                        component = "engine",
                        event_type = "engine_state",
                        from = from.label(),
                        to = to.label(),
                        "engine state changed"
                    );
                }
            }
            RecordBody::Shutdown { links_closed } => {
                if self.may_write(Kind::Engine) {
                    info!(
                        component = "engine",
                        event_type = "engine_stopped",
                        links_closed,
                        "engine is shut down"
                    );
                }
            }
            RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::OrderFault { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Balance { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::TradingState { .. }
            | RecordBody::KillSwitch { .. }
            | RecordBody::Limits { .. } => self.trading(&record.body),
        }
    }

    fn link_up(&mut self, link: LinkId, age_us: u64) {
        if self.may_write(Kind::Link) {
            info!(
                component = "websocket",
                event_type = "link_up",
                exchange = self.exchange,
                link = role_label(link.role),
                generation = link.generation,
                age_us,
                "connection is up"
            );
        }
    }

    fn link_down(&mut self, link: LinkId, cause: LinkDown, age_us: u64) {
        if !self.may_write(Kind::Link) {
            return;
        }
        let (role, generation) = (role_label(link.role), link.generation);
        let (exchange, cause_label) = (self.exchange, cause.label());
        if cause == LinkDown::Requested {
            info!(
                component = "websocket",
                event_type = "link_down",
                exchange,
                link = role,
                generation,
                cause = cause_label,
                age_us,
                "connection ended"
            );
        } else {
            warn!(
                component = "websocket",
                event_type = "link_down",
                exchange,
                link = role,
                generation,
                cause = cause_label,
                age_us,
                "connection ended"
            );
        }
    }

    fn book(
        &mut self,
        instrument: InstrumentIndex,
        from: BookState,
        to: BookState,
        last_update_id: u64,
    ) {
        if self.may_write(Kind::Book) {
            info!(
                component = "market_data",
                event_type = "book_state",
                exchange = self.exchange,
                symbol = self.symbol(instrument),
                from = from.label(),
                to = to.label(),
                last_update_id,
                "book state changed"
            );
        }
    }

    fn fault(&mut self, link: LinkId, instrument: Option<InstrumentIndex>, kind: u8, detail: u64) {
        if !self.may_write(Kind::Fault) {
            return;
        }
        let kind = VenueFault::ALL.get(usize::from(kind)).copied();
        let label = kind.map_or("unknown", VenueFault::label);
        // The answer of the kind alone would be wrong where nobody knows which instrument was hit.
        let answer = kind.map_or("unknown", |kind| {
            let fault = Fault {
                instrument,
                ..Fault::new(kind)
            };
            fault.response().label()
        });
        warn!(
            component = component(link.role),
            event_type = "venue_fault",
            exchange = self.exchange,
            symbol = instrument.map(|index| self.symbol(index)),
            link = role_label(link.role),
            generation = link.generation,
            fault = label,
            answer,
            detail,
            "venue sent a fault"
        );
    }

    fn asset(&self, asset: AssetIndex) -> String {
        self.assets.get(asset).as_str().to_owned()
    }

    fn symbol(&self, instrument: InstrumentIndex) -> &str {
        self.instruments.get(instrument).symbol.as_str()
    }

    fn may_write(&mut self, kind: Kind) -> bool {
        let lines = &mut self.lines[kind as usize];
        if *lines < LINES_PER_WINDOW_MAX {
            *lines += 1;
            return true;
        }
        self.suppressed_in_window += 1;
        self.suppressed += 1;
        false
    }
}

/// The part of the process that a link serves: what comes of orders is the engine's, as the lines of orders are.
const fn component(role: LinkRole) -> &'static str {
    match role {
        LinkRole::Market | LinkRole::Api => "market_data",
        LinkRole::Orders => "engine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instruments;
    use std::io;
    use std::sync::Mutex;
    use veloz_core::telemetry::records::{ResyncCause, VenueRequest};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(write: impl FnOnce(&mut RecordLog)) -> Vec<serde_json::Value> {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let mut log = RecordLog::new(
            "binance",
            Arc::new(instruments()),
            Arc::new(Assets::new(&instruments(), &[])),
        );
        tracing::subscriber::with_default(subscriber, || write(&mut log));
        let bytes = captured.0.lock().expect("one thread").clone();
        String::from_utf8(bytes)
            .expect("UTF-8")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    fn record(body: RecordBody) -> Record {
        Record {
            sequence: 0,
            at: Nanos(1_000),
            body,
        }
    }

    #[test]
    fn every_kind_of_record_becomes_a_line_with_its_component_and_type() {
        let link = LinkId {
            role: LinkRole::Market,
            generation: 3,
        };
        let orders = LinkId {
            role: LinkRole::Orders,
            generation: 1,
        };
        let instrument = InstrumentIndex(1);
        let bodies = [
            (RecordBody::LinkUp { link }, "INFO", "websocket", "link_up"),
            (
                RecordBody::LinkDown {
                    link,
                    cause: LinkDown::Closed,
                },
                "WARN",
                "websocket",
                "link_down",
            ),
            (
                RecordBody::LinkDown {
                    link,
                    cause: LinkDown::Requested,
                },
                "INFO",
                "websocket",
                "link_down",
            ),
            (
                RecordBody::BookState {
                    instrument,
                    from: BookState::Syncing,
                    to: BookState::Live,
                    last_update_id: 9,
                },
                "INFO",
                "market_data",
                "book_state",
            ),
            (
                RecordBody::Resync {
                    instrument,
                    cause: ResyncCause::Gap,
                    expected: 5,
                    got: 7,
                },
                "WARN",
                "market_data",
                "book_resync",
            ),
            (
                RecordBody::Fault {
                    link,
                    instrument: None,
                    kind: VenueFault::Malformed as u8,
                    detail: 1,
                },
                "WARN",
                "market_data",
                "venue_fault",
            ),
            (
                RecordBody::RequestRefused {
                    link,
                    request: VenueRequest::Streams,
                    request_id: 4,
                    code: 2,
                    kind: None,
                },
                "WARN",
                "market_data",
                "request_refused",
            ),
            (
                RecordBody::Shutdown { links_closed: 2 },
                "INFO",
                "engine",
                "engine_stopped",
            ),
            (
                RecordBody::RequestRefused {
                    link: orders,
                    request: VenueRequest::LogOn,
                    request_id: 64,
                    code: -1_022,
                    kind: Some(ErrorKind::BadCredentials),
                },
                "WARN",
                "engine",
                "request_refused",
            ),
            (
                RecordBody::Fault {
                    link: orders,
                    instrument: None,
                    kind: VenueFault::Malformed as u8,
                    detail: 1,
                },
                "WARN",
                "engine",
                "venue_fault",
            ),
        ];
        let lines = lines_of(|log| {
            for (body, ..) in &bodies {
                log.record(Nanos(51_000), &record(*body));
            }
            log.hole(3, 8);
        });
        assert_eq!(lines.len(), bodies.len() + 1);
        for (line, (body, level, component, event_type)) in lines.iter().zip(&bodies) {
            assert_eq!(line["level"], *level, "{body:?}");
            assert_eq!(line["component"], *component, "{body:?}");
            assert_eq!(line["event_type"], *event_type, "{body:?}");
        }
        assert_eq!(lines[0]["age_us"], 50);
        assert_eq!(lines[1]["cause"], "closed");
        assert_eq!(lines[3]["symbol"], "ETHUSDT");
        assert_eq!(lines[5]["fault"], "malformed");
        assert_eq!(lines[5]["answer"], "reconnect");
        assert_eq!(lines[5].get("symbol"), None);
        assert_eq!(lines[6]["request"], "streams");
        assert_eq!(lines[6].get("kind"), None);
        assert_eq!(lines[8]["request"], "log_on");
        assert_eq!(lines[8]["kind"], "bad_credentials");
        assert_eq!(lines[10]["level"], "ERROR");
    }

    #[test]
    fn the_answer_depends_on_whether_the_instrument_is_known() {
        let link = LinkId {
            role: LinkRole::Market,
            generation: 3,
        };
        let lines = lines_of(|log| {
            for instrument in [None, Some(InstrumentIndex(1))] {
                let fault = RecordBody::Fault {
                    link,
                    instrument,
                    kind: VenueFault::MissingField as u8,
                    detail: 0,
                };
                log.record(Nanos::ZERO, &record(fault));
            }
        });
        assert_eq!(lines[0]["answer"], "reconnect");
        assert_eq!(lines[1]["answer"], "resync");
        assert_eq!(lines[1]["symbol"], "ETHUSDT");
    }

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted() {
        let link = LinkId {
            role: LinkRole::Api,
            generation: 1,
        };
        let fault = record(RecordBody::Fault {
            link,
            instrument: None,
            kind: 250,
            detail: 0,
        });
        let mut suppressed = 0;
        let lines = lines_of(|log| {
            for _ in 0..LINES_PER_WINDOW_MAX + 7 {
                log.record(Nanos::ZERO, &fault);
            }
            log.record(Nanos::ZERO, &record(RecordBody::LinkUp { link }));
            log.end_window();
            log.end_window();
            log.record(Nanos::ZERO, &fault);
            suppressed = log.suppressed();
        });
        assert_eq!(suppressed, 7);
        assert_eq!(lines.len() as u32, LINES_PER_WINDOW_MAX + 3);
        let summary = &lines[LINES_PER_WINDOW_MAX as usize + 1];
        assert_eq!(summary["lines"], 7);
        assert_eq!(lines[0]["fault"], "unknown");
    }
}
