//! From what is written ([`super::raw`]) to what is meant ([`Config`]): resolves paths, and checks what one key alone
//! cannot tell. A part that is wrong is left out and told; the others are checked all the same.

mod endpoint;
mod identity;
mod notify;
mod proxy;

use std::path::{Path, PathBuf};

pub use notify::is_webhook_url;

use super::problem::Place;
use super::raw::{RawAccessControl, RawAudit, RawConfig, RawPolicies, RawStore};
use super::reader::{At, Reader, Tables};
use super::{AccessControl, Audit, Config, Identity, NamedFile, Policies, Role, Store};

/// What lowering works with: the reader that collects problems, and the files that it comes by.
pub(super) struct Lowering<'a, 'b> {
    pub(super) reader: &'a mut Reader<'b>,
    /// The directory of the configuration file; relative paths begin there.
    pub(super) directory: &'a Path,
    pub(super) files: Vec<NamedFile>,
    /// The identities that are whole.
    pub(super) identities: Vec<Identity>,
}

impl Lowering<'_, '_> {
    /// The path that a key names, put on the list of files.
    fn file(&mut self, text: &At<String>, role: Role) -> PathBuf {
        let path = self.directory.join(&text.value);
        self.files.push(NamedFile {
            role,
            key: text.path.clone(),
            path: path.clone(),
            place: text.place.clone(),
        });
        path
    }

    fn problem(&mut self, place: &Place, message: impl Into<String>, hint: &str) {
        self.reader.problem(place, message, Some(hint.to_owned()));
    }

    /// The whole; `None` if a part is missing, for which a problem has been told then.
    pub(super) fn config(&mut self, raw: RawConfig) -> Option<Config> {
        let proxy = raw.proxy.and_then(|it| self.proxy(it));
        let store = raw.store.and_then(|it| self.store(it.value));
        let audit = raw.audit.and_then(|it| self.audit(it.value));
        let policies = raw.policies.and_then(|it| self.policies(it.value));
        let access_control = raw
            .access_control
            .and_then(|it| self.access_control(it.value));
        let notify = raw.notify.and_then(|it| self.notify(it, raw.webhook));
        let identities = raw.identity.map(|it| self.lower_identities(it));
        let known = identities.as_deref();
        let control = raw.control.and_then(|it| self.control(it.value, known));
        if let (Some(proxy), Some(control)) = (&proxy, &control) {
            self.ports(proxy, control);
        }
        if let (Some(known), Some(endpoints)) = (&known, &raw.endpoint) {
            let of_control = control.as_ref().map(|it| it.0.identity.as_slice());
            self.unused(known, endpoints, of_control.unwrap_or_default());
        }
        let endpoints = raw
            .endpoint
            .map(|it| self.endpoints(it, known, proxy.as_ref().map(|it| it.0.listen)));
        let (endpoints, mut control) = (endpoints?, control?.0);
        if control.identity.is_empty() {
            let names = endpoints.iter().flat_map(|it| &it.identity);
            for name in names {
                if !control.identity.contains(name) {
                    control.identity.push(name.clone());
                }
            }
        }
        Some(Config {
            proxy: proxy?.0,
            control,
            store: store?,
            audit: audit?,
            policies: policies?,
            access_control: access_control?,
            notify: notify?,
            endpoints,
            identities: identities.map(|_| self.identities.clone())?,
        })
    }

    fn store(&mut self, raw: RawStore) -> Option<Store> {
        let url = raw.url?;
        if let Some(path) = url.value.strip_prefix("sqlite:") {
            return self.sqlite(&url, path.strip_prefix("//").unwrap_or(path));
        }
        let Some(parsed) = url::Url::parse(&url.value)
            .ok()
            .filter(|it| matches!(it.scheme(), "postgres" | "postgresql") && it.host().is_some())
        else {
            self.problem(
                &url.place,
                "`url`: this is neither `sqlite:` and a path nor `postgres://…`",
                "such as `sqlite:data/portcullis.db`",
            );
            return None;
        };
        if parsed.password().is_some() && !matches!(url.place, Place::Variable(_)) {
            self.problem(
                &url.place,
                "`url` would be a secret in the configuration: it has a password",
                "set the whole URL by the environment variable PORTCULLIS__STORE__URL",
            );
            return None;
        }
        Some(Store { url: url.value })
    }

    fn sqlite(&mut self, url: &At<String>, path: &str) -> Option<Store> {
        if path.is_empty() || path.starts_with(':') || path.contains(['?', '%']) {
            self.problem(
                &url.place,
                "`url`: what follows `sqlite:` is the path of a file, without options",
                "such as `sqlite:data/portcullis.db`",
            );
            return None;
        }
        let path = self.file(
            &At {
                value: path.to_owned(),
                ..url.clone()
            },
            Role::Store,
        );
        let Some(path) = path.to_str() else {
            self.problem(
                &url.place,
                "`url`: the path of the configuration's directory is not Unicode",
                "use another directory",
            );
            return None;
        };
        Some(Store {
            url: format!("sqlite:{path}"),
        })
    }

    fn audit(&mut self, raw: RawAudit) -> Option<Audit> {
        let directory = raw.directory.map(|it| self.file(&it, Role::AuditDirectory));
        let node = match raw.node {
            Some(node) if is_node_name(&node.value) => Some(node.value),
            Some(node) => {
                self.problem(
                    &node.place,
                    "`node` is not a name for records",
                    "1 to 64 letters, digits, `.`, `_` and `-`",
                );
                None
            }
            None => Some(host_name()),
        };
        let redact = raw.redact.map(|it| it.value.0).unwrap_or_default();
        let redact = redact.into_iter().filter_map(|it| {
            let is_name = it.value.parse::<crate::model::ParameterName>().is_ok();
            if !is_name {
                self.problem(
                    &it.place,
                    "`redact`: not a parameter's name",
                    "letters, digits and underscores, such as `SharedSecretText`",
                );
            }
            is_name.then_some(it.value)
        });
        Some(Audit {
            redact: redact.collect(),
            directory: directory?,
            durability: raw.durability?.value,
            node: node?,
            segment_bytes: raw.segment_bytes?.value.0,
            segment_age: raw.segment_age?.value,
        })
    }

    fn policies(&mut self, raw: RawPolicies) -> Option<Policies> {
        let directory = raw
            .directory
            .map(|it| self.file(&it, Role::PolicyDirectory));
        Some(Policies {
            directory: directory?,
            watch: raw.watch?.value,
        })
    }

    fn access_control(&mut self, raw: RawAccessControl) -> Option<AccessControl> {
        let mode = raw.mode?;
        if mode.value == crate::policy::Mode::Disabled {
            self.reader.warning(
                &mode.place,
                "`mode`: access control is disabled, every call passes",
                "`enforce`, when you are ready",
            );
        }
        Some(AccessControl {
            mode: mode.value,
            default_approver_group: raw.default_approver_group.map(|it| it.value),
            operators: raw.operators.map(|it| it.value),
            auditors: raw.auditors.map(|it| it.value),
        })
    }

    /// Tells of names that are taken; the paths and places of the sections are given with them.
    fn distinct<'n>(&mut self, what: &str, names: impl Iterator<Item = (&'n str, Place)>) {
        let mut seen: Vec<(&str, Place)> = Vec::new();
        for (name, place) in names {
            if let Some(first) = seen.iter().find(|it| it.0.eq_ignore_ascii_case(name)) {
                let message = format!("{what} `{name}` is taken: {} has it", first.1);
                self.problem(&place, message, "give each its own");
            } else {
                seen.push((name, place));
            }
        }
    }
}

/// An empty list of sections, such as `identity = []`, is told as one that is missing.
fn at_least_one<T>(lowering: &mut Lowering<'_, '_>, tables: &At<Tables<T>>) {
    if tables.value.0.is_empty() && lowering.reader.problems.is_empty() {
        let message = format!("no `[[{}]]`: at least one is needed", tables.path);
        lowering.reader.problem(&tables.place, message, None);
    }
}

/// A host's name or address as URLs have it, in lower case, without a port.
pub(super) fn is_host(text: &str) -> bool {
    const LONGEST: usize = 253;
    text.len() <= LONGEST
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label.bytes().all(|it| {
                    it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_'
                })
        })
}

fn is_node_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
}

/// The host's name as Linux tells it; elsewhere, or if it is no fit name, `portcullis`.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|it| it.trim().to_owned())
        .filter(|it| is_node_name(it))
        .unwrap_or_else(|| "portcullis".to_owned())
}
