//! A policy in words: what it asks, a line for each thing that it says.

use super::parameters::Others;
use super::{Approval, Comment, OnBlock, Policy, Spread, duration};

impl Policy {
    /// What it asks, as names and texts; what it leaves at its default is left out, but for approval and durations.
    pub fn terms(&self) -> Vec<(&'static str, String)> {
        let mut terms = vec![("approval", self.approval.as_str().to_owned())];
        let mut add = |name, text: String| terms.push((name, text));
        if self.approval == Approval::Manual {
            let count = match (self.approvals, self.approvers.len()) {
                (1, 1) => String::new(),
                (count, 1) => format!("{count} of "),
                (count, _) => format!("{count} of each of "),
            };
            add("approvers", format!("{count}{}", self.approvers.join(", ")));
        }
        if !self.requesters.is_empty() {
            add("requesters", self.requesters.join(", "));
        }
        if self.approval != Approval::Never {
            add("lasts", duration::shown(self.default_duration));
            if let Some(max) = self.max_duration {
                add("at most", duration::shown(max));
            }
            if let Some(reason) = self.reason_text() {
                add("reason", reason);
            }
        }
        if self.approver_comment == Comment::Required {
            add("approver's comment", "required".to_owned());
        }
        if !self.windows.is_empty() {
            let windows: Vec<String> = self.windows.iter().map(ToString::to_string).collect();
            add("hours", windows.join("; "));
        }
        if let Some(uses) = self.max_uses {
            add("uses", format!("at most {uses} of a grant"));
        }
        if let Some(spread) = self.spread {
            add("spread", spread.text());
        }
        if !self.break_glass.is_empty() {
            add("break-glass", self.break_glass.join(", "));
        }
        match self.on_block {
            OnBlock::Block => {}
            OnBlock::Hold => {
                let seconds = self.hold.as_secs();
                add(
                    "on block",
                    format!("files a request, and a session waits up to {seconds} seconds for it"),
                );
            }
            OnBlock::Request => add("on block", "files a request".to_owned()),
        }
        if self.report_only {
            add("report-only", "what it blocks passes, on record".to_owned());
        }
        for sentence in self.parameters.sentences() {
            add("parameter", sentence);
        }
        if self.parameters.others == Others::Block {
            add("parameter", "any other is blocked".to_owned());
        }
        terms
    }

    /// What it asks, in a line.
    pub fn asks(&self) -> String {
        let terms = self.terms();
        let told = terms.iter().map(|(name, text)| match *name {
            "approval" => text.clone(),
            name => format!("{name}: {text}"),
        });
        told.collect::<Vec<_>>().join("; ")
    }

    fn reason_text(&self) -> Option<String> {
        let mut asked = Vec::new();
        if !self.reason.required {
            asked.push("may be left out".to_owned());
        }
        if self.reason.min_length > 0 {
            asked.push(format!("at least {} characters", self.reason.min_length));
        }
        if let Some(pattern) = &self.reason.pattern {
            let told = pattern.hint.as_deref();
            asked.push(told.map_or_else(|| format!("with `{}`", pattern.source), str::to_owned));
        }
        (!asked.is_empty()).then(|| asked.join(", "))
    }
}

impl Spread {
    /// The limits in words, such as `30 calls a minute, 10 identities a grant`.
    pub fn text(&self) -> String {
        let Self {
            calls_per_minute,
            calls_per_grant,
            identities_per_minute,
            identities_per_grant,
        } = self;
        let limits = [
            (calls_per_minute, "calls a minute"),
            (calls_per_grant, "calls a grant"),
            (identities_per_minute, "identities a minute"),
            (identities_per_grant, "identities a grant"),
        ];
        let told = limits
            .into_iter()
            .filter_map(|(limit, what)| limit.map(|it| format!("{it} {what}")));
        told.collect::<Vec<_>>().join(", ")
    }
}
