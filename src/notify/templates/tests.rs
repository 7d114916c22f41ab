use std::fs;

use crate::model::NoticeKind;
use crate::notify::sample;
use crate::notify::words::tell;

use super::*;

fn told(kind: NoticeKind) -> Told {
    tell(&sample::notice(kind), sample::link().as_ref())
}

/// Templates from these files, and what is wrong with them.
fn opened(files: &[(&str, &str)]) -> (Templates, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (templates, problems) = Templates::open(Some(folder.path()));
    let root = folder.path().display().to_string();
    let problems = problems.iter().map(|it| it.to_string().replace(&root, "T"));
    (templates, problems.collect())
}

#[test]
fn the_built_in_templates_make_a_mail_of_every_kind() {
    let (templates, problems) = Templates::open(None);
    assert!(problems.is_empty());
    for kind in NoticeKind::ALL {
        let told = told(kind);
        for part in Part::ALL {
            let text = templates.fill(part.built_in(), part, &told).unwrap();
            assert!(
                text.contains("Exchange") || kind == NoticeKind::Test,
                "{text}"
            );
        }
    }
}

#[test]
fn the_built_in_mail_reads_well() {
    let (templates, _) = Templates::open(None);
    let mail = templates.render(&told(NoticeKind::RequestFiled));
    insta::assert_snapshot!(format!(
        "{}\n----\n{}\n----\n{}",
        mail.subject, mail.text, mail.html
    ));
    let mut notice = sample::notice(NoticeKind::RequestDenied);
    notice.comment = None;
    let without_link = templates.render(&tell(&notice, None));
    insta::assert_snapshot!(without_link.text);
}

#[test]
fn html_is_escaped_wherever_it_comes_from() {
    let (templates, _) = Templates::open(None);
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    notice.requester = "<script>alert(1)</script>".to_owned();
    notice.reason = "<a href=\"https://evil.example\">click & win</a>".to_owned();
    notice.comment = Some("<b>'\"".to_owned());
    let mail = templates.render(&tell(&notice, sample::link().as_ref()));
    assert!(!mail.html.contains("<script") && !mail.html.contains("<a href=\"https://evil"));
    assert!(mail.html.contains("&lt;script&gt;") && mail.html.contains("click &amp; win"));
    assert!(mail.text.contains("<script>alert(1)</script>"));
}

#[test]
fn the_operators_templates_take_the_place_of_the_built_in_ones() {
    let (templates, problems) = opened(&[
        ("subject.txt", "[PAM] {{ headline }}"),
        ("request-denied.txt", "No: {{ summary }}"),
        ("message.html", "<p>{{ reason | join(' / ') }}</p>"),
        (".hidden", "{{"),
    ]);
    assert_eq!(problems, [""; 0]);
    let denied = templates.render(&told(NoticeKind::RequestDenied));
    assert!(
        denied.subject.starts_with("[PAM] Denied: "),
        "{}",
        denied.subject
    );
    assert!(denied.text.starts_with("No: bo@"), "{}", denied.text);
    assert!(denied.html.starts_with("<p>Cy moves"), "{}", denied.html);
    let filed = templates.render(&told(NoticeKind::RequestFiled));
    assert!(filed.text.contains("Sign in to decide"), "{}", filed.text);
}

#[test]
fn a_broken_template_is_told_and_the_built_in_one_used() {
    let (templates, problems) = opened(&[
        ("message.txt", "one\n{{ sumary }}\n"),
        ("message.html", "{% for x in facts %}"),
        (
            "subject.txt",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        ),
        ("request-filed.html", "{{ 'x' * 300000 }}"),
        ("request-field.txt", "hello"),
        ("request-denied.html", "{{ headline | nosuchfilter }}"),
    ]);
    insta::assert_snapshot!(problems.join("\n"), @"
    the template `T/message.html` is broken in line 1: syntax error: unexpected end of input, expected end of block
    the template `T/message.txt` is broken in line 2: undefined value
    the template `T/request-denied.html` is broken in line 1: unknown filter: filter nosuchfilter is unknown
    `T/request-field.txt` is no template's name: there are `subject.txt`, `message.txt` and `message.html`, and for one kind of event, such as `request-filed`, `request-filed.subject.txt`, `request-filed.txt` and `request-filed.html`
    the template `T/request-filed.html` is broken: failed to write output: I/O error during rendering: it makes more than 256 KiB
    the template `T/subject.txt` is broken in line 1: engine ran out of fuel
    ");
    let mail = templates.render(&told(NoticeKind::RequestFiled));
    let built_in = Templates::open(None)
        .0
        .render(&told(NoticeKind::RequestFiled));
    assert_eq!(mail, built_in);
}

#[test]
fn a_template_that_fails_on_one_notice_does_not_stop_it() {
    // It stands the sample, in which there is always a reason, and fails where there is none.
    let (failing, problems) = opened(&[(
        "request-filed.txt",
        "{% if not reason %}{{ nothing.at_all }}{% endif %}mine",
    )]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(failing.render(&told(NoticeKind::RequestFiled)).text, "mine");
    let mut silent = told(NoticeKind::RequestFiled);
    silent.reason.clear();
    let text = failing.render(&silent).text;
    assert!(text.contains("Sign in to decide"), "{text}");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let problems = template_problems(Path::new("/nonexistent/templates"));
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "cannot read `/nonexistent/templates`"
    );
}
