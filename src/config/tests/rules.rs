//! What values may be, by themselves and beside each other.

use super::*;

#[test]
fn sessions_have_their_bounds_where_they_can_be_and_nowhere_else() {
    let of = |lines: &str| LEAST.replace("dialect = \"exchange-rest\"", lines);
    let remoting = |lines: &str| config(&of(lines), &[]).endpoints[0].remoting.clone();
    assert_eq!(remoting("dialect = \"exchange-rest\""), None);
    let usual = Remoting {
        configuration: "Microsoft.Exchange".to_owned(),
        shells_per_principal: 10,
        shells: 1000,
        pipelines_per_shell: 32,
        reassembly_bytes: 8 << 20,
        idle: Duration::from_mins(15),
    };
    assert_eq!(remoting("dialect = \"psrp\""), Some(usual.clone()));
    let other = "dialect = \"psrp\"\nremoting = { configuration = \"Contoso.Tools\", shells = 3, idle = \"1m\" }";
    let other = remoting(other);
    assert_eq!(
        other,
        Some(Remoting {
            configuration: "Contoso.Tools".to_owned(),
            shells: 3,
            idle: Duration::from_mins(1),
            ..usual
        })
    );
    let wrong = [
        (
            "dialect = \"exchange-rest\"\nremoting = { shells = 3 }",
            "`remoting` goes with `dialect = \"psrp\"` only",
        ),
        (
            "dialect = \"psrp\"\nregional_hosts = [\"a.example\"]",
            "`regional_hosts` goes with `dialect = \"exchange-rest\"` only",
        ),
        (
            "dialect = \"psrp\"\nremoting = { idle = \"1s\" }",
            "`idle` is not from 10s to 24h",
        ),
        (
            "dialect = \"psrp\"\nremoting = { configuration = \"http://x/y\" }",
            "`configuration`: `http://x/y` is not a configuration's name",
        ),
        (
            "dialect = \"psrp\"\nremoting = { shell = 3 }",
            "unknown key `shell`",
        ),
        (
            "dialect = \"psrp\"\nremoting = { shells = 0 }",
            "`shells`: `0` is not a whole number above zero",
        ),
    ];
    for (lines, message) in wrong {
        let told = reading(&of(lines), &[]).problems;
        assert!(
            told.len() == 1 && told[0].message.contains(message),
            "{told:?}"
        );
    }
}

#[test]
fn plaintext_stays_on_this_host_unless_it_is_trusted() {
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\" }";
    assert_eq!(problems_with(tls, "tls = \"off\""), "");
    assert_eq!(
        problems_with(
            tls,
            "tls = \"off\"\nlisten = \"0.0.0.0:80\"\ntrusted_plaintext = true"
        ),
        ""
    );
    assert!(
        problems_with(tls, "tls = \"off\"\nlisten = \"0.0.0.0:80\"")
            .contains("readable on the network")
    );
}

#[test]
fn endpoint_paths_are_whole_segments_that_begin_no_other() {
    for bad in [
        "adminapi",
        "/",
        "/adminapi/",
        "//a",
        "/a/../b",
        "/a b",
        "/a%2fb",
        "/a?b",
        "",
    ] {
        let told = problems_with("path = \"/adminapi\"", &format!("path = \"{bad}\""));
        assert!(told.contains("`path`"), "{bad}: {told}");
    }
    let both = |one: &str, two: &str| {
        let (_, section) = LEAST.split_once("[[endpoint]]").unwrap();
        let (section, _) = section.split_once("[[identity]]").unwrap();
        let text = LEAST.replacen("/adminapi", one, 1)
            + "[[endpoint]]"
            + &section.replacen("/adminapi", two, 1);
        problems(&text)
    };
    assert_eq!(both("/api", "/apiary"), "");
    assert!(both("/api", "/API").contains("is taken"));
    assert!(both("/api", "/api/v1").contains("lie within each other"));
}

#[test]
fn paths_are_taken_in_lower_case() {
    let config = config(&LEAST.replace("/adminapi", "/AdminApi"), &[]);
    assert_eq!(config.endpoints[0].path, "/adminapi");
}

#[test]
fn upstreams_and_keys_are_reached_over_https_or_on_this_host() {
    let upstream = "upstream = \"https://outlook.example\"";
    for good in [
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://localhost:9",
        "https://x.example:8443",
        "https://x.example/",
    ] {
        assert_eq!(
            problems_with(upstream, &format!("upstream = \"{good}\"")),
            "",
            "{good}"
        );
    }
    for bad in [
        "http://127.0.0.1.example",
        "ftp://x.example",
        "https://x.example/a",
        "https://x.example?a",
        "https://x.example#a",
        "https://u@x.example",
        "x.example",
        "https://127.0.0.1:8443",
    ] {
        assert_ne!(
            problems_with(upstream, &format!("upstream = \"{bad}\"")),
            "",
            "{bad}"
        );
    }
    for (jwks, is_good) in [
        ("https://k.example/keys", true),
        ("http://127.0.0.1/keys", true),
        ("http://k.example/keys", false),
        ("file:///keys", false),
    ] {
        assert_eq!(
            problems_with("keys.json", jwks).is_empty(),
            is_good,
            "{jwks}"
        );
    }
}

#[test]
fn a_device_flow_is_whole_and_reached_over_https_or_on_this_host() {
    let whole = |device: &str, token: &str| {
        let keys = format!(
            "jwks = \"keys.json\"\nclient_id = \"cli\"\ndevice_authorization_endpoint = \"{device}\"\ntoken_endpoint = \"{token}\""
        );
        problems_with("jwks = \"keys.json\"", &keys)
    };
    assert_eq!(whole("https://i.example/d", "https://i.example/t"), "");
    assert_eq!(whole("http://127.0.0.1/d", "http://localhost/t"), "");
    for (device, token) in [
        ("http://i.example/d", "https://i.example/t"),
        ("https://i.example/d", "https://u:p@i.example/t"),
        ("https://i.example/d", "ftp://127.0.0.1/t"),
    ] {
        assert_ne!(whole(device, token), "", "{device} {token}");
    }
    let half = problems_with(
        "jwks = \"keys.json\"",
        "jwks = \"keys.json\"\nclient_id = \"cli\"",
    );
    insta::assert_snapshot!(half, @r"
    portcullis.toml:12: the device flow of `[[identity]]` is not whole
        it wants `device_authorization_endpoint`, `token_endpoint` and `client_id`, or none of them
    ");
}

#[test]
fn the_two_listeners_do_not_want_one_port() {
    let control =
        |address: &str| problems(&format!("{LEAST}\n[control]\nlisten = \"{address}\"\n"));
    assert!(control("127.0.0.1:8443").contains("also where `[proxy]` listens"));
    assert!(control("0.0.0.0:8443").contains("also where `[proxy]` listens"));
    assert_eq!(control("127.0.0.2:8443"), "");
}

#[test]
fn an_identity_of_the_control_listener_alone_is_in_use() {
    let text = format!(
        "{LEAST}\n[[identity]]\nname = \"desk\"\nkind = \"basic\"\nusers = \"users.toml\"\n"
    );
    let warnings = |text: &str| shown(&reading(text, &[]).warnings);
    assert!(warnings(&text).contains("no endpoint lists the identity `desk`"));
    let used = format!("{text}[control]\nlisten = \"127.0.0.1:8444\"\nidentity = [\"desk\"]\n");
    assert!(!warnings(&used).contains("`desk`"), "{}", warnings(&used));
}

#[test]
fn what_is_doubtful_is_a_warning_and_no_problem() {
    let text = LEAST.replace("[\"entra\"]", "[\"local\", \"entra\"]")
        + "[[identity]]\nname = \"local\"\nkind = \"basic\"\nusers = \"users.toml\"\n[[identity]]\nname = \"idle\"\nkind = \"basic\"\nusers = \"users.toml\"\n[control]\nlisten = \"0.0.0.0:8444\"\n[access_control]\nmode = \"disabled\"\n";
    let reading = reading(&text, &[]);
    assert!(reading.config.is_some());
    insta::assert_snapshot!(shown(&reading.warnings), @r#"
    portcullis.toml:5: `upstream_auth`: passwords of `local` are passed on to the upstream
        have the gateway sign in itself, with `mode = "basic"` or `"bearer"`, unless the upstream has the same users
    portcullis.toml:23: `name`: no endpoint lists the identity `idle`
        add it to an endpoint's `identity`, or take the section out
    portcullis.toml:27: `listen`: plain HTTP, on an address that others can reach: health and metrics are served there, and the API refuses all credentials
        set `tls` under `[control]`, or listen on 127.0.0.1; or, behind a TLS terminator on a network of its own, set `trusted_plaintext = true`
    portcullis.toml:29: `mode`: access control is disabled, every call passes
        `enforce`, when you are ready
    "#);
}
