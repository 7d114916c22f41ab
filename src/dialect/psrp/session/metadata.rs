//! The answer to `GET_COMMAND_METADATA` on its way to the client: learnt from, and with the gateway's cmdlets in it.

use uuid::Uuid;

use crate::dialect::Unreadable;
use crate::dialect::psrp::answer;
use crate::dialect::psrp::clixml::{self, Item};
use crate::dialect::psrp::fragment::{self, Object, Reassembler};
use crate::dialect::psrp::message::{self, Destination, Kind, Message};
use crate::model::OwnCmdlet;

/// A running `GET_COMMAND_METADATA`.
#[derive(Debug)]
pub(super) struct Listing {
    /// What the client asks for.
    names: Vec<String>,
    output: Reassembler,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first object, which says how many there are, has not come yet.
    Count,
    /// The commands come.
    Commands,
}

impl Listing {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            output: Reassembler::default(),
            stage: Stage::Count,
        }
    }

    /// Takes a payload of the server's; returns the messages that go to the client, with their numbers.
    ///
    /// `next` numbers the gateway's own.
    pub(super) fn pass(
        &mut self,
        payload: &[u8],
        own: &[OwnCmdlet],
        learned: &mut Vec<Item>,
        mut next: impl FnMut() -> u64,
    ) -> Result<Vec<Object>, Unreadable> {
        let mut passed = Vec::new();
        for object in self.output.push(payload, &fragment::Limits::default())? {
            let message = message::read(&object.bytes)?;
            if message.kind != Kind::PipelineOutput || self.stage == Stage::Commands {
                if message.kind == Kind::PipelineOutput {
                    learned.push(clixml::read(&message.data)?);
                }
                passed.push(object);
                continue;
            }
            self.stage = Stage::Commands;
            let wanted: Vec<&OwnCmdlet> = own.iter().filter(|it| self.wants(it)).collect();
            let counted = counted(&message, wanted.len())?;
            passed.push(Object {
                id: object.id,
                bytes: message::write(&counted),
            });
            for cmdlet in wanted {
                let ours = output(message.pool, message.pipeline, &answer::metadata(cmdlet));
                passed.push(Object {
                    id: next(),
                    bytes: message::write(&ours),
                });
            }
        }
        Ok(passed)
    }

    fn wants(&self, cmdlet: &OwnCmdlet) -> bool {
        let name = cmdlet.name.as_str().to_ascii_lowercase();
        self.names.is_empty()
            || self
                .names
                .iter()
                .any(|it| matches(it.to_ascii_lowercase().as_bytes(), name.as_bytes()))
    }
}

/// The first object of the answer, `more` greater.
fn counted(message: &Message, more: usize) -> Result<Message, Unreadable> {
    let mut item = clixml::read(&message.data)?;
    let more = i128::try_from(more).unwrap_or(0);
    if let Item::Object(object) = &mut item {
        let bags = object.extended.iter_mut().chain(&mut object.adapted);
        for (name, value) in bags {
            if name == "Count"
                && let Item::Integer(_, count) = value
            {
                *count += more;
            }
        }
    }
    Ok(Message {
        data: clixml::write(&item),
        ..message.clone()
    })
}

/// An object out of a pipeline.
pub(super) fn output(pool: Uuid, pipeline: Uuid, item: &Item) -> Message {
    Message {
        destination: Destination::Client,
        kind: Kind::PipelineOutput,
        pool,
        pipeline,
        data: clixml::write(item),
    }
}

/// Whether `name` is of the form `pattern`, with `*` for anything and `?` for one letter.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for it in pattern {
        let mut before = false;
        let mut last = false;
        for (index, place) in reached.iter_mut().enumerate() {
            let letter = index.checked_sub(1).and_then(|at| name.get(at));
            let here = *place;
            *place = match it {
                b'*' => here || last,
                b'?' => before && letter.is_some(),
                plain => before && letter == Some(plain),
            };
            before = here;
            last = *place;
        }
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_powershells() {
        let is = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(is("*", "") && is("*", "abc") && is("a*c", "abc") && is("a?c", "abc"));
        assert!(is("*elevated*", "new-elevatedaccess") && is("abc", "abc") && is("", ""));
        assert!(
            !is("a?c", "ac")
                && !is("abc", "ab")
                && !is("", "a")
                && !is("*b", "abc")
                && !is("?", "")
        );
    }
}
