"""Health and metrics, as monitoring reads them."""

import subprocess
import urllib.request

from exo_module import CommandFailed, Module
from tokens import TENANT


def get(world, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://{world.gateway.control}{path}", timeout=60) as answer:
        return answer.status, answer.read().decode()


def test_metrics_are_well_formed_and_count_what_happened(world):
    ana = "ana@contoso.example"
    with Module(world.gateway.base, world.gateway.ca, TENANT, world.entra.user(ana), ana) as session:
        session.run("Get-Mailbox")
        try:
            session.run("New-MoveRequest", Identity="zed")
        except CommandFailed:
            pass
    status, text = get(world, "/metrics")
    assert status == 200
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for rule in ("ungoverned-allowed", "needs-approval"):
        assert f'rule="{rule}"' in text, text
    assert ana not in text and "Get-Mailbox" not in text, "no label that a client chooses"


def test_it_is_healthy_and_ready(world):
    assert get(world, "/healthz")[0] == 200
    assert get(world, "/readyz")[0] == 200
