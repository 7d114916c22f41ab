//! `/requests`

use chrono::Utc;
use http::StatusCode;
use http::header::LOCATION;

use crate::api::call::Call;
use crate::api::problem::Failure;
use crate::api::types::{Approval, ListingQuery, NewRequest, Page, Remark, RequestQuery};
use crate::api::{Answer, Api, BASE, views};
use crate::control::{Ask, Asked, Manner, Novelty, Query, Reply, RequestFilter};
use crate::model::{self, Narrowing};

pub(super) async fn list(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let query: RequestQuery = call.query()?;
    let ListingQuery {
        status,
        whose,
        principal,
        policy,
        task,
        since,
        until,
        cursor,
        limit,
    } = query;
    let query = Query {
        filter: RequestFilter {
            state: status.map(views::request_state),
            requester: principal,
            policy: policy.map(|it| it.to_ascii_lowercase()),
            task,
            from: since,
            until,
        },
        whose: views::whose(whose),
        after: views::cursor(cursor.as_deref())?,
        most: views::limit(limit),
    };
    let page = api.control.requests(call.who(), &query).await?;
    let now = Utc::now();
    Answer::ok(&Page {
        items: page
            .items
            .iter()
            .map(|it| views::request(&api.control, it, now))
            .collect(),
        next: page.next.map(|it| it.to_string()),
    })
}

pub(super) async fn show(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let case = api.control.request(&call.caller, call.id()?).await?;
    Answer::ok(&views::request(&api.control, &case, Utc::now()))
}

/// 201 for a new request; 200 for the equal one that is pending already.
pub(super) async fn create(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let new: NewRequest = call.read()?;
    let ask = Ask {
        scope: asked(&new)?,
        reason: new.reason,
        duration: views::seconds(new.duration_seconds),
        starts: new.starts,
        uses: new.uses,
        pins: views::pins(new.parameters)?,
        manner: if new.break_glass {
            Manner::BreakGlass
        } else {
            Manner::Ordinary
        },
        context: new.context.into_iter().collect(),
        external_identity: new.external_identity,
    };
    file(api, call, ask).await
}

pub(super) async fn file(api: &Api, call: &Call, ask: Ask) -> Result<Answer, Failure> {
    let filed = api.control.file(call.caller.clone(), ask).await?;
    let status = match filed.novelty {
        Novelty::Known => StatusCode::OK,
        Novelty::New => StatusCode::CREATED,
    };
    let shown = views::request(&api.control, &filed.case, Utc::now());
    let place = format!("{BASE}/requests/{}", shown.id);
    Ok(Answer::with(status, &shown)?.header(LOCATION, &place))
}

/// What is asked for: one thing.
fn asked(new: &NewRequest) -> Result<Asked, Failure> {
    let named =
        |prefix: &str, name: &Option<String>| name.as_ref().map(|it| format!("{prefix}{it}"));
    let policies = [
        new.policy.clone(),
        named("role:", &new.role),
        named("role-group:", &new.role_group),
        named("effect:", &new.effect),
    ];
    let mut policies = policies.into_iter().flatten();
    let task = || {
        new.task
            .as_deref()
            .map(|it| views::task(it, "/task"))
            .transpose()
    };
    match (policies.next(), policies.next(), new.extends) {
        (Some(scope), None, None) => Ok(Asked::Policy {
            scope,
            task: task()?,
        }),
        (None, None, Some(grant)) if new.task.is_none() => Ok(Asked::Extension(grant)),
        (None, None, None) if let Some(text) = &new.task => {
            views::task(text, "/task")?;
            Ok(Asked::Scope(text.clone()))
        }
        _ => Err(views::wrong(
            "",
            "name one of `task`, `policy`, `role`, `role_group`, `effect` and `extends`; `task` may stand beside all but `extends`, and narrows them to it",
        )),
    }
}

pub(super) async fn approve(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let approval: Approval = call.read()?;
    let narrowing = Narrowing {
        duration: views::seconds(approval.duration_seconds),
        starts: approval.starts,
        uses: approval.uses,
        pins: views::pins(approval.parameters)?,
        task: approval
            .task
            .as_deref()
            .map(|it| views::task(it, "/task"))
            .transpose()?,
    };
    reply(
        api,
        call,
        model::Answer::Approve,
        approval.comment,
        narrowing,
    )
    .await
}

pub(super) async fn deny(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let remark: Remark = call.read()?;
    reply(
        api,
        call,
        model::Answer::Deny,
        remark.comment,
        Narrowing::default(),
    )
    .await
}

async fn reply(
    api: &Api,
    call: &Call,
    answer: model::Answer,
    comment: Option<String>,
    narrowing: Narrowing,
) -> Result<Answer, Failure> {
    let reply = Reply {
        request: call.id()?,
        answer,
        comment,
        narrowing,
        context: Vec::new(),
    };
    let case = api.control.reply(call.caller.clone(), reply).await?;
    Answer::ok(&views::request(&api.control, &case, Utc::now()))
}

pub(super) async fn withdraw(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let remark: Remark = call.read()?;
    let case = api
        .control
        .withdraw(call.caller.clone(), call.id()?, remark.comment)
        .await?;
    Answer::ok(&views::request(&api.control, &case, Utc::now()))
}
