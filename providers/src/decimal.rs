//! Exact reading of JSON numbers that are money. No float is ever made of them.

/// `text` times ten to the power `places`, where that is a whole number that fits.
pub fn exact(text: &str, places: i32) -> Option<i128> {
    match scaled(text, places)? {
        (whole, false) => Some(whole),
        (_, true) => None,
    }
}

/// `text` times ten to the power `places`, cut to a whole number; and whether something was cut off.
pub fn scaled(text: &str, places: i32) -> Option<(i128, bool)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.strip_prefix('+').unwrap_or(e).parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes());
    let mut value: i128 = 0;
    let mut shift =
        places.checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let mut cut = false;
    while shift < 0 && value != 0 {
        cut |= value % 10 != 0;
        value /= 10;
        shift += 1;
    }
    while shift > 0 && value != 0 {
        value = value.checked_mul(10)?;
        shift -= 1;
    }
    Some((if negative { -value } else { value }, cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_can_write_and_nothing_is_rounded() {
        let good = [
            ("2.50", 6, 2_500_000),
            ("0", 6, 0),
            ("0.0", 2, 0),
            ("1e-6", 6, 1),
            ("1.5E+2", 1, 1500),
            ("-0.25", 2, -25),
            ("3.0000", 0, 3),
            ("1e-05", 9, 10_000),
        ];
        for (text, places, expected) in good {
            assert_eq!(exact(text, places), Some(expected), "{text}");
        }
        for (text, places) in
            [("0.05", 1), ("", 0), ("x", 0), (".5", 1), ("1e99", 6), ("1e", 0), ("NaN", 0)]
        {
            assert_eq!(exact(text, places), None, "{text}");
        }
        assert_eq!(scaled("0.0000123456789", 9), Some((12_345, true)));
        assert_eq!(scaled("1e-2147483648", 9), Some((0, true)));
        assert_eq!(scaled("0.1e-400", 9), Some((0, true)));
    }
}
