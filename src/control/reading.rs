//! Who may know of what: people of their own requests and grants, approvers of those of the policies they approve.

use uuid::Uuid;

use crate::model::{Grant, Principal};
use crate::policy::{Policy, PolicySet};
use crate::state::OwnCmdletError;
use crate::store::{Listing, MOST_LISTED, StoreError};

use super::desk::Desk;
use super::lifecycle::{Case, Quorum};
use super::refusals::not_reached;

/// Pages that a listing looks through at most, [`MOST_LISTED`] rows each, for what an approver may know of.
const MOST_PAGES: usize = 20;

/// Whether `who` decides under `policy`.
pub(super) fn is_approver(who: &Principal, policy: &Policy, policies: &PolicySet) -> bool {
    !Quorum::of(policy, policies).groups_of(who).is_empty()
}

/// Whether `who` may know of a request or grant of the person with the key `owner` under `policy`. That a policy is gone is
/// known to whoever is in an approver group.
pub(super) fn may_know(who: &Principal, owner: &str, policy: &str, policies: &PolicySet) -> bool {
    who.key == owner
        || match policies.policy(policy) {
            Some(policy) => is_approver(who, policy, policies),
            None => policies.groups().iter().any(|it| it.has(who)),
        }
}

/// The answer for a request that is not there, and for one that is not the caller's to know of.
pub(super) fn no_request(id: Uuid) -> OwnCmdletError {
    OwnCmdletError::NotFound(format!(
        "there is no request {id} that you may see; Get-ElevatedAccessRequest lists those that you may"
    ))
}

/// The answer for a grant that is not there, and for one that is not the caller's to know of.
pub(super) fn no_grant(id: Uuid) -> OwnCmdletError {
    OwnCmdletError::NotFound(format!(
        "there is no authorization {id} that you may see; Get-ElevatedAccessAuthorization lists those that you may"
    ))
}

/// A request by id.
pub(super) async fn request(
    desk: &Desk,
    who: &Principal,
    id: Uuid,
) -> Result<Case, OwnCmdletError> {
    let snapshot = desk.state.snapshot();
    desk.case(id)
        .await
        .map_err(not_reached)?
        .filter(|it| {
            let request = &it.request;
            may_know(
                who,
                &request.principal_key,
                &request.policy,
                &snapshot.policies,
            )
        })
        .ok_or_else(|| no_request(id))
}

/// The requests that `who` may know of, newest first, with their votes and without their grants.
pub(super) async fn requests(desk: &Desk, who: &Principal) -> Result<Vec<Case>, StoreError> {
    let snapshot = desk.state.snapshot();
    let mut listing = first_page(who, &snapshot.policies);
    let mut cases = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = desk.store.requests(&listing).await?;
        let Some(last) = page.last().map(|it| it.id) else {
            break;
        };
        let mut votes = desk.store.votes_on(&page, &listing).await?;
        for request in page {
            if may_know(
                who,
                &request.principal_key,
                &request.policy,
                &snapshot.policies,
            ) {
                cases.push(Case {
                    votes: votes.remove(&request.id).unwrap_or_default(),
                    request,
                    grant: None,
                });
            }
        }
        match next_page(&listing, last, cases.len()) {
            Some(next) => listing = next,
            None => break,
        }
    }
    cases.truncate(MOST_LISTED);
    Ok(cases)
}

/// The grants that `who` may know of, newest first.
pub(super) async fn grants(desk: &Desk, who: &Principal) -> Result<Vec<Grant>, StoreError> {
    let snapshot = desk.state.snapshot();
    let mut listing = first_page(who, &snapshot.policies);
    let mut grants = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = desk.store.grants(&listing).await?;
        let Some(last) = page.last().map(|it| it.id) else {
            break;
        };
        grants.extend(
            page.into_iter()
                .filter(|it| may_know(who, &it.principal_key, &it.policy, &snapshot.policies)),
        );
        match next_page(&listing, last, grants.len()) {
            Some(next) => listing = next,
            None => break,
        }
    }
    grants.truncate(MOST_LISTED);
    Ok(grants)
}

/// A grant by its own id or its request's.
pub(super) async fn grant(desk: &Desk, who: &Principal, id: Uuid) -> Result<Grant, OwnCmdletError> {
    let snapshot = desk.state.snapshot();
    let found = match desk.store.grant(id).await.map_err(not_reached)? {
        Some(grant) => Some(grant),
        None => desk.store.grant_of_request(id).await.map_err(not_reached)?,
    };
    found
        .filter(|it| may_know(who, &it.principal_key, &it.policy, &snapshot.policies))
        .ok_or_else(|| no_grant(id))
}

/// An approver's listing goes through everybody's; others' has their own only.
fn first_page(who: &Principal, policies: &PolicySet) -> Listing {
    if policies.groups().iter().any(|it| it.has(who)) {
        Listing::All { before: None }
    } else {
        Listing::Of(who.key.clone())
    }
}

fn next_page(listing: &Listing, last: Uuid, found: usize) -> Option<Listing> {
    match listing {
        Listing::All { .. } if found < MOST_LISTED => Some(Listing::All { before: Some(last) }),
        Listing::All { .. } | Listing::Of(_) => None,
    }
}
