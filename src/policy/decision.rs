//! What a decision says, and the proof that it was made.

use std::sync::Arc;

use uuid::Uuid;

use super::Place;

/// What happens to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Allow,
    /// It does not.
    Block,
    /// It goes on, though it would not have: the policy, the endpoint or the whole gateway is report-only.
    ReportOnly,
}

impl Verdict {
    /// The word that records and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::ReportOnly => "report-only",
        }
    }
}

/// Which step of the decision spoke (DESIGN 3.1). For [`Verdict::ReportOnly`], the one that would have blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Access control is disabled.
    AccessControlDisabled,
    /// A grant that was taken without an approval, in an emergency, covers the command.
    BreakGlass,
    /// An exemption of the caller holds.
    Exempt,
    /// The gateway answers this cmdlet itself.
    GatewayCmdlet,
    /// An active grant covers the command.
    Granted,
    /// The governing policy asks for an approval, and nobody can say now whether the caller has it.
    GrantsUnknown,
    /// The governing policy asks for an approval that the caller does not have.
    NeedsApproval,
    /// The governing policy blocks whoever asks.
    Never,
    /// The governing policy's grants cover commands at other hours.
    OutsideWindow,
    /// A parameter rule of the governing policy does not hold.
    ParameterRule,
    /// The caller's grant is pinned to other parameters.
    PinnedParameters,
    /// A call that sets up a session and runs no cmdlet.
    SessionCall,
    /// As much was done under the caller's grant as the governing policy allows, for now or at all.
    SpreadLimit,
    /// No policy governs the task, and the endpoint lets such pass.
    UngovernedAllowed,
    /// No policy governs the task, and the endpoint blocks such.
    UngovernedBlocked,
    /// The caller's grant has no uses left.
    UsedUp,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::AccessControlDisabled,
        Self::BreakGlass,
        Self::Exempt,
        Self::GatewayCmdlet,
        Self::Granted,
        Self::GrantsUnknown,
        Self::NeedsApproval,
        Self::Never,
        Self::OutsideWindow,
        Self::ParameterRule,
        Self::PinnedParameters,
        Self::SessionCall,
        Self::SpreadLimit,
        Self::UngovernedAllowed,
        Self::UngovernedBlocked,
        Self::UsedUp,
    ];

    /// The word that records and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessControlDisabled => "access-control-disabled",
            Self::BreakGlass => "break-glass",
            Self::Exempt => "exempt",
            Self::GatewayCmdlet => "gateway-cmdlet",
            Self::Granted => "granted",
            Self::GrantsUnknown => "grants-unknown",
            Self::NeedsApproval => "needs-approval",
            Self::Never => "never",
            Self::OutsideWindow => "outside-window",
            Self::ParameterRule => "parameter-rule",
            Self::PinnedParameters => "pinned-parameters",
            Self::SessionCall => "session-call",
            Self::SpreadLimit => "spread-limit",
            Self::UngovernedAllowed => "ungoverned-allowed",
            Self::UngovernedBlocked => "ungoverned-blocked",
            Self::UsedUp => "used-up",
        }
    }
}

/// A decision with its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Which step spoke.
    pub rule: Rule,
    /// The governing policy's folded scope, if one governs and was looked at.
    pub policy: Option<Arc<str>>,
    /// The grant that covers the command, if one does.
    pub grant: Option<Uuid>,
    /// Where the exemption that holds is defined, if one does.
    pub exemption: Option<Place>,
    /// What blocks, in the caller's words, with the exact next command to type (DESIGN 5.6); empty when nothing blocks.
    pub explanation: String,
    /// What a policy that only reports would have said in place of the governing one, if there is such.
    pub reporting: Option<Reported>,
}

/// What a policy that only reports says of a command that an enforced one governs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its folded scope.
    pub policy: Arc<str>,
    /// [`Verdict::ReportOnly`] if it would have blocked.
    pub verdict: Verdict,
    /// Which step would have spoken.
    pub rule: Rule,
}

/// Proof that a decision lets `C` go on, and with it `C` itself: only [`super::decide`] makes one.
#[derive(Debug)]
pub struct Permit<C> {
    subject: C,
    decision: Decision,
}

/// A call that the gateway answers itself, decided.
#[derive(Debug)]
pub struct OwnCall<C> {
    subject: C,
    decision: Decision,
}

/// A call that does not go on, and why.
#[derive(Debug)]
pub struct Refusal<C> {
    subject: C,
    decision: Decision,
}

macro_rules! decided {
    ($($name:ident),*) => {$(
        impl<C> $name<C> {
            pub(super) fn new(subject: C, decision: Decision) -> Self {
                Self { subject, decision }
            }

            /// What was decided on.
            pub fn subject(&self) -> &C {
                &self.subject
            }

            /// What was decided.
            pub fn decision(&self) -> &Decision {
                &self.decision
            }

            /// Both, apart.
            pub fn into_parts(self) -> (C, Decision) {
                (self.subject, self.decision)
            }
        }
    )*};
}

decided!(Permit, OwnCall, Refusal);

/// A decided call.
#[derive(Debug)]
pub enum Judgement<C> {
    /// The gateway answers it itself.
    Own(OwnCall<C>),
    /// It may go upstream.
    Permitted(Permit<C>),
    /// It may not.
    Refused(Refusal<C>),
}

impl<C> Judgement<C> {
    /// What was decided.
    pub fn decision(&self) -> &Decision {
        match self {
            Self::Own(it) => it.decision(),
            Self::Permitted(it) => it.decision(),
            Self::Refused(it) => it.decision(),
        }
    }

    /// What was decided on.
    pub fn subject(&self) -> &C {
        match self {
            Self::Own(it) => it.subject(),
            Self::Permitted(it) => it.subject(),
            Self::Refused(it) => it.subject(),
        }
    }
}
