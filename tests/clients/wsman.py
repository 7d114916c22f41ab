"""WS-Management and PSRP by hand: every byte is the test's own choice, so that it can be the wrong one.

It shares nothing with the gateway, the real clients or the stand-in for Exchange.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import re
import ssl
import struct
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
PWSH = "http://schemas.microsoft.com/powershell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
EXCHANGE = PWSH + "/Microsoft.Exchange"
CONTENT_TYPE = "application/soap+xml;charset=UTF-8"
PATIENCE = 60

MERGES = "MergeMyResult MergeToResult MergePreviousResults MergeError MergeWarning MergeVerbose MergeDebug MergeInformation".split()
CAPABILITY, INIT, PUBLIC_KEY, CONNECT = 0x10002, 0x10004, 0x10005, 0x10008
SET_MAX, SET_MIN, AVAILABLE, RESET = 0x21002, 0x21003, 0x21007, 0x2100C
CREATE, METADATA = 0x21006, 0x2100A
POOL_ANSWER, INPUT, END_OF_INPUT, PIPELINE_ANSWER = 0x21101, 0x41002, 0x41003, 0x41101


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def fault(self) -> str | None:
        """The fault's text."""
        found = re.search(r"<f:Message>(.*?)</f:Message>", self.text, re.DOTALL)
        return found and found.group(1)

    @property
    def is_timeout(self) -> bool:
        return 'Code="2150858793"' in self.text

    def states(self) -> list[int]:
        """The states of pipelines that it tells of."""
        told = b"".join(base64.b64decode(it) for it in re.findall(r"<rsp:Stream[^>]*>([^<]+)<", self.text))
        return [int(it) for it in re.findall(rb'<I32 N="PipelineState">(\d+)<', told)]


@dataclass
class Wire:
    """One connection to `base` as one user; nothing is checked or mended."""

    base: str
    user: str
    password: str
    ca: Path | None = None
    path: str = "/PowerShell/"
    connection: http.client.HTTPConnection = field(init=False)
    sessions: list[Session] = field(default_factory=list)

    def __post_init__(self):
        scheme, authority = self.base.split("://")
        if scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca))
            self.connection = http.client.HTTPSConnection(authority, timeout=PATIENCE, context=context)
        else:
            self.connection = http.client.HTTPConnection(authority, timeout=PATIENCE)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_) -> None:
        self.connection.close()

    def post(self, body: bytes, path: str | None = None, method: str = "POST", **headers: str | None) -> Answer:
        """Sends `body`; a header that is `None` is left out, `_` stands for a hyphen."""
        sign_in = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        wanted: dict[str, str | None] = {"Content-Type": CONTENT_TYPE, "Authorization": f"Basic {sign_in}"}
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in wanted.items() if value is not None}
        try:
            self.connection.request(method, path or self.path, body, given)
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise


def envelope(
    action: str, body: str, shell: uuid.UUID | None = None, *, resource: str = EXCHANGE, options: str = "", more: str = "",
    message: uuid.UUID | None = None, timeout: str = "PT20S", envelope_size: int = 153600,
) -> str:
    """An envelope as clients write it; `more` are further headers."""
    selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{str(shell).upper()}</w:Selector></w:SelectorSet>' if shell else ""
    return (
        f'<s:Envelope xmlns:s="{S}" xmlns:a="{A}" xmlns:w="{W}" xmlns:p="{P}" xmlns:rsp="{RSP}"><s:Header>'
        f"<a:To>https://localhost/PowerShell/</a:To>"
        f'<a:ReplyTo><a:Address s:mustUnderstand="true">{A}/role/anonymous</a:Address></a:ReplyTo>'
        f'<a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>uuid:{message or uuid.uuid4()}</a:MessageID>'
        f'<w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
        f'<w:MaxEnvelopeSize s:mustUnderstand="true">{envelope_size}</w:MaxEnvelopeSize>'
        f"<w:OperationTimeout>{timeout}</w:OperationTimeout>{options}{selectors}{more}"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def fragment(data: bytes, number: int = 1, index: int = 0, flags: int = 3) -> bytes:
    """One fragment: its message's number, its own, 1 for a start and 2 for an end."""
    return struct.pack(">QQBI", number, index, flags, len(data)) + data


def fragments(data: bytes, size: int, number: int = 1) -> list[bytes]:
    """`data` in fragments of `size`."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return [fragment(it, number, at, (at == 0) | (at == last) << 1) for at, it in enumerate(parts)]


def message(kind: int, shell: uuid.UUID, pipeline: uuid.UUID | None, data: str = "", destination: int = 2) -> bytes:
    ids = shell.bytes_le + (pipeline.bytes_le if pipeline else bytes(16))
    return struct.pack("<II", destination, kind) + ids + numbered(data).encode()


def numbered(data: str) -> str:
    """CLIXML with numbers on its objects and types, as clients write it."""
    for name in ("Obj", "TN"):
        numbers = itertools.count()
        data = re.sub(f"<{name}(?=[ >])(?![^>]*RefId)", lambda it: f'{it.group()} RefId="{next(numbers)}"', data)
    return data


def text(name: str | None, value: str) -> str:
    return f'<S{named(name)}>{escape(value)}</S>'


def flag(name: str, value: bool) -> str:
    return f'<B N="{name}">{str(value).lower()}</B>'


def named(name: str | None) -> str:
    return "" if name is None else f' N="{name}"'


def enumeration(name: str, kind: str, value: int) -> str:
    """An enumeration."""
    return (
        f'<Obj{named(name)}><TN><T>System.Management.Automation.{kind}</T><T>System.Enum</T>'
        f"<T>System.ValueType</T><T>System.Object</T></TN><ToString>x</ToString><I32>{value}</I32></Obj>"
    )


def properties(name: str | None, *fields: str) -> str:
    return f"<Obj{named(name)}><MS>{''.join(fields)}</MS></Obj>"


def items(name: str | None, *values: str) -> str:
    return f"<Obj{named(name)}><LST>{''.join(values)}</LST></Obj>"


def argument(name: str | None, value: str | None) -> str:
    """An argument; a value that begins with `<` is CLIXML with `N="V"` in it."""
    first = '<Nil N="N" />' if name is None else text("N", name)
    second = '<Nil N="V" />' if value is None else value if value.startswith("<") else text("V", value)
    return properties(None, first, second)


def command(name: str, *arguments: str, script: bool = False) -> str:
    merges = (enumeration(it, "Runspaces.PipelineResultTypes", 0) for it in MERGES)
    return properties(
        None, text("Cmd", name), flag("IsScript", script), '<Nil N="UseLocalScope" />', *merges, items("Args", *arguments)
    )


HOST = properties(
    "HostInfo", *(flag(it, True) for it in ("_isHostNull", "_isHostUINull", "_isHostRawUINull", "_useRunspaceHost"))
)


def pipeline(*commands: str, extra: str = '<Nil N="ExtraCmds" />', takes_input: bool = False, nested: bool = False) -> str:
    """The body of a `CREATE_PIPELINE`."""
    return properties(
        None, flag("NoInput", not takes_input),
        enumeration("ApartmentState", "Runspaces.ApartmentState", 2),
        enumeration("RemoteStreamOptions", "Runspaces.RemoteStreamOptions", 15),
        flag("AddToHistory", False), HOST,
        properties(
            "PowerShell", flag("IsNested", nested), extra, items("Cmds", *commands), '<Nil N="History" />',
            flag("RedirectShellErrorOutputPipe", False),
        ),
        flag("IsNested", nested),
    )


def statements(*each: list[str]) -> str:
    """`ExtraCmds` with these statements."""
    return items("ExtraCmds", *(properties(None, items("Cmds", *it)) for it in each))


CAPABILITY_BODY = properties(
    None, '<Version N="protocolversion">2.3</Version>', '<Version N="PSVersion">2.0</Version>',
    '<Version N="SerializationVersion">1.1.0.1</Version>',
)
INIT_BODY = properties(
    None, '<I32 N="MinRunspaces">1</I32>', '<I32 N="MaxRunspaces">1</I32>',
    enumeration("PSThreadOptions", "Runspaces.PSThreadOptions", 0),
    enumeration("ApartmentState", "Runspaces.ApartmentState", 2), HOST, '<Nil N="ApplicationArguments" />',
)


def payloads(body: bytes) -> list[bytes]:
    """What is in an envelope in base64."""
    return [base64.b64decode(it) for it in re.findall(rb">([A-Za-z0-9+/=\s]{40,})<", body)]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Session:
    """A shell, opened by hand."""

    def __init__(self, wire: Wire, shell: uuid.UUID | None = None, resource: str = EXCHANGE):
        self.wire, self.resource = wire, resource
        self.shell = shell or uuid.uuid4()
        self.number = 1
        wire.sessions.append(self)

    def open(self, more: bytes = b"") -> Answer:
        """Creates it; `more` is put behind the two messages that belong there."""
        first = fragment(message(CAPABILITY, self.shell, None, CAPABILITY_BODY), 1)
        second = fragment(message(INIT, self.shell, None, INIT_BODY), 2)
        self.number = 2
        return self.wire.post(self.create(first + second + more).encode())

    def opened(self) -> Session:
        answer = self.open()
        assert answer.status == 200, answer.text
        return self

    def create(self, creation: bytes, attributes: str = "") -> str:
        body = (
            f'<rsp:Shell ShellId="{str(self.shell).upper()}"{attributes}><rsp:InputStreams>stdin pr</rsp:InputStreams>'
            f'<rsp:OutputStreams>stdout</rsp:OutputStreams><creationXml xmlns="{PWSH}">{encoded(creation)}</creationXml></rsp:Shell>'
        )
        options = '<w:OptionSet s:mustUnderstand="true"><w:Option Name="protocolversion" MustComply="true">2.3</w:Option></w:OptionSet>'
        return envelope(TRANSFER + "/Create", body, resource=self.resource, options=options)

    def next(self) -> int:
        """The next message's number."""
        self.number += 1
        return self.number

    def ask(self, action: str, body: str = "", **changes) -> Answer:
        action = action if "/" in action else f"{RSP}/{action}"
        return self.wire.post(envelope(action, body, self.shell, resource=self.resource, **changes).encode())

    def command(self, arguments: bytes | str, command: uuid.UUID | None, **changes) -> Answer:
        """A Command with this in its `Arguments`."""
        return self.ask("Command", command_line(arguments, command), **changes)

    def start(self, body: str, command: uuid.UUID, kind: int = CREATE) -> Answer:
        """A whole pipeline in one Command."""
        return self.command(fragment(message(kind, self.shell, command, body), self.next()), command)

    def send(self, data: bytes, command: uuid.UUID | None = None, stream: str = "stdin") -> Answer:
        attribute = f' CommandId="{str(command).upper()}"' if command else ""
        return self.ask("Send", f'<rsp:Send><rsp:Stream Name="{stream}"{attribute}>{encoded(data)}</rsp:Stream></rsp:Send>')

    def receive(self, command: uuid.UUID | None, timeout: str = "PT20S") -> Answer:
        attribute = f' CommandId="{str(command).upper()}"' if command else ""
        body = f"<rsp:Receive><rsp:DesiredStream{attribute}>stdout</rsp:DesiredStream></rsp:Receive>"
        return self.ask("Receive", body, timeout=timeout)

    def signal(self, command: uuid.UUID, code: str = "terminate") -> Answer:
        code = code if "/" in code else f"{RSP}/signal/{code}"
        return self.ask("Signal", f'<rsp:Signal CommandId="{str(command).upper()}"><rsp:Code>{code}</rsp:Code></rsp:Signal>')

    def delete(self) -> Answer:
        return self.ask(TRANSFER + "/Delete")

    def ended(self, command: uuid.UUID) -> int | None:
        """Fetches until the command is done, and returns the last state that it told of."""
        state = None
        while True:
            answer = self.receive(command)
            if answer.is_timeout:
                continue
            assert answer.status == 200, answer.text
            state = (answer.states() or [state])[-1]
            if "CommandState/Done" in answer.text:
                return state

    def run(self, *commands: str) -> int | None:
        """Runs these as one pipeline and returns how it ended."""
        at = uuid.uuid4()
        answer = self.start(pipeline(*commands), at)
        assert answer.status == 200, answer.text
        return self.ended(at)


def command_line(arguments: bytes | str, command: uuid.UUID | None, text: str = "") -> str:
    attribute = f' CommandId="{str(command).upper()}"' if command else ""
    given = encoded(arguments) if isinstance(arguments, bytes) else arguments
    return (
        f"<rsp:CommandLine{attribute}><rsp:Command>{text}</rsp:Command><rsp:Arguments>{given}</rsp:Arguments></rsp:CommandLine>"
    )
