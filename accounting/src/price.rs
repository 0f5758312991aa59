//! What usage costs: a dated, versioned price card, its line items to the pico-dollar, and the
//! bound that a hold takes before anything is known.

use std::fmt;

use crate::{Class, Money, Overflow, Rounding, Timestamp, UnitPrice, Usage};

/// The prices of one model at one provider and service tier, from one instant on. Immutable: a
/// changed price is a new version, so that an old entry can always be recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceCard {
    /// Names this card for ever; every entry keeps it.
    pub version: String,
    /// Where the prices were read, for people.
    pub source: String,
    /// The first instant at which they hold.
    pub effective_from: Timestamp,
    /// By total input tokens, ascending; the first is above 0.
    pub tiers: Vec<Tier>,
    /// A fixed fee a request.
    pub per_request: Option<UnitPrice>,
}

/// The rates of calls whose total input is above a threshold. All tokens of the call are charged
/// at the tier's rates, not only those beyond it: that is how providers bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The tier holds for more input tokens than this.
    pub above_input_tokens: u64,
    /// Its rates.
    pub rates: Rates,
}

/// A unit price a class, as the price list gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    prices: [Option<UnitPrice>; Class::ALL.len()],
}

/// One line of a cost: quantity x unit price, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// What is priced; `None` is the fixed fee a request.
    pub class: Option<Class>,
    /// How many units.
    pub quantity: u64,
    /// The price of one, after fallback.
    pub unit_price: UnitPrice,
    /// Their product in pico-dollars.
    pub pico: i128,
}

/// Why a cost cannot be computed. Never a reason to charge nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceError {
    /// The class was used and has no price.
    Unpriced(Class),
    /// The card has no tiers, or they don't ascend from 0.
    BadTiers,
    /// The cost doesn't fit.
    Overflow,
}

impl Rates {
    /// No prices.
    pub const fn new() -> Rates {
        Rates { prices: [None; Class::ALL.len()] }
    }

    /// The price as listed.
    pub const fn get(&self, class: Class) -> Option<UnitPrice> {
        self.prices[class as usize]
    }

    /// Lists a price.
    pub const fn set(&mut self, class: Class, price: UnitPrice) {
        self.prices[class as usize] = Some(price);
    }

    /// The same rates with one more price.
    #[must_use]
    pub const fn with(mut self, class: Class, price: UnitPrice) -> Rates {
        self.set(class, price);
        self
    }

    /// The price that applies. Where the list is silent, a class costs what its next plainer
    /// class costs: cache reads, cache writes, audio and images in cost the input rate (a long
    /// write that of a write first); reasoning, audio and images out cost the output rate.
    /// Searches have no plainer class.
    pub fn resolve(&self, class: Class) -> Option<UnitPrice> {
        let plainer = match class {
            Class::CacheWriteLong => Class::CacheWrite,
            Class::CacheRead | Class::CacheWrite | Class::AudioInput | Class::ImageInput => {
                Class::Input
            }
            Class::Reasoning | Class::AudioOutput | Class::ImageOutput => Class::Output,
            Class::Input | Class::Output | Class::WebSearch => return self.get(class),
        };
        self.get(class).or_else(|| self.resolve(plainer))
    }
}

impl PriceCard {
    /// A card with no tiers, or with tiers that don't ascend from 0, prices nothing.
    pub fn check(&self) -> Result<(), PriceError> {
        let from_zero = self.tiers.first().is_some_and(|tier| tier.above_input_tokens == 0);
        let ascending =
            self.tiers.windows(2).all(|two| two[0].above_input_tokens < two[1].above_input_tokens);
        if from_zero && ascending { Ok(()) } else { Err(PriceError::BadTiers) }
    }

    /// The cost of a usage, rounded once.
    pub fn cost(&self, usage: &Usage, rounding: Rounding) -> Result<Money, PriceError> {
        let mut pico: i128 = 0;
        self.visit(usage, |line| {
            pico = pico.checked_add(line.pico).ok_or(Overflow)?;
            Ok(())
        })?;
        Ok(Money::from_pico(pico, rounding)?)
    }

    /// The line items of a usage; their sum, rounded once, is [`PriceCard::cost`].
    pub fn lines(&self, usage: &Usage) -> Result<Vec<CostLine>, PriceError> {
        let mut lines = Vec::new();
        self.visit(usage, |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    /// The most that so many tokens can cost, whatever classes they turn out to be: the dearest
    /// class of each side in the dearest tier within reach, plus the fee, rounded up.
    pub fn bound(&self, input_tokens: u64, output_tokens: u64) -> Result<Money, PriceError> {
        self.bound_within(&Class::ALL, input_tokens, output_tokens)
    }

    /// [`PriceCard::bound`] where it is known which classes the call can use at all: a request
    /// without audio needn't hold the price of audio.
    pub fn bound_within(
        &self,
        classes: &[Class],
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<Money, PriceError> {
        let mut pico = self.per_request.map_or(Ok(0), |fee| fee.times(1))?;
        for (tokens, plain) in [(input_tokens, Class::Input), (output_tokens, Class::Output)] {
            if tokens > 0 {
                let rate = self.dearest(classes, plain, input_tokens)?;
                pico = pico.checked_add(rate.times(tokens)?).ok_or(Overflow)?;
            }
        }
        Ok(Money::from_pico(pico, Rounding::Up)?)
    }

    /// The most that so many searches can cost, rounded up; nothing where the card has no price of them.
    pub fn bound_of_searches(&self, searches: u64) -> Result<Money, PriceError> {
        let prices = self.tiers.iter().filter_map(|tier| tier.rates.get(Class::WebSearch));
        let pico = prices.max().map_or(Ok(0), |price| price.times(searches))?;
        Ok(Money::from_pico(pico, Rounding::Up)?)
    }

    /// The dearest price of an input token for a call of at most so many input tokens.
    pub fn dearest_input_rate(&self, input_tokens: u64) -> Result<UnitPrice, PriceError> {
        self.dearest(&Class::ALL, Class::Input, input_tokens)
    }

    /// The dearest price of an output token for a call of at most so many input tokens.
    pub fn dearest_output_rate(&self, input_tokens: u64) -> Result<UnitPrice, PriceError> {
        self.dearest(&Class::ALL, Class::Output, input_tokens)
    }

    /// The rates that apply to a call with so many input tokens.
    pub fn rates(&self, input_tokens: u64) -> Result<&Rates, PriceError> {
        Ok(&self.tier(input_tokens)?.rates)
    }

    /// The threshold above which a usage's rates hold: which of the card's prices its lines are at.
    pub fn threshold(&self, usage: &Usage) -> Result<u64, PriceError> {
        Ok(self.tier(input(usage)?)?.above_input_tokens)
    }

    fn tier(&self, input_tokens: u64) -> Result<&Tier, PriceError> {
        self.check()?;
        let tier = self.tiers.iter().rev().find(|tier| reached(tier, input_tokens));
        tier.ok_or(PriceError::BadTiers)
    }

    fn visit(
        &self,
        usage: &Usage,
        mut line: impl FnMut(CostLine) -> Result<(), PriceError>,
    ) -> Result<(), PriceError> {
        let rates = self.rates(input(usage)?)?;
        for (class, quantity) in usage.iter().filter(|(_, quantity)| *quantity > 0) {
            let unit_price = rates.resolve(class).ok_or(PriceError::Unpriced(class))?;
            line(CostLine::new(Some(class), quantity, unit_price)?)?;
        }
        self.per_request.map_or(Ok(()), |fee| line(CostLine::new(None, 1, fee)?))
    }

    fn dearest(
        &self,
        classes: &[Class],
        plain: Class,
        input_tokens: u64,
    ) -> Result<UnitPrice, PriceError> {
        self.check()?;
        let side = classes.iter().filter(|class| match plain {
            Class::Input => class.is_input(),
            _ => class.is_output(),
        });
        let tiers = self.tiers.iter().filter(|tier| reached(tier, input_tokens));
        tiers
            .flat_map(|tier| side.clone().filter_map(|class| tier.rates.resolve(*class)))
            .max()
            .ok_or(PriceError::Unpriced(plain))
    }
}

impl CostLine {
    fn new(class: Option<Class>, quantity: u64, unit_price: UnitPrice) -> Result<Self, Overflow> {
        Ok(CostLine { class, quantity, unit_price, pico: unit_price.times(quantity)? })
    }

    /// The name of the line in reports.
    pub fn name(&self) -> &'static str {
        self.class.map_or("request", Class::name)
    }
}

impl From<Overflow> for PriceError {
    fn from(_: Overflow) -> Self {
        PriceError::Overflow
    }
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PriceError::Unpriced(class) => write!(f, "no price for {}", class.name()),
            PriceError::BadTiers => f.write_str("the price card's tiers don't ascend from 0"),
            PriceError::Overflow => f.write_str("the cost is out of range"),
        }
    }
}

impl std::error::Error for PriceError {}

/// All that went in.
fn input(usage: &Usage) -> Result<u64, Overflow> {
    let mut inputs = usage.iter().filter(|(class, _)| class.is_input());
    inputs.try_fold(0_u64, |sum, (_, count)| sum.checked_add(count)).ok_or(Overflow)
}

/// The first tier also holds for a call without any input.
fn reached(tier: &Tier, input_tokens: u64) -> bool {
    tier.above_input_tokens == 0 || input_tokens > tier.above_input_tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> PriceCard {
        let price = |text| UnitPrice::per_million(text).unwrap();
        let rates = Rates::new()
            .with(Class::Input, price("2.5"))
            .with(Class::CacheRead, price("0.25"))
            .with(Class::CacheWrite, price("3.125"))
            .with(Class::Output, price("15"));
        let long = Rates::new().with(Class::Input, price("5")).with(Class::Output, price("22.5"));
        PriceCard {
            version: "v1".to_owned(),
            source: "list".to_owned(),
            effective_from: Timestamp::from_micros(0),
            tiers: vec![
                Tier { above_input_tokens: 0, rates },
                Tier { above_input_tokens: 200_000, rates: long },
            ],
            per_request: None,
        }
    }

    #[test]
    fn a_cost_is_the_sum_over_disjoint_classes() {
        use Class::*;
        let table: [(&[(Class, u64)], i64); 9] = [
            (&[], 0),
            (&[(Input, 1_000)], 2_500_000),
            (&[(Input, 0), (Output, 0), (WebSearch, 0)], 0),
            (&[(Input, 100), (CacheRead, 900), (Output, 10)], 250_000 + 225_000 + 150_000),
            (&[(CacheWrite, 1_000), (CacheWriteLong, 1_000)], 6_250_000),
            (&[(Reasoning, 10), (AudioOutput, 10), (ImageOutput, 10)], 450_000),
            (&[(AudioInput, 10), (ImageInput, 10)], 50_000),
            (&[(Input, 200_000)], 500_000_000),
            (&[(CacheRead, 200_000), (Input, 1), (Output, 2)], 1_000_005_000 + 45_000),
        ];
        for (usage, nanos) in table {
            let usage = usage.iter().fold(Usage::new(), |all, (class, n)| all.with(*class, *n));
            let cost = card().cost(&usage, Rounding::HalfEven);
            assert_eq!(cost, Ok(Money::from_nanos(nanos)), "{usage:?}");
            let pico: i128 = card().lines(&usage).unwrap().iter().map(|line| line.pico).sum();
            let above = if nanos == 1_000_050_000 { 200_000 } else { 0 };
            assert_eq!(card().threshold(&usage), Ok(above), "{usage:?}");
            assert_eq!(Money::from_pico(pico, Rounding::HalfEven).map_err(PriceError::from), cost);
        }
    }

    #[test]
    fn an_entry_is_rounded_once_and_not_by_line() {
        let mut card = card();
        card.tiers = vec![Tier {
            above_input_tokens: 0,
            rates: Rates::new()
                .with(Class::Input, UnitPrice::from_pico(400))
                .with(Class::Output, UnitPrice::from_pico(400)),
        }];
        let usage = Usage::new().with(Class::Input, 1).with(Class::Output, 1);
        assert_eq!(card.cost(&usage, Rounding::HalfEven), Ok(Money::from_nanos(1)));
    }

    #[test]
    fn searches_are_bound_at_the_dearest_price_of_one() {
        assert_eq!(card().bound_of_searches(3), Ok(Money::ZERO));
        let mut searching = card();
        for (tier, price) in searching.tiers.iter_mut().zip([2_500, 1_500]) {
            tier.rates = tier.rates.with(Class::WebSearch, UnitPrice::from_pico(price));
        }
        assert_eq!(searching.bound_of_searches(3), Ok(Money::from_nanos(8)));
        assert_eq!(searching.bound_of_searches(0), Ok(Money::ZERO));
        assert_eq!(searching.bound_of_searches(u64::MAX), Err(PriceError::Overflow));
    }

    #[test]
    fn what_has_no_price_is_a_typed_error_and_never_free() {
        let searched = Usage::new().with(Class::WebSearch, 1);
        let unpriced = Err(PriceError::Unpriced(Class::WebSearch));
        assert_eq!(card().cost(&searched, Rounding::Up), unpriced);
        let mut bare = card();
        bare.tiers = vec![Tier { above_input_tokens: 0, rates: Rates::new() }];
        let used = Usage::new().with(Class::CacheWriteLong, 1);
        let unpriced = PriceError::Unpriced(Class::CacheWriteLong);
        assert_eq!(bare.cost(&used, Rounding::Up), Err(unpriced));
        assert_eq!(bare.bound(1, 0), Err(PriceError::Unpriced(Class::Input)));
        assert_eq!(bare.bound(0, 1), Err(PriceError::Unpriced(Class::Output)));
        assert_eq!(bare.bound(0, 0), Ok(Money::ZERO));
        for tiers in [vec![], vec![card().tiers[1].clone()], vec![card().tiers[0].clone(); 2]] {
            let broken = PriceCard { tiers, ..card() };
            assert_eq!(broken.cost(&Usage::new(), Rounding::Up), Err(PriceError::BadTiers));
        }
        let huge = Usage::new().with(Class::Input, u64::MAX);
        assert_eq!(card().cost(&huge, Rounding::Up), Err(PriceError::Overflow));
        let wraps = huge.with(Class::CacheRead, 1);
        assert_eq!(card().cost(&wraps, Rounding::Up), Err(PriceError::Overflow));
        assert_eq!(card().bound(u64::MAX, 0), Err(PriceError::Overflow));
    }

    #[test]
    fn a_fee_a_request_is_a_line_of_its_own() {
        let fee = UnitPrice::per_unit("0.01").unwrap();
        let card = PriceCard { per_request: Some(fee), ..card() };
        let lines = card.lines(&Usage::new().with(Class::Output, 2)).unwrap();
        let names: Vec<_> = lines.iter().map(CostLine::name).collect();
        assert_eq!(names, ["output", "request"]);
        assert_eq!(card.bound(0, 0), Ok(Money::from_nanos(10_000_000)));
        assert_eq!(card.cost(&Usage::new(), Rounding::Up), Ok(Money::from_nanos(10_000_000)));
    }

    #[test]
    fn a_bound_takes_the_dearest_class_and_tier_within_reach() {
        let nanos = |bound: Result<Money, PriceError>| bound.map(Money::nanos);
        assert_eq!(nanos(card().bound(1_000, 100)), Ok(3_125_000 + 1_500_000));
        assert_eq!(nanos(card().bound(200_001, 100)), Ok(1_000_005_000 + 2_250_000));
        let text = [Class::Input, Class::CacheRead, Class::Output, Class::Reasoning];
        assert_eq!(nanos(card().bound_within(&text, 1_000, 100)), Ok(2_500_000 + 1_500_000));
        assert_eq!(
            card().dearest_input_rate(1),
            UnitPrice::per_million("3.125").map_err(|_| PriceError::Overflow)
        );
        assert_eq!(card().dearest_output_rate(200_001).map(UnitPrice::pico), Ok(22_500_000));
        let one = card().bound(1, 0);
        assert_eq!(nanos(one), Ok(3_125));
    }
}
