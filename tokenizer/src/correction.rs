//! What a model bills beside what can be counted - a hidden prompt, another vendor's tokenizer -
//! learned from the usage it reports, one observation at a time.

/// A correction of one model's estimates: a factor, a constant, and an amount where the request
/// has tools. It starts as no correction at all and moves as far as what was billed supports; old
/// observations fade, so that it follows a model that changes. It has one size for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    observations: u64,
    /// The upper triangle of the normal equations of a weighted least-squares fit.
    squares: [f64; 6],
    /// Their right-hand side.
    products: [f64; 3],
}

/// How much of an observation is left after the next.
const FADE: f64 = 0.97;

/// How far each term is expected to be from no correction, in units of the usual error: the
/// constant (50 tokens), the factor (0.2), the tools (150 tokens), against 5 % of noise.
const STIFFNESS: [f64; 3] = [1e-6, 0.05, 1e-7];

/// Counts beyond this are no counts.
const MOST: u64 = 1 << 40;

impl Default for Correction {
    fn default() -> Self {
        Self::new()
    }
}

impl Correction {
    /// No correction.
    #[must_use]
    pub const fn new() -> Self {
        Self { observations: 0, squares: [0.0; 6], products: [0.0; 3] }
    }

    /// Learns that a request that was estimated at `estimate` tokens was billed as `billed`.
    pub fn observe(&mut self, estimate: u64, with_tools: bool, billed: u64) {
        if estimate > MOST || billed == 0 || billed > MOST {
            return;
        }
        // A single odd bill must not throw the fit: it counts as at most eight times what was
        // expected, and a big constant more.
        let expected = self.apply(estimate, with_tools);
        let (least, most) = bounds(expected);
        let billed = billed.clamp(least, most) as f64;
        let [one, size, tools] = terms(estimate, with_tools);
        // Errors are weighed as parts of the bill, so that long requests don't drown short ones.
        let weight = 1.0 / (billed.max(16.0) * billed.max(16.0));
        let new = [one, size, tools, size * size, size * tools, tools * tools];
        for (held, new) in self.squares.iter_mut().zip(new) {
            *held = *held * FADE + weight * new;
        }
        for (held, new) in self.products.iter_mut().zip([one, size, tools]) {
            *held = *held * FADE + weight * new * billed;
        }
        self.observations = self.observations.saturating_add(1);
    }

    /// The estimate, corrected: never below an eighth of it, nor above eight times it and 20,000.
    #[must_use]
    pub fn apply(&self, estimate: u64, with_tools: bool) -> u64 {
        let Some([constant, factor, tools]) = self.fit() else { return estimate };
        let [_, size, has_tools] = terms(estimate, with_tools);
        let corrected = constant + factor * size + tools * has_tools;
        let (least, most) = bounds(estimate);
        if corrected.is_finite() { (corrected.round() as u64).clamp(least, most) } else { estimate }
    }

    /// How many bills were learned from.
    #[must_use]
    pub const fn observations(&self) -> u64 {
        self.observations
    }

    /// For people: the constant, the factor, and the amount for tools. (0, 1, 0) is none.
    #[must_use]
    pub fn terms(&self) -> (f64, f64, f64) {
        self.fit().map_or((0.0, 1.0, 0.0), |[constant, factor, tools]| (constant, factor, tools))
    }

    /// The numbers to store.
    #[must_use]
    pub fn to_numbers(&self) -> [f64; 10] {
        let Self { observations, squares: [a, b, c, d, e, f], products: [x, y, z] } = *self;
        [observations as f64, a, b, c, d, e, f, x, y, z]
    }

    /// The numbers to store, as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 80] {
        let mut bytes = [0; 80];
        for (to, number) in bytes.chunks_exact_mut(8).zip(self.to_numbers()) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// From stored bytes; `None` if no correction has them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 80]) -> Option<Self> {
        let mut numbers = [0.0; 10];
        for (number, from) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = f64::from_le_bytes(from.try_into().ok()?);
        }
        Self::from_numbers(&numbers)
    }

    /// From stored numbers; `None` if no correction has them.
    #[must_use]
    pub fn from_numbers(numbers: &[f64; 10]) -> Option<Self> {
        let [observations, a, b, c, d, e, f, x, y, z] = *numbers;
        let fits = numbers.iter().all(|number| number.is_finite() && *number >= 0.0);
        fits.then_some(Self {
            observations: observations as u64,
            squares: [a, b, c, d, e, f],
            products: [x, y, z],
        })
    }

    /// Solves the equations, each term held towards no correction by its stiffness.
    fn fit(&self) -> Option<[f64; 3]> {
        if self.observations == 0 {
            return None;
        }
        let [aa, ab, ac, bb, bc, cc] = self.squares;
        let [stiff_a, stiff_b, stiff_c] = STIFFNESS;
        let (aa, bb, cc) = (aa + stiff_a, bb + stiff_b, cc + stiff_c);
        let [x, y, z] = self.products;
        let y = y + stiff_b;
        // Cramer's rule; the stiffness keeps the determinant above zero.
        let (m_a, m_b, m_c) = (bb * cc - bc * bc, ab * cc - bc * ac, ab * bc - bb * ac);
        let determinant = aa * m_a - ab * m_b + ac * m_c;
        let solve = |value: f64| {
            let value = value / determinant;
            value.is_finite().then_some(value)
        };
        Some([
            solve(x * m_a - ab * (y * cc - bc * z) + ac * (y * bc - bb * z))?,
            solve(aa * (y * cc - bc * z) - x * m_b + ac * (ab * z - y * ac))?,
            solve(aa * (bb * z - y * bc) - ab * (ab * z - y * ac) + x * m_c)?,
        ])
    }
}

fn terms(estimate: u64, with_tools: bool) -> [f64; 3] {
    [1.0, estimate as f64, if with_tools { 1.0 } else { 0.0 }]
}

fn bounds(estimate: u64) -> (u64, u64) {
    (estimate / 8, estimate.saturating_mul(8).saturating_add(20_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_learned_corrects_nothing() {
        assert_eq!(Correction::new().apply(1234, true), 1234);
    }

    #[test]
    fn a_hidden_prompt_and_a_factor_are_learned() {
        let mut correction = Correction::new();
        for at in 0..200_u64 {
            let (estimate, tools) = (20 + at * 37 % 900, at % 3 == 0);
            let billed = 170 + estimate * 6 / 5 + if tools { 346 } else { 0 };
            correction.observe(estimate, tools, billed);
        }
        for (estimate, tools, billed) in [(100, false, 290), (100, true, 636), (2000, false, 2570)]
        {
            let corrected = correction.apply(estimate, tools);
            assert!(corrected.abs_diff(billed) * 50 < billed, "{corrected} for {billed}");
        }
        let (constant, factor, tools) = correction.terms();
        assert!((constant - 170.0).abs() < 10.0 && (factor - 1.2).abs() < 0.05);
        assert!((tools - 346.0).abs() < 20.0);
    }

    #[test]
    fn a_change_is_followed() {
        let mut correction = Correction::new();
        for _ in 0..200 {
            correction.observe(100, false, 200);
        }
        for _ in 0..200 {
            correction.observe(100, false, 110);
        }
        assert!(correction.apply(100, false).abs_diff(110) <= 2);
    }

    #[test]
    fn no_bill_throws_it_off_its_bounds() {
        let mut correction = Correction::new();
        for (estimate, billed) in [(0, 1), (1, u64::MAX), (u64::MAX, 1), (10, 1 << 40), (0, 0)] {
            correction.observe(estimate, true, billed);
            for asked in [0, 1, 1000, u64::MAX] {
                let corrected = correction.apply(asked, false);
                assert!(corrected >= asked / 8 && corrected <= bounds(asked).1);
            }
        }
    }

    #[test]
    fn what_is_stored_comes_back() {
        let mut correction = Correction::new();
        correction.observe(100, true, 250);
        assert_eq!(Correction::from_numbers(&correction.to_numbers()), Some(correction));
        assert_eq!(Correction::from_numbers(&[f64::NAN; 10]), None);
        assert_eq!(Correction::from_numbers(&[-1.0; 10]), None);
    }
}
