//! Spans of traces that were not to be kept, until one of them turns out to matter.
//!
//! Owns: [`HeldBack`]. Does not: decide at the first span; [`super::Sampling`] does. A trace is a tick, a
//! decision, a check, an order and its answer, and only the answer may show that it was slow or
//! refused. So its spans wait here for a while, and go out together when one of them matters; what comes
//! later of the same trace follows.
//!
//! Invariant: at most [`HELD_MAX`] spans and [`RELEASED_MAX`] ids are held; the oldest goes first.

use opentelemetry::trace::{SpanContext, TraceFlags, TraceId};
use opentelemetry_sdk::trace::SpanData;
use std::collections::VecDeque;

/// Spans that wait: an order's answer comes within a second or so, and a busy market tells some thousand
/// messages in that time. About 2 MB.
const HELD_MAX: usize = 4_096;
/// Traces whose later spans are kept too.
const RELEASED_MAX: usize = 256;

#[derive(Default)]
pub(super) struct HeldBack {
    held: VecDeque<SpanData>,
    released: VecDeque<TraceId>,
}

impl HeldBack {
    /// Takes a span of a trace that is not sampled. Returns the spans that have to be exported now, in
    /// their order, and how many were given up.
    pub(super) fn add(&mut self, span: SpanData, matters: bool) -> (Vec<SpanData>, u64) {
        let trace = span.span_context.trace_id();
        if !matters && !self.released.contains(&trace) {
            let full = self.held.len() == HELD_MAX;
            if full {
                self.held.pop_front();
            }
            self.held.push_back(span);
            return (Vec::new(), u64::from(full));
        }
        if !self.released.contains(&trace) {
            if self.released.len() == RELEASED_MAX {
                self.released.pop_front();
            }
            self.released.push_back(trace);
        }
        let mut released = Vec::new();
        self.held.retain(|held| {
            let other = held.span_context.trace_id() != trace;
            if !other {
                released.push(held.clone());
            }
            other
        });
        released.push(span);
        for span in &mut released {
            span.span_context = sampled(&span.span_context);
        }
        (released, 0)
    }
}

fn sampled(context: &SpanContext) -> SpanContext {
    SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags() | TraceFlags::SAMPLED,
        context.is_remote(),
        context.trace_state().clone(),
    )
}

/// A number whose bits all depend on all of `value` (the finaliser of SplitMix64), one to one.
pub(super) const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
