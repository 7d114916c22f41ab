use proptest::prelude::*;

use super::*;

#[track_caller]
fn all(read: impl Fn(&str) -> Option<String>, cases: &[(&str, &str)]) {
    for (text, canonical) in cases {
        assert_eq!(read(text).as_deref(), Some(*canonical), "{text}");
        assert_eq!(read(canonical).as_deref(), Some(*canonical), "{canonical}");
    }
}

#[track_caller]
fn none(read: impl Fn(&str) -> Option<String>, cases: &[&str]) {
    for text in cases {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn numbers_have_the_servers_spelling() {
    all(
        double,
        &[
            ("1.5", "1.5"),
            ("100.0", "100"),
            ("007", "7"),
            ("1E2", "100"),
            ("1.0E+02", "100"),
            ("-0", "0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1E-05"),
            ("123456789012345", "123456789012345"),
            ("1000000000000000", "1E+15"),
            ("-1.25E-7", "-1.25E-07"),
            ("1.7976931348623E+308", "1.7976931348623E+308"),
        ],
    );
    all(single, &[("0.1", "0.1"), ("1E7", "1E+07"), ("1E1", "10")]);
    for odd in [
        "INF", "-INF", "NaN", "", "1e5", "+1", "1E400", ".5", "5.", "inf", "0x10", " 1", "1,5",
    ] {
        none(double, &[odd]);
        none(single, &[odd]);
        none(decimal, &[odd]);
    }
    // The server shows fewer digits than these have.
    none(double, &["0.30000000000000004", "100.00000000000001"]);
    none(single, &["16777216"]);
    all(
        decimal,
        &[
            ("007.50", "7.50"),
            ("-00", "0"),
            ("-0.0", "0.0"),
            ("-01.10", "-1.10"),
        ],
    );
    none(decimal, &["1E2", "0.00000000000000000000000000001"]);
}

#[test]
fn versions_dates_and_spans_have_the_servers_spelling() {
    all(version, &[("010.0", "10.0"), ("1.02.3.0", "1.2.3.0")]);
    none(
        version,
        &["1", "1.2.3.4.5", "1.", "1.-2", "1.2147483648", "1. 2"],
    );
    all(
        date_time,
        &[
            ("2026-11-21T22:04:34Z", "2026-11-21T22:04:34Z"),
            ("2026-11-21T22:04:34.500Z", "2026-11-21T22:04:34.5Z"),
            ("2026-11-21T22:04:34.000", "2026-11-21T22:04:34"),
            ("2024-02-29T00:00:00+14:00", "2024-02-29T00:00:00+14:00"),
        ],
    );
    none(
        date_time,
        &[
            "2026-11-21",
            "22:04:34",
            "2026-02-29T00:00:00",
            "2026-11-21T24:00:00",
            "2026-11-21T22:04:60",
            "2026-11-21T22:04:34.00000001Z",
            "2026-11-21T22:04:34+14:01",
            "0000-01-01T00:00:00",
            "2026-1-1T00:00:00",
            "2026-11-21T22:04:34ZZ",
            "2026-11-21T22:04:34.Z",
            "2026-11-21T22:04",
        ],
    );
    let spans = |text: &str| duration(text).map(|it| format!("{} {}", it.written, it.shown));
    for (text, both) in [
        ("P1DT2H3M4.5S", "P1DT2H3M4.5S 1.02:03:04.5000000"),
        ("PT3600S", "PT1H 01:00:00"),
        ("PT0060M", "PT1H 01:00:00"),
        ("P0D", "PT0S 00:00:00"),
        ("-PT0S", "PT0S 00:00:00"),
        ("-P1D", "-P1D -1.00:00:00"),
        ("PT0.05S", "PT0.05S 00:00:00.0500000"),
        ("P36500D", "P36500D 36500.00:00:00"),
    ] {
        assert_eq!(spans(text).as_deref(), Some(both), "{text}");
    }
    none(
        spans,
        &[
            "",
            "P",
            "PT",
            "P1DT",
            "1D",
            "P1Y",
            "P1M",
            "PT1M1H",
            "PT5",
            "P1",
            "PT.5S",
            "PT1.S",
            "PT0.00000001S",
            "P99999999999D",
            "PT1S1",
            "--P1D",
        ],
    );
}

proptest! {
    #[test]
    fn what_is_canonical_stays_as_it_is(text in "-?[0-9]{1,18}(\\.[0-9]{1,12})?(E[+-]?[0-9]{1,3})?", other in "-?P([0-9]{1,6}D)?(T([0-9]{1,5}H)?([0-9]{1,4}M)?([0-9]{1,4}(\\.[0-9]{1,7})?S)?)?") {
        for read in [double, single, decimal] {
            if let Some(once) = read(&text) {
                prop_assert_eq!(read(&once), Some(once));
            }
        }
        if let Some(once) = double(&text) {
            let (read, written): (f64, f64) = (text.parse().unwrap(), once.parse().unwrap());
            prop_assert!(read.to_bits() == written.to_bits() || read == 0.0 && written == 0.0);
        }
        if let Some(once) = duration(&other) {
            prop_assert_eq!(duration(&once.written), Some(once));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,40}") {
        let _ = (double(&text), single(&text), decimal(&text), version(&text), date_time(&text), duration(&text));
    }
}
