//! `/decisions/explain` and `/who-can`: what would happen, and who has to do with it. Nothing is run, used or changed.

use std::net::IpAddr;

use chrono::Utc;

use crate::api::call::Call;
use crate::api::problem::{Failure, Kind};
use crate::api::schema::segment;
use crate::api::types::{
    Explain, Explanation, ExplanationStep, FieldProblem, WhoCan, WhoCanPolicy, WhoCanQuery,
};
use crate::api::{Answer, Api, views};
use crate::control::{GrantFilter, Query, Whose};
use crate::dialect::json;
use crate::model::{Command, GrantState, Parameter, Parameters, Principal};
use crate::policy::{self, Facts, Group};

pub(super) async fn explain(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let asked: Explain = call.read()?;
    let command = Command {
        task: views::task(&asked.task, "/task")?,
        parameters: parameters(&asked)?,
    };
    let source = match &asked.source {
        None => call.caller.source,
        Some(text) => text
            .parse::<IpAddr>()
            .map_err(|_| views::wrong("/source", "must be an IP address, such as `192.0.2.7`"))?,
    };
    let who = match &asked.principal {
        Some(name) if !call.who().is_account(name) => other(api, call, name).await?,
        _ => call.who().clone(),
    };
    let endpoints = &api.settings.endpoints;
    let endpoint = endpoints.iter().find(|it| it.0 == command.task.workload);
    let Some((_, endpoint)) = endpoint else {
        let text = format!(
            "no endpoint of this gateway serves the workload `{}`",
            command.task.workload
        );
        return Err(Failure::new(Kind::Invalid, text));
    };
    let snapshot = api.state.snapshot();
    let trace = policy::trace(
        &command,
        &Facts {
            policies: &snapshot.policies,
            mode: snapshot.mode,
            endpoint: *endpoint,
            principal: &who,
            source,
            grants: &api.state.grants,
            now: asked.at.unwrap_or_else(Utc::now),
        },
        api.control.whereabouts(call.who()),
    );
    let decision = &trace.decision;
    Answer::ok(&Explanation {
        verdict: decision.verdict.as_str().to_owned(),
        rule: decision.rule.as_str().to_owned(),
        policy: decision.policy.as_ref().map(ToString::to_string),
        grant: decision.grant,
        explanation: Some(decision.explanation.clone()).filter(|it| !it.is_empty()),
        steps: trace
            .steps
            .into_iter()
            .map(|it| ExplanationStep {
                what: it.what.to_owned(),
                found: it.found,
                decides: it.decides,
            })
            .collect(),
        next: trace.next,
    })
}

fn parameters(asked: &Explain) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    let mut problems = Vec::new();
    for (name, value) in &asked.parameters {
        let mut tell = |detail: String| {
            problems.push(FieldProblem {
                pointer: format!("/parameters/{}", segment(name)),
                detail,
            });
        };
        let text = serde_json::to_vec(value).unwrap_or_default();
        match (name.parse(), json::read(&text)) {
            (Ok(name), Ok(value)) => {
                let parameter = Parameter {
                    name,
                    value,
                    type_annotation: None,
                };
                if let Err(error) = parameters.push(parameter) {
                    tell(error.to_string());
                }
            }
            (Err(_), _) => tell(
                "must be named as a parameter is: letters and digits, such as `Identity`"
                    .to_owned(),
            ),
            (_, Err(error)) => tell(error.to_string()),
        }
    }
    if problems.is_empty() {
        Ok(parameters)
    } else {
        Err(Failure::fields(
            "the parameters are not what is read here",
            problems,
        ))
    }
}

/// Somebody else, as far as the gateway knows of them: by the key that their grants are bound to, if they had any. What an
/// identity provider would say of their groups is not known.
async fn other(api: &Api, call: &Call, name: &str) -> Result<Principal, Failure> {
    let who = call.who();
    if !api.control.is_operator(who) {
        return Err(Failure::new(
            Kind::Forbidden,
            "others' calls are explained to operators only: leave `principal` out",
        ));
    }
    let query = Query {
        filter: GrantFilter {
            holder: Some(name.to_owned()),
            ..GrantFilter::default()
        },
        most: 1,
        ..Query::default()
    };
    let known = api.control.grants(who, &query).await?.items;
    let (key, name) = known.first().map_or_else(
        || (name.to_owned(), name.to_owned()),
        |it| (it.principal_key.clone(), it.principal_name.clone()),
    );
    Ok(Principal {
        kind: who.kind,
        // Only keys that are known have a number: asking about made-up people must not use numbers up.
        id: known
            .first()
            .map_or(crate::model::PrincipalId(u32::MAX), |it| {
                api.state.interner.principal(&it.principal_key)
            }),
        key,
        name,
        groups: Vec::new(),
        tenant: None,
        identity: String::new(),
    })
}

pub(super) async fn who_can(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let query: WhoCanQuery = call.query()?;
    let task = views::task(&query.task, "?task")?;
    let who = call.who();
    let snapshot = api.state.snapshot();
    let (policies, exemptions, effect, scopes) = {
        let found = policy::who_can(&task, &snapshot.policies);
        let names = |groups: &[&Group]| groups.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        let policies: Vec<WhoCanPolicy> = found
            .policies
            .iter()
            .map(|it| WhoCanPolicy {
                scope: it.policy.scope.text.clone(),
                approval: it.policy.approval.as_str().to_owned(),
                requesters: names(&it.requesters),
                approvers: names(&it.approvers),
                break_glass: names(&it.break_glass),
                parameters: it.parameters.iter().map(|it| (*it).to_owned()).collect(),
            })
            .collect();
        let exemptions = if api.control.is_of_a_group(who) {
            found
                .exemptions
                .iter()
                .map(|it| views::exemption(it))
                .collect()
        } else {
            Vec::new()
        };
        let scopes: Vec<String> = found
            .policies
            .iter()
            .map(|it| it.policy.scope.folded.clone())
            .collect();
        (
            policies,
            exemptions,
            found.effect.as_str().to_owned(),
            scopes,
        )
    };
    let now = Utc::now();
    let mut grants = Vec::new();
    for scope in scopes {
        for state in [GrantState::Active, GrantState::Scheduled] {
            let query = Query {
                filter: GrantFilter {
                    policy: Some(scope.clone()),
                    state: Some(state),
                    ..GrantFilter::default()
                },
                whose: Whose::Known,
                ..Query::default()
            };
            let found = api.control.grants(who, &query).await?.items;
            let fits = found
                .iter()
                .filter(|it| it.task.as_ref().is_none_or(|it| *it == task));
            grants.extend(fits.map(|it| views::grant(it, now)));
        }
    }
    Answer::ok(&WhoCan {
        task: task.to_string(),
        effect,
        policies,
        exemptions,
        grants,
    })
}
