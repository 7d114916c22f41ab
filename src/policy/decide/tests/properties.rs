//! What holds of every decision, whatever the policies, grants and settings.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// A policy file's text, some grants and the rest of a world, small enough that things meet.
fn worlds() -> impl Strategy<Value = World> {
    let scopes = ["Get-*", "Get-A", "Set-*", "Set-B", "R*-A"];
    let approval = proptest::option::of(proptest::sample::select(vec!["auto", "manual", "never"]));
    let policies =
        proptest::collection::vec((approval, any::<bool>(), any::<bool>()), scopes.len());
    let grants =
        proptest::collection::vec((0..scopes.len(), -2..2_i64, -1..3_i64, any::<bool>()), 0..4);
    let mode = prop_oneof![
        4 => Just(Mode::Enforce),
        1 => Just(Mode::ReportOnly),
        1 => Just(Mode::Disabled)
    ];
    (policies, grants, mode, any::<[bool; 3]>()).prop_map(move |(policies, grants, mode, rest)| {
        let mut text = String::new();
        for (scope, (approval, has_rule, report_only)) in scopes.iter().zip(policies) {
            let Some(approval) = approval else { continue };
            writeln!(
                text,
                "[[policy]]\ntask = 'X\\{scope}'\napproval = '{approval}'"
            )
            .unwrap();
            writeln!(text, "report_only = {}", report_only && rest[2]).unwrap();
            if has_rule {
                writeln!(text, "parameters = {{ P = {{ one_of = ['good'] }} }}").unwrap();
            }
        }
        if rest[0] {
            text += EXEMPTION;
            text += "tasks = ['X\\*-A']\n";
        }
        let mut world = World::new(&text);
        world.mode = mode;
        world.endpoint.ungoverned = if rest[1] {
            Ungoverned::Allow
        } else {
            Ungoverned::Block
        };
        for (scope, starts, ends, narrowed) in grants {
            let scope = format!(r"x\{}", scopes[scope].to_ascii_lowercase());
            let task = narrowed.then_some(r"X\Get-A");
            world.grant(&scope, NOW_MS + starts, NOW_MS + ends, task);
        }
        world
    })
}

fn calls() -> impl Strategy<Value = (&'static str, Vec<(&'static str, Value)>)> {
    let tasks = vec![
        r"X\Get-A", r"X\GET-B", r"X\Set-B", r"x\Run-A", r"Y\Get-A", r"X\Add-C",
    ];
    let value = proptest::sample::select(vec!["good", "GOOD", "bad"]);
    (proptest::sample::select(tasks), proptest::option::of(value)).prop_map(|(task, value)| {
        let parameters = value.map(|it| ("P", Value::text(it)));
        (task, parameters.into_iter().collect())
    })
}

fn permits(world: &World, (task, parameters): &(&str, Vec<(&str, Value)>)) -> bool {
    matches!(world.decide(task, parameters), Judgement::Permitted(_))
}

proptest! {
    #[test]
    fn nothing_is_permitted_without_a_reason_that_holds(world in worlds(), call in calls()) {
        let judgement = world.decide(call.0, &call.1);
        let decision = judgement.decision().clone();
        let task: Task = call.0.parse().unwrap();
        let governing = world.policies.governing(&task);
        let reason_holds = match decision.rule {
            Rule::AccessControlDisabled => world.mode == Mode::Disabled,
            Rule::Exempt => {
                governing.is_none_or(|it| it.approval != Approval::Never)
                    && task.folded().starts_with("x\\")
                    && task.folded().ends_with("-a")
            }
            Rule::Granted => world.grants.0.iter().any(|(holder, policy, grant)| {
                Some(grant.id) == decision.grant
                    && *holder == world.principal.id
                    && Some(*policy) == governing.map(|it| it.id)
                    && grant.starts_ms <= NOW_MS
                    && NOW_MS < grant.ends_ms
                    && grant.task.is_none_or(|it| *it == task)
            }),
            Rule::UngovernedAllowed => governing.is_none() && world.endpoint.ungoverned == Ungoverned::Allow,
            Rule::GrantsUnknown
            | Rule::NeedsApproval
            | Rule::Never
            | Rule::OutsideWindow
            | Rule::ParameterRule
            | Rule::PinnedParameters
            | Rule::SpreadLimit
            | Rule::UngovernedBlocked
            | Rule::UsedUp => {
                world.mode == Mode::ReportOnly || governing.is_some_and(|it| it.report_only)
            }
            Rule::BreakGlass | Rule::GatewayCmdlet | Rule::SessionCall => false,
        };
        match judgement {
            Judgement::Permitted(_) => prop_assert!(reason_holds, "{:?}", decision),
            Judgement::Refused(_) => prop_assert!(!decision.explanation.is_empty()),
            Judgement::Own(_) => prop_assert!(false, "no gateway cmdlet was asked for"),
        }
    }

    #[test]
    fn what_was_examined_before_decides_the_same(world in worlds(), other in worlds(), calls in [calls(), calls()]) {
        let commands = calls.map(|(task, parameters)| {
            let mut command = Command { task: task.parse().unwrap(), parameters: Parameters::default() };
            for (name, value) in parameters {
                let parameter = Parameter { name: name.parse().unwrap(), value, type_annotation: None };
                command.parameters.push(parameter).unwrap();
            }
            Arc::new(command)
        });
        let whole = decide(Arc::clone(&commands[0]), |it| Subject::Command(it), &world.facts());
        // The right one is heard; one of another command or under other policies is not.
        for (command, policies) in [(0, &world), (1, &world), (0, &other)] {
            let examined = Examined::new(Arc::clone(&commands[command]), Arc::clone(&policies.policies));
            prop_assert_eq!(
                examined.is_of(&commands[0], &world.policies),
                command == 0 && std::ptr::eq(policies, &raw const world)
            );
            let quick = decide_examined(Arc::clone(&commands[0]), |it| Subject::Command(it), &world.facts(), Some(&examined));
            prop_assert_eq!(whole.decision(), quick.decision());
            prop_assert_eq!(format!("{whole:?}"), format!("{quick:?}"));
        }
    }

    #[test]
    fn the_same_facts_decide_the_same(world in worlds(), call in calls()) {
        let [one, two] = [(); 2].map(|()| world.decide(call.0, &call.1).decision().clone());
        prop_assert_eq!(one, two);
    }

    #[test]
    fn removing_a_grant_never_permits_more(mut world in worlds(), call in calls(), which: prop::sample::Index) {
        let before = permits(&world, &call);
        if !world.grants.0.is_empty() {
            let which = which.index(world.grants.0.len());
            world.grants.0.remove(which);
        }
        prop_assert!(before || !permits(&world, &call));
    }
}

/// Adding a `never` policy can only take away, unless report-only lets its blocks pass.
#[test]
fn adding_a_never_never_permits_more() {
    let base = "[[policy]]\ntask = 'X\\Get-*'\napproval = 'manual'\n";
    let never = "[[policy]]\ntask = 'X\\Get-A'\napproval = 'never'\n";
    for exempt in ["", EXEMPTION] {
        for ungoverned in [Ungoverned::Allow, Ungoverned::Block] {
            for granted in [false, true] {
                let [before, after] = ["", never].map(|more| {
                    let mut world = World::new(&format!("{base}{more}{exempt}"));
                    world.endpoint.ungoverned = ungoverned;
                    if granted {
                        world.grant(r"x\get-*", NOW_MS, NOW_MS + 1, None);
                        world.grant(r"x\get-a", NOW_MS, NOW_MS + 1, None);
                    }
                    [r"X\Get-A", r"X\Get-B", r"X\Set-A"]
                        .map(|task| matches!(world.decide(task, &[]), Judgement::Permitted(_)))
                });
                assert!(!after[0], "never blocks whoever asks");
                assert!(
                    before
                        .iter()
                        .zip(after)
                        .all(|(before, after)| *before || !after)
                );
            }
        }
    }
}

proptest! {
    /// Whatever a `never` is about, it only takes away: also where it takes the place of a policy that is less strict.
    #[test]
    fn adding_a_never_of_any_scope_never_permits_more(
        present in any::<[bool; 4]>(),
        never in 0..7_usize,
        granted in any::<bool>(),
        exempt in any::<bool>(),
        ungoverned_passes in any::<bool>(),
        task in proptest::sample::select(vec![r"Exchange\Set-Mailbox", r"Exchange\Get-Mailbox", r"Exchange\Remove-Mailbox"]),
        parameter in proptest::sample::select(vec!["Identity", "ForwardingSmtpAddress"]),
    ) {
        const ROLE: &str = "[[role]]\nname = 'Exchange\\R'\ntasks = ['Exchange\\Set-Mailbox']\n";
        let base = [
            ("task = 'Exchange\\Set-*'", r"exchange\set-*"),
            ("effect = 'change'", "effect:change"),
            ("effect = 'exfiltrate'", "effect:exfiltrate"),
            ("role = 'Exchange\\R'", r"role:exchange\r"),
        ];
        let more = [
            "task = 'Exchange\\Set-Mailbox'", "task = 'Exchange\\S*'", "effect = 'read'", "effect = 'destroy'",
            "effect = 'grant-privilege'", "task = 'Exchange\\*'", "task = 'Exchange\\Get-*'",
        ];
        let [before, after] = [None, more.get(never)].map(|never| {
            let mut text = ROLE.to_owned();
            for ((scope, _), _) in base.iter().zip(present).filter(|it| it.1) {
                writeln!(text, "[[policy]]\n{scope}\napproval = 'manual'").unwrap();
            }
            if let Some(scope) = never {
                writeln!(text, "[[policy]]\n{scope}\napproval = 'never'").unwrap();
            }
            if exempt {
                text += EXEMPTION;
            }
            let mut world = World::new(&text);
            if ungoverned_passes {
                world.endpoint.ungoverned = Ungoverned::Allow;
            }
            if granted {
                for (_, scope) in base {
                    world.grant(scope, NOW_MS, NOW_MS + 1, None);
                }
            }
            permits(&world, &(task, vec![(parameter, Value::text("x"))]))
        });
        // A command that a `never` takes from nobody is decided as before; any other is blocked.
        prop_assert!(before || !after);
    }
}
