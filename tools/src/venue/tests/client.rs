//! A blocking client, over TLS or plain, that sees the frames as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tungstenite::{Message, WebSocket};

use crate::venue::VenueHandle;

/// Only so that a test that fails ends: nothing that passes comes near it.
const STUCK: Duration = Duration::from_secs(30);

pub(super) trait Bytes: Read + Write + Send {}
impl<T: Read + Write + Send> Bytes for T {}

pub(super) struct Client(pub(super) WebSocket<Box<dyn Bytes>>);

pub(super) fn plain(venue: &VenueHandle) -> TcpStream {
    let address = venue.plain_address().expect("a plain port");
    let socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(STUCK)).expect("a socket");
    socket
}

pub(super) fn secure(venue: &VenueHandle, trusted_pem: &str) -> std::io::Result<Box<dyn Bytes>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(trusted_pem.as_bytes()).expect("PEM");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let socket = TcpStream::connect(venue.address())?;
    socket.set_read_timeout(Some(STUCK))?;
    socket.set_nodelay(true)?;
    let mut stream = StreamOwned::new(tls, socket);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(Box::new(stream))
}

impl Client {
    /// Over TLS, as the engine does.
    pub(super) fn connect(venue: &VenueHandle, path: &str) -> Self {
        let stream = secure(venue, venue.ca_pem()).expect("TLS");
        Self::over(stream, path).expect("a handshake")
    }

    pub(super) fn connect_plain(venue: &VenueHandle, path: &str) -> Self {
        Self::over(Box::new(plain(venue)), path).expect("a handshake")
    }

    pub(super) fn over(stream: Box<dyn Bytes>, path: &str) -> Result<Self, String> {
        let url = format!("ws://localhost{path}");
        match tungstenite::client(url, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("connected");
    }

    pub(super) fn next(&mut self) -> Result<Message, tungstenite::Error> {
        self.0.read()
    }

    /// The next text frame; pings before it are answered and skipped.
    pub(super) fn text(&mut self) -> String {
        loop {
            match self.next().expect("connected") {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("a text frame was expected, not {other:?}"),
            }
        }
    }

    pub(super) fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.text()
    }

    pub(super) fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }

    /// The code of the close frame that ends the connection, skipping what comes before it.
    pub(super) fn close_code(&mut self) -> u16 {
        loop {
            match self.next().expect("a close frame first") {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }

    /// Returns when everything sent so far has been handled, and what was due for an answer has
    /// been answered: a pong leaves before the second question, and the venue keeps the order.
    pub(super) fn settle(&mut self) {
        for _ in 0..2 {
            let reply = self.ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":99}"#);
            assert!(reply.ends_with(r#""id":99}"#), "{reply}");
        }
    }
}

/// An HTTP GET over the plain port: status line and headers, and body.
pub(super) fn get(venue: &VenueHandle, path: &str) -> (String, String) {
    http(venue, "GET", path, "", "").expect("an answer")
}

/// An HTTP request over the plain port; `headers` end in line breaks. `Err` when the connection
/// ends without an answer.
pub(super) fn http(
    venue: &VenueHandle,
    verb: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(String, String)> {
    let mut socket = ask_http(venue, verb, path, headers, body)?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) => Ok((head.to_owned(), body.to_owned())),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The question alone: the answer is read from the socket.
pub(super) fn ask_http(
    venue: &VenueHandle,
    verb: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<TcpStream> {
    let mut socket = plain(venue);
    write!(
        socket,
        concat!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\n{}Content-Length: {}\r\n\r\n{}"
        ),
        verb,
        path,
        headers,
        body.len(),
        body
    )?;
    Ok(socket)
}
