//! What a good token makes of a request, and for how long.

mod refused;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config;
use crate::identity::testing::{
    AUDIENCE, ISSUER, Signer, TENANT, after, app_claims, jwt_section, key_set, now, open, sign_in,
    user_claims, with,
};
use crate::identity::{Fallen, Identities};
use crate::model::PrincipalKind;

/// A gateway that takes tokens signed by `signer`.
struct Gateway {
    identities: Identities,
    signer: Signer,
    file: PathBuf,
    _folder: TempDir,
}

impl Gateway {
    async fn with_keys(signer: Signer, keys: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, key_set(keys)).unwrap();
        let identities = open(&[jwt_section(config::Jwks::File(file.clone()))]).await;
        Self {
            identities,
            signer,
            file,
            _folder: folder,
        }
    }

    async fn es256() -> Self {
        let signer = Signer::es256("k1");
        let keys = [signer.jwk()];
        Self::with_keys(signer, &keys).await
    }

    /// What comes of a token at [`now`]: kind, key and name, or the reason.
    async fn verdict(&self, token: &str) -> String {
        let signed_in = sign_in(&self.identities, &format!("Bearer {token}"), now()).await;
        match signed_in {
            Ok(it) => format!("{:?} {} {}", it.kind, it.key, it.name),
            Err(reason) => reason.to_owned(),
        }
    }

    async fn claims(&self, claims: &Value) -> String {
        self.verdict(&self.signer.token("ES256", claims)).await
    }

    /// The user's claims with changes.
    async fn changed(&self, changes: &Value) -> String {
        self.claims(&with(user_claims(), changes)).await
    }

    /// A header of these members, and the user's claims.
    async fn header(&self, header: &Value) -> String {
        let claims = user_claims().to_string();
        let token = self.signer.token_of("ES256", &header.to_string(), &claims);
        self.verdict(&token).await
    }
}

fn amy() -> String {
    format!("User 0a0a0a0a-1111@{TENANT} amy@fabrikam.example")
}

#[tokio::test]
async fn each_algorithm_verifies_with_a_key_of_its_type() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rsa("rsa"));
    let gateway = Gateway::with_keys(Signer::es256("x"), &[ec.jwk(), rsa.jwk()]).await;
    for (signer, alg) in [(&ec, "ES256"), (&rsa, "RS256"), (&rsa, "PS256")] {
        let token = signer.token(alg, &user_claims());
        assert_eq!(gateway.verdict(&token).await, amy(), "{alg}");
    }
    for (signer, alg) in [(&ec, "RS256"), (&rsa, "ES256")] {
        let token = signer.token(alg, &user_claims());
        assert_eq!(gateway.verdict(&token).await, "unknown-key", "{alg}");
    }
    let header = json!({"alg": "RS256", "kid": "rsa"}).to_string();
    let signed_otherwise = rsa.token_of("PS256", &header, &user_claims().to_string());
    assert_eq!(gateway.verdict(&signed_otherwise).await, "bad-signature");
}

#[tokio::test]
async fn a_key_is_used_only_with_the_algorithm_its_issuer_names() {
    let rsa = Signer::rsa("rsa");
    let only_rs = rsa.jwk().replace("\"kid\"", "\"alg\":\"RS256\",\"kid\"");
    let gateway = Gateway::with_keys(Signer::es256("x"), &[only_rs]).await;
    let verdict = gateway.verdict(&rsa.token("RS256", &user_claims())).await;
    assert_eq!(verdict, amy());
    let verdict = gateway.verdict(&rsa.token("PS256", &user_claims())).await;
    assert_eq!(verdict, "unknown-key");
}

#[test]
fn the_example_of_rfc_7515_verifies() {
    let set = key_set(&[concat!(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    )
    .to_owned()]);
    let set = crate::identity::jwk::KeySet::read(set.as_bytes()).unwrap();
    let algorithm = crate::identity::jwk::Algorithm::Es256;
    let key = set.candidates(None, algorithm).next().unwrap();
    let signed = concat!(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog",
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    );
    let signature = concat!(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf",
        "KTUJqPP3-Kg6NU1Q"
    );
    assert!(key.verifies(algorithm, signed.as_bytes(), signature));
    assert!(!key.verifies(algorithm, signed.to_lowercase().as_bytes(), signature));
}

#[tokio::test]
async fn an_app_is_known_by_its_id_and_a_person_by_name() {
    let gateway = Gateway::es256().await;
    let app = |changes| with(app_claims(), &changes);
    let user = |changes| with(user_claims(), &changes);
    let app_key = format!("App 0b0b0b0b-2222@{TENANT}");
    let user_key = format!("User 0a0a0a0a-1111@{TENANT}");
    for (claims, verdict) in [
        (app(json!({})), format!("{app_key} app-1")),
        (app(json!({"idtyp": "app"})), format!("{app_key} app-1")),
        (
            app(json!({"appid": null, "azp": "azp-1"})),
            format!("{app_key} azp-1"),
        ),
        (app(json!({"appid": null})), "malformed".to_owned()),
        (app(json!({"idtyp": "user"})), "malformed".to_owned()),
        (app(json!({"idtyp": "device"})), "malformed".to_owned()),
        (
            app(json!({"upn": "amy@fabrikam.example"})),
            "malformed".to_owned(),
        ),
        (
            app(json!({"roles": null, "idtyp": "app"})),
            format!("{app_key} app-1"),
        ),
        (user(json!({"idtyp": "user"})), amy()),
        (user(json!({"idtyp": "app"})), "malformed".to_owned()),
        (user(json!({"roles": ["Some.Role"]})), amy()),
        (
            user(json!({"upn": null})),
            format!("{user_key} other@fabrikam.example"),
        ),
        (
            user(json!({"upn": null, "unique_name": null, "preferred_username": "p"})),
            format!("{user_key} p"),
        ),
        (
            user(json!({"upn": null, "unique_name": null})),
            "malformed".to_owned(),
        ),
        (user(json!({"upn": " amy"})), "malformed".to_owned()),
        (user(json!({"upn": "a\nb"})), "malformed".to_owned()),
        (
            user(json!({"upn": "x".repeat(257)})),
            "malformed".to_owned(),
        ),
        (user(json!({"oid": "a@b"})), "malformed".to_owned()),
        (user(json!({"oid": "local:amy"})), "malformed".to_owned()),
        (user(json!({"oid": ""})), "malformed".to_owned()),
        (
            user(json!({"oid": null})),
            format!("User pairwise@{ISSUER} amy@fabrikam.example"),
        ),
        (
            user(json!({"oid": null, "sub": null})),
            "malformed".to_owned(),
        ),
        (
            user(json!({"oid": null, "sub": "local:amy"})),
            "malformed".to_owned(),
        ),
    ] {
        assert_eq!(gateway.claims(&claims).await, verdict, "{claims}");
    }
}

#[tokio::test]
async fn the_principal_has_the_tokens_tenant_and_groups() {
    let gateway = Gateway::es256().await;
    let claims = with(user_claims(), &json!({"groups": ["g1", "g2"]}));
    let bearer = format!("Bearer {}", gateway.signer.token("ES256", &claims));
    let principal = sign_in(&gateway.identities, &bearer, now()).await.unwrap();
    assert_eq!(principal.groups, ["g1", "g2"]);
    assert_eq!(principal.tenant.as_deref(), Some(TENANT));
    assert_eq!(principal.identity, "entra");
    assert_eq!(principal.kind, PrincipalKind::User);
    assert_eq!(gateway.changed(&json!({"groups": [""]})).await, "malformed");
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_it_ends() {
    let gateway = Gateway::es256().await;
    let bearer = format!("Bearer {}", gateway.signer.token("ES256", &user_claims()));
    let first = sign_in(&gateway.identities, &bearer, now()).await.unwrap();
    let again = sign_in(&gateway.identities, &bearer, after(3659)).await;
    assert!(Arc::ptr_eq(&first, &again.unwrap()), "it was verified once");
    let expired = sign_in(&gateway.identities, &bearer, after(3660)).await;
    assert_eq!(expired.unwrap_err(), "expired");
}

#[tokio::test]
async fn a_remembered_token_falls_with_its_key() {
    let gateway = Gateway::es256().await;
    let bearer = format!("Bearer {}", gateway.signer.token("ES256", &user_claims()));
    assert!(sign_in(&gateway.identities, &bearer, now()).await.is_ok());
    let other = Signer::es256("k2");
    fs::write(&gateway.file, key_set(&[other.jwk()])).unwrap();
    let verdict = sign_in(&gateway.identities, &bearer, after(1)).await;
    assert_eq!(verdict.unwrap_err(), "unknown-key");
    let bearer = format!("Bearer {}", other.token("ES256", &user_claims()));
    assert!(
        sign_in(&gateway.identities, &bearer, after(1))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_token_is_vouched_for_until_it_ends_or_its_key_is_not_trusted_any_more() {
    let gateway = Gateway::es256().await;
    let bearer = format!("Bearer {}", gateway.signer.token("ES256", &user_claims()));
    let allowed: Vec<_> = gateway
        .identities
        .sections
        .iter()
        .map(|it| it.name.clone())
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_str(&bearer).unwrap(),
    );
    // Verified anew, and remembered.
    for _ in 0..2 {
        let signed_in = gateway
            .identities
            .authenticate(&allowed, &headers, now())
            .await
            .unwrap();
        let vouch = |at| gateway.identities.vouch(&allowed, signed_in.voucher(), at);
        assert_eq!(vouch(now()), Ok(()));
        assert_eq!(vouch(after(3660)), Err(Fallen::Expired));
        let unlisted = gateway.identities.vouch(&[], signed_in.voucher(), now());
        assert_eq!(unlisted, Err(Fallen::Unlisted));
    }
    let signed_in = gateway
        .identities
        .authenticate(&allowed, &headers, now())
        .await
        .unwrap();
    fs::write(&gateway.file, key_set(&[Signer::es256("k2").jwk()])).unwrap();
    assert!(gateway.identities.reload_at(after(1)).await.is_empty());
    let vouched = gateway
        .identities
        .vouch(&allowed, signed_in.voucher(), after(1));
    assert_eq!(vouched, Err(Fallen::Changed));
}

#[tokio::test]
async fn a_remembered_token_counts_only_where_its_section_may_sign_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let signer = Signer::es256("k1");
    fs::write(&file, key_set(&[signer.jwk()])).unwrap();
    let section = |name: &str, audience: &str| config::Identity {
        name: name.to_owned(),
        kind: config::IdentityKind::Jwt {
            issuer: ISSUER.to_owned(),
            audiences: vec![audience.to_owned()],
            tenants: Vec::new(),
            jwks: config::Jwks::File(file.clone()),
            leeway: Duration::ZERO,
            device: None,
        },
    };
    let identities = open(&[section("a", "https://a.example"), section("b", AUDIENCE)]).await;
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", signer.token("ES256", &user_claims()));
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_str(&bearer).unwrap(),
    );
    let verdict = async |allowed: &[&str]| {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let signed_in = identities.authenticate(&allowed, &headers, now()).await;
        signed_in.map_or_else(
            |it| it.reason().to_owned(),
            |it| it.principal.identity.clone(),
        )
    };
    assert_eq!(verdict(&["a", "b"]).await, "b", "the second of one issuer");
    assert_eq!(verdict(&["a"]).await, "wrong-audience");
    assert_eq!(verdict(&["b"]).await, "b");
    assert_eq!(verdict(&["c"]).await, "wrong-scheme");
    assert_eq!(verdict(&[]).await, "wrong-scheme");
}

#[tokio::test]
async fn what_was_verified_is_handed_on_and_never_shown() {
    let gateway = Gateway::es256().await;
    let token = gateway.signer.token("ES256", &user_claims());
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("bearer {token}")).unwrap();
    headers.insert(header::AUTHORIZATION, bearer.clone());
    let allowed = ["entra".to_owned()];
    let signed_in = gateway.identities.authenticate(&allowed, &headers, now());
    let signed_in = signed_in.await.unwrap();
    assert_eq!(*signed_in.authorization(), format!("Bearer {token}"));
    assert!(!format!("{signed_in:?} {:?}", gateway.identities).contains(&token));

    headers.append(header::AUTHORIZATION, bearer);
    let twice = gateway.identities.authenticate(&allowed, &headers, now());
    let failure = twice.await.unwrap_err();
    assert_eq!(failure.reason(), "malformed");
    assert!(!format!("{failure:?}").contains(&token));
}
