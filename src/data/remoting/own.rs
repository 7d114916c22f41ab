//! The gateway's own cmdlets in a session: the server never hears of them.

use std::sync::Arc;

use http::StatusCode;

use crate::audit::{CallContext, Recorded};
use crate::data::judge::recordable;
use crate::data::outcome::OutcomeGuard;
use crate::data::reject::Rejection;
use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::session::Go;
use crate::dialect::psrp::soap::Response;
use crate::model::{Command, Value};
use crate::state::OwnCmdletError;

use super::decide::{Pending, block_text, unknown};
use super::standing::Act;
use super::visit::Visit;

impl Visit<'_> {
    /// The gateway runs its own cmdlet.
    pub(super) async fn run_own(
        &mut self,
        mut pending: Pending<'_>,
        command: Arc<Command>,
        context: &CallContext,
    ) -> Result<Response, Rejection> {
        let gate = self.arrival.scene.gate;
        let act = Act::Command(Arc::clone(&command));
        let judgement = self.arrival.scene.decided(act, context, None);
        self.arrival.scene.count(judgement.decision());
        let recorded = gate
            .audit
            .record_one(context, judgement, recordable)
            .await?;
        self.seen_decided();
        let decision = match recorded {
            Recorded::Own(decision, _) => decision,
            Recorded::Permitted(_) => return Err(Rejection::not_cleared()),
            Recorded::Refused(id, refusal) => {
                let text = block_text(id, &refusal, None);
                return Ok(self.refuse(pending, &text).await);
            }
        };
        let mut outcome = OutcomeGuard::new(&gate.audit, decision);
        let result = match unasked(&command) {
            Some(text) => Err(OwnCmdletError::Invalid(text)),
            None => {
                gate.own_cmdlets
                    .answer(&context.principal, context.source, &command, decision)
                    .await
            }
        };
        outcome.answers(StatusCode::OK.as_u16());
        let Some(proposal) = pending.proposal.take() else {
            return Ok(unknown());
        };
        let mut inner = pending.kept.lock();
        let go = match result {
            Ok(objects) => {
                outcome.finish("answered");
                inner.shell.answered(*proposal, &objects)
            }
            Err(error) => {
                outcome.finish("failed");
                let failure = match &error {
                    OwnCmdletError::Forbidden(_) => Failure::Forbidden,
                    OwnCmdletError::Invalid(_) => Failure::Invalid,
                    OwnCmdletError::NotFound(_) => Failure::NotFound,
                    OwnCmdletError::Unavailable(_) => Failure::Unavailable,
                };
                let text = format!("{error} (decision {decision})");
                inner.shell.refused(*proposal, failure, &text)
            }
        };
        inner.settle();
        drop(inner);
        pending.kept.changed.notify_waiters();
        let Go { answer, .. } = go;
        Ok(answer.unwrap_or_else(unknown))
    }
}

/// Why a cmdlet does nothing whose caller wants to be asked before. Over REST a call with `Confirm` is the client's own, and
/// another follows when its user said yes; in a session it is the only one, and there is nobody here who asks.
fn unasked(command: &Command) -> Option<String> {
    let is_refused = match command.parameters.get("Confirm") {
        None | Some(Value::Bool(false) | Value::Null) => false,
        Some(Value::Text(text)) => !["$false", "false"]
            .iter()
            .any(|it| text.eq_ignore_ascii_case(it)),
        Some(Value::Bool(true) | Value::List(_) | Value::Number(_) | Value::Table(_)) => true,
    };
    (is_refused && !command.reads() && !command.is_what_if()).then(|| {
        format!(
            "{} does not ask for confirmation in a session, so nothing was done: run it without -Confirm, or with -WhatIf to read what it would do",
            command.task.cmdlet
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Number, Parameter, Parameters};

    #[test]
    fn only_what_would_have_to_be_asked_for_is_refused() {
        let refused = |cmdlet: &str, parameters: &[(&str, Value)]| {
            let mut command = Command {
                task: format!(r"Exchange\{cmdlet}").parse().unwrap(),
                parameters: Parameters::default(),
            };
            for (name, value) in parameters {
                let parameter = Parameter {
                    name: name.parse().unwrap(),
                    value: value.clone(),
                    type_annotation: None,
                };
                command.parameters.push(parameter).unwrap();
            }
            unasked(&command).is_some()
        };
        let revoke = "Revoke-ElevatedAccessAuthorization";
        for value in [
            Value::Bool(true),
            Value::text("true"),
            Value::text(" $True "),
            Value::Number(Number::new("1").unwrap()),
        ] {
            assert!(refused(revoke, &[("Confirm", value.clone())]), "{value:?}");
        }
        assert!(!refused(revoke, &[]));
        for value in [Value::Bool(false), Value::text("$False")] {
            assert!(!refused(revoke, &[("confirm", value.clone())]), "{value:?}");
        }
        let confirm = ("Confirm", Value::Bool(true));
        let what_if = ("WhatIf", Value::Bool(true));
        assert!(!refused(revoke, &[confirm.clone(), what_if]));
        assert!(!refused("Get-ElevatedAccessRequest", &[confirm]));
    }
}
