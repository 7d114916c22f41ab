"""A small HTTP server on loopback, for what the gateway reaches out to."""

from __future__ import annotations

import http.server
import ssl
import threading


class Loopback:
    """Serves with `handler` until it is left; it listens as soon as it is made."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext | None = None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Answers with bodies of a known length, and writes nothing to the tests' output."""

    def answer(self, status: int, body: bytes = b"", kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
