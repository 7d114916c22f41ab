//! People and programs are told by the real binary: through failures, hangs and kills, each once.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup};
use crate::postbox::{Hook, Hooking, Mail, Mailing, Postbox};

fn setup(postbox: &Postbox, hook: &Hook) -> Setup {
    let port = postbox.address().port();
    let url = hook.url();
    let notify = format!(
        r#"
[notify]
link = "https://pam.contoso.example"
[notify.smtp]
server = "127.0.0.1:{port}"
tls = "off"
from = "Portcullis <portcullis@contoso.example>"
timeout = "2s"
connections = 4
[[webhook]]
name = "soc"
url = "{url}"
secret_file = "hook-key"
timeout = "2s"
"#
    );
    Setup {
        extra: BTreeMap::from([("last", notify)]),
        ..Setup::default()
    }
}

async fn start(postbox: &Postbox, hook: &Hook) -> Gateway {
    let mut gateway = Gateway::with(setup(postbox, hook)).await;
    std::fs::write(gateway.path("hook-key"), "a key of the tests\n").unwrap();
    // The key is read for each message, so it need not be there at the start.
    gateway.terminate();
    gateway.restart();
    gateway
}

/// What `portcullis notify ls` lists, beside the gateway that runs.
fn listed(gateway: &Gateway, state: &str) -> Vec<Value> {
    let arguments = ["notify", "ls", "--state", state, "-o", "json"];
    let (code, text) = gateway.portcullis(&arguments);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn file(gateway: &Gateway, who: &str, task: &str) -> String {
    let answer = gateway
        .invoke(
            who,
            "New-ElevatedAccessRequest",
            json!({"Task": task, "Reason": "Needed, <b>now</b>\r\nBcc: all@contoso.example"}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["value"][0]["Identity"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn approve(gateway: &Gateway, who: &str, id: &str) {
    let answer = gateway
        .invoke(
            who,
            "Approve-ElevatedAccessRequest",
            json!({"RequestId": id, "Comment": "fine"}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

fn sorted_subjects(mails: &[Mail]) -> Vec<String> {
    let line = |it: &Mail| format!("{}: {}", it.to, it.header("Subject").unwrap());
    let mut lines: Vec<String> = mails.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_announced_and_its_decision_told_through_failures_and_a_crash() {
    let postbox = Postbox::start(Mailing::Accepts);
    let hook = Hook::start(Hooking::Hangs);
    let mut gateway = start(&postbox, &hook).await;
    let id = file(&gateway, "ana", r"Exchange\New-MoveRequest").await;
    let announced = postbox.wait_for(1).remove(0);
    assert_eq!(announced.to, "mbmanagers@contoso.example");
    let link = format!("Sign in to decide: https://pam.contoso.example/requests/{id}");
    assert!(announced.words().contains(&link), "{}", announced.words());
    assert_eq!(announced.header("Bcc"), None);
    assert!(announced.words().contains("  > Bcc: all@contoso.example"));
    assert!(announced.words().contains("Needed, &lt;b&gt;now"));

    // The webhook hangs; the request is decided all the same, and the mail about it arrives.
    approve(&gateway, "amy", &id).await;
    assert_eq!(
        sorted_subjects(&postbox.wait_for(2)[1..]),
        [r"ana@contoso.example: Approved: Exchange\New-MoveRequest for ana@contoso.example"]
    );
    let waiting = gateway.eventually("the hanging webhook is told", |it| {
        let waiting = listed(it, "pending");
        let failed = |it: &Value| {
            it["last_error"]
                .as_str()
                .is_some_and(|it| it.contains("did not answer"))
        };
        waiting.iter().any(failed).then_some(waiting)
    });
    assert!(
        waiting.iter().all(|it| it["channel"] == "soc"),
        "{waiting:?}"
    );
    let (_, table) = gateway.portcullis(&["notify", "ls"]);
    assert!(
        table.contains("NEXT TRY") && table.contains("request-filed"),
        "{table}"
    );

    // The mail server hangs after it has a mail, and the machine loses power.
    postbox.behave(Mailing::Hangs("."));
    let other = file(&gateway, "ivy", r"Exchange\New-MoveRequest").await;
    postbox.wait_for(3);
    gateway.kill();
    postbox.behave(Mailing::Accepts);
    hook.behave(Hooking::Status(204, ""));
    gateway.restart();
    let again = postbox.wait_for(4);
    assert_eq!(again[2], again[3], "the repetition is the same to the byte");
    assert!(again[3].words().contains(&other));

    // All that the webhook was owed comes, and every mail is known to have arrived.
    gateway.eventually("everything is sent", |it| {
        (it.metric("portcullis_notifications_pending") < 0.5 && listed(it, "sent").len() == 6)
            .then_some(())
    });
    assert_eq!(postbox.mails().len(), 4);
    let events: BTreeSet<String> = hook
        .posts()
        .iter()
        .map(|it| {
            assert!(it.headers["portcullis-signature"].starts_with("sha256="));
            let post = it.json();
            format!(
                "{} {}",
                post["kind"].as_str().unwrap(),
                post["request"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        format!("request-approved {id}"),
        format!("request-filed {id}"),
        format!("request-filed {other}"),
    ];
    assert_eq!(events, BTreeSet::from(expected));
    let sent = gateway.metric("portcullis_notifications_total{channel=\"mail\",result=\"sent\"}");
    assert!((sent - 1.0).abs() < 0.5, "since the last start: {sent}");
    assert!(gateway.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_told_of_however_often_the_gateway_dies() {
    let postbox = Postbox::start(Mailing::Accepts);
    let hook = Hook::start(Hooking::Status(200, ""));
    let mut gateway = start(&postbox, &hook).await;
    let mut requests = Vec::new();
    for round in 0..6 {
        for number in 0..5 {
            let task = format!(r"Exchange\Remove-Thing{round}x{number}");
            requests.push(file(&gateway, "ana", &task).await);
        }
        // Each time at another moment of the deliveries that the last requests made.
        postbox.wait_for(round * 4 + 1);
        gateway.kill();
        gateway.restart();
    }
    for id in &requests {
        approve(&gateway, "bo", id).await;
    }
    gateway.eventually("everything is sent", |it| {
        (listed(it, "pending").is_empty() && it.metric("portcullis_notifications_pending") < 0.5)
            .then_some(())
    });
    // Of each request, one announcement and one decision; what was sent twice is the same to the byte.
    let mut by_id: BTreeMap<String, Mail> = BTreeMap::new();
    for mail in postbox.mails() {
        let id = mail.header("Message-ID").unwrap();
        if let Some(first) = by_id.get(&id) {
            assert_eq!(*first, mail);
        }
        by_id.insert(id, mail);
    }
    assert_eq!(by_id.len(), requests.len() * 2);
    for id in &requests {
        let about = by_id.values().filter(|it| it.words().contains(id.as_str()));
        let events: BTreeSet<String> = about
            .map(|it| it.header("X-Portcullis-Event").unwrap())
            .collect();
        let expected = ["request-approved", "request-filed"].map(str::to_owned);
        assert_eq!(events, BTreeSet::from(expected), "{id}");
    }
    let posts: BTreeSet<String> = hook
        .posts()
        .iter()
        .map(|it| it.headers["portcullis-delivery"].clone())
        .collect();
    assert_eq!(posts.len(), requests.len() * 2);
    assert!(gateway.terminate().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_message_tells_each_step_and_whether_it_arrived() {
    let postbox = Postbox::start(Mailing::Accepts);
    let hook = Hook::start(Hooking::Status(404, ""));
    let gateway = start(&postbox, &hook).await;
    let test = ["notify", "test", "--to", "amy@contoso.example"];
    let (code, text) = gateway.portcullis(&test);
    let port = format!(":{}", postbox.address().port());
    assert_eq!(code, 1, "{text}");
    insta::assert_snapshot!(text.replace(&port, ":PORT"), @"
    mail to amy@contoso.example
      connected to 127.0.0.1:PORT
      not encrypted
      it takes mail for amy@contoso.example
      it has taken the message: 250 2.0.0 queued as 4711
      delivered
    soc
      signed
      answered 404 Not Found
      not delivered: the webhook `soc` answered `404 Not Found: noted` to the post
    ");
    assert_eq!(postbox.mails()[0].to, "amy@contoso.example");
    assert_eq!(
        postbox.mails()[0].header("Subject").unwrap(),
        "Test message of Portcullis"
    );
    hook.behave(Hooking::Status(200, ""));
    let (code, text) = gateway.portcullis(&["notify", "test", "--channel", "soc", "-o", "json"]);
    assert_eq!(code, 0, "{text}");
    let results: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(results[0]["channel"], "soc");
    assert_eq!(results[0]["error"], Value::Null);
    let (code, text) = gateway.portcullis(&["notify", "test", "--channel", "soq"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @"
    error: the configuration has no channel `soq`
      hint: `mail` stands for `[notify.smtp]`, and each `[[webhook]]` has its name
    ");
    let (_, text) = gateway.portcullis(&["notify", "ls"]);
    assert_eq!(text, "no message waits, and none was given up\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_of_ones_own_are_checked_and_used() {
    let postbox = Postbox::start(Mailing::Accepts);
    let hook = Hook::start(Hooking::Status(200, ""));
    let mut setup = setup(&postbox, &hook);
    let notify = setup.extra.get_mut("last").unwrap();
    *notify = notify.replace("[notify]\n", "[notify]\ntemplates = \"templates\"\n");
    let mut gateway = Gateway::with(setup).await;
    gateway.terminate();
    std::fs::write(gateway.path("hook-key"), "k").unwrap();
    std::fs::create_dir(gateway.path("templates")).unwrap();
    let folder = gateway.path("templates");
    let write = |name: &str, text: &str| {
        // At once, so that the gateway never sees half of it.
        let draft = folder.join(format!(".{name}"));
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, folder.join(name)).unwrap();
    };
    write("subject.txt", "[PAM] {{ headline }}");
    write("message.txt", "{{ summary }}\n{% if %}");
    let (code, text) = gateway.portcullis(&["check"]);
    assert_eq!(code, 1);
    assert!(text.contains("message.txt` is broken in line 2"), "{text}");
    gateway.restart();
    file(&gateway, "ana", r"Exchange\New-MoveRequest").await;
    let mail = postbox.wait_for(1).remove(0);
    assert!(
        mail.header("Subject")
            .unwrap()
            .starts_with("[PAM] ana@contoso.example asks")
    );
    assert!(
        mail.words().contains("Sign in to decide"),
        "the built-in text is used"
    );

    // While it runs, all are used or none is.
    write("message.txt", "PAM says: {{ summary }}");
    gateway.wait_for_log("Templates are in force");
    file(&gateway, "ivy", r"Exchange\New-MoveRequest").await;
    let mail = postbox.wait_for(2).remove(1);
    assert!(mail.words().contains("PAM says: ivy@contoso.example asks"));
    let broken = "Template is broken; the old ones stay in force";
    write("message.txt", "PAM shouts:\n{{ sumary }}");
    let told = gateway.wait_for_log(broken);
    assert!(told.contains("message.txt` is broken in line 2"), "{told}");
    write("subject.txt", "[new] {{ headline }}");
    gateway.wait_for_log(broken);
    file(&gateway, "ana", r"Exchange\Remove-Mailbox").await;
    let mail = postbox.wait_for(3).remove(2);
    assert!(mail.header("Subject").unwrap().starts_with("[PAM] ana"));
    assert!(mail.words().contains("PAM says: ana@contoso.example asks"));
    // Asked for, it is read again, and told again.
    gateway.signal("HUP");
    gateway.wait_for_log("Reload was asked for");
    gateway.wait_for_log(broken);
    gateway.wait_for_log("Reload is done");
    write("message.txt", "PAM shouts: {{ summary }}");
    gateway.wait_for_log("Templates are in force");
    file(&gateway, "ivy", r"Exchange\Remove-Mailbox").await;
    let mail = postbox.wait_for(4).remove(3);
    assert!(mail.header("Subject").unwrap().starts_with("[new] ivy"));
    assert!(mail.words().contains("PAM shouts: ivy"));
    assert!(gateway.terminate().success());
}
