//! Who calls.

use serde::{Deserialize, Serialize};

use super::PrincipalId;

/// What kind of caller it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A program with an identity of its own (an app-only token).
    App,
    /// A person, or an account that signs in as one.
    User,
}

/// An authenticated caller. Made by `identity` alone, from a verified credential, never from a header such as `X-AnchorMailbox`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller it is.
    pub kind: PrincipalKind,
    /// What grants and requests are bound to, stable and unique: `<oid>@<tid>` for a token (exchange-rest section 7),
    /// `local:<name in lower case>` for a local user.
    pub key: String,
    /// The number of `key` in this process.
    pub id: PrincipalId,
    /// What people call it and policy files list: a user principal name, or an application id. Compared without ASCII case.
    pub name: String,
    /// Group ids that the credential itself vouches for (a token's `groups` claim).
    pub groups: Vec<String>,
    /// The tenant that vouches for the caller, if the credential names one.
    pub tenant: Option<String>,
    /// The `[[identity]]` of the configuration that verified the credential.
    pub identity: String,
}

impl Principal {
    /// Whether an account written in a policy file means this principal: see [`is_account`].
    pub fn is_account(&self, account: &str) -> bool {
        is_account(account, &self.key, &self.name)
    }
}

/// Whether an account written in a policy file means the principal with this key and name, without ASCII case. One in a key's
/// form is a key and nothing else: a name that reads so may have been chosen by its holder.
pub fn is_account(account: &str, key: &str, name: &str) -> bool {
    account.eq_ignore_ascii_case(key)
        || account.eq_ignore_ascii_case(name) && !has_key_form(account)
}

/// Whether a text has the form of a [`Principal::key`]: `local:…`, `…@<GUID>`, or `…@<URI>`. Every key has it, and no name.
pub fn has_key_form(text: &str) -> bool {
    let begins_local = text
        .get(..LOCAL.len())
        .is_some_and(|it| it.eq_ignore_ascii_case(LOCAL));
    let of_issuer = || {
        text.split_once('@')
            .is_some_and(|(_, issuer)| issuer.contains(':'))
    };
    let of_tenant = || {
        text.rsplit_once('@')
            .is_some_and(|(_, tenant)| is_guid(tenant))
    };
    begins_local || of_issuer() || of_tenant()
}

/// What the key of a local user begins with.
const LOCAL: &str = "local:";

/// Whether a text is a GUID as tenants have: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-55555555abCD";

    #[test]
    fn an_account_in_a_keys_form_is_a_key_and_no_name() {
        let amy = format!("0a0a@{TENANT}");
        assert!(is_account(&amy, &amy.to_uppercase(), "amy@x.example"));
        assert!(is_account("AMY@x.example", &amy, "amy@x.example"));
        for key in [
            amy.as_str(),
            "local:amy",
            "LOCAL:amy",
            "s@https://i.example",
            "s@urn:i",
        ] {
            assert!(has_key_form(key), "{key}");
            assert!(is_account(key, key, "amy@x.example"), "{key}");
            assert!(!is_account(key, "eve@https://other.example", key), "{key}");
        }
    }

    #[test]
    fn names_have_no_keys_form() {
        for name in [
            "amy",
            "amy@x.example",
            "locally:amy",
            r"i:0#.f|membership|amy@x.example",
            TENANT,
            "amy@11111111-2222-3333-4444-55555555abC",
            "amy@11111111-2222-3333-4444-55555555abCg",
        ] {
            assert!(!has_key_form(name), "{name}");
            assert!(is_account(name, "local:x", name), "{name}");
        }
    }
}
