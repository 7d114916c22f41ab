//! Loading: good files mean what DESIGN 5.3 says, broken ones tell everything at once.

mod exemptions;
mod loading;
mod options;
mod stored;

use std::fmt::Write as _;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::model::{Interner, Principal, PrincipalId, PrincipalKind, Task};

use super::*;

fn files(texts: &[&str]) -> Vec<PolicyFile> {
    let file = |(number, text): (usize, &&str)| PolicyFile {
        path: format!(
            "policies/{}.toml",
            char::from(b'a' + u8::try_from(number).unwrap())
        ),
        text: (*text).to_owned(),
    };
    texts.iter().enumerate().map(file).collect()
}

fn load(text: &str) -> PolicySet {
    PolicySet::load(
        &files(&[text]),
        &[],
        Some("approvers"),
        &Interner::default(),
    )
    .unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

fn problems(texts: &[&str], default_group: Option<&str>) -> String {
    told(&PolicySet::load(&files(texts), &[], default_group, &Interner::default()).unwrap_err())
}

fn told(problems: &[PolicyProblem]) -> String {
    let mut told = String::new();
    for problem in problems {
        writeln!(told, "{problem}").unwrap();
        if let Some(hint) = &problem.hint {
            writeln!(told, "    {hint}").unwrap();
        }
    }
    told
}

fn principal(name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        key: format!("{name}-key"),
        id: PrincipalId(7),
        name: name.to_owned(),
        groups: Vec::new(),
        tenant: None,
        identity: "test".to_owned(),
    }
}

const GROUPS: &str = "[[group]]\nname = 'ops'\nmembers = ['amy', 'bo']\n[[group]]\nname = 'oncall'\nclaim = 'c0ffee'\n";

const GOOD: &str = r#"
[[group]]
name = "mbmanagers"
email = "mbmanagers@fabrikam.example"
members = ["amy@fabrikam.example", "bo@fabrikam.example"]

[[group]]
name = "approvers"
claim = "c0ffee"

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["MBManagers", "approvers"]
approvals = 2
max_duration = "8h"
default_duration = "90m"
[policy.parameters]
TargetDatabase = { one_of = ["DB01", "DB02"] }
Identity = { pattern = '.*@emea\.fabrikam\.example' }

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
report_only = true
max_duration = "2h"

[[policy]]
task = 'Exchange\New-JournalRule'
approval = "never"

[[policy]]
task = 'Exchange\Set-*'
approval = "auto"

[[exemption]]
account = "sys1@fabrikam.example"
owner = "messaging-ops"
reason = "nightly provisioning job"
expires = 2027-03-31
from = ["10.20.0.0/16", "2001:db8::1"]
tasks = ['Exchange\*-Mailbox']
"#;
