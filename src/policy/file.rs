//! A policy file as it is written: TOML in, one struct a section out. Fields have the right types, and nothing more is
//! known of them; `load` gives them their meaning.

mod policy;

use toml::de::DeTable;

use super::PolicyFile;
use super::fields::Fields;
use super::problem::{At, Located, Report};

use policy::read_policy;
pub(super) use policy::{RawPolicy, RawReason, RawRule, RawSpread, RawWindow};

/// The longest policy file that is read, in bytes: some 20,000 policies.
const MAX_FILE_BYTES: usize = 4 << 20;

type Text = Option<Located<String>>;
type Texts = Option<Located<Vec<Located<String>>>>;

/// Every section of every file. A field is `None` if it is absent, or wrong and noted.
#[derive(Debug, Default)]
pub(super) struct RawFiles {
    pub(super) groups: Vec<RawGroup>,
    pub(super) policies: Vec<RawPolicy>,
    pub(super) exemptions: Vec<RawExemption>,
    pub(super) persons: Vec<RawPerson>,
    pub(super) roles: Vec<RawRole>,
    pub(super) role_groups: Vec<RawRoleGroup>,
    pub(super) cmdlets: Vec<RawCmdlet>,
    /// Whether a file could not be read, so that what it defines may be missing.
    pub(super) incomplete: bool,
}

/// `[[group]]`
#[derive(Debug)]
pub(super) struct RawGroup {
    pub(super) at: At,
    pub(super) name: Text,
    pub(super) email: Text,
    pub(super) members: Texts,
    pub(super) claim: Text,
}

/// `[[person]]`
#[derive(Debug)]
pub(super) struct RawPerson {
    pub(super) at: At,
    pub(super) name: Text,
    pub(super) accounts: Texts,
}

/// `[[role]]`
#[derive(Debug)]
pub(super) struct RawRole {
    pub(super) at: At,
    pub(super) name: Text,
    pub(super) tasks: Texts,
}

/// `[[role_group]]`
#[derive(Debug)]
pub(super) struct RawRoleGroup {
    pub(super) at: At,
    pub(super) name: Text,
    pub(super) roles: Texts,
}

/// `[[cmdlet]]`
#[derive(Debug)]
pub(super) struct RawCmdlet {
    pub(super) at: At,
    pub(super) tasks: Texts,
    pub(super) effect: Text,
    /// Parameters, each with its effect.
    pub(super) dangerous: Vec<(Located<String>, Located<String>)>,
}

/// `[[exemption]]`
#[derive(Debug)]
pub(super) struct RawExemption {
    pub(super) at: At,
    pub(super) account: Text,
    pub(super) owner: Text,
    pub(super) reason: Text,
    pub(super) expires: Option<Located<toml::value::Date>>,
    pub(super) from: Texts,
    pub(super) tasks: Texts,
}

/// Reads all files, noting what is wrong with their syntax, keys and types.
pub(super) fn read(files: &[PolicyFile], report: &mut Report<'_>) -> RawFiles {
    let mut raw = RawFiles::default();
    for (file, PolicyFile { path: _, text }) in files.iter().enumerate() {
        let start = At { file, offset: 0 };
        if text.len() > MAX_FILE_BYTES {
            report.problem_with_hint(
                start,
                format!(
                    "the file is {} bytes long; {MAX_FILE_BYTES} are read",
                    text.len()
                ),
                "split it: all files of the folder are one set",
            );
            raw.incomplete = true;
            continue;
        }
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let message = error.message().trim().replace('\n', "; ");
            report.problem(At { file, offset }, format!("not TOML: {message}"));
        }
        if errors.is_empty() {
            read_document(document.get_ref(), start, report, &mut raw);
        } else {
            // What is left of a broken file would only add problems that are none.
            raw.incomplete = true;
        }
    }
    raw
}

fn read_document(table: &DeTable<'_>, at: At, report: &mut Report<'_>, raw: &mut RawFiles) {
    let mut fields = Fields {
        report,
        what: "a policy file",
        table,
        at,
    };
    fields.refuse_unknown(&[
        "group",
        "policy",
        "exemption",
        "person",
        "role",
        "role_group",
        "cmdlet",
    ]);
    for section in fields.tables("group") {
        raw.groups
            .push(read_group(&mut within(&mut fields, "a group", section)));
    }
    for section in fields.tables("policy") {
        raw.policies
            .push(read_policy(&mut within(&mut fields, "a policy", section)));
    }
    for section in fields.tables("exemption") {
        raw.exemptions.push(read_exemption(&mut within(
            &mut fields,
            "an exemption",
            section,
        )));
    }
    for section in fields.tables("person") {
        raw.persons
            .push(read_person(&mut within(&mut fields, "a person", section)));
    }
    for section in fields.tables("role") {
        raw.roles
            .push(read_role(&mut within(&mut fields, "a role", section)));
    }
    for section in fields.tables("role_group") {
        raw.role_groups.push(read_role_group(&mut within(
            &mut fields,
            "a role group",
            section,
        )));
    }
    for section in fields.tables("cmdlet") {
        raw.cmdlets
            .push(read_cmdlet(&mut within(&mut fields, "a cmdlet", section)));
    }
}

fn within<'r, 'f, 't>(
    outer: &'r mut Fields<'_, 'f, 't>,
    what: &'static str,
    Located { value: table, at }: Located<&'t DeTable<'t>>,
) -> Fields<'r, 'f, 't> {
    Fields {
        report: &mut *outer.report,
        what,
        table,
        at,
    }
}

fn read_group(fields: &mut Fields<'_, '_, '_>) -> RawGroup {
    fields.refuse_unknown(&["name", "email", "members", "claim"]);
    fields.require("name", "policies list it under this name in `approvers`");
    RawGroup {
        at: fields.at,
        name: fields.text("name"),
        email: fields.text("email"),
        members: fields.texts("members"),
        claim: fields.text("claim"),
    }
}

fn read_person(fields: &mut Fields<'_, '_, '_>) -> RawPerson {
    fields.refuse_unknown(&["name", "accounts"]);
    fields.require("name", "how people call them");
    fields.require("accounts", "the accounts that are all theirs");
    RawPerson {
        at: fields.at,
        name: fields.text("name"),
        accounts: fields.texts("accounts"),
    }
}

fn read_role(fields: &mut Fields<'_, '_, '_>) -> RawRole {
    fields.refuse_unknown(&["name", "tasks"]);
    fields.require("name", r"such as 'Exchange\Mail Recipients'");
    fields.require(
        "tasks",
        r"such as ['Exchange\Set-Mailbox', 'Exchange\Get-*']",
    );
    RawRole {
        at: fields.at,
        name: fields.text("name"),
        tasks: fields.texts("tasks"),
    }
}

fn read_role_group(fields: &mut Fields<'_, '_, '_>) -> RawRoleGroup {
    fields.refuse_unknown(&["name", "roles"]);
    fields.require("name", r"such as 'Exchange\Recipient Management'");
    fields.require("roles", r"such as ['Exchange\Mail Recipients']");
    RawRoleGroup {
        at: fields.at,
        name: fields.text("name"),
        roles: fields.texts("roles"),
    }
}

fn read_cmdlet(fields: &mut Fields<'_, '_, '_>) -> RawCmdlet {
    fields.refuse_unknown(&["tasks", "effect", "dangerous"]);
    fields.require("tasks", r"such as ['Exchange\Set-Mailbox']");
    if !fields.has("effect") && !fields.has("dangerous") {
        fields.require(
            "effect",
            "what the cmdlets do at worst, whatever their parameters",
        );
    }
    let dangerous = fields.table("dangerous");
    let dangerous = dangerous.map_or_else(Vec::new, |section| {
        let keys = section.value.keys();
        let mut inner = within(fields, "`dangerous`", section.clone());
        let mut read: Vec<_> = keys
            .filter_map(|key| {
                let name = Located {
                    value: key.get_ref().to_string(),
                    at: At {
                        offset: key.span().start,
                        ..section.at
                    },
                };
                let effect = inner.text(&name.value)?;
                Some((name, effect))
            })
            .collect();
        read.sort_by_key(|(name, _)| name.at);
        read
    });
    RawCmdlet {
        at: fields.at,
        tasks: fields.texts("tasks"),
        effect: fields.text("effect"),
        dangerous,
    }
}

fn read_exemption(fields: &mut Fields<'_, '_, '_>) -> RawExemption {
    fields.refuse_unknown(&["account", "owner", "reason", "expires", "from", "tasks"]);
    fields.require("account", "the system account's name or key");
    fields.require("owner", "who answers for the account");
    fields.require("reason", "why it needs no grant");
    RawExemption {
        at: fields.at,
        account: fields.text("account"),
        owner: fields.text("owner"),
        reason: fields.text("reason"),
        expires: fields.date("expires"),
        from: fields.texts("from"),
        tasks: fields.texts("tasks"),
    }
}
