//! How many tokens a reply is likely to have at each of several targets, of which some were asked often
//! and some never.

/// Replies that what is known of the other targets weighs as much as.
const PRIOR: u64 = 8;
/// One call of so many gives targets that it knows little of the benefit of the doubt.
const CURIOUS: u64 = 16;

/// The likely output at each target, from the mean of its replies and how many there were; where
/// nothing is known at all, `unknown` is taken. `chance` is a random number.
///
/// Until its own replies say otherwise, a target is taken to write what all write together: a figure of
/// its own would look cheap to long tasks and dear to short ones, and one long reply would shut a
/// target out. But so nobody would ever learn that a target is terse; so now and then it is taken to
/// write half of that. The more replies there are, the less either matters.
pub fn likely_outputs(known: &[Option<(u64, u32)>], unknown: u64, chance: u64) -> Vec<u64> {
    let sums = known.iter().flatten().fold((0_u128, 0_u128), |(sum, all), (mean, replies)| {
        let replies = u128::from(*replies);
        (sum + u128::from(*mean) * replies, all + replies)
    });
    let mean = sums.0.checked_div(sums.1).unwrap_or(u128::from(unknown));
    let prior = if chance.is_multiple_of(CURIOUS) { mean.div_ceil(2) } else { mean };
    let one = |known: &Option<(u64, u32)>| {
        let (mean, replies) = known.unwrap_or((0, 0));
        let (replies, weight) = (u128::from(replies), u128::from(PRIOR));
        let sum = u128::from(mean) * replies + prior * weight;
        u64::try_from(sum / (replies + weight)).unwrap_or(u64::MAX)
    };
    known.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_was_never_asked_is_taken_to_write_as_others_do_and_now_and_then_half() {
        assert_eq!(likely_outputs(&[None, None], 256, 1), [256, 256]);
        assert_eq!(likely_outputs(&[Some((1_000, 500)), None], 256, 1), [1_000, 1_000]);
        assert_eq!(likely_outputs(&[Some((1_000, 500)), None], 256, 16), [992, 500]);
    }

    #[test]
    fn one_reply_says_little_and_many_say_it_all() {
        let some = likely_outputs(&[Some((100, 1_000)), Some((4_000, 1))], 256, 1);
        assert!((500..600).contains(&some[1]), "{some:?}");
        let many = likely_outputs(&[Some((100, 1_000)), Some((300, 1_000))], 256, 16);
        assert!(many[0] <= 101 && many[1] >= 297, "{many:?}");
    }
}
