"""A client in the shape of the ExchangeOnlineManagement module 3.x: what it sends, retries and shows (exchange-rest 1 to 5)."""

import base64
import json
import ssl
import uuid
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import httpx

CLIXML = "{http://schemas.microsoft.com/powershell/2004/04}"
RETRIED = {401, 429, 503, 504}
TRIES = 5


class CommandFailed(Exception):
    """What the module writes as an error: its text, and where PowerShell files it."""

    def __init__(self, response_status: int, headers, body: str):
        self.status = response_status
        self.reason = headers.get("x-ExceptionType") or headers.get("x-exceptiontype")
        self.category = None
        self.text = "server side error"
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            error = {}
        details = error.get("details") or []
        if details and details[0].get("message"):
            self.category = details[0].get("code")
            self.text = details[0]["message"]
            try:
                detail = json.loads(self.text)
                self.text = f"{detail['localizedString']['stringId']}|{detail['ClassName']}|{detail['Message']}"
            except (ValueError, KeyError, TypeError):
                pass
        elif error.get("innererror", {}).get("internalexception", {}).get("message"):
            self.text = error["innererror"]["internalexception"]["message"]
        super().__init__(f"{response_status}: {self.text}")


class Module:
    """A connected session."""

    def __init__(self, base: str, ca: Path, tenant: str, token: str, upn: str, http2: bool = False):
        self.base, self.tenant, self.token = base, tenant, token
        self.http = httpx.Client(
            verify=ssl.create_default_context(cafile=str(ca)), http1=not http2, http2=http2, timeout=960, trust_env=False
        )
        self.anchor = f"UPN:{upn}"
        self.connection = str(uuid.uuid4())
        self.waits: list[float] = []
        self.warnings: list[str] = []
        self.renew = None

    def close(self) -> None:
        self.http.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- Connect-ExchangeOnline ----

    def connect(self) -> list[str]:
        """The sequence of 5.1; returns the exported cmdlets."""
        query = "Version=3.9.0"
        self._get(f"/AdminApi/v1.0/{self.tenant}/EXOBanner('AutogenSession')?{query}")
        setup = {
            "CommandName": "*", "SkipLoadingFormatData": "True", "X-LoadLocalModule": "False", "client-process-id": "4711",
            "ps-version": "7.4.6", "exomodule-version": "3.9.0", "os-version": "Linux", "is-cloud-shell-environment": "False",
        }
        answer = self._get(f"/AdminApi/v1.0/{self.tenant}/EXOModuleFile?{query}", setup)
        assert "x-clientconfigurations" in answer.headers
        file = answer.json()["value"][0]
        assert file["fileName"].endswith(".psm1") and file["fileContent"]
        self._get(f"/AdminApi/beta/{self.tenant}/basicinfo('AdminApiState')")
        self._get(f"/adminapi/beta/{self.tenant}/Recipient?$top=1")
        return file["exportedCmdlets"].split(",")

    def _get(self, path: str, more: dict | None = None) -> httpx.Response:
        headers = self._headers() | {"client-request-id": str(uuid.uuid4())} | (more or {})
        answer = self.http.get(self.base + path, headers=headers)
        if answer.status_code != 200:
            raise CommandFailed(answer.status_code, answer.headers, answer.text)
        return answer

    # ---- cmdlets ----

    def run(self, cmdlet: str, confirmed=None, page_size: int = 1000, **parameters) -> list[dict]:
        """Runs a cmdlet through all pages. `confirmed` is asked with the question if the cmdlet prompts; without an answer
        the cmdlet is one that does not prompt."""
        request_id = str(uuid.uuid4())
        if confirmed is not None:
            answer = self._post(cmdlet, parameters | {"Confirm": True}, request_id, page_size)
            question = answer.get("@adminapi.confirmationmessage")
            if question is not None and not confirmed(question):
                return []
            parameters = parameters | {"Confirm": False}
        found, url = [], None
        while True:
            answer = self._post(cmdlet, parameters, request_id, page_size, url)
            self.warnings += answer.get("@adminapi.warnings") or []
            found += [_deserialised(it) for it in answer.get("value") or []]
            url = answer.get("@odata.nextLink")
            if url is None:
                return found

    def batch(self, calls: list[tuple[str, dict]]) -> list[dict | CommandFailed]:
        """Ten at a time; what fails in a batch is sent again by itself, and its failure is what is shown."""
        results: list[dict | CommandFailed] = []
        for start in range(0, len(calls), 10):
            chunk = calls[start : start + 10]
            items = []
            for number, (cmdlet, parameters) in enumerate(chunk):
                headers = {k: v for k, v in self._post_headers(cmdlet, str(uuid.uuid4()), 1000).items() if k != "Accept-Encoding"}
                items.append({
                    "id": str(number), "method": "POST", "url": self._invoke_url(), "headers": headers,
                    "body": {"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}},
                })
            headers = self._post_headers(chunk[-1][0], str(uuid.uuid4()), 1000)
            headers["Prefer"] += ";odata.continue-on-error"
            url = f"{self.base}/adminapi/beta/{self.tenant}/$batch"
            answer = self._send(url, headers, {"requests": items})
            if answer.status_code != 200:
                raise CommandFailed(answer.status_code, answer.headers, answer.text)
            by_id = {it["id"]: it for it in answer.json()["responses"]}
            for number, (cmdlet, parameters) in enumerate(chunk):
                item = by_id[str(number)]
                if item["status"] == 200:
                    results.append(item["body"])
                    continue
                try:
                    results.append({"value": self.run(cmdlet, **parameters)})
                except CommandFailed as failed:
                    results.append(failed)
        return results

    def _post(self, cmdlet: str, parameters: dict, request_id: str, page_size: int, url: str | None = None) -> dict:
        body = {"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}}
        answer = self._send(url or self._invoke_url(), self._post_headers(cmdlet, request_id, page_size), body)
        if answer.status_code not in (200, 204):
            raise CommandFailed(answer.status_code, answer.headers, answer.text)
        body = answer.json() if answer.content else {}
        if "error" in body or "@odata.error" in body:
            raise CommandFailed(answer.status_code, answer.headers, answer.text)
        return body

    def _send(self, url: str, headers: dict, body: dict) -> httpx.Response:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        for attempt in range(TRIES):
            headers["Authorization"] = f"Bearer {self.token}"
            answer = self.http.post(url, headers=headers, content=text)
            if answer.status_code not in RETRIED or attempt == TRIES - 1:
                return answer
            if answer.status_code == 401 and self.renew:
                self.token = self.renew()
            # What the module would sleep; a test does not.
            self.waits.append(float(answer.headers.get("Retry-After", 2 * 2**attempt)))
        raise AssertionError("unreachable")

    def _invoke_url(self) -> str:
        return f"{self.base}/adminapi/beta/{self.tenant}/InvokeCommand"

    def _headers(self) -> dict:
        return {
            "Authorization": f"Bearer {self.token}", "Accept": "application/json", "Accept-Charset": "UTF-8",
            "Accept-Encoding": "gzip", "Accept-Language": "en-GB", "X-AnchorMailbox": self.anchor,
            "connection-id": self.connection, "X-ClientApplication": "ExoManagementModule", "X-ClientModuleVersion": "3.9.0",
            "WarningAction": "", "User-Agent": "Mozilla/5.0 (Linux; Debian; en-GB) PowerShell/7.4.6",
        }

    def _post_headers(self, cmdlet: str, request_id: str, page_size: int) -> dict:
        return self._headers() | {
            "Content-Type": "application/json", "X-CmdletName": cmdlet, "X-ResponseFormat": "clixml",
            "X-SerializationLevel": "Partial", "parameter-based-routing": "True", "client-request-id": request_id,
            "Prefer": f"odata.maxpagesize={page_size}",
        }


def _deserialised(item: dict) -> dict:
    """An object of an answer; CLIXML as its properties."""
    if "_clixml" not in item:
        return item
    document = ElementTree.fromstring(item["_clixml"])
    properties = {}
    for bag in ("MS", "Props"):
        for member in document.findall(f"{CLIXML}Obj/{CLIXML}{bag}/*"):
            properties[member.get("N")] = None if member.tag == f"{CLIXML}Nil" else member.text or ""
    assert properties, f"no properties in {item['_clixml']}"
    return properties


def encoded(identity: str) -> str:
    """An identity as the module hides it from URL rules."""
    return base64.b64encode(identity.encode()).decode()
