//! Whose time the measured engine lives in.
//!
//! Owns: [`Watch`], [`Unstamped`] and [`Stamped`]. Time is virtual: a few milliseconds a message, which the
//! limits on orders and messages a second allow. With [`Stamped`] the product's clock runs inside of a message, so that stage stamps cost what they cost.

use std::cell::Cell;
use std::rc::Rc;
use veloz_core::edge::clock::Clock;
use veloz_core::engine::{NoStopwatch, Stopwatch};
use veloz_core::units::Nanos;

/// Whose time it is, and which stopwatch the engine holds.
pub trait Watch {
    /// The engine's stopwatch.
    type Stopwatch: Stopwatch;

    /// That stopwatch, on this watch's time.
    fn stopwatch(&self) -> Self::Stopwatch;

    /// Now, as the edge stamps received bytes.
    fn now(&self) -> Nanos;

    /// Lets virtual time pass.
    fn pass(&self, by: Nanos);
}

/// Stage stamps are zero, and time stands still but for what passes between messages.
#[derive(Default)]
pub struct Unstamped {
    now: Cell<Nanos>,
}

impl Watch for Unstamped {
    type Stopwatch = NoStopwatch;

    fn stopwatch(&self) -> NoStopwatch {
        NoStopwatch
    }

    #[inline]
    fn now(&self) -> Nanos {
        self.now.get()
    }

    fn pass(&self, by: Nanos) {
        self.now.set(self.now().plus(by));
    }
}

/// The product's clock, read for every stage. Between messages virtual time passes instead: other contestants run
/// then, and no link may seem silent for that.
#[derive(Clone)]
pub struct Stamped {
    clock: Clock,
    /// Virtual time minus the clock's, nanoseconds.
    offset: Rc<Cell<i64>>,
    last: Rc<Cell<Nanos>>,
}

impl Stamped {
    /// Stamps of this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            offset: Rc::default(),
            last: Rc::default(),
        }
    }
}

impl Stopwatch for Stamped {
    #[inline]
    fn stamp(&self) -> Nanos {
        Nanos(self.clock.now().0.wrapping_add_signed(self.offset.get()))
    }
}

impl Watch for Stamped {
    type Stopwatch = Self;

    fn stopwatch(&self) -> Self {
        self.clone()
    }

    #[inline]
    fn now(&self) -> Nanos {
        let now = self.stamp();
        self.last.set(now);
        now
    }

    fn pass(&self, by: Nanos) {
        let target = self.last.get().plus(by);
        self.last.set(target);
        self.offset.set(target.0 as i64 - self.clock.now().0 as i64);
    }
}
