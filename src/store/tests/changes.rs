//! Changes: together or not at all, over the version that was read, and there after a restart.

use super::*;

#[tokio::test]
async fn what_is_committed_is_there_after_a_restart() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut pending = request("ann", Some(r"Exchange\Remove-Mailbox"));
        let granted = grant(&pending, at(60));
        let record = owed(Some(granted.id));
        let first = [
            add(&pending),
            Write::AddVote(pending.id, vote("amy")),
            add_grant(&granted),
            Write::Owe(record.clone()),
        ];
        store.commit(&first).await.unwrap();
        store.close().await;

        let store = place.open().await;
        assert_eq!(store.request(pending.id).await.unwrap().unwrap(), pending);
        assert_eq!(store.votes(pending.id).await.unwrap(), [vote("amy")]);
        assert_eq!(store.grant(granted.id).await.unwrap().unwrap(), granted);
        let by_request = store.grant_of_request(pending.id).await.unwrap();
        assert_eq!(by_request.unwrap().id, granted.id);
        assert_eq!(
            store.owed_records(10).await.unwrap(),
            std::slice::from_ref(&record)
        );

        pending.state = RequestState::Approved;
        pending.decided = Some(at(1));
        pending.decided_by = Some("amy".to_owned());
        pending.comment = Some("ok".to_owned());
        let update = Write::UpdateRequest(pending.clone());
        store.commit(&[update]).await.unwrap();
        pending.version = 1;
        assert_eq!(store.request(pending.id).await.unwrap().unwrap(), pending);
        let ids = [record.id, record.id];
        store.settle_records(&ids).await.unwrap();
        assert_eq!(store.owed_records(10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_change_made_from_an_older_version_changes_nothing() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let pending = request("ann", None);
        store.commit(&[add(&pending)]).await.unwrap();
        let mut denied = pending.clone();
        denied.state = RequestState::Denied;
        denied.decided = Some(at(2));
        let deny = Write::UpdateRequest(denied);
        store.commit(std::slice::from_ref(&deny)).await.unwrap();
        let record = owed(None);
        let late = [
            Write::AddVote(pending.id, vote("amy")),
            Write::Owe(record),
            deny,
        ];
        let lost = store.commit(&late).await.unwrap_err();
        assert!(matches!(lost, StoreError::Changed), "{lost:?}");
        assert_eq!(store.votes(pending.id).await.unwrap(), []);
        assert_eq!(store.owed_records(10).await.unwrap(), []);
        assert_eq!(store.request(pending.id).await.unwrap().unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn of_many_that_change_a_request_at_once_one_succeeds() {
    on_each_engine(async |place| {
        let store = std::sync::Arc::new(place.open().await);
        let mut pending = request("ann", None);
        store.commit(&[add(&pending)]).await.unwrap();
        pending.state = RequestState::Denied;
        pending.decided = Some(at(2));
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let (store, denied) = (std::sync::Arc::clone(&store), pending.clone());
                tokio::spawn(async move {
                    let vote = Write::AddVote(denied.id, vote(&format!("approver{number}")));
                    let writes = [vote, Write::UpdateRequest(denied)];
                    store.commit(&writes).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert!(matches!(error, StoreError::Changed), "{error:?}"),
            }
        }
        assert_eq!(won, 1);
        assert_eq!(store.votes(pending.id).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_person_has_one_pending_request_for_a_scope_and_a_bounded_number_in_all() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let (task, same_task) = (r"Exchange\Remove-Mailbox", r"exchange\REMOVE-mailbox");
        let first = request("ann", Some(task));
        store.commit(&[add(&first)]).await.unwrap();
        let again = store.commit(&[add(&request("ann", Some(same_task)))]).await;
        assert!(matches!(again, Err(StoreError::Changed)), "{again:?}");
        let like = request("ann", Some(same_task));
        let found = store.pending_like(&like).await.unwrap();
        assert_eq!(found.unwrap().id, first.id);
        let whole = request("ann", None);
        assert_eq!(store.pending_like(&whole).await.unwrap(), None);
        for other in [
            Request {
                pins: pins(),
                ..like.clone()
            },
            Request {
                extends: Some(Uuid::now_v7()),
                ..like
            },
        ] {
            assert_eq!(store.pending_like(&other).await.unwrap(), None);
        }

        store.commit(&[add(&request("ann", None))]).await.unwrap();
        let third = request("ann", Some(r"Exchange\Remove-MoveRequest"));
        store.commit(&[add(&third)]).await.unwrap();
        let fourth = request("ann", Some(r"Exchange\Remove-Contact"));
        let too_many = store.commit(&[add(&fourth)]).await;
        assert!(
            matches!(too_many, Err(StoreError::TooManyPending)),
            "{too_many:?}"
        );
        store
            .commit(&[add(&request("bob", Some(task)))])
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_person_has_so_many_grants_under_one_policy_that_are_not_over() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let give = async |policy: &str, ends| {
            let mut asked = request("ann", None);
            asked.policy = policy.to_owned();
            asked.state = RequestState::Approved;
            (asked.decided, asked.decided_by) = (Some(at(1)), Some("amy".to_owned()));
            let mut given = grant(&asked, ends);
            given.policy = policy.to_owned();
            given.created = at(3);
            let done = store.commit(&[add(&asked), add_grant(&given)]).await;
            done.map(|()| given)
        };
        give("one", at(2)).await.unwrap();
        let mut ended = give("one", at(60)).await.unwrap();
        let mut used_up = give("one", at(60)).await.unwrap();
        let more = give("one", at(60)).await;
        assert!(matches!(more, Err(StoreError::TooManyGrants)), "{more:?}");
        give("two", at(60)).await.unwrap();
        let closed = |how| {
            Some(Closing {
                how,
                at: at(3),
                by: "ann".to_owned(),
                comment: None,
            })
        };
        used_up.closed = closed(HowClosed::UsedUp);
        store.commit(&[Write::UpdateGrant(used_up)]).await.unwrap();
        let more = give("one", at(60)).await;
        assert!(matches!(more, Err(StoreError::TooManyGrants)), "{more:?}");
        ended.closed = closed(HowClosed::Ended);
        store.commit(&[Write::UpdateGrant(ended)]).await.unwrap();
        let mut asked = request("ann", Some(r"Exchange\Get-Other"));
        asked.policy = "one".to_owned();
        let mut given = grant(&asked, at(60));
        given.policy = "one".to_owned();
        given.created = at(3);
        store
            .commit(&[add(&asked), add_grant(&given)])
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_person_votes_once_whatever_the_key_or_case() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let pending = request("ann", None);
        let writes = [add(&pending), Write::AddVote(pending.id, vote("Amy"))];
        store.commit(&writes).await.unwrap();
        let mut other_key = vote("aMY");
        other_key.approver_key = "oid@tid".to_owned();
        let mut other_name = vote("Amy");
        other_name.approver_name = "Zoe".to_owned();
        for second in [other_key, other_name] {
            let refused = store.commit(&[Write::AddVote(pending.id, second)]).await;
            assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
        }
        let stray = store
            .commit(&[Write::AddVote(Uuid::now_v7(), vote("Bo"))])
            .await;
        assert!(
            matches!(stray, Err(StoreError::Unavailable { .. })),
            "{stray:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_and_its_grant_keep_all_that_was_asked_narrowed_and_done() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let asked = Request {
            pins: pins(),
            starts: Some(at(30)),
            uses: Some(3),
            extends: Some(Uuid::now_v7()),
            ..request("ann", None)
        };
        let narrowed = Vote {
            narrowing: Narrowing {
                duration: Some(Duration::hours(1)),
                starts: Some(at(40)),
                uses: Some(2),
                pins: pins(),
                task: Some(r"Exchange\Remove-Mailbox".parse().unwrap()),
            },
            ..vote("amy")
        };
        let mut granted = Grant {
            starts: at(40),
            uses: Some(2),
            break_glass: true,
            ..grant(&asked, at(100))
        };
        let writes = [
            add(&asked),
            Write::AddVote(asked.id, narrowed.clone()),
            add_grant(&granted),
        ];
        store.commit(&writes).await.unwrap();
        assert_eq!(store.request(asked.id).await.unwrap().unwrap(), asked);
        assert_eq!(store.votes(asked.id).await.unwrap(), [narrowed]);
        assert_eq!(store.grant(granted.id).await.unwrap().unwrap(), granted);

        granted.used = 1;
        granted.ends = at(200);
        let update = Write::UpdateGrant(granted.clone());
        store.commit(std::slice::from_ref(&update)).await.unwrap();
        let late = store.commit(&[update]).await;
        assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
        granted.version = 1;
        granted.used = 2;
        granted.closed = Some(Closing {
            how: HowClosed::UsedUp,
            at: at(50),
            by: "ann".to_owned(),
            comment: None,
        });
        let identities = Write::AddIdentities(granted.id, vec!["a".to_owned(), "b".to_owned()]);
        let update = Write::UpdateGrant(granted.clone());
        store
            .commit(&[update, identities.clone(), identities])
            .await
            .unwrap();
        let mut known = store.identities(granted.id).await.unwrap();
        known.sort();
        assert_eq!(known, ["a", "b"]);
        granted.version = 2;
        granted.reviewed = Some(Review {
            at: at(60),
            by: "bo".to_owned(),
            comment: Some("as it should be".to_owned()),
        });
        let update = Write::UpdateGrant(granted.clone());
        store.commit(&[update]).await.unwrap();
        granted.version = 3;
        assert_eq!(store.grant(granted.id).await.unwrap().unwrap(), granted);
        assert_eq!(store.grants_in_force(at(55), None, 9).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn no_more_uses_are_stored_than_a_grant_has() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let asked = request("ann", None);
        let granted = Grant {
            uses: Some(1),
            ..grant(&asked, at(60))
        };
        let writes = [add(&asked), add_grant(&granted)];
        store.commit(&writes).await.unwrap();
        for used in [1, 2] {
            // The last use must close the grant, and there is none after it.
            let wrong = Write::UpdateGrant(Grant {
                used,
                ..granted.clone()
            });
            let refused = store.commit(&[wrong]).await;
            assert!(
                matches!(refused, Err(StoreError::Unavailable { .. })),
                "{refused:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn policies_and_settings_change_over_the_version_that_was_read() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let policy = |version| StoredDefinition {
            scope: r"exchange\remove-*".to_owned(),
            definition: format!("{{\"version\":{version}}}"),
            by: "kim".to_owned(),
            at: at(1),
            version,
        };
        store.commit(&[Write::PutPolicy(policy(0))]).await.unwrap();
        for stale in [policy(0), policy(2)] {
            let refused = store.commit(&[Write::PutPolicy(stale)]).await;
            assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
        }
        store.commit(&[Write::PutPolicy(policy(1))]).await.unwrap();
        let stored = store.policies().await.unwrap();
        assert_eq!(stored[0].version, 2);
        assert_eq!(stored[0].definition, policy(1).definition);
        let refused = store.commit(&[Write::RemovePolicy(policy(1))]).await;
        assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
        store
            .commit(&[Write::RemovePolicy(policy(2))])
            .await
            .unwrap();
        assert_eq!(store.policies().await.unwrap(), []);

        let setting = |version| Setting {
            name: "a".to_owned(),
            value: "b".to_owned(),
            by: "kim".to_owned(),
            at: at(1),
            version,
        };
        assert_eq!(store.setting("a").await.unwrap(), None);
        store
            .commit(&[Write::PutSetting(setting(0))])
            .await
            .unwrap();
        assert_eq!(store.setting("a").await.unwrap(), Some(setting(1)));
        let refused = store.commit(&[Write::PutSetting(setting(0))]).await;
        assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
        store
            .commit(&[Write::PutSetting(setting(1))])
            .await
            .unwrap();
    })
    .await;
}
