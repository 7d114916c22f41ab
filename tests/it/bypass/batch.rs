//! `$batch`: items in other forms than the known one, items that belong to somebody else, items that hide.

use http::Method;
use serde_json::Value;

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::client::{Http, request};
use crate::gateway::{SERVICE_TOKEN, Setup, TENANT, basic};

use Outcome::Refused;

const PATH: &str = "/adminapi/beta/{t}/$batch";

/// An item as clients send it.
fn item(id: &str, body: &str) -> String {
    format!(
        r#"{{"id":"{id}","method":"POST","url":"https://localhost/adminapi/beta/{TENANT}/InvokeCommand","headers":{{"Content-Type":"application/json"}},"body":{body}}}"#
    )
}

fn batch(items: &[String]) -> String {
    format!(r#"{{"requests":[{}]}}"#, items.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_item_of_a_batch_is_taken_for_another() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    let plain = item("0", READ);
    let to = |url: &str| {
        plain.replace(
            &format!("https://localhost/adminapi/beta/{TENANT}/InvokeCommand"),
            &url.replace("{t}", TENANT),
        )
    };
    let with = |member: &str| plain.replacen('{', &format!("{{{member},"), 1);
    let headers = |headers: &str| plain.replace(r#"{"Content-Type":"application/json"}"#, headers);
    let body = |text: &str| plain.replace(READ, text);
    let url = Refused(400, "batch-url");
    let host = Refused(400, "batch-host");
    let form = Refused(400, "batch-form");
    let method = Refused(400, "batch-method");
    let dependency = Refused(400, "batch-dependency");
    let unknown = Refused(400, "unknown-member");
    let twice = Refused(400, "duplicate-member");
    let kind = Refused(400, "wrong-kind");
    for (trick, items, outcome) in [
        ("no item", vec![], Refused(400, "batch-size")),
        (
            "too many items",
            (0..21).map(|it| item(&it.to_string(), READ)).collect(),
            Refused(400, "batch-size"),
        ),
        (
            "one id twice",
            vec![plain.clone(), item("0", REMOVE)],
            Refused(400, "duplicate-id"),
        ),
        ("numeric id", vec![plain.replace("\"0\"", "0")], kind),
        (
            "empty id",
            vec![plain.replace("\"0\"", "\"\"")],
            Refused(400, "bad-id"),
        ),
        (
            "no id",
            vec![plain.replace("\"id\":\"0\",", "")],
            Refused(400, "missing-member"),
        ),
        ("group", vec![with(r#""atomicityGroup":"g""#)], dependency),
        ("dependence", vec![with(r#""dependsOn":["1"]"#)], dependency),
        ("condition", vec![with(r#""if":"$1 eq 2""#)], unknown),
        ("another member", vec![with(r#""requests":[]"#)], unknown),
        (
            "member in another case",
            vec![plain.replace("\"url\"", "\"URL\"")],
            unknown,
        ),
        (
            "two URLs",
            vec![with(r#""url":"https://localhost/x""#)],
            twice,
        ),
        (
            "two URLs, one in upper case",
            vec![with(r#""URL":"https://localhost/x""#)],
            twice,
        ),
        (
            "two bodies",
            vec![with(&format!(r#""body":{REMOVE}"#))],
            twice,
        ),
        (
            "nested",
            vec![to("https://localhost/adminapi/beta/{t}/$batch")],
            form,
        ),
        (
            "nested by its body",
            vec![body(r#"{"requests":[]}"#)],
            unknown,
        ),
        ("reference", vec![to("$0/InvokeCommand")], url),
        ("relative", vec![to("InvokeCommand")], url),
        (
            "relative to the host",
            vec![to("/adminapi/beta/{t}/InvokeCommand")],
            url,
        ),
        (
            "relative to the scheme",
            vec![to("//localhost/adminapi/beta/{t}/InvokeCommand")],
            url,
        ),
        (
            "without TLS",
            vec![to("http://localhost/adminapi/beta/{t}/InvokeCommand")],
            url,
        ),
        (
            "scheme in upper case",
            vec![to("HTTPS://localhost/adminapi/beta/{t}/InvokeCommand")],
            url,
        ),
        (
            "blank before the scheme",
            vec![to(" https://localhost/adminapi/beta/{t}/InvokeCommand")],
            url,
        ),
        (
            "another host",
            vec![to("https://evil.example/adminapi/beta/{t}/InvokeCommand")],
            host,
        ),
        (
            "another port",
            vec![to("https://localhost:1/adminapi/beta/{t}/InvokeCommand")],
            host,
        ),
        (
            "host as user information",
            vec![to(
                "https://localhost@evil.example/adminapi/beta/{t}/InvokeCommand",
            )],
            host,
        ),
        (
            "host as password",
            vec![to(
                "https://x:localhost@evil.example/adminapi/beta/{t}/InvokeCommand",
            )],
            host,
        ),
        (
            "host with a tail",
            vec![to(
                "https://localhost.evil.example/adminapi/beta/{t}/InvokeCommand",
            )],
            host,
        ),
        (
            "host behind a backslash",
            vec![to(
                r"https://evil.example\\@localhost/adminapi/beta/{t}/InvokeCommand",
            )],
            host,
        ),
        (
            "host and a query at once",
            vec![to(
                "https://evil.example?x=https://localhost/adminapi/beta/{t}/InvokeCommand",
            )],
            host,
        ),
        (
            "host with a dot at its end",
            vec![to("https://localhost./adminapi/beta/{t}/InvokeCommand")],
            host,
        ),
        (
            "no host",
            vec![to("https:///adminapi/beta/{t}/InvokeCommand")],
            host,
        ),
        (
            "another tenant",
            vec![to(
                "https://localhost/adminapi/beta/fabrikam.example/InvokeCommand",
            )],
            Refused(400, "batch-tenant"),
        ),
        (
            "another version",
            vec![to("https://localhost/adminapi/v1.0/{t}/InvokeCommand")],
            Refused(400, "batch-version"),
        ),
        (
            "another action",
            vec![to("https://localhost/adminapi/beta/{t}/ResolveTenant")],
            form,
        ),
        (
            "write to an entity",
            vec![to("https://localhost/adminapi/beta/{t}/Mailbox('eva')")],
            form,
        ),
        (
            "dots in the path",
            vec![to("https://localhost/adminapi/beta/{t}/x/../InvokeCommand")],
            Refused(400, "dot-segment"),
        ),
        (
            "fragment",
            vec![to("https://localhost/adminapi/beta/{t}/InvokeCommand#x")],
            Refused(400, "path-character"),
        ),
        (
            "another path",
            vec![to("https://localhost/PowerShell-LiveId")],
            Refused(400, "unknown-path"),
        ),
        (
            "option",
            vec![to("https://localhost/adminapi/beta/{t}/InvokeCommand?x=y")],
            Refused(400, "unknown-query-key"),
        ),
        (
            "regional host",
            vec![to(
                "https://localhost/adminapi/beta/{t}/InvokeCommand?portcullis-host=evil.example",
            )],
            Refused(400, "regional-item"),
        ),
        (
            "method in lower case",
            vec![plain.replace("POST", "post")],
            method,
        ),
        ("read", vec![plain.replace("POST", "GET")], method),
        ("change", vec![plain.replace("POST", "PATCH")], method),
        (
            "method that is none",
            vec![plain.replace("POST", "POST DELETE")],
            method,
        ),
        (
            "body as text",
            vec![body(&Value::from(REMOVE).to_string())],
            kind,
        ),
        ("body as list", vec![body(&format!("[{REMOVE}]"))], kind),
        (
            "no body",
            vec![plain.replace(&format!(",\"body\":{READ}"), "")],
            Refused(400, "missing-member"),
        ),
        (
            "body with two names",
            vec![body(
                r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","cmdletName":"Remove-Mailbox"}}"#,
            )],
            twice,
        ),
        (
            "name that is none",
            vec![body(
                r#"{"CmdletInput":{"CmdletName":"Exchange\\Remove-Mailbox"}}"#,
            )],
            Refused(400, "bad-cmdlet-name"),
        ),
        ("headers as list", vec![headers("[]")], kind),
        (
            "header twice",
            vec![headers(r#"{"Prefer":"a","prefer":"b"}"#)],
            twice,
        ),
        (
            "header with a line end",
            vec![headers(r#"{"X-AnchorMailbox":"a\r\nX: y"}"#)],
            Refused(400, "bad-header"),
        ),
        (
            "method override",
            vec![headers(r#"{"X-HTTP-Method-Override":"DELETE"}"#)],
            Refused(400, "method-override"),
        ),
        (
            "parameter in a header",
            vec![headers(r#"{"XParameter-Identity":"ZXZh"}"#)],
            Refused(400, "header-parameter"),
        ),
        (
            "another type",
            vec![headers(r#"{"Content-Type":"application/xml"}"#)],
            Refused(415, "unsupported-media-type"),
        ),
        (
            "compressed",
            vec![headers(r#"{"Content-Encoding":"gzip"}"#)],
            Refused(415, "content-coding"),
        ),
        (
            "credential of another",
            vec![headers(&format!(
                r#"{{"Authorization":"{}"}}"#,
                basic("sys1")
            ))],
            Refused(403, "foreign-item"),
        ),
        (
            "credential of another in the second item",
            vec![
                plain.clone(),
                headers(&format!(r#"{{"Authorization":"{}"}}"#, basic("sys1")))
                    .replace("\"0\"", "\"1\""),
            ],
            Refused(403, "foreign-item"),
        ),
        (
            "credential that is none",
            vec![headers(r#"{"Authorization":"Bearer x"}"#)],
            Refused(401, "wrong-scheme"),
        ),
        ("not an item", vec!["null".to_owned()], kind),
    ] {
        catalogue
            .attempt(trick, &Raw::invoke(batch(&items)).to(PATH), outcome)
            .await;
    }
    for (trick, body, outcome) in [
        (
            "two lists",
            format!(r#"{{"requests":[{plain}],"requests":[{plain}]}}"#),
            twice,
        ),
        (
            "two lists, one in upper case",
            format!(r#"{{"requests":[{plain}],"Requests":[{plain}]}}"#),
            twice,
        ),
        (
            "another member beside the list",
            format!(r#"{{"requests":[{plain}],"CmdletInput":{{"CmdletName":"Remove-Mailbox"}}}}"#),
            unknown,
        ),
        ("a list alone", format!("[{plain}]"), kind),
        ("an envelope", REMOVE.to_owned(), unknown),
    ] {
        catalogue
            .attempt(trick, &Raw::invoke(body).to(PATH), outcome)
            .await;
    }
    let multipart =
        "--x\r\nContent-Type: application/http\r\n\r\nPOST InvokeCommand HTTP/1.1\r\n\r\n--x--\r\n";
    let multipart = Raw::invoke(multipart)
        .to(PATH)
        .without("Content-Type")
        .line("Content-Type: multipart/mixed; boundary=x");
    catalogue
        .attempt(
            "multipart",
            &multipart,
            Refused(415, "unsupported-media-type"),
        )
        .await;
    let in_escapes = Raw::invoke(REMOVE).to("/adminapi/beta/{t}/%24batch");
    catalogue
        .attempt("an envelope at the path in escapes", &in_escapes, unknown)
        .await;
    let qualified =
        Raw::invoke(batch(std::slice::from_ref(&plain))).to("/adminapi/beta/{t}/$Batch");
    catalogue
        .attempt(
            "the path in another case",
            &qualified,
            Refused(400, "unknown-path"),
        )
        .await;
    mixed(&mut catalogue).await;
    catalogue.close(&["Get-Mailbox"]).await;
}

/// A batch of which some items may pass: those alone arrive, under the gateway's credential, and each is answered.
async fn mixed(catalogue: &mut Catalogue) {
    let mine = |id: &str, body: &str| {
        item(id, body).replace("{\"Content-Type\"", &format!("{{\"Authorization\":\"{}\",\"X-CmdletName\":\"Get-Mailbox\",\"Cookie\":\"x\",\"Content-Type\"", basic("ana")))
    };
    let own = r#"{"CmdletInput":{"CmdletName":"Disable-ElevatedAccessControl","Parameters":{}}}"#;
    let never = r#"{"CmdletInput":{"CmdletName":"New-JournalRule","Parameters":{"Name":"x","JournalEmailAddress":"x@ext.example"}}}"#;
    for (trick, items, words, statuses, arrived) in [
        (
            "control: all pass",
            vec![mine("a", READ), mine("b", READ)],
            "ungoverned-allowed ungoverned-allowed",
            vec![("a", 200), ("b", 200)],
            vec!["a", "b"],
        ),
        (
            "governed between others",
            vec![mine("a", READ), mine("b", REMOVE), item("c", READ)],
            "ungoverned-allowed needs-approval ungoverned-allowed",
            vec![("a", 200), ("b", 403), ("c", 200)],
            vec!["a", "c"],
        ),
        (
            "governed last, under the name of the first",
            vec![item("a", READ), mine("b", REMOVE)],
            "ungoverned-allowed needs-approval",
            vec![("a", 200), ("b", 403)],
            vec!["a"],
        ),
        (
            "all governed",
            vec![item("a", REMOVE), item("b", never)],
            "needs-approval never",
            vec![("a", 403), ("b", 403)],
            vec![],
        ),
        (
            "the gateway's own among others",
            vec![item("a", own), item("b", READ)],
            "gateway-cmdlet ungoverned-allowed",
            vec![("a", 403), ("b", 200)],
            vec!["b"],
        ),
        (
            "id that looks like JSON",
            vec![item(r#"\"},{\"id\":\"z"#, READ), item("b", REMOVE)],
            "ungoverned-allowed needs-approval",
            vec![("\"},{\"id\":\"z", 200), ("b", 403)],
            vec!["\"},{\"id\":\"z"],
        ),
    ] {
        let before = catalogue.arrived().len();
        let path = PATH.replace("{t}", TENANT);
        let mut sent = request("ana", Method::POST, &path, batch(&items));
        sent.headers_mut()
            .insert("x-cmdletname", "Get-Mailbox".parse().unwrap());
        sent.headers_mut()
            .insert("host", "localhost".parse().unwrap());
        let answer = catalogue.gateway.send(Http::One, sent).await;
        let answers = answer.json();
        let found: Vec<_> = answers["responses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (it["id"].as_str().unwrap(), it["status"].as_u64().unwrap()))
            .collect();
        catalogue.check(
            answer.status == 200 && found == statuses,
            &format!("{trick}: {found:?}"),
        );
        let requests = catalogue.arrived().split_off(before);
        catalogue.check(requests.len() == usize::from(!arrived.is_empty()), trick);
        for request in requests {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let items = body["requests"].as_array().unwrap();
            let ids: Vec<_> = items.iter().map(|it| it["id"].as_str().unwrap()).collect();
            catalogue.check(ids == arrived, &format!("{trick}: arrived {ids:?}"));
            for item in items {
                let headers = &item["headers"];
                catalogue.check(
                    headers["Authorization"] == format!("Bearer {SERVICE_TOKEN}"),
                    &format!("{trick}: credential of an item"),
                );
                catalogue.check(
                    headers["X-CmdletName"] == item["body"]["CmdletInput"]["CmdletName"],
                    &format!("{trick}: name of an item"),
                );
                catalogue.check(
                    headers["Cookie"] == Value::Null,
                    &format!("{trick}: cookie of an item"),
                );
                let url = item["url"].as_str().unwrap();
                catalogue.check(
                    url == format!(
                        "{}/adminapi/beta/{TENANT}/InvokeCommand",
                        catalogue.gateway.sample.origin()
                    ),
                    url,
                );
            }
        }
        catalogue.expect_record(trick, words);
    }
}
