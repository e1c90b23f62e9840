//! The two loops of one websocket: frames in to the hub, frames out of its queue.
//!
//! Owns: reading, writing, fragments and segments. Does not: decide what is sent. Invariant: when
//! either loop ends, so does the other, and the socket with them.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};

use super::super::connection::{Out, Signals};
use super::super::faulty_io::{FaultyIo, IoControl};
use super::super::hub::{ClientFrame, ConnectionId};
use super::Shared;

/// Largest message of a client: a SUBSCRIBE of 1,024 names has about 32 KiB.
const CLIENT_MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Frames taken from the queue and written in one go.
const BATCH_FRAMES: usize = 64;

pub(super) type Io = FaultyIo<TokioIo<hyper::upgrade::Upgraded>>;

/// Both directions of one websocket until either ends or the hub is done with it.
pub(super) async fn converse(
    shared: &Shared,
    id: ConnectionId,
    signals: &Signals,
    control: &IoControl,
    io: Io,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .read_buffer_size(16 << 10);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (sink, stream) = socket.split();
    tokio::select! {
        () = signals.gone.notified() => {}
        () = read(shared, id, stream) => {}
        // An error means that the client is gone; the reader or the hub knows as well.
        _ = write(shared, id, signals, control, sink) => {}
    }
}

async fn read(shared: &Shared, id: ConnectionId, mut stream: SplitStream<WebSocketStream<Io>>) {
    while let Some(Ok(message)) = stream.next().await {
        let frame = match &message {
            Message::Text(text) => ClientFrame::Text(text.as_str()),
            Message::Binary(_) => ClientFrame::Binary,
            Message::Ping(_) => ClientFrame::Ping,
            Message::Pong(payload) => ClientFrame::Pong(payload),
            Message::Close(_) | Message::Frame(_) => continue,
        };
        shared.hub().client_frame(shared.clock.now(), id, &frame);
        shared.wake.notify_one();
    }
}

async fn write(
    shared: &Shared,
    id: ConnectionId,
    signals: &Signals,
    control: &IoControl,
    mut sink: SplitSink<WebSocketStream<Io>, Message>,
) -> Result<(), tungstenite::Error> {
    let mut batch = Vec::with_capacity(BATCH_FRAMES);
    // Frames still to be gathered before anything is written: the merge fault.
    let mut gather = 0usize;
    loop {
        let was_behind = {
            let mut hub = shared.hub();
            let was_behind = hub.is_behind(id);
            if !hub.take(id, BATCH_FRAMES, &mut batch) {
                return Ok(());
            }
            was_behind && !hub.is_behind(id)
        };
        if was_behind {
            shared.wake.notify_one();
        }
        if batch.is_empty() {
            if gather == 0 {
                sink.flush().await?;
            }
            signals.queued.notified().await;
            continue;
        }
        for out in batch.drain(..) {
            match out {
                Out::Merge(frames) => {
                    sink.flush().await?;
                    gather = frames;
                    continue;
                }
                Out::Text(payload) => sink.feed(text(payload)).await?,
                Out::Fragmented(payload) => {
                    for part in fragments(&payload) {
                        sink.feed(part).await?;
                    }
                }
                Out::Split { bytes, payload } => {
                    sink.flush().await?;
                    control.split(bytes);
                    sink.send(text(payload)).await?;
                    control.split(0);
                }
                Out::Truncated(payload) => {
                    sink.flush().await?;
                    // At least the header, at most half of what it announces.
                    control.truncate_after(4 + payload.len() / 2);
                    sink.send(text(payload)).await?;
                    return Ok(());
                }
                Out::Ping(payload) => sink.feed(Message::Ping(payload)).await?,
                Out::Pong(payload) => sink.feed(Message::Pong(payload)).await?,
                Out::Close(code, reason) => {
                    let close = CloseFrame {
                        code: code.into(),
                        reason: reason.into(),
                    };
                    sink.send(Message::Close(Some(close))).await?;
                    // The reader ends when the client has answered.
                    std::future::pending::<()>().await;
                }
            }
            if gather > 0 {
                gather -= 1;
                if gather == 0 {
                    sink.flush().await?;
                }
            }
        }
        if gather == 0 {
            sink.flush().await?;
        }
    }
}

/// A text frame whose payload nobody checks.
fn text(payload: Bytes) -> Message {
    Message::Frame(Frame::message(payload, OpCode::Data(Data::Text), true))
}

/// A text message in three fragments, a ping between the first two.
fn fragments(payload: &Bytes) -> [Message; 4] {
    let third = payload.len() / 3;
    let part = |from: usize, to: usize, kind, last| {
        Message::Frame(Frame::message(
            payload.slice(from..to),
            OpCode::Data(kind),
            last,
        ))
    };
    [
        part(0, third, Data::Text, false),
        Message::Ping(Bytes::from_static(b"between fragments")),
        part(third, 2 * third, Data::Continue, false),
        part(2 * third, payload.len(), Data::Continue, true),
    ]
}
