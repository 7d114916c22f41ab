//! The bypass suite: ways to slip a cmdlet past the gateway, one case a trick, against the real binary over TLS.
//!
//! Each theme is a file and a table that reads as a catalogue: the trick, what is sent, what must become of it. Beside the
//! tricks stand *controls*, honest requests of the same form that must arrive, so that a gateway which refuses everything
//! fails too. What counts is the *upstream's* journal: a refused trick leaves no trace there, and of a request that may pass
//! it shows byte for byte what the gateway wrote. At the end of a theme the audit log must tell of every case in order, and
//! nothing may have run upstream but the cmdlets that the theme lists.
//!
//! | theme | what is tried |
//! |---|---|
//! | [`names`] | case, module prefixes, blanks, NUL, look-alike letters, dashes, aliases, pipelines |
//! | [`json`] | two members of one name, spellings of the envelope, more or less than it, encodings, depth, numbers |
//! | [`headers`] | a lying `X-CmdletName`, method overrides, codings, parameters and identities in headers, nominated headers |
//! | [`paths`] | doubled slashes, dots, escapes, other tenants and versions, other actions, other methods, the query |
//! | [`framing`] | two lengths, two framings, odd chunks, folded lines, a second request behind the first, HTTP/1.0 |
//! | [`http2`] | frames by hand: pseudo-headers, connection headers, upper case, two authorities, wrong lengths |
//! | [`batch`] | items that nest, hang together, lead elsewhere, belong to somebody else, or hide among allowed ones |
//! | [`paging`] | links that lead around the gateway, pages after a revocation, another cmdlet under a page's token |
//! | [`confirm`] | a run after a validation call with other parameters, trial switches in odd forms |
//! | [`parameters`] | names cut short or doubled, values hidden in lists, tables and annotations, under parameter rules |
//! | [`grants`] | somebody else's, for another task, overtaken by a policy, revoked under an open connection |
//! | [`own_cmdlets`] | self-approval, approval by strangers, `*-ElevatedAccess*` in every form and mode |
//! | [`exemptions`] | another account, source, task or spelling |
//! | [`redirects`] | an upstream that leads elsewhere |

mod batch;
mod catalogue;
mod confirm;
mod exemptions;
mod framing;
mod grants;
mod headers;
pub(crate) mod http2;
mod json;
mod names;
mod own_cmdlets;
mod paging;
mod parameters;
mod paths;
mod redirects;
