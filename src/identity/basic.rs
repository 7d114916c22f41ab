//! Checks names and passwords against user files, without hashing a password that was checked a moment ago.
//!
//! A check takes tens of milliseconds of a processor, so it runs beside the runtime, a few at a time, once for all who ask
//! with the same credential, and not at all for a user who failed too often. An unknown user costs as much as a known one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, watch};

use crate::model::{Interner, Principal};

use super::authorization::Credentials;
use super::failure::FailureKind;
use super::problem::IdentityError;
use super::throttle::Throttle;
use super::users::{self, Naming, Standing, Users};
use super::verified::{Digest, Verified};
use super::voucher::Fallen;
use super::{lock, read_bounded};

/// How long a checked credential counts without another check, in milliseconds.
const REMEMBERED_MS: i64 = 5 * 60 * 1000;

/// The largest user file, in bytes.
const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// Different credentials that wait for their check at once; more are turned away.
const MAX_CHECKS: usize = 256;

/// How long a check may wait for its turn.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Buckets for the failures of unknown users, who share them by a keyed hash of their names.
const STRANGERS: usize = 1024;

/// A section of the configuration with its user file.
pub(super) struct UserFile {
    identity: String,
    /// Its place among all sections.
    section: usize,
    path: PathBuf,
    /// What the keys of its users begin with.
    key_prefix: String,
    users: ArcSwap<Users>,
}

impl UserFile {
    pub(super) async fn open(
        identity: &str,
        section: usize,
        path: PathBuf,
        key_prefix: String,
        interner: &Interner,
    ) -> Result<Self, Vec<IdentityError>> {
        let naming = Naming {
            identity,
            key_prefix: &key_prefix,
            interner,
        };
        let users = load(&path, &naming, 0).await?;
        Ok(Self {
            identity: identity.to_owned(),
            section,
            path,
            key_prefix,
            users: ArcSwap::from_pointee(users),
        })
    }

    /// Reads the file again, as the reading `reading` of all files; if anything is wrong with it, the users stay as they are.
    pub(super) async fn reload(
        &self,
        interner: &Interner,
        reading: u64,
    ) -> Result<(), Vec<IdentityError>> {
        let naming = Naming {
            identity: &self.identity,
            key_prefix: &self.key_prefix,
            interner,
        };
        let before = self.users.load_full();
        let mut users = load(&self.path, &naming, before.generation + 1).await?;
        users.compare(&before, reading);
        tracing::info!(identity = %self.identity, users = users.len(), "User file read again");
        self.users.store(Arc::new(users));
        Ok(())
    }
}

impl UserFile {
    /// Whether whoever signed in as this principal, with the files as of `reading`, would be signed in now.
    pub(super) fn vouches(&self, principal: &Principal, reading: u64) -> Result<(), Fallen> {
        let users = self.users.load();
        let name = principal.key.strip_prefix(&self.key_prefix);
        let user = name.and_then(|it| users.find(it));
        match user.map(|it| (it.standing, it.since)) {
            None | Some((Standing::Disabled, _)) => Err(Fallen::Gone),
            Some((Standing::Enabled, since)) if since > reading => Err(Fallen::Changed),
            Some((Standing::Enabled, _)) => Ok(()),
        }
    }
}

async fn load(
    path: &Path,
    naming: &Naming<'_>,
    generation: u64,
) -> Result<Users, Vec<IdentityError>> {
    let unreadable = |source| {
        vec![IdentityError::UserFile {
            identity: naming.identity.to_owned(),
            path: path.to_owned(),
            source,
        }]
    };
    let bytes = read_bounded(path, MAX_FILE_BYTES)
        .await
        .map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    let mut random = [0; 48];
    rand::fill(&mut random).map_err(|_| vec![IdentityError::Randomness])?;
    users::read(&text, naming, generation, random).map_err(|problems| {
        let told = problems.into_iter().map(|it| IdentityError::Users {
            identity: naming.identity.to_owned(),
            path: path.to_owned(),
            line: it.line,
            problem: it.text,
        });
        told.collect()
    })
}

/// What came of a check.
type Verdict = Result<Arc<Principal>, FailureKind>;

/// A check that is under way: a credential and the section that it is checked in.
type CheckKey = (Digest, usize);

/// Checks passwords, and remembers which were right.
pub(super) struct Passwords {
    /// Random, for this process: what is remembered is of no use elsewhere.
    key: hmac::Key,
    /// The proof is the generation of the users.
    verified: Verified<u64>,
    under_way: Mutex<HashMap<CheckKey, watch::Receiver<Option<Verdict>>>>,
    turns: Arc<Semaphore>,
    strangers: Box<[Throttle]>,
    /// How many hashes were computed.
    hashes: AtomicU64,
}

impl Passwords {
    /// At most `at_once` passwords are hashed at once.
    pub(super) fn new(at_once: usize) -> Result<Self, IdentityError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| IdentityError::Randomness)?;
        Ok(Self {
            key,
            verified: Verified::new(),
            under_way: Mutex::default(),
            turns: Arc::new(Semaphore::new(at_once)),
            strangers: std::iter::repeat_with(Throttle::default)
                .take(STRANGERS)
                .collect(),
            hashes: AtomicU64::new(0),
        })
    }

    /// Whose credential `text` (what follows `Basic`) is, by the first of `files` that says so.
    pub(super) async fn verify<'a>(
        self: &Arc<Self>,
        files: impl Iterator<Item = &'a Arc<UserFile>> + Clone,
        text: &[u8],
        now: DateTime<Utc>,
    ) -> Verdict {
        let now_ms = now.timestamp_millis();
        let digest = self.digest(text);
        for file in files.clone() {
            if let Some(principal) = self.remembered(&digest, file, now_ms) {
                return Ok(principal);
            }
        }
        let credentials = Arc::new(Credentials::read(text)?);
        let knows = |it: &&Arc<UserFile>| it.users.load().find(&credentials.user).is_some();
        let mut asked: Vec<_> = files.clone().filter(knows).collect();
        if asked.is_empty() {
            asked.extend(files.take(1));
        }
        let mut verdict = Err(FailureKind::UnknownUser);
        for file in asked {
            verdict = self.check_in(file, digest, &credentials, now_ms).await;
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Base64 as we read it has one spelling for each name and password, so the text stands for them.
    fn digest(&self, text: &[u8]) -> Digest {
        let tag = hmac::sign(&self.key, text);
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }

    fn remembered(&self, digest: &Digest, file: &UserFile, now_ms: i64) -> Option<Arc<Principal>> {
        let found = self.verified.find(digest, file.section, now_ms, |proof| {
            *proof == file.users.load().generation
        })?;
        Some(found.principal)
    }

    /// Joins the check of this credential that is under way, or begins one.
    async fn check_in(
        self: &Arc<Self>,
        file: &Arc<UserFile>,
        digest: Digest,
        credentials: &Arc<Credentials>,
        now_ms: i64,
    ) -> Verdict {
        let (mut verdict, check) = {
            let mut under_way = lock(&self.under_way);
            if let Some(verdict) = under_way.get(&(digest, file.section)) {
                (verdict.clone(), None)
            } else {
                // A check may have ended since the caller looked.
                if let Some(principal) = self.remembered(&digest, file, now_ms) {
                    return Ok(principal);
                }
                if under_way.len() >= MAX_CHECKS {
                    return Err(FailureKind::Busy);
                }
                let users = file.users.load_full();
                self.take_attempt(&users, &credentials.user, now_ms)?;
                let (tell, verdict) = watch::channel(None);
                under_way.insert((digest, file.section), verdict.clone());
                let check = Check {
                    passwords: Arc::clone(self),
                    users,
                    key: (digest, file.section),
                    credentials: Arc::clone(credentials),
                    now_ms,
                    tell,
                };
                (verdict, Some(check))
            }
        };
        if let Some(check) = check {
            tokio::spawn(check.run());
        }
        let told = verdict.wait_for(Option::is_some).await;
        told.ok()
            .and_then(|it| it.clone())
            .unwrap_or(Err(FailureKind::Busy))
    }

    fn take_attempt(&self, users: &Users, user: &str, now_ms: i64) -> Result<(), FailureKind> {
        if self.throttle(users, user).is_some_and(|it| it.take(now_ms)) {
            return Ok(());
        }
        let user = users.find(user).map_or_else(
            || "an unknown user".to_owned(),
            |it| format!("the user `{}`", it.name),
        );
        Err(FailureKind::TooManyAttempts { user })
    }

    /// The bucket that this user's failures are counted in.
    fn throttle<'a>(&'a self, users: &'a Users, user: &str) -> Option<&'a Throttle> {
        if let Some(user) = users.find(user) {
            return Some(&user.throttle);
        }
        let [first, second, ..] = self.digest(user.to_ascii_lowercase().as_bytes());
        self.strangers
            .get(usize::from(u16::from_be_bytes([first, second])) % STRANGERS)
    }
}

/// A check; it runs to its end even if all who asked for it go away.
struct Check {
    passwords: Arc<Passwords>,
    users: Arc<Users>,
    key: CheckKey,
    credentials: Arc<Credentials>,
    now_ms: i64,
    tell: watch::Sender<Option<Verdict>>,
}

impl Check {
    async fn run(self) {
        let verdict = match self.password_is_right().await {
            Some(is_right) => self.verdict(is_right),
            None => Err(FailureKind::Busy),
        };
        if matches!(verdict, Ok(_) | Err(FailureKind::Busy))
            && let Some(throttle) = self.passwords.throttle(&self.users, &self.credentials.user)
        {
            throttle.give_back();
        }
        if let Ok(principal) = &verdict {
            let (digest, section) = self.key;
            self.passwords.verified.insert(
                digest,
                section,
                self.now_ms.saturating_add(REMEMBERED_MS),
                self.users.generation,
                Arc::clone(principal),
            );
        }
        self.tell.send_replace(Some(verdict));
    }

    /// `None` if it could not be found out in time.
    async fn password_is_right(&self) -> Option<bool> {
        let turn = Arc::clone(&self.passwords.turns).acquire_owned();
        let turn = tokio::time::timeout(MAX_WAIT, turn).await.ok()?.ok()?;
        let users = Arc::clone(&self.users);
        let credentials = Arc::clone(&self.credentials);
        self.passwords.hashes.fetch_add(1, Ordering::Relaxed);
        let hashing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let user = users.find(&credentials.user);
            let password = user.map_or(&users.nobodys, |it| &it.password);
            password.is_of(&credentials.password)
        });
        hashing.await.ok()
    }

    fn verdict(&self, password_is_right: bool) -> Verdict {
        let user = self
            .users
            .find(&self.credentials.user)
            .ok_or(FailureKind::UnknownUser)?;
        let name = || user.name.clone();
        match (password_is_right, user.standing) {
            (false, _) => Err(FailureKind::BadPassword { user: name() }),
            (true, Standing::Disabled) => Err(FailureKind::Disabled { user: name() }),
            (true, Standing::Enabled) => Ok(Arc::clone(&user.principal)),
        }
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        lock(&self.passwords.under_way).remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
