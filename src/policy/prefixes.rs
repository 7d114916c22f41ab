//! A sorted table of prefixes: finds those that a text begins with, longest first, in logarithmic time.

use std::collections::BTreeMap;

/// The entries are sorted by prefix.
#[derive(Clone, Debug)]
pub(super) struct PrefixTable<T>(Vec<Entry<T>>);

#[derive(Clone, Debug)]
struct Entry<T> {
    prefix: Box<[u8]>,
    /// The entry with the longest prefix that this one's begins with.
    parent: Option<usize>,
    value: T,
}

impl<T> PrefixTable<T> {
    pub(super) fn new(values: BTreeMap<Vec<u8>, T>) -> Self {
        let mut table = Self(Vec::with_capacity(values.len()));
        for (prefix, value) in values {
            // Prefixes come in order, so the last entry is where a search for this one would end.
            let last = table.0.len().checked_sub(1);
            let parent = table.ascend(last, &prefix);
            table.0.push(Entry {
                prefix: prefix.into(),
                parent,
                value,
            });
        }
        table
    }

    /// The nearest entry from `index` upwards whose prefix `text` begins with.
    fn ascend(&self, mut index: Option<usize>, text: &[u8]) -> Option<usize> {
        while let Some(entry) = index.and_then(|it| self.0.get(it)) {
            if text.starts_with(&entry.prefix) {
                break;
            }
            index = entry.parent;
        }
        index
    }

    /// The values of all prefixes that `text` begins with, longest first.
    ///
    /// The greatest entry up to `text` begins with the longest of them, since everything that sorts between a prefix of
    /// `text` and `text` begins with that prefix; from there the way leads through its parents.
    pub(super) fn matching<'t>(&'t self, text: &[u8]) -> impl Iterator<Item = &'t T> + use<'t, T> {
        let last = self
            .0
            .partition_point(|it| *it.prefix <= *text)
            .checked_sub(1);
        let longest = self.ascend(last, text).and_then(|it| self.0.get(it));
        std::iter::successors(longest, |it| self.0.get(it.parent?)).map(|it| &it.value)
    }

    /// Each entry's value with the values of its shorter prefixes.
    pub(super) fn families(&self) -> impl Iterator<Item = (&T, impl Iterator<Item = &T>)> {
        self.0.iter().map(|entry| {
            let parent = entry.parent.and_then(|it| self.0.get(it));
            let shorter = std::iter::successors(parent, |it| self.0.get(it.parent?));
            (&entry.value, shorter.map(|it| &it.value))
        })
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|it| &it.value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_prefixes_of_a_text_are_found_longest_first(
            prefixes in proptest::collection::btree_set("[abc]{0,5}", 0..20),
            text in "[abc]{0,6}",
        ) {
            let mut expected: Vec<String> =
                prefixes.iter().filter(|it| text.starts_with(it.as_str())).cloned().collect();
            expected.sort_by_key(|it| std::cmp::Reverse(it.len()));
            let values = prefixes.into_iter().map(|it| (it.clone().into_bytes(), it)).collect();
            let table = PrefixTable::new(values);
            let found: Vec<String> = table.matching(text.as_bytes()).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
