"""A client in the shape of CIPP's `New-ExoRequest` and `New-ExoBulkRequest` (exchange-rest sections 1.3, 3.2 and 4)."""

import json
import ssl
import uuid
from pathlib import Path

import httpx


class ExoFailed(Exception):
    """`New-ExoRequest` throws the text that it found."""


def normalized_error(body: str) -> str:
    """`Get-NormalizedError` on raw JSON: its own order of places."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body
    places = [
        (error.get("innererror") or {}).get("message"),
        error.get("message"),
        next((it.get("message") for it in error.get("details") or []), None),
        ((error.get("innererror") or {}).get("internalException") or {}).get("message"),
    ]
    return next((it for it in places if it), body)


class Cipp:
    """Calls for one tenant. `host` is where item URLs point, as CIPP writes Microsoft's own."""

    def __init__(self, base: str, ca: Path, tenant: str, token: str, http2: bool = False):
        self.base, self.tenant, self.token = base, tenant, token
        self.http = httpx.Client(
            verify=ssl.create_default_context(cafile=str(ca)), http1=not http2, http2=http2, timeout=60, trust_env=False
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def _headers(self, anchor: str) -> dict:
        return {
            "Authorization": f"Bearer {self.token}", "Prefer": "odata.maxpagesize=1000", "X-AnchorMailbox": anchor,
            "Content-Type": "application/json; charset=utf-8",
        }

    def request(self, cmdlet: str, parameters: dict, select: str | None = None) -> list[dict] | str:
        """`New-ExoRequest`: objects, or the warnings when there are none."""
        url = f"{self.base}/adminapi/beta/{self.tenant}/InvokeCommand" + (f"?$select={select}" if select else "")
        anchor = parameters.get("Identity") or "UPN:SystemMailbox{8cc370d3-822a-4ab8-a926-bb94bd0641a9}@contoso.example"
        body = {"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}}
        found: list[dict] = []
        while url:
            answer = self.http.post(url, headers=self._headers(anchor), content=json.dumps(body).encode())
            if answer.status_code >= 300:
                raise ExoFailed(self._text(answer.text))
            answer = answer.json() if answer.content else {}
            if not answer.get("value"):
                return found or "; ".join(answer.get("@adminapi.warnings") or [])
            found += answer["value"]
            url = answer.get("@odata.nextLink")
        return found

    @staticmethod
    def _text(body: str) -> str:
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            return body
        details = "".join(it.get("message", "") for it in error.get("details") or [])
        inner = ((error.get("innererror") or {}).get("internalException") or {}).get("message")
        return details or inner or error.get("message") or body

    def bulk(self, calls: list[tuple[str, dict]]) -> list[dict]:
        """`New-ExoBulkRequest`: objects and errors by item. As in CIPP, an outer call that fails gives nothing at all."""
        headers = self._headers("UPN:SystemMailbox{8cc370d3-822a-4ab8-a926-bb94bd0641a9}@contoso.example")
        headers |= {
            "Prefer": "odata.maxpagesize = 1000;odata.continue-on-error", "parameter-based-routing": "True",
            "Accept": "application/json; odata.metadata=minimal", "Accept-Encoding": "gzip",
        }
        results = []
        for start in range(0, len(calls), 10):
            items = []
            for cmdlet, parameters in calls[start : start + 10]:
                # One table is shared and changed: the outer request carries the last item's.
                headers["X-CmdletName"] = cmdlet
                items.append({
                    "url": f"{self.base}/adminapi/beta/{self.tenant}/InvokeCommand?", "method": "POST", "id": str(uuid.uuid4()),
                    "body": {"CmdletInput": {"Parameters": parameters, "CmdletName": cmdlet}}, "headers": dict(headers),
                })
            results += self._batch(items, headers)
        return results

    def _batch(self, items: list[dict], headers: dict) -> list[dict]:
        results, names = [], {it["id"]: it["body"] for it in items}
        while items:
            url = f"{self.base}/adminapi/beta/{self.tenant}/$batch"
            answer = self.http.post(url, headers=headers, content=json.dumps({"requests": items}).encode())
            if answer.status_code >= 300:
                return results
            again = []
            for item in answer.json()["responses"]:
                body, sent = item["body"], names[item["id"]]
                cmdlet = sent["CmdletInput"]["CmdletName"]
                if "error" in body:
                    details = "".join(it.get("message", "") for it in body["error"].get("details") or [])
                    results.append({"cmdlet": cmdlet, "error": details or body["error"]["message"]})
                    continue
                results += [it | {"cmdlet": cmdlet} for it in body.get("value") or []]
                if body.get("@odata.nextLink"):
                    again.append({
                        "url": body["@odata.nextLink"], "method": "POST", "id": item["id"], "body": sent, "headers": headers,
                    })
            items = again
        return results
