"""The management API, as its own description says it is: requests made up from it, right and wrong ones, find no fault."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import certificates
import gateway as gateways
import tokens
import upstream as upstreams

# All checks in all phases; seeds and bounds keep a run to about a minute, and the same from run to run. What is right by the
# description is accepted, or refused for a reason that no description can know: who asks (401, 403), what there is (404), what
# happened (409), how often (429). Two kinds of reasons more are named here, and no operation may answer 400 to what is right.
CONFIGURATION = """
seed = 20261121
workers = 1
continue-on-failure = true
warnings = false

[generation]
max-examples = 12
database = "none"

# Which policies, groups and endpoints there are, and what hour it is, decides whether a thing of the right form can be asked for.
[[operations]]
include-operation-id = ["create_request", "extend_grant", "approve_request", "explain_decision", "create_policy"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "429", "422"]

# The same, and an `If-Match` names a version, which may not be that of now.
[[operations]]
include-operation-id = ["replace_policy", "delete_policy"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "429", "422", "412"]

# A stream has no end that could be waited for: `test_events_begin_as_they_are_described` reads how one begins.
[[operations]]
include-operation-id = "watch_events"
enabled = false
"""

# Something to ask for that is granted at once, so that there are grants to end, extend and revoke.
POLICIES = gateways.POLICIES + r"""
[[policy]]
task = 'Exchange\Set-Mailbox'
approval = "auto"
"""


@pytest.fixture(scope="module")
def own_world(tmp_path_factory):
    """A gateway of its own, since made-up requests by an operator change policies and switch access control off."""
    directory = tmp_path_factory.mktemp("api")
    certificates.write(directory)
    with gateways.world(directory, policies=POLICIES) as world:
        yield world.gateway, world.entra


@pytest.mark.parametrize("person", ["ivy", "ana"])
def test_the_api_is_as_it_is_described(own_world, tmp_path, person):
    gateway, entra = own_world
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    token = entra.user(f"{person}@contoso.example")
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "api_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://{gateway.control}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--checks", "all",
            "--phases", "examples,coverage,fuzzing,stateful",
        ],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    # It came past the doors: things were asked for, granted and made.
    done = {it["kind"] for it in gateway.records()}
    assert {"request.filed", "grant.created", "token.created"} <= done, done


def test_events_begin_as_they_are_described(own_world):
    gateway, entra = own_world
    base = f"http://{gateway.control}/api/v1"
    operation = httpx.get(f"{base}/openapi.json").json()["paths"]["/api/v1/events"]["get"]
    signed = {"Authorization": f"Bearer {entra.user('ana@contoso.example')}"}
    with httpx.stream("GET", f"{base}/events", headers=signed) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] in operation["responses"]["200"]["content"]
        assert next(answer.iter_text()).startswith("retry: ")
    described = operation["responses"]["default"]["$ref"].rsplit("/", 1)[1]
    assert described == "Problem"
    refused = {
        401: httpx.get(f"{base}/events"),
        400: httpx.get(f"{base}/events?since=now", headers=signed),
        405: httpx.post(f"{base}/events", headers=signed),
    }
    for status, answer in refused.items():
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
