"""The HTTP side: sign-in, the operations of WS-Management, and the journal of what ran."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
import struct
import threading
import typing as t
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import psrpcore
from aiohttp import web
from psrpcore.types import RunspacePoolState

from .cmdlets import MailboxTable
from .shells import FRAGMENT, SERVER_FRAGMENT_SIZE, Command, Reassembler, Shell
from .soap import (
    CMD_URI, N, PWSH, PWSH_URI, RSP, SHELL_URI, STATE, W, X, Fault, Request, bad_selector, envelope, fault_envelope,
    timed_out,
)

PATIENCE = 60
# pypsrp writes the first spelling, Windows (and pywinrm) the second.
SIG_TERMINATE = (RSP + "/signal/Terminate", RSP + "/signal/terminate")
SIG_CTRL_C = (RSP + "/signal/ctrl_c",)
# Windows sends the misspelt one, pypsrp and MS-PSRP the other.
SIG_PS_STOP = ("powershell/signal/crtl_c", "powershell/signal/ctrl_c")


class Arrived(t.NamedTuple):
    """A request as it came."""

    action: str
    shell: str
    headers: dict[str, str]
    target: str
    body: bytes


class Endpoint:
    """What is behind the URL: its state, and an answer to each request."""

    def __init__(
        self,
        users: dict[str, str],
        *,
        configuration: str = "Microsoft.Exchange",
        language: str = "NoLanguage",
        allow_winrs: bool = False,
        machine: str = "MBX1.corp.example",
    ):
        self.users, self.configuration, self.language = users, configuration, language
        self.allow_winrs, self.machine = allow_winrs, machine
        self.table = MailboxTable()
        self.shells: dict[str, Shell] = {}
        self.journal: list[dict[str, t.Any]] = []
        self.arrived: list[Arrived] = []
        self.stopped: list[str] = []
        self.secrets: list[str] = []
        self.changed = threading.Condition()

    def note(self, what: list[t.Any], entry: t.Any) -> None:
        """Adds to what tests look at, and tells those that wait."""
        with self.changed:
            what.append(entry)
            self.changed.notify_all()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/{path:(?i:powershell|wsman)/?}", self.post)
        return app

    def record(self, shell: Shell, pipe: psrpcore.ServerPipeline, name: str, params: dict[str, t.Any], script: bool = False) -> None:
        entry = {
            "user": shell.user,
            "shell": shell.id,
            "pipeline": str(pipe.pipeline_id),
            "cmdlet": name,
            "script": script,
            "params": {k: (v if isinstance(v, (bool, int, float, type(None))) else str(v)[:200]) for k, v in params.items()},
        }
        self.note(self.journal, entry)

    def authenticate(self, request: web.Request) -> str | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return None
        known = self.users.get(user)
        return user if known is not None and hmac.compare_digest(known, password) else None

    async def post(self, request: web.Request) -> web.Response:
        user = self.authenticate(request)
        if user is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="corp.example"'})
        if not request.content_type.startswith("application/soap+xml"):
            return web.Response(status=415)
        relates = ""
        try:
            raw = await request.read()
            call = Request(raw)
            self.note(self.arrived, Arrived(call.action, call.shell_id, dict(request.headers), request.path_qs, raw))
            relates = call.message_id
            action, body = await self.handle(call, user)
            payload, status = envelope(action, relates, body), 200
        except Fault as f:
            payload, status = fault_envelope(f, relates, self.machine), f.http
        except (psrpcore.PSRPCoreError, ET.ParseError, LookupError, ValueError, TypeError, AttributeError, struct.error) as e:
            f = Fault(0x80540FA0, "w:InternalError", f"{type(e).__name__}: {e}", who="Receiver")
            payload, status = fault_envelope(f, relates, self.machine), 500
        return web.Response(status=status, body=payload, headers={"Content-Type": "application/soap+xml;charset=UTF-8"})

    async def handle(self, call: Request, user: str) -> tuple[str, str]:
        method = getattr(self, f"do_{call.action.lower()}", None) if call.action else None
        if method is None:
            raise Fault(0x80338026, "a:ActionNotSupported", "The action is not supported by the service.")
        return await method(call, user)

    def shell(self, call: Request, user: str) -> Shell:
        shell = self.shells.get(call.shell_id)
        if shell is None or shell.user != user:
            raise bad_selector(f"no shell {call.shell_id}")
        return shell


    async def do_create(self, call: Request, user: str) -> tuple[str, str]:
        psrp = call.resource == PWSH_URI + self.configuration
        if not psrp and not (self.allow_winrs and call.resource in (CMD_URI, PWSH_URI + "Microsoft.PowerShell")):
            raise Fault(
                0x80338000 + 0x8F,
                "w:InvalidResourceURI",
                "The WS-Management service cannot process the request. The resource URI is missing or incorrect: "
                + call.resource,
                detail="http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/InvalidResourceURI",
            )
        element = call.find("Shell")
        shell_id = (element.get("ShellId") or str(uuid.uuid4())).upper()
        if shell_id in self.shells:
            raise Fault(0x803381D0, "w:AlreadyExists", "The shell exists already.")
        shell = Shell(self, shell_id, call.resource, user)
        self.shells[shell_id] = shell
        if shell.is_psrp:
            creation = element.find(f"{{{PWSH}}}creationXml")
            if creation is None:
                raise Fault(0x803380B1, "w:SchemaValidationError", "There is no creationXml.")
            shell.feed(shell, "stdin", base64.b64decode(creation.text or ""))
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        return X + "/CreateResponse", (
            f"<x:ResourceCreated><a:Address>{escape(call.to)}</a:Address><a:ReferenceParameters><w:ResourceURI>"
            f"{escape(call.resource)}</w:ResourceURI>{selector}</a:ReferenceParameters></x:ResourceCreated>"
            + self.describe(shell)
        )

    def describe(self, shell: Shell) -> str:
        return (
            f"<rsp:Shell><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:ResourceUri>{escape(shell.resource)}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(shell.user)}</rsp:Owner><rsp:ClientIP>127.0.0.1</rsp:ClientIP>"
            "<rsp:IdleTimeOut>PT900.000S</rsp:IdleTimeOut><rsp:InputStreams>stdin pr</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout</rsp:OutputStreams><rsp:CompressionMode>NoCompression</rsp:CompressionMode>"
            f"<rsp:State>{'Connected' if shell.connected else 'Disconnected'}</rsp:State></rsp:Shell>"
        )

    async def do_get(self, call: Request, user: str) -> tuple[str, str]:
        return X + "/GetResponse", self.describe(self.shell(call, user))

    async def do_delete(self, call: Request, user: str) -> tuple[str, str]:
        self.shell(call, user).close()
        del self.shells[call.shell_id]
        return X + "/DeleteResponse", ""

    async def do_enumerate(self, call: Request, user: str) -> tuple[str, str]:
        if call.resource == SHELL_URI:
            items = "".join(self.describe(s) for s in self.shells.values() if s.user == user)
        else:
            element = t.cast(ET.Element, call.body).find(f".//{{{W}}}Selector")
            shell = self.shells.get((element.text or "").upper()) if element is not None else None
            items = "".join(
                f"<rsp:Command><rsp:CommandId>{c.id}</rsp:CommandId><rsp:State>Running</rsp:State></rsp:Command>"
                for c in (shell.commands.values() if shell else [])
            )
        return N + "/EnumerateResponse", (
            f"<n:EnumerateResponse><n:EnumerationContext/><w:Items>{items}</w:Items><w:EndOfSequence/></n:EnumerateResponse>"
        )


    async def do_command(self, call: Request, user: str) -> tuple[str, str]:
        shell = self.shell(call, user)
        line = call.find("CommandLine")
        command_id = (line.get("CommandId") or str(uuid.uuid4())).upper()
        if command_id in shell.commands:
            raise Fault(0x803381D1, "w:AlreadyExists", "The command exists already.")
        command = shell.commands[command_id] = Command(command_id)
        arguments = [a.text or "" for a in line.iterfind(f"{{{RSP}}}Arguments")]
        if shell.is_psrp:
            if len(arguments) != 1:
                raise Fault(0x80540BC4, "w:InvalidParameter", "The supplied command arguments are not valid.")
            shell.feed(command, "stdin", base64.b64decode(arguments[0]))
        else:
            text = line.findtext(f"{{{RSP}}}Command") or ""
            self.note(self.journal, {"user": user, "shell": shell.id, "cmd": text, "arguments": arguments})
            command.cmd_output = {"stdout": f"(fixture) would run: {text} {' '.join(arguments)}\r\n".encode(), "stderr": b""}
            command.exit_code = 0
        return RSP + "/CommandResponse", f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    async def do_send(self, call: Request, user: str) -> tuple[str, str]:
        shell = self.shell(call, user)
        for stream in call.find("Send").iterfind(f"{{{RSP}}}Stream"):
            command_id = stream.get("CommandId")
            channel: Shell | Command = shell.command(command_id) if command_id else shell
            shell.feed(channel, stream.get("Name") or "", base64.b64decode(stream.text or ""))
        return RSP + "/SendResponse", "<rsp:SendResponse/>"

    async def do_receive(self, call: Request, user: str) -> tuple[str, str]:
        shell = self.shell(call, user)
        desired = call.find("Receive").find(f"{{{RSP}}}DesiredStream")
        command_id = desired.get("CommandId") if desired is not None else None
        command = shell.command(command_id) if command_id else None
        attribute = f' CommandId="{command.id}"' if command else ""
        if command is not None and not shell.is_psrp:
            streams = "".join(
                f'<rsp:Stream Name="{n}"{attribute}>{base64.b64encode(v).decode()}</rsp:Stream>'
                for n, v in command.cmd_output.items()
                if v
            )
            command.cmd_output = {}
            return RSP + "/ReceiveResponse", (
                f'<rsp:ReceiveResponse>{streams}<rsp:CommandState{attribute} State="{STATE}Done"><rsp:ExitCode>'
                f"{command.exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
            )
        box = command.outbox if command else shell.outbox
        try:
            await box.wait(max(0.1, min(call.timeout, 600.0)))
        except asyncio.TimeoutError:
            raise timed_out()
        room = call.max_envelope - 2048
        out: list[str] = []
        while box.chunks and (not out or room > len(box.chunks[0]) * 4 // 3 + 128):
            encoded = base64.b64encode(box.chunks.pop(0)).decode()
            room -= len(encoded) + 128
            out.append(f'<rsp:Stream Name="stdout"{attribute}>{encoded}</rsp:Stream>')
        if command is not None:
            finished = box.done and not box.chunks
            out.append(f'<rsp:CommandState{attribute} State="{STATE}{"Done" if finished else "Running"}"/>')
        elif box.done and not out:
            raise Fault(0x80338029 + 0x1A2, "w:OperationAborted", "The shell was closed.", who="Receiver")
        return RSP + "/ReceiveResponse", f"<rsp:ReceiveResponse>{''.join(out)}</rsp:ReceiveResponse>"

    async def do_signal(self, call: Request, user: str) -> tuple[str, str]:
        shell = self.shell(call, user)
        signal = call.find("Signal")
        command = shell.command(signal.get("CommandId") or "")
        code = (signal.findtext(f"{{{RSP}}}Code") or "").strip()
        if code in SIG_PS_STOP + SIG_TERMINATE + SIG_CTRL_C:
            job = shell.jobs.get(command.pid)
            if job and job.task and not job.task.done():
                job.task.cancel()
            if code in SIG_TERMINATE:
                command.finish()
                shell.commands.pop(command.id, None)
        else:
            raise Fault(0x80338000 + 0x54, "w:InvalidParameter", "The signal is not supported.")
        return RSP + "/SignalResponse", "<rsp:SignalResponse/>"

    async def do_disconnect(self, call: Request, user: str) -> tuple[str, str]:
        self.shell(call, user).connected = False
        return RSP + "/DisconnectResponse", "<rsp:DisconnectResponse/>"

    async def do_reconnect(self, call: Request, user: str) -> tuple[str, str]:
        self.shell(call, user).connected = True
        return RSP + "/ReconnectResponse", "<rsp:ReconnectResponse/>"

    async def do_connect(self, call: Request, user: str) -> tuple[str, str]:
        shell = self.shell(call, user)
        element = call.find("Connect")
        if element.get("CommandId"):
            shell.command(element.get("CommandId") or "")
            return RSP + "/ConnectResponse", "<rsp:ConnectResponse/>"
        shell.pool._change_state(RunspacePoolState.Disconnected, emit=False)
        shell.pool.connect()
        blob = base64.b64decode(element.findtext(f"{{{PWSH}}}connectXml") or "")
        for object_id, raw in Reassembler().feed(blob):
            shell.pool.receive_data(
                psrpcore.PSRPPayload(FRAGMENT.pack(object_id, 0, 3, len(raw)) + raw, psrpcore.StreamType.default, None)
            )
            shell.pool.next_event()
        shell.pool.prepare_message(shell.pool.our_capability)
        shell.pool._send_buffer.insert(0, shell.pool._send_buffer.pop())  # capability goes first
        # SESSION_CAPABILITY and RUNSPACEPOOL_INIT_DATA ride in the response, the rest is fetched with Receive
        later, shell.pool._send_buffer[:] = shell.pool._send_buffer[2:], shell.pool._send_buffer[:2]
        first = b"".join(p.data for p in iter(lambda: shell.pool.data_to_send(SERVER_FRAGMENT_SIZE), None))
        shell.pool._send_buffer.extend(later)
        shell.flush()
        shell.connected = True
        reply = base64.b64encode(first).decode()
        return RSP + "/ConnectResponse", (
            f'<rsp:ConnectResponse><connectResponseXml xmlns="{PWSH}">{reply}</connectResponseXml></rsp:ConnectResponse>'
        )


class Server:
    """The endpoint on a thread of its own, on loopback, with TLS if there is a `context`."""

    def __init__(self, users: dict[str, str], context: ssl.SSLContext | None = None, port: int = 0, **settings: t.Any):
        self.endpoint = Endpoint(users, **settings)
        self.loop = asyncio.new_event_loop()
        self.runner = web.AppRunner(self.endpoint.app(), access_log=None, shutdown_timeout=0.2)
        ready = threading.Event()

        async def start() -> None:
            await self.runner.setup()
            site = web.TCPSite(self.runner, "127.0.0.1", port, ssl_context=context)
            await site.start()
            self.port = self.runner.addresses[0][1]
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(start())
            self.loop.run_forever()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        if not ready.wait(PATIENCE):
            raise RuntimeError("the stand-in for Exchange did not start")
        self.authority = f"localhost:{self.port}"

    @property
    def journal(self) -> list[dict[str, t.Any]]:
        """What ran, oldest first."""
        return self.endpoint.journal

    def ran(self) -> list[str]:
        """The names of what ran, oldest first."""
        return [it.get("cmdlet") or it["cmd"] for it in list(self.journal)]

    def arrived(self, action: str = "") -> list[Arrived]:
        """The requests for this action, or all, oldest first."""
        return [it for it in list(self.endpoint.arrived) if action in ("", it.action)]

    def wait_until(self, is_so: t.Callable[[], t.Any], what: str) -> t.Any:
        """What `is_so` says when it says anything, asked again whenever something happened here."""
        with self.endpoint.changed:
            found = self.endpoint.changed.wait_for(is_so, PATIENCE)
        assert found, f"{what}: it did not come to that; ran: {self.ran()[-9:]}"
        return found

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        async def end() -> None:
            for shell in self.endpoint.shells.values():
                shell.close()
            await self.runner.cleanup()
            rest = [it for it in asyncio.all_tasks() if it is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()
