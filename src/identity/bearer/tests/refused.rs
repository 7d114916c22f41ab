//! Every way in which a token is not good, each beside one that is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::identity::testing::{AUDIENCE, Signer, now, user_claims, with};
use crate::identity::token::UnverifiedToken;

use super::{Gateway, amy};

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
    let respelled = format!("{}{unused}", token.strip_suffix(last).unwrap());
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
