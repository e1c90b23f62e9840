//! What follows from a change of the links, for books, requests, records and gauges.

use crate::deadlines::Timer;
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::instrument::InstrumentIndex;
use crate::outbox::Outbox;
use crate::telemetry::counters::Counter;
use crate::telemetry::records::{EngineState, RecordBody, ResyncCause, VenueRequest};
use crate::telemetry::trace::TraceEvent;
use crate::units::Nanos;
use crate::venue::binance::codec::Decoder;
use crate::venue::binance::fault::{Fault, VenueFault};
use crate::venue::binance::rate::API_CONNECT_WEIGHT;
use crate::venue::binance::resync::Source;
use crate::venue::binance::session::{Notice, SubscribeReply};

use super::brain::Brain;
use super::requests::Question;
use crate::strategy::Strategy;

/// The status of a ban.
const STATUS_BANNED: u16 = 418;

impl<T: Strategy> Brain<T> {
    /// Handles everything that the session has told.
    pub(super) fn serve_notices(&mut self, now: Nanos, decoder: &mut Decoder) {
        // Nothing here makes the session tell more.
        for position in 0..self.notices.len() {
            let notice = self.notices[position];
            self.notice(now, notice, decoder);
        }
        self.notices.clear();
        for role in LinkRole::ALL {
            let count = self.session.up_count(role);
            self.telemetry.gauges.links_up(role, count);
        }
    }

    fn notice(&mut self, now: Nanos, notice: Notice, decoder: &mut Decoder) {
        if let Some(trading) = &mut self.trading
            && notice.role() == Some(LinkRole::Orders)
        {
            trading.notices.push(notice);
            self.deadlines.set_earlier(Timer::Orders, now);
        }
        match notice {
            Notice::Asked { link, again } => {
                if again {
                    self.telemetry.counters.increment(Counter::Reconnects);
                }
                match link.role {
                    LinkRole::Market => {}
                    LinkRole::Api | LinkRole::Orders => {
                        self.budget.spend_unasked(now, API_CONNECT_WEIGHT);
                    }
                }
            }
            Notice::Up { link } => {
                self.telemetry.trace.push(now, TraceEvent::LinkUp(link));
                self.telemetry
                    .records
                    .push(now, RecordBody::LinkUp { link });
            }
            // Trading sends it, with everything else about its links.
            Notice::LogOn { .. } => {}
            Notice::Ready { link, .. } => match link.role {
                LinkRole::Market => self.streams_up(now),
                LinkRole::Api => {
                    self.deadlines.set_earlier(Timer::VenueClock, now);
                    self.wake_all(now);
                }
                LinkRole::Orders => {}
            },
            Notice::Down {
                link,
                source,
                cause,
                others_ready,
            } => {
                self.link_gone(now, link, cause);
                match link.role {
                    LinkRole::Market => self.streams_lost(now, source, others_ready),
                    LinkRole::Api => self.requests_lost(now, link, decoder),
                    LinkRole::Orders => {}
                }
            }
            Notice::Retired { link, old, new } => {
                self.link_gone(now, link, LinkDown::Requested);
                match link.role {
                    LinkRole::Market => {
                        for market in &mut self.markets {
                            market.sync.source_retired(old, new);
                        }
                    }
                    LinkRole::Api => self.requests_lost(now, link, decoder),
                    LinkRole::Orders => {}
                }
            }
            Notice::SubscribeOverdue { link } => {
                self.count_fault(now, link, Fault::new(VenueFault::ReplyTimeout));
            }
            Notice::OutboxFull => self.telemetry.counters.increment(Counter::OutboxFull),
        }
    }

    /// The venue refused a connection because we asked too much (429), or has banned our address (418): whatever we ask
    /// or connect before its time prolongs that.
    #[cold]
    pub(super) fn link_refused(
        &mut self,
        now: Nanos,
        link: LinkId,
        status: u16,
        pause: Option<Nanos>,
        out: &mut Outbox,
    ) {
        self.session
            .link_down(now, link, LinkDown::Upgrade, &mut self.notices);
        let kind = if status == STATUS_BANNED {
            self.budget.pause_banned(now, pause);
            VenueFault::Banned
        } else {
            self.budget.pause_rate_limited(now, pause);
            VenueFault::RateLimited
        };
        for role in LinkRole::ALL {
            self.session.hold(role, self.budget.blocked_until());
        }
        self.fault(now, link, Fault::new(kind), out);
        self.deadlines.set(Timer::Links, self.session.due());
    }

    fn link_gone(&mut self, now: Nanos, link: LinkId, cause: LinkDown) {
        self.telemetry.counters.link_down(cause);
        self.telemetry
            .trace
            .push(now, TraceEvent::LinkDown(link, cause));
        self.telemetry
            .records
            .push(now, RecordBody::LinkDown { link, cause });
    }

    fn streams_up(&mut self, now: Nanos) {
        for position in 0..self.markets.len() {
            let index = InstrumentIndex(position as u16);
            self.markets[position].sync.stream_up(now);
            self.publish_state(now, index);
            self.arm(index);
        }
    }

    fn streams_lost(&mut self, now: Nanos, source: Source, others_ready: bool) {
        for position in 0..self.markets.len() {
            let index = InstrumentIndex(position as u16);
            let sync = &mut self.markets[position].sync;
            let left = sync.source_lost(now, source, others_ready);
            // An engine that stops rebuilds nothing: its last records do not say that it does.
            if left && self.state != EngineState::Stopping {
                self.left_chain(now, index, ResyncCause::LinkDown, 0, 0);
            } else {
                self.publish_state(now, index);
            }
        }
    }

    /// An API link is gone with everything that was asked on it.
    fn requests_lost(&mut self, now: Nanos, link: LinkId, decoder: &mut Decoder) {
        while let Some(request) = self.requests.take_of(link) {
            self.budget.settle(request.weight);
            decoder.forget_snapshot(request.id);
            match request.question {
                Question::Snapshot(index) if request.wanted => {
                    self.markets[index.as_usize()].sync.requests_lost(now);
                    self.free_window(now, index);
                    self.arm(index);
                }
                Question::Probe(index) => {
                    self.markets[index.as_usize()].sync.probe_postponed(now);
                    self.arm(index);
                }
                Question::Snapshot(_) | Question::Time => {}
            }
        }
        if self.session.api().is_some() {
            return;
        }
        for position in 0..self.markets.len() {
            if self.markets[position].sync.requests_lost(now) {
                let index = InstrumentIndex(position as u16);
                self.free_window(now, index);
                self.arm(index);
            }
        }
    }

    /// A control message was answered.
    pub(super) fn subscribe_reply(
        &mut self,
        now: Nanos,
        link: LinkId,
        id: Option<i64>,
        error: Option<i32>,
        out: &mut Outbox,
    ) {
        match self
            .session
            .subscribe_reply(now, link, id, error, &mut self.notices)
        {
            SubscribeReply::Accepted => {}
            SubscribeReply::Unknown => self.telemetry.counters.increment(Counter::Ignored),
            SubscribeReply::Refused => {
                self.telemetry.records.push(
                    now,
                    RecordBody::RequestRefused {
                        link,
                        request: VenueRequest::Streams,
                        request_id: id.unwrap_or_default() as u64,
                        code: error.map_or(0, i64::from),
                        kind: None,
                    },
                );
                self.fault(now, link, Fault::new(VenueFault::SubscribeRefused), out);
            }
        }
    }

    /// The venue will close a connection soon.
    pub(super) fn venue_closes(&mut self, now: Nanos, link: LinkId) {
        self.session.venue_closes(link);
        self.deadlines.set_earlier(Timer::Links, now);
    }
}
