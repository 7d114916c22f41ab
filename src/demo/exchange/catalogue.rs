//! What the sample endpoint understands: cmdlets with their parameters, v2.0 resources, and the OData reads of `Get-EXO*`.

/// What a cmdlet does to objects of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Makes an object and returns nothing.
    Add,
    /// Returns objects.
    Get,
    /// Makes an object and returns it.
    New,
    /// Deletes an object.
    Remove,
    /// Changes an object.
    Set,
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    AcceptedDomain,
    AuditRecord,
    DistributionGroup,
    DistributionGroupMember,
    InboxRule,
    JournalRule,
    Mailbox,
    MailboxPermission,
    MailboxStatistics,
    MoveRequest,
    OrganizationConfig,
    Recipient,
    RecipientPermission,
    RoleGroupMember,
    TransportRule,
}

impl Kind {
    /// For objects that belong to another: its kind, and the parameter that names it.
    pub(super) fn parent(self) -> Option<(Self, &'static str)> {
        match self {
            Self::DistributionGroupMember => Some((Self::DistributionGroup, "Identity")),
            Self::InboxRule => Some((Self::Mailbox, "Mailbox")),
            Self::MailboxPermission
            | Self::MailboxStatistics
            | Self::MoveRequest
            | Self::RecipientPermission => Some((Self::Mailbox, "Identity")),
            _ => None,
        }
    }

    /// The parameter that tells the objects of one parent apart, or names an object that is made.
    pub(super) fn key(self) -> Option<&'static str> {
        match self {
            Self::DistributionGroup
            | Self::InboxRule
            | Self::JournalRule
            | Self::Mailbox
            | Self::TransportRule => Some("Name"),
            Self::DistributionGroupMember | Self::RoleGroupMember => Some("Member"),
            Self::MailboxPermission => Some("User"),
            Self::RecipientPermission => Some("Trustee"),
            _ => None,
        }
    }

    /// The type that a client shows for the objects.
    pub(super) fn type_name(self) -> String {
        format!("Microsoft.Exchange.Data.Directory.Management.{self:?}")
    }
}

/// A cmdlet of the sample endpoint.
#[derive(Debug)]
pub(super) struct Cmdlet {
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) kind: Kind,
    /// Mandatory parameters, separated by blanks.
    needs: &'static str,
    /// Its other parameters, separated by blanks.
    takes: &'static str,
}

impl Cmdlet {
    /// The cmdlet with this name, in any case.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CMDLETS.iter().find(|it| it.name.eq_ignore_ascii_case(name))
    }

    /// Names of all cmdlets, separated by commas: `exportedCmdlets` of the module file.
    pub(super) fn exported() -> String {
        Self::names().collect::<Vec<_>>().join(",")
    }

    /// Names of all cmdlets.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        CMDLETS.iter().map(|it| it.name)
    }

    /// Mandatory parameters.
    pub(super) fn needs(&self) -> impl Iterator<Item = &'static str> {
        self.needs.split_whitespace()
    }

    /// The usual spelling of a parameter; `None` if the cmdlet has none of this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&'static str> {
        self.needs()
            .chain(self.takes.split_whitespace())
            .chain(COMMON)
            .find(|it| it.eq_ignore_ascii_case(name))
    }
}

/// Parameters that say how a cmdlet runs, not what it does.
pub(super) const COMMON: [&str; 7] = [
    "Confirm",
    "ErrorAction",
    "Filter",
    "ResultSize",
    "SortBy",
    "WarningAction",
    "WhatIf",
];

// A row a cmdlet: its name, what it does to what, mandatory parameters, further parameters.
#[rustfmt::skip]
const CMDLETS: [Cmdlet; 33] = [
    cmdlet("Get-Mailbox", Action::Get, Kind::Mailbox, "", "Identity RecipientTypeDetails Anr Archive PropertySets"),
    cmdlet("Set-Mailbox", Action::Set, Kind::Mailbox, "Identity", MAILBOX),
    cmdlet("New-Mailbox", Action::New, Kind::Mailbox, "Name", NEW_MAILBOX),
    cmdlet("Remove-Mailbox", Action::Remove, Kind::Mailbox, "Identity", "Force PermanentlyDelete"),
    cmdlet("Enable-Mailbox", Action::Set, Kind::Mailbox, "Identity", "Archive AutoExpandingArchive"),
    cmdlet("Get-MailboxStatistics", Action::Get, Kind::MailboxStatistics, "Identity", "Archive"),
    cmdlet("Get-MailboxPermission", Action::Get, Kind::MailboxPermission, "Identity", "User Owner"),
    cmdlet("Add-MailboxPermission", Action::New, Kind::MailboxPermission, "Identity User AccessRights", "AutoMapping InheritanceType Deny"),
    cmdlet("Remove-MailboxPermission", Action::Remove, Kind::MailboxPermission, "Identity User AccessRights", "InheritanceType"),
    cmdlet("Get-RecipientPermission", Action::Get, Kind::RecipientPermission, "Identity", "Trustee AccessRights"),
    cmdlet("Add-RecipientPermission", Action::New, Kind::RecipientPermission, "Identity Trustee AccessRights", ""),
    cmdlet("New-MoveRequest", Action::New, Kind::MoveRequest, "Identity", MOVE),
    cmdlet("Get-MoveRequest", Action::Get, Kind::MoveRequest, "", "Identity MoveStatus BatchName"),
    cmdlet("Remove-MoveRequest", Action::Remove, Kind::MoveRequest, "Identity", "Force"),
    cmdlet("Get-TransportRule", Action::Get, Kind::TransportRule, "", "Identity State"),
    cmdlet("New-TransportRule", Action::New, Kind::TransportRule, "Name", TRANSPORT_RULE),
    cmdlet("Set-TransportRule", Action::Set, Kind::TransportRule, "Identity", TRANSPORT_RULE),
    cmdlet("Remove-TransportRule", Action::Remove, Kind::TransportRule, "Identity", ""),
    cmdlet("Get-JournalRule", Action::Get, Kind::JournalRule, "", "Identity"),
    cmdlet("New-JournalRule", Action::New, Kind::JournalRule, "Name JournalEmailAddress", "Scope Enabled Recipient"),
    cmdlet("Get-OrganizationConfig", Action::Get, Kind::OrganizationConfig, "", "Identity"),
    cmdlet("Set-OrganizationConfig", Action::Set, Kind::OrganizationConfig, "", "Identity AuditDisabled CustomerLockboxEnabled RejectDirectSend MailTipsAllTipsEnabled"),
    cmdlet("Get-AcceptedDomain", Action::Get, Kind::AcceptedDomain, "", "Identity"),
    cmdlet("Get-InboxRule", Action::Get, Kind::InboxRule, "Mailbox", "Identity IncludeHidden"),
    cmdlet("New-InboxRule", Action::New, Kind::InboxRule, "Mailbox Name", "From MoveToFolder ForwardTo RedirectTo DeleteMessage SubjectContainsWords StopProcessingRules"),
    cmdlet("Get-Recipient", Action::Get, Kind::Recipient, "", "Identity RecipientTypeDetails Anr"),
    cmdlet("Get-DistributionGroup", Action::Get, Kind::DistributionGroup, "", "Identity"),
    cmdlet("New-DistributionGroup", Action::New, Kind::DistributionGroup, "Name", "Alias DisplayName PrimarySmtpAddress Type ManagedBy Members"),
    cmdlet("Remove-DistributionGroup", Action::Remove, Kind::DistributionGroup, "Identity", "BypassSecurityGroupManagerCheck"),
    cmdlet("Get-DistributionGroupMember", Action::Get, Kind::DistributionGroupMember, "Identity", ""),
    cmdlet("Add-DistributionGroupMember", Action::Add, Kind::DistributionGroupMember, "Identity Member", "BypassSecurityGroupManagerCheck"),
    cmdlet("Add-RoleGroupMember", Action::Add, Kind::RoleGroupMember, "Identity Member", "BypassSecurityGroupManagerCheck"),
    cmdlet("Search-UnifiedAuditLog", Action::Get, Kind::AuditRecord, "StartDate EndDate", "Operations RecordType UserIds FreeText SessionId SessionCommand ObjectIds"),
];

const MAILBOX: &str = "Alias AuditEnabled CustomAttribute1 DeliverToMailboxAndForward DisplayName EmailAddresses ForwardingAddress \
     ForwardingSmtpAddress GrantSendOnBehalfTo HiddenFromAddressListsEnabled LitigationHoldEnabled MaxReceiveSize MaxSendSize \
     ProhibitSendQuota RetentionPolicy Type Force";
const NEW_MAILBOX: &str = "Alias DisplayName Equipment FirstName LastName MicrosoftOnlineServicesID Password PrimarySmtpAddress \
     ResourceCapacity Room Shared";
const MOVE: &str = "BadItemLimit BatchName CompleteAfter PrimaryOnly Remote RemoteCredential RemoteHostName StartAfter SuspendWhenReadyToComplete \
     TargetDatabase TargetDeliveryDomain";
const TRANSPORT_RULE: &str = "BlindCopyTo Comments DeleteMessage Enabled ExceptIfFrom From FromScope Mode PrependSubject Priority \
     RedirectMessageTo RejectMessageReasonText SentTo SentToScope SetHeaderName SetHeaderValue SetSCL SubjectContainsWords";

const fn cmdlet(
    name: &'static str,
    action: Action,
    kind: Kind,
    needs: &'static str,
    takes: &'static str,
) -> Cmdlet {
    Cmdlet {
        name,
        action,
        kind,
        needs,
        takes,
    }
}

/// Whether `POST /adminapi/v2.0/{tenant}/{resource}` runs `cmdlet` (exchange-rest section 5.4).
pub(super) fn v2_runs(resource: &str, cmdlet: &str) -> bool {
    V2.iter().any(|(noun, verbs)| {
        noun.eq_ignore_ascii_case(resource)
            && verbs
                .iter()
                .any(|verb| format!("{verb}-{noun}").eq_ignore_ascii_case(cmdlet))
    })
}

const V2: [(&str, &[&str]); 4] = [
    ("AcceptedDomain", &["Get"]),
    ("DistributionGroupMember", &["Get"]),
    ("Mailbox", &["Get", "Set"]),
    ("OrganizationConfig", &["Get"]),
];

/// The cmdlet that answers an OData read: of an entity set, and below one of its entities.
pub(super) fn read_cmdlet(set: &str, below: Option<&str>) -> Option<&'static Cmdlet> {
    let row = READS.iter().find(|(it, under, _)| {
        it.eq_ignore_ascii_case(set)
            && match (under, below) {
                (None, None) => true,
                (Some(under), Some(below)) => under.eq_ignore_ascii_case(below),
                (None, Some(_)) | (Some(_), None) => false,
            }
    })?;
    Cmdlet::named(row.2)
}

const READS: [(&str, Option<&str>, &str); 5] = [
    ("Mailbox", None, "Get-Mailbox"),
    (
        "Mailbox",
        Some("Exchange.GetMailboxStatistics()"),
        "Get-MailboxStatistics",
    ),
    (
        "Mailbox",
        Some("MailboxPermission"),
        "Get-MailboxPermission",
    ),
    ("Recipient", None, "Get-Recipient"),
    (
        "Recipient",
        Some("RecipientPermission"),
        "Get-RecipientPermission",
    ),
];
