//! Double entry: what an account is charged and what a provider is owed, and the named accounts
//! that hold every difference between the two.

use std::fmt;

use crate::{Money, Overflow, Rounding};

/// The legs of one entry. They always balance:
///
/// ```text
/// charged + absorbed = owed + markup
/// ```
///
/// So over any set of entries, what the accounts were charged and what the providers are owed
/// differ by exactly the markup less the absorbed. `saved` is a memo beside the books: what a
/// cached reply would have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge {
    charged: Money,
    owed: Money,
    markup: Money,
    absorbed: Money,
    saved: Money,
}

/// What an account pays on top of what is owed: a share in hundredths of a percent, negative for a
/// discount, and an amount a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Markup {
    basis_points: i32,
    per_request: Money,
}

/// On what terms an account's calls are charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// What it pays on top of what is owed.
    pub markup: Markup,
    /// Who pays for an attempt that gave it nothing.
    pub failed: FailedAttempts,
}

/// Who pays for a failed attempt that may have been billed. One of the two does, and never both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailedAttempts {
    /// The operator.
    #[default]
    Absorb,
    /// The account whose call it was.
    Charge,
}

/// Why legs aren't an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCharge {
    /// `charged + absorbed` isn't `owed + markup`.
    Unbalanced,
    /// A sum doesn't fit.
    Overflow,
}

impl Charge {
    /// No money moved.
    pub const ZERO: Charge = Charge {
        charged: Money::ZERO,
        owed: Money::ZERO,
        markup: Money::ZERO,
        absorbed: Money::ZERO,
        saved: Money::ZERO,
    };

    /// An attempt that the account pays for: the difference to what is owed is markup.
    pub fn priced(owed: Money, charged: Money) -> Result<Charge, Overflow> {
        Ok(Charge { charged, owed, markup: charged.checked_sub(owed)?, ..Charge::ZERO })
    }

    /// An attempt that the operator pays for: it may have been billed and gave the client nothing.
    pub const fn absorbed_attempt(owed: Money) -> Charge {
        Charge { owed, absorbed: owed, ..Charge::ZERO }
    }

    /// A reply from the cache: nothing is owed, what is charged is all markup.
    pub const fn cached(charged: Money, saved: Money) -> Charge {
        Charge { charged, markup: charged, saved, ..Charge::ZERO }
    }

    /// Reads legs back, and refuses them if they don't balance.
    pub fn from_legs(
        charged: Money,
        owed: Money,
        markup: Money,
        absorbed: Money,
        saved: Money,
    ) -> Result<Charge, BadCharge> {
        let charge = Charge { charged, owed, markup, absorbed, saved };
        if charge.charged.checked_add(absorbed)? == owed.checked_add(markup)? {
            Ok(charge)
        } else {
            Err(BadCharge::Unbalanced)
        }
    }

    /// What the account pays.
    pub const fn charged(&self) -> Money {
        self.charged
    }

    /// What we believe a provider is to be paid.
    pub const fn owed(&self) -> Money {
        self.owed
    }

    /// What the account pays beyond what is owed; negative where it pays less.
    pub const fn markup(&self) -> Money {
        self.markup
    }

    /// What is owed and charged to nobody.
    pub const fn absorbed(&self) -> Money {
        self.absorbed
    }

    /// What a cached reply would have cost. A memo: in no sum with the other legs.
    pub const fn saved(&self) -> Money {
        self.saved
    }

    /// Both together, leg by leg: the attempts of a call, the entries of a report.
    pub fn plus(&self, other: &Charge) -> Result<Charge, Overflow> {
        self.each(other, Money::checked_add)
    }

    /// What turns `other` into this: an adjustment after a corrected price or count.
    pub fn minus(&self, other: &Charge) -> Result<Charge, Overflow> {
        self.each(other, Money::checked_sub)
    }

    /// Legs that balance stay balanced, because the identity is linear.
    fn each(
        &self,
        other: &Charge,
        with: fn(Money, Money) -> Result<Money, Overflow>,
    ) -> Result<Charge, Overflow> {
        let Charge { charged, owed, markup, absorbed, saved } = *other;
        Ok(Charge {
            charged: with(self.charged, charged)?,
            owed: with(self.owed, owed)?,
            markup: with(self.markup, markup)?,
            absorbed: with(self.absorbed, absorbed)?,
            saved: with(self.saved, saved)?,
        })
    }
}

impl Markup {
    /// The account pays what is owed.
    pub const NONE: Markup = Markup { basis_points: 0, per_request: Money::ZERO };

    /// So many hundredths of a percent: from everything off to a hundredfold on top.
    pub fn basis_points(basis_points: i32) -> Option<Markup> {
        let sane = (-10_000..=1_000_000).contains(&basis_points);
        sane.then_some(Markup { basis_points, ..Markup::NONE })
    }

    /// Reads `10%`, `-2.5%`: at most two decimals, so that nothing is rounded.
    pub fn percent(text: &str) -> Option<Markup> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (digits, negative) = match number.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (number.strip_prefix('+').unwrap_or(number), false),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = (1..=5).contains(&whole.len()) && part.len() <= 2;
        if !fits || !all_digits(whole) || !all_digits(part) || digits.ends_with('.') {
            return None;
        }
        let hundredths: i32 = format!("{whole}{part:0<2}").parse().ok()?;
        Markup::basis_points(if negative { -hundredths } else { hundredths })
    }

    /// The same with an amount on top of every call.
    #[must_use]
    pub const fn with_fee(self, per_request: Money) -> Markup {
        Markup { per_request, ..self }
    }

    /// The share in hundredths of a percent.
    pub const fn share(self) -> i32 {
        self.basis_points
    }

    /// The amount on top of every call.
    pub const fn fee(self) -> Money {
        self.per_request
    }

    /// What the account pays for what is owed, without the amount a call: rounded up where it is
    /// held, half-even where it is charged.
    pub fn price(self, owed: Money, rounding: Rounding) -> Result<Money, Overflow> {
        let ten_thousandths = i128::from(owed.nanos()) * i128::from(10_000 + self.basis_points);
        Money::from_fraction(ten_thousandths, 10_000, rounding)
    }

    /// What the account pays for a whole call: its share and the amount a call.
    pub fn price_call(self, owed: Money, rounding: Rounding) -> Result<Money, Overflow> {
        self.price(owed, rounding)?.checked_add(self.per_request)
    }
}

impl FailedAttempts {
    /// The name, as in a configuration and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            FailedAttempts::Absorb => "absorb",
            FailedAttempts::Charge => "charge",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<FailedAttempts> {
        [FailedAttempts::Absorb, FailedAttempts::Charge].into_iter().find(|p| p.name() == name)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.basis_points < 0 { "-" } else { "" };
        let share = self.basis_points.unsigned_abs();
        write!(f, "{sign}{}.{:02}%", share / 100, share % 100)?;
        if self.per_request == Money::ZERO { Ok(()) } else { write!(f, " + ${}", self.per_request) }
    }
}

impl From<Overflow> for BadCharge {
    fn from(_: Overflow) -> Self {
        BadCharge::Overflow
    }
}

impl fmt::Display for BadCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadCharge::Unbalanced => "charged + absorbed isn't owed + markup",
            BadCharge::Overflow => "an amount is out of range",
        })
    }
}

impl std::error::Error for BadCharge {}

#[cfg(test)]
mod tests {
    use super::*;

    const fn money(nanos: i64) -> Money {
        Money::from_nanos(nanos)
    }

    fn legs(charge: &Charge) -> [i64; 5] {
        let Charge { charged, owed, markup, absorbed, saved } = *charge;
        [charged, owed, markup, absorbed, saved].map(Money::nanos)
    }

    fn balances(charge: &Charge) {
        let [charged, owed, markup, absorbed, saved] = legs(charge).map(Money::from_nanos);
        assert_eq!(Charge::from_legs(charged, owed, markup, absorbed, saved), Ok(*charge));
    }

    #[test]
    fn every_kind_of_entry_balances() {
        let table = [
            (Charge::ZERO, [0, 0, 0, 0, 0]),
            (Charge::priced(money(100), money(100)).unwrap(), [100, 100, 0, 0, 0]),
            (Charge::priced(money(100), money(120)).unwrap(), [120, 100, 20, 0, 0]),
            (Charge::priced(money(100), money(0)).unwrap(), [0, 100, -100, 0, 0]),
            (Charge::absorbed_attempt(money(70)), [0, 70, 0, 70, 0]),
            (Charge::cached(money(10), money(100)), [10, 0, 10, 0, 100]),
        ];
        for (charge, expected) in table {
            assert_eq!(legs(&charge), expected);
            balances(&charge);
            let getters = [
                charge.charged(),
                charge.owed(),
                charge.markup(),
                charge.absorbed(),
                charge.saved(),
            ];
            assert_eq!(getters.map(Money::nanos), expected);
        }
    }

    #[test]
    fn legs_that_do_not_balance_are_no_charge() {
        let read = |c, o, m, a| {
            Charge::from_legs(money(c), money(o), money(m), money(a), money(9)).map(|c| legs(&c))
        };
        assert_eq!(read(120, 100, 20, 0), Ok([120, 100, 20, 0, 9]));
        assert_eq!(read(0, 100, 0, 100), Ok([0, 100, 0, 100, 9]));
        assert_eq!(read(121, 100, 20, 0), Err(BadCharge::Unbalanced));
        assert_eq!(read(0, 100, 0, 0), Err(BadCharge::Unbalanced));
        assert_eq!(read(i64::MAX, 0, 0, 1), Err(BadCharge::Overflow));
    }

    #[test]
    fn sums_over_accounts_and_providers_differ_by_markup_less_absorbed() {
        let all = [
            Charge::absorbed_attempt(money(70)),
            Charge::priced(money(100), money(120)).unwrap(),
            Charge::cached(money(10), money(100)),
        ];
        let sum = all.iter().try_fold(Charge::ZERO, |sum, one| sum.plus(one)).unwrap();
        assert_eq!(legs(&sum), [130, 170, 30, 70, 100]);
        balances(&sum);
        let corrected = sum.minus(&all[1]).unwrap();
        assert_eq!(legs(&corrected), [10, 70, 10, 70, 100]);
        balances(&corrected);
        let huge = Charge::cached(money(i64::MAX), money(0));
        assert_eq!(huge.plus(&huge), Err(Overflow));
        assert_eq!(Charge::priced(money(-1), money(i64::MAX)), Err(Overflow));
    }

    #[test]
    fn a_markup_is_exact_to_half_a_nano() {
        let table = [
            (0, 100, 100),
            (2_000, 100, 120),
            (-10_000, 100, 0),
            (-500, 1_000, 950),
            (5_000, 1, 2),
            (5_000, 3, 4),
            (4_999, 1, 1),
            (1, i64::MAX / 2, 4_612_147_187_029_230_642),
        ];
        for (basis_points, owed, price) in table {
            let markup = Markup::basis_points(basis_points).unwrap();
            let charged = markup.price(money(owed), Rounding::HalfEven);
            assert_eq!(charged, Ok(money(price)), "{basis_points} of {owed}");
            let held = markup.price(money(owed), Rounding::Up).unwrap();
            assert!(held >= money(price) && held.nanos() - price <= 1, "{basis_points} of {owed}");
        }
        assert_eq!(Markup::NONE.price(money(5), Rounding::Up), Ok(money(5)));
        let fee = Markup::basis_points(1_000).unwrap().with_fee(money(7));
        assert_eq!(fee.price_call(money(100), Rounding::HalfEven), Ok(money(117)));
        assert_eq!(fee.to_string(), "10.00% + $0.000000007");
        assert_eq!(Markup::NONE.to_string(), "0.00%");
        assert_eq!(Markup::percent("-2.5%").unwrap().to_string(), "-2.50%");
        assert_eq!(Markup::basis_points(-10_001), None);
        assert_eq!(Markup::basis_points(1_000_001), None);
        let half = Markup::basis_points(5_000).unwrap();
        assert_eq!(half.price(money(i64::MAX), Rounding::HalfEven), Err(Overflow));
        assert_eq!(
            half.with_fee(money(i64::MAX)).price_call(money(1), Rounding::Up),
            Err(Overflow)
        );
    }

    #[test]
    fn a_share_is_read_exactly_or_not_at_all() {
        let good =
            [("10%", 1_000), ("2.5%", 250), ("-5%", -500), ("+0.01 %", 1), ("10000%", 1_000_000)];
        for (text, basis_points) in good {
            assert_eq!(Markup::percent(text), Markup::basis_points(basis_points), "{text}");
            assert_eq!(Markup::percent(text).map(Markup::share), Some(basis_points), "{text}");
        }
        for text in ["10", "%", "1.234%", "1.%", ".5%", "-101%", "10001%", "1e1%", "--1%", "1&%"] {
            assert_eq!(Markup::percent(text), None, "{text}");
        }
        for policy in [FailedAttempts::Absorb, FailedAttempts::Charge] {
            assert_eq!(FailedAttempts::from_name(policy.name()), Some(policy));
        }
        assert_eq!(FailedAttempts::from_name("both"), None);
    }
}
