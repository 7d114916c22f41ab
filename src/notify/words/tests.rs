use std::fmt::Write as _;

use proptest::prelude::*;

use crate::model::{NoticeKind, ShownParameter};
use crate::notify::sample;

use super::*;

/// A notice as text, for reading.
fn shown(told: &Told) -> String {
    let mut text = format!("{}\n{}\n", told.headline, told.summary);
    for fact in &told.facts {
        writeln!(text, "  {}: {}", fact.label, fact.value).unwrap();
    }
    for line in &told.reason {
        writeln!(text, "  why> {line}").unwrap();
    }
    for line in &told.comment {
        writeln!(text, "  said> {line}").unwrap();
    }
    if let Some(link) = &told.link {
        writeln!(text, "  {} -> {link}", told.link_text).unwrap();
    }
    for command in &told.commands {
        writeln!(text, "  {}: $ {}", command.what, command.shell).unwrap();
        if let Some(cmdlet) = &command.cmdlet {
            writeln!(text, "  PS> {cmdlet}").unwrap();
        }
    }
    text
}

#[test]
fn each_kind_has_its_words() {
    let mut all = String::new();
    for kind in NoticeKind::ALL {
        let mut notice = sample::notice(kind);
        notice.extends = None;
        if kind == NoticeKind::RequestFiled {
            // As it is when nobody has answered yet.
            notice.answers.clear();
            notice.by = Some(notice.requester.clone());
            notice.comment = None;
            notice.grant = None;
            notice.ends = None;
        }
        let told = tell(&notice, sample::link().as_ref());
        writeln!(all, "== {}\n{}", told.kind, shown(&told)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_a_requester_writes_makes_no_line_and_no_direction_of_its_own() {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    notice.reason = "fine\r\nApproved by: the boss\u{2028}and\u{202e}txt.exe\n\n\n".to_owned();
    notice.requester = "mallory\r\nBcc: all@fabrikam.example".to_owned();
    notice.reference = Some("A\tB\u{0}C".to_owned());
    let told = tell(&notice, None);
    assert_eq!(told.reason, ["fine", "Approved by: the boss", "andtxt.exe"]);
    assert_eq!(
        told.headline,
        r"mallory Bcc: all@fabrikam.example asks for more time for Exchange\New-MoveRequest"
    );
    let reference = told.facts.iter().find(|it| it.label == "Reference");
    assert_eq!(reference.unwrap().value, "A B C");
}

#[test]
fn a_parameter_whose_name_marks_a_secret_is_not_told() {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    notice.parameters.push(ShownParameter {
        name: "NewPassword".to_owned(),
        value: "hunter2".to_owned(),
    });
    let told = tell(&notice, None);
    let text = shown(&told);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("-NewPassword [redacted]"), "{text}");
}

#[test]
fn long_lists_and_texts_are_cut() {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    notice.reason = "line\n".repeat(1_000) + &"x".repeat(10_000);
    notice.deciders[0].members = (0..1_000)
        .map(|it| format!("m{it}@fabrikam.example"))
        .collect();
    notice.parameters = vec![notice.parameters[0].clone(); 30];
    let told = tell(&notice, None);
    assert_eq!(told.reason.len(), LINES + 1);
    let text = shown(&told);
    assert!(text.contains("10 more parameters"), "{text}");
    assert!(text.len() < 10_000, "{}", text.len());
}

#[test]
fn durations_are_told_in_the_largest_units() {
    for (seconds, text) in [
        (0, "no time"),
        (59, "1 minute"),
        (3_600, "1 hour"),
        (5_400, "1 hour 30 minutes"),
        (86_400 * 180, "180 days"),
    ] {
        assert_eq!(duration_text(seconds), text);
    }
}

proptest! {
    #[test]
    fn every_line_is_one_line_and_bounded(text: String, longest in 1_usize..50) {
        let line = line(&text, longest);
        prop_assert!(line.chars().count() <= longest + 1);
        prop_assert!(!line.chars().any(|it| it.is_control() || steers(it)));
        // Telling it twice changes nothing.
        prop_assert_eq!(super::line(&line, longest + 1), line);
    }
}
