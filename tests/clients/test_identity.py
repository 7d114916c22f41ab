"""Who calls: tokens of people and apps, good and bad, and keys that change."""

import time

import httpx
import jwt
import pytest
import tokens
from tokens import TENANT

ANA = "ana@contoso.example"
APP = "77aa77aa-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def http(world):
    import ssl

    with httpx.Client(verify=ssl.create_default_context(cafile=str(world.gateway.ca)), trust_env=False) as client:
        yield client


@pytest.fixture
def call(world, http):
    def send(token: str | None, cmdlet: str = "Get-Mailbox", tenant: str = TENANT, **headers) -> httpx.Response:
        credential = {} if token is None else {"Authorization": f"Bearer {token}"}
        return http.post(
            f"{world.gateway.base}/adminapi/beta/{tenant}/InvokeCommand",
            headers=credential | headers, json={"CmdletInput": {"CmdletName": cmdlet, "Parameters": {"Identity": ANA}}},
        )

    return send


def last_decision(world) -> dict:
    return [it for it in world.gateway.records() if it["kind"] == "decision"][-1]


def test_a_person_is_who_the_token_says(world, call):
    assert call(world.entra.user(ANA)).status_code == 200
    principal = last_decision(world)["principal"]
    assert (principal["name"], principal["kind"], principal["identity"]) == (ANA, "user", "entra")
    assert principal["key"].endswith(f"@{TENANT}")


def test_an_app_is_known_by_its_id_and_may_be_exempt(world, call):
    assert call(world.entra.app(APP), "New-MoveRequest").status_code == 200
    decision = last_decision(world)
    assert (decision["principal"]["name"], decision["principal"]["kind"]) == (APP, "app")
    assert decision["rule"] == "exempt"
    assert call(world.entra.app(APP.replace("77aa", "88bb")), "New-MoveRequest").status_code == 403


def test_who_calls_themselves_by_anothers_key_is_not_signed_in(world, call):
    """A second issuer lets people choose their `preferred_username`; a key in a policy file stays its owner's."""
    key = last_key(world, call)
    for name in (key, key.upper(), "local:amy", "x@https://sts.example/"):
        refused = call(world.rotating.token(sub="eve", preferred_username=name, tid=None, scp="x"))
        assert (refused.status_code, "reads like a key" in refused.text) == (401, True), (name, refused.text)
    fine = call(world.rotating.token(sub="eve", preferred_username="eve@other.example", tid=None, scp="x"))
    assert fine.status_code == 200


def last_key(world, call) -> str:
    call(world.entra.user(ANA))
    return last_decision(world)["principal"]["key"]


def test_no_header_says_who_calls(world, call):
    anchored = call(world.entra.user(ANA), "New-MoveRequest", **{"X-AnchorMailbox": f"APP:{APP}", "X-Forwarded-User": APP})
    assert anchored.status_code == 403
    assert last_decision(world)["principal"]["name"] == ANA


BAD = {
    "none": lambda it: None,
    "not a token": lambda it: "x.y.z",
    "expired": lambda it: it.user(ANA, exp=int(time.time()) - 3600),
    "not yet": lambda it: it.user(ANA, nbf=int(time.time()) + 3600),
    "no end": lambda it: it.user(ANA, exp=None),
    "audience": lambda it: it.user(ANA, aud="https://graph.microsoft.com"),
    "issuer": lambda it: it.user(ANA, iss="https://sts.windows.net/other/"),
    "foreign key": lambda it: tokens.Issuer(it.issuer).user(ANA),
    "foreign key, our id": lambda it: _with_kid(tokens.Issuer(it.issuer), it.kid).user(ANA),
    "unsigned": lambda it: jwt.encode(_claims(it), None, algorithm="none"),
    "hmac": lambda it: jwt.encode(_claims(it), "x" * 64, algorithm="HS256", headers={"kid": it.kid}),
    "app and person": lambda it: it.app(APP, upn=ANA),
    "changed": lambda it: _changed(it.user(ANA)),
}


def _claims(issuer) -> dict:
    return jwt.decode(issuer.user(ANA), options={"verify_signature": False})


def _with_kid(issuer, kid):
    issuer.kid = kid
    return issuer


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    flipped = "A" if body[10] != "A" else "B"
    return ".".join([head, body[:10] + flipped + body[11:], signature])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_401_with_a_challenge_and_goes_nowhere(world, call, name):
    answer = call(BAD[name](world.entra))
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer"), answer.headers
    assert answer.json()["error"]["message"]
    assert world.upstream.take() == []


def test_another_tenant_than_the_tokens_is_403_and_its_domain_is_its_own(world, call):
    token = world.entra.user(ANA)
    for other in ["99999999-0000-4000-8000-000000000009", "fabrikam.example"]:
        assert call(token, tenant=other).status_code == 403
    assert world.upstream.take() == []
    for own in [TENANT.upper(), "contoso.onmicrosoft.com"]:
        assert call(token, tenant=own).status_code == 200
    foreign = world.entra.user(ANA, tid="99999999-0000-4000-8000-000000000009")
    assert call(foreign).status_code == 403


def test_keys_in_a_file_are_read_again_when_that_is_asked_for(world, call):
    before = world.entra.user(ANA)
    assert call(before).status_code == 200
    world.entra.rotate()
    tokens.publish(world.entra, world.gateway.keys)
    world.gateway.reload()
    assert call(world.entra.user(ANA)).status_code == 200
    assert call(before).status_code == 401, "what a withdrawn key signed is no longer good"


def test_keys_at_a_url_are_fetched_again_for_a_key_that_is_not_known(world, call):
    before = world.rotating.user(ANA)
    assert call(before).status_code == 200
    world.rotating.rotate()
    fetches = world.keys.fetches
    fresh = world.rotating.user(ANA)
    if call(fresh).status_code == 401:
        # Strangers cannot make the gateway fetch at will: for a while after a fetch an unknown key is only refused.
        assert world.keys.fetches == fetches
        world.gateway.reload()
    assert call(fresh).status_code == 200
    assert world.keys.fetches == fetches + 1
    assert call(before).status_code == 401
