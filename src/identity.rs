//! Who calls: verifies the credential of a request against the `[[identity]]` sections of the configuration.
//!
//! A bearer token is a JWT of a configured issuer; a Basic credential is a user of a local file. Either becomes an
//! [`Authenticated`], which only this module makes and without which nothing goes further. Nothing else in a request
//! says who calls: no header such as `X-AnchorMailbox` is read here.
//!
//! Every section is trusted with every name that it vouches for: an endpoint should list only sections that may name its people.
//!
//! What was verified is remembered (bounded, and no longer than it is good), so that a caller's second request costs a digest
//! and a look-up. No secret is kept, shown or logged: tokens and passwords are remembered as digests.

mod authorization;
mod basic;
mod bearer;
mod claims;
mod failure;
mod fetch;
mod jwk;
mod keys;
mod password;
mod problem;
mod strangers;
#[cfg(test)]
mod testing;
mod throttle;
mod token;
mod users;
mod verified;
mod voucher;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue};
use tokio::io::AsyncReadExt as _;

use crate::config;
use crate::model::{Interner, Principal};

use authorization::Presented;
use basic::{Passwords, UserFile};
use bearer::{Issuer, Tokens};
use claims::Expected;
use failure::Offers;
use fetch::Fetcher;
use keys::{KeySource, Origin};
use voucher::Proof;

pub use failure::{FailureKind, SignInFailure};
pub use fetch::FetchError;
pub use password::{PasswordError, hash_password};
pub use problem::{IdentityError, KeysError};
pub use strangers::Strangers;
pub use voucher::{Fallen, Voucher};

/// All `[[identity]]` sections, ready to verify; shared by all workers.
pub struct Identities {
    sections: Vec<Section>,
    tokens: Tokens,
    passwords: Arc<Passwords>,
    interner: Arc<Interner>,
    /// How often user files were read again.
    readings: AtomicU64,
    /// Held while files are read again, so that of two readings the later one stays.
    reloading: tokio::sync::Mutex<()>,
}

struct Section {
    name: String,
    verifier: Verifier,
}

enum Verifier {
    Basic(Arc<UserFile>),
    Jwt(Box<Issuer>),
}

/// A verified caller, with the credential that showed who it is. Only [`Identities::authenticate`] makes one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who calls.
    pub principal: Arc<Principal>,
    authorization: HeaderValue,
    voucher: Voucher,
}

impl Authenticated {
    /// The caller's own `Authorization`, to hand on upstream; marked sensitive, so that it is not shown by accident.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// What tells later whether the credential would still be taken.
    pub fn voucher(&self) -> &Voucher {
        &self.voucher
    }
}

impl Identities {
    /// Reads user files and key files, and asks JWKS URLs once (5 s at most); a URL that is down is asked again when it is needed.
    ///
    /// All problems are told at once.
    pub async fn open(
        settings: &[config::Identity],
        interner: Arc<Interner>,
    ) -> Result<Self, Vec<IdentityError>> {
        Self::open_at(settings, interner, Utc::now()).await
    }

    async fn open_at(
        settings: &[config::Identity],
        interner: Arc<Interner>,
        now: DateTime<Utc>,
    ) -> Result<Self, Vec<IdentityError>> {
        let mut problems = Vec::new();
        let mut sections = Vec::new();
        for (index, identity) in settings.iter().enumerate() {
            match Section::open(identity, index, settings, &interner, now).await {
                Ok(section) => sections.push(section),
                Err(mut found) => problems.append(&mut found),
            }
        }
        // Half the processors at most, so that strangers with passwords to guess leave the rest to those who are signed in.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        match Passwords::new((processors / 2).max(1)) {
            Ok(passwords) if problems.is_empty() => Ok(Self {
                sections,
                tokens: Tokens::new(Arc::clone(&interner)),
                passwords: Arc::new(passwords),
                interner,
                readings: AtomicU64::new(0),
                reloading: tokio::sync::Mutex::default(),
            }),
            Ok(_) => Err(problems),
            Err(error) => {
                problems.push(error);
                Err(problems)
            }
        }
    }

    /// Whose credential `headers` carry, as judged by those sections whose names are `allowed`.
    pub async fn authenticate(
        &self,
        allowed: &[String],
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, SignInFailure> {
        let fail = |kind| SignInFailure::new(kind, self.offers(allowed));
        let (value, presented) = authorization::read(headers).map_err(fail)?;
        let here = self.sections.iter().filter(|it| allowed.contains(&it.name));
        // Before the check: files that are read again meanwhile may know the user otherwise.
        let reading = self.readings.load(Ordering::Acquire);
        let verified = match presented {
            Presented::Basic(text) => {
                let files = here.filter_map(Section::user_file);
                if files.clone().next().is_none() {
                    return Err(fail(FailureKind::WrongScheme));
                }
                let principal = self.passwords.verify(files, text, now).await;
                principal.map(|it| (it, Proof::Password { reading }))
            }
            Presented::Bearer(text) => {
                let issuers = here.filter_map(Section::issuer);
                if issuers.clone().next().is_none() {
                    return Err(fail(FailureKind::WrongScheme));
                }
                let found = self.tokens.verify(issuers, text, now).await;
                found.map(|it| {
                    let (ends_ms, key) = (it.ends_ms, it.proof);
                    (it.principal, Proof::Token { ends_ms, key })
                })
            }
        };
        let (principal, proof) = verified.map_err(fail)?;
        Ok(Authenticated {
            voucher: Voucher::new(&principal, proof),
            principal,
            authorization: authorization::canonical(value, presented),
        })
    }

    /// Whether who was signed in before would still be, by those sections whose names are `allowed`.
    pub fn vouch(
        &self,
        allowed: &[String],
        voucher: &Voucher,
        now: DateTime<Utc>,
    ) -> Result<(), Fallen> {
        let principal = voucher.principal();
        let mut here = self.sections.iter().filter(|it| allowed.contains(&it.name));
        let section = here.find(|it| it.name == principal.identity);
        let section = section.ok_or(Fallen::Unlisted)?;
        match (&section.verifier, voucher.proof()) {
            (Verifier::Basic(file), Proof::Password { reading }) => {
                file.vouches(principal, *reading)
            }
            (Verifier::Jwt(issuer), Proof::Token { ends_ms, key }) => {
                let now_ms = now.timestamp_millis();
                if now_ms >= *ends_ms {
                    Err(Fallen::Expired)
                } else if key.is_retired() || !issuer.keys.are_usable(now_ms) {
                    Err(Fallen::Changed)
                } else {
                    Ok(())
                }
            }
            (
                Verifier::Basic(_) | Verifier::Jwt(_),
                Proof::Password { .. } | Proof::Token { .. },
            ) => Err(Fallen::Unlisted),
        }
    }

    /// Reads user files and keys again, as on SIGHUP. What cannot be read stays as it was, and is told.
    ///
    /// Passwords that were remembered are checked again afterwards.
    pub async fn reload(&self) -> Vec<IdentityError> {
        self.reload_at(Utc::now()).await
    }

    async fn reload_at(&self, now: DateTime<Utc>) -> Vec<IdentityError> {
        let _alone = self.reloading.lock().await;
        let mut problems = Vec::new();
        let reading = self.readings.load(Ordering::Acquire) + 1;
        for section in &self.sections {
            match &section.verifier {
                Verifier::Basic(file) => {
                    problems.extend(
                        file.reload(&self.interner, reading)
                            .await
                            .err()
                            .into_iter()
                            .flatten(),
                    );
                }
                Verifier::Jwt(issuer) => problems.extend(issuer.keys.read_now(now).await.err()),
            }
        }
        self.readings.store(reading, Ordering::Release);
        problems
    }

    fn offers(&self, allowed: &[String]) -> Offers {
        let mut offers = Offers::default();
        for section in self.sections.iter().filter(|it| allowed.contains(&it.name)) {
            match &section.verifier {
                Verifier::Basic(_) => offers.basic = true,
                Verifier::Jwt(_) => offers.bearer = true,
            }
        }
        offers
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sections.iter().map(|it| &it.name);
        f.debug_set().entries(names).finish()
    }
}

impl Section {
    async fn open(
        identity: &config::Identity,
        index: usize,
        settings: &[config::Identity],
        interner: &Interner,
        now: DateTime<Utc>,
    ) -> Result<Self, Vec<IdentityError>> {
        let name = identity.name.clone();
        let verifier = match &identity.kind {
            config::IdentityKind::Basic { users } => {
                let is_basic =
                    |it: &&config::Identity| matches!(it.kind, config::IdentityKind::Basic { .. });
                // Users of the same name in two files are two people.
                let key_prefix = if settings.iter().filter(is_basic).count() > 1 {
                    format!("local:{name}/")
                } else {
                    "local:".to_owned()
                };
                let file = UserFile::open(&name, index, users.clone(), key_prefix, interner);
                Verifier::Basic(Arc::new(file.await?))
            }
            config::IdentityKind::Jwt {
                issuer,
                audiences,
                tenants,
                jwks,
                leeway,
                device: _,
            } => {
                let origin = match jwks {
                    config::Jwks::File(path) => Origin::File(path.clone()),
                    config::Jwks::Url(url) => {
                        let fetcher = Fetcher::new(&name, url).map_err(|it| vec![it])?;
                        Origin::Url(Box::new(fetcher))
                    }
                };
                let keys = KeySource::new(name.clone(), origin);
                let first = keys.read_now(now).await;
                if matches!(jwks, config::Jwks::File(_)) {
                    first.map_err(|it| vec![it])?;
                }
                Verifier::Jwt(Box::new(Issuer {
                    section: index,
                    expected: Expected {
                        identity: name.clone(),
                        issuer: issuer.clone(),
                        audiences: audiences.clone(),
                        tenants: tenants.clone(),
                        leeway: *leeway,
                    },
                    keys: Arc::new(keys),
                }))
            }
        };
        Ok(Self { name, verifier })
    }

    fn issuer(&self) -> Option<&Issuer> {
        match &self.verifier {
            Verifier::Basic(_) => None,
            Verifier::Jwt(issuer) => Some(issuer),
        }
    }

    fn user_file(&self) -> Option<&Arc<UserFile>> {
        match &self.verifier {
            Verifier::Basic(file) => Some(file),
            Verifier::Jwt(_) => None,
        }
    }
}

/// Nothing here leaves a lock's content half changed, so one that a panic passed through is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a file of at most `most` bytes.
async fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut bytes).await?;
    if bytes.len() > most {
        let text = format!("the file has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}
