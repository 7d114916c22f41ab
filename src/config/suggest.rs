//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `typed` was probably meant to be, if one is near enough to be more than chance.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Below this similarity (Jaro-Winkler, 0 to 1) a suggestion is noise: `listen` and `tls` have 0.5, `lisen` and `listen` 0.97.
    const NEAR: f64 = 0.8;
    let typed = typed.to_lowercase();
    candidates
        .into_iter()
        .map(|it| (strsim::jaro_winkler(&typed, &it.to_lowercase()), it))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|one, two| one.0.total_cmp(&two.0))
        .map(|(_, it)| it)
}

/// "did you mean `x`?", or what there is to choose from.
pub(super) fn did_you_mean(typed: &str, candidates: &[&str]) -> String {
    match nearest(typed, candidates.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of {}", listed(candidates)),
    }
}

/// `a`, `b`, `c`
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|it| format!("`{it}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_a_stranger_finds_none() {
        let words = ["listen", "tls", "public_url"];
        assert_eq!(nearest("lisen", words), Some("listen"));
        assert_eq!(nearest("publicurl", words), Some("public_url"));
        assert_eq!(nearest("LISTEN", words), Some("listen"));
        assert_eq!(nearest("colour", words), None);
    }
}
