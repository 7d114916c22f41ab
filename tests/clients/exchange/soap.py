"""Envelopes of WS-Management: what is looked at in a request, answers and faults."""

from __future__ import annotations

import re
import typing as t
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
PWSH = "http://schemas.microsoft.com/powershell"
SHELL_URI = RSP
CMD_URI = RSP + "/cmd"
PWSH_URI = PWSH + "/"
ANON = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"

STATE = RSP + "/CommandState/"

ACTIONS = {
    X + "/Create": "Create",
    X + "/Delete": "Delete",
    X + "/Get": "Get",
    N + "/Enumerate": "Enumerate",
    RSP + "/Command": "Command",
    RSP + "/Send": "Send",
    RSP + "/Receive": "Receive",
    RSP + "/Signal": "Signal",
    RSP + "/Connect": "Connect",
    RSP + "/Disconnect": "Disconnect",
    RSP + "/Reconnect": "Reconnect",
}


class Fault(Exception):
    """A WSMan SOAP fault."""

    def __init__(self, code: int, subcode: str, reason: str, *, who: str = "Sender", detail: str = "", http: int = 500):
        super().__init__(reason)
        self.code, self.subcode, self.reason = code, subcode, reason
        self.who, self.detail, self.http = who, detail, http


def timed_out() -> Fault:
    return Fault(
        0x80338029,
        "w:TimedOut",
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
        who="Receiver",
    )


def bad_selector(what: str) -> Fault:
    return Fault(
        0x8033805B,
        "w:InvalidSelectors",
        "The WS-Management service cannot process the request because the request contained invalid selectors for "
        f"the resource. ({what})",
        detail="http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/UnexpectedSelectors",
    )


class Request:
    """The few parts of a WSMan envelope the fixture looks at."""

    def __init__(self, raw: bytes):
        try:
            env = ET.fromstring(raw)
        except ET.ParseError as e:
            raise Fault(0x803380B1, "w:SchemaValidationError", f"The SOAP packet did not validate: {e}")
        head = env.find(f"{{{S}}}Header")
        self.body = env.find(f"{{{S}}}Body")
        if head is None or self.body is None:
            raise Fault(0x803380B1, "w:SchemaValidationError", "The SOAP packet has no Header or no Body.")
        self.message_id = self._text(head, A, "MessageID")
        self.action = ACTIONS.get(self._text(head, A, "Action"), "")
        self.resource = self._text(head, W, "ResourceURI").split("?")[0]
        self.to = self._text(head, A, "To")
        self.timeout = self._duration(self._text(head, W, "OperationTimeout"))
        self.max_envelope = int(self._text(head, W, "MaxEnvelopeSize") or 153600)
        self.selectors = {
            (s.get("Name") or "").lower(): (s.text or "") for s in head.iterfind(f"{{{W}}}SelectorSet/{{{W}}}Selector")
        }
        self.shell_id = self.selectors.get("shellid", "").upper()

    @staticmethod
    def _text(head: ET.Element, ns: str, name: str) -> str:
        e = head.find(f"{{{ns}}}{name}")
        return (e.text or "").strip() if e is not None else ""

    @staticmethod
    def _duration(text: str) -> float:
        m = re.fullmatch(r"PT(?:(\d+)M)?(?:([\d.]+)S)?", text or "")
        return float(m.group(1) or 0) * 60 + float(m.group(2) or 0) if m else 60.0

    def find(self, name: str) -> ET.Element:
        e = t.cast(ET.Element, self.body).find(f"{{{RSP}}}{name}")
        if e is None:
            raise Fault(0x803380B1, "w:SchemaValidationError", f"The body has no {name} element.")
        return e


ENVELOPE = (
    f'<s:Envelope xml:lang="en-US" xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:w="{W}" xmlns:rsp="{RSP}" '
    f'xmlns:p="{P}" xmlns:n="{N}"><s:Header><a:Action>{{action}}</a:Action><a:MessageID>uuid:{{mid}}</a:MessageID>'
    f"<a:To>{ANON}</a:To><a:RelatesTo>{{relates}}</a:RelatesTo></s:Header><s:Body>{{body}}</s:Body></s:Envelope>"
)


def envelope(action: str, relates: str, body: str) -> bytes:
    return ENVELOPE.format(
        action=action, mid=str(uuid.uuid4()).upper(), relates=escape(relates), body=body
    ).encode("utf-8")


def fault_envelope(f: Fault, relates: str, machine: str) -> bytes:
    detail = f"<w:FaultDetail>{escape(f.detail)}</w:FaultDetail>" if f.detail else ""
    body = (
        f"<s:Fault><s:Code><s:Value>s:{f.who}</s:Value><s:Subcode><s:Value>{f.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{escape(f.reason)}</s:Text></s:Reason><s:Detail>{detail}'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{f.code}" '
        f'Machine="{escape(machine)}"><f:Message>{escape(f.reason)}</f:Message></f:WSManFault></s:Detail></s:Fault>'
    )
    return envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", relates, body)
