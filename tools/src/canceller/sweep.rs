//! How far a sweep is: what the venue last listed, what is still to be cancelled, and when it is asked again.
//!
//! Owns: [`Sweep`]. Does not: send. Invariant: it is over only by a list that shows none and was asked for when
//! nothing that was on its way at the beginning can arrive any more.

use super::CancellerConfig;
use super::requests::OpenOrder;
use std::collections::VecDeque;
use veloz_core::jitter::Jitter;
use veloz_core::units::Nanos;

/// One sweep.
pub(super) struct Sweep {
    began: Nanos,
    /// When the next list may be asked for; `None` once the last one showed nothing.
    pub(super) list_at: Option<Nanos>,
    /// To be cancelled.
    pub(super) waiting: VecDeque<OpenOrder>,
    /// As far as is known, open; `None` before the first list.
    pub(super) left: Option<Vec<OpenOrder>>,
    /// Lists that were not the last: each makes the next wait longer.
    rounds: u32,
    pub(super) cancelled: usize,
}

impl Sweep {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            began: now,
            list_at: Some(now),
            waiting: VecDeque::new(),
            left: None,
            rounds: 0,
            cancelled: 0,
        }
    }

    /// The venue listed these, having been asked at `asked_at`; whether that ends the sweep.
    pub(super) fn listed(
        &mut self,
        now: Nanos,
        asked_at: Nanos,
        mut orders: Vec<OpenOrder>,
        config: &CancellerConfig,
        jitter: &mut Jitter,
    ) -> bool {
        if asked_at < self.began {
            // Of a sweep that was started over since.
            return false;
        }
        orders.retain(|order| config.scope.covers(order));
        if orders.is_empty() {
            let settled = self.began.plus(config.settle);
            self.list_at = (asked_at < settled).then_some(settled);
        } else {
            // What is cancelled now may show once more: the venue's lists lag behind.
            self.list_later(now, config, jitter);
            self.waiting = orders.iter().cloned().collect();
        }
        self.left = Some(orders);
        self.list_at.is_none()
    }

    /// Asks for the next list after a while, which is longer each time.
    pub(super) fn list_later(&mut self, now: Nanos, config: &CancellerConfig, jitter: &mut Jitter) {
        let pause = jitter.backoff(config.backoff_base, config.backoff_max, self.rounds);
        self.rounds = self.rounds.saturating_add(1);
        self.list_at = Some(now.plus(pause));
    }

    /// Forgets what was to be cancelled: the connection is another, and the venue is asked again.
    pub(super) fn list_anew(&mut self, now: Nanos) {
        if self.list_at.is_some() {
            self.waiting.clear();
            self.list_at = Some(now);
        }
    }

    /// An order is open no more.
    pub(super) fn over(&mut self, order: &OpenOrder) {
        if let Some(left) = &mut self.left {
            left.retain(|other| (other.order_id, &other.symbol) != (order.order_id, &order.symbol));
        }
    }
}
