//! A workflow with sample policies, a clock that stands still, and an audit log that fails at will.

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Duration, Utc};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audit::{Event, Unavailable};
use crate::config;
use crate::control::{Clock, Control, Ledger, NewPolicies, Settings};
use crate::model::{
    Command, Interner, Object, Parameter, Parameters, Principal, PrincipalKind, Redaction, Value,
};
use crate::notify::Channels;
use crate::policy::{Mode, PolicyFile, PolicySet};
use crate::state::{BoxFuture, OwnCmdletError, OwnCmdlets as _, Snapshot, State};
use crate::store::testing::Place;

const POLICIES: &str = r#"
[[group]]
name = "movers"
members = ["amy@fabrikam.example", "bo@fabrikam.example", "ann@fabrikam.example"]

[[group]]
name = "keepers"
members = ["kim@fabrikam.example"]

[[group]]
name = "firefighters"
members = ["ann@fabrikam.example", "amy@fabrikam.example", "fay@fabrikam.example"]

[[person]]
name = "Bob"
accounts = ["bob@fabrikam.example", "adm-bob@fabrikam.example"]

[[group]]
name = "journalists"
members = ["cy@fabrikam.example", "dee@fabrikam.example"]

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["movers"]
max_duration = "8h"
default_duration = "4h"

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
approvers = ["movers"]

[[policy]]
task = 'Exchange\New-JournalRule'
approval = "manual"
approvers = ["journalists"]

[[policy]]
task = 'Exchange\Set-Mailbox'
approval = "manual"
approvers = ["movers", "journalists"]
approvals = 2

[[policy]]
task = 'Exchange\Get-MessageTrace'
approval = "auto"

[[policy]]
task = 'Exchange\Get-Contact'
approval = "auto"
max_duration = "3h"

[[policy]]
task = 'Exchange\Set-TransportRule'
approval = "manual"
approvers = ["movers"]
requesters = ["firefighters"]
break_glass = ["firefighters"]
approver_comment = "required"
max_uses = 3
reason = { min_length = 10 }

[[policy]]
task = 'Exchange\Get-Mailbox'
approval = "manual"
approvers = ["movers"]
spread = { calls_per_minute = 3, identities_per_grant = 2 }

[[policy]]
task = 'Exchange\Set-Contact'
approval = "manual"
approvers = ["movers"]
spread = { calls_per_grant = 3, identities_per_minute = 1 }

[[policy]]
role = 'Exchange\Recipient Reader'
approval = "manual"
approvers = ["movers"]

[[role]]
name = 'Exchange\Recipient Reader'
tasks = ['Exchange\Get-Recipient', 'Exchange\Get-User']

[[policy]]
task = 'Exchange\Remove-OrganizationConfig'
approval = "never"

[[exemption]]
account = "sys1@fabrikam.example"
owner = "messaging-ops"
reason = "nightly job"
"#;

/// An open workflow and what surrounds it.
pub(super) struct World {
    pub(super) state: Arc<State>,
    pub(super) ledger: Arc<TestLedger>,
    pub(super) control: Arc<Control>,
    notify: config::Notify,
    hidden: Vec<String>,
    now_ms: Arc<AtomicI64>,
    /// How far the clock goes on each time that it is looked at.
    stride_ms: Arc<AtomicI64>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

/// An audit log in memory: what it was given, and how many grants were in force at that moment.
pub(super) struct TestLedger {
    state: Arc<State>,
    events: Mutex<Vec<(Event, usize)>>,
    mode: watch::Sender<LedgerMode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LedgerMode {
    Fails,
    Hangs,
    Works,
}

impl World {
    /// One without the keeper, at the beginning of time.
    pub(super) async fn open(place: &Place) -> Self {
        Self::telling(place, config::Notify::default()).await
    }

    /// The same, which tells of what happens.
    pub(super) async fn telling(place: &Place, notify: config::Notify) -> Self {
        let interner = Arc::new(Interner::default());
        let state = Arc::new(State::new(interner, nothing()));
        let ledger = Arc::new(TestLedger {
            state: Arc::clone(&state),
            events: Mutex::default(),
            mode: watch::Sender::new(LedgerMode::Works),
        });
        let now_ms = Arc::new(AtomicI64::new(1_800_000_000_000));
        Self::start(place, state, ledger, notify, Vec::new(), now_ms).await
    }

    async fn start(
        place: &Place,
        state: Arc<State>,
        ledger: Arc<TestLedger>,
        notify: config::Notify,
        hidden: Vec<String>,
        now_ms: Arc<AtomicI64>,
    ) -> Self {
        let stride_ms = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let (now_ms, stride_ms) = (Arc::clone(&now_ms), Arc::clone(&stride_ms));
            // The part below a millisecond must be of no consequence.
            Arc::new(move || {
                let stride_ms = stride_ms.load(Ordering::Relaxed);
                let ms = now_ms.fetch_add(stride_ms, Ordering::Relaxed);
                DateTime::<Utc>::from_timestamp_millis(ms).unwrap() + Duration::microseconds(7)
            })
        };
        let port: Arc<dyn Ledger> = Arc::clone(&ledger) as _;
        let store = place.open().await;
        let channels = Arc::new(Channels::open(&notify).unwrap().0);
        let settings = Settings {
            default_approver_group: None,
            mode: Mode::Enforce,
            operators: Some("keepers".to_owned()),
            auditors: Some("auditors".to_owned()),
            redaction: Redaction::new(&hidden),
        };
        let control = Control::open(store, port, channels, Arc::clone(&state), settings, clock)
            .await
            .unwrap();
        // The policies of a start are on record before anything else can fail.
        let mode = ledger.mode.send_replace(LedgerMode::Works);
        let policies = control.put_files(vec![file(POLICIES)]).await.unwrap();
        assert!(
            matches!(policies, NewPolicies::InForce { .. }),
            "{policies:?}"
        );
        ledger.set(mode);
        Self {
            state,
            ledger,
            control: Arc::new(control),
            notify,
            hidden,
            now_ms,
            stride_ms,
            running: None,
        }
    }

    /// The keeper at work.
    pub(super) fn run(mut self) -> Self {
        let stop = CancellationToken::new();
        let (control, token) = (Arc::clone(&self.control), stop.clone());
        let task = tokio::spawn(async move { control.run(token).await });
        self.running = Some((stop, task));
        self
    }

    /// Ends, forgets everything in memory but the audit log, and starts again on what was stored.
    pub(super) async fn restart(mut self, place: &Place) -> Self {
        self.stop().await;
        let Self {
            state,
            ledger,
            control,
            notify,
            hidden,
            now_ms,
            ..
        } = self;
        drop(control);
        let interner = Arc::new(Interner::default());
        let anew = Arc::new(State::new(interner, nothing()));
        drop(state);
        let ledger = Arc::new(TestLedger {
            state: Arc::clone(&anew),
            events: Mutex::new(ledger.events.lock().unwrap().clone()),
            mode: watch::Sender::new(*ledger.mode.borrow()),
        });
        Self::start(place, anew, ledger, notify, hidden, now_ms).await
    }

    pub(super) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    /// Stops in the middle of whatever it does, as a machine does that loses power.
    pub(super) async fn crash(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
            // It was cancelled, which is what was wanted.
            let _ = task.await;
        }
    }

    /// The same with other settings of whom to tell, after a restart.
    pub(super) fn tell(&mut self, notify: config::Notify) {
        self.notify = notify;
    }

    /// Has the clock go on by a millisecond each time that it is looked at.
    pub(super) fn let_the_clock_run(&self) {
        self.stride_ms.store(1, Ordering::Relaxed);
    }

    /// Lets time pass, and has the keeper look.
    pub(super) fn pass(&self, duration: Duration) {
        self.now_ms
            .fetch_add(duration.num_milliseconds(), Ordering::Relaxed);
        self.control.wake();
    }

    /// The same with these parameters hidden besides the built-in ones, after a restart.
    pub(super) fn hide(&mut self, hidden: &[&str]) {
        self.hidden = hidden.iter().map(|&it| it.to_owned()).collect();
    }

    pub(super) fn publish(&self, policies: &str) {
        self.state.publish(snapshot(policies, &self.state.interner));
    }

    /// The policies with one text in them replaced.
    pub(super) fn edit(&self, from: &str, to: &str) {
        assert!(POLICIES.contains(from));
        self.publish(&POLICIES.replace(from, to));
    }

    pub(super) fn in_force(&self) -> usize {
        self.state.grants.len()
    }

    /// What `who` gets for a line such as `Get-ElevatedAccessRequest -RequestId '…'`: texts only, in quotes if they have spaces.
    pub(super) async fn call(&self, who: &str, line: &str) -> Result<Vec<Object>, OwnCmdletError> {
        let mut words = words(line).into_iter();
        let cmdlet = words.next().unwrap();
        let mut parameters = Vec::new();
        while let Some(name) = words.next() {
            let name = name.strip_prefix('-').unwrap().to_owned();
            parameters.push((name, Value::Text(words.next().unwrap())));
        }
        self.answer(&person(who), &cmdlet, parameters).await
    }

    pub(super) async fn answer(
        &self,
        who: &Principal,
        cmdlet: &str,
        parameters: Vec<(String, Value)>,
    ) -> Result<Vec<Object>, OwnCmdletError> {
        let mut command = Command {
            task: format!(r"Exchange\{cmdlet}").parse().unwrap(),
            parameters: Parameters::default(),
        };
        for (name, value) in parameters {
            let parameter = Parameter {
                name: name.parse().unwrap(),
                value,
                type_annotation: None,
            };
            command.parameters.push(parameter).unwrap();
        }
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.control
            .answer(who, source, &command, Uuid::now_v7())
            .await
    }

    /// The text that `who` is refused with.
    pub(super) async fn refusal(&self, who: &str, line: &str) -> String {
        self.call(who, line).await.unwrap_err().to_string()
    }

    /// The id of a request that `who` files for `task`.
    pub(super) async fn file(&self, who: &str, task: &str) -> String {
        let ask = format!("New-ElevatedAccessRequest -Task {task} -Reason because");
        property(&self.call(who, &ask).await.unwrap(), "Identity")
    }

    pub(super) async fn approve(&self, who: &str, id: impl Display) {
        let line = format!("Approve-ElevatedAccessRequest -RequestId {id}");
        self.call(who, &line).await.unwrap();
    }

    pub(super) async fn deny(&self, who: &str, id: impl Display) {
        let line = format!("Deny-ElevatedAccessRequest -RequestId {id}");
        self.call(who, &line).await.unwrap();
    }

    /// Takes a grant away, by its id or its request's.
    pub(super) async fn revoke(&self, who: &str, id: impl Display) {
        let line = format!("Revoke-ElevatedAccessAuthorization -Identity {id}");
        self.call(who, &line).await.unwrap();
    }

    /// The property of the request with this id, as an approver of everything would see it.
    pub(super) async fn status(&self, who: &str, id: &str) -> String {
        let found = self
            .call(who, &format!("Get-ElevatedAccessRequest -Identity {id}"))
            .await;
        property(&found.unwrap(), "RequestStatus")
    }

    /// Waits until `condition` holds.
    pub(super) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), wait)
            .await
            .unwrap();
    }
}

impl TestLedger {
    pub(super) fn set(&self, mode: LedgerMode) {
        self.mode.send_replace(mode);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .map(|it| it.0.clone())
            .collect()
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.events().into_iter().map(|it| it.kind).collect()
    }

    pub(super) fn count(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|it| *it == kind).count()
    }

    /// How many grants were in force when the event of this kind came.
    pub(super) fn in_force_at(&self, kind: &str) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().find(|it| it.0.kind == kind).unwrap().1
    }
}

impl Ledger for TestLedger {
    fn event(&self, event: Event) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let mut mode = self.mode.subscribe();
            let mode = *mode.wait_for(|it| *it != LedgerMode::Hangs).await.unwrap();
            if mode == LedgerMode::Fails {
                let reason = "No space left on device".into();
                return Err(Unavailable { reason });
            }
            // Each start has one, which no test is about.
            if event.kind == "policies.loaded" {
                return Ok(());
            }
            let in_force = self.state.grants.len();
            self.events.lock().unwrap().push((event, in_force));
            Ok(())
        })
    }
}

pub(super) fn person(name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        key: format!("local:{name}"),
        id: crate::model::PrincipalId(0),
        name: format!("{name}@fabrikam.example"),
        groups: Vec::new(),
        tenant: None,
        identity: "test".to_owned(),
    }
}

fn file(policies: &str) -> PolicyFile {
    PolicyFile {
        path: "policies/test.toml".to_owned(),
        text: policies.to_owned(),
    }
}

fn snapshot(policies: &str, interner: &Interner) -> Snapshot {
    let set = PolicySet::load(&[file(policies)], &[], None, interner).unwrap();
    Snapshot {
        policies: Arc::new(set),
        mode: Mode::Enforce,
    }
}

fn nothing() -> Snapshot {
    Snapshot {
        policies: Arc::new(PolicySet::empty()),
        mode: Mode::Enforce,
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The property of the only object, as text.
pub(super) fn property(objects: &[Object], name: &str) -> String {
    assert_eq!(objects.len(), 1);
    let found = objects[0].properties.iter().find(|it| it.0 == name);
    found.unwrap().1.to_value().display()
}

/// Objects as people would see them.
pub(super) fn table(objects: &[Object]) -> String {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "{}", object.type_name).unwrap();
        for (name, value) in &object.properties {
            writeln!(text, "  {name}: {}", value.to_value().display()).unwrap();
        }
    }
    text
}

/// Snapshots in which ids look alike.
pub(super) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
        "<id>",
    );
    settings
}
