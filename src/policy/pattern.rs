//! Scopes as patterns: a literal workload, then a cmdlet's name in which `*` stands for any letters, digits and the hyphen.

use memchr::memmem;

use crate::model::{CmdletName, MAX_NAME_BYTES, Workload};

use super::problem::printable;

/// A valid scope in lower case, such as `exchange\remove-*`.
///
/// INVARIANT: it has one backslash, and some cmdlet's name matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Box<str>);

/// What is wrong with a pattern, and what would be right.
#[derive(Debug)]
pub(super) struct InvalidPattern {
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |what: &str, hint| {
            let message = format!("`{}` {what}", printable(text));
            Err(InvalidPattern { message, hint })
        };
        let form = r"such as 'Exchange\New-MoveRequest' or 'Exchange\Remove-*', in single quotes";
        let Some((workload, cmdlet)) = text.split_once('\\') else {
            return invalid("names no workload", form);
        };
        if workload.contains('*') {
            return invalid(
                "has a pattern for a workload",
                "write one policy for each workload",
            );
        }
        if workload.parse::<Workload>().is_err() {
            return invalid("does not begin with a workload's name", form);
        }
        if cmdlet.len() > MAX_NAME_BYTES {
            return invalid("is too long", form);
        }
        if !cmdlet.contains('*') && cmdlet.parse::<CmdletName>().is_err() {
            return invalid("names no cmdlet (`Verb-Noun`)", form);
        }
        let alphabet = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '*');
        if let Some(stranger) = cmdlet.chars().find(|it| !alphabet(*it)) {
            return invalid(
                &format!("has `{}`, which no cmdlet has", stranger.escape_default()),
                "letters, digits, one hyphen, and `*` for any of them",
            );
        }
        if cmdlet.contains("**") {
            return invalid(
                "has a doubled `*`",
                "one `*` stands for any number of characters",
            );
        }
        let pattern = Self(text.to_ascii_lowercase().into());
        if !pattern.overlaps(&pattern) {
            return invalid(
                "matches no cmdlet",
                "a cmdlet's name is `Verb-Noun`: letters, one hyphen, letters and digits",
            );
        }
        Ok(pattern)
    }

    /// The whole text, in lower case.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one exact task.
    pub(super) fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Everything before the first `*`.
    pub(super) fn literal_prefix(&self) -> &str {
        self.0.split_once('*').map_or(&self.0, |it| it.0)
    }

    /// Everything after the last `*`.
    pub(super) fn literal_end(&self) -> &str {
        self.0.rsplit_once('*').map_or(&self.0, |it| it.1)
    }

    /// What each matching cmdlet's noun begins with, if the pattern has the hyphen itself.
    pub(super) fn noun_prefix(&self) -> Option<&str> {
        let (_, noun) = self.0.split_once('-')?;
        Some(noun.split_once('*').map_or(noun, |it| it.0))
    }

    /// Whether a task in lower case (`exchange\remove-mailbox`) matches. Takes time in proportion to the task's length
    /// times the number of `*`, whatever the texts are.
    pub(super) fn matches(&self, task: &[u8]) -> bool {
        let mut pieces = self.0.as_bytes().split(|it| *it == b'*');
        let (Some(first), Some(last)) = (pieces.next(), pieces.next_back()) else {
            return self.0.as_bytes() == task;
        };
        let Some(mut rest) = task
            .strip_prefix(first)
            .and_then(|rest| rest.strip_suffix(last))
        else {
            return false;
        };
        pieces.all(|piece| match memmem::find(rest, piece) {
            Some(start) => {
                rest = rest.get(start + piece.len()..).unwrap_or_default();
                true
            }
            None => false,
        })
    }

    /// Whether some task matches both.
    ///
    /// Walks both patterns and the grammar of cmdlet names side by side: without the grammar, `*-Mailbox*` and `*-User*`
    /// would seem to share `x-Mailbox-User`, which no cmdlet is called.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (Some((workload, one)), Some((its_workload, two))) =
            (self.0.split_once('\\'), other.0.split_once('\\'))
        else {
            return false;
        };
        workload == its_workload && share_a_name(one.as_bytes(), two.as_bytes())
    }
}

/// How much of a cmdlet's name has been read.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    Nothing,
    Verb,
    Hyphen,
    Noun,
}

impl Read {
    fn then(self, byte: u8) -> Option<Self> {
        match self {
            Self::Nothing | Self::Verb if byte.is_ascii_alphabetic() => Some(Self::Verb),
            Self::Verb if byte == b'-' => Some(Self::Hyphen),
            Self::Hyphen | Self::Noun if byte.is_ascii_alphanumeric() => Some(Self::Noun),
            Self::Hyphen | Self::Nothing | Self::Noun | Self::Verb => None,
        }
    }
}

/// Depth-first search over (byte of `one`, byte of `two`, part of the name), each visited once.
fn share_a_name(one: &[u8], two: &[u8]) -> bool {
    let mut seen = vec![false; (one.len() + 1) * (two.len() + 1) * 4];
    let mut open = vec![(0, 0, Read::Nothing)];
    while let Some((i, j, read)) = open.pop() {
        match seen.get_mut((i * (two.len() + 1) + j) * 4 + read as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let (left, right) = (one.get(i).copied(), two.get(j).copied());
        if left.is_none() && right.is_none() && read == Read::Noun {
            return true;
        }
        // A `*` may stand for nothing.
        if left == Some(b'*') {
            open.push((i + 1, j, read));
        }
        if right == Some(b'*') {
            open.push((i, j + 1, read));
        }
        // Or both take one more byte: `a` speaks for all letters and digits where both are free.
        let (Some(left), Some(right)) = (left, right) else {
            continue;
        };
        let bytes: &[u8] = match (left, right) {
            (b'*', b'*') => b"a-",
            (b'*', literal) | (literal, b'*') => &[literal],
            (left, right) if left == right => &[left],
            _ => &[],
        };
        for byte in bytes {
            if let Some(read) = read.then(*byte) {
                let after = |at, byte| if byte == b'*' { at } else { at + 1 };
                open.push((after(i, left), after(j, right), read));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(&format!(r"Exchange\{text}")).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        let matches =
            |text, name: &str| pattern(text).matches(format!(r"exchange\{name}").as_bytes());
        for (text, name) in [
            ("*", "get-mailbox"),
            ("Get-*", "get-mailbox"),
            ("*-Mailbox", "get-mailbox"),
            ("*-Mailbox", "get-xmailbox-mailbox"),
            ("Get-*box*", "get-mailbox"),
            ("*a*b*", "get-mailbox"),
            ("G*t-M*x", "get-mailbox"),
            ("Get-Mailbox", "get-mailbox"),
        ] {
            assert!(matches(text, name), "{text} {name}");
        }
        for (text, name) in [
            ("Get-*", "remove-mailbox"),
            ("*-Mailbox", "get-mailboxes"),
            ("*-Mailbox", "get-recoverymailbox"),
            ("*box*box", "get-mailbox"),
            ("Get-M*Mailbox", "get-mailbox"),
            ("Get-Mailbox", "get-mailboxes"),
        ] {
            assert!(!matches(text, name), "{text} {name}");
        }
    }

    #[test]
    fn patterns_that_no_cmdlet_can_match_are_refused() {
        let message = |text: &str| Pattern::parse(text).unwrap_err().message;
        insta::assert_snapshot!(
            [
                "Get-Mailbox",
                r"*\Get-Mailbox",
                r"\Get-Mailbox",
                r"Ex change\Get-*",
                r"Exchange\",
                r"Exchange\Mailbox",
                r"Exchange\Get-Mail box*",
                r"Exchange\Get-**",
                r"Exchange\Get-*-x",
                r"Exchange\G3t-*",
                r"Exchange\*-",
                r"Exchange\-*",
                "Exchange\\Get-M\u{430}ilbox*",
                r"Exchange\Get-Mailbox?",
            ]
            .map(message)
            .join("\n"),
            @r"
        `Get-Mailbox` names no workload
        `*\Get-Mailbox` has a pattern for a workload
        `\Get-Mailbox` does not begin with a workload's name
        `Ex change\Get-*` does not begin with a workload's name
        `Exchange\` names no cmdlet (`Verb-Noun`)
        `Exchange\Mailbox` names no cmdlet (`Verb-Noun`)
        `Exchange\Get-Mail box*` has ` `, which no cmdlet has
        `Exchange\Get-**` has a doubled `*`
        `Exchange\Get-*-x` matches no cmdlet
        `Exchange\G3t-*` matches no cmdlet
        `Exchange\*-` matches no cmdlet
        `Exchange\-*` matches no cmdlet
        `Exchange\Get-Mаilbox*` has `\u{430}`, which no cmdlet has
        `Exchange\Get-Mailbox?` names no cmdlet (`Verb-Noun`)
        "
        );
    }

    #[test]
    fn overlap_minds_the_grammar_of_cmdlet_names() {
        let overlap = |one, two| pattern(one).overlaps(&pattern(two));
        assert!(overlap("*", "Get-Mailbox"));
        assert!(overlap("Get-*", "*-Mailbox"));
        assert!(overlap("*Mail*", "*box"));
        assert!(overlap("*-Mailbox*", "*-Mail*"));
        assert!(!overlap("*-Mailbox*", "*-User*"));
        assert!(!overlap("*-Mailbox", "*-User"));
        assert!(!overlap("Get-*", "Set-*"));
        assert!(!overlap("*G*-*1", "*G*-*2"));
    }

    proptest! {
        #[test]
        fn a_name_that_matches_both_shows_an_overlap(
            one in "[ab*]{0,3}-[ab*]{1,3}|[ab]{0,2}\\*[ab]{0,2}",
            two in "[ab*]{0,3}-[ab*]{1,3}|[ab]{0,2}\\*[ab]{0,2}",
            name in "[ab]{1,3}-[ab]{1,3}",
        ) {
            let parsed = |text: &str| Pattern::parse(&format!(r"x\{text}"));
            if let (Ok(one), Ok(two)) = (parsed(&one), parsed(&two)) {
                let name = format!(r"x\{name}");
                if one.matches(name.as_bytes()) && two.matches(name.as_bytes()) {
                    prop_assert!(one.overlaps(&two) && two.overlaps(&one));
                }
            }
        }
    }
}
