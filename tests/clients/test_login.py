"""People sign in at the command line: by a code in a browser, whole with signed tokens, and by a password on a real terminal."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.parse
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

import certificates
import gateway as gateways
import tokens
from exo_module import Module
from gateway import BINARY, PATIENCE
from loopback import Loopback, Quiet
from terminal import Terminal

ANA, AMY = "ana@contoso.example", "amy@contoso.example"
PASSWORD = "correct horse"
TASK = r"Exchange\New-MoveRequest"

LOCAL = """
[[identity]]
name = "local"
kind = "basic"
users = "users.toml"
"""


class Provider(Loopback):
    """An identity provider with a device flow (RFC 8628): people confirm codes by `confirm`, tokens are signed by `issuer`."""

    def __init__(self, issuer: tokens.Issuer):
        self.issuer = issuer
        self.flows: dict[str, dict] = {}
        self.refreshes: dict[str, str] = {}
        self.asked: list[dict] = []
        self.lifetime = 3600
        provider = self

        class Handler(Quiet):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                provider.asked.append(form | {"path": self.path})
                status, answer = provider.begin(form) if self.path == "/device" else provider.token(form)
                self.answer(status, json.dumps(answer).encode())

        super().__init__(Handler)
        self.url = f"http://127.0.0.1:{self.port}"

    def begin(self, form: dict) -> tuple[int, dict]:
        if form.get("client_id") != "portcullis-cli":
            return 400, {"error": "unauthorized_client"}
        device, code = uuid.uuid4().hex, f"{uuid.uuid4().hex[:4]}-{uuid.uuid4().hex[:4]}".upper()
        self.flows[device] = {"code": code, "who": None, "refused": False}
        return 200, {
            "device_code": device, "user_code": code, "verification_uri": f"{self.url}/activate", "expires_in": 300, "interval": 1,
        }

    def token(self, form: dict) -> tuple[int, dict]:
        if form["grant_type"] == "refresh_token":
            who = self.refreshes.pop(form["refresh_token"], None)
            return self.given(who) if who else (400, {"error": "invalid_grant"})
        flow = self.flows[form["device_code"]]
        if flow["refused"]:
            return 400, {"error": "access_denied"}
        if flow["who"] is None:
            return 400, {"error": "authorization_pending"}
        del self.flows[form["device_code"]]
        return self.given(flow["who"])

    def given(self, who: str) -> tuple[int, dict]:
        refresh = uuid.uuid4().hex
        self.refreshes[refresh] = who
        return 200, {
            "access_token": self.issuer.user(who), "token_type": "Bearer", "expires_in": self.lifetime, "refresh_token": refresh,
        }

    def confirm(self, code: str, who: str) -> None:
        """Somebody signs in at the page and confirms the code."""
        next(it for it in self.flows.values() if it["code"] == code)["who"] = who

    def refuse(self, code: str) -> None:
        next(it for it in self.flows.values() if it["code"] == code)["refused"] = True


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """A gateway whose people come by the provider or by a password."""
    directory = tmp_path_factory.mktemp("office")
    certificates.write(directory)
    hashed = subprocess.run(
        [BINARY, "user", "hash-password"], input=PASSWORD + "\n", capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    users = "".join(f'[[user]]\nname = "{it}"\npassword_hash = "{hashed.stdout.strip()}"\n' for it in (ANA, AMY))
    (directory / "users.toml").write_text(users)
    (directory / "users.toml").chmod(0o600)
    entra = tokens.entra()
    with Provider(entra) as provider:
        environment = {
            "PORTCULLIS__CONTROL__IDENTITY": "entra,local",
            "PORTCULLIS__IDENTITY__0__DEVICE_AUTHORIZATION_ENDPOINT": f"{provider.url}/device",
            "PORTCULLIS__IDENTITY__0__TOKEN_ENDPOINT": f"{provider.url}/token",
            "PORTCULLIS__IDENTITY__0__CLIENT_ID": "portcullis-cli",
            "PORTCULLIS__IDENTITY__0__SCOPE": "offline_access",
        }
        with gateways.world(directory, LOCAL, entra=entra, environment=environment) as world:
            yield SimpleNamespace(gateway=world.gateway, provider=provider, entra=entra)


@pytest.fixture
def home(office, tmp_path):
    """The environment of somebody with an own home."""
    return {
        "PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path), "PORTCULLIS_SERVER": f"http://{office.gateway.control}",
    }


def run(home: dict, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, *arguments], env=home, capture_output=True, text=True, timeout=PATIENCE)


@contextlib.contextmanager
def device_flow(home: dict):
    """Begins the device flow: the command, and the code that it shows."""
    command = [BINARY, "login", "--device"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=home, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            shown = []
            for line in process.stderr:
                shown.append(line)
                if found := re.fullmatch(r"\s+([0-9A-F]{4}-[0-9A-F]{4})\s*", line):
                    yield process, found[1]
                    return
            raise AssertionError("no code was shown:\n" + "".join(shown))
        finally:
            process.kill()


def test_a_person_confirms_a_code_signs_in_asks_and_is_renewed(office, home, tmp_path):
    office.provider.lifetime = 30
    with device_flow(home) as (login, code):
        office.provider.confirm(code, ANA)
        said, more = login.communicate(timeout=PATIENCE)
    assert login.returncode == 0, said + more
    assert ANA in said + more
    kept = tmp_path / "portcullis/credentials.toml"
    assert kept.stat().st_mode & 0o777 == 0o600
    begun, *polled = [it for it in office.provider.asked if it.get("grant_type") != "refresh_token"]
    assert (begun["path"], begun["scope"]) == ("/device", "offline_access")
    assert polled and all(it["path"] == "/token" for it in polled)

    # The token ends within a minute, so each command takes a fresh one first; the used-up refresh token is not shown again.
    for task in (TASK, r"Exchange\Remove-Mailbox"):
        asked = run(home, "request", "create", "--task", task, "--reason", "sales", "-o", "json")
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["requester"] == ANA
    refreshed = [it["refresh_token"] for it in office.provider.asked if it.get("grant_type") == "refresh_token"]
    assert len(refreshed) == len(set(refreshed)) == 2
    filed = [it for it in office.gateway.records() if it["kind"] == "request.filed"]
    assert {it["details"]["identity"] for it in filed} == {"entra"}
    shown = said + more + asked.stdout + asked.stderr
    assert "eyJ" not in shown, "no token is shown"
    office.provider.lifetime = 3600


def test_a_refused_sign_in_and_a_strangers_token_are_told(office, home):
    with device_flow(home) as (login, code):
        office.provider.refuse(code)
        _, said = login.communicate(timeout=PATIENCE)
    assert login.returncode == 1
    assert "the sign-in was refused" in said, said

    own = office.provider.issuer
    office.provider.issuer = tokens.Issuer(own.issuer)
    with device_flow(home) as (login, code):
        office.provider.confirm(code, ANA)
        _, said = login.communicate(timeout=PATIENCE)
    office.provider.issuer = own
    assert login.returncode == 1
    assert "does not take this sign-in" in said, said
    assert "not signed in" in run(home, "request", "ls").stderr


@pytest.fixture
def on_terminal():
    """Starts commands on terminals of their own, and ends those that a failed test left."""
    with contextlib.ExitStack() as started:

        def start(home: dict, *arguments: str) -> Terminal:
            terminal = Terminal([BINARY, *arguments], home)
            started.callback(terminal.close)
            return terminal

        yield start


def test_a_password_is_typed_unseen(office, home, on_terminal):
    terminal = on_terminal(home, "login", "--password", "--user", ANA)
    terminal.wait_for("Password:")
    assert not terminal.echoes()
    terminal.type(PASSWORD + "\n")
    assert terminal.end() == 0, terminal.screen
    assert PASSWORD not in terminal.screen
    assert terminal.ended_as_before
    assert terminal.screen.endswith("\n")
    assert run(home, "grant", "ls", "--mine").returncode == 0


@pytest.mark.parametrize(("ends", "code"), [("\x03", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", [["login", "--password", "--user", ANA], ["user", "hash-password"]])
def test_who_ends_the_asking_finds_the_terminal_as_it_was(office, home, on_terminal, command, ends, code):
    terminal = on_terminal(home, *command)
    terminal.wait_for("Password:")
    assert not terminal.echoes()
    if isinstance(ends, str):
        terminal.type(ends)
    else:
        terminal.signal(ends)
    assert terminal.end() == code, terminal.screen
    assert terminal.ended_as_before, "what is typed shows again"
    assert terminal.screen.endswith("\n"), "the next prompt begins a line"
    assert "error" not in terminal.screen


def test_two_passwords_that_differ_are_told(home, on_terminal):
    terminal = on_terminal(home, "user", "hash-password")
    terminal.wait_for("Password:")
    terminal.type("one\n")
    terminal.wait_for("Again:")
    terminal.type("two\n")
    assert terminal.end() == 1
    assert "the two passwords differ" in terminal.screen
    assert terminal.ended_as_before


@pytest.fixture
def signed_in(office, home, tmp_path):
    file = tmp_path / "token"
    file.write_text(office.entra.user(ANA))
    assert run(home, "login", "--token-file", str(file)).returncode == 0
    return home


@pytest.fixture
def waiting(signed_in, on_terminal):
    """Files a request and waits for its end: the terminal, and the request's id."""

    def wait(number: int) -> tuple[Terminal, str]:
        request = ["--task", TASK, "--reason", "sales", "-P", f"Identity=user{number}"]
        terminal = on_terminal(signed_in, "request", "create", *request, "--wait")
        terminal.wait_for("Ctrl+C ends the waiting, not the request.")
        return terminal, re.search(r"the request ([0-9a-f-]{36}) lapses", terminal.screen)[1]

    return wait


def test_who_waits_sees_the_end_on_lines_of_its_own_also_in_a_terminal_that_shrinks(office, waiting):
    terminal, request = waiting(1)
    terminal.resize(40)
    with Module(office.gateway.base, office.gateway.ca, tokens.TENANT, office.entra.user(AMY), AMY) as amy:
        amy.run("Approve-ElevatedAccessRequest", RequestId=request, Comment="fine")
    assert terminal.end() == 0, terminal.screen
    assert terminal.ended_as_before
    lines = terminal.screen.split("\r\n")
    assert lines[-1] == "", "the shell's prompt begins a line"
    assert sum("Waiting for" in it for it in lines) == 1, "each step is told once"
    assert any("approved" in it.lower() for it in lines), terminal.screen
    # Colours and nothing else that steers a terminal.
    assert set(re.findall(r"\x1b[^m]*.", terminal.screen)) <= set(re.findall(r"\x1b\[[0-9;]*m", terminal.screen))


def test_who_stops_waiting_leaves_the_request(office, signed_in, waiting):
    terminal, request = waiting(2)
    terminal.type("\x03")
    assert terminal.end() == -signal.SIGINT
    assert terminal.ended_as_before
    shown = run(signed_in, "request", "show", request, "-o", "json")
    assert json.loads(shown.stdout)["status"] == "pending"


def test_claims_are_what_the_gateway_goes_by(office, signed_in, home):
    """The kept token is the provider's own, not one that the gateway made in its place."""
    kept = (Path(home["XDG_CONFIG_HOME"]) / "portcullis/credentials.toml").read_text()
    token = re.search(r'token = "(eyJ[^"]+)"', kept)[1]
    body = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert (claims["upn"], claims["iss"]) == (ANA, office.entra.issuer)
