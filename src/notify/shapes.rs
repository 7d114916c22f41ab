//! What a webhook's message looks like: our own JSON, Slack's blocks, or an adaptive card. Pure.
//!
//! Whatever a requester wrote is plain text in all of them: Slack's `plain_text` objects and the cards' text runs know no
//! markup, so that nobody can make a link or a mention of a reason.

use serde_json::{Value as Json, json};

use crate::config::WebhookShape;

use super::channels::Outgoing;
use super::next::NextCommand;
use super::words::Told;

/// The longest header and field of Slack's blocks, in characters.
const SLACK_HEADER: usize = 150;
const SLACK_TEXT: usize = 2_900;

/// The most fields of one of Slack's sections.
const SLACK_FIELDS: usize = 10;

/// The body to post.
pub(super) fn body(shape: WebhookShape, outgoing: &Outgoing<'_>, told: &Told) -> Vec<u8> {
    let value = match shape {
        WebhookShape::Json => own(outgoing, told),
        WebhookShape::Slack => slack(told),
        WebhookShape::Teams => teams(told),
    };
    value.to_string().into_bytes()
}

/// Every field of the notice, and its words.
fn own(outgoing: &Outgoing<'_>, told: &Told) -> Json {
    let notice = outgoing.notice;
    let parameters = notice
        .shown_parameters()
        .map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "version": 1,
        "delivery": outgoing.id,
        "event": notice.id,
        "kind": notice.kind,
        "at": notice.at,
        "headline": told.headline,
        "summary": told.summary,
        "link": told.link,
        "by": notice.by,
        "comment": notice.comment,
        "request": notice.request,
        "grant": notice.grant,
        "extends": notice.extends,
        "requester": notice.requester,
        "policy": notice.scope,
        "task": notice.task,
        "parameters": parameters.collect::<Vec<_>>(),
        "touches": notice.touches,
        "reason": notice.reason,
        "reference": notice.reference,
        "seconds": notice.seconds,
        "starts": notice.starts,
        "ends": notice.ends,
        "uses": notice.uses,
        "deciders": notice.deciders,
        "answers": notice.answers,
        "lapses": notice.lapses,
        "break_glass": notice.break_glass,
        "commands": told.commands,
    })
}

fn slack(told: &Told) -> Json {
    let plain = |text: &str, longest: usize| {
        let text: String = text.chars().take(longest).collect();
        json!({ "type": "plain_text", "text": text, "emoji": false })
    };
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&told.headline, SLACK_HEADER) }),
        json!({ "type": "section", "text": plain(&told.summary, SLACK_TEXT) }),
    ];
    for facts in told.facts.chunks(SLACK_FIELDS) {
        let fields = facts
            .iter()
            .map(|it| plain(&format!("{}: {}", it.label, it.value), SLACK_TEXT));
        blocks.push(json!({ "type": "section", "fields": fields.collect::<Vec<_>>() }));
    }
    for (label, lines) in spoken(told) {
        let text = format!("{label}: {}", lines.join("\n"));
        blocks.push(json!({ "type": "section", "text": plain(&text, SLACK_TEXT) }));
    }
    for command in &told.commands {
        let text = format!("{}: {}", command.what, either(command));
        blocks.push(json!({ "type": "section", "text": plain(&text, SLACK_TEXT) }));
    }
    if let Some(link) = &told.link {
        // The link is ours; a URL has neither of the characters that would end it.
        let text = format!("<{link}|{}>", told.link_text);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    // What is shown where blocks are not, such as in a notification: here Slack reads markup, so it is escaped.
    let fallback = told
        .headline
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({ "text": fallback, "blocks": blocks })
}

fn teams(told: &Told) -> Json {
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let bold = |text: &str| json!({ "type": "TextRun", "text": text, "weight": "Bolder" });
    let block = |runs: Vec<Json>| json!({ "type": "RichTextBlock", "inlines": runs });
    let mut body = vec![
        json!({ "type": "RichTextBlock", "inlines": [
            { "type": "TextRun", "text": told.headline, "weight": "Bolder", "size": "Large" }
        ] }),
        block(vec![run(&told.summary)]),
    ];
    for fact in &told.facts {
        body.push(block(vec![
            bold(&format!("{}: ", fact.label)),
            run(&fact.value),
        ]));
    }
    for (label, lines) in spoken(told) {
        body.push(block(vec![bold(&format!("{label}:"))]));
        body.extend(lines.iter().map(|it| block(vec![run(it)])));
    }
    for command in &told.commands {
        let what = format!("{}: ", command.what);
        body.push(block(vec![bold(&what), run(&either(command))]));
    }
    let actions = told
        .link
        .iter()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": told.link_text, "url": link }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": actions.collect::<Vec<_>>(),
            }
        }]
    })
}

/// A command, and the cmdlet that does the same.
fn either(command: &NextCommand) -> String {
    match &command.cmdlet {
        Some(cmdlet) => format!("{}  or  {cmdlet}", command.shell),
        None => command.shell.clone(),
    }
}

/// What people wrote, under the words for it.
fn spoken(told: &Told) -> impl Iterator<Item = (&'static str, &[String])> {
    [
        ("Why", told.reason.as_slice()),
        ("They said", told.comment.as_slice()),
    ]
    .into_iter()
    .filter(|it| !it.1.is_empty())
}

#[cfg(test)]
mod tests;
