//! Random work, failures and crashes: the chain verifies, and what was acknowledged is there exactly once.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Crash { kept: u64 },
    Decide { calls: usize },
    Event,
    Fail { space: Option<u64>, syncs: u32 },
    Finish,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..2000_u64).prop_map(|kept| Step::Crash { kept }),
        6 => (1..4_usize).prop_map(|calls| Step::Decide { calls }),
        2 => Just(Step::Event),
        1 => (prop::option::of(0..3000_u64), 0..2_u32).prop_map(|(space, syncs)| Step::Fail { space, syncs }),
        3 => Just(Step::Finish),
        1 => Just(Step::Restart),
    ]
}

async fn run(durability: Durability, segment_bytes: u64, steps: Vec<Step>) {
    let mut fixture = Fixture::new(durability);
    fixture.settings.segment_bytes = segment_bytes;
    let mut log = fixture.open();
    log.event(event("gateway.started")).await.unwrap();
    // Decisions that were acknowledged, and how many records of each are due at the end.
    let mut due: HashMap<Uuid, usize> = HashMap::new();
    let mut unfinished = Vec::new();
    let mut events = Vec::new();
    // Acknowledged in buffered mode and possibly not yet on disk.
    let mut volatile = Vec::new();
    for step in steps {
        match step {
            Step::Decide { calls } => {
                let batch = vec![decision(Verdict::Allow); calls];
                if let Ok(ids) = record(&log, &batch).await {
                    due.extend(ids.iter().map(|id| (*id, 1)));
                    volatile.extend(&ids);
                    unfinished.extend(ids);
                }
            }
            Step::Event => {
                let event = event("grant.created");
                let id = event.id;
                if log.event(event).await.is_ok() {
                    events.push(id);
                    volatile.clear();
                }
            }
            Step::Finish => {
                if let Some(id) = unfinished.pop() {
                    log.outcome(outcome(id));
                }
            }
            Step::Fail { space, syncs } => {
                fixture.control.set_space(space);
                fixture.control.fail_syncs(syncs);
                drop(record_one(&log).await.map(|id| {
                    due.insert(id, 1);
                    volatile.push(id);
                }));
                fixture.control.set_space(None);
                fixture.control.fail_syncs(0);
                log.wait_until_failing(false);
            }
            Step::Crash { kept } => {
                fixture.control.crash(kept);
                drop(log.close());
                if durability == Durability::Buffered {
                    // What nobody waited for may be lost with the machine.
                    for id in volatile.drain(..) {
                        due.remove(&id);
                    }
                }
                unfinished.clear();
                fixture.control.revive();
                log = fixture.open();
            }
            Step::Restart => {
                log.close().unwrap();
                volatile.clear();
                unfinished.clear();
                log = fixture.open();
            }
        }
    }
    log.close().unwrap();
    // Whatever was under way is finished, as unknown, by the next start.
    fixture.open().close().unwrap();
    let report = fixture.verify();
    assert_eq!(report.findings, [], "{report:?}");
    let mut decisions: HashMap<String, usize> = HashMap::new();
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    for record in fixture.records() {
        let id = || record["decision"].as_str().unwrap().to_owned();
        match record["kind"].as_str().unwrap() {
            "decision" => *decisions.entry(id()).or_default() += 1,
            "outcome" => *outcomes.entry(id()).or_default() += 1,
            _ => {}
        }
    }
    for (id, count) in due {
        assert_eq!(decisions.get(&id.to_string()), Some(&count), "{id}");
    }
    assert_eq!(decisions, outcomes, "each decision has one outcome");
    for id in events {
        let records = fixture.records();
        let found = records.iter().filter(|it| it["id"] == id.to_string());
        assert_eq!(found.count(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_there_once_and_the_chain_verifies(
        strict in any::<bool>(),
        segment_bytes in prop_oneof![Just(1_u64), Just(5000), Just(1_000_000)],
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let durability = if strict { Durability::Strict } else { Durability::Buffered };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(durability, segment_bytes, steps));
    }
}
