//! The file as it is written: every key, with its documentation, its default and its type on the page.
//!
//! What stands here is the reference: `docs/configuration.md` repeats it word for word, and a test compares them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use config::ValueKind;
use url::Url;

use crate::dialect::Dialect;
use crate::model::{NoticeKind, Workload};
use crate::policy::{Mode, Ungoverned};

use super::leaf::{Leaf, List, Size, word, words};
use super::problem::{Place, Wrong};
use super::reader::Presence::{Default, Optional, Required, Section};
use super::reader::{At, Key, Nested, Node, Read, Reader, Tables, section};
use super::{Durability, SmtpTls, WebhookShape};

section! {
    /// `portcullis.toml`.
    RawConfig {
        /// The data plane: where admin tooling points.
        proxy: RawProxy = Section;
        /// Health and metrics.
        control: RawControl = Section;
        /// Where requests, approvals and grants are kept.
        store: RawStore = Section;
        /// The audit log.
        audit: RawAudit = Section;
        /// The policy files.
        policies: RawPolicies = Section;
        /// What the gateway does with decisions.
        access_control: RawAccessControl = Section;
        /// Whom the gateway tells what happens.
        notify: RawNotify = Section;
        /// A program that is told what happens.
        webhook: Tables<RawWebhook> = Optional("none");
        /// A path at the gateway and the management endpoint behind it.
        endpoint: Tables<RawEndpoint> = Required;
        /// A way to sign in.
        identity: Tables<RawIdentity> = Required;
    }
}

impl RawConfig {
    /// Reads the root of the layered values.
    pub(super) fn read_root(values: config::Value, reader: &mut Reader<'_>) -> Option<Self> {
        let root = Node {
            path: String::new(),
            place: Place::File(reader.file.to_owned()),
            kind: values.kind,
        };
        Self::read(root, reader)
    }
}

section! {
    /// `[proxy]`
    RawProxy {
        /// Address and port that admin tooling connects to. `0.0.0.0:8443` is every IPv4 address of this host.
        listen: SocketAddr = Default("127.0.0.1:8443");
        /// The server's certificate, or `"off"` for plain HTTP: only on a loopback address, or with `trusted_plaintext`.
        tls: RawTls = Required;
        /// That whoever can reach `listen` may read and write all traffic, because a TLS terminator stands before it on a network of its own.
        trusted_plaintext: bool = Default("false");
        /// How clients reach the gateway, such as `https://exo-gw.contoso.example`: links in answers are rewritten to it.
        public_url: Url = Optional("what each request names in `Host`");
        /// Worker threads, each with its own runtime.
        workers: NonZeroU32 = Optional("one per core");
        /// Bounds on size and number; what goes beyond them is refused.
        limits: RawLimits = Section;
        /// Bounds on time; what goes beyond them is cut off.
        timeouts: RawTimeouts = Section;
    }
}

section! {
    /// `[proxy] tls`
    RawServerTls {
        /// PEM file: the certificate chain, leaf first. Read anew when it changes.
        certificate: String = Required;
        /// PEM file: the private key. Read anew when it changes.
        key: String = Required;
    }
}

section! {
    /// `[proxy.limits]`
    RawLimits {
        /// Request line and headers of one request.
        head_bytes: Size = Default("64 KiB");
        /// Header fields of one request.
        head_fields: NonZeroU32 = Default("100");
        /// Body of one request.
        body_bytes: Size = Default("32 MiB");
        /// Bodies of all requests held at once, and what all sessions of remoting hold, with what their values take, and answers that their clients have not read.
        body_bytes_total: Size = Default("512 MiB");
        /// Open client connections.
        connections: NonZeroU32 = Default("10000");
        /// Concurrent HTTP/2 streams of one connection.
        streams: NonZeroU32 = Default("100");
    }
}

section! {
    /// `[proxy.timeouts]`
    RawTimeouts {
        /// A TLS handshake.
        handshake: Duration = Default("10s");
        /// From the first byte of a request's head to its last.
        head: Duration = Default("30s");
        /// A connection without a request, or one whose client takes nothing of its answers.
        idle: Duration = Default("300s");
        /// A whole request body.
        body: Duration = Default("60s");
        /// Connecting upstream, with TLS.
        connect: Duration = Default("10s");
        /// From sending a request upstream to the head of its answer; a cmdlet may run for 15 minutes.
        upstream: Duration = Default("960s");
        /// Between two pieces of an upstream answer.
        upstream_idle: Duration = Default("120s");
        /// How long a stop waits for calls in flight, and then for servers to close sessions of remoting.
        drain: Duration = Default("30s");
    }
}

section! {
    /// `[control]`
    RawControl {
        /// Address and port of the management API, `/healthz`, `/readyz` and `/metrics`.
        listen: SocketAddr = Default("127.0.0.1:8444");
        /// The server's certificate, or `"off"` for plain HTTP: then the API takes credentials on a loopback address only, or with `trusted_plaintext`.
        tls: RawTls = Optional("`\"off\"`");
        /// That whoever can reach `listen` may read and write all traffic, because a TLS terminator stands before it on a network of its own.
        trusted_plaintext: bool = Default("false");
        /// How people and programs reach the API, such as `https://pam.fabrikam.example`: its host is taken on a loopback address too.
        public_url: Url = Optional("on a loopback address, only that address and `localhost`");
        /// Names of the `[[identity]]` sections that may sign in to the API.
        identity: List<String> = Optional("those of all endpoints");
    }
}

section! {
    /// `[store]`
    RawStore {
        /// `sqlite:` and a file's path, or `postgres://…`; a `postgres` URL with a password is taken from the environment only.
        url: String = Default("sqlite:data/portcullis.db");
    }
}

section! {
    /// `[audit]`
    RawAudit {
        /// Where the log's segments lie.
        directory: String = Default("data/audit");
        /// When a record counts as written: `strict` (on disk before the call goes on) or `buffered` (within 100 ms; the call does not wait).
        durability: Durability = Default("strict");
        /// This node's name in records: letters, digits, `.`, `_` and `-`.
        node: String = Optional("the host's name");
        /// A segment is closed at this size,
        segment_bytes: Size = Default("256 MiB");
        /// or at this age.
        segment_age: Duration = Default("24h");
        /// Names of parameters whose values are kept out of records, messages, listings and the texts of blocks, and which cannot be pinned, besides the built-in ones (passwords, credentials, keys, tokens).
        redact: List<String> = Optional("none");
    }
}

section! {
    /// `[policies]`
    RawPolicies {
        /// Where the policy files lie: every `*.toml` in it.
        directory: String = Default("policies");
        /// Whether a changed file is read again by itself; SIGHUP does so in any case.
        watch: bool = Default("true");
    }
}

section! {
    /// `[access_control]`
    RawAccessControl {
        /// `enforce`, `report-only` (blocks are recorded but not enforced) or `disabled` (everything passes, and is still recorded).
        mode: Mode = Default("enforce");
        /// The group that approves where a policy names none.
        default_approver_group: String = Optional("every manual policy names its own");
        /// The group whose members keep the gateway: they change policies of the store, switch access control, and revoke and review any grant.
        operators: String = Optional("nobody");
        /// The group whose members may read the audit log through the API, as operators may.
        auditors: String = Optional("operators only");
    }
}

section! {
    /// `[notify]`
    RawNotify {
        /// Where people sign in to decide, such as `https://pam.fabrikam.example`: messages link to `requests/<id>` below it.
        link: Url = Optional("messages name the command to type instead");
        /// A request that waits this long, or a break-glass grant that nobody has reviewed by then, is brought to its approvers' minds once more.
        remind_after: Duration = Optional("no reminder");
        /// A request that waits this long is told to `escalate_to` too; a break-glass grant that nobody has reviewed by then, to approvers and `escalate_to`.
        escalate_after: Duration = Optional("no escalation");
        /// Mail addresses of those who are told of requests that wait too long, and at once of grants that are taken without approval.
        escalate_to: List<String> = Optional("nobody");
        /// A message that could not be delivered for this long is given up, and put on record.
        give_up_after: Duration = Default("3d");
        /// Where templates lie that take the place of the built-in ones.
        templates: String = Optional("the built-in ones");
        /// The mail server that takes the messages.
        smtp: RawSmtp = Optional("no mail is sent");
    }
}

section! {
    /// `[notify.smtp]`
    RawSmtp {
        /// The mail server, such as `mail.fabrikam.example`, with `:` and a port if it is not the usual one (587; 465 with `implicit`, 25 with `off`).
        server: String = Required;
        /// `starttls` (nothing is sent if the server has none), `implicit` (TLS from the first byte) or `off`: only to a loopback address, or with `trusted_plaintext`.
        tls: SmtpTls = Default("starttls");
        /// That nobody on the way to the mail server can read or write what is sent to it in plain text.
        trusted_plaintext: bool = Default("false");
        /// PEM file of the certificate authorities to trust.
        ca: String = Optional("the platform's");
        /// Who messages come from, such as `Portcullis <portcullis@fabrikam.example>`.
        from: String = Required;
        /// The user to sign in as at the mail server.
        username: String = Optional("nobody signs in");
        /// The file that holds the user's password, read anew for each message.
        password_file: String = Optional("none");
        /// What makes a mail address of an account's name without `@`, such as `fabrikam.example`.
        domain: String = Optional("such accounts get no mail");
        /// From connecting to the server's last word about a message.
        timeout: Duration = Default("30s");
        /// Messages on the way at once.
        connections: NonZeroU32 = Default("2");
    }
}

section! {
    /// `[[webhook]]`
    RawWebhook {
        /// Its name, which listings, records and metrics show: letters, digits, `.`, `_` and `-`.
        name: String = Required;
        /// Where messages are posted: `https://`; `http://` only to a loopback address.
        url: Url = Optional("`url_file` has it");
        /// The file that holds the URL, if knowing it is enough to post there; read anew for each message.
        url_file: String = Optional("`url` says it");
        /// What messages look like: `json` (every field), `slack` or `teams` (an adaptive card).
        shape: WebhookShape = Default("json");
        /// The file that holds the key that messages are signed with, read anew for each message.
        secret_file: String = Optional("messages are not signed");
        /// PEM file of the certificate authorities to trust.
        ca: String = Optional("the platform's");
        /// The kinds of events that are posted, such as `request-filed`.
        events: List<NoticeKind> = Optional("all");
        /// From connecting to the end of the answer.
        timeout: Duration = Default("10s");
        /// Messages on the way at once.
        connections: NonZeroU32 = Default("2");
    }
}

section! {
    /// `[[endpoint]]`
    RawEndpoint {
        /// The first half of its tasks' names, such as `Exchange`.
        workload: Workload = Required;
        /// Its wire protocol: `exchange-rest` (Exchange's admin API) or `psrp` (PowerShell remoting).
        dialect: Dialect = Required;
        /// Its path at the gateway and upstream, such as `/adminapi` or `/powershell`. No endpoint's path may begin another's.
        path: String = Required;
        /// Where calls go: `https://` and a host, with a port if it is not 443; `http://` only to a loopback address.
        upstream: Url = Required;
        /// PEM file of the certificate authorities to trust upstream.
        upstream_ca: String = Optional("the platform's");
        /// With `exchange-rest`: hosts (`host` or `host:port`) besides the upstream's own that a redirect or a next-page link may lead to.
        regional_hosts: List<String> = Optional("none");
        /// Names of the `[[identity]]` sections that may sign in here.
        identity: List<String> = Required;
        /// With `exchange-rest`: domains that a URL may name in place of a tenant's GUID: `{ "contoso.com" = "<GUID>" }`. Callers whose sign-in names no tenant may name only these.
        tenants: Tenants = Optional("none");
        /// What happens to a task that no policy governs: `allow` (as in Microsoft 365) or `block`.
        ungoverned: Ungoverned = Default("block");
        /// Whether blocks are recorded but not enforced here.
        report_only: bool = Default("false");
        /// How the gateway signs in upstream.
        upstream_auth: RawUpstreamAuth = Section;
        /// With `psrp`: which sessions there may be.
        remoting: RawRemoting = Optional("the defaults, with `psrp`");
    }
}

section! {
    /// `[[endpoint]] remoting`
    RawRemoting {
        /// The configuration that clients name (`-ConfigurationName`) and that goes upstream; no other is served.
        configuration: String = Default("Microsoft.Exchange");
        /// Sessions of one person at once.
        shells_per_principal: NonZeroU32 = Default("10");
        /// Sessions of all people at once.
        shells: NonZeroU32 = Default("1000");
        /// Pipelines of one session at once.
        pipelines_per_shell: NonZeroU32 = Default("32");
        /// What one session may hold: messages that are not whole yet, and the pipelines that wait for approval or run; and as much again of answers that its clients have not read.
        reassembly: Size = Default("8 MiB");
        /// A session that asks for nothing this long is closed, here and upstream.
        idle: Duration = Default("15m");
    }
}

section! {
    /// `[[endpoint]] upstream_auth`
    RawUpstreamAuth {
        /// `passthrough` (the caller's own credential), `basic` (a user and a password file) or `bearer` (a token file).
        mode: AuthMode = Default("passthrough");
        /// With `basic`: the user's name.
        username: String = Optional("none");
        /// With `basic`: the file that holds the password, read anew when it changes.
        password_file: String = Optional("none");
        /// With `bearer`: the file that holds the token, read anew when it changes.
        token_file: String = Optional("none");
    }
}

section! {
    /// `[[identity]]`
    RawIdentity {
        /// Its name, which endpoints list and records show.
        name: String = Required;
        /// What it verifies: `jwt` (bearer tokens) or `basic` (names and passwords of a local user file).
        kind: KindWord = Required;
        /// With `jwt`: the token's `iss`, exactly.
        issuer: String = Optional("none");
        /// With `jwt`: the token's `aud`, exactly; one or a list of which one must fit.
        audience: List<String> = Optional("none");
        /// With `jwt`: the token's `tid`, a list of which one must fit.
        tenants: List<String> = Optional("any");
        /// With `jwt`: the issuer's keys (a JSON Web Key Set): an `https://` URL, or a file.
        jwks: String = Optional("none");
        /// With `jwt`: how far clocks may differ.
        leeway: Duration = Optional("60s");
        /// With `basic`: the file of users; `portcullis user hash-password` makes its hashes.
        users: String = Optional("none");
        /// With `jwt`, for `portcullis login --device`: where the issuer begins the device flow (RFC 8628).
        device_authorization_endpoint: Url = Optional("no device flow");
        /// With `jwt`, for `portcullis login --device`: where the issuer gives tokens.
        token_endpoint: Url = Optional("no device flow");
        /// With `jwt`, for `portcullis login --device`: what the command line is registered as at the issuer, as a public client.
        client_id: String = Optional("no device flow");
        /// With `jwt`, for `portcullis login --device`: what the token is asked for, such as `api://portcullis/.default offline_access`.
        scope: String = Optional("whatever the issuer gives");
    }
}

words!(Durability, "`strict` or `buffered`", {
    "strict" => Self::Strict,
    "buffered" => Self::Buffered,
}, later: []);

words!(Mode, "`enforce`, `report-only` or `disabled`", {
    "enforce" => Self::Enforce,
    "report-only" => Self::ReportOnly,
    "disabled" => Self::Disabled,
}, later: []);

words!(Ungoverned, "`allow` or `block`", {
    "allow" => Self::Allow,
    "block" => Self::Block,
}, later: []);

words!(Dialect, "`exchange-rest` or `psrp`", {
    "exchange-rest" => Self::ExchangeRest,
    "psrp" => Self::Psrp,
}, later: ["routes"]);

words!(SmtpTls, "`starttls`, `implicit` or `off`", {
    "starttls" => Self::StartTls,
    "implicit" => Self::Implicit,
    "off" => Self::Off,
}, later: []);

words!(WebhookShape, "`json`, `slack` or `teams`", {
    "json" => Self::Json,
    "slack" => Self::Slack,
    "teams" => Self::Teams,
}, later: []);

impl Leaf for NoticeKind {
    const EXPECTED: &'static str = "a kind of event, such as `request-filed`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        word(text, &Self::ALL.map(|it| (it.as_str(), it)), &[])
    }
}

/// `[[endpoint]] upstream_auth = { mode = … }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthMode {
    Basic,
    Bearer,
    Passthrough,
}

words!(AuthMode, "`passthrough`, `basic` or `bearer`", {
    "passthrough" => Self::Passthrough,
    "basic" => Self::Basic,
    "bearer" => Self::Bearer,
}, later: ["client-certificate", "oauth-client-credentials"]);

/// `[[identity]] kind = …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindWord {
    Basic,
    Jwt,
}

words!(KindWord, "`jwt` or `basic`", {
    "jwt" => Self::Jwt,
    "basic" => Self::Basic,
}, later: ["client-certificate", "kerberos", "oidc"]);

/// `"off"`, or a certificate and its key.
#[derive(Debug)]
pub(super) enum RawTls {
    Off,
    On(RawServerTls),
}

impl Read for RawTls {
    fn nested() -> Nested {
        RawServerTls::nested()
    }

    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.kind {
            ValueKind::Table(_) => RawServerTls::read(node, reader).map(Self::On),
            ValueKind::String(text) if text == "off" => Some(Self::Off),
            _ => {
                let wrong = Wrong {
                    message: "this is neither `\"off\"` nor a certificate and its key".to_owned(),
                    hint: Some("write `{ certificate = \"certs/server.pem\", key = \"certs/server-key.pem\" }`".to_owned()),
                };
                reader.wrong(&node, wrong);
                None
            }
        }
    }
}

/// Domains and the tenants that they stand for: domain in lower case, and GUID.
#[derive(Debug)]
pub(super) struct Tenants(pub(super) Vec<(String, String)>);

impl Read for Tenants {
    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
        let ValueKind::Table(entries) = node.kind else {
            let wrong = Wrong {
                message: "this is not a table of domains".to_owned(),
                hint: Some("write `{ \"contoso.com\" = \"<the tenant's GUID>\" }`".to_owned()),
            };
            reader.wrong(&node, wrong);
            return None;
        };
        let mut tenants = Vec::new();
        for (domain, value) in entries {
            let node = reader.node(node.path.clone(), value);
            let domain = domain.to_ascii_lowercase();
            match &node.kind {
                _ if !super::lower::is_host(&domain) => {
                    reader.wrong(&node, Wrong::text(&domain, "a domain"));
                }
                ValueKind::String(text)
                    if uuid::Uuid::try_parse(text).is_ok() && text.len() == 36 =>
                {
                    tenants.push((domain, text.to_ascii_lowercase()));
                }
                _ => {
                    let wrong = Wrong {
                        message: format!("what stands for `{domain}` is not a GUID"),
                        hint: Some(
                            "the tenant's id, such as `6ba7b810-9dad-11d1-80b4-00c04fd430c8`"
                                .to_owned(),
                        ),
                    };
                    reader.wrong(&node, wrong);
                }
            }
        }
        tenants.sort();
        Some(Self(tenants))
    }
}
