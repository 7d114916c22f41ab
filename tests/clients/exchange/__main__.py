"""`python -m exchange --port 18080`: the stand-in by hand, over plain HTTP on loopback, until it is ended."""

import argparse
import json
import signal

from . import Server

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--port", type=int, default=18080)
arguments.add_argument("--user", default="alice@corp.example")
arguments.add_argument("--password", default="fixture-password")
arguments.add_argument("--language", choices=["NoLanguage", "Full"], default="NoLanguage")
given = arguments.parse_args()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
server = Server({given.user: given.password}, port=given.port, language=given.language)
print(f"listening on http://127.0.0.1:{server.port}/PowerShell/", flush=True)
signal.sigwait({signal.SIGINT, signal.SIGTERM})
server.stop()
for entry in server.journal:
    print(json.dumps(entry))
