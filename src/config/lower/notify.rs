//! `[notify]`, `[notify.smtp]` and `[[webhook]]`: whom the gateway tells what happens.

use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use url::Url;

use super::endpoint::is_loopback;
use super::{Lowering, is_host};
use crate::config::problem::{Place, shown};
use crate::config::raw::{RawNotify, RawSmtp, RawWebhook};
use crate::config::reader::{At, Tables};
use crate::config::{Notify, Role, Smtp, SmtpTls, Webhook, WebhookUrl};
use crate::model::NoticeKind;

/// The longest attempt to deliver a message.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(10);

/// The name of the mail server among the channels.
const MAIL: &str = "mail";

impl Lowering<'_, '_> {
    pub(super) fn notify(
        &mut self,
        at: At<RawNotify>,
        webhooks: Option<At<Tables<RawWebhook>>>,
    ) -> Option<Notify> {
        let raw = at.value;
        let webhooks = webhooks.map_or_else(Vec::new, |it| self.webhooks(it.value.0));
        let mails = raw.smtp.is_some();
        let smtp = raw.smtp.and_then(|it| self.smtp(it.value));
        let listed = raw.escalate_to.map(|it| it.value.0).unwrap_or_default();
        let escalate_to: Vec<String> = listed
            .into_iter()
            .filter_map(|it| self.address(&it, "escalate_to"))
            .collect();
        let is_silent = !mails && webhooks.is_empty();
        for (key, after) in [
            ("remind_after", &raw.remind_after),
            ("escalate_after", &raw.escalate_after),
        ] {
            let Some(after) = after else { continue };
            if is_silent {
                self.problem(
                    &after.place,
                    format!("`{key}`: there is nothing to send it by"),
                    "add `[notify.smtp]` or a `[[webhook]]`, or take the key out",
                );
            } else if key == "escalate_after" && escalate_to.is_empty() && webhooks.is_empty() {
                self.problem(
                    &after.place,
                    "`escalate_after`: there is nobody to escalate to",
                    "list their addresses in `escalate_to`",
                );
            }
        }
        let link = raw.link.and_then(|it| self.link(it));
        let templates = raw
            .templates
            .map(|it| self.file(&it, Role::TemplateDirectory));
        Some(Notify {
            link,
            remind_after: raw.remind_after.map(|it| it.value),
            escalate_after: raw.escalate_after.map(|it| it.value),
            escalate_to,
            give_up_after: raw.give_up_after?.value,
            templates,
            smtp,
            webhooks,
        })
    }

    fn link(&mut self, link: At<Url>) -> Option<Url> {
        let is_right = match link.value.scheme() {
            "https" => true,
            "http" => is_loopback(&link.value),
            _ => false,
        };
        let is_plain = link.value.query().is_none()
            && link.value.fragment().is_none()
            && link.value.username().is_empty()
            && link.value.password().is_none();
        if is_right && is_plain {
            return Some(link.value);
        }
        self.problem(
            &link.place,
            "`link`: people sign in there, so it is `https://`, a host and perhaps a path",
            "such as `https://pam.fabrikam.example`; `http://` is for loopback addresses",
        );
        None
    }

    fn address(&mut self, at: &At<String>, key: &str) -> Option<String> {
        let address = at.value.parse::<Address>().ok();
        if address.is_none() {
            let message = format!("`{key}`: `{}` is not a mail address", shown(&at.value));
            self.problem(&at.place, message, "such as `pam@fabrikam.example`");
        }
        address.map(|it| it.to_string())
    }

    fn smtp(&mut self, raw: RawSmtp) -> Option<Smtp> {
        let tls = raw.tls.map(|it| it.value);
        let server = raw.server.and_then(|it| self.server(&it, tls));
        let trusted = raw.trusted_plaintext.is_some_and(|it| it.value);
        if let Some((host, _, place)) = &server
            && tls == Some(SmtpTls::Off)
            && !trusted
            && !is_local(host)
        {
            self.problem(
                place,
                "`server`: with `tls = \"off\"` everybody on the way could read and write what is sent",
                "use `starttls` or `implicit`, or say `trusted_plaintext = true` if nobody is on the way",
            );
        }
        let from = raw.from.and_then(|it| {
            let is_mailbox = it.value.parse::<Mailbox>().is_ok();
            if !is_mailbox {
                let message = format!("`from`: `{}` is not a mail address", shown(&it.value));
                let hint = "such as `Portcullis <portcullis@fabrikam.example>`";
                self.problem(&it.place, message, hint);
            }
            is_mailbox.then_some(it.value)
        });
        let sign_in = match (raw.username, raw.password_file) {
            (Some(username), Some(file)) => Some((username.value, self.file(&file, Role::Secret))),
            (Some(half), None) => {
                self.problem(
                    &half.place,
                    "`username`: there is no `password_file` for it",
                    "write the password into a file that only the gateway can read, and name that",
                );
                None
            }
            (None, Some(half)) => {
                let message = "`password_file`: there is no `username` for it";
                self.problem(&half.place, message, "say whose password it is");
                None
            }
            (None, None) => None,
        };
        let domain = raw.domain.and_then(|it| {
            let domain = it.value.trim_start_matches('@').to_ascii_lowercase();
            if is_host(&domain) {
                return Some(domain);
            }
            let message = format!("`domain`: `{}` is not a domain", shown(&it.value));
            self.problem(&it.place, message, "such as `fabrikam.example`");
            None
        });
        let ca = raw.ca.map(|it| self.file(&it, Role::NotifyCa));
        let timeout = raw.timeout.and_then(|it| self.attempt(&it));
        let (host, port, _) = server?;
        Some(Smtp {
            host,
            port,
            tls: tls?,
            ca,
            from: from?,
            sign_in,
            domain,
            timeout: timeout?,
            connections: usize::try_from(raw.connections?.value.get()).ok()?,
        })
    }

    /// How long one attempt may take.
    fn attempt(&mut self, timeout: &At<Duration>) -> Option<Duration> {
        if timeout.value <= LONGEST_ATTEMPT {
            return Some(timeout.value);
        }
        let message = "`timeout`: an attempt takes at most `10m`";
        self.problem(&timeout.place, message, "what fails is tried again");
        None
    }

    /// Host, port, and where they were set.
    fn server(&mut self, at: &At<String>, tls: Option<SmtpTls>) -> Option<(String, u16, Place)> {
        let usual = match tls {
            Some(SmtpTls::Implicit) => 465,
            Some(SmtpTls::Off) => 25,
            Some(SmtpTls::StartTls) | None => 587,
        };
        let text = at.value.to_ascii_lowercase();
        // An IPv6 address goes in brackets where a port follows it.
        let (host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text.as_str(), None),
            },
        };
        let port = port.map_or(Some(usual), |it| it.parse().ok().filter(|it| *it != 0));
        let is_known = is_host(host) || host.parse::<std::net::IpAddr>().is_ok();
        match port {
            Some(port) if is_known => Some((host.to_owned(), port, at.place.clone())),
            _ => {
                let message = format!("`server`: `{}` is not a mail server", shown(&at.value));
                let hint = "a host, and perhaps a port, such as `mail.fabrikam.example:587`";
                self.problem(&at.place, message, hint);
                None
            }
        }
    }

    fn webhooks(&mut self, raw: Vec<At<RawWebhook>>) -> Vec<Webhook> {
        let names: Vec<(String, Place)> = raw
            .iter()
            .filter_map(|it| it.value.name.as_ref())
            .map(|it| (it.value.clone(), it.place.clone()))
            .collect();
        self.distinct(
            "the name",
            names.iter().map(|it| (it.0.as_str(), it.1.clone())),
        );
        raw.into_iter().filter_map(|it| self.webhook(it)).collect()
    }

    fn webhook(&mut self, at: At<RawWebhook>) -> Option<Webhook> {
        let raw = at.value;
        let name = raw.name.and_then(|it| {
            let is_name = super::is_node_name(&it.value) && !it.value.eq_ignore_ascii_case(MAIL);
            if !is_name {
                let message = format!("`name`: `{}` is no name for a webhook", shown(&it.value));
                let hint = "1 to 64 letters, digits, `.`, `_` and `-`; `mail` is the mail server's";
                self.problem(&it.place, message, hint);
            }
            is_name.then_some(it.value)
        });
        let url = match (raw.url, raw.url_file) {
            (Some(url), None) => self.webhook_url(url).map(WebhookUrl::Url),
            (None, Some(file)) => Some(WebhookUrl::File(self.file(&file, Role::Secret))),
            (Some(_), Some(file)) => {
                let message = "`url_file`: `url` says it already";
                self.problem(&file.place, message, "take one of the two out");
                None
            }
            (None, None) => {
                let is_told = ["url", "url_file"]
                    .iter()
                    .any(|key| self.reader.is_wrong(&at.path, key));
                if !is_told {
                    let message = "`url` is missing in `[[webhook]]`";
                    let hint = "where messages are posted; `url_file`, if the URL is a secret";
                    self.problem(&at.place, message, hint);
                }
                None
            }
        };
        let events = match raw.events {
            None => NoticeKind::ALL.to_vec(),
            Some(events) => events.value.0.into_iter().map(|it| it.value).collect(),
        };
        let secret_file = raw.secret_file.map(|it| self.file(&it, Role::Secret));
        let ca = raw.ca.map(|it| self.file(&it, Role::NotifyCa));
        let timeout = raw.timeout.and_then(|it| self.attempt(&it));
        Some(Webhook {
            name: name?,
            url: url?,
            shape: raw.shape?.value,
            secret_file,
            ca,
            events,
            timeout: timeout?,
            connections: usize::try_from(raw.connections?.value.get()).ok()?,
        })
    }

    fn webhook_url(&mut self, url: At<Url>) -> Option<Url> {
        if is_webhook_url(&url.value) {
            return Some(url.value);
        }
        self.problem(
            &url.place,
            "`url`: this is not where messages can be posted",
            "an `https://` URL without a user and password; `http://` is for loopback addresses",
        );
        None
    }
}

/// Whether the mail server is on this machine.
fn is_local(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|it| it.to_canonical().is_loopback())
}

/// Whether messages may be posted there: by https, or to this machine, and without credentials in the URL.
pub fn is_webhook_url(url: &Url) -> bool {
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    };
    is_safe && url.username().is_empty() && url.password().is_none()
}
