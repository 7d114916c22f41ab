//! The sessions of an endpoint: by id, each of the principal who opened it, bounded in number, memory and idle time.
//!
//! Shared by all workers. The lock of the list and that of a session are short: nothing waits while either is held.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config;
use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::session::{Ending, Shell};
use crate::model::Principal;
use crate::telemetry::metrics::OpenShell;

use super::hold::Held;
use super::lanes::Lanes;
use super::standing::Standing;
use crate::data::body::Share;

/// Why a session cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// There is a session with this id.
    Taken,
    /// The endpoint has as many as it may.
    TooMany,
    /// The principal has this many, which is all they may have.
    TooManyOfOne(usize),
}

/// The sessions of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Shells(Mutex<HashMap<Uuid, Arc<Kept>>>);

/// A session that is kept between requests.
pub(super) struct Kept {
    pub(super) id: Uuid,
    pub(super) owner: Arc<Principal>,
    inner: Mutex<Inner>,
    /// Requests that are being answered,
    busy: AtomicUsize,
    /// and how many there may be when one more comes that waits for output.
    most_busy: usize,
    /// Somebody sees to it that it is forgotten.
    is_leaving: AtomicBool,
    /// Fires when something in it has changed that a waiting request may be interested in.
    pub(super) changed: Notify,
    /// The order of what goes in.
    pub(super) lanes: Lanes,
    #[expect(dead_code, reason = "it is there to be dropped")]
    counted: OpenShell,
}

/// What a session's lock guards.
pub(super) struct Inner {
    pub(super) shell: Shell,
    /// What was permitted of the pipelines that run.
    pub(super) standing: HashMap<Uuid, Standing>,
    /// Pipelines that wait for approval.
    pub(super) held: HashMap<Uuid, Held>,
    /// The memory that it is charged with.
    share: Share,
    last_used: Instant,
}

/// A request that uses a session: while there is one, the session is not idle.
pub(super) struct InUse<'a>(&'a Kept);

impl Shells {
    /// Keeps a session that is being opened.
    pub(super) fn add(
        &self,
        shell: Shell,
        owner: Arc<Principal>,
        limits: &config::Remoting,
        share: Share,
        counted: OpenShell,
    ) -> Result<Arc<Kept>, NoRoom> {
        let mut all = self.lock();
        if all.contains_key(&shell.id()) {
            return Err(NoRoom::Taken);
        }
        if all.len() >= limits.shells {
            return Err(NoRoom::TooMany);
        }
        let of_owner = all.values().filter(|it| it.owner.key == owner.key).count();
        if of_owner >= limits.shells_per_principal {
            return Err(NoRoom::TooManyOfOne(of_owner));
        }
        let kept = Arc::new(Kept {
            id: shell.id(),
            owner,
            inner: Mutex::new(Inner {
                shell,
                standing: HashMap::new(),
                held: HashMap::new(),
                share,
                last_used: Instant::now(),
            }),
            busy: AtomicUsize::new(0),
            is_leaving: AtomicBool::new(false),
            // Of each pipeline its wait for output, input, an answer and a signal; of the session itself as many.
            most_busy: (limits.pipelines_per_shell + 1).saturating_mul(4),
            changed: Notify::new(),
            lanes: Lanes::new(limits.pipelines_per_shell),
            counted,
        });
        all.insert(kept.id, Arc::clone(&kept));
        Ok(kept)
    }

    /// The session with this id, if it is of the principal with the key `owner`: to others it is not there.
    pub(super) fn find(&self, id: Uuid, owner: &str) -> Option<Arc<Kept>> {
        let all = self.lock();
        let kept = all.get(&id).filter(|it| it.owner.key == owner)?;
        Some(Arc::clone(kept))
    }

    /// Forgets a session: this one, and not another that was opened under its id since.
    pub(super) fn remove(&self, kept: &Kept) {
        let mut all = self.lock();
        if all
            .get(&kept.id)
            .is_some_and(|it| std::ptr::eq(Arc::as_ptr(it), kept))
        {
            all.remove(&kept.id);
        }
        drop(all);
        kept.changed.notify_waiters();
    }

    /// Takes out the sessions that nobody used for `idle`.
    pub(super) fn take_idle(&self, idle: Duration) -> Vec<Arc<Kept>> {
        let mut all = self.lock();
        let is_idle = |it: &Kept| {
            it.busy.load(Ordering::Acquire) == 0 && it.lock().last_used.elapsed() >= idle
        };
        all.extract_if(|_, it| is_idle(it)).map(|it| it.1).collect()
    }

    /// All sessions, as they are now.
    pub(super) fn all(&self) -> Vec<Arc<Kept>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// Takes out all sessions.
    pub(super) fn take_all(&self) -> Vec<Arc<Kept>> {
        self.lock().drain().map(|it| it.1).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this is so.
    pub(super) async fn until(&self, is_so: impl Fn(&Inner) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Marks it as in use until the result is dropped.
    pub(super) fn in_use(&self) -> InUse<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        InUse(self)
    }

    /// Whether it was open and is over, and whoever asks is the first to: they forget it.
    pub(super) fn is_to_be_forgotten(&self) -> bool {
        let is_over = {
            let inner = self.lock();
            inner.shell.is_opened() && inner.shell.is_closed()
        };
        is_over && !self.is_leaving.swap(true, Ordering::AcqRel)
    }

    /// Whether so many of its requests are being answered that one more must not wait.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > self.most_busy
    }
}

impl Inner {
    /// Whether the gateway stops a pipeline by itself, or did.
    pub(super) fn is_being_stopped(&self, command: Uuid) -> bool {
        let standing = self.standing.get(&command);
        standing.is_some_and(|it| it.is_being_stopped)
    }

    /// Charges what the session holds by now; whether there is room for that.
    pub(super) fn charge(&mut self) -> bool {
        self.share.resize(self.shell.weight())
    }

    /// Gives up the pipelines that waited for approval too long; whether there were any.
    pub(super) fn give_up_overdue(&mut self, now: Instant) -> bool {
        let overdue: Vec<Held> = self
            .held
            .extract_if(|_, it| it.is_overdue(now))
            .map(|it| it.1)
            .collect();
        let were_any = !overdue.is_empty();
        for held in overdue {
            let (proposal, text) = held.given_up();
            // It has not begun, so there is nothing to tell the server.
            self.shell.refused(*proposal, Failure::Blocked, &text);
        }
        self.settle();
        were_any
    }

    /// Puts on record what became of pipelines since the last time, forgets what has ended, and charges what is left.
    pub(super) fn settle(&mut self) {
        for (command, how) in self.shell.take_endings() {
            if let Some(standing) = self.standing.get_mut(&command) {
                standing.finish(result(how));
            }
        }
        let Self {
            shell,
            standing,
            held,
            ..
        } = self;
        standing.retain(|command, _| shell.has(*command));
        held.retain(|command, _| shell.is_deciding(*command));
        // What it grew by since it was charged (the answer of a cmdlet of the gateway) the next request is refused for, if there
        // is no room for that.
        self.charge();
    }
}

/// The word of an outcome record.
fn result(how: Ending) -> &'static str {
    match how {
        Ending::Completed => "ok",
        Ending::Failed => "failed",
        Ending::NotFetched => "not-fetched",
        Ending::Refused => "blocked",
        Ending::Stopped => "stopped",
        Ending::Unclear => "upstream-broken",
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.lock().last_used = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("id", &self.id)
            .field("owner", &self.owner.key)
            .finish_non_exhaustive()
    }
}
