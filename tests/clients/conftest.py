"""What the tests share: one gateway, one upstream, two issuers."""

from types import SimpleNamespace

import pytest

import certificates
import gateway as gateways
import tokens
import upstream as upstreams


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The gateway in front of the upstream, and who signs people in."""
    directory = tmp_path_factory.mktemp("world")
    certificates.write(directory)
    entra = tokens.Issuer(f"https://sts.windows.net/{tokens.TENANT}/")
    rotating = tokens.Issuer("https://issuer.example/", "ES256")
    keys = tokens.KeyServer(rotating)
    upstream = upstreams.Upstream(certificates.server_context(directory))
    gateway = gateways.Gateway(directory, upstream.authority, entra, rotating, keys.url)
    yield SimpleNamespace(gateway=gateway, upstream=upstream, entra=entra, rotating=rotating, keys=keys)
    assert gateway.stop() == 0, "it stops in order"
    keys.stop()
    upstream.stop()


@pytest.fixture(autouse=True)
def fresh_upstream(request):
    """Each test sees only its own requests at the upstream."""
    if "world" in request.fixturenames:
        world = request.getfixturevalue("world")
        world.upstream.take()
        world.upstream.failures.clear()
