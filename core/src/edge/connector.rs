//! Connections are made here, off the core thread: resolving, connecting and both handshakes block
//! or burn a third of a millisecond.
//!
//! Owns: the connector thread, a short-lived thread for each attempt, the rings to the core, the
//! hard budget of attempts, and the measuring of wall time. Does not: decide when to reconnect (the
//! engine's back-off does), or keep a connection once it is handed over.
//!
//! Every wish is answered exactly once, with a ready link or with the cause of its failure, within
//! the connect timeout and the wait for the budget, unless it is forgotten. Links that the core is done with come back and
//! are freed here.

mod budget;
mod conversation;
mod endpoint;
mod request;
mod retry_after;
mod upgrade;

pub use conversation::Conversation;
pub use endpoint::{Endpoint, EndpointError};
pub use request::{RequestError, request_once};
pub use upgrade::ConnectFault;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rtrb::{Consumer, Producer, RingBuffer};

use super::clock::{Clock, DriftCheck, WallOffset};
use super::cpu;
use super::link::Link;
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::limits::{CONNECT_THREADS_MAX, LINKS_MAX, LINKS_RING_SIZE};
use crate::units::Nanos;
use budget::AttemptBudget;
use upgrade::connect_and_upgrade;

/// What the core hands to the connector.
pub enum ToConnector {
    /// Make this connection.
    Connect(LinkId),
    /// The core no longer wants it: an attempt that waits for the budget must not be made, or wishes
    /// given up during a ban would all be tried when it ends.
    Forget(LinkId),
    /// Free this one.
    Retire(Box<Link>),
}

/// What the connector hands to the core.
pub enum FromConnector {
    /// A connection with both handshakes done.
    Ready(Box<Link>),
    /// The attempt failed.
    Failed(LinkId, LinkDown),
    /// The venue refused it with this status, 418 or 429, and asks for this pause.
    Refused(LinkId, u16, Option<Nanos>),
}

/// The core's ends of the two rings.
pub struct CoreEnds {
    /// Ready links and failures.
    pub from_connector: Consumer<FromConnector>,
    /// Wishes and retired links.
    pub to_connector: Producer<ToConnector>,
}

/// The connector's ends of the two rings.
pub struct ConnectorEnds {
    /// Wishes and retired links.
    pub from_core: Consumer<ToConnector>,
    /// Ready links and failures.
    pub to_core: Producer<FromConnector>,
}

/// The two rings between core and connector.
pub fn rings() -> (CoreEnds, ConnectorEnds) {
    let (to_core, from_connector) = RingBuffer::new(LINKS_RING_SIZE);
    let (to_connector, from_core) = RingBuffer::new(LINKS_RING_SIZE);
    (
        CoreEnds {
            from_connector,
            to_connector,
        },
        ConnectorEnds { from_core, to_core },
    )
}

/// A failed attempt in words, for the sidecar to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectReport {
    /// The wish.
    pub link: LinkId,
    /// The endpoint's URL.
    pub url: String,
    /// What happened.
    pub fault: ConnectFault,
}

/// What the connector needs to know.
#[derive(Clone)]
pub struct ConnectorConfig {
    /// Where market-data links go.
    pub market: Endpoint,
    /// Where links of the websocket API go.
    pub api: Endpoint,
    /// Where order links go.
    pub orders: Endpoint,
    /// One attempt, from resolving to the upgrade.
    pub timeout: Nanos,
    /// The core's clock: deadlines, the links' first stamps, the wall offset.
    pub clock: Clock,
    /// The CPU to stay off.
    pub core_cpu: Option<usize>,
}

impl ConnectorConfig {
    fn endpoint(&self, role: LinkRole) -> &Endpoint {
        match role {
            LinkRole::Market => &self.market,
            LinkRole::Api => &self.api,
            LinkRole::Orders => &self.orders,
        }
    }
}

/// What the connector shares with others, beside the rings.
#[derive(Clone)]
pub struct ConnectorShared {
    /// Ends the connector thread.
    pub stop: Arc<AtomicBool>,
    /// Unix nanoseconds at clock zero; [`WALL_UNKNOWN`] until measured.
    pub unix_ns_at_zero: Arc<AtomicI64>,
    /// How fast the core's clock runs against the kernel's, in parts per billion.
    pub clock_drift_ppb: Arc<AtomicI64>,
    /// Rung when something was put into the core's ring; only an idle core hears it.
    pub waker: Arc<mio::Waker>,
    /// Failures in words. When it is full they are dropped: the engine counts them all.
    pub reports: Sender<ConnectReport>,
}

/// [`ConnectorShared::unix_ns_at_zero`] before the first measurement.
pub const WALL_UNKNOWN: i64 = i64::MIN;

/// Makes one connection, blocking: for tests and tools; the connector's threads do the same.
///
/// # Errors
/// [`ConnectFault`] with the step that failed.
pub fn connect_link(
    endpoint: &Endpoint,
    link: LinkId,
    clock: Clock,
    timeout: Nanos,
) -> Result<Box<Link>, ConnectFault> {
    let deadline = clock.now().plus(timeout);
    let upgraded = connect_and_upgrade(endpoint, clock, deadline)?;
    let (socket, tls, leftover) = upgraded.into_parts();
    socket
        .set_nonblocking(true)
        .map_err(|error| ConnectFault::new(LinkDown::Connect, error.to_string()))?;
    Ok(Box::new(Link::new(
        link,
        mio::net::TcpStream::from_std(socket),
        tls,
        &leftover,
        entropy(),
        clock.now(),
    )))
}

/// Starts the connector thread.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(
    config: ConnectorConfig,
    ends: ConnectorEnds,
    shared: ConnectorShared,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name("veloz-connector".to_owned())
        .spawn(move || {
            if let Some(core_cpu) = config.core_cpu {
                cpu::leave_core_cpu(core_cpu);
            }
            cpu::lower_priority();
            Connector::new(config, ends, shared).run();
        })
}

/// One attempt in progress.
struct Attempt {
    link: LinkId,
    given_up_at: Nanos,
}

/// What an attempt's thread reports.
type Outcome = (LinkId, Result<Box<Link>, ConnectFault>);

struct Connector {
    config: Arc<ConnectorConfig>,
    ends: ConnectorEnds,
    shared: ConnectorShared,
    budget: AttemptBudget,
    waiting: VecDeque<LinkId>,
    running: Vec<Attempt>,
    /// Threads alive, those given up (in the resolver) included.
    threads: Arc<AtomicUsize>,
    outcomes: (Sender<Outcome>, Receiver<Outcome>),
    answers: VecDeque<FromConnector>,
    wall_measured_at: Option<Nanos>,
}

impl Connector {
    fn new(config: ConnectorConfig, ends: ConnectorEnds, shared: ConnectorShared) -> Self {
        Self {
            config: Arc::new(config),
            ends,
            shared,
            budget: AttemptBudget::new(),
            waiting: VecDeque::with_capacity(LINKS_MAX),
            running: Vec::with_capacity(LINKS_MAX),
            threads: Arc::new(AtomicUsize::new(0)),
            outcomes: crossbeam_channel::bounded(CONNECT_THREADS_MAX),
            answers: VecDeque::with_capacity(2 * LINKS_MAX),
            wall_measured_at: None,
        }
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = self.config.clock.now();
            self.measure_clocks(now);
            self.take_from_core();
            self.start_attempts(now);
            match self.outcomes.1.recv_timeout(PATROL) {
                Ok(outcome) => self.finish(outcome),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.give_up(self.config.clock.now());
            self.answer();
        }
    }

    /// Tells the core about wall time when it is first known or has moved, and everyone how true the
    /// core's clock runs.
    fn measure_clocks(&mut self, now: Nanos) {
        if self
            .wall_measured_at
            .is_some_and(|at| now.since(at) < WALL_PERIOD)
        {
            return;
        }
        self.wall_measured_at = Some(now);
        let drift = DriftCheck::measure(&self.config.clock).parts_per_billion();
        self.shared.clock_drift_ppb.store(drift, Ordering::Relaxed);
        let measured = WallOffset::measure(&self.config.clock);
        let known = self.shared.unix_ns_at_zero.load(Ordering::Relaxed);
        let tolerance = measured.uncertainty_ns.max(WALL_STEP_NS_MIN);
        if known == WALL_UNKNOWN || measured.unix_ns_at_zero.abs_diff(known) > tolerance {
            self.shared
                .unix_ns_at_zero
                .store(measured.unix_ns_at_zero, Ordering::Relaxed);
        }
    }

    fn take_from_core(&mut self) {
        // What does not fit stays in the ring, and the core keeps what does not fit there.
        while self.waiting.len() < LINKS_MAX {
            match self.ends.from_core.pop() {
                Ok(ToConnector::Connect(link)) => self.waiting.push_back(link),
                Ok(ToConnector::Forget(link)) => {
                    self.waiting.retain(|waiting| *waiting != link);
                    // An attempt in progress ends by itself, and nobody waits for its outcome.
                    self.running.retain(|attempt| attempt.link != link);
                }
                Ok(ToConnector::Retire(link)) => drop(link),
                Err(rtrb::PopError::Empty) => break,
            }
        }
    }

    fn start_attempts(&mut self, now: Nanos) {
        while let Some(&link) = self.waiting.front()
            && self.running.len() < LINKS_MAX
            && self.threads.load(Ordering::Acquire) < CONNECT_THREADS_MAX
            && self.budget.take(now).is_ok()
        {
            self.waiting.pop_front();
            self.running.push(Attempt {
                link,
                given_up_at: now.plus(self.config.timeout).plus(GRACE),
            });
            if let Err(error) = self.start(link) {
                self.finish((
                    link,
                    Err(ConnectFault::new(
                        LinkDown::Connect,
                        format!("no thread for the attempt: {error}"),
                    )),
                ));
            }
        }
    }

    fn start(&self, link: LinkId) -> std::io::Result<()> {
        let config = Arc::clone(&self.config);
        let threads = Arc::clone(&self.threads);
        let outcomes = self.outcomes.0.clone();
        threads.fetch_add(1, Ordering::AcqRel);
        let started = thread::Builder::new()
            .name(format!("veloz-connect-{}", link.generation))
            .spawn(move || {
                let endpoint = config.endpoint(link.role);
                let outcome = connect_link(endpoint, link, config.clock, config.timeout);
                // As many threads as slots: there is room, unless the connector is gone.
                let _ = outcomes.try_send((link, outcome));
                threads.fetch_sub(1, Ordering::AcqRel);
            });
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::AcqRel);
        }
        started.map(drop)
    }

    /// Queues the answer to a wish, unless it was given up before.
    fn finish(&mut self, (link, outcome): Outcome) {
        let Some(at) = self.running.iter().position(|attempt| attempt.link == link) else {
            return;
        };
        self.running.swap_remove(at);
        match outcome {
            Ok(ready) => self.answers.push_back(FromConnector::Ready(ready)),
            Err(fault) => {
                self.answers.push_back(match fault.asked_too_much() {
                    Some(status) => FromConnector::Refused(link, status, fault.pause),
                    None => FromConnector::Failed(link, fault.cause),
                });
                let url = self.config.endpoint(link.role).url().to_owned();
                let _ = self
                    .shared
                    .reports
                    .try_send(ConnectReport { link, url, fault });
            }
        }
    }

    /// Answers for attempts that outlived their time. Every step but resolving ends by itself.
    fn give_up(&mut self, now: Nanos) {
        while let Some(late) = self
            .running
            .iter()
            .find(|attempt| attempt.given_up_at <= now)
        {
            let fault = ConnectFault::new(LinkDown::Resolve, "the resolver does not answer");
            self.finish((late.link, Err(fault)));
        }
    }

    fn answer(&mut self) {
        let mut answered = false;
        while let Some(answer) = self.answers.pop_front() {
            match self.ends.to_core.push(answer) {
                Ok(()) => answered = true,
                Err(rtrb::PushError::Full(answer)) => {
                    self.answers.push_front(answer);
                    break;
                }
            }
        }
        if answered {
            // The core finds it in any case, at its next turn.
            let _ = self.shared.waker.wake();
        }
    }
}

/// A number from the system's entropy.
fn entropy() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: `bytes` is a valid place for as many bytes as are named.
    let len = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    assert_eq!(len, 8, "the kernel's generator is up long before us");
    u64::from_ne_bytes(bytes)
}

/// The longest that a wish waits unseen in the ring.
const PATROL: Duration = Duration::from_millis(2);
/// How long after its own deadline an attempt may still report what failed.
const GRACE: Nanos = Nanos::from_ms(250);
/// Wall time is measured this often.
const WALL_PERIOD: Nanos = Nanos::from_secs(1);
/// Smaller moves of wall time are not worth an event: latencies to the venue are in milliseconds.
const WALL_STEP_NS_MIN: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::tls::client_config;
    use crate::limits::CONNECTS_PER_WINDOW_MAX;

    fn link(generation: u32) -> LinkId {
        LinkId {
            role: LinkRole::Api,
            generation,
        }
    }

    /// A connector whose loop the test runs by hand, and which cannot reach anybody.
    fn connector() -> (Connector, CoreEnds, Receiver<ConnectReport>) {
        let tls = client_config(&[], &[]).expect("the web's roots");
        let nowhere = Endpoint::new("ws://127.0.0.1:1/", &tls).expect("a URL");
        let poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let (reports, reported) = crossbeam_channel::bounded(1);
        let (core, ends) = rings();
        let config = ConnectorConfig {
            market: nowhere.clone(),
            api: nowhere.clone(),
            orders: nowhere,
            timeout: Nanos::from_secs(60),
            clock: Clock::kernel(),
            core_cpu: None,
        };
        let shared = ConnectorShared {
            stop: Arc::default(),
            unix_ns_at_zero: Arc::default(),
            clock_drift_ppb: Arc::default(),
            waker: Arc::new(waker),
            reports,
        };
        (Connector::new(config, ends, shared), core, reported)
    }

    #[test]
    fn a_spent_budget_keeps_wishes_waiting_and_forgotten_ones_are_not_made() {
        let (mut connector, mut core, _) = connector();
        let start = Nanos::from_secs(1);
        for _ in 0..CONNECTS_PER_WINDOW_MAX {
            connector.budget.take(start).expect("the window is open");
        }
        for wish in [1, 2, 3] {
            let said = core.to_connector.push(ToConnector::Connect(link(wish)));
            assert!(said.is_ok());
        }
        let taken_back = core.to_connector.push(ToConnector::Forget(link(2)));
        assert!(taken_back.is_ok());
        connector.take_from_core();
        connector.start_attempts(start.plus(Nanos::from_secs(299)));
        assert!(connector.running.is_empty());
        assert_eq!(connector.waiting, [link(1), link(3)]);

        connector.start_attempts(start.plus(Nanos::from_secs(300)));
        let running: Vec<LinkId> = connector.running.iter().map(|a| a.link).collect();
        assert_eq!(running, [link(1), link(3)]);
        assert!(connector.waiting.is_empty());
    }

    #[test]
    fn an_attempt_that_outlives_its_time_is_answered_for_once() {
        let (mut connector, mut core, reported) = connector();
        // As if its thread hung in the resolver.
        connector.running.push(Attempt {
            link: link(7),
            given_up_at: Nanos::from_secs(10),
        });
        connector.give_up(Nanos(9_999_999_999));
        assert_eq!(connector.running.len(), 1);
        connector.give_up(Nanos::from_secs(10));
        connector.answer();
        assert!(matches!(
            core.from_connector.pop(),
            Ok(FromConnector::Failed(id, LinkDown::Resolve)) if id == link(7)
        ));
        assert_eq!(reported.try_recv().map(|report| report.link), Ok(link(7)));
        // Its thread reports after all.
        let late = ConnectFault::new(LinkDown::Connect, "");
        connector.finish((link(7), Err(late)));
        connector.answer();
        assert!(core.from_connector.pop().is_err());
    }
}
