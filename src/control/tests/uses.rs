//! Uses of grants and spread limits: taken durably, one for each call, by whoever comes first.

use std::net::{IpAddr, Ipv4Addr};

use chrono::Duration;
use uuid::Uuid;

use crate::control::tests::world::{self, World, person};
use crate::model::{Command, GrantState, Parameter, Parameters, PrincipalId, RequestState, Value};
use crate::policy::{SpreadLimit, Withheld};
use crate::state::{
    BlockedRequest, CallMark, Failure, GrantUses as _, NotTaken, OwnCmdlets as _, Taking,
};
use crate::store::testing::{Place, on_each_engine};

fn command(task: &str, identity: &str) -> Command {
    named(task, "Identity", identity)
}

fn named(task: &str, parameter: &str, identity: &str) -> Command {
    let mut parameters = Parameters::default();
    parameters
        .push(Parameter {
            name: parameter.parse().unwrap(),
            value: Value::List(identity.split(',').map(Value::text).collect()),
            type_annotation: None,
        })
        .unwrap();
    Command {
        task: task.parse().unwrap(),
        parameters,
    }
}

fn mark(command: &Command, id: Option<&str>) -> CallMark {
    CallMark {
        principal: PrincipalId(1),
        endpoint: "/powershell".into(),
        command: CallMark::digest(command),
        client_request_id: id.map(str::to_owned),
        is_page: false,
    }
}

/// The id of a grant of `task` that bob was given, with `more` in the request.
async fn grant(world: &World, task: &str, more: &str) -> Uuid {
    let ask = format!("New-ElevatedAccessRequest -Task {task} -Reason 'a good reason' {more}");
    let filed = world.call("fay", &ask).await.unwrap();
    let id = world::property(&filed, "Identity");
    let approve = format!("Approve-ElevatedAccessRequest -RequestId {id} -Comment ok");
    world.call("amy", &approve).await.unwrap();
    let show = format!("Get-ElevatedAccessAuthorization -RequestId {id}");
    let grant = world.call("fay", &show).await.unwrap();
    world::property(&grant, "Identity").parse().unwrap()
}

async fn take(world: &World, grant: Uuid, task: &str, identity: &str) -> Result<(), NotTaken> {
    take_for(world, grant, &command(task, identity)).await
}

async fn take_for(world: &World, grant: Uuid, command: &Command) -> Result<(), NotTaken> {
    let scope = command.task.folded();
    let snapshot = world.state.snapshot();
    let taking = Taking {
        grant,
        command,
        mark: &mark(command, None),
        spread: snapshot.policies.policy(&scope).unwrap().spread,
    };
    world.control.take(taking).await
}

#[tokio::test]
async fn of_many_calls_at_once_as_many_pass_as_there_are_uses() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        for uses in [1, 3] {
            let task = r"Exchange\Set-TransportRule";
            let grant = grant(&world, task, &format!("-Uses {uses}")).await;
            let calls: Vec<_> = (0..12)
                .map(|number| {
                    let control = std::sync::Arc::clone(&world.control);
                    tokio::spawn(async move {
                        let command =
                            command(r"Exchange\Set-TransportRule", &format!("rule{number}"));
                        let taking = Taking {
                            grant,
                            command: &command,
                            mark: &mark(&command, None),
                            spread: None,
                        };
                        control.take(taking).await
                    })
                })
                .collect();
            let mut passed = 0;
            for call in calls {
                match call.await.unwrap() {
                    Ok(()) => passed += 1,
                    Err(NotTaken::Withheld(Withheld::UsedUp)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(passed, uses);
            let show = format!("Get-ElevatedAccessAuthorization -Identity {grant}");
            let listed = world.call("fay", &show).await.unwrap();
            assert_eq!(world::property(&listed, "State"), "UsedUp");
            assert_eq!(world::property(&listed, "Used"), uses.to_string());
        }
        world.control.wake();
        let world = world.run();
        world
            .until(|it| it.ledger.count("grant.used-up") == 2)
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_use_that_was_taken_stays_taken_after_a_restart_and_a_revocation_wins() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let task = r"Exchange\Set-TransportRule";
        let counted = grant(&world, task, "-Uses 2").await;
        take(&world, counted, task, "a").await.unwrap();
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 1);
        take(&world, counted, task, "a").await.unwrap();
        let over = take(&world, counted, task, "a").await;
        assert_eq!(over, Err(NotTaken::Withheld(Withheld::UsedUp)));
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 0);

        let revoked = grant(&world, task, "").await;
        world.revoke("amy", &revoked).await;
        assert_eq!(take(&world, revoked, task, "a").await, Err(NotTaken::Gone));
        assert_eq!(world.in_force(), 0);
    })
    .await;
}

#[tokio::test]
async fn pages_and_repetitions_of_a_failed_call_go_on_with_its_use() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let grant = grant(&world, r"Exchange\Get-Mailbox", "-Uses 5").await;
        let read = command(r"Exchange\Get-Mailbox", "a");
        let write = command(r"Exchange\Set-Mailbox", "a");
        let control = &world.control;
        for command in [&read, &write] {
            let first = mark(command, Some("c1"));
            let page = CallMark {
                is_page: true,
                ..first.clone()
            };
            assert_eq!(control.continued(&page), None);
            let taking = Taking {
                grant,
                command,
                mark: &first,
                spread: None,
            };
            control.take(taking).await.unwrap();
            // A page may come often, but only of the same caller, at the same endpoint, with the same parameters.
            for _ in 0..3 {
                assert_eq!(control.continued(&page), Some(grant));
            }
            let others = [
                CallMark {
                    principal: PrincipalId(2),
                    ..page.clone()
                },
                CallMark {
                    endpoint: "/adminapi".into(),
                    ..page.clone()
                },
            ];
            for other in others {
                assert_eq!(control.continued(&other), None);
            }
            // The same call again is a call of its own, unless the upstream did not take the first: then once.
            assert_eq!(control.continued(&first), None);
            control.failed(&first, Failure::NotTaken);
            assert_eq!(control.continued(&mark(command, Some("c2"))), None);
            assert_eq!(control.continued(&first), Some(grant));
            assert_eq!(control.continued(&first), None);
            control.failed(&first, Failure::NotTaken);
            world.pass(Duration::hours(1));
            assert_eq!(control.continued(&first), None);
        }
    })
    .await;
}

#[tokio::test]
async fn what_may_have_run_is_repeated_three_times_for_its_use_and_no_more() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let grant = grant(&world, r"Exchange\Get-Mailbox", "-Uses 5").await;
    let command = command(r"Exchange\Set-Mailbox", "a");
    let control = &world.control;
    let call = mark(&command, Some("c1"));
    let taking = Taking {
        grant,
        command: &command,
        mark: &call,
        spread: None,
    };
    // A second use is a call of its own, with repetitions of its own.
    for _ in 0..2 {
        control.take(taking).await.unwrap();
        for _ in 0..3 {
            control.failed(&call, Failure::MayHaveRun);
            // What certainly did not run counts for nothing.
            assert_eq!(control.continued(&call), Some(grant));
            control.failed(&call, Failure::NotTaken);
            assert_eq!(control.continued(&call), Some(grant));
        }
        control.failed(&call, Failure::MayHaveRun);
        assert_eq!(control.continued(&call), None);
    }
}

#[tokio::test]
async fn no_more_calls_pass_and_no_more_identities_are_named_than_the_policy_allows() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let withheld = |why| Err(NotTaken::Withheld(why));
        let (calls, identities) = (Withheld::Calls, Withheld::Identities);
        let (grant_limit, minute) = (SpreadLimit::PerGrant, SpreadLimit::PerMinute);

        let task = r"Exchange\Get-Mailbox";
        let read = grant(&world, task, "").await;
        assert_eq!(take(&world, read, task, "a").await, Ok(()));
        assert_eq!(take(&world, read, task, "A").await, Ok(()));
        assert_eq!(
            take(&world, read, task, "b,c").await,
            withheld(identities(grant_limit(2)))
        );
        assert_eq!(take(&world, read, task, "b,a").await, Ok(()));
        assert_eq!(
            take(&world, read, task, "a").await,
            withheld(calls(minute(3)))
        );
        world.pass(Duration::minutes(1));
        // The identities of a grant's life are known after a restart; the minute's calls are over anyway.
        let world = world.restart(place).await;
        assert_eq!(
            take(&world, read, task, "c").await,
            withheld(identities(grant_limit(2)))
        );
        assert_eq!(take(&world, read, task, "b").await, Ok(()));
        // Whatever names them.
        let by_mailbox = named(task, "Mailbox", "c");
        assert_eq!(
            take_for(&world, read, &by_mailbox).await,
            withheld(identities(grant_limit(2)))
        );

        let task = r"Exchange\Set-Contact";
        let write = grant(&world, task, "").await;
        assert_eq!(take(&world, write, task, "a").await, Ok(()));
        assert_eq!(
            take(&world, write, task, "b").await,
            withheld(identities(minute(1)))
        );
        assert_eq!(take(&world, write, task, "a").await, Ok(()));
        world.pass(Duration::minutes(1));
        assert_eq!(take(&world, write, task, "b").await, Ok(()));
        world.pass(Duration::minutes(1));
        assert_eq!(
            take(&world, write, task, "b").await,
            withheld(calls(grant_limit(3)))
        );
        let world = world.restart(place).await;
        assert_eq!(
            take(&world, write, task, "b").await,
            withheld(calls(grant_limit(3)))
        );
    })
    .await;
}

#[tokio::test]
async fn a_blocked_call_files_its_request_once_in_a_while() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let who = person("bob");
        let call = command(r"Exchange\New-MoveRequest", "a");
        let blocked = async || {
            let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let policy = r"exchange\new-moverequest";
            let filed = world
                .control
                .blocked(&who, source, &call, policy, Uuid::now_v7());
            let filed = filed.await.unwrap();
            (filed.id, filed.state)
        };
        let (first, state) = blocked().await;
        assert_eq!(state, RequestState::Pending);
        assert_eq!(blocked().await, (first, RequestState::Pending));
        world.deny("amy", &first).await;
        // Whoever tries again at once after a denial does not ask again at once.
        assert_eq!(blocked().await, (first, RequestState::Denied));
        world.pass(Duration::minutes(5));
        let (second, state) = blocked().await;
        assert!(second != first && state == RequestState::Pending);
        assert_eq!(world.ledger.count("request.filed"), 2);
        let reason = world
            .call(
                "bob",
                &format!("Get-ElevatedAccessRequest -RequestId {second}"),
            )
            .await;
        assert_eq!(
            world::property(&reason.unwrap(), "Reason"),
            "blocked call of New-MoveRequest"
        );
    })
    .await;
}

#[tokio::test]
async fn a_blocked_call_learns_what_became_of_the_grant_and_asks_again_if_that_is_over() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let who = person("bob");
        let call = command(r"Exchange\New-MoveRequest", "a");
        let blocked = async || {
            let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let policy = r"exchange\new-moverequest";
            let filed = world
                .control
                .blocked(&who, source, &call, policy, Uuid::now_v7());
            filed.await.unwrap()
        };
        let amy = async |call: String| world.call("amy", &call).await.unwrap();
        let first = blocked().await;
        assert!(!first.is_earlier && first.grant.is_none());
        let narrowed = format!(
            "Approve-ElevatedAccessRequest -RequestId {} -DurationHours 1 -Comment fine",
            first.id
        );
        amy(narrowed).await;
        let approved = blocked().await;
        assert_eq!(
            approved,
            BlockedRequest {
                id: first.id,
                state: RequestState::Approved,
                grant: Some(GrantState::Active),
                is_earlier: true,
            }
        );
        amy(format!(
            "Revoke-ElevatedAccessAuthorization -RequestId {} -Comment no",
            first.id
        ))
        .await;
        let revoked = blocked().await;
        assert_eq!(
            (revoked.id, revoked.grant),
            (first.id, Some(GrantState::Revoked))
        );
        world.pass(Duration::minutes(5));
        let second = blocked().await;
        assert!(second.id != first.id && second.state == RequestState::Pending);
    })
    .await;
}

#[tokio::test]
async fn what_a_policy_approves_at_once_is_in_force_at_once() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    world.let_the_clock_run();
    let who = person("bob");
    let call = command(r"Exchange\Get-MessageTrace", "a");
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let policy = r"exchange\get-messagetrace";
    let filed = world
        .control
        .blocked(&who, source, &call, policy, Uuid::now_v7());
    assert_eq!(filed.await.unwrap().grant, Some(GrantState::Active));
}
