//! A stored record as the reading tools see it, and the choice among records.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use uuid::Uuid;

use crate::policy::Verdict;

/// What the tools look at in a record; everything else stays in the line.
#[derive(Clone, Debug, Deserialize)]
pub struct Stored<'a> {
    /// Its number.
    pub seq: u64,
    /// When: 27 characters, UTC.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// The node that wrote it.
    #[serde(borrow)]
    pub node: Cow<'a, str>,
    /// What it is.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Who called, or did it.
    #[serde(borrow, default)]
    pub principal: Option<StoredPrincipal<'a>>,
    /// From where.
    #[serde(borrow, default)]
    pub source: Option<Cow<'a, str>>,
    /// What was to run.
    #[serde(borrow, default)]
    pub task: Option<Cow<'a, str>>,
    /// The session call, where no cmdlet was to run.
    #[serde(borrow, default)]
    pub session: Option<Cow<'a, str>>,
    /// The decision that it is, or belongs to.
    pub decision: Option<Uuid>,
    /// What was decided.
    #[serde(borrow, default)]
    pub verdict: Option<Cow<'a, str>>,
    /// Which step decided.
    #[serde(borrow, default)]
    pub rule: Option<Cow<'a, str>>,
    /// The policy.
    #[serde(borrow, default)]
    pub policy: Option<Cow<'a, str>>,
    /// The grant.
    pub grant: Option<Uuid>,
    /// The request for access.
    pub request: Option<Uuid>,
    /// The HTTP request.
    pub request_id: Option<Uuid>,
    /// An event's id.
    pub id: Option<Uuid>,
    /// What came of the call.
    #[serde(borrow, default)]
    pub result: Option<Cow<'a, str>>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// What blocks.
    #[serde(borrow, default)]
    pub explanation: Option<Cow<'a, str>>,
    /// What a policy that only reports would have said.
    #[serde(borrow, default)]
    pub reporting: Option<StoredReport<'a>>,
}

/// What a policy that only reports would have said.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredReport<'a> {
    /// Whether it would have blocked.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
}

/// Who called.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredPrincipal<'a> {
    /// What grants are bound to.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// What people call it.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
}

impl<'a> Stored<'a> {
    /// Reads a line; `None` if it is no record. Whatever the bytes, this returns.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Which records are wanted: those for which everything that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The principal's name or key, in any case.
    pub principal: Option<String>,
    /// The task, in any case; `*` stands for any characters.
    pub task: Option<String>,
    /// The decision.
    pub decision: Option<Uuid>,
    /// The request for access, or the HTTP request.
    pub request: Option<Uuid>,
    /// The grant.
    pub grant: Option<Uuid>,
    /// From this time on, as records write it.
    pub since: Option<String>,
    /// Before this time, as records write it.
    pub until: Option<String>,
    /// `allow`, `block` or `report-only`; the last also of calls of which a policy beside the governing one would have said so.
    pub verdict: Option<String>,
    /// The kind; `*` stands for any characters.
    pub kind: Option<String>,
}

impl Filter {
    /// Whether `record` is wanted.
    pub fn wants(&self, record: &Stored<'_>) -> bool {
        let pattern = |pattern: &Option<String>, text: Option<&str>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| text.is_some_and(|it| matches_pattern(pattern, it)))
        };
        let principal = self.principal.as_ref().is_none_or(|wanted| {
            record.principal.as_ref().is_some_and(|it| {
                it.name.eq_ignore_ascii_case(wanted) || it.key.eq_ignore_ascii_case(wanted)
            })
        });
        let verdict = self.verdict.as_ref().is_none_or(|wanted| {
            let of_report = record.reporting.as_ref().map(|it| &it.verdict);
            // A policy that only reports has said no more than that, whatever became of the call.
            let of_report = of_report.filter(|it| **it == Verdict::ReportOnly.as_str());
            let mut verdicts = record.verdict.iter().chain(of_report);
            verdicts.any(|it| it.eq_ignore_ascii_case(wanted))
        });
        let id =
            |wanted: Option<Uuid>, ids: &[Option<Uuid>]| wanted.is_none() || ids.contains(&wanted);
        // Times of one width compare as texts.
        self.since.as_deref().is_none_or(|it| *record.time >= *it)
            && self.until.as_deref().is_none_or(|it| *record.time < *it)
            && principal
            && verdict
            && pattern(&self.task, record.task.as_deref())
            && pattern(&self.kind, Some(&record.kind))
            && id(self.decision, &[record.decision])
            && id(self.request, &[record.request, record.request_id])
            && id(self.grant, &[record.grant])
    }
}

/// Whether `text` has the form of `pattern`: `*` stands for any characters, the rest for itself in any ASCII case.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one character later.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, read));
            }
            Some(wanted) if wanted.eq_ignore_ascii_case(byte) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                at = after_star;
                read = from + 1;
                retry = Some((after_star, read));
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|it| *it == b'*'))
}

/// Everything about one thing: a decision with what came of it; a grant with its decisions; a request with its grants.
#[derive(Clone, Debug)]
pub struct About {
    id: Uuid,
    grants: HashSet<Uuid>,
    decisions: HashSet<Uuid>,
}

impl About {
    /// How many ids are followed from one; a grant with more uses than this shows the first ones.
    const MAX_FOLLOWED: usize = 100_000;

    /// Everything about the decision, event, grant, request or HTTP request `id`.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            grants: HashSet::from([id]),
            decisions: HashSet::from([id]),
        }
    }

    /// Whether `record`, the next in order, belongs to it. Notes what the record ties to it.
    pub fn takes(&mut self, record: &Stored<'_>) -> bool {
        let own = Some(self.id);
        let of_request = record.request == own || record.request_id == own;
        let of_grant = record.grant.is_some_and(|it| self.grants.contains(&it));
        let of_decision = record
            .decision
            .is_some_and(|it| self.decisions.contains(&it));
        let takes = of_request || of_grant || of_decision || record.id == own;
        if takes {
            // Only downwards: a decision does not lead to all else that its grant was used for.
            if of_request && let Some(grant) = record.grant {
                Self::follow(&mut self.grants, grant);
            }
            if (of_request || of_grant)
                && record.kind == "decision"
                && let Some(decision) = record.decision
            {
                Self::follow(&mut self.decisions, decision);
            }
        }
        takes
    }

    fn follow(ids: &mut HashSet<Uuid>, id: Uuid) {
        if ids.len() < Self::MAX_FOLLOWED {
            ids.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ignore_case_and_stars_stand_for_anything() {
        for (pattern, text) in [
            (r"exchange\new-moverequest", r"Exchange\New-MoveRequest"),
            ("*", ""),
            ("*-mailbox", r"Exchange\Set-Mailbox"),
            ("*a*b*", "xxaxxabxx"),
            ("grant.*", "grant.revoked"),
        ] {
            assert!(matches_pattern(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("*-mailbox", "Set-MailboxPlan"),
            ("a*b", "ac"),
        ] {
            assert!(!matches_pattern(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_request_leads_to_its_grants_their_decisions_and_outcomes() {
        let id = Uuid::from_u128;
        let record = |kind: &str, rest: String| {
            format!("{{\"seq\":1,\"time\":\"t\",\"node\":\"n\",\"kind\":\"{kind}\"{rest}}}")
        };
        let lines = [
            record("request.filed", format!(",\"request\":\"{}\"", id(1))),
            record(
                "grant.created",
                format!(",\"request\":\"{}\",\"grant\":\"{}\"", id(1), id(2)),
            ),
            record(
                "decision",
                format!(",\"decision\":\"{}\",\"grant\":\"{}\"", id(3), id(2)),
            ),
            record("outcome", format!(",\"decision\":\"{}\"", id(3))),
            record(
                "decision",
                format!(",\"decision\":\"{}\",\"grant\":\"{}\"", id(4), id(5)),
            ),
        ];
        let taken = |about: Uuid| {
            let mut about = About::new(about);
            let takes = lines
                .iter()
                .map(|it| about.takes(&Stored::read(it.as_bytes()).unwrap()));
            takes.collect::<Vec<_>>()
        };
        assert_eq!(taken(id(1)), [true, true, true, true, false]);
        assert_eq!(taken(id(2)), [false, true, true, true, false]);
        assert_eq!(taken(id(3)), [false, false, true, true, false]);
        assert_eq!(taken(id(9)), [false; 5]);
    }
}
