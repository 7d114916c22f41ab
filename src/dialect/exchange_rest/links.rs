//! Links in answers, rewritten to the gateway's own address: a client that followed the upstream's would go around the
//! gateway after the first page (exchange-rest section 2).
//!
//! The rewriter looks for the member names `…@odata.nextLink` and `…@odata.context` in the bytes of a JSON answer and
//! replaces the text behind them. It needs no JSON parser for that: inside a JSON text a quotation mark has a backslash
//! before it, so `@odata.nextLink"` cannot be part of one, and only a member's name is followed by a colon.
//!
//! INVARIANT: what is not such a link passes byte for byte, and how the answer is cut into chunks changes nothing.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use memchr::memchr_iter;
use memchr::memmem::Finder;

use crate::model::Value;

use super::batch::UPSTREAM_BASE;
use super::escape;
use super::query::HOST;

/// The ends of the member names, with the quote behind them.
const NEXT_LINK: &[u8] = b"@odata.nextLink\"";
const CONTEXT: &[u8] = b"@odata.context\"";
/// The longest link that is understood, with what stands before it, in bytes. A longer one passes as it is; the service's
/// own are of some hundred bytes, and nobody could send one back in a request's head.
const MAX_LINK_BYTES: usize = 32 * 1024;

/// Rewrites `…@odata.nextLink` and `@odata.context` in a JSON answer to the gateway's own address, whatever the chunks.
#[derive(Debug)]
pub struct LinkRewriter {
    gateway_base: String,
    hosts: Arc<LinkHosts>,
    /// What may be the beginning of a link; shorter than [`MAX_LINK_BYTES`].
    held: BytesMut,
}

/// The hosts that links in answers may name.
#[derive(Debug)]
pub struct LinkHosts {
    upstream: String,
    regional: Vec<String>,
}

impl LinkHosts {
    /// `upstream` is the endpoint's own authority, also for a page that was asked of a regional host: a link to the regional
    /// host must name it again. `regional` are those that may be named besides it (a link to one of them is rewritten so that
    /// [`super::Call::regional_host`] finds it again).
    pub fn new(upstream: &str, regional: &[String]) -> Self {
        Self {
            upstream: normal(upstream),
            regional: regional.iter().map(|it| normal(it)).collect(),
        }
    }

    /// The regional host that `authority` names, if it is one and not the upstream itself.
    fn regional(&self, authority: &str) -> Option<&str> {
        if self.regional.is_empty() {
            return None;
        }
        let authority = normal(authority);
        if authority == self.upstream {
            return None;
        }
        let host = self.regional.iter().find(|it| **it == authority)?;
        Some(host)
    }
}

/// What looks for the names. Making it takes about as long as searching a short answer with it.
static FINDERS: LazyLock<[(Name, Finder<'static>); 2]> = LazyLock::new(|| {
    [
        (Name::Context, Finder::new(CONTEXT)),
        (Name::NextLink, Finder::new(NEXT_LINK)),
    ]
});

/// Bytes of the answer, and what comes in their place.
type Edit = (Range<usize>, Vec<u8>);

/// What stands behind a name.
enum Found {
    /// A link: where its text is, quotes included.
    Link(Range<usize>),
    /// Nothing of interest.
    Nothing,
    /// More bytes are needed to tell.
    Unfinished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Context,
    NextLink,
}

impl LinkRewriter {
    /// `gateway_base` is such as `https://gate.example/adminapi`.
    pub fn new(gateway_base: &str, hosts: Arc<LinkHosts>) -> Self {
        Self {
            gateway_base: gateway_base.trim_end_matches('/').to_owned(),
            hosts,
            held: BytesMut::new(),
        }
    }

    /// Takes the next bytes of the answer and returns what can be passed on. Without a link in sight that is `chunk` itself.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let mut data = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            std::mem::take(&mut self.held).freeze()
        };
        let (edits, end) = self.edits(&data);
        self.held.extend_from_slice(&data.split_off(end));
        if edits.is_empty() {
            return data;
        }
        let mut out = BytesMut::with_capacity(data.len() + edits.len() * self.gateway_base.len());
        let mut at = 0;
        for (place, text) in edits {
            out.extend_from_slice(data.get(at..place.start).unwrap_or_default());
            out.extend_from_slice(&text);
            at = place.end;
        }
        out.extend_from_slice(data.get(at..).unwrap_or_default());
        out.freeze()
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).freeze()
    }

    /// The gateway's own address for the absolute `link`, such as a `Location`; `None` if `link` is not an absolute URL of
    /// http or https. A host that is neither the upstream's nor a regional one is not kept: the link leads to the endpoint's own.
    pub fn rewrite(&self, link: &str) -> Option<String> {
        self.gateway_link(link, Name::NextLink)
    }

    /// What is to be replaced by what, and up to where `data` can be passed on.
    ///
    /// Names are taken in order, and one inside a link that was found counts for nothing: in JSON there is none, and in anything
    /// else it would depend on the chunks which of the two is seen.
    fn edits(&self, data: &[u8]) -> (Vec<Edit>, usize) {
        let mut edits = Vec::new();
        let mut at = 0;
        let mut next = [Some(0); 2];
        loop {
            let mut first: Option<(usize, Name, &Finder<'_>)> = None;
            for (next, (name, finder)) in next.iter_mut().zip(FINDERS.iter()) {
                if next.is_some_and(|it| it <= at) {
                    let rest = data.get(at..).unwrap_or_default();
                    *next = finder.find(rest).map(|it| at + it);
                }
                if let Some(mark) = *next
                    && first.is_none_or(|(it, ..)| mark < it)
                {
                    first = Some((mark, *name, finder));
                }
            }
            let Some((mark, name, finder)) = first else {
                let end = data.len() - begun_name(data);
                return (edits, end.max(at));
            };
            match find_link(data.get(mark..).unwrap_or_default(), finder.needle()) {
                Found::Link(place) => {
                    let place = mark + place.start..mark + place.end;
                    at = place.end;
                    let text = self.replacement(name, data.get(place.clone()).unwrap_or_default());
                    edits.extend(text.map(|text| (place, text)));
                }
                Found::Nothing => at = mark + finder.needle().len(),
                Found::Unfinished => return (edits, mark),
            }
        }
    }

    /// What stands in place of the JSON text `quoted`.
    fn replacement(&self, name: Name, quoted: &[u8]) -> Option<Vec<u8>> {
        let link = serde_json::from_slice::<String>(quoted).ok()?;
        let link = self.gateway_link(&link, name)?;
        let mut out = Vec::with_capacity(link.len() + 2);
        Value::Text(link).write_json(&mut out);
        Some(out)
    }

    fn gateway_link(&self, link: &str, name: Name) -> Option<String> {
        let (scheme, rest) = link.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let mut out = String::with_capacity(self.gateway_base.len() + link.len());
        out.push_str(&self.gateway_base);
        out.push_str(below_base(rest));
        // A context is not followed, so it needs no host.
        if name == Name::NextLink
            && let Some(host) = self.hosts.regional(authority)
        {
            out.push(if rest.contains('?') { '&' } else { '?' });
            out.push_str(HOST);
            out.push('=');
            out.push_str(&escape::query_value(host).to_string());
        }
        out.push_str(fragment);
        Some(out)
    }
}

/// `authority` in the one spelling that is compared: lower case, no default port.
fn normal(authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    match lower.strip_suffix(":443") {
        Some(host) => host.to_owned(),
        None => lower,
    }
}

/// What follows the upstream's base path.
fn below_base(path: &str) -> &str {
    match path.split_at_checked(UPSTREAM_BASE.len()) {
        Some((base, rest))
            if base.eq_ignore_ascii_case(UPSTREAM_BASE)
                && (rest.is_empty() || rest.starts_with(['/', '?'])) =>
        {
            rest
        }
        Some(_) | None => path,
    }
}

/// What begins with `name`, which `data` begins with. Only the first [`MAX_LINK_BYTES`] count, however many there are.
fn find_link(data: &[u8], name: &[u8]) -> Found {
    let data = data.get(..MAX_LINK_BYTES).unwrap_or(data);
    let at_end = || {
        if data.len() < MAX_LINK_BYTES {
            Found::Unfinished
        } else {
            Found::Nothing
        }
    };
    let mut rest = data.get(name.len()..).unwrap_or_default();
    for wanted in [b':', b'"'] {
        rest = rest.trim_ascii_start();
        match rest.split_first() {
            None => return at_end(),
            Some((byte, after)) if *byte == wanted => rest = after,
            Some(_) => return Found::Nothing,
        }
    }
    // The opening quote is the last byte that was read.
    let start = data.len() - rest.len() - 1;
    let mut is_escaped = false;
    for (index, byte) in rest.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Found::Link(start..start + index + 2),
            _ => {}
        }
    }
    at_end()
}

/// How many bytes at the end of `data` may be the beginning of a name.
fn begun_name(data: &[u8]) -> usize {
    let longest = NEXT_LINK.len().max(CONTEXT.len()) - 1;
    let tail = data
        .get(data.len().saturating_sub(longest)..)
        .unwrap_or_default();
    let begun = memchr_iter(b'@', tail).filter_map(|at| tail.get(at..));
    let mut begun = begun.filter(|it| NEXT_LINK.starts_with(it) || CONTEXT.starts_with(it));
    begun.next().map_or(0, <[u8]>::len)
}
