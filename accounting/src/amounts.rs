//! How much a call asks for, holds or used, over all metrics at once.

use crate::{Metric, Money, Overflow};

/// What a hold asks for and what a settlement used. Concurrency isn't written: a hold is one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Calls; 1 for all but odd cases.
    pub requests: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Money; never negative.
    pub cost: Money,
}

/// A difference of amounts, as a late settlement corrects what an expired hold was charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Change {
    /// Calls.
    pub requests: i64,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Money.
    pub cost: Money,
}

/// Lifetime sums of what was charged to an account and to everything below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Totals {
    /// Calls.
    pub requests: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Money.
    pub cost: Money,
}

/// Amounts as the book keeps them: each is 0 or more, and input + output fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) requests: i64,
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) cost: i64,
}

impl Units {
    pub(crate) const NONE: Units = Units { requests: 0, input: 0, output: 0, cost: 0 };

    pub(crate) fn of(amounts: &Amounts) -> Result<Units, Overflow> {
        let Amounts { requests, input_tokens, output_tokens, cost } = *amounts;
        Units {
            requests: i64::try_from(requests).map_err(|_| Overflow)?,
            input: i64::try_from(input_tokens).map_err(|_| Overflow)?,
            output: i64::try_from(output_tokens).map_err(|_| Overflow)?,
            cost: cost.nanos(),
        }
        .valid()
    }

    /// Refuses what is negative and what doesn't fit.
    pub(crate) fn valid(self) -> Result<Units, Overflow> {
        let Units { requests, input, output, cost } = self;
        let negative = requests < 0 || input < 0 || output < 0 || cost < 0;
        match input.checked_add(output) {
            Some(_) if !negative => Ok(self),
            _ => Err(Overflow),
        }
    }

    /// The amount of a metric; of calls in flight there are `flight`.
    pub(crate) fn get(&self, metric: Metric, flight: i64) -> i64 {
        match metric {
            Metric::Requests => self.requests,
            Metric::InputTokens => self.input,
            Metric::OutputTokens => self.output,
            Metric::Tokens => self.input + self.output,
            Metric::Cost => self.cost,
            Metric::Concurrency => flight,
        }
    }

    /// The sum, of which the other part may be negative.
    pub(crate) fn plus(self, other: Units) -> Result<Units, Overflow> {
        self.each(other, i64::checked_add)?.valid()
    }

    /// The difference, which may be negative in each part.
    pub(crate) fn minus(self, other: Units) -> Result<Units, Overflow> {
        self.each(other, i64::checked_sub)
    }

    /// Some part is more than the other's.
    pub(crate) fn exceeds(&self, other: &Units) -> bool {
        self.requests > other.requests
            || self.input > other.input
            || self.output > other.output
            || self.cost > other.cost
    }

    pub(crate) fn amounts(&self) -> Amounts {
        Amounts {
            requests: self.requests.unsigned_abs(),
            input_tokens: self.input.unsigned_abs(),
            output_tokens: self.output.unsigned_abs(),
            cost: Money::from_nanos(self.cost),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let Amounts { requests, input_tokens, output_tokens, cost } = self.amounts();
        Totals { requests, input_tokens, output_tokens, cost }
    }

    pub(crate) fn change(&self) -> Change {
        let Units { requests, input, output, cost } = *self;
        let cost = Money::from_nanos(cost);
        Change { requests, input_tokens: input, output_tokens: output, cost }
    }

    fn each(self, other: Units, with: fn(i64, i64) -> Option<i64>) -> Result<Units, Overflow> {
        Ok(Units {
            requests: with(self.requests, other.requests).ok_or(Overflow)?,
            input: with(self.input, other.input).ok_or(Overflow)?,
            output: with(self.output, other.output).ok_or(Overflow)?,
            cost: with(self.cost, other.cost).ok_or(Overflow)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_valid_amount_is_negative() {
        let one = |part: usize| {
            let at = |place| if place == part { -1 } else { 1 };
            Units { requests: at(0), input: at(1), output: at(2), cost: at(3) }
        };
        assert!((0..4).all(|part| one(part).valid().is_err()));
        assert!(one(4).valid().is_ok());
    }
}
