//! The one `Authorization` header ([RFC 9110] section 11.6.2): its scheme and what follows, still unverified.
//!
//! Strict where leniency would let two readers see two credentials: one header, one space, no control characters, a bound.
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::failure::FailureKind;

/// The longest `Authorization` value that is read, in bytes. Entra tokens with 200 groups have about 10,000.
const MAX_BYTES: usize = 16 * 1024;

/// The longest user name in bytes, as presented or in a user file.
pub(super) const MAX_USER_BYTES: usize = 256;

/// The longest password in bytes.
pub(super) const MAX_PASSWORD_BYTES: usize = 1024;

/// What a request presents, by scheme; the text after it is as it came.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    Basic(&'a [u8]),
    Bearer(&'a [u8]),
}

/// Reads the header. Its text is not looked at beyond the scheme, as most often it is one that was verified before.
pub(super) fn read(headers: &HeaderMap) -> Result<(&HeaderValue, Presented<'_>), FailureKind> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(FailureKind::Missing)?;
    if values.next().is_some() {
        return Err(FailureKind::Malformed(
            "More than one Authorization header was sent.",
        ));
    }
    let bytes = value.as_bytes();
    if bytes.len() > MAX_BYTES {
        return Err(FailureKind::Malformed(
            "The Authorization header is longer than 16 KiB.",
        ));
    }
    let (scheme, text) = bytes
        .iter()
        .position(|it| *it == b' ')
        .and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?)))
        .ok_or(FailureKind::Malformed(
            "The Authorization header is not a scheme, one space and a credential.",
        ))?;
    let presented = if scheme.eq_ignore_ascii_case(b"Bearer") {
        Presented::Bearer(text)
    } else if scheme.eq_ignore_ascii_case(b"Basic") {
        Presented::Basic(text)
    } else {
        return Err(FailureKind::WrongScheme);
    };
    Ok((value, presented))
}

/// The header to hand on after its credential was verified: scheme in the usual case, marked sensitive.
pub(super) fn canonical(value: &HeaderValue, presented: Presented<'_>) -> HeaderValue {
    let (scheme, text) = match presented {
        Presented::Basic(text) => (b"Basic ".as_slice(), text),
        Presented::Bearer(text) => (b"Bearer ".as_slice(), text),
    };
    let mut canonical = if value.as_bytes().starts_with(scheme) {
        value.clone()
    } else {
        HeaderValue::from_bytes(&[scheme, text].concat()).unwrap_or_else(|_| value.clone())
    };
    canonical.set_sensitive(true);
    canonical
}

/// A user's name and password.
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: SecretString,
}

impl Credentials {
    /// Reads the text after `Basic` ([RFC 7617] section 2): base64 with padding, of UTF-8, up to the first colon the name.
    ///
    /// [RFC 7617]: https://www.rfc-editor.org/rfc/rfc7617
    pub(super) fn read(text: &[u8]) -> Result<Self, FailureKind> {
        const MALFORMED: FailureKind =
            FailureKind::Malformed("The Basic credential is not base64 of `user:password`.");
        let decoded = Zeroizing::new(STANDARD.decode(text).map_err(|_| MALFORMED)?);
        let (user, password) = std::str::from_utf8(&decoded)
            .ok()
            .and_then(|it| it.split_once(':'))
            .ok_or(MALFORMED)?;
        let too_long = user.len() > MAX_USER_BYTES || password.len() > MAX_PASSWORD_BYTES;
        if user.is_empty() || too_long || decoded_has_control(user, password) {
            return Err(MALFORMED);
        }
        Ok(Self {
            user: user.to_owned(),
            password: SecretString::from(password),
        })
    }
}

fn decoded_has_control(user: &str, password: &str) -> bool {
    user.chars().chain(password.chars()).any(char::is_control)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn verdict(values: &[&str]) -> String {
        match read(&headers(values)) {
            Ok((_, Presented::Basic(text))) => format!("basic {}", text.escape_ascii()),
            Ok((_, Presented::Bearer(text))) => format!("bearer {}", text.escape_ascii()),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(verdict(&["bEARER a.b.c"]), "bearer a.b.c");
        assert_eq!(verdict(&["BASIC YTpi"]), "basic YTpi");
    }

    #[test]
    fn there_is_one_header_of_one_known_scheme() {
        assert_eq!(verdict(&[]), "no credential was sent");
        assert_eq!(
            verdict(&["Bearer a", "Bearer a"]),
            "More than one Authorization header was sent."
        );
        assert_eq!(
            verdict(&["Negotiate abc"]),
            "this endpoint takes no credential of this scheme"
        );
        assert!(verdict(&["Bearer"]).starts_with("The Authorization header is not a scheme"));
        let long = format!("Bearer {}", "a".repeat(MAX_BYTES));
        assert!(verdict(&[&long]).contains("longer"));
    }

    #[test]
    fn what_is_handed_on_is_sensitive_and_in_the_usual_case() {
        let headers = headers(&["bearer a.b.c"]);
        let (value, presented) = read(&headers).unwrap();
        let canonical = canonical(value, presented);
        assert_eq!(canonical, "Bearer a.b.c");
        assert!(canonical.is_sensitive());
        assert_eq!(format!("{canonical:?}"), "Sensitive");
    }

    #[test]
    fn basic_credentials_are_utf_8_up_to_the_first_colon() {
        let read = Credentials::read(STANDARD.encode("ämy:pä:ss").as_bytes()).unwrap();
        assert_eq!(read.user, "ämy");
        assert_eq!(read.password.expose_secret(), "pä:ss");
    }

    #[test]
    fn other_basic_credentials_are_refused() {
        let long_user = format!("{}:p", "u".repeat(MAX_USER_BYTES + 1));
        let long_password = format!("u:{}", "p".repeat(MAX_PASSWORD_BYTES + 1));
        for decoded in [
            "nocolon",
            ":password",
            "a\n:b",
            "a:b\0",
            &long_user,
            &long_password,
        ] {
            assert!(Credentials::read(STANDARD.encode(decoded).as_bytes()).is_err());
        }
        for encoded in ["YTpi=", "YTpi ", "YT pi", "YTpiYw", "%%%", "", "YTpiYx=="] {
            assert!(Credentials::read(encoded.as_bytes()).is_err(), "{encoded}");
        }
        assert!(Credentials::read(STANDARD.encode(b"a:\xff").as_bytes()).is_err());
    }
}
