//! What becomes of requests and grants besides approval: withdrawal, an early end, extension, break-glass, pins, roles.

use chrono::Duration;
use tokio::sync::broadcast::error::TryRecvError;

use crate::control::tests::world::{self, World, person};
use crate::control::{Ask, Asked, Caller, HappeningKind, Manner, Query, Tool, Via, Whose};
use crate::model::{Pins, Value};
use crate::store::testing::{Place, on_each_engine};

async fn approved(world: &World, who: &str, task: &str) -> String {
    let id = world.file(who, task).await;
    world.approve("amy", &id).await;
    id
}

#[tokio::test]
async fn a_request_is_withdrawn_by_its_requester_alone_and_then_final() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("bob", r"Exchange\New-MoveRequest").await;
        let withdraw =
            format!("Set-ElevatedAccessRequest -Identity {id} -Withdraw true -Comment oops");
        let refused = world.refusal("amy", &withdraw).await;
        assert!(
            refused.starts_with("only bob@fabrikam.example, who filed it"),
            "{refused}"
        );
        // Another account of the same person is the same person.
        let withdrawn = world.call("adm-bob", &withdraw).await.unwrap();
        assert_eq!(world::property(&withdrawn, "RequestStatus"), "Withdrawn");
        assert_eq!(world::property(&withdrawn, "Comment"), "oops");
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
        assert_eq!(
            world.refusal("amy", &approve).await,
            "the request is withdrawn already by adm-bob@fabrikam.example"
        );
        assert_ne!(world.file("bob", r"Exchange\New-MoveRequest").await, id);
        let kinds = ["request.filed", "request.withdrawn", "request.filed"];
        assert_eq!(world.ledger.kinds(), kinds);
    })
    .await;
}

#[tokio::test]
async fn of_an_approval_and_a_withdrawal_at_the_same_moment_one_happens_and_the_other_is_told() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        for round in 0..5 {
            let who = format!("person{round}");
            let id = world.file(&who, r"Exchange\New-MoveRequest").await;
            let before = world.in_force();
            let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
            let withdraw = format!("Set-ElevatedAccessRequest -RequestId {id} -Withdraw true");
            let (yes, back) =
                tokio::join!(world.call("amy", &approve), world.call(&who, &withdraw));
            let (loser, text) = match (yes, back) {
                (Ok(_), Err(told)) => (
                    told,
                    "the request is approved already by amy@fabrikam.example".to_owned(),
                ),
                (Err(told), Ok(_)) => (
                    told,
                    format!("the request is withdrawn already by {who}@fabrikam.example"),
                ),
                both => panic!("{both:?}"),
            };
            assert_eq!(loser.to_string(), text);
            let approved = world.status("amy", &id).await == "Approved";
            assert_eq!(world.in_force() - before, usize::from(approved));
        }
    })
    .await;
}

#[tokio::test]
async fn a_holder_gives_a_grant_back() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = approved(&world, "bob", r"Exchange\New-MoveRequest").await;
        let end = format!("Set-ElevatedAccessAuthorization -Identity {id} -End true -Comment done");
        let refused = world.refusal("amy", &end).await;
        assert!(
            refused.starts_with("only its holder, bob@fabrikam.example"),
            "{refused}"
        );
        assert_eq!(world.in_force(), 1);
        let ended = world.call("bob", &end).await.unwrap();
        assert_eq!(world::property(&ended, "State"), "Ended");
        assert_eq!(world::property(&ended, "Revoked"), "False");
        assert_eq!(world.in_force(), 0);
        assert_eq!(
            world.refusal("bob", &end).await,
            "the grant is ended already by bob@fabrikam.example"
        );
        assert_eq!(world.ledger.count("grant.ended"), 1);
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_grant_starts_when_it_was_asked_for_or_later_and_is_extended_under_its_policy() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -StartTimeUtc '2027-01-15 09:00' -DurationHours 2";
        let filed = world.call("bob", ask).await.unwrap();
        let id = world::property(&filed, "Identity");
        let approve = format!(
            "Approve-ElevatedAccessRequest -RequestId {id} -StartTimeUtc 2027-01-15T10:00:00Z -DurationHours 1"
        );
        world.call("amy", &approve).await.unwrap();
        let show = format!("Get-ElevatedAccessAuthorization -RequestId {id}");
        let grant = world.call("bob", &show).await.unwrap();
        assert_eq!(world::property(&grant, "State"), "Scheduled");
        assert_eq!(world::property(&grant, "StartTimeUtc"), "2027-01-15T10:00:00Z");
        assert_eq!(world::property(&grant, "EndTimeUtc"), "2027-01-15T11:00:00Z");

        let extend = format!(
            "New-ElevatedAccessRequest -Extend {} -Reason 'it takes longer' -DurationHours 3",
            world::property(&grant, "Identity")
        );
        let refused = world.refusal("amy", &extend).await;
        assert!(refused.starts_with("only its holder"), "{refused}");
        let longer = world.call("bob", &extend).await.unwrap();
        assert_eq!(world::property(&longer, "Extends"), world::property(&grant, "Identity"));
        let longer = world::property(&longer, "Identity");
        // The same again is the same request.
        let again = world.call("bob", &extend).await.unwrap();
        assert_eq!(world::property(&again, "Identity"), longer);
        world.pass(Duration::minutes(150));
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {longer} -DurationHours 2");
        world.call("bo", &approve).await.unwrap();
        let grant = world.call("bob", &show).await.unwrap();
        assert_eq!(world::property(&grant, "State"), "Active");
        assert_eq!(world::property(&grant, "EndTimeUtc"), "2027-01-15T13:00:00Z");
        assert_eq!(world.in_force(), 1);
        let world = world.restart(place).await.run();
        world.pass(Duration::minutes(149));
        assert_eq!(world.in_force(), 1);
        world.pass(Duration::minutes(1));
        world.until(|it| it.in_force() == 0).await;
        world.until(|it| it.ledger.count("grant.expired") == 1).await;
        assert_eq!(world.ledger.count("grant.extended"), 1);
        let late = world.refusal("bob", &extend).await;
        assert!(late.contains("there is nothing to extend"), "{late}");
    })
    .await;
}

#[tokio::test]
async fn glass_is_broken_at_once_and_listed_until_somebody_else_has_looked() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let mut happenings = world.control.happenings();
        let ask =
            r"New-ElevatedAccessRequest -Task Exchange\Set-TransportRule -BreakGlass true -Reason";
        let refused = world
            .refusal("bob", &format!("{ask} 'mail loops everywhere'"))
            .await;
        assert!(
            refused.contains("only members of `firefighters`"),
            "{refused}"
        );
        let refused = world.refusal("amy", &format!("{ask} fire")).await;
        assert!(refused.contains("at least 10 characters"), "{refused}");
        let taken = world
            .call("amy", &format!("{ask} 'mail loops everywhere'"))
            .await
            .unwrap();
        assert_eq!(world::property(&taken, "RequestStatus"), "Approved");
        assert_eq!(world::property(&taken, "ApprovedBy"), "break-glass");
        assert_eq!(world.in_force(), 1);
        let events = world.ledger.events();
        let created = events.iter().find(|it| it.kind == "grant.created").unwrap();
        assert_eq!(created.details["break_glass"], true);

        let listed = async |who: &str| {
            let line = "Get-ElevatedAccessAuthorization -AwaitsReview true";
            world.call(who, line).await.unwrap().len()
        };
        assert_eq!(
            (listed("bo").await, listed("kim").await, listed("bob").await),
            (1, 1, 0)
        );
        let id = world::property(&taken, "Identity");
        let review =
            format!("Set-ElevatedAccessAuthorization -RequestId {id} -Review true -Comment fine");
        let own = world.refusal("amy", &review).await;
        assert!(
            own.starts_with("nobody reviews an own break-glass grant"),
            "{own}"
        );
        let reviewed = world.call("bo", &review).await.unwrap();
        assert_eq!(
            world::property(&reviewed, "ReviewedBy"),
            "bo@fabrikam.example"
        );
        assert_eq!(listed("bo").await, 0);
        assert_eq!(world.in_force(), 1);

        let mut kinds = Vec::new();
        loop {
            match happenings.try_recv() {
                Ok(happening) => kinds.push(happening.kind),
                Err(TryRecvError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let expected = [
            HappeningKind::RequestFiled,
            HappeningKind::RequestApproved,
            HappeningKind::GrantCreated,
            HappeningKind::GrantReviewed,
        ];
        assert_eq!(kinds, expected);
    })
    .await;
}

#[tokio::test]
async fn policies_say_who_may_ask_and_that_answers_need_a_comment() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = r"New-ElevatedAccessRequest -Task Exchange\Set-TransportRule -Reason 'because of INC-1'";
        let refused = world.refusal("bob", ask).await;
        assert_eq!(
            refused,
            r"the policy `Exchange\Set-TransportRule` takes requests only from members of `firefighters`"
        );
        let refused = world.refusal("fay", &format!("{ask} -Uses 4")).await;
        assert!(refused.ends_with("allows at most 3 uses of a grant"), "{refused}");
        let filed = world.call("fay", ask).await.unwrap();
        assert_eq!(world::property(&filed, "Uses"), "3");
        let id = world::property(&filed, "Identity");
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
        let refused = world.refusal("amy", &approve).await;
        assert_eq!(refused, "the policy asks for a comment with each answer: give one with -Comment");
        world.call("amy", &format!("{approve} -Comment ok")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn pins_are_asked_for_narrowed_and_shown() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let table = |name: &str, value: Value| Value::Table(vec![(name.to_owned(), value)]);
        let ask = |pins: Value| {
            vec![
                ("Task".to_owned(), Value::text(r"Exchange\New-MoveRequest")),
                ("Reason".to_owned(), Value::text("r")),
                ("Parameters".to_owned(), pins),
            ]
        };
        let file = async |pins: Value| {
            let who = person("bob");
            world
                .answer(&who, "New-ElevatedAccessRequest", ask(pins))
                .await
        };
        for (wrong, text) in [
            (
                table("NewPassword", Value::text("x")),
                "`NewPassword` holds a secret",
            ),
            (
                table("RemoteCred", Value::text("x")),
                "`RemoteCred` holds a secret, or begins the name of what does",
            ),
            (
                table("Identity", table("pattern", Value::text("("))),
                "the pattern for `Identity` cannot be used",
            ),
            (
                table("Identity", Value::Null),
                "-Parameters must be a table",
            ),
            (Value::text("Identity=ana"), "-Parameters must be a table"),
        ] {
            let refused = file(wrong).await.unwrap_err().to_string();
            assert!(refused.starts_with(text), "{refused}");
        }
        let filed = file(table("Identity", table("pattern", Value::text("ana@.*"))))
            .await
            .unwrap();
        assert_eq!(
            world::property(&filed, "Parameters"),
            "@{Identity=like ana@.*}"
        );
        let other = file(table("Identity", Value::text("bo"))).await.unwrap();
        let id = world::property(&filed, "Identity");
        assert_ne!(id, world::property(&other, "Identity"));
        let approve = vec![
            ("RequestId".to_owned(), Value::text(id.as_str())),
            (
                "Parameters".to_owned(),
                table("TargetDatabase", Value::text("DB01")),
            ),
        ];
        world
            .answer(&person("amy"), "Approve-ElevatedAccessRequest", approve)
            .await
            .unwrap();
        let grant = world
            .call(
                "bob",
                &format!("Get-ElevatedAccessAuthorization -RequestId {id}"),
            )
            .await;
        assert_eq!(
            world::property(&grant.unwrap(), "Parameters"),
            "@{Identity=like ana@.*; TargetDatabase=DB01}"
        );
        // Both versions are on record.
        let events = world.ledger.events();
        let of = |kind: &str| {
            events
                .iter()
                .find(|it| it.kind == kind)
                .unwrap()
                .details
                .clone()
        };
        assert_eq!(of("request.filed")["pins"].as_array().unwrap().len(), 1);
        assert_eq!(
            of("request.approved")["narrowing"]["pins"][0]["value"],
            "DB01"
        );
        assert_eq!(of("grant.created")["pins"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_role_is_asked_for_whole_or_for_one_of_its_tasks() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let role = r"New-ElevatedAccessRequest -Role 'Exchange\Recipient Reader' -Reason r";
        let whole = world.call("bob", role).await.unwrap();
        assert_eq!(world::property(&whole, "Type"), "Role");
        assert_eq!(
            world::property(&whole, "Policy"),
            r"role:exchange\recipient reader"
        );
        let task = world
            .call("bob", &format!(r"{role} -Task Exchange\Get-User"))
            .await
            .unwrap();
        assert_eq!(world::property(&task, "Task"), r"Exchange\Get-User");
        let id = world::property(&whole, "Identity");
        let wrong = format!(
            r"Approve-ElevatedAccessRequest -RequestId {id} -Task Exchange\New-MoveRequest"
        );
        let refused = world.refusal("amy", &wrong).await;
        assert!(
            refused.contains(r"does not govern `Exchange\New-MoveRequest`"),
            "{refused}"
        );
        let narrow =
            format!(r"Approve-ElevatedAccessRequest -RequestId {id} -Task Exchange\Get-Recipient");
        world.call("amy", &narrow).await.unwrap();
        let show = format!("Get-ElevatedAccessAuthorization -RequestId {id}");
        let grant = world.call("bob", &show).await.unwrap();
        assert_eq!(
            world::property(&grant, "AuthorizedAccess"),
            r"Exchange\Get-Recipient"
        );
    })
    .await;
}

#[tokio::test]
async fn listings_go_on_page_by_page_and_know_who_asks() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        for round in 0..7 {
            world
                .file(&format!("person{round}"), r"Exchange\New-MoveRequest")
                .await;
        }
        world.file("cy", r"Exchange\New-JournalRule").await;
        let own = world.file("amy", r"Exchange\New-MoveRequest").await;
        let walk = async |who: &str, whose: Whose| {
            let mut query = Query {
                whose,
                most: 3,
                ..Query::default()
            };
            let mut found = Vec::new();
            loop {
                let page = world.control.requests(&person(who), &query).await.unwrap();
                assert!(page.items.len() <= 3);
                found.extend(page.items.iter().map(|it| it.request.id.to_string()));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => return found,
                }
            }
        };
        let known = walk("amy", Whose::Known).await;
        assert_eq!(known.len(), 8);
        assert!(known.is_sorted_by(|newer, older| newer > older));
        assert_eq!(walk("amy", Whose::ToDecide).await, known[1..]);
        assert_eq!(walk("amy", Whose::Mine).await, [own]);
        assert_eq!(walk("kim", Whose::Known).await.len(), 9);
        assert_eq!(walk("zoe", Whose::Known).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn what_is_granted_at_once_is_not_extended_without_end() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask =
            r"New-ElevatedAccessRequest -Task Exchange\Get-Contact -Reason r -DurationHours 2";
        let filed = world.call("bob", ask).await.unwrap();
        let show = format!(
            "Get-ElevatedAccessAuthorization -RequestId {}",
            world::property(&filed, "Identity")
        );
        let grant = world.call("bob", &show).await.unwrap();
        let extend = |hours: u32| {
            format!(
                "New-ElevatedAccessRequest -Extend {} -Reason more -DurationHours {hours}",
                world::property(&grant, "Identity")
            )
        };
        // The policy allows three hours in all.
        let refused = world.refusal("bob", &extend(2)).await;
        assert!(
            refused.contains("this one can last until 2027-01-15 11:00:00 UTC"),
            "{refused}"
        );
        world.call("bob", &extend(1)).await.unwrap();
        let longer = world.call("bob", &show).await.unwrap();
        assert_eq!(
            world::property(&longer, "EndTimeUtc"),
            "2027-01-15T11:00:00Z"
        );
        let refused = world.refusal("bob", &extend(1)).await;
        assert!(refused.contains("file a new request"), "{refused}");
        // What is asked for anew is granted anew, and on record.
        world.call("bob", ask).await.unwrap();
        assert_eq!(world.ledger.count("grant.created"), 2);
        assert_eq!(world.ledger.count("grant.extended"), 1);
    })
    .await;
}

#[tokio::test]
async fn each_door_is_answered_in_its_own_words() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let (mut told, id) = (Vec::new(), uuid::Uuid::nil());
    for via in [
        Via::Cmdlet,
        Via::Api {
            token: None,
            tool: Tool::Other,
        },
        Via::Api {
            token: None,
            tool: Tool::CommandLine,
        },
    ] {
        let caller = Caller {
            principal: person("bob"),
            source: [192, 0, 2, 7].into(),
            decision: None,
            via,
        };
        let ask = |scope: Asked, hours: Option<i64>| Ask {
            scope,
            reason: "because it has to be".to_owned(),
            duration: hours.map(Duration::hours),
            starts: None,
            uses: None,
            pins: Pins::default(),
            manner: Manner::Ordinary,
            context: Vec::new(),
            external_identity: None,
        };
        let scope = |text: &str| Asked::Scope(text.to_owned());
        let control = &world.control;
        let long = ask(scope(r"Exchange\New-MoveRequest"), Some(9));
        let hurry = Ask {
            manner: Manner::BreakGlass,
            ..ask(scope(r"Exchange\Set-TransportRule"), None)
        };
        for error in [
            control.request(&caller, id).await.unwrap_err(),
            control.grant(&caller, id).await.unwrap_err(),
            control.policy(&caller, "none").await.unwrap_err(),
            control.file(caller.clone(), long).await.unwrap_err(),
            control.file(caller.clone(), hurry).await.unwrap_err(),
        ] {
            told.push(error.to_string());
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}
