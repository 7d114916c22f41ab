//! Cmdlet names that an upstream could take for another, and a policy could miss.

use super::catalogue::{Catalogue, Outcome, Raw};
use crate::gateway::Setup;

use Outcome::{Arrives, Blocked, Refused};

/// The body of a command with this name, as JSON spells it.
fn named(name: &str) -> String {
    format!(r#"{{"CmdletInput":{{"CmdletName":{name},"Parameters":{{"Identity":"eva"}}}}}}"#)
}

const BAD: Outcome<'static> = Refused(400, "bad-cmdlet-name");
const GOVERNED: Outcome<'static> = Blocked("needs-approval");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_name_gets_a_governed_cmdlet_through() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    let read = named(r#""Get-Mailbox""#);
    let lower = named(r#""get-mailbox""#);
    let overlong = format!("\"Get-{}\"", "a".repeat(130));
    let tricks: &[(&str, &str, Outcome<'_>)] = &[
        ("control", r#""Get-Mailbox""#, Arrives(&read)),
        (
            "control: case is nothing",
            r#""get-mailbox""#,
            Arrives(&lower),
        ),
        (
            "control: escapes mean their letters",
            r#""\u0047et\u002dMailbox""#,
            Arrives(&read),
        ),
        ("as it is", r#""Remove-Mailbox""#, GOVERNED),
        ("lower case", r#""remove-mailbox""#, GOVERNED),
        ("upper case", r#""REMOVE-MAILBOX""#, GOVERNED),
        ("mixed case", r#""rEmOvE-mAiLbOx""#, GOVERNED),
        ("escaped letter", r#""\u0052emove-Mailbox""#, GOVERNED),
        ("escaped hyphen", r#""Remove\u002dMailbox""#, GOVERNED),
        (
            "never, in another case",
            r#""NEW-JOURNALrule""#,
            Blocked("never"),
        ),
        ("module-qualified", r#""Exchange\\Remove-Mailbox""#, BAD),
        (
            "module-qualified, long",
            r#""ExchangeOnlineManagement\\Remove-Mailbox""#,
            BAD,
        ),
        (
            "qualified with a slash",
            r#""Exchange/Remove-Mailbox""#,
            BAD,
        ),
        ("qualified with a dot", r#""Exchange.Remove-Mailbox""#, BAD),
        ("escaped slash", r#""Exchange\/Remove-Mailbox""#, BAD),
        ("blank before", r#"" Remove-Mailbox""#, BAD),
        ("blank behind", r#""Remove-Mailbox ""#, BAD),
        ("tab behind", r#""Remove-Mailbox\t""#, BAD),
        ("line feed behind", r#""Remove-Mailbox\n""#, BAD),
        ("carriage return before", r#""\rRemove-Mailbox""#, BAD),
        ("no-break space", r#""Remove-Mailbox\u00a0""#, BAD),
        ("NUL behind", r#""Remove-Mailbox\u0000""#, BAD),
        (
            "NUL and an innocent end",
            r#""Remove-Mailbox\u0000Get-Mailbox""#,
            BAD,
        ),
        ("zero-width space", r#""Remove-Mail\u200bbox""#, BAD),
        ("zero-width joiner", r#""Remove-\u200dMailbox""#, BAD),
        ("byte order mark inside", r#""\ufeffRemove-Mailbox""#, BAD),
        ("soft hyphen", r#""Remove-Mail\u00adbox""#, BAD),
        ("right-to-left override", r#""\u202exobliaM-evomeR""#, BAD),
        ("combining mark", r#""Remove-Mailbo\u0301x""#, BAD),
        ("full-width letter", r#""\uff32emove-Mailbox""#, BAD),
        (
            "full-width, all of it",
            "\"\u{ff32}\u{ff45}\u{ff4d}\u{ff4f}\u{ff56}\u{ff45}-Mailbox\"",
            BAD,
        ),
        ("Cyrillic look-alike", "\"Rem\u{43e}ve-Mailbox\"", BAD),
        (
            "Kelvin sign, which folds to k",
            "\"Revo\u{212a}e-Mailbox\"",
            BAD,
        ),
        ("long s, which folds to s", "\"\u{17f}et-Mailbox\"", BAD),
        ("dotless i", "\"Remove-Ma\u{131}lbox\"", BAD),
        ("mathematical letters", "\"\u{1d411}emove-Mailbox\"", BAD),
        ("en dash", "\"Remove\u{2013}Mailbox\"", BAD),
        ("em dash", "\"Remove\u{2014}Mailbox\"", BAD),
        ("horizontal bar", "\"Remove\u{2015}Mailbox\"", BAD),
        ("non-breaking hyphen", "\"Remove\u{2011}Mailbox\"", BAD),
        ("minus sign", "\"Remove\u{2212}Mailbox\"", BAD),
        ("full-width hyphen", "\"Remove\u{ff0d}Mailbox\"", BAD),
        ("two hyphens", r#""Remove--Mailbox""#, BAD),
        ("underscore", r#""Remove_Mailbox""#, BAD),
        ("no hyphen", r#""RemoveMailbox""#, BAD),
        ("alias", r#""rm""#, BAD),
        ("noun alone", r#""Mailbox""#, BAD),
        ("verb alone", r#""Remove-""#, BAD),
        ("empty", r#""""#, BAD),
        ("wildcard", r#""Remove-Mail*""#, BAD),
        ("single-character wildcard", r#""Remove-Mailbo?""#, BAD),
        ("pipeline", r#""Get-Mailbox|Remove-Mailbox""#, BAD),
        ("statements", r#""Get-Mailbox;Remove-Mailbox""#, BAD),
        ("two lines", r#""Get-Mailbox\nRemove-Mailbox""#, BAD),
        ("both of two", r#""Get-Mailbox && Remove-Mailbox""#, BAD),
        ("comma", r#""Get-Mailbox,Remove-Mailbox""#, BAD),
        ("call operator", r#""& Remove-Mailbox""#, BAD),
        ("dot sourcing", r#"". Remove-Mailbox""#, BAD),
        ("subexpression", r#""$(Remove-Mailbox)""#, BAD),
        ("script block", r#""{Remove-Mailbox}""#, BAD),
        ("quoted", r#""'Remove-Mailbox'""#, BAD),
        ("backtick escape", r#""Remove-Mail`box""#, BAD),
        ("comment", r#""Remove-Mailbox#""#, BAD),
        ("path", r#""./Remove-Mailbox.ps1""#, BAD),
        (
            "arguments in the name",
            r#""Remove-Mailbox -Identity eva""#,
            BAD,
        ),
        ("percent-encoded", r#""Remove%2DMailbox""#, BAD),
        ("entity-encoded", r#""Remove&#45;Mailbox""#, BAD),
        ("longer than any name", &overlong, BAD),
        ("null", "null", Refused(400, "wrong-kind")),
        ("number", "1", Refused(400, "wrong-kind")),
        (
            "list of one",
            r#"["Remove-Mailbox"]"#,
            Refused(400, "wrong-kind"),
        ),
        (
            "list of two",
            r#"["Get-Mailbox","Remove-Mailbox"]"#,
            Refused(400, "wrong-kind"),
        ),
        (
            "table",
            r#"{"value":"Remove-Mailbox"}"#,
            Refused(400, "wrong-kind"),
        ),
    ];
    for (trick, name, outcome) in tricks {
        let request = Raw::invoke(named(name));
        for arrived in catalogue.attempt(trick, &request, *outcome).await {
            let header = arrived.headers["x-cmdletname"].to_str().unwrap();
            catalogue.check(
                named(&format!("\"{header}\"")).as_bytes() == arrived.body,
                trick,
            );
        }
    }
    catalogue.close(&["Get-Mailbox"]).await;
}
