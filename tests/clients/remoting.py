"""The gateway in front of the stand-in for Exchange's remote PowerShell, and how people connect to it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path

import httpx
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

import certificates
import exchange
import gateway as gateways
import tokens
import upstream as upstreams

ANA, AMY, BEA, EVE, IVY, UNA = (f"{it}@contoso.example" for it in ("ana", "amy", "bea", "eve", "ivy", "una"))
PEOPLE = (ANA, AMY, BEA, EVE, IVY, UNA)
PASSWORD = "a password of the tests"
SERVICE = ("CONTOSO\\svc-portcullis", "the service's own password")

POLICIES = r"""
[[group]]
name = "approvers"
members = ["amy@contoso.example"]

[[group]]
name = "keepers"
members = ["ivy@contoso.example"]

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
approvers = ["approvers"]

[[policy]]
task = 'Exchange\Start-Sleep'
approval = "auto"

[[policy]]
task = 'Exchange\Get-Date'
approval = "never"

[[policy]]
task = 'Exchange\Set-Mailbox'
approval = "auto"
other_parameters = "allow"
[policy.parameters]
Identity = {}
ForwardingSmtpAddress = { absent = true }

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["approvers"]

[[policy]]
task = 'Exchange\New-Mailbox'
approval = "manual"
approvers = ["approvers"]
on_block = "hold"
"""

CONFIGURATION = gateways.COMMON + """
[[endpoint]]
workload = "Exchange"
dialect = "psrp"
path = "/powershell"
upstream = "https://{exchange}"
upstream_ca = "ca.pem"
identity = ["people"]
ungoverned = "allow"
upstream_auth = {{ mode = "basic", username = {service}, password_file = "service-password" }}
{settings}

[[endpoint]]
workload = "Exchange"
dialect = "exchange-rest"
path = "/adminapi"
upstream = "https://{rest}"
upstream_ca = "ca.pem"
identity = ["people"]
ungoverned = "allow"
tenants = {{ "contoso.onmicrosoft.com" = "{tenant}" }}
upstream_auth = {{ mode = "basic", username = {service}, password_file = "service-password" }}

[[identity]]
name = "people"
kind = "basic"
users = "users.toml"
"""


def hashed(password: str) -> str:
    """As an operator makes it."""
    done = subprocess.run(
        [gateways.BINARY, "user", "hash-password"], input=password + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class World:
    """Everything, started, until it is left; `settings` are further lines of the endpoint."""

    def __init__(self, directory: Path, settings: str = "", policies: str = POLICIES, **server: object):
        self.directory = directory
        certificates.write(directory)
        context = certificates.server_context(directory)
        with contextlib.ExitStack() as started:
            self.exchange = started.enter_context(exchange.Server(dict([SERVICE]), context, **server))
            self.rest = started.enter_context(upstreams.Upstream(context))
            self._write(settings, policies)
            self.gateway = started.enter_context(gateways.Process(directory))
            self._started = started.pop_all()

    def _write(self, settings: str, policies: str) -> None:
        """The files that the gateway reads."""
        directory = self.directory
        (directory / "policies").mkdir()
        (directory / "policies/exchange.toml").write_text(policies)
        hash_ = hashed(PASSWORD)
        users = "".join(f'[[user]]\nname = "{it}"\npassword_hash = "{hash_}"\n' for it in PEOPLE)
        secrets = {"users.toml": users, "service-password": SERVICE[1] + "\n"}
        for name, text in secrets.items():
            (directory / name).touch(mode=0o600)
            (directory / name).write_text(text)
        (directory / "portcullis.toml").write_text(
            CONFIGURATION.format(
                exchange=self.exchange.authority, rest=self.rest.authority, settings=settings, tenant=tokens.TENANT,
                service=f"'{SERVICE[0]}'",
            )
        )

    def __enter__(self) -> World:
        return self

    def __exit__(self, *error: object) -> None:
        self._started.__exit__(*error)

    @property
    def base(self) -> str:
        return self.gateway.base

    @property
    def ca(self) -> Path:
        return self.gateway.ca

    def wsman(self, user: str = ANA, **settings) -> WSMan:
        """The real client's connection to the gateway."""
        return connection(self.base, user, PASSWORD, self.ca, **settings)

    @contextlib.contextmanager
    def session(self, user: str = ANA, operation_timeout: int = 20, read_timeout: int = 30, **settings):
        """The real client's session, opened."""
        times = {"operation_timeout": operation_timeout, "read_timeout": read_timeout}
        with self.wsman(user, **times) as wsman, pool(wsman, **settings) as runspaces:
            yield runspaces

    def api(self, user: str, method: str, path: str, **body) -> dict:
        """A call of the management API, which must succeed."""
        answer = httpx.request(
            method, f"http://{self.gateway.control}/api/v1{path}", auth=(user, PASSWORD), json=body or None,
            trust_env=False, timeout=gateways.PATIENCE,
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def request(self, user: str, task: str, **more) -> dict:
        return self.api(user, "POST", "/requests", task=f"Exchange\\{task}", reason="tests need it", **more)

    def approve(self, request: str, user: str = AMY) -> dict:
        return self.api(user, "POST", f"/requests/{request}/approve", comment="fine")

    def grant(self, user: str, task: str, **more) -> str:
        """A grant, and its request's id."""
        request = self.request(user, task, **more)
        if request["status"].lower() == "pending":
            self.approve(request["id"])
        return request["id"]

    def decisions(self, **wanted: object) -> list[dict]:
        """Decisions on record with these values, oldest first."""
        found = [it for it in self.gateway.records() if it["kind"] == "decision"]
        return [it for it in found if all(it.get(name) == value for name, value in wanted.items())]

    def record(self, is_it) -> dict:
        """The record that is it, as soon as it is there."""
        deadline, pause = time.monotonic() + gateways.PATIENCE, threading.Event()
        while True:
            found = [it for it in self.gateway.records() if is_it(it)]
            if found:
                return found[0]
            assert time.monotonic() < deadline, f"the record did not come; {self.gateway.told()}"
            pause.wait(0.05)


def connection(base: str, user: str, password: str, ca: Path | None, **settings) -> WSMan:
    scheme, authority = base.split("://")
    host, port = authority.split(":")
    return WSMan(
        host, port=int(port), ssl=scheme == "https", auth="basic", username=user, password=password, path="PowerShell",
        cert_validation=str(ca) if ca else False, no_proxy=True, **settings,
    )


def pool(wsman: WSMan, **settings) -> RunspacePool:
    return RunspacePool(wsman, configuration_name="Microsoft.Exchange", **settings)


def run(runspaces: RunspacePool, cmdlet: str, *switches: str, **parameters: object) -> PowerShell:
    """Runs one cmdlet as `AddCommand` and `AddParameter` do, and returns the client's object with all that it heard."""
    shell = PowerShell(runspaces)
    shell.add_cmdlet(cmdlet)
    for name, value in parameters.items():
        shell.add_parameter(name, value)
    for name in switches:
        shell.add_parameter(name)
    shell.invoke()
    return shell


def in_background(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


