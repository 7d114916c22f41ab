"""A stand-in for the management endpoint that records every request, and answers as exchange-rest sections 2 to 5 say.

It knows nothing of policies: what is in `arrived` got past the gateway.
"""

import json
import re
import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from loopback import Loopback, Quiet

JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
MAILBOXES = [f"user{number}@contoso.example" for number in range(7)]
CLIXML = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'


@dataclass
class Arrived:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def cmdlet(self) -> str:
        return self.json["CmdletInput"]["CmdletName"]


class Upstream(Loopback):
    """The endpoint; `failures` are statuses (with headers) to answer next instead of working."""

    def __init__(self, context: ssl.SSLContext):
        self.arrived: list[Arrived] = []
        self.executed: list[tuple[str, dict]] = []
        self.failures: list[tuple[int, dict]] = []
        super().__init__(_handler(self), context)
        self.authority = f"localhost:{self.port}"

    def take(self) -> list[Arrived]:
        """What arrived since the last time."""
        taken, self.arrived[:] = list(self.arrived), []
        self.executed.clear()
        return taken

    def invoke(self, target: str, headers, envelope: dict) -> tuple[int, dict, object]:
        """Runs one command: status, headers, answer."""
        if self.failures:
            status, more = self.failures.pop(0)
            return status, more, _error("InternalServerError", "try again", "Transient")
        command = envelope["CmdletInput"]
        name, parameters = command["CmdletName"], command.get("Parameters") or {}
        if name.lower() == "get-missing":
            return 404, {"x-ExceptionType": "ManagementObjectNotFoundException"}, _error(
                "NotFound", "The mailbox 'zed' wasn't found.", "Tasks.ManagementObjectNotFoundException"
            )
        if parameters.get("Confirm") is True:
            return 200, {}, {"@adminapi.confirmationmessage": f"Are you sure you want to run {name}?", "value": []}
        self.executed.append((name, parameters))
        if name.lower() != "get-mailbox":
            return 200, {}, {"@adminapi.warnings": ["Nothing was changed."], "value": []}
        size = int(re.search(r"maxpagesize *= *(\d+)", headers.get("Prefer", "x maxpagesize=1000"))[1])
        start = int(parse_qs(urlsplit(target).query).get("$skiptoken", ["0"])[0])
        page = MAILBOXES[start : start + size]
        answer = {
            "@odata.context": f"https://{self.authority}/adminapi/beta/x/$metadata#Collection(Exchange.GenericHashTable)",
            "value": [_object(it, headers.get("X-ResponseFormat")) for it in page],
        }
        if start + size < len(MAILBOXES):
            path = urlsplit(target).path
            answer["@odata.nextLink"] = f"https://{self.authority}{path}?$skiptoken={start + size}"
        return 200, {}, answer

    def batch(self, body: dict) -> dict:
        responses = []
        for item in body["requests"]:
            headers = {k: v for k, v in item["headers"].items()}
            assert headers["Authorization"].startswith("Bearer "), "an item carries its credential"
            status, more, answer = self.invoke(item["url"], headers, item["body"])
            name = item["body"]["CmdletInput"]["CmdletName"]
            responses.append({"id": item["id"], "status": status, "headers": more | {"Cmdlet-Name": name}, "body": answer})
        return {"responses": responses}


def _object(address: str, form: str | None):
    if (form or "").lower() == "clixml":
        return {"_clixml": f'{CLIXML}<Obj RefId="0"><MS><S N="Identity">{address}</S></MS></Obj></Objs>'}
    return {"Identity": address, "Guid@odata.type": "#Guid", "Guid": "8e0c1111-0000-4000-8000-000000000001"}


def _error(code: str, text: str, kind: str) -> dict:
    return {
        "error": {
            "code": code,
            "message": "Error executing cmdlet",
            "details": [{"code": "Client", "target": "", "message": f"Ex1A2B3C|{kind}|{text}"}],
            "innererror": {"message": "Error executing cmdlet", "internalexception": {"message": text}},
        }
    }


def _handler(upstream: Upstream):
    class Handler(Quiet):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self):
            self._record(b"")
            rest = urlsplit(self.path).path.split("/", 4)[4]
            if rest.startswith("EXOModuleFile"):
                exported = "Get-Mailbox,Set-Mailbox,Remove-Mailbox,New-MoveRequest"
                file = {"fileName": "tmpEXO_x.psm1", "fileContent": "# a module", "exportedCmdlets": exported}
                self._answer(200, {"X-ClientConfigurations": "{}"}, {"value": [file]})
            elif rest.startswith("EXOBanner"):
                self._answer(200, {}, {"moduleBannerContent": "Hello.", "sessionType": "AutogenSession"})
            elif rest.startswith(("basicinfo", "Recipient")):
                self._answer(200, {}, {"value": [{"Identity": MAILBOXES[0]}]})
            else:
                self._answer(404, {}, _error("NotFound", "no such thing", "X"))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived = self._record(body)
            if urlsplit(self.path).path.endswith("/$batch"):
                self._answer(200, {}, upstream.batch(arrived.json))
            else:
                self._answer(*upstream.invoke(self.path, self.headers, arrived.json))

        def _record(self, body: bytes) -> Arrived:
            headers = {name.lower(): value for name, value in self.headers.items()}
            upstream.arrived.append(Arrived(self.command, self.path, headers, body))
            return upstream.arrived[-1]

        def _answer(self, status: int, headers: dict, answer) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in ({"Content-Type": JSON, "OData-Version": "4.0", "request-id": "r1"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
