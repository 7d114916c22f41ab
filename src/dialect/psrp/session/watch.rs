//! How a pipeline ends, read from its output as it passes by: of all messages only `PIPELINE_STATE` is kept and read.
//!
//! Output goes to the client as it comes, and is bounded by nothing; what is kept here is.

use crate::dialect::psrp::clixml;
use crate::dialect::psrp::fragment;
use crate::dialect::psrp::message::{self, Kind, Message};

use super::Ending;

/// The longest `PIPELINE_STATE` that is read: it may hold an error record.
const MAX_STATE: usize = 1 << 20;

/// What the header of a message has before its body.
const HEADER: usize = 40;

/// Looks for the end of one pipeline.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The beginning of the message that is open, as far as it matters.
    open: Vec<u8>,
}

impl Watch {
    /// Looks at the next payload. What is no fragment is the client's to complain of.
    pub(super) fn look(&mut self, payload: &[u8]) -> Option<Ending> {
        let mut found = None;
        for fragment in fragment::Fragments::of(payload) {
            let Ok(fragment) = fragment else {
                self.open.clear();
                return found;
            };
            if fragment.starts() {
                self.open.clear();
            }
            let blob = fragment.blob();
            let missing = HEADER.saturating_sub(self.open.len()).min(blob.len());
            let (header, rest) = blob.split_at(missing);
            self.open.extend_from_slice(header);
            if self.is_of_state() {
                let room = MAX_STATE.saturating_sub(self.open.len());
                self.open.extend(rest.iter().take(room));
            }
            if fragment.ends() && self.is_of_state() {
                found = found.or_else(|| ending(&std::mem::take(&mut self.open)));
            }
        }
        found
    }

    fn is_of_state(&self) -> bool {
        let kind = self.open.get(4..8).and_then(|it| it.try_into().ok());
        self.open.len() >= HEADER
            && kind.map(u32::from_le_bytes) == Some(Kind::PipelineState.number())
    }
}

fn ending(bytes: &[u8]) -> Option<Ending> {
    match message::read(bytes) {
        Ok(message) => of_state(&message),
        Err(_) => Some(Ending::Unclear),
    }
}

/// How the pipeline ended, if this is a state that ends it ([MS-PSRP] 2.2.3.5).
///
/// [MS-PSRP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-psrp/
fn of_state(message: &Message) -> Option<Ending> {
    let state = clixml::read(&message.data).ok().and_then(|item| {
        let object = item.as_object()?;
        object.property("PipelineState")?.as_i32()
    });
    match state {
        Some(3) => Some(Ending::Stopped),
        Some(4) => Some(Ending::Completed),
        Some(5) => Some(Ending::Failed),
        Some(_) => None,
        None => Some(Ending::Unclear),
    }
}
