//! Reads of entities, as the `Get-EXO*` cmdlets and CIPP send them (exchange-rest section 5.2).

use super::super::write;
use super::*;

fn round_trip(call: &Call) -> String {
    let out = write(call);
    assert!(out.body.is_empty());
    assert_eq!(Sent::from(out.clone()).call(), *call);
    let start = format!("/adminapi/beta/{TENANT}");
    out.path_and_query.strip_prefix(&start).unwrap().to_owned()
}

#[test]
fn each_known_read_is_its_cmdlet() {
    const GUIDS: &str = "mailboxGuid=0f3c0000-0000-4000-8000-000000000001,databaseGuid=0f3c0000-0000-4000-8000-000000000002";
    let by_guids = format!("/Mailbox/Exchange.GetMailboxStatisticsV2({GUIDS})");
    for (path, expected) in [
        ("/Mailbox", r"Get-EXOMailbox"),
        (
            "/Mailbox('a@c.example')",
            "Get-EXOMailbox -Identity a@c.example",
        ),
        (
            "/Mailbox?$filter=RecipientTypeDetails%20eq%20'SharedMailbox'&$select=Name&PropertySet=Archive&$top=5",
            "Get-EXOMailbox -Filter RecipientTypeDetails eq 'SharedMailbox' -Properties Name -PropertySets Archive -ResultSize 5",
        ),
        (
            "/Mailbox?SoftDeletedMailbox=true&Anr=x&OrganizationalUnit=y",
            "Get-EXOMailbox -SoftDeletedMailbox True -Anr x -OrganizationalUnit y",
        ),
        (
            "/Mailbox('a@c.example')/MailboxPermission",
            "Get-EXOMailboxPermission -Identity a@c.example",
        ),
        (
            "/Mailbox('a@c.example')/MailboxFolder('Calendar')/MailboxFolderPermission?IsUsingMailboxFolderId=True",
            "Get-EXOMailboxFolderPermission -Identity a@c.example -Folder Calendar -IsUsingMailboxFolderId True",
        ),
        (
            "/Mailbox('a@c.example')/Exchange.GetMailboxStatistics()",
            "Get-EXOMailboxStatistics -Identity a@c.example",
        ),
        (
            &by_guids,
            "Get-EXOMailboxStatistics -ExchangeGuid 0f3c0000-0000-4000-8000-000000000001 -DatabaseGuid 0f3c0000-0000-4000-8000-000000000002",
        ),
        (
            "/Mailbox('a@c.example')/MailboxFolder/Exchange.GetMailboxFolderStatistics(folderscope=Exchange.ElcFolderType'All')",
            "Get-EXOMailboxFolderStatistics -Identity a@c.example -FolderScope All",
        ),
        (
            "/Mailbox('a@c.example')/MobileDevice/Exchange.GetMobileDeviceStatistics()",
            "Get-EXOMobileDeviceStatistics -Mailbox a@c.example",
        ),
        (
            "/Mailbox('a@c.example')/MobileDevice/Exchange.GetMobileDeviceStatisticsByIdentity(Identity='d')",
            "Get-EXOMobileDeviceStatistics -Mailbox a@c.example -Identity d",
        ),
        ("/Recipient?$filter=x", "Get-EXORecipient -Filter x"),
        (
            "/Recipient/Exchange.BySmtpAddress(SmtpAddress='a@c.example')",
            "Get-EXORecipient -Identity a@c.example",
        ),
        (
            "/Recipient('a@c.example')",
            "Get-EXORecipient -Identity a@c.example",
        ),
        (
            "/Recipient('a@c.example')?$expand=RecipientPermission",
            "Get-EXORecipientPermission -Identity a@c.example",
        ),
        (
            "/Recipient/Exchange.GetRecipientPermissionByFilters(identity='a',trustee=null,accessRights='SendAs')",
            "Get-EXORecipientPermission -Identity a -Trustee $null -AccessRights SendAs",
        ),
        (
            "/CasMailbox('a@c.example')",
            "Get-EXOCasMailbox -Identity a@c.example",
        ),
    ] {
        let call = get(path).call();
        assert_eq!(line(&call), format!(r"Exchange\{expected}"), "{path}");
        round_trip(&call);
    }
}

#[test]
fn identities_are_decoded_and_quoted_again() {
    for (path, identity, written) in [
        ("/Mailbox('O''Neil')", "O'Neil", "/Mailbox('O%27%27Neil')"),
        (
            "/Mailbox(%27O%27%27Neil%27)",
            "O'Neil",
            "/Mailbox('O%27%27Neil')",
        ),
        (
            "/mailbox('J%C3%BCrgen+%28x%29')",
            "Jürgen+(x)",
            "/Mailbox('J%C3%BCrgen%2B%28x%29')",
        ),
        ("/Mailbox('null')/", "null", "/Mailbox('null')"),
        (
            "/mailbox('YUBjLmV4YW1wbGU=')/MobileDevice/Exchange.GetMobileDeviceStatistics()/?IsEncoded=True",
            "a@c.example",
            "/Mailbox('YUBjLmV4YW1wbGU%3D')/MobileDevice/Exchange.GetMobileDeviceStatistics()?isEncoded=true",
        ),
        // Without its padding.
        (
            "/Mailbox('YUBjLmV4YW1wbGU')?isEncoded=true",
            "a@c.example",
            "/Mailbox('YUBjLmV4YW1wbGU%3D')?isEncoded=true",
        ),
        // What a path may not hold, base64 may: `ou/\;name`.
        (
            "/Mailbox('b3UvXDtuYW1l')?isEncoded=true",
            r"ou/\;name",
            "/Mailbox('b3UvXDtuYW1l')?isEncoded=true",
        ),
        (
            "/Mailbox('YUBjLmV4YW1wbGU=')?isEncoded=false",
            "YUBjLmV4YW1wbGU=",
            "/Mailbox('YUBjLmV4YW1wbGU%3D')",
        ),
    ] {
        let call = get(path).call();
        let parameters = &call.command().unwrap().parameters;
        let value = parameters
            .get("Identity")
            .or(parameters.get("Mailbox"))
            .unwrap();
        assert_eq!(value.display(), identity, "{path}");
        assert_eq!(round_trip(&call), written);
    }
}

#[test]
fn folders_are_in_base64_when_identities_are() {
    let call = get("/Mailbox('YUBjLmV4YW1wbGU=')/MailboxFolder('XENhbGVuZGFy')/MailboxFolderPermission?isEncoded=true").call();
    assert_eq!(
        line(&call),
        r"Exchange\Get-EXOMailboxFolderPermission -Identity a@c.example -Folder \Calendar"
    );
    round_trip(&call);
}

#[test]
fn an_identity_in_the_header_is_the_identity() {
    let at = |path: &str, value: &str| get(path).header("xparameter-identity", value);
    // As the module sends it for a set.
    let call = at(
        "/Recipient?$select=Name&ReadIdsAndParamsFromHeaders=True",
        "YUBjLmV4YW1wbGU=",
    )
    .call();
    assert_eq!(
        line(&call),
        r"Exchange\Get-EXORecipient -Identity a@c.example -Properties Name"
    );
    let out = write(&call);
    assert_eq!(
        out.headers.get("xparameter-identity").unwrap(),
        "YUBjLmV4YW1wbGU="
    );
    round_trip(&call);
    // With a placeholder in the path: the header wins, and is the only identity that goes upstream.
    for (path, value) in [
        (
            "/Mailbox('id')?ReadIdsAndParamsFromHeaders=true",
            "YUBjLmV4YW1wbGU=",
        ),
        ("/Mailbox('b@c.example')?isEncoded=true", "YUBjLmV4YW1wbGU="),
        ("/Mailbox('b@c.example')", "a@c.example"),
    ] {
        let call = at(path, value).call();
        assert_eq!(
            line(&call),
            r"Exchange\Get-EXOMailbox -Identity a@c.example"
        );
        assert!(write(&call).headers.get("xparameter-identity").is_none());
        assert_eq!(
            round_trip(&call),
            "/Mailbox('YUBjLmV4YW1wbGU%3D')?isEncoded=true"
        );
    }
}

#[test]
fn identities_that_could_be_read_in_two_ways_are_refused() {
    let at = |path: &str, value: &str| get(path).header("xparameter-identity", value);
    for sent in [
        // Text or base64?
        at("/Mailbox('id')", "YUBjLmV4YW1wbGU="),
        at("/Recipient", "chad"),
        // Base64 of no text.
        at("/Mailbox('id')?ReadIdsAndParamsFromHeaders=True", "//79"),
        at(
            "/Mailbox('id')?ReadIdsAndParamsFromHeaders=True",
            "a@c.example",
        ),
        at("/Mailbox('id')?ReadIdsAndParamsFromHeaders=True", ""),
        get("/Mailbox('a@c.example')?isEncoded=true"),
        get("/Mailbox('YQBiAA==')?isEncoded=true"),
        get("/Mailbox('')"),
        // Nothing to decode, or more than the identity.
        get("/Mailbox?isEncoded=true"),
        get("/Mailbox?ReadIdsAndParamsFromHeaders=True"),
        get("/Recipient/Exchange.BySmtpAddress(SmtpAddress='YUBjLmV4YW1wbGU=')?isEncoded=true"),
        at(
            "/Recipient/Exchange.BySmtpAddress(SmtpAddress='a')",
            "a@c.example",
        ),
        at(
            "/Mailbox('a')/MailboxFolder('f')/MailboxFolderPermission",
            "a@c.example",
        ),
    ] {
        assert_eq!(sent.reason(), "bad-identity", "{}", sent.path);
    }
    let twice = at("/Recipient", "a@c.example").header("xparameter-identity", "b@c.example");
    assert_eq!(twice.reason(), "duplicate-header");
}

#[test]
fn other_reads_and_every_write_are_refused() {
    for path in [
        "/User('a')",
        "/RoleAssignments",
        "/Mailbox('a')/Exchange.UpdateMailboxArchive()",
        "/Mailbox('a')/Exchange.RestoreRecoverableItems()",
        "/Mailbox('a')/Exchange.GetMailboxStatistics",
        "/Mailbox('a')/GetMailboxStatistics()",
        "/Mailbox('a')('b')",
        "/Mailbox('a'",
        "/Mailbox(a)",
        "/Mailbox()",
        "/Mailbox(Identity='a')",
        "/Mailbox('a','b')",
        "/Mailbox(@p)?@p='a'",
        "/Mailbox('a')/$value",
        "/Mailbox('a')/MailboxFolder/Exchange.GetMailboxFolderStatistics(folderscope='a b')",
        "/Mailbox/Exchange.GetMailboxStatisticsV2(mailboxGuid=1,databaseGuid=2)",
        "/Recipient('a')?$expand=Manager",
        "/Mailbox('a')?$expand=RecipientPermission",
    ] {
        assert_eq!(get(path).status(), 400, "{path}");
    }
    assert_eq!(get("/Mailbox?GroupMailbox=maybe").reason(), "bad-query");
    assert_eq!(get("/Mailbox?$top=-1").reason(), "bad-query");
    let mut with_body = get("/Mailbox");
    with_body.body = GET_MAILBOX.into();
    assert_eq!(with_body.reason(), "unexpected-body");
}

#[test]
fn a_page_of_a_read_is_a_page() {
    let call = get(
        "/Mailbox?$filter=a%20eq%20b&$skiptoken=x%3D&portcullis-host=eur01.outlook.office365.com",
    )
    .call();
    assert!(call.is_page());
    assert_eq!(call.regional_host(), Some("eur01.outlook.office365.com"));
    assert_eq!(
        write(&call).path_and_query,
        format!("/adminapi/beta/{TENANT}/Mailbox?$filter=a%20eq%20b&$skiptoken=x%3D")
    );
}

#[test]
fn an_identity_whose_base64_has_a_slash_is_written_as_text() {
    let placed = |identity: &str| {
        let read = get("/Mailbox('x')?isEncoded=true");
        read.header("XParameter-Identity", identity)
    };
    let call = placed("Pz8/").call();
    assert_eq!(line(&call), r"Exchange\Get-EXOMailbox -Identity ???");
    assert_eq!(round_trip(&call), "/Mailbox('%3F%3F%3F')");
    // `/??` has a slash either way.
    assert_eq!(placed("Lz8/").reason(), "bad-identity");
}
