//! Numbers compared exactly, in decimal, whatever their size: no float rounds a value past a bound.

use std::cmp::Ordering;

use crate::model::Number;

/// The longest number that is compared, in bytes. A longer one is no number here, so no rule holds for it.
const MAX_BYTES: usize = 1_000;

/// A decimal number: `0.digits × 10^exponent`.
///
/// INVARIANT: `digits` neither begins nor ends with a zero; of zero, it is empty, and the exponent 0. So each number has
/// one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Box<str>,
    exponent: i64,
}

impl Decimal {
    /// The number with these digits (RFC 8259 section 6); `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let number = Number::new(text)?;
        let (negative, text) = match number.as_str().strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.as_str()),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let leading_zeros = digits.len() - significant.len();
        let significant = significant.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self {
                negative: false,
                digits: "".into(),
                exponent: 0,
            });
        }
        let exponent = exponent
            .parse::<i64>()
            .ok()?
            .checked_add(i64::try_from(whole.len()).ok()?)?
            .checked_sub(i64::try_from(leading_zeros).ok()?)?;
        Some(Self {
            negative,
            digits: significant.into(),
            exponent,
        })
    }

    /// Whether these digits are what any server shows of the number that they are: no exponent, no zeros that say nothing, and no
    /// more digits than all its types of numbers keep. Of others a server may show more (`12345.00` of a decimal) or less
    /// (`12345`, of the same as a float), and where it takes a name, that is another object's.
    pub(super) fn is_shown_as(digits: &str) -> bool {
        const MOST_DIGITS: usize = 15;
        // Smaller ones are shown with an exponent.
        const MOST_ZEROS: usize = 3;
        if Number::new(digits).is_none() || digits.contains(['e', 'E']) {
            return false;
        }
        let absolute = digits.strip_prefix('-').unwrap_or(digits);
        if absolute.len() > MOST_DIGITS {
            return false;
        }
        match absolute.split_once('.') {
            None => digits != "-0",
            Some((whole, fraction)) => {
                let zeros = fraction.bytes().take_while(|it| *it == b'0').count();
                !fraction.ends_with('0') && (whole != "0" || zeros <= MOST_ZEROS)
            }
        }
    }

    fn magnitude(&self) -> (bool, i64, &str) {
        (!self.digits.is_empty(), self.exponent, &self.digits)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (true, true) => other.magnitude().cmp(&self.magnitude()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn one_number_has_many_spellings() {
        for (one, two) in [
            ("4", "4.0"),
            ("400", "4e2"),
            ("0.004", "4E-3"),
            ("0", "-0.0e7"),
            ("-1.50", "-15e-1"),
        ] {
            assert_eq!(number(one), number(two), "{one} {two}");
        }
    }

    #[test]
    fn no_digit_is_too_far_to_the_right_to_count() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-0.1",
            "0",
            "1e-400",
            "0.30000000000000004",
            "0.3000000000000001",
            "9007199254740992",
            "9007199254740993",
            "170141183460469231731687303715884105728",
            "1e400",
        ];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_no_number() {
        for text in [
            "",
            "4 ",
            "+4",
            "0x4",
            "NaN",
            "1e99999999999999999999",
            "4GB",
            "1_0",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
        assert!(Decimal::parse("1e9223372036854775807").is_none());
        assert!(Decimal::parse(&"1".repeat(MAX_BYTES + 1)).is_none());
    }

    #[test]
    fn a_number_is_shown_in_one_way() {
        for shown in ["0", "7", "-7", "12345", "1.5", "-0.0001", "123456789012345"] {
            assert!(Decimal::is_shown_as(shown), "{shown}");
        }
        for other in [
            "-0",
            "7.0",
            "12345.00",
            "1e2",
            "1.2345E4",
            "0.10",
            "0.00001",
            "007",
            "+7",
            " 7",
            "",
            "x",
            "1234567890123456",
        ] {
            assert!(!Decimal::is_shown_as(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_whole_numbers(one: i64, two: i64) {
            let (left, right) = (number(&one.to_string()), number(&two.to_string()));
            prop_assert_eq!(left.cmp(&right), one.cmp(&two));
        }
    }
}
