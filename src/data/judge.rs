//! From a call to its judgement: the decision, and between it and its record the use that the call takes of a grant that
//! counts them. Also what a block does besides: it files the request that it asks for, where its policy says so.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tracing::debug;
use uuid::Uuid;

use crate::audit::{CallContext, Recordable};
use crate::model::{CmdletName, Command, GrantState, Principal, RequestState};
use crate::policy::{
    Decision, Effect, Examined, Facts, Judgement, OnBlock, Permit, Refusal, Rule, Spread, Subject,
    Withheld, decide, decide_examined, withhold,
};
use crate::state::{BlockedRequest, CallMark, NotTaken, Snapshot, Taking};

use super::gate::{Gate, Route};
use super::reject::Rejection;
use super::uses::{Continuing, Others, Receipt, Spoken, passes_by};

/// How often a call is decided anew because the grant that covered it was over or used up a moment later: more often than
/// anybody has grants under one policy. After that it is refused.
const DECISIONS: usize = 16;

/// Something that is decided on, in whatever dialect it came.
pub(super) trait Judged {
    /// What it means.
    fn subject(&self) -> Subject<'_>;

    /// Whether it asks for a further page of an earlier call.
    fn is_page(&self) -> bool {
        false
    }

    /// Whether it asks only whether its command would run.
    fn is_trial(&self) -> bool {
        self.command().is_some_and(Command::is_trial)
    }

    /// The command, if it runs one.
    fn command(&self) -> Option<&Command> {
        match self.subject() {
            Subject::Command(command) => Some(command),
            Subject::Session(_) => None,
        }
    }
}

impl<C: Judged> Judged for &C {
    fn subject(&self) -> Subject<'_> {
        C::subject(self)
    }

    fn is_page(&self) -> bool {
        C::is_page(self)
    }

    fn is_trial(&self) -> bool {
        C::is_trial(self)
    }
}

/// What the record tells of a call.
pub(super) fn recordable<C: Judged>(call: &C) -> Recordable<'_> {
    Recordable {
        subject: call.subject(),
        is_page: call.is_page(),
        is_trial: call.is_trial(),
    }
}

/// Where something is decided: who asks whom, by which policies.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) gate: &'a Gate,
    pub(super) route: &'a Route,
    pub(super) snapshot: &'a Snapshot,
    pub(super) principal: &'a Arc<Principal>,
}

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
    pub(super) async fn judge<C: Judged>(
        &self,
        call: C,
        context: &CallContext,
    ) -> Result<(Judgement<C>, Option<Receipt>), Rejection> {
        let uses = &self.gate.uses;
        // What leaves a trace would leave it once more with each of its pages.
        let may_go_on = !call.is_page() || call.command().is_some_and(|it| self.only_reads(it));
        let continued = if uses.remembers() && may_go_on {
            self.mark(&call, context)
                .and_then(|mark| uses.continued(&mark))
        } else {
            None
        };
        let judgement = self.decided(call, context, continued);
        if continued.is_none() && self.needs_no_use(&judgement) {
            self.count(judgement.decision());
            return Ok((judgement, None));
        }
        Box::pin(self.settled(judgement, context, continued)).await
    }

    /// Decides a call with the grants of this moment. Of the grant `continued` a use was taken before, with which it goes on.
    pub(super) fn decided<C: Judged>(
        &self,
        call: C,
        context: &CallContext,
        continued: Option<Uuid>,
    ) -> Judgement<C> {
        let spoken = Spoken {
            continued,
            ..Spoken::default()
        };
        self.with_facts(context, spoken, |facts| decide(call, C::subject, facts))
    }

    /// Decides anew what runs already: of the caller's grants only `stands_on` counts, the one that it passed by. What was `examined` of its parameters
    /// is not looked at once more.
    pub(super) fn decided_again<C: Judged>(
        &self,
        call: C,
        context: &CallContext,
        stands_on: Option<Uuid>,
        examined: Option<&Examined>,
    ) -> Judgement<C> {
        let spoken = Spoken {
            continued: stands_on,
            others: Others::DoNotCount,
            ..Spoken::default()
        };
        self.with_facts(context, spoken, |facts| {
            decide_examined(call, C::subject, facts, examined)
        })
    }

    /// Whether a call that was permitted, by this grant if by one, would be by the policies and grants of this moment.
    pub(super) fn still_permits<C: Judged>(
        &self,
        call: &C,
        context: &CallContext,
        grant: Option<Uuid>,
    ) -> bool {
        let snapshot = self.gate.state.snapshot();
        let now = Scene {
            snapshot: &snapshot,
            ..*self
        };
        let context = CallContext {
            decided: Utc::now(),
            ..context.clone()
        };
        match now.decided_again(call, &context, grant, None) {
            Judgement::Permitted(_) => true,
            Judgement::Own(_) | Judgement::Refused(_) => false,
        }
    }

    /// Decides calls that run together or not at all: each with what the grants of this moment have left beside those before it.
    pub(super) fn decided_together<C: Judged>(
        &self,
        calls: Vec<C>,
        context: &CallContext,
    ) -> Vec<Judgement<C>> {
        let mut claimed = Vec::new();
        let mut judgements = Vec::with_capacity(calls.len());
        for call in calls {
            let spoken = Spoken {
                claimed: &claimed,
                ..Spoken::default()
            };
            let judgement =
                self.with_facts(context, spoken, |facts| decide(call, C::subject, facts));
            if let Judgement::Permitted(permit) = &judgement {
                claimed.extend(self.counted(permit).map(|it| it.0));
            }
            judgements.push(judgement);
        }
        judgements
    }

    /// Takes the use that a permitted call needs of a grant that counts them; what becomes of the call then.
    pub(super) async fn settled<C: Judged>(
        &self,
        mut judgement: Judgement<C>,
        context: &CallContext,
        continued: Option<Uuid>,
    ) -> Result<(Judgement<C>, Option<Receipt>), Rejection> {
        let withheld = |permit, why| {
            self.with_facts(context, Spoken::default(), |facts| {
                withhold(permit, why, C::subject, facts)
            })
        };
        let mut receipt = None;
        for left in (0..DECISIONS).rev() {
            let permit = match judgement {
                Judgement::Permitted(permit) => permit,
                settled @ (Judgement::Own(_) | Judgement::Refused(_)) => {
                    judgement = settled;
                    break;
                }
            };
            match self.take_use(&permit, context, continued).await? {
                Use::Another if left > 0 => {
                    judgement = self.decided(permit.into_parts().0, context, continued);
                }
                Use::Another => {
                    judgement = withheld(permit, Withheld::UsedUp);
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
                    judgement = withheld(permit, why);
                    break;
                }
            }
        }
        self.count(judgement.decision());
        Ok((judgement, receipt))
    }

    /// Counts a decision that goes on record.
    pub(super) fn count(&self, decision: &Decision) {
        self.route.metrics.decided(decision.verdict, decision.rule);
    }

    /// Shows `look` what a decision depends on, made anew each time: it is not held while a use is taken.
    fn with_facts<T>(
        &self,
        context: &CallContext,
        spoken: Spoken<'_>,
        look: impl FnOnce(&Facts<'_>) -> T,
    ) -> T {
        let grants = Continuing {
            grants: &self.gate.state.grants,
            spoken,
        };
        look(&Facts {
            policies: &self.snapshot.policies,
            mode: self.snapshot.mode,
            endpoint: self.route.rules,
            principal: self.principal,
            source: context.source,
            grants: &grants,
            now: context.decided,
        })
    }

    fn mark<C: Judged>(&self, call: &C, context: &CallContext) -> Option<CallMark> {
        let command = call.command()?;
        Some(CallMark {
            principal: self.principal.id,
            endpoint: Arc::clone(&context.endpoint),
            command: CallMark::digest(command),
            client_request_id: context.client_request_id.clone(),
            is_page: call.is_page(),
        })
    }

    /// Whether a command changes nothing, as the catalogue knows it with the parameters that it has.
    fn only_reads(&self, command: &Command) -> bool {
        self.snapshot
            .policies
            .catalogue()
            .effect_of_command(command)
            == Effect::Read
    }

    /// Whether nothing is to be taken for what was decided, as for most.
    fn needs_no_use<C: Judged>(&self, judgement: &Judgement<C>) -> bool {
        match judgement {
            Judgement::Own(_) | Judgement::Refused(_) => true,
            Judgement::Permitted(permit) => self.counted(permit).is_none(),
        }
    }

    /// The grant of which a permitted call needs a use, and the bound of its policy.
    fn counted<C: Judged>(&self, permit: &Permit<C>) -> Option<(Uuid, Option<Spread>)> {
        let decision = permit.decision();
        let grant = passes_by(decision)?;
        let command = permit.subject().command()?;
        // A cmdlet that reads, by its verb or as the catalogue knows it, asks no trial's question: it would just run.
        if permit.subject().is_trial() && !command.reads() && !self.only_reads(command) {
            return None;
        }
        let policy = self.snapshot.policies.policy(decision.policy.as_deref()?)?;
        let holder = self.principal.id;
        let is_counted = self.gate.state.grants.counts_uses(holder, policy.id, grant);
        (is_counted || policy.spread.is_some()).then_some((grant, policy.spread))
    }

    async fn take_use<C: Judged>(
        &self,
        permit: &Permit<C>,
        context: &CallContext,
        continued: Option<Uuid>,
    ) -> Result<Use, Rejection> {
        let mark = |call: &C| self.mark(call, context);
        let (call, uses) = (permit.subject(), &self.gate.uses);
        let effect = || {
            let catalogue = self.snapshot.policies.catalogue();
            let of_command = |it| catalogue.effect_of_command(it);
            call.command().map_or(Effect::Destroy, of_command)
        };
        let receipt = |mark| Receipt {
            uses: Arc::clone(uses),
            mark,
            effect: effect(),
        };
        if continued.is_some() && continued == passes_by(permit.decision()) {
            // A repetition may fail again, and be repeated again.
            let again = mark(call).filter(|it| !it.is_page).map(receipt);
            return Ok(again.map_or(Use::None, Use::Taken));
        }
        // Most grants count nothing: only a use is worth its mark, a hash over the whole command.
        let Some((grant, spread)) = self.counted(permit) else {
            return Ok(Use::None);
        };
        let (Some(command), Some(mark)) = (call.command(), mark(call)) else {
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

    /// Files the request that a blocked command needs, if its policy says that it does.
    pub(super) async fn file_request<C: Judged>(
        &self,
        refusal: &Refusal<C>,
        decision: Uuid,
        context: &CallContext,
    ) -> Option<Filed> {
        let (call, blocked) = (refusal.subject(), refusal.decision());
        let command = call.command()?;
        let policy = self.snapshot.policies.policy(blocked.policy.as_deref()?)?;
        if policy.on_block == OnBlock::Block || !may_be_asked_for(blocked) || call.is_trial() {
            return None;
        }
        let filed = self
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
            // What the earlier one came to does not have as many uses as are needed, which the block says by itself.
            Ok(request)
                if request.is_earlier
                    && request.grant == Some(GrantState::Active)
                    && blocked.rule == Rule::UsedUp =>
            {
                None
            }
            Ok(request) => Some(Filed {
                cmdlet: command.task.cmdlet.clone(),
                request,
                hold: (policy.on_block == OnBlock::Hold).then_some(policy.hold),
            }),
            Err(error) => {
                debug!(%error, "A blocked call could not file its request");
                None
            }
        }
    }
}

/// A request that a blocked command filed.
#[derive(Clone, Debug)]
pub(super) struct Filed {
    pub(super) cmdlet: CmdletName,
    pub(super) request: BlockedRequest,
    /// How long the command may wait for it, if it may.
    pub(super) hold: Option<Duration>,
}

/// Whether all that a blocked call lacks is an approval.
pub(super) fn may_be_asked_for(blocked: &Decision) -> bool {
    matches!(blocked.rule, Rule::NeedsApproval | Rule::UsedUp)
}

/// How a request came to nothing, if it did.
pub(super) fn came_to_nothing(state: RequestState) -> Option<&'static str> {
    match state {
        RequestState::Approved | RequestState::Pending => None,
        RequestState::Denied => Some("denied"),
        RequestState::Expired => Some("not decided in time"),
        RequestState::Withdrawn => Some("withdrawn"),
    }
}

impl Filed {
    /// What the caller is told, who does not wait for it.
    pub(super) fn text(&self) -> String {
        let Self {
            cmdlet, request, ..
        } = self;
        let BlockedRequest {
            id, state, grant, ..
        } = request;
        if let Some(how) = came_to_nothing(*state) {
            return format!(
                "{cmdlet} needs approval, and its request {id} was {how}; Get-ElevatedAccessRequest -RequestId {id} shows by whom and why. To ask again, use New-ElevatedAccessRequest"
            );
        }
        if *state == RequestState::Pending {
            return format!(
                "{cmdlet} needs approval. The request {id} was filed for it: run it again when it is approved; Get-ElevatedAccessRequest -RequestId {id} shows where it stands"
            );
        }
        match grant {
            Some(GrantState::Active) | None => format!(
                "{cmdlet} needed approval, and its request {id} was filed and approved just now: run it again"
            ),
            Some(GrantState::Scheduled) => format!(
                "{cmdlet} needs approval, and its request {id} was approved for later: run it again then; Get-ElevatedAccessAuthorization -RequestId {id} shows when"
            ),
            Some(GrantState::Revoked) => format!(
                "{cmdlet} needs approval: its request {id} was approved, and that was revoked; Get-ElevatedAccessAuthorization -RequestId {id} shows by whom and why. To ask again, use New-ElevatedAccessRequest"
            ),
            Some(GrantState::Ended | GrantState::Expired | GrantState::UsedUp) => format!(
                "{cmdlet} needs approval: its request {id} was approved, and what was granted is over by now: run it again to ask again"
            ),
        }
    }
}
