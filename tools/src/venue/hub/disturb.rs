//! What happens to whole connections: faults and bans.
//!
//! Owns: the effect of each connection fault. Does not: decide when one fires.

use std::net::IpAddr;

use bytes::Bytes;

use super::super::connection::{Out, Surface, after_ms};
use super::super::faults::Fault;
use super::super::render;
use super::super::source::VenueMicros;
use super::Hub;

impl Hub {
    /// A ban ends the address's websocket API connections.
    fn cut_api(&mut self, now: VenueMicros, ip: IpAddr) {
        for connection in self.connections.values_mut() {
            if connection.surface == Surface::Api && connection.ip == ip {
                connection.close(now, 1008, "banned");
            }
        }
    }

    /// A banned address loses its connections to the API.
    pub(super) fn cut_if_banned(&mut self, now: VenueMicros, ip: IpAddr) {
        if self.limits.is_banned(now, ip) {
            self.cut_api(now, ip);
        }
    }

    /// Does something to every connection of a surface.
    pub(super) fn disturb(&mut self, now: VenueMicros, fault: Fault, on: Surface) {
        let ids: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.surface == on)
            .map(|(&id, _)| id)
            .collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            match fault {
                Fault::Silence { ms } => connection.silent_until = Some(after_ms(now, ms.into())),
                Fault::Stall { ms } => connection.stalled_until = Some(after_ms(now, ms.into())),
                Fault::Reset => {
                    connection.io.reset_on_close();
                    self.closed(id);
                }
                Fault::WrongPong => self.send(id, Out::Pong(Bytes::from_static(b"not yours"))),
                Fault::UnsolicitedPong => self.send(id, Out::Pong(Bytes::new())),
                Fault::PingFlood { count } => {
                    for _ in 0..count {
                        connection.ping(now, &self.config);
                    }
                }
                Fault::DailyCut => connection.cut(now),
                Fault::ServerShutdown => {
                    connection.shutdown_at = Some(after_ms(now, self.config.shutdown_delay_ms));
                    let event = render::server_shutdown(connection.unit.of(now));
                    let event = match (connection.surface, connection.combined) {
                        (Surface::Api, _) => Bytes::from(format!(r#"{{"event":{event}}}"#)),
                        (Surface::Streams, true) => {
                            render::combined("!serverShutdown", event.as_bytes())
                        }
                        (Surface::Streams, false) => Bytes::from(event),
                    };
                    self.send(id, Out::Text(event));
                }
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
                | Fault::EventDuplicate
                | Fault::SessionRevoked
                | Fault::StreamTerminated
                | Fault::UnsolicitedCancel
                | Fault::Halt { .. }
                | Fault::CancelOnly { .. }
                | Fault::Deposit { .. }
                | Fault::ExternalLock { .. }
                | Fault::OrdersUsedUp
                | Fault::WeightUsedUp => {}
            }
        }
    }
}
