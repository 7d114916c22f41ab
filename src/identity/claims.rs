//! The claims of a token: whether they are good now and here, and who they say calls.
//!
//! Entra's shapes come from exchange-rest section 7: a user's token has `scp`, an app's has `roles` and no `scp`. Tokens
//! of other issuers have neither `oid` nor `tid`; their subject is unique with its issuer.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::model::{Interner, Principal, PrincipalKind, has_key_form, is_guid, is_visible};

use super::failure::FailureKind;

/// The most groups in a token. Entra puts at most 200 in one.
const MAX_GROUPS: usize = 1000;

/// The longest text that becomes part of a principal, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What a JWT section of the configuration asks of claims.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) identity: String,
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) tenants: Vec<String>,
    pub(super) leeway: Duration,
}

/// The claims that we read. A claim that occurs twice makes the token unreadable.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    aud: Texts,
    /// Seconds since the Unix epoch, as are all times here.
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    appid: Option<String>,
    azp: Option<String>,
    #[serde(default)]
    groups: Texts,
    idtyp: Option<String>,
    oid: Option<String>,
    preferred_username: Option<String>,
    #[serde(default)]
    roles: Texts,
    #[serde(default)]
    scp: Texts,
    sub: Option<String>,
    tid: Option<String>,
    unique_name: Option<String>,
    upn: Option<String>,
}

/// A text or several ([RFC 7519] section 4.1.3 for `aud`; issuers do the same with others).
///
/// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    Many(Vec<String>),
    One(String),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Texts {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::Many(texts) => texts,
            Self::One(text) => std::slice::from_ref(text),
        }
    }

    fn is_given(&self) -> bool {
        self.as_slice().iter().any(|it| !it.trim().is_empty())
    }
}

impl Claims {
    /// Checks issuer, audience, tenant and times, and says until when the claims are good, the leeway included.
    pub(super) fn check(
        &self,
        expected: &Expected,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, FailureKind> {
        let identity = || expected.identity.clone();
        if self.iss != expected.issuer {
            let issuer = self.iss.clone();
            return Err(FailureKind::UnknownIssuer { issuer });
        }
        let audiences = self.aud.as_slice();
        if !audiences.iter().any(|it| expected.audiences.contains(it)) {
            return Err(FailureKind::WrongAudience {
                identity: identity(),
            });
        }
        let tenant_is_listed = || {
            let listed = |tid: &String| {
                let mut tenants = expected.tenants.iter();
                tenants.any(|it| it.eq_ignore_ascii_case(tid))
            };
            self.tid.as_ref().is_some_and(listed)
        };
        if !expected.tenants.is_empty() && !tenant_is_listed() {
            return Err(FailureKind::WrongTenant {
                identity: identity(),
            });
        }
        let leeway = TimeDelta::from_std(expected.leeway).unwrap_or_default();
        let ends = time(self.exp)?;
        let good_until = ends.checked_add_signed(leeway).unwrap_or(ends);
        if now >= good_until {
            return Err(FailureKind::Expired { at: ends });
        }
        if let Some(from) = self.nbf {
            let from = time(from)?;
            if now < from.checked_sub_signed(leeway).unwrap_or(from) {
                return Err(FailureKind::NotYetValid { from });
            }
        }
        Ok(good_until)
    }

    /// Who calls.
    pub(super) fn principal(
        &self,
        expected: &Expected,
        interner: &Interner,
    ) -> Result<Principal, FailureKind> {
        let kind = self.kind()?;
        let name = match kind {
            PrincipalKind::App => self.appid.as_ref().or(self.azp.as_ref()),
            PrincipalKind::User => self
                .upn
                .as_ref()
                .or(self.unique_name.as_ref())
                .or(self.preferred_username.as_ref()),
        };
        let name = usable(name).ok_or(FailureKind::Malformed(
            "The token does not name its holder (upn, unique_name, preferred_username; appid or azp for an app), or not by a text without invisible characters.",
        ))?;
        if has_key_form(name) {
            return Err(FailureKind::Malformed(
                "The token's name for its holder reads like a key (`local:…`, `…@<GUID>` or `…@<URI>`), which would be another's.",
            ));
        }
        let groups = self.groups.as_slice();
        if groups.len() > MAX_GROUPS || !groups.iter().all(|it| is_usable_group(it)) {
            return Err(FailureKind::Malformed("The token's groups are not usable."));
        }
        if self.tid.is_some() && usable(self.tid.as_ref()).is_none() {
            return Err(FailureKind::Malformed("The token's tenant is not usable."));
        }
        let key = self.key().ok_or(FailureKind::Malformed(
            "The token does not say who its holder is (oid and tid, or sub).",
        ))?;
        Ok(Principal {
            kind,
            id: interner.principal(&key),
            key,
            name: name.to_owned(),
            groups: groups.to_vec(),
            tenant: self.tid.clone(),
            identity: expected.identity.clone(),
        })
    }

    fn kind(&self) -> Result<PrincipalKind, FailureKind> {
        let is_delegated = self.scp.is_given();
        let has_app_roles = self.roles.is_given() && !is_delegated;
        let kind = match self.idtyp.as_deref() {
            None if has_app_roles => PrincipalKind::App,
            None => PrincipalKind::User,
            Some("app") if !is_delegated => PrincipalKind::App,
            Some("user") if !has_app_roles => PrincipalKind::User,
            Some(_) => return Err(CONTRADICTION),
        };
        // An app acts for no person, so a token that is an app's and names one is neither.
        if kind == PrincipalKind::App && (self.upn.is_some() || self.unique_name.is_some()) {
            return Err(CONTRADICTION);
        }
        Ok(kind)
    }

    /// `<oid>@<tid>`, or `<sub>@<iss>`. A tenant is a GUID and an issuer a URI, so that a key cannot be taken for a name.
    fn key(&self) -> Option<String> {
        let (who, whose) = match (&self.oid, &self.tid) {
            (Some(oid), Some(tid)) if is_guid(tid) => {
                let is_plain = usable(Some(oid)).is_some() && !oid.contains('@');
                is_plain.then_some((oid.as_str(), tid.as_str()))?
            }
            _ => (usable(self.sub.as_ref())?, self.iss.as_str()),
        };
        let key = format!("{who}@{whose}");
        // The keys of local users begin so.
        let is_local = who.to_ascii_lowercase().starts_with("local:");
        (!is_local && has_key_form(&key)).then_some(key)
    }
}

const CONTRADICTION: FailureKind =
    FailureKind::Malformed("The token is neither a user's nor an app's (idtyp, scp, roles, upn).");

fn time(seconds: i64) -> Result<DateTime<Utc>, FailureKind> {
    DateTime::from_timestamp(seconds, 0)
        .ok_or(FailureKind::Malformed("The token has a time out of range."))
}

/// A text that may become part of a principal: not empty, not long, nothing invisible at its ends or inside.
fn usable(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str)
        .filter(|it| is_bounded(it) && is_visible(it))
}

/// Groups are compared exactly and shown to nobody as a person's name. Directories let people write what is not seen into their
/// names (blanks that do not break, joined emoji), which must not shut everybody out who is in one.
fn is_usable_group(text: &str) -> bool {
    is_bounded(text) && !text.contains(char::is_control)
}

/// Not empty, not long, and no blanks around it.
fn is_bounded(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && text.trim() == text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(changes: &serde_json::Value) -> String {
        let mut claims =
            json!({"iss": "https://i.example", "aud": "a", "exp": 1, "sub": "s", "upn": "amy"});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let expected = Expected {
            identity: "test".to_owned(),
            issuer: "https://i.example".to_owned(),
            audiences: Vec::new(),
            tenants: Vec::new(),
            leeway: Duration::ZERO,
        };
        let claims: Claims = serde_json::from_value(claims).unwrap();
        match claims.principal(&expected, &Interner::default()) {
            Ok(principal) => format!("{:?} {}", principal.kind, principal.key),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn another_issuers_subject_is_unique_with_its_issuer() {
        assert_eq!(verdict(&json!({})), "User s@https://i.example");
        assert_eq!(verdict(&json!({"tid": "t"})), "User s@https://i.example");
        let guid = "7b1c9a10-0000-4000-8000-000000000001";
        let of_tenant = format!("User o@{guid}");
        assert_eq!(verdict(&json!({"tid": guid, "oid": "o"})), of_tenant);
    }

    #[test]
    fn no_key_reads_like_a_name_and_no_name_like_a_key() {
        let of_domain = json!({"tid": "fabrikam.example", "oid": "amy"});
        assert_eq!(verdict(&of_domain), "User s@https://i.example");
        for name in [
            "0a0a@7B1C9A10-0000-4000-8000-000000000001",
            "Local:amy",
            "s@https://other.example",
        ] {
            assert!(verdict(&json!({"upn": name})).contains("reads like a key"));
            let app = json!({"upn": null, "idtyp": "app", "appid": name});
            assert!(verdict(&app).contains("reads like a key"));
        }
        assert_eq!(
            verdict(&json!({"upn": "amy@fabrikam.example"})),
            "User s@https://i.example"
        );
    }

    #[test]
    fn nothing_unusable_becomes_part_of_a_principal() {
        assert!(verdict(&json!({"tid": "t\nt"})).contains("tenant"));
        for unseen in [
            '\u{200b}',
            '\u{202e}',
            '\u{ad}',
            '\u{feff}',
            '\u{2028}',
            '\u{e0041}',
        ] {
            let named = format!("amy@fabrikam{unseen}.example");
            assert!(verdict(&json!({"upn": named})).contains("invisible characters"));
            let of_name = json!({"upn": null, "preferred_username": named});
            assert!(verdict(&of_name).contains("invisible characters"));
            assert!(verdict(&json!({"sub": format!("s{unseen}")})).contains("who its holder is"));
        }
        let groups = |count| json!({"groups": vec!["g"; count]});
        assert!(verdict(&groups(MAX_GROUPS)).starts_with("User"));
        assert!(verdict(&groups(MAX_GROUPS + 1)).contains("groups"));
        for group in ["g\u{0}", "g\n", "", " g"] {
            assert!(verdict(&json!({"groups": [group]})).contains("groups"));
        }
    }

    #[test]
    fn what_is_not_seen_in_a_groups_name_shuts_nobody_out() {
        for group in [
            "Team \u{2764}\u{fe0f}",
            "A\u{a0}B",
            "\u{1f469}\u{200d}\u{1f4bb}",
            "g\u{ad}",
        ] {
            let verdict = verdict(&json!({"groups": [group, "admins"]}));
            assert_eq!(verdict, "User s@https://i.example", "{group:?}");
        }
    }
}
