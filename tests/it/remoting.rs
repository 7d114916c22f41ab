//! PowerShell remoting through the real binary, in front of a server that does what the test tells it.

mod bounds;
mod client;
mod life;
mod on_its_way;
mod order;
mod server;
mod sharing;
mod unasked;
mod waiting;

use std::collections::BTreeMap;

use portcullis::dialect::psrp::soap::{Operation, Response};
use serde_json::Value;

use crate::gateway::{Gateway, POLICIES, Setup};

use self::client::Session;
use self::server::Server;

pub(super) const CONFIGURATION: &str = "Microsoft.Exchange";

/// The gateway signs in at the server by itself.
const OWN: &str =
    r#"{ mode = "basic", username = "svc@contoso.example", password_file = "upstream-token" }"#;

/// Policies beside the usual ones.
const MORE: &str = r#"
[[cmdlet]]
tasks = ['Exchange\Test-Death', 'Exchange\Test-Doubt', 'Exchange\Test-Failure', 'Exchange\Test-Silence', 'Exchange\Test-Slow']
effect = "read"

[[cmdlet]]
tasks = ['Exchange\Remove-Silence', 'Exchange\Remove-Waiting']
effect = "destroy"

[[person]]
name = "Bo"
accounts = ["bo@contoso.example", "sys1@contoso.example"]

[[policy]]
task = 'Exchange\Wait-Release'
approval = "auto"

[[policy]]
task = 'Exchange\Set-User'
approval = "auto"
[policy.parameters]
Identity = { pattern = 'guest-.*' }

[[policy]]
task = 'Exchange\Set-Contact'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1

[[policy]]
task = 'Exchange\New-Mailbox'
approval = "manual"
approvers = ["mbmanagers"]
on_block = "hold"
hold_seconds = 600

[[policy]]
task = 'Exchange\New-Refusal'
approval = "manual"
approvers = ["mbmanagers"]
on_block = "hold"
hold_seconds = 600

[[policy]]
task = 'Exchange\New-MailContact'
approval = "manual"
approvers = ["mbmanagers"]
on_block = "hold"
hold_seconds = 1
"#;

/// A gateway with an endpoint for remoting beside the usual one, and the server behind it.
struct Lab {
    gateway: Gateway,
    server: Server,
}

impl Lab {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With these lines in the endpoint's section.
    async fn with(lines: &str) -> Self {
        Self::with_proxy("", lines).await
    }

    /// With these lines in the proxy's section, and these in the endpoint's.
    async fn with_proxy(proxy: &str, lines: &str) -> Self {
        Self::with_credential(OWN, proxy, lines).await
    }

    /// With the callers' own credentials at the server.
    async fn passing_through() -> Self {
        Self::with_credential(r#"{ mode = "passthrough" }"#, "", "").await
    }

    async fn with_credential(credential: &str, proxy: &str, lines: &str) -> Self {
        Self::in_front_of(Server::start().await, credential, proxy, lines).await
    }

    /// In front of this server.
    async fn in_front_of(server: Server, credential: &str, proxy: &str, lines: &str) -> Self {
        let endpoint = format!(
            r#"
[[endpoint]]
workload = "Exchange"
dialect = "psrp"
path = "/powershell"
{}
identity = ["people"]
ungoverned = "allow"
upstream_auth = {credential}
{lines}
"#,
            server.lines()
        );
        let setup = Setup {
            policies: format!("{POLICIES}{MORE}"),
            extra: BTreeMap::from([("last", endpoint), ("proxy", proxy.to_owned())]),
            ..Setup::default()
        };
        Self {
            gateway: Gateway::with(setup).await,
            server,
        }
    }

    async fn open(&self, person: &'static str) -> Session {
        Session::open(&self.gateway, person).await
    }

    async fn close(&self, session: &Session) {
        let answer = session.ask(&self.gateway, Operation::Delete).await;
        assert_eq!(answer, Response::Deleted);
    }

    /// The decision records of this task.
    fn decisions(&self, task: &str) -> Vec<Value> {
        let records = self.gateway.records().into_iter();
        records
            .filter(|it| it["kind"] == "decision" && it["task"] == format!("Exchange\\{task}"))
            .collect()
    }

    /// The outcome of a decision, which is recorded soon after it is known.
    fn outcome(&self, decision: &Value) -> Value {
        let id = &decision["decision"];
        self.gateway
            .eventually(&format!("the outcome of {id}"), |gateway| {
                let mut records = gateway.records().into_iter();
                records.find(|it| it["kind"] == "outcome" && it["decision"] == *id)
            })
    }
}
