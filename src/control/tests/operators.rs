//! What operators do: policies of the store, and the switch.

use crate::control::tests::world::{self, World};
use crate::policy::Mode;
use crate::state::OwnCmdletError;
use crate::store::testing::on_each_engine;

use super::world::LedgerMode;

#[tokio::test]
async fn operators_make_change_and_remove_policies_and_others_do_not() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let make = r"New-ElevatedAccessApprovalPolicy -Task Exchange\Set-Place -ApprovalType Manual -ApproverGroup movers -MaxDurationHours 6";
        let refused = world.call("amy", make).await.unwrap_err();
        assert_eq!(
            refused,
            OwnCmdletError::Forbidden(
                "only an operator makes policies: a member of the group `keepers`".to_owned()
            )
        );
        let created = world.call("kim", make).await.unwrap();
        assert_eq!(world::property(&created, "Identity"), r"Exchange\Set-Place");
        let source = world::property(&created, "Source");
        assert!(source.starts_with("store, by kim@fabrikam.example"), "{source}");
        let again = world.refusal("kim", make).await;
        assert!(again.starts_with(r"there is a policy `exchange\set-place` already"), "{again}");
        let id = world.file("bob", r"Exchange\Set-Place").await;

        let change = r"Set-ElevatedAccessApprovalPolicy -Identity exchange\SET-place -ApproverGroup journalists -Approvals 2";
        let changed = world.call("kim", change).await.unwrap();
        assert_eq!(world::property(&changed, "ApproverGroup"), "journalists");
        assert_eq!(world::property(&changed, "MaxDurationHours"), "6");
        let refused = world.refusal("amy", &format!("Approve-ElevatedAccessRequest -RequestId {id}")).await;
        assert!(refused.starts_with("there is no request"), "{refused}");

        // It is there after a restart, with the policies of the files.
        let world = world.restart(place).await;
        let all = world.call("bob", "Get-ElevatedAccessApprovalPolicy").await.unwrap();
        assert_eq!(all.len(), 12);
        let remove = r"Remove-ElevatedAccessApprovalPolicy -Identity Exchange\Set-Place";
        let refused = world.refusal("bob", remove).await;
        assert!(refused.starts_with("only an operator removes policies"), "{refused}");
        assert_eq!(world.call("kim", remove).await.unwrap(), []);
        let gone = world.refusal("kim", remove).await;
        assert!(gone.starts_with("there is no policy"), "{gone}");
        let late = world.refusal("cy", &format!("Approve-ElevatedAccessRequest -RequestId {id}")).await;
        assert!(late.contains("does not exist any more"), "{late}");
        let kinds = ["policy.created", "request.filed", "policy.changed", "policy.removed"];
        assert_eq!(world.ledger.kinds(), kinds);
    })
    .await;
}

#[tokio::test]
async fn what_a_file_defines_only_the_file_changes() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let in_file = "what a file defines, only the file changes";
        for line in [
            r"New-ElevatedAccessApprovalPolicy -Task Exchange\New-MoveRequest -ApprovalType Auto",
            r"Set-ElevatedAccessApprovalPolicy -Identity Exchange\New-MoveRequest -ApprovalType Auto",
            r"Remove-ElevatedAccessApprovalPolicy -Identity Exchange\New-MoveRequest",
        ] {
            let refused = world.refusal("kim", line).await;
            assert!(refused.contains("policies/test.toml:") && refused.contains(in_file), "{refused}");
        }
        // A pattern that is as specific as a file's for some task, an unknown group, a misspelt word.
        for (terms, text) in [
            (r"-Task Exchange\Remove-*Folder -ApprovalType Auto", "Remove-*"),
            (r"-Task Exchange\Set-Place -ApprovalType Manual -ApproverGroup nobody", "nobody"),
            (r"-Task Exchange\Set-Place -ApprovalType Perhaps", "perhaps"),
        ] {
            let line = format!("New-ElevatedAccessApprovalPolicy {terms}");
            let refused = world.refusal("kim", &line).await;
            assert!(refused.contains(text), "{refused}");
        }
        assert_eq!(world.ledger.kinds(), Vec::<String>::new());
        let all = world.call("bob", "Get-ElevatedAccessApprovalPolicy").await.unwrap();
        assert_eq!(all.len(), 11);
    })
    .await;
}

#[tokio::test]
async fn access_control_is_switched_off_and_on_and_keeps_its_policies() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let refused = world.refusal("ann", "Disable-ElevatedAccessControl").await;
        assert!(
            refused.starts_with("only an operator switches access control"),
            "{refused}"
        );
        let disabled = world
            .call("kim", "Disable-ElevatedAccessControl")
            .await
            .unwrap();
        assert_eq!(world::property(&disabled, "Mode"), "Disabled");
        assert_eq!(world::property(&disabled, "Policies"), "11");
        // Twice is once.
        world
            .call("kim", "Disable-ElevatedAccessControl")
            .await
            .unwrap();
        let world = world.restart(place).await;
        assert_eq!(world.state.snapshot().mode, Mode::Disabled);
        let wrong = world
            .refusal("kim", "Enable-ElevatedAccessControl -SystemAccounts zoe")
            .await;
        assert!(wrong.starts_with("`zoe` is not exempt"), "{wrong}");
        let enable = "Enable-ElevatedAccessControl -SystemAccounts sys1@fabrikam.example";
        world.call("kim", enable).await.unwrap();
        assert_eq!(world.state.snapshot().mode, Mode::Enforce);
        let kinds = ["access-control.disabled", "access-control.enabled"];
        assert_eq!(world.ledger.kinds(), kinds);
    })
    .await;
}

#[tokio::test]
async fn a_policy_is_in_force_only_once_it_is_on_record() {
    on_each_engine(async |place| {
        let world = World::open(place).await.run();
        world.ledger.set(LedgerMode::Fails);
        let make = r"New-ElevatedAccessApprovalPolicy -Task Exchange\Set-Place -ApprovalType Auto";
        let told = world.call("kim", make).await.unwrap_err();
        assert!(matches!(&told, OwnCmdletError::Unavailable(text) if text.contains("do not do it again")), "{told:?}");
        let task = r"Exchange\Set-Place".parse().unwrap();
        assert!(world.state.snapshot().policies.governing(&task).is_none());
        world.ledger.set(LedgerMode::Works);
        world.control.wake();
        world.until(|it| it.state.snapshot().policies.governing(&task).is_some()).await;
        assert_eq!(world.ledger.count("policy.created"), 1);
    })
    .await;
}

#[tokio::test]
async fn operators_revoke_any_grant() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let id = world.file("bob", r"Exchange\New-MoveRequest").await;
        world.approve("amy", &id).await;
        let revoke =
            format!("Revoke-ElevatedAccessAuthorization -RequestId {id} -Comment incident");
        world.call("kim", &revoke).await.unwrap();
        assert_eq!(world.in_force(), 0);
        // But an operator approves nothing by that.
        let id = world.file("bob", r"Exchange\New-MoveRequest").await;
        let refused = world
            .refusal(
                "kim",
                &format!("Approve-ElevatedAccessRequest -RequestId {id}"),
            )
            .await;
        assert_eq!(refused, "only a member of `movers` may do this");
    })
    .await;
}
