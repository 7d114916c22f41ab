//! A command that the gateway answers itself: its output waits here until the client has fetched it.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::dialect::psrp::answer;
use crate::dialect::psrp::clixml::{self, Item};
use crate::dialect::psrp::message::{self, Destination, Kind, Message};
use crate::dialect::psrp::soap::{CommandState, Received};
use crate::model::Object;

use super::metadata::output;

#[derive(Debug)]
pub(super) struct Local {
    command: Uuid,
    payloads: VecDeque<Vec<u8>>,
}

impl Local {
    /// `objects`, then the pipeline's last `state`; numbered from `next` on.
    pub(super) fn new(
        pool: Uuid,
        command: Uuid,
        objects: &[Object],
        state: &Item,
        next: &mut u64,
    ) -> Self {
        let mut messages: Vec<Message> = objects
            .iter()
            .map(|it| output(pool, command, &answer::object(it)))
            .collect();
        messages.push(Message {
            destination: Destination::Client,
            kind: Kind::PipelineState,
            pool,
            pipeline: command,
            data: clixml::write(state),
        });
        let mut numbered = Vec::with_capacity(messages.len());
        for message in &messages {
            *next += 1;
            numbered.push((*next, message::write(message)));
        }
        Self {
            command,
            payloads: super::pack(&numbered).into(),
        }
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.payloads.iter().map(Vec::len).sum()
    }

    /// As much of the output as an answer of `max_envelope` bytes holds, at least one payload of it.
    pub(super) fn take(&mut self, max_envelope: Option<u32>) -> Received {
        /// The size that every client takes.
        const SMALLEST: u32 = 153_600;
        const OVERHEAD: usize = 4096;
        let room = usize::try_from(max_envelope.unwrap_or(SMALLEST)).unwrap_or(usize::MAX);
        let mut room = room.saturating_sub(OVERHEAD);
        let mut taken = Vec::new();
        while let Some(payload) = self.payloads.front() {
            let size = payload.len().div_ceil(3) * 4 + 256;
            if size > room && !taken.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            taken.extend(self.payloads.pop_front().map(|it| (Some(self.command), it)));
        }
        let state = if self.payloads.is_empty() {
            CommandState::Done
        } else {
            CommandState::Running
        };
        Received {
            output: taken,
            state: Some((self.command, state)),
        }
    }
}
