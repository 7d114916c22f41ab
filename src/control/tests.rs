//! The workflow from its cmdlets down to the store, on every engine that is there.

mod deciding;
mod durability;
mod grants;
mod hold;
mod operators;
mod parameters;
mod secrets;
mod telling;
mod time;
mod uses;
mod world;

use crate::state::OwnCmdletError;
use crate::store::testing::on_each_engine;

use world::World;

#[tokio::test]
async fn a_request_is_filed_approved_in_force_and_revoked() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = r"New-ElevatedAccessRequest -Task Exchange\new-moverequest -Reason 'Repair a mailbox' -DurationHours 2";
        let filed = world.call("ann", ask).await.unwrap();
        let id = world::property(&filed, "Identity");
        insta::allow_duplicates! {
            world::settings().bind(|| insta::assert_snapshot!(world::table(&filed), @r"
            ElevatedAccessRequest
              Identity: <id>
              RequestStatus: Pending
              Requestor: ann@fabrikam.example
              Type: Task
              Task: Exchange\new-moverequest
              Policy: exchange\new-moverequest
              Reason: Repair a mailbox
              DurationHours: 2
              StartTimeUtc: $null
              Uses: $null
              Parameters: $null
              Extends: $null
              BreakGlass: False
              DateCreatedUtc: 2027-01-15T08:00:00Z
              ExpiresUtc: 2027-01-16T08:00:00Z
              MissingApprovals: 1 approval of `movers`
              ApprovedBy: 
              DecidedBy: $null
              DateDecidedUtc: $null
              Comment: $null
              ExternalIdentity: $null
              Context: @{}
            "));
        }
        assert_eq!(world.in_force(), 0);

        let approve = format!("approve-elevatedaccessrequest -requestid {id} -Comment 'go ahead'");
        let approved = world.call("amy", &approve).await.unwrap();
        assert_eq!(world::property(&approved, "RequestStatus"), "Approved");
        assert_eq!(world::property(&approved, "ApprovedBy"), "amy@fabrikam.example");
        assert_eq!(world.in_force(), 1);

        let own = world.call("ann", "Get-ElevatedAccessAuthorization").await.unwrap();
        insta::allow_duplicates! {
            world::settings().bind(|| insta::assert_snapshot!(world::table(&own), @r"
            ElevatedAccessAuthorization
              Identity: <id>
              RequestId: <id>
              State: Active
              Requestor: ann@fabrikam.example
              Type: Task
              AuthorizedAccess: Exchange\new-moverequest
              Policy: exchange\new-moverequest
              Parameters: $null
              AuthorizedBy: amy@fabrikam.example
              StartTimeUtc: 2027-01-15T08:00:00Z
              EndTimeUtc: 2027-01-15T10:00:00Z
              Uses: $null
              Used: 0
              BreakGlass: False
              AwaitsReview: False
              ReviewedBy: $null
              DateReviewedUtc: $null
              ReviewComment: $null
              Revoked: False
              RevocationDateTimeUtc: $null
              RevokedBy: $null
              RevocationComment: $null
              DateCreatedUtc: 2027-01-15T08:00:00Z
              DateUpdatedUtc: 2027-01-15T08:00:00Z
            "));
        }

        let revoke = format!("Revoke-ElevatedAccessAuthorization -RequestId {id} -Comment enough");
        let revoked = world.call("amy", &revoke).await.unwrap();
        assert_eq!(world::property(&revoked, "State"), "Revoked");
        assert_eq!(world::property(&revoked, "RevokedBy"), "amy@fabrikam.example");
        assert_eq!(world::property(&revoked, "RevocationComment"), "enough");
        assert_eq!(world.in_force(), 0);
        let again = world.refusal("amy", &revoke).await;
        assert_eq!(again, "the grant is revoked already by amy@fabrikam.example");

        let expected = ["request.filed", "request.approved", "grant.created", "grant.revoked"];
        assert_eq!(world.ledger.kinds(), expected);
        let events = world.ledger.events();
        assert!(events.iter().all(|it| it.request.is_some() && it.decision.is_some()));
        assert_eq!(events[1].principal.as_ref().unwrap().1, "amy@fabrikam.example");
        assert_eq!(events[1].details["comment"], "go ahead");
        assert_eq!(events[0].details["reason"], "Repair a mailbox");
    })
    .await;
}

#[tokio::test]
async fn an_equal_request_is_answered_with_the_pending_one() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let first = world.file("ann", r"Exchange\New-MoveRequest").await;
        assert_eq!(world.file("ann", r"exchange\NEW-moverequest").await, first);
        assert_ne!(world.file("bob", r"Exchange\New-MoveRequest").await, first);
        assert_ne!(world.file("ann", r"Exchange\Remove-Mailbox").await, first);
        world.deny("amy", &first).await;
        assert_ne!(world.file("ann", r"Exchange\New-MoveRequest").await, first);
    })
    .await;
}

#[tokio::test]
async fn equal_requests_at_the_same_moment_become_one() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = || world.file("ann", r"Exchange\New-MoveRequest");
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!((&one, &one), (&two, &three));
        assert_eq!(world.ledger.kinds(), ["request.filed"]);
    })
    .await;
}

#[tokio::test]
async fn an_auto_policy_approves_at_once_and_a_never_policy_not_at_all() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let ask = r"New-ElevatedAccessRequest -Task Exchange\Get-MessageTrace -Reason r";
        let filed = world.call("ann", ask).await.unwrap();
        assert_eq!(world::property(&filed, "RequestStatus"), "Approved");
        assert_eq!(world::property(&filed, "ApprovedBy"), "policy");
        assert_eq!(world.in_force(), 1);
        let expected = ["request.filed", "request.approved", "grant.created"];
        assert_eq!(world.ledger.kinds(), expected);
        assert_eq!(world.ledger.events()[1].principal, None);

        let never = r"New-ElevatedAccessRequest -Task Exchange\Remove-OrganizationConfig -Reason r";
        let refused = world.call("ann", never).await.unwrap_err();
        assert!(
            matches!(refused, OwnCmdletError::Forbidden(_)),
            "{refused:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_pattern_policy_is_asked_for_whole_or_for_a_task() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let whole = world.file("ann", r"exchange\remove-*").await;
        let task = world.file("ann", r"Exchange\Remove-Mailbox").await;
        for (id, kind, access) in [
            (whole, "TaskPattern", r"exchange\remove-*"),
            (task, "Task", r"Exchange\Remove-Mailbox"),
        ] {
            world.approve("amy", &id).await;
            let show = format!("Get-ElevatedAccessAuthorization -RequestId {id}");
            let grant = world.call("amy", &show).await.unwrap();
            assert_eq!(world::property(&grant, "Type"), kind);
            assert_eq!(world::property(&grant, "AuthorizedAccess"), access);
        }
        assert_eq!(world.in_force(), 2);
    })
    .await;
}

#[tokio::test]
async fn people_see_their_own_and_approvers_what_they_decide() {
    on_each_engine(async |place| {
        let world = World::open(place).await;
        let move_request = world.file("ann", r"Exchange\New-MoveRequest").await;
        let journal = world.file("bob", r"Exchange\New-JournalRule").await;
        let listed = async |who: &str| {
            let found = world.call(who, "Get-ElevatedAccessRequest").await.unwrap();
            found
                .iter()
                .map(|it| world::property(std::slice::from_ref(it), "Identity"))
                .collect::<Vec<_>>()
        };
        assert_eq!(listed("ann").await, [move_request.as_str()]);
        assert_eq!(listed("amy").await, [move_request.as_str()]);
        assert_eq!(listed("cy").await, [journal]);
        assert_eq!(listed("zoe").await, Vec::<String>::new());

        let nowhere = "00000000-0000-7000-8000-000000000000";
        for line in [
            "Get-ElevatedAccessRequest -RequestId",
            "Approve-ElevatedAccessRequest -RequestId",
            "Deny-ElevatedAccessRequest -RequestId",
            "Get-ElevatedAccessAuthorization -RequestId",
            "Revoke-ElevatedAccessAuthorization -RequestId",
        ] {
            for who in ["zoe", "bob", "cy"] {
                let hidden = world
                    .call(who, &format!("{line} {move_request}"))
                    .await
                    .unwrap_err();
                let absent = world
                    .call(who, &format!("{line} {nowhere}"))
                    .await
                    .unwrap_err();
                let hidden =
                    OwnCmdletError::NotFound(hidden.to_string().replace(&move_request, nowhere));
                assert_eq!(hidden, absent, "{who}: {line}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn policies_and_settings_can_be_looked_at() {
    let world = World::open(&crate::store::testing::Place::sqlite()).await;
    let policies = world
        .call("ann", "Get-ElevatedAccessApprovalPolicy")
        .await
        .unwrap();
    assert_eq!(policies.len(), 11);
    let one = r"Get-ElevatedAccessApprovalPolicy -Identity EXCHANGE\new-moverequest";
    let one = world.call("ann", one).await.unwrap();
    world::settings().bind(|| {
        insta::assert_snapshot!(world::table(&one), @r"
            ElevatedAccessApprovalPolicy
              Identity: Exchange\New-MoveRequest
              Type: Task
              Task: Exchange\New-MoveRequest
              ApprovalType: Manual
              ApproverGroup: movers
              Approvals: 1
              DefaultDurationHours: 4
              MaxDurationHours: 8
              Requesters: 
              BreakGlassGroup: 
              ApproverComment: optional
              OnBlock: block
              MaxUses: $null
              ReportOnly: False
              Source: test.toml
            ");
    });
    // Where files lie on the host is for those who keep it.
    let one = r"Get-ElevatedAccessApprovalPolicy -Identity EXCHANGE\new-moverequest";
    let one = world.call("kim", one).await.unwrap();
    assert_eq!(world::property(&one, "Source"), "policies/test.toml:22");
    let control = world
        .call("zoe", "Get-ElevatedAccessControl")
        .await
        .unwrap();
    assert_eq!(world::property(&control, "Mode"), "Enforce");
    assert_eq!(world::property(&control, "SystemAccounts"), "$null");
    let control = world
        .call("amy", "Get-ElevatedAccessControl")
        .await
        .unwrap();
    assert_eq!(
        world::property(&control, "SystemAccounts"),
        "sys1@fabrikam.example"
    );
}
