"""The bypass suite of remote PowerShell: each trick of the catalogue on the bare server, and through the gateway."""

import collections
import http.client
import random

import pytest

import exchange
import remoting
import tricks
import wsman
from exchange.cmdlets import MailboxTable
from tricks import changes, envelopes, fragments, pipelines, requests, sessions

THEMES = {"fragments": fragments, "pipelines": pipelines, "envelopes": envelopes, "requests": requests, "sessions": sessions}
ALL = [(theme, trick) for theme, module in THEMES.items() for trick in module.TRICKS]
IDS = [f"{theme}: {trick.name}" for theme, trick in ALL]


@pytest.fixture(scope="module")
def bare():
    with exchange.Server(dict([remoting.SERVICE]), language="Full", allow_winrs=True) as server:
        yield server


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """The gateway, with everything that could be run upstream let in there."""
    with remoting.World(tmp_path_factory.mktemp("bypass"), language="Full", allow_winrs=True) as remote:
        remote.grant(tricks.ANA, "Set-Mailbox")
        remote.grant(tricks.UNA, "Remove-Mailbox")
        remote.grant(tricks.UNA, "Start-Sleep")
        yield remote


def tried(trick: tricks.Trick, stage: tricks.Stage) -> bool:
    """Whether the trick works; its control must, on the same server and right after it."""
    stage.server.endpoint.table = MailboxTable()
    try:
        try:
            trick.run(stage)
        except (http.client.HTTPException, OSError):
            pass  # A connection that is closed is an answer, too.
        if trick.control is None:
            assert stage.session().run(tricks.HARMLESS) == 4
        else:
            trick.control(stage)
        return trick.worked(stage)
    finally:
        stage.close()


@pytest.mark.parametrize(("theme", "trick"), ALL, ids=IDS)
def test_the_bare_server_falls_for_it_or_not_as_the_catalogue_says(bare, theme, trick):
    accounts = dict.fromkeys((tricks.ANA, tricks.EVE, tricks.UNA), remoting.SERVICE)
    assert tried(trick, tricks.Stage(bare, f"http://{bare.authority}", None, accounts)) == trick.fools


@pytest.mark.parametrize(("theme", "trick"), ALL, ids=IDS)
def test_nothing_slips_past_the_gateway(remote, theme, trick):
    accounts = {it: (it, remoting.PASSWORD) for it in (tricks.ANA, tricks.EVE, tricks.UNA)}
    stage = tricks.Stage(remote.exchange, remote.base, remote.ca, accounts)
    assert not tried(trick, stage), [it.get("cmdlet") for it in stage.journal]


def test_most_tricks_are_real_ones():
    assert sum(trick.fools for _, trick in ALL) > len(ALL) / 2
    assert len(set(IDS)) == len(IDS), "each has a name of its own"


def test_of_recorded_sessions_with_changes_only_what_is_allowed_runs(remote):
    draw = random.Random(20261121)
    recorded = changes.recordings()
    since = len(remote.exchange.journal)
    answers = collections.Counter()
    with wsman.Wire(remote.base, tricks.EVE, remoting.PASSWORD, remote.ca) as wire:
        for _ in range(120):
            session = wsman.Session(wire, changes.drawn(draw))
            for target, body in draw.choice(recorded):
                body = changes.as_new(draw, body, session.shell)
                if draw.random() < 0.4:
                    body = changes.changed(draw, body)
                try:
                    answers[wire.post(body, target).status] += 1
                except (http.client.HTTPException, OSError):
                    answers["closed"] += 1
            wire.connection.close()
            session.delete()
    ran = remote.exchange.journal[since:]
    forbidden = ("Get-Date", "Remove-Mailbox", "New-Mailbox", "Start-Sleep", "Set-Mailbox", "Invoke-Expression")
    assert not [it for it in ran if it.get("cmdlet") in forbidden or "cmd" in it or it["script"]]
    assert [it for it in ran if it["cmdlet"] == "Get-Mailbox"], "what was not changed into nonsense runs"
    assert answers[200] > 100 and answers[500] > 100 and set(answers) <= {200, 400, 500, "closed"}, answers


def test_all_that_ran_is_on_record_as_allowed_and_all_others_are_not_there(remote):
    """What the server ran is among what the log says was let through, name by name."""
    with wsman.Wire(remote.base, tricks.ANA, remoting.PASSWORD, remote.ca) as wire:
        assert wsman.Session(wire).opened().run(tricks.HARMLESS) == 4
    allowed = collections.Counter(it["task"].split("\\")[1] for it in remote.decisions(verdict="allow") if it["task"])
    pipelines_ran = {(it["pipeline"], it["cmdlet"]) for it in remote.exchange.journal}
    ran = collections.Counter(name for _, name in pipelines_ran if name != "(GET_COMMAND_METADATA)")
    assert ran and not ran - allowed
    foreign = {it.headers.get("Authorization") for it in remote.exchange.arrived()}
    assert len(foreign) == 1, "one account, the gateway's, signs in upstream"
