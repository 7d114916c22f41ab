//! Exemptions: for one account, from some addresses, for some tasks, until a day.

use serde_json::json;

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::client::command;
use crate::gateway::{POLICIES, Setup};

use Outcome::{Arrives, ArrivesBy, Blocked, Refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exemption_holds_within_its_bounds_alone() {
    let (policies, _) = POLICIES.split_once("[[exemption]]").unwrap();
    let exemption = |account: &str, bounds: &str| {
        format!(
            "[[exemption]]\naccount = \"{account}@contoso.example\"\nowner = \"ops\"\nreason = \"nightly\"\n{bounds}\n\n"
        )
    };
    let policies = [
        policies.to_owned(),
        exemption("sys1", "from = [\"127.0.0.0/8\"]\ntasks = ['Exchange\\New-MoveRequest', 'Exchange\\New-JournalRule']"),
        exemption("ivy", "from = [\"10.0.0.0/8\", \"::1/128\"]"),
        exemption("bo", "expires = 2020-01-01"),
    ]
    .concat();
    let mut catalogue = Catalogue::open(Setup {
        policies,
        ..Setup::default()
    })
    .await;
    let body = command("New-MoveRequest", json!({"Identity": "eva"})).to_string();
    let lower = body.replace("New-MoveRequest", "new-moverequest");
    let journal = command("New-JournalRule", json!({"Name": "x"})).to_string();
    let governed = Blocked("needs-approval");
    let moves = Raw::invoke(body.as_str());
    for (trick, request, outcome) in [
        (
            "control",
            moves.clone().by("sys1"),
            ArrivesBy("exempt", &body),
        ),
        (
            "control: another case of the task",
            Raw::invoke(lower.as_str()).by("sys1"),
            ArrivesBy("exempt", &lower),
        ),
        (
            "control: ungoverned all the same",
            Raw::invoke(READ).by("ivy"),
            Arrives(READ),
        ),
        ("another task", Raw::invoke(REMOVE).by("sys1"), governed),
        (
            "what is never allowed",
            Raw::invoke(journal).by("sys1"),
            Blocked("never"),
        ),
        ("another account", moves.clone(), governed),
        (
            "another account that says it is this",
            moves
                .clone()
                .line("X-AnchorMailbox: UPN:sys1@contoso.example"),
            governed,
        ),
        (
            "another account that says it is forwarded",
            moves.clone().line("X-Forwarded-User: sys1@contoso.example"),
            governed,
        ),
        (
            "wrong password",
            moves
                .clone()
                .without("Authorization")
                .line("Authorization: Basic c3lzMUBjb250b3NvLmV4YW1wbGU6YW5h"),
            Refused(401, "bad-password"),
        ),
        ("another address", moves.clone().by("ivy"), governed),
        (
            "another address, forwarded for the right one",
            moves.clone().by("ivy").line("X-Forwarded-For: 10.0.0.1"),
            governed,
        ),
        (
            "another address, as the standard forwards",
            moves.clone().by("ivy").line("Forwarded: for=10.0.0.1"),
            governed,
        ),
        (
            "another address, as a proxy names it",
            moves
                .clone()
                .by("ivy")
                .line("X-Real-IP: 10.0.0.1")
                .line("True-Client-IP: 10.0.0.1"),
            governed,
        ),
        ("over", moves.clone().by("bo"), governed),
    ] {
        catalogue.attempt(trick, &request, outcome).await;
    }
    catalogue.close(&["Get-Mailbox", "New-MoveRequest"]).await;
}
