//! A venue in virtual time: markets that move, links that fail, and the truth to compare with.
//!
//! Owns: [`World`], which drives an engine through `Engine::handle` alone and checks after every
//! event that each live book equals the venue's at its update id. One seed decides everything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use veloz_core::book::Side;
use veloz_core::config::EngineConfig;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::event::{Command, Event, LinkDown, LinkId, LinkRole, PayloadBuf};
use veloz_core::instrument::{
    Bounds, Instrument, InstrumentIndex, Instruments, OrderRules, Symbol,
};
use veloz_core::jitter::Jitter;
use veloz_core::outbox::{Action, Outbox};
use veloz_core::telemetry::records::Record;
use veloz_core::telemetry::{Sizes, TelemetryReader, telemetry};
use veloz_core::units::{E8, Grid, Level, Lots, Nanos, Ticks};
use veloz_core::venue::binance::rate::snapshot_weight;
use veloz_core::venue::binance::resync::SyncState;

const TICK_E8: i64 = 1_000_000;
const LOT_E8: i64 = 1_000;
const MINUTE: u64 = Nanos::from_secs(60).0;

/// What may go wrong, each as one chance in so many messages, requests or connections; zero is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) reorder: u64,
    pub(crate) unreadable: u64,
    pub(crate) crossed: u64,
    pub(crate) giant: u64,
    pub(crate) link_down: u64,
    pub(crate) link_silent: u64,
    pub(crate) stream_dead: u64,
    pub(crate) server_shutdown: u64,
    pub(crate) ids_reset: u64,
    pub(crate) stale_snapshot: u64,
    pub(crate) reply_lost: u64,
    pub(crate) refused: u64,
    pub(crate) rate_limited: u64,
    pub(crate) banned: u64,
    pub(crate) connect_refused: u64,
    pub(crate) subscribe_refused: u64,
}

type Levels = [BTreeMap<i64, i64>; 2];

/// One symbol as the venue sees it.
struct Market {
    symbol: String,
    mid: i64,
    levels: Levels,
    id: u64,
    /// Last id that a diff covered.
    diffed_id: u64,
    changed: BTreeMap<(usize, i64), i64>,
    /// The whole book at the end of every diff.
    truth: BTreeMap<u64, Levels>,
    /// What the snapshot cache may still hold.
    cache: Vec<(u64, Levels)>,
    trade_id: u64,
    giant: bool,
}

impl Market {
    fn new(symbol: String, rng: &mut Jitter) -> Self {
        let mid = 10_000;
        let mut levels = Levels::default();
        for distance in 1..=8 {
            levels[0].insert(mid - distance, pick(rng, 50) as i64 + 1);
            levels[1].insert(mid + distance, pick(rng, 50) as i64 + 1);
        }
        let id = 1_000_000 + pick(rng, 1_000);
        Self {
            symbol,
            mid,
            cache: vec![(id, levels.clone())],
            levels,
            id,
            diffed_id: id,
            changed: BTreeMap::new(),
            truth: BTreeMap::new(),
            trade_id: 10,
            giant: false,
        }
    }

    fn set(&mut self, side: usize, price: i64, qty: i64) {
        if qty == 0 {
            self.levels[side].remove(&price);
        } else {
            self.levels[side].insert(price, qty);
        }
        self.changed.insert((side, price), qty);
    }

    /// A few orders come and go.
    fn step(&mut self, rng: &mut Jitter) {
        if pick(rng, 8) == 0 {
            self.mid += pick(rng, 7) as i64 - 3;
            let (bids, asks): (Vec<i64>, Vec<i64>) = (
                self.levels[0].range(self.mid..).map(|(p, _)| *p).collect(),
                self.levels[1].range(..=self.mid).map(|(p, _)| *p).collect(),
            );
            for price in bids {
                self.set(0, price, 0);
            }
            for price in asks {
                self.set(1, price, 0);
            }
        }
        for _ in 0..=pick(rng, 4) {
            let side = pick(rng, 2) as usize;
            let distance = pick(rng, 12) as i64 + 1;
            let price = if side == 0 {
                self.mid - distance
            } else {
                self.mid + distance
            };
            // A third are removals, some of levels that are not there.
            let qty = (pick(rng, 90) as i64 - 30).max(0);
            self.set(side, price, qty);
        }
        self.id += 1 + pick(rng, 3);
    }

    /// Five thousand far levels on each side come, and go with the next call.
    fn toggle_giant(&mut self) {
        let qty = i64::from(!self.giant);
        self.giant = !self.giant;
        for far in 0..5_000 {
            self.set(0, 5_000 - far, qty);
            self.set(1, 20_000 + far, qty);
        }
        self.id += 1;
    }

    fn best(&self, side: usize) -> Option<(i64, i64)> {
        let level = match side {
            0 => self.levels[0].last_key_value(),
            _ => self.levels[1].first_key_value(),
        };
        level.map(|(price, qty)| (*price, *qty))
    }

    fn ticker(&self) -> String {
        let side = |side| {
            let (price, qty) = self.best(side).unwrap_or_default();
            (price_text(price), qty_text(qty))
        };
        let ((bid, bid_qty), (ask, ask_qty)) = (side(0), side(1));
        format!(
            "{{\"stream\":\"{}@bookTicker\",\"data\":{{\"u\":{},\"s\":\"{}\",\"b\":\"{bid}\",\"B\":\"{bid_qty}\",\"a\":\"{ask}\",\"A\":\"{ask_qty}\"}}}}",
            self.symbol.to_lowercase(),
            self.id,
            self.symbol,
        )
    }

    fn trade(&mut self, unix_ms: u64) -> String {
        self.trade_id += 1;
        format!(
            "{{\"stream\":\"{}@trade\",\"data\":{{\"e\":\"trade\",\"E\":{unix_ms},\"s\":\"{}\",\"t\":{},\"p\":\"{}\",\"q\":\"{}\",\"T\":{unix_ms},\"m\":true,\"M\":true}}}}",
            self.symbol.to_lowercase(),
            self.symbol,
            self.trade_id,
            price_text(self.mid),
            qty_text(3),
        )
    }

    /// The diff of what changed since the last one; none when nothing did.
    fn diff(&mut self, unix_ms: u64) -> Option<Diff> {
        if self.changed.is_empty() {
            return None;
        }
        let diff = Diff {
            symbol: self.symbol.clone(),
            unix_ms,
            first: self.diffed_id + 1,
            last: self.id,
            levels: std::mem::take(&mut self.changed),
        };
        self.diffed_id = self.id;
        self.truth.insert(self.id, self.levels.clone());
        Some(diff)
    }
}

#[derive(Clone)]
struct Diff {
    symbol: String,
    unix_ms: u64,
    first: u64,
    last: u64,
    levels: BTreeMap<(usize, i64), i64>,
}

impl Diff {
    fn text(&self) -> String {
        let side = |side: usize| {
            let of = self
                .levels
                .iter()
                .filter(|((of, _), _)| *of == side)
                .map(|((_, price), qty)| (*price, *qty));
            levels_text(of)
        };
        format!(
            "{{\"stream\":\"{}@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{}\",\"U\":{},\"u\":{},\"b\":{},\"a\":{}}}}}",
            self.symbol.to_lowercase(),
            self.unix_ms,
            self.symbol,
            self.first,
            self.last,
            side(0),
            side(1),
        )
    }
}

/// One connection as the venue sees it.
struct Link {
    subscribed: bool,
    silent: bool,
    dead_stream: Option<usize>,
    /// Nothing overtakes what was sent before, unless a fault says so.
    last_arrival: Nanos,
    client_messages: Vec<Nanos>,
}

enum Due {
    Up(LinkId),
    Down(LinkId),
    ToEngine(LinkId, String),
    ToVenue(LinkId, String),
    WallClock,
    Step,
    Publish,
}

/// What was handled, to be handled again.
#[derive(Clone)]
pub(crate) enum Logged {
    Up(LinkId),
    Down(LinkId),
    Message(LinkId, String),
    Tick,
    WallClock(i64),
    Shutdown,
}

/// An engine, its venue, and the clock.
pub(crate) struct World {
    pub(crate) engine: Engine<NoStopwatch>,
    pub(crate) reader: TelemetryReader,
    pub(crate) now: Nanos,
    pub(crate) records: Vec<Record>,
    pub(crate) actions: Vec<String>,
    pub(crate) log: Vec<(Nanos, Logged)>,
    pub(crate) faults: Faults,
    /// Time between two moves of a market.
    pub(crate) step_every: Nanos,
    pub(crate) weight_by_minute: BTreeMap<u64, u32>,
    pub(crate) snapshots_served: usize,
    pub(crate) last_connects: Vec<Nanos>,
    out: Outbox,
    config: EngineConfig,
    rng: Jitter,
    markets: Vec<Market>,
    links: BTreeMap<LinkId, Link>,
    due: BTreeMap<(Nanos, u64), Due>,
    sequence: u64,
    unix_ns_at_zero: u64,
    banned_until: Nanos,
    checked: Vec<(SyncState, u64)>,
    latency_max: Nanos,
}

/// A number in `[0, bound)`.
pub(crate) fn pick(rng: &mut Jitter, bound: u64) -> u64 {
    rng.below(Nanos(bound)).0
}

fn price_text(ticks: i64) -> String {
    E8(ticks * TICK_E8).to_string()
}

fn qty_text(lots: i64) -> String {
    E8(lots * LOT_E8).to_string()
}

fn levels_text(levels: impl Iterator<Item = (i64, i64)>) -> String {
    let mut text = String::from("[");
    for (price, qty) in levels {
        if text.len() > 1 {
            text.push(',');
        }
        write!(text, "[\"{}\",\"{}\"]", price_text(price), qty_text(qty)).expect("a string");
    }
    text.push(']');
    text
}

/// A table of spot instruments on the simulated grids.
pub(crate) fn instruments(symbols: &[String]) -> Instruments {
    let list = symbols
        .iter()
        .map(|symbol| Instrument {
            symbol: Symbol::new(symbol).expect("short"),
            base: Symbol::new("BASE").expect("short"),
            quote: Symbol::new("USDT").expect("short"),
            tick: Grid::new(E8(TICK_E8)).expect("positive"),
            lot: Grid::new(E8(LOT_E8)).expect("positive"),
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
        .collect();
    Instruments::new(list).expect("unique")
}

/// An engine with small rings.
pub(crate) fn engine(
    config: EngineConfig,
    symbols: &[String],
) -> (Engine<NoStopwatch>, TelemetryReader) {
    let sizes = Sizes {
        records: 1 << 14,
        samples: 1 << 8,
    };
    let (writer, reader) = telemetry(symbols.len(), sizes);
    let engine =
        Engine::new(config, instruments(symbols), writer, NoStopwatch).expect("few streams");
    (engine, reader)
}

pub(crate) fn symbols(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("S{number}USDT")).collect()
}

impl World {
    pub(crate) fn new(
        seed: u64,
        count: usize,
        mut config: EngineConfig,
        latency_max: Nanos,
    ) -> Self {
        config.seed = seed;
        let mut rng = Jitter::new(seed ^ 0x5EED);
        let symbols = symbols(count);
        let (engine, reader) = engine(config, &symbols);
        let mut world = Self {
            engine,
            reader,
            now: Nanos::ZERO,
            records: Vec::new(),
            actions: Vec::new(),
            log: Vec::new(),
            faults: Faults::default(),
            step_every: Nanos::from_ms(40),
            weight_by_minute: BTreeMap::new(),
            snapshots_served: 0,
            last_connects: Vec::new(),
            out: Outbox::new(),
            config,
            markets: symbols
                .into_iter()
                .map(|symbol| Market::new(symbol, &mut rng))
                .collect(),
            links: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            unix_ns_at_zero: 1_700_000_000_000_000_000 + pick(&mut rng, MINUTE),
            banned_until: Nanos::ZERO,
            checked: vec![(SyncState::Idle, 0); count],
            latency_max,
            rng,
        };
        let wall_clock_at = Nanos::from_ms(pick(&mut world.rng, 3_000));
        world.schedule(wall_clock_at, Due::WallClock);
        world.schedule(Nanos::ZERO, Due::Step);
        world.schedule(Nanos::from_ms(100), Due::Publish);
        world
    }

    /// Runs everything up to `until`.
    pub(crate) fn run_until(&mut self, until: Nanos) {
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = self.now.max(until);
    }

    /// Runs until every book is live and up to date, or `until`; whether they are.
    pub(crate) fn run_until_live(&mut self, until: Nanos) -> bool {
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.turn();
            if self.all_live() {
                return true;
            }
        }
        false
    }

    pub(crate) fn all_live(&self) -> bool {
        self.markets.iter().enumerate().all(|(position, market)| {
            let (state, id) = self.engine.book_state(InstrumentIndex(position as u16));
            // Two diffs may be on their way. Ids above the venue's own are from before a reset.
            state == SyncState::Live
                && id <= market.diffed_id
                && market.truth.range(id..=market.diffed_id).count() <= 3
        })
    }

    pub(crate) fn live_count(&self) -> usize {
        (0..self.markets.len())
            .filter(|position| {
                let index = InstrumentIndex(*position as u16);
                self.engine.book_state(index).0 == SyncState::Live
            })
            .count()
    }

    /// Cuts every connection of a role.
    pub(crate) fn cut(&mut self, role: LinkRole) {
        let links: Vec<LinkId> = self.links_of(role);
        for link in links {
            self.down(link);
        }
    }

    /// Shuts the engine down.
    pub(crate) fn shut_down(&mut self) {
        self.log.push((self.now, Logged::Shutdown));
        self.engine
            .handle(self.now, Event::Command(Command::Shutdown), &mut self.out);
        self.perform();
    }

    fn links_of(&self, role: LinkRole) -> Vec<LinkId> {
        self.links
            .keys()
            .copied()
            .filter(|link| link.role == role)
            .collect()
    }

    fn next_at(&self) -> Option<Nanos> {
        let venue = self.due.keys().next().map(|(at, _)| *at);
        let engine = self.engine.next_deadline();
        [venue, engine].into_iter().flatten().min()
    }

    fn turn(&mut self) {
        let venue_due = self.due.first_key_value().map(|((at, _), _)| *at);
        if venue_due.is_some_and(|at| at <= self.now) {
            let (_, due) = self.due.pop_first().expect("seen above");
            self.venue(due);
        }
        if self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            self.log.push((self.now, Logged::Tick));
            self.handle(Event::Tick);
        }
    }

    fn schedule(&mut self, at: Nanos, due: Due) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), due);
    }

    fn chance(&mut self, one_in: u64) -> bool {
        one_in != 0 && pick(&mut self.rng, one_in) == 0
    }

    fn latency(&mut self) -> Nanos {
        Nanos::from_ms(1).plus(self.rng.below(self.latency_max))
    }

    fn unix_ms(&self) -> u64 {
        (self.unix_ns_at_zero + self.now.0) / 1_000_000
    }

    fn venue(&mut self, due: Due) {
        match due {
            Due::WallClock => {
                // Our wall clock is up to a second off the venue's.
                let error = pick(&mut self.rng, 2_000_000_000) as i64 - 1_000_000_000;
                let unix_ns_at_zero = self.unix_ns_at_zero as i64 + error;
                self.log
                    .push((self.now, Logged::WallClock(unix_ns_at_zero)));
                self.handle(Event::WallClock { unix_ns_at_zero });
            }
            Due::Up(link) => {
                if self.links.contains_key(&link) {
                    self.log.push((self.now, Logged::Up(link)));
                    self.handle(Event::LinkUp { link });
                }
            }
            Due::Down(link) => self.down(link),
            Due::ToEngine(link, text) => {
                if self.links.contains_key(&link) {
                    let buf = PayloadBuf::new(text.as_bytes());
                    self.log.push((self.now, Logged::Message(link, text)));
                    self.handle(Event::Message {
                        link,
                        payload: buf.payload(),
                    });
                }
            }
            Due::ToVenue(link, text) => self.request(link, &text),
            Due::Step => {
                for position in 0..self.markets.len() {
                    self.step(position);
                }
                self.schedule(self.now.plus(self.step_every), Due::Step);
            }
            Due::Publish => {
                for position in 0..self.markets.len() {
                    self.publish(position);
                }
                self.schedule(self.now.plus(Nanos::from_ms(100)), Due::Publish);
                self.misbehave();
            }
        }
    }

    fn step(&mut self, position: usize) {
        let unix_ms = self.unix_ms();
        let giant = self.chance(self.faults.giant);
        let market = &mut self.markets[position];
        let before = (market.best(0), market.best(1));
        if giant || market.giant {
            market.toggle_giant();
        }
        market.step(&mut self.rng);
        if before != (market.best(0), market.best(1)) {
            let ticker = market.ticker();
            self.broadcast(position, &ticker);
        }
        if pick(&mut self.rng, 3) == 0 {
            let trade = self.markets[position].trade(unix_ms);
            self.broadcast(position, &trade);
        }
        if self.chance(self.faults.ids_reset) {
            let market = &mut self.markets[position];
            market.id /= 2;
            market.diffed_id = market.id;
            market.id += 1;
            market.cache.clear();
        }
    }

    fn publish(&mut self, position: usize) {
        let unix_ms = self.unix_ms();
        let market = &mut self.markets[position];
        let snapshot = (market.id, market.levels.clone());
        if market.cache.len() == 12 {
            market.cache.remove(0);
        }
        market.cache.push(snapshot);
        let Some(diff) = market.diff(unix_ms) else {
            return;
        };
        let text = if self.chance(self.faults.crossed) {
            let mut wrong = diff.clone();
            let ask = self.markets[position]
                .best(1)
                .map_or(12_000, |(ask, _)| ask);
            wrong.levels.insert((0, ask + 5), 7);
            wrong.text()
        } else {
            diff.text()
        };
        self.broadcast(position, &text);
    }

    /// Things that go wrong with whole connections, ten times a second.
    fn misbehave(&mut self) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            if self.chance(self.faults.link_down) {
                self.down(link);
            } else if self.chance(self.faults.link_silent) {
                self.links.get_mut(&link).expect("listed").silent = true;
            } else if link.role == LinkRole::Market && self.chance(self.faults.stream_dead) {
                let position = pick(&mut self.rng, self.markets.len() as u64) as usize;
                self.links.get_mut(&link).expect("listed").dead_stream = Some(position);
            } else if self.chance(self.faults.server_shutdown) {
                let unix_ms = self.unix_ms();
                let event = format!("{{\"e\":\"serverShutdown\",\"E\":{unix_ms}}}");
                let text = match link.role {
                    LinkRole::Market => {
                        format!("{{\"stream\":\"!serverShutdown\",\"data\":{event}}}")
                    }
                    LinkRole::Api | LinkRole::Orders => format!("{{\"event\":{event}}}"),
                };
                self.deliver(link, text);
                self.schedule(self.now.plus(Nanos::from_secs(3)), Due::Down(link));
            }
        }
    }

    fn broadcast(&mut self, position: usize, text: &str) {
        for link in self.links_of(LinkRole::Market) {
            let held = &self.links[&link];
            if !held.subscribed || held.dead_stream == Some(position) {
                continue;
            }
            if self.chance(self.faults.drop) {
                continue;
            }
            if self.chance(self.faults.duplicate) {
                self.deliver(link, text.to_owned());
            }
            if self.chance(self.faults.unreadable) {
                let broken = self.broken(text);
                self.deliver(link, broken);
                continue;
            }
            if self.chance(self.faults.reorder) {
                // Leaves now and arrives after what leaves within the next 150 ms.
                let at = self.now.plus(Nanos::from_ms(150));
                self.schedule(at, Due::ToEngine(link, text.to_owned()));
                continue;
            }
            self.deliver(link, text.to_owned());
        }
    }

    fn broken(&mut self, text: &str) -> String {
        match pick(&mut self.rng, 6) {
            0 => text[..text.len() / 2].to_owned(),
            1 => text.replacen('.', "e", 1),
            2 => text.replacen("\"u\":", "\"x\":", 1),
            3 => text.replacen("\"s\":\"S", "\"s\":\"X", 1),
            4 => text.replacen(".01", ".017", 1).replacen(".9", ".999", 1),
            _ => text.replacen("\"u\":", "\"u\":-", 1),
        }
    }

    /// Sends to the engine, in order.
    fn deliver(&mut self, link: LinkId, text: String) {
        let latency = self.latency();
        let held = self.links.get_mut(&link).expect("listed");
        if held.silent {
            return;
        }
        let at = self.now.plus(latency).max(held.last_arrival);
        held.last_arrival = at;
        self.schedule(at, Due::ToEngine(link, text));
    }

    fn spend(&mut self, weight: u32) -> u32 {
        let minute = (self.unix_ns_at_zero + self.now.0) / MINUTE;
        let used = self.weight_by_minute.entry(minute).or_default();
        *used += weight;
        let limit = self.config.requests.weight_per_minute;
        assert!(*used <= limit, "the venue's request weight is overspent");
        *used
    }

    fn request(&mut self, link: LinkId, text: &str) {
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        let json: serde_json::Value = serde_json::from_str(text).expect("we send JSON");
        let id = json["id"].to_string();
        if link.role == LinkRole::Market {
            held.client_messages.push(self.now);
            let second_ago = self.now.since(Nanos::from_secs(1));
            let recent = held
                .client_messages
                .iter()
                .filter(|at| **at > second_ago)
                .count();
            assert!(recent <= 4, "five messages a second, one of them a pong");
            assert_eq!(json["method"], "SUBSCRIBE");
            if self.chance(self.faults.reply_lost) {
                return;
            }
            if self.chance(self.faults.subscribe_refused) {
                let text = format!(
                    "{{\"error\":{{\"code\":2,\"msg\":\"Invalid request: too many parameters\"}},\"id\":{id}}}"
                );
                self.deliver(link, text);
                return;
            }
            self.links.get_mut(&link).expect("held").subscribed = true;
            self.deliver(link, format!("{{\"result\":null,\"id\":{id}}}"));
            return;
        }
        let is_time = json["method"] == "time";
        let levels = json["params"]["limit"].as_u64().unwrap_or(100);
        let used = self.spend(if is_time {
            1
        } else {
            snapshot_weight(levels as u16)
        });
        let limit = self.config.requests.weight_per_minute;
        let limits = format!(
            "\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{limit},\"count\":{used}}}]"
        );
        assert!(
            self.now >= self.banned_until,
            "nothing may be sent to a venue that banned us"
        );
        if self.chance(self.faults.reply_lost) {
            return;
        }
        let refusal = if self.chance(self.faults.banned) {
            Some((418, -1003))
        } else if self.chance(self.faults.rate_limited) {
            Some((429, -1003))
        } else if self.chance(self.faults.refused) {
            Some((400, -1000))
        } else {
            None
        };
        if let Some((status, code)) = refusal {
            let until = self.now.plus(Nanos::from_secs(20));
            let retry_after = if status == 400 {
                String::new()
            } else {
                let unix_ms = (self.unix_ns_at_zero + until.0) / 1_000_000;
                format!(",\"data\":{{\"serverTime\":1,\"retryAfter\":{unix_ms}}}")
            };
            self.deliver(
                link,
                format!(
                    "{{\"id\":{id},\"status\":{status},\"error\":{{\"code\":{code},\"msg\":\"no\"{retry_after}}},{limits}}}"
                ),
            );
            return;
        }
        let result = if is_time {
            format!("{{\"serverTime\":{}}}", self.unix_ms())
        } else {
            let symbol = json["params"]["symbol"].as_str().expect("a symbol");
            let position = self
                .markets
                .iter()
                .position(|market| market.symbol == symbol)
                .expect("one of ours");
            self.snapshots_served += 1;
            self.snapshot(position, levels as usize)
        };
        self.deliver(
            link,
            format!("{{\"id\":{id},\"status\":200,\"result\":{result},{limits}}}"),
        );
    }

    fn snapshot(&mut self, position: usize, limit: usize) -> String {
        let stale = self.chance(self.faults.stale_snapshot);
        let market = &self.markets[position];
        let current = (market.id, market.levels.clone());
        let (id, levels) = if stale {
            market.cache.first().cloned().unwrap_or(current)
        } else {
            current
        };
        let bids = levels[0].iter().rev().take(limit).map(|(p, q)| (*p, *q));
        let asks = levels[1].iter().take(limit).map(|(p, q)| (*p, *q));
        format!(
            "{{\"lastUpdateId\":{id},\"bids\":{},\"asks\":{}}}",
            levels_text(bids),
            levels_text(asks)
        )
    }

    fn down(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.log.push((self.now, Logged::Down(link)));
            self.handle(Event::LinkDown {
                link,
                cause: LinkDown::Closed,
            });
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        self.engine.handle(self.now, event, &mut self.out);
        self.perform();
        self.check();
    }

    fn perform(&mut self) {
        let mut wishes = Vec::new();
        for action in self.out.actions() {
            self.actions.push(format!("{} {action:?}", self.now.0));
            wishes.push(match action {
                Action::Connect { link } => (link, None, true),
                Action::Send { link, message } => {
                    let text = String::from_utf8(message.to_vec()).expect("text");
                    (link, Some(text), false)
                }
                Action::Close { link, .. } => (link, None, false),
            });
        }
        self.out.clear();
        for (link, message, connect) in wishes {
            let latency = self.latency();
            match message {
                Some(text) => {
                    assert!(
                        self.links.contains_key(&link),
                        "sent on a link that is gone"
                    );
                    self.schedule(self.now.plus(latency), Due::ToVenue(link, text));
                }
                None if connect => self.connect(link),
                None => {
                    assert!(self.links.remove(&link).is_some(), "closed twice");
                }
            }
        }
        while let Some(record) = self.reader.records.pop() {
            self.records.push(record);
        }
        while self.reader.samples.pop().is_some() {}
    }

    fn connect(&mut self, link: LinkId) {
        let window = self.now.since(Nanos::from_secs(300));
        self.last_connects.retain(|at| *at >= window);
        self.last_connects.push(self.now);
        assert!(
            self.last_connects.len() <= 300,
            "the venue's limit of connections"
        );
        let held = Link {
            subscribed: false,
            silent: false,
            dead_stream: None,
            last_arrival: self.now,
            client_messages: Vec::new(),
        };
        assert!(self.links.insert(link, held).is_none(), "a new generation");
        assert!(
            self.links_of(link.role).len() <= 2,
            "a link and its successor"
        );
        if link.role == LinkRole::Api {
            self.spend(2);
        }
        let latency = self.latency();
        if self.chance(self.faults.connect_refused) {
            self.schedule(self.now.plus(latency), Due::Down(link));
        } else {
            self.schedule(self.now.plus(latency), Due::Up(link));
        }
    }

    /// Every live book is the venue's at its update id.
    fn check(&mut self) {
        for (position, market) in self.markets.iter().enumerate() {
            let index = InstrumentIndex(position as u16);
            let standing = self.engine.book_state(index);
            let book = self.engine.book(index);
            assert_eq!(book.is_some(), standing.0 == SyncState::Live);
            if self.checked[position] == standing {
                continue;
            }
            self.checked[position] = standing;
            let Some(book) = book else { continue };
            book.assert_invariants();
            let truth = market.truth.get(&standing.1).unwrap_or_else(|| {
                panic!(
                    "book {position} is live at {}, no end of a diff",
                    standing.1
                )
            });
            for side in Side::ALL {
                let level = |(price, qty): (&i64, &i64)| Level {
                    price: Ticks(*price),
                    qty: Lots(*qty),
                };
                let levels = truth[side as usize].iter().map(level);
                let expected: Vec<Level> = match side {
                    Side::Bid => levels.rev().collect(),
                    Side::Ask => levels.collect(),
                };
                let got: Vec<Level> = book.levels(side).collect();
                assert_eq!(got, expected, "book {position} {side:?} at {}", standing.1);
            }
        }
    }
}

/// Handles a log again with a fresh engine: its records and actions.
pub(crate) fn replay(
    config: EngineConfig,
    count: usize,
    log: &[(Nanos, Logged)],
) -> (Vec<Record>, Vec<String>) {
    let (mut engine, mut reader) = engine(config, &symbols(count));
    let mut out = Outbox::new();
    let (mut records, mut actions) = (Vec::new(), Vec::new());
    for (now, logged) in log {
        let buf;
        let event = match logged {
            Logged::Up(link) => Event::LinkUp { link: *link },
            Logged::Down(link) => Event::LinkDown {
                link: *link,
                cause: LinkDown::Closed,
            },
            Logged::Message(link, text) => {
                buf = PayloadBuf::new(text.as_bytes());
                Event::Message {
                    link: *link,
                    payload: buf.payload(),
                }
            }
            Logged::Tick => Event::Tick,
            Logged::WallClock(unix_ns_at_zero) => Event::WallClock {
                unix_ns_at_zero: *unix_ns_at_zero,
            },
            Logged::Shutdown => Event::Command(Command::Shutdown),
        };
        engine.handle(*now, event, &mut out);
        actions.extend(out.actions().map(|action| format!("{} {action:?}", now.0)));
        out.clear();
        while let Some(record) = reader.records.pop() {
            records.push(record);
        }
        while reader.samples.pop().is_some() {}
    }
    (records, actions)
}
