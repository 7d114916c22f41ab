//! When a delivery that failed is tried again. Pure.

use std::time::Duration;

use uuid::Uuid;

use crate::notify::DeliveryError;

/// What becomes of a delivery that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is tried again after this.
    Again(Duration),
    /// It is dead.
    GiveUp,
}

/// The first wait after a failure; each further one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_hours(1);

/// The first wait after the far side refused the message itself; each further one is four times as long.
const FIRST_REFUSED: Duration = Duration::from_mins(1);

/// How often a message is offered to a far side that refuses it: for an hour and a half, since a mailbox that is being
/// moved and a receiver that is being set up refuse, too.
const REFUSALS: u32 = 5;

/// What becomes of a delivery of this age after `attempts` attempts, of which the last failed by `error`.
///
/// Waits differ by up to a quarter from delivery to delivery, so that those which failed together do not come back together.
pub(super) fn next(
    delivery: Uuid,
    attempts: u32,
    age: Duration,
    give_up_after: Duration,
    error: &DeliveryError,
) -> Next {
    let is_hopeless = error.is_refusal() && attempts >= REFUSALS;
    let Some(left) = give_up_after
        .checked_sub(age)
        .filter(|it| !it.is_zero() && !is_hopeless)
    else {
        return Next::GiveUp;
    };
    let doublings = attempts.saturating_sub(1).min(20);
    let wait = if error.is_refusal() {
        FIRST_REFUSED.saturating_mul(4_u32.saturating_pow(doublings))
    } else {
        FIRST.saturating_mul(2_u32.saturating_pow(doublings))
    };
    let wait = spread(wait.min(LONGEST), delivery, attempts);
    let wait = error.retry_after().map_or(wait, |asked| wait.max(asked));
    // The last attempt is at the end of the time.
    Next::Again(wait.min(left))
}

/// `wait`, more or less by up to an eighth: by the id's random bits and the attempt.
fn spread(wait: Duration, delivery: Uuid, attempts: u32) -> Duration {
    let (_, random) = delivery.as_u64_pair();
    // Mixed by a multiplicative hash (Knuth), so that each attempt draws anew.
    let drawn = random
        .wrapping_add(u64::from(attempts))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        >> 56;
    let eighth = wait / 8;
    let more = eighth.saturating_mul(u32::try_from(drawn).unwrap_or_default()) / 128;
    wait.saturating_sub(eighth).saturating_add(more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::notify::Verdict;

    use super::*;

    fn failure(verdict: Verdict, retry_after: Option<Duration>) -> DeliveryError {
        DeliveryError::Answered {
            far: "it".to_owned(),
            step: "the post",
            answer: "no".to_owned(),
            verdict,
            retry_after,
        }
    }

    /// The waits of a delivery that always fails, and the sum of them.
    fn waits(delivery: Uuid, give_up_after: Duration, error: &DeliveryError) -> Vec<Duration> {
        let mut age = Duration::ZERO;
        let mut waits = Vec::new();
        for attempts in 1.. {
            match next(delivery, attempts, age, give_up_after, error) {
                Next::GiveUp => break,
                Next::Again(wait) => {
                    age += wait;
                    waits.push(wait);
                }
            }
        }
        waits
    }

    #[test]
    fn a_busy_far_side_is_asked_ever_more_seldom_until_the_time_is_over() {
        let days = Duration::from_hours(72);
        let waits = waits(Uuid::nil(), days, &failure(Verdict::Later, None));
        assert_eq!(waits.iter().sum::<Duration>(), days);
        assert!(waits[0] >= Duration::from_secs(4) && waits[0] <= Duration::from_secs(6));
        assert!(waits.iter().all(|it| *it <= LONGEST + LONGEST / 8));
        assert!((70..120).contains(&waits.len()), "{}", waits.len());
    }

    #[test]
    fn a_message_that_is_refused_is_offered_five_times() {
        let waits = waits(
            Uuid::nil(),
            Duration::from_hours(72),
            &failure(Verdict::Never, None),
        );
        assert_eq!(waits.len(), 4);
        let all: Duration = waits.iter().sum();
        assert!(all > Duration::from_hours(1) && all < Duration::from_mins(100));
    }

    #[test]
    fn a_far_side_that_asks_to_be_left_alone_is() {
        let asked = Duration::from_mins(10);
        let error = failure(Verdict::Later, Some(asked));
        let wait = next(
            Uuid::nil(),
            1,
            Duration::ZERO,
            Duration::from_hours(1),
            &error,
        );
        assert_eq!(wait, Next::Again(asked));
    }

    proptest! {
        #[test]
        fn every_delivery_ends_in_its_time(
            id: u128,
            give_up_after_s in 1_u64..10_000_000,
            is_refused: bool,
        ) {
            let give_up_after = Duration::from_secs(give_up_after_s);
            let verdict = if is_refused { Verdict::Never } else { Verdict::Later };
            let waits = waits(Uuid::from_u128(id), give_up_after, &failure(verdict, None));
            prop_assert!(waits.iter().sum::<Duration>() <= give_up_after);
            prop_assert!(waits.iter().all(|it| !it.is_zero()));
        }
    }
}
