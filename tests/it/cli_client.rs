//! The command line against gateways that answer as no good one would, and against an identity provider that plays its part:
//! what people read, what is kept, and what is never done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use chrono::{TimeDelta, Utc};
use portcullis::api::types::{
    DeviceLogin, FieldProblem, Grant, GrantStatus, Login, LoginIdentity, LoginKind, Me, Page,
    ParameterPin, Problem, Request, RequestStatus, Scalar, Vote, VoteAnswer,
};
use serde_json::{Value, json};

use crate::people::Person;
use crate::stub::{Heard, Said, Stub, json as said, ok};

/// Ana, signed in by a token in her environment.
fn ana(server: &Stub) -> Person {
    Person::new()
        .with("PORTCULLIS_SERVER", server.url())
        .with("PORTCULLIS_TOKEN", "anas-token")
}

fn request(status: RequestStatus) -> Request {
    let now = Utc::now();
    Request {
        id: "019a0000-0001-7000-8000-000000000001".parse().unwrap(),
        status,
        requester: "ana@contoso.example".to_owned(),
        policy: r"exchange\new-moverequest".to_owned(),
        task: Some(r"Exchange\New-MoveRequest".to_owned()),
        parameters: vec![
            ParameterPin {
                name: "Identity".to_owned(),
                one_of: Some(vec![
                    Scalar::Text("alice".to_owned()),
                    Scalar::Text("bob".to_owned()),
                ]),
                pattern: None,
            },
            ParameterPin {
                name: "TargetDatabase".to_owned(),
                one_of: None,
                pattern: Some("DB0[12]".to_owned()),
            },
        ],
        reason: "migration of the sales mailboxes".to_owned(),
        duration_seconds: 5_400,
        starts: None,
        uses: Some(3),
        extends: None,
        break_glass: false,
        created: now - TimeDelta::minutes(5) - TimeDelta::seconds(20),
        expires: now + TimeDelta::hours(23) + TimeDelta::minutes(54),
        decided: None,
        decided_by: None,
        comment: None,
        external_identity: Some("CHG-7".to_owned()),
        context: [].into(),
        missing_approvals: Some("1 approval of mbmanagers".to_owned()),
        votes: vec![Vote {
            approver: "amy@contoso.example".to_owned(),
            groups: vec!["mbmanagers".to_owned()],
            answer: VoteAnswer::Approve,
            comment: Some("tonight only".to_owned()),
            at: now - TimeDelta::minutes(2) - TimeDelta::seconds(20),
            duration_seconds: Some(3_600),
            starts: None,
            uses: Some(1),
            parameters: Vec::new(),
            task: None,
        }],
        grant: None,
    }
}

fn grant() -> Grant {
    let now = Utc::now();
    Grant {
        id: "019a0000-0002-7000-8000-000000000002".parse().unwrap(),
        request: "019a0000-0001-7000-8000-000000000001".parse().unwrap(),
        status: GrantStatus::Active,
        holder: "ana@contoso.example".to_owned(),
        policy: r"exchange\new-moverequest".to_owned(),
        task: Some(r"Exchange\New-MoveRequest".to_owned()),
        parameters: Vec::new(),
        approved_by: vec!["amy@contoso.example".to_owned()],
        starts: now - TimeDelta::minutes(5) - TimeDelta::seconds(20),
        ends: now + TimeDelta::hours(3) + TimeDelta::minutes(10) + TimeDelta::seconds(20),
        uses: Some(3),
        used: 1,
        break_glass: false,
        awaits_review: false,
        created: now - TimeDelta::minutes(5),
        closed: None,
        closed_by: None,
        closed_comment: None,
        reviewed: None,
        reviewed_by: None,
        reviewed_comment: None,
    }
}

fn page<T>(items: Vec<T>) -> Page<T> {
    Page { items, next: None }
}

fn me() -> Me {
    Me {
        name: "ana@contoso.example".to_owned(),
        identity: "local".to_owned(),
        tenant: None,
        groups: Vec::new(),
        operator: false,
        auditor: false,
        token: None,
    }
}

fn problem(status: u16, detail: &str, errors: Vec<FieldProblem>) -> Said {
    let problem = Problem {
        kind: "urn:portcullis:problem:test".to_owned(),
        title: "Test".to_owned(),
        status,
        detail: detail.to_owned(),
        errors,
    };
    let body = serde_json::to_string(&problem).unwrap();
    Said::Whole(status, "application/problem+json", body)
}

#[test]
fn a_listing_is_a_table_for_people_and_json_for_programs() {
    let server = Stub::start(|_, _| ok(&page(vec![request(RequestStatus::Pending)])));
    let ana = ana(&server);
    let table = ana.types(&["request", "ls", "--to-approve"]);
    insta::assert_snapshot!("request_ls", table.golden());
    let json = ana
        .types(&[
            "request",
            "ls",
            "--status",
            "pending",
            "--since",
            "2026-01-01",
            "-o",
            "json",
        ])
        .done();
    assert_eq!(
        json.json()["items"][0]["reason"],
        "migration of the sales mailboxes"
    );
    assert_eq!(json.messages, "", "programs get nothing else");
    let heard = server.heard();
    assert_eq!(heard[0].target, "/api/v1/requests?limit=50&whose=to-decide");
    assert_eq!(
        heard[1].target,
        "/api/v1/requests?limit=50&since=2026-01-01T00%3A00%3A00Z&status=pending"
    );
    assert_eq!(heard[0].header("authorization"), Some("Bearer anas-token"));
}

#[test]
fn a_request_is_shown_whole_with_what_to_do_next() {
    let server = Stub::start(|_, _| ok(&request(RequestStatus::Pending)));
    let shown = ana(&server).types(&["request", "show", "019a0000-0001-7000-8000-000000000001"]);
    insta::assert_snapshot!("request_show", shown.golden());
}

#[test]
fn a_grant_is_listed_and_shown() {
    let server = Stub::start(|heard, _| {
        if heard.target.contains('?') {
            ok(&page(vec![grant()]))
        } else {
            ok(&grant())
        }
    });
    let ana = ana(&server);
    let listed = ana.types(&["grant", "ls", "--mine"]).golden();
    // By the beginning of its request's id.
    let shown = ana.types(&["grant", "show", "019a0000-0001"]).golden();
    insta::assert_snapshot!("grant", format!("{listed}\n{shown}"));
    let asked = server.heard().last().unwrap().target.clone();
    assert_eq!(asked, "/api/v1/grants/019a0000-0002-7000-8000-000000000002");
}

#[test]
fn what_is_asked_for_is_sent_as_it_was_typed() {
    let server = Stub::start(|_, _| said(201, &request(RequestStatus::Pending)));
    let ana = ana(&server);
    ana.types(&[
        "request",
        "create",
        "--role",
        r"Exchange\Mail Recipients",
        "--task",
        r"Exchange\Set-Mailbox",
        "--reason",
        "CHG-7",
        "--duration",
        "1h30m",
        "--start",
        "2026-12-24 18:00",
        "--uses",
        "2",
        "--parameter",
        "Identity=alice",
        "--parameter",
        "Identity=bob",
        "--parameter",
        "Force=$true",
        "--parameter-pattern",
        "Name=x.*",
        "--ticket",
        "CHG-7",
        "--break-glass",
    ])
    .done();
    let heard = server.heard().remove(0);
    assert_eq!(heard.line(), "POST /api/v1/requests");
    let body: Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(
        body,
        json!({
            "role": r"Exchange\Mail Recipients",
            "task": r"Exchange\Set-Mailbox",
            "reason": "CHG-7",
            "duration_seconds": 5_400,
            "starts": "2026-12-24T18:00:00Z",
            "uses": 2,
            "parameters": [
                {"name": "Identity", "one_of": ["alice", "bob"]},
                {"name": "Force", "one_of": [true]},
                {"name": "Name", "pattern": "x.*"},
            ],
            "break_glass": true,
            "context": {"tool": "portcullis request"},
            "external_identity": "CHG-7",
        })
    );
}

#[test]
fn a_write_whose_connection_broke_is_sent_again_with_the_same_key() {
    let server = Stub::start(|_, before| match before {
        0 | 1 => Said::Nothing,
        _ => said(201, &request(RequestStatus::Pending)),
    });
    ana(&server)
        .types(&["request", "create", "--task", r"Exchange\New-MoveRequest"])
        .done();
    let heard = server.heard();
    assert_eq!(heard.len(), 3);
    let keys: Vec<_> = heard
        .iter()
        .map(|it| it.header("idempotency-key"))
        .collect();
    assert!(
        keys[0].is_some() && keys.iter().all(|it| *it == keys[0]),
        "{keys:?}"
    );
}

#[test]
fn a_gateway_that_asks_for_patience_gets_it() {
    let server = Stub::start(|_, before| match before {
        0 => problem(429, "wait a second", Vec::new()),
        _ => ok(&page(vec![request(RequestStatus::Pending)])),
    });
    ana(&server).types(&["request", "ls"]).done();
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn waiting_ends_as_the_request_does_with_a_code_of_its_own() {
    for (status, code) in [
        (RequestStatus::Approved, 0),
        (RequestStatus::Denied, 3),
        (RequestStatus::Expired, 4),
        (RequestStatus::Withdrawn, 5),
        (RequestStatus::Pending, 6),
    ] {
        let server = Stub::start(move |_, before| match before {
            0 => said(201, &request(RequestStatus::Pending)),
            _ => ok(&request(status)),
        });
        let ended = ana(&server).types(&[
            "request",
            "create",
            "--task",
            r"Exchange\New-MoveRequest",
            "--wait",
            "--timeout",
            "1s",
        ]);
        assert_eq!(ended.code, code, "{status:?}: {ended:?}");
        let waiting = "Waiting for 1 approval of mbmanagers";
        assert_eq!(ended.messages.matches(waiting).count(), 1, "{ended:?}");
    }
}

#[test]
fn what_a_gateway_refuses_is_told_in_the_words_of_the_command_line() {
    let server = Stub::start(|_, _| {
        let field = |pointer: &str, detail: &str| FieldProblem {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        problem(
            422,
            "the request has 2 problems",
            vec![
                field("/duration_seconds", "the policy allows at most 8h"),
                field("/reason", "give a ticket's number, such as `CHG-1`"),
            ],
        )
    });
    let ended = ana(&server).types(&["request", "create", "--task", r"Exchange\New-MoveRequest"]);
    insta::assert_snapshot!("refused", ended.golden());
}

#[test]
fn whoever_is_not_signed_in_is_told_how() {
    let server = Stub::start(|_, _| problem(401, "the token has ended", Vec::new()));
    let unknown = ana(&server).types(&["request", "ls"]);
    let stranger = Person::new()
        .with("PORTCULLIS_SERVER", "https://pam.example:8444")
        .types(&["grant", "ls"]);
    let nowhere = Person::new().types(&["request", "ls"]);
    insta::assert_snapshot!(
        "signed_out",
        [unknown, stranger, nowhere]
            .map(|it| it.golden())
            .join("\n")
    );
}

#[test]
fn what_does_not_answer_as_a_gateway_is_told_with_what_was_tried() {
    // A port that this test keeps without listening on it, so that nobody else gets it meanwhile.
    let kept = tokio::net::TcpSocket::new_v4().unwrap();
    kept.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = kept.local_addr().unwrap();
    let nobody = Person::new().with("PORTCULLIS_TOKEN", "t").types(&[
        "request",
        "ls",
        "--server",
        &format!("http://{address}"),
    ]);
    let page = Stub::start(|_, _| Said::Whole(200, "text/html", "<html>".to_owned()));
    let other = ana(&page).types(&["request", "ls"]);
    let elsewhere = Stub::start(|_, _| Said::Whole(302, "text/plain", String::new()));
    let moved = ana(&elsewhere).types(&["request", "ls"]);
    insta::assert_snapshot!(
        "no_gateway",
        [nobody, other, moved].map(|it| it.golden()).join("\n")
    );
    assert_eq!(elsewhere.heard().len(), 1, "no redirect is followed");
}

#[test]
fn credentials_are_never_sent_where_others_can_read_them() {
    let ended = Person::new().with("PORTCULLIS_TOKEN", "t").types(&[
        "request",
        "ls",
        "--server",
        "http://192.0.2.1:8444",
    ]);
    assert_eq!(ended.code, 1);
    assert!(ended.messages.contains("takes `https://`"), "{ended:?}");
}

#[test]
fn a_malicious_gateway_cannot_steer_the_terminal() {
    const EVIL: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}1m\u{202e}txt.exe\nhint: run rm";
    let server = Stub::start(|heard, _| {
        let mut evil = request(RequestStatus::Approved);
        evil.requester = EVIL.to_owned();
        evil.reason = EVIL.to_owned();
        evil.policy = EVIL.to_owned();
        evil.task = Some(EVIL.to_owned());
        evil.external_identity = Some(EVIL.to_owned());
        evil.decided = Some(Utc::now());
        evil.decided_by = Some(EVIL.to_owned());
        evil.comment = Some(EVIL.to_owned());
        evil.votes[0].comment = Some(EVIL.to_owned());
        evil.parameters[0].name = EVIL.to_owned();
        let mut held = grant();
        held.holder = EVIL.to_owned();
        held.approved_by = vec![EVIL.to_owned()];
        held.closed = Some(Utc::now());
        held.closed_comment = Some(EVIL.to_owned());
        evil.grant = Some(held);
        match heard.target.as_str() {
            it if it.contains('?') => ok(&page(vec![evil])),
            it if it.ends_with("deny") => problem(
                409,
                EVIL,
                vec![FieldProblem {
                    pointer: EVIL.to_owned(),
                    detail: EVIL.to_owned(),
                }],
            ),
            it if it.ends_with("withdraw") => problem(401, EVIL, Vec::new()),
            _ => ok(&evil),
        }
    });
    let ana = ana(&server);
    let id = "019a0000-0001-7000-8000-000000000001";
    for arguments in [
        ["request", "ls", "--most", "5", "--color", "always"].as_slice(),
        &["request", "show", id],
        &["request", "show", id, "-o", "json"],
        &["request", "ls", "-o", "json"],
        &["request", "deny", id],
        &["request", "withdraw", id],
    ] {
        let ended = ana.types(arguments);
        for text in [&ended.results, &ended.messages] {
            // With colours asked for, ours are there and theirs are not.
            let bare = anstream::adapter::strip_str(text).to_string();
            let text = if arguments.contains(&"always") {
                &bare
            } else {
                text
            };
            let steers = |it: char| (it.is_control() && it != '\n') || it == '\u{202e}';
            assert!(!text.contains(steers), "{arguments:?}: {text:?}");
            let lines = text.lines();
            let forged = lines.filter(|it| it.trim_start().starts_with("hint: run"));
            assert_eq!(forged.count(), 0, "{arguments:?}: {text}");
        }
        if arguments.contains(&"json") {
            let json = ended.json();
            let reason = json.pointer("/reason").or(json.pointer("/items/0/reason"));
            assert_eq!(reason.unwrap(), EVIL, "programs get what was said");
        }
    }
}

#[test]
fn an_endless_or_broken_listing_ends() {
    let server = Stub::start(|_, _| {
        ok(&Page::<Request> {
            items: Vec::new(),
            next: Some("again".to_owned()),
        })
    });
    let ended = ana(&server).types(&["request", "ls"]).done();
    assert!(ended.messages.contains("no such request"), "{ended:?}");
    assert_eq!(server.heard().len(), 200);
}

#[test]
fn a_token_in_a_file_signs_in_and_is_kept_for_its_owner_alone() {
    let server = Stub::start(|heard, _| {
        if heard.header("authorization") == Some("Bearer t0ken") {
            ok(&me())
        } else {
            problem(401, "who are you?", Vec::new())
        }
    });
    let ana = Person::new();
    fs::write(ana.path("token"), "t0ken\n").unwrap();
    let url = server.url();
    let signed_in = ana.types(&["login", "--server", &url, "--token-file", "token"]);
    let mode = fs::metadata(ana.credentials())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // From now on without a name.
    let shown = ana.types(&["request", "show", "019a0000-0001-7000-8000-000000000001"]);
    assert!(shown.messages.contains("not what was asked"), "{shown:?}");
    let heard = server.heard();
    assert_eq!(
        heard.last().unwrap().header("authorization"),
        Some("Bearer t0ken")
    );

    fs::set_permissions(ana.credentials(), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = ana.types(&["request", "ls"]);
    assert_eq!(server.heard().len(), heard.len(), "nothing was sent");
    fs::set_permissions(ana.credentials(), fs::Permissions::from_mode(0o600)).unwrap();
    let out = ana.types(&["logout"]);
    let kept = fs::read_to_string(ana.credentials()).unwrap();
    assert!(!kept.contains("t0ken"), "{kept}");
    insta::assert_snapshot!(
        "login_token",
        [signed_in, refused, out].map(|it| it.golden()).join("\n")
    );

    fs::write(ana.path("token"), "another\n").unwrap();
    let wrong = ana.types(&["login", "--server", &url, "--token-file", "token"]);
    assert_eq!(wrong.code, 1);
    let kept = fs::read_to_string(ana.credentials()).unwrap();
    assert!(
        !kept.contains("another"),
        "what does not sign in is not kept"
    );
}

/// What an identity provider answers to questions for a token, in this order.
fn provider(answers: Vec<(u16, Value)>) -> Stub {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Stub::start(move |heard: &Heard, _| {
        if heard.target == "/device" {
            return ok(&json!({
                "device_code": "the-device-code",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://idp.example/device",
                "verification_uri_complete": "https://idp.example/device?user_code=WDJB-MJHT",
                "expires_in": 1_800,
                "interval": 1,
            }));
        }
        let turn = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (status, answer) = answers.get(turn).cloned().unwrap_or((500, Value::Null));
        said(status, &answer)
    })
}

/// How to sign in at this provider.
fn login_at(provider: &Stub) -> Login {
    Login {
        identities: vec![LoginIdentity {
            name: "entra".to_owned(),
            kind: LoginKind::Bearer,
            device: Some(DeviceLogin {
                device_authorization_endpoint: format!("{}/device", provider.url()),
                token_endpoint: format!("{}/token", provider.url()),
                client_id: "the-cli".to_owned(),
                scope: Some("api://portcullis/.default offline_access".to_owned()),
            }),
        }],
    }
}

/// A gateway whose users sign in at this provider, and whose good token is `good`.
fn behind(provider: &Stub, good: &'static str) -> Stub {
    let login = login_at(provider);
    Stub::start(move |heard, _| {
        let is_good = heard.header("authorization") == Some(&format!("Bearer {good}"));
        match heard.target.as_str() {
            "/api/v1/login" => ok(&login),
            _ if !is_good => problem(401, "the token is none of ours", Vec::new()),
            "/api/v1/me" => ok(&me()),
            _ => ok(&page::<Request>(Vec::new())),
        }
    })
}

#[test]
fn the_device_flow_waits_for_the_person_and_signs_in() {
    let provider = provider(vec![
        (400, json!({"error": "authorization_pending"})),
        (
            200,
            json!({"access_token": "fresh", "token_type": "Bearer", "expires_in": 3_600}),
        ),
    ]);
    let server = behind(&provider, "fresh");
    let ana = Person::new();
    let ended = ana.types(&["login", "--server", &server.url(), "--device"]);
    insta::assert_snapshot!("login_device", ended.golden());
    let asked: Vec<String> = provider
        .heard()
        .iter()
        .map(|it| format!("{} {}", it.line(), it.body))
        .collect();
    insta::assert_snapshot!("login_device_asked", asked.join("\n"));
    ana.types(&["request", "ls"]).done();
}

#[test]
fn a_sign_in_that_has_ended_is_renewed_and_the_fresh_one_kept() {
    let provider = provider(vec![
        (
            200,
            json!({"access_token": "first", "token_type": "bearer", "expires_in": 1, "refresh_token": "r1"}),
        ),
        (
            200,
            json!({"access_token": "second", "token_type": "bearer", "expires_in": 3_600, "refresh_token": "r2"}),
        ),
    ]);
    let login = login_at(&provider);
    let server =
        Stub::start(
            move |heard, _| match (heard.target.as_str(), heard.header("authorization")) {
                ("/api/v1/login", _) => ok(&login),
                ("/api/v1/me", Some("Bearer first")) => ok(&me()),
                (_, Some("Bearer second")) => ok(&page::<Request>(Vec::new())),
                _ => problem(401, "the token has ended", Vec::new()),
            },
        );
    let ana = Person::new();
    ana.types(&["login", "--server", &server.url(), "--device"])
        .done();
    ana.types(&["request", "ls"]).done();
    ana.types(&["request", "ls"]).done();
    let asked = provider.heard();
    assert_eq!(asked.len(), 3, "renewed once");
    assert_eq!(
        asked[2].body,
        "grant_type=refresh_token&refresh_token=r1&client_id=the-cli"
    );
    let kept = fs::read_to_string(ana.credentials()).unwrap();
    assert!(kept.contains("r2") && !kept.contains("r1"), "{kept}");
}

#[test]
fn a_device_flow_that_is_refused_or_forged_keeps_nothing() {
    let refusing = provider(vec![(
        400,
        json!({"error": "access_denied", "error_description": "no \u{1b}[2J thanks"}),
    )]);
    let server = behind(&refusing, "fresh");
    let ana = Person::new();
    let refused = ana.types(&["login", "--server", &server.url()]);
    let forging = Stub::start(|_, _| {
        ok(&json!({
            "device_code": "c",
            "user_code": "U",
            "verification_uri": "javascript:alert(1)",
            "expires_in": 5,
        }))
    });
    let server = behind(&forging, "fresh");
    let forged = ana.types(&["login", "--server", &server.url()]);
    assert!(!ana.credentials().exists());
    insta::assert_snapshot!(
        "login_device_refused",
        [refused, forged].map(|it| it.golden()).join("\n")
    );
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definitions() {
    let ana = Person::new();
    let bash = ana.types(&["completions", "bash"]).done().results;
    let page = ana.types(&["man"]).done().results;
    for word in ["request", "grant", "login", "who-can"] {
        let escaped = word.replace('-', r"\-");
        assert!(bash.contains(word) && page.contains(&escaped), "{word}");
    }
}
