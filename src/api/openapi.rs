//! The published description ([OpenAPI 3.1]), made of the routes and the types.
//!
//! [OpenAPI 3.1]: https://spec.openapis.org/oas/v3.1.1.html

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::api::call::scope_word;
use crate::api::routes::{BASE, ROUTES, Right, Route};
use crate::api::schema::{of, reference, resolved, schemas};
use crate::api::types;
use crate::policy::Definition;

/// The whole description.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

fn make() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths
            .entry(format!("{BASE}{}", route.path))
            .or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": "1",
            "summary": "Requests, grants, policies and records of a command gateway for privileged access",
            "description": "Errors are `application/problem+json`. Listings are read part by part: a part's `next` is the next one's `cursor`. A write that carries an `Idempotency-Key` is done once within 24 hours, however often it is sent."
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": {
                "Problem": {
                    "description": "An error",
                    "content": { "application/problem+json": { "schema": reference::<types::Problem>() } }
                }
            },
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token of this API (`ptk_…`), or of an identity provider" }
            }
        }
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), json!(route.name)),
        ("summary".to_owned(), json!(route.summary)),
        ("description".to_owned(), json!(right(route))),
        ("responses".to_owned(), responses(route)),
    ]);
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), json!(parameters));
    }
    if let Some((schema, required)) = body(route) {
        operation.insert(
            "requestBody".to_owned(),
            json!({ "required": required, "content": { "application/json": { "schema": schema } } }),
        );
    }
    if route.right != Right::Anybody {
        operation.insert(
            "security".to_owned(),
            json!([{ "basic": [] }, { "bearer": [] }]),
        );
    }
    Value::Object(operation)
}

fn right(route: &Route) -> String {
    let who = match route.right {
        Right::Anybody => return "For everybody, signed in or not.".to_owned(),
        Right::Auditor => "For auditors and operators.",
        Right::Operator => "For operators.",
        Right::Person => "For everybody who is signed in.",
        Right::PersonInPerson => {
            return "For everybody who is signed in by a credential of their own, not a token of this API.".to_owned();
        }
    };
    format!(
        "{who} Takes a token with the scope `{}`.",
        scope_word(route.scope)
    )
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    if route.path.contains("{id}") {
        parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } }));
    }
    if route.path.contains("{scope}") {
        parameters.push(json!({
            "name": "scope", "in": "path", "required": true, "description": "The policy's scope, percent-encoded, in any case",
            "schema": { "type": "string", "minLength": 1, "maxLength": 512 }
        }));
    }
    match route.name {
        "list_requests" => query::<types::RequestQuery>(&mut parameters),
        "list_grants" => query::<types::GrantQuery>(&mut parameters),
        "search_audit" => query::<types::AuditQuery>(&mut parameters),
        "list_policies" => query::<types::PolicyQuery>(&mut parameters),
        "who_can" => query::<types::WhoCanQuery>(&mut parameters),
        "list_tokens" => query::<types::TokenQuery>(&mut parameters),
        "replace_policy" | "delete_policy" => parameters.push(json!({
            "name": "If-Match", "in": "header", "required": true, "description": "The `etag` of the policy as it was read",
            "schema": { "type": "string", "minLength": 1 }
        })),
        _ => {}
    }
    if route.is_write() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "description": "Names this write, so that it is done once",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" }
        }));
    }
    parameters
}

fn query<T: JsonSchema>(parameters: &mut Vec<Value>) {
    let Some(schema) = of::<T>() else { return };
    let required = schema.get("required").and_then(Value::as_array);
    let members = schema.get("properties").and_then(Value::as_object);
    for (name, member) in members.into_iter().flatten() {
        let is_required = required.is_some_and(|it| it.iter().any(|it| it == name));
        let description = member.get("description").cloned().unwrap_or_default();
        parameters.push(json!({
            "name": name, "in": "query", "required": is_required, "description": description,
            "schema": without_null(member)
        }));
    }
}

/// A query has no null: what is not given is left out.
fn without_null(schema: &'static Value) -> Value {
    let mut schema = resolved(schema).clone();
    if let Value::Object(members) = &mut schema {
        members.remove("description");
        members.remove("default");
        if let Some(Value::Array(kinds)) = members.get_mut("type") {
            kinds.retain(|it| it != "null");
            if let [only] = kinds.as_slice() {
                let only = only.clone();
                members.insert("type".to_owned(), only);
            }
        }
    }
    schema
}

/// The schema of the body, and whether there has to be one.
fn body(route: &Route) -> Option<(Value, bool)> {
    Some(match route.name {
        "create_request" => (reference::<types::NewRequest>(), true),
        "approve_request" => (reference::<types::Approval>(), false),
        "deny_request" | "withdraw_request" | "end_grant" | "review_grant" | "revoke_grant" => {
            (reference::<types::Remark>(), false)
        }
        "extend_grant" => (reference::<types::Extension>(), false),
        "switch_access_control" => (reference::<types::AccessControlSwitch>(), true),
        "explain_decision" => (reference::<types::Explain>(), true),
        "create_policy" | "replace_policy" => (reference::<Definition>(), true),
        "create_token" => (reference::<types::NewToken>(), true),
        _ => return None,
    })
}

fn responses(route: &Route) -> Value {
    let json = |schema: Value| json!({ "description": "Done", "content": { "application/json": { "schema": schema } } });
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let (status, done) = match route.name {
        "show_access_control" | "switch_access_control" => {
            ("200", json(reference::<types::AccessControl>()))
        }
        "search_audit" => ("200", json(reference::<types::Page<Map<String, Value>>>())),
        "explain_decision" => ("200", json(reference::<types::Explanation>())),
        "watch_events" => (
            "200",
            json!({ "description": "Events, each with an `Event` as its data, or `lost` with a `Lost`", "content": { "text/event-stream": { "schema": { "type": "string" } } } }),
        ),
        "list_exemptions" => ("200", json(reference::<types::Page<types::Exemption>>())),
        "list_grants" => ("200", json(reference::<types::Page<types::Grant>>())),
        "show_grant" | "end_grant" | "review_grant" | "revoke_grant" => {
            ("200", json(reference::<types::Grant>()))
        }
        "list_groups" => ("200", json(reference::<types::Page<types::Group>>())),
        "show_login" => ("200", json(reference::<types::Login>())),
        "show_me" => ("200", json(reference::<types::Me>())),
        "describe" => ("200", json(json!({ "type": "object" }))),
        "list_policies" => ("200", json(reference::<types::Page<types::Policy>>())),
        "create_policy" => ("201", json(reference::<types::Policy>())),
        "show_policy" | "replace_policy" => ("200", json(reference::<types::Policy>())),
        "delete_policy" | "revoke_token" => ("204", json!({ "description": "Done" })),
        "list_requests" => ("200", json(reference::<types::Page<types::Request>>())),
        "create_request" | "extend_grant" => ("201", json(reference::<types::Request>())),
        "list_tokens" => ("200", json(reference::<types::Page<types::Token>>())),
        "create_token" => ("201", json(reference::<types::MadeToken>())),
        "who_can" => ("200", json(reference::<types::WhoCan>())),
        _ => ("200", json(reference::<types::Request>())),
    };
    let mut done = done;
    if let (Value::Object(done), Some(links)) = (&mut done, links(route)) {
        done.insert("links".to_owned(), links);
    }
    let mut responses = Map::new();
    if matches!(route.name, "create_request" | "extend_grant") {
        let mut known = done.clone();
        if let Value::Object(known) = &mut known {
            let text = json!("The equal request that is pending already");
            known.insert("description".to_owned(), text);
        }
        responses.insert("200".to_owned(), known);
    }
    responses.insert(status.to_owned(), done);
    if route.right != Right::Anybody {
        responses.insert("401".to_owned(), problem.clone());
    }
    responses.insert("default".to_owned(), problem);
    Value::Object(responses)
}

/// What can be done next with what a response shows: on each path of the operation, the values of its parameters.
fn links(route: &Route) -> Option<Value> {
    const OF_REQUEST: &[&str] = &[
        "show_request",
        "approve_request",
        "deny_request",
        "withdraw_request",
    ];
    const OF_GRANT: &[&str] = &[
        "show_grant",
        "end_grant",
        "extend_grant",
        "revoke_grant",
        "review_grant",
    ];
    let mut links = Map::new();
    let mut lead = |operations: &[&str], parameters: Value| {
        for operation in operations {
            let link = json!({ "operationId": operation, "parameters": parameters });
            links.insert((*operation).to_owned(), link);
        }
    };
    match route.name {
        "create_request" | "extend_grant" | "approve_request" => {
            lead(OF_REQUEST, json!({ "id": "$response.body#/id" }));
            // A grant goes by its request's id as well.
            lead(OF_GRANT, json!({ "id": "$response.body#/id" }));
        }
        "show_grant" => lead(OF_GRANT, json!({ "id": "$response.body#/id" })),
        "create_policy" | "replace_policy" => {
            let scope = json!("$response.body#/scope");
            lead(&["show_policy"], json!({ "scope": scope }));
            let version = json!({ "scope": scope, "If-Match": "$response.body#/etag" });
            lead(&["replace_policy", "delete_policy"], version);
        }
        "create_token" => lead(
            &["revoke_token"],
            json!({ "id": "$response.body#/token/id" }),
        ),
        _ => return None,
    }
    Some(Value::Object(links))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_what_it_was() {
        insta::assert_snapshot!(serde_json::to_string_pretty(document()).unwrap());
    }

    #[test]
    fn each_reference_leads_somewhere() {
        let text = document().to_string();
        let reference = regex::Regex::new(r##""\$ref":"#/components/schemas/([^"]+)""##).unwrap();
        for found in reference.captures_iter(&text) {
            assert!(schemas().contains_key(&found[1]), "{}", &found[1]);
        }
    }

    #[test]
    fn each_link_leads_to_an_operation() {
        let linked: Vec<Value> = ROUTES.iter().filter_map(links).collect();
        assert!(!linked.is_empty());
        for link in linked.iter().filter_map(Value::as_object).flatten() {
            assert!(ROUTES.iter().any(|it| it.name == link.1["operationId"]));
        }
    }

    #[test]
    fn no_two_types_have_one_name() {
        // The second of a name gets a number.
        let numbered = |it: &&String| it.ends_with(|last: char| last.is_ascii_digit());
        assert_eq!(schemas().keys().find(numbered), None);
    }

    #[test]
    fn each_route_says_who_may_and_what_a_token_needs() {
        let rows: Vec<String> = ROUTES
            .iter()
            .map(|it| {
                format!(
                    "{:6} {:30} {:?} {}",
                    it.method,
                    it.path,
                    it.right,
                    scope_word(it.scope)
                )
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"));
    }
}
