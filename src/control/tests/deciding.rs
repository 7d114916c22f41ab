//! Who decides, and what happens when several do.

use crate::control::Query;
use crate::control::tests::world::{self, World, person};
use crate::model::Value;
use crate::state::OwnCmdletError;
use crate::store::testing::on_each_engine;

#[tokio::test]
async fn nobody_decides_an_own_request_under_any_key() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        let mut other_key = person("ann");
        other_key.key = "oid@tid".to_owned();
        other_key.name = "ANN@fabrikam.example".to_owned();
        for who in [person("ann"), other_key] {
            for cmdlet in [
                "Approve-ElevatedAccessRequest",
                "Deny-ElevatedAccessRequest",
            ] {
                let parameters = vec![("RequestId".to_owned(), Value::text(id.as_str()))];
                let refused = world.answer(&who, cmdlet, parameters).await.unwrap_err();
                let text = "nobody can decide an own request: another member of `movers` has to";
                assert_eq!(refused, OwnCmdletError::Forbidden(text.to_owned()));
            }
        }
        let bobs = world.file("bob", r"Exchange\New-MoveRequest").await;
        let stranger = format!("Approve-ElevatedAccessRequest -RequestId {bobs}");
        let refused = world.refusal("bob", &stranger).await;
        assert_eq!(refused, "only a member of `movers` may do this");
        assert_eq!(world.in_force(), 0);
        assert_eq!(world.status("ann", &id).await, "Pending");
    })
    .await;
}

#[tokio::test]
async fn several_groups_give_two_approvals_each_and_one_denial_ends_it() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("zoe", r"Exchange\Set-Mailbox").await;
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
        for (who, missing) in [
            (
                "amy",
                "1 approval of `movers` and 2 approvals of `journalists`",
            ),
            (
                "cy",
                "1 approval of `movers` and 1 approval of `journalists`",
            ),
            ("bo", "1 approval of `journalists`"),
        ] {
            let answered = world.call(who, &approve).await.unwrap();
            assert_eq!(world::property(&answered, "RequestStatus"), "Pending");
            assert_eq!(world::property(&answered, "MissingApprovals"), missing);
            let listed = world
                .call("zoe", "Get-ElevatedAccessRequest")
                .await
                .unwrap();
            assert_eq!(world::property(&listed, "MissingApprovals"), missing);
        }
        let again = world.refusal("cy", &approve).await;
        assert!(
            again.starts_with("you have answered this request already (approved)"),
            "{again}"
        );
        assert_eq!(world.in_force(), 0);
        world.call("dee", &approve).await.unwrap();
        assert_eq!(world.in_force(), 1);
        assert_eq!(world.ledger.count("request.voted"), 3);
        assert_eq!(world.ledger.count("request.approved"), 1);

        let id = world.file("ann", r"Exchange\Set-Mailbox").await;
        world.approve("amy", &id).await;
        world.deny("cy", &id).await;
        let late = world
            .refusal(
                "dee",
                &format!("Approve-ElevatedAccessRequest -RequestId {id}"),
            )
            .await;
        assert_eq!(late, "the request is denied already by cy@fabrikam.example");
    })
    .await;
}

#[tokio::test]
async fn of_two_approvers_at_the_same_moment_one_decides_and_the_other_is_told() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        for round in 0..5 {
            let id = world
                .file(&format!("person{round}"), r"Exchange\New-MoveRequest")
                .await;
            let before = world.in_force();
            let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
            let deny = format!("Deny-ElevatedAccessRequest -RequestId {id}");
            let (yes, no) = tokio::join!(world.call("amy", &approve), world.call("bo", &deny));
            let (loser, text) = match (yes, no) {
                (Ok(_), Err(told)) => (
                    told,
                    "the request is approved already by amy@fabrikam.example",
                ),
                (Err(told), Ok(_)) => {
                    (told, "the request is denied already by bo@fabrikam.example")
                }
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
async fn a_pending_request_is_decided_under_the_policy_of_now() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");

        world.edit(
            r"task = 'Exchange\New-MoveRequest'",
            r"task = 'Exchange\New-Other'",
        );
        let gone = world.refusal("amy", &approve).await;
        assert!(
            gone.contains(r"the policy `exchange\new-moverequest` does not exist any more"),
            "{gone}"
        );
        let stranger = world.call("zoe", &approve).await.unwrap_err();
        assert!(
            matches!(stranger, OwnCmdletError::NotFound(_)),
            "{stranger:?}"
        );

        world.edit(
            "approvers = [\"movers\"]\nmax_duration = \"8h\"",
            "approvers = [\"journalists\"]\nmax_duration = \"8h\"",
        );
        let moved = world.call("amy", &approve).await.unwrap_err();
        assert!(matches!(moved, OwnCmdletError::NotFound(_)), "{moved:?}");
        world.edit(
            "max_duration = \"8h\"\ndefault_duration = \"4h\"",
            "max_duration = \"1h\"\ndefault_duration = \"1h\"",
        );
        world.call("amy", &approve).await.unwrap();
        let grant = world
            .call("ann", "Get-ElevatedAccessAuthorization")
            .await
            .unwrap();
        assert_eq!(
            world::property(&grant, "StartTimeUtc"),
            "2027-01-15T08:00:00Z"
        );
        assert_eq!(
            world::property(&grant, "EndTimeUtc"),
            "2027-01-15T09:00:00Z"
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_task_another_policy_took_over_has_to_be_filed_again() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\Remove-Mailbox").await;
        world.edit(
            r"task = 'Exchange\New-JournalRule'",
            r"task = 'Exchange\Remove-Mailbox'",
        );
        let refused = world
            .refusal(
                "amy",
                &format!("Approve-ElevatedAccessRequest -RequestId {id}"),
            )
            .await;
        assert!(
            refused.contains(r"is now governed by `Exchange\Remove-Mailbox`"),
            "{refused}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_person_cannot_fill_the_memory_with_pins() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = async |pins: Vec<(String, Value)>| {
            let asked = vec![
                ("Task".to_owned(), Value::text(r"Exchange\New-MoveRequest")),
                ("Reason".to_owned(), Value::text("r")),
                ("Parameters".to_owned(), Value::Table(pins)),
            ];
            let who = person("ann");
            world.answer(&who, "New-ElevatedAccessRequest", asked).await
        };
        let pattern = |text: &str| Value::Table(vec![("pattern".to_owned(), Value::text(text))]);
        let named = |many: usize, value: &dyn Fn(usize) -> Value| -> Vec<(String, Value)> {
            (0..many).map(|it| (format!("P{it}"), value(it))).collect()
        };
        let long = |start: usize| {
            let items = (0..100).map(|it| Value::text(format!("{start}-{it}-{}", "x".repeat(100))));
            Value::List(items.collect())
        };
        for (pins, why) in [
            (
                named(5, &|_| pattern("a.*")),
                "more than 4 parameters are pinned by a pattern",
            ),
            (
                named(1, &|_| pattern("(a{100}){20}")),
                "the pattern for `P0` cannot be used: it takes more than 65536 bytes",
            ),
            (
                named(2, &long),
                "the pinned parameters take more than 16 KiB",
            ),
        ] {
            let refused = ask(pins).await.unwrap_err().to_string();
            assert!(refused.starts_with(why), "{refused}");
        }
        // What is taken is listed in parts of bounded size.
        for number in 0..90 {
            ask(named(1, &|_| long(number))).await.unwrap();
        }
        let query = Query::default();
        let page = world
            .control
            .requests(&person("ann"), &query)
            .await
            .unwrap();
        let room: usize = page.items.iter().map(|it| it.request.pins.bytes()).sum();
        assert!((1 << 20..(1 << 20) + (16 << 10)).contains(&room), "{room}");
        let rest = Query {
            after: page.next,
            ..query
        };
        let rest = world.control.requests(&person("ann"), &rest).await.unwrap();
        assert_eq!((page.items.len() + rest.items.len(), rest.next), (90, None));
    })
    .await;
}

#[tokio::test]
async fn a_person_cannot_fill_the_store() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        for number in 0..100 {
            world
                .file("ann", &format!(r"Exchange\Remove-Thing{number}"))
                .await;
        }
        let ask = r"New-ElevatedAccessRequest -Task Exchange\Remove-Thing100 -Reason r";
        let refused = world.call("ann", ask).await.unwrap_err();
        assert!(
            matches!(refused, OwnCmdletError::Forbidden(_)),
            "{refused:?}"
        );
        assert!(
            refused
                .to_string()
                .starts_with("you have 100 pending requests"),
            "{refused}"
        );
        world.file("bob", r"Exchange\Remove-Thing0").await;
        let listed = world
            .call("ann", "Get-ElevatedAccessRequest")
            .await
            .unwrap();
        assert_eq!(listed.len(), 101, "an approver sees bob's too");
    })
    .await;
}
