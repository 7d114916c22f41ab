"""A stand-in for Exchange's remote PowerShell: a PSRP server over WS-Management, independent of the gateway.

It shares no code with the gateway; psrpcore and Python's own XML reader do its reading. It is as **lenient** as the real
receiver (PowerShell's `ReceiveDataCollection`, `WSManPluginCommandSession` and `ServerRemoteSession`), and more so where a
careless server might be. That is its purpose: what slips past the gateway in any form runs here, and is in the journal.

* A channel (shell or command, `stdin` or `pr`) is a stream of bytes; a fragment's header may be split over two requests.
* A start fragment drops an unfinished message without a word.
* Messages are dispatched by the ids in their own header, not by the command that they came under, and `CREATE_PIPELINE` is
  honoured wherever it comes from.
* `ExtraCmds` takes the place of `Cmds`; names may be aliases, qualified by modules, in any case, begun but not ended.
* SOAP is read by local finds: what is there twice, in other places or besides is passed over.

Nothing is kept, and nothing leaves the process. `python -m exchange` runs it by hand.

| module | what |
|---|---|
| `soap` | envelopes, faults, and the few parts of a request that are looked at |
| `cmdlets` | mailboxes in memory, and the cmdlets on them |
| `pipelines` | how pipelines and scripts run |
| `shells` | fragments, shells, commands, what waits to be fetched |
| `server` | HTTP, sign-in, the operations of WS-Management, the journal |
"""

from .server import Server

__all__ = ["Server"]
