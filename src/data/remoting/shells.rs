//! The sessions of an endpoint: by id, each of the principal who opened it, bounded in number (also for one person, whatever
//! accounts they have), memory and idle time.
//!
//! The id of a session that ended while the server had not answered all of it is not used again for a while: what is on its way
//! to the server yet would land in the session that is opened under that id.
//!
//! Shared by all workers. The lock of the list and that of a session are short: nothing waits while either is held.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config;
use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::session::{Ending, Shell};
use crate::dialect::psrp::soap::Operation;
use crate::model::Principal;
use crate::policy::PolicySet;
use crate::telemetry::metrics::OpenShell;

use super::hold::Held;
use super::lanes::Lanes;
use super::standing::Standing;
use super::unread::Unread;
use crate::data::body::Share;

/// Why a session cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// A session with this id ended, and something of it may reach the server yet.
    Late,
    /// There is a session with this id.
    Taken,
    /// The endpoint has as many as it may.
    TooMany,
    /// As many sessions of the principal ended without an answer of the server as may be remembered.
    TooManyLate,
    /// The principal has this many, which is all they may have.
    TooManyOfOne(usize),
}

/// How many sessions of which something may be on its way yet are remembered for each that may be open. Enough for a client that
/// tries again and again while a server hangs.
const LATE_PER_SHELL: usize = 16;

/// The sessions of an endpoint.
#[derive(Debug)]
pub(super) struct Shells {
    all: Mutex<All>,
    /// How long a request that nobody waits for any more may be on its way to the server.
    late_for: Duration,
}

#[derive(Debug, Default)]
struct All {
    open: HashMap<Uuid, Arc<Kept>>,
    /// Sessions that ended while something of them was not answered.
    late: HashMap<Uuid, Late>,
    /// Sessions that ended here, and that the server did not say to have closed.
    unclosed: HashMap<Uuid, Unclosed>,
}

/// A session that the server may have yet.
#[derive(Debug)]
struct Unclosed {
    kept: Arc<Kept>,
    since: Instant,
}

/// Whether the server is told again to close a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It was told for so long that its own idle time has ended what nobody uses.
    Enough,
    /// It is.
    Later,
}

/// A session that ended, and of which something may reach the server yet.
#[derive(Debug)]
struct Late {
    /// Whose it was.
    owner: Arc<Principal>,
    since: Instant,
}

/// A session that is kept between requests.
pub(super) struct Kept {
    pub(super) id: Uuid,
    pub(super) owner: Arc<Principal>,
    inner: Mutex<Inner>,
    /// Requests that are being answered,
    busy: AtomicUsize,
    /// and how many there may be when one more comes that waits for output.
    most_busy: usize,
    /// What went to the server, begins something there, and was not answered.
    unanswered: AtomicUsize,
    /// Fires when it is closed here: nothing of it goes upstream any more but what closes it there.
    pub(super) closed: CancellationToken,
    /// Requests of its client that close it.
    closing: AtomicUsize,
    /// Somebody sees to it that it is forgotten.
    is_leaving: AtomicBool,
    /// Fires when something in it has changed that a waiting request may be interested in.
    pub(super) changed: Notify,
    /// The room for what the server said and its clients have not read.
    pub(super) unread: Unread,
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

/// Something that begins at the server, as long as that did not answer it: if this is dropped before, it may begin yet.
#[must_use]
pub(super) struct Unanswered<'a>(&'a Kept);

/// A request that uses a session: while there is one, the session is not idle.
pub(super) struct InUse<'a>(&'a Kept);

/// A request of its client that closes a session.
pub(super) struct ClosedByClient<'a>(&'a Kept);

impl Shells {
    /// None yet. A request that nobody waits for any more may be on its way to the server for `late_for`.
    pub(super) fn new(late_for: Duration) -> Self {
        Self {
            all: Mutex::default(),
            late_for,
        }
    }

    /// Keeps a session that is being opened. What one person may have counts for all accounts that the policies know as theirs.
    pub(super) fn add(
        &self,
        shell: Shell,
        owner: Arc<Principal>,
        settings: (&config::Remoting, &PolicySet),
        share: Share,
        counted: OpenShell,
    ) -> Result<Arc<Kept>, NoRoom> {
        let (limits, policies) = settings;
        let is_owners = |it: &Principal| {
            it.id == owner.id || policies.is_same_person(it, &owner.key, &owner.name)
        };
        let mut all = self.lock();
        let All {
            open,
            late,
            unclosed,
        } = &mut *all;
        late.retain(|_, it| it.since.elapsed() < self.late_for);
        if open.contains_key(&shell.id()) {
            return Err(NoRoom::Taken);
        }
        if late.contains_key(&shell.id()) || unclosed.contains_key(&shell.id()) {
            return Err(NoRoom::Late);
        }
        let most_late = LATE_PER_SHELL * limits.shells;
        if open.len() >= limits.shells || late.len() >= most_late || unclosed.len() >= most_late {
            return Err(NoRoom::TooMany);
        }
        let late_of_owner = late.values().filter(|it| is_owners(&it.owner)).count();
        let unclosed_of_owner = unclosed.values().filter(|it| is_owners(&it.kept.owner));
        let unclosed_of_owner = unclosed_of_owner.count();
        if late_of_owner.max(unclosed_of_owner) >= LATE_PER_SHELL * limits.shells_per_principal {
            return Err(NoRoom::TooManyLate);
        }
        let of_owner = open.values().filter(|it| is_owners(&it.owner)).count();
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
            unanswered: AtomicUsize::new(0),
            closed: CancellationToken::new(),
            closing: AtomicUsize::new(0),
            is_leaving: AtomicBool::new(false),
            // Of each pipeline its wait for output, input, an answer and a signal; of the session itself as many.
            most_busy: (limits.pipelines_per_shell + 1).saturating_mul(4),
            changed: Notify::new(),
            unread: Unread::new(limits.reassembly_bytes),
            lanes: Lanes::new(limits.pipelines_per_shell),
            counted,
        });
        open.insert(kept.id, Arc::clone(&kept));
        Ok(kept)
    }

    /// The session with this id, if it is of the principal with the key `owner`: to others it is not there.
    pub(super) fn find(&self, id: Uuid, owner: &str) -> Option<Arc<Kept>> {
        let all = self.lock();
        let kept = all.open.get(&id).filter(|it| it.owner.key == owner)?;
        Some(Arc::clone(kept))
    }

    /// Forgets a session: this one, and not another that was opened under its id since.
    pub(super) fn remove(&self, kept: &Kept) {
        let mut all = self.lock();
        if all
            .open
            .get(&kept.id)
            .is_some_and(|it| std::ptr::eq(Arc::as_ptr(it), kept))
        {
            all.open.remove(&kept.id);
            all.late.extend(kept.late());
        }
        drop(all);
        kept.closed.cancel();
        kept.changed.notify_waiters();
    }

    /// Takes out the sessions that nobody used for `idle`.
    pub(super) fn take_idle(&self, idle: Duration) -> Vec<Arc<Kept>> {
        let mut all = self.lock();
        let is_idle = |it: &Kept| {
            it.busy.load(Ordering::Acquire) == 0 && it.lock().last_used.elapsed() >= idle
        };
        let All { open, late, .. } = &mut *all;
        let idle: Vec<_> = open
            .extract_if(|_, it| is_idle(it))
            .map(|it| it.1)
            .collect();
        late.extend(idle.iter().filter_map(|it| it.late()));
        idle
    }

    /// All sessions, as they are now.
    pub(super) fn all(&self) -> Vec<Arc<Kept>> {
        self.lock().open.values().map(Arc::clone).collect()
    }

    /// Whether the server has none of them, as far as is known.
    pub(super) fn are_none(&self) -> bool {
        let all = self.lock();
        all.open.is_empty() && all.unclosed.is_empty()
    }

    /// Remembers a session that ended here, and that the server did not say to have closed. While it is told again, nobody opens
    /// another under its id, which would be closed in its stead.
    pub(super) fn keep_closing(&self, kept: &Arc<Kept>) {
        let since = Instant::now();
        let kept = Arc::clone(kept);
        self.lock()
            .unclosed
            .entry(kept.id)
            .or_insert(Unclosed { kept, since });
    }

    /// The sessions that the server is to be told again to close, and whether that is the last time.
    pub(super) fn unclosed(&self) -> Vec<(Arc<Kept>, Again)> {
        let again = |it: &Unclosed| {
            if it.since.elapsed() < self.late_for {
                Again::Later
            } else {
                Again::Enough
            }
        };
        let all = self.lock();
        let unclosed = all.unclosed.values();
        unclosed
            .map(|it| (Arc::clone(&it.kept), again(it)))
            .collect()
    }

    /// Forgets a session that the server is not told any more to close.
    pub(super) fn is_closed(&self, kept: &Kept) {
        self.lock().unclosed.remove(&kept.id);
    }

    /// Takes out all sessions.
    pub(super) fn take_all(&self) -> Vec<Arc<Kept>> {
        self.lock().open.drain().map(|it| it.1).collect()
    }

    /// Takes out the sessions that ended here, and that the server did not say to have closed.
    pub(super) fn take_unclosed(&self) -> Vec<Arc<Kept>> {
        self.lock().unclosed.drain().map(|it| it.1.kept).collect()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks that something goes to the server which begins something there.
    pub(super) fn unanswered(&self) -> Unanswered<'_> {
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        Unanswered(self)
    }

    /// What is remembered of it when it has ended, if something of it may reach the server yet.
    fn late(&self) -> Option<(Uuid, Late)> {
        let owner = Arc::clone(&self.owner);
        let since = Instant::now();
        let is_late = self.unanswered.load(Ordering::Acquire) > 0;
        is_late.then_some((self.id, Late { owner, since }))
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

    /// Whether this still concerns the session as it is: it may have been closed, and the pipeline may have ended, while it waited.
    pub(super) fn takes(&self, operation: &Operation) -> bool {
        if matches!(operation, Operation::Delete) {
            return true;
        }
        let inner = self.lock();
        let shell = &inner.shell;
        let is_open = !self.closed.is_cancelled() && !shell.is_closed();
        is_open
            && match operation {
                Operation::Command { command, .. } => shell.is_starting(*command),
                Operation::Send {
                    command: Some(command),
                    ..
                } => shell.is_starting(*command) || shell.is_running(*command),
                Operation::Create { .. }
                | Operation::Delete
                | Operation::Receive { .. }
                | Operation::Send { command: None, .. }
                | Operation::Signal { .. } => true,
            }
    }

    /// Marks it as in use until the result is dropped.
    pub(super) fn in_use(&self) -> InUse<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        InUse(self)
    }

    /// Marks it as being closed by its client.
    pub(super) fn closing(&self) -> ClosedByClient<'_> {
        self.closing.fetch_add(1, Ordering::AcqRel);
        ClosedByClient(self)
    }

    /// Whether its client is closing it: then that request sees to all that follows.
    pub(super) fn is_being_closed(&self) -> bool {
        self.closing.load(Ordering::Acquire) > 0
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

    /// A share of the same budget, of nothing yet.
    pub(super) fn empty_share(&self) -> Share {
        self.share.sibling()
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

impl Unanswered<'_> {
    /// The server has answered it, or never gets it: it does not come any more.
    pub(super) fn settle(self) {
        self.0.unanswered.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for ClosedByClient<'_> {
    fn drop(&mut self) {
        self.0.closing.fetch_sub(1, Ordering::AcqRel);
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
