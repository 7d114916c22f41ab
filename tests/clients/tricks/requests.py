"""HTTP: paths, queries, methods, codings, types, who signs in."""

import base64
import gzip
import uuid
import zlib

import wsman
from wsman import RSP, command_line, envelope

from . import EVE, MARKED, Stage, Trick, pipeline, whole


def body(x: wsman.Session, load: str = MARKED) -> bytes:
    at = uuid.uuid4()
    return envelope(f"{RSP}/Command", command_line(whole(x, at, pipeline(load)), at), x.shell).encode()


def posted(path: str | None = None, method: str = "POST", code=lambda it: it, **headers):
    """A marked Command, sent in this way."""

    def run(stage: Stage):
        x = stage.session()
        return x.wire.post(code(body(x)), path, method, **headers)

    return run


def honest(path: str | None = None, **headers):
    def run(stage: Stage) -> None:
        x, at = stage.session(), uuid.uuid4()
        written = envelope(f"{RSP}/Command", command_line(whole(x, at, pipeline()), at), x.shell)
        answer = x.wire.post(written.encode(), path, **headers)
        assert answer.status == 200, answer.text
        assert x.ended(at) == 4

    return run


def raw(*headers: tuple[str, str], target: str = "/PowerShell/"):
    """Headers as they are, twice if they are."""

    def run(stage: Stage) -> bytes:
        x = stage.session()
        data, connection = body(x), x.wire.connection
        connection.putrequest("POST", target, skip_host=any(it[0] == "Host" for it in headers), skip_accept_encoding=True)
        given = [(name, value.replace("SIGN-IN", signed(x.wire.user, x.wire.password))) for name, value in headers]
        for name, value in given:
            connection.putheader(name, value.replace("LENGTH", str(len(data))))
        connection.endheaders(data)
        return connection.getresponse().read()

    return run


def signed(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def encrypted(data: bytes) -> bytes:
    return (
        b"--Encrypted Boundary\r\nContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
        b"OriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n--Encrypted Boundary\r\n"
        b"Content-Type: application/octet-stream\r\n\x10\x00\x00\x00%s--Encrypted Boundary--\r\n" % (len(data), data)
    )


def signed_as_another(stage: Stage):
    """The second line says somebody else."""
    x = stage.session(EVE)
    return x.wire.post(body(x), Authorization=f"Basic {signed('ana@contoso.example', 'wrong')}")


SOAP = ("Content-Type", wsman.CONTENT_TYPE)
SIGN_IN = ("Authorization", "Basic SIGN-IN")
LENGTH = ("Content-Length", "LENGTH")

TRICKS = [
    Trick("the path of plain remoting", posted("/wsman"), control=honest("/powershell")),
    Trick("a path with dots", posted("/PowerShell/../wsman"), fools=False, control=honest("/POWERSHELL/")),
    Trick("a path with escapes", posted("/%50owerShell/")),
    Trick("an escaped slash", posted("/PowerShell%2f"), fools=False),
    Trick("a path behind it", posted("/PowerShell/x"), fools=False),
    Trick("a doubled slash", posted("//PowerShell/"), fools=False),
    Trick("a matrix parameter", posted("/PowerShell;x=y"), fools=False),
    Trick("a query with a token of the back end's", posted("/PowerShell?X-Rps-CAT=AAAA"), control=honest("/PowerShell?PSVersion=5.1.19041.1")),
    Trick("a query with a mail address before the path", posted("/PowerShell?Email=autodiscover/autodiscover.json?@evil.example")),
    Trick("a query key twice", posted("/PowerShell?PSVersion=5.1;PSVersion=2.0"), control=honest("/PowerShell?serializationLevel=Full;ExchClientVer=15.2.1118.40;clientApplication=EMC;PSVersion=5.1")),
    Trick("another method", posted(method="PUT"), fools=False),
    Trick("a method by header", posted(method="GET", X_HTTP_Method_Override="POST"), fools=False),
    Trick("a body packed with gzip", posted(code=gzip.compress, Content_Encoding="gzip")),
    Trick("a body packed with deflate", posted(code=zlib.compress, Content_Encoding="deflate")),
    Trick("a coding that is none", posted(Content_Encoding="identity")),
    Trick("a message sealed inside", posted(code=encrypted, Content_Type='multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'), fools=False),
    Trick("another type of content", posted(Content_Type="text/xml"), fools=False),
    Trick("no type of content", posted(Content_Type=None), fools=False),
    Trick("another charset by the header", posted(Content_Type="application/soap+xml;charset=UTF-16")),
    Trick("a type with an action", posted(Content_Type=f'application/soap+xml;charset=UTF-8;action="{RSP}/Delete"')),
    Trick("two types of content", raw(SOAP, ("Content-Type", "text/plain"), SIGN_IN, LENGTH), fools=False),
    Trick("two credentials", raw(SOAP, SIGN_IN, ("Authorization", "Basic YTpi"), LENGTH)),
    Trick("a URL in the request line", raw(SOAP, SIGN_IN, LENGTH, target="http://evil.example/PowerShell/")),
    Trick("two lengths", raw(SOAP, SIGN_IN, LENGTH, ("Content-Length", "3")), fools=False),
    Trick("a length and chunks", raw(SOAP, SIGN_IN, LENGTH, ("Transfer-Encoding", "chunked")), fools=False),
    Trick("no credential", posted(Authorization=None), fools=False),
    Trick("another scheme", posted(Authorization="Negotiate TlRMTVNTUAABAAAA"), fools=False),
    Trick("an account in a header", posted(Authorization=None, X_CommonAccessToken="AAAA"), fools=False),
    Trick("somebody else's name with a wrong password", signed_as_another, fools=False),
]
