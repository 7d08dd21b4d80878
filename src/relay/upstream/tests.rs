//! Dialling real sockets of this machine, with certificates made for the test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{ServerConfig, WebPkiClientVerifier};

use super::*;
use crate::clock::ManualClock;
use crate::limits::UnixMillis;

/// A certificate authority, and a directory with its certificate and what it has issued.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { directory, issuer: Issuer::new(params, key), ca_file }
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let [cert_file, key_file] =
            ["cert", "key"].map(|what| self.directory.path().join(format!("{name}.{what}.pem")));
        std::fs::write(&cert_file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (cert_file, key_file)
    }

    /// A server with a certificate for `broker.internal`, perhaps one that asks its clients for theirs; tells its port.
    async fn serve(&self, asks_clients: bool) -> u16 {
        let (cert_file, key_file) = self.issue("broker.internal", ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if asks_clients {
            let roots = Arc::new(authorities_of(&self.ca_file).unwrap());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let certificates = certificates_of("cert_file", &cert_file).unwrap();
        let config = builder.with_single_cert(certificates, PrivateKeyDer::from_pem_file(key_file).unwrap()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let _ = tls.write_all(b"hello").await;
                    let _ = tls.flush().await;
                }
            }
        });
        port
    }

    fn upstream(&self, port: u16) -> Upstream {
        let tls = UpstreamTls {
            ca_file: Some(self.ca_file.clone()),
            server_name: Some("broker.internal".into()),
            ..UpstreamTls::default()
        };
        Upstream { tls: Some(tls), ..plain("127.0.0.1", port) }
    }
}

fn plain(host: &str, port: u16) -> Upstream {
    Upstream { host: host.into(), port, tls: None, username: None, password: None }
}

fn with_tls(upstream: Upstream, change: impl FnOnce(&mut UpstreamTls)) -> Upstream {
    let mut tls = upstream.tls.unwrap();
    change(&mut tls);
    Upstream { tls: Some(tls), ..upstream }
}

async fn dial(upstream: &Upstream) -> io::Result<Stream> {
    Dialer::new(upstream).unwrap().dial(&Clock::system(), 60_000).await
}

async fn error_of_dialling(upstream: &Upstream) -> String {
    dial(upstream).await.map(|_| ()).unwrap_err().to_string()
}

/// What the server says.
async fn greeting(upstream: &Upstream) -> io::Result<Vec<u8>> {
    let mut greeting = vec![0; 5];
    dial(upstream).await?.read_exact(&mut greeting).await?;
    Ok(greeting)
}

#[tokio::test]
async fn a_broker_is_taken_whose_certificate_comes_from_the_authority_and_is_for_its_name() {
    let authority = Authority::new();
    let upstream = authority.upstream(authority.serve(false).await);
    assert_eq!(greeting(&upstream).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_another_name_is_refused_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = authority.upstream(authority.serve(false).await);
    let distrustful = with_tls(upstream.clone(), |tls| tls.ca_file = Some(other.ca_file.clone()));
    let error = error_of_dialling(&distrustful).await;
    assert!(error.ends_with("; name the authority it comes from as ca_file"), "{error}");

    let error = error_of_dialling(&with_tls(upstream, |tls| tls.server_name = None)).await;
    assert!(error.ends_with("; give the name it is for as server_name"), "{error}");
}

#[tokio::test]
async fn a_broker_that_asks_for_a_certificate_gets_the_one_that_is_configured() {
    let authority = Authority::new();
    let upstream = authority.upstream(authority.serve(true).await);
    // In TLS 1.3 the refusal comes after the client's handshake is done.
    assert!(greeting(&upstream).await.is_err());
    let (cert_file, key_file) = authority.issue("weir.internal", ExtendedKeyUsagePurpose::ClientAuth);
    let upstream = with_tls(upstream, |tls| (tls.cert_file, tls.key_file) = (Some(cert_file), Some(key_file)));
    assert_eq!(greeting(&upstream).await.unwrap(), b"hello");
}

#[test]
fn what_cannot_be_used_is_told_with_what_is_expected() {
    let authority = Authority::new();
    let upstream = authority.upstream(1);
    let (cert_file, key_file) = authority.issue("one", ExtendedKeyUsagePurpose::ClientAuth);
    let (_, other_key) = authority.issue("two", ExtendedKeyUsagePurpose::ClientAuth);
    let error_with = |change: &dyn Fn(&mut UpstreamTls)| {
        Dialer::new(&with_tls(upstream.clone(), change)).map(|_| ()).unwrap_err().to_string()
    };
    let missing = PathBuf::from("/nowhere/ca.pem");
    let expected = "ca_file /nowhere/ca.pem cannot be used: ";
    assert!(error_with(&|tls| tls.ca_file = Some(missing.clone())).starts_with(expected));
    let empty = error_with(&|tls| tls.ca_file = Some(key_file.clone()));
    assert!(empty.ends_with("a readable PEM file with a certificate is expected"), "{empty}");
    let no_key = error_with(&|tls| (tls.cert_file, tls.key_file) = (Some(cert_file.clone()), Some(cert_file.clone())));
    assert!(no_key.ends_with("a readable PEM file with a private key is expected"), "{no_key}");
    let mixed = error_with(&|tls| (tls.cert_file, tls.key_file) = (Some(cert_file.clone()), Some(other_key.clone())));
    assert!(mixed.starts_with("cert_file and key_file cannot be used together: "), "{mixed}");
    let name = error_with(&|tls| tls.server_name = Some("a..b".into()));
    assert!(name.starts_with("a..b is no name that a certificate can be for"), "{name}");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // It has an IPv6 address too on most machines, where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = plain("localhost", listener.local_addr().unwrap().port());
    let Ok(Stream::Tcp(tcp)) = dial(&upstream).await else { panic!() };
    assert!(tcp.nodelay().unwrap() && SockRef::from(&tcp).keepalive().unwrap());
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = dial(&plain("127.0.0.1", port)).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new();
    let dialer = Dialer::new(&authority.upstream(listener.local_addr().unwrap().port())).unwrap();
    let manual = ManualClock::at(UnixMillis(0));
    let clock = Clock::Manual(Arc::clone(&manual));
    let given_up = async {
        // It has dialled, and waits for the answer to its TLS hello.
        let accepted = listener.accept().await.unwrap();
        manual.advance(Duration::from_secs(10));
        accepted
    };
    let (dialled, _) = tokio::join!(dialer.dial(&clock, 10_000), given_up);
    assert_eq!(dialled.map(|_| ()).unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_dialer_is_named_by_its_url_without_credentials() {
    let credentials = (Some("user".into()), Some(b"s3cret"[..].into()));
    let upstream = Upstream { username: credentials.0, password: credentials.1, ..plain("::1", 1883) };
    let dialer = Dialer::new(&upstream).unwrap();
    assert_eq!(dialer.name(), "mqtt://[::1]:1883");
    assert_eq!(
        (dialer.username().map(|name| &**name), dialer.password().map(|p| &**p)),
        (Some("user"), Some(&b"s3cret"[..]))
    );
    assert!(!format!("{upstream:?} {upstream}").contains("s3cret"));
}
