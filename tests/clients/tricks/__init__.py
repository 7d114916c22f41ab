"""Ways past a gateway of remote PowerShell: a catalogue, one entry a trick, grouped by what they play with.

A trick is run twice: on the bare stand-in for Exchange, which must be fooled by it or not as the entry says, and through the
gateway, where nothing may come of it. What counts is the server's own journal. Tricks carry one of two loads:

* `REMOVE`, a cmdlet that the policies block, hidden behind something harmless;
* `MARKED`, a cmdlet that the policies allow, with `MARK` in a value, in a form that nobody can be sure of: it may not run
  either, since whoever reads it otherwise would run something else.

| module | what is played with |
|---|---|
| `fragments` | how messages are cut, where they come, whose they are |
| `pipelines` | the message's shape, names, parameters, scripts, values |
| `envelopes` | SOAP: repeated, misplaced and unknown parts, encodings, resources |
| `requests` | HTTP: paths, queries, methods, codings, types, identities |
| `sessions` | other people's shells, ids used twice, requests sent again, sessions left and taken up |

`changes` is none of these: it draws changes to recorded sessions by chance.
"""

from __future__ import annotations

import enum
import typing as t
from dataclasses import dataclass, field

import exchange
import wsman

ANA, BEA, EVE, UNA = (f"{it}@contoso.example" for it in ("ana", "bea", "eve", "una"))
"""Ana has a grant for Set-Mailbox, Una one for Remove-Mailbox, Bea one of one use, Eve has none."""
MARK = "FORBIDDEN"
NO = '<B N="V">false</B>'
REMOVE = wsman.command("Remove-Mailbox", wsman.argument("Identity", "x"), wsman.argument("Confirm", NO))
MARKED = wsman.command("Get-Mailbox", wsman.argument("Identity", MARK))
HARMLESS = wsman.command("Get-Mailbox", wsman.argument("Identity", "x"))


@dataclass
class Stage:
    """Where a trick is tried: a base URL, and the server whose journal counts."""

    server: exchange.Server
    base: str
    ca: t.Any
    accounts: dict[str, tuple[str, str]]
    """Whom people sign in as, with the password. At the bare server all are one, as the gateway's are behind it."""
    opened: list[wsman.Wire] = field(default_factory=list)
    since: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self):
        endpoint = self.server.endpoint
        self.since = len(endpoint.journal), len(endpoint.arrived), len(endpoint.stopped)

    def wire(self, user: str = ANA) -> wsman.Wire:
        wire = wsman.Wire(self.base, *self.accounts[user], self.ca)
        self.opened.append(wire)
        return wire

    def session(self, user: str = ANA) -> wsman.Session:
        """A new shell of this user."""
        return wsman.Session(self.wire(user)).opened()

    def close(self) -> None:
        """Ends all sessions, since one person has only so many."""
        for wire in self.opened:
            wire.connection.close()
            for session in wire.sessions:
                session.delete()
            wire.connection.close()

    @property
    def journal(self) -> list[dict]:
        """What ran since the trick began."""
        return self.server.journal[self.since[0] :]

    @property
    def arrived(self) -> list[exchange.server.Arrived]:
        return self.server.endpoint.arrived[self.since[1] :]

    @property
    def stopped(self) -> list[str]:
        return self.server.endpoint.stopped[self.since[2] :]


def ran_what_it_must_not(stage: Stage) -> bool:
    """Whether something is in the journal that no policy allows, or that is marked."""
    return any(
        it.get("cmdlet") in ("Remove-Mailbox", "Get-Date", "Invoke-Expression")
        or "cmd" in it or it["script"] or "ForwardingSmtpAddress" in it["params"] or MARK in str(it)
        for it in stage.journal
    )


def ran_what_is_marked(stage: Stage) -> bool:
    """The same where a cmdlet that others may not run is part of the trick."""
    return any(MARK in str(it) for it in stage.journal)


class Taught(enum.Enum):
    """What listings of the server the gateway has seen before a trick."""

    LESS = "the whole, and then one in which the server shows less"
    NOTHING = "none, as after a restart"
    WHOLE = "the whole"


@dataclass
class Trick:
    """One way past a gateway."""

    name: str
    run: t.Callable[[Stage], t.Any]
    """Tries it; what is answered does not matter."""
    fools: bool = True
    """Whether the bare server falls for it."""
    worked: t.Callable[[Stage], bool] = ran_what_it_must_not
    control: t.Callable[[Stage], t.Any] | None = None
    """The honest request of this form, which must work; by default a harmless pipeline."""
    taught: Taught = Taught.WHOLE


def pipeline(*commands: str, **settings: t.Any) -> str:
    """A `CREATE_PIPELINE` body; settings as `wsman.pipeline` has them."""
    return wsman.pipeline(*(commands or (HARMLESS,)), **settings)


def listing(*names: str) -> str:
    """A `GET_COMMAND_METADATA` body for cmdlets with these names."""
    return wsman.properties(
        None, wsman.items("Name", *(f"<S>{it}</S>" for it in names)), wsman.enumeration("CommandType", "CommandTypes", 8),
        '<Nil N="Namespace" />', '<Nil N="ArgumentList" />',
    )


def has_arrived(stage: Stage, written: str) -> bool:
    """Whether this went upstream, in an envelope or inside of a message."""
    for it in stage.arrived:
        told = b"".join(wsman.payloads(it.body))
        if written.encode() in told or written.encode() in it.body or written in str(it.headers):
            return True
    return False


def whole(session: wsman.Session, command: t.Any, body: str, number: int | None = None, kind: int = wsman.CREATE) -> bytes:
    """A message for the pipeline `command` (`None`: for the pool) in one fragment."""
    number = session.next() if number is None else number
    return wsman.fragment(wsman.message(kind, session.shell, command, body), number)
