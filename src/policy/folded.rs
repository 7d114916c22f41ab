//! A map from texts to their numbers that ignores ASCII case, and whose look-up neither allocates nor folds the text first.
//!
//! Keys come from policy files, never from callers, so nobody can make them collide: a plain multiplicative hash does, and
//! a look-up of a hostile text costs no more than its own length.

/// Marks a slot that holds no key.
const VACANT: u32 = u32::MAX;

/// INVARIANT: the slots are a power of two in number, and at least half are vacant, so every probe ends.
#[derive(Clone, Debug, Default)]
pub(super) struct FoldedMap {
    /// The upper half of a key's hash, and the key's number.
    slots: Vec<(u32, u32)>,
    keys: Vec<Box<str>>,
}

impl FoldedMap {
    /// Numbers `texts` from 0 in order. Where two are the same text in some case, the first is kept; the pairs
    /// (first, again) are returned beside the map.
    pub(super) fn number<'t>(
        texts: impl IntoIterator<Item = &'t str>,
    ) -> (Self, Vec<(usize, usize)>) {
        let keys: Vec<Box<str>> = texts.into_iter().map(Box::from).collect();
        let mut map = Self {
            slots: vec![(0, VACANT); (keys.len() * 2).next_power_of_two().max(2)],
            keys,
        };
        let mut repeated = Vec::new();
        for (number, key) in map.keys.iter().enumerate() {
            let hash = hash(key.as_bytes());
            match Self::probe(&map.slots, &map.keys, hash, key.as_bytes()) {
                Probe::Found(first) => repeated.push((first, number)),
                Probe::Vacant(slot) => {
                    if let (Some(slot), Ok(number)) =
                        (map.slots.get_mut(slot), u32::try_from(number))
                    {
                        *slot = (tag(hash), number);
                    }
                }
            }
        }
        (map, repeated)
    }

    /// The number of this text, in any case.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        if self.keys.is_empty() {
            return None;
        }
        match Self::probe(&self.slots, &self.keys, hash(text), text) {
            Probe::Found(number) => Some(number),
            Probe::Vacant(_) => None,
        }
    }

    /// The keys in the order of their numbers.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|it| &**it)
    }

    /// Whether it has no key.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn probe(slots: &[(u32, u32)], keys: &[Box<str>], hash: u64, text: &[u8]) -> Probe {
        let mask = slots.len().wrapping_sub(1);
        let mut slot = usize::try_from(hash & 0xffff_ffff).unwrap_or_default() & mask;
        while let Some((tagged, number)) = slots.get(slot)
            && *number != VACANT
        {
            let number = *number as usize;
            if *tagged == tag(hash)
                && keys
                    .get(number)
                    .is_some_and(|key| key.as_bytes().eq_ignore_ascii_case(text))
            {
                return Probe::Found(number);
            }
            slot = (slot + 1) & mask;
        }
        Probe::Vacant(slot)
    }
}

enum Probe {
    Found(usize),
    Vacant(usize),
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// Setting bit 5 makes `A` and `a` alike. It makes some other bytes alike as well, which costs a comparison and no more.
fn hash(text: &[u8]) -> u64 {
    /// An odd number without a pattern: the fraction of the golden ratio, as Fibonacci hashing uses it.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_chunks::<8>();
    let mut hash = text.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash ^ (word | 0x2020_2020_2020_2020)).wrapping_mul(FACTOR);
        hash ^= hash >> 29;
    };
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    mix(rest
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte | 0x20)));
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case_and_others_are_not() {
        let texts: Vec<String> = (0..5_000)
            .map(|it| format!(r"Exchange\Get-Thing{it}"))
            .collect();
        let (map, repeated) = FoldedMap::number(texts.iter().map(String::as_str));
        assert!(repeated.is_empty());
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(map.find(text.to_uppercase().as_bytes()), Some(number));
        }
        assert_eq!(map.find(br"Exchange\Get-Thing5000"), None);
        assert_eq!(map.find(b""), None);
    }

    #[test]
    fn repeated_keys_are_told_and_the_first_stands() {
        let (map, repeated) = FoldedMap::number(["a", "b", "A"]);
        assert_eq!(repeated, [(0, 2)]);
        assert_eq!(map.find(b"A"), Some(0));
    }

    #[test]
    fn bytes_that_only_hash_alike_are_not_the_same_key() {
        let (map, _) = FoldedMap::number(["a[b", "{"]);
        assert_eq!(map.find(b"a{b"), None);
        assert_eq!(map.find(b"["), None);
        assert!(FoldedMap::default().find(b"a").is_none());
    }
}
