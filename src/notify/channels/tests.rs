use crate::config::{Smtp, SmtpTls, Webhook, WebhookShape, WebhookUrl};

use super::*;

fn smtp(domain: Option<&str>) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port: 25,
        tls: SmtpTls::Off,
        ca: None,
        from: "Portcullis <portcullis@fabrikam.example>".to_owned(),
        sign_in: None,
        domain: domain.map(str::to_owned),
        timeout: Duration::from_secs(1),
        connections: 1,
    }
}

fn webhook(name: &str, events: &[NoticeKind]) -> Webhook {
    Webhook {
        name: name.to_owned(),
        url: WebhookUrl::Url("https://hooks.fabrikam.example".parse().unwrap()),
        shape: WebhookShape::Json,
        secret_file: None,
        ca: None,
        events: events.to_vec(),
        timeout: Duration::from_secs(1),
        connections: 1,
    }
}

#[test]
fn an_account_is_mailed_to_if_it_is_an_address_or_can_be_made_one() {
    let of = |account: &str| address(account, Some("fabrikam.example"));
    for (account, expected) in [
        ("Amy@Fabrikam.example", Some("amy@fabrikam.example")),
        (r"FABRIKAM\amy", Some("amy@fabrikam.example")),
        ("local:amy", Some("amy@fabrikam.example")),
        ("amy", Some("amy@fabrikam.example")),
        (
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8@6ba7b811-9dad-11d1-80b4-00c04fd430c8",
            None,
        ),
        ("amy@fabrikam.example\r\nRCPT TO:<x@y.example>", None),
        ("amy@fabrikam.example> x", None),
        ("", None),
        ("two words", None),
    ] {
        assert_eq!(of(account).as_deref(), expected, "{account:?}");
    }
    assert_eq!(address("amy", None), None);
}

#[test]
fn each_destination_is_owed_a_notice_once_and_only_of_the_events_it_wants() {
    let settings = config::Notify {
        smtp: Some(smtp(None)),
        webhooks: vec![
            webhook("all", &NoticeKind::ALL),
            webhook("emergencies", &[NoticeKind::BreakGlassTaken]),
        ],
        ..config::Notify::default()
    };
    let (channels, _) = Channels::open(&settings).unwrap();
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    let group = &mut notice.deciders[0];
    group.address = None;
    group.members = ["bo@fabrikam.example", "BO@fabrikam.example", "local:cy"]
        .map(str::to_owned)
        .to_vec();
    let shown = |notice: &Notice| -> Vec<String> {
        let to = channels.addressed(notice).into_iter();
        to.map(|it| format!("{}>{}", it.channel, it.recipient))
            .collect()
    };
    assert_eq!(shown(&notice), ["mail>bo@fabrikam.example", "all>"]);
    notice.kind = NoticeKind::BreakGlassTaken;
    assert_eq!(
        shown(&notice),
        [
            "mail>amy@fabrikam.example",
            "mail>bo@fabrikam.example",
            "all>",
            "emergencies>"
        ]
    );
}

#[tokio::test]
async fn a_channel_that_is_not_configured_any_more_says_so() {
    let (channels, _) = Channels::open(&config::Notify::default()).unwrap();
    let notice = sample::notice(NoticeKind::RequestFiled);
    let outgoing = Outgoing {
        id: Uuid::nil(),
        notice: &notice,
    };
    let to = Destination {
        channel: "old".into(),
        recipient: String::new(),
    };
    let error = channels.deliver(outgoing, &to, Utc::now(), &mut ()).await;
    insta::assert_snapshot!(error.unwrap_err(), @"the configuration has no channel `old` any more");
}
