//! Every way in which a token is good, and every way in which it is not.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config;
use crate::identity::testing::{
    AUDIENCE, ISSUER, Signer, TENANT, after, app_claims, jwt_section, key_set, now, open, sign_in,
    user_claims, with,
};
use crate::identity::{Identities, token::UnverifiedToken};
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
async fn a_token_without_a_true_signature_is_refused() {
    let gateway = Gateway::es256().await;
    let claims = user_claims().to_string();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);

    for alg in [
        "none", "None", "NONE", "HS256", "HS512", "RS384", "ES384", "EdDSA", "es256", "",
    ] {
        let verdict = gateway.header(&json!({"alg": alg, "kid": "k1"})).await;
        assert_eq!(verdict, "malformed", "{alg}");
    }
    let none = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims));
    assert_eq!(gateway.verdict(&none).await, "malformed");

    // The public key taken for an HMAC secret.
    let signed = format!(
        "{}.{}",
        encode(r#"{"alg":"HS256","kid":"k1"}"#),
        encode(&claims)
    );
    let secret =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &gateway.signer.public_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, signed.as_bytes());
    let hs256 = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(gateway.verdict(&hs256).await, "malformed");

    // Another's key under the known id.
    let stranger = Signer::es256("k1").token("ES256", &user_claims());
    assert_eq!(gateway.verdict(&stranger).await, "bad-signature");

    // Another's claims under a true signature, and the other way round.
    let good = gateway.signer.token("ES256", &user_claims());
    let mut parts: Vec<_> = good.split('.').collect();
    let other = encode(&with(user_claims(), &json!({"upn": "eve@x.example"})).to_string());
    parts[1] = &other;
    assert_eq!(gateway.verdict(&parts.join(".")).await, "bad-signature");
    for signature in ["AAAA", &URL_SAFE_NO_PAD.encode([0; 64])] {
        let signed = good.rsplit_once('.').unwrap().0;
        let verdict = gateway.verdict(&format!("{signed}.{signature}")).await;
        assert_eq!(verdict, "bad-signature", "{signature}");
    }
    assert_eq!(gateway.verdict(&good).await, amy());
}

#[tokio::test]
async fn a_header_that_says_how_to_verify_is_refused() {
    let gateway = Gateway::es256().await;
    let jwk: Value = serde_json::from_str(&gateway.signer.jwk()).unwrap();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k1"});
        header[name] = value;
        assert_eq!(gateway.header(&header).await, "malformed", "{name}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        let header = json!({"alg": "ES256", "kid": "k1", "typ": typ, "x5t": "abc", "nonce": "n"});
        assert_eq!(gateway.header(&header).await, amy(), "{typ}");
    }
    let header = json!({"alg": "ES256", "kid": "k1", "typ": "dpop+jwt"});
    assert_eq!(gateway.header(&header).await, "malformed");
}

#[tokio::test]
async fn a_key_id_is_needed_where_it_decides() {
    let signer = Signer::es256("k1");
    let keys = [signer.jwk(), Signer::rsa("r1").jwk()];
    let gateway = Gateway::with_keys(signer, &keys).await;
    assert_eq!(gateway.header(&json!({"alg": "ES256"})).await, amy());
    let unknown = json!({"alg": "ES256", "kid": "K1"});
    assert_eq!(gateway.header(&unknown).await, "unknown-key");

    let signer = Signer::es256("k1");
    let keys = [signer.jwk(), Signer::es256("k2").jwk()];
    let gateway = Gateway::with_keys(signer, &keys).await;
    assert_eq!(
        gateway.header(&json!({"alg": "ES256"})).await,
        "unknown-key"
    );
    let wrong = json!({"alg": "ES256", "kid": "k2"});
    assert_eq!(gateway.header(&wrong).await, "bad-signature");
}

#[tokio::test]
async fn claims_must_hold_here_and_now() {
    let gateway = Gateway::es256().await;
    let at = now().timestamp();
    for (changes, verdict) in [
        (json!({"iss": "https://sts.example/t1"}), "unknown-issuer"),
        (json!({"iss": "https://STS.example/t1/"}), "unknown-issuer"),
        (json!({"iss": null}), "malformed"),
        (json!({"aud": "https://other.example"}), "wrong-audience"),
        (json!({"aud": []}), "wrong-audience"),
        (json!({"aud": null}), "malformed"),
        (json!({"aud": 1}), "malformed"),
        (json!({"tid": "another"}), "wrong-tenant"),
        (json!({"tid": null}), "wrong-tenant"),
        (json!({"exp": at - 60}), "expired"),
        (json!({"exp": null}), "malformed"),
        (json!({"exp": "9999999999"}), "malformed"),
        (json!({"exp": i64::MAX}), "malformed"),
        (json!({"nbf": at + 61}), "not-yet-valid"),
    ] {
        assert_eq!(gateway.changed(&changes).await, verdict, "{changes}");
    }
    for changes in [
        json!({"aud": ["https://other.example", AUDIENCE]}),
        json!({"aud": format!("{AUDIENCE}/")}),
        json!({"exp": at - 59}),
        json!({"nbf": at + 60}),
        json!({"nbf": null}),
    ] {
        assert_eq!(gateway.changed(&changes).await, amy(), "{changes}");
    }
}

#[tokio::test]
async fn a_token_that_can_be_read_in_two_ways_is_refused() {
    let gateway = Gateway::es256().await;
    let header = json!({"alg": "ES256", "kid": "k1"}).to_string();
    let claims = user_claims().to_string();
    let doubled = claims.replacen('{', r#"{"upn":"eve@fabrikam.example","#, 1);
    let escaped = claims.replacen('{', r#"{"\u0075pn":"eve@fabrikam.example","#, 1);
    for claims in [
        doubled,
        escaped,
        format!("{claims} x"),
        "[]".into(),
        "\"a\"".into(),
    ] {
        let token = gateway.signer.token_of("ES256", &header, &claims);
        assert_eq!(gateway.verdict(&token).await, "malformed", "{claims}");
    }
    let header = r#"{"alg":"ES256","alg":"ES256","kid":"k1"}"#;
    let token = gateway.signer.token_of("ES256", header, &claims);
    assert_eq!(gateway.verdict(&token).await, "malformed");
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let gateway = Gateway::es256().await;
    let token = gateway.signer.token("ES256", &user_claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for token in [
        format!("{token}="),
        format!("{token}=="),
        format!("{token}."),
        format!("{token}.x"),
        format!("{token} "),
        format!(" {token}"),
        format!("{token},{token}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        signature.to_owned(),
        String::new(),
        "..".to_owned(),
    ] {
        let verdict = gateway.verdict(&token).await;
        assert!(
            ["malformed", "bad-signature"].contains(&&*verdict),
            "{verdict}: {token}"
        );
    }
    // 64 bytes leave 2 bits of the last letter unused: they must be zero.
    let last = signature.chars().last().unwrap();
    let unused = if last == 'A' {
        'B'
    } else {
        char::from(last as u8 + 1)
    };
    let respelled = format!("{}{unused}", &token[..token.len() - 1]);
    assert_eq!(gateway.verdict(&respelled).await, "bad-signature");
    assert_eq!(gateway.verdict(&token).await, amy());
}

#[tokio::test]
async fn a_token_too_long_is_refused_unread() {
    let gateway = Gateway::es256().await;
    let long = json!({"padding": "x".repeat(13_000)});
    assert_eq!(gateway.changed(&long).await, "malformed");
    let fits = json!({"padding": "x".repeat(11_000)});
    assert_eq!(gateway.changed(&fits).await, amy());
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

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[A-Za-z0-9_.=-]{0,200}") {
        drop(UnverifiedToken::read(text.as_bytes()));
    }

    #[test]
    fn no_claims_make_the_reader_panic(header in ".{0,60}", claims in ".{0,60}") {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.AA", encode(&header), encode(&claims));
        drop(UnverifiedToken::read(token.as_bytes()));
    }
}
