//! A listing put together from its parts: a cmdlet has no cursor, so it walks on by itself, within bounds.

use crate::control::{Page, Query};
use crate::store::MOST_LISTED;

/// The most parts that one cmdlet reads. Each ends where it takes a mebibyte, so all take 8 MiB, about.
const MOST_PARTS: usize = 8;

/// What was found so far, newest first: at most [`MOST_LISTED`] items.
pub(super) struct Parts<T> {
    pub(super) items: Vec<T>,
    read: usize,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            read: 0,
        }
    }
}

impl<T> Parts<T> {
    /// Adds a part, and has `query` ask for the next; whether there is one to read.
    pub(super) fn add<F>(&mut self, part: Page<T>, query: &mut Query<F>) -> bool {
        self.items.extend(part.items);
        self.read += 1;
        query.after = part.next;
        query.most = MOST_LISTED.saturating_sub(self.items.len());
        part.next.is_some() && query.most > 0 && self.read < MOST_PARTS
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn part(count: usize, next: Option<Uuid>) -> Page<u8> {
        Page {
            items: vec![0; count],
            next,
        }
    }

    #[test]
    fn parts_are_read_until_the_last() {
        let (mut parts, mut query) = (Parts::default(), Query::<()>::default());
        let next = Uuid::now_v7();
        assert!(parts.add(part(3, Some(next)), &mut query));
        assert_eq!((query.after, query.most), (Some(next), MOST_LISTED - 3));
        assert!(parts.add(part(0, Some(next)), &mut query), "a short part");
        assert!(!parts.add(part(2, None), &mut query));
        assert_eq!(parts.items.len(), 5);
    }

    #[test]
    fn no_more_are_read_than_are_listed_or_fit() {
        let (mut parts, mut query) = (Parts::default(), Query::<()>::default());
        let next = Some(Uuid::now_v7());
        assert!(parts.add(part(MOST_LISTED - 1, next), &mut query));
        assert_eq!(query.most, 1);
        assert!(!parts.add(part(1, next), &mut query));

        let mut parts = Parts::default();
        let read = (1..100).find(|_| !parts.add(part(1, next), &mut query));
        assert_eq!(read, Some(MOST_PARTS));
    }
}
