"""An issuer of access tokens in Entra's shape (exchange-rest section 7), and a server for its keys."""

import json
import time
import uuid
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from loopback import Loopback, Quiet

TENANT = "1b2c3d4e-0000-4000-8000-000000000001"
AUDIENCE = "https://outlook.office365.com"
APP_ROLES = ["Exchange.ManageAsApp"]
USER_SCOPES = "AdminApi.AccessAsUser.All RemotePowerShell.AccessAsUser.All"


class Issuer:
    """Signs tokens; `keys_json` is what it publishes."""

    def __init__(self, issuer: str, algorithm: str = "RS256"):
        self.issuer = issuer
        self.algorithm = algorithm
        self.rotate()

    def rotate(self) -> None:
        """Takes a new key; the old one is forgotten."""
        self.kid = uuid.uuid4().hex
        if self.algorithm == "ES256":
            self.key = ec.generate_private_key(ec.SECP256R1())
            signer = jwt.algorithms.ECAlgorithm
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            signer = jwt.algorithms.RSAAlgorithm
        public = signer.to_jwk(self.key.public_key(), as_dict=True)
        public = {k: v for k, v in public.items() if k != "key_ops"}
        self.jwk = public | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def keys_json(self) -> str:
        return json.dumps({"keys": [self.jwk]})

    def token(self, **claims) -> str:
        """A token with these claims; one that is `None` is left out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": AUDIENCE, "tid": TENANT, "iat": now, "nbf": now, "exp": now + 3600}
        claims = {k: v for k, v in (usual | claims).items() if v is not None}
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": self.kid})

    def user(self, upn: str, **claims) -> str:
        """A person's token."""
        oid = str(uuid.uuid5(uuid.NAMESPACE_DNS, upn))
        return self.token(**({"upn": upn, "unique_name": upn, "oid": oid, "scp": USER_SCOPES} | claims))

    def app(self, appid: str, **claims) -> str:
        """An app-only token."""
        oid = str(uuid.uuid5(uuid.NAMESPACE_DNS, appid))
        return self.token(**({"appid": appid, "oid": oid, "roles": APP_ROLES} | claims))


def entra() -> Issuer:
    """Signs as Entra does for our tenant."""
    return Issuer(f"https://sts.windows.net/{TENANT}/")


class KeyServer(Loopback):
    """Serves an issuer's keys over HTTP on loopback."""

    def __init__(self, issuer: Issuer):
        self.fetches = 0
        outer = self

        class Handler(Quiet):
            def do_GET(self):
                outer.fetches += 1
                self.answer(200, issuer.keys_json().encode())

        super().__init__(Handler)
        self.url = f"http://127.0.0.1:{self.port}/keys"


def publish(issuer: Issuer, file: Path) -> None:
    """Writes the issuer's keys, whole or not at all."""
    fresh = file.with_suffix(".fresh")
    fresh.write_text(issuer.keys_json())
    fresh.rename(file)
