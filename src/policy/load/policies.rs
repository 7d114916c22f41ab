//! `[[policy]]`

use std::sync::Arc;
use std::time::Duration;

use crate::model::Interner;

use super::super::file::RawPolicy;
use super::super::pattern::Pattern;
use super::super::problem::{At, Located, Report, nearest, printable};
use super::super::scopes::{Entry, Reach};
use super::super::{
    Approval, Comment, Group, OnBlock, ParameterRules, Policy, ReasonRule, Scope, Source, Spread,
    Windows, duration,
};
use super::cmdlets::read_effect;
use super::distinct;
use super::groups::Groups;
use super::options;
use super::roles::Roles;
use super::rules::RuleReader;

/// How long a grant lasts where neither the request nor the policy says: Microsoft's default.
const DEFAULT_DURATION: Duration = Duration::from_hours(4);

/// How many approvals a policy may ask for, per group.
const MAX_APPROVALS: u32 = 100;

/// A policy without its number.
pub(super) struct Draft {
    pub(super) at: At,
    pub(super) scope_text: String,
    /// `scope_text` in lower case.
    pub(super) folded: String,
    pub(super) reach: Reach,
    approval: Approval,
    approvers: Vec<String>,
    approvals: u32,
    max_duration: Option<Duration>,
    default_duration: Duration,
    report_only: bool,
    parameters: ParameterRules,
    reason: ReasonRule,
    requesters: Vec<String>,
    approver_comment: Comment,
    windows: Windows,
    break_glass: Vec<String>,
    on_block: OnBlock,
    hold: Duration,
    max_uses: Option<u32>,
    spread: Option<Spread>,
    pub(super) source: Source,
}

impl Draft {
    /// What the index needs of it.
    pub(super) fn entry(&self) -> Entry<'_> {
        Entry {
            text: &self.folded,
            reach: &self.reach,
            is_never: self.approval == Approval::Never,
            reports: self.report_only,
        }
    }

    pub(super) fn number(self, interner: &Interner) -> Policy {
        Policy {
            id: interner.policy(&self.folded),
            name: self.folded.as_str().into(),
            scope: Scope {
                kind: self.reach.kind(),
                text: self.scope_text,
                folded: self.folded,
            },
            reach: self.reach,
            approval: self.approval,
            approvers: self.approvers,
            approvals: self.approvals,
            max_duration: self.max_duration,
            default_duration: self.default_duration,
            report_only: self.report_only,
            parameters: self.parameters,
            reason: self.reason,
            requesters: self.requesters,
            approver_comment: self.approver_comment,
            windows: self.windows,
            break_glass: self.break_glass,
            on_block: self.on_block,
            hold: self.hold,
            max_uses: self.max_uses,
            spread: self.spread,
            source: self.source,
        }
    }
}

/// What policies refer to.
#[derive(Clone, Copy)]
pub(super) struct Definitions<'a> {
    pub(super) groups: &'a Groups,
    pub(super) roles: &'a Roles,
    pub(super) default_approver_group: Option<&'a str>,
}

/// All policies whose scope can be read, whatever else is wrong with them, so that ties are told too.
pub(super) fn lower(
    raw: Vec<RawPolicy>,
    defined: Definitions<'_>,
    report: &mut Report<'_>,
) -> Vec<Draft> {
    let mut rules = RuleReader::default();
    raw.into_iter()
        .filter_map(|raw| lower_one(raw, defined, &mut rules, report))
        .collect()
}

fn lower_one(
    raw: RawPolicy,
    defined: Definitions<'_>,
    rules: &mut RuleReader,
    report: &mut Report<'_>,
) -> Option<Draft> {
    let RawPolicy {
        at,
        task,
        role,
        role_group,
        effect,
        approval,
        approvers,
        approvals,
        max_duration,
        default_duration,
        report_only,
        parameters,
        other_parameters,
        reason,
        requesters,
        approver_comment,
        windows,
        break_glass,
        on_block,
        hold_seconds,
        max_uses,
        spread,
    } = raw;
    let groups = defined.groups;
    let approval = approval.and_then(|it| read_approval(&it, report));
    let approvals = read_approvals(approvals.as_ref(), approval, report);
    let approvers = Approvers {
        at,
        groups,
        default: defined.default_approver_group,
        approvals,
    }
    .read(approvers, approval, report);
    let (max_duration, default_duration) = read_durations(max_duration, default_duration, report);
    let parameters = rules.read(parameters, other_parameters, report);
    let asks = |list: &Option<Located<Vec<Located<String>>>>| list.as_ref().map(|it| it.at);
    options::refuse_of_never(
        approval,
        &[
            ("reason", reason.as_ref().map(|it| it.at)),
            ("requesters", asks(&requesters)),
            (
                "approver_comment",
                approver_comment.as_ref().map(|it| it.at),
            ),
            ("windows", windows.first().map(|it| it.at)),
            ("break_glass", asks(&break_glass)),
            ("on_block", on_block.as_ref().map(|it| it.at)),
            ("hold_seconds", hold_seconds.as_ref().map(|it| it.at)),
            ("max_uses", max_uses.as_ref().map(|it| it.at)),
            ("spread", spread.as_ref().map(|it| it.at)),
        ],
        report,
    );
    let reason = options::reason(reason, report);
    let filing = on_block.as_ref().map(|it| it.at);
    let requesters = options::groups("requesters", "requester group", requesters, groups, report);
    let approver_comment = options::comment(approver_comment.as_ref(), report);
    let windows = options::windows(windows, report);
    let break_glass = options::groups(
        "break_glass",
        "break-glass group",
        break_glass,
        groups,
        report,
    );
    let on_block = options::on_block(on_block.as_ref(), report);
    let hold = options::hold(hold_seconds.as_ref(), on_block, report);
    if approval == Some(Approval::Auto)
        && on_block != OnBlock::Block
        && let Some(at) = filing
    {
        options::refuse_reasonless(at, &reason, report);
    }
    let max_uses = options::max_uses(max_uses.as_ref(), report);
    let spread = options::spread(spread, report);
    let scope = RawScope {
        task,
        role,
        role_group,
        effect,
    };
    let (scope_text, reach) = scope.read(defined.roles, report)?;
    Some(Draft {
        at,
        folded: scope_text.to_ascii_lowercase(),
        scope_text,
        reach,
        // An approval that cannot be read is a problem that is noted: no set comes of this draft.
        approval: approval.unwrap_or(Approval::Never),
        approvers,
        approvals,
        max_duration,
        default_duration,
        report_only: report_only.is_some_and(|it| it.value),
        parameters,
        reason,
        requesters,
        approver_comment,
        windows,
        break_glass,
        on_block,
        hold,
        max_uses,
        spread,
        source: Source::File(report.place(at)),
    })
}

/// The keys that say what a policy is about; reading has told if there is not exactly one.
struct RawScope {
    task: Option<Located<String>>,
    role: Option<Located<String>>,
    role_group: Option<Located<String>>,
    effect: Option<Located<String>>,
}

impl RawScope {
    /// The scope's text and what it covers.
    fn read(self, roles: &Roles, report: &mut Report<'_>) -> Option<(String, Reach)> {
        if let Some(task) = self.task {
            let (text, pattern) = read_task(task, report)?;
            Some((text, Reach::Task(pattern)))
        } else if let Some(Located { value, at }) = self.role {
            let role = roles.roles.find(&value, "role", at, report)?;
            let reach = Reach::Role(Arc::clone(&role.patterns));
            Some((format!("role:{}", role.name), reach))
        } else if let Some(Located { value, at }) = self.role_group {
            let group = roles.groups.find(&value, "role group", at, report)?;
            let reach = Reach::RoleGroup(Arc::clone(&group.patterns));
            Some((format!("role-group:{}", group.name), reach))
        } else {
            let effect = read_effect(&self.effect?, report)?;
            Some((format!("effect:{}", effect.as_str()), Reach::Effect(effect)))
        }
    }
}

fn read_task(task: Located<String>, report: &mut Report<'_>) -> Option<(String, Pattern)> {
    let Located { value, at } = task;
    let pattern = match Pattern::parse(&value) {
        Ok(pattern) => pattern,
        Err(invalid) => {
            report.problem_with_hint(at, invalid.message, invalid.hint);
            return None;
        }
    };
    if pattern
        .noun_prefix()
        .is_some_and(|noun| noun.starts_with("elevatedaccess"))
    {
        report.problem_with_hint(
            at,
            format!("no policy governs `{value}`: the gateway answers its own cmdlets itself"),
            "remove the policy",
        );
    }
    Some((value, pattern))
}

fn read_approval(text: &Located<String>, report: &mut Report<'_>) -> Option<Approval> {
    let all = [Approval::Manual, Approval::Auto, Approval::Never];
    let found = all.into_iter().find(|it| it.as_str() == text.value);
    if found.is_none() {
        let hint = match nearest(&text.value, all.map(Approval::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => r#"one of "manual", "auto", "never""#.to_owned(),
        };
        let message = format!("there is no approval `{}`", printable(&text.value));
        report.problem_with_hint(text.at, message, hint);
    }
    found
}

fn read_approvals(
    count: Option<&Located<i64>>,
    approval: Option<Approval>,
    report: &mut Report<'_>,
) -> u32 {
    let Some(&Located { value, at }) = count else {
        return 1;
    };
    if let Some(approval @ (Approval::Auto | Approval::Never)) = approval {
        let message = format!(
            "`approvals` in a policy with approval = \"{}\"",
            approval.as_str()
        );
        report.problem_with_hint(at, message, "nobody is asked: remove it");
    }
    if let Ok(count @ 1..=MAX_APPROVALS) = u32::try_from(value) {
        return count;
    }
    let message = format!("`approvals` must be from 1 to {MAX_APPROVALS}, not {value}");
    report.problem(at, message);
    1
}

/// What the reading of `approvers` needs to know of the policy.
struct Approvers<'a> {
    at: At,
    groups: &'a Groups,
    default: Option<&'a str>,
    approvals: u32,
}

impl Approvers<'_> {
    fn read(
        &self,
        listed: Option<Located<Vec<Located<String>>>>,
        approval: Option<Approval>,
        report: &mut Report<'_>,
    ) -> Vec<String> {
        match (approval, listed) {
            (Some(approval @ (Approval::Auto | Approval::Never)), Some(listed)) => {
                let message = format!(
                    "`approvers` in a policy with approval = \"{}\"",
                    approval.as_str()
                );
                let hint = r#"nobody is asked: remove them, or write approval = "manual""#;
                report.problem_with_hint(listed.at, message, hint);
                Vec::new()
            }
            (Some(Approval::Manual), None) => self.read_default(report),
            (Some(Approval::Manual), Some(listed)) if listed.value.is_empty() => {
                let hint = "list one, or leave `approvers` out to ask the default approver group";
                report.problem_with_hint(listed.at, "`approvers` lists no group", hint);
                Vec::new()
            }
            (Some(Approval::Manual) | None, Some(listed)) => {
                let listed = distinct("approvers", listed.value, report);
                for Located { value, at } in &listed {
                    if let Some(group) = self.groups.find(value, "approver group", *at, report) {
                        self.check_group(group, *at, report);
                    }
                }
                listed.into_iter().map(|it| it.value).collect()
            }
            (Some(Approval::Auto | Approval::Never) | None, None) => Vec::new(),
        }
    }

    fn read_default(&self, report: &mut Report<'_>) -> Vec<String> {
        let Some(default) = self.default else {
            report.problem_with_hint(
                self.at,
                "nobody can approve: the policy has no `approvers`, and there is no default",
                "list groups in `approvers`, or set default_approver_group under [access_control]",
            );
            return Vec::new();
        };
        let what = "nobody can approve: the default approver group";
        if let Some(group) = self.groups.find(default, what, self.at, report) {
            self.check_group(group, self.at, report);
        }
        vec![default.to_owned()]
    }

    /// Notes a group that cannot give the approvals asked of it. Who is in a claim's group only the tokens tell.
    fn check_group(&self, group: &Group, at: At, report: &mut Report<'_>) {
        if group.claim.is_some() {
            return;
        }
        let Group { name, place, .. } = group;
        let (members, asked) = (group.members.len(), self.approvals as usize);
        if members == 0 {
            report.problem_with_hint(
                at,
                format!("nobody is in approver group `{name}` ({place})"),
                "give it members, or the claim of a group in the callers' tokens",
            );
        } else if members < asked {
            report.problem_with_hint(
                at,
                format!(
                    "{asked} approvals are asked of group `{name}`, which has {members} ({place})"
                ),
                "ask for fewer approvals, or add members",
            );
        }
    }
}

fn read_durations(
    max: Option<Located<String>>,
    default: Option<Located<String>>,
    report: &mut Report<'_>,
) -> (Option<Duration>, Duration) {
    let max = read_duration("max_duration", max, report).map(|it| it.0);
    let Some((default, at)) = read_duration("default_duration", default, report) else {
        let default = max.map_or(DEFAULT_DURATION, |max| max.min(DEFAULT_DURATION));
        return (max, default);
    };
    if let Some(max) = max
        && default > max
    {
        let (default, max) = (duration::shown(default), duration::shown(max));
        let message =
            format!("`default_duration` ({default}) is longer than `max_duration` ({max})");
        report.problem(at, message);
    }
    (max, default)
}

fn read_duration(
    key: &str,
    text: Option<Located<String>>,
    report: &mut Report<'_>,
) -> Option<(Duration, At)> {
    let Located { value, at } = text?;
    match duration::parse(&value) {
        Ok(duration) => Some((duration, at)),
        Err((message, hint)) => {
            report.problem_with_hint(at, format!("`{key}`: {message}"), hint);
            None
        }
    }
}
