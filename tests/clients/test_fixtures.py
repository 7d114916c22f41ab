"""What the tests start, they end, whatever fails meanwhile; and they tell how it stood."""

import pytest

import certificates
import gateway as gateways


def test_a_gateway_that_does_not_start_is_gone_and_tells_why(tmp_path):
    certificates.write(tmp_path)
    with pytest.raises(AssertionError, match=r"(?s)ready.* was not logged; the gateway \(process \d+\) ended with 1.*Fly-Away"):
        with gateways.world(tmp_path, policies='[[policy]]\ntask = "Fly-Away"\n'):
            pass
    assert gateways.STARTED == [it for it in gateways.STARTED if it.directory != tmp_path]


def test_a_gateway_is_ended_when_the_rest_of_a_fixture_fails(tmp_path):
    certificates.write(tmp_path)
    with pytest.raises(AssertionError, match="the rest") as failed:
        with gateways.world(tmp_path) as world:
            raise AssertionError("the rest")
    assert world.gateway.process.returncode is not None and not world.gateway.follower.is_alive()
    assert any("still runs" in it and "Gateway is ready" in it for it in failed.value.__notes__)
    assert world.upstream.server.socket.fileno() == -1, "the upstream is closed as well"
