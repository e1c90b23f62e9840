//! Requests to the venue: snapshots, probes and the clock; and what their answers do.
//!
//! Invariants: nothing is asked that the budget does not hold; a book in need of a snapshot that
//! cannot be asked for yet waits without a window.

use crate::deadlines::Timer;
use crate::event::{LinkId, LinkRole};
use crate::instrument::InstrumentIndex;
use crate::limits::{BOOKS_PER_EVENT_MAX, PROBES_PER_EVENT_MAX};
use crate::outbox::{Full, Outbox};
use crate::telemetry::counters::Counter;
use crate::telemetry::histograms::Stage;
use crate::telemetry::records::{RecordBody, VenueRequest};
use crate::telemetry::trace::TraceEvent;
use crate::units::{Nanos, VenueMillis};
use crate::venue::binance::codec::{ApiOutcome, ApiReply, Decoder};
use crate::venue::binance::fault::{Detail, Fault, VenueFault};
use crate::venue::binance::order_error::classify;
use crate::venue::binance::rate::{TIME_WEIGHT, snapshot_weight};
use crate::venue::binance::resync::{SyncState, Wish};
use crate::wire::digits::Digits;

use crate::strategy::Strategy;

use super::brain::{Brain, SILENT_REPLACE_INTERVAL};
use super::requests::{Question, Request};

/// Levels of a probe: the cheapest request that tells an update id.
const PROBE_LEVELS: u16 = 5;

/// How long a request waits when there is no room for it among those under way.
const NO_ROOM_WAIT: Nanos = Nanos::from_ms(100);

/// The venue's code for "too many requests".
const TOO_MANY_REQUESTS: i32 = -1003;

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotSent {
    /// There is no API link; it will be tried again when there is one.
    NoLink,
    /// Not before this.
    Until(Nanos),
}

impl<T: Strategy> Brain<T> {
    /// Gives every book whose time has come what it wants, as far as it can be had.
    pub(super) fn serve_books(&mut self, now: Nanos, decoder: &mut Decoder, out: &mut Outbox) {
        let (mut served, mut probes) = (0, 0);
        let mut next = Nanos::MAX;
        for position in 0..self.markets.len() {
            let index = InstrumentIndex(position as u16);
            if served < BOOKS_PER_EVENT_MAX && self.markets[position].sync.due() <= now {
                served += 1;
                self.serve_book(now, index, &mut probes, decoder, out);
            }
            next = next.min(self.markets[position].sync.due());
        }
        // What was served may have freed a window for an earlier book: the timer stays if it is set.
        self.deadlines.set_earlier(Timer::Books, next);
    }

    fn serve_book(
        &mut self,
        now: Nanos,
        index: InstrumentIndex,
        probes: &mut usize,
        decoder: &mut Decoder,
        out: &mut Outbox,
    ) {
        let config = self.config.books;
        match self.markets[index.as_usize()].sync.wish(now, &config) {
            Wish::None => {}
            Wish::Turn => self.grant_turn(now, index),
            Wish::Snapshot => self.ask_snapshot(now, index, decoder, out),
            Wish::Probe => {
                let asked = if *probes < PROBES_PER_EVENT_MAX {
                    *probes += 1;
                    self.ask(now, Question::Probe(index), decoder, out)
                } else {
                    Err(NotSent::Until(now.plus(NO_ROOM_WAIT)))
                };
                let sync = &mut self.markets[index.as_usize()].sync;
                // When it is sent, the answer moves the time; until then nothing is due.
                sync.probe_postponed(match asked {
                    Ok(()) | Err(NotSent::NoLink) => Nanos::MAX,
                    Err(NotSent::Until(at)) => at,
                });
            }
            Wish::Behind { expected, got } => self.stream_behind(now, index, expected, got, out),
        }
    }

    /// A book that has its turn gets a window and collects diffs.
    fn grant_turn(&mut self, now: Nanos, index: InstrumentIndex) {
        let weight = snapshot_weight(self.snapshot_levels);
        let ready_at = self.budget.ready_at(now, weight);
        let config = self.config.books;
        let sync = &mut self.markets[index.as_usize()].sync;
        if self.session.api().is_none() {
            sync.turn_postponed(Nanos::MAX);
        } else if ready_at > now {
            sync.turn_postponed(ready_at);
        } else if let Some(window) = self.windows.lend() {
            sync.grant_turn(now, &config);
            self.markets[index.as_usize()].window = Some(window);
        } else {
            sync.turn_postponed(Nanos::MAX);
        }
    }

    fn ask_snapshot(
        &mut self,
        now: Nanos,
        index: InstrumentIndex,
        decoder: &mut Decoder,
        out: &mut Outbox,
    ) {
        match self.ask(now, Question::Snapshot(index), decoder, out) {
            Ok(()) => {
                self.telemetry
                    .trace
                    .push(now, TraceEvent::SnapshotRequested(index));
                self.markets[index.as_usize()].sync.snapshot_requested();
            }
            Err(NotSent::Until(at)) if at <= now.plus(NO_ROOM_WAIT) => {
                self.markets[index.as_usize()].sync.snapshot_postponed(at);
            }
            Err(not_sent) => {
                // It would be long; others may use the window meanwhile.
                let sync = &mut self.markets[index.as_usize()].sync;
                sync.requests_lost(now);
                sync.turn_postponed(match not_sent {
                    NotSent::NoLink => Nanos::MAX,
                    NotSent::Until(at) => at,
                });
                self.free_window(now, index);
            }
        }
    }

    /// The venue showed an id that a book still lacks.
    fn stream_behind(
        &mut self,
        now: Nanos,
        index: InstrumentIndex,
        expected: u64,
        got: u64,
        out: &mut Outbox,
    ) {
        let Some(link) = self.session.main(LinkRole::Market) else {
            return;
        };
        if self.markets[index.as_usize()].sync.state() == SyncState::Live {
            let fault = Fault::ids(VenueFault::StreamBehind, expected, got).of(index);
            self.fault(now, link, fault, out);
            return;
        }
        // Not one diff came since the snapshot: the stream itself is in doubt. A successor is asked
        // for while the others go on, instead of closing the link under all of them.
        let fault = Fault::ids(VenueFault::StreamSilent, expected, got).of(index);
        self.fault(now, link, fault, out);
        if now >= self.silent_replace_at {
            self.silent_replace_at = now.plus(SILENT_REPLACE_INTERVAL);
            self.session.replace(LinkRole::Market);
            self.deadlines.set_earlier(Timer::Links, now);
        }
    }

    /// Sends a request, if link, budget, table and outbox have room.
    fn ask(
        &mut self,
        now: Nanos,
        question: Question,
        decoder: &mut Decoder,
        out: &mut Outbox,
    ) -> Result<(), NotSent> {
        let link = self.session.api().ok_or(NotSent::NoLink)?;
        let (levels, weight) = match question {
            Question::Snapshot(_) => (self.snapshot_levels, snapshot_weight(self.snapshot_levels)),
            Question::Probe(_) => (PROBE_LEVELS, snapshot_weight(PROBE_LEVELS)),
            Question::Time => (0, TIME_WEIGHT),
        };
        let ready_at = self.budget.ready_at(now, weight);
        if ready_at > now {
            return Err(NotSent::Until(ready_at));
        }
        if !self.requests.has_room(1) {
            return Err(NotSent::Until(now.plus(NO_ROOM_WAIT)));
        }
        let id = self.session.next_request_id();
        let digits = Digits::new(id as u64);
        let sent = match question {
            Question::Snapshot(index) | Question::Probe(index) => {
                if decoder.expect_snapshot(id, index).is_err() {
                    return Err(NotSent::Until(now.plus(NO_ROOM_WAIT)));
                }
                out.send(
                    link,
                    &[
                        b"{\"id\":",
                        digits.bytes(),
                        b",\"method\":\"depth\",\"params\":{\"symbol\":\"",
                        self.instruments.get(index).symbol.as_bytes(),
                        b"\",\"limit\":",
                        Digits::new(u64::from(levels)).bytes(),
                        b"}}",
                    ],
                )
            }
            Question::Time => out.send(
                link,
                &[b"{\"id\":", digits.bytes(), b",\"method\":\"time\"}"],
            ),
        };
        if sent == Err(Full) {
            decoder.forget_snapshot(id);
            self.telemetry.counters.increment(Counter::OutboxFull);
            return Err(NotSent::Until(now));
        }
        let granted = self.budget.try_spend(now, weight);
        assert!(granted, "the budget said so a moment ago");
        self.requests.push(Request {
            id,
            link,
            question,
            weight,
            sent_at: now,
            wanted: true,
        });
        self.deadlines.set_earlier(
            Timer::Requests,
            now.plus(self.config.requests.reply_timeout),
        );
        Ok(())
    }

    /// Gives up on requests that were not answered in time.
    pub(super) fn serve_requests(&mut self, now: Nanos, decoder: &mut Decoder, out: &mut Outbox) {
        let timeout = self.config.requests.reply_timeout;
        while now >= timeout
            && let Some(request) = self.requests.take_sent_before(now.since(timeout))
        {
            self.budget.settle(request.weight);
            decoder.forget_snapshot(request.id);
            let fault = Fault::new(VenueFault::ReplyTimeout);
            match request.question {
                Question::Snapshot(index) if request.wanted => {
                    self.fault(now, request.link, fault.of(index), out);
                }
                Question::Snapshot(_) => {}
                Question::Probe(index) => {
                    self.markets[index.as_usize()].sync.probe_postponed(now);
                    self.arm(index);
                    self.fault(now, request.link, fault, out);
                }
                // No answer to the cheapest request: the link is dead, whatever TCP says.
                Question::Time => self.fault(now, request.link, fault, out),
            }
        }
        if let Some(oldest) = self.requests.oldest() {
            self.deadlines
                .set_earlier(Timer::Requests, oldest.plus(timeout));
        }
    }

    /// Asks for the venue's time, and does the small jobs that go with it.
    pub(super) fn serve_clock(&mut self, now: Nanos, decoder: &mut Decoder, out: &mut Outbox) {
        self.publish_memory();
        let mut next = now.plus(self.config.requests.clock_interval);
        if !self.requests.asks_time()
            && let Err(not_sent) = self.ask(now, Question::Time, decoder, out)
        {
            next = match not_sent {
                // A link that comes up sets the timer again.
                NotSent::NoLink => Nanos::MAX,
                NotSent::Until(at) => at.max(now.plus(NO_ROOM_WAIT)),
            };
        }
        self.deadlines.set(Timer::VenueClock, next);
    }

    /// An answer of the websocket API.
    pub(super) fn api_reply(
        &mut self,
        now: Nanos,
        link: LinkId,
        reply: &ApiReply<'_>,
        out: &mut Outbox,
    ) {
        let request = reply.id.and_then(|id| self.requests.take(id));
        if let Some(request) = request {
            self.budget.settle(request.weight);
        }
        if let Some(weight) = reply.weight {
            self.budget.correct(now, weight.used, weight.limit);
        }
        match (reply.outcome, request) {
            (ApiOutcome::Error { code, retry_after }, _) => {
                self.refused(now, link, reply, code, retry_after, request, out);
            }
            (ApiOutcome::Snapshot(depth), Some(request)) => match request.question {
                Question::Snapshot(_) => {
                    self.telemetry.histograms.record(
                        Stage::SnapshotRoundTrip,
                        request.sent_at,
                        now,
                    );
                    if request.wanted {
                        self.snapshot(now, link, &depth, out);
                    }
                }
                Question::Probe(index) => {
                    let config = self.config.books;
                    let sync = &mut self.markets[index.as_usize()].sync;
                    sync.probed(now, depth.last_id, &config);
                    self.arm(index);
                }
                Question::Time => self.answered_otherwise(now, link, Some(request), out),
            },
            (ApiOutcome::ServerTime(venue), Some(request))
                if request.question == Question::Time =>
            {
                self.venue_clock.answered(request.sent_at, now, venue);
                if self.venue_clock.is_in_doubt() {
                    // It was under way when the doubt came.
                    self.deadlines.set_earlier(Timer::VenueClock, now);
                }
                self.clocks_changed();
            }
            (ApiOutcome::Snapshot(_) | ApiOutcome::ServerTime(_) | ApiOutcome::Other, request) => {
                self.answered_otherwise(now, link, request, out);
            }
        }
    }

    /// An answer of another kind than its request, or to no request of ours.
    fn answered_otherwise(
        &mut self,
        now: Nanos,
        link: LinkId,
        request: Option<Request>,
        out: &mut Outbox,
    ) {
        match request {
            None => self.telemetry.counters.increment(Counter::Ignored),
            Some(request) => {
                let fault = Fault::new(VenueFault::MissingField);
                match request.question {
                    Question::Snapshot(index) if request.wanted => {
                        self.fault(now, link, fault.of(index), out);
                    }
                    Question::Snapshot(_) => {}
                    Question::Probe(_) | Question::Time => self.fault(now, link, fault, out),
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one refusal is all of these, and a struct for one call would only rename them"
    )]
    fn refused(
        &mut self,
        now: Nanos,
        link: LinkId,
        reply: &ApiReply<'_>,
        code: i32,
        retry_after: Option<VenueMillis>,
        request: Option<Request>,
        out: &mut Outbox,
    ) {
        // A refusal of nothing that we asked is a fault like others, and bounded like them.
        if let Some(request) = &request {
            self.telemetry.records.push(
                now,
                RecordBody::RequestRefused {
                    link,
                    request: match request.question {
                        Question::Snapshot(_) | Question::Probe(_) => VenueRequest::Snapshot,
                        Question::Time => VenueRequest::Time,
                    },
                    request_id: request.id as u64,
                    code: i64::from(code),
                    // Its words name causes of refused orders alone.
                    kind: Some(classify(reply.status, code, "").kind),
                },
            );
        }
        let retry_after = retry_after.map(|at| at.0);
        let kind = match reply.status {
            418 => {
                self.budget.block_banned(now, retry_after);
                VenueFault::Banned
            }
            429 => {
                self.budget.block_rate_limited(now, retry_after);
                VenueFault::RateLimited
            }
            _ if code == TOO_MANY_REQUESTS => {
                self.budget.block_rate_limited(now, retry_after);
                VenueFault::RateLimited
            }
            _ => VenueFault::RequestRefused,
        };
        let fault = Fault {
            kind,
            instrument: None,
            detail: Detail::Code(code),
        };
        let question = request
            .filter(|request| request.wanted)
            .map(|it| it.question);
        match (kind, question) {
            (VenueFault::RequestRefused, Some(Question::Snapshot(index))) => {
                self.fault(now, link, fault.of(index), out);
            }
            (VenueFault::RequestRefused, _) => self.fault(now, link, fault, out),
            (_, question) => {
                // Not the book's failure: it starts again when the venue will answer.
                match question {
                    Some(Question::Snapshot(index)) => {
                        self.markets[index.as_usize()].sync.requests_lost(now);
                        self.free_window(now, index);
                        self.arm(index);
                    }
                    Some(Question::Probe(index)) => {
                        self.markets[index.as_usize()].sync.probe_postponed(now);
                        self.arm(index);
                    }
                    Some(Question::Time) | None => {}
                }
                self.session
                    .hold(LinkRole::Api, self.budget.blocked_until());
                self.fault(now, link, fault, out);
            }
        }
    }
}
