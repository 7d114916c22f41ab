//! What `check` prints of a broken tree and of the starter tree.

use std::fs;
use std::path::Path;

use clap::Parser as _;

use super::*;
use crate::cli::{self, Cli, output::testing};

fn check(directory: &Path, format: Format) -> (Outcome, String) {
    let (mut output, results, _) = testing::output(format);
    let path = directory.join("portcullis.toml");
    let outcome = run(&path, &Environment::default(), &mut output).unwrap();
    (
        outcome,
        results.text().replace(directory.to_str().unwrap(), "[dir]"),
    )
}

fn init(directory: &Path) {
    let (mut output, _, _) = testing::output(Format::Table);
    let cli = Cli::parse_from(["portcullis", "init", directory.to_str().unwrap()]);
    cli::run(cli.command, &mut output).unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn snapshot_settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", "[date]");
    settings.add_filter(r"in \d+ days", "in [n] days");
    settings
}

#[test]
fn the_starter_tree_is_fine() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path());
    let (outcome, text) = check(directory.path(), Format::Table);
    snapshot_settings().bind(|| {
        insta::assert_snapshot!(text, @r#"
        warning: [dir]/portcullis.toml:131: `issuer` has the sample's tenant id: no token will fit
          hint: put your tenant's id in its place

        proxy      https://127.0.0.1:8443
                   certificate for localhost, 127.0.0.1, ::1, until [date]
        control    http://127.0.0.1:8444
        store      sqlite:[dir]/data/portcullis.db
        audit      [dir]/data/audit (strict)
        policies   7 (groups: 2, exemptions: 1), access control: enforce
        identity   entra: jwt from https://sts.windows.net/00000000-0000-0000-0000-000000000000/
        endpoint   /adminapi -> https://outlook.office365.com (Exchange)
                   sign-in: entra; upstream sign-in: the caller's own; ungoverned tasks: allow

        no problems, 1 warning
        "#);
    });
    assert_eq!(outcome, Outcome::Done);
    assert!(
        !directory.path().join("data").exists(),
        "check must not write"
    );
}

#[test]
fn a_broken_tree_is_told_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path());
    let config = directory.path().join("portcullis.toml");
    edit(
        &config,
        "listen = \"127.0.0.1:8443\"",
        "lisen = \"127.0.0.1:8443\"",
    );
    edit(
        &config,
        "#durability = \"strict\"",
        "durability = \"strickt\"",
    );
    edit(&config, "#body = \"60s\"", "body = 60");
    edit(
        &config,
        "upstream = \"https://outlook.office365.com\"",
        "upstream = \"http://outlook.office365.com\"",
    );
    edit(
        &config,
        "\nidentity = [\"entra\"]",
        "\nidentity = [\"enta\"]",
    );
    edit(
        &config,
        "#upstream_auth = { mode = \"passthrough\" }",
        "upstream_auth = { mode = \"bearer\", token_file = \"secrets/token\", token = \"hunter2\" }",
    );
    edit(
        &directory.path().join("policies/exchange.toml"),
        "approval = \"manual\"",
        "aproval = \"manual\"",
    );
    fs::remove_file(directory.path().join("certs/server-key.pem")).unwrap();
    let (outcome, text) = check(directory.path(), Format::Table);
    snapshot_settings().bind(|| insta::assert_snapshot!(text, @r#"
    error: [dir]/portcullis.toml:12: unknown key `lisen` in `[proxy]`
      hint: did you mean `listen`?
    error: [dir]/portcullis.toml:44: `body`: `60` is not a span of time such as `30s` or `24h`
      hint: write it between quotes, with its unit
    error: [dir]/portcullis.toml:74: `durability`: `strickt` is not one of `strict`, `buffered`
      hint: did you mean `strict`?
    error: [dir]/portcullis.toml:109: `upstream`: plain HTTP to another host: credentials would be readable on the network
      hint: use `https://`; `http://` is for loopback addresses
    error: [dir]/portcullis.toml:114: `identity`: there is no `[[identity]]` named `enta`
      hint: did you mean `entra`?
    error: [dir]/portcullis.toml:124: `token` would be a secret in the configuration
      hint: put it into a file that only the gateway can read, and name that: `token_file = "…"`
    warning: [dir]/portcullis.toml:128: `name`: no endpoint lists the identity `entra`
      hint: add it to an endpoint's `identity`, or take the section out
    warning: [dir]/portcullis.toml:131: `issuer` has the sample's tenant id: no token will fit
      hint: put your tenant's id in its place
    error: [dir]/policies/exchange.toml:5: a policy has no `approval`
      hint: one of "manual", "auto", "never"
    error: [dir]/policies/exchange.toml:7: unknown key `aproval` in a policy
      hint: did you mean `approval`?
    error: [dir]/portcullis.toml:15: cannot read `[dir]/certs/server-key.pem`: No such file or directory (os error 2)
      hint: `portcullis init` makes development certificates; for others ask your certificate authority
    error: [dir]/portcullis.toml:124: cannot read `[dir]/secrets/token`: No such file or directory (os error 2)
      hint: write the secret into it, and let only the gateway's account read it

    10 problems, 2 warnings
    "#));
    assert_eq!(outcome, Outcome::Problems);
    assert!(!text.contains("hunter2"), "a secret was printed");
}

#[test]
fn programs_get_json() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path());
    let (_, text) = check(directory.path(), Format::Json);
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["problems"], 0);
    assert_eq!(result["summary"]["policies"], 7);
    assert_eq!(result["summary"]["endpoints"][0]["path"], "/adminapi");
}

/// A finding among those of the starter tree after `change`.
fn finding_after(change: impl FnOnce(&Path)) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path());
    change(directory.path());
    let path = directory.path().join("portcullis.toml");
    let (findings, _) = examine(&path, &Environment::default()).unwrap();
    let shown = findings
        .iter()
        .map(|it| format!("{:?} {}: {}", it.severity, it.place, it.message));
    shown
        .map(|it| it.replace(directory.path().to_str().unwrap(), "[dir]"))
        .collect()
}

fn world_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn secrets_that_others_can_read_are_told() {
    let found = finding_after(|directory| world_readable(&directory.join("certs/server-key.pem")));
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("Warning") && it.contains("open to every account")),
        "{found:#?}"
    );
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let found = finding_after(|directory| {
        fs::copy(
            directory.join("certs/ca-key.pem"),
            directory.join("certs/server-key.pem"),
        )
        .unwrap();
    });
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("Error") && it.contains("does not fit")),
        "{found:#?}"
    );
}

/// What is found of a certificate that ends at this time.
fn found_ending_at(end: std::time::SystemTime) -> Vec<String> {
    finding_after(|directory| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = (end - 90 * DAY).into();
        params.not_after = end.into();
        fs::write(
            directory.join("certs/server.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        fs::write(directory.join("certs/server-key.pem"), key.serialize_pem()).unwrap();
    })
}

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

#[test]
fn a_certificate_that_ends_is_told_before_and_after() {
    let now = std::time::SystemTime::now();
    let before = found_ending_at(now + 10 * DAY);
    assert!(
        before
            .iter()
            .any(|it| it.starts_with("Warning") && it.contains("ends on")),
        "{before:#?}"
    );
    let after = found_ending_at(now - DAY);
    assert!(
        after
            .iter()
            .any(|it| it.starts_with("Error") && it.contains("ended on")),
        "{after:#?}"
    );
}

#[test]
fn an_exemption_that_ended_is_told() {
    let found = finding_after(|directory| {
        let path = directory.join("policies/exemptions.toml");
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|it| it.starts_with("expires")).unwrap();
        edit(&path, line, "expires = 2020-01-31");
    });
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("Warning") && it.contains("ended on 2020-01-31")),
        "{found:#?}"
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let found = finding_after(|directory| fs::write(directory.join("data"), "a file").unwrap());
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("Error") && it.contains("[dir]/data`")),
        "{found:#?}"
    );
}

#[test]
fn a_user_file_is_read_as_the_gateway_reads_it() {
    let found = finding_after(|directory| {
        let config = directory.join("portcullis.toml");
        let text = fs::read_to_string(&config).unwrap();
        let local = "#[[identity]]\n#name = \"local\"\n#kind = \"basic\"\n#users = \"users.toml\"";
        assert!(text.contains(local));
        fs::write(&config, text.replace(local, &local.replace('#', ""))).unwrap();
        fs::write(
            directory.join("users.toml"),
            "[[user]]\nname = \"amy\"\npassword_hash = \"secret\"\n",
        )
        .unwrap();
    });
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("Error") && it.contains("users.toml")),
        "{found:#?}"
    );
    assert!(
        !found.iter().any(|it| it.contains("secret\"")),
        "{found:#?}"
    );
}
