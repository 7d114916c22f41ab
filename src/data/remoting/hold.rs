//! Requests that wait: for the rest of a pipeline that comes over several requests, and for approvers.
//!
//! A pipeline that waits for approval (`on_block = "hold"`) begins only while its client waits for output, so one whose
//! client is gone comes to nothing: it is given up when its time is over, here or by `closing`. When its requests are decided it is
//! decided again, with the policies and grants of that moment, and begins or fails; it fails, too, if its caller would not be signed
//! in any more.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;
use uuid::Uuid;

use crate::data::judge::{Filed, came_to_nothing};
use crate::data::reject::Rejection;
use crate::dialect::psrp::session::{Proposal, Step};
use crate::dialect::psrp::soap::{Fault, Response};
use crate::model::{CmdletName, GrantState, RequestState};
use crate::state::{BlockedRequest, GrantTable, OwnCmdlets};

use super::shells::Kept;
use super::visit::Visit;

/// How long a client that does not say waits for output.
pub(super) const USUAL_WAIT: Duration = Duration::from_secs(20);

/// How long until it is looked again where a request stands, if that is not known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A pipeline that waits for approval.
#[derive(Debug)]
pub(super) struct Held {
    proposal: Box<Proposal>,
    /// The requests that were filed for it.
    waits: Vec<Wait>,
    /// When it is given up.
    until: Instant,
}

/// A request that a command waits for.
#[derive(Clone, Debug)]
struct Wait {
    cmdlet: CmdletName,
    request: Uuid,
    state: RequestState,
}

/// Why a client is answered.
#[derive(Debug)]
enum Woken {
    /// Something of the session has changed.
    Changed,
    /// The pipeline's requests stand like this.
    Decided(Vec<Wait>),
    /// The client waits no longer, for now.
    Enough,
    /// Nobody decided in time.
    GivenUp,
    /// The client has gone away, or the gateway stops.
    Leaving,
}

/// What ends a wait.
struct Events<Leaving, Decided, Changed> {
    leaving: Leaving,
    /// When the pipeline is given up, if one waits for approval.
    until: Option<Instant>,
    decided: Decided,
    changed: Changed,
    /// When the client waits no longer.
    deadline: Instant,
}

impl<Leaving, Decided, Changed> Events<Leaving, Decided, Changed>
where
    Leaving: Future<Output = ()>,
    Decided: Future<Output = Vec<Wait>>,
    Changed: Future<Output = ()>,
{
    /// The first of them; of several that are there, always the same one. For a client that is gone nothing begins, and a gateway
    /// that stops begins nothing. What is over is
    /// over: an approval that is seen only after that begins nothing either, so that nothing runs later than its policy says.
    /// Then what there is to say, before the client is sent to ask again.
    async fn first(self) -> Woken {
        let given_up = async {
            match self.until {
                // A timer may tell of what is past a little late.
                Some(until) if until <= Instant::now() => {}
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.leaving => Woken::Leaving,
            () = given_up => Woken::GivenUp,
            waits = self.decided => Woken::Decided(waits),
            () = self.changed => Woken::Changed,
            () = sleep_until(self.deadline) => Woken::Enough,
        }
    }
}

impl Held {
    /// The pipeline that waits, if all that it lacks are requests that may be waited for.
    pub(super) fn new(
        proposal: Box<Proposal>,
        filed: &[Option<Filed>],
    ) -> Result<Self, Box<Proposal>> {
        let mut waits = Vec::with_capacity(filed.len());
        let mut bound: Option<Duration> = None;
        for it in filed {
            let Some(Filed {
                cmdlet,
                request:
                    BlockedRequest {
                        id,
                        state: state @ (RequestState::Approved | RequestState::Pending),
                        grant: None | Some(GrantState::Active),
                        ..
                    },
                hold: Some(hold),
            }) = it
            else {
                return Err(proposal);
            };
            bound = Some(bound.map_or(*hold, |it| it.min(*hold)));
            waits.push(Wait {
                cmdlet: cmdlet.clone(),
                request: *id,
                state: *state,
            });
        }
        let Some(bound) = bound else {
            return Err(proposal);
        };
        Ok(Self {
            proposal,
            waits,
            until: Instant::now() + bound,
        })
    }
}

impl Visit<'_> {
    /// Waits until there is something to say, or as long as the client does: it asks again then.
    pub(super) async fn hold(&mut self, kept: &Kept) -> Result<Response, Rejection> {
        let longest = self.remoting.longest_hold();
        let wait = if self.waits_for_output() {
            let wait = self.request.frame.timeout.unwrap_or(USUAL_WAIT);
            wait.min(longest)
        } else {
            // Input and signals wait for the answer to a start, and are carried out then, whoever is there to hear of it.
            longest
        };
        let deadline = Instant::now() + wait;
        loop {
            let mut changed = std::pin::pin!(kept.changed.notified());
            changed.as_mut().enable();
            match self.again(kept)? {
                Step::Hold => {}
                step @ (Step::Answer(_) | Step::Decide(_) | Step::End(_) | Step::Forward(_)) => {
                    return Box::pin(self.carry_out(kept, step)).await;
                }
            }
            let (waits, until) = self.held(kept).unzip();
            let events = Events {
                leaving: self.leaving(),
                until,
                decided: self.decided(waits),
                changed,
                deadline,
            };
            match events.first().await {
                Woken::Changed => {}
                Woken::Decided(waits) => {
                    if let Some(fault) = self.resume(kept, &waits).await? {
                        return Ok(fault);
                    }
                }
                Woken::Enough => return Ok(Response::Fault(Fault::timed_out())),
                Woken::GivenUp => self.give_up(kept).await?,
                Woken::Leaving => return Ok(stopping()),
            }
        }
    }

    /// Fires when nobody waits for output any more, or the gateway stops.
    async fn leaving(&self) {
        if self.waits_for_output() {
            self.arrival.leaving.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// What the pipeline that this request asks about waits for, if it waits.
    fn held(&self, kept: &Kept) -> Option<(Vec<Wait>, Instant)> {
        let command = self.command()?;
        let inner = kept.lock();
        let held = inner.held.get(&command)?;
        Some((held.waits.clone(), held.until))
    }

    fn take_held(&self, kept: &Kept) -> Option<Held> {
        let command = self.command()?;
        kept.lock().held.remove(&command)
    }

    /// Waits until all of the requests are decided, or one of them against the caller.
    async fn decided(&self, waits: Option<Vec<Wait>>) -> Vec<Wait> {
        let Some(mut waits) = waits else {
            return std::future::pending().await;
        };
        let own_cmdlets = &*self.arrival.scene.gate.own_cmdlets;
        let states = until_settled(own_cmdlets, &waits, LOOK_AGAIN).await;
        for (index, state) in states {
            if let Some(wait) = waits.get_mut(index) {
                wait.state = state;
            }
        }
        // By grants that nobody knows it would be refused, though it may be covered.
        until_they_count(&self.arrival.scene.gate.state.grants).await;
        waits
    }

    /// The requests of a pipeline are decided, and so is the pipeline. If the server does not take it, its fault.
    async fn resume(&mut self, kept: &Kept, waits: &[Wait]) -> Result<Option<Response>, Rejection> {
        // They may have stopped to count a moment ago.
        if self.arrival.scene.gate.state.grants.is_suspended() {
            return Ok(None);
        }
        // Another request may have been quicker.
        let Some(held) = self.take_held(kept) else {
            return Ok(None);
        };
        let against: Vec<String> = waits.iter().filter_map(Wait::against).collect();
        if !against.is_empty() {
            self.refuse_held(kept, held.proposal, &against.join("\n"))
                .await;
            return Ok(None);
        }
        // The request was authenticated when it came, and has waited since.
        let beginner = self.beginner();
        let scene = &self.arrival.scene;
        if let Err(fallen) = beginner.check(scene.gate, scene.route) {
            beginner.record(scene.gate, scene.route, held.proposal.command(), fallen);
            let text = format!(
                "this did not run, though it was approved: {fallen}. Sign in again, and run it again"
            );
            self.refuse_held(kept, held.proposal, &text).await;
            return Ok(None);
        }
        // What was waited for is in the grants and policies of this moment.
        let snapshot = self.arrival.scene.gate.state.snapshot();
        let arrival = self.arrival.with(&snapshot);
        let mut now = self.at(&arrival);
        let begun = Box::pin(now.begin_held(kept, held.proposal)).await;
        self.decided = now.decided;
        begun
    }

    /// Nobody decided in time.
    async fn give_up(&mut self, kept: &Kept) -> Result<(), Rejection> {
        let Some(held) = self.take_held(kept) else {
            return Ok(());
        };
        let (proposal, text) = held.given_up();
        self.refuse_held(kept, proposal, &text).await;
        Ok(())
    }
}

impl Wait {
    /// What the caller is told if the request will not be approved.
    fn against(&self) -> Option<String> {
        let how = came_to_nothing(self.state)?;
        let Self {
            cmdlet, request, ..
        } = self;
        Some(format!(
            "{cmdlet} did not run: its request {request} was {how}; Get-ElevatedAccessRequest -RequestId {request} shows by whom and why"
        ))
    }

    fn given_up(&self) -> String {
        let Self {
            cmdlet, request, ..
        } = self;
        format!(
            "{cmdlet} did not run: nobody decided its request {request} in the time that it may wait. The request stands: run it again when it is approved; Get-ElevatedAccessRequest -RequestId {request} shows where it stands"
        )
    }
}

impl Held {
    /// Whether nobody decided in time.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// What is refused because nobody decided in time, and the text for that.
    pub(super) fn given_up(self) -> (Box<Proposal>, String) {
        let texts: Vec<String> = self.waits.iter().map(Wait::given_up).collect();
        (self.proposal, texts.join("\n"))
    }
}

/// Where these requests stand, as soon as all of them are approved, or one of them is decided against the caller.
async fn until_settled(
    own_cmdlets: &dyn OwnCmdlets,
    waits: &[Wait],
    pause: Duration,
) -> Vec<(usize, RequestState)> {
    let settled = |(index, wait): (usize, &Wait)| {
        let request = wait.request;
        async move {
            loop {
                match own_cmdlets.settled(request).await {
                    Ok(state) => return (index, state),
                    // As while the store cannot be reached, or the log cannot be written.
                    Err(error) => debug!(%request, %error, "Where a request stands is not known"),
                }
                sleep(pause).await;
            }
        }
    };
    let mut settling: FuturesUnordered<_> = waits.iter().enumerate().map(settled).collect();
    let mut states = Vec::with_capacity(waits.len());
    while let Some((index, state)) = settling.next().await {
        states.push((index, state));
        if state != RequestState::Approved {
            break;
        }
    }
    states
}

/// Waits until it is known which grants are in force.
async fn until_they_count(grants: &GrantTable) {
    loop {
        let mut changed = std::pin::pin!(grants.changes().notified());
        changed.as_mut().enable();
        if !grants.is_suspended() {
            return;
        }
        changed.await;
    }
}

/// The gateway stops, and its sessions with it. A client that went away hears nothing of it.
pub(super) fn stopping() -> Response {
    Response::Fault(Fault::aborted(
        "the gateway is stopping, and this session ends with it; open a new one in a moment",
    ))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::poll;

    use super::*;
    use crate::model::{Command, Object, OwnCmdlet, Principal};
    use crate::state::{BoxFuture, OwnCmdletError};

    /// Which comes first, of the client's leave or the gateway's stop, the end of the time, a decision and a change; all at once, many times.
    async fn first(leaves: bool, is_over: bool, is_decided: bool) -> String {
        let mut seen = Vec::new();
        for _ in 0..64 {
            let now = Instant::now();
            let leaving = async {
                if !leaves {
                    pending::<()>().await;
                }
            };
            let decided = async {
                if is_decided {
                    Vec::new()
                } else {
                    pending().await
                }
            };
            let events = Events {
                leaving,
                until: is_over.then_some(now),
                decided,
                changed: ready(()),
                deadline: now,
            };
            seen.push(format!("{:?}", events.first().await));
        }
        seen.dedup();
        seen.join(" or ")
    }

    /// Answers after it failed once.
    struct Failing(AtomicBool);

    impl OwnCmdlets for Failing {
        fn cmdlets(&self) -> Vec<OwnCmdlet> {
            Vec::new()
        }

        fn answer<'a>(
            &'a self,
            _: &'a Principal,
            _: IpAddr,
            _: &'a Command,
            _: Uuid,
        ) -> BoxFuture<'a, Result<Vec<Object>, OwnCmdletError>> {
            Box::pin(pending())
        }

        fn blocked<'a>(
            &'a self,
            _: &'a Principal,
            _: IpAddr,
            _: &'a Command,
            _: &'a str,
            _: Uuid,
        ) -> BoxFuture<'a, Result<BlockedRequest, OwnCmdletError>> {
            Box::pin(pending())
        }

        fn settled(&self, _: Uuid) -> BoxFuture<'_, Result<RequestState, OwnCmdletError>> {
            let failed = self.0.swap(true, Ordering::Relaxed);
            let error = OwnCmdletError::Unavailable("the disk is full".to_owned());
            Box::pin(ready(failed.then_some(RequestState::Approved).ok_or(error)))
        }
    }

    #[tokio::test]
    async fn where_a_request_stands_is_asked_again_after_a_failure() {
        let wait = Wait {
            cmdlet: "New-Mailbox".parse().unwrap(),
            request: Uuid::nil(),
            state: RequestState::Pending,
        };
        let failing = Failing(AtomicBool::default());
        let states = until_settled(&failing, &[wait], Duration::ZERO).await;
        assert_eq!(states, [(0, RequestState::Approved)]);
    }

    #[tokio::test]
    async fn nothing_approved_begins_while_nobody_knows_which_grants_are_in_force() {
        let grants = GrantTable::default();
        until_they_count(&grants).await;
        grants.suspend();
        let mut counted = Box::pin(until_they_count(&grants));
        assert!(poll!(&mut counted).is_pending());
        grants.changes().notify_waiters();
        assert!(poll!(&mut counted).is_pending());
        grants.resume();
        counted.await;
    }

    #[tokio::test]
    async fn of_several_reasons_to_wake_it_is_always_the_same() {
        assert_eq!(first(true, true, true).await, "Leaving");
        assert_eq!(first(false, true, true).await, "GivenUp");
        assert_eq!(first(false, false, true).await, "Decided([])");
        assert_eq!(first(false, false, false).await, "Changed");
    }
}
