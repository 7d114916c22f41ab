"""The data that gateway and HAProxy are given: 1,000 policies, 50 people with two ways to sign in, 100,000 grants, requests.

Needs nothing but Python's own library and the `openssl` command.
"""

import base64
import hashlib
import json
import random
import sqlite3
import subprocess
import time
import uuid

TENANT = "0f5e1a6c-5b0c-4a8e-9d0e-0a1b2c3d4e5f"
ISSUER = "https://issuer.example"
AUDIENCE = "https://gateway.example"
PASSWORD = "correct horse battery staple"
REQUESTS = 1000
DAY_S = 86400

VERBS = ["Add", "Disable", "Enable", "Export", "Get", "New", "Remove", "Search", "Set", "Update"]
NOUNS = ["CASMailbox", "DistributionGroup", "InboxRule", "Mailbox", "MailboxFolder", "MailUser", "RoleGroup", "TransportRule", "UnifiedGroup", "User"]
KINDS = ["", "Archive", "Audit", "Config", "Item", "Permission", "Plan", "Policy", "Quota", "Report"]


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def fixed_uuid(*parts):
    """A UUID that is the same in each run."""
    return uuid.UUID(bytes=hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:16], version=4)


class Data:
    """Everything, written into `directory`; `hash_password` gives the gateway's hash of a password."""

    def __init__(self, directory, hash_password):
        self.directory = directory
        self.cmdlets = [f"{verb}-{noun}{kind}" for verb in VERBS for noun in NOUNS for kind in KINDS]
        self.people = [f"user{number:03}@tenant.example" for number in range(50)]
        self.ends = int(time.time()) + 30 * DAY_S
        random.seed(1)
        self._keys()
        self._policies()
        self._users(hash_password(PASSWORD))
        self._maps()
        self._requests()

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _openssl(self, *arguments, stdin=None):
        return subprocess.run(["openssl", *arguments], input=stdin, check=True, capture_output=True, cwd=self.directory).stdout

    def _keys(self):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "issuer.key")
        self._openssl("ec", "-in", "issuer.key", "-pubout", "-out", "issuer.pub")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
                      "-out", "server.pem", "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.write("haproxy.pem", "".join((self.directory / name).read_text() for name in ("server.pem", "server.key")))
        point = self._openssl("ec", "-in", "issuer.key", "-pubout", "-outform", "DER")[-64:]
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one", "x": base64url(point[:32]), "y": base64url(point[32:])}
        self.write("jwks.json", json.dumps({"keys": [key]}))

    def _token(self, person):
        """A signed access token; its ECDSA signature is taken out of the DER that openssl writes (RFC 3279, RFC 7518 3.4)."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": self.ends, "iat": int(time.time()) - 10, "upn": person,
                  "oid": str(fixed_uuid("oid", person)), "tid": TENANT, "sub": person, "scp": "Exchange.Manage"}
        parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT", "kid": "one"}, claims)]
        signed = ".".join(parts)
        der = self._openssl("dgst", "-sha256", "-sign", "issuer.key", stdin=signed.encode())
        first = 4 + der[3]
        numbers = der[4:first], der[first + 2:first + 2 + der[first + 1]]
        signature = b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in numbers)
        return f"{signed}.{base64url(signature)}"

    def _policies(self):
        text = '[[group]]\nname = "approvers"\nmembers = ["amy@tenant.example"]\n'
        for cmdlet in self.cmdlets:
            text += f"[[policy]]\ntask = 'Exchange\\{cmdlet}'\napproval = \"manual\"\napprovers = [\"approvers\"]\n"
        self.write("policies/exchange.toml", text)

    def _users(self, password_hash):
        self.write("users.toml", "".join(f'[[user]]\nname = "{person}"\npassword_hash = "{password_hash}"\n' for person in self.people))

    def _maps(self):
        self.opaque = {person: base64url(hashlib.sha256(person.encode()).digest()) for person in self.people}
        self.write("tokens.map", "".join(f"{token} {person}\n" for person, token in self.opaque.items()))
        self.write("policies.map", "".join(f"{cmdlet} policy{number:04}\n" for number, cmdlet in enumerate(self.cmdlets)))
        self.write("grants.map", "".join(f"{prefix}{person}|{cmdlet} {self.ends}\n" for prefix in ("", "local:") for person in self.people for cmdlet in self.cmdlets))

    def _requests(self):
        tokens = {person: self._token(person) for person in self.people}
        schemes = {
            "basic": lambda person: "Basic " + base64.b64encode(f"{person}:{PASSWORD}".encode()).decode(),
            "es256": lambda person: "Bearer " + tokens[person],
            "opaque": lambda person: "Bearer " + self.opaque[person],
        }
        chosen = [(random.choice(self.people), random.choice(self.cmdlets)) for _ in range(REQUESTS)]
        self.first = {}
        for name, authorization in schemes.items():
            # What no policy governs is blocked by the gateway, and by HAProxy for want of a policy.
            for kind, named in (("allowed", str), ("refused", lambda cmdlet: cmdlet + "Else")):
                self.write(f"{name}-{kind}.tsv", "".join(f"{authorization(person)}\t{body(named(cmdlet))}\n" for person, cmdlet in chosen))
            person, cmdlet = chosen[0]
            self.first[name] = authorization(person)
            self.write("first.json", body(cmdlet))

    def fill_store(self, path):
        """A grant for each person, way to sign in and policy, put straight into the gateway's store; how many."""
        now, ends = int(time.time() * 1000), self.ends * 1000
        requests, grants = [], []
        for person in self.people:
            for key in (f"{fixed_uuid('oid', person)}@{TENANT}", f"local:{person}"):
                for cmdlet in self.cmdlets:
                    request, grant = (str(fixed_uuid(kind, key, cmdlet)) for kind in ("request", "grant"))
                    policy = f"exchange\\{cmdlet.lower()}"
                    requests.append((request, key, person, policy, "approved", now, ends, now))
                    grants.append((grant, request, key, person, policy, now - 1000, ends, now))
        insert(path, requests, grants)
        return len(grants)


def insert(path, requests, grants):
    """Puts requests (id, key, name, policy, state, created, expires, decided) and grants (id, request, key, name, policy, starts, ends, created) into
    the gateway's store, times in milliseconds."""
    with sqlite3.connect(path) as store:
        store.executemany("insert into requests (id, principal_key, principal_name, policy, subject, pins, reason, context, duration_ms, break_glass, state, "
                          f"created_ms, expires_ms, decided_ms, version) values (?,?,?,?,'','[]','because','[]',{DAY_S * 1000},0,?,?,?,?,1)", requests)
        store.executemany("insert into grants (id, request_id, principal_key, principal_name, policy, pins, starts_ms, ends_ms, used, break_glass, approved_by, "
                          "created_ms, state, version) values (?,?,?,?,?,'[]',?,?,0,0,'[]',?,'live',0)", grants)
    store.close()


def body(cmdlet):
    parameters = {"Identity": f"user{random.randrange(10**6):06}@example.com", "ResultSize": "Unlimited", "DeliverToMailboxAndForward": True}
    return json.dumps({"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}}, separators=(",", ":"))


def answer():
    """About 1 kB, as a read of two mailboxes answers."""
    mailbox = {"@odata.type": "#Exchange.Mailbox", "Identity": "user000001@example.com", "DisplayName": "A Person", "PrimarySmtpAddress": "user000001@example.com",
               "RecipientTypeDetails": "UserMailbox", "ProhibitSendQuota": "99 GB (106,300,440,576 bytes)", "Guid": str(fixed_uuid("mailbox")),
               "WhenCreated": "2026-01-01T00:00:00Z", "HiddenFromAddressListsEnabled": False}
    page = {"@odata.context": f"https://upstream.example/adminapi/beta/{TENANT}/$metadata#Collection(Exchange.Mailbox)", "value": [mailbox, mailbox]}
    return json.dumps(page)
