//! What was given up is sent again by an operator: the real binary, its command line and its API.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::gateway::{Gateway, POLICIES, Setup, upn};
use crate::people::Person;
use crate::postbox::{Hook, Hooking};

/// A gateway that gives messages to `hook` up after a second; Ivy is its operator.
async fn gateway(hook: &Hook) -> Gateway {
    let url = hook.url();
    let notify = format!(
        "\n[notify]\ngive_up_after = \"1s\"\n[[webhook]]\nname = \"soc\"\nurl = \"{url}\"\n"
    );
    let policies = format!(
        "{POLICIES}\n[[group]]\nname = \"operators\"\nmembers = [\"ivy@contoso.example\"]\n"
    );
    Gateway::with(Setup {
        policies,
        extra: BTreeMap::from([
            ("access_control", "operators = \"operators\"".to_owned()),
            ("last", notify),
        ]),
        ..Setup::default()
    })
    .await
}

fn signed_in(gateway: &Gateway, who: &str) -> Person {
    let person = Person::new();
    let server = format!("http://{}", gateway.control());
    let name = upn(who);
    let arguments = ["login", "--server", &server, "--password", "--user", &name];
    person.types_with(&arguments, &format!("{who}\n")).done();
    person
}

fn dead(gateway: &Gateway) -> Vec<Value> {
    let (_, text) = gateway.portcullis(&["notify", "ls", "--state", "dead", "-o", "json"]);
    serde_json::from_str(&text).unwrap()
}

fn asks(person: &Person, task: &str) {
    let arguments = ["request", "create", "--task", task, "--reason", "sales"];
    person.types(&arguments).done();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_sent_again_what_was_given_up() {
    let hook = Hook::start(Hooking::Status(503, ""));
    let mut gateway = gateway(&hook).await;
    let (ana, ivy) = (signed_in(&gateway, "ana"), signed_in(&gateway, "ivy"));
    asks(&ana, r"Exchange\New-MoveRequest");
    asks(&ana, r"Exchange\Remove-Mailbox");
    let given_up = gateway.eventually("both are given up", |it| {
        Some(dead(it)).filter(|it| it.len() == 2)
    });
    let (_, table) = gateway.portcullis(&["notify", "ls"]);
    assert!(table.contains("portcullis notify retry ID"), "{table}");

    let id = given_up[0]["id"].as_str().unwrap().to_owned();
    let refused = ana.types(&["notify", "retry", &id]);
    assert_eq!(refused.code, 1);
    assert!(refused.messages.contains("operators"), "{refused:?}");
    let nothing = ivy.types(&["notify", "retry", "ffffffff"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing
            .messages
            .contains("no message that you may know of begins with `ffffffff`")
            && nothing.messages.contains("portcullis notify ls"),
        "{nothing:?}"
    );
    assert_eq!(ivy.types(&["notify", "retry"]).code, 2, "which?");
    assert_eq!(ivy.types(&["notify", "retry", &id, "--all-dead"]).code, 2);

    hook.behave(Hooking::Status(204, ""));
    let one = ivy
        .types(&["notify", "retry", &id, "-m", "the receiver is back"])
        .done();
    assert!(
        one.results.contains("request-filed is sent again by soc"),
        "{one:?}"
    );
    gateway.eventually("it has arrived", |it| {
        Some(dead(it)).filter(|it| it.len() == 1)
    });
    let again = ivy.types(&["notify", "retry", &id]);
    assert!(
        again.messages.contains("was sent, and none is sent twice")
            || again.messages.contains("waits to be sent already"),
        "{again:?}"
    );
    let all = ivy
        .types(&["notify", "retry", "--all-dead", "-o", "json"])
        .done();
    assert_eq!(all.json()["retried"], 1);
    gateway.eventually("all is sent", |it| {
        let (_, text) = it.portcullis(&["notify", "ls", "--state", "sent", "-o", "json"]);
        let sent: Vec<Value> = serde_json::from_str(&text).unwrap();
        (sent.len() == 2 && sent.iter().all(|it| it["retried"].is_string())).then_some(())
    });
    let none = ivy.types(&["notify", "retry", "--all-dead"]).done();
    assert!(
        none.messages.contains("no message was given up"),
        "{none:?}"
    );

    assert!(gateway.terminate().success());
    let records = gateway.records();
    let retried: Vec<&Value> = records
        .iter()
        .filter(|it| it["kind"] == "notification.retried")
        .collect();
    assert_eq!(retried.len(), 2);
    assert_eq!(retried[0]["principal"]["name"], "ivy@contoso.example");
    assert_eq!(retried[0]["details"]["comment"], "the receiver is back");
    assert_eq!(retried[0]["details"]["delivery"], id.as_str());
    assert_eq!(retried[0]["details"]["via"], "api");
}
