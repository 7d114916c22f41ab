//! The objects that the sample organisation begins with, and what a new one looks like.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::catalogue::Kind;
use super::organisation::{Arguments, argument, is_on, number};
use super::record::Record;
use crate::model::Value;

/// The organisation's domain.
const DOMAIN: &str = "contoso.example";

/// Mailboxes: alias, display name, type. Enough of them to need several pages of five.
const MAILBOXES: [(&str, &str, &str); 14] = [
    ("ana", "Ana Admin", "UserMailbox"),
    ("amy", "Amy Approver", "UserMailbox"),
    ("bo", "Bo Approver", "UserMailbox"),
    ("ben", "Ben Baker", "UserMailbox"),
    ("cleo", "Cleo Carter", "UserMailbox"),
    ("dev", "Dev Das", "UserMailbox"),
    ("eva", "Eva Evans", "UserMailbox"),
    ("finn", "Finn Fisher", "UserMailbox"),
    ("gus", "Gus Grant", "UserMailbox"),
    ("hana", "Hana Hill", "UserMailbox"),
    ("ivy", "Ivy Auditor", "UserMailbox"),
    ("info", "Information Desk", "SharedMailbox"),
    ("room1", "Room 1", "RoomMailbox"),
    ("sys1", "Provisioning", "UserMailbox"),
];

/// All objects at the start.
pub(super) fn objects() -> BTreeMap<Kind, Vec<Record>> {
    let mailboxes: Vec<Record> = MAILBOXES
        .iter()
        .zip(1_u128..)
        .map(|((alias, name, kind), index)| {
            mailbox(alias, name, kind, Uuid::from_u128((0x0f3c << 112) | index))
        })
        .collect();
    let staff = Record::default()
        .with("Identity", "Staff")
        .with("Name", "Staff")
        .with("DisplayName", "Staff")
        .with("Alias", "staff")
        .with("PrimarySmtpAddress", format!("staff@{DOMAIN}"))
        .with("RecipientTypeDetails", "MailUniversalDistributionGroup")
        .with("Guid", Uuid::from_u128(0x5aff << 112).to_string());
    let member = |member: &str| {
        Record::default()
            .with("Identity", "Staff")
            .with("Member", format!("{member}@{DOMAIN}"))
    };
    let permission = |user: &str| {
        Record::default()
            .with("Identity", "info")
            .with("User", user)
            .with("AccessRights", vec!["FullAccess".to_owned()])
            .with("IsInherited", false)
            .with("Deny", false)
    };
    let organisation = Record::default()
        .with("Identity", "Contoso")
        .with("Name", "Contoso")
        .with("AuditDisabled", false)
        .with("CustomerLockboxEnabled", true)
        .with("RejectDirectSend", false)
        .with("MailTipsAllTipsEnabled", true)
        .with("ElevatedAccessControl", Value::Null);
    let domain = Record::default()
        .with("Identity", DOMAIN)
        .with("Name", DOMAIN)
        .with("DomainName", DOMAIN)
        .with("DomainType", "Authoritative")
        .with("Default", true);
    let rule = Record::default()
        .with("Identity", "External tag")
        .with("Name", "External tag")
        .with("State", "Enabled")
        .with("Priority", number(0))
        .with("FromScope", "NotInOrganization")
        .with("PrependSubject", "[EXT] ");
    BTreeMap::from([
        (Kind::AcceptedDomain, vec![domain]),
        (Kind::DistributionGroup, vec![staff]),
        (
            Kind::DistributionGroupMember,
            vec![member("ben"), member("cleo")],
        ),
        (
            Kind::MailboxPermission,
            vec![
                permission("NT AUTHORITY\\SELF"),
                permission("ben@contoso.example"),
            ],
        ),
        (Kind::Mailbox, mailboxes),
        (Kind::OrganizationConfig, vec![organisation]),
        (Kind::TransportRule, vec![rule]),
    ])
}

/// A new object before its parameters are set.
pub(super) fn template(kind: Kind, arguments: &Arguments, id: Uuid, now: DateTime<Utc>) -> Record {
    let name = argument(arguments, "Name").unwrap_or_default();
    let named = || {
        Record::default()
            .with("Identity", name.as_str())
            .with("Name", name.as_str())
            .with("Guid", id.to_string())
    };
    let created = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    match kind {
        Kind::DistributionGroup => named()
            .with("DisplayName", name.as_str())
            .with("Alias", name.to_lowercase())
            .with(
                "PrimarySmtpAddress",
                format!("{}@{DOMAIN}", name.to_lowercase()),
            )
            .with("RecipientTypeDetails", "MailUniversalDistributionGroup"),
        Kind::Mailbox => {
            let types = ["Shared", "Room", "Equipment"];
            let switch = types.iter().find(|it| is_on(arguments, it));
            let details = format!("{}Mailbox", switch.unwrap_or(&"User"));
            mailbox(&name, &name, &details, id).with("WhenCreated", created)
        }
        Kind::MoveRequest => Record::default()
            .with("Identity", "")
            .with("Status", "Queued")
            .with("Direction", "Pull")
            .with("Guid", id.to_string())
            .with("QueuedTime", created),
        Kind::InboxRule | Kind::JournalRule | Kind::TransportRule => named()
            .with("State", "Enabled")
            .with("WhenChanged", created),
        Kind::MailboxPermission | Kind::RecipientPermission => Record::default()
            .with("Identity", "")
            .with("IsInherited", false),
        _ => Record::default(),
    }
}

/// A mailbox.
fn mailbox(alias: &str, name: &str, kind: &str, id: Uuid) -> Record {
    let address = format!("{alias}@{DOMAIN}");
    Record::default()
        .with("Identity", alias)
        .with("Name", alias)
        .with("Alias", alias)
        .with("DisplayName", name)
        .with("PrimarySmtpAddress", address.as_str())
        .with("UserPrincipalName", address.as_str())
        .with("RecipientTypeDetails", kind)
        .with("Guid", id.to_string())
        .with("EmailAddresses", vec![format!("SMTP:{address}")])
        .with("ForwardingAddress", Value::Null)
        .with("ForwardingSmtpAddress", Value::Null)
        .with("GrantSendOnBehalfTo", Vec::new())
        .with("HiddenFromAddressListsEnabled", false)
        .with("ProhibitSendQuota", "49.5 GB (53,150,220,288 bytes)")
        .with("AuditEnabled", true)
        .with("ArchiveStatus", "None")
}

/// A mailbox or group as Get-Recipient shows it.
pub(super) fn recipient(record: &Record) -> Record {
    let properties = [
        "Identity",
        "Name",
        "Alias",
        "DisplayName",
        "PrimarySmtpAddress",
        "RecipientTypeDetails",
        "Guid",
    ];
    record.clone().select(&properties.map(str::to_owned))
}

/// A mailbox's statistics, made up from its name so that they stay the same.
pub(super) fn statistics(mailbox: &Record) -> Record {
    let name = mailbox.text("DisplayName").unwrap_or_default();
    let items = name.bytes().map(u32::from).sum();
    Record::default()
        .with("Identity", mailbox.text("Identity").unwrap_or_default())
        .with("DisplayName", name)
        .with("MailboxGuid", mailbox.text("Guid").unwrap_or_default())
        .with("ItemCount", number(items))
        .with("TotalItemSize", format!("{items} MB"))
}
