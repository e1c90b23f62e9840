//! One connection of the measured engine: the product's TLS session and frames, and the far end, in memory.
//!
//! Owns: [`Wire`]. The order of calls is that of `edge::link`: receive, decrypt, read the frame; write the frame,
//! encrypt. Two copies stand for the kernel's.

use super::far_end::{Authority, FarEnd, server_name};
use veloz_core::edge::tls::{Progress, TlsSession};
use veloz_core::limits::{MESSAGE_BYTES_MAX, SEND_BUFFER_BYTES_MAX};
use veloz_core::wire::websocket::{Reader, Writer};

/// What the kernel takes without growing: the orders of several bursts.
pub(super) const KERNEL_BYTES: usize = 256 << 10;

/// Both directions of a link, and its far end.
pub(super) struct Wire {
    tls: Option<Box<TlsSession>>,
    pub(super) reader: Reader,
    writer: Writer,
    pub(super) far: FarEnd,
    /// What the kernel took and the far end has not read.
    taken: Vec<u8>,
}

impl Wire {
    pub(super) fn plain() -> Self {
        Self {
            tls: None,
            reader: Reader::new(MESSAGE_BYTES_MAX),
            writer: Writer::new(SEND_BUFFER_BYTES_MAX, 1),
            far: FarEnd::plain(),
            taken: Vec::with_capacity(KERNEL_BYTES),
        }
    }

    pub(super) fn tls(authority: &Authority) -> Self {
        let mut tls = TlsSession::new(authority.client.clone(), server_name()).expect("a session");
        let mut far = FarEnd::tls(authority);
        loop {
            let progress = tls.advance(|_| {}).expect("an honest peer");
            assert_eq!(progress, Progress::NeedsBytes, "nothing is sent yet");
            let said = tls.outgoing().len();
            far.open(tls.outgoing());
            tls.sent(said);
            let answer = far.seal(&[]);
            if said == 0 && answer.is_empty() && tls.is_ready() && !far.is_handshaking() {
                break;
            }
            tls.space()[..answer.len()].copy_from_slice(&answer);
            tls.filled(answer.len());
        }
        Self {
            tls: Some(Box::new(tls)),
            far,
            ..Self::plain()
        }
    }

    /// Receives bytes and decrypts them to where frames are read; `stamp` is called when the bytes are there.
    #[inline]
    pub(super) fn receive<T>(&mut self, arrival: &[u8], stamp: impl FnOnce() -> T) -> T {
        let Self { tls, reader, .. } = self;
        let Some(tls) = tls else {
            reader.space()[..arrival.len()].copy_from_slice(arrival);
            reader.filled(arrival.len());
            return stamp();
        };
        tls.space()[..arrival.len()].copy_from_slice(arrival);
        tls.filled(arrival.len());
        let stamp = stamp();
        let progress = tls.advance(|plaintext| {
            assert_eq!(reader.push(plaintext), plaintext.len(), "room for a record");
        });
        assert_eq!(progress, Ok(Progress::Plaintext));
        stamp
    }

    /// Looks whether there is more to read, as the edge does when the order is out.
    ///
    /// # Panics
    /// When there is.
    pub(super) fn look(&mut self) {
        assert_eq!(self.reader.poll(), Ok(None));
        if let Some(tls) = &mut self.tls {
            let progress = tls.advance(|_| panic!("one record a message"));
            assert_eq!(progress, Ok(Progress::NeedsBytes));
        }
    }

    /// Frames a message, encrypts it, and hands it to the kernel.
    #[inline]
    pub(super) fn send(&mut self, message: &[u8]) {
        let Self {
            tls, writer, taken, ..
        } = self;
        writer.text(message).expect("room");
        let sent = writer.pending().len();
        if let Some(tls) = tls {
            assert_eq!(tls.encrypt(writer.pending()), Ok(sent), "room for a record");
            taken.extend_from_slice(tls.outgoing());
            tls.sent(tls.outgoing().len());
        } else {
            taken.extend_from_slice(writer.pending());
        }
        writer.consumed(sent);
    }

    /// Moves what the kernel took to the far end.
    pub(super) fn carry(&mut self) {
        self.far.open(&self.taken);
        self.taken.clear();
    }
}
