//! What one command costs inside the gateway: reading it, deciding it, writing it again, and its two audit records.
//!
//! `cargo bench --bench core`. Figures and what they are compared with: docs/performance.md.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up must stop"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method};
use portcullis::audit::{AuditLog, CallContext, Outcome, Recordable, Recorded};
use portcullis::config;
use portcullis::dialect::exchange_rest::{self, Call, Operation, Reading};
use portcullis::dialect::psrp::pipeline::Catalogue;
use portcullis::dialect::psrp::session::{Context, Limits, Shell, Step, Subject};
use portcullis::dialect::psrp::soap::{self, Peer};
use portcullis::model::{Grant, Interner, Pins, Principal, PrincipalKind};
use portcullis::policy::{self, Endpoint, Facts, Mode, PolicyFile, PolicySet, Ungoverned, decide};
use portcullis::state::GrantTable;
use uuid::Uuid;

/// Of the recorded session: it is opened,
const CREATE: &str = "001-Create.request.http";
/// and a cmdlet is run in it.
const COMMAND: &str = "003-Command.request.http";
const TENANT: &str = "0f5e1a6c-5b0c-4a8e-9d0e-0a1b2c3d4e5f";
const BODY: &str = r#"{"CmdletInput":{"CmdletName":"Set-MailboxPolicy12","Parameters":{"Identity":"user123456@example.com","ResultSize":"Unlimited","ForwardingAddress":null,"DeliverToMailboxAndForward":true}}}"#;

fn read(body: &str) -> Call {
    let workload = "Exchange".parse().unwrap();
    let reading = Reading {
        workload: &workload,
        path: "/adminapi",
        authorities: &[],
    };
    let path = format!("/adminapi/beta/{TENANT}/InvokeCommand");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    match exchange_rest::read(&Method::POST, &path, &headers, body.as_bytes(), &reading).unwrap() {
        Operation::Single(call) => call,
        Operation::Batch(_) => unreachable_batch(),
    }
}

fn unreachable_batch() -> Call {
    std::process::abort()
}

fn principal(interner: &Interner, number: usize) -> Principal {
    let name = format!("user{number:04}@tenant.example");
    let key = format!("{name}@{TENANT}");
    Principal {
        kind: PrincipalKind::User,
        id: interner.principal(&key),
        key,
        name,
        groups: Vec::new(),
        tenant: None,
        identity: "entra".to_owned(),
    }
}

/// `count` exact policies, and a tenth as many patterns that do not match the benchmark's command.
fn policies(count: usize, interner: &Interner) -> PolicySet {
    let mut text = String::from("[[group]]\nname = \"g\"\nmembers = [\"amy@tenant.example\"]\n");
    for number in 0..count {
        let task = if number % 10 == 9 {
            format!("Exchange\\Remove-Thing{number}*")
        } else {
            format!("Exchange\\Set-MailboxPolicy{number}")
        };
        writeln!(
            text,
            "[[policy]]\ntask = '{task}'\napproval = \"manual\"\napprovers = [\"g\"]"
        )
        .unwrap();
    }
    let file = PolicyFile {
        path: "bench.toml".to_owned(),
        text,
    };
    PolicySet::load(&[file], &[], None, interner).expect("the benchmark's policies are valid")
}

/// `count` active grants, spread over a thousand people and the policies; the first person holds the benchmark's.
fn grants(count: usize, set: &PolicySet, interner: &Interner, now: DateTime<Utc>) -> GrantTable {
    let table = GrantTable::default();
    let scopes: Vec<String> = set
        .policies()
        .iter()
        .map(|it| it.scope.folded.clone())
        .collect();
    for number in 0..count {
        let holder = principal(interner, number % 1000);
        let policy = if number == 0 {
            "exchange\\set-mailboxpolicy12"
        } else {
            &scopes[number / 1000 % scopes.len()]
        };
        table
            .insert(
                &Grant {
                    id: Uuid::from_u128(number as u128),
                    request: Uuid::from_u128(number as u128),
                    principal_key: holder.key,
                    principal_name: holder.name,
                    policy: policy.to_owned(),
                    task: None,
                    starts: now - TimeDelta::hours(1),
                    ends: now + TimeDelta::hours(1),
                    approved_by: Vec::new(),
                    created: now,
                    pins: Pins::default(),
                    uses: None,
                    used: 0,
                    break_glass: false,
                    closed: None,
                    reviewed: None,
                    version: 0,
                },
                interner,
            )
            .expect("a grant without pins");
    }
    table
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Bytes(BODY.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(read(black_box(BODY))));
    });
    let call = read(BODY);
    group.bench_function("write", |bencher| {
        bencher.iter(|| black_box(exchange_rest::write(black_box(&call))));
    });
    group.finish();
}

fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (policy_count, grant_count) in [
        (30, 1_000),
        (30, 1_000_000),
        (10_000, 1_000),
        (10_000, 1_000_000),
    ] {
        let interner = Interner::default();
        let now = Utc::now();
        let set = policies(policy_count, &interner);
        let table = grants(grant_count, &set, &interner, now);
        let caller = principal(&interner, 0);
        let facts = Facts {
            policies: &set,
            mode: Mode::Enforce,
            endpoint: Endpoint {
                ungoverned: Ungoverned::Block,
                report_only: false,
            },
            principal: &caller,
            source: std::net::IpAddr::from([127, 0, 0, 1]),
            grants: &table,
            now,
        };
        let call = read(BODY);
        let name = BenchmarkId::new(
            format!("{policy_count} policies"),
            format!("{grant_count} grants"),
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let judgement = decide(black_box(&call), |call| call.subject(), &facts);
                assert!(black_box(judgement.decision()).grant.is_some());
            });
        });
        // The same with a thousand people in turn, so that what is looked up is seldom in the processor's caches.
        let callers: Vec<Principal> = (0..1000).map(|it| principal(&interner, it)).collect();
        let name = BenchmarkId::new(
            format!("{policy_count} policies"),
            format!("{grant_count} grants, 1000 callers"),
        );
        group.bench_function(name, |bencher| {
            let mut turn = callers.iter().cycle();
            bencher.iter(|| {
                let facts = Facts {
                    principal: turn.next().unwrap(),
                    ..facts
                };
                black_box(
                    decide(black_box(&call), |call| call.subject(), &facts)
                        .decision()
                        .verdict,
                )
            });
        });
    }
    group.finish();
}

fn audit(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let settings = config::Audit {
        directory: directory.path().to_owned(),
        durability: config::Durability::Buffered,
        node: "bench".to_owned(),
        segment_bytes: 1 << 30,
        segment_age: Duration::from_hours(1),
        redact: Vec::new(),
    };
    let (log, _) = AuditLog::open(&settings).unwrap();
    let interner = Interner::default();
    let caller = Arc::new(principal(&interner, 0));
    let set = policies(30, &interner);
    let table = GrantTable::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let call = read(BODY);
    criterion.bench_function("audit/decision and outcome, buffered", |bencher| {
        bencher.iter(|| {
            let now = Utc::now();
            let facts = Facts {
                policies: &set,
                mode: Mode::ReportOnly,
                endpoint: Endpoint {
                    ungoverned: Ungoverned::Allow,
                    report_only: false,
                },
                principal: &caller,
                source: std::net::IpAddr::from([127, 0, 0, 1]),
                grants: &table,
                now,
            };
            let context = CallContext {
                request_id: Uuid::now_v7(),
                client_request_id: None,
                principal: Arc::clone(&caller),
                source: std::net::IpAddr::from([127, 0, 0, 1]),
                endpoint: "/adminapi".into(),
                tenant: Some(TENANT.to_owned()),
                policy_set: set.shared_hash(),
                decided: now,
            };
            let judgement = decide(&call, |call| call.subject(), &facts);
            let recorded = runtime.block_on(async {
                loop {
                    // Where the disk is slower than the benchmark, the queue's bound is part of what is measured.
                    match log
                        .record(
                            &context,
                            vec![decide(&call, |call| call.subject(), &facts)],
                            |call| Recordable {
                                subject: call.subject(),
                                is_page: false,
                                is_trial: false,
                            },
                        )
                        .await
                    {
                        Ok(recorded) => break recorded,
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
            black_box(judgement);
            if let Some(Recorded::Permitted(permit)) = recorded.first() {
                log.outcome(Outcome {
                    decision_id: permit.decision_id(),
                    at: now,
                    status: Some(200),
                    upstream_status: Some(200),
                    result: "ok",
                    duration: Duration::from_millis(1),
                });
            }
        });
    });
    log.close().unwrap();
}

/// One request of a recorded session: what its file holds behind the HTTP head.
fn recorded(name: &str) -> Vec<u8> {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/psrp/01-cmdlet");
    let bytes = std::fs::read(folder.join(name)).unwrap();
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    bytes[end + 4..].to_vec()
}

/// A pipeline of PowerShell remoting: its envelope is read, what it means in its session, its command decided, and all written anew.
fn remoting(criterion: &mut Criterion) {
    const CONFIGURATION: &str = "Microsoft.Exchange";
    const OWNER: &str = "local:alice";
    let interner = Interner::default();
    let set = policies(30, &interner);
    let table = grants(1_000, &set, &interner, Utc::now());
    let caller = principal(&interner, 0);
    let facts = Facts {
        policies: &set,
        mode: Mode::Enforce,
        endpoint: Endpoint {
            ungoverned: Ungoverned::Allow,
            report_only: false,
        },
        principal: &caller,
        source: std::net::IpAddr::from([127, 0, 0, 1]),
        grants: &table,
        now: Utc::now(),
    };
    let workload = "Exchange".parse().unwrap();
    let catalogue = Catalogue::default();
    let context = Context {
        workload: &workload,
        catalogue: &catalogue,
    };
    let peer = Peer {
        url: "https://mbx1.corp.example/powershell",
        configuration: CONFIGURATION,
        machine: "gate",
        owner: "alice",
    };
    let create = soap::read_request(&recorded(CREATE), CONFIGURATION).unwrap();
    let soap::Operation::Create { creation, .. } = &create.operation else {
        std::process::abort();
    };
    let open = || {
        let opened = Shell::open(create.shell, None, creation, OWNER, Limits::default());
        opened.unwrap().0
    };
    let body = recorded(COMMAND);
    let mut group = criterion.benchmark_group("remoting");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("read, decide and write a pipeline", |bencher| {
        bencher.iter_batched(
            open,
            |mut shell| {
                let request = soap::read_request(black_box(&body), CONFIGURATION).unwrap();
                let step = shell.step(OWNER, &request, &context).unwrap();
                let Step::Decide(proposal) = step else {
                    std::process::abort();
                };
                let Subject::Commands(commands) = proposal.subject() else {
                    std::process::abort();
                };
                for command in commands {
                    let judgement = decide(&**command, |it| policy::Subject::Command(it), &facts);
                    black_box(judgement.decision());
                }
                let go = shell.permitted(*proposal);
                let written: Vec<_> = go
                    .operations
                    .into_iter()
                    .map(|operation| {
                        let request = soap::Request {
                            operation,
                            ..request.clone()
                        };
                        soap::write_request(&request, &peer)
                    })
                    .collect();
                (shell, black_box(written))
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, wire, decision, audit, remoting);
criterion_main!(benches);
