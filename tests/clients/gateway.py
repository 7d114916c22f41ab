"""The real binary as a process of its own, in front of the recording upstream."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import certificates
import tokens
import upstream as upstreams

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("PORTCULLIS", ROOT / "target/debug/portcullis"))
PATIENCE = 60

POLICIES = r"""
[[group]]
name = "mbmanagers"
email = "mbmanagers@contoso.example"
members = ["amy@contoso.example"]

[[group]]
name = "keepers"
members = ["ivy@contoso.example"]

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["mbmanagers"]

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
approvers = ["mbmanagers"]

[[policy]]
task = 'Exchange\New-JournalRule'
approval = "never"

[[exemption]]
account = "77aa77aa-0000-4000-8000-000000000001"
owner = "messaging-ops"
reason = "nightly provisioning"
from = ["127.0.0.0/8"]
"""

COMMON = """
[proxy]
listen = "127.0.0.1:0"
tls = {{ certificate = "server.pem", key = "server-key.pem" }}

[control]
listen = "127.0.0.1:0"

[store]
url = "sqlite:portcullis.db"

[audit]
directory = "audit"
durability = "strict"
node = "test"

[policies]
directory = "policies"

[access_control]
operators = "keepers"
auditors = "keepers"
"""

CONFIGURATION = COMMON + """
[[endpoint]]
workload = "Exchange"
dialect = "exchange-rest"
path = "/adminapi"
upstream = "https://{upstream}"
upstream_ca = "ca.pem"
identity = ["entra", "rotating"]
tenants = {{ "contoso.onmicrosoft.com" = "{tenant}" }}
ungoverned = "allow"
upstream_auth = {{ mode = "passthrough" }}

[[identity]]
name = "entra"
kind = "jwt"
issuer = "{entra}"
audience = "{audience}"
jwks = "keys.json"

[[identity]]
name = "rotating"
kind = "jwt"
issuer = "{rotating}"
audience = "{audience}"
jwks = "{keys_url}"
"""


# The gateways that were started and not stopped yet, for what is told of a failed test.
STARTED: list[Process] = []


class Process:
    """A running gateway with what `directory` has: `portcullis.toml`, policies, certificates. It ends when it is left."""

    def __init__(self, directory: Path, environment: dict[str, str] | None = None):
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.environment = environment or {}
        self.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error:
            error.add_note(self.told())
            self.kill()
        else:
            assert self.stop() == 0, f"it stops in order; {self.told()}"

    def start(self) -> None:
        """Starts it, at first or again, and waits until it is ready."""
        directory = self.directory
        environment = {"PATH": os.environ["PATH"], "PORTCULLIS_LOG_FORMAT": "json"} | self.environment
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", directory / "portcullis.toml"],
            cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        self.log: list[str] = []
        self.said_all = False
        self.logged = threading.Condition()
        self.follower = threading.Thread(target=self._follow, daemon=True)
        self.follower.start()
        STARTED.append(self)
        try:
            ready = json.loads(self.wait_for("Gateway is ready"))
        except BaseException:
            self.kill()
            raise
        self.proxy, self.control = ready["proxy"], ready["control"]
        self.base = f"https://localhost:{self.proxy.rsplit(':', 1)[1]}"

    def _follow(self) -> None:
        with self.process.stderr as lines:
            for line in lines:
                with self.logged:
                    self.log.append(line)
                    self.logged.notify_all()
        with self.logged:
            self.said_all = True
            self.logged.notify_all()

    def wait_for(self, text: str, since: int = 0) -> str:
        """The first line of the log with `text`, as soon as it is there."""

        def found() -> str | None:
            return next((it for it in self.log[since:] if text in it), None)

        with self.logged:
            self.logged.wait_for(lambda: found() or self.said_all, PATIENCE)
            line = found()
        if line is None:
            raise AssertionError(f"`{text}` was not logged; {self.told()}")
        return line

    def told(self) -> str:
        """Whether it still lives, and what it said last."""
        if self.said_all:
            # Its log ends a moment before it does.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        code = self.process.poll()
        state = "still runs" if code is None else f"ended with {code}"
        return f"the gateway (process {self.process.pid}) {state}; its log ends:\n" + "".join(self.log[-40:])

    def reload(self) -> None:
        """Has it read everything again, and waits until it has."""
        since = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("Reload is done", since)

    def records(self) -> list[dict]:
        """All whole audit records, oldest first."""
        records = []
        for segment in sorted((self.directory / "audit").glob("*.jsonl")):
            # What follows the last line's end is still being written, and may even end within a character.
            whole, _, _ = segment.read_bytes().rpartition(b"\n")
            records += [json.loads(line) for line in whole.split(b"\n") if line]
        return records

    def stop(self) -> int:
        """Has it end in order; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not stop; {self.told()}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends it at once, if it is not over."""
        self.process.kill()
        self.process.wait()
        self.follower.join(PATIENCE)
        if self in STARTED:
            STARTED.remove(self)


class Gateway(Process):
    """A gateway in front of the REST endpoint; `base` is what clients put before `/adminapi`."""

    def __init__(self, directory: Path, upstream: str, entra: tokens.Issuer, rotating: tokens.Issuer, keys_url: str,
                 more: str = "", policies: str = POLICIES, environment: dict[str, str] | None = None):
        (directory / "policies").mkdir()
        (directory / "policies/exchange.toml").write_text(policies)
        self.keys = directory / "keys.json"
        tokens.publish(entra, self.keys)
        (directory / "portcullis.toml").write_text(
            CONFIGURATION.format(
                upstream=upstream, tenant=tokens.TENANT, entra=entra.issuer, audience=tokens.AUDIENCE,
                rotating=rotating.issuer, keys_url=keys_url,
            )
            + more
        )
        super().__init__(directory, environment)


@contextlib.contextmanager
def world(directory: Path, more: str = "", entra: tokens.Issuer | None = None, **settings):
    """A gateway in front of an upstream of its own, and who signs people in; `directory` has the certificates."""
    entra, rotating = entra or tokens.entra(), tokens.Issuer("https://issuer.example/", "ES256")
    with (
        tokens.KeyServer(rotating) as keys,
        upstreams.Upstream(certificates.server_context(directory)) as upstream,
        Gateway(directory, upstream.authority, entra, rotating, keys.url, more, **settings) as gateway,
    ):
        yield SimpleNamespace(gateway=gateway, upstream=upstream, entra=entra, rotating=rotating, keys=keys)
