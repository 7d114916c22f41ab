//! The demo's files, without a gateway.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::directory::{Age, Directory};
use super::{check_free, people};
use crate::config::{Config, UpstreamAuth};
use crate::model::Interner;
use crate::policy::{Approval, PolicyFile, PolicySet};

const GATEWAY: &str = "127.0.0.1:8443";

fn gateway() -> SocketAddr {
    GATEWAY.parse().unwrap()
}

/// What a start writes, up to the gateway.
fn start(root: &Path) -> (Directory, Config) {
    let directory = Directory::open(root).unwrap();
    directory.complete().unwrap();
    let people = people::prepare(&directory).unwrap();
    people::write(&people, &directory, gateway()).unwrap();
    let control = "127.0.0.1:8444".parse().unwrap();
    let config = directory.configure(gateway(), control, "https://127.0.0.1:45678");
    (directory, config.unwrap())
}

/// The files in `root` that begin with `prefix`, and the texts of them.
fn texts(root: &Path) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            texts.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

fn policies(root: &Path) -> PolicySet {
    let files: Vec<PolicyFile> = texts(&root.join("policies"))
        .into_iter()
        .map(|(path, text)| PolicyFile { path, text })
        .collect();
    PolicySet::load(&files, &[], None, &Interner::default()).unwrap()
}

#[test]
fn the_configuration_loads_and_says_what_the_tour_says() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("demo-data");
    let (directory, config) = start(&root);
    assert_eq!(directory.age(), Age::New);
    assert_eq!(config.proxy.listen, gateway());
    assert_eq!(config.audit.directory, root.join("audit"));
    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.upstream.as_str(), "https://127.0.0.1:45678/");
    assert!(
        matches!(&endpoint.upstream_auth, UpstreamAuth::Bearer { token_file } if *token_file == root.join("upstream-token"))
    );
    directory.server_tls().unwrap();
}

#[test]
fn the_policies_load_and_govern_what_the_tour_needs() {
    let scratch = tempfile::tempdir().unwrap();
    let (_directory, _config) = start(scratch.path());
    let policies = policies(scratch.path());
    let governing = |task: &str| {
        let task = task.parse().unwrap();
        policies
            .governing(&task)
            .map(|it| (it.scope.text.clone(), it.approval))
    };
    let policy = |scope: &str, approval| Some((scope.to_owned(), approval));
    let cases = [
        (r"Exchange\Get-Mailbox", None),
        (
            r"Exchange\New-MoveRequest",
            policy(r"Exchange\New-MoveRequest", Approval::Manual),
        ),
        (
            r"Exchange\Remove-Mailbox",
            policy(r"Exchange\Remove-*", Approval::Manual),
        ),
        (
            r"Exchange\New-JournalRule",
            policy(r"Exchange\New-JournalRule", Approval::Never),
        ),
        (
            r"Exchange\Set-Mailbox",
            policy(r"Exchange\Set-Mailbox", Approval::Auto),
        ),
        (
            r"Exchange\Set-OrganizationConfig",
            policy(r"Exchange\Set-*", Approval::Manual),
        ),
    ];
    for (task, expected) in cases {
        assert_eq!(governing(task), expected, "{task}");
    }
    assert_eq!(policies.exemptions()[0].account, "sys1@contoso.example");
}

#[test]
fn every_cmdlet_of_the_sample_that_changes_something_is_governed() {
    let scratch = tempfile::tempdir().unwrap();
    let (_directory, _config) = start(scratch.path());
    let policies = policies(scratch.path());
    for name in super::exchange::cmdlet_names() {
        let task = format!(r"Exchange\{name}").parse().unwrap();
        let is_read = name.starts_with("Get-") || name.starts_with("Search-");
        assert_eq!(policies.governing(&task).is_none(), is_read, "{name}");
    }
}

#[test]
fn a_second_start_keeps_passwords_policies_and_certificates() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    drop(start(root));
    let before = texts(root);
    fs::write(root.join("policies/people.toml"), "# edited").unwrap();
    fs::remove_file(root.join("policies/exchange.toml")).unwrap();
    let (directory, _config) = start(root);
    assert_eq!(directory.age(), Age::UsedBefore);
    let after = texts(root);
    for (name, text) in before.iter().filter(|(name, _)| *name != "upstream-token") {
        assert!(after[name] == *text, "{name} has changed");
    }
    let policies = texts(&root.join("policies"));
    assert_eq!(
        policies.into_iter().collect::<Vec<_>>(),
        [("people.toml".to_owned(), "# edited".to_owned())]
    );
}

#[test]
fn what_is_missing_is_made_again_and_fits_the_rest() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    drop(start(root));
    let before = texts(root);
    fs::remove_file(root.join("ana.curl")).unwrap();
    drop(start(root));
    let after = texts(root);
    assert_ne!(before["ana.curl"], after["ana.curl"]);
    assert_eq!(before["amy.curl"], after["amy.curl"]);
    assert_ne!(
        before["users.toml"], after["users.toml"],
        "hashes of the new passwords"
    );
    assert_eq!(after["users.toml"].matches("[[user]]").count(), 5);
}

#[test]
fn secrets_are_for_their_owner_and_in_no_other_file() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    drop(start(root));
    for name in [
        "ana.curl",
        "sys1.curl",
        "users.toml",
        "upstream-token",
        "server-key.pem",
        "ca-key.pem",
    ] {
        let mode = fs::metadata(root.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let texts = texts(root);
    let user = texts["ana.curl"]
        .lines()
        .find(|it| it.starts_with("user"))
        .unwrap();
    let password = user.rsplit(':').next().unwrap().trim_end_matches('"');
    assert_eq!(password.len(), 32);
    for (name, text) in texts.iter().filter(|(name, _)| *name != "ana.curl") {
        assert!(!text.contains(password), "{name}");
    }
}

#[test]
fn a_directory_of_something_else_or_in_use_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let other = scratch.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "").unwrap();
    let error = Directory::open(&other).unwrap_err().to_string();
    assert!(
        error.contains("is not empty and was not made by the demo"),
        "{error}"
    );

    let ours = scratch.path().join("ours");
    let first = Directory::open(&ours).unwrap();
    let error = Directory::open(&ours).unwrap_err().to_string();
    assert!(error.contains("another demo is running"), "{error}");
    drop(first);
    Directory::open(&ours).unwrap();
}

#[test]
fn a_taken_port_and_an_open_address_are_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = check_free("--listen", address).unwrap_err().to_string();
    let expected = format!(
        "port {} on 127.0.0.1 is taken; is another demo running? Stop it, or choose another port with --listen",
        address.port()
    );
    assert_eq!(error, expected);
    let error = check_free("--control", "0.0.0.0:8444".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("this machine only"), "{error}");
}
