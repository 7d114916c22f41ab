//! The forms in which the sample endpoint takes commands, and the protocols that it speaks.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

use super::{CREDENTIAL, Sample, envelope};
use crate::demo::exchange::SampleExchange;

#[tokio::test]
async fn batch_items_are_requests_of_their_own() {
    let sample = Sample::start();
    let item = |id: &str, url: &str, cmdlet: &str, authorization: &str| {
        json!({"id": id, "method": "post", "url": url, "headers": {"Authorization": authorization},
            "body": envelope(cmdlet, &json!({"Identity": "ben"}))})
    };
    let absolute = "https://outlook.office365.com/adminapi/beta/t/InvokeCommand";
    let body = json!({"requests": [
        item("0", absolute, "Get-Mailbox", CREDENTIAL),
        item("1", "InvokeCommand", "Get-Secret", CREDENTIAL),
        item("2", "InvokeCommand", "Get-Mailbox", "Bearer other"),
        item("3", "$batch", "Get-Mailbox", CREDENTIAL),
    ]});
    let answer = sample
        .send("POST", "/adminapi/beta/t/$batch", &[], &body.to_string())
        .await
        .json();
    let statuses: Vec<_> = answer["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["id"], &it["status"]))
        .collect();
    assert_eq!(
        json!(statuses),
        json!([["0", 200], ["1", 403], ["2", 401], ["3", 405]])
    );
    assert_eq!(answer["responses"][0]["body"]["value"][0]["Alias"], "ben");
}

#[tokio::test]
async fn further_forms_reach_the_same_cmdlets() {
    let sample = Sample::start();
    let get = async |target: &str| sample.send("GET", target, &[], "").await;
    let banner = get("/AdminApi/v1.0/t/EXOBanner('AutogenSession')?Version=3.9.0")
        .await
        .json();
    assert_eq!(banner["sessionType"], "AutogenSession");
    let module = get("/AdminApi/v1.0/t/EXOModuleFile?Version=3.9.0")
        .await
        .json();
    assert!(
        module["value"][0]["exportedCmdlets"]
            .as_str()
            .unwrap()
            .contains("New-MoveRequest,")
    );
    assert_eq!(
        get("/AdminApi/beta/t/basicinfo('AdminApiState')")
            .await
            .json()["Value"],
        "Active"
    );
    assert!(
        get("/AdminApi/beta/t/$metadata")
            .await
            .body
            .starts_with(b"<?xml")
    );
    assert_eq!(
        get("/adminapi/beta/t/Mailbox('ben')").await.names(),
        ["ben"]
    );
    assert_eq!(
        get("/adminapi/beta/t/mailbox('YmVu')/?isEncoded=True")
            .await
            .names(),
        ["ben"]
    );
    let placeholder = [("XParameter-Identity", "ben")];
    let answer = sample
        .send("GET", "/adminapi/beta/t/Mailbox('x')", &placeholder, "")
        .await;
    assert_eq!(answer.names(), ["ben"]);
    assert_eq!(
        get("/adminapi/beta/t/Mailbox('info')/MailboxPermission")
            .await
            .names(),
        ["info", "info"]
    );
    assert_eq!(
        get("/adminapi/beta/t/Recipient?$select=Alias,Identity")
            .await
            .json()["value"][0],
        json!({"Identity": "ana", "Alias": "ana"})
    );
    assert_eq!(
        get("/adminapi/beta/t/RoleAssignments").await.status,
        StatusCode::NOT_FOUND
    );

    let body = envelope("Get-Mailbox", &json!({"Identity": "ben"})).to_string();
    let post = async |target: &str| sample.send("POST", target, &[], &body).await.status;
    assert_eq!(post("/adminapi/v2.0/t/Mailbox").await, StatusCode::OK);
    assert_eq!(
        post("/adminapi/v2.0/t/OrganizationConfig").await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        post("//AdminAPI/v0.5/t/%49nvokecommand()").await,
        StatusCode::OK
    );
    assert_eq!(
        post("/adminapi/v3.0/t/InvokeCommand").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        post("/adminapi/beta/t/Mailbox").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn it_speaks_http2_over_tls_and_stops_while_a_client_is_connected() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listen = "127.0.0.1:0".parse().unwrap();
    let running = SampleExchange::start(listen, Some(Arc::new(server)), CREDENTIAL.into()).unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(client)
        .https_only()
        .enable_all_versions()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let target = format!(
        "https://localhost:{}/adminapi/beta/t/Mailbox",
        running.address().port()
    );
    let request = Request::get(target).header(header::AUTHORIZATION, CREDENTIAL);
    let answer = client
        .request(request.body(Full::default()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (answer.version(), answer.status()),
        (Version::HTTP_2, StatusCode::OK)
    );
    assert!(answer.into_body().collect().await.is_ok());
    running.shutdown().await;
}
