//! Parameters under a policy that has rules for them: values hidden from the rule, and names that it does not see.

use super::catalogue::{Catalogue, Outcome, Raw};
use crate::gateway::{POLICIES, Setup};

use Outcome::{ArrivesBy, Blocked, Refused};

/// Rules for `Set-Mailbox` beside the usual policies.
pub(super) fn policies() -> String {
    let rules = r#"
default_duration = "1h"
[policy.parameters]
Identity = { pattern = '.*@contoso\.example', max_items = 1 }
ProhibitSendQuota = { one_of = ["49GB", "99GB"], optional = true }
AuditEnabled = { one_of = [true], optional = true }
MaxSendSize = { min = 1, max = 100, optional = true }
CustomAttribute1 = { optional = true }
ForwardingSmtpAddress = { absent = true }
"#;
    POLICIES.replace("\ndefault_duration = \"1h\"\n", rules)
}

const BREAKS: Outcome<'static> = Blocked("parameter-rule");
const TWICE: Outcome<'static> = Refused(400, "duplicate-member");

/// What stands between the braces of `Parameters`, and what must become of it; `None`: it arrives as it is.
const TRICKS: &[(&str, &str, Option<Outcome<'_>>)] = &[
    (
        "control",
        r#""Identity":"eva@contoso.example","ProhibitSendQuota":"49GB""#,
        None,
    ),
    (
        "control: names and values in another case",
        r#""IDENTITY":"EVA@CONTOSO.EXAMPLE","prohibitsendquota":"49gb""#,
        None,
    ),
    (
        "control: truth",
        r#""Identity":"eva@contoso.example","AuditEnabled":true"#,
        None,
    ),
    (
        "control: number as text",
        r#""Identity":"eva@contoso.example","MaxSendSize":"100""#,
        None,
    ),
    (
        "control: number with an exponent",
        r#""Identity":"eva@contoso.example","MaxSendSize":1e2"#,
        None,
    ),
    (
        "control: list of one",
        r#""Identity":["eva@contoso.example"]"#,
        None,
    ),
    (
        "control: annotated",
        r##""Identity@odata.type":"#String","Identity":"eva@contoso.example""##,
        None,
    ),
    (
        "control: common parameters",
        r#""Identity":"eva@contoso.example","WarningAction":"SilentlyContinue","Confirm":false"#,
        None,
    ),
    (
        "value outside the rule",
        r#""Identity":"eva@fabrikam.example""#,
        Some(BREAKS),
    ),
    (
        "value with a tail",
        r#""Identity":"eva@contoso.example.evil.example""#,
        Some(BREAKS),
    ),
    (
        "value with a second line",
        r#""Identity":"eva@contoso.example\nx@fabrikam.example""#,
        Some(BREAKS),
    ),
    (
        "value on the second line",
        r#""Identity":"x@fabrikam.example\neva@contoso.example""#,
        Some(BREAKS),
    ),
    (
        "value with a NUL",
        r#""Identity":"eva@contoso.example\u0000x""#,
        Some(BREAKS),
    ),
    (
        "value in full-width letters",
        "\"Identity\":\"eva@contoso\u{ff0e}example\"",
        Some(BREAKS),
    ),
    (
        "value with a long s, which folds",
        "\"Identity\":\"eva@conto\u{17f}o.example\"",
        Some(BREAKS),
    ),
    (
        "value with a zero-width space",
        r#""Identity":"eva@contoso.\u200bexample""#,
        Some(BREAKS),
    ),
    ("null", r#""Identity":null"#, Some(BREAKS)),
    ("empty text", r#""Identity":"""#, Some(BREAKS)),
    ("empty list", r#""Identity":[]"#, Some(BREAKS)),
    ("empty table", r#""Identity":{}"#, Some(BREAKS)),
    (
        "list with one more",
        r#""Identity":["eva@contoso.example","x@fabrikam.example"]"#,
        Some(BREAKS),
    ),
    (
        "list with one too many",
        r#""Identity":["eva@contoso.example","ana@contoso.example"]"#,
        Some(BREAKS),
    ),
    (
        "list in a list",
        r#""Identity":[["x@fabrikam.example"]]"#,
        Some(BREAKS),
    ),
    (
        "table that adds",
        r##""Identity":{"@odata.type":"#Exchange.GenericHashTable","add":"x@fabrikam.example"}"##,
        Some(BREAKS),
    ),
    (
        "table with a stored value",
        r#""Identity":{"_key":"eva@contoso.example","_value":"x@fabrikam.example"}"#,
        Some(BREAKS),
    ),
    (
        "value in an annotation",
        r##""Identity@odata.type":"#x@fabrikam.example","Identity":"eva@contoso.example""##,
        Some(Refused(400, "unknown-annotation")),
    ),
    (
        "annotation that hides a table",
        r##""Identity@odata.type":"#Exchange.GenericHashTable","Identity":"eva@contoso.example""##,
        Some(Refused(400, "wrong-annotation")),
    ),
    (
        "annotation of another",
        r##""Identity@odata.type":"#String","CustomAttribute1":"x","Identity":"eva@contoso.example""##,
        Some(Refused(400, "stray-annotation")),
    ),
    (
        "annotation in another case",
        r##""identity@odata.type":"#String","Identity":"eva@contoso.example""##,
        Some(Refused(400, "stray-annotation")),
    ),
    (
        "annotation with another suffix",
        r#""Identity@adminapi.value":"x","Identity":"eva@contoso.example""#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "parameter that is not there",
        r#""ProhibitSendQuota":"49GB""#,
        Some(BREAKS),
    ),
    ("no parameter", "", Some(BREAKS)),
    (
        "parameter twice",
        r#""Identity":"eva@contoso.example","Identity":"x@fabrikam.example""#,
        Some(TWICE),
    ),
    (
        "parameter twice in another case",
        r#""Identity":"eva@contoso.example","iDENTITY":"x@fabrikam.example""#,
        Some(TWICE),
    ),
    (
        "parameter twice with a dotless i",
        "\"Identity\":\"eva@contoso.example\",\"\u{131}dentity\":\"x\"",
        Some(TWICE),
    ),
    (
        "name cut short",
        r#""Identity":"eva@contoso.example","ProhibitSend":"1GB""#,
        Some(BREAKS),
    ),
    (
        "name cut short of what must be absent",
        r#""Identity":"eva@contoso.example","ForwardingSmtp":"x@ext.example""#,
        Some(BREAKS),
    ),
    (
        "name cut short to nothing else",
        r#""Ident":"x@fabrikam.example""#,
        Some(BREAKS),
    ),
    (
        "what must be absent",
        r#""Identity":"eva@contoso.example","ForwardingSmtpAddress":"x@ext.example""#,
        Some(BREAKS),
    ),
    (
        "what must be absent, in another case",
        r#""Identity":"eva@contoso.example","FORWARDINGSMTPADDRESS":"x@ext.example""#,
        Some(BREAKS),
    ),
    (
        "what must be absent, as null",
        r#""Identity":"eva@contoso.example","ForwardingSmtpAddress":null"#,
        Some(BREAKS),
    ),
    (
        "what no rule names",
        r#""Identity":"eva@contoso.example","ForwardingAddress":"x@ext.example""#,
        Some(BREAKS),
    ),
    (
        "name with a dash before",
        r#""Identity":"eva@contoso.example","-Force":true"#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "name with a colon and value",
        r#""Identity":"eva@contoso.example","Force:$true":null"#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "name with a blank",
        r#""Identity ":"x@fabrikam.example""#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "name with a NUL",
        r#""Identity\u0000":"x@fabrikam.example""#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "empty name",
        r#""":"x@fabrikam.example""#,
        Some(Refused(400, "bad-parameter-name")),
    ),
    (
        "switch as text",
        r#""Identity":"eva@contoso.example","AuditEnabled":"$true""#,
        Some(BREAKS),
    ),
    (
        "switch as text in another case",
        r#""Identity":"eva@contoso.example","AuditEnabled":"TRUE""#,
        Some(BREAKS),
    ),
    (
        "switch turned round",
        r#""Identity":"eva@contoso.example","AuditEnabled":false"#,
        Some(BREAKS),
    ),
    (
        "switch turned round as text",
        r#""Identity":"eva@contoso.example","AuditEnabled":"$false""#,
        Some(BREAKS),
    ),
    (
        "switch as a number",
        r#""Identity":"eva@contoso.example","AuditEnabled":0"#,
        Some(BREAKS),
    ),
    (
        "switch in a list",
        r#""Identity":"eva@contoso.example","AuditEnabled":[true,false]"#,
        Some(BREAKS),
    ),
    (
        "switch with a blank",
        r#""Identity":"eva@contoso.example","AuditEnabled":" true""#,
        Some(BREAKS),
    ),
    (
        "number too big",
        r#""Identity":"eva@contoso.example","MaxSendSize":101"#,
        Some(BREAKS),
    ),
    (
        "number too big by a little",
        r#""Identity":"eva@contoso.example","MaxSendSize":100.00000000000000000000001"#,
        Some(BREAKS),
    ),
    (
        "number too big by its exponent",
        r#""Identity":"eva@contoso.example","MaxSendSize":1e400"#,
        Some(BREAKS),
    ),
    (
        "number too small",
        r#""Identity":"eva@contoso.example","MaxSendSize":-1"#,
        Some(BREAKS),
    ),
    (
        "number in hexadecimal",
        r#""Identity":"eva@contoso.example","MaxSendSize":"0xff""#,
        Some(BREAKS),
    ),
    (
        "number with a unit",
        r#""Identity":"eva@contoso.example","MaxSendSize":"50GB""#,
        Some(BREAKS),
    ),
    (
        "number that is none",
        r#""Identity":"eva@contoso.example","MaxSendSize":"NaN""#,
        Some(BREAKS),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameter_escapes_its_rule() {
    let setup = Setup {
        policies: policies(),
        ..Setup::default()
    };
    let mut catalogue = Catalogue::open(setup).await;
    catalogue.file("ana", r"Exchange\Set-Mailbox").await;
    for (trick, parameters, outcome) in TRICKS {
        let body = format!(
            r#"{{"CmdletInput":{{"CmdletName":"Set-Mailbox","Parameters":{{{parameters}}}}}}}"#
        );
        let outcome = outcome.unwrap_or(ArrivesBy("granted", &body));
        catalogue
            .attempt(trick, &Raw::invoke(body.as_str()), outcome)
            .await;
        let resource = Raw::invoke(body.as_str()).to("/adminapi/v2.0/{t}/Mailbox");
        catalogue
            .attempt(&format!("{trick} (v2.0)"), &resource, outcome)
            .await;
    }
    catalogue.close(&["Set-Mailbox"]).await;
}
