"""Mailboxes in memory, the cmdlets on them, and PowerShell's way of finding both by name."""

from __future__ import annotations

import asyncio
import fnmatch
import typing as t

import psrpcore
from psrpcore.types import (
    ErrorCategory,
    ErrorCategoryInfo,
    FieldDescription,
    HostMethodIdentifier,
    NETException,
    PSNoteProperty,
    PSObject,
    PSSecureString,
    add_note_property,
)

if t.TYPE_CHECKING:
    from .server import Endpoint
    from .shells import Shell

class MailboxTable:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, t.Any]] = {}
        for alias, name in (("anna", "Anna Berg"), ("bo", "Bo Carlsen"), ("x", "Xenia Dahl")):
            self.add(alias, name)

    def add(self, alias: str, display: str, **extra: t.Any) -> dict[str, t.Any]:
        row = {
            "Identity": f"corp.example/Users/{display}",
            "Alias": alias,
            "DisplayName": display,
            "PrimarySmtpAddress": f"{alias}@corp.example",
            "RecipientTypeDetails": "UserMailbox",
            "ForwardingSmtpAddress": None,
            "CustomAttribute1": "",
            **extra,
        }
        self.rows[alias.lower()] = row
        return row

    def find(self, identity: t.Any) -> dict[str, t.Any] | None:
        if isinstance(identity, PSObject):  # a piped or passed mailbox object
            identity = getattr(identity, "Alias", None) or getattr(identity, "Identity", None) or str(identity)
        key = str(identity).lower()
        for row in self.rows.values():
            if key in (row["Alias"].lower(), row["Identity"].lower(), row["DisplayName"].lower(), row["PrimarySmtpAddress"]):
                return row
        return None

    @staticmethod
    def as_object(row: dict[str, t.Any]) -> PSObject:
        obj = PSObject()
        obj.PSObject.type_names = [
            "Deserialized.Microsoft.Exchange.Data.Directory.Management.Mailbox",
            "Deserialized.Microsoft.Exchange.Data.Directory.ADObject",
            "Deserialized.System.Object",
        ]
        obj.PSObject.to_string = row["DisplayName"]
        for k, v in row.items():
            add_note_property(obj, k, v)
        return obj


class CmdletError(Exception):
    def __init__(self, message: str, fqid: str, category: ErrorCategory, dotnet: str, terminating: bool = False):
        super().__init__(message)
        self.fqid, self.category, self.dotnet, self.terminating = fqid, category, dotnet, terminating


COMMON = ["ErrorAction", "WarningAction", "InformationAction", "Verbose", "Debug", "WhatIf", "Confirm", "OutVariable"]
SWITCHES = {"verbose", "debug", "whatif", "confirm"}


class Cmdlet(t.NamedTuple):
    name: str
    run: t.Callable[..., t.Awaitable[None]]
    params: list[str]
    positional: list[str]
    pipeline_by: str | None
    switches: set[str]


CMDLETS: dict[str, Cmdlet] = {}
COMMON_ALIASES = {"ea": "ErrorAction", "ov": "OutVariable", "cf": "Confirm"}
PARAMETER_ALIASES = {"set-mailbox": {"ForwardTo": "ForwardingSmtpAddress"}}
ALIASES = {"gmbx": "Get-Mailbox", "iex": "Invoke-Expression", "rmbx": "Remove-Mailbox"}


def cmdlet(name: str, params: str = "", positional: str = "", pipeline_by: str | None = None, switches: str = ""):
    def wrap(f: t.Callable[..., t.Awaitable[None]]) -> t.Callable[..., t.Awaitable[None]]:
        CMDLETS[name.lower()] = Cmdlet(
            name, f, params.split() + COMMON, positional.split(), pipeline_by, set(switches.lower().split()) | SWITCHES
        )
        return f

    return wrap


def lookup(name: str) -> Cmdlet:
    """Resolve like PowerShell: alias, module-qualified name, implied Get-."""
    for known in ("Microsoft.Exchange.Management.PowerShell.E2010\\", "Microsoft.Exchange\\"):
        if name.lower().startswith(known.lower()):
            name = name[len(known) :]
    name = ALIASES.get(name.lower(), name)
    for candidate in (name, "Get-" + name if "-" not in name else name):
        if candidate.lower() in CMDLETS:
            return CMDLETS[candidate.lower()]
    raise CmdletError(
        f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
        "Check the spelling of the name, or if a path was included, verify that the path is correct and try again.",
        "CommandNotFoundException",
        ErrorCategory.ObjectNotFound,
        "System.Management.Automation.CommandNotFoundException",
        True,
    )


DASHES = "-\u2013\u2014\u2015"


def bind(c: Cmdlet, args: list[tuple[str | None, t.Any]]) -> dict[str, t.Any]:
    """PowerShell's rules, cut down: '-Name', 'Name', '-Name:', prefixes, positions, switches."""
    bound: dict[str, t.Any] = {}
    positions = list(c.positional)
    pending: str | None = None

    def fail(message: str, fqid: str) -> t.NoReturn:
        raise CmdletError(
            message,
            f"{fqid},{c.name}",
            ErrorCategory.InvalidArgument,
            "System.Management.Automation.ParameterBindingException",
            True,
        )

    for name, value in args:
        if name is None:
            if pending is not None:
                bound[pending], pending = value, None
            elif positions:
                bound[positions.pop(0)] = value
            else:
                fail(f"A positional parameter cannot be found that accepts argument '{value}'.", "PositionalParameterNotFound")
            continue
        dashed = name[0] in DASHES
        colon = False
        if dashed:
            name = name[1:].rstrip()
            colon = name.endswith(":")
            name = name[:-1] if colon else name
        aliases = COMMON_ALIASES | PARAMETER_ALIASES.get(c.name.lower(), {})
        called = {p: [p, *(alias for alias, full in aliases.items() if full == p)] for p in c.params}
        exact = [p for p, names in called.items() if any(it.lower() == name.lower() for it in names)]
        hits = exact or [p for p, names in called.items() if any(it.lower().startswith(name.lower()) for it in names)]
        if len(hits) != 1:
            fail(f"A parameter cannot be found that matches parameter name '{name}'.", "NamedParameterNotFound")
        real = hits[0]
        if real in positions:
            positions.remove(real)
        if real.lower() in c.switches:
            bound[real] = True if value is None else value
        elif dashed and not colon and value is None:
            pending = real
        else:
            bound[real] = value
    if pending:
        fail(f"Missing an argument for parameter '{pending}'.", "MissingArgument")
    return bound


class Context:
    """What a cmdlet body gets: its stage's output, the mailbox table and the pipeline."""

    def __init__(self, endpoint: "Endpoint", shell: "Shell", pipe: psrpcore.ServerPipeline, emit: t.Callable[[t.Any], None]):
        self.table, self.endpoint, self.shell, self.pipe, self.emit = endpoint.table, endpoint, shell, pipe, emit

    def error(self, message: str, fqid: str, category: ErrorCategory, dotnet: str) -> None:
        self.pipe.write_error(
            net_exception(message, dotnet), ErrorCategoryInfo(Category=category), fully_qualified_error_id=fqid
        )
        self.shell.flush()

    def not_found(self, identity: t.Any, verb: str) -> None:
        self.error(
            f"The operation couldn't be performed because object '{identity}' couldn't be found on 'dc1.corp.example'.",
            f"[Server=MBX1],Microsoft.Exchange.Management.RecipientTasks.{verb}Mailbox",
            ErrorCategory.NotSpecified,
            "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException",
        )

    async def host(self, method: HostMethodIdentifier, params: list[t.Any]) -> t.Any:
        ci = self.pipe.host_call(method, params)
        self.shell.flush()
        future = asyncio.get_running_loop().create_future()
        self.shell.host_calls[ci] = future
        return await future


def net_exception(message: str, dotnet: str) -> NETException:
    e = NETException(Message=message, HResult=-2146233087)
    e.PSObject.type_names = [dotnet] + e.PSObject.type_names
    return e


@cmdlet("Get-Mailbox", "Identity ResultSize Filter Server Archive", "Identity", "Identity", "Archive")
async def get_mailbox(ctx: Context, p: dict[str, t.Any]) -> None:
    if "Identity" in p:
        row = ctx.table.find(p["Identity"])
        if row is None:
            return ctx.not_found(p["Identity"], "Get")
        return ctx.emit(MailboxTable.as_object(row))
    limit = p.get("ResultSize", 1000)
    limit = 10**9 if str(limit).lower() == "unlimited" else int(limit)
    for row in list(ctx.table.rows.values())[:limit]:
        ctx.emit(MailboxTable.as_object(row))


@cmdlet("Set-Mailbox", "Identity DisplayName ForwardingSmtpAddress CustomAttribute1 Force", "Identity", "Identity", "Force")
async def set_mailbox(ctx: Context, p: dict[str, t.Any]) -> None:
    if "Identity" not in p and not ctx.pipe.metadata.host.IsHostNull:
        # PowerShell asks for a mandatory parameter, and binds whatever comes with the answer.
        answer = await ctx.host(
            HostMethodIdentifier.Prompt,
            ["cmdlet Set-Mailbox", "Supply values for the following parameters:", [FieldDescription("Identity")]],
        )
        p = {**p, **bind(lookup("Set-Mailbox"), [(f"-{name}:", value) for name, value in answer.items()])}
        ctx.endpoint.record(ctx.shell, ctx.pipe, "Set-Mailbox", p)
    row = ctx.table.find(p.get("Identity"))
    if row is None:
        return ctx.not_found(p.get("Identity"), "Set")
    for key in ("DisplayName", "ForwardingSmtpAddress", "CustomAttribute1"):
        if key in p:
            row[key] = p[key]


@cmdlet("New-Mailbox", "Name Alias Password Shared", "Name", None, "Shared")
async def new_mailbox(ctx: Context, p: dict[str, t.Any]) -> None:
    secret = p.get("Password")
    row = ctx.table.add(p.get("Alias") or p["Name"].split()[0].lower(), p["Name"])
    if isinstance(secret, PSSecureString):
        ctx.endpoint.secrets.append(secret.decrypt())
    ctx.emit(MailboxTable.as_object(row))


@cmdlet("Remove-Mailbox", "Identity Permanent", "Identity", "Identity", "Permanent")
async def remove_mailbox(ctx: Context, p: dict[str, t.Any]) -> None:
    row = ctx.table.find(p.get("Identity"))
    if row is None:
        return ctx.not_found(p.get("Identity"), "Remove")
    if p.get("Confirm", True) is not False:
        choice = psrpcore.types.ChoiceDescription
        answer = await ctx.host(
            HostMethodIdentifier.PromptForChoice,
            ["Confirm", f"Remove mailbox {row['DisplayName']}?", [choice("&Yes", ""), choice("&No", "")], 0],
        )
        if answer != 0:
            return
    del ctx.table.rows[row["Alias"].lower()]


@cmdlet("Set-Variable", "Name Value", "Name Value")
async def set_variable(ctx: Context, p: dict[str, t.Any]) -> None:
    ctx.endpoint.variables.append(str(p["Name"]))


@cmdlet("Export-Csv", "Path InputObject", "Path", "InputObject")
async def export_csv(ctx: Context, p: dict[str, t.Any]) -> None:
    """What it writes, where, is in the journal."""


@cmdlet("Get-Date")
async def get_date(ctx: Context, p: dict[str, t.Any]) -> None:
    ctx.emit("2026-01-01T00:00:00Z")


@cmdlet("Start-Sleep", "Seconds", "Seconds")
async def start_sleep(ctx: Context, p: dict[str, t.Any]) -> None:
    await asyncio.sleep(float(p["Seconds"]))


@cmdlet("Get-Command", "Name Module CommandType ArgumentList ListImported", "Name", None, "ListImported")
async def get_command(ctx: Context, p: dict[str, t.Any]) -> None:
    patterns = p.get("Name") or ["*"]
    patterns = patterns if isinstance(patterns, (list, tuple)) else [patterns]
    for c in CMDLETS.values():
        if any(fnmatch.fnmatch(c.name.lower(), str(x).lower()) for x in patterns):
            ctx.emit(command_object(c, ctx.endpoint.hidden))


@cmdlet("Measure-Object", "InputObject", "", "InputObject")
async def measure_object(ctx: Context, p: dict[str, t.Any]) -> None:
    raise NotImplementedError  # handled as an aggregate in Pipeline.run_statement


@cmdlet("Select-Object", "InputObject Property First", "Property", "InputObject")
async def select_object(ctx: Context, p: dict[str, t.Any]) -> None:
    ctx.emit(p.get("InputObject"))


@cmdlet("Out-String", "InputObject Stream", "", "InputObject", "Stream")
async def out_string(ctx: Context, p: dict[str, t.Any]) -> None:
    if "InputObject" in p:
        ctx.emit(str(p["InputObject"]))


def command_object(c: Cmdlet, hidden: t.Collection[str] = ()) -> PSObject:
    """What a listing says of a cmdlet; `hidden` are parameters that the caller's roles do not have."""
    obj = PSObject()
    obj.PSObject.type_names = [
        "Selected.System.Management.Automation.CmdletInfo",
        "System.Management.Automation.PSCustomObject",
        "System.Object",
    ]
    params: dict[str, t.Any] = {}
    aliases = PARAMETER_ALIASES.get(c.name.lower(), {})
    for name in (it for it in c.params if it not in hidden):
        meta = PSObject()
        meta.PSObject.type_names = ["System.Management.Automation.ParameterMetadata", "System.Object"]
        is_switch = name.lower() in c.switches
        for k, v in (
            ("Name", name),
            ("ParameterType", "System.Management.Automation.SwitchParameter" if is_switch else "System.String"),
            ("ParameterSets", {}),
            ("Aliases", [alias for alias, full in aliases.items() if full == name]),
            ("IsDynamic", False),
            ("SwitchParameter", is_switch),
            ("Attributes", []),
        ):
            meta.PSObject.adapted_properties.append(PSNoteProperty(k, value=v))
        params[name] = meta
    for k, v in (
        ("Name", c.name),
        ("Namespace", "Microsoft.Exchange"),
        ("HelpUri", ""),
        ("CommandType", psrpcore.types.CommandTypes.Cmdlet),
        ("ResolvedCommandName", None),
        ("OutputType", []),
        ("Parameters", params),
    ):
        add_note_property(obj, k, v)
    return obj
