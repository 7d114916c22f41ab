//! A JWK set ([RFC 7517]) becomes the keys that tokens may be signed with: RSA of 2048 bits or more, and EC on P-256.
//!
//! Keys of other types or for other uses are passed over, as the RFC's section 5 wants, with a note of why.
//!
//! [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::KeysError;

/// The most keys in a set. Entra publishes about ten.
const MAX_KEYS: usize = 100;

/// The longest `kid`, in bytes.
const MAX_KID_BYTES: usize = 256;

/// A signature algorithm that tokens may use ([RFC 7518] section 3.1). There is no other: `none` and the HMACs cannot be said.
///
/// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Ps256,
    Rs256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "PS256" => Some(Self::Ps256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    fn key_type(self) -> KeyType {
        match self {
            Self::Es256 => KeyType::EcP256,
            Self::Ps256 | Self::Rs256 => KeyType::Rsa,
        }
    }

    fn to_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    EcP256,
    Rsa,
}

/// A public key that its issuer publishes, or published.
pub(super) struct VerificationKey {
    kid: Option<String>,
    key_type: KeyType,
    /// The only algorithm that the issuer uses it with, if the issuer says so.
    algorithm: Option<Algorithm>,
    material: DecodingKey,
    /// SHA-256 of all the above: a key is still the same key in a newer set if this is the same.
    fingerprint: [u8; 32],
    retired: AtomicBool,
}

impl VerificationKey {
    /// Whether `signature` (base64url) over `message` is this key's, by `algorithm`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(
                signature,
                message,
                &self.material,
                algorithm.to_jsonwebtoken(),
            )
            .unwrap_or(false)
    }

    /// Whether the issuer has withdrawn it: what it signed no longer counts.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.key_type == algorithm.key_type() && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// The keys of an issuer at some moment.
pub(super) struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
    /// Why other keys of the set are not used, for the log.
    pub(super) skipped: Vec<String>,
}

/// A member of `keys`; what is not named here is of no use to us.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a JWK set, in which at least one key must be usable.
    pub(super) fn read(json: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let document: Document<'_> = serde_json::from_slice(json).map_err(KeysError::NotAKeySet)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeysError::TooManyKeys { most: MAX_KEYS });
        }
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for (index, raw) in document.keys.iter().enumerate() {
            match VerificationKey::read(raw) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(why) => skipped.push(format!("key {} {why}", index + 1)),
            }
        }
        if keys.is_empty() {
            let skipped = if skipped.is_empty() {
                String::new()
            } else {
                format!(": {}", skipped.join(", "))
            };
            return Err(KeysError::NoUsableKey { skipped });
        }
        Ok(Self { keys, skipped })
    }

    /// The keys that a token with this header may be signed with. Without a `kid` that is the only key of its type.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<VerificationKey>> {
        let of_type = |it: &&Arc<VerificationKey>| it.key_type == algorithm.key_type();
        let only = self.keys.iter().filter(of_type).count() == 1;
        self.keys.iter().filter(move |it| {
            it.fits(algorithm)
                && match kid {
                    Some(kid) => it.kid.as_deref() == Some(kid),
                    None => only,
                }
        })
    }

    /// Puts this set in the place of `old`: keys in both stay the same, keys in `old` alone are retired.
    pub(super) fn replacing(mut self, old: &Self) -> Self {
        for key in &mut self.keys {
            let known = old
                .keys
                .iter()
                .find(|it| it.fingerprint == key.fingerprint && !it.is_retired());
            if let Some(known) = known {
                *key = Arc::clone(known);
            }
        }
        for key in &old.keys {
            if !self.keys.iter().any(|it| Arc::ptr_eq(it, key)) {
                key.retired.store(true, Ordering::Release);
            }
        }
        self
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl VerificationKey {
    fn read(raw: &RawValue) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_str(raw.get()).map_err(|_| "is not a JWK")?;
        let for_signing = jwk.purpose.as_deref().is_none_or(|it| it == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|it| it.iter().any(|it| it == "verify"));
        if !for_signing {
            return Err("is not for signatures");
        }
        if jwk.kid.as_ref().is_some_and(|it| it.len() > MAX_KID_BYTES) {
            return Err("has a kid of more than 256 bytes");
        }
        let algorithm = match jwk.alg.as_deref() {
            Some(name) => Some(Algorithm::named(name).ok_or("is for another algorithm")?),
            None => None,
        };
        let (key_type, material, bytes) = match jwk.kty.as_str() {
            "EC" => jwk.ec_material()?,
            "RSA" => jwk.rsa_material()?,
            _ => return Err("is of another type"),
        };
        if algorithm.is_some_and(|it| it.key_type() != key_type) {
            return Err("has an alg that does not fit its type");
        }
        let facts = format!("{key_type:?} {algorithm:?} {:?} ", jwk.kid);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &[facts.as_bytes(), &bytes].concat()).as_ref());
        Ok(Self {
            kid: jwk.kid,
            key_type,
            algorithm,
            material,
            fingerprint,
            retired: AtomicBool::new(false),
        })
    }
}

impl Jwk {
    /// [RFC 7518] section 6.2: coordinates of 32 bytes each; the point must be on the curve.
    ///
    /// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518
    fn ec_material(&self) -> Result<(KeyType, DecodingKey, Vec<u8>), &'static str> {
        if self.crv.as_deref() != Some("P-256") {
            return Err("is on another curve");
        }
        let x = number(self.x.as_deref())?;
        let y = number(self.y.as_deref())?;
        if x.len() != 32 || y.len() != 32 {
            return Err("has coordinates of another length");
        }
        let point = [&[4], &*x, &*y].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .map_err(|_| "is not a point of the curve")?;
        let material = DecodingKey::from_ec_components(
            self.x.as_deref().unwrap_or_default(),
            self.y.as_deref().unwrap_or_default(),
        );
        Ok((
            KeyType::EcP256,
            material.map_err(|_| "is not a key")?,
            point,
        ))
    }

    /// [RFC 7518] section 6.3, with a modulus of 2048 to 8192 bits.
    ///
    /// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518
    fn rsa_material(&self) -> Result<(KeyType, DecodingKey, Vec<u8>), &'static str> {
        let modulus = number(self.n.as_deref())?;
        let exponent = number(self.e.as_deref())?;
        let leading = modulus.iter().take_while(|it| **it == 0).count();
        let modulus = modulus.get(leading..).unwrap_or_default();
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |it| it.leading_zeros() as usize);
        if bits < 2048 {
            return Err("has fewer than 2048 bits");
        }
        let components = RsaPublicKeyComponents {
            n: modulus,
            e: &*exponent,
        };
        components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| "is not an RSA key of 2048 to 8192 bits")?;
        let material = DecodingKey::from_rsa_raw_components(modulus, &exponent);
        let bytes = [modulus, b" ", &*exponent].concat();
        Ok((KeyType::Rsa, material, bytes))
    }
}

fn number(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("lacks a part")?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "has a part that is not base64url")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{Signer, key_set};

    fn problem(json: &str) -> String {
        KeySet::read(json.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn keys_that_cannot_be_used_are_passed_over_with_their_reason() {
        let es = Signer::es256("good");
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let padded = URL_SAFE_NO_PAD.encode([&[0; 200], &[0xff; 128][..]].concat());
        let off_curve = URL_SAFE_NO_PAD.encode([1; 32]);
        let set = key_set(&[
            es.jwk(),
            format!(r#"{{"kty":"RSA","n":"{short}","e":"AQAB"}}"#),
            format!(r#"{{"kty":"RSA","n":"{padded}","e":"AQAB"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{off_curve}","y":"{off_curve}"}}"#),
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            es.jwk().replace("\"kid\"", "\"use\":\"enc\",\"kid\""),
            es.jwk().replace("\"kid\"", "\"alg\":\"RS256\",\"kid\""),
            es.jwk().replace("\"kid\"", "\"alg\":\"HS256\",\"kid\""),
            es.jwk()
                .replace("\"kid\"", "\"key_ops\":[\"sign\"],\"kid\""),
            es.jwk().replace("\"kid\"", "\"x\":\"AA\",\"kid\""),
        ]);
        let set = KeySet::read(set.as_bytes()).unwrap();
        assert_eq!(set.len(), 1);
        assert_eq!(
            set.skipped,
            [
                "key 2 has fewer than 2048 bits",
                "key 3 has fewer than 2048 bits",
                "key 4 is not a point of the curve",
                "key 5 is on another curve",
                "key 6 is of another type",
                "key 7 is not for signatures",
                "key 8 has an alg that does not fit its type",
                "key 9 is for another algorithm",
                "key 10 is not for signatures",
                "key 11 is not a JWK",
            ]
        );
    }

    #[test]
    fn a_set_needs_a_usable_key_and_a_bound() {
        assert!(problem("[]").contains("not a JWK set"));
        assert!(problem("{\"keys\":[]}").starts_with("no key can be used;"));
        assert!(problem("{\"keys\":[{\"kty\":\"oct\"}]}").contains("key 1 is of another type"));
        let many = key_set(&vec!["{}".to_owned(); MAX_KEYS + 1]);
        assert_eq!(problem(&many), "it holds more than 100 keys");
    }

    #[test]
    fn a_key_that_leaves_the_set_is_retired_and_one_that_stays_is_not() {
        let (first, second) = (Signer::es256("1"), Signer::es256("2"));
        let read = |keys: &[String]| KeySet::read(key_set(keys).as_bytes()).unwrap();
        let old = read(&[first.jwk(), second.jwk()]);
        let kept = Arc::clone(&old.keys[1]);
        let new = read(&[second.jwk()]).replacing(&old);
        assert!(old.keys[0].is_retired());
        assert!(Arc::ptr_eq(&new.keys[0], &kept) && !kept.is_retired());
        let back = read(&[first.jwk(), second.jwk()]).replacing(&new);
        assert!(!back.keys[0].is_retired(), "a key may come back");
    }

    #[test]
    fn the_same_kid_with_other_material_is_another_key() {
        let read = |signer: &Signer| KeySet::read(key_set(&[signer.jwk()]).as_bytes()).unwrap();
        let old = read(&Signer::es256("k"));
        let new = read(&Signer::es256("k")).replacing(&old);
        assert!(old.keys[0].is_retired() && !new.keys[0].is_retired());
    }
}
