//! A table of prefixes: finds those that a text begins with, longest first.
//!
//! A look-up costs one hash look-up for each different length of prefix, however many prefixes there are: the literal parts
//! of ten thousand patterns come in some twenty lengths.

use std::collections::BTreeMap;

use super::folded::FoldedMap;

/// INVARIANT: the values have the numbers of their prefixes.
#[derive(Clone, Debug)]
pub(super) struct PrefixTable<T> {
    prefixes: FoldedMap,
    values: Vec<T>,
    /// The different lengths of prefixes, longest first.
    lengths: Vec<usize>,
}

impl<T> PrefixTable<T> {
    pub(super) fn new(values: BTreeMap<String, T>) -> Self {
        let mut lengths: Vec<usize> = values.keys().map(String::len).collect();
        lengths.sort_unstable_by(|one, two| two.cmp(one));
        lengths.dedup();
        let (prefixes, _) = FoldedMap::number(values.keys().map(String::as_str));
        Self {
            prefixes,
            values: values.into_values().collect(),
            lengths,
        }
    }

    /// The values of all prefixes that `text` begins with, longest first.
    pub(super) fn matching<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = &'t T> {
        self.lengths.iter().filter_map(move |length| {
            let number = self.prefixes.find(text.get(..*length)?)?;
            self.values.get(number)
        })
    }

    /// Each prefix's value with the values of the prefixes that it begins with itself.
    pub(super) fn families(&self) -> impl Iterator<Item = (&T, impl Iterator<Item = &T>)> {
        let own_comes_first = 1;
        self.values
            .iter()
            .zip(self.prefixes.keys())
            .map(move |(value, prefix)| {
                let shorter = self.matching(prefix.as_bytes()).skip(own_comes_first);
                (value, shorter)
            })
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// The length of the longest prefix, beyond which no text is looked at.
    pub(super) fn longest(&self) -> usize {
        self.lengths.first().copied().unwrap_or_default()
    }
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self::new(BTreeMap::new())
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
            let table = PrefixTable::new(prefixes.into_iter().map(|it| (it.clone(), it)).collect());
            let found: Vec<String> = table.matching(text.as_bytes()).cloned().collect();
            prop_assert_eq!(found, expected);
            for (own, shorter) in table.families() {
                for shorter in shorter {
                    prop_assert!(own.starts_with(shorter.as_str()) && own != shorter);
                }
            }
        }
    }
}
