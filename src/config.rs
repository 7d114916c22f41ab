//! The configuration: `portcullis.toml`, then environment `PORTCULLIS__SECTION__KEY`, lowered to the types below.
//!
//! The `config` crate lays the environment over the file; `raw` says which keys there are, and `lower` makes
//! meaning of them. Nothing stops at the first problem: [`read`] tells all of them, with file, line and what to do. It
//! reads no file but the configuration itself; whether the files that it names are any good is for `portcullis check`,
//! and for those who open them.

mod environment;
mod file;
mod leaf;
mod load;
mod lower;
mod problem;
mod raw;
mod reader;
mod suggest;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::model::{NoticeKind, Workload};
use crate::policy::{Mode, Ungoverned};

pub use environment::{CONFIG_FILE, Environment, LOG, LOG_FORMAT, PREFIX};
pub use load::{NamedFile, Reading, Role, read};
pub use lower::is_webhook_url;
pub use problem::{ConfigProblem, Place};
pub use units::{duration_text, size_text};

/// Everything `portcullis serve` needs, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[proxy]`
    pub proxy: Proxy,
    /// `[control]`
    pub control: Control,
    /// `[store]`
    pub store: Store,
    /// `[audit]`
    pub audit: Audit,
    /// `[policies]`
    pub policies: Policies,
    /// `[access_control]`
    pub access_control: AccessControl,
    /// `[notify]` and `[[webhook]]`
    pub notify: Notify,
    /// `[[endpoint]]`, at least one; paths are distinct and none is a prefix of another.
    pub endpoints: Vec<Endpoint>,
    /// `[[identity]]`, at least one; names are distinct.
    pub identities: Vec<Identity>,
}

/// The data plane: where admin tooling points.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate and key; `None` only with `tls = "off"`, for a loopback address or behind a TLS terminator that is trusted with everything.
    pub tls: Option<ServerTls>,
    /// How clients reach the gateway, such as `https://exo-gw.contoso.example`; links in answers are rewritten to it.
    /// `None`: the authority that each request names (its `Host`).
    pub public_url: Option<url::Url>,
    /// Worker threads, each with its own runtime; default: one per core.
    pub workers: usize,
    /// Limits on size and number.
    pub limits: Limits,
    /// Limits on time.
    pub timeouts: Timeouts,
}

/// `[proxy] tls`
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// `[proxy.limits]`
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Request line and headers, bytes. Default 64 KiB.
    pub head_bytes: usize,
    /// Header fields. Default 100.
    pub head_fields: usize,
    /// Request body, bytes. Default 32 MiB (a mailbox import's certificate or a rule package is the largest thing sent).
    pub body_bytes: usize,
    /// Open client connections. Default 10,000.
    pub connections: usize,
    /// Concurrent HTTP/2 streams per connection. Default 100.
    pub streams: u32,
    /// Bytes of request bodies held at once, all connections together. Default 512 MiB.
    pub body_bytes_total: usize,
}

/// `[proxy.timeouts]`
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// From the first byte of a request head to its end, and idle keep-alive before it. Default 30 s.
    pub head: Duration,
    /// A connection without a request, or one whose client takes nothing of its answers. Default 300 s.
    pub idle: Duration,
    /// The whole request body. Default 60 s.
    pub body: Duration,
    /// Connecting upstream, with TLS. Default 10 s.
    pub connect: Duration,
    /// From sending the request upstream to the head of its answer. Default 960 s: a cmdlet may run 15 minutes.
    pub upstream: Duration,
    /// Between two chunks of an upstream answer. Default 120 s.
    pub upstream_idle: Duration,
    /// How long SIGTERM waits for calls in flight. Default 30 s.
    pub drain: Duration,
}

/// `[control]`: the management API, health and metrics.
#[derive(Clone, Debug)]
pub struct Control {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<ServerTls>,
    /// Credentials are taken over plain HTTP on an address that others can reach: a TLS terminator stands before it.
    pub trusted_plaintext: bool,
    /// How people and programs reach the API.
    pub public_url: Option<url::Url>,
    /// Names of the `[[identity]]` sections that may sign in to the API; those of all endpoints unless it is said.
    pub identity: Vec<String>,
}

/// `[store]`
#[derive(Clone)]
pub struct Store {
    /// `sqlite:<path>` (relative paths resolved, nothing escaped) or `postgres://…`; the latter may hold a password.
    pub url: String,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once(':').map_or("", |it| it.0);
        f.debug_struct("Store")
            .field("scheme", &scheme)
            .finish_non_exhaustive()
    }
}

/// When an audit record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Within 100 ms; the call does not wait.
    Buffered,
    /// On disk, before the call goes on.
    Strict,
}

/// `[audit]`
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where the segments lie.
    pub directory: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// This node's name in records; default: the host's name.
    pub node: String,
    /// A segment is closed at this size, in bytes. Default 256 MiB.
    pub segment_bytes: u64,
    /// A segment is closed at this age. Default 24 h.
    pub segment_age: Duration,
    /// Parameter names that are kept out of records, messages, listings and texts of blocks besides the built-in ones.
    pub redact: Vec<String>,
}

/// `[policies]`
#[derive(Clone, Debug)]
pub struct Policies {
    /// Where the `*.toml` files lie.
    pub directory: PathBuf,
    /// Whether a changed file is read again by itself.
    pub watch: bool,
}

/// `[access_control]`
#[derive(Clone, Debug)]
pub struct AccessControl {
    /// What the gateway does with decisions.
    pub mode: Mode,
    /// Who approves where a policy does not say.
    pub default_approver_group: Option<String>,
    /// Whose members keep the gateway.
    pub operators: Option<String>,
    /// Whose members may read the audit log through the API.
    pub auditors: Option<String>,
}

/// `[notify]` and `[[webhook]]`
#[derive(Clone, Debug)]
pub struct Notify {
    /// Where people sign in to decide: messages link to `requests/<id>` below it.
    pub link: Option<url::Url>,
    /// A request that waits this long is brought to mind once.
    pub remind_after: Option<Duration>,
    /// A request that waits this long is told to others too.
    pub escalate_after: Option<Duration>,
    /// The addresses of those others; taken grants (break-glass) are told to them at once.
    pub escalate_to: Vec<String>,
    /// A message that could not be delivered for this long is given up. Default 3 days.
    pub give_up_after: Duration,
    /// Where templates lie that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// `[notify.smtp]`
    pub smtp: Option<Smtp>,
    /// `[[webhook]]`; names are distinct, and none is `mail`.
    pub webhooks: Vec<Webhook>,
}

impl Default for Notify {
    /// Nobody is told anything.
    fn default() -> Self {
        Self {
            link: None,
            remind_after: None,
            escalate_after: None,
            escalate_to: Vec::new(),
            give_up_after: Duration::from_hours(72),
            templates: None,
            smtp: None,
            webhooks: Vec::new(),
        }
    }
}

/// `[notify.smtp]`
#[derive(Clone, Debug)]
pub struct Smtp {
    /// The server's name or address, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub tls: SmtpTls,
    /// A PEM file of CAs to trust instead of the platform's.
    pub ca: Option<PathBuf>,
    /// Who mails come from, such as `Portcullis <portcullis@fabrikam.example>`.
    pub from: String,
    /// The user to sign in as, and the file that holds the password.
    pub sign_in: Option<(String, PathBuf)>,
    /// What makes an address of an account's name without `@`.
    pub domain: Option<String>,
    /// From connecting to the server's last word. Default 30 s.
    pub timeout: Duration,
    /// Mails on the way at once. Default 2.
    pub connections: usize,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte (port 465).
    Implicit,
    /// Not at all.
    Off,
    /// By `STARTTLS`, without which nothing is sent (port 587).
    StartTls,
}

/// `[[webhook]]`
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name, which listings, records and metrics show.
    pub name: String,
    /// Where messages are posted.
    pub url: WebhookUrl,
    /// What they look like.
    pub shape: WebhookShape,
    /// The file that holds the key that messages are signed with.
    pub secret_file: Option<PathBuf>,
    /// A PEM file of CAs to trust instead of the platform's.
    pub ca: Option<PathBuf>,
    /// The kinds of events that are posted.
    pub events: Vec<NoticeKind>,
    /// From connecting to the end of the answer. Default 10 s.
    pub timeout: Duration,
    /// Messages on the way at once. Default 2.
    pub connections: usize,
}

/// Where a webhook's URL stands.
#[derive(Clone)]
pub enum WebhookUrl {
    /// In a file, since whoever knows it can post.
    File(PathBuf),
    /// In the configuration: an https URL, or http on a loopback address.
    Url(url::Url),
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // The path of a URL is often all that a stranger needs to post.
            Self::Url(url) => f.debug_tuple("Url").field(&url.host_str()).finish(),
        }
    }
}

/// What a webhook's messages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookShape {
    /// Portcullis' own: every field of the notice.
    Json,
    /// A message of Slack's incoming webhooks.
    Slack,
    /// An adaptive card, as Teams' workflows take it.
    Teams,
}

/// `[[endpoint]]`
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The first half of its tasks' names.
    pub workload: Workload,
    /// Its wire protocol.
    pub dialect: Dialect,
    /// Its path at the gateway, such as `/adminapi`; lower case, no trailing slash.
    pub path: String,
    /// Where the calls go: scheme, host, port; no path.
    pub upstream: url::Url,
    /// A PEM file of CAs to trust upstream instead of the platform's.
    pub upstream_ca: Option<PathBuf>,
    /// Hosts (`host` or `host:port`, lower case) besides the upstream's own that a redirect or a nextLink may lead to.
    pub regional_hosts: Vec<String>,
    /// Names of the `[[identity]]` sections that may sign in here.
    pub identity: Vec<String>,
    /// Domains that a URL may name in place of a tenant's GUID: domain (lower case) and GUID.
    pub tenants: Vec<(String, String)>,
    /// What happens to a task without a policy.
    pub ungoverned: Ungoverned,
    /// Blocks are recorded but not enforced.
    pub report_only: bool,
    /// How the gateway signs in upstream.
    pub upstream_auth: UpstreamAuth,
    /// Which sessions there may be; with the dialect `psrp`, and there only.
    pub remoting: Option<Remoting>,
}

/// `[[endpoint]] remoting`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remoting {
    /// The configuration that clients name: `Microsoft.Exchange`.
    pub configuration: String,
    /// Sessions of one person at once. Default 10.
    pub shells_per_principal: usize,
    /// Sessions of all people at once. Default 1,000.
    pub shells: usize,
    /// Pipelines of one session at once. Default 32.
    pub pipelines_per_shell: usize,
    /// Bytes that one session may hold. Default 8 MiB.
    pub reassembly_bytes: usize,
    /// A session that asks for nothing this long is closed. Default 15 minutes.
    pub idle: Duration,
}

/// How the gateway signs in upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAuth {
    /// A user's name, and a file that holds the password.
    Basic {
        /// The user's name.
        username: String,
        /// The file, read anew when it changes.
        password_file: PathBuf,
    },
    /// A file that holds a token, read anew when it changes.
    Bearer {
        /// The file.
        token_file: PathBuf,
    },
    /// The caller's own `Authorization`.
    Passthrough,
}

/// `[[identity]]`
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, which endpoints list.
    pub name: String,
    /// What it verifies.
    pub kind: IdentityKind,
}

/// What an `[[identity]]` verifies.
#[derive(Clone, Debug)]
pub enum IdentityKind {
    /// Basic credentials against a file of users.
    Basic {
        /// The file: TOML, `[[user]] name = …, password_hash = "$argon2id$…"`.
        users: PathBuf,
    },
    /// Bearer tokens: JWTs.
    Jwt {
        /// `iss`, exactly.
        issuer: String,
        /// `aud`: one of these, exactly.
        audiences: Vec<String>,
        /// `tid`: one of these; empty: the claim is not looked at.
        tenants: Vec<String>,
        /// Where the keys are.
        jwks: Jwks,
        /// Clock difference that is forgiven. Default 60 s.
        leeway: Duration,
        /// How the command line comes by a token, if the issuer has the device flow.
        device: Option<Box<DeviceFlow>>,
    },
}

/// Where and as what the command line asks for a token by the OAuth 2.0 device flow (RFC 8628). Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFlow {
    /// Where the flow begins: `https://`, or `http://` on this host.
    pub device_authorization_endpoint: url::Url,
    /// Where tokens are given, likewise.
    pub token_endpoint: url::Url,
    /// The public client that the command line is.
    pub client_id: String,
    /// What the token is asked for.
    pub scope: Option<String>,
}

/// Where a JWT issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// A file, read anew when it changes.
    File(PathBuf),
    /// An https URL (or http on a loopback address), fetched anew as it ages.
    Url(url::Url),
}

#[cfg(test)]
pub(crate) use tests::reference;
