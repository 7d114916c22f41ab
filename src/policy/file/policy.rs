//! `[[policy]]` as it is written.

use super::super::fields::{Fields, RawScalar};
use super::super::problem::{At, Located};
use super::{Text, Texts, within};

/// `[[policy]]`
#[derive(Debug)]
pub(in crate::policy) struct RawPolicy {
    pub(in crate::policy) at: At,
    pub(in crate::policy) task: Text,
    pub(in crate::policy) role: Text,
    pub(in crate::policy) role_group: Text,
    pub(in crate::policy) effect: Text,
    pub(in crate::policy) approval: Text,
    pub(in crate::policy) approvers: Texts,
    pub(in crate::policy) approvals: Option<Located<i64>>,
    pub(in crate::policy) max_duration: Text,
    pub(in crate::policy) default_duration: Text,
    pub(in crate::policy) report_only: Option<Located<bool>>,
    pub(in crate::policy) parameters: Option<Located<Vec<RawRule>>>,
    pub(in crate::policy) other_parameters: Text,
    pub(in crate::policy) reason: Option<RawReason>,
    pub(in crate::policy) requesters: Texts,
    pub(in crate::policy) approver_comment: Text,
    pub(in crate::policy) windows: Vec<RawWindow>,
    pub(in crate::policy) break_glass: Texts,
    pub(in crate::policy) on_block: Text,
    pub(in crate::policy) hold_seconds: Option<Located<i64>>,
    pub(in crate::policy) max_uses: Option<Located<i64>>,
    pub(in crate::policy) spread: Option<RawSpread>,
}

/// `[policy.reason]`
#[derive(Debug)]
pub(in crate::policy) struct RawReason {
    pub(in crate::policy) at: At,
    pub(in crate::policy) required: Option<Located<bool>>,
    pub(in crate::policy) min_length: Option<Located<i64>>,
    pub(in crate::policy) pattern: Text,
    pub(in crate::policy) hint: Text,
}

/// `[[policy.windows]]`
#[derive(Debug)]
pub(in crate::policy) struct RawWindow {
    pub(in crate::policy) at: At,
    pub(in crate::policy) days: Texts,
    pub(in crate::policy) from: Text,
    pub(in crate::policy) to: Text,
    pub(in crate::policy) zone: Text,
}

/// `[policy.spread]`
#[derive(Debug)]
pub(in crate::policy) struct RawSpread {
    pub(in crate::policy) at: At,
    pub(in crate::policy) calls_per_minute: Option<Located<i64>>,
    pub(in crate::policy) calls_per_grant: Option<Located<i64>>,
    pub(in crate::policy) identities_per_minute: Option<Located<i64>>,
    pub(in crate::policy) identities_per_grant: Option<Located<i64>>,
}

/// One line of `[policy.parameters]`.
#[derive(Debug)]
pub(in crate::policy) struct RawRule {
    pub(in crate::policy) name: Located<String>,
    pub(in crate::policy) absent: Option<Located<bool>>,
    pub(in crate::policy) max: Option<Located<String>>,
    pub(in crate::policy) max_items: Option<Located<i64>>,
    pub(in crate::policy) min: Option<Located<String>>,
    pub(in crate::policy) one_of: Option<Located<Vec<Located<RawScalar>>>>,
    pub(in crate::policy) optional: Option<Located<bool>>,
    pub(in crate::policy) pattern: Text,
    pub(in crate::policy) present: Option<Located<bool>>,
}

pub(super) fn read_policy(fields: &mut Fields<'_, '_, '_>) -> RawPolicy {
    const KNOWN: &[&str] = &[
        "task",
        "role",
        "role_group",
        "effect",
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
        "hold_seconds",
        "max_uses",
        "spread",
    ];
    fields.refuse_unknown(KNOWN);
    let scopes = ["task", "role", "role_group", "effect"];
    let given: Vec<&str> = scopes.into_iter().filter(|it| fields.has(it)).collect();
    match given.as_slice() {
        [] => fields.require("task", r"such as task = 'Exchange\New-MoveRequest'"),
        [_] => {}
        [first, others @ ..] => {
            let message = format!(
                "a policy has one scope, not `{first}` and `{}`",
                others.join("` and `")
            );
            let hint = "write a policy for each";
            fields.report.problem_with_hint(fields.at, message, hint);
        }
    }
    fields.require("approval", r#"one of "manual", "auto", "never""#);
    RawPolicy {
        at: fields.at,
        task: fields.text("task"),
        role: fields.text("role"),
        role_group: fields.text("role_group"),
        effect: fields.text("effect"),
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
        hold_seconds: fields.integer("hold_seconds"),
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
