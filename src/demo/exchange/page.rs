//! Paging: a long list is cut, and the rest is fetched with the same body at the address of `@odata.nextLink`.
//!
//! A token holds where to go on, when it was made and a digest of the command that it belongs to, so nothing is kept between pages.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;

use super::answer::{Failure, Output};

/// The size of a page if the client does not say, and the largest.
const PAGE: usize = 1_000;

/// How long a token is good for (exchange-rest section 2).
const LIFE: TimeDelta = TimeDelta::minutes(30);

/// What a client asks for: a first page or a further one, and of which size.
#[derive(Debug)]
pub(super) struct Window {
    start: usize,
    size: usize,
    digest: String,
}

impl Window {
    /// The window that a call asks for. `command` is its body, `token` the `$skiptoken` of its address.
    pub(super) fn new(
        headers: &HeaderMap,
        command: &[u8],
        token: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let digest = digest::digest(&digest::SHA256, command);
        let digest = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let start = match token {
            None => 0,
            Some(token) => start(token, &digest, now).ok_or_else(|| {
                Failure::bad_request("Expired or Invalid pagination request.".to_owned())
            })?,
        };
        Ok(Self {
            start,
            size: preferred(headers).unwrap_or(PAGE),
            digest,
        })
    }

    /// Cuts the output to the window; `link` makes the next page's address of a token.
    pub(super) fn cut(
        &self,
        output: &mut Output,
        now: DateTime<Utc>,
        link: impl FnOnce(&str) -> String,
    ) {
        let end = self.start.saturating_add(self.size);
        if output.objects.len() > end {
            let millis = now.timestamp_millis();
            let token = URL_SAFE_NO_PAD.encode(format!("{end}.{millis}.{}", self.digest));
            output.next_link = Some(link(&token));
        }
        output.objects.truncate(end);
        output.objects.drain(..self.start.min(output.objects.len()));
    }
}

/// Where a token says to go on, if it is one of ours, still good and made for the same command.
fn start(token: &str, command: &str, now: DateTime<Utc>) -> Option<usize> {
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token = String::from_utf8(token).ok()?;
    let mut parts = token.splitn(3, '.');
    let start = parts.next()?.parse().ok()?;
    let made = DateTime::from_timestamp_millis(parts.next()?.parse().ok()?)?;
    let is_good = parts.next()? == command && (TimeDelta::zero()..LIFE).contains(&(now - made));
    is_good.then_some(start)
}

/// `odata.maxpagesize` of `Prefer`, in the spellings that clients use: with blanks, among others, with a semicolon after it.
fn preferred(headers: &HeaderMap) -> Option<usize> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("odata.maxpagesize"))
        .and_then(|(_, size)| size.trim().parse().ok())
        .map(|size: usize| size.clamp(1, PAGE))
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::*;

    fn token_made_at(made: DateTime<Utc>) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            "prefer",
            "odata.maxpagesize = 2;odata.continue-on-error"
                .parse()
                .unwrap(),
        );
        let window = Window::new(&headers, b"command", None, made).unwrap();
        let mut output = Output::objects(vec![Record::default(); 3]);
        window.cut(&mut output, made, str::to_owned);
        assert_eq!(output.objects.len(), 2);
        output.next_link.unwrap()
    }

    #[test]
    fn a_token_is_good_for_thirty_minutes_and_one_command() {
        let made = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
        let token = token_made_at(made);
        let page = |command: &[u8], minutes| {
            let now = made + TimeDelta::minutes(minutes);
            Window::new(&HeaderMap::new(), command, Some(&token), now).map(|it| it.start)
        };
        assert_eq!(page(b"command", 29).unwrap(), 2);
        assert!(page(b"command", 30).is_err(), "expired");
        assert!(page(b"other", 1).is_err(), "another command");
        assert!(page(b"command", -1).is_err(), "from the future");
    }
}
