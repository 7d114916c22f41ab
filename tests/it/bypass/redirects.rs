//! An upstream that leads elsewhere: the gateway follows to listed hosts alone, and clients are led to the gateway alone.

use std::fs;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};

use super::catalogue::READ;
use crate::client::{Answer, Http, invoke_path, request};
use crate::gateway::{Gateway, SERVICE_TOKEN};
use crate::scripted::{self, Deed, Piece, Pieces, Scripted, Speaks};

/// Tells the scripted upstream what to answer: a header that goes on.
const SCRIPT: &str = "x-clientapplication";

fn said(asked: &Request<Bytes>) -> &str {
    asked.headers()[SCRIPT].to_str().unwrap()
}

/// Answers `302 https://elsewhere/…` with that `Location`, and `link https://elsewhere/…` with that link to a next page.
fn led(asked: &Request<Bytes>) -> Deed {
    let (kind, target) = said(asked).split_once(' ').unwrap();
    let answer = Response::builder().header(CONTENT_TYPE, "application/json; charset=utf-8");
    let answer = if let Ok(status) = kind.parse::<u16>() {
        let answer = answer.status(status).header(LOCATION, target);
        answer.body(Pieces::default())
    } else {
        let body = format!(r#"{{"value":[],"@odata.nextLink":"{target}"}}"#);
        answer.body(Pieces::new([Piece::Data(body.into())]))
    };
    Deed::Answer(answer.unwrap())
}

fn read(_asked: &Request<Bytes>) -> Deed {
    Deed::Answer(scripted::json("{\"value\":[]}"))
}

async fn ask(gateway: &Gateway, script: &str) -> Answer {
    let mut request = request("ana", Method::POST, &invoke_path(), READ);
    request
        .headers_mut()
        .insert(SCRIPT, script.parse().unwrap());
    gateway.send(Http::One, request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_leads_nobody_around_the_gateway() {
    let mut gateway = Gateway::start().await;
    let certificates = gateway.path("certs");
    let main = Scripted::start_with(&certificates, Speaks::TlsHttp1, led).await;
    let listed = Scripted::start_with(&certificates, Speaks::TlsHttp1, read).await;
    let stranger = Scripted::start_with(&certificates, Speaks::TlsHttp1, read).await;
    let configuration = fs::read_to_string(gateway.configuration_file()).unwrap();
    let configuration = configuration.replace(
        &format!("upstream = \"{}\"", gateway.sample.origin()),
        &format!(
            "upstream = \"https://{}\"\nregional_hosts = [\"{}\"]",
            main.authority(),
            listed.authority()
        ),
    );
    assert!(configuration.contains(&listed.authority()));
    fs::write(gateway.configuration_file(), configuration).unwrap();
    gateway.terminate();
    gateway.restart();
    let (inside, outside) = (listed.authority(), stranger.authority());
    let own = format!("https://localhost:{}/", gateway.proxy().port());

    for status in [301, 302, 303, 307, 308] {
        for (trick, location) in [
            ("unlisted", format!("https://{outside}{}", invoke_path())),
            (
                "unlisted, without TLS",
                format!("http://{outside}{}", invoke_path()),
            ),
            (
                "listed as user information",
                format!("https://{inside}@{outside}{}", invoke_path()),
            ),
            ("listed in the path", format!("https://{outside}/{inside}")),
            (
                "listed behind a backslash",
                format!("https://{outside}\\@{inside}/"),
            ),
            (
                "another port of a listed host",
                "https://localhost/".to_owned(),
            ),
            ("another scheme", "javascript:alert(1)".to_owned()),
            (
                "a name that begins as a listed one",
                format!("https://{}.evil.example/", inside.replace(':', ".")),
            ),
        ] {
            let answer = ask(&gateway, &format!("{status} {location}")).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_GATEWAY,
                "{trick}: {}",
                answer.text()
            );
            assert!(!answer.headers.contains_key(LOCATION), "{trick}");
        }
    }
    for (trick, location, kept) in [
        (
            "control: another path",
            format!("https://{}/adminapi/x", main.authority()),
            true,
        ),
        ("control: a path alone", "/adminapi/x".to_owned(), true),
        (
            "unlisted, relative to the scheme",
            format!("//{outside}/adminapi/x"),
            true,
        ),
        (
            "a name behind the gateway's",
            format!("@{outside}/adminapi/x"),
            false,
        ),
        (
            "more of the gateway's name",
            ".evil.example/adminapi/x".to_owned(),
            false,
        ),
        (
            "another port of the gateway's name",
            "0/adminapi/x".to_owned(),
            false,
        ),
    ] {
        let answer = ask(&gateway, &format!("302 {location}")).await;
        assert_eq!(
            answer.status,
            StatusCode::FOUND,
            "{trick}: {}",
            answer.text()
        );
        let to = answer.headers.get(LOCATION).map(|it| it.to_str().unwrap());
        assert_eq!(to.is_some(), kept, "{trick}: {to:?}");
        assert!(to.is_none_or(|it| it.starts_with(&own)), "{trick}: {to:?}");
    }
    for (trick, link) in [
        (
            "control: the upstream's own",
            format!(
                "https://{}/adminapi/beta/t/InvokeCommand?$skiptoken=x",
                main.authority()
            ),
        ),
        (
            "listed",
            format!("https://{inside}/adminapi/beta/t/InvokeCommand?$skiptoken=x"),
        ),
        (
            "unlisted",
            format!("https://{outside}/adminapi/beta/t/InvokeCommand?$skiptoken=x"),
        ),
        (
            "unlisted, upper case",
            format!("HTTPS://{}/adminapi/x", outside.to_uppercase()),
        ),
        (
            "unlisted, slashes in escapes",
            format!(r"https:\/\/{outside}\/adminapi\/x"),
        ),
        (
            "unlisted, letters in escapes",
            format!(r"\u0068ttps://{outside}/adminapi/x"),
        ),
        (
            "user information",
            format!("https://localhost@{outside}/adminapi/x"),
        ),
    ] {
        let answer = ask(&gateway, &format!("link {link}")).await;
        let to = answer.json()["@odata.nextLink"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(to.starts_with(&own), "{trick}: {to}");
        let names_host = to.contains("portcullis-host");
        assert_eq!(names_host, trick == "listed", "{trick}: {to}");
    }

    assert!(listed.requests().is_empty());
    let elsewhere = format!("302 https://{inside}/adminapi/beta/other/ResolveTenant");
    let followed = ask(&gateway, &elsewhere).await;
    assert_eq!(followed.status, StatusCode::OK, "{}", followed.text());
    let asked = listed.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].uri().path(),
        invoke_path(),
        "what was decided is what is sent, wherever it goes"
    );
    assert_eq!(asked[0].body(), READ);
    assert_eq!(
        asked[0].headers()["authorization"],
        format!("Bearer {SERVICE_TOKEN}")
    );
    assert_eq!(asked[0].headers()["host"], inside.as_str());
    assert!(
        stranger.requests().is_empty(),
        "a host that is not listed was asked"
    );
}
