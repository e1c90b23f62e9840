//! Market data in text form, played to an engine as a venue would serve it.
//!
//! Owns: [`TextSession`], a venue in virtual time: links come up when asked for, subscriptions are
//! confirmed, and the recorded depth snapshot answers the engine's own request for it, so that the
//! events are ones that this engine accepts. Does not: write anything; whoever handles the events may.
//!
//! Invariants: frames are delivered unchanged, in order, at their receive times; a snapshot goes to the
//! symbol of its file, not before its line and not before it was asked for; time never goes back.

use super::text::{Content, Survey, TextError, TextFiles, content};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use veloz_core::event::{Command, Event, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::{Bounds, Instrument, Instruments, OrderRules, Symbol};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::units::Nanos;

/// Time before the first line, in which the engine connects and subscribes.
const LEAD: Nanos = Nanos::from_secs(1);
/// Ticks at one moment after which the engine is taken to stand still.
const TICKS_AT_ONE_MOMENT_MAX: u32 = 10_000;
/// Snapshots of at most so many levels a side only ask for the update id; a recording cannot tell.
const PROBE_LEVELS_MAX: u64 = 5;
/// Quote assets that a symbol's name may end in, longest first where one ends in another.
const QUOTES: [&str; 12] = [
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "EUR", "TRY", "BRL", "BTC", "ETH", "BNB",
];

/// Whoever handles the events of a session: an engine, with whatever stands around it.
pub trait Handler {
    /// Handles one event; actions go to `out`, which is empty at the call.
    ///
    /// # Errors
    /// What writing the outcome somewhere failed with.
    fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()>;

    /// When it wants a tick.
    fn next_deadline(&self) -> Option<Nanos>;
}

/// Why a session cannot be played on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// A file is not as it should be.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The handler could not write.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The symbols do not make a table of instruments.
    #[error("{0}")]
    Instruments(String),
    /// The engine asks for ticks at a time that does not pass.
    #[error("the engine stands still at {} ns after the start", .0.0)]
    Stuck(Nanos),
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Lines read.
    pub lines: u64,
    /// Stream messages that arrived while no market link was up.
    pub undelivered: u64,
    /// Snapshots that the engine never asked for.
    pub snapshots_unused: u64,
    /// Time from the first line to the last.
    pub span: Nanos,
}

/// The instruments of a survey, in alphabetical order.
///
/// # Errors
/// [`PlayError::Instruments`] when there is none, too many, or a name is too long.
pub fn instruments(survey: &Survey) -> Result<Instruments, PlayError> {
    let list = survey
        .grids
        .iter()
        .map(|(name, (tick, lot))| {
            let quote = QUOTES
                .iter()
                .find(|quote| name.len() > quote.len() && name.ends_with(**quote));
            let base = quote.map_or(name.as_str(), |quote| &name[..name.len() - quote.len()]);
            let symbol = |text: &str| {
                Symbol::new(text).ok_or_else(|| {
                    PlayError::Instruments(format!("{text} is too long for a symbol"))
                })
            };
            Ok(Instrument {
                symbol: symbol(name)?,
                base: symbol(base)?,
                // Text form does not name the assets; books do not need them.
                quote: symbol(quote.copied().unwrap_or("UNKNOWN"))?,
                tick: *tick,
                lot: *lot,
                price_bounds: Bounds {
                    min: None,
                    max: None,
                },
                qty_bounds: Bounds {
                    min: None,
                    max: None,
                },
                notional_min: None,
                notional_max: None,
                order_rules: OrderRules::UNRESTRICTED,
                trading: true,
            })
        })
        .collect::<Result<Vec<_>, PlayError>>()?;
    Instruments::new(list).map_err(|error| PlayError::Instruments(error.to_string()))
}

/// A session of text files before it is played.
pub struct TextSession {
    files: TextFiles,
    symbol_of_file: Vec<Option<String>>,
    unix_ns_at_zero: u64,
    venue: Venue,
    now: Nanos,
    outbox: Outbox,
    message: PayloadBuf,
}

/// The venue's side: what is connected, asked for and on its way.
#[derive(Default)]
struct Venue {
    unix_ns_at_zero: u64,
    /// Links that are up, oldest first.
    up: Vec<LinkId>,
    /// Depth requests without answer, by symbol: the latest link and id.
    asked: BTreeMap<String, (LinkId, String)>,
    /// Snapshots whose line has passed and that nobody asked for yet.
    held: BTreeMap<String, Vec<u8>>,
    on_their_way: VecDeque<Arrival>,
}

enum Arrival {
    Up(LinkId),
    Message(LinkId, Vec<u8>),
}

impl TextSession {
    /// Opens the files of a survey.
    ///
    /// # Errors
    /// [`PlayError::Text`] when a file cannot be read.
    pub fn open(paths: &[PathBuf], survey: &Survey) -> Result<Self, PlayError> {
        let files = TextFiles::open(paths)?;
        let first = files.current().map_or(0, |(_, line)| line.unix_ns);
        let unix_ns_at_zero = first.saturating_sub(LEAD.0);
        Ok(Self {
            files,
            symbol_of_file: survey.symbol_of_file.clone(),
            unix_ns_at_zero,
            venue: Venue {
                unix_ns_at_zero,
                ..Venue::default()
            },
            now: Nanos::ZERO,
            outbox: Outbox::new(),
            message: PayloadBuf::default(),
        })
    }

    /// Unix time of the first event, in nanoseconds.
    pub fn unix_ns_at_zero(&self) -> u64 {
        self.unix_ns_at_zero
    }

    /// Plays everything, then tells the engine to stop. `progress` hears the bytes consumed.
    ///
    /// # Errors
    /// [`PlayError`] when a file is malformed, the handler cannot write, or the engine stands still.
    pub fn play(
        mut self,
        handler: &mut impl Handler,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Played, PlayError> {
        let mut played = Played::default();
        self.handle(
            handler,
            &Event::WallClock {
                unix_ns_at_zero: self.unix_ns_at_zero as i64,
            },
        )?;
        let mut first = None;
        while let Some((file, line)) = self.files.current() {
            let at = Nanos(line.unix_ns.saturating_sub(self.unix_ns_at_zero));
            first.get_or_insert(at);
            match content(line.body) {
                Some(Content::Stream(_)) => {
                    self.message.set(line.body);
                    self.advance(handler, at)?;
                    if !self.deliver(handler)? {
                        played.undelivered += 1;
                    }
                }
                Some(Content::Snapshot) => {
                    let Some(symbol) = self.symbol_of_file[file].clone() else {
                        return Err(self
                            .files
                            .file(file)
                            .fault("a snapshot in a file of several symbols names none of them; split the file by symbol".to_owned())
                            .into());
                    };
                    let snapshot = line.body.to_vec();
                    self.advance(handler, at)?;
                    self.venue.held.insert(symbol, snapshot);
                    self.venue.answer_depth();
                    self.deliver_arrivals(handler)?;
                }
                None => {
                    return Err(self
                        .files
                        .file(file)
                        .fault("neither a stream message nor a depth snapshot".to_owned())
                        .into());
                }
            }
            played.lines += 1;
            self.files.advance()?;
            progress(self.files.consumed());
        }
        played.snapshots_unused = self.venue.held.len() as u64;
        played.span = self.now.since(first.unwrap_or_default());
        self.handle(handler, &Event::Command(Command::Shutdown))?;
        Ok(played)
    }

    /// Lets time pass up to `until`: ticks fire, and what they cause arrives.
    fn advance(&mut self, handler: &mut impl Handler, until: Nanos) -> Result<(), PlayError> {
        let mut at_one_moment = 0;
        self.deliver_arrivals(handler)?;
        while let Some(at) = handler.next_deadline().filter(|at| *at <= until) {
            let before = self.now;
            self.now = self.now.max(at);
            at_one_moment = if self.now > before {
                0
            } else {
                at_one_moment + 1
            };
            if at_one_moment > TICKS_AT_ONE_MOMENT_MAX {
                return Err(PlayError::Stuck(self.now));
            }
            self.handle(handler, &Event::Tick)?;
            self.deliver_arrivals(handler)?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Delivers the frame in `self.message` on the newest market link; `false` when none is up.
    fn deliver(&mut self, handler: &mut impl Handler) -> Result<bool, PlayError> {
        let Some(link) = self.venue.newest(LinkRole::Market) else {
            return Ok(false);
        };
        let message = std::mem::take(&mut self.message);
        let handled = self.handle(
            handler,
            &Event::Message {
                link,
                payload: message.payload(),
            },
        );
        self.message = message;
        handled?;
        self.deliver_arrivals(handler)?;
        Ok(true)
    }

    fn deliver_arrivals(&mut self, handler: &mut impl Handler) -> Result<(), PlayError> {
        while let Some(arrival) = self.venue.on_their_way.pop_front() {
            match arrival {
                Arrival::Up(link) => {
                    self.venue.up.push(link);
                    self.handle(handler, &Event::LinkUp { link })?;
                }
                Arrival::Message(link, message) => {
                    if self.venue.up.contains(&link) {
                        let buffer = PayloadBuf::new(&message);
                        self.handle(
                            handler,
                            &Event::Message {
                                link,
                                payload: buffer.payload(),
                            },
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, handler: &mut impl Handler, event: &Event<'_>) -> Result<(), PlayError> {
        handler.handle(self.now, event, &mut self.outbox)?;
        for action in self.outbox.actions() {
            self.venue.take(self.now, &action);
        }
        self.outbox.clear();
        Ok(())
    }
}

/// A request, as far as it has to be understood to be answered.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DepthParams {
    symbol: String,
    limit: Option<u64>,
}

/// The symbol of a request for a depth snapshot, and the request's id as text; `None` for others.
pub fn depth_request(message: &[u8]) -> Option<(String, String)> {
    let request: Request<'_> = serde_json::from_slice(message).ok()?;
    if request.method != "depth" {
        return None;
    }
    let params: DepthParams = serde_json::from_str(request.params?.get()).ok()?;
    let is_probe = params.limit.is_some_and(|limit| limit <= PROBE_LEVELS_MAX);
    (!is_probe).then(|| (params.symbol, request.id.get().to_owned()))
}

impl Venue {
    fn newest(&self, role: LinkRole) -> Option<LinkId> {
        self.up.iter().rev().find(|link| link.role == role).copied()
    }

    /// Performs one action of the engine.
    fn take(&mut self, now: Nanos, action: &Action<'_>) {
        match *action {
            Action::Connect { link } => self.on_their_way.push_back(Arrival::Up(link)),
            Action::Close { link, .. } => {
                self.up.retain(|up| *up != link);
                self.asked.retain(|_, (asker, _)| *asker != link);
            }
            Action::Send { link, message } => self.answer(now, link, message),
        }
    }

    fn answer(&mut self, now: Nanos, link: LinkId, message: &[u8]) {
        if let Some((symbol, id)) = depth_request(message) {
            self.asked.insert(symbol, (link, id));
            self.answer_depth();
            return;
        }
        let Ok(request) = serde_json::from_slice::<Request<'_>>(message) else {
            return;
        };
        let id = request.id.get();
        let reply = match (link.role, request.method) {
            (LinkRole::Market, _) => format!("{{\"result\":null,\"id\":{id}}}"),
            (LinkRole::Api, "time") => {
                let unix_ms = (self.unix_ns_at_zero + now.0) / 1_000_000;
                format!("{{\"id\":{id},\"status\":200,\"result\":{{\"serverTime\":{unix_ms}}}}}")
            }
            (LinkRole::Api | LinkRole::Orders, _) => format!(
                "{{\"id\":{id},\"status\":400,\"error\":{{\"code\":-1000,\"msg\":\"A recording has no answer to this.\"}}}}"
            ),
        };
        self.on_their_way
            .push_back(Arrival::Message(link, reply.into_bytes()));
    }

    /// Sends every snapshot that is both recorded and asked for.
    fn answer_depth(&mut self) {
        let ready: Vec<String> = self
            .held
            .keys()
            .filter(|symbol| self.asked.contains_key(*symbol))
            .cloned()
            .collect();
        for symbol in ready {
            if let (Some(snapshot), Some((link, id))) =
                (self.held.remove(&symbol), self.asked.remove(&symbol))
            {
                let mut reply = format!("{{\"id\":{id},\"status\":200,\"result\":").into_bytes();
                reply.extend(snapshot);
                reply.push(b'}');
                self.on_their_way.push_back(Arrival::Message(link, reply));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::survey;
    use super::*;
    use std::fmt::Write as _;

    /// An engine of the most modest kind: it connects, subscribes, asks for one snapshot at the first
    /// diff, and remembers what it heard.
    #[derive(Default)]
    struct Script {
        heard: Vec<(u64, String)>,
        ticks: u32,
        connected: bool,
        asked: bool,
        stubborn: bool,
    }

    const MARKET: LinkId = LinkId {
        role: LinkRole::Market,
        generation: 1,
    };
    const API: LinkId = LinkId {
        role: LinkRole::Api,
        generation: 2,
    };

    impl Handler for Script {
        fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()> {
            match event {
                Event::Tick => {
                    self.ticks += 1;
                    if !self.connected {
                        self.connected = true;
                        out.connect(MARKET).expect("room");
                        out.connect(API).expect("room");
                    }
                }
                Event::LinkUp { link } if *link == MARKET => out
                    .send(MARKET, &[br#"{"method":"SUBSCRIBE","params":[],"id":7}"#])
                    .expect("room"),
                Event::LinkUp { .. } => out
                    .send(API, &[br#"{"id":8,"method":"time"}"#])
                    .expect("room"),
                Event::Message { payload, .. } => {
                    let text = String::from_utf8_lossy(payload.bytes()).into_owned();
                    if text.contains("depthUpdate") && !self.asked {
                        self.asked = true;
                        out.send(
                            API,
                            &[br#"{"id":9,"method":"depth","params":{"symbol":"BTCUSDT","limit":5000}}"#],
                        )
                        .expect("room");
                    }
                    self.heard.push((now.0, text));
                }
                Event::Command(_) => self.heard.push((now.0, "shutdown".to_owned())),
                Event::LinkDown { .. }
                | Event::LinkRefused { .. }
                | Event::LinkBlocked { .. }
                | Event::Backlog(_)
                | Event::WallClock { .. } => {}
            }
            Ok(())
        }

        fn next_deadline(&self) -> Option<Nanos> {
            (self.stubborn || !self.connected).then_some(Nanos::ZERO)
        }
    }

    fn session(directory: &std::path::Path, text: &str) -> TextSession {
        let path = directory.join("session");
        std::fs::write(&path, text).expect("written");
        let paths = [path];
        let survey = survey(&paths, &BTreeMap::new()).expect("surveyed");
        let table = instruments(&survey).expect("instruments");
        let (_, instrument) = table.iter().next().expect("one");
        assert_eq!(instrument.base.as_str(), "BTC");
        assert_eq!(instrument.quote.as_str(), "USDT");
        TextSession::open(&paths, &survey).expect("opens")
    }

    const DIFF: &str =
        r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":[["1.0","2.0"]],"a":[]}}"#;
    const SNAPSHOT: &str = r#"{"lastUpdateId":5,"bids":[],"asks":[]}"#;

    #[test]
    fn the_recorded_snapshot_answers_the_engines_own_request() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let second = LEAD.0;
        let ends = [
            // The snapshot comes after it was asked for, or before.
            [DIFF, SNAPSHOT, DIFF],
            [SNAPSHOT, DIFF, DIFF],
        ];
        let reply = format!("{{\"id\":9,\"status\":200,\"result\":{SNAPSHOT}}}");
        let at = [[1, 2, 3], [2, 2, 3]];
        for (lines, at) in ends.iter().zip(at) {
            let start = 1_700_000_000_000_000_000u64;
            let mut text = String::new();
            for (line, number) in lines.iter().zip(1..) {
                let _ = writeln!(text, "{} {line}", start + number);
            }
            let mut script = Script::default();
            let played = session(directory.path(), &text)
                .play(&mut script, &mut |_| {})
                .expect("plays");
            assert_eq!(
                played,
                Played {
                    lines: 3,
                    undelivered: 0,
                    snapshots_unused: 0,
                    span: Nanos(2),
                }
            );
            let zero = start + 1 - second;
            let market: Vec<_> = at
                .iter()
                .zip([DIFF, &reply, DIFF])
                .map(|(at, text)| (start + at - zero, text.to_owned()))
                .collect();
            let mut expected = vec![
                (0, "{\"result\":null,\"id\":7}".to_owned()),
                (
                    0,
                    format!(
                        "{{\"id\":8,\"status\":200,\"result\":{{\"serverTime\":{}}}}}",
                        zero / 1_000_000
                    ),
                ),
            ];
            expected.extend(market);
            expected.push((start + 3 - zero, "shutdown".to_owned()));
            assert_eq!(script.heard, expected);
            assert_eq!(script.ticks, 1);
        }
    }

    #[test]
    fn an_engine_that_stands_still_is_noticed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut script = Script {
            stubborn: true,
            ..Script::default()
        };
        let stuck = session(directory.path(), &format!("1700000000000000000 {DIFF}\n"))
            .play(&mut script, &mut |_| {});
        assert!(matches!(stuck, Err(PlayError::Stuck(Nanos::ZERO))));
    }
}
