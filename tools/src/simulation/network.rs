//! The links between engine and venue: each message takes its time, and a link keeps the order of its messages.
//!
//! Owns: [`Network`]: the connections, what is under way on each in both directions, and links that are cut.
//! Does not: change a message. Invariant: a message never overtakes another of the same link and direction; what is
//! under way on a link that is cut is lost in both directions, except for what the venue had received.

use crate::venue::{ConnectionNumber, Refused, Sent, VenueInProcess, VenueMicros};
use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use std::collections::VecDeque;
use std::fmt;
use veloz_core::event::{Event, LinkDown, LinkId, LinkRole, PayloadBuf};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::units::Nanos;

use super::{engine_time, venue_time};

/// Longest way of one message on a calm day.
const WAY_MAX_US: u64 = 2_000;
/// Longest way of a message that meets a jam, which is one in a hundred.
const JAM_MAX_US: u64 = 800_000;
/// How long making a connection takes at most.
const CONNECT_MAX_US: u64 = 20_000;

/// Something on its way to the engine.
pub(super) struct Arrival {
    link: LinkId,
    what: What,
}

enum What {
    Up,
    Down(LinkDown),
    Refused(u16, Option<Nanos>),
    Text(Bytes),
}

impl Arrival {
    pub(super) fn is_of_orders(&self) -> bool {
        self.link.role == LinkRole::Orders
    }

    /// Whether it is a message of market data: of the streams, or the snapshot of a book.
    pub(super) fn is_of_market(&self) -> bool {
        let What::Text(text) = &self.what else {
            return false;
        };
        match self.link.role {
            LinkRole::Market => true,
            LinkRole::Api => std::str::from_utf8(text).is_ok_and(|text| text.contains("\"bids\":")),
            LinkRole::Orders => false,
        }
    }

    /// Hands it over as the engine's event.
    pub(super) fn with_event(&self, handle: impl FnOnce(Event<'_>)) {
        match &self.what {
            What::Up => handle(Event::LinkUp { link: self.link }),
            What::Down(cause) => handle(Event::LinkDown {
                link: self.link,
                cause: *cause,
            }),
            What::Refused(status, pause) => handle(Event::LinkRefused {
                link: self.link,
                status: *status,
                pause: *pause,
            }),
            What::Text(text) => {
                let buffer = PayloadBuf::new(text);
                handle(Event::Message {
                    link: self.link,
                    payload: buffer.payload(),
                });
            }
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Up => write!(f, "up {:?}", self.link),
            What::Down(cause) => write!(f, "down {:?} {}", self.link, cause.label()),
            What::Refused(status, pause) => {
                write!(f, "refused {:?} {status} {pause:?}", self.link)
            }
            What::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
        }
    }
}

/// Something on its way to the venue.
pub(super) struct Departure {
    pub(super) connection: ConnectionNumber,
    pub(super) text: String,
    /// Whether it is of the order link.
    pub(super) orders: bool,
}

/// One connection.
struct Link {
    id: LinkId,
    connection: ConnectionNumber,
    to_engine: VecDeque<(Nanos, What)>,
    to_venue: VecDeque<(Nanos, String)>,
    /// When the last message of each direction arrives.
    last: [Nanos; 2],
    /// The venue's end is closed, and that is on its way to the engine.
    is_ended: bool,
}

/// What the engine knows of bans of its address.
#[derive(Debug, Default)]
struct Bans {
    /// Until when the last one lasts.
    until: Option<Nanos>,
    /// From when the engine knows of one, and until when that lasts.
    known: Option<(Nanos, Nanos)>,
    /// A connection that it asked for all the same.
    prolonged: Option<LinkId>,
}

impl Bans {
    /// The engine hears of the last one.
    fn heard(&mut self, now: Nanos) {
        self.known = self.until.map(|until| (now, until));
    }

    /// The engine asks for a connection.
    fn asked(&mut self, now: Nanos, link: LinkId) {
        if self
            .known
            .is_some_and(|(from, until)| (from..until).contains(&now))
        {
            self.prolonged = Some(link);
        }
    }
}

/// All connections.
pub(super) struct Network {
    links: Vec<Link>,
    /// Ends of links that are no more, and attempts that failed.
    ends: VecDeque<(Nanos, LinkId, What)>,
    bans: Bans,
    random: SmallRng,
    jams: bool,
    order_links_lost: u64,
}

impl Network {
    pub(super) fn new(random: SmallRng, jams: bool) -> Self {
        Self {
            links: Vec::new(),
            ends: VecDeque::new(),
            bans: Bans::default(),
            random,
            jams,
            order_links_lost: 0,
        }
    }

    /// From now on messages only take their usual time.
    pub(super) fn heal(&mut self) {
        self.jams = false;
    }

    /// A connection that was asked for during a ban that the engine knew of.
    pub(super) fn prolonged(&self) -> Option<LinkId> {
        self.bans.prolonged
    }

    pub(super) fn order_links_lost(&self) -> u64 {
        self.order_links_lost
    }

    /// Whether nothing of the order link is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.links
            .iter()
            .filter(|link| link.id.role == LinkRole::Orders)
            .all(|link| link.to_engine.is_empty() && link.to_venue.is_empty())
    }

    /// When something arrives at the engine next.
    pub(super) fn next_at_engine(&self) -> Nanos {
        let ends = self.ends.iter().map(|(at, ..)| *at);
        let links = self.links.iter();
        let arrivals = links.filter_map(|link| link.to_engine.front().map(|(at, _)| *at));
        ends.chain(arrivals).min().unwrap_or(Nanos::MAX)
    }

    /// When something arrives at the venue next.
    pub(super) fn next_at_venue(&self) -> Nanos {
        let links = self.links.iter();
        let departures = links.filter_map(|link| link.to_venue.front().map(|(at, _)| *at));
        departures.min().unwrap_or(Nanos::MAX)
    }

    /// Performs what the engine wants.
    pub(super) fn perform(&mut self, now: Nanos, out: &Outbox, venue: &mut VenueInProcess) {
        for action in out.actions() {
            match action {
                Action::Connect { link } => self.connect(now, link, venue),
                Action::Send { link, message } => {
                    let text = String::from_utf8(message.to_vec()).expect("requests are text");
                    let way = self.way();
                    let mut links = self.links.iter_mut();
                    // What is written to a closed end is lost.
                    if let Some(held) = links.find(|held| held.id == link && !held.is_ended) {
                        let at = now.plus(way).max(held.last[0]);
                        held.last[0] = at;
                        held.to_venue.push_back((at, text));
                    }
                }
                Action::Close { link, .. } => {
                    if let Some(at) = self.links.iter().position(|held| held.id == link) {
                        let held = self.links.remove(at);
                        venue.close(held.connection);
                    }
                    self.ends.retain(|(_, ended, _)| *ended != link);
                }
            }
        }
    }

    fn connect(&mut self, now: Nanos, link: LinkId, venue: &mut VenueInProcess) {
        self.bans.asked(now, link);
        let opened = match link.role {
            LinkRole::Market => venue.open_streams(venue_time(now), Vec::new()),
            LinkRole::Api | LinkRole::Orders => venue.open_api(venue_time(now)),
        };
        let at = now.plus(Nanos::from_us(self.random.random_range(0..CONNECT_MAX_US)));
        if let Some(connection) = opened {
            self.links.push(Link {
                id: link,
                connection,
                to_engine: VecDeque::from([(at, What::Up)]),
                to_venue: VecDeque::new(),
                last: [at; 2],
                is_ended: false,
            });
            return;
        }
        let end = match venue.refusal() {
            Some(Refused { status, until }) if matches!(status, 418 | 429) => {
                let until = until.map(engine_time);
                if let (418, Some(until)) = (status, until) {
                    self.bans.until = Some(until);
                }
                What::Refused(status, until.map(|until| until.since(now)))
            }
            Some(_) | None => What::Down(LinkDown::Upgrade),
        };
        self.ends.push_back((at, link, end));
    }

    /// Takes what the venue wrote.
    pub(super) fn collect(&mut self, now: Nanos, venue: &mut VenueInProcess) {
        let mut sent = Vec::new();
        for position in 0..self.links.len() {
            if self.links[position].is_ended {
                continue;
            }
            sent.clear();
            let alive = venue.take(self.links[position].connection, &mut sent);
            let mut ended = (!alive).then_some(LinkDown::Closed);
            for what in sent.drain(..) {
                let way = self.way();
                let link = &mut self.links[position];
                let at = now.plus(way).max(link.last[1]);
                match what {
                    Sent::Text(text) => {
                        link.last[1] = at;
                        link.to_engine.push_back((at, What::Text(text)));
                    }
                    // The edge answers at once, and the engine hears nothing of it.
                    Sent::Ping(payload) => {
                        let connection = link.connection;
                        venue.pong(venue_time(now), connection, &payload);
                    }
                    Sent::Pong(_) => {}
                    Sent::Close(_) => ended = Some(LinkDown::CloseFrame),
                }
            }
            if let Some(cause) = ended {
                let link = &mut self.links[position];
                if link.id.role == LinkRole::Orders {
                    self.order_links_lost += 1;
                }
                // What the venue wrote before still arrives; the end comes behind it.
                let at = link.last[1].max(now);
                link.to_engine.push_back((at, What::Down(cause)));
                link.to_venue.clear();
                link.is_ended = true;
                venue.close(link.connection);
            }
        }
    }

    /// The next message that reaches the venue now.
    pub(super) fn for_venue(&mut self, now: Nanos) -> Option<Departure> {
        let link = self
            .links
            .iter_mut()
            .filter(|link| link.to_venue.front().is_some_and(|(at, _)| *at <= now))
            .min_by_key(|link| link.to_venue.front().map(|(at, _)| *at))?;
        let (_, text) = link.to_venue.pop_front()?;
        Some(Departure {
            connection: link.connection,
            text,
            orders: link.id.role == LinkRole::Orders,
        })
    }

    /// The next thing that reaches the engine now.
    pub(super) fn for_engine(&mut self, now: Nanos) -> Option<Arrival> {
        // Attempts take their own time: a later one may fail first.
        let due = self.ends.iter().enumerate().min_by_key(|(_, end)| end.0);
        if let Some((position, &(at, ..))) = due
            && at <= now
        {
            let (_, link, what) = self.ends.remove(position)?;
            if matches!(what, What::Refused(418, _)) {
                self.bans.heard(now);
            }
            return Some(Arrival { link, what });
        }
        let position = self
            .links
            .iter()
            .enumerate()
            .filter_map(|(position, link)| {
                let (at, _) = link.to_engine.front()?;
                (*at <= now).then_some((*at, position))
            })
            .min()?
            .1;
        let link = &mut self.links[position];
        let (_, what) = link.to_engine.pop_front()?;
        let id = link.id;
        if matches!(what, What::Down(_)) {
            self.links.remove(position);
        }
        Some(Arrival { link: id, what })
    }

    /// Cuts one connection: what is under way in either direction is lost.
    pub(super) fn cut_one(&mut self, now: Nanos, venue: &mut VenueInProcess) {
        if self.links.is_empty() {
            return;
        }
        let position = self.random.random_range(0..self.links.len());
        let link = self.links.remove(position);
        venue.close(link.connection);
        if link.id.role == LinkRole::Orders {
            self.order_links_lost += 1;
        }
        self.ends
            .push_back((now, link.id, What::Down(LinkDown::Closed)));
    }

    /// Cuts everything, and tells nobody: the engine is no more.
    pub(super) fn cut_all(&mut self, venue: &mut VenueInProcess) {
        for link in self.links.drain(..) {
            venue.close(link.connection);
        }
        self.ends.clear();
        self.bans = Bans::default();
    }

    fn way(&mut self) -> Nanos {
        let longest = if self.jams && self.random.random_range(0..100) == 0 {
            JAM_MAX_US
        } else {
            WAY_MAX_US
        };
        Nanos::from_us(self.random.random_range(0..longest))
    }
}

/// Asks the venue one question before the run begins.
pub(super) fn ask_once(
    venue: &mut VenueInProcess,
    now: VenueMicros,
    request: &str,
) -> Option<String> {
    let connection = venue.open_api(now)?;
    venue.text(now, connection, request);
    let mut sent = Vec::new();
    for _ in 0..100 {
        venue.advance(VenueMicros(now.0));
        venue.take(connection, &mut sent);
        let answer = sent.iter().find_map(|sent| match sent {
            Sent::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Sent::Ping(_) | Sent::Pong(_) | Sent::Close(_) => None,
        });
        if answer.is_some() {
            venue.close(connection);
            return answer;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_asked_for_during_a_known_ban_is_noted() {
        let link = LinkId {
            role: LinkRole::Orders,
            generation: 3,
        };
        let (heard, over) = (Nanos::from_secs(10), Nanos::from_secs(130));
        let noted = |now| {
            let mut bans = Bans {
                until: Some(over),
                ..Bans::default()
            };
            bans.asked(Nanos(0), link);
            bans.heard(heard);
            bans.asked(now, link);
            bans.prolonged
        };
        // What was asked before the news of the ban came, and what is asked after its end, prolongs nothing.
        assert_eq!(noted(Nanos(heard.0 - 1)), None);
        assert_eq!(noted(heard), Some(link));
        assert_eq!(noted(Nanos(over.0 - 1)), Some(link));
        assert_eq!(noted(over), None);
    }
}
