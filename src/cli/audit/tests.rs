use chrono::{DateTime, Utc};
use clap::Parser as _;
use uuid::Uuid;

use super::arguments::ago;
use super::*;
use crate::audit::{AuditLog, Event};
use crate::config;

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: AuditCommand,
}

/// A log with an event of Amy's and one with a hostile name, and what the event's id is.
fn log() -> (tempfile::TempDir, Uuid) {
    let folder = tempfile::tempdir().unwrap();
    let settings = config::Audit {
        directory: folder.path().to_owned(),
        durability: config::Durability::Strict,
        node: "gw".to_owned(),
        segment_bytes: 1_000_000,
        segment_age: Duration::from_hours(1),
        redact: Vec::new(),
    };
    let (log, _) = AuditLog::open(&settings).unwrap();
    let mut event = Event {
        id: Uuid::now_v7(),
        at: Utc::now(),
        kind: "request.filed".to_owned(),
        principal: Some(("k".to_owned(), "amy@fabrikam.example".to_owned())),
        source: Some("203.0.113.7".parse().unwrap()),
        request: Some(Uuid::from_u128(1)),
        grant: None,
        policy: Some(r"exchange\new-moverequest".to_owned()),
        decision: None,
        details: serde_json::Map::from_iter([("reason".to_owned(), "INC-1".into())]),
    };
    let id = event.id;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(log.event(event.clone())).unwrap();
    event.id = Uuid::now_v7();
    event.principal = Some(("k".to_owned(), "\u{9b}31m\u{1b}[2J\u{202e}bo".to_owned()));
    runtime.block_on(log.event(event)).unwrap();
    log.close().unwrap();
    (folder, id)
}

/// What a command prints, without colours, and whether it succeeds.
fn output(folder: &Path, arguments: &[&str]) -> (String, bool) {
    let cli = Cli::try_parse_from(["audit"].iter().chain(arguments)).unwrap();
    let mut out = Vec::new();
    let code = run(cli.command, folder, Some(110), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let plain = anstream::adapter::strip_str(&text).to_string();
    (plain, code == ExitCode::SUCCESS)
}

#[test]
fn verify_says_good_or_names_the_record_and_fails() {
    let (folder, _) = log();
    let (text, good) = output(folder.path(), &["verify"]);
    assert!(
        good && text.starts_with("gw: good, 3 records in 1 segment"),
        "{text}"
    );
    let path = folder.path().join("audit-gw-00000000000000000001.jsonl");
    let changed = std::fs::read_to_string(&path)
        .unwrap()
        .replace("INC-1", "INC-2");
    std::fs::write(&path, changed).unwrap();
    let (text, good) = output(folder.path(), &["verify"]);
    assert!(!good);
    let line = "edited record 2, audit-gw-00000000000000000001.jsonl:2: record 2 was edited";
    assert!(text.contains(line), "{text}");
    let (text, good) = output(folder.path(), &["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!good);
    assert_eq!(report["findings"][0]["fault"], "edited");
}

#[test]
fn tail_shows_the_last_records_in_order_and_nothing_that_steers_a_terminal() {
    let (folder, _) = log();
    let (text, good) = output(folder.path(), &["tail", "-n", "2"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(good);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].trim_start().starts_with("NUMBER"), "{text}");
    assert!(
        lines[1].contains("amy@fabrikam.example") && lines[1].contains(r"exchange\new-moverequest")
    );
    assert!(
        text.chars().all(|it| it == '\n' || !it.is_control()),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}'));
    assert!(lines.iter().all(|it| it.chars().count() <= 110));
    let (json, _) = output(folder.path(), &["tail", "-n", "1", "-o", "json"]);
    let stored = std::fs::read_to_string(folder.path().join("audit-gw-00000000000000000001.jsonl"));
    assert_eq!(json.lines().last(), stored.unwrap().lines().last());
}

#[test]
fn search_finds_or_says_what_to_do() {
    let (folder, _) = log();
    let (text, good) = output(
        folder.path(),
        &[
            "search",
            "--principal",
            "Amy@fabrikam.example",
            "--since",
            "1h",
        ],
    );
    assert!(
        good && text.contains("request.filed") && text.lines().count() == 3,
        "{text}"
    );
    let (text, good) = output(folder.path(), &["search", "--task", "nothing"]);
    assert!(!good && text.starts_with("No record matches."));
    let (text, _) = output(
        folder.path(),
        &["search", "--kind", "request.*", "--limit", "1"],
    );
    assert!(text.contains("There are more"), "{text}");
}

#[test]
fn show_tells_all_of_a_thing_by_id_or_number() {
    let (folder, id) = log();
    for subject in [id.to_string(), "2".to_owned()] {
        let (text, good) = output(folder.path(), &["show", &subject]);
        assert!(good && text.contains("details.reason INC-1"), "{text}");
        assert_eq!(text.matches("request.filed").count(), 1);
    }
    let request = Uuid::from_u128(1).to_string();
    let (text, _) = output(folder.path(), &["show", &request]);
    assert_eq!(text.matches("request.filed").count(), 2);
    let (text, good) = output(folder.path(), &["show", "99"]);
    assert!(!good && text.starts_with("Nothing is on record"));
}

#[test]
fn a_directory_without_a_log_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let cli = Cli::try_parse_from(["audit", "verify"]).unwrap();
    let error = run(cli.command, folder.path(), None, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("there is no audit log"));
    let cli = Cli::try_parse_from(["audit", "verify", "/nowhere"]).unwrap();
    assert_eq!(cli.command.directory(), Some(Path::new("/nowhere")));
}

#[test]
fn times_are_dates_moments_or_how_long_ago() {
    let at = |text: &str| text.parse::<Moment>().unwrap().0;
    assert_eq!(at("2026-11-21"), "2026-11-21T00:00:00.000000Z");
    assert_eq!(
        at("2026-11-21T10:00:00+02:00"),
        "2026-11-21T08:00:00.000000Z"
    );
    let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
    assert_eq!(ago("2h", now), "2026-11-21T08:00:00Z".parse().ok());
    assert_eq!(ago("1d", now), "2026-11-20T10:00:00Z".parse().ok());
    for bad in [
        "",
        "h",
        "2",
        "2y",
        "99999999999999999999d",
        "9223372036854775807w",
        "é",
    ] {
        assert!(bad.parse::<Moment>().is_err(), "{bad}");
    }
}
