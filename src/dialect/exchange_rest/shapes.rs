//! The table of known reads: paths below the tenant, and the cmdlet that each stands for (exchange-rest section 5.2).

/// A form of read.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    /// The cmdlet that it is decided as.
    pub(super) cmdlet: &'static str,
    /// The path's segments.
    pub(super) steps: &'static [Step],
    /// The `$expand` that belongs to it.
    pub(super) expand: Option<&'static str>,
}

/// A segment of a read's path.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A function, and its arguments: name, parameter of the cmdlet, kind.
    Function(&'static str, &'static [(&'static str, &'static str, Kind)]),
    /// An entity by its key, and the parameter of the cmdlet that the key is.
    Key(&'static str, &'static str),
    /// A set, or what belongs to the entity before.
    Name(&'static str),
}

/// What may fill a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A member of an enumeration: `'All'` or `Exchange.ElcFolderType'All'`.
    Choice,
    /// A GUID without quotes.
    Guid,
    /// The text in quotes that names an entity; in base64 if the query says so.
    Key,
    /// A text in quotes, or `null`.
    Text,
}

const GET_MAILBOX: &str = "Get-EXOMailbox";
const GET_CAS_MAILBOX: &str = "Get-EXOCasMailbox";
const GET_DEVICES: &str = "Get-EXOMobileDeviceStatistics";
const GET_STATISTICS: &str = "Get-EXOMailboxStatistics";
const GET_RECIPIENT: &str = "Get-EXORecipient";
const GET_RECIPIENT_PERMISSION: &str = "Get-EXORecipientPermission";

const fn shape(cmdlet: &'static str, steps: &'static [Step]) -> Shape {
    Shape {
        cmdlet,
        steps,
        expand: None,
    }
}

/// All of them.
pub(super) static SHAPES: &[Shape] = &[
    shape(GET_MAILBOX, &[Step::Name("Mailbox")]),
    shape(GET_MAILBOX, &[Step::Key("Mailbox", "Identity")]),
    shape(
        "Get-EXOMailboxPermission",
        &[
            Step::Key("Mailbox", "Identity"),
            Step::Name("MailboxPermission"),
        ],
    ),
    shape(
        "Get-EXOMailboxFolderPermission",
        &[
            Step::Key("Mailbox", "Identity"),
            Step::Key("MailboxFolder", "Folder"),
            Step::Name("MailboxFolderPermission"),
        ],
    ),
    shape(
        GET_STATISTICS,
        &[
            Step::Key("Mailbox", "Identity"),
            Step::Function("Exchange.GetMailboxStatistics", &[]),
        ],
    ),
    shape(
        GET_STATISTICS,
        &[
            Step::Name("Mailbox"),
            Step::Function(
                "Exchange.GetMailboxStatisticsV2",
                &[
                    ("mailboxGuid", "ExchangeGuid", Kind::Guid),
                    ("databaseGuid", "DatabaseGuid", Kind::Guid),
                ],
            ),
        ],
    ),
    shape(
        "Get-EXOMailboxFolderStatistics",
        &[
            Step::Key("Mailbox", "Identity"),
            Step::Name("MailboxFolder"),
            Step::Function(
                "Exchange.GetMailboxFolderStatistics",
                &[("folderscope", "FolderScope", Kind::Choice)],
            ),
        ],
    ),
    shape(
        GET_DEVICES,
        &[
            Step::Key("Mailbox", "Mailbox"),
            Step::Name("MobileDevice"),
            Step::Function("Exchange.GetMobileDeviceStatistics", &[]),
        ],
    ),
    shape(
        GET_DEVICES,
        &[
            Step::Key("Mailbox", "Mailbox"),
            Step::Name("MobileDevice"),
            Step::Function(
                "Exchange.GetMobileDeviceStatisticsByIdentity",
                &[("Identity", "Identity", Kind::Text)],
            ),
        ],
    ),
    shape(GET_RECIPIENT, &[Step::Name("Recipient")]),
    shape(GET_RECIPIENT, &[Step::Key("Recipient", "Identity")]),
    shape(
        GET_RECIPIENT,
        &[
            Step::Name("Recipient"),
            Step::Function(
                "Exchange.BySmtpAddress",
                &[("SmtpAddress", "Identity", Kind::Text)],
            ),
        ],
    ),
    Shape {
        cmdlet: GET_RECIPIENT_PERMISSION,
        steps: &[Step::Key("Recipient", "Identity")],
        expand: Some("RecipientPermission"),
    },
    shape(
        GET_RECIPIENT_PERMISSION,
        &[
            Step::Name("Recipient"),
            Step::Function(
                "Exchange.GetRecipientPermissionByFilters",
                &[
                    ("identity", "Identity", Kind::Text),
                    ("trustee", "Trustee", Kind::Text),
                    ("accessRights", "AccessRights", Kind::Text),
                ],
            ),
        ],
    ),
    shape(GET_CAS_MAILBOX, &[Step::Name("CasMailbox")]),
    shape(GET_CAS_MAILBOX, &[Step::Key("CasMailbox", "Identity")]),
];

impl Step {
    /// The segment's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Function(name, _) | Self::Key(name, _) | Self::Name(name) => name,
        }
    }

    fn places(&self) -> Vec<(&'static str, Kind)> {
        match self {
            Self::Function(_, arguments) => arguments.iter().map(|it| (it.1, it.2)).collect(),
            Self::Key(_, parameter) => vec![(*parameter, Kind::Key)],
            Self::Name(_) => Vec::new(),
        }
    }
}

impl Shape {
    /// The cmdlet's parameters that the places are, in order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().flat_map(Step::places).map(|it| it.0)
    }

    /// The kinds of the places, in order.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.steps.iter().flat_map(Step::places).map(|it| it.1)
    }

    /// How many entities the path names.
    pub(super) fn keys(&self) -> usize {
        self.kinds().filter(|it| *it == Kind::Key).count()
    }

    /// Whether the read is of a set as such.
    pub(super) fn is_set(&self) -> bool {
        matches!(self.steps, [Step::Name(_)])
    }

    /// Whether base64 in the path is known: there are keys, and no text besides them that might be meant as well.
    pub(super) fn may_be_encoded(&self) -> bool {
        self.keys() > 0 && self.kinds().all(|it| it != Kind::Text)
    }
}
