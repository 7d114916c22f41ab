"""The management API, as its own description says it is: requests made up from it, right and wrong ones, find no fault."""

import subprocess
import sys

import pytest

import certificates
import gateway as gateways
import tokens
import upstream as upstreams

# What a fault would look like is on; seeds and bounds keep a run to about a minute, and the same from run to run.
CONFIGURATION = """
seed = 20261121
workers = 1
continue-on-failure = true

[generation]
max-examples = 12
database = "none"

# A body of the right shape can ask for what cannot be done (422), or for what this shape is not enough to tell (400): for no
# scope, or two; and policies and conditions are changed by who makes requests up.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422"]

# A stream has no end to wait for; its own tests watch it.
[[operations]]
include-path = "/api/v1/events"
enabled = false
"""


@pytest.fixture(scope="module")
def own_world(tmp_path_factory):
    """A gateway of its own, since made-up requests by an operator change policies and switch access control off."""
    directory = tmp_path_factory.mktemp("api")
    certificates.write(directory)
    entra = tokens.Issuer(f"https://sts.windows.net/{tokens.TENANT}/")
    rotating = tokens.Issuer("https://issuer.example/", "ES256")
    keys = tokens.KeyServer(rotating)
    upstream = upstreams.Upstream(certificates.server_context(directory))
    gateway = gateways.Gateway(directory, upstream.authority, entra, rotating, keys.url)
    yield gateway, entra
    assert gateway.stop() == 0, "it stops in order"
    keys.stop()
    upstream.stop()


@pytest.mark.parametrize("person", ["ivy", "ana"])
def test_the_api_is_as_it_is_described(own_world, tmp_path, person):
    gateway, entra = own_world
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    token = entra.user(f"{person}@contoso.example")
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://{gateway.control}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--checks", "all", "--phases", "examples,coverage,fuzzing",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
