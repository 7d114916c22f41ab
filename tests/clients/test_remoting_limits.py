"""Remote PowerShell at its edges: what Windows sends, how much a session may be, how it ends, and what is on record."""

import json
import ssl
import subprocess
import threading
import uuid
from pathlib import Path

import gateway as gateways
import httpx
import pytest
import wsman
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from remoting import ANA, BEA, EVE, IVY, PASSWORD, SERVICE, UNA, World, in_background, run
from wsman import argument, command, fragment, message, pipeline

RECORDED = Path(__file__).resolve().parents[1] / "fixtures/psrp/32-windows-dialect-synthetic"
SETTINGS = """
[endpoint.remoting]
idle = "10s"
shells_per_principal = 4
pipelines_per_shell = 3
reassembly = "1 MiB"
"""
SLEEP = command("Start-Sleep", argument("Seconds", "600"))
UNKNOWN = 0x8033805B


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with World(tmp_path_factory.mktemp("limits"), SETTINGS) as remote:
        remote.grant(UNA, "Start-Sleep")
        yield remote


@pytest.fixture
def wire(remote):
    """Wires by user, closed at the end with the shells that were opened on them."""
    opened = []

    def open_wire(user: str = ANA) -> wsman.Wire:
        opened.append(wsman.Wire(remote.base, user, PASSWORD, remote.ca))
        return opened[-1]

    yield open_wire
    for it in opened:
        it.connection.close()


@pytest.fixture
def session(wire):
    opened = []

    def open_session(user: str = ANA) -> wsman.Session:
        opened.append(wsman.Session(wire(user)).opened())
        return opened[-1]

    yield open_session
    for it in opened:
        it.delete()


def is_open_upstream(remote, shell: uuid.UUID) -> bool:
    return str(shell).upper() in remote.exchange.endpoint.shells


# ---- what Windows sends -------------------------------------------------------------------------------------------------


def recorded(name: str) -> tuple[str, dict[str, str], bytes]:
    """The target, the headers that a client chooses, and the body."""
    head, body = (RECORDED / f"{name}.request.http").read_bytes().split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = dict(it.split(": ", 1) for it in lines)
    chosen = {name: headers[name] for name in ("Content-Type", "User-Agent")}
    return first.split(" ")[1], chosen, body


def replayed(wire: wsman.Wire, name: str) -> wsman.Answer:
    target, headers, body = recorded(name)
    return wire.post(body, target, **{name.replace("-", "_"): value for name, value in headers.items()})


def test_a_session_in_the_way_of_windows_works(remote, wire):
    windows = wire()
    assert "?PSVersion=" in recorded("002-Command")[0], "it says its version in the URL"
    for name in ("001-Create", "002-Command"):
        answer = replayed(windows, name)
        assert answer.status == 200, answer.text
    answer = replayed(windows, "003-Receive")
    assert answer.status == 200 and "CommandState/Done" in answer.text, answer.text
    assert remote.exchange.journal[-1]["cmdlet"] == "Get-Mailbox"
    for name in ("004-Signal", "005-Delete"):
        assert replayed(windows, name).status == 200
    assert {it.target.lower().split("?")[0].rstrip("/") for it in remote.exchange.arrived()} == {"/powershell"}


def test_compression_which_windows_asks_for_is_refused_with_what_to_set(remote, wire):
    arrived = len(remote.exchange.arrived())
    answer = replayed(wire(), "000-Create-with-xpress")
    assert answer.status == 500
    assert "-SessionOption (New-PSSessionOption -NoCompression)" in answer.fault
    assert answer.headers["Content-Type"] == wsman.CONTENT_TYPE
    assert len(remote.exchange.arrived()) == arrived


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("application/soap+xml;charset=UTF-16", "leave `-UseUTF16` out"),
        ('multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"', "connect with an `https://` URI and `-Authentication Basic`"),
    ],
    ids=["UTF-16", "sealed"],
)
def test_what_cannot_be_read_is_refused_with_what_to_change(wire, content_type, told):
    answer = wire().post(b"\x10\x00\x00\x00", Content_Type=content_type)
    assert answer.status in (415, 500) and told in answer.text, answer.text


def test_who_does_not_sign_in_is_asked_for_basic(wire):
    answer = wire().post(b"", Authorization="Negotiate TlRMTVNTUAABAAAA")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_upstream_hears_nothing_of_the_clients_headers(remote, session):
    it = session()
    assert it.run(command("Get-Mailbox", argument("Identity", "x"))) == 4
    for arrived in remote.exchange.arrived():
        names = {name.lower() for name in arrived.headers}
        assert names <= {"host", "authorization", "content-type", "content-length", "accept-encoding", "user-agent"}
        assert "Microsoft WinRM" not in str(arrived.headers) and "Python" not in str(arrived.headers)
        assert httpx.BasicAuth(*SERVICE)._auth_header == arrived.headers["Authorization"]


# ---- how much a session may be ------------------------------------------------------------------------------------------


def test_one_person_has_so_many_sessions_and_others_have_theirs(remote, wire, session):
    shells = [session(BEA) for _ in range(4)]
    answer = wsman.Session(wire(BEA)).open()
    assert answer.status == 500 and "session" in answer.fault, answer.text
    session(EVE)
    shells[0].delete()
    fifth = wsman.Session(wire(BEA))
    assert fifth.open().status == 200, "one that ends makes room"
    fifth.delete()


def test_a_session_has_so_many_pipelines(remote, session):
    it = session(UNA)
    ids = [uuid.uuid4() for _ in range(4)]
    answers = [it.start(pipeline(SLEEP), at) for at in ids]
    assert [answer.status for answer in answers] == [200, 200, 200, 500]
    assert "too many commands" in answers[3].fault
    it.signal(ids[0])
    assert it.start(pipeline(SLEEP), uuid.uuid4()).status == 200, "one that ends makes room"


def test_a_session_has_so_many_requests_that_wait(remote, wire, session):
    it, at = session(UNA), uuid.uuid4()
    it.start(pipeline(SLEEP), at)
    before = len(remote.exchange.arrived("Receive"))
    answers: list[wsman.Answer] = []
    refused = threading.Event()

    def wait_for_output() -> None:
        answer = wsman.Session(wire(UNA), it.shell).receive(at, "PT60S")
        answers.append(answer)
        if "too many requests of this session wait at once" in (answer.fault or ""):
            refused.set()

    threads = [in_background(wait_for_output) for _ in range(20)]
    assert refused.wait(gateways.PATIENCE)
    it.signal(at)
    for thread in threads:
        thread.join(gateways.PATIENCE)
    assert len(answers) == 20
    assert len(remote.exchange.arrived("Receive")) - before <= 16, "four for each pipeline, and for the session itself"


def test_what_is_not_whole_yet_is_bounded(remote, session):
    it = session()
    ids = [uuid.uuid4() for _ in range(2)]
    part = b"x" * 400_000
    answers = []
    for at in ids:
        answers.append(it.command(fragment(part, it.next(), 0, 1), at))
        answers.append(it.send(fragment(part, it.number, 1, 0), at))
    assert [it.status for it in answers[:3]] == [200, 200, 500]
    assert "more bytes than are read here" in answers[2].fault
    assert it.delete().status == 200


def test_to_another_person_a_session_is_not_there(remote, wire, session):
    theirs = session(UNA)
    at = uuid.uuid4()
    theirs.start(pipeline(SLEEP), at)
    real = wsman.Session(wire(EVE), theirs.shell)
    made_up = wsman.Session(wire(EVE), uuid.uuid4())
    for ask in (lambda it: it.receive(at), lambda it: it.signal(at), lambda it: it.delete(), lambda it: it.receive(None)):
        told = [ask(it) for it in (real, made_up)]
        assert [it.status for it in told] == [500, 500]
        assert told[0].fault == told[1].fault, "nobody learns that it is there"
    assert is_open_upstream(remote, theirs.shell)


# ---- how it ends --------------------------------------------------------------------------------------------------------


def test_a_client_that_vanishes_leaves_nothing(remote, wire):
    it, at = wsman.Session(wire(UNA)).opened(), uuid.uuid4()
    it.start(pipeline(SLEEP), at)
    assert is_open_upstream(remote, it.shell)
    it.wire.connection.close()
    remote.exchange.wait_until(lambda: str(at) in remote.exchange.endpoint.stopped, "the pipeline is ended upstream")
    remote.exchange.wait_until(lambda: not is_open_upstream(remote, it.shell), "so is the session")
    decision = remote.decisions(task=r"Exchange\Start-Sleep")[-1]
    outcome = remote.record(lambda it: it["kind"] == "outcome" and it["decision"] == decision["decision"])
    assert outcome["result"] == "client-gone", "how it ended is on record"
    again = wsman.Session(wire(UNA), it.shell).receive(at)
    assert again.status == 500 and "open a new session" in again.fault


def test_a_restart_ends_sessions_with_a_clear_fault(remote):
    with remote.wsman() as connection:
        runspaces = RunspacePool(connection, configuration_name="Microsoft.Exchange")
        runspaces.open()
        assert run(runspaces, "Get-Mailbox", Identity="x").output
        assert remote.gateway.stop() == 0
        remote.exchange.wait_until(lambda: not is_open_upstream(remote, uuid.UUID(runspaces.id)), "the server is told")
        remote.gateway.start()
        connection.transport.endpoint = f"{remote.base}/PowerShell"
        shell = PowerShell(runspaces)
        shell.add_cmdlet("Get-Mailbox")
        with pytest.raises(WSManFaultError) as told:
            shell.invoke()
        assert told.value.code == UNKNOWN
        assert "open a new session" in told.value.reason
    with remote.session() as runspaces:
        assert run(runspaces, "Get-Mailbox", Identity="x").output


def test_a_pipeline_that_is_not_whole_never_runs(remote, session):
    it, at = session(), uuid.uuid4()
    whole = message(wsman.CREATE, it.shell, at, pipeline(command("Get-Mailbox", argument("Identity", "x"))))
    arrived = len(remote.exchange.arrived("Command"))
    it.command(fragment(whole[:-1], it.next(), 0, 1), at)
    assert it.receive(at, "PT0.2S").is_timeout, "the client polls, as it would anywhere"
    assert it.signal(at).status == 200
    assert len(remote.exchange.arrived("Command")) == arrived


# ---- what is on record --------------------------------------------------------------------------------------------------


def test_both_dialects_leave_records_of_one_shape(remote):
    remote.teach()
    with remote.session() as runspaces:
        run(runspaces, "Set-Mailbox", Identity="x", CustomAttribute1="y")
    httpx.post(
        f"{remote.base}/adminapi/beta/contoso.onmicrosoft.com/InvokeCommand", auth=(ANA, PASSWORD),
        verify=ssl.create_default_context(cafile=str(remote.ca)),
        json={"CmdletInput": {"CmdletName": "Set-Mailbox", "Parameters": {"Identity": "x", "CustomAttribute1": "y"}}},
        trust_env=False, timeout=gateways.PATIENCE,
    )
    found = subprocess.run(
        [gateways.BINARY, "audit", "search", "--task", r"Exchange\Set-Mailbox", "-o", "json"], cwd=remote.directory,
        env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True,
    ).stdout
    both = [it for it in map(json.loads, found.splitlines()) if it["kind"] == "decision"][-2:]
    remoting, rest = both
    own = set()
    assert set(remoting) - own == set(rest) - own
    same = {"kind", "task", "verdict", "rule", "policy", "principal", "parameters", "workload"} & set(rest)
    assert {it: remoting[it] for it in same if it != "principal"} == {it: rest[it] for it in same if it != "principal"}
    assert remoting["principal"]["key"] == rest["principal"]["key"]
    assert remoting["verdict"] == "block"


def test_the_log_of_all_this_is_whole(remote):
    done = subprocess.run(
        [gateways.BINARY, "audit", "verify"], cwd=remote.directory, env={"PATH": "/usr/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert IVY not in done.stdout
