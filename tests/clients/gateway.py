"""The real binary as a process of its own, in front of the recording upstream."""

import json
import os
import subprocess
import threading
from pathlib import Path

import tokens

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

CONFIGURATION = """
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


class Process:
    """A running gateway with what `directory` has: `portcullis.toml`, policies, certificates."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.start()

    def start(self) -> None:
        """Starts it, at first or again, and waits until it is ready."""
        directory = self.directory
        self.__dict__.pop("proxy", None)
        environment = {"PATH": os.environ["PATH"], "PORTCULLIS_LOG_FORMAT": "json"}
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", directory / "portcullis.toml"],
            cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        self.log: list[str] = []
        ready = threading.Event()
        self.follower = threading.Thread(target=self._follow, args=(ready,), daemon=True)
        self.follower.start()
        if not ready.wait(PATIENCE) or not hasattr(self, "proxy"):
            self.process.kill()
            raise RuntimeError("the gateway did not start:\n" + "".join(self.log))
        self.base = f"https://localhost:{self.proxy.rsplit(':', 1)[1]}"

    def _follow(self, ready: threading.Event) -> None:
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)
                entry = json.loads(line) if line.startswith("{") else {}
                if entry.get("message") == "Gateway is ready":
                    self.proxy, self.control = entry["proxy"], entry["control"]
                    ready.set()
        ready.set()

    def records(self) -> list[dict]:
        """All whole audit records, oldest first."""
        records = []
        for segment in sorted((self.directory / "audit").glob("*.jsonl")):
            whole, _, _ = segment.read_text().rpartition("\n")
            records += [json.loads(line) for line in whole.splitlines()]
        return records

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.follower.join(PATIENCE)
        return code


class Gateway(Process):
    """A gateway in front of the REST endpoint; `base` is what clients put before `/adminapi`."""

    def __init__(self, directory: Path, upstream: str, entra: tokens.Issuer, rotating: tokens.Issuer, keys_url: str,
                 more: str = "", policies: str = POLICIES):
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
        super().__init__(directory)
