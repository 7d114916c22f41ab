"""Clients that ask and do not stay for the answer, over both versions of HTTP: they close the connection, or reset the stream."""

from __future__ import annotations

import base64
import socket
import ssl
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import wsman

MOMENTS = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.1)
"""Seconds after which they are gone: before the request is read, while it is carried out, when it is answered. Which moment meets
what depends on the machine, so what is asserted of them holds for all."""


class Connection:
    """A connection of one person, of which nothing is ever read but what HTTP/2 begins with."""

    def __init__(self, wire: wsman.Wire):
        self.wire = wire
        self.authority = wire.base.split("://")[1]
        host, port = self.authority.split(":")
        context = ssl.create_default_context(cafile=str(wire.ca))
        context.set_alpn_protocols([self.protocol])
        plain = socket.create_connection((host, int(port)), timeout=wsman.PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        assert self.socket.selected_alpn_protocol() == self.protocol
        self.begin()

    @property
    def sign_in(self) -> str:
        return "Basic " + base64.b64encode(f"{self.wire.user}:{self.wire.password}".encode()).decode()

    def begin(self) -> None:
        """What comes before requests."""

    def ask_and_leave(self, body: str, moment: float) -> None:
        """Sends this, and is gone a moment later."""
        self.ask(body.encode())
        gone = time.perf_counter() + moment
        while time.perf_counter() < gone:
            pass
        self.leave()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()


class Http1(Connection):
    protocol = "http/1.1"

    def ask(self, body: bytes) -> None:
        head = (
            f"POST {self.wire.path} HTTP/1.1\r\nHost: {self.authority}\r\nContent-Type: {wsman.CONTENT_TYPE}\r\n"
            f"Authorization: {self.sign_in}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)

    def leave(self) -> None:
        self.socket.close()


class Http2(Connection):
    protocol = "h2"

    def begin(self) -> None:
        settings = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.state = h2.connection.H2Connection(settings)
        self.state.initiate_connection()
        self.flush()
        greeted = False
        while not greeted:
            heard = self.state.receive_data(self.socket.recv(65536))
            greeted = any(isinstance(it, h2.events.RemoteSettingsChanged) for it in heard)
        self.flush()

    def ask(self, body: bytes) -> None:
        self.stream = self.state.get_next_available_stream_id()
        head = {
            ":method": "POST", ":path": self.wire.path, ":scheme": "https", ":authority": self.authority,
            "content-type": wsman.CONTENT_TYPE, "authorization": self.sign_in,
        }
        self.state.send_headers(self.stream, list(head.items()))
        self.state.send_data(self.stream, body, end_stream=True)
        self.flush()

    def leave(self) -> None:
        self.state.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.state.data_to_send())
