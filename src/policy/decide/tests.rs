use std::fmt::Write as _;

use crate::model::{Interner, Parameter, Parameters, PrincipalKind, Value};
use crate::policy::PolicyFile;

use super::*;

mod grants;
mod properties;
mod reporting;

/// Grants as a plain list.
#[derive(Clone, Debug, Default)]
struct Grants(Vec<(PrincipalId, PolicyId, HeldGrant<'static>)>);

impl HeldGrants for Grants {
    fn each(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
        let held = self
            .0
            .iter()
            .filter(|(holder, under, _)| (*holder, *under) == (principal, policy));
        for (_, _, grant) in held {
            if look(*grant).is_break() {
                return;
            }
        }
    }
}

const NOW_MS: i64 = 1_800_000_000_000;

#[derive(Debug)]
struct World {
    interner: Interner,
    policies: Arc<PolicySet>,
    mode: Mode,
    endpoint: Endpoint,
    principal: Principal,
    grants: Grants,
}

impl World {
    fn new(policies: &str) -> Self {
        let interner = Interner::default();
        let files = [PolicyFile {
            path: "p.toml".to_owned(),
            text: format!("[[group]]\nname = 'ops'\nmembers = ['amy']\n{policies}"),
        }];
        let policies = PolicySet::load(&files, &[], Some("ops"), &interner)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let key = "local:zed".to_owned();
        Self {
            policies: Arc::new(policies),
            mode: Mode::Enforce,
            endpoint: Endpoint {
                ungoverned: Ungoverned::Block,
                report_only: false,
            },
            principal: Principal {
                kind: PrincipalKind::User,
                id: interner.principal(&key),
                key,
                name: "zed@contoso.example".to_owned(),
                groups: Vec::new(),
                tenant: None,
                identity: "test".to_owned(),
            },
            interner,
            grants: Grants::default(),
        }
    }

    fn grant(&mut self, scope: &str, starts_ms: i64, ends_ms: i64, task: Option<&str>) {
        let grant = HeldGrant {
            id: Uuid::from_u128(self.grants.0.len() as u128),
            starts_ms,
            ends_ms,
            task: task.map(|it| &*Box::leak(Box::new(it.parse().unwrap()))),
            pins: None,
            uses_left: None,
            break_glass: false,
        };
        let policy = self.interner.policy(scope);
        self.grants.0.push((self.principal.id, policy, grant));
    }

    fn decide(&self, task: &str, parameters: &[(&str, Value)]) -> Judgement<Command> {
        let mut command = Command {
            task: task.parse().unwrap(),
            parameters: Parameters::default(),
        };
        for (name, value) in parameters {
            let parameter = Parameter {
                name: name.parse().unwrap(),
                value: value.clone(),
                type_annotation: None,
            };
            command.parameters.push(parameter).unwrap();
        }
        decide(command, |it| Subject::Command(it), &self.facts())
    }

    /// The rule that speaks for a command some of whose parameters cannot be told apart.
    fn unclear(&self, task: &str, names: Names) -> Rule {
        let mut parameters = Parameters::default();
        parameters.set_names(names);
        let command = Command {
            task: task.parse().unwrap(),
            parameters,
        };
        let judgement = decide(command, |it| Subject::Command(it), &self.facts());
        judgement.decision().rule
    }

    /// What is decided of a command with parameters of which `strange` are under names that could be aliases.
    fn strange(&self, task: &str, known: &[&str], strange: &[&str]) -> Decision {
        let mut parameters = Parameters::default();
        for name in known.iter().chain(strange) {
            let parameter = Parameter {
                name: name.parse().unwrap(),
                value: Value::text("a"),
                type_annotation: None,
            };
            parameters.push(parameter).unwrap();
        }
        let names = strange.iter().map(|it| it.parse().unwrap());
        parameters.set_unresolved(names.collect());
        let command = Command {
            task: task.parse().unwrap(),
            parameters,
        };
        let judgement = decide(command, |it| Subject::Command(it), &self.facts());
        judgement.decision().clone()
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            policies: &self.policies,
            mode: self.mode,
            endpoint: self.endpoint,
            principal: &self.principal,
            source: [10, 0, 0, 1].into(),
            grants: &self.grants,
            now: DateTime::from_timestamp_millis(NOW_MS).unwrap(),
        }
    }

    fn verdict(&self, task: &str) -> String {
        let judgement = self.decide(task, &[]);
        let decision = judgement.decision();
        format!("{} {}", decision.verdict.as_str(), decision.rule.as_str())
    }

    fn explanation(&self, task: &str) -> String {
        self.decide(task, &[]).decision().explanation.clone()
    }
}

const EXEMPTION: &str =
    "[[exemption]]\naccount = 'zed@contoso.example'\nowner = 'o'\nreason = 'r'\n";

/// Every mode × kind of policy × exemption × grant × report-only, each with its verdict and the rule that spoke.
#[test]
fn the_decision_as_a_table() {
    let mut table = String::new();
    for mode in [Mode::Enforce, Mode::ReportOnly, Mode::Disabled] {
        for kind in [
            "manual",
            "auto",
            "never",
            "rule",
            "none-block",
            "none-allow",
        ] {
            for exempt in [false, true] {
                for granted in [false, true] {
                    for report_only in ["-", "endpoint", "policy"] {
                        if kind.starts_with("none") && report_only == "policy" {
                            continue;
                        }
                        let policy = match kind {
                            "none-block" | "none-allow" => String::new(),
                            "rule" => "approval = 'manual'".to_owned(),
                            approval => format!("approval = '{approval}'"),
                        };
                        let mut text = String::new();
                        if !policy.is_empty() {
                            write!(
                                text,
                                "[[policy]]\ntask = 'X\\Get-It'\n{policy}\nreport_only = {}\n",
                                report_only == "policy"
                            )
                            .unwrap();
                        }
                        if kind == "rule" {
                            text += "[policy.parameters]\nP = { present = true }\n";
                        }
                        if exempt {
                            text += EXEMPTION;
                        }
                        let mut world = World::new(&text);
                        world.mode = mode;
                        world.endpoint.report_only = report_only == "endpoint";
                        if kind == "none-allow" {
                            world.endpoint.ungoverned = Ungoverned::Allow;
                        }
                        if granted {
                            world.grant(r"x\get-it", NOW_MS, NOW_MS + 1, None);
                        }
                        let row = format!(
                            "{:10} {kind:10} {:6} {:7} {report_only:8}",
                            format!("{mode:?}"),
                            if exempt { "exempt" } else { "-" },
                            if granted { "granted" } else { "-" },
                        );
                        writeln!(table, "{row} -> {}", world.verdict(r"X\Get-It")).unwrap();
                    }
                }
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_judgement_is_what_its_verdict_says() {
    let mut world = World::new("");
    let gateway = world.decide(r"X\New-ElevatedAccessRequest", &[]);
    assert!(matches!(gateway, Judgement::Own(_)));
    assert!(matches!(
        world.decide(r"X\Get-It", &[]),
        Judgement::Refused(_)
    ));
    world.mode = Mode::ReportOnly;
    let permitted = world.decide(r"X\Get-It", &[]);
    assert!(matches!(permitted, Judgement::Permitted(_)));
    assert!(
        !permitted.decision().explanation.is_empty(),
        "what would have blocked is told"
    );
}

#[test]
fn gateway_cmdlets_are_answered_even_while_access_control_is_disabled() {
    let mut world = World::new("");
    world.mode = Mode::Disabled;
    assert_eq!(
        world.verdict(r"X\Enable-ElevatedAccessControl"),
        "allow gateway-cmdlet"
    );
    assert_eq!(
        world.verdict(r"X\Remove-Mailbox"),
        "allow access-control-disabled"
    );
}

#[test]
fn session_calls_pass() {
    let world = World::new("");
    let call = SessionCall {
        name: "EXOModuleFile",
    };
    let judgement = decide(call, |it| Subject::Session(it), &world.facts());
    assert!(matches!(judgement, Judgement::Permitted(_)));
    assert_eq!(judgement.decision().rule, Rule::SessionCall);
}

#[test]
fn a_decision_names_what_decided() {
    let text = format!("[[policy]]\ntask = 'X\\Get-*'\napproval = 'manual'\n{EXEMPTION}");
    let world = World::new(&text);
    let judgement = world.decide(r"X\Get-It", &[]);
    let decision = judgement.decision();
    assert_eq!(decision.policy.as_deref(), Some(r"x\get-*"));
    assert_eq!(decision.exemption.as_ref().unwrap().to_string(), "p.toml:7");
    assert_eq!(decision.explanation, "");

    let mut world = World::new("[[policy]]\ntask = 'X\\Get-*'\napproval = 'manual'\n");
    world.grant(r"x\get-*", NOW_MS, NOW_MS + 1, None);
    let judgement = world.decide(r"X\Get-It", &[]);
    assert_eq!(judgement.decision().grant, Some(Uuid::from_u128(0)));
}

#[test]
fn explanations_say_what_to_do_next() {
    let policy = |task: &str, rest: &str| format!("[[policy]]\ntask = 'X\\{task}'\n{rest}\n");
    let world = World::new(
        &[
            policy("New-MoveRequest", "approval = 'manual'"),
            policy("Get-Long", "approval = 'manual'\ndefault_duration = '90m'"),
            policy("Get-Short", "approval = 'manual'\nmax_duration = '30m'"),
            policy("Set-*", "approval = 'auto'"),
            policy("New-JournalRule", "approval = 'never'"),
            policy(
                "Get-Rule",
                "approval = 'auto'\nparameters = { P = { one_of = [1] } }",
            ),
        ]
        .concat(),
    );
    let mut told = String::new();
    for task in [
        "New-MoveRequest",
        "Get-Long",
        "Get-Short",
        "Set-Mailbox",
        "New-JournalRule",
        "Get-Rule",
        "Get-Nothing",
    ] {
        writeln!(told, "{}", world.explanation(&format!(r"X\{task}"))).unwrap();
    }
    insta::assert_snapshot!(told, @r"
    New-MoveRequest needs approval. Request it with: New-ElevatedAccessRequest -Task 'X\New-MoveRequest' -Reason '…' -DurationHours 4
    Get-Long needs approval. Request it with: New-ElevatedAccessRequest -Task 'X\Get-Long' -Reason '…' -DurationHours 2
    Get-Short needs approval. Request it with: New-ElevatedAccessRequest -Task 'X\Get-Short' -Reason '…'
    Set-Mailbox needs approval, which is given at once. Request it with: New-ElevatedAccessRequest -Task 'X\Set-Mailbox' -Reason '…' -DurationHours 4
    New-JournalRule is blocked for everyone by policy 'X\New-JournalRule', and no request can change that. If it has to run, ask those who keep the gateway's policies
    Get-Rule is blocked by a parameter rule of policy 'X\Get-Rule': `P` must be given and be `1`. Change the parameters and run it again
    Get-Nothing is blocked: no policy governs 'X\Get-Nothing', and only governed tasks pass here. If it has to run, ask those who keep the gateway's policies to add one
    ");
}

#[test]
fn what_no_request_can_name_is_requested_by_its_effect() {
    let world = World::new(
        "[[policy]]\neffect = 'grant-privilege'\napproval = 'manual'\nreason = { required = false }\n",
    );
    let parameters = [("Password", Value::text("x"))];
    let judgement = world.decide(r"Exchange\Set-Mailbox", &parameters);
    insta::assert_snapshot!(judgement.decision().explanation, @"Set-Mailbox needs approval. Request it with: New-ElevatedAccessRequest -Task 'effect:grant-privilege' -DurationHours 4 (for all that policy 'effect:grant-privilege' governs, since Password holds a secret and no request can name it)");
}

#[test]
fn a_dangerous_parameter_brings_its_effects_policy_and_the_request_names_it() {
    let mut world = World::new(
        "[[policy]]\neffect = 'change'\napproval = 'auto'\non_block = 'request'\n\
         [[policy]]\neffect = 'exfiltrate'\napproval = 'manual'\nreason = { required = false }\n",
    );
    world.grant("effect:change", NOW_MS, NOW_MS + 1, None);
    let decide = |world: &World, parameter: &str| {
        let parameters = [(parameter, Value::text("x"))];
        world
            .decide(r"Exchange\Set-Mailbox", &parameters)
            .decision()
            .clone()
    };
    assert_eq!(decide(&world, "Office").rule, Rule::Granted);
    let blocked = decide(&world, "ForwardingSmtpAddress");
    assert_eq!(blocked.rule, Rule::NeedsApproval);
    assert_eq!(blocked.policy.as_deref(), Some("effect:exfiltrate"));
    insta::assert_snapshot!(blocked.explanation, @r"Set-Mailbox needs approval. Request it with: New-ElevatedAccessRequest -Task 'Exchange\Set-Mailbox' -Parameters @{ForwardingSmtpAddress='…'} -DurationHours 4");
    world.grant(
        "effect:exfiltrate",
        NOW_MS,
        NOW_MS + 1,
        Some(r"Exchange\Set-Mailbox"),
    );
    assert_eq!(decide(&world, "ForwardingSmtpAddress").rule, Rule::Granted);
    world.grants.0.clear();
    assert_eq!(
        decide(&world, "Office").explanation,
        "Set-Mailbox needs approval, which is given at once"
    );
}

#[test]
fn a_parameter_without_a_clear_name_passes_no_rule() {
    let mut world = World::new(
        "[[policy]]\ntask = 'X\\Set-Free'\napproval = 'manual'\n\
         [[policy]]\ntask = 'X\\Set-Ruled'\napproval = 'manual'\nparameters = { Identity = { optional = true, one_of = ['a'] } }\n\
         [[policy]]\ntask = 'X\\Set-Counted'\napproval = 'manual'\nspread = { identities_per_grant = 2 }\n\
         [[policy]]\ntask = 'X\\Set-Paced'\napproval = 'manual'\nspread = { calls_per_grant = 2 }\n\
         [[policy]]\neffect = 'exfiltrate'\napproval = 'manual'\n",
    );
    for scope in ["free", "ruled", "counted", "paced"] {
        let scope = format!(r"x\set-{scope}");
        world.grant(&scope, NOW_MS, NOW_MS + 1, None);
    }
    for (task, clear, unclear) in [
        (r"X\Set-Free", Rule::Granted, Rule::Granted),
        (r"X\Set-Ruled", Rule::Granted, Rule::ParameterRule),
        (r"X\Set-Counted", Rule::ParameterRule, Rule::ParameterRule),
        // One of its parameters could forward mail, and no policy governs it without that.
        (
            r"Exchange\Set-Mailbox",
            Rule::UngovernedBlocked,
            Rule::ParameterRule,
        ),
        (
            r"Exchange\Get-Mailbox",
            Rule::UngovernedBlocked,
            Rule::UngovernedBlocked,
        ),
    ] {
        assert_eq!(world.decide(task, &[]).decision().rule, clear, "{task}");
        for names in [Names::Unknown, Names::Piped] {
            assert_eq!(world.unclear(task, names), unclear, "{task}");
        }
    }
    // Nothing is counted that is not named.
    let by_one = |name: &str, value: &str| {
        let decision = world.decide(r"X\Set-Counted", &[(name, Value::text(value))]);
        decision.decision().clone()
    };
    for (name, value, rule) in [
        ("Identity", "a", Rule::Granted),
        ("mailbox", "a", Rule::Granted),
        ("Identity", " ", Rule::ParameterRule),
        ("Name", "a", Rule::ParameterRule),
        ("Mail", "a", Rule::ParameterRule),
    ] {
        assert_eq!(by_one(name, value).rule, rule, "{name}");
    }
    insta::assert_snapshot!(by_one("Name", "a").explanation, @r"Set-Counted is blocked by policy 'X\Set-Counted', which limits how many identities are named: it has neither -Identity nor -Mailbox. Name what it is about and run it again");
    // What is counted is what is named.
    let paced = r"X\Set-Paced";
    assert_eq!(world.unclear(paced, Names::Unknown), Rule::Granted);
    assert_eq!(world.unclear(paced, Names::Piped), Rule::ParameterRule);
    world.grants.0[0].2.uses_left = Some(3);
    let free = r"X\Set-Free";
    assert_eq!(world.unclear(free, Names::Unknown), Rule::Granted);
    assert_eq!(world.unclear(free, Names::Piped), Rule::PinnedParameters);
    world.grants.0[0].2.uses_left = None;
    // A grant's pins are rules as well.
    let pinned = Value::text("a");
    let name = "Identity".parse().unwrap();
    let pins = ParameterRules::pinned([(&name, &pinned)]).unwrap();
    world.grants.0[0].2.pins = Some(Box::leak(Box::new(pins)));
    let named = world.decide(r"X\Set-Free", &[("Identity", pinned.clone())]);
    assert_eq!(named.decision().rule, Rule::Granted);
    assert_eq!(
        world.unclear(r"X\Set-Free", Names::Unknown),
        Rule::PinnedParameters
    );
    // Who is exempt is exempt from rules on parameters.
    let exempt = World::new(&format!(
        "[[policy]]\ntask = 'X\\Set-Ruled'\napproval = 'manual'\nparameters = {{ Identity = {{ absent = true }} }}\n{EXEMPTION}"
    ));
    assert_eq!(exempt.unclear(r"X\Set-Ruled", Names::Piped), Rule::Exempt);
    // `never` binds them too, also where only a parameter tells that it does.
    let never = World::new(&format!(
        "[[policy]]\neffect = 'exfiltrate'\napproval = 'never'\n{EXEMPTION}"
    ));
    let task = r"Exchange\Set-Mailbox";
    assert_eq!(never.decide(task, &[]).decision().rule, Rule::Exempt);
    for names in [Names::Unknown, Names::Piped] {
        assert_eq!(never.unclear(task, names), Rule::ParameterRule);
        assert_eq!(never.unclear(r"Exchange\Get-Mailbox", names), Rule::Exempt);
    }
}

#[test]
fn a_cmdlet_that_could_be_an_alias_passes_only_where_nothing_is_governed() {
    let decided = |world: &World, task: &str| {
        let mut parameters = Parameters::default();
        parameters.set_cmdlet(CmdletIs::PerhapsAlias);
        let task = task.parse().unwrap();
        let command = Command { task, parameters };
        let judgement = decide(command, |it| Subject::Command(it), &world.facts());
        let decision = judgement.decision();
        format!("{:?} {:?}", decision.verdict, decision.rule)
    };
    let world = |policies: &str, ungoverned: Ungoverned| {
        let mut world = World::new(policies);
        world.endpoint.ungoverned = ungoverned;
        world
    };
    let allowed = "Allow UngovernedAllowed";
    let blocked = "Block UngovernedBlocked";
    let alias = r"Exchange\Get-Box";
    let one = "[[policy]]\ntask = 'Exchange\\Remove-Mailbox'\napproval = 'manual'\n";
    assert_eq!(decided(&world("", Ungoverned::Allow), alias), allowed);
    let some = world(one, Ungoverned::Allow);
    assert_eq!(some.decide(alias, &[]).decision().verdict, Verdict::Allow);
    assert_eq!(decided(&some, alias), blocked);
    // The catalogue has these, the policy that.
    assert_eq!(decided(&some, r"Exchange\get-mailbox"), allowed);
    assert_eq!(decided(&some, r"Mail\Get-Mailbox"), allowed);
    assert_eq!(
        decided(&some, r"Exchange\Remove-Mailbox"),
        "Block NeedsApproval"
    );
    let extended = format!("{one}[[cmdlet]]\ntasks = ['Exchange\\Get-Box']\neffect = 'read'\n");
    assert_eq!(
        decided(&world(&extended, Ungoverned::Allow), alias),
        allowed
    );
    let exact = format!("{one}[[policy]]\ntask = 'Exchange\\Get-Box'\napproval = 'auto'\n");
    let pattern = format!("{one}[[policy]]\ntask = 'Exchange\\Get-*'\napproval = 'auto'\n");
    let by_role = format!(
        "{one}[[role]]\nname = 'Exchange\\r'\ntasks = ['Exchange\\Get-Box']\n[[policy]]\nrole = 'Exchange\\r'\napproval = 'auto'\n"
    );
    for policies in [&exact, &by_role] {
        let named = world(policies, Ungoverned::Block);
        assert_ne!(decided(&named, alias), blocked);
    }
    assert_eq!(decided(&world(&pattern, Ungoverned::Block), alias), blocked);
    // Policies that only report have it reported, unless what none governs is blocked.
    let reported = one.to_owned() + "report_only = true\n";
    assert_eq!(
        decided(&world(&reported, Ungoverned::Allow), alias),
        "ReportOnly UngovernedBlocked"
    );
    assert_eq!(
        decided(&world(&reported, Ungoverned::Block), alias),
        blocked
    );
    // Who is exempt is bound by `never` alone.
    let exempt = format!("{one}{EXEMPTION}");
    assert_eq!(
        decided(&world(&exempt, Ungoverned::Block), alias),
        "Allow Exempt"
    );
    let never = exempt.replace("'manual'", "'never'");
    assert_eq!(decided(&world(&never, Ungoverned::Allow), alias), blocked);
    let for_some = exempt + "tasks = ['Exchange\\Get-*']\n";
    assert_eq!(
        decided(&world(&for_some, Ungoverned::Allow), alias),
        blocked
    );
}

#[test]
fn a_report_only_policy_of_an_effect_opens_nothing_that_others_block() {
    let task = r"Exchange\Set-Mailbox";
    let milder = "[[policy]]\neffect = 'change'\napproval = 'manual'\n";
    let observed =
        "[[policy]]\neffect = 'grant-privilege'\napproval = 'manual'\nreport_only = true\n";
    let never = "[[policy]]\neffect = 'exfiltrate'\napproval = 'never'\n";
    for names in [Names::Unknown, Names::Piped] {
        for (policies, expected) in [
            (format!("{observed}{milder}"), Rule::NeedsApproval),
            (format!("{observed}{never}"), Rule::ParameterRule),
            // The endpoint's word on what no policy governs.
            (observed.to_owned(), Rule::UngovernedBlocked),
        ] {
            let world = World::new(&policies);
            assert_eq!(world.unclear(task, names), expected, "{policies}");
        }
    }
}

#[test]
fn a_name_that_could_be_an_alias_stands_for_no_parameter_that_matters() {
    let mut world = World::new(
        "[[policy]]\ntask = 'X\\Set-Free'\napproval = 'manual'\n\
         [[policy]]\ntask = 'X\\Set-Ruled'\napproval = 'manual'\nother_parameters = 'allow'\nparameters = { Forward = { absent = true } }\n\
         [[policy]]\ntask = 'X\\Set-Named'\napproval = 'manual'\nother_parameters = 'allow'\nparameters = { Identity = { one_of = ['a'] } }\n\
         [[policy]]\ntask = 'X\\Set-Counted'\napproval = 'manual'\nspread = { identities_per_grant = 2 }\n\
         [[policy]]\neffect = 'change'\napproval = 'manual'\n\
         [[policy]]\neffect = 'exfiltrate'\napproval = 'manual'\n",
    );
    for scope in [
        r"x\set-free",
        r"x\set-ruled",
        r"x\set-named",
        r"x\set-counted",
        "effect:change",
        "effect:exfiltrate",
    ] {
        world.grant(scope, NOW_MS, NOW_MS + 1, None);
    }
    let (granted, blocked) = (Rule::Granted, Rule::ParameterRule);
    for (task, known, strange, rule) in [
        (r"X\Set-Free", &[][..], &["Other"][..], granted),
        (r"X\Set-Ruled", &[], &["Identity", "Fwd"], blocked),
        (r"X\Set-Ruled", &["Identity", "Fwd"], &[], granted),
        (r"X\Set-Ruled", &[], &["Verbose"], granted),
        // No server binds a parameter twice, so what is beside its own name is another.
        (r"X\Set-Named", &[], &["Identity", "Other"], granted),
        (r"X\Set-Named", &["Identity"], &["Other"], granted),
        (r"X\Set-Named", &["Identity"], &["Ident"], blocked),
        (r"X\Set-Counted", &[], &["Identity", "Other"], granted),
        (r"X\Set-Counted", &[], &["Other"], blocked),
        // A parameter of another effect is known by its own name, and could be behind any other.
        (r"Exchange\Set-Mailbox", &["Office"], &["Identity"], granted),
        (r"Exchange\Set-Mailbox", &["Identity"], &["Office"], blocked),
        (
            r"Exchange\Set-Mailbox",
            &[],
            &["Identity", "ForwardingSmtpAddress"],
            granted,
        ),
    ] {
        let decision = world.strange(task, known, strange);
        assert_eq!(decision.rule, rule, "{task} {known:?} {strange:?}");
    }
    // A grant's pins are rules as well.
    let pinned = Value::text("a");
    let names = ["Identity", "Office"].map(|it| it.parse().unwrap());
    let pins = ParameterRules::pinned(names.iter().map(|it| (it, &pinned))).unwrap();
    world.grants.0[0].2.pins = Some(Box::leak(Box::new(pins)));
    let decide = |strange: &[&str]| world.strange(r"X\Set-Free", &[], strange).rule;
    assert_eq!(decide(&["Identity", "Office", "Other"]), Rule::Granted);
    assert_eq!(decide(&["Identity", "Other"]), Rule::PinnedParameters);
    let told = [
        world.strange(r"X\Set-Ruled", &[], &["Fwd"]),
        world.strange(r"Exchange\Set-Mailbox", &[], &["Office"]),
    ]
    .map(|it| it.explanation);
    insta::assert_snapshot!(told.join("\n"));
}
