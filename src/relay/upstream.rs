//! Connections to another broker: TCP or TLS, as the configuration says. The steward dials here for itself, and each client's
//! relay for its client. What is said over the connection is no concern of this file; it keeps none, and never tries twice.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, crypto};

use super::Stream;
use super::steward::Dial;
use crate::clock::Clock;
use crate::config::{Upstream, UpstreamTls};

/// How long a connection may be silent before the system asks whether the other side is there, how often it asks then, and how
/// often in vain: a dead peer is found out within half a minute.
const SILENCE: Duration = Duration::from_secs(10);
const PROBES: Duration = Duration::from_secs(5);
const PROBES_IN_VAIN: u32 = 4;

/// How long what was written may stay unacknowledged by the other side's system, on systems where that can be said.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Dials one broker.
pub(crate) struct Dialer {
    host: String,
    port: u16,
    name: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    username: Option<Arc<str>>,
    password: Option<Arc<[u8]>>,
}

/// Why a broker cannot be dialled as it is configured; it says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialerError {
    #[error("{key} {file} cannot be used: {source}; a readable PEM file with {expected} is expected")]
    File { key: &'static str, file: String, expected: &'static str, source: pem::Error },
    #[error("ca_file {file} has no certificate that can be used; the certificate of the authority is expected")]
    NoAuthority { file: String },
    #[error("this machine trusts no certificate authority{0}; install its ca-certificates, or name a ca_file")]
    NoNativeAuthority(String),
    #[error("cert_file and key_file cannot be used together: {0}; the key must be that of the certificate")]
    Identity(rustls::Error),
    #[error("{0} is no name that a certificate can be for; give the one in the broker's certificate as server_name")]
    ServerName(String),
    #[error("TLS is not to be had: {0}")]
    Tls(rustls::Error),
}

impl Dialer {
    /// Reads the files that the configuration names; dials nothing yet.
    ///
    /// # Errors
    /// A file that cannot be used, or a name that no certificate can have.
    pub(crate) fn new(upstream: &Upstream) -> Result<Self, DialerError> {
        let tls = match &upstream.tls {
            None => None,
            Some(tls) => {
                let name = tls.server_name.as_ref().unwrap_or(&upstream.host);
                let server = ServerName::try_from(name.clone()).map_err(|_| DialerError::ServerName(name.clone()))?;
                Some((TlsConnector::from(Arc::new(client_config(tls)?)), server))
            }
        };
        Ok(Dialer {
            host: upstream.host.clone(),
            port: upstream.port,
            name: upstream.to_string(),
            tls,
            username: upstream.username.clone(),
            password: upstream.password.clone(),
        })
    }

    /// Who Weir says it is.
    pub(crate) fn username(&self) -> Option<&Arc<str>> {
        self.username.as_ref()
    }

    pub(crate) fn password(&self) -> Option<&Arc<[u8]>> {
        self.password.as_ref()
    }

    /// Tries each address of the host until one answers. An address that is silent leaves their share of the time to the others.
    async fn try_each(&self, clock: &Clock, deadline: u64) -> io::Result<Stream> {
        let addresses: Vec<SocketAddr> =
            within(clock, deadline, tokio::net::lookup_host((self.host.as_str(), self.port))).await?.collect();
        let mut error = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let now = clock.now().mono;
            let share = deadline.saturating_sub(now) / (addresses.len() - tried) as u64;
            match within(clock, now + share, self.establish(*address)).await {
                Ok(stream) => return Ok(stream),
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    async fn establish(&self, address: SocketAddr) -> io::Result<Stream> {
        let tcp = TcpStream::connect(address).await?;
        // A packet is written whole: waiting for more would only delay it.
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(&tcp);
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBES).with_retries(PROBES_IN_VAIN);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        match &self.tls {
            None => Ok(Stream::Tcp(tcp)),
            Some((connector, server)) => {
                let tls = connector.connect(server.clone(), tcp).await.map_err(with_hint)?;
                Ok(Stream::Tls(Box::new(tls)))
            }
        }
    }
}

impl Dial for Dialer {
    type Stream = Stream;

    fn name(&self) -> &str {
        &self.name
    }

    fn dial(&self, clock: &Clock, timeout_ms: u64) -> impl Future<Output = io::Result<Stream>> + Send {
        self.try_each(clock, clock.now().mono + timeout_ms)
    }
}

async fn within<T>(clock: &Clock, deadline: u64, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::select! {
        done = work => done,
        () = clock.sleep_until(deadline) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")),
    }
}

/// Says what to do about a certificate that is not taken.
fn with_hint(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(fault)) = tls else { return error };
    let hint = match fault {
        // An authority that was made anew under its old name shows by its signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "name the authority it comes from as ca_file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "give the name it is for as server_name"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {hint}"))
}

fn client_config(tls: &UpstreamTls) -> Result<ClientConfig, DialerError> {
    let roots = match &tls.ca_file {
        Some(file) => authorities_of(file)?,
        None => native_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(DialerError::Tls)?
        .with_root_certificates(roots);
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let certificates = certificates_of("cert_file", cert_file)?;
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|source| unusable("key_file", key_file, "a private key", source))?;
            builder.with_client_auth_cert(certificates, key).map_err(DialerError::Identity)
        }
        // The configuration has either both or none.
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn authorities_of(file: &Path) -> Result<RootCertStore, DialerError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates_of("ca_file", file)?);
    match roots.is_empty() {
        true => Err(DialerError::NoAuthority { file: file.display().to_string() }),
        false => Ok(roots),
    }
}

fn native_authorities() -> Result<RootCertStore, DialerError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(DialerError::NoNativeAuthority(why));
    }
    Ok(roots)
}

fn certificates_of(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, DialerError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(pem::Error::NoItemsFound),
        other => other,
    }
    .map_err(|source| unusable(key, file, "a certificate", source))
}

fn unusable(key: &'static str, file: &Path, expected: &'static str, source: pem::Error) -> DialerError {
    DialerError::File { key, file: file.display().to_string(), expected, source }
}

#[cfg(test)]
mod tests;
