//! Money in signed nano-dollars, prices in pico-dollars a unit, and the one place where a price
//! times a quantity is rounded to money. Integers only.

use std::fmt;
use std::str::FromStr;

/// An amount of money in nano-dollars. Signed: a refund, a debt and a difference are money too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// The price of one unit (a token, a search, a request) in pico-dollars.
///
/// One pico-dollar a token is one micro-dollar a million tokens, so every price list that has at
/// most six decimals a million is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice(u64);

/// A number left the range of its type. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// How pico-dollars become nano-dollars. Each entry is rounded once, never its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards positive infinity: for holds, which are bounds.
    Up,
    /// To the nearest, ties to even: for settlements, so that many entries have no drift.
    HalfEven,
}

/// Why a decimal amount could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAmount {
    /// No digits.
    Empty,
    /// Something else than digits, one point, and a leading `-` or `$`.
    NotANumber,
    /// More decimals than the unit can hold; rounding a price silently would be a lie.
    TooManyDecimals,
    /// Out of range, or negative where only zero and above make sense.
    OutOfRange,
}

const NANOS_PER_DOLLAR: u64 = 1_000_000_000;
const PICO_PER_NANO: i128 = 1_000;

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);

    /// An amount of that many nano-dollars.
    pub const fn from_nanos(nanos: i64) -> Money {
        Money(nanos)
    }

    /// The amount in nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Rounds pico-dollars to money.
    pub fn from_pico(pico: i128, rounding: Rounding) -> Result<Money, Overflow> {
        Money::from_fraction(pico, PICO_PER_NANO, rounding)
    }

    /// Rounds so many parts of a nano-dollar, of which `parts` make one.
    pub(crate) fn from_fraction(
        number: i128,
        parts: i128,
        rounding: Rounding,
    ) -> Result<Money, Overflow> {
        let floor = number.div_euclid(parts);
        let rest = number.rem_euclid(parts);
        let up = match rounding {
            Rounding::Up => rest > 0,
            Rounding::HalfEven => rest * 2 > parts || (rest * 2 == parts && floor % 2 != 0),
        };
        i64::try_from(floor + i128::from(up)).map(Money).map_err(|_| Overflow)
    }

    /// The sum.
    pub fn checked_add(self, other: Money) -> Result<Money, Overflow> {
        self.0.checked_add(other.0).map(Money).ok_or(Overflow)
    }

    /// The difference.
    pub fn checked_sub(self, other: Money) -> Result<Money, Overflow> {
        self.0.checked_sub(other.0).map(Money).ok_or(Overflow)
    }
}

impl UnitPrice {
    /// A price of that many pico-dollars a unit.
    pub const fn from_pico(pico: u64) -> UnitPrice {
        UnitPrice(pico)
    }

    /// Pico-dollars a unit.
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Reads dollars per million units, as price lists write them: `"2.50"`.
    pub fn per_million(dollars: &str) -> Result<UnitPrice, BadAmount> {
        UnitPrice::read(dollars, 6)
    }

    /// Reads dollars per single unit, as searches and requests are priced: `"0.01"`.
    pub fn per_unit(dollars: &str) -> Result<UnitPrice, BadAmount> {
        UnitPrice::read(dollars, 12)
    }

    /// The exact cost of `quantity` units, in pico-dollars.
    pub fn times(self, quantity: u64) -> Result<i128, Overflow> {
        i128::from(self.0).checked_mul(i128::from(quantity)).ok_or(Overflow)
    }

    fn read(text: &str, decimals: u32) -> Result<UnitPrice, BadAmount> {
        let (negative, value) = read_decimal(text, decimals)?;
        if negative && value != 0 {
            return Err(BadAmount::OutOfRange);
        }
        u64::try_from(value).map(UnitPrice).map_err(|_| BadAmount::OutOfRange)
    }
}

impl fmt::Display for Money {
    /// Decimal dollars, nine places, trimmed: `0.00125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = decimal(self.0.unsigned_abs(), NANOS_PER_DOLLAR, 9);
        f.pad_integral(self.0 >= 0, "", &digits)
    }
}

impl fmt::Display for UnitPrice {
    /// Decimal dollars per million units: `2.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(true, "", &decimal(self.0, 1_000_000, 6))
    }
}

impl FromStr for Money {
    type Err = BadAmount;

    /// Reads `12.34`, `$12.34` or `-12.34`, with at most nine decimals.
    fn from_str(text: &str) -> Result<Money, BadAmount> {
        let (negative, value) = read_decimal(text, 9)?;
        let value = i128::try_from(value).map_err(|_| BadAmount::OutOfRange)?;
        let signed = if negative { -value } else { value };
        i64::try_from(signed).map(Money).map_err(|_| BadAmount::OutOfRange)
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount is out of range")
    }
}

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadAmount::Empty => "an amount is missing",
            BadAmount::NotANumber => "not a decimal number of dollars",
            BadAmount::TooManyDecimals => "more decimals than can be kept exactly",
            BadAmount::OutOfRange => "an amount is out of range",
        })
    }
}

impl std::error::Error for Overflow {}
impl std::error::Error for BadAmount {}

fn decimal(value: u64, unit: u64, places: usize) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:0places$}").trim_end_matches('0').to_owned()
}

/// Reads `[-][$]digits[.digits]` scaled by ten to the `decimals`; the sign is apart so that every
/// caller decides about negatives.
fn read_decimal(text: &str, decimals: u32) -> Result<(bool, u128), BadAmount> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let text = text.strip_prefix('$').unwrap_or(text);
    if text.is_empty() {
        return Err(BadAmount::Empty);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && part.is_empty() {
        return Err(BadAmount::NotANumber);
    }
    let part = part.trim_end_matches('0');
    let mut value: u128 = 0;
    let mut room = decimals;
    for (digit, is_part) in whole.bytes().map(|b| (b, false)).chain(part.bytes().map(|b| (b, true)))
    {
        if !digit.is_ascii_digit() {
            return Err(BadAmount::NotANumber);
        }
        if is_part {
            room = room.checked_sub(1).ok_or(BadAmount::TooManyDecimals)?;
        }
        value = append(value, digit - b'0')?;
    }
    for _ in 0..room {
        value = append(value, 0)?;
    }
    Ok((negative, value))
}

fn append(value: u128, digit: u8) -> Result<u128, BadAmount> {
    let value = value.checked_mul(10).and_then(|v| v.checked_add(u128::from(digit)));
    value.ok_or(BadAmount::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_and_prints_decimal_dollars() {
        let table = [
            ("12.34", 12_340_000_000, "12.34"),
            ("$12.34", 12_340_000_000, "12.34"),
            (" 0.00125 ", 1_250_000, "0.00125"),
            ("-0.5", -500_000_000, "-0.5"),
            ("-$3", -3_000_000_000, "-3"),
            ("5.", 5_000_000_000, "5"),
            (".5", 500_000_000, "0.5"),
            ("0.000000001", 1, "0.000000001"),
            ("1.0000000010000", 1_000_000_001, "1.000000001"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
            ("-9223372036.854775808", i64::MIN, "-9223372036.854775808"),
        ];
        for (text, nanos, shown) in table {
            assert_eq!(text.parse(), Ok(Money::from_nanos(nanos)), "{text}");
            assert_eq!(Money::from_nanos(nanos).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn an_amount_that_is_not_exact_is_refused() {
        let table = [
            ("", BadAmount::Empty),
            ("$", BadAmount::Empty),
            (".", BadAmount::NotANumber),
            ("1,000", BadAmount::NotANumber),
            ("1e3", BadAmount::NotANumber),
            ("NaN", BadAmount::NotANumber),
            ("--1", BadAmount::NotANumber),
            ("1.2.3", BadAmount::NotANumber),
            ("0.0000000001", BadAmount::TooManyDecimals),
            ("9223372036.854775808", BadAmount::OutOfRange),
            ("99999999999999999999999999999999999999999999", BadAmount::OutOfRange),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Money>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_unit_price_is_exact_in_pico_dollars() {
        let table =
            [("2.50", 2_500_000, "2.5"), ("0.0025", 2_500, "0.0025"), ("75", 75_000_000, "75")];
        for (text, pico, shown) in table {
            let price = UnitPrice::per_million(text).unwrap();
            assert_eq!(price, UnitPrice::from_pico(pico), "{text}");
            assert_eq!((price.pico(), price.to_string()), (pico, shown.to_owned()), "{text}");
        }
        assert_eq!(UnitPrice::per_unit("0.01"), Ok(UnitPrice::from_pico(10_000_000_000)));
        assert_eq!(UnitPrice::per_million("0.0000001"), Err(BadAmount::TooManyDecimals));
        assert_eq!(UnitPrice::per_million("-1"), Err(BadAmount::OutOfRange));
        assert_eq!(UnitPrice::per_million("-0"), Ok(UnitPrice::from_pico(0)));
        assert_eq!(UnitPrice::per_million("18446744073710"), Err(BadAmount::OutOfRange));
    }

    #[test]
    fn rounding_happens_up_for_holds_and_half_even_for_settlements() {
        let table = [
            (0, 0, 0),
            (1, 1, 0),
            (499, 1, 0),
            (500, 1, 0),
            (501, 1, 1),
            (1_000, 1, 1),
            (1_500, 2, 2),
            (2_500, 3, 2),
            (2_501, 3, 3),
            (-500, 0, 0),
            (-1_500, -1, -2),
            (-1_501, -1, -2),
            (-1, 0, 0),
        ];
        for (pico, up, even) in table {
            assert_eq!(Money::from_pico(pico, Rounding::Up), Ok(Money(up)), "up {pico}");
            assert_eq!(Money::from_pico(pico, Rounding::HalfEven), Ok(Money(even)), "even {pico}");
        }
        assert_eq!(Money::from_pico(i128::MAX, Rounding::Up), Err(Overflow));
        assert_eq!(Money::from_pico(i128::MIN, Rounding::HalfEven), Err(Overflow));
    }

    #[test]
    fn sums_that_do_not_fit_are_refused() {
        let max = Money::from_nanos(i64::MAX);
        assert_eq!(max.checked_add(Money(1)), Err(Overflow));
        assert_eq!(Money(i64::MIN).checked_sub(Money(1)), Err(Overflow));
        assert_eq!(Money(5).checked_add(Money(-7)), Ok(Money(-2)));
        assert_eq!(Money(5).checked_sub(Money(7)), Ok(Money(-2)));
        assert_eq!(UnitPrice(u64::MAX).times(u64::MAX), Err(Overflow));
    }
}
