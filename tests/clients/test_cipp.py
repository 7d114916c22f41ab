"""CIPP's shape against the gateway."""

import json

import pytest
import upstream as upstreams
from cipp import Cipp, ExoFailed, normalized_error
from tokens import TENANT

ANA = "ana@contoso.example"


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def cipp(request, world):
    with Cipp(world.gateway.base, world.gateway.ca, TENANT, world.entra.user(ANA), http2=request.param) as client:
        yield client


def test_a_read_passes_without_a_cmdlet_header_and_gets_one_upstream(world, cipp):
    found = cipp.request("Get-Mailbox", {"ResultSize": "Unlimited"}, select="Identity")
    assert [it["Identity"] for it in found] == upstreams.MAILBOXES
    (arrived,) = world.upstream.take()
    assert arrived.headers["x-cmdletname"] == "Get-Mailbox"
    assert arrived.target.endswith("/InvokeCommand?$select=Identity")


def test_a_block_is_thrown_with_its_reason_wherever_cipp_looks(world, cipp):
    with pytest.raises(ExoFailed) as failed:
        cipp.request("New-MoveRequest", {"Identity": "zed"})
    assert "New-ElevatedAccessRequest -Task" in str(failed.value)
    raw = cipp.http.post(
        f"{cipp.base}/adminapi/beta/{TENANT}/InvokeCommand", headers=cipp._headers("UPN:x@contoso.example"),
        content=json.dumps({"CmdletInput": {"CmdletName": "New-MoveRequest", "Parameters": {}}}),
    )
    assert raw.status_code == 403 and raw.headers["content-type"].startswith("application/json")
    text = normalized_error(raw.text)
    assert text.startswith("New-MoveRequest needs approval") and "|" not in text
    assert world.upstream.take() == []


def test_a_write_without_objects_shows_its_warnings(cipp):
    assert cipp.request("Set-Mailbox", {"Identity": ANA, "ForwardingAddress": None}) == "Nothing was changed."


def test_a_bulk_request_runs_what_is_allowed_and_names_what_is_not(world, cipp):
    calls = [("Set-Mailbox", {"Identity": it}) for it in upstreams.MAILBOXES] + [("Get-Mailbox", {}), ("Remove-Mailbox", {"Identity": "x"})]
    results = cipp.bulk(calls)
    assert [it["Identity"] for it in results if "error" not in it] == upstreams.MAILBOXES
    (denied,) = [it for it in results if "error" in it]
    assert denied["cmdlet"] == "Remove-Mailbox" and "needs approval" in denied["error"]
    (batch,) = world.upstream.take()
    items = batch.json["requests"]
    assert [it["body"]["CmdletInput"]["CmdletName"] for it in items] == ["Set-Mailbox"] * 7 + ["Get-Mailbox"]
    for item in items:
        assert item["headers"]["Authorization"] == f"Bearer {cipp.token}"
        assert item["headers"]["X-CmdletName"] == item["body"]["CmdletInput"]["CmdletName"]
        assert item["url"].startswith(f"https://{world.upstream.authority}/adminapi/beta/{TENANT}/InvokeCommand")


def test_a_bulk_request_goes_on_with_next_links_at_the_gateway(world, cipp):
    wide = cipp._headers

    def narrow(anchor):
        return wide(anchor) | {"Prefer": "odata.maxpagesize=4"}

    cipp._headers = narrow
    found = cipp.request("Get-Mailbox", {})
    assert [it["Identity"] for it in found] == upstreams.MAILBOXES
    assert len(world.upstream.take()) == 2


def test_a_bulk_request_that_is_wholly_denied_is_a_success_outside_and_tells_of_each_item(world, cipp):
    results = cipp.bulk([("New-MoveRequest", {"Identity": "a"}), ("New-JournalRule", {"Name": "j"})])
    assert [it["cmdlet"] for it in results] == ["New-MoveRequest", "New-JournalRule"]
    assert all("error" in it for it in results), "an outer 403 would have been swallowed as success"
    assert world.upstream.take() == []


def test_an_outer_failure_is_a_403_that_runs_nothing(world, cipp):
    """CIPP swallows it and shows no result: so nothing of it may have run."""
    cipp.tenant = "99999999-0000-4000-8000-000000000009"
    assert cipp.bulk([("Get-Mailbox", {})]) == []
    answer = cipp.http.post(
        f"{cipp.base}/adminapi/beta/{cipp.tenant}/$batch", headers=cipp._headers("UPN:x@contoso.example"),
        content=json.dumps({"requests": [{
            "id": "0", "method": "POST", "url": f"{cipp.base}/adminapi/beta/{cipp.tenant}/InvokeCommand",
            "body": {"CmdletInput": {"CmdletName": "Get-Mailbox"}},
        }]}),
    )
    assert answer.status_code == 403 and answer.json()["error"]["message"]
    assert world.upstream.take() == []


def test_items_with_another_callers_credential_run_nothing(world, cipp):
    url = f"{cipp.base}/adminapi/beta/{TENANT}"
    item = {
        "id": "0", "method": "POST", "url": f"{url}/InvokeCommand", "body": {"CmdletInput": {"CmdletName": "Get-Mailbox"}},
        "headers": {"Authorization": f"Bearer {world.entra.user('amy@contoso.example')}"},
    }
    answer = cipp.http.post(f"{url}/$batch", headers=cipp._headers("UPN:x@x.example"), content=json.dumps({"requests": [item]}))
    failed = answer.status_code >= 400 or all(it["status"] >= 400 for it in answer.json()["responses"])
    assert failed, answer.text
    assert world.upstream.take() == []
