//! `/policies`, `/groups`, `/exemptions`, `/access-control`

use http::header::{ETAG, HeaderValue, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};

use crate::api::call::Call;
use crate::api::problem::{Failure, Kind};
use crate::api::types::{
    AccessControl, AccessControlMode, AccessControlSwitch, Group, Page, PolicyQuery,
};
use crate::api::{Answer, Api, BASE, views};
use crate::control::{ListedPolicy, More, Switch, WorkflowError};
use crate::policy::{Definition, Mode};

pub(super) async fn list(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let PolicyQuery { cursor, limit } = call.query()?;
    let listed = api
        .control
        .policies(cursor.as_deref(), views::limit(limit))
        .await?;
    let (policies, more) = listed;
    let places = api.control.whereabouts(call.who());
    let last = policies.last().map(|it| it.policy.scope.folded.clone());
    Answer::ok(&Page {
        items: policies
            .into_iter()
            .map(|it| api.control.policy_shown_to(call.who(), it))
            .map(|it| views::policy(&it, places))
            .collect(),
        next: last.filter(|_| more == More::Some),
    })
}

fn scope(call: &Call) -> &str {
    call.path.first().map(String::as_str).unwrap_or_default()
}

fn shown(
    api: &Api,
    call: &Call,
    status: StatusCode,
    policy: ListedPolicy,
) -> Result<Answer, Failure> {
    let places = api.control.whereabouts(call.who());
    let policy = api.control.policy_shown_to(call.who(), policy);
    let answer = Answer::with(status, &views::policy(&policy, places))?;
    Ok(match views::etag(&policy) {
        Some(etag) => answer.header(ETAG, &etag),
        None => answer,
    })
}

pub(super) async fn show(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let policy = api.control.policy(&call.caller, scope(call)).await?;
    shown(api, call, StatusCode::OK, policy)
}

pub(super) async fn create(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let definition: Definition = call.read()?;
    let made = api
        .control
        .add_policy(call.caller.clone(), definition)
        .await?;
    let scope = percent_encoding::utf8_percent_encode(
        &made.policy.scope.text,
        percent_encoding::NON_ALPHANUMERIC,
    );
    let place = format!("{BASE}/policies/{scope}");
    Ok(shown(api, call, StatusCode::CREATED, made)?.header(LOCATION, &place))
}

/// The version that `If-Match` names, if it is the policy's own.
async fn expected(api: &Api, call: &Call) -> Result<i64, Failure> {
    let listed = api.control.policy(&call.caller, scope(call)).await?;
    let Some((form, etag)) = listed.stored.as_ref().zip(views::etag(&listed)) else {
        let text = format!(
            "the policy `{}` is defined in {}, and what a file defines, only the file changes",
            listed.policy.scope.text, listed.policy.source
        );
        return Err(Failure::new(Kind::Conflict, text));
    };
    let wanted = wanted(&call.headers)?;
    if wanted != "*" && !wanted.split(',').any(|it| it.trim() == etag) {
        return Err(changed());
    }
    Ok(form.version)
}

fn wanted(headers: &HeaderMap) -> Result<String, Failure> {
    let mut all = headers.get_all(IF_MATCH).iter().map(HeaderValue::to_str);
    let wanted: Option<Vec<&str>> = all.by_ref().map(Result::ok).collect();
    match wanted {
        Some(wanted) if wanted.iter().any(|it| !it.trim().is_empty()) => Ok(wanted.join(",")),
        Some(_) => Err(Failure::new(
            Kind::PreconditionRequired,
            "send `If-Match` with the `etag` of the policy that you read, so that nobody's change is lost",
        )),
        None => Err(changed()),
    }
}

fn changed() -> Failure {
    Failure::new(
        Kind::PreconditionFailed,
        "the policy was changed since you read it: read it again, and change it then",
    )
}

/// A version that was right a moment ago and is not now is the same as one that never was.
fn raced(error: WorkflowError) -> Failure {
    match error {
        WorkflowError::Conflict(_) => changed(),
        error => error.into(),
    }
}

pub(super) async fn replace(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let definition: Definition = call.read()?;
    let version = expected(api, call).await?;
    let scope = scope(call).to_owned();
    let done = api
        .control
        .change_policy(call.caller.clone(), scope, definition, Some(version));
    shown(api, call, StatusCode::OK, done.await.map_err(raced)?)
}

pub(super) async fn delete(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let version = expected(api, call).await?;
    let scope = scope(call).to_owned();
    let done = api
        .control
        .remove_policy(call.caller.clone(), scope, Some(version));
    done.await.map_err(raced)?;
    Ok(Answer::nothing())
}

/// Who is in a group is for those who are in one.
pub(super) fn list_groups(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let sees_members = api.control.is_of_a_group(call.who());
    let snapshot = api.state.snapshot();
    let groups = snapshot.policies.groups().iter().map(|it| Group {
        name: it.name.clone(),
        email: it.email.clone(),
        members: sees_members.then(|| it.members.clone()),
        claim: it.claim.clone().filter(|_| sees_members),
    });
    Answer::ok(&Page {
        items: groups.collect(),
        next: None,
    })
}

/// Which accounts pass without a grant is for those who are in a group.
pub(super) fn list_exemptions(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    if !api.control.is_of_a_group(call.who()) {
        return Err(Failure::new(
            Kind::Forbidden,
            "exemptions are for members of a group of the policies, and operators",
        ));
    }
    let snapshot = api.state.snapshot();
    let exemptions = snapshot.policies.exemptions().iter();
    Answer::ok(&Page {
        items: exemptions.map(views::exemption).collect(),
        next: None,
    })
}

pub(super) fn show_access_control(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let snapshot = api.state.snapshot();
    let mode = match snapshot.mode {
        Mode::Disabled => AccessControlMode::Disabled,
        Mode::Enforce => AccessControlMode::Enforce,
        Mode::ReportOnly => AccessControlMode::ReportOnly,
    };
    Answer::ok(&AccessControl {
        enabled: snapshot.mode != Mode::Disabled,
        mode,
        policies: snapshot.policies.policies().len(),
        policy_set: snapshot.policies.hash().to_owned(),
    })
}

pub(super) async fn switch_access_control(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let wanted: AccessControlSwitch = call.read()?;
    let to = if wanted.enabled {
        Switch::Enabled
    } else {
        Switch::Disabled
    };
    api.control.switch(call.caller.clone(), to).await?;
    show_access_control(api, call)
}
