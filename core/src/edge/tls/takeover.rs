//! From the TLS library's session to our record layer, once hands are shaken in TLS 1.3.
//!
//! Owns: [`take_over`] and what the library still does afterwards: later keys, and tickets. Does not: touch
//! records.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::{ConnectionTrafficSecrets, Error, SupportedCipherSuite};

use super::record::{IV_BYTES, KeySource, RecordFault, RecordLayer, Suite, TrafficKey};

/// The library's half of a session whose records are ours.
pub(super) struct Kernel {
    connection: KernelConnection<ClientConnectionData>,
}

/// Goes on where the library stopped: it has nothing to send, and was shown no byte that follows the
/// server's last message of the handshake.
///
/// # Errors
/// When the library does not give its secrets away, or has another suite than the three of [`Suite`].
pub(super) fn take_over(
    connection: UnbufferedClientConnection,
) -> Result<RecordLayer<Kernel>, Error> {
    let (secrets, connection) = connection.dangerous_into_kernel_connection()?;
    let suite = connection.negotiated_cipher_suite();
    let SupportedCipherSuite::Tls13(suite) = suite else {
        return Err(Error::General("the suite is not of TLS 1.3".to_owned()));
    };
    let unusable = |_| Error::General("no key for the suite's cipher".to_owned());
    Ok(RecordLayer::new(
        traffic_key(secrets.rx).map_err(unusable)?,
        traffic_key(secrets.tx).map_err(unusable)?,
        suite.common.confidentiality_limit,
        Kernel { connection },
    ))
}

impl KeySource for Kernel {
    fn next_rx(&mut self) -> Result<TrafficKey, RecordFault> {
        let next = self.connection.update_rx_secret();
        traffic_key(next.map_err(|_| RecordFault::Keys)?)
    }

    fn next_tx(&mut self) -> Result<TrafficKey, RecordFault> {
        let next = self.connection.update_tx_secret();
        traffic_key(next.map_err(|_| RecordFault::Keys)?)
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), RecordFault> {
        self.connection
            .handle_new_session_ticket(body)
            .map_err(|_| RecordFault::Ticket)
    }
}

fn traffic_key(
    (sequence, secrets): (u64, ConnectionTrafficSecrets),
) -> Result<TrafficKey, RecordFault> {
    let (suite, key, iv) = match &secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Suite::Chacha20Poly1305, key, iv)
        }
        _ => return Err(RecordFault::Keys),
    };
    let iv: [u8; IV_BYTES] = iv.as_ref().try_into().map_err(|_| RecordFault::Keys)?;
    TrafficKey::new(suite, key.as_ref(), iv, sequence)
}
