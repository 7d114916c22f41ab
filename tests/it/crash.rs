//! The binary is killed under load, again and again, over one data directory. What a client was told stays true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::client::{Answer, Http, command, invoke_path, request};
use crate::connection::{Connection, Gone};
use crate::gateway::Gateway;

/// How often the process is killed while clients work.
const KILLS: usize = 50;

/// How often it is killed before it is ready.
const KILLS_AT_START: usize = 6;

/// The most answers between a start and the next kill.
const MOST_ANSWERS: u64 = 40;

/// What people ask for, each of them under a policy that approvers decide.
const GOVERNED: &[&str] = &[
    r"Exchange\New-MoveRequest",
    r"Exchange\Remove-Mailbox",
    r"Exchange\Remove-MoveRequest",
    r"Exchange\Remove-TransportRule",
];
const AUTO: &str = r"Exchange\Set-Mailbox";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_when_the_process_is_killed() {
    let seed = seed();
    say(&format!("crash test: PORTCULLIS_TEST_SEED={seed}"));
    let mut random = Random::new(seed);
    let mut gateway = Gateway::start().await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (place, _) = watch::channel(None);
    let (answers, mut answered) = watch::channel(0_u64);
    let crew = Crew {
        ca: gateway.path("certs/ca.pem"),
        place: place.subscribe(),
        answers,
        ledger: Arc::clone(&ledger),
    };
    let clients: Vec<_> = [
        ("ana", Http::One),
        ("ana", Http::Two),
        ("ivy", Http::One),
        ("ivy", Http::Two),
        ("amy", Http::One),
        ("bo", Http::Two),
    ]
    .into_iter()
    .map(|(person, http)| tokio::spawn(crew.clone().work(person, http, Random::new(random.next()))))
    .collect();
    drop(crew);

    let mut starts = Vec::new();
    for round in 0..KILLS {
        place.send_replace(Some((round, gateway.proxy())));
        let enough = *answered.borrow_and_update() + 1 + random.below(MOST_ANSWERS);
        answered.wait_for(|seen| *seen >= enough).await.unwrap();
        gateway.kill();
        place.send_replace(None);
        if round % (KILLS / KILLS_AT_START) == 0 {
            gateway.crash_while_starting("Policies are in force");
        }
        let began = Instant::now();
        gateway.restart();
        starts.push(began.elapsed());
    }
    drop(place);
    for client in clients {
        client.await.unwrap();
    }
    starts.sort();
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    say(&format!(
        "crash test: {} calls and {} requests acknowledged; starts took {:?} (median), {:?} (longest)",
        ledger.calls.len(),
        ledger.cases.len(),
        starts[starts.len() / 2],
        starts[starts.len() - 1],
    ));

    check_cases(&gateway, &ledger).await;
    nobody_has_a_grant_any_more(&gateway).await;
    assert!(gateway.terminate().success());
    check_records(&gateway, &ledger);
    let (code, text) = gateway.portcullis(&["audit", "verify", "data/audit"]);
    assert_eq!(code, 0, "{text}");
}

/// What clients were told.
#[derive(Debug, Default)]
struct Ledger {
    calls: HashMap<String, Call>,
    cases: BTreeMap<Uuid, Case>,
}

/// A call that was answered.
#[derive(Debug)]
struct Call {
    status: StatusCode,
    began: Instant,
}

/// A request for access that was acknowledged.
#[derive(Debug)]
struct Case {
    owner: &'static str,
    auto: bool,
    approval: Deed,
    denial: Deed,
    revocation: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    NotTried,
    /// Sent; no answer came.
    Tried,
    /// Acknowledged, at this moment.
    Done(Instant),
}

impl Case {
    fn decide(&mut self, approve: bool, deed: Deed) {
        if approve {
            self.approval = deed;
        } else {
            self.denial = deed;
        }
    }

    fn is_undecided(&self) -> bool {
        !self.auto && self.approval == Deed::NotTried && self.denial == Deed::NotTried
    }

    fn is_revocable(&self) -> bool {
        matches!(self.approval, Deed::Done(_)) && self.revocation == Deed::NotTried
    }
}

/// What each client works with.
#[derive(Clone)]
struct Crew {
    ca: PathBuf,
    /// The round and the address; `None` while the gateway is down; closed at the end.
    place: watch::Receiver<Option<(usize, SocketAddr)>>,
    answers: watch::Sender<u64>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Crew {
    /// Works on one connection a round, until the rounds are over.
    async fn work(mut self, person: &'static str, http: Http, mut random: Random) {
        let mut last = None;
        loop {
            let place = self
                .place
                .wait_for(|it| it.is_some_and(|it| Some(it.0) != last));
            let Ok(Some((round, address))) = place.await.map(|it| *it) else {
                return;
            };
            last = Some(round);
            // An error is the end of the process, and of the round.
            let _: Result<(), Gone> = self.round(person, http, address, &mut random).await;
        }
    }

    async fn round(
        &self,
        person: &'static str,
        http: Http,
        address: SocketAddr,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let mut connection = Connection::open(address, &self.ca, http).await?;
        loop {
            match (person, random.below(10)) {
                ("amy" | "bo", 0..5) => self.decide(person, &mut connection, random).await?,
                ("amy" | "bo", 5..8) => self.revoke(person, &mut connection, random).await?,
                ("ana" | "ivy", 0..2) => {
                    let index = usize::try_from(random.next() % 4).unwrap();
                    self.file(person, GOVERNED[index], &mut connection, random)
                        .await?;
                }
                ("ana" | "ivy", 2) => self.file(person, AUTO, &mut connection, random).await?,
                ("ana" | "ivy", 3..7) => {
                    let parameters = json!({"Identity": "eva@contoso.example"});
                    self.call(
                        person,
                        "New-MoveRequest",
                        parameters,
                        &mut connection,
                        random,
                    )
                    .await?;
                }
                _ => {
                    let parameters = json!({"Identity": "eva@contoso.example"});
                    self.call(person, "Get-Mailbox", parameters, &mut connection, random)
                        .await?;
                }
            }
        }
    }

    /// Makes a call and notes its answer.
    async fn call(
        &self,
        person: &str,
        cmdlet: &str,
        parameters: Value,
        connection: &mut Connection,
        random: &mut Random,
    ) -> Result<Answer, Gone> {
        let id = Uuid::from_u64_pair(random.next(), random.next()).to_string();
        let body = command(cmdlet, parameters).to_string();
        let mut request = request(person, Method::POST, &invoke_path(), body);
        request
            .headers_mut()
            .insert("client-request-id", id.parse()?);
        let began = Instant::now();
        let answer = connection.send(request).await?;
        let status = answer.status;
        self.ledger().calls.insert(id, Call { status, began });
        self.answers.send_modify(|it| *it += 1);
        Ok(answer)
    }

    async fn file(
        &self,
        person: &'static str,
        task: &str,
        connection: &mut Connection,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let parameters = json!({"Task": task, "Reason": "crash test"});
        let answer = self
            .call(
                person,
                "New-ElevatedAccessRequest",
                parameters,
                connection,
                random,
            )
            .await?;
        if answer.status == StatusCode::OK {
            let id = answer.first("Identity").as_str().unwrap().parse()?;
            let case = Case {
                owner: person,
                auto: task == AUTO,
                approval: Deed::NotTried,
                denial: Deed::NotTried,
                revocation: Deed::NotTried,
            };
            // A pending request for the same scope is given again.
            self.ledger().cases.entry(id).or_insert(case);
        }
        Ok(())
    }

    async fn decide(
        &self,
        person: &str,
        connection: &mut Connection,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let approve = random.below(3) > 0;
        let Some(id) = self.pick(random, Case::is_undecided, |case, deed| {
            case.decide(approve, deed);
        }) else {
            return Ok(());
        };
        let cmdlet = if approve {
            "Approve-ElevatedAccessRequest"
        } else {
            "Deny-ElevatedAccessRequest"
        };
        let answer = self
            .call(person, cmdlet, json!({"RequestId": id}), connection, random)
            .await?;
        if answer.status == StatusCode::OK {
            let done = Deed::Done(Instant::now());
            let mut ledger = self.ledger();
            ledger.cases.get_mut(&id).unwrap().decide(approve, done);
        }
        Ok(())
    }

    async fn revoke(
        &self,
        person: &str,
        connection: &mut Connection,
        random: &mut Random,
    ) -> Result<(), Gone> {
        let picked = self.pick(random, Case::is_revocable, |case, deed| {
            case.revocation = deed;
        });
        let Some(id) = picked else {
            return Ok(());
        };
        let cmdlet = "Revoke-ElevatedAccessAuthorization";
        let answer = self
            .call(person, cmdlet, json!({"RequestId": id}), connection, random)
            .await?;
        if answer.status == StatusCode::OK {
            let done = Deed::Done(Instant::now());
            self.ledger().cases.get_mut(&id).unwrap().revocation = done;
        }
        Ok(())
    }

    /// One of the cases that are `fit`, marked as tried.
    fn pick(
        &self,
        random: &mut Random,
        fit: impl Fn(&Case) -> bool,
        mark: impl Fn(&mut Case, Deed),
    ) -> Option<Uuid> {
        let mut ledger = self.ledger();
        let mut found: Vec<_> = ledger.cases.iter_mut().filter(|it| fit(it.1)).collect();
        let index = random.below(u64::try_from(found.len()).unwrap().max(1));
        let (id, case) = found.get_mut(usize::try_from(index).unwrap())?;
        mark(case, Deed::Tried);
        Some(**id)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

/// Every acknowledged request, decision and revocation is there, as the gateway's own cmdlets tell.
async fn check_cases(gateway: &Gateway, ledger: &Ledger) {
    let mut connection = connect(gateway).await;
    for (id, case) in &ledger.cases {
        let about = format!("{id} {case:?}");
        let mut ask = async |cmdlet: &str| {
            let body = command(cmdlet, json!({"RequestId": id})).to_string();
            let request = request(case.owner, Method::POST, &invoke_path(), body);
            connection.send(request).await.unwrap()
        };
        let shown = ask("Get-ElevatedAccessRequest").await;
        assert_eq!(shown.status, StatusCode::OK, "{about}: {}", shown.text());
        let state = shown.first("RequestStatus");
        let state = state.as_str().unwrap().to_owned();
        let expected: &[&str] = match (case.auto, case.approval, case.denial) {
            (true, _, _) | (_, Deed::Done(_), _) => &["Approved"],
            (_, _, Deed::Done(_)) => &["Denied"],
            (_, Deed::Tried, _) => &["Approved", "Pending"],
            (_, _, Deed::Tried) => &["Denied", "Pending"],
            (_, Deed::NotTried, Deed::NotTried) => &["Pending"],
        };
        assert!(expected.contains(&state.as_str()), "{about}: {state}");
        let grant = ask("Get-ElevatedAccessAuthorization").await;
        if state != "Approved" {
            assert_ne!(grant.status, StatusCode::OK, "{about}: {}", grant.text());
            continue;
        }
        assert_eq!(grant.status, StatusCode::OK, "{about}: {}", grant.text());
        let state = grant.first("State");
        let expected: &[&str] = match case.revocation {
            Deed::NotTried => &["Active"],
            Deed::Tried => &["Active", "Revoked"],
            Deed::Done(_) => &["Revoked"],
        };
        assert!(
            expected.contains(&state.as_str().unwrap()),
            "{about}: {state}"
        );
    }
}

/// Revokes what is left, and sees that the governed cmdlet is blocked.
async fn nobody_has_a_grant_any_more(gateway: &Gateway) {
    let mut connection = connect(gateway).await;
    let mut ask = async |person: &str, cmdlet: &str, parameters: Value| {
        let body = command(cmdlet, parameters).to_string();
        let request = request(person, Method::POST, &invoke_path(), body);
        connection.send(request).await.unwrap()
    };
    let all = ask("amy", "Get-ElevatedAccessAuthorization", json!({})).await;
    assert_eq!(all.status, StatusCode::OK, "{}", all.text());
    let all = all.json();
    let all = all["value"].as_array().unwrap();
    assert!(all.len() < 1000, "more than one listing holds");
    for grant in all.iter().filter(|it| it["State"] == "Active") {
        let id = json!({"RequestId": grant["RequestId"]});
        let revoked = ask("amy", "Revoke-ElevatedAccessAuthorization", id).await;
        assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
    }
    for person in ["ana", "ivy"] {
        let mailbox = json!({"Identity": "eva@contoso.example"});
        let blocked = ask(person, "New-MoveRequest", mailbox).await;
        assert_eq!(blocked.status, StatusCode::FORBIDDEN, "{}", blocked.text());
    }
}

/// Every answered call is on record, nothing ran that was not decided, and each decision came to one end.
fn check_records(gateway: &Gateway, ledger: &Ledger) {
    let records = gateway.records();
    let text = |record: &Value, name: &str| record[name].as_str().map(str::to_owned);
    let mut decisions = HashMap::new();
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    let mut grants = HashMap::new();
    for record in &records {
        match record["kind"].as_str().unwrap() {
            "decision" => {
                if let Some(id) = text(record, "client_request_id") {
                    decisions.insert(id, record);
                }
            }
            "outcome" => {
                *outcomes
                    .entry(text(record, "decision").unwrap())
                    .or_default() += 1;
            }
            "grant.created" => {
                let id = text(record, "grant").unwrap();
                grants.insert(
                    id,
                    text(record, "request").unwrap().parse::<Uuid>().unwrap(),
                );
            }
            _ => {}
        }
    }
    for (id, call) in &ledger.calls {
        let decision = decisions.get(id);
        match call.status {
            StatusCode::OK | StatusCode::FORBIDDEN => {
                assert!(decision.is_some(), "an answer {call:?} without a record");
            }
            other => assert!(
                other == StatusCode::BAD_REQUEST || other == StatusCode::SERVICE_UNAVAILABLE,
                "an unexpected answer: {call:?}"
            ),
        }
        let grant = decision.and_then(|it| text(it, "grant"));
        let case = grant.map(|it| (&ledger.cases, grants[&it]));
        if let Some(Deed::Done(revoked)) = case
            .and_then(|(it, id)| it.get(&id))
            .map(|it| it.revocation)
        {
            // The bound that DESIGN promises on any node.
            let late = call.began.saturating_duration_since(revoked);
            assert!(
                late < Duration::from_secs(1),
                "{late:?} after the revocation: {call:?}"
            );
        }
    }
    let executed = gateway.sample.executed();
    assert!(executed.len() < 10_000, "the journal forgot some");
    let mut seen = HashSet::new();
    for command in executed {
        let id = command.headers["client-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let decision = decisions.get(&id);
        let decision = decision.unwrap_or_else(|| panic!("ran without a decision: {command:?}"));
        assert_eq!(decision["verdict"], "allow", "{decision}");
        let rule = match command.cmdlet {
            "New-MoveRequest" => "granted",
            _ => "ungoverned-allowed",
        };
        assert_eq!(decision["rule"], rule, "{decision}");
        assert!(seen.insert(id), "ran twice: {command:?}");
    }
    assert!(!seen.is_empty());
    for decision in records.iter().filter(|it| it["kind"] == "decision") {
        let count = outcomes
            .get(decision["decision"].as_str().unwrap())
            .copied();
        // A block is complete by itself.
        let expected = usize::from(decision["verdict"] != "block");
        assert_eq!(
            count.unwrap_or_default(),
            expected,
            "outcomes of {decision}"
        );
    }
}

async fn connect(gateway: &Gateway) -> Connection {
    let ca: &Path = &gateway.path("certs/ca.pem");
    Connection::open(gateway.proxy(), ca, Http::One)
        .await
        .unwrap()
}

/// `PORTCULLIS_TEST_SEED`, or a new one.
fn seed() -> u64 {
    if let Ok(text) = std::env::var("PORTCULLIS_TEST_SEED") {
        return text.parse().unwrap();
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::from(now.unwrap().subsec_nanos())
}

/// Says something that is seen even when the test passes.
fn say(text: &str) {
    let mut errors = std::io::stderr();
    writeln!(errors, "{text}").unwrap();
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): enough to choose what to do next.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
