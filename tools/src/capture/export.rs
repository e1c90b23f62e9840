//! A capture as text: the public market data of one symbol, a line a message.
//!
//! Owns: [`Exporter`]. Does not: keep what is not market data (subscriptions, times, events without a
//! message). A depth answer names no symbol, so the engine itself is replayed beside the export: its
//! own requests tell whose answer it is. Invariant: the JSON of a line is the recorded bytes.

use super::import::{Handler, depth_request};
use super::text::{Content, content};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::{self, Write};
use veloz_core::event::{Event, LinkRole};
use veloz_core::outbox::{Action, Outbox};
use veloz_core::units::Nanos;

/// Depth requests of the symbol whose answer is still to come; more than the engine ever has open.
const REQUESTS_MAX: usize = 1_024;

/// Writes text form while an engine handles the events.
pub struct Exporter<H, W> {
    handler: H,
    out: W,
    symbol: String,
    unix_ns_at_zero: Option<i64>,
    requests: Vec<String>,
    lines: u64,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

impl<H: Handler, W: Write> Exporter<H, W> {
    /// An exporter of one symbol's data.
    pub fn new(handler: H, out: W, symbol: String) -> Self {
        Self {
            handler,
            out,
            symbol,
            unix_ns_at_zero: None,
            requests: Vec::new(),
            lines: 0,
        }
    }

    /// Lines written, and the output.
    pub fn finish(self) -> (u64, W) {
        (self.lines, self.out)
    }

    fn write(&mut self, now: Nanos, json: &[u8]) -> io::Result<()> {
        let Some(zero) = self.unix_ns_at_zero else {
            return Err(io::Error::other(
                "the capture has a message before it says what time it was",
            ));
        };
        write!(self.out, "{} ", zero.saturating_add_unsigned(now.0))?;
        self.out.write_all(json)?;
        self.lines += 1;
        self.out.write_all(b"\n")
    }
}

impl<H: Handler, W: Write> Handler for Exporter<H, W> {
    fn handle(&mut self, now: Nanos, event: &Event<'_>, out: &mut Outbox) -> io::Result<()> {
        match *event {
            Event::WallClock { unix_ns_at_zero } => self.unix_ns_at_zero = Some(unix_ns_at_zero),
            Event::Message { link, payload } if link.role == LinkRole::Market => {
                let ours = matches!(
                    content(payload.bytes()),
                    Some(Content::Stream(symbol)) if *symbol == self.symbol
                );
                // A line break inside a message would end its line; the venue sends none.
                if ours && !payload.bytes().contains(&b'\n') {
                    self.write(now, payload.bytes())?;
                }
            }
            Event::Message { payload, .. } => {
                if let Ok(Reply {
                    id,
                    result: Some(snapshot),
                }) = serde_json::from_slice(payload.bytes())
                    && let Some(at) = self.requests.iter().position(|asked| asked == id.get())
                {
                    self.requests.remove(at);
                    if content(snapshot.get().as_bytes()) == Some(Content::Snapshot) {
                        self.write(now, snapshot.get().as_bytes())?;
                    }
                }
            }
            Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::LinkRefused { .. }
            | Event::LinkBlocked { .. }
            | Event::Command(_)
            | Event::Tick
            | Event::Backlog(_) => {}
        }
        self.handler.handle(now, event, out)?;
        for action in out.actions() {
            if let Action::Send { message, .. } = action
                && let Some((symbol, id)) = depth_request(message)
                && symbol == self.symbol
            {
                if self.requests.len() == REQUESTS_MAX {
                    self.requests.remove(0);
                }
                self.requests.push(id);
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Nanos> {
        self.handler.next_deadline()
    }
}
