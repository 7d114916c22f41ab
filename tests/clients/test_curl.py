"""curl against the gateway: protocol versions, and paths that curl would tidy up if it were not told not to."""

import json
import subprocess

import pytest
from tokens import TENANT

GET_MAILBOX = json.dumps({"CmdletInput": {"CmdletName": "Get-Mailbox", "Parameters": {}}})


@pytest.fixture
def curl(world, tmp_path):
    # In a file, since everybody may read the arguments of a process.
    secret = tmp_path / "curl.conf"
    secret.write_text(f'header = "Authorization: Bearer {world.entra.user("ana@contoso.example")}"\n')

    def run(*arguments: str, path: str = f"/adminapi/beta/{TENANT}/InvokeCommand", body: str | None = GET_MAILBOX):
        command = ["curl", "-sS", "-K", secret, "--cacert", world.gateway.ca, "--path-as-is", "-o", "-", "-w", "\n%{http_code} %{http_version}"]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        done = subprocess.run(
            [*command, *arguments, world.gateway.base + path], input=body or "", capture_output=True, text=True, timeout=60
        )
        text, _, trailer = done.stdout.rpartition("\n")
        status, version = (trailer.split() + ["", ""])[:2]
        return done.returncode, status, version, text

    return run


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        (["--http1.1"], "1.1"),
        (["--http2"], "2"),
        (["--http1.1", "--tls-max", "1.2"], "1.1"),
        (["--http2", "--tls-max", "1.2"], "2"),
        (["--http1.1", "--tlsv1.3"], "1.1"),
        (["--http2", "--tlsv1.3"], "2"),
    ],
)
def test_http_and_tls_versions(world, curl, arguments, version):
    code, status, spoken, text = curl(*arguments)
    assert (code, status, spoken) == (0, "200", version), text
    assert "user0@contoso.example" in text
    assert [it.cmdlet for it in world.upstream.take()] == ["Get-Mailbox"]


def test_older_tls_is_refused(world, curl):
    code, *_ = curl("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
    assert code == 35, "curl: TLS connect error"
    assert world.upstream.take() == []


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    "path",
    [
        f"/adminapi/beta/{TENANT}/../{TENANT}/InvokeCommand",
        f"/adminapi/beta/{TENANT}/./InvokeCommand",
        f"/adminapi/beta//{TENANT}/InvokeCommand",
        f"/adminapi/beta/{TENANT}/InvokeCommand;a=b",
        f"/adminapi/beta/{TENANT}%2FInvokeCommand",
        f"/adminapi/beta/{TENANT}/Invoke%2543ommand",
        f"/adminapi/beta/{TENANT}/InvokeCommand%00",
        "/PowerShell-LiveId",
        "/",
    ],
)
def test_odd_paths_are_refused_as_they_are(world, curl, http, path):
    code, status, _, text = curl(http, path=path)
    assert code == 0 and status in ("400", "403", "404"), (status, text)
    assert world.upstream.take() == []


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_the_base_in_another_case_is_the_same_and_the_operation_is_exact(world, curl, http):
    _, status, *_ = curl(http, path=f"/AdminApi/BETA/{TENANT}/invokecommand")
    assert status == "400"
    _, status, _, text = curl(http, path=f"/AdminApi/BETA/{TENANT}/InvokeCommand")
    assert status == "200", text
    (arrived,) = world.upstream.take()
    assert arrived.target == f"/adminapi/beta/{TENANT}/InvokeCommand"


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(world, curl, http, method):
    code, status, *_ = curl(http, "-X", method, body=None)
    assert code == 0 and status.startswith("4") and status not in ("401", "408", "429")
    assert world.upstream.take() == []


def test_a_large_body_arrives_byte_for_byte(world, curl):
    text = "ä€😀" * 20_000
    body = json.dumps({"CmdletInput": {"CmdletName": "Set-Mailbox", "Parameters": {"Identity": "a", "Name": text}}}, ensure_ascii=False)
    for arguments in (["--http1.1"], ["--http2"], ["--http1.1", "-H", "Transfer-Encoding: chunked"]):
        _, status, _, answer = curl(*arguments, body=body)
        assert status == "200", answer
        (arrived,) = world.upstream.take()
        assert arrived.json["CmdletInput"]["Parameters"]["Name"] == text
        assert int(arrived.headers["content-length"]) == len(arrived.body)
