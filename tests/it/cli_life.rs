//! The life of requests and grants by the command line, on the real gateway, and mixed with cmdlets over the wire.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;

use http::StatusCode;
use serde_json::{Value, json};

use crate::gateway::{Gateway, POLICIES, Setup, upn};
use crate::people::{Ended, Person, plain};
use crate::stub::{self, Said, Stub, ok};

/// What differs with the moment of the test, named by its kind; columns have one gap.
fn live(text: &str) -> String {
    let mut text = plain(text);
    for (pattern, kind) in [
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}\b", "<id>"),
        (
            r"\b(in )?\d+ (s|min|h|days)( \d+ min)?( ago)?\b|\bnow\b",
            "<when>",
        ),
        (r" {2,}", "  "),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, kind).into_owned();
    }
    text
}

impl Ended {
    fn live(&self) -> String {
        live(&self.golden())
    }
}

/// A gateway with operators (Ivy) and a policy that can be had without approval in an emergency.
async fn gateway() -> Gateway {
    let policies = format!(
        "{POLICIES}\n[[group]]\nname = \"operators\"\nmembers = [\"ivy@contoso.example\"]\n\n[[group]]\nname = \"on-call\"\nmembers = [\"ana@contoso.example\"]\n\n[[policy]]\ntask = 'Exchange\\Set-TransportRule'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]\nbreak_glass = [\"on-call\"]\n"
    );
    Gateway::with(Setup {
        policies,
        extra: BTreeMap::from([("access_control", "operators = \"operators\"".to_owned())]),
        ..Setup::default()
    })
    .await
}

/// Somebody who has signed in by a password.
fn signed_in(gateway: &Gateway, who: &str) -> Person {
    let person = Person::new();
    let server = format!("http://{}", gateway.control());
    let arguments = [
        "login",
        "--server",
        &server,
        "--password",
        "--user",
        &upn(who),
    ];
    person.types_with(&arguments, &format!("{who}\n")).done();
    person
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Asks for a task; the request's id.
fn asks(person: &Person, task: &str) -> String {
    let arguments = [
        "request", "create", "--task", task, "--reason", "sales", "-o", "json",
    ];
    id_of(&person.types(&arguments).done().json())
}

/// The one request that waits for this person's answer, once it is there.
fn to_approve(gateway: &Gateway, person: &Person) -> String {
    gateway.eventually("a request waits", |_| {
        let listed = person.types(&["request", "ls", "--to-approve", "-o", "json"]);
        let listed = listed.done().json();
        listed["items"].get(0).map(id_of)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_lives_from_asking_to_its_end_by_the_command_line() {
    let gateway = gateway().await;
    let (ana, amy) = (signed_in(&gateway, "ana"), signed_in(&gateway, "amy"));
    let task = r"Exchange\New-MoveRequest";
    let asked = ana.types(&[
        "request",
        "create",
        "--task",
        task,
        "--reason",
        "sales moves",
        "--duration",
        "2h",
        "-P",
        "Identity=ana@contoso.example",
        "--ticket",
        "CHG-7",
    ]);
    let again = ana.types(&[
        "request",
        "create",
        "--task",
        task,
        "--reason",
        "sales moves",
        "--duration",
        "2h",
        "-P",
        "Identity=ana@contoso.example",
    ]);
    assert!(again.messages.contains("is not decided yet"), "{again:?}");
    let waiting = amy.types(&["request", "ls", "--to-approve"]);
    let id = to_approve(&gateway, &amy);
    let short: String = id.chars().take(13).collect();
    let approved = amy.types(&[
        "request",
        "approve",
        &short,
        "-m",
        "tonight",
        "--duration",
        "1h",
    ]);

    let mine = json!({"Identity": "ana@contoso.example"});
    let runs = gateway.invoke("ana", "New-MoveRequest", mine.clone()).await;
    assert_eq!(runs.status, StatusCode::OK, "{}", runs.text());
    let other = json!({"Identity": "amy@contoso.example"});
    let pinned = gateway.invoke("ana", "New-MoveRequest", other).await;
    assert_eq!(
        pinned.status,
        StatusCode::FORBIDDEN,
        "only what was asked for"
    );

    let held = ana.types(&["grant", "ls", "--mine"]);
    let longer = ana
        .types(&[
            "grant",
            "extend",
            &short,
            "--duration",
            "30m",
            "--reason",
            "slow",
            "-o",
            "json",
        ])
        .done();
    let extension = id_of(&longer.json());
    amy.types(&["request", "approve", &extension]).done();
    let ended = ana.types(&["grant", "end", &short, "-m", "all moved"]);
    let blocked = gateway.invoke("ana", "New-MoveRequest", mine).await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!(
        "life",
        [asked, waiting, approved, held, ended]
            .map(|it| it.live())
            .join("\n")
    );
    let grant = ana
        .types(&["grant", "ls", "--mine", "-o", "json"])
        .done()
        .json();
    let spans = |from: &str, to: &str| {
        let time = |name: &str| -> chrono::DateTime<chrono::Utc> {
            grant["items"][0][name].as_str().unwrap().parse().unwrap()
        };
        (time(to) - time(from)).num_minutes()
    };
    assert_eq!(spans("starts", "ends"), 90, "an hour, and half of one more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_learns_how_it_ended_whichever_way_it_was_decided() {
    let gateway = gateway().await;
    let (ana, amy) = (signed_in(&gateway, "ana"), signed_in(&gateway, "amy"));
    let waits = |task: &str| -> Child {
        let arguments = [
            "request", "create", "--task", task, "--reason", "sales", "--wait",
        ];
        ana.command(&arguments).spawn().unwrap()
    };
    let ended = |child: Child| child.wait_with_output().unwrap().status.code().unwrap();

    // Asked in the shell, approved by a cmdlet.
    let child = waits(r"Exchange\New-MoveRequest");
    let id = to_approve(&gateway, &amy);
    let reply = json!({"RequestId": id, "Comment": "fine"});
    let approved = gateway
        .invoke("amy", "Approve-ElevatedAccessRequest", reply)
        .await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());
    assert_eq!(ended(child), 0);

    // Asked in the shell, denied in the shell.
    let child = waits(r"Exchange\Remove-Mailbox");
    let id = to_approve(&gateway, &amy);
    amy.types(&["request", "deny", &id, "-m", "not now"]).done();
    assert_eq!(ended(child), 3);

    // Taken back by who asked.
    let child = waits(r"Exchange\Remove-Mailbox");
    let id = to_approve(&gateway, &amy);
    ana.types(&["request", "withdraw", &id]).done();
    assert_eq!(ended(child), 5);

    // Nobody answers in time.
    let impatient = ana.types(&[
        "request",
        "create",
        "--task",
        r"Exchange\Remove-Mailbox",
        "--reason",
        "sales",
        "--wait",
        "--timeout",
        "1s",
    ]);
    assert_eq!(impatient.code, 6, "{impatient:?}");

    // Asked by a cmdlet, approved in the shell, taken away in the shell.
    let ask = json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "left"});
    let asked = gateway
        .invoke("ivy", "New-ElevatedAccessRequest", ask)
        .await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
    let id = asked.first("Identity").as_str().unwrap().to_owned();
    amy.types(&["request", "approve", &id]).done();
    let user = json!({"Identity": "eva@contoso.example"});
    let runs = gateway.invoke("ivy", "Remove-Mailbox", user.clone()).await;
    assert_ne!(runs.status, StatusCode::FORBIDDEN, "{}", runs.text());
    amy.types(&["grant", "revoke", &id, "-m", "enough"]).done();
    let blocked = gateway.invoke("ivy", "Remove-Mailbox", user).await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_is_taken_marked_and_reviewed() {
    let gateway = gateway().await;
    let (ana, bo) = (signed_in(&gateway, "ana"), signed_in(&gateway, "bo"));
    let taken = ana.types(&[
        "request",
        "create",
        "--task",
        r"Exchange\Set-TransportRule",
        "--break-glass",
        "--reason",
        "mail loops",
    ]);
    let own = ana
        .types(&["grant", "ls", "--to-review", "-o", "json"])
        .done();
    let id = id_of(&own.json()["items"][0]);
    let refused = ana.types(&["grant", "review", &id]);
    assert_eq!(refused.code, 1, "nobody reviews an own emergency");
    let reviewed = bo.types(&["grant", "review", &id, "-m", "was right"]);
    insta::assert_snapshot!(
        "emergency",
        [taken, refused, reviewed].map(|it| it.live()).join("\n")
    );
    let left = bo.types(&["grant", "ls", "--to-review"]).done();
    assert!(left.messages.contains("no such grant"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_told_with_what_would_be_right() {
    let gateway = gateway().await;
    let (ana, amy) = (signed_in(&gateway, "ana"), signed_in(&gateway, "amy"));
    let create = |more: &[&str]| {
        let mut arguments = vec!["request", "create"];
        arguments.extend(more);
        ana.types(&arguments)
    };
    let ended = [
        create(&[
            "--task",
            r"Exchange\New-MoveRequest",
            "--duration",
            "365d",
            "--uses",
            "0",
        ]),
        create(&["--task", "nonsense", "--reason", "r"]),
        create(&["--task", r"Exchange\New-JournalRule", "--reason", "r"]),
        create(&["--role", "Nobody", "--reason", "r"]),
        create(&[]),
        amy.types(&["request", "approve", "0000"]),
        amy.types(&["request", "show", "019a0000-0001-7000-8000-000000000001"]),
        {
            let id = asks(&ana, r"Exchange\New-MoveRequest");
            ana.types(&["request", "approve", &id])
        },
    ];
    assert!(ended.iter().all(|it| it.code == 1 || it.code == 2));
    let goldens: Vec<String> = ended.iter().map(|it| it.messages.clone()).collect();
    insta::assert_snapshot!("refusals", live(&goldens.join("---\n")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_made_by_people_listed_used_and_revoked() {
    let gateway = gateway().await;
    let ana = signed_in(&gateway, "ana");
    let kept = fs::read_to_string(ana.credentials()).unwrap();
    assert!(!kept.contains("password"), "{kept}");
    let by_token = ana.types(&["token", "create", "report"]);
    assert_eq!(by_token.code, 1);
    assert!(by_token.messages.contains("--password"), "{by_token:?}");
    let (name, password) = (upn("ana"), "ana\n");
    let made = ana.types_with(
        &[
            "token",
            "create",
            "report",
            "--scope",
            "read,request",
            "--expires",
            "1d",
            "--password",
            "--user",
            &name,
        ],
        password,
    );
    let made = made.done();
    let secret = made.results.trim().to_owned();
    assert!(!made.messages.contains(&secret), "only the result has it");
    let program = Person::new()
        .with("PORTCULLIS_SERVER", format!("http://{}", gateway.control()))
        .with("PORTCULLIS_TOKEN", &secret);
    let id = asks(&program, r"Exchange\New-MoveRequest");
    program.types(&["request", "show", &id]).done();
    let refused = program.types(&["grant", "revoke", &id]);
    assert!(refused.messages.contains("scope"), "{refused:?}");

    let listed = ana.types(&["token", "ls", "-o", "json"]).done().json();
    let report = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "report")
        .unwrap();
    let token = id_of(report);
    let table = ana.types(&["token", "ls"]).done();
    assert!(table.results.contains("read, request"), "{table:?}");
    ana.types_with(
        &["token", "revoke", &token, "--password", "--user", &name],
        password,
    )
    .done();
    let after = program.types(&["request", "ls"]);
    assert_eq!(after.code, 1);
    assert!(after.messages.contains("portcullis login"), "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_signs_nobody_in_and_signing_out_forgets() {
    let gateway = gateway().await;
    let ana = Person::new();
    let server = format!("http://{}", gateway.control());
    let arguments = [
        "login",
        "--server",
        &server,
        "--user",
        &upn("ana"),
        "--password",
    ];
    let wrong = ana.types_with(&arguments, "wrong\n");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(!ana.credentials().exists());
    // Without a way, the one that the gateway offers.
    let right = ana.types_with(
        &["login", "--server", &server],
        &format!("{}\nana\n", upn("ana")),
    );
    ana.types(&["request", "ls"]).done();
    let kept = fs::read_to_string(ana.credentials()).unwrap();
    let token = kept.lines().find_map(|it| it.strip_prefix("token = "));
    let token = token.unwrap().trim_matches('"').to_owned();
    let out = ana.types(&["logout", "--all"]);
    assert_eq!(out.messages, "", "the gateway has revoked the token");
    let thief = Person::new()
        .with("PORTCULLIS_SERVER", &server)
        .with("PORTCULLIS_TOKEN", token);
    assert_eq!(thief.types(&["request", "ls"]).code, 1);
    let after = ana.types(&["request", "ls"]);
    assert_eq!(after.code, 1);
    insta::assert_snapshot!(
        "passwords",
        [wrong, right, after].map(|it| it.live()).join("\n")
    );
    assert_eq!(out.code, 0, "{out:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_asked_who_can_and_why() {
    let gateway = gateway().await;
    let (ana, ivy) = (signed_in(&gateway, "ana"), signed_in(&gateway, "ivy"));
    gateway
        .grant("ana", r"Exchange\New-MoveRequest", "amy")
        .await;
    let who = ivy.types(&["who-can", r"Exchange\New-MoveRequest", "--online"]);
    let mine = ana.types(&[
        "policy",
        "explain",
        "--online",
        "--task",
        r"Exchange\New-MoveRequest",
        "--parameter",
        "Identity=ana@contoso.example",
    ]);
    let others = ivy.types(&[
        "policy",
        "explain",
        "--online",
        "--as",
        &upn("bo"),
        "--task",
        r"Exchange\New-MoveRequest",
    ]);
    assert!(mine.results.contains("allow (granted)"), "{mine:?}");
    assert!(
        others.results.contains("block (needs-approval)"),
        "{others:?}"
    );
    insta::assert_snapshot!("who_can", who.live());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_tells_strangers_where_its_people_confirm_a_code() {
    let provider = Stub::start(|heard, _| {
        if heard.target == "/device" {
            ok(&json!({
                "device_code": "c",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://idp.example/device",
                "expires_in": 60,
                "interval": 1,
            }))
        } else {
            stub::json(400, &json!({"error": "access_denied"}))
        }
    });
    let keys = Stub::start(|_, _| Said::Nothing);
    let identity = format!(
        "[[identity]]\nname = \"entra\"\nkind = \"jwt\"\nissuer = \"https://idp.example/\"\naudience = \"api://portcullis\"\njwks = \"{keys}/keys\"\ndevice_authorization_endpoint = \"{provider}/device\"\ntoken_endpoint = \"{provider}/token\"\nclient_id = \"the-cli\"\nscope = \"openid\"\n",
        keys = keys.url(),
        provider = provider.url(),
    );
    let both = "PORTCULLIS__CONTROL__IDENTITY".to_owned();
    let gateway = Gateway::with(Setup {
        extra: BTreeMap::from([("last", identity)]),
        environment: vec![(both, "people,entra".to_owned())],
        ..Setup::default()
    })
    .await;
    let server = format!("http://{}", gateway.control());
    let ended = Person::new().types(&["login", "--server", &server]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.messages.contains("WDJB-MJHT"), "{ended:?}");
    assert!(ended.messages.contains("was refused"), "{ended:?}");
    let asked = provider.heard().remove(0);
    assert_eq!(asked.body, "client_id=the-cli&scope=openid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateways_policies_are_listed_with_those_of_its_store() {
    let gateway = gateway().await;
    let made =
        json!({"Task": r"Exchange\Set-Contact", "ApprovalType": "Auto", "MaxDurationHours": 2});
    gateway
        .invoke("ivy", "New-ElevatedAccessApprovalPolicy", made)
        .await;
    let ana = signed_in(&gateway, "ana");
    let listed = ana.types(&["policy", "ls", "--online"]).done().golden();
    let stored = listed.lines().find(|it| it.contains("Set-Contact"));
    assert!(stored.unwrap().contains("store, by ivy@"), "{listed}");
    // Where files lie is not told to her.
    assert!(
        listed.contains(".toml") && !listed.contains("policies/"),
        "{listed}"
    );
    let ivy = signed_in(&gateway, "ivy");
    let all = ivy.types(&["policy", "ls", "--online", "-o", "json"]);
    let all = all.done().json();
    let scopes: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["scope"].as_str().unwrap())
        .collect();
    assert!(
        scopes.contains(&r"Exchange\Set-Contact") && scopes.len() > 2,
        "{scopes:?}"
    );
    // What is missing is named in the words of the command line.
    let none = ivy.types(&["request", "show", "00000000-0000-0000-0000-000000000000"]);
    assert!(
        none.golden().contains("`portcullis request ls` lists"),
        "{}",
        none.golden()
    );
}
