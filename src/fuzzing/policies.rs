//! What must hold of policy files, and of the decision.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::LazyLock;

use chrono::DateTime;
use uuid::Uuid;

use crate::model::{
    CmdletIs, Command, Interner, Parameters, PolicyId, Principal, PrincipalId, PrincipalKind, Task,
};
use crate::policy::{
    Approval, Endpoint, Facts, HeldGrant, HeldGrants, Judgement, Mode, PolicyFile, PolicySet, Rule,
    Subject, Ungoverned, Verdict, Whereabouts, decide, difference, lint, trace,
};

/// Names that no file chooses.
const TASKS: &[&str] = &[
    r"Exchange\Get-Mailbox",
    r"Exchange\New-MoveRequest",
    r"exchange\REMOVE-mailbox",
    r"Exchange\New-ElevatedAccessRequest",
    r"Other\X-1",
];

/// A policy for everything.
static EVERYTHING: LazyLock<(PolicySet, Principal)> = LazyLock::new(|| {
    let text = "[[group]]\nname = \"g\"\nmembers = [\"amy@contoso.example\"]\n\
                [[policy]]\ntask = 'Exchange\\*'\napproval = \"manual\"\napprovers = [\"g\"]\n";
    let interner = Interner::default();
    let set =
        PolicySet::load(&[policy_file(text)], &[], None, &interner).expect("it is a good file");
    (set, principal(&interner))
});

/// No grants at all.
struct Nothing;

/// One grant under each policy, with this window.
struct Everywhere {
    ends_ms: i64,
}

impl HeldGrants for Nothing {
    fn each(
        &self,
        _: PrincipalId,
        _: PolicyId,
        _: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
    }
}

impl HeldGrants for Everywhere {
    fn each(
        &self,
        _: PrincipalId,
        _: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
        let _stopped = look(HeldGrant {
            id: Uuid::nil(),
            starts_ms: 0,
            ends_ms: self.ends_ms,
            task: None,
            pins: None,
            uses_left: None,
            break_glass: false,
        });
    }
}

/// Where a policy governs everything, a command passes with a grant that has not ended, and with nothing else; one under a name
/// that could be an alias perhaps not even with that.
pub(super) fn govern(command: &Command) {
    let (set, principal) = &*EVERYTHING;
    let is_ours = command.task.cmdlet.is_gateway_cmdlet();
    let is_clear = command.parameters.cmdlet() != CmdletIs::PerhapsAlias;
    let active = Everywhere { ends_ms: 1 };
    let ended = Everywhere { ends_ms: 0 };
    let cases: [(&dyn HeldGrants, bool); 3] = [(&Nothing, false), (&ended, false), (&active, true)];
    for (grants, may) in cases {
        let judgement = judge(command, set, principal, grants);
        let permitted = matches!(judgement, Judgement::Permitted(_));
        let own = matches!(judgement, Judgement::Own(_));
        let may = may && (is_clear || permitted);
        assert_eq!(
            (permitted, own),
            (may && !is_ours, is_ours),
            "{:?}",
            command.task
        );
    }
}

pub(super) fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let interner = Interner::default();
    let file = policy_file(text);
    let set = match PolicySet::load(std::slice::from_ref(&file), &[], None, &interner) {
        Ok(set) => set,
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal says why");
            let lines = text.matches('\n').count() + 1;
            for problem in problems {
                assert_eq!(problem.place.file, file.path);
                assert!((1..=lines).contains(&problem.place.line), "{problem}");
                assert!(!problem.message.is_empty());
                assert!(
                    !problem.message.chars().any(char::is_control),
                    "{problem:?}"
                );
            }
            return;
        }
    };
    let again = PolicySet::load(&[file], &[], None, &interner).expect("it loads again");
    assert_eq!(set.hash(), again.hash());
    let principal = principal(&interner);
    for policy in set.policies() {
        let found = set.policy(&policy.scope.text).map(|it| &it.scope.folded);
        assert_eq!(found, Some(&policy.scope.folded));
        assert!(policy.approval != Approval::Manual || !policy.approvers.is_empty());
        assert_eq!(
            policy.approver_groups(&set).count(),
            policy.approvers.len(),
            "each group that approves is there"
        );
        // A task that the scope covers: itself, with a letter in place of each star.
        if let Ok(task) = policy.scope.text.replace('*', "a").parse::<Task>() {
            let governing = set.governing(&task).expect("its own scope covers it");
            let is_first = policy.scope.is_exact() && !policy.report_only;
            assert!(!is_first || governing.scope.folded == policy.scope.folded);
            check_task(task, &set, &principal);
        }
    }
    for warning in lint(&set, Ungoverned::Allow, DateTime::UNIX_EPOCH.date_naive()) {
        assert!(
            !warning.message.chars().any(char::is_control),
            "{warning:?}"
        );
    }
    assert_eq!(difference(&set, &again), [], "a set differs from itself");
    for task in TASKS {
        check_task(task.parse().expect("it is a task"), &set, &principal);
    }
}

/// Without a grant, what a policy governs passes only by an exemption or unenforced.
fn check_task(task: Task, set: &PolicySet, principal: &Principal) {
    let governing = set.governing(&task);
    let parameters = Parameters::default();
    let command = Command { task, parameters };
    let decision = judge(&command, set, principal, &Nothing).decision().clone();
    let is_ours = command.task.cmdlet.is_gateway_cmdlet();
    assert_eq!(is_ours, decision.rule == Rule::GatewayCmdlet);
    match decision.verdict {
        Verdict::Allow => assert!(is_ours || decision.rule == Rule::Exempt),
        Verdict::Block => assert!(!decision.explanation.is_empty(), "a block is explained"),
        Verdict::ReportOnly => assert!(governing.is_some_and(|it| it.report_only)),
    }
    // Each step is told, and the last one decides.
    let told = trace(
        &command,
        &facts(set, principal, &Nothing),
        Whereabouts::Line,
    );
    assert_eq!(told.decision, decision);
    assert!(told.steps.last().is_some_and(|it| it.decides), "{told:?}");
    if !is_ours && governing.is_some_and(|it| it.approval == Approval::Never) {
        assert_eq!(decision.rule, Rule::Never);
    }
    let granted = judge(&command, set, principal, &Everywhere { ends_ms: 1 });
    assert!(
        governing.is_some() || granted.decision().rule != Rule::Granted,
        "a grant without a policy"
    );
}

fn judge<'a>(
    command: &'a Command,
    policies: &PolicySet,
    principal: &Principal,
    grants: &dyn HeldGrants,
) -> Judgement<&'a Command> {
    let facts = facts(policies, principal, grants);
    decide(command, |it| Subject::Command(it), &facts)
}

fn facts<'a>(
    policies: &'a PolicySet,
    principal: &'a Principal,
    grants: &'a dyn HeldGrants,
) -> Facts<'a> {
    Facts {
        policies,
        mode: Mode::Enforce,
        endpoint: Endpoint {
            ungoverned: Ungoverned::Block,
            report_only: false,
        },
        principal,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        grants,
        now: DateTime::UNIX_EPOCH,
    }
}

fn policy_file(text: &str) -> PolicyFile {
    PolicyFile {
        path: "fuzz.toml".to_owned(),
        text: text.to_owned(),
    }
}

fn principal(interner: &Interner) -> Principal {
    let key = "local:ana@contoso.example".to_owned();
    Principal {
        kind: PrincipalKind::User,
        id: interner.principal(&key),
        key,
        name: "ana@contoso.example".to_owned(),
        groups: Vec::new(),
        tenant: None,
        identity: "people".to_owned(),
    }
}
