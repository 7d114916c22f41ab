//! Request targets that two servers could read in two ways, and everything else that the service may understand.

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::gateway::{Setup, TENANT};

use Outcome::{Arrives, ArrivesBy, Blocked, Dropped, Refused};

const UNKNOWN: Outcome<'static> = Refused(400, "unknown-path");
const NOWHERE: Outcome<'static> = Refused(400, "no-endpoint");
const DOT: Outcome<'static> = Refused(400, "dot-segment");
const EMPTY: Outcome<'static> = Refused(400, "empty-segment");
const CHARACTER: Outcome<'static> = Refused(400, "path-character");
const SEGMENT: Outcome<'static> = Refused(400, "bad-segment");
const DOUBLE: Outcome<'static> = Refused(400, "double-encoding");
const TENANTS: Outcome<'static> = Refused(400, "bad-tenant");
const VERSION: Outcome<'static> = Refused(400, "unknown-version");
const METHOD: Outcome<'static> = Refused(405, "method");

/// Where the honest read may be posted to, and where it arrives.
const ARRIVES: &[(&str, &str, &str)] = &[
    (
        "control",
        "/adminapi/beta/{t}/InvokeCommand",
        "/adminapi/beta/{t}/InvokeCommand",
    ),
    (
        "control: base and version in another case",
        "/AdminApi/BETA/{t}/InvokeCommand",
        "/adminapi/beta/{t}/InvokeCommand",
    ),
    (
        "control: empty query",
        "/adminapi/beta/{t}/InvokeCommand?",
        "/adminapi/beta/{t}/InvokeCommand",
    ),
    (
        "control: selection",
        "/adminapi/beta/{t}/InvokeCommand?%24Select=Name,Guid",
        "/adminapi/beta/{t}/InvokeCommand?$select=Name,Guid",
    ),
    (
        "control: v1.0",
        "/adminapi/v1.0/{t}/InvokeCommand",
        "/adminapi/v1.0/{t}/InvokeCommand",
    ),
    (
        "control: v0.5",
        "/adminapi/v0.5/{t}/InvokeCommand",
        "/adminapi/v0.5/{t}/InvokeCommand",
    ),
    (
        "control: tenant by its domain",
        "/adminapi/beta/contoso.example/InvokeCommand",
        "/adminapi/beta/contoso.example/InvokeCommand",
    ),
    (
        "control: letters in escapes",
        "/adminapi/beta/{t}/%49nvokeComman%64",
        "/adminapi/beta/{t}/InvokeCommand",
    ),
    (
        "fragment, which is cut off",
        "/adminapi/beta/{t}/InvokeCommand#/../ResolveTenant",
        "/adminapi/beta/{t}/InvokeCommand",
    ),
    (
        "second question mark",
        "/adminapi/beta/{t}/InvokeCommand?$select=a?$filter=b",
        "/adminapi/beta/{t}/InvokeCommand?$select=a%3F%24filter%3Db",
    ),
    (
        "option behind a semicolon",
        "/adminapi/beta/{t}/InvokeCommand?$select=a;$skiptoken=b",
        "/adminapi/beta/{t}/InvokeCommand?$select=a%3B%24skiptoken%3Db",
    ),
    (
        "control: resource that takes it",
        "/adminapi/v2.0/{t}/Mailbox",
        "/adminapi/v2.0/{t}/Mailbox",
    ),
];

/// Where it may not.
const REFUSED: &[(&str, &str, Outcome<'_>)] = &[
    (
        "v2.0 has no such action",
        "/adminapi/v2.0/{t}/InvokeCommand",
        UNKNOWN,
    ),
    (
        "doubled slash at the start",
        "//adminapi/beta/{t}/InvokeCommand",
        NOWHERE,
    ),
    (
        "doubled slash behind the base",
        "/adminapi//beta/{t}/InvokeCommand",
        EMPTY,
    ),
    (
        "doubled slash before the action",
        "/adminapi/beta/{t}//InvokeCommand",
        EMPTY,
    ),
    (
        "doubled slash at the end",
        "/adminapi/beta/{t}/InvokeCommand//",
        EMPTY,
    ),
    (
        "slash at the end",
        "/adminapi/beta/{t}/InvokeCommand/",
        UNKNOWN,
    ),
    ("dot", "/adminapi/beta/{t}/./InvokeCommand", DOT),
    ("two dots", "/adminapi/beta/{t}/x/../InvokeCommand", DOT),
    (
        "two dots in escapes",
        "/adminapi/beta/{t}/x/%2e%2E/InvokeCommand",
        DOT,
    ),
    (
        "two dots, half in escapes",
        "/adminapi/beta/{t}/x/.%2e/InvokeCommand",
        DOT,
    ),
    (
        "two dots at the end",
        "/adminapi/beta/{t}/InvokeCommand/..",
        DOT,
    ),
    (
        "two dots out of the endpoint",
        "/adminapi/../PowerShell-LiveId",
        DOT,
    ),
    (
        "two dots into the endpoint",
        "/x/../adminapi/beta/{t}/InvokeCommand",
        NOWHERE,
    ),
    (
        "two dots and a path parameter",
        "/adminapi/beta/{t}/..;/InvokeCommand",
        CHARACTER,
    ),
    (
        "three dots",
        "/adminapi/beta/{t}/.../InvokeCommand",
        UNKNOWN,
    ),
    (
        "path parameter",
        "/adminapi/beta/{t}/InvokeCommand;a=b",
        CHARACTER,
    ),
    (
        "path parameter of the tenant",
        "/adminapi/beta/{t};a=b/InvokeCommand",
        CHARACTER,
    ),
    (
        "path parameter in escapes",
        "/adminapi/beta/{t}/InvokeCommand%3Ba=b",
        CHARACTER,
    ),
    (
        "slash in escapes",
        "/adminapi/beta/{t}%2FInvokeCommand",
        CHARACTER,
    ),
    (
        "slash in escapes, lower case",
        "/adminapi/beta/{t}%2fx/InvokeCommand",
        CHARACTER,
    ),
    ("backslash", "/adminapi/beta/{t}\\InvokeCommand", CHARACTER),
    (
        "backslash in escapes",
        "/adminapi/beta/{t}%5CInvokeCommand",
        CHARACTER,
    ),
    (
        "NUL in escapes",
        "/adminapi/beta/{t}/InvokeCommand%00",
        Refused(400, "control-character"),
    ),
    (
        "line end in escapes",
        "/adminapi/beta/{t}/InvokeCommand%0d%0aX-CmdletName:x",
        Refused(400, "control-character"),
    ),
    (
        "blank in escapes",
        "/adminapi/beta/{t}/InvokeCommand%20",
        SEGMENT,
    ),
    ("blank", "/adminapi/beta/{t}/Invoke Command", Dropped),
    ("tab", "/adminapi/beta/{t}/Invoke\tCommand", Dropped),
    (
        "double encoding",
        "/adminapi/beta/{t}/%2549nvokeCommand",
        DOUBLE,
    ),
    (
        "double encoding of a slash",
        "/adminapi/beta/{t}%252FInvokeCommand",
        DOUBLE,
    ),
    (
        "double encoding of dots",
        "/adminapi/beta/{t}/%252e%252e/InvokeCommand",
        DOUBLE,
    ),
    (
        "broken escape",
        "/adminapi/beta/{t}/InvokeCommand%4",
        Refused(400, "broken-escape"),
    ),
    (
        "escape of IIS",
        "/adminapi/beta/{t}/%u0049nvokeCommand",
        Refused(400, "broken-escape"),
    ),
    (
        "overlong slash",
        "/adminapi/beta/{t}%c0%afInvokeCommand",
        Refused(400, "not-utf-8"),
    ),
    (
        "full-width letter in escapes",
        "/adminapi/beta/{t}/%ef%bc%a9nvokeCommand",
        SEGMENT,
    ),
    (
        "division slash in escapes",
        "/adminapi/beta/{t}%e2%88%95InvokeCommand",
        TENANTS,
    ),
    (
        "letter beyond ASCII",
        "/adminapi/beta/{t}/Inv\u{f6}keCommand",
        CHARACTER,
    ),
    (
        "plus sign for a blank",
        "/adminapi/beta/{t}/InvokeCommand+",
        SEGMENT,
    ),
    ("parentheses", "/adminapi/beta/{t}/InvokeCommand()", UNKNOWN),
    (
        "argument",
        "/adminapi/beta/{t}/InvokeCommand(CmdletInput=@p)?@p=x",
        SEGMENT,
    ),
    (
        "qualified",
        "/adminapi/beta/{t}/Exchange.InvokeCommand",
        UNKNOWN,
    ),
    ("another case", "/adminapi/beta/{t}/invokecommand", UNKNOWN),
    ("wildcard", "/adminapi/beta/{t}/Invoke*", SEGMENT),
    ("extension", "/adminapi/beta/{t}/InvokeCommand.svc", UNKNOWN),
    (
        "value of it",
        "/adminapi/beta/{t}/InvokeCommand/$value",
        UNKNOWN,
    ),
    (
        "second tenant",
        "/adminapi/beta/{t}/fabrikam.example/InvokeCommand",
        UNKNOWN,
    ),
    (
        "second version",
        "/adminapi/beta/beta/{t}/InvokeCommand",
        SEGMENT,
    ),
    (
        "second base",
        "/adminapi/adminapi/beta/{t}/InvokeCommand",
        VERSION,
    ),
    ("no tenant", "/adminapi/beta/InvokeCommand", METHOD),
    ("no version", "/adminapi/{t}/InvokeCommand", VERSION),
    (
        "unknown version",
        "/adminapi/v3.0/{t}/InvokeCommand",
        VERSION,
    ),
    (
        "version with blanks",
        "/adminapi/beta%20/{t}/InvokeCommand",
        VERSION,
    ),
    (
        "tenant with a wildcard",
        "/adminapi/beta/*/InvokeCommand",
        TENANTS,
    ),
    (
        "tenant with user information",
        "/adminapi/beta/x@contoso.example/InvokeCommand",
        TENANTS,
    ),
    (
        "tenant with a port",
        "/adminapi/beta/contoso.example:443/InvokeCommand",
        TENANTS,
    ),
    (
        "tenant with a NUL",
        "/adminapi/beta/contoso%00.example/InvokeCommand",
        Refused(400, "control-character"),
    ),
    (
        "tenant with two dots",
        "/adminapi/beta/contoso..example/InvokeCommand",
        TENANTS,
    ),
    (
        "tenant named by nothing",
        "/adminapi/beta//InvokeCommand",
        EMPTY,
    ),
    (
        "whole URL",
        "https://localhost/adminapi/beta/{t}/InvokeCommand",
        Refused(400, "absolute-form"),
    ),
    (
        "whole URL of another host",
        "https://evil.example/adminapi/beta/{t}/InvokeCommand",
        Refused(400, "absolute-form"),
    ),
    (
        "authority alone",
        "localhost:443",
        Refused(400, "absolute-form"),
    ),
    ("asterisk", "*", NOWHERE),
    (
        "path without its slash",
        "adminapi/beta/{t}/InvokeCommand",
        Dropped,
    ),
    ("nothing of the endpoint", "/", NOWHERE),
    (
        "a name that begins as the endpoint's",
        "/adminapiX/beta/{t}/InvokeCommand",
        NOWHERE,
    ),
    (
        "a name that ends as the endpoint's",
        "/Xadminapi/beta/{t}/InvokeCommand",
        NOWHERE,
    ),
    (
        "the endpoint in escapes",
        "/%61dminapi/beta/{t}/InvokeCommand",
        NOWHERE,
    ),
    ("the endpoint alone", "/adminapi", UNKNOWN),
    ("remote PowerShell", "/PowerShell-LiveId", NOWHERE),
    (
        "remote PowerShell, with a serialisation",
        "/powershell-liveid?serializationLevel=Full",
        NOWHERE,
    ),
    ("web services", "/EWS/Exchange.asmx", NOWHERE),
    ("another API of the host", "/api/beta/users", NOWHERE),
    ("health", "/healthz", NOWHERE),
    (
        "other action with the envelope",
        "/adminapi/beta/{t}/ResolveTenant",
        UNKNOWN,
    ),
    (
        "action with a query table",
        "/adminapi/beta/{t}/RbacQuery",
        UNKNOWN,
    ),
    ("trace", "/adminapi/beta/{t}/SearchMessageTrace", UNKNOWN),
    ("initialisation", "/adminapi/beta/{t}/Initialize", UNKNOWN),
    (
        "bound action",
        "/adminapi/beta/{t}/Mailbox('eva')/Exchange.UpdateMailboxArchive",
        UNKNOWN,
    ),
    (
        "bound action with parentheses",
        "/adminapi/beta/{t}/MobileDevice('eva')/Exchange.ClearMobileDevice()",
        UNKNOWN,
    ),
    (
        "bound action of a group",
        "/adminapi/beta/{t}/GraphConnectorGroup('x')/Exchange.DeleteGroup",
        UNKNOWN,
    ),
    ("new entity", "/adminapi/beta/{t}/Mailbox", METHOD),
    (
        "entity that is only read here",
        "/adminapi/beta/{t}/Mailbox('eva')",
        METHOD,
    ),
    (
        "entity set that is not known",
        "/adminapi/beta/{t}/RoleAssignments",
        UNKNOWN,
    ),
    (
        "reference",
        "/adminapi/beta/{t}/Mailbox('eva')/MailboxPermission/$ref",
        UNKNOWN,
    ),
    (
        "query option that calls",
        "/adminapi/beta/{t}/InvokeCommand?cmdlet=Remove-Mailbox",
        Refused(400, "unknown-query-key"),
    ),
    (
        "method in the query",
        "/adminapi/beta/{t}/InvokeCommand?X-HTTP-Method=DELETE",
        Refused(400, "unknown-query-key"),
    ),
    (
        "format in the query",
        "/adminapi/beta/{t}/InvokeCommand?$format=xml",
        Refused(400, "unknown-query-key"),
    ),
    (
        "option twice",
        "/adminapi/beta/{t}/InvokeCommand?$select=a&$select=b",
        Refused(400, "duplicate-query-key"),
    ),
    (
        "option twice, once in escapes",
        "/adminapi/beta/{t}/InvokeCommand?$select=a&%24SELECT=b",
        Refused(400, "duplicate-query-key"),
    ),
    (
        "option encoded twice",
        "/adminapi/beta/{t}/InvokeCommand?%2524select=a",
        DOUBLE,
    ),
    (
        "line end in the query",
        "/adminapi/beta/{t}/InvokeCommand?$select=a%0d%0aX:y",
        Refused(400, "control-character"),
    ),
    (
        "resource that does not take the cmdlet",
        "/adminapi/v2.0/{t}/AcceptedDomain",
        Refused(400, "resource-mismatch"),
    ),
    (
        "resource in another case",
        "/adminapi/v2.0/{t}/mailbox",
        UNKNOWN,
    ),
    (
        "resource with a key",
        "/adminapi/v2.0/{t}/Mailbox('eva')",
        UNKNOWN,
    ),
    (
        "resource that is not known",
        "/adminapi/v2.0/{t}/RoleGroup",
        UNKNOWN,
    ),
];

/// Paths, and the methods that they do not take.
const METHODS: &[(&str, &[&str])] = &[
    (
        "/adminapi/beta/{t}/InvokeCommand",
        &[
            "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "MERGE", "post", "QUERY",
        ],
    ),
    ("/adminapi/beta/{t}/$batch", &["GET", "PUT", "PATCH"]),
    ("/adminapi/beta/{t}/InvokeCommand?$skiptoken=x", &["GET"]),
    ("/adminapi/v2.0/{t}/Mailbox", &["GET", "PATCH", "DELETE"]),
    (
        "/adminapi/beta/{t}/Mailbox('eva')",
        &["PATCH", "PUT", "DELETE", "MERGE", "HEAD", "OPTIONS"],
    ),
    ("/adminapi/beta/{t}/EXOModuleFile", &["PUT", "DELETE"]),
    ("/adminapi/beta/{t}", &["PATCH", "DELETE"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_and_no_method_leads_around_the_decision() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    for (trick, target, written) in ARRIVES {
        let request = Raw::invoke(READ).to(target);
        for arrived in catalogue.attempt(trick, &request, Arrives(READ)).await {
            let found = arrived.target.path_and_query().unwrap().as_str();
            let is_right = found == written.replace("{t}", TENANT);
            catalogue.check(is_right, &format!("{trick}: arrived at {found}"));
        }
    }
    for (trick, target, outcome) in REFUSED {
        catalogue
            .attempt(trick, &Raw::invoke(READ).to(target), *outcome)
            .await;
    }
    for (target, methods) in METHODS {
        for method in *methods {
            let request = Raw::invoke(READ).method(method).to(target);
            catalogue
                .attempt(&format!("{method} {target}"), &request, METHOD)
                .await;
        }
    }
    for method in ["CONNECT", "TRACE"] {
        let request = Raw::invoke("")
            .method(method)
            .to("/adminapi/beta/{t}/InvokeCommand");
        catalogue
            .attempt(method, &request, Refused(400, "method"))
            .await;
    }
    for (trick, request, outcome) in [
        (
            "governed by a resource",
            Raw::invoke(SET).to("/adminapi/v2.0/{t}/Mailbox"),
            Blocked("needs-approval"),
        ),
        (
            "governed under v1.0",
            Raw::invoke(REMOVE).to("/adminapi/v1.0/{t}/InvokeCommand"),
            Blocked("needs-approval"),
        ),
        (
            "governed under v0.5",
            Raw::invoke(REMOVE).to("/ADMINAPI/V0.5/{t}/InvokeCommand"),
            Blocked("needs-approval"),
        ),
        (
            "governed, in another tenant",
            Raw::invoke(REMOVE).to("/adminapi/beta/fabrikam.example/InvokeCommand"),
            Blocked("needs-approval"),
        ),
        (
            "control: read of an entity",
            Raw::get("/adminapi/beta/{t}/Mailbox('eva')"),
            Arrives(""),
        ),
        (
            "control: set-up",
            Raw::get("/adminapi/beta/{t}/EXOModuleFile?Version=3.9.0"),
            ArrivesBy("session-call", ""),
        ),
        (
            "read with a body",
            Raw::invoke(REMOVE)
                .method("GET")
                .to("/adminapi/beta/{t}/Mailbox('eva')"),
            Refused(400, "unexpected-body"),
        ),
        (
            "set-up with an argument",
            Raw::get("/adminapi/beta/{t}/EXOModuleFile(x='y')"),
            UNKNOWN,
        ),
        (
            "set-up with a tail",
            Raw::get("/adminapi/beta/{t}/EXOModuleFile/InvokeCommand"),
            UNKNOWN,
        ),
        (
            "read with a quote that ends early",
            Raw::get("/adminapi/beta/{t}/Mailbox('eva')/x')"),
            SEGMENT,
        ),
        (
            "read with a second key",
            Raw::get("/adminapi/beta/{t}/Mailbox('eva')('ana')"),
            SEGMENT,
        ),
        (
            "read that expands",
            Raw::get("/adminapi/beta/{t}/Mailbox('eva')?$expand=Everything"),
            Refused(400, "unknown-read"),
        ),
        (
            "read that applies",
            Raw::get("/adminapi/beta/{t}/Mailbox?$apply=x"),
            Refused(400, "unknown-query-key"),
        ),
        (
            "read with a slash in its key",
            Raw::get("/adminapi/beta/{t}/Mailbox('a%2Fb')"),
            CHARACTER,
        ),
    ] {
        catalogue.attempt(trick, &request, outcome).await;
    }
    catalogue.close(&["Get-Mailbox"]).await;
}

const SET: &str = r#"{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"eva"}}}"#;
