//! Passwords: right, wrong, remembered, guessed.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::config;
use crate::identity::testing::{after, open, sign_in};
use crate::identity::{Fallen, Identities, Voucher, hash_password};

/// The hash of `right`.
static HASH: LazyLock<String> =
    LazyLock::new(|| hash_password(&SecretString::from("right")).unwrap());

/// A gateway with a user file for each section.
struct Gateway {
    identities: Identities,
    files: Vec<PathBuf>,
    _folder: TempDir,
}

impl Gateway {
    async fn start(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        let mut sections = Vec::new();
        for (index, text) in files.iter().enumerate() {
            let users = folder.path().join(format!("users-{index}.toml"));
            write(&users, text);
            paths.push(users.clone());
            sections.push(config::Identity {
                name: format!("staff-{index}"),
                kind: config::IdentityKind::Basic { users },
            });
        }
        Self {
            identities: open(&sections).await,
            files: paths,
            _folder: folder,
        }
    }

    async fn amy() -> Self {
        Self::start(&["[[user]]\nname='amy'\npassword_hash='HASH'\n"]).await
    }

    /// The principal's key, or the reason.
    async fn verdict(&self, credential: &str, seconds: i64) -> String {
        let authorization = format!("Basic {}", STANDARD.encode(credential));
        let signed_in = sign_in(&self.identities, &authorization, after(seconds)).await;
        signed_in.map_or_else(str::to_owned, |it| it.key.clone())
    }

    fn hashes(&self) -> u64 {
        self.identities.passwords.hashes.load(Ordering::SeqCst)
    }
}

fn write(path: &PathBuf, text: &str) {
    fs::write(path, text.replace("HASH", &HASH)).unwrap();
}

#[tokio::test]
async fn a_right_password_signs_in_and_a_wrong_one_does_not() {
    let gateway = Gateway::start(&[
        "[[user]]\nname='Amy'\npassword_hash='HASH'\nprincipal='amy@x.example'\ngroups=['g']\n\
         [[user]]\nname='bo'\npassword_hash='HASH'\ndisabled=true\n",
    ])
    .await;
    assert_eq!(gateway.verdict("amy:right", 0).await, "local:amy");
    for bad in [
        "amy:wrong",
        "amy:",
        "amy:right ",
        "amy:Right",
        "bo:right",
        "cy:right",
    ] {
        assert_eq!(gateway.verdict(bad, 0).await, "bad-password", "{bad}");
    }
    let basic = format!("Basic {}", STANDARD.encode("AMY:right"));
    let principal = sign_in(&gateway.identities, &basic, after(0))
        .await
        .unwrap();
    assert_eq!(principal.name, "amy@x.example");
    assert_eq!(principal.groups, ["g"]);
    assert_eq!(principal.identity, "staff-0");
    let bearer = sign_in(&gateway.identities, "Bearer a.b.c", after(0)).await;
    assert_eq!(bearer.unwrap_err(), "wrong-scheme");
}

#[tokio::test]
async fn an_unknown_user_costs_a_hash_too() {
    let gateway = Gateway::amy().await;
    assert_eq!(gateway.verdict("eve:right", 0).await, "bad-password");
    assert_eq!(gateway.hashes(), 1);
}

#[tokio::test]
async fn a_right_password_is_hashed_once_in_five_minutes() {
    let gateway = Gateway::amy().await;
    for seconds in [0, 1, 299] {
        assert_eq!(gateway.verdict("amy:right", seconds).await, "local:amy");
    }
    assert_eq!(gateway.hashes(), 1);
    assert_eq!(gateway.verdict("amy:right", 300).await, "local:amy");
    assert_eq!(gateway.hashes(), 2);
}

#[tokio::test]
async fn many_with_the_same_credential_share_one_hash() {
    let gateway = Gateway::amy().await;
    let calls = (0..50).map(|_| gateway.verdict("amy:right", 0));
    let verdicts = futures_util::future::join_all(calls).await;
    assert!(verdicts.iter().all(|it| it == "local:amy"), "{verdicts:?}");
    assert_eq!(gateway.hashes(), 1);
    let calls = (0..50).map(|_| gateway.verdict("amy:wrong", 0));
    let verdicts = futures_util::future::join_all(calls).await;
    assert!(
        verdicts.iter().all(|it| it == "bad-password"),
        "{verdicts:?}"
    );
    assert_eq!(gateway.hashes(), 2);
}

#[tokio::test]
async fn guesses_are_stopped_for_known_and_unknown_users_alike() {
    let gateway = Gateway::amy().await;
    assert_eq!(gateway.verdict("amy:right", 0).await, "local:amy");
    for user in ["amy", "eve"] {
        for guess in 0..10 {
            let credential = format!("{user}:{guess}");
            assert_eq!(gateway.verdict(&credential, 0).await, "bad-password");
        }
    }
    let hashes = gateway.hashes();
    for user in ["amy", "AMY", "eve"] {
        let verdict = gateway.verdict(&format!("{user}:more"), 0).await;
        assert_eq!(verdict, "too-many-attempts", "{user}");
    }
    assert_eq!(gateway.hashes(), hashes, "no password was looked at");
    assert_eq!(
        gateway.verdict("amy:right", 0).await,
        "local:amy",
        "she was known before"
    );
    assert_eq!(gateway.verdict("amy:more", 6).await, "bad-password");
    assert_eq!(gateway.verdict("amy:still", 6).await, "too-many-attempts");
}

#[tokio::test]
async fn guesses_at_once_are_stopped_as_those_in_a_row() {
    let gateway = Gateway::amy().await;
    let guesses: Vec<_> = (0..40).map(|guess| format!("amy:{guess}")).collect();
    let calls = guesses.iter().map(|it| gateway.verdict(it, 0));
    let verdicts = futures_util::future::join_all(calls).await;
    let looked_at = verdicts.iter().filter(|it| *it == "bad-password").count();
    assert_eq!(looked_at, 10, "{verdicts:?}");
    assert_eq!(gateway.hashes(), 10);
}

#[tokio::test]
async fn a_reload_forgets_and_a_broken_file_changes_nothing() {
    let gateway = Gateway::amy().await;
    assert_eq!(gateway.verdict("amy:right", 0).await, "local:amy");
    write(
        &gateway.files[0],
        "[[user]]\nname='amy'\npassword_hash='nonsense'\nx=1\n",
    );
    let problems = gateway.identities.reload().await;
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("users-0.toml:3: password_hash"),
        "{problems:?}"
    );
    assert_eq!(gateway.verdict("amy:right", 0).await, "local:amy");
    assert_eq!(gateway.hashes(), 1);

    write(
        &gateway.files[0],
        "[[user]]\nname='amy'\npassword_hash='HASH'\ndisabled=true\n",
    );
    assert!(gateway.identities.reload().await.is_empty());
    assert_eq!(gateway.verdict("amy:right", 0).await, "bad-password");
    fs::remove_file(&gateway.files[0]).unwrap();
    assert_eq!(gateway.identities.reload().await.len(), 1);
}

/// Who is signed in by this credential, as they are told apart later.
async fn voucher(gateway: &Gateway, credential: &str) -> Voucher {
    let mut headers = HeaderMap::new();
    let authorization = format!("Basic {}", STANDARD.encode(credential));
    headers.insert(AUTHORIZATION, authorization.parse().unwrap());
    let allowed = ["staff-0".to_owned()];
    let signed_in = gateway
        .identities
        .authenticate(&allowed, &headers, after(0));
    signed_in.await.unwrap().voucher().clone()
}

#[tokio::test]
async fn a_user_is_vouched_for_until_the_file_says_otherwise() {
    let gateway = Gateway::amy().await;
    let voucher = voucher(&gateway, "amy:right").await;
    let vouch = |allowed: &str| {
        let allowed = [allowed.to_owned()];
        gateway.identities.vouch(&allowed, &voucher, after(0))
    };
    assert_eq!(vouch("staff-0"), Ok(()));
    assert_eq!(vouch("others"), Err(Fallen::Unlisted));
    let amy = "[[user]]\nname='amy'\npassword_hash='HASH'\n";
    let other = hash_password(&SecretString::from("other")).unwrap();
    for (users, verdict) in [
        (
            format!("{amy}[[user]]\nname='bo'\npassword_hash='HASH'\n"),
            Ok(()),
        ),
        (format!("{amy}disabled=true\n"), Err(Fallen::Gone)),
        (
            "[[user]]\nname='bo'\npassword_hash='HASH'\n".to_owned(),
            Err(Fallen::Gone),
        ),
        // Whoever is back is not who was signed in before.
        (amy.to_owned(), Err(Fallen::Changed)),
        (amy.replace("HASH", &other), Err(Fallen::Changed)),
    ] {
        write(&gateway.files[0], &users);
        assert!(gateway.identities.reload().await.is_empty());
        assert_eq!(vouch("staff-0"), verdict, "{users}");
    }
}

#[tokio::test]
async fn users_of_two_files_are_different_people() {
    let gateway = Gateway::start(&[
        "[[user]]\nname='amy'\npassword_hash='HASH'\ndisabled=true\n",
        "[[user]]\nname='amy'\npassword_hash='HASH'\n[[user]]\nname='bo'\npassword_hash='HASH'\n",
    ])
    .await;
    assert_eq!(gateway.verdict("bo:right", 0).await, "local:staff-1/bo");
    assert_eq!(gateway.hashes(), 1, "only the file that knows him is asked");
    assert_eq!(gateway.verdict("amy:right", 0).await, "local:staff-1/amy");
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let gateway = Gateway::amy().await;
    let mut headers = HeaderMap::new();
    let encoded = STANDARD.encode("amy:s3cret");
    let value = http::HeaderValue::from_str(&format!("Basic {encoded}")).unwrap();
    headers.insert(AUTHORIZATION, value);
    let allowed = ["staff-0".to_owned()];
    let failure = gateway
        .identities
        .authenticate(&allowed, &headers, after(0));
    let failure = failure.await.unwrap_err();
    let shown = format!("{failure:?} {failure} {:?}", gateway.identities);
    assert!(
        !shown.contains("s3cret") && !shown.contains(&encoded),
        "{shown}"
    );
    assert_eq!(failure.to_string(), "wrong password for the user `amy`");
}
