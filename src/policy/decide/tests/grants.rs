//! What a grant covers: when, of what, how often; and what is said while nobody knows of grants.

use super::*;

#[test]
fn a_grant_covers_its_window_with_its_start_and_without_its_end() {
    let covered = |starts, ends| {
        let mut world = World::new("[[policy]]\ntask = 'X\\Get-It'\napproval = 'manual'\n");
        world.grant(r"x\get-it", starts, ends, None);
        world.verdict(r"X\GET-IT") == "allow granted"
    };
    assert!(covered(NOW_MS, NOW_MS + 1));
    assert!(covered(NOW_MS - 1, NOW_MS + 1));
    assert!(!covered(NOW_MS + 1, NOW_MS + 2));
    assert!(!covered(NOW_MS - 1, NOW_MS));
    assert!(!covered(NOW_MS, NOW_MS));
    assert!(!covered(NOW_MS + 1, NOW_MS - 1));
}

#[test]
fn a_grant_covers_its_task_its_policy_and_its_holder_alone() {
    let policies = "[[policy]]\ntask = 'X\\Get-*'\napproval = 'manual'\n\
                    [[policy]]\ntask = 'X\\Get-Special'\napproval = 'manual'\n";
    let mut world = World::new(policies);
    world.grant(r"x\get-*", NOW_MS, NOW_MS + 1, Some(r"X\Get-This"));
    assert_eq!(world.verdict(r"X\get-this"), "allow granted");
    assert_eq!(world.verdict(r"X\Get-That"), "block needs-approval");

    world.grant(r"x\get-*", NOW_MS, NOW_MS + 1, None);
    assert_eq!(world.verdict(r"X\Get-That"), "allow granted");
    assert_eq!(
        world.verdict(r"X\Get-Special"),
        "block needs-approval",
        "its own policy governs"
    );

    world.principal.id = world.interner.principal("local:other");
    assert_eq!(world.verdict(r"X\get-this"), "block needs-approval");
}

/// A policy with a grant of `zed`.
fn granted(policy: &str, change: impl FnOnce(&mut HeldGrant<'static>)) -> World {
    let mut world = World::new(&format!("[[policy]]\ntask = 'X\\Set-It'\n{policy}\n"));
    world.grant(r"x\set-it", NOW_MS, NOW_MS + 1, None);
    change(&mut world.grants.0[0].2);
    world
}

#[test]
fn outside_its_hours_a_policy_lets_only_break_glass_through() {
    // 2027-01-15, a Friday, 08:00 UTC.
    let hours = |from: &str, to: &str| {
        format!("approval = 'manual'\nwindows = [{{ from = '{from}', to = '{to}', zone = 'UTC' }}]")
    };
    let verdict = |from, to, break_glass| {
        granted(&hours(from, to), |it| it.break_glass = break_glass).verdict(r"X\Set-It")
    };
    assert_eq!(verdict("08:00", "09:00", false), "allow granted");
    assert_eq!(verdict("09:00", "10:00", false), "block outside-window");
    assert_eq!(verdict("09:00", "10:00", true), "allow break-glass");
    assert_eq!(verdict("08:00", "09:00", true), "allow break-glass");
    let world = granted(&hours("09:00", "10:00"), |_| {});
    insta::assert_snapshot!(world.explanation(r"X\Set-It"), @r"Set-It is blocked outside the hours of policy 'X\Set-It'. They begin again Fri 2027-01-15 09:00 (UTC), 2027-01-15 09:00 UTC: run it again then. A grant can be requested now: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4");
}

#[test]
fn break_glass_overrides_neither_a_never_nor_a_parameter_rule() {
    let verdict = |policy: &str| granted(policy, |it| it.break_glass = true).verdict(r"X\Set-It");
    assert_eq!(verdict("approval = 'never'"), "block never");
    assert_eq!(
        verdict("approval = 'manual'\nparameters = { P = { present = true } }"),
        "block parameter-rule"
    );
}

#[test]
fn a_pinned_grant_covers_its_parameters_alone() {
    let name = "Identity".parse().unwrap();
    let pins = ParameterRules::pinned([(&name, &Value::text("ana"))]).unwrap();
    let mut world = granted("approval = 'manual'", |it| {
        it.pins = Some(Box::leak(Box::new(pins)));
    });
    let decide = |world: &World, identity: &str| {
        let judgement = world.decide(r"X\Set-It", &[("Identity", Value::text(identity))]);
        judgement.decision().clone()
    };
    assert_eq!(decide(&world, "ANA").rule, Rule::Granted);
    let blocked = decide(&world, "bo");
    assert_eq!(
        (blocked.rule, blocked.grant),
        (Rule::PinnedParameters, Some(Uuid::nil()))
    );
    insta::assert_snapshot!(blocked.explanation, @r"Set-It is blocked: your grant is for other parameters: `Identity` must be `ana`. Change the parameters and run it again, or request another grant with: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4");
    // Another grant without pins covers the rest.
    world.grant(r"x\set-it", NOW_MS, NOW_MS + 1, None);
    assert_eq!(decide(&world, "bo").rule, Rule::Granted);
}

#[test]
fn uses_are_looked_at_and_plain_grants_come_first() {
    let mut world = granted("approval = 'manual'", |it| it.uses_left = Some(1));
    assert_eq!(world.verdict(r"X\Set-It"), "allow granted");
    world.grants.0[0].2.uses_left = Some(0);
    assert_eq!(world.verdict(r"X\Set-It"), "block used-up");
    insta::assert_snapshot!(world.explanation(r"X\Set-It"), @r"Set-It is blocked: your grant has no uses left for it. Request another with: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4");
    // A counted grant, a break-glass one and a plain one: the plain one is used.
    world.grants.0[0].2.uses_left = Some(5);
    world.grant(r"x\set-it", NOW_MS, NOW_MS + 1, None);
    world.grants.0[1].2.break_glass = true;
    assert_eq!(
        world.decide(r"X\Set-It", &[]).decision().grant,
        Some(Uuid::from_u128(0))
    );
    world.grant(r"x\set-it", NOW_MS, NOW_MS + 1, None);
    assert_eq!(
        world.decide(r"X\Set-It", &[]).decision().grant,
        Some(Uuid::from_u128(2))
    );
}

#[test]
fn a_permit_whose_grant_is_spent_becomes_a_block() {
    let mut told = String::new();
    for why in [
        Withheld::UsedUp,
        Withheld::Calls(SpreadLimit::PerMinute(30)),
        Withheld::Calls(SpreadLimit::PerGrant(100)),
        Withheld::Identities(SpreadLimit::PerMinute(2)),
        Withheld::Identities(SpreadLimit::PerGrant(10)),
    ] {
        let mut world = granted("approval = 'manual'", |_| {});
        let taken_back = |world: &World| {
            let Judgement::Permitted(permit) = world.decide(r"X\Set-It", &[]) else {
                panic!("it has a grant");
            };
            withhold(permit, why, |it| Subject::Command(it), &world.facts())
        };
        let judgement = taken_back(&world);
        assert!(matches!(judgement, Judgement::Refused(_)));
        let decision = judgement.decision();
        assert_eq!(decision.grant, Some(Uuid::nil()));
        writeln!(told, "{}: {}", decision.rule.as_str(), decision.explanation).unwrap();
        world.mode = Mode::ReportOnly;
        let judgement = taken_back(&world);
        assert!(
            matches!(judgement, Judgement::Permitted(_)),
            "report-only enforces nothing"
        );
        assert_eq!(judgement.decision().verdict, Verdict::ReportOnly);
    }
    insta::assert_snapshot!(told, @r"
    used-up: Set-It is blocked: your grant has no uses left for it. Request another with: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4
    spread-limit: Set-It is blocked by a limit of policy 'X\Set-It': 30 calls in a minute. Run it again in a minute
    spread-limit: Set-It is blocked by a limit of policy 'X\Set-It': 100 calls under one grant. Request another grant with: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4
    spread-limit: Set-It is blocked by a limit of policy 'X\Set-It': 2 different identities in a minute. Run it again in a minute
    spread-limit: Set-It is blocked by a limit of policy 'X\Set-It': 10 different identities under one grant. Request another grant with: New-ElevatedAccessRequest -Task 'X\Set-It' -Reason '…' -DurationHours 4
    ");
}

/// Grants of which nobody knows anything now.
struct Unknown;

impl HeldGrants for Unknown {
    fn are_unknown(&self) -> bool {
        true
    }

    fn each(
        &self,
        _: PrincipalId,
        _: PolicyId,
        _: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
    }
}

#[test]
fn while_grants_are_unknown_what_needs_one_is_blocked_and_nobody_is_sent_to_ask_for_one() {
    let world = World::new(
        "[[policy]]\ntask = 'X\\Set-It'\napproval = 'auto'\non_block = 'request'\n\
         [[policy]]\ntask = 'X\\Drop-It'\napproval = 'never'\n",
    );
    let facts = Facts {
        grants: &Unknown,
        ..world.facts()
    };
    let decision = |task: &str| {
        let command = Command {
            task: task.parse().unwrap(),
            parameters: Parameters::default(),
        };
        let judgement = decide(command, |it| Subject::Command(it), &facts);
        judgement.decision().clone()
    };
    let blocked = decision(r"X\Set-It");
    assert_eq!(
        (blocked.verdict, blocked.rule),
        (Verdict::Block, Rule::GrantsUnknown)
    );
    insta::assert_snapshot!(blocked.explanation, @"Set-It needs a grant, and the gateway cannot tell now which grants are in force, so none counts; requests cannot be filed either. Try again in a moment");
    assert_eq!(decision(r"X\Drop-It").rule, Rule::Never);
}
