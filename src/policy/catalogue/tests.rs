use std::collections::HashSet;

use crate::model::{Parameter, Parameters, Value};

use super::*;

fn task(text: &str) -> Task {
    text.parse().unwrap()
}

fn effect(name: &str, parameters: &[&str]) -> &'static str {
    let mut command = Command {
        task: task(&format!(r"Exchange\{name}")),
        parameters: Parameters::default(),
    };
    for name in parameters {
        let parameter = Parameter {
            name: name.parse().unwrap(),
            value: Value::Null,
            type_annotation: None,
        };
        command.parameters.push(parameter).unwrap();
    }
    Catalogue::shipped().effect_of_command(&command).as_str()
}

#[test]
fn the_shipped_catalogue_names_tasks_once_and_parameters_well() {
    let catalogue = Catalogue::shipped();
    assert!(
        catalogue.entries().len() > 1_000,
        "{}",
        catalogue.entries().len()
    );
    assert!(!Catalogue::shipped_version().is_empty());
    assert!(catalogue.undo().len() > 10);
    for task in catalogue.undo() {
        assert!(catalogue.facts(task).is_some(), "{task}");
    }
    let mut seen = HashSet::new();
    for entry in catalogue.entries() {
        let parsed = task(&entry.task);
        assert!(
            seen.insert(parsed.folded()),
            "{} is listed twice",
            entry.task
        );
        assert_eq!(catalogue.facts(&parsed), Some(entry));
        let mut names = HashSet::new();
        for DangerousParameter { name, effect } in &entry.dangerous {
            name.parse::<crate::model::ParameterName>().unwrap();
            assert!(names.insert(name.to_lowercase()), "{} -{name}", entry.task);
            assert_ne!(*effect, Effect::Read, "{} -{name}", entry.task);
        }
    }
}

#[test]
fn effects_are_those_of_the_cmdlet_of_its_parameters_or_of_its_verb() {
    for (name, parameters, expected) in [
        ("Get-Mailbox", &[][..], "read"),
        ("get-exomailbox", &[], "read"),
        ("Set-Mailbox", &["Identity", "Office"], "change"),
        (
            "Set-Mailbox",
            &["Identity", "ForwardingSmtpAddress"],
            "exfiltrate",
        ),
        ("SET-MAILBOX", &["forwardingaddress"], "exfiltrate"),
        ("Set-Mailbox", &["ForwardingSmtp"], "exfiltrate"),
        (
            "Set-Mailbox",
            &["ForwardingAddress", "GrantSendOnBehalfTo"],
            "grant-privilege",
        ),
        ("Set-Mailbox", &["AuditEnabled"], "destroy"),
        ("New-TransportRule", &["BlindCopyTo"], "exfiltrate"),
        ("New-InboxRule", &["RedirectTo"], "exfiltrate"),
        ("New-JournalRule", &[], "exfiltrate"),
        ("New-MailboxExportRequest", &[], "exfiltrate"),
        ("Add-MailboxPermission", &[], "grant-privilege"),
        ("New-ManagementRoleAssignment", &[], "grant-privilege"),
        ("Remove-Mailbox", &[], "destroy"),
        ("Set-AdminAuditLogConfig", &[], "destroy"),
        ("Remove-MailboxPermission", &[], "change"),
        ("Get-SomethingNew", &[], "read"),
        ("Export-SomethingNew", &[], "exfiltrate"),
        ("Frobnicate-Mailbox", &[], "change"),
    ] {
        assert_eq!(effect(name, parameters), expected, "{name} {parameters:?}");
    }
}

#[test]
fn extensions_judge_otherwise_and_add() {
    let extension = |task: &str, effect, dangerous: &[(&str, Effect)]| Extension {
        task: task.to_owned(),
        effect,
        dangerous: dangerous
            .iter()
            .map(|(name, effect)| DangerousParameter {
                name: (*name).to_owned(),
                effect: *effect,
            })
            .collect(),
    };
    let extended = Catalogue::shipped().extended(vec![
        extension(r"exchange\get-mailbox", Some(Effect::Exfiltrate), &[]),
        extension(
            r"Exchange\Set-Mailbox",
            None,
            &[
                ("Office", Effect::Destroy),
                ("FORWARDINGADDRESS", Effect::Change),
            ],
        ),
        extension(r"Files\Export-Share", None, &[]),
        extension(r"Files\Set-Share", Some(Effect::GrantPrivilege), &[]),
    ]);
    let facts = |text: &str| extended.facts(&task(text)).unwrap();
    assert_eq!(facts(r"Exchange\Get-Mailbox").effect, Effect::Exfiltrate);
    assert_eq!(facts(r"files\export-share").effect, Effect::Exfiltrate);
    assert_eq!(facts(r"Files\Set-Share").effect, Effect::GrantPrivilege);
    let mailbox = facts(r"Exchange\Set-Mailbox");
    assert_eq!(mailbox.effect, Effect::Change);
    let of = |name: &str| {
        let mut found = mailbox
            .dangerous
            .iter()
            .filter(|it| it.name.eq_ignore_ascii_case(name));
        (found.next().map(|it| it.effect), found.next())
    };
    assert_eq!(of("ForwardingAddress"), (Some(Effect::Change), None));
    assert_eq!(of("Office"), (Some(Effect::Destroy), None));
    assert_eq!(
        of("ForwardingSmtpAddress"),
        (Some(Effect::Exfiltrate), None)
    );
}

/// A workload is called as operators like, and its cmdlets do what they do.
#[test]
fn the_list_holds_in_each_workload_and_what_files_say_of_one_comes_first() {
    let extension = |task: &str, effect, dangerous: Vec<DangerousParameter>| Extension {
        task: task.to_owned(),
        effect,
        dangerous,
    };
    let office = DangerousParameter {
        name: "Office".to_owned(),
        effect: Effect::Destroy,
    };
    let extended = Catalogue::shipped().extended(vec![
        extension(r"OnPrem\Set-Mailbox", None, vec![office]),
        extension(r"OnPrem\Get-Mailbox", Some(Effect::Change), Vec::new()),
        extension(r"Exchange\Get-User", Some(Effect::Destroy), Vec::new()),
    ]);
    let effects = |text: &str, parameter: &str| {
        let task = task(text);
        let folded = FoldedTask::new(&task);
        let effects = extended.effects(&task, &folded, [parameter]);
        let words = effects.most_severe_first().map(Effect::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    for (text, parameter, expected) in [
        (
            r"Hosted\Set-Mailbox",
            "ForwardingSmtpAddress",
            "exfiltrate change",
        ),
        (r"hosted\ADD-rolegroupmember", "Identity", "grant-privilege"),
        (r"Hosted\Get-User", "Identity", "read"),
        (r"Exchange\Get-User", "Identity", "destroy"),
        (r"OnPrem\Get-Mailbox", "Identity", "change"),
        (r"OnPrem\Set-Mailbox", "Office", "destroy change"),
        (r"OnPrem\Set-Mailbox", "ForwardingSmtp", "exfiltrate change"),
        (r"Hosted\Frobnicate-It", "ForwardingSmtpAddress", "change"),
    ] {
        assert_eq!(effects(text, parameter), expected, "{text} -{parameter}");
    }
}
