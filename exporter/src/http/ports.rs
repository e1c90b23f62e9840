//! The ports: which are opened, and what stands behind each.
//!
//! Owns: [`HttpConfig`], [`Ports`]. Does not: accept connections (`server.rs`). Invariants: what cannot
//! work is found before anything is served; a port that others reach is opened only when somebody
//! decided that they may.

use super::addresses::AddressRules;
use super::cors::Cors;
use super::rate::RateRule;
use super::server::{Door, ServerLimits};
use super::shape::ShapeLimits;
use super::tls::{TlsError, TlsFiles};
use super::{HttpState, Reach, Surface, Trust, router};
use rustls::ServerConfig;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Connections of the metrics port: scrapers and probes.
const MONITORING_CONNECTIONS_MAX: usize = 64;

/// What the server needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where to listen for scrapers and probes too; they get metrics and health, and nothing else.
    pub monitoring: Option<SocketAddr>,
    /// Listen on an address that others reach, although nobody has to say who he is.
    pub danger_remote_without_auth: bool,
    /// Encrypts both ports.
    pub tls: Option<TlsFiles>,
    /// Who may connect.
    pub addresses: AddressRules,
    /// Which web pages of other origins may read.
    pub cors: Cors,
    /// How often one client may ask.
    pub rate: RateRule,
    /// Whether a user is one client wherever he comes from.
    pub rate_per_user: bool,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bounds of connections.
    pub limits: ServerLimits,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            monitoring: None,
            danger_remote_without_auth: false,
            tls: None,
            addresses: AddressRules::default(),
            cors: Cors::default(),
            rate: RateRule::per_second(100, 10),
            rate_per_user: true,
            body_bytes_max: 1 << 20,
            limits: ServerLimits::default(),
        }
    }
}

/// Why a port is not opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The address is not loopback, and nobody would have to say who he is.
    #[error(
        "refusing to listen on {0} without authentication: bind a loopback address, turn authentication on, or set the danger key that allows it"
    )]
    NotLoopback(SocketAddr),
    /// Every web page could read what a machine without authentication shows.
    #[error("refusing to let every web page read without authentication: name the origins")]
    OpenToAllPages,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Ports that are listened on and not served yet.
pub struct Ports {
    main: Opened,
    monitoring: Option<Opened>,
    tls: Option<Arc<ServerConfig>>,
    config: HttpConfig,
}

struct Opened {
    listener: TcpListener,
    address: SocketAddr,
    trust: Trust,
}

impl HttpConfig {
    /// Opens the ports.
    ///
    /// `identities` says whether there is somebody who knows them, `scraper` whether scrapers have a token.
    ///
    /// # Errors
    /// [`PortError`] says what cannot work.
    pub fn open(self, identities: bool, scraper: bool) -> Result<Ports, PortError> {
        let tls = self.tls.as_ref().map(TlsFiles::load).transpose()?;
        if self.cors.is_everybody() && !identities {
            return Err(PortError::OpenToAllPages);
        }
        let trust = |address: SocketAddr, monitoring: bool| {
            if identities {
                Ok(Trust::Identities)
            } else if address.ip().to_canonical().is_loopback() {
                Ok(Trust::Machine)
            } else if monitoring && scraper {
                Ok(Trust::Scraper)
            } else if self.danger_remote_without_auth {
                Ok(Trust::Anybody)
            } else {
                Err(PortError::NotLoopback(address))
            }
        };
        let monitoring = self
            .monitoring
            .map(|address| Opened::listen(address, trust(address, true)?))
            .transpose()?;
        Ok(Ports {
            main: Opened::listen(self.bind, trust(self.bind, false)?)?,
            monitoring,
            tls,
            config: self,
        })
    }
}

impl Opened {
    fn listen(address: SocketAddr, trust: Trust) -> Result<Self, PortError> {
        let error = |cause| PortError::Bind { address, cause };
        let listener = TcpListener::bind(address).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        Ok(Self {
            address: listener.local_addr().map_err(error)?,
            listener,
            trust,
        })
    }
}

impl Ports {
    /// Whether passwords would cross a network in the clear.
    pub fn is_exposed(&self) -> bool {
        let remote = !self.main.address.ip().to_canonical().is_loopback();
        self.main.trust == Trust::Identities && remote && self.tls.is_none()
    }

    /// Where every route is served.
    pub fn address(&self) -> SocketAddr {
        self.main.address
    }

    /// Where scrapers and probes have a port of their own.
    pub fn monitoring_address(&self) -> Option<SocketAddr> {
        self.monitoring.as_ref().map(|opened| opened.address)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What is behind the ports. To be called inside the runtime that will serve them.
    ///
    /// # Errors
    /// When the runtime cannot watch a listener; the first one's address goes with it.
    pub fn into_doors(self, state: &Arc<HttpState>) -> Result<Vec<Door>, PortError> {
        let monitoring_limits = ServerLimits {
            connections_max: MONITORING_CONNECTIONS_MAX,
            ..self.config.limits
        };
        let opened = [
            (Some(self.main), Reach::Everything, self.config.limits),
            (self.monitoring, Reach::Monitoring, monitoring_limits),
        ];
        let doors = opened.into_iter().filter_map(|(opened, reach, limits)| {
            let Opened {
                listener,
                address,
                trust,
            } = opened?;
            let surface = Surface {
                reach,
                trust,
                tls: self.tls.is_some(),
                cors: self.config.cors.clone(),
                shape: ShapeLimits::default(),
                body_bytes_max: self.config.body_bytes_max,
                rate: self.config.rate,
                rate_per_user: self.config.rate_per_user,
            };
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|cause| PortError::Bind { address, cause });
            Some(listener.map(|listener| Door {
                listener,
                tls: self.tls.clone(),
                addresses: self.config.addresses.clone(),
                router: router(Arc::clone(state), surface),
                limits,
            }))
        });
        doors.collect()
    }
}
