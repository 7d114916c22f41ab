//! Bringing a mail to the mail server: one connection, one message, one recipient, so that each answer is about one delivery.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::config::{self, SmtpTls};
use crate::tls::{self, TlsError};

use super::channels::{Outgoing, Receipt};
use super::error::{Verdict, chain};
use super::stream::{self, EncryptError};
use super::templates::Rendered;
use super::words::line;
use super::{DeliveryError, Progress, mail, secret};

/// How long the server may take to say goodbye: it has the message already.
const GOODBYE: Duration = Duration::from_millis(500);

/// The mail server.
#[derive(Debug)]
pub(super) struct MailServer {
    host: String,
    port: u16,
    encryption: Encryption,
    from: Mailbox,
    sign_in: Option<(String, PathBuf)>,
    hello: ClientId,
    timeout: Duration,
}

#[derive(Debug)]
enum Encryption {
    Implicit(Arc<ClientConfig>),
    None,
    StartTls(Arc<ClientConfig>),
}

/// Why the mail server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailServerError {
    /// `from` is no address.
    #[error("`[notify.smtp] from` is not a mail address")]
    From(#[source] lettre::address::AddressError),
    /// The authorities to trust cannot be read.
    #[error("`[notify.smtp]` cannot be set up")]
    Tls(#[source] TlsError),
}

impl MailServer {
    pub(super) fn new(settings: &config::Smtp) -> Result<Self, MailServerError> {
        let client = || {
            let config = tls::client(settings.ca.as_deref()).map_err(MailServerError::Tls)?;
            let mut config = ClientConfig::clone(&config);
            // No HTTP is spoken here.
            config.alpn_protocols.clear();
            Ok(Arc::new(config))
        };
        let from: Mailbox = settings.from.parse().map_err(MailServerError::From)?;
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            encryption: match settings.tls {
                SmtpTls::Implicit => Encryption::Implicit(client()?),
                SmtpTls::Off => Encryption::None,
                SmtpTls::StartTls => Encryption::StartTls(client()?),
            },
            // RFC 5321, section 4.1.4 wants the client's name; of the sender's domain it knows at least that it is ours.
            hello: ClientId::Domain(from.email.domain().to_owned()),
            from,
            sign_in: settings.sign_in.clone(),
            timeout: settings.timeout,
        })
    }

    /// Brings the mail of `outgoing` to `recipient`.
    pub(super) async fn deliver(
        &self,
        outgoing: &Outgoing<'_>,
        recipient: &str,
        words: Rendered,
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let to: Address = recipient.parse().map_err(|error| DeliveryError::Local {
            what: format!("`{}` is not a mail address: {error}", line(recipient, 200)),
        })?;
        let message = mail::compose(outgoing, words, &self.from, &to)?;
        let mut session = Session {
            server: self,
            step: "connecting",
        };
        let message = message.formatted();
        let work = session.run(&to, &message, progress);
        let outcome = tokio::time::timeout(self.timeout, work).await;
        outcome.unwrap_or_else(|_| {
            Err(DeliveryError::TimedOut {
                far: self.name(),
                step: session.step,
                limit: self.timeout,
            })
        })
    }

    fn name(&self) -> String {
        format!("the mail server {}", self.authority())
    }

    fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.host, self.port),
        }
    }
}

/// One delivery, and how far it has come.
struct Session<'a> {
    server: &'a MailServer,
    step: &'static str,
}

impl Session<'_> {
    async fn run(
        &mut self,
        to: &Address,
        message: &[u8],
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let mut connection = self.connect(progress).await?;
        self.sign_in(&mut connection, progress).await?;
        let mut parameters = Vec::new();
        let is_international =
            !to.to_string().is_ascii() || !self.server.from.email.to_string().is_ascii();
        if is_international {
            if !connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight)
            {
                return Err(DeliveryError::Answered {
                    far: self.server.name(),
                    step: "the recipient",
                    answer: "no SMTPUTF8: it takes no addresses beyond ASCII".to_owned(),
                    verdict: Verdict::Never,
                    retry_after: None,
                });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if connection
            .server_info()
            .supports_feature(Extension::EightBitMime)
        {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let from = self.server.from.email.clone();
        self.step = "the sender";
        let answer = connection.command(Mail::new(Some(from), parameters)).await;
        self.answered(answer)?;
        self.step = "the recipient";
        let answer = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        self.answered(answer)?;
        progress.step(&format!("it takes mail for {to}"));
        self.step = "DATA";
        let answer = connection.command(Data).await;
        self.answered(answer)?;
        self.step = "the message";
        let answer = connection.message(message).await;
        let answer = self.answered(answer)?;
        // It has the message now, whatever becomes of the goodbye.
        let _ = tokio::time::timeout(GOODBYE, connection.command(Quit)).await;
        let text = said(&answer);
        progress.step(&format!("it has taken the message: {text}"));
        Ok(Receipt { text })
    }

    async fn connect(
        &mut self,
        progress: &mut dyn Progress,
    ) -> Result<AsyncSmtpConnection, DeliveryError> {
        let server = self.server;
        let failed = |why: String| DeliveryError::Connect {
            far: server.name(),
            why,
        };
        let stream = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(|error| failed(error.to_string()))?;
        progress.step(&format!("connected to {}", server.authority()));
        let refused = |error: EncryptError| failed(chain(&error));
        let stream = match &server.encryption {
            Encryption::Implicit(tls) => {
                self.step = "the TLS handshake";
                let tls = Arc::clone(tls);
                stream::encrypt(stream, &server.host, tls)
                    .await
                    .map_err(refused)?
            }
            Encryption::None => stream::plain(stream).map_err(|error| failed(error.to_string()))?,
            Encryption::StartTls(tls) => {
                self.step = "STARTTLS";
                let (tls, hello) = (Arc::clone(tls), server.hello.to_string());
                stream::start_tls(stream, &server.host, &hello, tls)
                    .await
                    .map_err(refused)?
            }
        };
        match server.encryption {
            Encryption::Implicit(_) | Encryption::StartTls(_) => {
                progress.step("encrypted, and the server's certificate is good");
            }
            Encryption::None => progress.step("not encrypted"),
        }
        self.step = "the greeting";
        let connected =
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &server.hello).await;
        connected.map_err(|error| self.failed(&error))
    }

    async fn sign_in(
        &mut self,
        connection: &mut AsyncSmtpConnection,
        progress: &mut dyn Progress,
    ) -> Result<(), DeliveryError> {
        let Some((username, path)) = &self.server.sign_in else {
            return Ok(());
        };
        self.step = "signing in";
        let password = secret::read(path).await?;
        let credentials = Credentials::new(username.clone(), password.as_str().to_owned());
        let offered = [Mechanism::Plain, Mechanism::Login];
        let answer = connection.auth(&offered, &credentials).await;
        self.answered(answer)?;
        progress.step(&format!("signed in as {username}"));
        Ok(())
    }

    fn answered(
        &self,
        answer: Result<Response, lettre::transport::smtp::Error>,
    ) -> Result<Response, DeliveryError> {
        answer.map_err(|error| self.failed(&error))
    }

    /// What an error means. A refusal of the sender or of the sign-in is for the operator to mend, so it is not the message's.
    fn failed(&self, error: &lettre::transport::smtp::Error) -> DeliveryError {
        let far = self.server.name();
        let step = self.step;
        if let Some(code) = error.status() {
            let is_messages = matches!(step, "the recipient" | "DATA" | "the message");
            return DeliveryError::Answered {
                far,
                step,
                answer: chain(error),
                verdict: if code.severity == Severity::PermanentNegativeCompletion && is_messages {
                    Verdict::Never
                } else {
                    Verdict::Later
                },
                retry_after: None,
            };
        }
        DeliveryError::Broken {
            far,
            step,
            why: chain(error),
        }
    }
}

/// `250 2.0.0 queued as 4711`
fn said(answer: &Response) -> String {
    let text = answer.message().next().unwrap_or_default();
    line(&format!("{} {text}", answer.code()), 200)
}

#[cfg(test)]
pub(super) mod tests;
