//! A policy file as it is written: TOML in, one struct a section out. Fields have the right types, and nothing more is
//! known of them; `load` gives them their meaning.

use toml::de::DeTable;

use super::PolicyFile;
use super::fields::{Fields, RawScalar};
use super::problem::{At, Located, Report};

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

/// `[[policy]]`
#[derive(Debug)]
pub(super) struct RawPolicy {
    pub(super) at: At,
    pub(super) task: Text,
    pub(super) approval: Text,
    pub(super) approvers: Texts,
    pub(super) approvals: Option<Located<i64>>,
    pub(super) max_duration: Text,
    pub(super) default_duration: Text,
    pub(super) report_only: Option<Located<bool>>,
    pub(super) parameters: Option<Located<Vec<RawRule>>>,
    pub(super) other_parameters: Text,
    pub(super) reason: Option<RawReason>,
    pub(super) requesters: Texts,
    pub(super) approver_comment: Text,
    pub(super) windows: Vec<RawWindow>,
    pub(super) break_glass: Texts,
    pub(super) on_block: Text,
    pub(super) max_uses: Option<Located<i64>>,
    pub(super) spread: Option<RawSpread>,
}

/// `[policy.reason]`
#[derive(Debug)]
pub(super) struct RawReason {
    pub(super) at: At,
    pub(super) required: Option<Located<bool>>,
    pub(super) min_length: Option<Located<i64>>,
    pub(super) pattern: Text,
    pub(super) hint: Text,
}

/// `[[policy.windows]]`
#[derive(Debug)]
pub(super) struct RawWindow {
    pub(super) at: At,
    pub(super) days: Texts,
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) zone: Text,
}

/// `[policy.spread]`
#[derive(Debug)]
pub(super) struct RawSpread {
    pub(super) at: At,
    pub(super) calls_per_minute: Option<Located<i64>>,
    pub(super) calls_per_grant: Option<Located<i64>>,
    pub(super) identities_per_minute: Option<Located<i64>>,
    pub(super) identities_per_grant: Option<Located<i64>>,
}

/// `[[person]]`
#[derive(Debug)]
pub(super) struct RawPerson {
    pub(super) at: At,
    pub(super) name: Text,
    pub(super) accounts: Texts,
}

/// One line of `[policy.parameters]`.
#[derive(Debug)]
pub(super) struct RawRule {
    pub(super) name: Located<String>,
    pub(super) absent: Option<Located<bool>>,
    pub(super) max: Option<Located<String>>,
    pub(super) max_items: Option<Located<i64>>,
    pub(super) min: Option<Located<String>>,
    pub(super) one_of: Option<Located<Vec<Located<RawScalar>>>>,
    pub(super) optional: Option<Located<bool>>,
    pub(super) pattern: Text,
    pub(super) present: Option<Located<bool>>,
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
    refuse_roles(&mut fields);
    fields.refuse_unknown(&[
        "group",
        "policy",
        "exemption",
        "person",
        "role",
        "role_group",
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

fn refuse_roles(fields: &mut Fields<'_, '_, '_>) {
    for key in fields.table.keys() {
        let name = key.get_ref().as_ref();
        if matches!(name, "role" | "role_group") {
            let at = At {
                offset: key.span().start,
                ..fields.at
            };
            fields.report.problem_with_hint(
                at,
                format!("`{name}` is not supported by this version yet"),
                r"name tasks with `task`; a pattern such as 'Exchange\Remove-*' covers several",
            );
        }
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

fn read_policy(fields: &mut Fields<'_, '_, '_>) -> RawPolicy {
    const KNOWN: &[&str] = &[
        "task",
        "approval",
        "approvers",
        "approvals",
        "max_duration",
        "default_duration",
        "report_only",
        "parameters",
        "other_parameters",
        "reason",
        "requesters",
        "approver_comment",
        "windows",
        "break_glass",
        "on_block",
        "max_uses",
        "spread",
        "role",
        "role_group",
    ];
    refuse_roles(fields);
    fields.refuse_unknown(KNOWN);
    if !fields.has("role") && !fields.has("role_group") {
        fields.require("task", r"such as task = 'Exchange\New-MoveRequest'");
    }
    fields.require("approval", r#"one of "manual", "auto", "never""#);
    RawPolicy {
        at: fields.at,
        task: fields.text("task"),
        approval: fields.text("approval"),
        approvers: fields.texts("approvers"),
        approvals: fields.integer("approvals"),
        max_duration: fields.text("max_duration"),
        default_duration: fields.text("default_duration"),
        report_only: fields.boolean("report_only"),
        parameters: read_rules(fields),
        other_parameters: fields.text("other_parameters"),
        reason: read_reason(fields),
        requesters: fields.texts("requesters"),
        approver_comment: fields.text("approver_comment"),
        windows: fields
            .tables("windows")
            .into_iter()
            .map(|section| read_window(&mut within(fields, "a window", section)))
            .collect(),
        break_glass: fields.texts("break_glass"),
        on_block: fields.text("on_block"),
        max_uses: fields.integer("max_uses"),
        spread: read_spread(fields),
    }
}

fn read_reason(fields: &mut Fields<'_, '_, '_>) -> Option<RawReason> {
    let section = fields.table("reason")?;
    let mut fields = within(fields, "`reason`", section);
    fields.refuse_unknown(&["required", "min_length", "pattern", "hint"]);
    Some(RawReason {
        at: fields.at,
        required: fields.boolean("required"),
        min_length: fields.integer("min_length"),
        pattern: fields.text("pattern"),
        hint: fields.text("hint"),
    })
}

fn read_window(fields: &mut Fields<'_, '_, '_>) -> RawWindow {
    fields.refuse_unknown(&["days", "from", "to", "zone"]);
    fields.require("from", r#"when it begins, such as "08:00""#);
    fields.require("to", r#"when it ends, such as "18:00""#);
    fields.require(
        "zone",
        r#"whose time it is, such as "Europe/Berlin" or "UTC""#,
    );
    RawWindow {
        at: fields.at,
        days: fields.texts("days"),
        from: fields.text("from"),
        to: fields.text("to"),
        zone: fields.text("zone"),
    }
}

fn read_spread(fields: &mut Fields<'_, '_, '_>) -> Option<RawSpread> {
    let section = fields.table("spread")?;
    let mut fields = within(fields, "`spread`", section);
    fields.refuse_unknown(&[
        "calls_per_minute",
        "calls_per_grant",
        "identities_per_minute",
        "identities_per_grant",
    ]);
    Some(RawSpread {
        at: fields.at,
        calls_per_minute: fields.integer("calls_per_minute"),
        calls_per_grant: fields.integer("calls_per_grant"),
        identities_per_minute: fields.integer("identities_per_minute"),
        identities_per_grant: fields.integer("identities_per_grant"),
    })
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

fn read_rules(fields: &mut Fields<'_, '_, '_>) -> Option<Located<Vec<RawRule>>> {
    let rules = fields.table("parameters")?;
    let mut inner = within(fields, "`parameters`", rules.clone());
    let mut read: Vec<RawRule> = rules
        .value
        .keys()
        .filter_map(|key| {
            let name = Located {
                value: key.get_ref().to_string(),
                at: At {
                    offset: key.span().start,
                    ..rules.at
                },
            };
            let rule = inner.table(&name.value)?;
            Some(read_rule(
                name,
                &mut within(&mut inner, "a parameter rule", rule),
            ))
        })
        .collect();
    // A TOML table has its keys in alphabetical order; people are told of rules in the order in which they wrote them.
    read.sort_by_key(|rule| rule.name.at);
    Some(Located {
        value: read,
        at: rules.at,
    })
}

fn read_rule(name: Located<String>, fields: &mut Fields<'_, '_, '_>) -> RawRule {
    fields.refuse_unknown(&[
        "one_of",
        "pattern",
        "present",
        "absent",
        "max_items",
        "min",
        "max",
        "optional",
    ]);
    RawRule {
        name,
        absent: fields.boolean("absent"),
        max: fields.number("max"),
        max_items: fields.integer("max_items"),
        min: fields.number("min"),
        one_of: fields.scalars("one_of"),
        optional: fields.boolean("optional"),
        pattern: fields.text("pattern"),
        present: fields.boolean("present"),
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
