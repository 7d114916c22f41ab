//! `[notify]`, `[notify.smtp]` and `[[webhook]]`.

use std::time::Duration;

use crate::config::tests::{LEAST, config, problems};
use crate::config::{SmtpTls, WebhookShape, WebhookUrl};
use crate::model::NoticeKind;

fn with(notify: &str) -> String {
    format!("{LEAST}\n{notify}\n")
}

#[test]
fn without_a_section_nobody_is_told() {
    let config = config(LEAST, &[]).notify;
    assert!(config.smtp.is_none() && config.webhooks.is_empty());
    assert_eq!(config.give_up_after, Duration::from_hours(72));
}

#[test]
fn ways_to_tell_people_are_read() {
    let text = with(
        r#"
        [notify]
        link = "https://pam.fabrikam.example/console"
        remind_after = "1h"
        escalate_after = "4h"
        escalate_to = ["duty@fabrikam.example"]
        [notify.smtp]
        server = "Mail.fabrikam.example"
        from = "Portcullis <portcullis@fabrikam.example>"
        username = "portcullis"
        password_file = "secrets/smtp"
        domain = "@fabrikam.example"
        [[webhook]]
        name = "soc"
        url = "https://hooks.fabrikam.example/x"
        secret_file = "secrets/soc"
        events = ["break-glass-taken", "grant-revoked"]
        [[webhook]]
        name = "chat"
        url_file = "secrets/chat-url"
        shape = "slack"
        "#,
    );
    let notify = config(&text, &[]).notify;
    let smtp = notify.smtp.unwrap();
    assert_eq!(
        (smtp.host.as_str(), smtp.port),
        ("mail.fabrikam.example", 587)
    );
    assert_eq!(smtp.tls, SmtpTls::StartTls);
    assert_eq!(smtp.domain.as_deref(), Some("fabrikam.example"));
    assert!(smtp.sign_in.unwrap().1.ends_with("secrets/smtp"));
    let [soc, chat] = notify.webhooks.as_slice() else {
        panic!("not two webhooks");
    };
    assert_eq!(
        soc.events,
        [NoticeKind::BreakGlassTaken, NoticeKind::GrantRevoked]
    );
    assert_eq!(chat.events, NoticeKind::ALL);
    assert_eq!(chat.shape, WebhookShape::Slack);
    assert!(matches!(chat.url, WebhookUrl::File(_)));
    assert!(
        !format!("{soc:?}").contains("/x"),
        "a webhook's path is a secret"
    );
}

#[test]
fn a_server_has_the_usual_port_of_its_encryption() {
    for (server, tls, host, port) in [
        (
            "mail.fabrikam.example",
            "starttls",
            "mail.fabrikam.example",
            587,
        ),
        (
            "mail.fabrikam.example",
            "implicit",
            "mail.fabrikam.example",
            465,
        ),
        ("127.0.0.1", "off", "127.0.0.1", 25),
        ("localhost:2525", "off", "localhost", 2525),
        ("[::1]:2525", "off", "::1", 2525),
    ] {
        let text = with(&format!(
            "[notify.smtp]\nserver = \"{server}\"\ntls = \"{tls}\"\nfrom = \"p@fabrikam.example\""
        ));
        let smtp = config(&text, &[]).notify.smtp.unwrap();
        assert_eq!((smtp.host.as_str(), smtp.port), (host, port));
    }
}

#[test]
fn what_is_wrong_is_told_all_at_once() {
    let text = with(
        r#"
        [notify]
        link = "ftp://pam.fabrikam.example"
        escalate_to = ["nobody"]
        [notify.smtp]
        server = "mail.fabrikam.example:0"
        tls = "maybe"
        from = "no address"
        username = "portcullis"
        domain = "not a domain"
        timeout = "1h"
        password = "hunter2"
        [[webhook]]
        name = "mail"
        url = "http://hooks.fabrikam.example/x"
        [[webhook]]
        name = "b"
        [[webhook]]
        name = "b"
        url = "https://u:p@hooks.fabrikam.example"
        url_file = "x"
        events = ["request-field"]
        "#,
    );
    insta::assert_snapshot!(problems(&text), @"
    portcullis.toml:21: `link`: people sign in there, so it is `https://`, a host and perhaps a path
        such as `https://pam.fabrikam.example`; `http://` is for loopback addresses
    portcullis.toml:22: `escalate_to`: `nobody` is not a mail address
        such as `pam@fabrikam.example`
    portcullis.toml:24: `server`: `mail.fabrikam.example:0` is not a mail server
        a host, and perhaps a port, such as `mail.fabrikam.example:587`
    portcullis.toml:25: `tls`: `maybe` is not one of `starttls`, `implicit`, `off`
    portcullis.toml:26: `from`: `no address` is not a mail address
        such as `Portcullis <portcullis@fabrikam.example>`
    portcullis.toml:27: `username`: there is no `password_file` for it
        write the password into a file that only the gateway can read, and name that
    portcullis.toml:28: `domain`: `not a domain` is not a domain
        such as `fabrikam.example`
    portcullis.toml:29: `timeout`: an attempt takes at most `10m`
        what fails is tried again
    portcullis.toml:30: `password` would be a secret in the configuration
        put it into a file that only the gateway can read, and name that: `password_file = \"…\"`
    portcullis.toml:32: `name`: `mail` is no name for a webhook
        1 to 64 letters, digits, `.`, `_` and `-`; `mail` is the mail server's
    portcullis.toml:33: `url`: this is not where messages can be posted
        an `https://` URL without a user and password; `http://` is for loopback addresses
    portcullis.toml:34: `url` is missing in `[[webhook]]`
        where messages are posted; `url_file`, if the URL is a secret
    portcullis.toml:37: the name `b` is taken: [dir]/portcullis.toml:35 has it
        give each its own
    portcullis.toml:39: `url_file`: `url` says it already
        take one of the two out
    portcullis.toml:40: `events`: `request-field` is not one of `break-glass-reminder`, `break-glass-reviewed`, `break-glass-taken`, `grant-ended`, `grant-expired`, `grant-revoked`, `grant-used-up`, `request-approved`, `request-denied`, `request-escalated`, `request-expired`, `request-filed`, `request-reminder`, `request-voted`, `request-withdrawn`, `test`
        did you mean `request-filed`?
    ");
}

#[test]
fn mail_in_the_clear_stays_on_this_machine_unless_it_is_said() {
    let text = |more: &str| {
        with(&format!(
            "[notify.smtp]\nserver = \"mail.fabrikam.example\"\ntls = \"off\"\nfrom = \"p@fabrikam.example\"\n{more}"
        ))
    };
    insta::assert_snapshot!(problems(&text("")), @"
    portcullis.toml:20: `server`: with `tls = \"off\"` everybody on the way could read and write what is sent
        use `starttls` or `implicit`, or say `trusted_plaintext = true` if nobody is on the way
    ");
    assert_eq!(problems(&text("trusted_plaintext = true")), "");
}

#[test]
fn reminders_need_somebody_to_remind() {
    let silent = with("[notify]\nremind_after = \"1h\"\nescalate_after = \"2h\"");
    insta::assert_snapshot!(problems(&silent), @"
    portcullis.toml:20: `remind_after`: there is nothing to send it by
        add `[notify.smtp]` or a `[[webhook]]`, or take the key out
    portcullis.toml:21: `escalate_after`: there is nothing to send it by
        add `[notify.smtp]` or a `[[webhook]]`, or take the key out
    ");
    let nobody = with(
        "[notify]\nescalate_after = \"2h\"\n[notify.smtp]\nserver = \"m.fabrikam.example\"\nfrom = \"p@fabrikam.example\"",
    );
    insta::assert_snapshot!(problems(&nobody), @"
    portcullis.toml:20: `escalate_after`: there is nobody to escalate to
        list their addresses in `escalate_to`
    ");
}
