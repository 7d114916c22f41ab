//! `[proxy]` and `[control]`: where the gateway listens, and its bounds.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use url::Url;

use super::Lowering;
use super::endpoint::KnownIdentity;
use crate::config::leaf::Size;
use crate::config::problem::Place;
use crate::config::raw::{RawControl, RawLimits, RawProxy, RawServerTls, RawTimeouts, RawTls};
use crate::config::reader::At;
use crate::config::{Control, Limits, Proxy, Role, ServerTls, Timeouts};

/// More worker threads than the largest machines have cores.
const MOST_WORKERS: u32 = 1024;

impl Lowering<'_, '_> {
    /// `[proxy]`, and where its address was set.
    pub(super) fn proxy(&mut self, raw: At<RawProxy>) -> Option<(Proxy, Place)> {
        let raw = raw.value;
        let listen = raw.listen;
        let trusted = raw.trusted_plaintext.is_some_and(|it| it.value);
        let tls = match raw.tls {
            Some(At {
                value: RawTls::On(files),
                ..
            }) => self.server_tls(files).map(Some),
            Some(At {
                value: RawTls::Off,
                place,
                ..
            }) => {
                let is_local = listen.as_ref().is_none_or(|it| it.value.ip().is_loopback());
                if !is_local && !trusted {
                    self.problem(
                        &place,
                        "`tls`: off, on an address that others can reach: credentials would be readable on the network",
                        "name a certificate and its key; or listen on 127.0.0.1; or, behind a TLS terminator on a network of its own, set `trusted_plaintext = true`",
                    );
                }
                Some(None)
            }
            None => None,
        };
        let is_plain = matches!(tls, Some(None));
        let public_url = raw.public_url.map(|it| self.public_url(it, is_plain));
        let workers = raw.workers.map_or_else(cores, |it| self.workers(&it));
        let limits = raw.limits.and_then(|it| self.limits(it.value));
        let timeouts = raw.timeouts.and_then(|it| timeouts(it.value));
        let listen = listen?;
        let proxy = Proxy {
            listen: listen.value,
            tls: tls?,
            public_url: public_url.flatten(),
            workers,
            limits: limits?,
            timeouts: timeouts?,
        };
        Some((proxy, listen.place))
    }

    fn workers(&mut self, at: &At<NonZeroU32>) -> usize {
        if at.value.get() > MOST_WORKERS {
            let message = format!("`workers` is above {MOST_WORKERS}");
            self.problem(
                &at.place,
                message,
                "more threads than cores make nothing faster; take the key out",
            );
        }
        usize::try_from(at.value.get()).unwrap_or(1)
    }

    fn server_tls(&mut self, raw: RawServerTls) -> Option<ServerTls> {
        let certificate = raw.certificate.map(|it| self.file(&it, Role::Certificate));
        let key = raw.key.map(|it| self.file(&it, Role::Key));
        Some(ServerTls {
            certificate: certificate?,
            key: key?,
        })
    }

    fn public_url(&mut self, url: At<Url>, is_plain: bool) -> Option<Url> {
        let schemes: &[&str] = if is_plain {
            &["https", "http"]
        } else {
            &["https"]
        };
        if !schemes.contains(&url.value.scheme()) {
            self.problem(
                &url.place,
                "`public_url` is not an `https://` URL",
                "clients are sent there with their credentials",
            );
            return None;
        }
        self.is_bare(&url, "public_url").then_some(url.value)
    }

    /// Whether a URL has a scheme, a host and a port and nothing else; tells if not.
    pub(super) fn is_bare(&mut self, url: &At<Url>, key: &str) -> bool {
        let it = &url.value;
        let extra = if !it.username().is_empty() || it.password().is_some() {
            "a user name or password"
        } else if it.query().is_some() {
            "a query"
        } else if it.fragment().is_some() {
            "a fragment"
        } else if it.path() != "/" {
            "a path"
        } else {
            return true;
        };
        let message = format!("`{key}` has {extra}");
        self.problem(
            &url.place,
            message,
            "write the scheme, the host and, if need be, the port, and nothing else",
        );
        false
    }

    fn limits(&mut self, raw: RawLimits) -> Option<Limits> {
        let (body, total) = (raw.body_bytes, raw.body_bytes_total);
        if let (Some(body), Some(total)) = (&body, &total)
            && total.value.0 < body.value.0
        {
            self.problem(
                &total.place,
                "`body_bytes_total` is below `body_bytes`: the largest body could never be read",
                "make it several times as large",
            );
        }
        let bytes = |it: At<Size>| usize::try_from(it.value.0).ok();
        let count = |it: At<NonZeroU32>| usize::try_from(it.value.get()).ok();
        Some(Limits {
            head_bytes: raw.head_bytes.and_then(bytes)?,
            head_fields: raw.head_fields.and_then(count)?,
            body_bytes: body.and_then(bytes)?,
            connections: raw.connections.and_then(count)?,
            streams: raw.streams?.value.get(),
            body_bytes_total: total.and_then(bytes)?,
        })
    }

    /// `[control]`, and where its address was set.
    pub(super) fn control(
        &mut self,
        raw: RawControl,
        identities: Option<&[KnownIdentity]>,
    ) -> Option<(Control, Place)> {
        let listen = raw.listen?;
        let trusted_plaintext = raw.trusted_plaintext?.value;
        let identity = match raw.identity {
            Some(names) => self.listed(names, identities)?,
            None => Vec::new(),
        };
        let tls = match raw.tls.map(|it| it.value) {
            Some(RawTls::On(files)) => Some(self.server_tls(files)?),
            Some(RawTls::Off) | None => None,
        };
        let public_url = raw
            .public_url
            .and_then(|it| self.public_url(it, tls.is_none()));
        if tls.is_none() && !trusted_plaintext && !listen.value.ip().is_loopback() {
            self.reader.warning(
                &listen.place,
                "`listen`: plain HTTP, on an address that others can reach: health and metrics are served there, and the API refuses all credentials",
                "set `tls` under `[control]`, or listen on 127.0.0.1; or, behind a TLS terminator on a network of its own, set `trusted_plaintext = true`",
            );
        }
        Some((
            Control {
                listen: listen.value,
                tls,
                trusted_plaintext,
                public_url,
                identity,
            },
            listen.place,
        ))
    }

    /// Tells if the two listeners would want the same port.
    pub(super) fn ports(&mut self, proxy: &(Proxy, Place), control: &(Control, Place)) {
        if overlap(proxy.0.listen, control.0.listen) {
            let message = format!(
                "`listen`: {} is also where `[proxy]` listens",
                control.0.listen
            );
            self.problem(
                &control.1,
                message,
                "give `[control]` a port of its own, such as `127.0.0.1:8444`",
            );
        }
    }
}

/// Whether two addresses cannot both be listened on. Port 0 is whichever is free.
fn overlap(one: SocketAddr, two: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == two.port()
        && (one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified())
}

fn timeouts(raw: RawTimeouts) -> Option<Timeouts> {
    Some(Timeouts {
        handshake: raw.handshake?.value,
        head: raw.head?.value,
        idle: raw.idle?.value,
        body: raw.body?.value,
        connect: raw.connect?.value,
        upstream: raw.upstream?.value,
        upstream_idle: raw.upstream_idle?.value,
        drain: raw.drain?.value,
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
