//! Who may know of what, and listings of it: people of their own requests and grants, approvers of those of the policies they
//! approve, operators of all.

use uuid::Uuid;

use crate::model::{Grant, GrantState, Principal, Request, RequestState};
use crate::policy::{Policy, PolicySet, Whereabouts};
use crate::store::{GrantFilter, Listing, MOST_LISTED, RequestFilter};

use super::Caller;
use super::desk::Desk;
use super::lifecycle::{Case, People, Quorum};
use super::refusals::{WorkflowError, not_reached};
use super::words::Words;

/// Pages of [`MOST_LISTED`] rows that one listing looks through at most, for what its reader may know of.
const MOST_PAGES: usize = 20;

/// A part of a listing ends where it has taken this much room, in bytes: what people write is bounded, and large all the same.
const ENOUGH_BYTES: usize = 1 << 20;

/// Requests whose votes are read at once.
const VOTES_AT_ONCE: usize = 100;

/// What is listed, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<F> {
    /// Which.
    pub filter: F,
    /// Whose.
    pub whose: Whose,
    /// Only what is older than this, [`Page::next`] of the page before.
    pub after: Option<Uuid>,
    /// At most this many, and at most [`MOST_LISTED`]; fewer where they are large.
    pub most: usize,
}

impl<F: Default> Default for Query<F> {
    fn default() -> Self {
        Self {
            filter: F::default(),
            whose: Whose::Known,
            after: None,
            most: MOST_LISTED,
        }
    }
}

/// Whose requests or grants are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All that the reader may know of.
    Known,
    /// The reader's own.
    Mine,
    /// Pending requests that the reader may answer and has not; grants that the reader may revoke.
    ToDecide,
}

/// A part of a listing, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be one. A page can be short, or even empty, and not the last.
    pub next: Option<Uuid>,
}

/// Whether `who` decides under `policy`.
fn is_approver(who: &Principal, policy: &Policy, policies: &PolicySet) -> bool {
    !Quorum::of(policy, policies).groups_of(who).is_empty()
}

/// Whether `who` may know of a request and of what came of it.
pub(super) fn may_know(
    desk: &Desk,
    who: &Principal,
    request: &Request,
    policies: &PolicySet,
) -> bool {
    is_own(
        who,
        &request.principal_key,
        &request.principal_name,
        policies,
    ) || may_know_others(desk, who, &request.policy, policies)
}

fn may_know_grant(desk: &Desk, who: &Principal, grant: &Grant, policies: &PolicySet) -> bool {
    is_own(who, &grant.principal_key, &grant.principal_name, policies)
        || may_know_others(desk, who, &grant.policy, policies)
}

fn is_own(who: &Principal, key: &str, name: &str, policies: &PolicySet) -> bool {
    People::of(policies).is_same(who, key, name)
}

/// Whether `who` may know of everybody's requests under the policy of this scope. That a policy is gone is known to whoever
/// is in a group.
pub(super) fn may_know_others(
    desk: &Desk,
    who: &Principal,
    policy: &str,
    policies: &PolicySet,
) -> bool {
    is_operator(desk, who, policies)
        || match policies.policy(policy) {
            Some(policy) => is_approver(who, policy, policies),
            None => policies.groups().iter().any(|it| it.has(who)),
        }
}

/// Whether `who` keeps the gateway.
pub(super) fn is_operator(desk: &Desk, who: &Principal, policies: &PolicySet) -> bool {
    desk.operators(policies).is_some_and(|it| it.has(who))
}

/// Whether `who` may read the audit log: a member of the auditors' group, or an operator.
pub(super) fn is_auditor(desk: &Desk, who: &Principal, policies: &PolicySet) -> bool {
    let auditors = desk.settings.auditors.as_deref();
    let auditors = auditors.and_then(|it| policies.group(it));
    auditors.is_some_and(|it| it.has(who)) || is_operator(desk, who, policies)
}

/// How closely `who` is told where policies are written.
pub(super) fn whereabouts(desk: &Desk, who: &Principal) -> Whereabouts {
    if is_auditor(desk, who, &desk.state.snapshot().policies) {
        Whereabouts::Line
    } else {
        Whereabouts::FileName
    }
}

/// The answer for a request that is not there, and for one that is not the caller's to know of.
pub(super) fn no_request(id: Uuid, words: &Words) -> WorkflowError {
    WorkflowError::NotFound(format!(
        "there is no request {id} that you may see; {} lists those that you may",
        words.requests
    ))
}

/// The answer for a grant that is not there, and for one that is not the caller's to know of.
pub(super) fn no_grant(id: Uuid, words: &Words) -> WorkflowError {
    WorkflowError::NotFound(format!(
        "there is no authorization {id} that you may see; {} lists those that you may",
        words.grants
    ))
}

/// A request by id.
pub(super) async fn request(desk: &Desk, caller: &Caller, id: Uuid) -> Result<Case, WorkflowError> {
    let snapshot = desk.state.snapshot();
    desk.case(id)
        .await
        .map_err(not_reached)?
        .filter(|it| may_know(desk, &caller.principal, &it.request, &snapshot.policies))
        .map(|it| it.without(desk.redaction()))
        .ok_or_else(|| no_request(id, caller.words()))
}

/// A grant's case as it is stored, by the grant's own id or its request's.
pub(super) async fn case_of_grant(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
) -> Result<Case, WorkflowError> {
    let request = match desk.store.grant(id).await.map_err(not_reached)? {
        Some(grant) => grant.request,
        None => id,
    };
    let snapshot = desk.state.snapshot();
    desk.case(request)
        .await
        .map_err(not_reached)?
        .filter(|it| it.grant.is_some())
        .filter(|it| may_know(desk, &caller.principal, &it.request, &snapshot.policies))
        .ok_or_else(|| no_grant(id, caller.words()))
}

/// A grant by its own id or its request's.
pub(super) async fn grant(desk: &Desk, caller: &Caller, id: Uuid) -> Result<Grant, WorkflowError> {
    let case = case_of_grant(desk, caller, id).await?;
    case.without(desk.redaction())
        .grant
        .ok_or_else(|| no_grant(id, caller.words()))
}

/// The requests that `query` is about and that `who` may know of, with their votes and without their grants.
pub(super) async fn requests(
    desk: &Desk,
    who: &Principal,
    query: &Query<RequestFilter>,
) -> Result<Page<Case>, WorkflowError> {
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    let mut filter = query.filter.clone();
    if query.whose == Whose::ToDecide {
        filter.state = Some(RequestState::Pending);
    }
    let now = desk.now();
    let mut walk = Walk::new(desk, who, query, policies);
    'walk: while let Some(listing) = walk.next() {
        let page = desk.store.requests(&listing, &filter).await;
        let page = page.map_err(not_reached)?;
        walk.looked_at(page.len(), page.last().map(|it| it.id), &listing);
        let may_be_wanted = |it: &Request| match query.whose {
            Whose::Known => may_know(desk, who, it, policies),
            Whose::Mine => true,
            Whose::ToDecide => now < it.expires && may_decide(who, it, policies),
        };
        let found: Vec<Request> = page.into_iter().filter(may_be_wanted).collect();
        // No votes are read but of what is listed, or nearly so.
        for some in found.chunks(VOTES_AT_ONCE) {
            let votes = desk.store.votes_on(some).await;
            let mut votes = votes.map_err(not_reached)?;
            for request in some {
                let case = Case {
                    votes: votes.remove(&request.id).unwrap_or_default(),
                    request: request.clone(),
                    grant: None,
                    extended: None,
                };
                let is_wanted =
                    query.whose != Whose::ToDecide || !has_answered(who, &case, policies);
                let bytes = case_bytes(&case);
                if is_wanted && walk.found(request.id, case.without(desk.redaction()), bytes) {
                    break 'walk;
                }
            }
        }
    }
    Ok(walk.page())
}

/// The grants that `query` is about and that `who` may know of.
pub(super) async fn grants(
    desk: &Desk,
    who: &Principal,
    query: &Query<GrantFilter>,
) -> Result<Page<Grant>, WorkflowError> {
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    let now = desk.now();
    let mut walk = Walk::new(desk, who, query, policies);
    while let Some(listing) = walk.next() {
        let page = desk.store.grants(&listing, &query.filter).await;
        let page = page.map_err(not_reached)?;
        walk.looked_at(page.len(), page.last().map(|it| it.id), &listing);
        for grant in page {
            let id = grant.id;
            let state = grant.state(now);
            let is_wanted = query.filter.state.is_none_or(|it| it == state)
                && match query.whose {
                    Whose::Known => may_know_grant(desk, who, &grant, policies),
                    Whose::Mine => true,
                    Whose::ToDecide => {
                        let is_own =
                            is_own(who, &grant.principal_key, &grant.principal_name, policies);
                        let is_live = matches!(state, GrantState::Active | GrantState::Scheduled);
                        let may = may_know_others(desk, who, &grant.policy, policies);
                        may && !is_own && (is_live || query.filter.awaiting_review)
                    }
                };
            let bytes = grant.pins.bytes();
            if is_wanted && walk.found(id, grant.without(desk.redaction()), bytes) {
                break;
            }
        }
    }
    Ok(walk.page())
}

/// Whose approvals a pending request still lacks, in words.
pub(super) fn missing(desk: &Desk, case: &Case) -> Option<String> {
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    let is_pending = case.request.state == RequestState::Pending;
    let policy = policies.policy(&case.request.policy);
    policy
        .filter(|_| is_pending)
        .map(|policy| Quorum::of(policy, policies).missing(&case.votes))
}

/// About how much room what people wrote with a request and its votes takes.
fn case_bytes(case: &Case) -> usize {
    let request = &case.request;
    let context = request.context.iter().map(|it| it.0.len() + it.1.len());
    let said = |it: &Option<String>| it.as_ref().map_or(0, String::len);
    let votes = case.votes.iter();
    let of_votes = votes.map(|it| it.narrowing.pins.bytes() + said(&it.comment));
    request.pins.bytes()
        + request.reason.len()
        + said(&request.comment)
        + context.chain(of_votes).sum::<usize>()
}

/// Whether `who` may answer a request, if it is not answered yet.
fn may_decide(who: &Principal, request: &Request, policies: &PolicySet) -> bool {
    let is_own = is_own(
        who,
        &request.principal_key,
        &request.principal_name,
        policies,
    );
    let policy = policies.policy(&request.policy);
    !is_own && policy.is_some_and(|it| is_approver(who, it, policies))
}

/// Whether `who` has answered a request.
fn has_answered(who: &Principal, case: &Case, policies: &PolicySet) -> bool {
    let people = People::of(policies);
    let mut votes = case.votes.iter();
    votes.any(|it| people.is_same(who, &it.approver_key, &it.approver_name))
}

/// A walk through a listing, page by page, until enough is found or too much was looked at.
struct Walk<T> {
    of: Option<String>,
    before: Option<Uuid>,
    most: usize,
    pages: usize,
    is_over: bool,
    items: Vec<T>,
    /// About how much room what people wrote in `items` takes.
    bytes: usize,
}

impl<T> Walk<T> {
    /// An approver's goes through everybody's rows; others' has their own only.
    fn new<F>(desk: &Desk, who: &Principal, query: &Query<F>, policies: &PolicySet) -> Self {
        let sees_others = policies.groups().iter().any(|it| it.has(who))
            || is_operator(desk, who, policies)
            || policies.person(&who.key, &who.name).is_some();
        Self {
            of: match query.whose {
                Whose::Known | Whose::ToDecide if sees_others => None,
                Whose::Known | Whose::Mine | Whose::ToDecide => Some(who.key.clone()),
            },
            before: query.after,
            most: query.most.clamp(1, MOST_LISTED),
            pages: 0,
            is_over: false,
            items: Vec::new(),
            bytes: 0,
        }
    }

    /// What to read next.
    fn next(&mut self) -> Option<Listing> {
        let is_enough = self.items.len() >= self.most || self.bytes >= ENOUGH_BYTES;
        if self.is_over || is_enough || self.pages >= MOST_PAGES {
            return None;
        }
        self.pages += 1;
        Some(Listing {
            of: self.of.clone(),
            before: self.before,
            // Where each row is wanted, no more are read than that.
            most: self.of.is_some().then_some(self.most - self.items.len()),
        })
    }

    fn looked_at(&mut self, rows: usize, last: Option<Uuid>, listing: &Listing) {
        self.is_over = rows < listing.most.unwrap_or(MOST_LISTED).min(MOST_LISTED);
        self.before = last.or(self.before);
    }

    /// Takes an item, in which what people wrote takes so many bytes; whether it was the last one that is wanted.
    fn found(&mut self, id: Uuid, item: T, bytes: usize) -> bool {
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(bytes);
        let is_enough = self.items.len() >= self.most || self.bytes >= ENOUGH_BYTES;
        if is_enough {
            self.before = Some(id);
            self.is_over = false;
        }
        is_enough
    }

    fn page(self) -> Page<T> {
        Page {
            next: self.before.filter(|_| !self.is_over),
            items: self.items,
        }
    }
}
