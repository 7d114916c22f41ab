//! Listings: what they find, in which order, and by which index.

use super::super::database::sql;
use super::super::{grants, requests};
use super::*;

#[tokio::test]
async fn grants_in_force_are_those_that_live_and_owe_no_record() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut grants = Vec::new();
        for person in ["ann", "bob", "cid", "dee", "eve"] {
            let asked = request(person, None);
            let granted = grant(&asked, at(if person == "eve" { 5 } else { 60 }));
            let writes = [add(&asked), add_grant(&granted)];
            store.commit(&writes).await.unwrap();
            grants.push(granted);
        }
        let mut revoked = grants[1].clone();
        revoked.closed = Some(Closing {
            how: HowClosed::Revoked,
            at: at(3),
            by: "amy".to_owned(),
            comment: None,
        });
        let unrecorded = Write::Owe(owed(Some(grants[2].id)));
        let end = Write::UpdateGrant(revoked.clone());
        store.commit(&[end.clone(), unrecorded]).await.unwrap();
        let twice = store.commit(&[end]).await;
        assert!(matches!(twice, Err(StoreError::Changed)), "{twice:?}");

        let ids = |grants: Vec<Grant>| grants.iter().map(|it| it.id).collect::<Vec<_>>();
        let first = store.grants_in_force(at(10), None, 1).await.unwrap();
        assert_eq!(ids(first), [grants[0].id]);
        let rest = store.grants_in_force(at(10), Some(grants[0].id), 10);
        assert_eq!(ids(rest.await.unwrap()), [grants[3].id]);

        assert_eq!(store.next_end().await.unwrap(), Some(at(5)));
        let over = store.ended_grants(at(5), 10).await.unwrap();
        assert_eq!(over, [grants[4].clone()]);
        store
            .commit(&[Write::ExpireGrant(over[0].clone())])
            .await
            .unwrap();
        assert_eq!(store.ended_grants(at(5), 10).await.unwrap(), []);
        assert_eq!(store.next_end().await.unwrap(), Some(at(60)));
        let stored = store.grant(revoked.id).await.unwrap().unwrap();
        assert_eq!(stored.closed, revoked.closed);
    })
    .await;
}

#[tokio::test]
async fn listings_are_newest_first_and_go_on_from_an_id() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let asked: Vec<_> = ["ann", "bob", "ann"].map(|it| request(it, None)).into();
        let mut third = asked[2].clone();
        third.task = Some(r"Exchange\Remove-Mailbox".parse().unwrap());
        third.expires = at(10);
        store
            .commit(&[add(&asked[0]), add(&asked[1]), add(&third)])
            .await
            .unwrap();
        let ids = async |listing| {
            let filter = RequestFilter::default();
            let found = store.requests(&listing, &filter).await.unwrap();
            found.iter().map(|it| it.id).collect::<Vec<_>>()
        };
        let all = ids(Listing::default()).await;
        assert_eq!(all, [third.id, asked[1].id, asked[0].id]);
        let after_third = Listing {
            before: Some(third.id),
            ..Listing::default()
        };
        assert_eq!(ids(after_third).await, all[1..]);
        let of_ann = Listing {
            of: Some("ann".to_owned()),
            ..Listing::default()
        };
        assert_eq!(ids(of_ann.clone()).await, [third.id, asked[0].id]);
        let one_of_ann = Listing {
            most: Some(1),
            ..of_ann
        };
        assert_eq!(ids(one_of_ann).await, [third.id]);
        let filter = GrantFilter::default();
        let grants = store.grants(&Listing::default(), &filter).await;
        assert_eq!(grants.unwrap(), []);

        assert_eq!(store.next_expiry().await.unwrap(), Some(at(10)));
        assert_eq!(store.lapsed_requests(at(9), 10).await.unwrap(), []);
        assert_eq!(store.lapsed_requests(at(10), 10).await.unwrap(), [third]);
    })
    .await;
}

#[tokio::test]
async fn listings_are_filtered() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut requests = Vec::new();
        let mut grants = Vec::new();
        for (minute, person) in [(0, "ann"), (1, "bob"), (2, "cid")] {
            let mut asked = request(person, Some(r"Exchange\Remove-Mailbox"));
            asked.created = at(minute);
            let granted = Grant {
                break_glass: person == "bob",
                created: at(minute),
                ..grant(&asked, at(60))
            };
            let writes = [add(&asked), add_grant(&granted)];
            store.commit(&writes).await.unwrap();
            requests.push(asked);
            grants.push(granted);
        }
        let mut denied = requests[2].clone();
        denied.state = RequestState::Denied;
        denied.decided = Some(at(3));
        store.commit(&[Write::UpdateRequest(denied)]).await.unwrap();
        let asked = async |filter: RequestFilter| {
            let found = store.requests(&Listing::default(), &filter).await.unwrap();
            found
                .iter()
                .map(|it| it.principal_key.clone())
                .collect::<Vec<_>>()
        };
        let any = RequestFilter::default;
        let pending = RequestFilter {
            state: Some(RequestState::Pending),
            ..any()
        };
        assert_eq!(asked(pending).await, ["bob", "ann"]);
        let of_bob = RequestFilter {
            requester: Some("BOB@fabrikam.example".to_owned()),
            ..any()
        };
        assert_eq!(asked(of_bob).await, ["bob"]);
        let later = RequestFilter {
            from: Some(at(1)),
            until: Some(at(2)),
            ..any()
        };
        assert_eq!(asked(later).await, ["bob"]);
        let task = RequestFilter {
            task: Some(r"exchange\remove-MAILBOX".to_owned()),
            ..any()
        };
        assert_eq!(asked(task).await.len(), 3);
        let policy = RequestFilter {
            policy: Some("role:x".to_owned()),
            ..any()
        };
        assert_eq!(asked(policy).await, Vec::<String>::new());
        let held = async |filter: GrantFilter| {
            let found = store.grants(&Listing::default(), &filter).await.unwrap();
            found
                .iter()
                .map(|it| it.principal_key.clone())
                .collect::<Vec<_>>()
        };
        let any = GrantFilter::default;
        assert_eq!(
            held(GrantFilter {
                awaiting_review: true,
                ..any()
            })
            .await,
            ["bob"]
        );
        assert_eq!(
            held(GrantFilter {
                state: Some(GrantState::Active),
                ..any()
            })
            .await
            .len(),
            3
        );
        assert_eq!(
            held(GrantFilter {
                state: Some(GrantState::Revoked),
                ..any()
            })
            .await,
            Vec::<String>::new()
        );
        assert_eq!(
            held(GrantFilter {
                holder: Some("Cid".to_owned()),
                ..any()
            })
            .await,
            ["cid"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_name_is_found_in_its_own_spelling_whatever_its_letters() {
    on_each_engine(async |place| {
        let store = place.open().await;
        store
            .commit(&[add(&request("J\u{dc}RGEN", None))])
            .await
            .unwrap();
        for (name, found) in [
            ("J\u{dc}RGEN@fabrikam.example", 1),
            ("J\u{dc}RGEN@FABRIKAM.example", 1),
            ("J\u{dc}RGEN", 1),
            ("JURGEN", 0),
        ] {
            let filter = RequestFilter {
                requester: Some(name.to_owned()),
                ..RequestFilter::default()
            };
            let listed = store.requests(&Listing::default(), &filter).await.unwrap();
            assert_eq!(listed.len(), found, "{name}");
        }
    })
    .await;
}

/// 20,000 requests and grants of 500 people, under 50 policies, for 200 tasks.
async fn fill(store: &Store) {
    let numbers = "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 20000)";
    let requests = "insert into requests (id, principal_key, principal_name, policy, task, subject, pins, reason, context,
            duration_ms, break_glass, state, created_ms, expires_ms, decided_ms, version)
        select '00000000-0000-7000-8000-' || (100000000000 + n), 'key' || (n % 500), 'Name' || (n % 500), 'policy' || (n % 50), 'Exchange\\Get-Thing' || (n % 200), '', '[]', '', '[]',
            1, 0, 'approved', n, n + 1, n, 0 from numbers";
    let grants = "insert into grants (id, request_id, principal_key, principal_name, policy, task, pins, starts_ms, ends_ms, used,
            break_glass, approved_by, created_ms, state, version)
        select '00000000-0000-7000-8000-' || (200000000000 + n), '00000000-0000-7000-8000-' || (100000000000 + n), 'key' || (n % 500), 'Name' || (n % 500), 'policy' || (n % 50), 'Exchange\\Get-Thing' || (n % 200), '[]', 1, 2, 0,
            0, '[]', n, 'expired', 0 from numbers";
    for insert in [requests, grants] {
        let (into, select) = insert.split_once("select").unwrap();
        let text = format!("{into} {numbers} select{select}");
        store.database.run(sql(text.leak())).await;
    }
    store.database.run(sql("analyze")).await;
}

#[tokio::test]
async fn listings_of_a_person_a_task_or_a_policy_read_no_others_rows() {
    on_each_engine(async |place| {
        let store = place.open().await;
        fill(&store).await;
        let (name, task, policy) = ("NAME7", r"exchange\get-thing7", "policy7");
        let by = |which: &str, value: &str| (which == value).then(|| value.to_owned());
        for (wanted, indexes) in [
            (name, &["_by_name", "_by_folded_key"][..]),
            (task, &["_by_task"]),
            (policy, &["_by_policy"]),
        ] {
            let requests = RequestFilter {
                requester: by(wanted, name),
                task: by(wanted, task),
                policy: by(wanted, policy),
                ..RequestFilter::default()
            };
            let grants = GrantFilter {
                holder: by(wanted, name),
                task: by(wanted, task),
                policy: by(wanted, policy),
                ..GrantFilter::default()
            };
            let listing = Listing {
                most: Some(50),
                ..Listing::default()
            };
            assert!(
                !store
                    .requests(&listing, &requests)
                    .await
                    .unwrap()
                    .is_empty()
            );
            assert!(!store.grants(&listing, &grants).await.unwrap().is_empty());
            for (table, statement) in [
                ("requests", requests::listed(&listing, &requests)),
                ("grants", grants::listed(&listing, &grants)),
            ] {
                let plan = store.database.plan(statement).await;
                for index in indexes {
                    assert!(plan.contains(&format!("{table}{index}")), "{plan}");
                }
                assert!(
                    !plan.contains("SCAN") && !plan.contains("Seq Scan"),
                    "{plan}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_due_is_found_without_a_look_at_what_is_not() {
    on_each_engine(async |place| {
        let store = place.open().await;
        fill(&store).await;
        for living in [
            "update requests set state = 'pending', subject = id, decided_ms = null",
            "update grants set state = 'live'",
            "analyze",
        ] {
            store.database.run(sql(living)).await;
        }
        for (index, statement) in [
            ("live_grants_by_end", grants::next_end()),
            ("live_grants_by_end", grants::ended(at(0), 10)),
            ("requests_by_expiry", requests::next_expiry()),
            ("requests_by_expiry", requests::lapsed(at(0), 10)),
        ] {
            let plan = store.database.plan(statement).await;
            assert!(plan.contains(index), "{plan}");
            let sorted = plan.contains("TEMP B-TREE") || plan.contains("Sort");
            assert!(!sorted, "{plan}");
        }
    })
    .await;
}
