//! A request, for people: a row of a listing, the whole of it, and what to do next.

use chrono::{DateTime, Utc};

use crate::api::types::{Request, RequestStatus, Vote, VoteAnswer};
use crate::cli::client::Told;
use crate::cli::output::printable;
use crate::cli::{Format, Output, grant, listing, times};

use super::pins::in_words;

/// The columns of a listing.
pub(super) const HEAD: [&str; 7] = ["ID", "STATUS", "WHO", "WHAT", "FOR", "FILED", "REASON"];

/// A row of a listing.
pub(super) fn row(it: &Request, id_length: usize, now: DateTime<Utc>) -> Vec<String> {
    vec![
        listing::short(it.id, id_length),
        status(it.status).to_owned(),
        it.requester.clone(),
        what(it),
        times::seconds_text(it.duration_seconds),
        times::relative(it.created, now),
        it.reason.clone(),
    ]
}

fn status(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Approved => "approved",
        RequestStatus::Denied => "denied",
        RequestStatus::Expired => "expired",
        RequestStatus::Pending => "pending",
        RequestStatus::Withdrawn => "withdrawn",
    }
}

/// What is asked for, in one expression.
fn what(it: &Request) -> String {
    let scope = it.task.as_ref().unwrap_or(&it.policy);
    if it.extends.is_some() {
        format!("{scope} (longer)")
    } else {
        scope.clone()
    }
}

/// All of a request.
pub(in crate::cli) fn whole(told: &Told<Request>, output: &mut Output) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(());
    }
    let now = Utc::now();
    let it = &told.value;
    let mut lines: Vec<(&str, String)> = vec![("request", it.id.to_string())];
    lines.push((
        "status",
        match it.status {
            RequestStatus::Pending => {
                format!("pending, lapses {}", times::both(it.expires, now))
            }
            other => status(other).to_owned(),
        },
    ));
    lines.push(("who", it.requester.clone()));
    lines.push((
        "what",
        match &it.task {
            Some(task) => task.clone(),
            None => format!("all that the policy `{}` governs", it.policy),
        },
    ));
    if it.task.is_some() {
        lines.push(("policy", it.policy.clone()));
    }
    if let Some(grant) = it.extends {
        lines.push(("longer", format!("the grant {grant}")));
    }
    let from = match it.starts {
        Some(starts) => format!(", starting {}", times::both(starts, now)),
        None => String::new(),
    };
    let span = times::seconds_text(it.duration_seconds);
    lines.push(("for", format!("{span}{from}")));
    if let Some(uses) = it.uses {
        lines.push(("uses", uses.to_string()));
    }
    lines.extend(in_words(&it.parameters).into_iter().map(|it| ("only", it)));
    lines.push(("why", it.reason.clone()));
    if let Some(ticket) = &it.external_identity {
        lines.push(("ticket", ticket.clone()));
    }
    if it.break_glass {
        lines.push(("emergency", "taken without approval".to_owned()));
    }
    lines.push(("filed", times::both(it.created, now)));
    lines.extend(it.votes.iter().map(|it| ("answer", vote(it, now))));
    if it.status == RequestStatus::Pending {
        let missing = it.missing_approvals.iter();
        lines.extend(missing.map(|it| ("waits for", it.clone())));
    }
    if let Some(decided) = it.decided {
        let by = match &it.decided_by {
            Some(by) => format!(" by {by}"),
            None => String::new(),
        };
        let comment = match &it.comment {
            Some(comment) => format!(": {comment}"),
            None => String::new(),
        };
        lines.push((
            "decided",
            format!("{}{by}{comment}", times::both(decided, now)),
        ));
    }
    print(&lines, output)?;
    if let Some(grant) = &it.grant {
        output.line("")?;
        grant::print(grant, now, output)?;
    }
    Ok(())
}

/// Names and values, each on a line of its own.
pub(in crate::cli) fn print(lines: &[(&str, String)], output: &mut Output) -> anyhow::Result<()> {
    for (name, value) in lines {
        output.line(
            format_args!("{name:<10} {}", printable(value))
                .to_string()
                .trim_end(),
        )?;
    }
    Ok(())
}

fn vote(it: &Vote, now: DateTime<Utc>) -> String {
    let word = match it.answer {
        VoteAnswer::Approve => "approved",
        VoteAnswer::Deny => "denied",
    };
    let mut less = Vec::new();
    less.extend(
        it.duration_seconds
            .map(|it| format!("for {}", times::seconds_text(it))),
    );
    less.extend(it.starts.map(|it| format!("from {}", times::moment(it))));
    less.extend(it.uses.map(|it| match it {
        1 => "1 use".to_owned(),
        _ => format!("{it} uses"),
    }));
    less.extend(it.task.as_ref().map(|it| format!("{it} alone")));
    less.extend(in_words(&it.parameters));
    let less = if less.is_empty() {
        String::new()
    } else {
        format!(", only {}", less.join(", "))
    };
    let comment = match &it.comment {
        Some(comment) => format!(": {comment}"),
        None => String::new(),
    };
    format!(
        "{} {word} {}{less}{comment}",
        it.approver,
        times::relative(it.at, now)
    )
}

/// Tells the commands that come next.
pub(in crate::cli) fn next_steps(it: &Request, output: &mut Output) -> anyhow::Result<()> {
    let id = it.id;
    match (it.status, &it.grant) {
        (RequestStatus::Pending, _) => output.advice(format_args!(
            "follow it with `portcullis request show {id} --wait`; its requester takes it back with `portcullis request withdraw {id}`; an approver decides with `portcullis request approve {id}` or `portcullis request deny {id}`"
        ))?,
        (RequestStatus::Approved, Some(grant)) if grant.awaits_review => {
            output.advice(format_args!(
                "an approver reviews it with `portcullis grant review {0}`; give it back with `portcullis grant end {0}`",
                grant.id
            ))?;
        }
        (RequestStatus::Approved, Some(grant)) => output.advice(format_args!(
            "its holder gives it back with `portcullis grant end {0}`; an approver takes it away with `portcullis grant revoke {0}`",
            grant.id
        ))?,
        (RequestStatus::Approved, None) => {
            output.advice("see what is granted with `portcullis grant ls`")?;
        }
        (RequestStatus::Denied | RequestStatus::Expired | RequestStatus::Withdrawn, _) => output
            .advice("ask anew with `portcullis request create`; see who decides with `portcullis who-can TASK`")?,
    }
    Ok(())
}
