use uuid::Uuid;

use crate::model::{Notice, NoticeKind};
use crate::notify::sample;
use crate::notify::templates::Templates;
use crate::notify::words::tell;

use super::*;

fn written(notice: &Notice) -> String {
    let (templates, _) = Templates::open(None);
    let words = templates.render(&tell(notice, sample::link().as_ref()));
    let outgoing = Outgoing {
        id: Uuid::from_u128(7),
        notice,
    };
    let from = "Portcullis <portcullis@fabrikam.example>".parse().unwrap();
    let to = "bo@fabrikam.example".parse().unwrap();
    let message = compose(&outgoing, words, &from, &to).unwrap();
    String::from_utf8(message.formatted()).unwrap()
}

#[test]
fn a_mail_has_the_headers_that_keep_it_in_its_place() {
    let mail = written(&sample::notice(NoticeKind::RequestFiled));
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    insta::assert_snapshot!(head.replace("\r\n", "\n"), @"
    From: Portcullis <portcullis@fabrikam.example>
    To: bo@fabrikam.example
    Subject: amy@fabrikam.example asks for more time for
     Exchange\\New-MoveRequest
    Date: Fri, 15 Jan 2027 08:00:00 +0000
    Message-ID: <00000000-0000-0000-0000-000000000007@fabrikam.example>
    References: <request-00000000-0000-0000-0000-000000000000@fabrikam.example>
    Auto-Submitted: auto-generated
    X-Auto-Response-Suppress: All
    X-Portcullis-Event: request-filed
    MIME-Version: 1.0
    Content-Type: multipart/alternative;
     boundary=\"=_00000000000000000000000000000007\"
    ");
    assert!(
        !mail.replace("\r\n", "").contains(['\r', '\n']),
        "lines end in CRLF"
    );
}

#[test]
fn a_mail_is_the_same_bytes_each_time() {
    let notice = sample::notice(NoticeKind::RequestApproved);
    assert_eq!(written(&notice), written(&notice));
}

#[test]
fn nothing_that_a_requester_writes_becomes_a_header() {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    for attack in [
        "x\r\nBcc: all@fabrikam.example",
        "x\nBcc: all@fabrikam.example\n\nbody",
        "x\r\n\r\n--=_00000000000000000000000000000007--",
        "é\r\nBcc: all@fabrikam.example",
    ] {
        notice.requester = attack.to_owned();
        notice.task = Some(attack.to_owned());
        notice.reason = attack.to_owned();
        let mail = written(&notice);
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|it| !it.starts_with([' ', '\t']))
            .filter_map(|it| it.split_once(':'))
            .map(|it| it.0)
            .collect();
        assert_eq!(names.len(), 11, "{head}");
        assert!(!names.contains(&"Bcc"), "{head}");
        // Two parts and one end, each at the beginning of a line.
        assert_eq!(mail.matches("\r\n--=_").count(), 3, "{body}");
    }
}

#[test]
fn a_subject_beyond_ascii_is_encoded() {
    let mut notice = sample::notice(NoticeKind::RequestFiled);
    notice.requester = "Zoë Müller".to_owned();
    let mail = written(&notice);
    let subject = mail.lines().find(|it| it.starts_with("Subject:")).unwrap();
    assert!(
        subject.is_ascii() && subject.contains("=?utf-8?"),
        "{subject}"
    );
}
