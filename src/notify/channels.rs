//! The channels of the configuration: whom a notice is owed to on each.

use std::sync::Arc;

use crate::config;
use crate::model::{Notice, NoticeKind};

use super::audience::mailed_to;

/// What the mail server is called among the channels; no webhook has this name.
pub(super) const MAIL: &str = "mail";

/// Everything that takes notices away.
#[derive(Debug)]
pub struct Channels {
    settings: config::Notify,
    names: Vec<Arc<str>>,
}

/// One end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The channel.
    pub channel: Arc<str>,
    /// Whom to reach on it: an address, or nothing where the channel has one end only.
    pub recipient: String,
}

impl Channels {
    /// The channels of these settings.
    pub fn new(settings: &config::Notify) -> Self {
        let mail = settings.smtp.as_ref().map(|_| MAIL);
        let webhooks = settings.webhooks.iter().map(|it| it.name.as_str());
        Self {
            names: mail.into_iter().chain(webhooks).map(Arc::from).collect(),
            settings: settings.clone(),
        }
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

    /// What else is owed when a request is filed, and how long after: the same notice as a reminder, and to others.
    pub fn later(&self) -> impl Iterator<Item = (NoticeKind, std::time::Duration)> + use<> {
        let remind = self.settings.remind_after;
        let escalate = self.settings.escalate_after;
        let remind = remind.map(|after| (NoticeKind::RequestReminder, after));
        let escalate = escalate.map(|after| (NoticeKind::RequestEscalated, after));
        remind.into_iter().chain(escalate)
    }

    /// Their names, the mail server's first.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
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
    let is_reachable = domain == "localhost" || domain.contains('.') || domain.starts_with('[');
    is_reachable.then(|| address.to_string().to_lowercase())
}
