"""How pipelines run: statements, pipes, input, scripts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import typing as t

import psrpcore
from psrpcore.types import ErrorCategory, ErrorCategoryInfo, ErrorRecord, PSInvocationState, PSObject, add_note_property

from .cmdlets import DASHES, CmdletError, Context, bind, cmdlet, get_command, lookup, net_exception

if t.TYPE_CHECKING:
    from .server import Endpoint
    from .shells import Shell

class Job:
    """A running pipeline."""

    def __init__(self) -> None:
        self.input: list[t.Any] = []
        self.input_done = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.finish: t.Callable[[], None] = lambda: None


async def run_pipeline(endpoint: "Endpoint", shell: "Shell", pipe: psrpcore.ServerPipeline, job: "Job") -> None:
    pipe._change_state(PSInvocationState.Running, emit=False)
    try:
        metadata = pipe.metadata
        if isinstance(metadata, psrpcore.GetMetadata):
            found: list[t.Any] = []
            await get_command(Context(endpoint, shell, pipe, found.append), {"Name": metadata.name})
            endpoint.record(shell, pipe, "(GET_COMMAND_METADATA)", {"Name": metadata.name})
            count = PSObject()
            count.PSObject.type_names = ["Selected.Microsoft.PowerShell.Commands.GenericMeasureInfo", "System.Object"]
            add_note_property(count, "Count", len(found))
            for obj in [count, *found]:
                pipe.write_output(obj)
        else:
            power = t.cast(psrpcore.PowerShell, metadata)
            if not power.no_input:
                await job.input_done.wait()
            statement: list[psrpcore.Command] = []
            for command in power.commands:
                statement.append(command)
                if command.end_of_statement:
                    for obj in await run_statement(endpoint, shell, pipe, statement, job.input):
                        pipe.write_output(obj)
                        shell.flush()
                    statement = []
        pipe.complete()
    except CmdletError as e:
        record = ErrorRecord(
            Exception=net_exception(str(e), e.dotnet),
            CategoryInfo=ErrorCategoryInfo(Category=e.category, Reason=e.dotnet.rsplit(".", 1)[-1]),
            FullyQualifiedErrorId=e.fqid,
        )
        pipe._change_state(PSInvocationState.Failed, record)
    except asyncio.CancelledError:
        endpoint.note(endpoint.stopped, str(pipe.pipeline_id))
        with contextlib.suppress(psrpcore.PSRPCoreError):
            pipe.stop()
    finally:
        with contextlib.suppress(psrpcore.PSRPCoreError):
            pipe.close()
        shell.flush()
        job.finish()


async def run_statement(
    endpoint: "Endpoint",
    shell: "Shell",
    pipe: psrpcore.ServerPipeline,
    commands: list[psrpcore.Command],
    piped: list[t.Any],
) -> list[t.Any]:
    current, has_input = piped, bool(piped)
    for index, command in enumerate(commands):
        if command.is_script:
            endpoint.record(shell, pipe, command.command_text, {}, script=True)
            if endpoint.language == "NoLanguage":
                raise scripts_not_allowed(command.command_text)
            produced: list[t.Any] = []
            for statement in parse_script(command.command_text):
                produced += await run_statement(endpoint, shell, pipe, statement, current)
            current, has_input = produced, True
            continue
        c = lookup(command.command_text)
        params = bind(c, command.parameters)
        output: list[t.Any] = []
        context = Context(endpoint, shell, pipe, output.append)
        if c.name == "Measure-Object":
            result = PSObject()
            result.PSObject.type_names = ["Selected.Microsoft.PowerShell.Commands.GenericMeasureInfo", "System.Object"]
            add_note_property(result, "Count", len(current))
            output.append(result)
        elif (has_input or index) and c.pipeline_by and c.pipeline_by not in params:
            for item in current:
                endpoint.record(shell, pipe, c.name, {**params, c.pipeline_by: item})
                await c.run(context, {**params, c.pipeline_by: item})
        else:
            endpoint.record(shell, pipe, c.name, params)
            await c.run(context, params)
        current, has_input = output, True
    return current


TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\"|([|;])|([^\s|;'\"]+))")


def parse_script(text: str) -> list[list[psrpcore.Command]]:
    statements: list[list[psrpcore.Command]] = [[]]
    command: psrpcore.Command | None = None
    pos = 0
    while pos < len(text.rstrip()):
        m = TOKEN.match(text, pos)
        if not m:
            raise CmdletError("Unexpected token.", "ParseError", ErrorCategory.ParserError, "System.Management.Automation.ParseException", True)
        pos = m.end()
        single, double, separator, word = m.groups()
        if separator:
            command = None
            if separator == ";":
                statements.append([])
        elif command is None:
            command = psrpcore.Command(single or double or word)
            statements[-1].append(command)
        elif word and word[0] in DASHES and not re.fullmatch(r"-[\d.]+", word):
            command.add_parameter(word, None)
        else:
            value: t.Any = single.replace("''", "'") if single is not None else double if double is not None else word
            if word in ("$true", "$false"):
                value = word == "$true"
            elif word and re.fullmatch(r"-?\d+", word):
                value = int(word)
            command.add_argument(value)
    return [s for s in statements if s]


def scripts_not_allowed(script: str) -> CmdletError:
    return CmdletError(
        "The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode.",
        "ScriptsNotAllowed",
        ErrorCategory.ParserError,
        "System.Management.Automation.ParseException",
        True,
    )


@cmdlet("Invoke-Expression", "Command", "Command", "Command")
async def invoke_expression(ctx: Context, p: dict[str, t.Any]) -> None:
    if ctx.endpoint.language == "NoLanguage":
        raise scripts_not_allowed(p["Command"])
    for statement in parse_script(p["Command"]):
        for obj in await run_statement(ctx.endpoint, ctx.shell, ctx.pipe, statement, []):
            ctx.emit(obj)
