"""What the tests share: one gateway, one upstream, two issuers."""

import pytest

import certificates
import gateway as gateways


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The gateway in front of the upstream, and who signs people in."""
    directory = tmp_path_factory.mktemp("world")
    certificates.write(directory)
    with gateways.world(directory) as world:
        yield world


@pytest.fixture(autouse=True)
def fresh_upstream(request):
    """Each test sees only its own requests at the upstream."""
    if "world" in request.fixturenames:
        world = request.getfixturevalue("world")
        world.upstream.take()
        world.upstream.failures.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails tells of each gateway that was started: whether it still lives, and what it said last."""
    report = yield
    if report.failed:
        report.sections += [(f"gateway in {it.directory}", it.told()) for it in gateways.STARTED]
    return report
