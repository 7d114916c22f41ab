"""Recorded sessions of real clients, sent again with small changes: bytes, pieces, what is inside of payloads.

Chance finds what nobody thought of. What is drawn is the same from run to run.
"""

import base64
import random
import re
import uuid
from pathlib import Path

RECORDED = Path(__file__).resolve().parents[2] / "fixtures/psrp"
SIGNED_OTHERWISE = ("20-", "30-", "31-")
"""Recordings of other ways to sign in: the gateway asks for another one before it reads anything."""
PAYLOAD = re.compile(rb">([A-Za-z0-9+/=]{60,})<")


def recordings() -> list[list[tuple[str, bytes]]]:
    """Each session as its requests: target and body."""
    sessions = []
    for folder in sorted(it for it in RECORDED.iterdir() if it.is_dir() and not it.name.startswith(SIGNED_OTHERWISE)):
        requests = []
        for file in sorted(folder.glob("*.request.http")):
            head, body = file.read_bytes().split(b"\r\n\r\n", 1)
            requests.append((head.split(b" ")[1].decode(), body))
        sessions.append(requests)
    return sessions


def as_new(draw: random.Random, body: bytes, shell: uuid.UUID) -> bytes:
    """The same request of another session: other ids, and short waits."""
    body = re.sub(rb"PT(20|180)(\.000)?S", b"PT0.1S", body)
    body = re.sub(rb"(MessageID>)uuid:[0-9A-Fa-f-]+", lambda it: it.group(1) + f"uuid:{drawn(draw)}".encode(), body)
    written = re.search(rb'ShellId">([0-9A-Fa-f-]+)<|ShellId="([0-9A-Fa-f-]+)"', body)
    if not written:
        return body
    old = uuid.UUID((written.group(1) or written.group(2)).decode())
    body = body.replace(str(old).upper().encode(), str(shell).upper().encode())

    def inside(payload: re.Match) -> bytes:
        data = base64.b64decode(payload.group(1)).replace(old.bytes_le, shell.bytes_le)
        return b">" + base64.b64encode(data) + b"<"

    return PAYLOAD.sub(inside, body)


def drawn(draw: random.Random) -> uuid.UUID:
    return uuid.UUID(int=draw.getrandbits(128))


def changed(draw: random.Random, body: bytes) -> bytes:
    """One small change."""
    at = draw.randrange(len(body))
    end = min(len(body), at + draw.randrange(1, 200))
    payloads = list(PAYLOAD.finditer(body))
    match draw.randrange(6):
        case 0:
            return body[:at] + bytes([draw.choice(b"<>&;\"'/=A0-\x00\xff")]) + body[at + 1 :]
        case 1:
            return body[:at] + body[end:]
        case 2:
            return body[:end] + body[at:]
        case _ if payloads:
            payload = draw.choice(payloads)
            data = bytearray(base64.b64decode(payload.group(1)))
            where = draw.randrange(len(data))
            match draw.randrange(3):
                case 0:
                    data[where] = draw.randrange(256)
                case 1:
                    data[where:where] = data[where : where + draw.randrange(1, 60)]
                case _:
                    for old, new in ((b"Get-Mailbox", b"Get-Date"), (b"false</B>", b"true</B>"), (b"Identity", b"Forw")):
                        data = data.replace(old, new, draw.randrange(2))
            return body[: payload.start(1)] + base64.b64encode(data) + body[payload.end(1) :]
        case _:
            return body
