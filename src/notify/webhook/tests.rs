use uuid::Uuid;

use crate::config::{WebhookShape, WebhookUrl};
use crate::model::NoticeKind;
use crate::notify::sample;
use crate::notify::testing::{Hook, Hooking};
use crate::notify::words::tell;

use super::*;

fn settings(url: &str) -> config::Webhook {
    config::Webhook {
        name: "ops".to_owned(),
        url: WebhookUrl::Url(url.parse().unwrap()),
        shape: WebhookShape::Json,
        secret_file: None,
        ca: None,
        events: NoticeKind::ALL.to_vec(),
        timeout: Duration::from_secs(20),
        connections: 1,
    }
}

/// How posting a notice ends.
async fn posted(settings: &config::Webhook) -> Result<Receipt, DeliveryError> {
    let notice = sample::notice(NoticeKind::RequestFiled);
    let told = tell(&notice, None);
    let outgoing = Outgoing {
        id: Uuid::from_u128(7),
        notice: &notice,
    };
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let webhook = Webhook::new(settings).unwrap();
    webhook.deliver(&outgoing, &told, now, &mut ()).await
}

/// The URL holds what whoever posts has to know: nothing may tell it.
fn text(outcome: Result<Receipt, DeliveryError>) -> String {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains("not-told"), "{text}");
    format!("{text} (refused: {})", error.is_refusal())
}

#[tokio::test]
async fn a_post_is_signed_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "s3cret\n").unwrap();
    let hook = Hook::start(Hooking::Status(202, ""));
    let settings = config::Webhook {
        secret_file: Some(key.clone()),
        ..settings(&hook.url())
    };
    assert_eq!(posted(&settings).await.unwrap().text, "202 Accepted");
    let post = hook.wait_for(1).remove(0);
    assert_eq!(post.path, "/hook?key=not-told");
    assert_eq!(post.headers["portcullis-timestamp"], "1800000000");
    assert_eq!(post.headers["portcullis-event"], "request-filed");
    let id = Uuid::from_u128(7).to_string();
    assert_eq!(post.headers["portcullis-delivery"], id);
    assert_eq!(post.json()["delivery"], id);
    // As a receiver does it, from the documentation alone.
    let verify = |body: &str, key: &[u8]| {
        let message = format!("1800000000.{body}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        let digits = tag.as_ref().iter().flat_map(|it| [it >> 4, it & 15]);
        let hex: String = digits
            .filter_map(|it| char::from_digit(u32::from(it), 16))
            .collect();
        post.headers["portcullis-signature"] == format!("sha256={hex}")
    };
    assert!(verify(&post.body, b"s3cret"));
    assert!(!verify(&post.body, b"other") && !verify("{}", b"s3cret"));
    // A new key counts at once.
    std::fs::write(&key, "newer").unwrap();
    posted(&settings).await.unwrap();
    let again = hook.wait_for(2).remove(1);
    assert_ne!(
        again.headers["portcullis-signature"],
        post.headers["portcullis-signature"]
    );
    assert_eq!(again.body, post.body);
}

#[tokio::test]
async fn what_is_not_taken_is_told_and_no_redirect_followed() {
    let other = Hook::start(Hooking::Status(200, ""));
    let hook = Hook::start(Hooking::Status(400, ""));
    let settings = settings(&hook.url());
    let mut told = vec![text(posted(&settings).await)];
    for status in [404, 410, 503] {
        hook.behave(Hooking::Status(status, ""));
        told.push(text(posted(&settings).await));
    }
    let location: &'static str = format!("location: {}\r\n", other.url()).leak();
    hook.behave(Hooking::Status(307, location));
    told.push(text(posted(&settings).await));
    assert_eq!(other.posts(), []);
    hook.behave(Hooking::Drops);
    told.push(text(posted(&settings).await));
    insta::assert_snapshot!(told.join("\n"), @"
    the webhook `ops` answered `400 Bad Request: noted` to the post (refused: true)
    the webhook `ops` answered `404 Not Found: noted` to the post (refused: false)
    the webhook `ops` answered `410 Gone: noted` to the post (refused: true)
    the webhook `ops` answered `503 Service Unavailable: noted` to the post (refused: false)
    the webhook `ops` answered `307 Temporary Redirect (redirects are not followed)` to the post (refused: false)
    the webhook `ops` broke off at the post: client error (SendRequest): connection closed before message completed (refused: false)
    ");
}

#[tokio::test]
async fn a_receiver_can_ask_to_be_left_alone_but_not_for_ever() {
    let hook = Hook::start(Hooking::Status(429, "retry-after: 7\r\n"));
    let settings = settings(&hook.url());
    let error = posted(&settings).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    hook.behave(Hooking::Status(503, "retry-after: 99999999\r\n"));
    let error = posted(&settings).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(LONGEST_RETRY_AFTER));
    hook.behave(Hooking::Status(
        503,
        "retry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\n",
    ));
    let error = posted(&settings).await.unwrap_err();
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left() {
    let hook = Hook::start(Hooking::Hangs);
    let settings = config::Webhook {
        timeout: Duration::from_millis(100),
        ..settings(&hook.url())
    };
    let told = text(posted(&settings).await);
    insta::assert_snapshot!(told, @"the webhook `ops` did not answer within 0.1 s, at the post (refused: false)");
}

#[tokio::test]
async fn the_url_can_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    let hook = Hook::start(Hooking::Status(200, ""));
    let settings = config::Webhook {
        url: WebhookUrl::File(path.clone()),
        ..settings("https://unused.example")
    };
    let root = folder.path().display().to_string();
    let problem = async || text(posted(&settings).await).replace(&root, "F");
    let missing = problem().await;
    std::fs::write(&path, "http://intranet.example/not-told").unwrap();
    let wrong = problem().await;
    insta::assert_snapshot!(format!("{missing}\n{wrong}"), @"
    cannot read `F/url`: No such file or directory (os error 2) (refused: false)
    `F/url` holds no `https://` URL without a user and password (refused: false)
    ");
    std::fs::write(&path, format!("{}\n", hook.url())).unwrap();
    posted(&settings).await.unwrap();
    assert_eq!(hook.posts().len(), 1);
}

#[tokio::test]
async fn a_receiver_must_have_a_good_certificate() {
    use crate::notify::testing::{Offer, Postbox, TlsFrom};
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("a"), folder.path().join("b"));
    let server = crate::notify::smtp::tests::certificate(&ours);
    crate::notify::smtp::tests::certificate(&theirs);
    // Any TLS server will do: the handshake is refused before a word is said.
    let offer = Offer {
        tls: Some((server, TlsFrom::Start)),
        ..Offer::default()
    };
    let postbox = Postbox::offering(offer, crate::notify::testing::Mailing::Accepts);
    let settings = config::Webhook {
        ca: Some(theirs.join("ca.pem")),
        ..settings(&format!(
            "https://localhost:{}/not-told",
            postbox.address().port()
        ))
    };
    let told = text(posted(&settings).await);
    assert!(
        told.contains("cannot connect to the webhook `ops`") && told.contains("certificate"),
        "{told}"
    );
}
