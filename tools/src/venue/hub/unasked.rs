//! What the exchange does without being asked: halts, expiries, deposits, ends of sessions.
//!
//! Owns: the effect of each fault of the exchange. Does not: decide when one fires.

use veloz_core::units::{E8, E8_ONE};

use super::super::connection::after_ms;
use super::super::exchange::{AccountIndex, SymbolStatus};
use super::super::faults::Fault;
use super::super::source::{SymbolIndex, VenueMicros};
use super::super::trading::agenda::Arrival;
use super::super::trading::events::UserEvent;
use super::Hub;

impl Hub {
    /// Carries out a fault of the exchange.
    pub(super) fn unasked(&mut self, now: VenueMicros, fault: Fault) {
        match fault {
            Fault::SessionRevoked => self.revoke_sessions(),
            Fault::StreamTerminated => self.terminate_streams(now),
            Fault::UnsolicitedCancel => self.expire_everything(now),
            Fault::Halt { ms } => self.close_for(now, SymbolStatus::Halt, ms),
            Fault::CancelOnly { ms } => self.close_for(now, SymbolStatus::CancelOnly, ms),
            Fault::Deposit { units } => {
                for account in self.trading.accounts() {
                    self.deposit(now, account, &self.quote_asset(), whole(units));
                }
            }
            Fault::ExternalLock { units } => {
                for account in self.trading.accounts() {
                    self.external_lock(now, account, &self.quote_asset(), whole(units));
                }
            }
            Fault::OrdersUsedUp => {
                let limits = self.trading.limits;
                for account in self.trading.accounts() {
                    self.trading.orders_of(account).use_up(now, limits);
                }
            }
            Fault::WeightUsedUp => self.limits.use_up(now),
            Fault::Gap
            | Fault::Duplicate
            | Fault::Reorder
            | Fault::HugeEvent
            | Fault::CrossedBook
            | Fault::EmptyEvent
            | Fault::UnknownKeys
            | Fault::UnknownEvent
            | Fault::MalformedJson
            | Fault::InvalidUtf8
            | Fault::SplitSegments { .. }
            | Fault::MergeSegments { .. }
            | Fault::Fragment
            | Fault::TruncatedFrame
            | Fault::StaleSnapshot
            | Fault::Silence { .. }
            | Fault::Stall { .. }
            | Fault::Reset
            | Fault::WrongPong
            | Fault::UnsolicitedPong
            | Fault::PingFlood { .. }
            | Fault::DailyCut
            | Fault::ServerShutdown
            | Fault::ResponseLost
            | Fault::EventFirst
            | Fault::ResponseFirst
            | Fault::TimeoutAccepted
            | Fault::TimeoutRefused
            | Fault::DropAfterAccept
            | Fault::Unavailable
            | Fault::Ban
            | Fault::CancelDelayed { .. }
            | Fault::EventLost
            | Fault::EventDuplicate => {}
        }
    }

    /// Changes what an account has free of an asset, and tells it; `false` when the exchange says
    /// that it cannot be.
    fn deposit(&mut self, now: VenueMicros, account: AccountIndex, asset: &str, delta: E8) -> bool {
        if !self.trading.exchange.deposit(now, account, asset, delta) {
            return false;
        }
        let mut events = vec![UserEvent::Deposit {
            account,
            at: now,
            asset: asset.to_owned(),
            delta,
        }];
        events.extend(self.trading.take_events());
        let due = VenueMicros(now.0 + self.config.latency.engine_to_event_us);
        self.schedule_events(due, events);
        self.settle(now);
        true
    }

    /// As [`deposit`](Self::deposit) for the account of a name; `false` also when there is none.
    pub(crate) fn deposit_by_name(
        &mut self,
        now: VenueMicros,
        account: &str,
        asset: &str,
        delta: E8,
    ) -> bool {
        match self.trading.exchange.account(account) {
            Some(account) => self.deposit(now, account, asset, delta),
            None => false,
        }
    }

    /// Something outside locks some of what an account has free of an asset, or unlocks it when
    /// negative, and the account is told; `false`, and nothing happens, when there is not so much.
    fn external_lock(
        &mut self,
        now: VenueMicros,
        account: AccountIndex,
        asset: &str,
        delta: E8,
    ) -> bool {
        if !self.trading.exchange.lock_outside(account, asset, delta) {
            return false;
        }
        let event = UserEvent::ExternalLock {
            account,
            at: now,
            asset: asset.to_owned(),
            delta,
        };
        let due = VenueMicros(now.0 + self.config.latency.engine_to_event_us);
        self.schedule_events(due, vec![event]);
        self.settle(now);
        true
    }

    /// As [`external_lock`](Self::external_lock) for the account of a name; `false` also when there
    /// is none.
    pub(crate) fn lock_by_name(
        &mut self,
        now: VenueMicros,
        account: &str,
        asset: &str,
        delta: E8,
    ) -> bool {
        match self.trading.exchange.account(account) {
            Some(account) => self.external_lock(now, account, asset, delta),
            None => false,
        }
    }

    /// Opens or closes a symbol.
    pub(super) fn set_status(&mut self, symbol: SymbolIndex, status: SymbolStatus) {
        self.closed_until[symbol.0] = None;
        self.trading.exchange.set_status(symbol, status);
    }

    /// A symbol's time of closure is over, unless it was closed again for longer.
    pub(super) fn reopen(&mut self, now: VenueMicros, symbol: SymbolIndex) {
        if self.closed_until[symbol.0].is_some_and(|until| until <= now) {
            self.set_status(symbol, SymbolStatus::Trading);
        }
    }

    fn close_for(&mut self, now: VenueMicros, status: SymbolStatus, ms: u32) {
        let until = after_ms(now, ms.into());
        for symbol in (0..self.specs.len()).map(SymbolIndex) {
            self.set_status(symbol, status);
            self.closed_until[symbol.0] = Some(until);
            self.agenda.add(until, Arrival::Reopening(symbol));
        }
    }

    fn expire_everything(&mut self, now: VenueMicros) {
        for account in self.trading.accounts() {
            for symbol in (0..self.specs.len()).map(SymbolIndex) {
                self.trading.exchange.expire_all(now, account, symbol);
                self.harvest(now);
            }
        }
        self.settle(now);
    }

    fn quote_asset(&self) -> String {
        let first = self.specs.first();
        first.map_or_else(String::new, |spec| spec.quote.clone())
    }
}

fn whole(units: u32) -> E8 {
    E8(i64::from(units) * E8_ONE)
}
