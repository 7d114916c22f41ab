//! `/grants`

use chrono::Utc;

use crate::api::call::Call;
use crate::api::problem::Failure;
use crate::api::types::{Extension, GrantQuery, ListingQuery, Page, Remark};
use crate::api::{Answer, Api, requests, views};
use crate::control::{Ask, Asked, GrantFilter, Manner, Query};
use crate::model::{Grant, Pins};

pub(super) async fn list(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let GrantQuery {
        listing:
            ListingQuery {
                status,
                whose,
                principal,
                policy,
                task,
                since,
                until,
                cursor,
                limit,
            },
        awaiting_review,
    } = call.query()?;
    let query = Query {
        filter: GrantFilter {
            state: status.map(views::grant_state),
            holder: principal,
            policy: policy.map(|it| it.to_ascii_lowercase()),
            task,
            from: since,
            until,
            awaiting_review: awaiting_review.unwrap_or_default(),
        },
        whose: views::whose(whose),
        after: views::cursor(cursor.as_deref())?,
        most: views::limit(limit),
    };
    let page = api.control.grants(call.who(), &query).await?;
    let now = Utc::now();
    Answer::ok(&Page {
        items: page.items.iter().map(|it| views::grant(it, now)).collect(),
        next: page.next.map(|it| it.to_string()),
    })
}

pub(super) async fn show(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    shown(&api.control.grant(&call.caller, call.id()?).await?)
}

fn shown(grant: &Grant) -> Result<Answer, Failure> {
    Answer::ok(&views::grant(grant, Utc::now()))
}

fn remark(call: &Call) -> Result<Option<String>, Failure> {
    call.no_query()?;
    Ok(call.read::<Remark>()?.comment)
}

pub(super) async fn end(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let comment = remark(call)?;
    shown(
        &api.control
            .end(call.caller.clone(), call.id()?, comment)
            .await?,
    )
}

pub(super) async fn review(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let comment = remark(call)?;
    shown(
        &api.control
            .review(call.caller.clone(), call.id()?, comment)
            .await?,
    )
}

pub(super) async fn revoke(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let comment = remark(call)?;
    shown(
        &api.control
            .revoke(call.caller.clone(), call.id()?, comment)
            .await?,
    )
}

/// Files a request; what comes of it is a request's business.
pub(super) async fn extend(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let extension: Extension = call.read()?;
    let ask = Ask {
        scope: Asked::Extension(call.id()?),
        reason: extension.reason,
        duration: views::seconds(extension.duration_seconds),
        starts: None,
        uses: None,
        pins: Pins::default(),
        manner: Manner::Ordinary,
        context: Vec::new(),
        external_identity: None,
    };
    requests::file(api, call, ask).await
}
