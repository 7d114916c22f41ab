//! Handshakes over real sockets.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{HandshakeError, ReloadableServer, client, write_development_certificates};
use super::{development, load, replace, replace_key, said, write};

const LONG: Duration = Duration::from_secs(30);

/// Echoes on each connection that completes its handshake.
async fn echo(server: &Arc<ReloadableServer>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Arc::clone(server);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                if let Ok(stream) = server.accept(stream, LONG).await {
                    let (mut from, mut to) = tokio::io::split(stream);
                    let _gone = tokio::io::copy(&mut from, &mut to).await;
                }
            });
        }
    });
    port
}

async fn connect(
    port: u16,
    config: Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// Checks that what is written comes back.
async fn works(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

fn certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[tokio::test]
async fn development_certificates_serve_their_names_to_those_who_trust_the_ca() {
    let (directory, settings) = development();
    let port = echo(&load(&settings)).await;
    let trusting = client(Some(&directory.path().join("ca.pem"))).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut stream = connect(port, Arc::clone(&trusting), name).await.unwrap();
        works(&mut stream).await;
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    }
    assert!(connect(port, trusting, "other.example").await.is_err());

    let (elsewhere, _) = development();
    let trusting_another = client(Some(&elsewhere.path().join("ca.pem"))).unwrap();
    assert!(connect(port, trusting_another, "localhost").await.is_err());
}

#[tokio::test]
async fn new_handshakes_see_a_reloaded_certificate_and_old_connections_live() {
    let ((one, settings), (other, replacement)) = (development(), development());
    let server = load(&settings);
    let port = echo(&server).await;
    let trust =
        |directory: &tempfile::TempDir| client(Some(&directory.path().join("ca.pem"))).unwrap();
    let mut before = connect(port, trust(&one), "localhost").await.unwrap();
    works(&mut before).await;
    assert!(!server.changed());

    replace(&settings, &replacement);
    assert!(server.changed());
    // Nothing is exchanged before it is told to.
    let same = connect(port, trust(&one), "localhost").await.unwrap();
    assert_eq!(certificate(&same), certificate(&before));

    server.reload().unwrap();
    assert!(!server.changed());
    let after = connect(port, trust(&other), "localhost").await.unwrap();
    assert_ne!(certificate(&after), certificate(&before));
    works(&mut before).await;
}

#[tokio::test]
async fn pair_that_does_not_fit_leaves_the_old_one_in_use() {
    let ((one, settings), (_other, replacement)) = (development(), development());
    let server = load(&settings);
    let port = echo(&server).await;
    let trusting = client(Some(&one.path().join("ca.pem"))).unwrap();

    replace_key(&settings, &replacement);
    assert!(server.changed());
    assert!(said(server.reload()).contains("does not fit"));
    // It was told once; there is nothing new to tell.
    assert!(!server.changed());
    works(
        &mut connect(port, Arc::clone(&trusting), "localhost")
            .await
            .unwrap(),
    )
    .await;

    write(&settings.certificate, "");
    assert!(server.changed());
    assert!(said(server.reload()).contains("no certificate"));
    std::fs::remove_file(&settings.key).unwrap();
    assert!(server.changed());
    assert!(server.reload().is_err());
    assert!(!server.changed());
    works(&mut connect(port, trusting, "localhost").await.unwrap()).await;

    // A deployment that comes in two steps is taken when it is complete.
    replace(&settings, &replacement);
    assert!(server.changed());
    server.reload().unwrap();
}

#[tokio::test]
async fn further_certificate_of_the_same_ca_is_trusted_like_the_first() {
    let (directory, settings) = development();
    let trusting = client(Some(&directory.path().join("ca.pem"))).unwrap();
    std::fs::remove_file(&settings.certificate).unwrap();
    std::fs::remove_file(&settings.key).unwrap();
    write_development_certificates(directory.path(), &["gateway.example", "10.0.0.1"]).unwrap();
    let port = echo(&load(&settings)).await;
    for name in ["gateway.example", "10.0.0.1", "localhost"] {
        works(&mut connect(port, Arc::clone(&trusting), name).await.unwrap()).await;
    }
}

#[tokio::test]
async fn older_clients_may_speak_tls_1_2() {
    let (directory, settings) = development();
    let port = echo(&load(&settings)).await;
    let mut config = ClientConfig::builder_with_provider(super::super::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(super::super::roots(&directory.path().join("ca.pem")).unwrap())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut stream = connect(port, Arc::new(config), "localhost").await.unwrap();
    works(&mut stream).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn client_that_says_nothing_is_given_up() {
    let (_directory, settings) = development();
    let server = load(&settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let outcome = server.accept(stream, Duration::from_millis(20)).await;
    assert!(matches!(outcome, Err(HandshakeError::TooSlow { .. })));
}

#[tokio::test]
async fn client_that_does_not_speak_tls_is_told_apart() {
    let (_directory, settings) = development();
    let server = load(&settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plain = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let outcome = server.accept(stream, LONG).await;
    assert!(matches!(outcome, Err(HandshakeError::Failed { .. })));
}
