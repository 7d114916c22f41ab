//! From a call to its judgement: the decision, and between it and its record the use that the call takes of a grant that
//! counts them. Also what a block does besides: it files the request that it asks for, where its policy says so.

use std::sync::Arc;

use tracing::debug;
use uuid::Uuid;

use crate::audit::CallContext;
use crate::dialect::exchange_rest::Call;
use crate::model::{Command, RequestState};
use crate::policy::{
    Decision, Facts, Judgement, OnBlock, Permit, Rule, Spread, Withheld, decide, withhold,
};
use crate::state::{CallMark, NotTaken, Taking};

use super::call::Scene;
use super::reject::Rejection;
use super::uses::{Continuing, Receipt, passes_by};

/// How often a call is decided anew because the grant that covered it was over or used up a moment later: more often than
/// anybody has grants under one policy. After that it is refused.
const DECISIONS: usize = 16;

/// What became of the use that a permitted call may need.
enum Use {
    /// The grant was over or used up a moment later; another may cover the call.
    Another,
    /// The call needs none.
    None,
    /// It was taken, or the call goes on with one that was.
    Taken(Receipt),
    /// There is none, for now or at all.
    Withheld(Withheld),
}

impl Scene<'_> {
    /// Decides a call, and takes the use that it needs of a grant that counts them.
    pub(super) async fn judge(
        &self,
        call: Call,
        context: &CallContext,
    ) -> Result<(Judgement<Call>, Option<Receipt>), Rejection> {
        let gate = &*self.worker.gate;
        let mark = |call: &Call| {
            let id = context.client_request_id.as_deref();
            let principal = self.caller.principal.id;
            let command = call.command()?;
            Some(CallMark::new(principal, command, id, call.is_page()))
        };
        let continued = if gate.uses.remembers() {
            mark(&call).and_then(|mark| gate.uses.continued(&mark))
        } else {
            None
        };
        let grants = Continuing {
            grants: &gate.state.grants,
            continued,
        };
        // Made anew for each use: it is not held while a use is taken.
        let facts = || Facts {
            policies: &self.snapshot.policies,
            mode: self.snapshot.mode,
            endpoint: self.route.rules,
            principal: &self.caller.principal,
            source: context.source,
            grants: &grants,
            now: context.decided,
        };
        let mut judgement = decide(call, Call::subject, &facts());
        let mut receipt = None;
        for left in (0..DECISIONS).rev() {
            let permit = match judgement {
                Judgement::Permitted(permit) => permit,
                settled @ (Judgement::Own(_) | Judgement::Refused(_)) => {
                    judgement = settled;
                    break;
                }
            };
            match self.take_use(&permit, continued, &mark).await? {
                Use::Another if left > 0 => {
                    judgement = decide(permit.into_parts().0, Call::subject, &facts());
                }
                Use::Another => {
                    judgement = withhold(permit, Withheld::UsedUp, Call::subject, &facts());
                    break;
                }
                Use::None => {
                    judgement = Judgement::Permitted(permit);
                    break;
                }
                Use::Taken(taken) => {
                    receipt = Some(taken);
                    judgement = Judgement::Permitted(permit);
                    break;
                }
                Use::Withheld(why) => {
                    judgement = withhold(permit, why, Call::subject, &facts());
                    break;
                }
            }
        }
        let decision = judgement.decision();
        self.route.metrics.decided(decision.verdict, decision.rule);
        Ok((judgement, receipt))
    }

    /// The grant of which a permitted call needs a use, and the bound of its policy.
    fn counted(&self, permit: &Permit<Call>) -> Option<(Uuid, Option<Spread>)> {
        let decision = permit.decision();
        let grant = passes_by(decision)?;
        let command = permit.subject().command()?;
        if command.is_trial() && !command.reads() {
            return None;
        }
        let policy = self.snapshot.policies.policy(decision.policy.as_deref()?)?;
        let holder = self.caller.principal.id;
        let is_counted = self
            .worker
            .gate
            .state
            .grants
            .counts_uses(holder, policy.id, grant);
        (is_counted || policy.spread.is_some()).then_some((grant, policy.spread))
    }

    async fn take_use(
        &self,
        permit: &Permit<Call>,
        continued: Option<Uuid>,
        mark: impl Fn(&Call) -> Option<CallMark>,
    ) -> Result<Use, Rejection> {
        let (call, uses) = (permit.subject(), &self.worker.gate.uses);
        let receipt = |mark| Receipt {
            uses: Arc::clone(uses),
            mark,
        };
        if continued.is_some() && continued == passes_by(permit.decision()) {
            // A repetition may fail again, and be repeated again.
            let again = mark(call).filter(|it| !it.is_page).map(receipt);
            return Ok(again.map_or(Use::None, Use::Taken));
        }
        let (Some((grant, spread)), Some(command), Some(mark)) =
            (self.counted(permit), call.command(), mark(call))
        else {
            return Ok(Use::None);
        };
        let taking = Taking {
            grant,
            command,
            mark: &mark,
            spread,
        };
        match uses.take(taking).await {
            Ok(()) => Ok(Use::Taken(receipt(mark))),
            Err(NotTaken::Gone | NotTaken::Withheld(Withheld::UsedUp)) => Ok(Use::Another),
            Err(NotTaken::Unavailable(text)) => Err(Rejection::no_use(&text)),
            Err(NotTaken::Withheld(why)) => Ok(Use::Withheld(why)),
        }
    }

    /// Files the request that a blocked command needs, if its policy has `on_block = "request"`; what the caller is told then.
    pub(super) async fn file_request(
        &self,
        command: &Command,
        blocked: &Decision,
        decision: Uuid,
        context: &CallContext,
    ) -> Option<String> {
        let policy = self.snapshot.policies.policy(blocked.policy.as_deref()?)?;
        let is_asked_for = matches!(blocked.rule, Rule::NeedsApproval | Rule::UsedUp);
        if policy.on_block != OnBlock::Request || !is_asked_for || command.is_trial() {
            return None;
        }
        let filed = self
            .worker
            .gate
            .own_cmdlets
            .blocked(
                &context.principal,
                context.source,
                command,
                &policy.scope.folded,
                decision,
            )
            .await;
        match filed {
            Ok((request, RequestState::Approved)) => Some(format!(
                "{} needed approval, and its request {request} was filed and approved just now: run it again",
                command.task.cmdlet
            )),
            Ok((request, _)) => Some(format!(
                "{} needs approval. The request {request} was filed for it: run it again when it is approved; Get-ElevatedAccessRequest -RequestId {request} shows where it stands",
                command.task.cmdlet
            )),
            Err(error) => {
                debug!(%error, "A blocked call could not file its request");
                None
            }
        }
    }
}
