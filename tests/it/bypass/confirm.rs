//! The two steps of a confirmation: what was validated is not what runs, so each step is decided on its own content.

use portcullis::demo::exchange::Effect;
use serde_json::json;

use super::catalogue::{Catalogue, Outcome, Raw};
use super::parameters::policies;
use crate::client::command;
use crate::gateway::Setup;

use Outcome::{ArrivesBy, Blocked};

fn set(identity: &str, more: &str) -> String {
    format!(
        r#"{{"CmdletInput":{{"CmdletName":"Set-Mailbox","Parameters":{{"Identity":"{identity}"{more}}}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validation_call_opens_the_way_for_nothing_else() {
    let setup = Setup {
        policies: policies(),
        ..Setup::default()
    };
    let mut catalogue = Catalogue::open(setup).await;
    let governed = Blocked("needs-approval");
    let breaks = Blocked("parameter-rule");
    let inside = "eva@contoso.example";
    let outside = "eva@fabrikam.example";
    for trial in [
        r#""Confirm":true"#,
        r#""WhatIf":true"#,
        r#""WhatIf":"True""#,
        r#""confirm":"$true""#,
    ] {
        let body = set(inside, &format!(",{trial}"));
        catalogue
            .attempt("without a grant", &Raw::invoke(body), governed)
            .await;
    }
    catalogue.file("ana", r"Exchange\Set-Mailbox").await;
    let id = "one-call";
    let mut steps = Vec::new();
    for (trick, body, is_allowed, effect) in [
        (
            "control: validation",
            set(inside, r#","Confirm":true"#),
            true,
            Some(Effect::Prompted),
        ),
        (
            "run with another object",
            set(outside, r#","Confirm":false"#),
            false,
            None,
        ),
        (
            "run with another object, and no word of confirmation",
            set(outside, ""),
            false,
            None,
        ),
        (
            "run with one parameter more",
            set(
                inside,
                r#","Confirm":false,"ForwardingAddress":"x@ext.example""#,
            ),
            false,
            None,
        ),
        (
            "validation of another object",
            set(outside, r#","Confirm":true"#),
            false,
            None,
        ),
        (
            "control: run",
            set(inside, r#","Confirm":false,"CustomAttribute1":"x""#),
            true,
            Some(Effect::Done),
        ),
        (
            "control: run again",
            set(inside, r#","Confirm":false,"CustomAttribute1":"x""#),
            true,
            Some(Effect::Done),
        ),
        (
            "control: what if",
            set(inside, r#","WhatIf":true"#),
            true,
            Some(Effect::Simulated),
        ),
    ] {
        let outcome = if is_allowed {
            ArrivesBy("granted", &body)
        } else {
            breaks
        };
        let request = Raw::invoke(body.as_str()).line(format!("client-request-id: {id}"));
        catalogue.attempt(trick, &request, outcome).await;
        steps.extend(effect);
    }
    let effects: Vec<_> = catalogue
        .gateway
        .sample
        .executed()
        .iter()
        .map(|it| it.effect)
        .collect();
    catalogue.check(effects == steps, &format!("upstream saw {effects:?}"));
    let never = command(
        "New-JournalRule",
        json!({"Name": "x", "JournalEmailAddress": "x@ext.example", "WhatIf": true}),
    );
    catalogue
        .attempt(
            "trial of what is never allowed",
            &Raw::invoke(never.to_string()),
            Blocked("never"),
        )
        .await;
    catalogue.close(&["Set-Mailbox"]).await;
}
