//! What people and programs do through the workflow, whichever way they come: cmdlets, the management API and the command
//! line all end here.
//!
//! Each change runs as a task of its own to its end, whether or not the client waits for it.

use std::sync::Arc;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::model::{Grant, Principal};
use crate::policy::{Definition, PolicyFile, Whereabouts};
use crate::store::{Delivery, GrantFilter, RequestFilter, StoredReply, StoredToken};

use super::acting::{self, Act};
use super::administration::{self, ListedPolicy, More, StoredForm};
use super::desk::Desk;
use super::force::{self, NewPolicies, Switch};
use super::redelivery::{self, DeliveryQuery};
use super::tokens::{self, Claim, NewToken};
use super::{
    Ask, Caller, Case, Control, Filed, Happening, Page, Query, Reply, WorkflowError, filing,
    reading,
};

impl Control {
    /// Files a request; answered with the equal one that is pending already, if there is one.
    pub async fn file(&self, caller: Caller, ask: Ask) -> Result<Filed, WorkflowError> {
        self.carry(move |desk| async move { filing::file(&desk, &caller, &ask).await })
            .await
    }

    /// Approves or denies a request; the case as it is then.
    pub async fn reply(&self, caller: Caller, reply: Reply) -> Result<Case, WorkflowError> {
        self.carry(move |desk| async move { acting::reply(&desk, &caller, reply).await })
            .await
    }

    /// Takes a pending request of the caller back.
    pub async fn withdraw(
        &self,
        caller: Caller,
        request: Uuid,
        comment: Option<String>,
    ) -> Result<Case, WorkflowError> {
        self.carry(
            move |desk| async move { acting::withdraw(&desk, &caller, request, comment).await },
        )
        .await
    }

    /// Gives a grant of the caller back, named by its own id or its request's.
    pub async fn end(
        &self,
        caller: Caller,
        grant: Uuid,
        comment: Option<String>,
    ) -> Result<Grant, WorkflowError> {
        self.carry(move |desk| async move {
            acting::on_grant(&desk, &caller, grant, Act::End { comment }).await
        })
        .await
    }

    /// Takes a grant away, named by its own id or its request's: for approvers of its policy and operators.
    pub async fn revoke(
        &self,
        caller: Caller,
        grant: Uuid,
        comment: Option<String>,
    ) -> Result<Grant, WorkflowError> {
        self.carry(move |desk| async move {
            acting::on_grant(&desk, &caller, grant, Act::Revoke { comment }).await
        })
        .await
    }

    /// Marks a break-glass grant as looked at: for approvers of its policy and operators, but not its holder.
    pub async fn review(
        &self,
        caller: Caller,
        grant: Uuid,
        comment: Option<String>,
    ) -> Result<Grant, WorkflowError> {
        self.carry(move |desk| async move {
            acting::on_grant(&desk, &caller, grant, Act::Review { comment }).await
        })
        .await
    }

    /// A request that the caller may know of, with its votes and its grant.
    pub async fn request(&self, caller: &Caller, id: Uuid) -> Result<Case, WorkflowError> {
        reading::request(&self.desk, caller, id).await
    }

    /// Requests that `who` may know of, newest first, with their votes and without their grants.
    pub async fn requests(
        &self,
        who: &Principal,
        query: &Query<RequestFilter>,
    ) -> Result<Page<Case>, WorkflowError> {
        reading::requests(&self.desk, who, query).await
    }

    /// A grant that the caller may know of, by its own id or its request's.
    pub async fn grant(&self, caller: &Caller, id: Uuid) -> Result<Grant, WorkflowError> {
        reading::grant(&self.desk, caller, id).await
    }

    /// Grants that `who` may know of, newest first.
    pub async fn grants(
        &self,
        who: &Principal,
        query: &Query<GrantFilter>,
    ) -> Result<Page<Grant>, WorkflowError> {
        reading::grants(&self.desk, who, query).await
    }

    /// Policies in force, those of files and those of the store, in the order of their scopes in lower case: at most `most` of
    /// those behind `after`, and whether there are more.
    pub async fn policies(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<(Vec<ListedPolicy>, More), WorkflowError> {
        administration::policies(&self.desk, after, most).await
    }

    /// The policy in force with this scope, in any case.
    pub async fn policy(
        &self,
        caller: &Caller,
        scope: &str,
    ) -> Result<ListedPolicy, WorkflowError> {
        administration::policy(&self.desk, caller, scope).await
    }

    /// Makes a policy in the store: for operators.
    pub async fn add_policy(
        &self,
        caller: Caller,
        definition: Definition,
    ) -> Result<ListedPolicy, WorkflowError> {
        self.carry(move |desk| async move { administration::add(&desk, &caller, definition).await })
            .await
    }

    /// Changes a policy of the store: for operators. `expected`, if it is given, is the version that it must have.
    pub async fn change_policy(
        &self,
        caller: Caller,
        scope: String,
        definition: Definition,
        expected: Option<i64>,
    ) -> Result<ListedPolicy, WorkflowError> {
        self.carry(move |desk| async move {
            administration::change(&desk, &caller, &scope, definition, expected).await
        })
        .await
    }

    /// Removes a policy of the store: for operators. `expected`, if it is given, is the version that it must have.
    pub async fn remove_policy(
        &self,
        caller: Caller,
        scope: String,
        expected: Option<i64>,
    ) -> Result<(), WorkflowError> {
        self.carry(move |desk| async move {
            administration::remove(&desk, &caller, &scope, expected).await
        })
        .await
    }

    /// Enables or disables access control, keeping policies and groups: for operators.
    pub async fn switch(&self, caller: Caller, to: Switch) -> Result<(), WorkflowError> {
        self.carry(move |desk| async move { administration::switch(&desk, &caller, to).await })
            .await
    }

    /// Puts policy files in force, with the policies of the store, if they are good; what is in force stays otherwise.
    pub async fn put_files(&self, files: Vec<PolicyFile>) -> Result<NewPolicies, WorkflowError> {
        self.carry(move |desk| async move { force::put_files(&desk, files).await })
            .await
    }

    /// The token of the management API whose secret this is, if it is good now.
    pub async fn token(&self, secret: &str) -> Result<Option<StoredToken>, WorkflowError> {
        tokens::find(&self.desk, secret).await
    }

    /// Whether the token of this id is good still.
    pub async fn is_good_token(&self, id: Uuid) -> Result<bool, WorkflowError> {
        tokens::is_good(&self.desk, id).await
    }

    /// Tokens, newest first.
    pub async fn tokens(
        &self,
        who: &Principal,
        whose: tokens::Whose,
    ) -> Result<Vec<StoredToken>, WorkflowError> {
        tokens::list(&self.desk, who, whose).await
    }

    /// Makes a token of the caller's own; it, and its secret, which is kept nowhere.
    pub async fn create_token(
        &self,
        caller: Caller,
        new: NewToken,
    ) -> Result<(StoredToken, String), WorkflowError> {
        self.carry(move |desk| async move { tokens::create(&desk, &caller, new).await })
            .await
    }

    /// Revokes a token of the caller's own; for operators, anybody's.
    pub async fn revoke_token(&self, caller: Caller, id: Uuid) -> Result<(), WorkflowError> {
        self.carry(move |desk| async move { tokens::revoke(&desk, &caller, id).await })
            .await
    }

    /// Notices and where they stand, newest first: for operators.
    pub async fn notifications(
        &self,
        who: &Principal,
        query: &DeliveryQuery,
    ) -> Result<Page<Delivery>, WorkflowError> {
        redelivery::list(&self.desk, who, query).await
    }

    /// Has a notice tried again that was given up: for operators.
    pub async fn retry_notification(
        &self,
        caller: Caller,
        id: Uuid,
        comment: Option<String>,
    ) -> Result<Delivery, WorkflowError> {
        self.carry(move |desk| async move {
            redelivery::retry(&desk, &caller, id, comment.as_deref()).await
        })
        .await
    }

    /// Has all notices tried again that were given up: for operators. How many they are.
    pub async fn retry_notifications(
        &self,
        caller: Caller,
        comment: Option<String>,
    ) -> Result<usize, WorkflowError> {
        self.carry(move |desk| async move {
            redelivery::retry_all(&desk, &caller, comment.as_deref()).await
        })
        .await
    }

    /// Takes a place for the answer to a write that `who` named `key`; what is known of it, if it was sent before.
    pub async fn claim_reply(
        &self,
        who: &Principal,
        key: String,
        fingerprint: String,
    ) -> Result<Claim, WorkflowError> {
        tokens::claim(&self.desk, who, key, fingerprint).await
    }

    /// Keeps the answer to a write, or, without one, gives its place back.
    pub async fn answered(&self, reply: StoredReply) -> Result<(), WorkflowError> {
        self.carry(move |desk| async move { tokens::answered(&desk, &reply).await })
            .await
    }

    /// Whether `who` is of some group, and so may know who else is, and which accounts pass without a grant.
    pub fn is_of_a_group(&self, who: &Principal) -> bool {
        let snapshot = self.desk.state.snapshot();
        snapshot.policies.groups().iter().any(|it| it.has(who)) || self.is_operator(who)
    }

    /// Whether `who` may read the audit log: a member of the auditors' group, or an operator.
    pub fn is_auditor(&self, who: &Principal) -> bool {
        reading::is_auditor(&self.desk, who, &self.desk.state.snapshot().policies)
    }

    /// How closely `who` is told where policies are written: auditors and operators may know the host's files.
    pub fn whereabouts(&self, who: &Principal) -> Whereabouts {
        reading::whereabouts(&self.desk, who)
    }

    /// A policy as `who` may read it: of rules on parameters whose values are hidden, only operators read the values.
    pub fn policy_shown_to(&self, who: &Principal, mut listed: ListedPolicy) -> ListedPolicy {
        if !self.is_operator(who)
            && let Some(form) = listed.stored.take()
        {
            listed.stored = Some(StoredForm {
                definition: form.definition.without(self.desk.redaction()),
                version: form.version,
            });
        }
        listed
    }

    /// The quorum that a pending request still lacks, in words.
    pub fn missing_approvals(&self, case: &Case) -> Option<String> {
        reading::missing(&self.desk, case)
    }

    /// Whether `who` keeps the gateway.
    pub fn is_operator(&self, who: &Principal) -> bool {
        reading::is_operator(&self.desk, who, &self.desk.state.snapshot().policies)
    }

    /// Whether `who` may know of what happens to the requests and grants of the person with the key `owner` under `policy`.
    pub fn may_know(&self, who: &Principal, owner: &str, policy: &str) -> bool {
        let snapshot = self.desk.state.snapshot();
        who.key == owner || reading::may_know_others(&self.desk, who, policy, &snapshot.policies)
    }

    /// What happens from now on. A receiver that lags behind loses the oldest and is told so.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.desk.happenings.subscribe()
    }

    /// Runs `work` to its end, whether or not this is waited for.
    pub(super) async fn carry<T, F>(
        &self,
        work: impl FnOnce(Arc<Desk>) -> F + Send,
    ) -> Result<T, WorkflowError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WorkflowError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self.desk));
        let task = self.tasks.spawn_on(work, &self.runtime);
        task.await.unwrap_or_else(|_| {
            let text = "the gateway stopped before this was done: look whether it was";
            Err(WorkflowError::Unavailable(text.to_owned()))
        })
    }
}
