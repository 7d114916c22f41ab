//! What the cmdlets take, and what they say to the rest.

use crate::control::tests::world::{self, World, person};
use crate::model::{Number, Value};
use crate::state::OwnCmdlets as _;
use crate::store::testing::Place;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn wrong_parameters_are_refused_with_what_would_be_right() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let long = "x".repeat(2_001);
    for (line, text) in [
        (
            "New-ElevatedAccessRequest",
            "New-ElevatedAccessRequest needs -Task and -Reason",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason '  '",
            r"the policy `Exchange\New-MoveRequest`: a reason is required (-Reason)",
        ),
        (
            "New-ElevatedAccessRequest -Role 'Mail Recipients' -Reason r",
            r"`role:Mail Recipients` is neither a task, such as `Exchange\New-MoveRequest`, nor the scope of a policy; Get-ElevatedAccessApprovalPolicy lists the policies",
        ),
        (
            r"New-ElevatedAccessRequest -Role 'Exchange\Recipient Reader' -Task Exchange\New-MoveRequest -Reason r",
            r"the policy `role:Exchange\Recipient Reader` does not govern `Exchange\New-MoveRequest`; ask for the task alone, and the policy that governs it is found",
        ),
        (
            r"New-ElevatedAccessRequest -Role x -RoleGroup y -Reason r",
            "give one of -Task, -Role, -RoleGroup and -Extend; -Task beside -Role or -RoleGroup narrows it to that task",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -StartTimeUtc 2027-01-15T07:59:59Z",
            "the start 2027-01-15 07:59:59 UTC has passed: leave it out to start at the approval",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -StartTimeUtc tomorrow",
            "-StartTimeUtc must be a time in UTC such as 2027-03-31T08:00:00Z",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -Uses 0",
            "-Uses must be a whole number from 1 to 1000000",
        ),
        (
            r"New-ElevatedAccessRequest -Role 'Exchange\Recipient Reader' -Task '  ' -Reason r",
            "-Task is given and empty: give it a value, or leave it out",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -BreakGlass yes",
            "-BreakGlass must be $true or $false",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -BreakGlass true",
            r"break-glass under the policy `Exchange\New-MoveRequest` is for nobody: it names no `break_glass` groups; file the request without -BreakGlass",
        ),
        (
            "New-ElevatedAccessRequest -Tsak x -Why y",
            "New-ElevatedAccessRequest does not know -Tsak and -Why; it takes -Task, -Role, -RoleGroup, -Extend, -Reason, -DurationHours, -StartTimeUtc, -Uses, -Parameters, -BreakGlass, -ExternalIdentity and -RequestContext",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\Get-Place -Reason r",
            r"no policy governs `Exchange\Get-Place`, so there is nothing to request for it; Get-ElevatedAccessApprovalPolicy lists the policies",
        ),
        (
            "New-ElevatedAccessRequest -Task Get-Mailbox -Reason r",
            r"`Get-Mailbox` is neither a task, such as `Exchange\New-MoveRequest`, nor the scope of a policy; Get-ElevatedAccessApprovalPolicy lists the policies",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -DurationHours 9",
            r"the policy `Exchange\New-MoveRequest` allows at most 8 hours: ask for less with -DurationHours",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -DurationHours 0",
            "-DurationHours must be a whole number from 1 to 4320",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -DurationHours +4",
            "-DurationHours must be a whole number from 1 to 4320",
        ),
        (
            r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r -DurationHours 4321",
            "-DurationHours must be a whole number from 1 to 4320",
        ),
        (
            &format!(r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason {long}"),
            "-Reason must be at most 2000 characters long",
        ),
        (
            "Approve-ElevatedAccessRequest -Comment ok",
            "Approve-ElevatedAccessRequest needs -RequestId",
        ),
        (
            "Approve-ElevatedAccessRequest -RequestId 7",
            "-RequestId must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057, not `7`",
        ),
        (
            &format!(
                "Get-ElevatedAccessRequest -RequestId {ID} -Identity {}",
                ID.replace('a', "b")
            ),
            "-RequestId and -Identity mean the same and say different ids: give one of them",
        ),
        (
            "Get-ElevatedAccessControl -Verbos true",
            "Get-ElevatedAccessControl does not know -Verbos; it takes -Identity",
        ),
        (
            "Enable-ElevatedAccessControl -AdminGroup x",
            "the default approver group is not set, as the gateway's configuration says (`[access_control] default_approver_group`): leave -AdminGroup out",
        ),
        (
            "New-ElevatedAccessApprovalPolicy -Task x",
            "New-ElevatedAccessApprovalPolicy needs -ApprovalType",
        ),
        (
            "Revoke-ElevatedAccessRequest",
            "there is no cmdlet Revoke-ElevatedAccessRequest; there are New-, Get-, Set-, Approve- and Deny-ElevatedAccessRequest, Get-, Set- and Revoke-ElevatedAccessAuthorization, New-, Get-, Set- and Remove-ElevatedAccessApprovalPolicy, and Enable-, Disable- and Get-ElevatedAccessControl",
        ),
        (
            "Disable-ElevatedAccessControl",
            "only an operator switches access control: a member of the group `keepers`",
        ),
    ] {
        assert_eq!(world.refusal("ann", line).await, text);
    }
    assert_eq!(world.ledger.kinds(), Vec::<String>::new());
}

#[tokio::test]
async fn a_trial_changes_nothing() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let ask = r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r";
    let told = world
        .call("ann", &format!("{ask} -WhatIf true"))
        .await
        .unwrap();
    assert_eq!(
        world::property(&told, "Message"),
        r"What if: New-ElevatedAccessRequest would file a request for `Exchange\New-MoveRequest`. Nothing was done."
    );
    let told = world
        .call("ann", &format!("{ask} -Confirm true"))
        .await
        .unwrap();
    assert_eq!(told, []);
    for name in ["Confirm", "WhatIf"] {
        assert_eq!(
            world.refusal("ann", &format!("{ask} -{name} 1")).await,
            format!("-{name} must be $true or $false")
        );
    }
    assert_eq!(world.ledger.kinds(), Vec::<String>::new());
    world
        .call(
            "ann",
            &format!("{ask} -Confirm false -WhatIf False -ErrorAction Stop"),
        )
        .await
        .unwrap();
    assert_eq!(world.ledger.kinds(), ["request.filed"]);
}

#[tokio::test]
async fn a_request_keeps_its_context_without_secrets() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let context = Value::Table(vec![
        ("@odata.type".into(), Value::text("#x")),
        ("Ticket".into(), Value::text("INC-1")),
        ("Password".into(), Value::text("hunter2")),
        ("Tries".into(), Value::Number(Number::new("3").unwrap())),
    ]);
    let parameters = vec![
        ("task".to_owned(), Value::text(r"Exchange\New-MoveRequest")),
        ("REASON".to_owned(), Value::text("r")),
        (
            "DurationHours".to_owned(),
            Value::Number(Number::new("3").unwrap()),
        ),
        ("RequestContext".to_owned(), context),
        ("ExternalIdentity".to_owned(), Value::text("CHG-7")),
        ("Role".to_owned(), Value::Null),
    ];
    let filed = world
        .answer(&person("ann"), "New-ElevatedAccessRequest", parameters)
        .await
        .unwrap();
    assert_eq!(
        world::property(&filed, "Context"),
        "@{Ticket=INC-1; Password=[redacted]; Tries=3}"
    );
    assert_eq!(world::property(&filed, "DurationHours"), "3");
    assert_eq!(world::property(&filed, "ExternalIdentity"), "CHG-7");
    let record = serde_json::to_string(&world.ledger.events()).unwrap();
    assert!(
        record.contains("INC-1") && !record.contains("hunter2"),
        "{record}"
    );

    let not_a_table = vec![
        ("Task".to_owned(), Value::text(r"Exchange\New-MoveRequest")),
        ("Reason".to_owned(), Value::List(vec![Value::text("r")])),
    ];
    let refused = world
        .answer(&person("ann"), "New-ElevatedAccessRequest", not_a_table)
        .await;
    assert_eq!(refused.unwrap_err().to_string(), "-Reason must be a text");
}

#[tokio::test]
async fn the_cmdlets_that_are_listed_are_those_that_there_are_with_their_parameters() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let listed = world.control.cmdlets();
    assert_eq!(listed.len(), 15);
    for cmdlet in &listed {
        let said = world
            .refusal("ann", &format!("{} -Nonsense x", cmdlet.name))
            .await;
        let known: Vec<String> = cmdlet
            .parameters
            .iter()
            .map(|it| format!("-{}", it.name))
            .collect();
        let mut told: Vec<&str> = said
            .split_once("it takes ")
            .map_or("", |it| it.1)
            .split([',', ' '])
            .filter(|it| it.starts_with('-'))
            .collect();
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        told.sort_unstable();
        known.sort_unstable();
        assert_eq!(told, known, "{}: {said}", cmdlet.name);
    }
}

/// What narrows nothing is not taken for nothing to narrow.
#[tokio::test]
async fn an_approval_with_an_empty_narrowing_is_refused() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let ask = r"New-ElevatedAccessRequest -Task Exchange\New-MoveRequest -Reason r";
    let filed = world.call("bob", ask).await.unwrap();
    let id = world::property(&filed, "Identity");
    let empty = [
        Value::Null,
        Value::text(" "),
        Value::List(Vec::new()),
        Value::Table(Vec::new()),
        Value::Table(vec![("x@odata.type".to_owned(), Value::text("a"))]),
    ];
    for (name, value) in [
        "DurationHours",
        "Parameters",
        "StartTimeUtc",
        "Task",
        "Uses",
    ]
    .iter()
    .flat_map(|name| empty.iter().map(move |value| (*name, value.clone())))
    {
        let parameters = vec![
            ("RequestId".to_owned(), Value::text(id.as_str())),
            (name.to_owned(), value),
        ];
        let refused = world
            .answer(&person("amy"), "Approve-ElevatedAccessRequest", parameters)
            .await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("-{name} is given and empty: give it a value, or leave it out")
        );
    }
    assert_eq!(world.in_force(), 0);
    let approve = format!("Approve-ElevatedAccessRequest -RequestId {id}");
    world.call("amy", &approve).await.unwrap();
    assert_eq!(world.in_force(), 1);
}

/// A variable that was never set opens no policy: neither to everybody, nor for any number of uses.
#[tokio::test]
async fn an_empty_term_of_a_policy_is_refused() {
    let place = Place::sqlite();
    let world = World::open(&place).await;
    let empty = [
        Value::Null,
        Value::text(" "),
        Value::List(Vec::new()),
        Value::List(vec![Value::text(""), Value::Null]),
    ];
    let make = [
        ("Task", r"Exchange\Set-Place"),
        ("ApprovalType", "Auto"),
        ("Requesters", "movers"),
    ];
    let change = [("Identity", r"Exchange\Set-Place")];
    let given = |said: &[(&str, &str)]| -> Vec<(String, Value)> {
        let said = said.iter();
        said.map(|(name, text)| ((*name).to_owned(), Value::text(*text)))
            .collect()
    };
    let call = async |verb: &str, parameters| {
        let cmdlet = format!("{verb}-ElevatedAccessApprovalPolicy");
        world.answer(&person("kim"), &cmdlet, parameters).await
    };
    let refused_each = async |verb: &str, said: &[(&str, &str)]| {
        for name in [
            "ApprovalType",
            "Approvals",
            "ApproverComment",
            "ApproverGroup",
            "BreakGlassGroup",
            "DefaultDurationHours",
            "MaxDurationHours",
            "MaxUses",
            "OnBlock",
            "OtherParameters",
            "ReportOnly",
            "Requesters",
        ] {
            for value in &empty {
                let mut parameters = given(said);
                parameters.retain(|it| it.0 != name);
                parameters.push((name.to_owned(), value.clone()));
                let refused = call(verb, parameters).await.unwrap_err().to_string();
                let text = format!("-{name} is given and empty: give it a value, or leave it out");
                assert_eq!(refused, text);
            }
        }
    };
    refused_each("New", &make).await;
    let mut two = given(&make);
    two.push(("Effect".to_owned(), Value::text("")));
    let refused = call("New", two).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("-Effect is given and empty"),
        "{refused}"
    );
    call("New", given(&make)).await.unwrap();
    refused_each("Set", &change).await;
    let policies = &world.state.snapshot().policies;
    let policy = policies.policy(r"Exchange\Set-Place").unwrap();
    assert_eq!(policy.requesters, ["movers"]);
}
