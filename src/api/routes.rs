//! What the management API offers: each route with the right that it takes. Dispatch, the published description and the table of
//! rights are all made of this list.

use crate::api::types::TokenScope;

/// Under which path the API lies.
pub const BASE: &str = "/api/v1";

/// Who may use a route. What a person sees or may do of its object is then the workflow's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Anybody, signed in or not.
    Anybody,
    /// Members of the auditors' group, and operators.
    Auditor,
    /// Members of the operators' group.
    Operator,
    /// Whoever is signed in.
    Person,
    /// Whoever is signed in by a credential of their own, and not by a token of the API.
    PersonInPerson,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its name, unique.
    pub name: &'static str,
    /// Its method.
    pub method: &'static str,
    /// Its path below [`BASE`].
    pub path: &'static str,
    /// Who may use it.
    pub right: Right,
    /// The scope that a token needs for it.
    pub scope: TokenScope,
    /// What it does.
    pub summary: &'static str,
}

impl Route {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        self.method != "GET" && self.name != "explain_decision"
    }
}

const fn route(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    right: Right,
    scope: TokenScope,
    summary: &'static str,
) -> Route {
    Route {
        name,
        method,
        path,
        right,
        scope,
        summary,
    }
}

/// All routes, in the order of paths.
pub const ROUTES: &[Route] = {
    use Right::{Anybody, Auditor, Operator, Person, PersonInPerson};
    use TokenScope::{Approve, Audit, Operate, Read, Request};
    &[
        route(
            "show_access_control",
            "GET",
            "/access-control",
            Person,
            Read,
            "Whether and how commands are controlled",
        ),
        route(
            "switch_access_control",
            "PUT",
            "/access-control",
            Operator,
            Operate,
            "Enable or disable access control",
        ),
        route(
            "search_audit",
            "GET",
            "/audit",
            Auditor,
            Audit,
            "Search the audit log, oldest first",
        ),
        route(
            "explain_decision",
            "POST",
            "/decisions/explain",
            Person,
            Read,
            "What would happen to a call, and why",
        ),
        route(
            "watch_events",
            "GET",
            "/events",
            Person,
            Read,
            "What happens from now on, as server-sent events",
        ),
        route(
            "list_exemptions",
            "GET",
            "/exemptions",
            Person,
            Read,
            "Accounts that need no grant: for members of groups, and operators",
        ),
        route(
            "list_grants",
            "GET",
            "/grants",
            Person,
            Read,
            "Grants that the caller may know of, newest first",
        ),
        route(
            "show_grant",
            "GET",
            "/grants/{id}",
            Person,
            Read,
            "A grant, by its id or its request's",
        ),
        route(
            "end_grant",
            "POST",
            "/grants/{id}/end",
            Person,
            Request,
            "Give an own grant back",
        ),
        route(
            "extend_grant",
            "POST",
            "/grants/{id}/extend",
            Person,
            Request,
            "Ask that an own grant lasts longer",
        ),
        route(
            "review_grant",
            "POST",
            "/grants/{id}/review",
            Person,
            Approve,
            "Mark a break-glass grant as looked at",
        ),
        route(
            "revoke_grant",
            "POST",
            "/grants/{id}/revoke",
            Person,
            Approve,
            "Take a grant away",
        ),
        route(
            "list_groups",
            "GET",
            "/groups",
            Person,
            Read,
            "The groups that policies name",
        ),
        route(
            "show_login",
            "GET",
            "/login",
            Anybody,
            Read,
            "How to sign in",
        ),
        route(
            "show_me",
            "GET",
            "/me",
            Person,
            Read,
            "Who calls, and with which rights",
        ),
        route(
            "describe",
            "GET",
            "/openapi.json",
            Anybody,
            Read,
            "This description",
        ),
        route(
            "list_policies",
            "GET",
            "/policies",
            Person,
            Read,
            "Policies in force, in the order of their scopes",
        ),
        route(
            "create_policy",
            "POST",
            "/policies",
            Operator,
            Operate,
            "Make a policy in the store",
        ),
        route(
            "show_policy",
            "GET",
            "/policies/{scope}",
            Person,
            Read,
            "The policy of a scope",
        ),
        route(
            "replace_policy",
            "PUT",
            "/policies/{scope}",
            Operator,
            Operate,
            "Change a policy of the store",
        ),
        route(
            "delete_policy",
            "DELETE",
            "/policies/{scope}",
            Operator,
            Operate,
            "Remove a policy of the store",
        ),
        route(
            "list_requests",
            "GET",
            "/requests",
            Person,
            Read,
            "Requests that the caller may know of, newest first",
        ),
        route(
            "create_request",
            "POST",
            "/requests",
            Person,
            Request,
            "File a request",
        ),
        route(
            "show_request",
            "GET",
            "/requests/{id}",
            Person,
            Read,
            "A request, with its votes and its grant",
        ),
        route(
            "approve_request",
            "POST",
            "/requests/{id}/approve",
            Person,
            Approve,
            "Approve a request, as it is or for less",
        ),
        route(
            "deny_request",
            "POST",
            "/requests/{id}/deny",
            Person,
            Approve,
            "Deny a request",
        ),
        route(
            "withdraw_request",
            "POST",
            "/requests/{id}/withdraw",
            Person,
            Request,
            "Take an own request back",
        ),
        route(
            "list_tokens",
            "GET",
            "/tokens",
            Person,
            Read,
            "The caller's tokens; an operator's `all` has everybody's",
        ),
        route(
            "create_token",
            "POST",
            "/tokens",
            PersonInPerson,
            Read,
            "Make a token of the caller's own",
        ),
        route(
            "revoke_token",
            "DELETE",
            "/tokens/{id}",
            PersonInPerson,
            Read,
            "Revoke an own token; an operator, anybody's. A token revokes itself alone",
        ),
        route(
            "who_can",
            "GET",
            "/who-can",
            Person,
            Read,
            "Who has to do with a task",
        ),
    ]
};
