//! A byte stream that can be made to misbehave below the websocket.
//!
//! Owns: [`FaultyIo`], which wraps a socket (below TLS) and a decrypted stream (above it), and
//! [`IoControl`], by which the writer steers both. Does not: know frames. Invariant: without an
//! order from the control every call passes straight through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Orders for the streams of one connection.
#[derive(Debug)]
pub(crate) struct IoControl {
    /// Bytes a write, each flushed before the next; zero is no limit.
    chunk: AtomicUsize,
    /// Bytes that still pass above TLS; the rest vanishes. `usize::MAX` is no limit.
    passing: AtomicUsize,
    /// Close with a reset.
    reset: AtomicBool,
}

impl Default for IoControl {
    fn default() -> Self {
        Self {
            chunk: AtomicUsize::new(0),
            passing: AtomicUsize::new(usize::MAX),
            reset: AtomicBool::new(false),
        }
    }
}

impl IoControl {
    /// From now on writes leave in pieces of this many bytes; zero lifts it.
    pub(crate) fn split(&self, bytes: usize) {
        self.chunk.store(bytes, Ordering::Release);
    }

    /// After this many bytes everything vanishes.
    pub(crate) fn truncate_after(&self, bytes: usize) {
        self.passing.store(bytes, Ordering::Release);
    }

    /// When the socket is dropped the peer sees a reset.
    pub(crate) fn reset_on_close(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// Which of the two layers this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The socket itself.
    Socket,
    /// What the websocket writes to.
    Frames,
}

/// What a socket must be able to do to be reset.
pub(crate) trait ZeroLinger {
    /// Makes the next close a reset.
    fn zero_linger(&self);
}

impl ZeroLinger for TcpStream {
    fn zero_linger(&self) {
        // A socket that is gone already cannot be reset, and need not be.
        let _ = self.set_zero_linger();
    }
}

/// A stream under the orders of an [`IoControl`].
pub(crate) struct FaultyIo<T> {
    inner: T,
    control: Arc<IoControl>,
    layer: Layer,
    flush_first: bool,
    on_drop: Option<fn(&T)>,
}

impl<T: ZeroLinger> FaultyIo<T> {
    /// The layer below TLS.
    pub(crate) fn socket(inner: T, control: Arc<IoControl>) -> Self {
        Self {
            inner,
            control,
            layer: Layer::Socket,
            flush_first: false,
            on_drop: Some(T::zero_linger),
        }
    }
}

impl<T> FaultyIo<T> {
    /// The layer between TLS and the websocket.
    pub(crate) fn frames(inner: T, control: Arc<IoControl>) -> Self {
        Self {
            inner,
            control,
            layer: Layer::Frames,
            flush_first: false,
            on_drop: None,
        }
    }
}

impl<T> Drop for FaultyIo<T> {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop
            && self.control.reset.load(Ordering::Acquire)
        {
            on_drop(&self.inner);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FaultyIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FaultyIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.flush_first {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.flush_first = false;
        }
        let chunk = self.control.chunk.load(Ordering::Acquire);
        let mut part = if chunk > 0 {
            &buf[..buf.len().min(chunk)]
        } else {
            buf
        };
        if self.layer == Layer::Frames {
            let passing = self.control.passing.load(Ordering::Acquire);
            if passing == 0 {
                return Poll::Ready(Ok(buf.len()));
            }
            if passing != usize::MAX {
                part = &part[..part.len().min(passing)];
            }
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, part))?;
        self.flush_first = chunk > 0;
        if self.layer == Layer::Frames {
            let passing = self.control.passing.load(Ordering::Acquire);
            if passing != usize::MAX {
                self.control
                    .passing
                    .store(passing.saturating_sub(written), Ordering::Release);
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.flush_first = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Remembers what each write carried.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn writes_are_split_and_cut_when_ordered() {
        let control = Arc::new(IoControl::default());
        let mut io = FaultyIo::frames(Writes::default(), control.clone());
        io.write_all(b"whole").await.expect("infallible");
        control.split(2);
        io.write_all(b"split").await.expect("infallible");
        control.split(0);
        control.truncate_after(3);
        io.write_all(b"truncated").await.expect("infallible");
        let writes: Vec<_> = io.inner.0.iter().map(Vec::as_slice).collect();
        assert_eq!(writes, [&b"whole"[..], b"sp", b"li", b"t", b"tru"]);
    }
}
