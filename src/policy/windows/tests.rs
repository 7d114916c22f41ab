use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn window(days: &[Weekday], from: &str, to: &str, zone: &str) -> Windows {
    let time = |text: &str| match text {
        "24:00" => NaiveTime::MIN,
        text => NaiveTime::parse_from_str(text, "%H:%M").unwrap(),
    };
    Windows {
        windows: vec![Window {
            days: days.to_vec(),
            from: time(from),
            to: time(to),
            zone: zone.parse().unwrap(),
        }],
    }
}

const WORK: [Weekday; 5] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
];
const WEEK: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

#[test]
fn without_windows_it_is_always_open() {
    let now = at("2026-11-21T15:30:00Z");
    assert!(Windows::default().is_open(now));
    assert_eq!(Windows::default().next_opening(now), Some(now));
}

#[test]
fn hours_are_those_of_the_place() {
    let hours = window(&WORK, "08:00", "18:00", "Europe/Berlin");
    // Winter: an hour ahead of UTC. A Friday, then the weekend.
    assert!(!hours.is_open(at("2026-11-20T06:59:59Z")));
    assert!(hours.is_open(at("2026-11-20T07:00:00Z")));
    assert!(hours.is_open(at("2026-11-20T16:59:59Z")));
    assert!(!hours.is_open(at("2026-11-20T17:00:00Z")));
    let weekend = at("2026-11-21T10:00:00Z");
    assert!(!hours.is_open(weekend));
    assert_eq!(
        hours.next_opening(weekend),
        Some(at("2026-11-23T07:00:00Z"))
    );
    assert_eq!(
        hours.next_opening_text(weekend).unwrap(),
        "Mon 2026-11-23 08:00 (Europe/Berlin), 2026-11-23 07:00 UTC"
    );
    // Summer: two hours.
    assert!(hours.is_open(at("2026-07-20T06:00:00Z")));
    assert_eq!(
        hours.iter().next().unwrap().to_string(),
        "Mon, Tue, Wed, Thu, Fri 08:00–18:00 Europe/Berlin"
    );
}

#[test]
fn a_window_may_end_on_the_next_day_and_a_whole_day_is_a_day() {
    let nights = window(&[Weekday::Fri], "22:00", "04:00", "UTC");
    assert!(nights.is_open(at("2026-11-20T22:00:00Z")));
    assert!(nights.is_open(at("2026-11-21T03:59:00Z")));
    assert!(!nights.is_open(at("2026-11-21T04:00:00Z")));
    assert!(
        !nights.is_open(at("2026-11-20T03:00:00Z")),
        "Thursday's night"
    );
    let day = window(&[Weekday::Sat], "00:00", "24:00", "UTC");
    assert!(day.is_open(at("2026-11-21T00:00:00Z")));
    assert!(day.is_open(at("2026-11-21T23:59:59Z")));
    assert!(!day.is_open(at("2026-11-22T00:00:00Z")));
    assert!(!day.is_open(at("2026-11-20T23:59:59Z")));
}

#[test]
fn changed_clocks_are_followed() {
    // Forward at 02:00 on 2026-03-29: 02:30 is never shown, and the window opens with the leap.
    let short = window(&WEEK, "02:10", "02:50", "Europe/Berlin");
    let night = at("2026-03-29T00:30:00Z");
    assert_eq!(short.next_opening(night), Some(at("2026-03-30T00:10:00Z")));
    let long = window(&WEEK, "02:10", "05:00", "Europe/Berlin");
    assert_eq!(long.next_opening(night), Some(at("2026-03-29T01:00:00Z")));
    // Back from 03:00 to 02:00 on 2026-10-25: the hour comes twice, and so does the window.
    let before = at("2026-10-25T00:00:00Z");
    assert_eq!(short.next_opening(before), Some(at("2026-10-25T00:10:00Z")));
    assert_eq!(
        short.next_opening(at("2026-10-25T00:50:00Z")),
        Some(at("2026-10-25T01:10:00Z"))
    );
    // Begun before the hour that comes twice, it opens again when the clocks go back into it.
    let early = window(&WEEK, "01:00", "02:30", "Europe/Berlin");
    assert_eq!(
        early.next_opening(at("2026-10-25T00:40:00Z")),
        Some(at("2026-10-25T01:00:00Z"))
    );
}

proptest! {
    /// The next opening is open, and nothing before it is.
    #[test]
    fn nothing_is_open_before_the_next_opening(
        days in proptest::sample::subsequence(WEEK.to_vec(), 1..=7),
        from in 0..96_u32,
        to in 0..96_u32,
        zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        start in 0..700_000_i64,
        minute in 0..10_080_i64,
    ) {
        prop_assume!(from != to);
        let time = |quarter: u32| NaiveTime::from_num_seconds_from_midnight_opt(quarter * 900, 0).unwrap();
        let windows = Windows {
            windows: vec![Window { days, from: time(from), to: time(to), zone: zone.parse().unwrap() }],
        };
        // Any minute from 2026 on.
        let now = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(start);
        if let Some(opens) = windows.next_opening(now) {
            prop_assert!(windows.is_open(opens));
            let between = now + TimeDelta::minutes(minute);
            prop_assert!(between >= opens || !windows.is_open(between), "open at {}", between);
        } else {
            prop_assert!(!windows.is_open(now + TimeDelta::minutes(minute)));
        }
    }
}
