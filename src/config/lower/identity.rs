//! `[[identity]]`: ways to sign in.

use std::time::Duration;

use url::Url;

use super::endpoint::{KnownIdentity, is_loopback};
use super::{Lowering, at_least_one};
use crate::config::raw::{KindWord, RawIdentity};
use crate::config::reader::{At, Tables};
use crate::config::{DeviceFlow, Identity, IdentityKind, Jwks, Place, Role};

/// How far clocks may differ when the configuration does not say: what Microsoft's and most other verifiers forgive at the least.
const DEFAULT_LEEWAY: Duration = Duration::from_mins(1);

/// More than this is no clock difference but a way to use tokens long after their end.
const MAX_LEEWAY: Duration = Duration::from_mins(10);

/// What stands for a tenant in the file that `portcullis init` writes.
const SAMPLE_TENANT: &str = "00000000-0000-0000-0000-000000000000";

impl Lowering<'_, '_> {
    /// Keeps the identities that are whole; gives the names and kinds of all.
    pub(super) fn lower_identities(&mut self, raw: At<Tables<RawIdentity>>) -> Vec<KnownIdentity> {
        at_least_one(self, &raw);
        let raw = raw.value.0;
        let known: Vec<KnownIdentity> = raw
            .iter()
            .filter_map(|it| {
                let name = it.value.name.as_ref()?;
                Some(KnownIdentity {
                    name: name.value.clone(),
                    place: name.place.clone(),
                    kind: it.value.kind.as_ref().map(|it| it.value),
                })
            })
            .collect();
        self.distinct(
            "the name",
            known.iter().map(|it| (it.name.as_str(), it.place.clone())),
        );
        for it in raw {
            let identity = self.identity(it);
            self.identities.extend(identity);
        }
        known
    }

    fn identity(&mut self, at: At<RawIdentity>) -> Option<Identity> {
        let raw = at.value;
        let kind = raw.kind?.value;
        let present = [
            (
                "issuer",
                raw.issuer.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::Must,
            ),
            (
                "audience",
                raw.audience.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::Must,
            ),
            (
                "jwks",
                raw.jwks.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::Must,
            ),
            (
                "tenants",
                raw.tenants.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "leeway",
                raw.leeway.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "device_authorization_endpoint",
                raw.device_authorization_endpoint
                    .as_ref()
                    .map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "token_endpoint",
                raw.token_endpoint.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "client_id",
                raw.client_id.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "scope",
                raw.scope.as_ref().map(|it| &it.place),
                KindWord::Jwt,
                Need::May,
            ),
            (
                "users",
                raw.users.as_ref().map(|it| &it.place),
                KindWord::Basic,
                Need::Must,
            ),
        ];
        for (key, place, owner, need) in present {
            match place {
                Some(place) if owner != kind => {
                    let word = if owner == KindWord::Jwt {
                        "jwt"
                    } else {
                        "basic"
                    };
                    let message = format!("`{key}` goes with `kind = \"{word}\"` only");
                    self.problem(place, message, "take it out, or change the kind");
                }
                None if owner == kind
                    && need == Need::Must
                    && !self.reader.is_wrong(&at.path, key) =>
                {
                    let message = format!("`{key}` is missing in `[[identity]]`");
                    self.problem(
                        &at.place,
                        message,
                        "`jwt` wants `issuer`, `audience` and `jwks`; `basic` wants `users`",
                    );
                }
                _ => {}
            }
        }
        if let Some(issuer) = raw
            .issuer
            .as_ref()
            .filter(|it| it.value.contains(SAMPLE_TENANT))
        {
            self.reader.warning(
                &issuer.place,
                "`issuer` has the sample's tenant id: no token will fit",
                "put your tenant's id in its place",
            );
        }
        if let Some(issuer) = raw
            .issuer
            .as_ref()
            .filter(|it| !it.value.is_empty() && !it.value.contains(':'))
        {
            // `<sub>@<issuer>` is a key; without a colon it could be somebody's name.
            self.problem(
                &issuer.place,
                "`issuer` is no URI",
                "write the token's `iss` as it is, such as `https://sts.example/`; an issuer without a scheme cannot be told from the domain of a name",
            );
        }
        let kind = match kind {
            KindWord::Basic => IdentityKind::Basic {
                users: raw.users.map(|it| self.file(&it, Role::Users))?,
            },
            KindWord::Jwt => {
                let audiences = raw.audience.map(|it| self.audiences(it));
                let leeway = raw
                    .leeway
                    .map_or(Some(DEFAULT_LEEWAY), |it| self.leeway(&it));
                let jwks = raw.jwks.and_then(|it| self.jwks(&it));
                let tenants = raw.tenants.map(|it| it.value.0).unwrap_or_default();
                let device = self.device_flow(
                    &at.place,
                    [
                        (
                            "device_authorization_endpoint",
                            raw.device_authorization_endpoint,
                        ),
                        ("token_endpoint", raw.token_endpoint),
                    ],
                    raw.client_id,
                    raw.scope,
                );
                IdentityKind::Jwt {
                    issuer: raw.issuer?.value,
                    audiences: audiences??,
                    tenants: tenants.into_iter().map(|it| it.value).collect(),
                    jwks: jwks?,
                    leeway: leeway?,
                    device: device?.map(Box::new),
                }
            }
        };
        Some(Identity {
            name: raw.name?.value,
            kind,
        })
    }

    /// All of it, or nothing; the outer `None` is a problem that has been told.
    #[expect(
        clippy::option_option,
        reason = "wrong and absent are two things, as elsewhere here"
    )]
    fn device_flow(
        &mut self,
        place: &Place,
        endpoints: [(&str, Option<At<Url>>); 2],
        client_id: Option<At<String>>,
        scope: Option<At<String>>,
    ) -> Option<Option<DeviceFlow>> {
        let mut is_good = true;
        for (key, endpoint) in &endpoints {
            let Some(At { value, place, .. }) = endpoint else {
                continue;
            };
            let is_plain = value.scheme() == "http" && is_loopback(value);
            let has_credentials = !value.username().is_empty() || value.password().is_some();
            if has_credentials || value.fragment().is_some() {
                let message = format!("`{key}` has a user, a password or a fragment");
                self.problem(
                    place,
                    message,
                    "the issuer's metadata document has its URLs",
                );
                is_good = false;
            } else if value.scheme() != "https" && !is_plain {
                let message = format!("`{key}` is not an `https://` URL");
                self.problem(
                    place,
                    message,
                    "whoever could change this on the way could sign in as its user",
                );
                is_good = false;
            }
        }
        let [(_, device), (_, token)] = endpoints;
        match (device, token, client_id, scope) {
            _ if !is_good => None,
            (None, None, None, None) => Some(None),
            (Some(device), Some(token), Some(client_id), scope) => Some(Some(DeviceFlow {
                device_authorization_endpoint: device.value,
                token_endpoint: token.value,
                client_id: client_id.value,
                scope: scope.map(|it| it.value),
            })),
            _ => {
                self.problem(
                    place,
                    "the device flow of `[[identity]]` is not whole",
                    "it wants `device_authorization_endpoint`, `token_endpoint` and `client_id`, or none of them",
                );
                None
            }
        }
    }

    fn audiences(&mut self, at: At<crate::config::leaf::List<String>>) -> Option<Vec<String>> {
        if at.value.0.is_empty() {
            self.problem(&at.place, "`audience` is empty: no token could fit", "the `aud` of the tokens that clients bring, such as `https://outlook.office365.com`");
            return None;
        }
        Some(at.value.0.into_iter().map(|it| it.value).collect())
    }

    fn leeway(&mut self, at: &At<Duration>) -> Option<Duration> {
        if at.value > MAX_LEEWAY {
            self.problem(
                &at.place,
                "`leeway` is above 10 minutes: tokens would live on long after their end",
                "set the clocks instead; `60s` is enough",
            );
            return None;
        }
        Some(at.value)
    }

    /// What has `://` in it is a URL, everything else a path.
    fn jwks(&mut self, at: &At<String>) -> Option<Jwks> {
        if !at.value.contains("://") {
            return Some(Jwks::File(self.file(at, Role::Jwks)));
        }
        let url = Url::parse(&at.value).ok().filter(|it| it.host().is_some());
        match url {
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                self.problem(
                    &at.place,
                    "`jwks` has a user name or password",
                    "keys are public: name a URL without one",
                );
                None
            }
            Some(url)
                if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) =>
            {
                Some(Jwks::Url(url))
            }
            _ => {
                self.problem(
                    &at.place,
                    "`jwks` is neither an `https://` URL nor a file",
                    "whoever can change these keys on the way can sign in as anybody",
                );
                None
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    May,
    Must,
}
