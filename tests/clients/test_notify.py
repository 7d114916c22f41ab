"""Approvers and requesters read their mail: sent over STARTTLS to a real server, read back by IMAP; webhooks verified as documented."""

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import threading
import time

import pytest

import certificates
import gateway as gateways
import mailserver
import tokens
from exo_module import Module
from loopback import Loopback, Quiet

KEY = b"a key of the tests"

NOTIFY = """
[notify]
link = "https://pam.contoso.example"

[notify.smtp]
server = "localhost:{port}"
tls = "starttls"
ca = "ca.pem"
from = "Portcullis <portcullis@contoso.example>"

[[webhook]]
name = "soc"
url = "http://127.0.0.1:{hook}/portcullis"
secret_file = "hook-key"
"""

ANA, AMY = "ana@contoso.example", "amy@contoso.example"
GROUP = "mbmanagers@contoso.example"

pytestmark = [
    pytest.mark.skipif(not shutil.which("postfix") or not shutil.which("dovecot"), reason="no mail server is installed"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start a mail server"),
]


class Hook(Loopback):
    """A webhook's receiver that fails its first post."""

    def __init__(self):
        self.posts: list[tuple[dict, bytes]] = []
        self.posted = threading.Condition()
        hook = self

        class Handler(Quiet):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with hook.posted:
                    hook.posts.append(({k.lower(): v for k, v in self.headers.items()}, body))
                    first = len(hook.posts) == 1
                    hook.posted.notify_all()
                self.answer(503 if first else 200)

        super().__init__(Handler)

    def wait_for(self, count: int) -> list[tuple[dict, bytes]]:
        with self.posted:
            arrived = self.posted.wait_for(lambda: len(self.posts) >= count, gateways.PATIENCE)
            assert arrived, f"{len(self.posts)} posts, not {count}"
            return list(self.posts)


@pytest.fixture(scope="module")
def own_certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    certificates.write(directory)
    return directory


@pytest.fixture(scope="module")
def mail(tmp_path_factory, own_certificates):
    with mailserver.MailServer(tmp_path_factory.mktemp("mail"), own_certificates) as server:
        yield server


@pytest.fixture(scope="module")
def post(tmp_path_factory, own_certificates, mail):
    """A gateway that sends mail, and the server that has it."""
    with _post(tmp_path_factory.mktemp("post"), own_certificates, mail) as post:
        yield post


@contextlib.contextmanager
def _post(directory, own_certificates, mail, notify: str = "", policies: str = ""):
    shutil.copytree(own_certificates, directory, dirs_exist_ok=True)
    (directory / "hook-key").write_bytes(KEY + b"\n")
    with Hook() as hook:
        more = NOTIFY.format(port=mail.port, hook=hook.port).replace("[notify]\n", f"[notify]\n{notify}")
        with gateways.world(directory, more) as world:
            gateway = world.gateway
            if policies:
                (directory / "policies/more.toml").write_text(policies)
                gateway.reload()

            def run(upn: str, cmdlet: str, **parameters):
                with Module(gateway.base, gateway.ca, tokens.TENANT, world.entra.user(upn), upn) as session:
                    return session.run(cmdlet, **parameters)

            yield gateway, mail, hook, run


def is_genuine(key: bytes, headers, body: bytes) -> bool:
    """As docs/notifications.md has it."""
    timestamp = headers["portcullis-timestamp"]
    expected = "sha256=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["portcullis-signature"]) and abs(time.time() - int(timestamp)) < 300


def test_a_request_is_read_by_its_approvers_and_the_decision_by_who_asked(post):
    gateway, mail, hook, run = post
    reason = "Umzug nach Köln\r\nBcc: all@contoso.example"
    filed = run(ANA, "New-ElevatedAccessRequest", Task=r"Exchange\New-MoveRequest", Reason=reason)
    identity = filed[0]["Identity"]

    announced = mail.mailbox(GROUP, 1)[0]
    assert announced["subject"] == rf"{ANA} asks for Exchange\New-MoveRequest"
    assert (announced["auto-submitted"], announced["bcc"]) == ("auto-generated", None)
    assert any("with ESMTPS" in it for it in announced.get_all("received")), "it came over TLS"
    text = announced.get_body(("plain",)).get_content()
    assert f"Sign in to decide: https://pam.contoso.example/requests/{identity}" in text
    assert "  > Umzug nach Köln\n  > Bcc: all@contoso.example" in text.replace("\r\n", "\n")
    page = announced.get_body(("html",)).get_content()
    assert "Umzug nach Köln" in page and "approve?" not in page.lower(), "no message decides anything"

    run(AMY, "Approve-ElevatedAccessRequest", RequestId=identity, Comment="fine")
    decided = mail.mailbox(ANA, 1)[0]
    assert decided["subject"] == rf"Approved: Exchange\New-MoveRequest for {ANA}"
    assert decided["references"] == announced["references"], "one thread a request"
    assert len(mail.mailbox(GROUP, 1)) == 1

    posts = hook.wait_for(3)
    assert all(is_genuine(KEY, headers, body) for headers, body in posts)
    assert not is_genuine(b"another key", *posts[0])
    deliveries = [headers["portcullis-delivery"] for headers, _ in posts]
    kinds = [json.loads(body)["kind"] for _, body in posts]
    again = next(index for index in range(1, 3) if deliveries[index] == deliveries[0])
    assert posts[again][1] == posts[0][1], "what failed came again, the same"
    assert sorted(set(kinds)) == ["request-approved", "request-filed"]


EMERGENCIES = r"""
[[group]]
name = "on-call"
members = ["bea@contoso.example"]

[[group]]
name = "leads"
members = ["lea@contoso.example", "bea@contoso.example"]

[[policy]]
task = 'Exchange\Set-TransportRule'
approval = "manual"
approvers = ["leads"]
break_glass = ["on-call"]
"""
BEA, LEA, BOSS = "bea@contoso.example", "lea@contoso.example", "boss@contoso.example"


@pytest.fixture
def emergencies(tmp_path, own_certificates, mail):
    """A gateway that reminds of reviews after two seconds, and its operators' boss a second later."""
    notify = f'remind_after = "2s"\nescalate_after = "3s"\nescalate_to = ["{BOSS}"]\n'
    with _post(tmp_path, own_certificates, mail, notify, EMERGENCIES) as post:
        yield post


def test_an_emergency_is_read_by_both_sides_and_the_mail_says_how_to_review_it(emergencies):
    gateway, mail, _, run = emergencies
    taken = run(BEA, "New-ElevatedAccessRequest", Task=r"Exchange\Set-TransportRule", Reason="mail loops", BreakGlass=True)
    request = taken[0]["Identity"]
    granted = run(LEA, "Get-ElevatedAccessAuthorization", AwaitsReview=True)
    grant = granted[0]["Identity"]
    for reader in (BEA, LEA, BOSS):
        told = mail.mailbox(reader, 1)[0]
        assert told["subject"] == rf"BREAK GLASS: {BEA} took Exchange\Set-TransportRule without approval"
        text = told.get_body(("plain",)).get_content()
        assert f"Sign in to review it: https://pam.contoso.example/requests/{request}" in text
        assert f"portcullis grant review {grant} --comment" in text
        assert f"Set-ElevatedAccessAuthorization -RequestId {grant} -Review" in text
        assert "Who can review: 1 of leads (lea@contoso.example)" in text, "never its holder"

    # Nobody looks at it: approvers are reminded, and those above them; its holder is not.
    for reader in (LEA, BOSS):
        again = mail.mailbox(reader, 3)[1]
        assert again["subject"] == rf"Not reviewed yet: {BEA} took Exchange\Set-TransportRule without approval"
        assert again["references"] == mail.mailbox(reader, 1)[0]["references"]
    assert len(mail.mailbox(BEA, 1)) == 1

    # The command of the mail, as it stands there.
    run(LEA, "Set-ElevatedAccessAuthorization", RequestId=grant, Review=True, Comment="it was right")
    reviewed = mail.mailbox(BEA, 2)[1]
    assert reviewed["subject"] == rf"Reviewed: break-glass grant of {BEA} for Exchange\Set-TransportRule"
    assert "it was right" in reviewed.get_body(("plain",)).get_content()
