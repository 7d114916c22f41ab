//! Who may know of what, and listings of it: people of their own requests and grants, approvers of those of the policies they
//! approve, operators of all.

use uuid::Uuid;

use crate::model::{Grant, GrantState, Principal, Request, RequestState};
use crate::policy::{Policy, PolicySet};
use crate::store::{GrantFilter, Listing, MOST_LISTED, RequestFilter};

use super::desk::Desk;
use super::lifecycle::{Case, People, Quorum};
use super::refusals::{WorkflowError, not_reached};

/// Pages of [`MOST_LISTED`] rows that one listing looks through at most, for what its reader may know of.
const MOST_PAGES: usize = 20;

/// What is listed, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<F> {
    /// Which.
    pub filter: F,
    /// Whose.
    pub whose: Whose,
    /// Only what is older than this, [`Page::next`] of the page before.
    pub after: Option<Uuid>,
    /// At most this many, and at most [`MOST_LISTED`].
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

/// The answer for a request that is not there, and for one that is not the caller's to know of.
pub(super) fn no_request(id: Uuid) -> WorkflowError {
    WorkflowError::NotFound(format!(
        "there is no request {id} that you may see; Get-ElevatedAccessRequest lists those that you may"
    ))
}

/// The answer for a grant that is not there, and for one that is not the caller's to know of.
pub(super) fn no_grant(id: Uuid) -> WorkflowError {
    WorkflowError::NotFound(format!(
        "there is no authorization {id} that you may see; Get-ElevatedAccessAuthorization lists those that you may"
    ))
}

/// A request by id.
pub(super) async fn request(desk: &Desk, who: &Principal, id: Uuid) -> Result<Case, WorkflowError> {
    let snapshot = desk.state.snapshot();
    desk.case(id)
        .await
        .map_err(not_reached)?
        .filter(|it| may_know(desk, who, &it.request, &snapshot.policies))
        .map(|it| it.without(desk.redaction()))
        .ok_or_else(|| no_request(id))
}

/// A grant's case as it is stored, by the grant's own id or its request's.
pub(super) async fn case_of_grant(
    desk: &Desk,
    who: &Principal,
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
        .filter(|it| may_know(desk, who, &it.request, &snapshot.policies))
        .ok_or_else(|| no_grant(id))
}

/// A grant by its own id or its request's.
pub(super) async fn grant(desk: &Desk, who: &Principal, id: Uuid) -> Result<Grant, WorkflowError> {
    let case = case_of_grant(desk, who, id).await?;
    case.without(desk.redaction())
        .grant
        .ok_or_else(|| no_grant(id))
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
    while let Some(listing) = walk.next() {
        let page = desk.store.requests(&listing, &filter).await;
        let page = page.map_err(not_reached)?;
        let votes = desk.store.votes_on(&page, &listing).await;
        let mut votes = votes.map_err(not_reached)?;
        walk.looked_at(page.len(), page.last().map(|it| it.id), &listing);
        for request in page {
            let id = request.id;
            let case = Case {
                votes: votes.remove(&id).unwrap_or_default(),
                request,
                grant: None,
                extended: None,
            };
            let is_wanted = match query.whose {
                Whose::Known => may_know(desk, who, &case.request, policies),
                Whose::Mine => true,
                Whose::ToDecide => awaits(who, &case, policies) && now < case.request.expires,
            };
            if is_wanted && walk.found(id, case.without(desk.redaction())) {
                break;
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
            if is_wanted && walk.found(id, grant.without(desk.redaction())) {
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

/// Whether a pending request waits for `who`.
fn awaits(who: &Principal, case: &Case, policies: &PolicySet) -> bool {
    let request = &case.request;
    let people = People::of(policies);
    let is_own = people.is_same(who, &request.principal_key, &request.principal_name);
    let mut votes = case.votes.iter();
    let has_answered = votes.any(|it| people.is_same(who, &it.approver_key, &it.approver_name));
    let policy = policies.policy(&request.policy);
    !is_own && !has_answered && policy.is_some_and(|it| is_approver(who, it, policies))
}

/// A walk through a listing, page by page, until enough is found or too much was looked at.
struct Walk<T> {
    of: Option<String>,
    before: Option<Uuid>,
    most: usize,
    pages: usize,
    is_over: bool,
    items: Vec<T>,
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
        }
    }

    /// What to read next.
    fn next(&mut self) -> Option<Listing> {
        if self.is_over || self.items.len() >= self.most || self.pages >= MOST_PAGES {
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

    /// Takes an item; whether it was the last one that is wanted.
    fn found(&mut self, id: Uuid, item: T) -> bool {
        self.items.push(item);
        let is_enough = self.items.len() >= self.most;
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
