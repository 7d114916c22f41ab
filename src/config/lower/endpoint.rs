//! `[[endpoint]]`: paths, upstreams, who may sign in, and how the gateway signs in upstream.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use url::{Host, Url};

use super::{Lowering, at_least_one, is_host};
use crate::config::leaf::List;
use crate::config::problem::{Place, shown};
use crate::config::raw::{AuthMode, KindWord, RawEndpoint, RawRemoting, RawUpstreamAuth};
use crate::config::reader::{At, Node, Read as _, Tables};
use crate::config::suggest::did_you_mean;
use crate::config::{Endpoint, Remoting, Role, UpstreamAuth};
use crate::dialect::Dialect;

/// An `[[identity]]` as far as it is known.
pub(super) struct KnownIdentity {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Option<KindWord>,
}

impl Lowering<'_, '_> {
    /// All endpoints that are whole. `identities`: the known ones, if any section was there; `own`: the gateway's address.
    pub(super) fn endpoints(
        &mut self,
        raw: At<Tables<RawEndpoint>>,
        identities: Option<&[KnownIdentity]>,
        own: Option<SocketAddr>,
    ) -> Vec<Endpoint> {
        at_least_one(self, &raw);
        let raw = raw.value.0;
        let paths: Vec<(String, Place)> = raw
            .iter()
            .filter_map(|it| it.value.path.as_ref())
            .map(|it| (it.value.to_ascii_lowercase(), it.place.clone()))
            .collect();
        self.separate(&paths);
        raw.into_iter()
            .filter_map(|it| self.endpoint(it, identities, own))
            .collect()
    }

    /// Warns of identities that neither an endpoint lists nor `[control]`, whose names are `of_control`.
    pub(super) fn unused(
        &mut self,
        identities: &[KnownIdentity],
        endpoints: &At<Tables<RawEndpoint>>,
        of_control: &[String],
    ) {
        for identity in identities {
            if of_control.contains(&identity.name) {
                continue;
            }
            let is_listed = endpoints
                .value
                .0
                .iter()
                .filter_map(|it| it.value.identity.as_ref())
                .any(|it| it.value.0.iter().any(|it| it.value == identity.name));
            if !is_listed {
                let message = format!(
                    "`name`: no endpoint lists the identity `{}`",
                    shown(&identity.name)
                );
                self.reader.warning(
                    &identity.place,
                    message,
                    "add it to an endpoint's `identity`, or take the section out",
                );
            }
        }
    }

    fn endpoint(
        &mut self,
        at: At<RawEndpoint>,
        identities: Option<&[KnownIdentity]>,
        own: Option<SocketAddr>,
    ) -> Option<Endpoint> {
        let raw = at.value;
        if raw
            .dialect
            .as_ref()
            .is_some_and(|it| it.value == Dialect::Psrp)
        {
            let places = [
                (
                    "regional_hosts",
                    raw.regional_hosts.as_ref().map(|it| &it.place),
                ),
                ("tenants", raw.tenants.as_ref().map(|it| &it.place)),
            ];
            for (key, place) in places {
                if let Some(place) = place {
                    let message = format!("`{key}` goes with `dialect = \"exchange-rest\"` only");
                    self.problem(place, message, "take it out");
                }
            }
        }
        let remoting = match (raw.dialect.as_ref().map(|it| it.value), raw.remoting) {
            (Some(Dialect::ExchangeRest), Some(extra)) => {
                let message = "`remoting` goes with `dialect = \"psrp\"` only";
                self.problem(&extra.place, message, "take it out, or change the dialect");
                None
            }
            (Some(Dialect::ExchangeRest) | None, _) => None,
            (Some(Dialect::Psrp), Some(written)) => Some(self.remoting(written)?),
            (Some(Dialect::Psrp), None) => {
                // The defaults are written once, at the keys.
                let place = at.place.clone();
                let node = Node {
                    path: format!("{}.remoting", at.path),
                    place: place.clone(),
                    kind: config::ValueKind::Table(config::Map::new()),
                };
                let path = node.path.clone();
                let value = RawRemoting::read(node, self.reader)?;
                Some(self.remoting(At { value, place, path })?)
            }
        };
        let path = raw.path.and_then(|it| self.path(&it));
        let upstream = raw.upstream.and_then(|it| self.upstream(it, own));
        let upstream_ca = raw.upstream_ca.map(|it| self.file(&it, Role::UpstreamCa));
        let regional_hosts = raw
            .regional_hosts
            .map(|it| self.regional_hosts(it.value))
            .unwrap_or_default();
        let listed = raw.identity.and_then(|it| self.listed(it, identities));
        let upstream_auth = raw.upstream_auth.and_then(|it| {
            let place = it.place.clone();
            let auth = self.upstream_auth(it)?;
            if auth == UpstreamAuth::Passthrough {
                self.passwords_stay(&place, listed.as_deref(), identities);
            }
            Some(auth)
        });
        Some(Endpoint {
            workload: raw.workload?.value,
            dialect: raw.dialect?.value,
            path: path?,
            upstream: upstream?,
            upstream_ca,
            regional_hosts,
            identity: listed?,
            tenants: raw.tenants.map(|it| it.value.0).unwrap_or_default(),
            ungoverned: raw.ungoverned?.value,
            report_only: raw.report_only?.value,
            upstream_auth: upstream_auth?,
            remoting,
        })
    }

    fn remoting(&mut self, at: At<RawRemoting>) -> Option<Remoting> {
        /// Below this a client's own waiting for output would seem idle.
        const SHORTEST: Duration = Duration::from_secs(10);
        const LONGEST: Duration = Duration::from_hours(24);
        let raw = at.value;
        let configuration = raw.configuration.filter(|it| {
            let is_name = is_configuration(&it.value);
            if !is_name {
                let message = format!(
                    "`configuration`: `{}` is not a configuration's name",
                    shown(&it.value)
                );
                let hint = "such as `Microsoft.Exchange`, without `http://…/powershell/` before it";
                self.problem(&it.place, message, hint);
            }
            is_name
        });
        let idle = raw.idle.filter(|it| {
            let is_right = (SHORTEST..=LONGEST).contains(&it.value);
            if !is_right {
                self.problem(
                    &it.place,
                    "`idle` is not from 10s to 24h",
                    "such as `15m`, which is Exchange's own",
                );
            }
            is_right
        });
        let count = |it: At<NonZeroU32>| usize::try_from(it.value.get()).unwrap_or(usize::MAX);
        Some(Remoting {
            configuration: configuration?.value,
            shells_per_principal: raw.shells_per_principal.map(count)?,
            shells: raw.shells.map(count)?,
            pipelines_per_shell: raw.pipelines_per_shell.map(count)?,
            reassembly_bytes: usize::try_from(raw.reassembly?.value.0).unwrap_or(usize::MAX),
            idle: idle?.value,
        })
    }

    fn path(&mut self, at: &At<String>) -> Option<String> {
        let path = at.value.to_ascii_lowercase();
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
        let wrong = if !path.starts_with('/') {
            "does not begin with `/`"
        } else if path == "/" {
            "is the root, which would take every path"
        } else if path.ends_with('/') {
            "ends with `/`"
        } else if path
            .split('/')
            .skip(1)
            .any(|it| matches!(it, "" | "." | ".."))
        {
            "has an empty segment, `.` or `..`"
        } else if !path.bytes().all(|it| it == b'/' || plain(it)) {
            "has other characters than letters, digits, `-`, `.`, `_`, `~` and `/`"
        } else {
            return Some(path);
        };
        let message = format!("`path`: `{}` {wrong}", shown(&at.value));
        self.problem(&at.place, message, "such as `/adminapi`");
        None
    }

    /// Tells of paths of which one begins the other, by whole segments.
    fn separate(&mut self, paths: &[(String, Place)]) {
        for (index, (path, place)) in paths.iter().enumerate() {
            let clash = paths.iter().take(index).find(|(other, _)| {
                path == other
                    || path.starts_with(&format!("{other}/"))
                    || other.starts_with(&format!("{path}/"))
            });
            if let Some((other, first)) = clash {
                let message = if path == other {
                    format!("`path`: `{path}` is taken: {first} has it")
                } else {
                    format!("`path`: `{path}` and `{other}` ({first}) lie within each other")
                };
                self.problem(
                    place,
                    message,
                    "give each endpoint a path that begins no other's",
                );
            }
        }
    }

    fn upstream(&mut self, url: At<Url>, own: Option<SocketAddr>) -> Option<Url> {
        let is_local = is_loopback(&url.value);
        match url.value.scheme() {
            "https" => {}
            "http" if is_local => {}
            "http" => {
                self.problem(&url.place, "`upstream`: plain HTTP to another host: credentials would be readable on the network", "use `https://`; `http://` is for loopback addresses");
                return None;
            }
            other => {
                let message = format!(
                    "`upstream`: `{}://` is not a scheme for an upstream",
                    shown(other)
                );
                self.problem(&url.place, message, "use `https://`");
                return None;
            }
        }
        if is_local
            && own.is_some_and(|it| {
                it.port() != 0 && Some(it.port()) == url.value.port_or_known_default()
            })
        {
            self.problem(
                &url.place,
                "`upstream` is the gateway's own address: a call would go round for ever",
                "name the management endpoint",
            );
            return None;
        }
        self.is_bare(&url, "upstream").then_some(url.value)
    }

    fn regional_hosts(&mut self, hosts: List<String>) -> Vec<String> {
        let mut known = Vec::new();
        for At { value, place, .. } in hosts.0 {
            let lower = value.to_ascii_lowercase();
            // As URLs spell an authority: the default port is left out.
            let host = lower.strip_suffix(":443").unwrap_or(&lower).to_owned();
            let (name, port) = host.split_once(':').unwrap_or((&host, "443"));
            let is_right = is_host(name) && port.parse::<u16>().is_ok_and(|it| it != 0);
            if is_right {
                known.push(host);
            } else {
                let message = format!("`regional_hosts`: `{}` is not a host", shown(&value));
                self.problem(&place, message, "each host in full, without scheme, path or `*`, such as `eur01.outlook.example`");
            }
        }
        known
    }

    /// The names of identities, if all of them exist.
    pub(super) fn listed(
        &mut self,
        list: At<List<String>>,
        identities: Option<&[KnownIdentity]>,
    ) -> Option<Vec<String>> {
        if list.value.0.is_empty() {
            self.problem(
                &list.place,
                "`identity` is empty: nobody could sign in",
                "name at least one `[[identity]]`",
            );
            return None;
        }
        let mut names = Vec::new();
        for At { value, place, .. } in list.value.0 {
            if let Some(known) = identities
                && !known.iter().any(|it| it.name == value)
            {
                let candidates: Vec<_> = known.iter().map(|it| it.name.as_str()).collect();
                let message = format!(
                    "`identity`: there is no `[[identity]]` named `{}`",
                    shown(&value)
                );
                self.problem(&place, message, &did_you_mean(&value, &candidates));
            }
            if names.contains(&value) {
                let message = format!("`identity`: `{}` is listed twice", shown(&value));
                self.problem(&place, message, "once is enough");
            }
            names.push(value);
        }
        Some(names)
    }

    fn upstream_auth(&mut self, at: At<RawUpstreamAuth>) -> Option<UpstreamAuth> {
        let At {
            value: raw,
            place,
            path,
        } = at;
        let mode = raw.mode?;
        let (user, password, token) = (raw.username, raw.password_file, raw.token_file);
        let (takes_basic, takes_bearer) = (
            mode.value == AuthMode::Basic,
            mode.value == AuthMode::Bearer,
        );
        for (key, value, belongs) in [
            ("username", &user, takes_basic),
            ("password_file", &password, takes_basic),
            ("token_file", &token, takes_bearer),
        ] {
            match value {
                Some(extra) if !belongs => {
                    let owner = if key == "token_file" {
                        "bearer"
                    } else {
                        "basic"
                    };
                    let message = format!("`{key}` goes with `mode = \"{owner}\"` only");
                    self.problem(&extra.place, message, "take it out, or change the mode");
                }
                None if belongs && !self.reader.is_wrong(&path, key) => {
                    let message = format!("`{key}` is missing in `upstream_auth`");
                    self.problem(
                        &place,
                        message,
                        "`basic` wants `username` and `password_file`, `bearer` wants `token_file`",
                    );
                }
                _ => {}
            }
        }
        match mode.value {
            AuthMode::Passthrough => Some(UpstreamAuth::Passthrough),
            AuthMode::Basic => {
                let password_file = password.map(|it| self.file(&it, Role::Secret))?;
                Some(UpstreamAuth::Basic {
                    username: user?.value,
                    password_file,
                })
            }
            AuthMode::Bearer => {
                let token_file = token.map(|it| self.file(&it, Role::Secret))?;
                Some(UpstreamAuth::Bearer { token_file })
            }
        }
    }

    /// Local passwords are for the gateway; passing them through would show them to the upstream.
    fn passwords_stay(
        &mut self,
        place: &Place,
        listed: Option<&[String]>,
        identities: Option<&[KnownIdentity]>,
    ) {
        let is_basic = |name: &String| {
            identities
                .unwrap_or_default()
                .iter()
                .any(|it| it.name == *name && it.kind == Some(KindWord::Basic))
        };
        if let Some(name) = listed.unwrap_or_default().iter().find(|it| is_basic(it)) {
            let message =
                format!("`upstream_auth`: passwords of `{name}` are passed on to the upstream");
            self.reader.warning(place, message, "have the gateway sign in itself, with `mode = \"basic\"` or `\"bearer\"`, unless the upstream has the same users");
        }
    }
}

/// Whether it can be the last part of a configuration's URI.
fn is_configuration(name: &str) -> bool {
    const LONGEST: usize = 128;
    name.len() <= LONGEST
        && name.starts_with(|it: char| it.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_'))
}

/// Whether a URL's host is this host and no other can answer for it.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        Some(Host::Domain(it)) => it == "localhost",
        None => false,
    }
}
