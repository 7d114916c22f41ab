"""Clients of remote PowerShell that break off: what the gateway says of a pipeline stays what is so at the server.

Each of them is tried at several moments. What the server ran and stopped, its own journal says.
"""

import threading
import time
import uuid

import leaving
import pytest
import wsman
from remoting import ANA, IVY, PASSWORD, UNA, World
from wsman import RSP, TRANSFER, argument, command, envelope, pipeline

SETTINGS = """
[endpoint.remoting]
pipelines_per_shell = 3
"""
SLEEP = pipeline(command("Start-Sleep", argument("Seconds", "600")))
VERSIONS = {"HTTP/1.1": leaving.Http1, "HTTP/2": leaving.Http2}


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with World(tmp_path_factory.mktemp("leaving"), SETTINGS) as remote:
        yield remote


@pytest.fixture(params=VERSIONS.values(), ids=VERSIONS)
def connect(request, remote):
    """Connections of Una's over one version of HTTP."""
    return lambda: request.param(wsman.Wire(remote.base, UNA, PASSWORD, remote.ca))


@pytest.fixture
def session(remote):
    opened = []

    def open_session(user: str = UNA) -> wsman.Session:
        opened.append(wsman.Session(wsman.Wire(remote.base, user, PASSWORD, remote.ca)).opened())
        return opened[-1]

    yield open_session
    for it in opened:
        it.delete()
        it.wire.connection.close()


def started(remote, session: wsman.Session, body: str = SLEEP) -> uuid.UUID:
    """The id of a pipeline that runs at the server."""
    at = uuid.uuid4()
    assert session.start(body, at).status == 200
    remote.exchange.wait_until(lambda: any(it["pipeline"] == str(at) for it in remote.exchange.journal), "it runs")
    return at


def is_stopped(remote, at: uuid.UUID) -> bool:
    return str(at) in remote.exchange.endpoint.stopped


def of_pipeline(remote, at: uuid.UUID, verdict: str) -> list[str]:
    """The decisions about this pipeline."""
    return [it["decision"] for it in remote.decisions(client_request_id=str(at), verdict=verdict)]


def outcome(remote, at: uuid.UUID) -> str:
    """How it ended on record."""
    (decision,) = of_pipeline(remote, at, "allow")
    return remote.record(lambda it: it["kind"] == "outcome" and it["decision"] == decision)["result"]


def is_open_upstream(remote, shell: uuid.UUID) -> bool:
    return str(shell).upper() in remote.exchange.endpoint.shells


@pytest.mark.parametrize("moment", leaving.MOMENTS)
def test_a_session_that_is_closed_by_a_client_that_leaves_is_there_at_both_or_at_none(remote, session, connect, moment):
    remote.grant(UNA, "Start-Sleep")
    theirs = session()
    at = started(remote, theirs)
    with connect() as connection:
        connection.ask_and_leave(envelope(TRANSFER + "/Delete", "", theirs.shell), moment)
    # What the gateway does not know any more, the server does not run.
    answer = theirs.receive(at, "PT0.2S")
    if not answer.is_timeout:
        remote.exchange.wait_until(lambda: is_stopped(remote, at), "it is stopped at the server")
    # The control: one who stays closes it, if it is still there.
    theirs.delete()
    remote.exchange.wait_until(lambda: is_stopped(remote, at), "it is stopped by now")
    assert not is_open_upstream(remote, theirs.shell)
    if answer.states() == [3]:
        assert outcome(remote, at) == "stopped", "the server said so while it closed the session"
    else:
        assert outcome(remote, at) in ("not-fetched", "upstream-broken"), "nobody knows how far it came"


@pytest.mark.parametrize("moment", leaving.MOMENTS)
def test_what_was_revoked_is_stopped_though_the_client_that_learns_of_it_leaves(remote, session, connect, moment):
    remote.grant(UNA, "Start-Sleep")
    theirs = session()
    at = started(remote, theirs)
    for it in remote.api(UNA, "GET", "/grants")["items"]:
        if it["status"] == "active":
            remote.api(IVY, "POST", f"/grants/{it['id']}/revoke", comment="no more")
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{str(at).upper()}">stdout</rsp:DesiredStream></rsp:Receive>'
    with connect() as connection:
        connection.ask_and_leave(envelope(RSP + "/Receive", body, theirs.shell), moment)
    # One who stays learns of it, if nobody did before.
    theirs.receive(at)
    remote.exchange.wait_until(lambda: is_stopped(remote, at), "it is stopped at the server")
    assert outcome(remote, at) == "not-fetched", "it may have run to its end before"
    blocks = of_pipeline(remote, at, "block")
    assert blocks, "the block is on record"
    theirs.delete()
    outcomes = [it["decision"] for it in remote.gateway.records() if it["kind"] == "outcome"]
    assert not set(blocks) & set(outcomes), "a block is complete by itself"
    assert len(outcomes) == len(set(outcomes)), "each call ends once"


def test_clients_that_ask_for_output_and_leave_take_no_room(remote, session):
    remote.grant(UNA, "Start-Sleep")
    theirs = session()
    at = started(remote, theirs)
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{str(at).upper()}">stdout</rsp:DesiredStream></rsp:Receive>'
    with leaving.Http2(theirs.wire) as connection:
        for _ in range(48):
            connection.ask_and_leave(envelope(RSP + "/Receive", body, theirs.shell, timeout="PT600S"), 0.002)
    # As many as these would not all wait at once, and for longer than this test does.
    deadline, pause = time.monotonic() + wsman.PATIENCE / 2, threading.Event()
    while not theirs.receive(at, "PT0.2S").is_timeout:
        assert time.monotonic() < deadline, "those who left still wait"
        pause.wait(0.05)
    assert theirs.signal(at).status == 200
    remote.exchange.wait_until(lambda: is_stopped(remote, at), "it is stopped")


def test_the_end_of_what_was_not_fetched_is_not_known(remote, session):
    theirs = session(ANA)
    body = pipeline(command("Get-Mailbox", argument("Identity", "x")))
    at = started(remote, theirs, body)
    assert theirs.signal(at).status == 200
    assert outcome(remote, at) == "not-fetched"
    # Its end was fetched of this one.
    at = started(remote, theirs, body)
    assert theirs.ended(at) == 4
    assert theirs.signal(at).status == 200
    assert outcome(remote, at) == "ok"
