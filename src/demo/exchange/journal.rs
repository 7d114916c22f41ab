//! What reached the sample endpoint, for tests: the truth about what a gateway let through.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};

use crate::model::Value;

/// How many entries of each sort are kept; older ones are dropped.
const CAPACITY: usize = 10_000;

/// How many bytes of bodies, or of parameters, are kept.
const CAPACITY_BYTES: usize = 64 << 20;

/// A request, as it arrived. `Authorization` is marked as sensitive, so that it is not printed.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Its method.
    pub method: Method,
    /// Its target, as it was sent.
    pub target: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It ran.
    Done,
    /// Its parameters were wrong, or there was nothing for it to work on.
    Failed,
    /// It was a validation call (`Confirm: true`): nothing ran.
    Prompted,
    /// It was only asked what would happen (`WhatIf: true`): nothing ran.
    Simulated,
}

/// A command that the endpoint understood.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its name in the usual spelling.
    pub cmdlet: &'static str,
    /// Its parameters as they were sent, annotations left out.
    pub parameters: Vec<(String, Value)>,
    /// The headers of its request or batch item.
    pub headers: HeaderMap,
    /// Whether it asked for a further page.
    pub is_page: bool,
    /// What came of it.
    pub effect: Effect,
}

/// The last requests and commands.
#[derive(Debug, Default)]
pub(super) struct Journal {
    arrived: Recent<Arrived>,
    executed: Recent<Executed>,
}

impl Journal {
    pub(super) fn push_arrived(&mut self, request: Arrived) {
        let bytes = request.body.len();
        self.arrived.push(request, bytes);
    }

    /// `bytes` is how much the parameters take, about.
    pub(super) fn push_executed(&mut self, mut command: Executed, bytes: usize) {
        hide_credentials(&mut command.headers);
        self.executed.push(command, bytes);
    }

    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.entries()
    }

    pub(super) fn executed(&self) -> Vec<Executed> {
        self.executed.entries()
    }
}

/// Entries with their sizes, oldest first, bounded in number and bytes.
#[derive(Debug)]
struct Recent<T> {
    entries: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T: Clone> Recent<T> {
    fn push(&mut self, entry: T, bytes: usize) {
        self.entries.push_back((entry, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while self.entries.len() > CAPACITY || self.bytes > CAPACITY_BYTES {
            let Some((_, bytes)) = self.entries.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    fn entries(&self) -> Vec<T> {
        self.entries.iter().map(|(it, _)| it.clone()).collect()
    }
}

impl Arrived {
    pub(super) fn new(request: &Request<Bytes>) -> Self {
        let mut headers = request.headers().clone();
        hide_credentials(&mut headers);
        Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            headers,
            body: request.body().clone(),
        }
    }
}

fn hide_credentials(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(header::AUTHORIZATION) {
        value.set_sensitive(true);
    }
}
