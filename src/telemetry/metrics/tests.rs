use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::policy::{Rule, Verdict};

fn page_of_a_busy_gateway() -> String {
    let metrics = Metrics::new();
    let endpoint = metrics.endpoint("/adminapi");
    endpoint.decided(Verdict::Block, Rule::NeedsApproval);
    endpoint.answered(StatusClass::of(Some(403)), Duration::from_millis(2));
    endpoint.upstream(Duration::from_secs(1000));
    metrics.refused(RefusedReason::SignIn);
    metrics.set_grants(3);
    metrics.set_audit_records(2);
    metrics.set_audit_failing(true);
    metrics.policies_reloaded(ReloadResult::Rejected);
    let delivered = Delivered {
        dead: 1,
        failed: 4,
        sent: 9,
    };
    metrics.set_notifications("mail", delivered);
    metrics.set_notifications_waiting(2, 1);
    let _open = metrics.connection();
    drop(metrics.connection());
    metrics.render().unwrap()
}

fn value(page: &str, series: &str) -> Option<String> {
    let line = page.lines().find_map(|it| it.strip_prefix(series));
    line.map(|it| it.trim().to_owned())
}

#[test]
fn what_is_counted_is_on_the_page() {
    let page = page_of_a_busy_gateway();
    for (series, expected) in [
        (
            "portcullis_decisions_total{endpoint=\"/adminapi\",verdict=\"block\",rule=\"needs-approval\"}",
            "1",
        ),
        (
            "portcullis_decisions_total{endpoint=\"/adminapi\",verdict=\"allow\",rule=\"granted\"}",
            "0",
        ),
        (
            "portcullis_requests_total{endpoint=\"/adminapi\",status=\"4xx\"}",
            "1",
        ),
        (
            "portcullis_request_seconds_bucket{le=\"0.001\",endpoint=\"/adminapi\"}",
            "0",
        ),
        (
            "portcullis_request_seconds_bucket{le=\"0.0025\",endpoint=\"/adminapi\"}",
            "1",
        ),
        (
            "portcullis_request_seconds_sum{endpoint=\"/adminapi\"}",
            "0.002",
        ),
        (
            "portcullis_upstream_seconds_bucket{le=\"960.0\",endpoint=\"/adminapi\"}",
            "0",
        ),
        (
            "portcullis_upstream_seconds_bucket{le=\"+Inf\",endpoint=\"/adminapi\"}",
            "1",
        ),
        (
            "portcullis_upstream_seconds_count{endpoint=\"/adminapi\"}",
            "1",
        ),
        ("portcullis_refused_total{reason=\"sign-in\"}", "1"),
        ("portcullis_grants", "3"),
        ("portcullis_audit_records_total", "2"),
        ("portcullis_audit_failing", "1"),
        ("portcullis_connections", "1"),
        ("portcullis_policy_reloads_total{result=\"rejected\"}", "1"),
        (
            "portcullis_notifications_total{channel=\"mail\",result=\"failed\"}",
            "4",
        ),
        (
            "portcullis_notifications_total{channel=\"mail\",result=\"sent\"}",
            "9",
        ),
        ("portcullis_notifications_pending", "2"),
        ("portcullis_notifications_dead", "1"),
        (
            concat!(
                "portcullis_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"}"
            ),
            "1",
        ),
    ] {
        assert_eq!(
            value(&page, series).as_deref(),
            Some(expected),
            "{series}\n{page}"
        );
    }
}

/// What `promtool check metrics` and Prometheus' text format ask for: one TYPE and HELP a family before its samples, names of
/// one alphabet, `_total` on counters and only there, and no series twice.
#[test]
fn the_page_is_well_formed() {
    let page = page_of_a_busy_gateway();
    assert!(page.ends_with('\n'));
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, text) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            match what {
                "TYPE" => assert_eq!(types.insert(name.to_owned(), text.to_owned()), None),
                "HELP" => {
                    assert!(helped.insert(name.to_owned()));
                    assert!(
                        text.len() > 10 && text.ends_with('.') && !text.ends_with(".."),
                        "{line}"
                    );
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name_and_labels, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<f64>().unwrap() >= 0.0);
        assert!(series.insert(name_and_labels.to_owned()), "twice: {line}");
        let name = name_and_labels.split('{').next().unwrap();
        assert!(
            name.starts_with("portcullis_")
                && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
        );
        let (family, kind) = types
            .iter()
            .filter(|it| name.starts_with(it.0.as_str()))
            .max_by_key(|it| it.0.len())
            .unwrap_or_else(|| panic!("no TYPE before {line}"));
        let suffix = name.strip_prefix(family.as_str()).unwrap();
        assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        match kind.as_str() {
            "counter" | "gauge" => assert_eq!(suffix, ""),
            "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix)),
            other => panic!("{other}"),
        }
    }
    assert_eq!(
        types.keys().collect::<Vec<_>>(),
        helped.iter().collect::<Vec<_>>()
    );
}

#[test]
fn buckets_hold_what_is_below_them_too() {
    let metrics = Metrics::new();
    let endpoint = metrics.endpoint("/a");
    for millis in [0, 1, 2, 100, 2_000_000] {
        endpoint.upstream(Duration::from_millis(millis));
    }
    let page = metrics.render().unwrap();
    let counts: Vec<u64> = page
        .lines()
        .filter(|it| it.starts_with("portcullis_upstream_seconds_bucket"))
        .map(|it| it.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(counts.is_sorted());
    assert_eq!(counts.first(), Some(&2));
    assert_eq!(counts.last(), Some(&5));
}
