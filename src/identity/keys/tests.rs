//! How often an issuer is asked, and what holds while it does not answer.

use std::fs;

use crate::config;
use crate::identity::testing::{
    Answer, Issuer, Signer, after, jwt_section, key_set, now, open, sign_in, user_claims,
};
use crate::identity::{Identities, IdentityError};

/// A gateway whose issuer answers over HTTP.
struct Gateway {
    identities: Identities,
    issuer: Issuer,
    signer: Signer,
}

impl Gateway {
    /// Opened with a good answer.
    async fn start() -> Self {
        let signer = Signer::es256("k1");
        Self::start_with(Answer::Document(key_set(&[signer.jwk()])), signer).await
    }

    async fn start_with(answer: Answer, signer: Signer) -> Self {
        let issuer = Issuer::start(answer).await;
        let identities = open(&[jwt_section(config::Jwks::Url(issuer.url()))]).await;
        issuer.asked().await;
        Self {
            identities,
            issuer,
            signer,
        }
    }

    /// `signer`'s token, some seconds after [`now`]: `ok`, or the reason.
    async fn token_of(&self, signer: &Signer, seconds: i64) -> &'static str {
        let mut claims = user_claims();
        claims["exp"] = (now().timestamp() + 1_000_000).into();
        let bearer = format!("Bearer {}", signer.token("ES256", &claims));
        let signed_in = sign_in(&self.identities, &bearer, after(seconds)).await;
        signed_in.err().unwrap_or("ok")
    }

    /// The same with the gateway's own signer, whose token is another each time.
    async fn token(&self, seconds: i64) -> &'static str {
        self.token_of(&self.signer, seconds).await
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let gateway = Gateway::start().await;
    for seconds in [0, 60, 2999] {
        assert_eq!(gateway.token(seconds).await, "ok");
    }
    assert_eq!(gateway.issuer.requests(), 1);
}

#[tokio::test]
async fn keys_are_fetched_again_before_they_are_old_while_calls_go_on() {
    let gateway = Gateway::start().await;
    let keys = key_set(&[gateway.signer.jwk()]);
    gateway.issuer.answer(Answer::Held(keys));
    assert_eq!(gateway.token(3000).await, "ok", "it does not wait");
    gateway.issuer.asked().await;
    assert_eq!(gateway.token(3000).await, "ok", "nor does the next");
    assert_eq!(gateway.issuer.requests(), 2, "and one fetch is enough");
    gateway.issuer.release();
}

#[tokio::test]
async fn a_call_waits_for_keys_that_are_too_old() {
    let gateway = Gateway::start().await;
    let new = Signer::es256("k2");
    gateway
        .issuer
        .answer(Answer::Document(key_set(&[new.jwk()])));
    assert_eq!(gateway.token(3600).await, "unknown-key", "its key is gone");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_names_it() {
    let gateway = Gateway::start().await;
    let new = Signer::es256("k2");
    let keys = key_set(&[gateway.signer.jwk(), new.jwk()]);
    gateway.issuer.answer(Answer::Document(keys));
    assert_eq!(gateway.token_of(&new, 30).await, "ok");
    assert_eq!(gateway.token(30).await, "ok");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn made_up_key_ids_do_not_reach_the_issuer_again_and_again() {
    let gateway = Gateway::start().await;
    for seconds in 0..60 {
        let stranger = Signer::es256(&format!("stranger-{seconds}"));
        assert_eq!(gateway.token_of(&stranger, seconds).await, "unknown-key");
    }
    assert_eq!(gateway.issuer.requests(), 2, "at the start, and after 30 s");
}

#[tokio::test]
async fn many_who_wait_for_keys_share_one_fetch() {
    let signer = Signer::es256("k1");
    let keys = key_set(&[signer.jwk()]);
    let gateway = Gateway::start_with(Answer::Status(500), signer).await;
    gateway.issuer.answer(Answer::Held(keys));
    let calls = futures_util::future::join_all((0..50).map(|_| gateway.token(5)));
    let release = async {
        gateway.issuer.asked().await;
        gateway.issuer.release();
    };
    let (verdicts, ()) = tokio::join!(calls, release);
    assert!(verdicts.iter().all(|it| *it == "ok"), "{verdicts:?}");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_call_that_began_it_is_gone() {
    let signer = Signer::es256("k1");
    let keys = key_set(&[signer.jwk()]);
    let gateway = Gateway::start_with(Answer::Status(500), signer).await;
    gateway.issuer.answer(Answer::Held(keys));
    tokio::select! {
        biased;
        _ = gateway.token(5) => panic!("the issuer has not answered"),
        () = gateway.issuer.asked() => {}
    }
    gateway.issuer.release();
    assert_eq!(gateway.token(5).await, "ok");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn without_keys_nobody_signs_in_and_the_issuer_is_asked_at_a_pace() {
    let signer = Signer::es256("k1");
    let keys = key_set(&[signer.jwk()]);
    let gateway = Gateway::start_with(Answer::Status(503), signer).await;
    for seconds in [0, 1, 4] {
        assert_eq!(gateway.token(seconds).await, "keys-unavailable");
    }
    assert_eq!(gateway.issuer.requests(), 1);
    gateway.issuer.answer(Answer::Document(keys));
    assert_eq!(gateway.token(4).await, "keys-unavailable");
    assert_eq!(gateway.token(5).await, "ok");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn old_keys_stay_for_a_day_when_the_issuer_fails() {
    let gateway = Gateway::start().await;
    let keys = key_set(&[gateway.signer.jwk()]);
    assert_eq!(gateway.token(0).await, "ok");
    for bad in [Answer::Status(500), Answer::Document("{}".to_owned())] {
        gateway.issuer.answer(bad);
        assert_eq!(gateway.token(3600).await, "ok");
        assert_eq!(gateway.token(86_399).await, "ok");
        assert_eq!(gateway.token(86_400).await, "keys-unavailable");
    }
    gateway.issuer.answer(Answer::Document(keys));
    assert_eq!(gateway.token(86_405).await, "ok");
}

#[tokio::test]
async fn a_remembered_token_does_not_outlive_the_trust_in_its_key() {
    let gateway = Gateway::start().await;
    let mut claims = user_claims();
    claims["exp"] = (now().timestamp() + 1_000_000).into();
    let bearer = format!("Bearer {}", gateway.signer.token("ES256", &claims));
    let verdict = async |seconds| {
        let signed_in = sign_in(&gateway.identities, &bearer, after(seconds)).await;
        signed_in.err().unwrap_or("ok")
    };
    assert_eq!(verdict(0).await, "ok");
    gateway.issuer.answer(Answer::Status(500));
    assert_eq!(verdict(86_399).await, "ok");
    for seconds in [86_400, 86_401, 86_428, 86_429] {
        assert_eq!(verdict(seconds).await, "keys-unavailable", "{seconds}");
    }
}

#[tokio::test]
async fn a_failing_issuer_is_asked_at_a_pace() {
    let gateway = Gateway::start().await;
    gateway.issuer.answer(Answer::Status(500));
    for seconds in 3600..3660 {
        assert_eq!(gateway.token(seconds).await, "ok");
    }
    // The second after the first failure is in the background, so its count is waited for.
    gateway.issuer.asked().await;
    gateway.issuer.asked().await;
    assert_eq!(
        gateway.issuer.requests(),
        3,
        "at the start, at once, and after 30 s"
    );
}

#[tokio::test]
async fn a_clock_set_back_does_not_stop_the_renewal() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.token(0).await, "ok");
    let signer = Signer::es256("k2");
    gateway
        .issuer
        .answer(Answer::Document(key_set(&[signer.jwk()])));
    let before = Signer::es256("k2");
    assert_eq!(gateway.token_of(&before, -30).await, "bad-signature");
    assert_eq!(gateway.issuer.requests(), 2);
}

#[tokio::test]
async fn a_file_is_read_again_when_a_second_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    fs::write(&file, key_set(&[old.jwk()])).unwrap();
    let identities = open(&[jwt_section(config::Jwks::File(file.clone()))]).await;
    let verdict = async |signer: &Signer, seconds: i64| {
        let bearer = format!("Bearer {}", signer.token("ES256", &user_claims()));
        let signed_in = sign_in(&identities, &bearer, after(seconds)).await;
        signed_in.err().unwrap_or("ok")
    };
    fs::write(&file, key_set(&[new.jwk()])).unwrap();
    assert_eq!(verdict(&new, 0).await, "unknown-key");
    assert_eq!(verdict(&old, 0).await, "ok");
    assert_eq!(verdict(&new, 1).await, "ok");
    assert_eq!(verdict(&old, 1).await, "unknown-key");

    for broken in ["", "{}", "{\"keys\":[]}"] {
        fs::write(&file, broken).unwrap();
        assert_eq!(verdict(&new, 3).await, "ok", "the keys of before stay");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(verdict(&new, 5).await, "ok");
    let problems = identities.reload_at(after(6)).await;
    assert!(matches!(problems[..], [IdentityError::Keys { .. }]));
    fs::write(&file, key_set(&[old.jwk()])).unwrap();
    assert!(identities.reload_at(after(6)).await.is_empty());
    assert_eq!(verdict(&old, 6).await, "ok");
}

#[tokio::test]
async fn a_file_without_keys_does_not_open_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let problem = async || {
        let settings = [jwt_section(config::Jwks::File(file.clone()))];
        let opened = Identities::open(&settings, std::sync::Arc::default()).await;
        let problems = opened.unwrap_err();
        let source = std::error::Error::source(&problems[0]).unwrap().to_string();
        format!("{}: {source}", problems[0])
    };
    assert!(problem().await.ends_with("keys.json`: it cannot be read"));
    fs::write(&file, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#).unwrap();
    assert!(
        problem()
            .await
            .contains("no key can be used: key 1 is of another type")
    );
    fs::write(&file, " ".repeat(super::MAX_DOCUMENT_BYTES + 1)).unwrap();
    assert!(problem().await.ends_with("it cannot be read"));
}
