use std::os::unix::fs::PermissionsExt as _;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::config;
use crate::model::{
    Answer, Bound, Closing, Grant, GrantState, HowClosed, Narrowing, Pin, Pinned, Pins, Request,
    RequestState, Review, Vote,
};

use super::testing::{Place, on_each_engine};
use super::{
    GrantFilter, Listing, OpenError, OwedRecord, RequestFilter, Setting, Store, StoreError,
    StoredDefinition, Write,
};

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap() + Duration::minutes(minute)
}

fn request(person: &str, task: Option<&str>) -> Request {
    Request {
        id: Uuid::now_v7(),
        principal_key: person.to_owned(),
        principal_name: format!("{person}@fabrikam.example"),
        policy: r"exchange\remove-*".to_owned(),
        task: task.map(|it| it.parse().unwrap()),
        reason: "it's \"urgent\" \u{1f600}".to_owned(),
        context: vec![("Ticket".to_owned(), "INC-1".to_owned())],
        external_identity: Some("INC-1".to_owned()),
        duration: Duration::hours(4),
        pins: Pins::default(),
        starts: None,
        uses: None,
        extends: None,
        break_glass: false,
        state: RequestState::Pending,
        created: at(0),
        expires: at(24 * 60),
        decided: None,
        decided_by: None,
        comment: None,
        version: 0,
    }
}

fn grant(request: &Request, ends: DateTime<Utc>) -> Grant {
    Grant {
        id: Uuid::now_v7(),
        request: request.id,
        principal_key: request.principal_key.clone(),
        principal_name: request.principal_name.clone(),
        policy: request.policy.clone(),
        task: request.task.clone(),
        starts: at(1),
        ends,
        approved_by: vec!["amy".to_owned(), "bo".to_owned()],
        created: at(1),
        pins: request.pins.clone(),
        uses: None,
        used: 0,
        break_glass: false,
        closed: None,
        reviewed: None,
        version: 0,
    }
}

fn add(request: &Request) -> Write {
    Write::AddRequest {
        request: request.clone(),
        most_pending: 3,
    }
}

fn vote(name: &str) -> Vote {
    Vote {
        approver_key: format!("local:{name}"),
        approver_name: name.to_owned(),
        groups: vec!["approvers".to_owned()],
        answer: Answer::Approve,
        comment: Some("ok".to_owned()),
        narrowing: Narrowing::default(),
        at: at(1),
    }
}

fn owed(grant: Option<Uuid>) -> OwedRecord {
    OwedRecord {
        id: Uuid::now_v7(),
        grant,
        json: "{\"a\":\"\u{e9}\"}".to_owned(),
    }
}

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
            Write::AddGrant(granted.clone()),
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
async fn grants_in_force_are_those_that_live_and_owe_no_record() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut grants = Vec::new();
        for person in ["ann", "bob", "cid", "dee", "eve"] {
            let asked = request(person, None);
            let granted = grant(&asked, at(if person == "eve" { 5 } else { 60 }));
            let writes = [add(&asked), Write::AddGrant(granted.clone())];
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

fn pins() -> Pins {
    Pins(vec![Pin {
        name: "Identity".parse().unwrap(),
        bound: Bound::OneOf(vec![Pinned::Text("ana".to_owned())]),
    }])
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
            Write::AddGrant(granted.clone()),
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
        let writes = [add(&asked), Write::AddGrant(granted.clone())];
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
            let writes = [add(&asked), Write::AddGrant(granted.clone())];
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

#[tokio::test]
async fn a_second_process_is_refused_and_a_later_one_let_in() {
    on_each_engine(async |place| {
        let first = place.open().await;
        let refused = Store::open(&place.config()).await.unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
        assert!(refused.to_string().contains("stop that one first"));
        first.close().await;
        place.try_open().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut transaction = store.database.begin().await.unwrap();
        let newer = super::database::sql(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                select 9999, description, success, checksum, 0 from _sqlx_migrations where version = 1",
        );
        transaction.execute(newer).await.unwrap();
        transaction.commit().await.unwrap();
        store.close().await;
        let refused = place.try_open().await.unwrap_err();
        assert!(refused.to_string().contains("made by a newer portcullis"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged_and_is_its_owners_alone() {
    let place = Place::sqlite();
    let store = place.open().await;
    let pragma = async |text| {
        let rows = store
            .database
            .rows(super::database::sql(text))
            .await
            .unwrap();
        let column = text.strip_prefix("pragma ").unwrap();
        rows[0]
            .integer(column)
            .map_or_else(|_| rows[0].text(column).unwrap(), |it| it.to_string())
    };
    assert_eq!(pragma("pragma journal_mode").await, "wal");
    assert_eq!(pragma("pragma synchronous").await, "2");
    assert_eq!(pragma("pragma foreign_keys").await, "1");
    let busy = store
        .database
        .rows(super::database::sql("pragma busy_timeout"))
        .await;
    assert_eq!(busy.unwrap()[0].integer("timeout").unwrap(), 5_000);
    store.commit(&[add(&request("ann", None))]).await.unwrap();

    let folder = place.path().parent().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "the database, its log, its index and the lock");
}

#[tokio::test]
async fn a_file_that_is_no_database_or_a_damaged_one_is_named() {
    let place = Place::sqlite();
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    std::fs::write(place.path(), "a".repeat(8192)).unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is not an SQLite database"),
        "{error}"
    );

    let place = Place::sqlite();
    place.open().await.close().await;
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[100..4096].fill(0x5a);
    std::fs::write(place.path(), bytes).unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is damaged: restore it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_locked_by_another_program_is_named() {
    let place = Place::sqlite();
    place.open().await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.path())
        .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive);
    let mut browser = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql("begin exclusive")
        .execute(&mut browser)
        .await
        .unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is locked by another program"),
        "{error}"
    );
}

#[tokio::test]
async fn urls_of_unknown_kinds_are_refused() {
    for url in ["mysql://x/y", "portcullis.db", ""] {
        let config = config::Store {
            url: url.to_owned(),
        };
        let error = Store::open(&config).await.unwrap_err();
        assert!(matches!(error, OpenError::UnknownKind), "{url}");
    }
}
