use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

use crate::config::Smtp;
use crate::model::NoticeKind;
use crate::notify::sample;
use crate::notify::templates::Templates;
use crate::notify::testing::{Mailing, Offer, Postbox, TlsFrom};
use crate::notify::words::tell;

use super::*;

/// A CA and a certificate of it for this machine in `directory`, and the server that shows it.
pub(crate) fn certificate(directory: &Path) -> Arc<rustls::ServerConfig> {
    tls::install_provider();
    let names = ["localhost", "127.0.0.1"];
    tls::write_development_certificates(directory, &names).unwrap();
    let chain = CertificateDer::pem_file_iter(directory.join("server.pem"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server-key.pem")).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn settings(postbox: &Postbox) -> Smtp {
    Smtp {
        host: "localhost".to_owned(),
        port: postbox.address().port(),
        tls: SmtpTls::Off,
        ca: None,
        from: "Portcullis <portcullis@fabrikam.example>".to_owned(),
        sign_in: None,
        domain: None,
        timeout: Duration::from_secs(20),
        connections: 1,
    }
}

/// Keeps the steps.
#[derive(Default)]
struct Steps(Vec<String>);

impl Progress for Steps {
    fn step(&mut self, what: &str) {
        self.0.push(what.to_owned());
    }
}

async fn sent_to(settings: &Smtp, to: &str) -> (Result<Receipt, DeliveryError>, Vec<String>) {
    let notice = sample::notice(NoticeKind::RequestFiled);
    let outgoing = Outgoing {
        id: Uuid::from_u128(7),
        notice: &notice,
    };
    let words = Templates::open(None)
        .0
        .render(&tell(&notice, sample::link().as_ref()));
    let mut steps = Steps::default();
    let server = MailServer::new(settings).unwrap();
    let outcome = server.deliver(&outgoing, to, words, &mut steps).await;
    (outcome, steps.0)
}

async fn sent(settings: &Smtp) -> (Result<Receipt, DeliveryError>, Vec<String>) {
    sent_to(settings, "bo@fabrikam.example").await
}

/// What went wrong, without the port.
async fn problem(settings: &Smtp) -> String {
    let error = sent(settings).await.0.unwrap_err();
    let text = error.to_string();
    let port = format!(":{}", settings.port);
    format!(
        "{} (refused: {})",
        text.replace(&port, ":PORT"),
        error.is_refusal()
    )
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let postbox = Postbox::start(Mailing::Accepts);
    let (outcome, steps) = sent(&settings(&postbox)).await;
    assert_eq!(outcome.unwrap().text, "250 2.0.0 queued as 4711");
    let mail = postbox.wait_for(1).remove(0);
    assert_eq!(mail.from, "portcullis@fabrikam.example");
    assert_eq!(mail.to, "bo@fabrikam.example");
    assert_eq!(
        mail.header("Message-ID").unwrap(),
        "<00000000-0000-0000-0000-000000000007@fabrikam.example>"
    );
    assert_eq!(mail.header("Auto-Submitted").unwrap(), "auto-generated");
    assert!(mail.text.contains("Sign in to decide"));
    assert_eq!(
        steps.last().unwrap(),
        "it has taken the message: 250 2.0.0 queued as 4711"
    );
}

#[tokio::test]
async fn each_answer_is_told_with_the_step_and_only_the_messages_own_refusal_is_final() {
    let postbox = Postbox::start(Mailing::Accepts);
    let mut told = Vec::new();
    for mailing in [
        Mailing::Answers("connect", "554 go away"),
        Mailing::Answers("EHLO", "502 what?"),
        Mailing::Answers("MAIL", "550 not you"),
        Mailing::Answers("RCPT", "450 greylisted"),
        Mailing::Answers("RCPT", "550 5.1.1 no such user"),
        Mailing::Answers("DATA", "452 too full"),
        Mailing::Answers(".", "554 looks like spam"),
        Mailing::Drops("connect"),
        Mailing::Drops("RCPT"),
        Mailing::Drops("."),
    ] {
        postbox.behave(mailing);
        told.push(problem(&settings(&postbox)).await);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    the mail server localhost:PORT answered `permanent error (554): go away` to the greeting (refused: false)
    the mail server localhost:PORT answered `permanent error (502): what?` to the greeting (refused: false)
    the mail server localhost:PORT answered `permanent error (550): not you` to the sender (refused: false)
    the mail server localhost:PORT answered `transient error (450): greylisted` to the recipient (refused: false)
    the mail server localhost:PORT answered `permanent error (550): 5.1.1 no such user` to the recipient (refused: true)
    the mail server localhost:PORT answered `transient error (452): too full` to DATA (refused: false)
    the mail server localhost:PORT answered `permanent error (554): looks like spam` to the message (refused: true)
    the mail server localhost:PORT broke off at the greeting: response error: incomplete response (refused: false)
    the mail server localhost:PORT broke off at the recipient: response error: incomplete response (refused: false)
    the mail server localhost:PORT broke off at the message: response error: incomplete response (refused: false)
    ");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_wherever_it_does() {
    let postbox = Postbox::start(Mailing::Accepts);
    let settings = Smtp {
        timeout: Duration::from_millis(200),
        ..settings(&postbox)
    };
    let mut told = Vec::new();
    for step in ["connect", "RCPT", "."] {
        postbox.behave(Mailing::Hangs(step));
        told.push(problem(&settings).await);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    the mail server localhost:PORT did not answer within 0.2 s, at the greeting (refused: false)
    the mail server localhost:PORT did not answer within 0.2 s, at the recipient (refused: false)
    the mail server localhost:PORT did not answer within 0.2 s, at the message (refused: false)
    ");
}

#[tokio::test]
async fn a_goodbye_that_never_comes_loses_nothing() {
    let postbox = Postbox::start(Mailing::Hangs("QUIT"));
    sent(&settings(&postbox)).await.0.unwrap();
    assert_eq!(postbox.mails().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = Smtp {
        port,
        ..settings(&Postbox::start(Mailing::Accepts))
    };
    let told = problem(&settings).await;
    assert!(
        told.starts_with("cannot connect to the mail server localhost:PORT: "),
        "{told}"
    );
}

#[tokio::test]
async fn tls_and_a_password_are_used_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let server = certificate(folder.path());
    let password = folder.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    for (tls, from) in [
        (SmtpTls::Implicit, TlsFrom::Start),
        (SmtpTls::StartTls, TlsFrom::StartTls),
    ] {
        let offer = Offer {
            tls: Some((Arc::clone(&server), from)),
            sign_in: Some(("portcullis", "hunter2")),
        };
        let postbox = Postbox::offering(offer, Mailing::Accepts);
        let settings = Smtp {
            tls,
            ca: Some(folder.path().join("ca.pem")),
            sign_in: Some(("portcullis".to_owned(), password.clone())),
            ..settings(&postbox)
        };
        let (outcome, steps) = sent(&settings).await;
        outcome.unwrap();
        let mail = postbox.wait_for(1).remove(0);
        assert_eq!(mail.user.as_deref(), Some("portcullis"));
        assert!(mail.was_encrypted);
        assert!(steps.contains(&"signed in as portcullis".to_owned()));
        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, "hunter3\n").unwrap();
        let settings = Smtp {
            sign_in: Some(("portcullis".to_owned(), wrong)),
            ..settings
        };
        let told = problem(&settings).await;
        assert!(
            told.contains("535") && told.contains("signing in") && !told.contains("hunter"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn nothing_goes_in_the_clear_that_should_be_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("a"), folder.path().join("b"));
    let server = certificate(&ours);
    certificate(&theirs);
    // A server without STARTTLS, and one with a certificate of somebody else's CA.
    let plain = Postbox::start(Mailing::Accepts);
    let refused = Smtp {
        tls: SmtpTls::StartTls,
        ca: Some(ours.join("ca.pem")),
        ..settings(&plain)
    };
    let mut told = vec![problem(&refused).await];
    for (tls, from) in [
        (SmtpTls::Implicit, TlsFrom::Start),
        (SmtpTls::StartTls, TlsFrom::StartTls),
    ] {
        let offer = Offer {
            tls: Some((Arc::clone(&server), from)),
            ..Offer::default()
        };
        let postbox = Postbox::offering(offer, Mailing::Accepts);
        let refused = Smtp {
            tls,
            ca: Some(theirs.join("ca.pem")),
            ..settings(&postbox)
        };
        told.push(problem(&refused).await);
        assert_eq!(postbox.mails(), []);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    cannot connect to the mail server localhost:PORT: the server offers no STARTTLS: use `tls = \"implicit\"` if it has a port for that, or another server (refused: false)
    cannot connect to the mail server localhost:PORT: the TLS handshake failed: invalid peer certificate: BadSignature (refused: false)
    cannot connect to the mail server localhost:PORT: the TLS handshake failed: invalid peer certificate: BadSignature (refused: false)
    ");
    assert_eq!(plain.mails(), []);
}

#[tokio::test]
async fn what_was_said_before_tls_does_not_count_after_it() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let server = certificate(folder.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let forger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 512];
        stream.write_all(b"220 postbox\r\n").unwrap();
        let _ = stream.read(&mut buffer).unwrap();
        stream
            .write_all(b"250-postbox\r\n250 STARTTLS\r\n")
            .unwrap();
        let _ = stream.read(&mut buffer).unwrap();
        // Somebody on the way adds what the server is to say later.
        stream
            .write_all(b"220 go on\r\n250 forged\r\n250 forged\r\n250 forged\r\n354 forged\r\n250 forged\r\n")
            .unwrap();
        let connection = rustls::ServerConnection::new(server).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let _ = stream.read(&mut buffer);
    });
    let settings = Smtp {
        port,
        tls: SmtpTls::StartTls,
        ca: Some(folder.path().join("ca.pem")),
        ..settings(&Postbox::start(Mailing::Accepts))
    };
    sent(&settings).await.0.unwrap_err();
    forger.join().unwrap();
}

#[tokio::test]
async fn a_server_that_says_too_much_is_left() {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let settings = Smtp {
        port,
        ..settings(&Postbox::start(Mailing::Accepts))
    };
    let told = problem(&settings).await;
    assert!(told.contains("says too much"), "{told}");
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let postbox = Postbox::start(Mailing::Accepts);
    sent_to(&settings(&postbox), "zoë@fabrikam.example")
        .await
        .0
        .unwrap();
    assert_eq!(postbox.wait_for(1)[0].to, "zoë@fabrikam.example");
    postbox.behave(Mailing::Answers("EHLO", "250 postbox"));
    let (outcome, _) = sent_to(&settings(&postbox), "zoë@fabrikam.example").await;
    assert!(outcome.unwrap_err().is_refusal());
}
