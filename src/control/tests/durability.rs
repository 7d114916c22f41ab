//! Nothing acknowledged is lost, nothing counts that is not on record, and what is revoked never comes back.

use crate::control::tests::world::{LedgerMode, World};
use crate::state::OwnCmdletError;
use crate::store::testing::on_each_engine;

#[tokio::test]
async fn a_grant_counts_after_its_record_and_a_revoked_one_no_more_before_it() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &id).await;
        world.revoke("bo", &id).await;
        assert_eq!(world.ledger.in_force_at("grant.created"), 0);
        assert_eq!(world.ledger.in_force_at("grant.revoked"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let pending = world.file("ann", r"Exchange\Set-Mailbox").await;
        world.approve("cy", &pending).await;
        let granted = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &granted).await;
        let revoked = world.file("bob", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &revoked).await;
        world.revoke("amy", &revoked).await;
        let before = world.ledger.kinds();

        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 1);
        assert_eq!(world.status("amy", &granted).await, "Approved");
        assert_eq!(world.status("amy", &pending).await, "Pending");
        assert_eq!(world.ledger.kinds(), before);
        for who in ["dee", "amy", "bo"] {
            world.approve(who, &pending).await;
        }
        assert_eq!(world.in_force(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_approval_without_a_record_grants_nothing_until_it_is_recorded() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.ledger.set(LedgerMode::Fails);
        let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
        let told = world.call("amy", &approve).await.unwrap_err();
        assert!(matches!(told, OwnCmdletError::Unavailable(_)), "{told:?}");
        let told = told.to_string();
        assert!(told.contains("No space left on device"), "{told}");
        assert!(
            told.contains("the grant takes effect only then: do not do it again"),
            "{told}"
        );
        assert_eq!(world.in_force(), 0);

        // Neither a restart nor another's change lets it count.
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 0);
        let other = r"New-ElevatedAccessRequest -Task Exchange\Get-MessageTrace -Reason r";
        world.call("bob", other).await.unwrap_err();
        assert_eq!(world.in_force(), 0);
        assert_eq!(world.ledger.kinds(), ["request.filed"]);

        let mut world = world.run();
        world.ledger.set(LedgerMode::Works);
        world.control.wake();
        world.until(|it| it.in_force() == 2).await;
        let expected = [
            "request.filed",
            "request.approved",
            "grant.created",
            "request.filed",
            "request.approved",
            "grant.created",
        ];
        assert_eq!(world.ledger.kinds(), expected);
        world.stop().await;
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 2);
        assert_eq!(world.ledger.kinds(), expected);
    })
    .await;
}

#[tokio::test]
async fn a_start_records_what_a_crash_left_unrecorded() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.ledger.set(LedgerMode::Fails);
        world
            .call(
                "amy",
                &format!("Approve-ElevatedAccessRequest -RequestId {id}"),
            )
            .await
            .unwrap_err();
        world.ledger.set(LedgerMode::Works);
        let world = world.restart(place).await;
        assert_eq!(
            world.ledger.kinds(),
            ["request.filed", "request.approved", "grant.created"]
        );
        assert_eq!(world.in_force(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_revocation_holds_at_once_though_its_record_is_late() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &id).await;
        world.ledger.set(LedgerMode::Fails);
        let revoke = format!("Revoke-ElevatedAccessAuthorization -RequestId {id}");
        let told = world.refusal("bo", &revoke).await;
        assert!(
            told.contains("is revoked and covers nothing any more"),
            "{told}"
        );
        assert_eq!(world.in_force(), 0);
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 0);
        world.ledger.set(LedgerMode::Works);
        let world = world.restart(place).await;
        assert_eq!(world.in_force(), 0);
        assert_eq!(world.ledger.count("grant.revoked"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_revocation_holds_while_the_audit_log_hangs_and_though_the_client_goes() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("ann", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &id).await;
        world.ledger.set(LedgerMode::Hangs);
        {
            let revoke = format!("Revoke-ElevatedAccessAuthorization -RequestId {id}");
            let answer = world.call("bo", &revoke);
            tokio::pin!(answer);
            // The client hangs up as soon as its call was taken.
            assert!(futures_util::poll!(&mut answer).is_pending());
        }
        world.until(|it| it.in_force() == 0).await;
        assert_eq!(world.ledger.count("grant.revoked"), 0);
        world.ledger.set(LedgerMode::Works);
        world
            .until(|it| it.ledger.count("grant.revoked") == 1)
            .await;
    })
    .await;
}

#[tokio::test]
async fn approvals_and_revocations_at_the_same_moment_end_revoked_and_out_of_force() {
    on_each_engine(async |place| {
        let world = World::open(place).await.run();
        for round in 0..5 {
            let id = world
                .file(&format!("person{round}"), r"Exchange\New-MoveRequest")
                .await;
            let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
            let revoke = format!("Revoke-ElevatedAccessAuthorization -RequestId {id}");
            let revoke_soon = async {
                while world.call("bo", &revoke).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            let (approved, ()) = tokio::join!(world.call("amy", &approve), revoke_soon);
            approved.unwrap();
            assert_eq!(world.in_force(), 0, "round {round}");
        }
    })
    .await;
}
