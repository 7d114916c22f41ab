"""Shells and commands: fragments put together, messages dispatched, output that waits to be fetched."""

from __future__ import annotations

import asyncio
import struct
import typing as t
import uuid

import psrpcore
from psrpcore.types import PSRPMessageType

from .pipelines import Job, run_pipeline
from .soap import PWSH_URI, Fault, bad_selector

if t.TYPE_CHECKING:
    from .server import Endpoint

FRAGMENT = struct.Struct(">QQBI")  # object id, fragment id, flags, blob length
SERVER_FRAGMENT_SIZE = 32 * 1024
RUNSPACE_CALLS = (0x21002, 0x21003, 0x21007, 0x2100C)  # SET_MAX/MIN, GET_AVAILABLE, RESET: carry a call id


class Shell:
    def __init__(self, endpoint: "Endpoint", shell_id: str, resource: str, user: str):
        self.endpoint, self.id, self.resource, self.user = endpoint, shell_id, resource, user
        self.outbox = Outbox()
        self.streams = {"stdin": Reassembler(), "pr": Reassembler()}
        self.commands: dict[str, Command] = {}
        self.pool = psrpcore.ServerRunspacePool()
        self.jobs: dict[uuid.UUID | None, Job] = {}
        self.host_calls: dict[int, asyncio.Future[t.Any]] = {}
        self.connected = True

    @property
    def is_psrp(self) -> bool:
        return self.resource.startswith(PWSH_URI)

    def feed(self, channel: "Shell | Command", stream: str, data: bytes) -> None:
        if stream not in channel.streams:
            raise Fault(0x80540BBE, "w:InvalidParameter", f"The stream {stream!r} is not supported.")
        for object_id, raw in channel.streams[stream].feed(data):
            self.dispatch(channel, object_id, raw)

    def dispatch(self, channel: "Shell | Command", object_id: int, raw: bytes) -> None:
        message_type = struct.unpack_from("<I", raw, 4)[0]
        pid = uuid.UUID(bytes_le=raw[24:40])
        if isinstance(channel, Command) and channel.pid is None:
            channel.pid = pid  # like PowerShellGuidObserver: the first message names the pipeline
        key = pid if pid.int else None
        if message_type in (PSRPMessageType.CreatePipeline, PSRPMessageType.GetCommandMetadata):
            if key is not None and not any(c.pid == pid for c in self.commands.values()):
                raise Fault(0x80540FA0, "w:InternalError", "There is no command for this pipeline.", who="Receiver")
            if key in self.pool.pipeline_table:
                raise Fault(0x80540FA0, "w:InternalError", "The pipeline exists already.", who="Receiver")
            psrpcore.ServerPipeline(self.pool, t.cast(uuid.UUID, key))
        if message_type in RUNSPACE_CALLS:  # property names are case-insensitive; pypsrp writes CI, psrpcore reads ci
            raw = raw.replace(b'N="CI"', b'N="ci"')
        fragment = FRAGMENT.pack(object_id, 0, 3, len(raw)) + raw
        self.pool.receive_data(psrpcore.PSRPPayload(fragment, psrpcore.StreamType.default, key))
        event = self.pool.next_event()
        if event is not None:
            self.handle(event, key)
        self.flush()

    def handle(self, event: psrpcore.PSRPEvent, key: uuid.UUID | None) -> None:
        if isinstance(event, (psrpcore.CreatePipelineEvent, psrpcore.GetCommandMetadataEvent)):
            job = self.jobs[key] = Job()
            command = next((c for c in self.commands.values() if key is not None and c.pid == key), None)
            if command is not None:
                job.finish = command.finish
            pipe = self.pool.pipeline_table[t.cast(uuid.UUID, key)]
            job.task = asyncio.ensure_future(run_pipeline(self.endpoint, self, pipe, job))
        elif isinstance(event, psrpcore.PipelineInputEvent) and key in self.jobs:
            self.jobs[key].input.append(event._ps_object)
        elif isinstance(event, psrpcore.EndOfPipelineInputEvent) and key in self.jobs:
            self.jobs[key].input_done.set()
        elif isinstance(event, (psrpcore.PipelineHostResponseEvent, psrpcore.RunspacePoolHostResponseEvent)):
            future = self.host_calls.pop(event.ci, None)
            if future is not None and not future.done():
                future.set_result(event.result)
        elif isinstance(event, psrpcore.GetAvailableRunspacesEvent):
            self.pool.runspace_availability_response(event.ci, 1)
        elif isinstance(event, (psrpcore.SetMaxRunspacesEvent, psrpcore.SetMinRunspacesEvent, psrpcore.ResetRunspaceStateEvent)):
            self.pool.runspace_availability_response(event.ci, True)

    def flush(self) -> None:
        """Move what psrpcore wants to send to the right Receive queues."""
        while True:
            payload = self.pool.data_to_send(SERVER_FRAGMENT_SIZE)
            if payload is None:
                return
            command = next((c for c in self.commands.values() if payload.pipeline_id and c.pid == payload.pipeline_id), None)
            box = command.outbox if command else self.outbox
            box.chunks.append(payload.data)
            box.notify()

    def command(self, command_id: str) -> Command:
        try:
            return self.commands[command_id.upper()]
        except KeyError:
            raise bad_selector(f"no command {command_id}")

    def close(self) -> None:
        for job in self.jobs.values():
            if job.task and not job.task.done():
                job.task.cancel()
        for box in [self.outbox, *(c.outbox for c in self.commands.values())]:
            box.done = True
            box.notify()


class Command:
    def __init__(self, command_id: str):
        self.id = command_id
        self.outbox = Outbox()
        self.streams = {"stdin": Reassembler(), "pr": Reassembler()}
        self.pid: uuid.UUID | None = None
        self.exit_code: int | None = None  # cmd shell only
        self.cmd_output: dict[str, bytes] = {}

    def finish(self) -> None:
        self.outbox.done = True
        self.outbox.notify()


class Outbox:
    """What waits to be fetched with Receive."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.done = False
        self.changed = asyncio.Condition()

    async def wait(self, timeout: float) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: self.chunks or self.done), timeout)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def notify(self) -> None:
        asyncio.ensure_future(self._notify())


class Reassembler:
    """PowerShell's ReceiveDataCollection: one byte stream -> complete PSRP messages."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.object_id, self.fragment_id, self.data = 0, 0, bytearray()

    def feed(self, data: bytes) -> t.Iterator[tuple[int, bytes]]:
        self.pending += data
        while len(self.pending) > FRAGMENT.size:
            object_id, fragment_id, flags, length = FRAGMENT.unpack_from(self.pending)
            if object_id <= 0 or object_id >= 1 << 63:
                raise Fault(0x80540FA0, "w:InternalError", "ObjectId cannot be less than or equal to 0.", who="Receiver")
            if len(self.pending) < FRAGMENT.size + length:
                return
            blob = bytes(self.pending[FRAGMENT.size : FRAGMENT.size + length])
            del self.pending[: FRAGMENT.size + length]
            if flags & 1:
                self.object_id, self.data = object_id, bytearray()
            elif object_id != self.object_id or fragment_id != self.fragment_id + 1:
                raise Fault(0x80540FA0, "w:InternalError", "The fragments are not in sequence.", who="Receiver")
            self.fragment_id = fragment_id
            self.data += blob
            if flags & 2:
                yield object_id, bytes(self.data)
                self.object_id, self.fragment_id, self.data = 0, 0, bytearray()
