//! From a name to a websocket, blocking and bounded: resolve, connect, TLS handshake, upgrade.
//!
//! Runs on the connector's threads only. Every wait after resolving ends at the deadline. What the
//! peer sent behind its 101 is kept: in the same read, in the same TLS record, or still encrypted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{Response, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::{HandshakeMachine, RoundResult, StageResult};

use super::endpoint::Endpoint;
use super::retry_after;
use crate::edge::clock::{Clock, unix_seconds};
use crate::edge::link::cause_of;
use crate::edge::tcp;
use crate::edge::tls::{Progress, TlsSession};
use crate::event::LinkDown;
use crate::units::Nanos;

/// Why an attempt failed: the cause for the engine, and words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", cause.label())]
pub struct ConnectFault {
    /// One of the causes that can come before a connection is up.
    pub cause: LinkDown,
    /// What happened, from the system, the TLS library or the peer.
    pub detail: String,
    /// The HTTP status with which the peer refused the upgrade: 418 and 429 ask for a pause.
    pub status: Option<u16>,
    /// How long the refusal asks to be left alone.
    pub pause: Option<Nanos>,
}

impl ConnectFault {
    /// A fault of anything but the upgrade's answer.
    pub(super) fn new(cause: LinkDown, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
            status: None,
            pause: None,
        }
    }

    /// The status with which the peer refused because it was asked too much (429) or has banned the address (418).
    pub(super) fn asked_too_much(&self) -> Option<u16> {
        self.status
            .filter(|status| matches!(*status, TOO_MANY_REQUESTS | BANNED))
    }
}

/// A socket whose waits end at a deadline, and TLS over it.
pub(super) struct BlockingStream {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Decrypted bytes that nobody read yet.
    plaintext: Vec<u8>,
    clock: Clock,
    deadline: Nanos,
}

/// A websocket right after its upgrade.
pub(super) struct Upgraded {
    pub(super) stream: BlockingStream,
    /// What came with the 101.
    pub(super) tail: Vec<u8>,
}

impl Upgraded {
    /// The parts that a link is made of; `leftover` is everything decrypted and not yet parsed.
    pub(super) fn into_parts(self) -> (TcpStream, Option<Box<TlsSession>>, Vec<u8>) {
        let mut leftover = self.tail;
        leftover.extend(&self.stream.plaintext);
        (self.stream.socket, self.stream.tls, leftover)
    }
}

/// Resolves, connects, and upgrades.
///
/// # Errors
/// [`ConnectFault`] with the cause of the step that failed.
pub(super) fn connect_and_upgrade(
    endpoint: &Endpoint,
    clock: Clock,
    deadline: Nanos,
) -> Result<Upgraded, ConnectFault> {
    let fault = |(cause, detail): (LinkDown, String)| ConnectFault::new(cause, detail);
    let addresses = tcp::resolve(endpoint.host(), endpoint.port()).map_err(fault)?;
    let socket = tcp::connect(&addresses, until(deadline, clock)).map_err(fault)?;
    let mut stream = BlockingStream {
        socket,
        tls: None,
        plaintext: Vec::new(),
        clock,
        deadline,
    };
    if let Some((config, name)) = endpoint.tls() {
        stream.tls = Some(Box::new(
            TlsSession::new(config.clone(), name.clone())
                .map_err(|error| ConnectFault::new(cause_of(&error), error.to_string()))?,
        ));
        stream.handshake()?;
    }
    upgrade(endpoint.url(), stream)
}

/// Asks for the websocket and checks the answer.
fn upgrade(url: &str, stream: BlockingStream) -> Result<Upgraded, ConnectFault> {
    let refused = |why: String| ConnectFault::new(LinkDown::Upgrade, why);
    let failed = |error: tungstenite::Error| refused(error.to_string());
    let (request, key) = url
        .into_client_request()
        .and_then(generate_request)
        .map_err(failed)?;

    let mut writing = HandshakeMachine::start_write(stream, request);
    let stream = loop {
        match writing.single_round::<Response>().map_err(failed)? {
            RoundResult::Incomplete(machine) | RoundResult::WouldBlock(machine) => {
                writing = machine;
            }
            RoundResult::StageFinished(StageResult::DoneWriting(stream)) => break stream,
            RoundResult::StageFinished(StageResult::DoneReading { .. }) => {
                unreachable!("the machine was started to write")
            }
        }
    };
    let mut reading = HandshakeMachine::start_read(stream);
    let (response, stream, tail) = loop {
        match reading.single_round::<Response>().map_err(failed)? {
            RoundResult::Incomplete(machine) | RoundResult::WouldBlock(machine) => {
                reading = machine;
            }
            RoundResult::StageFinished(StageResult::DoneReading {
                result,
                stream,
                tail,
            }) => break (result, stream, tail),
            RoundResult::StageFinished(StageResult::DoneWriting(_)) => {
                unreachable!("the machine was started to read")
            }
        }
    };
    check_response(&response, &key).map_err(|why| {
        let body = String::from_utf8_lossy(&tail[..tail.len().min(BODY_BYTES_SHOWN)]);
        ConnectFault {
            status: Some(response.status().as_u16()),
            pause: pause_of(&response),
            ..refused(format!("{why} (status {}) {body}", response.status()))
        }
    })?;
    Ok(Upgraded { stream, tail })
}

/// The pause that a refusal asks for.
fn pause_of(response: &Response) -> Option<Nanos> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    retry_after::pause(header("retry-after")?, header("date"), unix_seconds())
}

/// RFC 6455 section 4.1, what the client must verify. We offer no extension and no subprotocol.
fn check_response(response: &Response, key: &str) -> Result<(), &'static str> {
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let has_token = |name: &str, token: &str| {
        header(name).is_some_and(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    };
    if response.status().as_u16() != 101 {
        Err("the peer did not switch protocols")
    } else if !has_token("upgrade", "websocket") || !has_token("connection", "upgrade") {
        Err("the peer switched to something else")
    } else if header("sec-websocket-accept") != Some(&derive_accept_key(key.as_bytes())) {
        Err("the accept key does not match")
    } else if header("sec-websocket-extensions").is_some()
        || header("sec-websocket-protocol").is_some()
    {
        Err("the peer chose an extension or a subprotocol that was not offered")
    } else {
        Ok(())
    }
}

impl BlockingStream {
    /// Lets the waits from now on end at another time.
    pub(super) fn set_deadline(&mut self, deadline: Nanos) {
        self.deadline = deadline;
    }

    fn has_ciphertext(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| !tls.outgoing().is_empty())
    }

    /// Runs the TLS handshake to its end; our last flight is sent.
    fn handshake(&mut self) -> Result<(), ConnectFault> {
        loop {
            let tls = self.tls.as_mut().expect("TLS was set up");
            let plaintext = &mut self.plaintext;
            let progress = tls.advance(|bytes| plaintext.extend_from_slice(bytes));
            let sent = self.send_ciphertext();
            let progress =
                progress.map_err(|fault| ConnectFault::new(cause_of(&fault), fault.to_string()))?;
            let io = |error: io::Error| {
                ConnectFault::new(LinkDown::Tls, format!("during the handshake: {error}"))
            };
            sent.map_err(io)?;
            if self.tls.as_ref().is_some_and(|tls| tls.is_ready()) {
                return Ok(());
            }
            if progress == Progress::PeerClosed {
                return Err(io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.receive_ciphertext().map_err(io)?;
        }
    }

    /// Sends the beginning of `from` as far as the kernel takes it without waiting, whatever the deadline; returns
    /// how much of it is no longer the caller's. What is a TLS record by then goes out with the next read or write.
    ///
    /// # Errors
    /// Of the socket or of TLS; a kernel that takes nothing is none.
    pub(super) fn offer(&mut self, from: &[u8]) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let taken = self.offer_now(from);
        self.socket.set_nonblocking(false)?;
        taken
    }

    /// [`BlockingStream::offer`] while the socket does not block.
    fn offer_now(&mut self, from: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let sent = match &mut self.tls {
                Some(tls) => {
                    if tls.outgoing().is_empty() {
                        match tls.encrypt(&from[taken..]).map_err(io::Error::other)? {
                            // All of it went, or our goodbye did.
                            0 => return Ok(taken),
                            len => taken += len,
                        }
                    }
                    (&self.socket).write(tls.outgoing())
                }
                None if taken == from.len() => return Ok(taken),
                None => (&self.socket).write(&from[taken..]),
            };
            match (sent, &mut self.tls) {
                (Ok(len), Some(tls)) => tls.sent(len),
                (Ok(len), None) => taken += len,
                (Err(error), _) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(taken),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn send_ciphertext(&mut self) -> io::Result<()> {
        let tls = self.tls.as_mut().expect("only with TLS");
        while !tls.outgoing().is_empty() {
            arm(&self.socket, self.deadline, self.clock)?;
            match (&self.socket).write(tls.outgoing()) {
                Ok(len) => tls.sent(len),
                // To whoever writes, that would say that nothing was taken yet.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error)),
            }
        }
        Ok(())
    }

    fn receive_ciphertext(&mut self) -> io::Result<()> {
        arm(&self.socket, self.deadline, self.clock)?;
        let tls = self.tls.as_mut().expect("only with TLS");
        match (&self.socket).read(tls.space()).map_err(timed_out)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                tls.filled(len);
                Ok(())
            }
        }
    }
}

impl Read for BlockingStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            arm(&self.socket, self.deadline, self.clock)?;
            return (&self.socket).read(to).map_err(timed_out);
        }
        while self.plaintext.is_empty() {
            let tls = self.tls.as_mut().expect("it was there above");
            let plaintext = &mut self.plaintext;
            let progress = tls.advance(|bytes| plaintext.extend_from_slice(bytes));
            // First: after a fault it is the alert that says why. A peer that does not read is listened to all the same.
            let sent = if self.has_ciphertext() {
                self.offer(&[]).map(drop)
            } else {
                Ok(())
            };
            let progress = progress.map_err(io::Error::other)?;
            sent?;
            match progress {
                Progress::Plaintext => {}
                Progress::PeerClosed => return Ok(0),
                Progress::NeedsBytes => self.receive_ciphertext()?,
            }
        }
        let len = to.len().min(self.plaintext.len());
        to[..len].copy_from_slice(&self.plaintext[..len]);
        self.plaintext.drain(..len);
        Ok(len)
    }
}

impl Write for BlockingStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.tls.is_some() {
            // What an offer left comes first, and makes room.
            self.send_ciphertext()?;
            let tls = self.tls.as_mut().expect("it was there above");
            let len = tls.encrypt(from).map_err(io::Error::other)?;
            self.send_ciphertext()?;
            return Ok(len);
        }
        arm(&self.socket, self.deadline, self.clock)?;
        (&self.socket).write(from).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the next wait on the socket end at the deadline.
fn arm(socket: &TcpStream, deadline: Nanos, clock: Clock) -> io::Result<()> {
    let remaining = until(deadline, clock);
    if remaining.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    socket.set_read_timeout(Some(remaining))?;
    socket.set_write_timeout(Some(remaining))
}

fn until(deadline: Nanos, clock: Clock) -> Duration {
    Duration::from_nanos(deadline.since(clock.now()).0)
}

/// A socket's own timeout shows as "would block", which the upgrade would take for "try again".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

/// What Binance answers to an address that asks too much.
const TOO_MANY_REQUESTS: u16 = 429;
/// What it answers to an address that went on.
const BANNED: u16 = 418;
/// How much of a refusal's body the operator sees; venues explain themselves there.
const BODY_BYTES_SHOWN: usize = 200;
