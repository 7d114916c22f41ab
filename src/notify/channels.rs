//! The channels of the configuration: whom a notice is owed to on each, and how it gets there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config;
use crate::model::{Notice, NoticeKind};

use super::audience::mailed_to;
use super::smtp::{MailServer, MailServerError};
use super::templates::{Looks, TemplateProblem, Templates, looks};
use super::webhook::{Webhook, WebhookError};
use super::words::tell;
use super::{DeliveryError, Progress, sample};

/// What the mail server is called among the channels; no webhook has this name.
const MAIL: &str = "mail";

/// Everything that takes notices away.
#[derive(Debug)]
pub struct Channels {
    settings: config::Notify,
    all: Vec<Channel>,
    templates: ArcSwap<Templates>,
    /// How the templates' directory looked when it was last read.
    looked: Mutex<Looks>,
}

#[derive(Debug)]
struct Channel {
    name: Arc<str>,
    /// Deliveries on the way at once.
    connections: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Mail(MailServer),
    Webhook(Box<Webhook>),
}

/// Why the channels cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ChannelsError {
    /// The mail server.
    #[error(transparent)]
    MailServer(#[from] MailServerError),
    /// A webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

/// One end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The channel.
    pub channel: Arc<str>,
    /// Whom to reach on it: an address, or nothing where the channel has one end only.
    pub recipient: String,
}

/// A notice on its way.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The delivery's id, the same at each attempt: what the far side can recognise a repetition by.
    pub id: Uuid,
    /// What there is to tell.
    pub notice: &'a Notice,
}

/// The far side has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it said.
    pub text: String,
}

impl Channels {
    /// The channels of these settings. The second part: templates that are broken, in whose place the built-in ones are used.
    pub fn open(settings: &config::Notify) -> Result<(Self, Vec<TemplateProblem>), ChannelsError> {
        let mut channels = Vec::new();
        if let Some(smtp) = &settings.smtp {
            channels.push(Channel {
                name: MAIL.into(),
                connections: smtp.connections,
                way: Way::Mail(MailServer::new(smtp)?),
            });
        }
        for webhook in &settings.webhooks {
            channels.push(Channel {
                name: webhook.name.as_str().into(),
                connections: webhook.connections,
                way: Way::Webhook(Box::new(Webhook::new(webhook)?)),
            });
        }
        let looked = settings.templates.as_deref().map(looks);
        let (templates, problems) = Templates::open(settings.templates.as_deref());
        let channels = Self {
            settings: settings.clone(),
            all: channels,
            templates: ArcSwap::from_pointee(templates),
            looked: Mutex::new(looked.unwrap_or_default()),
        };
        Ok((channels, problems))
    }

    /// Whether the operator's templates look different from when they were last read.
    pub fn templates_changed(&self) -> bool {
        let Some(directory) = self.settings.templates.as_deref() else {
            return false;
        };
        looks(directory) != *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the operator's templates again, and uses them from the next message on if all of them are whole; whether there
    /// are any. What was in use stays otherwise.
    pub fn reload_templates(&self) -> Result<bool, Vec<TemplateProblem>> {
        let Some(directory) = self.settings.templates.as_deref() else {
            return Ok(false);
        };
        // Looked at first: what is written while this reads is read the next time.
        let looked = looks(directory);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = looked;
        let (templates, problems) = Templates::open(Some(directory));
        if !problems.is_empty() {
            return Err(problems);
        }
        self.templates.store(Arc::new(templates));
        Ok(true)
    }

    /// Where this notice is to arrive: each destination once.
    pub fn addressed(&self, notice: &Notice) -> Vec<Destination> {
        let mut to = Vec::new();
        if let Some(smtp) = &self.settings.smtp {
            let channel: Arc<str> = MAIL.into();
            let mut addresses: Vec<String> = mailed_to(notice, &self.settings.escalate_to)
                .into_iter()
                .filter_map(|account| address(account, smtp.domain.as_deref()))
                .collect();
            addresses.sort();
            addresses.dedup();
            to.extend(addresses.into_iter().map(|recipient| Destination {
                channel: Arc::clone(&channel),
                recipient,
            }));
        }
        let webhooks = self.settings.webhooks.iter();
        let posted = webhooks.filter(|it| it.events.contains(&notice.kind));
        to.extend(posted.map(|webhook| Destination {
            channel: webhook.name.as_str().into(),
            recipient: String::new(),
        }));
        to
    }

    /// Whether the mail for this account, if it gets any, goes to `address`.
    pub fn is_address_of(&self, account: &str, address_of: &str) -> bool {
        let domain = self
            .settings
            .smtp
            .as_ref()
            .and_then(|it| it.domain.as_deref());
        address(account, domain).is_some_and(|it| it.eq_ignore_ascii_case(address_of))
    }

    /// What else is owed with a notice of this kind, and how long after: the same as a reminder, and to others.
    pub fn later(&self, kind: NoticeKind) -> impl Iterator<Item = (NoticeKind, Duration)> + use<> {
        let kinds = match kind {
            NoticeKind::RequestFiled => {
                Some((NoticeKind::RequestReminder, NoticeKind::RequestEscalated))
            }
            NoticeKind::BreakGlassTaken => Some((
                NoticeKind::BreakGlassReminder,
                NoticeKind::BreakGlassReminder,
            )),
            _ => None,
        };
        let (remind, escalate) = (self.settings.remind_after, self.settings.escalate_after);
        kinds.into_iter().flat_map(move |(first, second)| {
            let remind = remind.map(|after| (first, after));
            let escalate = escalate.map(|after| (second, after));
            remind.into_iter().chain(escalate)
        })
    }

    /// When a notice that could not be delivered is given up.
    pub fn give_up_after(&self) -> Duration {
        self.settings.give_up_after
    }

    /// Their names, the mail server's first, and how many deliveries each has on the way at once.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.all.iter().map(|it| (&it.name, it.connections))
    }

    /// Brings a notice to one end of a channel, once. Bounded in time by the channel's own settings.
    pub async fn deliver(
        &self,
        outgoing: Outgoing<'_>,
        to: &Destination,
        now: DateTime<Utc>,
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let found = self.all.iter().find(|it| it.name == to.channel);
        let channel = found.ok_or_else(|| DeliveryError::Local {
            what: format!(
                "the configuration has no channel `{}` any more",
                to.channel.escape_debug()
            ),
        })?;
        let told = tell(outgoing.notice, self.settings.link.as_ref());
        match &channel.way {
            Way::Mail(server) => {
                let words = self.templates.load().render(&told);
                server
                    .deliver(&outgoing, &to.recipient, words, progress)
                    .await
            }
            Way::Webhook(webhook) => webhook.deliver(&outgoing, &told, now, progress).await,
        }
    }

    /// A notice that says nothing but that it arrived.
    pub fn test_notice(id: Uuid, by: &str, at: DateTime<Utc>) -> Notice {
        sample::test(id, by, at)
    }
}

/// The mail address of an account: its name, if that is one; a name without `@`, perhaps after a domain and a backslash, at
/// `domain`. A key such as `<oid>@<tid>` is none: its domain has no dot.
fn address(account: &str, domain: Option<&str>) -> Option<String> {
    let account = account.trim();
    let text = if account.contains('@') {
        account.to_owned()
    } else {
        let name = account.rsplit('\\').next().unwrap_or(account);
        let name = name.strip_prefix("local:").unwrap_or(name);
        format!("{name}@{}", domain?)
    };
    let address: lettre::Address = text.parse().ok()?;
    let domain = address.domain();
    let is_reachable = domain == "localhost" || domain.contains('.');
    is_reachable.then(|| address.to_string().to_lowercase())
}

#[cfg(test)]
mod tests;
