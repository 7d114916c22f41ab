//! What the tests of this module share: issuers that sign tokens, and one that is asked for its keys over HTTP.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use url::Url;

use super::{Identities, lock};
use crate::config;
use crate::model::{Interner, Principal};

pub(super) const ISSUER: &str = "https://sts.example/t1/";
pub(super) const AUDIENCE: &str = "https://outlook.example";
pub(super) const TENANT: &str = "7b1c9a10-0000-4000-8000-000000000001";

/// The moment at which tests happen.
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap()
}

pub(super) fn after(seconds: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(seconds)
}

/// A key pair with its id.
pub(super) struct Signer {
    pub(super) kid: String,
    keys: Keys,
}

enum Keys {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    pub(super) fn es256(kid: &str) -> Self {
        let keys = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            kid: kid.to_owned(),
            keys: Keys::Ec(keys),
        }
    }

    pub(super) fn rsa(kid: &str) -> Self {
        let keys = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self {
            kid: kid.to_owned(),
            keys: Keys::Rsa(Box::new(keys)),
        }
    }

    /// The public key as a JWK.
    pub(super) fn jwk(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.keys {
            Keys::Ec(keys) => {
                let (x, y) = keys.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (encode(x), encode(y));
                format!(
                    r#"{{"kty":"EC","crv":"P-256","kid":"{}","x":"{x}","y":"{y}"}}"#,
                    self.kid
                )
            }
            Keys::Rsa(keys) => {
                let n = encode(
                    keys.public_key()
                        .modulus()
                        .big_endian_without_leading_zero(),
                );
                let e = encode(
                    keys.public_key()
                        .exponent()
                        .big_endian_without_leading_zero(),
                );
                format!(
                    r#"{{"kty":"RSA","kid":"{}","n":"{n}","e":"{e}"}}"#,
                    self.kid
                )
            }
        }
    }

    /// The public key's bytes, for those who take them for a secret.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        match &self.keys {
            Keys::Ec(keys) => keys.public_key().as_ref().to_vec(),
            Keys::Rsa(keys) => keys.public_key().as_ref().to_vec(),
        }
    }

    /// A signature over `message`; an RSA key signs as the algorithm in `alg` says.
    pub(super) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.keys {
            Keys::Ec(keys) => keys.sign(&random, message).unwrap().as_ref().to_vec(),
            Keys::Rsa(keys) => {
                let mut signature = vec![0; keys.public_modulus_len()];
                if alg == "PS256" {
                    let sign = keys.sign(&RSA_PSS_SHA256, &random, message, &mut signature);
                    sign.unwrap();
                } else {
                    let sign = keys.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                    sign.unwrap();
                }
                signature
            }
        }
    }

    /// A token of exactly these texts.
    pub(super) fn token_of(&self, alg: &str, header: &str, claims: &str) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let signature = self.sign(alg, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    /// A token with these claims, and a header as issuers write it.
    pub(super) fn token(&self, alg: &str, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": alg, "kid": self.kid});
        self.token_of(alg, &header.to_string(), &claims.to_string())
    }
}

/// A JWK set of these keys.
pub(super) fn key_set(keys: &[String]) -> String {
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// The claims of a user's token as Entra writes them, good at [`now`].
pub(super) fn user_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "tid": TENANT, "oid": "0a0a0a0a-1111",
        "upn": "amy@fabrikam.example", "unique_name": "other@fabrikam.example",
        "scp": "Exchange.Manage", "appid": "fb78d390", "sub": "pairwise",
        "nbf": now().timestamp() - 60, "exp": now().timestamp() + 3600,
    })
}

/// The same for an app.
pub(super) fn app_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "tid": TENANT, "oid": "0b0b0b0b-2222",
        "roles": ["Exchange.ManageAsApp"], "appid": "app-1",
        "nbf": now().timestamp() - 60, "exp": now().timestamp() + 3600,
    })
}

/// `base` with members set, or taken away by `null`.
pub(super) fn with(mut base: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(name);
        } else {
            base[name] = value.clone();
        }
    }
    base
}

/// A JWT section named `entra`.
pub(super) fn jwt_section(jwks: config::Jwks) -> config::Identity {
    config::Identity {
        name: "entra".to_owned(),
        kind: config::IdentityKind::Jwt {
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned(), format!("{AUDIENCE}/")],
            tenants: vec![TENANT.to_owned()],
            jwks,
            leeway: Duration::from_mins(1),
            device: None,
        },
    }
}

/// Sections opened at [`now`].
pub(super) async fn open(settings: &[config::Identity]) -> Identities {
    Identities::open_at(settings, Arc::new(Interner::default()), now())
        .await
        .unwrap()
}

/// What comes of a request with this `Authorization` at `at`: the principal, or the failure's reason.
pub(super) async fn sign_in(
    identities: &Identities,
    authorization: &str,
    at: DateTime<Utc>,
) -> Result<Arc<Principal>, &'static str> {
    let allowed: Vec<_> = identities
        .sections
        .iter()
        .map(|it| it.name.clone())
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_str(authorization).unwrap(),
    );
    identities
        .authenticate(&allowed, &headers, at)
        .await
        .map(|it| it.principal)
        .map_err(|it| it.reason())
}

/// How a test issuer answers a request for its keys.
#[derive(Clone)]
pub(super) enum Answer {
    Document(String),
    /// A document, once [`Issuer::release`] was called.
    Held(String),
    Never,
    Status(u16),
}

/// A server on loopback that answers with a key set and counts how often.
pub(super) struct Issuer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Answer>,
    requests: AtomicUsize,
    arrived: Semaphore,
    released: Semaphore,
}

impl Issuer {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            requests: AtomicUsize::new(0),
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |_| respond(Arc::clone(&shared)));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { port, shared }
    }

    pub(super) fn url(&self) -> Url {
        let url = format!("http://127.0.0.1:{}/keys", self.port);
        url.parse().unwrap()
    }

    pub(super) fn answer(&self, answer: Answer) {
        *lock(&self.shared.answer) = answer;
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Waits for the next request that was not waited for.
    pub(super) async fn asked(&self) {
        self.shared.arrived.acquire().await.unwrap().forget();
    }

    pub(super) fn release(&self) {
        self.shared.released.add_permits(1);
    }
}

async fn respond(shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    shared.arrived.add_permits(1);
    let answer = lock(&shared.answer).clone();
    let mut response = Response::new(Full::default());
    match answer {
        Answer::Document(text) => *response.body_mut() = Full::from(text),
        Answer::Held(text) => {
            shared.released.acquire().await.unwrap().forget();
            *response.body_mut() = Full::from(text);
        }
        Answer::Never => std::future::pending().await,
        Answer::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
    }
    Ok(response)
}
