use uuid::Uuid;

use crate::model::{NoticeKind, ShownParameter};
use crate::notify::sample;
use crate::notify::words::tell;

use super::*;

fn shaped(shape: WebhookShape, change: impl Fn(&mut crate::model::Notice)) -> Json {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    change(&mut notice);
    let told = tell(&notice, sample::link().as_ref());
    let outgoing = Outgoing {
        id: Uuid::from_u128(7),
        notice: &notice,
    };
    serde_json::from_slice(&body(shape, &outgoing, &told)).unwrap()
}

#[test]
fn each_shape_is_as_its_reader_wants_it() {
    for (name, shape) in [
        ("json", WebhookShape::Json),
        ("slack", WebhookShape::Slack),
        ("teams", WebhookShape::Teams),
    ] {
        insta::assert_json_snapshot!(name, shaped(shape, |_| {}));
    }
}

#[test]
fn no_shape_tells_a_secret_or_lets_a_requester_mark_up() {
    for shape in [WebhookShape::Json, WebhookShape::Slack, WebhookShape::Teams] {
        let value = shaped(shape, |notice| {
            notice.reason =
                "<https://evil.example|Approve> [Approve](https://evil.example) <!channel>"
                    .to_owned();
            notice.requester = "<!channel>".to_owned();
            notice.parameters.push(ShownParameter {
                name: "Password".to_owned(),
                value: "hunter2".to_owned(),
            });
        });
        let text = value.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        marked_up(&value, &mut |text| {
            assert!(!text.contains("evil") && !text.contains("<!"), "{text}");
        });
    }
}

/// Visits the texts in which Slack or Teams read markup.
fn marked_up(value: &Json, visit: &mut impl FnMut(&str)) {
    match value {
        Json::Array(items) => items.iter().for_each(|it| marked_up(it, visit)),
        Json::Object(members) => {
            let kind = members.get("type").and_then(Json::as_str);
            for (name, value) in members {
                match value {
                    Json::String(text)
                        if matches!(kind, Some("mrkdwn" | "TextBlock"))
                            || (name == "text" && kind.is_none()) =>
                    {
                        visit(text);
                    }
                    other => marked_up(other, visit),
                }
            }
        }
        _ => {}
    }
}
