"""SOAP: parts that are there twice, in other places or besides, encodings, resources."""

import uuid

import wsman
from wsman import RSP, TRANSFER, command_line, encoded, envelope, message

from . import MARKED, REMOVE, Stage, Trick, pipeline, whole


def edited(edit, load: str = MARKED):
    """A Command with this load, its envelope changed by `edit`, as text or bytes."""

    def run(stage: Stage):
        x, at = stage.session(), uuid.uuid4()
        body = edit(envelope(f"{RSP}/Command", command_line(whole(x, at, pipeline(load)), at), x.shell), x, at)
        return x.wire.post(body if isinstance(body, bytes) else body.encode())

    return run


def swapped(old: str, new: str):
    def edit(written: str, *_) -> str:
        assert old in written, old
        return written.replace(old, new, 1)

    return edited(edit)


def hidden(make):
    """A harmless Command with something else in it, which `make` adds, given both."""

    def edit(written: str, x: wsman.Session, at: uuid.UUID) -> str:
        good = encoded(whole(x, at, pipeline()))
        bad = encoded(whole(x, at, pipeline(REMOVE)))
        line = f"<rsp:Arguments>{good}</rsp:Arguments>"
        start, end = written.index("<rsp:Arguments>"), written.index("</rsp:CommandLine>")
        written = written[:start] + line + written[end:]
        return make(written, line, f"<rsp:Arguments>{bad}</rsp:Arguments>", good, bad)

    return edited(edit)


def honest(change):
    """The same form, rightly used."""

    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        written = envelope(f"{RSP}/Command", command_line(whole(x, at, pipeline()), at), x.shell)
        answer = x.wire.post(change(written).encode())
        assert answer.status == 200, answer.text
        assert x.ended(at) == 4

    return run


def body_twice(first_is_bad: bool):
    def make(written, line, bad_line, good, bad) -> str:
        start, end = written.index("<s:Body>"), written.index("</s:Envelope>")
        body = written[start:end]
        other = body.replace(good, bad)
        both = other + body if first_is_bad else body + other
        return written[:start] + both + written[end:]

    return hidden(make)


def line_twice(first_is_bad: bool):
    def make(written, line, bad_line, good, bad) -> str:
        start, end = written.index("<rsp:CommandLine"), written.index("</s:Body>")
        body = written[start:end]
        other = body.replace(good, bad)
        return written[:start] + (other + body if first_is_bad else body + other) + written[end:]

    return hidden(make)


def streams(stage: Stage) -> None:
    """Two streams in one Send: input of a pipeline, and a pipeline."""
    x, at = stage.session(), uuid.uuid4()
    x.start(pipeline(takes_input=True), at)
    end, bad = whole(x, at, "", kind=wsman.END_OF_INPUT), whole(x, None, pipeline(REMOVE))
    x.ask(
        "Send",
        f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{at}">{encoded(end)}</rsp:Stream>'
        f'<rsp:Stream Name="stdin">{encoded(bad)}</rsp:Stream></rsp:Send>',
    )


def resource(uri: str):
    """A shell of another kind, and a command in it."""

    def run(stage: Stage) -> None:
        x = wsman.Session(stage.wire(), resource=uri)
        x.open()
        x.ask("Command", f'<rsp:CommandLine CommandId="{uuid.uuid4()}"><rsp:Command>whoami</rsp:Command></rsp:CommandLine>')
        x.start(pipeline(MARKED), uuid.uuid4())

    return run


def winrs_by_two_resources(stage: Stage) -> None:
    x = wsman.Session(stage.wire(), resource=RSP + "/cmd")
    body = x.create(b"").replace("</w:ResourceURI>", f"</w:ResourceURI><w:ResourceURI>{wsman.EXCHANGE}</w:ResourceURI>")
    x.wire.post(body.encode())
    x.resource = wsman.EXCHANGE
    x.ask("Command", f'<rsp:CommandLine CommandId="{uuid.uuid4()}"><rsp:Command>whoami</rsp:Command></rsp:CommandLine>')


def later_resource(stage: Stage) -> None:
    x = stage.session()
    x.resource = RSP + "/cmd"
    x.start(pipeline(MARKED), uuid.uuid4())


def utf_16(written: str, *_) -> bytes:
    return b"\xff\xfe" + written.encode("utf-16-le")


def lying(declared: str, real: str = "utf-8"):
    def edit(written: str, *_) -> bytes:
        return (f'<?xml version="1.0" encoding="{declared}"?>' + written).encode(real)

    return edited(edit)


def entity(written: str, x: wsman.Session, at: uuid.UUID) -> str:
    good = encoded(whole(x, at, pipeline(MARKED)))
    start, end = written.index("<rsp:Arguments>") + 15, written.index("</rsp:Arguments>")
    return f'<!DOCTYPE s [<!ENTITY a "{good}">]>' + written[:start] + "&a;" + written[end:]


def without_id(stage: Stage) -> None:
    x, at = stage.session(), uuid.uuid4()
    x.command(whole(x, at, pipeline(MARKED)), None)


def junk(where: str):
    def edit(written: str, x: wsman.Session, at: uuid.UUID) -> str:
        good = encoded(whole(x, at, pipeline(MARKED)))
        start, end = written.index("<rsp:Arguments>") + 15, written.index("</rsp:Arguments>")
        return written[:start] + good[:100] + where + good[100:] + written[end:]

    return edited(edit)


def in_lines(written: str) -> str:
    start, end = written.index("<rsp:Arguments>") + 15, written.index("</rsp:Arguments>")
    text = written[start:end]
    return written[:start] + "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\r\n" + written[end:]


def renamed(written: str) -> str:
    return written.replace("rsp:", "q:").replace("xmlns:rsp", "xmlns:q").replace("xmlns:q:", "xmlns:q")


def two_messages_in_arguments_elements(written, line, bad_line, good, bad) -> str:
    return written.replace(line, line + bad_line)


TRICKS = [
    Trick("two Bodies, the first not harmless", body_twice(True), control=honest(lambda it: it)),
    Trick("two Bodies, the second not harmless", body_twice(False), fools=False),
    Trick("two command lines, the first not harmless", line_twice(True)),
    Trick("two command lines, the second not harmless", line_twice(False), fools=False),
    Trick("two Arguments", hidden(two_messages_in_arguments_elements), fools=False),
    Trick("Arguments of another namespace, and the right one", hidden(lambda it, line, bad_line, good, bad: it.replace(line, line.replace("rsp:Arguments", "a:Arguments") + bad_line))),
    Trick("two streams in one Send", streams),
    Trick("two Actions", swapped("<a:MessageID>", "<a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Get</a:Action><a:MessageID>")),
    Trick("two Headers", swapped("<s:Body>", "<s:Header></s:Header><s:Body>")),
    Trick("two resources, the first a plain shell", winrs_by_two_resources),
    Trick("two sets of selectors", swapped("</s:Header>", '<w:SelectorSet><w:Selector Name="ShellId">x</w:Selector></w:SelectorSet></s:Header>'), fools=False),
    Trick("two selectors", edited(lambda it, x, at: it.replace("<w:Selector Name=", f'<w:Selector Name="Other">{x.shell}</w:Selector><w:Selector Name=', 1))),
    Trick("a selector in another case, twice", edited(lambda it, x, at: it.replace("</w:SelectorSet>", f'<w:Selector Name="SHELLID">{x.shell}</w:Selector></w:SelectorSet>', 1))),
    Trick("a header that nobody knows", swapped("</s:Header>", '<q:Run xmlns:q="urn:q">x</q:Run></s:Header>')),
    Trick("a header that must be understood", swapped("</s:Header>", '<q:Run xmlns:q="urn:q" s:mustUnderstand="true">x</q:Run></s:Header>')),
    Trick("an answer to somebody else", swapped(f"{wsman.A}/role/anonymous", "http://evil.example/")),
    Trick("an option that starts a profile", swapped("</s:Header>", '<w:OptionSet><w:Option Name="WINRS_NOPROFILE">FALSE</w:Option></w:OptionSet></s:Header>')),
    Trick("an option of PowerShell's", swapped("</s:Header>", '<w:OptionSet><w:Option Name="PS_SESSIONOPTION">x</w:Option></w:OptionSet></s:Header>')),
    Trick("compressed data, or so it says", swapped("</s:Header>", '<rsp:CompressionType s:mustUnderstand="true">xpress</rsp:CompressionType></s:Header>')),
    Trick("a document type and an entity", edited(entity)),
    Trick("a document type alone", swapped("<s:Envelope", '<!DOCTYPE s SYSTEM "file:///etc/passwd"><s:Envelope')),
    Trick("a comment in base64", junk("<!-- -->")),
    Trick("a processing instruction in base64", junk("<?x?>")),
    Trick("a section of characters in base64", junk("<![CDATA[]]>")),
    Trick("junk in base64", junk("!*")),
    Trick("padding in the middle of base64", junk("=")),
    Trick("UTF-16 with a byte order mark", edited(utf_16)),
    Trick("UTF-16 by its declaration", lying("utf-16", "utf-16")),
    Trick("Latin-1 by its declaration", lying("iso-8859-1"), control=honest(lambda it: '<?xml version="1.0" encoding="utf-8"?>' + it)),
    Trick("a command without an id", without_id),
    Trick("an id in braces", edited(lambda it, x, at: it.replace(f'CommandId="{str(at).upper()}"', f'CommandId="{{{at}}}"'))),
    Trick("an id of no digits", edited(lambda it, x, at: it.replace(f'CommandId="{str(at).upper()}"', 'CommandId="now"'))),
    Trick("base64 in lines", edited(lambda it, *_: in_lines(it), REMOVE), control=honest(in_lines)),
    Trick("other prefixes", edited(lambda it, *_: renamed(it), REMOVE), control=honest(renamed)),
    Trick("a plain shell", resource(RSP + "/cmd")),
    Trick("another configuration", resource(wsman.PWSH + "/Microsoft.PowerShell")),
    Trick("another resource for a later request", later_resource),
    Trick("the management of the machine", resource("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/Win32_Process"), fools=False),
    Trick("a resource with a query", resource(wsman.EXCHANGE + "?PSVersion=5")),
    Trick("a shell whose streams are others", lambda stage: stage.wire().post(
        (x := wsman.Session(stage.wire())).create(
            whole(x, None, wsman.CAPABILITY_BODY, kind=wsman.CAPABILITY) + whole(x, None, wsman.INIT_BODY, kind=wsman.INIT)
            + whole(x, None, pipeline(MARKED)), ' Name="x" State="y"').encode())),
    Trick("Create of a shell by a Command's body", lambda stage: (x := stage.session()).ask(
        TRANSFER + "/Create", command_line(whole(x, at := uuid.uuid4(), pipeline(MARKED)), at)), fools=False),
    Trick("the message that a signal's text holds", lambda stage: (x := stage.session()).ask(
        "Signal", f'<rsp:Signal CommandId="{x.shell}"><rsp:Code>{encoded(message(wsman.CREATE, x.shell, None, pipeline(REMOVE)))}</rsp:Code></rsp:Signal>'),
        fools=False),
]
