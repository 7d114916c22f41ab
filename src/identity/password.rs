//! Argon2id ([RFC 9106]) hashes of passwords, as PHC strings.
//!
//! [RFC 9106]: https://www.rfc-editor.org/rfc/rfc9106

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use super::authorization::MAX_PASSWORD_BYTES;

/// The least memory of an accepted hash, in KiB: the least that OWASP's password storage cheat sheet names for argon2id.
const LEAST_MEMORY_KIB: u32 = 7 * 1024;

/// The most memory of an accepted hash, in KiB; each check in progress takes as much.
const MOST_MEMORY_KIB: u32 = 256 * 1024;

/// The most passes of an accepted hash.
const MOST_PASSES: u32 = 32;

/// The most lanes of an accepted hash.
const MOST_LANES: u32 = 16;

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nobody could sign in with it.
    #[error("a password has 1 to {MAX_PASSWORD_BYTES} bytes and no control characters")]
    Unusable,
    /// The hash could not be made.
    #[error("the password cannot be hashed")]
    Hash(#[source] argon2::password_hash::Error),
}

/// The hash of a password as an argon2id PHC string with a random salt, for `password_hash` in a user file.
///
/// It blocks for tens of milliseconds and takes 19 MiB of memory for that time.
pub fn hash_password(password: &SecretString) -> Result<String, PasswordError> {
    let password = password.expose_secret();
    let is_usable = !password.is_empty()
        && password.len() <= MAX_PASSWORD_BYTES
        && !password.contains(char::is_control);
    if !is_usable {
        return Err(PasswordError::Unusable);
    }
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|it| it.to_string())
        .map_err(PasswordError::Hash)
}

/// An argon2id hash that costs neither too little to guess nor too much to check.
#[derive(Clone)]
pub(super) struct HashedPassword {
    hash: PasswordHash,
    params: Params,
}

impl HashedPassword {
    /// Reads a PHC string; the error says what would be right, without the hash.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        const HINT: &str = "password_hash must be an argon2id hash (make one with `portcullis user hash-password`)";
        let hash = PasswordHash::new(text).map_err(|_| HINT)?;
        let params = Params::try_from(&hash).map_err(|_| HINT)?;
        let is_argon2id = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
            && hash.version == Some(argon2::Version::V0x13.into());
        let is_whole = hash.salt.as_ref().is_some_and(|it| it.len() >= 8)
            && hash.hash.as_ref().is_some_and(|it| it.len() >= 16);
        if !is_argon2id || !is_whole {
            return Err(HINT);
        }
        if params.m_cost() < LEAST_MEMORY_KIB {
            return Err("password_hash is too cheap to guess: it needs m=7168 or more");
        }
        if params.m_cost() > MOST_MEMORY_KIB
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_LANES
        {
            return Err("password_hash is too costly to check: at most m=262144, t=32, p=16");
        }
        Ok(Self { hash, params })
    }

    /// A hash of this cost that no password is known for: what an unknown user's password is checked against.
    pub(super) fn nobodys(costly_as: Option<&Self>, random: [u8; 48]) -> Option<Self> {
        let default = Params::default();
        let params = costly_as.map_or(&default, |it| &it.params);
        let (salt, output) = random.split_at(16);
        let text = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output),
        );
        Self::read(&text).ok()
    }

    /// Whether it is the same hash, with the same salt.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
    }

    /// How much work a check is, to compare with others.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    /// Whether this is the hash of `password`. It blocks for as long as the hash's cost says; the comparison takes the
    /// same time wherever they differ.
    pub(super) fn is_of(&self, password: &SecretString) -> bool {
        let password = password.expose_secret().as_bytes();
        Argon2::default()
            .verify_password(password, &self.hash)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_and_no_other() {
        let password = SecretString::from("correct horse");
        let text = hash_password(&password).unwrap();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        assert_ne!(
            text,
            hash_password(&password).unwrap(),
            "the salt is random"
        );
        let hash = HashedPassword::read(&text).unwrap();
        assert!(hash.is_of(&password));
        assert!(!hash.is_of(&SecretString::from("correct horsf")));
    }

    #[test]
    fn a_password_that_nobody_can_send_is_not_hashed() {
        for bad in ["", "a\nb", &"x".repeat(MAX_PASSWORD_BYTES + 1)] {
            assert!(hash_password(&SecretString::from(bad)).is_err());
        }
    }

    #[test]
    fn only_argon2id_of_reasonable_cost_is_read() {
        let tail = "c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let read = |head: &str| HashedPassword::read(&format!("{head}${tail}")).err();
        assert_eq!(read("$argon2id$v=19$m=7168,t=1,p=1"), None);
        for bad in [
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2d$v=19$m=19456,t=2,p=1",
            "$argon2id$v=16$m=19456,t=2,p=1",
            "$argon2id$m=19456,t=2,p=1",
            "$argon2id$v=19$m=7167,t=2,p=1",
            "$argon2id$v=19$m=1000000,t=2,p=1",
            "$argon2id$v=19$m=19456,t=33,p=1",
            "$argon2id$v=19$m=19456,t=2,p=17",
            "$scrypt$ln=16,r=8,p=1",
        ] {
            assert!(read(bad).is_some(), "{bad}");
        }
        for bad in [
            "",
            "plain",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA",
        ] {
            assert!(HashedPassword::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_the_one_it_stands_in_for() {
        let text = "$argon2id$v=19$m=8192,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let hash = HashedPassword::read(text).unwrap();
        let nobodys = HashedPassword::nobodys(Some(&hash), [7; 48]).unwrap();
        assert_eq!(nobodys.cost(), hash.cost());
        assert!(HashedPassword::nobodys(None, [7; 48]).is_some());
    }
}
