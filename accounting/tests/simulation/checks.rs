//! What the book shows, compared with what the model says.

use tollgate_accounting::{Change, Money, Outcome, Refusal, RefusalKind, Timestamp, Why};

use crate::calendar::Place;
use crate::model::{Account, End, Kept, State};
use crate::world::{World, amounts};

/// A limit that a call doesn't fit, and what the call asks of it.
pub(crate) struct Short<'a> {
    pub(crate) kept: &'a Kept,
    pub(crate) account: &'a Account,
    pub(crate) amount: i64,
    pub(crate) room: i128,
}

impl World {
    /// The refusal names a limit that is short, how it stands, and the first instant at which
    /// everything fits.
    pub(crate) fn check_refusal(&self, refusal: &Refusal, shorts: &[Short<'_>]) {
        let now = self.model.now;
        assert_eq!(refusal.why, Why::Limit);
        let told = shorts.iter().find(|short| {
            *refusal.account == *short.account.path && *refusal.limit_key == *short.kept.key
        });
        let told = told.expect("the limit that refuses isn't short");
        let (posted, held, available) = told.kept.numbers(told.account.place, now);
        let numbers = [refusal.posted, refusal.held, refusal.available].map(i128::from);
        assert_eq!(numbers, [posted, held, available], "{refusal}");
        let capacity = told.kept.limit.capacity();
        let limit = (&*refusal.limit, refusal.metric, refusal.asked, refusal.capacity);
        let words = told.kept.limit.describe();
        assert_eq!(limit, (&*words, Some(told.kept.limit.metric), told.amount, capacity));
        let can_never = |short: &&Short<'_>| short.amount > short.kept.limit.capacity();
        assert_eq!(refusal.kind == RefusalKind::Never, shorts.iter().any(|s| can_never(&s)));
        let RefusalKind::Later { retry_at } = refusal.kind else {
            assert!(can_never(&told) && !refusal.soft);
            return;
        };
        let fits_at = |short: &Short<'_>, at: i64| match short.kept.is_gradual() {
            true => short.fits(at),
            false => at >= short.kept.retry_guess(short.account.place, now, short.amount),
        };
        let at = retry_at.micros();
        for short in shorts {
            let words = short.kept.limit.describe();
            assert!(
                fits_at(short, at),
                "too early for '{words}', asked {}: {refusal}",
                short.amount
            );
        }
        assert!(shorts.iter().any(|short| !fits_at(short, at - 1)), "too late: {refusal}");
        let waits = |short: &Short<'_>| {
            short.kept.max_wait().is_some_and(|wait| fits_at(short, now.saturating_add(wait)))
        };
        assert_eq!(refusal.soft, shorts.iter().all(waits), "{refusal}");
    }

    /// Everything the book shows of an account is what the model says.
    pub(crate) fn compare(&self, at: usize) {
        let model = &self.model;
        let account = &model.accounts[at];
        let Some(id) = self.book.account(&account.path) else { return };
        let totals = self.book.totals(id);
        let found = [totals.requests, totals.input_tokens, totals.output_tokens];
        assert_eq!(found, [0, 1, 2].map(|place| account.totals[place].unsigned_abs()));
        assert_eq!(totals.cost.nanos(), account.totals[3]);
        for standing in self.book.standing(Timestamp::from_micros(model.now), id) {
            let mut path = account.chain.iter().rev();
            let owner = path.find(|at| model.accounts[**at].path == *standing.account);
            let mut all = model.limits.iter();
            let kept =
                all.find(|kept| owner == Some(&kept.account) && kept.key == *standing.limit_key);
            let kept = kept.expect("a limit that was never configured");
            let place = model.accounts[kept.account].place;
            let numbers = [standing.posted, standing.held, standing.available].map(i128::from);
            let (posted, held, available) = kept.numbers(place, model.now);
            assert_eq!(numbers, [posted, held, available], "{standing:?}");
            self.check_reset(kept, place, standing.resets_at.map(Timestamp::micros));
        }
    }

    fn check_reset(&self, kept: &Kept, place: Place, resets_at: Option<i64>) {
        let now = self.model.now;
        let is_full = |at| kept.numbers(place, at).2 == i128::from(kept.limit.capacity());
        match (&kept.state, resets_at) {
            (State::Flight(_), resets_at) => assert_eq!(resets_at, None),
            (_, Some(at)) if kept.is_gradual() => {
                let words = kept.limit.describe();
                assert!(is_full(at) && !is_full(at - 1), "'{words}' resets at {at}, now {now}");
            }
            (_, None) if kept.is_gradual() => assert!(is_full(now)),
            (_, resets_at) => assert_eq!(resets_at, Some(kept.period(place, now).1)),
        }
    }

    pub(crate) fn audit(&self) {
        self.book.check().unwrap();
        assert_eq!(self.book.open_count(), self.model.holds.len());
        for hold in self.book.open_holds() {
            let known = &self.model.holds[&hold.id.0];
            assert_eq!(hold.amounts, amounts(&known.held));
            assert_eq!(hold.account, self.model.accounts[known.account].path);
        }
        (0..self.model.accounts.len()).for_each(|at| self.compare(at));
    }
}

impl Short<'_> {
    fn fits(&self, at: i64) -> bool {
        i128::from(self.amount) <= self.kept.numbers(self.account.place, at).2
    }
}

pub(crate) fn refused(refusal: &Refusal) -> &'static str {
    let is_never = refusal.kind == RefusalKind::Never;
    let algorithm = refusal.limit_key.split('/').nth(1);
    match algorithm {
        _ if is_never => "refused: never",
        _ if refusal.soft => "refused: soft",
        Some("token_bucket") => "refused: token bucket",
        Some("leaky_bucket") => "refused: leaky bucket",
        Some("fixed_window") => "refused: fixed window",
        Some("sliding_window") => "refused: sliding window",
        Some("sliding_log") => "refused: sliding log",
        Some("calendar") => "refused: calendar",
        Some("in_flight") => "refused: in flight",
        _ => "refused: for an unknown reason",
    }
}

pub(crate) fn outcome(end: &End) -> Outcome {
    match end {
        End::Settled(overrun) => Outcome::Settled { overrun: *overrun },
        End::Released => Outcome::Released,
        End::Late([requests, input_tokens, output_tokens, cost], overrun) => {
            let (requests, input_tokens, output_tokens) =
                (*requests, *input_tokens, *output_tokens);
            let cost = Money::from_nanos(*cost);
            let correction = Change { requests, input_tokens, output_tokens, cost };
            Outcome::Late { correction, overrun: *overrun }
        }
        End::Expired(_) => unreachable!("an expired hold has no outcome yet"),
    }
}
