//! Listings that come in parts, and ids that people type in short.

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::api::types::Page;

use super::client::Told;
use super::output::printable;
use super::{Format, Hint, Output, times};

/// Which of them are listed, and how many: the same for requests and grants.
#[derive(Clone, Debug, Args)]
pub struct Narrowed {
    /// Those that name this task.
    #[arg(short, long)]
    pub task: Option<String>,
    /// Those under the policy of this scope.
    #[arg(long, value_name = "SCOPE")]
    pub policy: Option<String>,
    /// Those of this person.
    #[arg(short, long, value_name = "NAME")]
    pub principal: Option<String>,
    /// Those made since, such as `2026-11-21` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub since: Option<times::Named>,
    /// At most this many.
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub most: u32,
}

impl Narrowed {
    /// At most how many.
    pub(super) fn most(&self) -> usize {
        usize::try_from(self.most).unwrap_or(usize::MAX)
    }
}

/// How many rows one part has.
const PART: u32 = 100;

/// Parts of a listing that are looked through at most. A part can be empty and not the last.
const MOST_PARTS: usize = 200;

/// An id is shown by no less than this: what tells its millisecond.
const SHOWN: usize = 13;

/// The shortest beginning of an id that is looked for.
const SHORTEST: usize = 4;

/// A listing, put together.
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// As it was said, for programs.
    pub(super) json: Joined,
    /// Whether there is more than was wanted.
    pub(super) has_more: bool,
}

/// What programs get: the items of all parts.
#[derive(Serialize)]
pub(super) struct Joined {
    items: Vec<serde_json::Value>,
}

/// Asks for parts until there are `most` items, or no more parts.
pub(super) async fn collect<T>(
    most: usize,
    mut part: impl AsyncFnMut(Option<String>, u32) -> anyhow::Result<Told<Page<T>>>,
) -> anyhow::Result<List<T>> {
    let mut list = List {
        items: Vec::new(),
        json: Joined { items: Vec::new() },
        has_more: false,
    };
    let mut cursor = None;
    for _ in 0..MOST_PARTS {
        let left = u32::try_from(most - list.items.len()).unwrap_or(PART);
        let told = part(cursor, left.min(PART)).await?;
        let Told {
            value, mut json, ..
        } = told;
        list.items.extend(value.items);
        if let Some(items) = json.get_mut("items").and_then(|it| it.as_array_mut()) {
            list.json.items.append(items);
        }
        let is_full = list.items.len() >= most;
        list.has_more = value.next.is_some() || list.items.len() > most;
        list.items.truncate(most);
        list.json.items.truncate(most);
        cursor = value.next;
        if is_full || cursor.is_none() {
            break;
        }
    }
    Ok(list)
}

/// Prints a listing of `what`: as JSON, by `table`, or that there is none. Whether people see some.
pub(super) fn print<T>(
    list: &List<T>,
    what: &str,
    output: &mut Output,
    table: impl FnOnce(&[T], &mut Output) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    if output.format() == Format::Json {
        output.json(&list.json)?;
        return Ok(false);
    }
    if list.items.is_empty() {
        output.note(format_args!("there is no such {what}"))?;
        return Ok(false);
    }
    table(&list.items, output)?;
    if list.has_more {
        let more = list.items.len().saturating_mul(4);
        output.note(format_args!("there are more: `--most {more}`"))?;
    }
    Ok(true)
}

/// How much of ids has to be shown to tell these apart.
pub(super) fn id_length(ids: &[Uuid]) -> usize {
    let mut texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    texts.sort();
    texts.dedup();
    let shared = texts
        .iter()
        .zip(texts.iter().skip(1))
        .map(|(one, other)| {
            let pairs = one.bytes().zip(other.bytes());
            pairs.take_while(|(one, other)| one == other).count() + 1
        })
        .max()
        .unwrap_or_default();
    // Whole groups of digits read better than parts of them.
    let ends = [SHOWN, 18, 23, 36];
    ends.into_iter().find(|it| *it >= shared).unwrap_or(36)
}

/// An id as far as it is shown.
pub(super) fn short(id: Uuid, length: usize) -> String {
    id.to_string().chars().take(length).collect()
}

/// The id that begins with `text`: of a `what`, which `portcullis <command> ls` lists. `part` gives the ids of each item of a part, newest first: its own, which is the answer,
/// and those by which it is known too.
pub(super) async fn resolve(
    text: &str,
    command: &str,
    what: &str,
    mut part: impl AsyncFnMut(Option<String>, u32) -> anyhow::Result<(Vec<Vec<Uuid>>, Option<String>)>,
) -> anyhow::Result<Uuid> {
    let wanted = text.trim().to_ascii_lowercase();
    if wanted.len() == 36
        && let Ok(id) = Uuid::try_parse(&wanted)
    {
        return Ok(id);
    }
    let is_beginning = wanted.len() < 36
        && wanted
            .bytes()
            .all(|it| it.is_ascii_hexdigit() || it == b'-');
    if !is_beginning || wanted.len() < SHORTEST {
        let hint = Hint(format!(
            "at least {SHORTEST} digits of what `portcullis {command} ls` shows"
        ));
        let error = anyhow::Error::new(hint);
        return Err(error.context(format!(
            "`{}` is not the beginning of an id",
            printable(text)
        )));
    }
    let mut found: Vec<Uuid> = Vec::new();
    let mut cursor = None;
    for _ in 0..MOST_PARTS {
        let (items, next) = part(cursor, PART).await?;
        for ids in &items {
            let is_meant = ids.iter().any(|it| it.to_string().starts_with(&wanted));
            if let Some(own) = ids.first()
                && is_meant
                && !found.contains(own)
            {
                found.push(*own);
            }
        }
        // Ids begin with their time and the newest come first; what an item is known by too is older than itself.
        let is_past = items
            .last()
            .and_then(|it| it.first())
            .is_some_and(|it| it.to_string() < wanted);
        cursor = next;
        if cursor.is_none() || is_past {
            break;
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        [] => {
            let hint = Hint(format!("see what there is with `portcullis {command} ls`"));
            let error = anyhow::Error::new(hint);
            Err(error.context(format!(
                "no {what} that you may know of begins with `{wanted}`"
            )))
        }
        several => {
            let length = id_length(several);
            let ids: Vec<String> = several
                .iter()
                .take(8)
                .map(|it| short(*it, length))
                .collect();
            let hint = Hint(format!("type more of one of {}", ids.join(", ")));
            let error = anyhow::Error::new(hint);
            Err(error.context(format!("{} {what}s begin with `{wanted}`", several.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<Uuid> {
        [
            "019a0000-0003-7000-8000-0000000000aa",
            "019a0000-0002-7000-8000-0000000000bb",
            "019a0000-0002-7000-8000-0000000000aa",
            "01990000-0000-7000-8000-000000000000",
        ]
        .map(|it| it.parse().unwrap())
        .to_vec()
    }

    /// What comes of a beginning, and how many parts of one item each were asked for.
    fn resolved(text: &str) -> (String, usize) {
        let mut parts = 0;
        let all = ids();
        let work = resolve(text, "request", "request", async |cursor, _| {
            parts += 1;
            let index: usize = cursor.map_or(0, |it| it.parse().unwrap());
            let next = (index + 1 < all.len()).then(|| (index + 1).to_string());
            Ok((vec![vec![all[index]]], next))
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let said = match runtime.block_on(work) {
            Ok(id) => id.to_string(),
            Err(error) => format!("{error:#}"),
        };
        (said, parts)
    }

    #[test]
    fn an_id_can_be_typed_in_short_where_it_is_the_only_one() {
        let (id, parts) = resolved("019A0000-0003");
        assert_eq!(id, ids()[0].to_string());
        assert_eq!(parts, 2, "older ones cannot begin so");
        assert_eq!(resolved("01990").0, ids()[3].to_string());
        let whole = ids()[1].to_string();
        assert_eq!(resolved(&whole), (whole, 0));
    }

    #[test]
    fn a_beginning_that_says_too_little_is_told() {
        insta::assert_snapshot!(
            [
                resolved("019a0000-0002").0,
                resolved("019a").0,
                resolved("0200").0,
                resolved("019").0,
                resolved("; rm").0,
            ]
            .join("\n"),
            @"
            2 requests begin with `019a0000-0002`: type more of one of 019a0000-0002-7000-8000-0000000000bb, 019a0000-0002-7000-8000-0000000000aa
            3 requests begin with `019a`: type more of one of 019a0000-0003-7000-8000-0000000000aa, 019a0000-0002-7000-8000-0000000000bb, 019a0000-0002-7000-8000-0000000000aa
            no request that you may know of begins with `0200`: see what there is with `portcullis request ls`
            `019` is not the beginning of an id: at least 4 digits of what `portcullis request ls` shows
            `; rm` is not the beginning of an id: at least 4 digits of what `portcullis request ls` shows
            "
        );
    }

    #[test]
    fn ids_are_shown_as_far_as_it_takes() {
        let ids = ids();
        assert_eq!(id_length(&ids[..2]), 13);
        assert_eq!(id_length(&ids), 36);
        assert_eq!(id_length(&[ids[0], ids[0]]), 13);
        assert_eq!(short(ids[0], 13), "019a0000-0003");
    }

    #[test]
    fn a_listing_is_put_together_up_to_what_is_wanted() {
        let pages = [vec![1, 2], vec![], vec![3, 4], vec![5]];
        let collected = |most: usize| {
            let work = collect(most, async |cursor: Option<String>, _| {
                let index: usize = cursor.map_or(0, |it| it.parse().unwrap());
                let page = Page {
                    items: pages[index].clone(),
                    next: (index + 1 < pages.len()).then(|| (index + 1).to_string()),
                };
                Ok(Told {
                    json: serde_json::to_value(&page).unwrap(),
                    value: page,
                    is_new: false,
                })
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let list = runtime.block_on(work).unwrap();
            assert_eq!(list.json.items.len(), list.items.len());
            (list.items, list.has_more)
        };
        assert_eq!(collected(10), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(collected(3), (vec![1, 2, 3], true));
        assert_eq!(collected(5), (vec![1, 2, 3, 4, 5], false));
    }
}
