//! Configurations, right and wrong, through [`read`]: where values come from, and what is told of a text that is not one.

mod notify;
mod reference;
mod rules;

use std::fs;
use std::path::Path;

use super::*;

pub(crate) use reference::reference;

/// A configuration with what must be there and nothing else.
const LEAST: &str = r#"
[proxy]
tls = { certificate = "c.pem", key = "k.pem" }

[[endpoint]]
workload = "Exchange"
dialect = "exchange-rest"
path = "/adminapi"
upstream = "https://outlook.example"
identity = ["entra"]

[[identity]]
name = "entra"
kind = "jwt"
issuer = "https://sts.example/1/"
audience = "https://outlook.example"
jwks = "keys.json"
"#;

fn reading(text: &str, variables: &[(&str, &str)]) -> Reading {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portcullis.toml");
    fs::write(&path, text).unwrap();
    let mut reading = read(&path, &Environment::of(variables.iter().copied()));
    let shorten = |it: &mut ConfigProblem| match &mut it.place {
        Place::File(file) | Place::Line { file, .. } => *file = "portcullis.toml".to_owned(),
        Place::Variable(_) => {}
    };
    reading.problems.iter_mut().for_each(shorten);
    reading.warnings.iter_mut().for_each(shorten);
    for problem in reading.problems.iter_mut().chain(&mut reading.warnings) {
        problem.message = problem
            .message
            .replace(&*directory.path().to_string_lossy(), "[dir]");
    }
    reading
}

fn shown(problems: &[ConfigProblem]) -> String {
    problems
        .iter()
        .map(|it| match &it.hint {
            Some(hint) => format!("{it}\n    {hint}\n"),
            None => format!("{it}\n"),
        })
        .collect()
}

/// The problems of a text.
fn problems(text: &str) -> String {
    shown(&reading(text, &[]).problems)
}

/// The problems of [`LEAST`] after `from` became `to`.
fn problems_with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    problems(&LEAST.replacen(from, to, 1))
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let reading = reading(text, variables);
    assert_eq!(reading.problems, []);
    reading.config.unwrap()
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = config(LEAST, &[]);
    assert_eq!(config.proxy.listen, "127.0.0.1:8443".parse().unwrap());
    assert_eq!(config.proxy.limits.body_bytes, 32 << 20);
    assert_eq!(config.proxy.timeouts.upstream, Duration::from_mins(16));
    assert_eq!(config.audit.durability, Durability::Strict);
    assert_eq!(config.access_control.mode, Mode::Enforce);
    assert_eq!(config.endpoints[0].ungoverned, Ungoverned::Block);
    assert_eq!(config.endpoints[0].upstream_auth, UpstreamAuth::Passthrough);
    assert!(config.policies.watch);
    let IdentityKind::Jwt {
        audiences, leeway, ..
    } = &config.identities[0].kind
    else {
        panic!("not a jwt identity");
    };
    assert_eq!(audiences, &["https://outlook.example"]);
    assert_eq!(*leeway, Duration::from_mins(1));
}

#[test]
fn relative_paths_begin_at_the_files_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portcullis.toml");
    fs::write(&path, LEAST).unwrap();
    let config = Config::load(&path, &Environment::default()).unwrap();
    assert_eq!(
        config.proxy.tls.unwrap().certificate,
        directory.path().join("c.pem")
    );
    assert_eq!(config.policies.directory, directory.path().join("policies"));
    let store = directory.path().join("data/portcullis.db");
    assert_eq!(config.store.url, format!("sqlite:{}", store.display()));
}

#[test]
fn variables_win_over_the_file() {
    let config = config(
        LEAST,
        &[
            ("PORTCULLIS__PROXY__LISTEN", "127.0.0.1:9443"),
            ("PORTCULLIS__PROXY__LIMITS__BODY_BYTES", "1 MiB"),
            ("PORTCULLIS__PROXY__LIMITS__STREAMS", "7"),
            ("PORTCULLIS__PROXY__TLS__KEY", "other.pem"),
            ("PORTCULLIS__POLICIES__WATCH", "false"),
            ("PORTCULLIS__ENDPOINT__0__UPSTREAM", "https://other.example"),
            (
                "PORTCULLIS__ENDPOINT__0__REGIONAL_HOSTS",
                "a.example, b.example:8443",
            ),
            ("PORTCULLIS__STORE__URL", "postgres://u:secret@db.example/p"),
            ("PORTCULLIS_LOG", "debug"),
        ],
    );
    assert_eq!(config.proxy.listen.port(), 9443);
    assert_eq!(config.proxy.limits.body_bytes, 1 << 20);
    assert_eq!(config.proxy.limits.streams, 7);
    let tls = config.proxy.tls.clone().unwrap();
    assert!(tls.key.ends_with("other.pem") && tls.certificate.ends_with("c.pem"));
    assert!(!config.policies.watch);
    assert_eq!(
        config.endpoints[0].upstream.host_str(),
        Some("other.example")
    );
    assert_eq!(
        config.endpoints[0].regional_hosts,
        ["a.example", "b.example:8443"]
    );
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn problems_of_a_variable_name_it() {
    let reading = reading(
        LEAST,
        &[
            ("PORTCULLIS__PROXY__LISTEN", "here"),
            ("PORTCULLIS__PROXY__LIMTS__STREAMS", "7"),
            ("PORTCULLIS__AUDIT__DURABILITY", "strickt"),
            ("PORTCULLIS__ENDPOINT__1__PATH", "/x"),
            ("PORTCULLIS__ENDPOINT__PATH", "/x"),
            ("PORTCULLIS__PROXY__TLS", "off"),
            ("PORTCULLIS__PROXY__TLS__KEY", "k"),
            (
                "PORTCULLIS__ENDPOINT__0__UPSTREAM_AUTH__PASSWORD",
                "hunter2",
            ),
        ],
    );
    let text = shown(&reading.problems);
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text, @r#"
    environment variable PORTCULLIS__AUDIT__DURABILITY: `durability`: `strickt` is not one of `strict`, `buffered`
        did you mean `strict`?
    environment variable PORTCULLIS__ENDPOINT__0__UPSTREAM_AUTH__PASSWORD: `password` would be a secret in the configuration
        put it into a file that only the gateway can read, and name that: `password_file = "…"`
    environment variable PORTCULLIS__ENDPOINT__1__PATH: there is no `[[endpoint]]` number 1: the file has 1
        variables change sections that the file has; the first is number 0
    environment variable PORTCULLIS__ENDPOINT__PATH: `PATH` is not the number and key of a `[[endpoint]]`
        variables change sections that the file has; the first is number 0
    environment variable PORTCULLIS__PROXY__LIMTS__STREAMS: unknown key `limts` in `[proxy]`
        did you mean `limits`?
    environment variable PORTCULLIS__PROXY__LISTEN: `listen`: `here` is not an IP address and a port, such as `127.0.0.1:8443`
        `0.0.0.0:<port>` is every IPv4 address of this host, `[::]:<port>` every one
    environment variable PORTCULLIS__PROXY__TLS: it sets the whole of what PORTCULLIS__PROXY__TLS__KEY sets a part of
        keep one of the two
    "#);
}

#[test]
fn a_name_in_two_spellings_is_refused() {
    let variables = [
        ("PORTCULLIS__PROXY__LISTEN", "127.0.0.1:1"),
        ("portcullis__proxy__listen", "127.0.0.1:2"),
    ];
    insta::assert_snapshot!(shown(&reading(LEAST, &variables).problems), @r#"
    environment variable PORTCULLIS__PROXY__LISTEN: it is set twice, in different cases
    "#);
}

#[test]
fn every_problem_is_told_at_once_with_line_and_advice() {
    insta::assert_snapshot!(problems(r#"
[proxy]
lisen = "0.0.0.0:8443"
tls = { certificate = "c.pem" }
public_url = "http://gate.example/x"
workers = 0

[proxy.limits]
head_bytes = 65536
body_bytes = "10 MB"
streams = -1

[proxy.timeouts]
drain = "30"
head = 30

[contol]
listen = "127.0.0.1:8444"

[store]
url = "mysql://db"

[audit]
durability = "bufered"
node = "a b"
redact = ["Fine", "not fine"]

[policies]
watch = "perhaps"

[access_control]
mode = 7

[[endpoint]]
workload = "Ex change"
dialect = "routes"
path = "/a"
upstream = "http://outlook.example"
identity = ["one"]
upstream_auth = { mode = "oauth-client-credentials", client_secret = "hunter2" }

[[endpoint]]
workload = "Exchange"
dialect = "exchange-rst"
path = "/A/b"
upstream = "https://u:p@outlook.example/x?y"
identity = "too"
tenants = { "contoso.com" = "contoso" }
upstream_auth = { mode = "bearer", password_file = "p" }
regional_hosts = ["*.example", "https://x"]

[[identity]]
name = "two"
kind = "jwt"
issuer = ""
audience = []
jwks = "http://keys.example/"
users = "users.toml"

[[identity]]
name = "Two"
kind = "oidc"

[[identity]]
name = "three"
kind = "jwt"
issuer = "fabrikam.example"
audience = ["a"]
jwks = "jwks.json"
"#), @r#"
    portcullis.toml:3: unknown key `lisen` in `[proxy]`
        did you mean `listen`?
    portcullis.toml:4: `key` is missing in `[proxy.tls]`
        PEM file: the private key
    portcullis.toml:5: `public_url` is not an `https://` URL
        clients are sent there with their credentials
    portcullis.toml:6: `workers`: `0` is not a whole number above zero
    portcullis.toml:9: `head_bytes`: `65536` is not a size such as `64 KiB` or `10 MiB`
        write it between quotes, with its unit
    portcullis.toml:10: `body_bytes`: `10 MB` is not a size such as `64 KiB` or `10 MiB`
        write a whole number and `B`, `KiB`, `MiB` or `GiB`
    portcullis.toml:11: `streams`: `-1` is not a whole number above zero
    portcullis.toml:14: `drain`: `30` is not a span of time such as `30s` or `24h`
        write a whole number and `ms`, `s`, `m`, `h` or `d`
    portcullis.toml:15: `head`: `30` is not a span of time such as `30s` or `24h`
        write it between quotes, with its unit
    portcullis.toml:17: unknown section `contol`
        did you mean `control`?
    portcullis.toml:21: `url`: this is neither `sqlite:` and a path nor `postgres://…`
        such as `sqlite:data/portcullis.db`
    portcullis.toml:24: `durability`: `bufered` is not one of `strict`, `buffered`
        did you mean `buffered`?
    portcullis.toml:25: `node` is not a name for records
        1 to 64 letters, digits, `.`, `_` and `-`
    portcullis.toml:26: `redact`: not a parameter's name
        letters, digits and underscores, such as `SharedSecretText`
    portcullis.toml:29: `watch`: `perhaps` is not `true` or `false`
    portcullis.toml:32: `mode`: `7` is not `enforce`, `report-only` or `disabled`
        write it between quotes
    portcullis.toml:35: `workload`: `Ex change` is not a workload's name, such as `Exchange`
        a letter, then letters, digits and underscores
    portcullis.toml:36: `dialect`: `routes` is not supported in this version
        one of `exchange-rest`, `psrp`
    portcullis.toml:38: `upstream`: plain HTTP to another host: credentials would be readable on the network
        use `https://`; `http://` is for loopback addresses
    portcullis.toml:39: `identity`: there is no `[[identity]]` named `one`
        one of `two`, `Two`, `three`
    portcullis.toml:40: `client_secret` would be a secret in the configuration
        take it out: secrets stand in files of their own
    portcullis.toml:40: `mode`: `oauth-client-credentials` is not supported in this version
        one of `passthrough`, `basic`, `bearer`
    portcullis.toml:44: `dialect`: `exchange-rst` is not one of `exchange-rest`, `psrp`
        did you mean `exchange-rest`?
    portcullis.toml:45: `path`: `/a/b` and `/a` ([dir]/portcullis.toml:37) lie within each other
        give each endpoint a path that begins no other's
    portcullis.toml:46: `upstream` has a user name or password
        write the scheme, the host and, if need be, the port, and nothing else
    portcullis.toml:47: `identity`: there is no `[[identity]]` named `too`
        one of `two`, `Two`, `three`
    portcullis.toml:48: `tenants`: what stands for `contoso.com` is not a GUID
        the tenant's id, such as `6ba7b810-9dad-11d1-80b4-00c04fd430c8`
    portcullis.toml:49: `password_file` goes with `mode = "basic"` only
        take it out, or change the mode
    portcullis.toml:49: `token_file` is missing in `upstream_auth`
        `basic` wants `username` and `password_file`, `bearer` wants `token_file`
    portcullis.toml:50: `regional_hosts`: `*.example` is not a host
        each host in full, without scheme, path or `*`, such as `eur01.outlook.example`
    portcullis.toml:50: `regional_hosts`: `https://x` is not a host
        each host in full, without scheme, path or `*`, such as `eur01.outlook.example`
    portcullis.toml:55: `issuer`: it is empty
        give it a value, or take the key out
    portcullis.toml:56: `audience` is empty: no token could fit
        the `aud` of the tokens that clients bring, such as `https://outlook.office365.com`
    portcullis.toml:57: `jwks` is neither an `https://` URL nor a file
        whoever can change these keys on the way can sign in as anybody
    portcullis.toml:58: `users` goes with `kind = "basic"` only
        take it out, or change the kind
    portcullis.toml:61: the name `Two` is taken: [dir]/portcullis.toml:53 has it
        give each its own
    portcullis.toml:62: `kind`: `oidc` is not supported in this version
        one of `jwt`, `basic`
    portcullis.toml:67: `issuer` is no URI
        write the token's `iss` as it is, such as `https://sts.example/`; an issuer without a scheme cannot be told from the domain of a name
    "#);
}

#[test]
fn syntax_errors_have_lines() {
    insta::assert_snapshot!(problems("[proxy]\nlisten = \n\n[store\nurl = 'x'\n"), @r#"
    portcullis.toml:2: not TOML: string values must be quoted, expected literal string
    portcullis.toml:4: not TOML: unclosed table, expected `]`
    "#);
}

#[test]
fn an_empty_file_lacks_what_must_be_there() {
    insta::assert_snapshot!(problems(""), @r#"
    portcullis.toml: `tls` is missing in `[proxy]`
        The server's certificate, or `"off"` for plain HTTP: only on a loopback address, or with `trusted_plaintext`
    portcullis.toml: no `[[endpoint]]`: at least one is needed
        A path at the gateway and the management endpoint behind it
    portcullis.toml: no `[[identity]]`: at least one is needed
        A way to sign in
    "#);
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let reading = read(
        Path::new("/nonexistent/portcullis.toml"),
        &Environment::default(),
    );
    insta::assert_snapshot!(shown(&reading.problems), @r#"
    /nonexistent/portcullis.toml: there is no such file
        name another with `--config FILE`, or write a starter set with `portcullis init`
    "#);
}

#[test]
fn secrets_are_not_taken_from_the_file_and_not_shown() {
    for text in [
        LEAST.replace("identity = [\"entra\"]", "identity = [\"entra\"]\nupstream_auth = { mode = \"basic\", username = \"u\", password = \"hunter2\" }"),
        LEAST.replace("identity = [\"entra\"]", "identity = [\"entra\"]\nupstream_auth = { mode = \"bearer\", token = \"hunter2\" }"),
        LEAST.replace("[proxy]", "[store]\nurl = \"postgres://u:hunter2@db.example/p\"\n[proxy]"),
        LEAST.replace("https://outlook.example\"\nidentity", "https://u:hunter2@outlook.example\"\nidentity"),
    ] {
        let told = problems(&text);
        assert!(told.contains("secret") || told.contains("password"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn later_features_are_not_unknown_but_not_supported() {
    for (from, to) in [
        ("key = \"k.pem\"", "key = \"k.pem\", client_ca = \"ca.pem\""),
        ("\"exchange-rest\"", "\"routes\""),
        ("kind = \"jwt\"", "kind = \"client-certificate\""),
        ("[proxy]", "[store]\nmax_staleness = \"5s\"\n[proxy]"),
    ] {
        let told = problems_with(from, to);
        assert!(told.contains("not supported in this version"), "{told}");
        assert!(!told.contains("unknown"), "{told}");
    }
}

#[test]
fn a_broken_part_does_not_hide_the_files_of_the_others() {
    let reading = reading(&LEAST.replace("workload", "wrkload"), &[]);
    assert!(reading.config.is_none());
    let roles: Vec<_> = reading.files.iter().map(|it| it.role).collect();
    for role in [
        Role::Certificate,
        Role::Key,
        Role::Store,
        Role::AuditDirectory,
        Role::PolicyDirectory,
        Role::Jwks,
    ] {
        assert!(roles.contains(&role), "{role:?}");
    }
}

#[test]
fn a_huge_file_is_not_read() {
    assert!(problems(&"#".repeat((1 << 20) + 1)).contains("larger than 1 MiB"));
}

proptest::proptest! {
    #[test]
    fn no_file_panics(text in "([a-z_\\[\\]=\"'{}, .0-9\n]|proxy|endpoint|identity|listen|tls){0,60}") {
        let _ = problems(&text);
    }
}
