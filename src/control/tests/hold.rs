//! The hold on the store is lost: nothing is stored and no grant counts until everything has been read again. Needs PostgreSQL.

use std::ops::ControlFlow;

use crate::control::tests::world::{World, person};
use crate::policy::HeldGrants as _;
use crate::store::testing::Place;
use crate::store::{OpenError, Store};

/// How many grants of Ann's under the policy of New-MoveRequest count now.
fn counting(world: &World) -> usize {
    let interner = &world.state.interner;
    let holder = interner.principal(&person("ann").key);
    let policy = interner.policy(r"exchange\new-moverequest");
    let mut count = 0;
    world.state.grants.each(holder, policy, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

async fn granted(world: &World) -> String {
    let id = world.file("ann", r"Exchange\New-MoveRequest").await;
    let approve = format!("Approve-ElevatedAccessRequest -RequestId {id} -Comment fine");
    world.call("amy", &approve).await.unwrap();
    assert_eq!(counting(world), 1);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_lost_is_taken_again_and_grants_count_again() {
    let Some(place) = Place::on_server().await else {
        return;
    };
    let mut world = World::open(&place).await.run();
    granted(&world).await;
    place.end_hold().await;
    world
        .until(|it| it.ledger.count("store.regained") == 1)
        .await;
    assert_eq!(counting(&world), 1);
    assert!(!world.state.grants.is_suspended());
    world.file("ann", r"Exchange\Remove-Mailbox").await;
    // Another is kept out as before.
    let refused = Store::open(&place.config()).await.map(|_| ());
    assert!(
        matches!(refused, Err(OpenError::InUse { .. })),
        "{refused:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_has_the_store_no_grant_counts_and_what_it_did_is_seen_afterwards() {
    let Some(place) = Place::on_server().await else {
        return;
    };
    let mut first = World::open(&place).await.run();
    let id = granted(&first).await;
    // A second gateway is started again and again; the first loses its session, and the second has the store.
    let (second, ()) = tokio::join!(World::open(&place), place.end_hold());
    first.until(|it| it.state.grants.is_suspended()).await;
    assert_eq!(counting(&first), 0, "it may be revoked by now");
    let ask = r"New-ElevatedAccessRequest -Task Exchange\Remove-Mailbox -Reason because";
    let refused = first.refusal("ann", ask).await;
    assert!(
        refused.contains("the gateway's store cannot be used now"),
        "{refused}"
    );
    let revoke = format!("Revoke-ElevatedAccessAuthorization -Identity {id} -Comment over");
    second.call("bo", &revoke).await.unwrap();
    assert!(first.state.grants.is_suspended());
    drop(second);
    first
        .until(|it| it.ledger.count("store.regained") == 1)
        .await;
    assert_eq!(
        (counting(&first), first.in_force()),
        (0, 0),
        "what was revoked stays so"
    );
    assert_eq!(first.ledger.count("store.lost"), 1);
    first.call("ann", ask).await.unwrap();
    first.stop().await;
}
