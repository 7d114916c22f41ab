//! What may change while the gateway runs does so by itself or by SIGHUP, whole or not at all.

use std::fs;

use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;

use crate::client::{Http, command, invoke_path, request, try_connect};
use crate::connection::Connection;
use crate::gateway::{Gateway, POLICIES, SERVICE_TOKEN, Setup, upn};

/// The usual policies, and one that governs reads.
fn with_reads_governed() -> String {
    format!(
        "{POLICIES}\n[[policy]]\ntask = 'Exchange\\Get-Mailbox'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]\n"
    )
}

async fn read(gateway: &Gateway) -> StatusCode {
    gateway.invoke("ana", "Get-Mailbox", json!({})).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_policy_file_is_in_force_by_itself_and_a_broken_one_never_is() {
    let gateway = Gateway::start().await;
    assert_eq!(read(&gateway).await, StatusCode::OK);

    gateway.write_policies(&with_reads_governed());
    gateway.wait_for_log("Policies are in force");
    assert_eq!(read(&gateway).await, StatusCode::FORBIDDEN);

    let broken =
        format!("{POLICIES}\n[[policy]]\ntask = 'Exchange\\Get-Mailbox'\napproval = \"perhaps\"\n");
    let line = broken
        .lines()
        .position(|it| it.contains("perhaps"))
        .unwrap()
        + 1;
    gateway.write_policies(&broken);
    let log = gateway.wait_for_log("Policy file is broken");
    let place = format!("exchange.toml:{line}");
    assert!(log.contains(&place), "{log}");
    assert_eq!(
        read(&gateway).await,
        StatusCode::FORBIDDEN,
        "the old policies stay in force"
    );
    let rejected = gateway.eventually("the rejection is on record", |it| {
        it.records()
            .into_iter()
            .find(|it| it["kind"] == "policies.rejected")
    });
    assert!(
        rejected["details"]["problems"][0]
            .as_str()
            .unwrap()
            .contains(&place),
        "{rejected}"
    );
    assert!(gateway.metric("portcullis_policy_reloads_total{result=\"rejected\"}") > 0.5);

    gateway.write_policies(POLICIES);
    gateway.wait_for_log("Policies are in force");
    assert_eq!(read(&gateway).await, StatusCode::OK);
    let loaded: Vec<_> = gateway
        .records()
        .into_iter()
        .filter(|it| it["kind"] == "policies.loaded")
        .collect();
    assert_eq!(loaded.len(), 3, "at the start, and for each change");
    assert_eq!(
        loaded[0]["details"]["policy_set"],
        loaded[2]["details"]["policy_set"]
    );
    assert_ne!(
        loaded[0]["details"]["policy_set"],
        loaded[1]["details"]["policy_set"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_policies_and_users_where_nothing_is_watched() {
    let gateway = Gateway::with(Setup {
        environment: vec![("PORTCULLIS__POLICIES__WATCH".to_owned(), "false".to_owned())],
        ..Setup::default()
    })
    .await;
    let as_zoe = || {
        let body = command("Get-Mailbox", json!({})).to_string();
        request("zoe", Method::POST, &invoke_path(), body)
    };
    assert_eq!(
        gateway.send(Http::One, as_zoe()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(read(&gateway).await, StatusCode::OK);

    // Zoe comes; Ana, whose sign-in is cached by now, gets another password.
    let users = fs::read_to_string(gateway.path("users.toml")).unwrap();
    let hash = |password: &str| {
        portcullis::identity::hash_password(&SecretString::from(password)).unwrap()
    };
    let (before, rest) = users.split_once(&upn("ana")).unwrap();
    let (_, rest) = rest.split_once("[[user]]").unwrap();
    let users = format!(
        "{before}{}\"\npassword_hash = \"{}\"\n\n[[user]]\nname = \"{}\"\npassword_hash = \"{}\"\n\n[[user]]{rest}",
        upn("ana"),
        hash("another"),
        upn("zoe"),
        hash("zoe"),
    );
    fs::write(gateway.path("users.toml"), users).unwrap();
    gateway.write_policies(&with_reads_governed());
    gateway.signal("HUP");
    gateway.wait_for_log("Reload is done");
    assert_eq!(
        gateway.send(Http::One, as_zoe()).await.status,
        StatusCode::FORBIDDEN,
        "known, and governed"
    );
    assert_eq!(
        read(&gateway).await,
        StatusCode::UNAUTHORIZED,
        "the old password"
    );

    // A broken file leaves those in force that were.
    fs::write(gateway.path("users.toml"), "[[user]]\nname = 1\n").unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("Identity could not be read again");
    assert_eq!(
        gateway.send(Http::One, as_zoe()).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_is_asked_for_during_the_start_is_done_after_it() {
    let mut gateway = Gateway::start().await;
    gateway.terminate();
    gateway.restart_with_signal("HUP", "Policies are in force");
    gateway.wait_for_log("Reload is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_is_asked_for_during_the_start_is_no_failure() {
    let mut gateway = Gateway::start().await;
    gateway.terminate();
    let status = gateway.stop_while_starting("Policies are in force");
    assert_eq!(status.code(), Some(0));
    gateway.restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_serves_new_connections_and_a_broken_one_none() {
    let gateway = Gateway::start().await;
    let old_ca = gateway.path("old-ca.pem");
    fs::copy(gateway.path("certs/ca.pem"), &old_ca).unwrap();
    let get = || {
        request(
            "ana",
            Method::POST,
            &invoke_path(),
            command("Get-Mailbox", json!({})).to_string(),
        )
    };
    let mut open = Connection::open(gateway.proxy(), &old_ca, Http::Two)
        .await
        .unwrap();
    assert_eq!(open.send(get()).await.unwrap().status, StatusCode::OK);

    let fresh = gateway.path("fresh");
    portcullis::tls::write_development_certificates(&fresh, &[]).unwrap();
    for name in ["server.pem", "server-key.pem"] {
        fs::rename(fresh.join(name), gateway.path("certs").join(name)).unwrap();
    }
    gateway.wait_for_log("Certificate is in force");
    let new_ca = fresh.join("ca.pem");
    let mut renewed = Connection::open(gateway.proxy(), &new_ca, Http::One)
        .await
        .unwrap();
    assert_eq!(renewed.send(get()).await.unwrap().status, StatusCode::OK);
    assert!(
        try_connect(gateway.proxy(), &old_ca, Http::One)
            .await
            .is_err()
    );
    assert_eq!(
        open.send(get()).await.unwrap().status,
        StatusCode::OK,
        "it lives on"
    );

    fs::write(gateway.path("certs/server.pem"), "no certificate").unwrap();
    gateway.wait_for_log("Certificate is broken");
    try_connect(gateway.proxy(), &new_ca, Http::One)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_file_is_what_goes_upstream() {
    let gateway = Gateway::start().await;
    let secret = gateway.path("upstream-token");
    let sent = || {
        let arrived = gateway.sample.arrived();
        arrived.last().unwrap().headers["authorization"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(read(&gateway).await, StatusCode::OK);
    assert_eq!(sent(), format!("Bearer {SERVICE_TOKEN}"));
    fs::write(gateway.path("fresh"), "rotated").unwrap();
    fs::rename(gateway.path("fresh"), &secret).unwrap();
    gateway.wait_for_log("Upstream credential was read again");
    assert_ne!(read(&gateway).await, StatusCode::OK);
    assert_eq!(sent(), "Bearer rotated");
    fs::remove_file(&secret).unwrap();
    gateway.wait_for_log("Upstream credential is broken");
    fs::write(&secret, SERVICE_TOKEN).unwrap();
    gateway.wait_for_log("Upstream credential was read again");
    assert_eq!(read(&gateway).await, StatusCode::OK);
}
