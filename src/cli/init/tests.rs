use std::collections::BTreeSet;

use super::super::output::testing::output;
use super::*;
use crate::config::{self, Environment};

fn init(directory: &Path) -> anyhow::Result<String> {
    let (mut output, results, _) = output(Format::Table);
    let options = Init {
        directory: directory.to_owned(),
        names: Vec::new(),
    };
    run(&options, &mut output).map(|_| results.text())
}

/// The starter file with every commented key taken into force.
fn with_every_key() -> String {
    FILES[0]
        .1
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|it: char| it.is_ascii_lowercase() || it == '[') => rest,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_starter_configuration_is_right_as_it_is_and_with_every_key_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portcullis.toml");
    for text in [FILES[0].1.to_owned(), with_every_key()] {
        fs::write(&path, &text).unwrap();
        let reading = config::read(&path, &Environment::default());
        assert_eq!(reading.problems, [], "{text}");
    }
}

#[test]
fn the_commented_keys_show_their_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portcullis.toml");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        config::read(&path, &Environment::default()).config.unwrap()
    };
    let samples = [
        "public_url",
        "workers",
        "node",
        "operators",
        "auditors",
        "identity",
        "tls",
        "redact",
        "upstream_ca",
        "regional_hosts",
        "tenants",
        "[[identity]]",
        "name",
        "kind",
        "users",
        "link",
        "remind_after",
        "escalate_after",
        "escalate_to",
        "templates",
        "device_authorization_endpoint",
        "token_endpoint",
        "client_id",
        "scope",
    ];
    let defaults: String = with_every_key()
        .lines()
        .zip(FILES[0].1.lines())
        // What follows are sections that are not there by default.
        .take_while(|(line, _)| *line != "[notify.smtp]")
        .filter(|(line, original)| {
            line == original || !samples.contains(&line.split(' ').next().unwrap())
        })
        .fold(String::new(), |text, (line, _)| text + line + "\n");
    assert_eq!(
        format!("{:?}", read(&defaults)),
        format!("{:?}", read(FILES[0].1))
    );
}

#[test]
fn the_starter_configuration_mentions_every_key() {
    let text = FILES[0].1;
    let words: BTreeSet<&str> = text
        .split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .collect();
    for (path, _) in config::reference() {
        let name = path.rsplit('.').next().unwrap();
        assert!(words.contains(name), "{path}");
    }
}

#[test]
fn what_exists_is_listed_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    let mine = directory.path().join("policies/groups.toml");
    fs::write(&mine, "mine").unwrap();
    let error = init(directory.path()).unwrap_err();
    assert!(
        format!("{error:#}").contains("policies/groups.toml"),
        "{error:#}"
    );
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["policies"]);
}

#[test]
fn a_second_init_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path()).unwrap();
    let before = fs::read(directory.path().join("certs/server-key.pem")).unwrap();
    assert!(init(directory.path()).is_err());
    assert_eq!(
        fs::read(directory.path().join("certs/server-key.pem")).unwrap(),
        before
    );
}

#[test]
fn it_tells_what_it_wrote_and_what_comes_next() {
    let directory = tempfile::tempdir().unwrap();
    let text = init(directory.path())
        .unwrap()
        .replace(directory.path().to_str().unwrap(), "[dir]");
    insta::assert_snapshot!(text, @r#"
    Written:
      [dir]/certs/ca.pem
      [dir]/certs/ca-key.pem
      [dir]/certs/server.pem
      [dir]/certs/server-key.pem
      [dir]/portcullis.toml
      [dir]/policies/exchange.toml
      [dir]/policies/exemptions.toml
      [dir]/policies/groups.toml
      [dir]/users.toml

    Next:
      edit [dir]/portcullis.toml: the issuer's tenant id, then the policies
      portcullis check --config [dir]/portcullis.toml
      portcullis serve --config [dir]/portcullis.toml
    Clients must trust [dir]/certs/ca.pem.
    "#);
}

#[test]
fn what_cannot_be_finished_is_undone() {
    let directory = tempfile::tempdir().unwrap();
    // A file where a directory must be made.
    fs::write(directory.path().join("policies"), "in the way").unwrap();
    assert!(init(directory.path()).is_err());
    for name in ["portcullis.toml", "certs/ca-key.pem", "certs/server.pem"] {
        assert!(!directory.path().join(name).exists(), "{name}");
    }
}

#[test]
fn secrets_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    init(directory.path()).unwrap();
    for name in ["users.toml", "certs/server-key.pem", "certs/ca-key.pem"] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}
