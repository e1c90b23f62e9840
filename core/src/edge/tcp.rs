//! Plain TCP: resolving, connecting within a bound, and the socket options of a trading link.
//!
//! Does not: retry, or wait longer than it is told; resolving alone takes as long as the system's
//! resolver likes, which is why the connector gives it a thread and a deadline of its own.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::event::LinkDown;
use crate::limits::ADDRESSES_PER_NAME_MAX;

/// The socket addresses of a host.
///
/// # Errors
/// [`LinkDown::Resolve`] and the resolver's words.
pub(super) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, (LinkDown, String)> {
    let failed = |why: String| (LinkDown::Resolve, format!("{host}: {why}"));
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?
        .take(ADDRESSES_PER_NAME_MAX)
        .collect();
    if addresses.is_empty() {
        return Err(failed("no address".to_owned()));
    }
    Ok(addresses)
}

/// Connects to the first address that answers, blocking; each gets an even share of `remaining`.
///
/// # Errors
/// [`LinkDown::Connect`] and why the last address failed.
pub(super) fn connect(
    addresses: &[SocketAddr],
    remaining: Duration,
) -> Result<TcpStream, (LinkDown, String)> {
    let share = (remaining / addresses.len().max(1) as u32).max(Duration::from_millis(1));
    let mut last = (LinkDown::Connect, "no address".to_owned());
    for address in addresses {
        match TcpStream::connect_timeout(address, share).and_then(|stream| {
            tune(&stream)?;
            Ok(stream)
        }) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = (LinkDown::Connect, format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// No delay for small segments, and an end to a peer that acknowledges nothing. The receive buffer
/// is left alone: setting it would switch off the kernel's tuning.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let timeout_ms: libc::c_uint = UNACKNOWLEDGED_MS_MAX;
    // SAFETY: the option's value is read from `timeout_ms`, which is as long as said.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            (&raw const timeout_ms).cast(),
            size_of::<libc::c_uint>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sent bytes may stay unacknowledged this long before the kernel gives the connection up.
const UNACKNOWLEDGED_MS_MAX: libc::c_uint = 10_000;
