"""The Exchange Online module's shape against the gateway, over HTTP/1.1 and HTTP/2."""

import pytest
import upstream as upstreams
from exo_module import CommandFailed, Module
from tokens import TENANT

ANA, AMY = "ana@contoso.example", "amy@contoso.example"


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def people(request, world):
    """Sessions by name, each with a token of its own."""
    opened = {}

    def session(upn: str) -> Module:
        if upn not in opened:
            gateway = world.gateway
            opened[upn] = Module(gateway.base, gateway.ca, TENANT, world.entra.user(upn), upn, http2=request.param)
        return opened[upn]

    yield session
    for it in opened.values():
        it.close()


def test_connecting_reads_the_module_file_and_warms_up(world, people):
    assert "New-MoveRequest" in people(ANA).connect()
    paths = [it.target.split("/", 4)[4] for it in world.upstream.take()]
    assert paths[:3] == ["EXOBanner('AutogenSession')?Version=3.9.0", "EXOModuleFile?Version=3.9.0", "basicinfo('AdminApiState')"]
    assert paths[3].startswith("Recipient?")


def test_a_list_comes_whole_through_pages_at_the_gateway(world, people):
    found = people(ANA).run("Get-Mailbox", page_size=3, ResultSize="Unlimited")
    assert [it["Identity"] for it in found] == upstreams.MAILBOXES
    arrived = world.upstream.take()
    assert len(arrived) == 3, "three pages, each asked through the gateway"
    assert len({it.headers["client-request-id"] for it in arrived}) == 1
    assert len({it.body for it in arrived}) == 1, "each page repeats the command"


def test_what_arrives_has_the_clients_headers_and_its_own_token(world, people):
    session = people(ANA)
    session.run("get-mailbox", Identity=ANA)
    (arrived,) = world.upstream.take()
    assert arrived.headers["authorization"] == f"Bearer {session.token}", "passthrough"
    assert arrived.headers["x-cmdletname"] == "get-mailbox"
    assert arrived.headers["x-responseformat"] == "clixml"
    assert arrived.headers["x-anchormailbox"] == f"UPN:{ANA}"
    assert arrived.headers["x-clientmoduleversion"] == "3.9.0"
    assert arrived.headers["host"] == world.upstream.authority
    assert arrived.json == {"CmdletInput": {"CmdletName": "get-mailbox", "Parameters": {"Identity": ANA}}}


def test_a_block_is_shown_with_the_next_command_and_never_retried(world, people):
    session = people(ANA)
    with pytest.raises(CommandFailed) as failed:
        session.run("New-MoveRequest", Identity="zed@contoso.example")
    assert failed.value.status == 403
    assert failed.value.category == "PermissionDenied"
    assert failed.value.reason == "AccessDeniedException"
    assert r"New-ElevatedAccessRequest -Task 'Exchange\New-MoveRequest'" in failed.value.text
    assert session.waits == [] and world.upstream.take() == []


def test_a_request_is_filed_approved_used_and_revoked_with_cmdlets_alone(world, people):
    ana, amy = people(ANA), people(AMY)
    (request,) = ana.run(
        "New-ElevatedAccessRequest", Task=r"Exchange\New-MoveRequest", Reason="Ticket 4711", DurationHours=1
    )
    assert request["RequestStatus"] == "Pending", request
    with pytest.raises(CommandFailed) as own:
        ana.run("Approve-ElevatedAccessRequest", RequestId=request["Identity"])
    assert own.value.status in (400, 403)
    amy.run("Approve-ElevatedAccessRequest", RequestId=request["Identity"], Comment="ok")
    (seen,) = ana.run("Get-ElevatedAccessRequest", Identity=request["Identity"])
    assert seen["RequestStatus"] == "Approved"
    ana.run("New-MoveRequest", Identity="zed@contoso.example")
    assert [it.cmdlet for it in world.upstream.take()] == ["New-MoveRequest"], "gateway cmdlets stay at the gateway"
    amy.run("Revoke-ElevatedAccessAuthorization", RequestId=request["Identity"], Comment="done")
    with pytest.raises(CommandFailed):
        ana.run("New-MoveRequest", Identity="zed@contoso.example")
    assert world.upstream.take() == []


def test_a_cmdlet_that_prompts_is_decided_on_both_calls(world, people):
    ana, amy = people(ANA), people(AMY)
    questions = []

    def yes(question: str) -> bool:
        questions.append(question)
        return True

    with pytest.raises(CommandFailed):
        ana.run("Remove-Mailbox", confirmed=yes, Identity="old@contoso.example")
    assert questions == [] and world.upstream.take() == []
    (request,) = ana.run("New-ElevatedAccessRequest", Task=r"Exchange\Remove-Mailbox", Reason="leaver", DurationHours=1)
    amy.run("Approve-ElevatedAccessRequest", RequestId=request["Identity"])
    ana.run("Remove-Mailbox", confirmed=yes, Identity="old@contoso.example")
    assert questions == ["Are you sure you want to run Remove-Mailbox?"]
    assert [parameters["Confirm"] for _, parameters in world.upstream.executed] == [False]
    assert [it.json["CmdletInput"]["Parameters"]["Confirm"] for it in world.upstream.take()] == [True, False]
    amy.run("Revoke-ElevatedAccessAuthorization", RequestId=request["Identity"])


def test_a_batch_runs_what_is_allowed_and_explains_what_is_not(world, people):
    session = people(ANA)
    calls = [("Get-Mailbox", {"Identity": it}) for it in upstreams.MAILBOXES]
    calls += [("New-MoveRequest", {"Identity": "zed"}), ("New-JournalRule", {"Name": "j"}), ("Get-Missing", {"Identity": "zed"})]
    results = session.batch(calls)
    assert [isinstance(it, CommandFailed) for it in results] == [False] * 7 + [True] * 3
    needs, never, missing = results[7:]
    assert "New-ElevatedAccessRequest" in needs.text and needs.status == 403
    assert never.status == 403 and "New-JournalRule" in never.text
    assert (missing.status, missing.text.rsplit("|", 1)[1]) == (404, "The mailbox 'zed' wasn't found.")
    batch, alone = world.upstream.take()
    names = [it["body"]["CmdletInput"]["CmdletName"] for it in batch.json["requests"]]
    assert names == ["Get-Mailbox"] * 7 + ["Get-Missing"], "denied items never leave the gateway"
    assert alone.cmdlet == "Get-Missing", "only what may run is sent again"
    assert "odata.continue-on-error" in batch.headers["prefer"]


def test_errors_of_the_service_are_shown_as_it_said_them(world, people):
    with pytest.raises(CommandFailed) as failed:
        people(ANA).run("Get-Missing", Identity="zed")
    assert failed.value.status == 404
    assert failed.value.reason == "ManagementObjectNotFoundException"
    assert failed.value.text == "Ex1A2B3C|Tasks.ManagementObjectNotFoundException|The mailbox 'zed' wasn't found."


@pytest.mark.parametrize("status", [429, 503, 504])
def test_what_the_service_asks_to_repeat_is_repeated(world, people, status):
    world.upstream.failures += [(status, {"Retry-After": "7"}), (status, {})]
    session = people(ANA)
    assert len(session.run("Get-Mailbox")) == len(upstreams.MAILBOXES)
    assert session.waits == [7.0, 4.0], "Retry-After reaches the client"
    arrived = world.upstream.take()
    assert len(arrived) == 3 and len({it.headers["client-request-id"] for it in arrived}) == 1


def test_a_token_that_ends_in_a_session_is_renewed_and_the_call_repeated(world, people):
    session = people(ANA)
    session.token = world.entra.user(ANA, exp=1_700_000_000, nbf=None)
    session.renew = lambda: world.entra.user(ANA)
    assert session.run("Get-Mailbox")
    assert session.waits == [2.0]
    assert len(world.upstream.take()) == 1, "the call with the old token never went on"


def test_warnings_of_a_write_reach_the_client(people):
    session = people(ANA)
    assert session.run("Set-Mailbox", Identity=ANA, ForwardingAddress=None, GrantSendOnBehalfTo={
        "@odata.type": "#Exchange.GenericHashTable", "add": AMY,
    }) == []
    assert session.warnings == ["Nothing was changed."]
