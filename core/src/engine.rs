//! The whole brain behind one signature: [`Engine::handle`].

use crate::event::Event;
use crate::outbox::Outbox;
use crate::units::Nanos;

/// Takes one stage stamp. The edge supplies the TSC, replay supplies zeros; no decision reads a stamp.
pub trait Stopwatch {
    /// Now, on the engine's clock.
    fn stamp(&self) -> Nanos;
}

/// The stopwatch of replay and tests: every stamp is zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStopwatch;

impl Stopwatch for NoStopwatch {
    #[inline]
    fn stamp(&self) -> Nanos {
        Nanos::ZERO
    }
}

/// The trading engine: books now, orders with trading.
pub struct Engine<S: Stopwatch> {
    stopwatch: S,
}

impl<S: Stopwatch> Engine<S> {
    /// Handles one event at `now` (for a message: when its bytes reached user space).
    pub fn handle(&mut self, now: Nanos, event: Event<'_>, out: &mut Outbox) {
        let _ = (now, event, out, self.stopwatch.stamp());
    }

    /// When to call [`Engine::handle`] with [`Event::Tick`]; `None` while no timer runs.
    pub fn next_deadline(&self) -> Option<Nanos> {
        None
    }
}
