//! Parameters that the operator has hidden (`[audit] redact`) are in no answer, no record and no message.

use std::net::{IpAddr, Ipv4Addr};

use chrono::TimeDelta;

use crate::config::{self, Smtp, SmtpTls, Webhook, WebhookShape, WebhookUrl};
use crate::control::tests::world::{self, World, person, table};
use crate::control::{Caller, Via};
use crate::model::{NoticeKind, REDACTED, Redaction, Value};
use crate::notify::testing::{Hook, Hooking, Mailing, Postbox};
use crate::policy::Definition;
use crate::state::OwnCmdletError;
use crate::store::testing::Place;

/// What nobody shall read.
const SECRET: &str = "4711-0815";

fn ask(pinned: &str) -> Vec<(String, Value)> {
    let pins = Value::Table(vec![
        (pinned.to_owned(), Value::text(SECRET)),
        ("Identity".to_owned(), Value::text("cy")),
    ]);
    let context = Value::Table(vec![
        ("CostCentre".to_owned(), Value::text(SECRET)),
        ("Ticket".to_owned(), Value::text("INC-1")),
    ]);
    vec![
        ("Task".to_owned(), Value::text(r"Exchange\New-MoveRequest")),
        ("Reason".to_owned(), Value::text("because")),
        ("Parameters".to_owned(), pins),
        ("RequestContext".to_owned(), context),
    ]
}

async fn file(world: &World, pinned: &str) -> Result<String, OwnCmdletError> {
    let filed = world
        .answer(&person("ann"), "New-ElevatedAccessRequest", ask(pinned))
        .await?;
    Ok(world::property(&filed, "Identity"))
}

#[tokio::test]
async fn a_hidden_parameter_cannot_be_pinned_and_hidden_context_is_not_kept() {
    let place = Place::sqlite();
    let mut world = World::open(&place).await;
    world.hide(&["CostCentre"]);
    let world = world.restart(&place).await;
    for hidden in ["costCENTRE", "NewPassword"] {
        let refused = file(&world, hidden).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "`{hidden}` holds a secret, or begins the name of what does, which would be shown to approvers: it cannot be pinned"
            )
        );
    }
    let id = file(&world, "TargetDatabase").await.unwrap();
    let shown = world
        .call("amy", &format!("Get-ElevatedAccessRequest -Identity {id}"))
        .await
        .unwrap();
    assert_eq!(
        world::property(&shown, "Context"),
        format!("@{{CostCentre={REDACTED}; Ticket=INC-1}}")
    );
    let narrowing = vec![
        ("RequestId".to_owned(), Value::text(id.as_str())),
        ("Comment".to_owned(), Value::text("fine")),
        (
            "Parameters".to_owned(),
            Value::Table(vec![("CostCentre".to_owned(), Value::text(SECRET))]),
        ),
    ];
    let refused = world
        .answer(&person("amy"), "Approve-ElevatedAccessRequest", narrowing)
        .await;
    assert!(refused.is_err(), "an approver does not pin it either");
}

#[tokio::test]
async fn what_a_stored_policy_asks_of_a_hidden_parameter_only_operators_read() {
    let place = Place::sqlite();
    let mut world = World::open(&place).await;
    world.hide(&["CostCentre"]);
    let world = world.restart(&place).await;
    let mut definition = Definition {
        task: Some(r"Exchange\Set-Place".to_owned()),
        approval: "auto".to_owned(),
        ..Definition::default()
    };
    definition.parameters =
        Some(toml::from_str(&format!("CostCentre = {{ one_of = ['{SECRET}'] }}")).unwrap());
    let kim = Caller {
        principal: person("kim"),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        decision: None,
        via: Via::Cmdlet,
    };
    let made = world.control.add_policy(kim.clone(), definition.clone());
    assert_eq!(made.await.unwrap().stored.unwrap().definition, definition);
    let record = world.ledger.events().pop().unwrap();
    assert_eq!(record.kind, "policy.created");
    assert_eq!(
        record.details["definition"]["parameters"]["CostCentre"]["one_of"],
        serde_json::json!([REDACTED])
    );
    assert!(!format!("{record:?}").contains(SECRET));
    let listed = world.control.policy(&kim, r"Exchange\Set-Place");
    let listed = listed.await.unwrap();
    let read_by = |who: &str| {
        let shown = world.control.policy_shown_to(&person(who), listed.clone());
        shown.stored.unwrap().definition
    };
    assert_eq!(read_by("kim"), definition);
    assert_eq!(
        read_by("bob"),
        definition.without(&Redaction::new(&["CostCentre".to_owned()]))
    );
    assert!(!format!("{:?}", read_by("bob")).contains(SECRET));
}

fn everywhere(postbox: &Postbox, hooks: &[(&str, WebhookShape, &Hook)]) -> config::Notify {
    config::Notify {
        smtp: Some(Smtp {
            host: "127.0.0.1".to_owned(),
            port: postbox.address().port(),
            tls: SmtpTls::Off,
            ca: None,
            from: "portcullis@fabrikam.example".to_owned(),
            sign_in: None,
            domain: None,
            timeout: std::time::Duration::from_secs(20),
            connections: 2,
        }),
        webhooks: hooks
            .iter()
            .map(|(name, shape, hook)| Webhook {
                name: (*name).to_owned(),
                url: WebhookUrl::Url(hook.url().parse().unwrap()),
                shape: *shape,
                secret_file: None,
                ca: None,
                events: NoticeKind::ALL.to_vec(),
                timeout: std::time::Duration::from_secs(20),
                connections: 2,
            })
            .collect(),
        ..config::Notify::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_later_is_hidden_in_what_was_filed_before_too() {
    let place = Place::sqlite();
    let postbox = Postbox::start(Mailing::Answers("connect", "421 not now"));
    let hooks = [
        ("own", WebhookShape::Json),
        ("slack", WebhookShape::Slack),
        ("teams", WebhookShape::Teams),
    ]
    .map(|(name, shape)| (name, shape, Hook::start(Hooking::Status(503, ""))));
    let [own, slack, teams] = &hooks;
    let named = [own, slack, teams].map(|(name, shape, hook)| (*name, *shape, hook));
    let mut world = World::telling(&place, everywhere(&postbox, &named)).await;
    // It is stored, and owed to everybody, before anybody hides it.
    let id = file(&world, "CostCentre").await.unwrap();
    world.stop().await;
    world.hide(&["costcentre"]);
    let mut world = world.restart(&place).await;
    let before = world.ledger.events().len();
    postbox.behave(Mailing::Accepts);
    for (_, _, hook) in &hooks {
        hook.behave(Hooking::Status(200, ""));
    }
    world = world.run();
    world.pass(TimeDelta::minutes(1));

    let mut answers = Vec::new();
    for line in [
        format!("Get-ElevatedAccessRequest -Identity {id}"),
        "Get-ElevatedAccessRequest".to_owned(),
        format!("Approve-ElevatedAccessRequest -RequestId {id} -Comment fine"),
        format!("Get-ElevatedAccessAuthorization -Identity {id}"),
        "Get-ElevatedAccessAuthorization".to_owned(),
        format!("Revoke-ElevatedAccessAuthorization -Identity {id} -Comment over"),
    ] {
        answers.push(table(&world.call("amy", &line).await.unwrap()));
    }
    for answer in &answers {
        assert!(!answer.contains(SECRET), "{answer}");
        assert!(
            answer.contains(&format!("CostCentre={REDACTED}")),
            "{answer}"
        );
        assert!(answer.contains("Identity=cy"), "{answer}");
    }
    // Filed (to two approvers), approved, revoked.
    let mails = postbox.wait_for(4);
    assert!(mails.iter().all(|it| !it.text.contains(SECRET)));
    let told = format!("-CostCentre {REDACTED}");
    assert!(mails.iter().all(|it| it.words().contains(&told)));
    for (name, _, hook) in &hooks {
        for post in hook.wait_for(3) {
            assert!(!post.body.contains(SECRET), "{name}: {}", post.body);
            assert!(post.body.contains(REDACTED), "{name}: {}", post.body);
        }
    }
    let records = world.ledger.events().split_off(before);
    let records = serde_json::to_string(&records).unwrap();
    assert!(
        records.contains(REDACTED) && !records.contains(SECRET),
        "{records}"
    );
    world.stop().await;
}
