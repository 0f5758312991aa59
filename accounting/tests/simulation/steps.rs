//! The operations: each is done to the book and to the model, and what both say must agree.

use tollgate_accounting::{
    Amounts, DAY, Facets, HOUR, HoldId, Metric, Money, SECOND, Settlement, Timestamp, Why,
};

use crate::checks::{Short, outcome, refused};
use crate::model::{End, Four, Hold, Part, State, amount_of};
use crate::world::{World, amounts};

impl World {
    /// Does one random operation.
    pub(crate) fn step(&mut self) {
        self.pass_time();
        match self.dice.below(1_000) {
            0..400 => self.hold(),
            400..480 => self.hold_known(),
            480..600 => self.extend(),
            600..850 => self.settle(),
            850..900 => self.release(),
            900..960 => self.expire(),
            960..990 => self.commit(),
            990..998 => self.configure_one(),
            998 => self.configure_all(),
            999 if self.dice.once_in(2) => self.forget(),
            _ => self.audit(),
        }
    }

    fn pass_time(&mut self) {
        let ahead = match self.dice.below(2_000) {
            0..1_400 => self.dice.below(SECOND as u64 / 2),
            1_400..1_800 => 0,
            1_800..1_990 => self.dice.size(5 * SECOND as u64),
            1_990..1_998 => self.dice.below(HOUR as u64),
            1_998 => self.dice.below(2 * DAY as u64),
            _ => self.dice.below(40 * DAY as u64),
        };
        self.wall += ahead as i64;
    }

    /// What the clock shows to the book: at times it is behind. The latest it ever showed counts.
    pub(crate) fn clock(&mut self) -> Timestamp {
        let behind = if self.dice.once_in(50) { self.dice.size(DAY as u64) as i64 } else { 0 };
        let shown = self.wall - behind;
        self.model.now = self.model.now.max(shown);
        Timestamp::from_micros(shown)
    }

    fn hold(&mut self) {
        let at = self.dice.below(self.model.accounts.len() as u64) as usize;
        let facets = self.facets();
        let asked = self.ask();
        let deadline = self.wall + self.dice.size(2 * HOUR as u64) as i64;
        let id = self.next_id;
        self.next_id += 1;
        self.hold_as(id, at, facets, asked, deadline);
    }

    fn ask(&mut self) -> Four {
        let dice = &mut self.dice;
        let requests = if dice.once_in(20) { dice.below(3) } else { 1 };
        let [input, output, cost] = [4_000, 4_000, 6_000_000].map(|end| dice.size(end) as i64);
        [requests as i64, input, output, cost]
    }

    fn hold_as(
        &mut self,
        id: u128,
        at: usize,
        facets: Facets<'static>,
        asked: Four,
        deadline: i64,
    ) {
        let path = self.model.accounts[at].path.clone();
        let account = self.book.account(&path);
        assert_eq!(account.is_some(), self.model.accounts[at].is_live, "{path}");
        let Some(account) = account else { return };
        let now = self.clock();
        let ask = amounts(&asked);
        if self.dice.once_in(500) {
            let cost = Money::from_nanos(-1);
            let bad = if self.dice.once_in(2) {
                Amounts { cost, ..ask }
            } else {
                Amounts { input_tokens: u64::MAX / 2, output_tokens: 1 << 62, ..ask }
            };
            let deadline = Timestamp::MAX;
            let refusal = self.book.hold(now, HoldId(id), account, &facets, bad, deadline);
            assert_eq!(refusal.unwrap_err().why, Why::Overflow);
            self.tally.count("refused: overflow");
        }
        let deadline = Timestamp::from_micros(deadline);
        let tried = self.dice.once_in(32);
        let trial = tried.then(|| self.book.trial(now, account, &facets, ask));
        let answer = self.book.hold(now, HoldId(id), account, &facets, ask, deadline);
        if let Some(trial) = trial {
            assert_eq!(trial.refusal.as_ref(), answer.as_ref().err());
        }
        let model = &self.model;
        let mut touched = Vec::new();
        let mut shorts = Vec::new();
        for &on_path_at in &model.accounts[at].chain {
            let on_path = &model.accounts[on_path_at];
            for (index, kept) in model.limits.iter().enumerate() {
                let counts = kept.is_live && kept.account == on_path_at;
                if !counts || !kept.limit.filter.matches(&facets) {
                    continue;
                }
                let amount = amount_of(kept.limit.metric, &asked, 1);
                let (.., room) = kept.numbers(on_path.place, model.now);
                touched.push((index, amount));
                if i128::from(amount) > room {
                    shorts.push(Short { kept, account: on_path, amount, room });
                }
            }
        }
        match answer {
            Err(refusal) => {
                self.check_refusal(&refusal, &shorts);
                self.tally.count(refused(&refusal));
            }
            Ok(held) => {
                assert!(shorts.is_empty(), "a limit was passed over");
                assert_eq!((held.id.0, held.amounts, held.again), (id, ask, false));
                assert_eq!(held.taken_at.micros(), model.now);
                self.tally.count("held");
                self.model_take(id, at, facets, asked, deadline.micros(), &touched);
            }
        }
        self.compare(at);
    }

    fn model_take(
        &mut self,
        id: u128,
        account: usize,
        facets: Facets<'static>,
        asked: Four,
        deadline: i64,
        touched: &[(usize, i64)],
    ) {
        let model = &mut self.model;
        let take = |(limit, amount): &(usize, i64)| {
            let kept = &mut model.limits[*limit];
            let place = kept.take(model.accounts[kept.account].place, model.now, *amount);
            Part { limit: *limit, place, amount: *amount }
        };
        let parts = touched.iter().map(take).collect();
        let taken_at = model.now;
        model.last_taken = taken_at;
        let hold = Hold { account, asked, held: asked, taken_at, deadline, facets, parts };
        model.holds.insert(id, hold);
    }

    /// An id that was used before: the open hold answers again, everything else is refused.
    fn hold_known(&mut self) {
        let Some(id) = self.known_id() else { return };
        let mut at = self.dice.below(self.model.accounts.len() as u64) as usize;
        let mut asked = self.ask();
        if let Some(hold) = self.model.holds.get(&id)
            && self.dice.once_in(2)
        {
            (at, asked) = (hold.account, hold.asked);
        }
        let Some(account) = self.book.account(&self.model.accounts[at].path) else { return };
        if !self.model.holds.contains_key(&id) && !self.model.ends.contains_key(&id) {
            // Forgotten: a new hold like any other.
            let facets = self.facets();
            return self.hold_as(id, at, facets, asked, self.wall + HOUR);
        }
        let now = self.clock();
        let facets = Facets::default();
        let deadline = Timestamp::MAX;
        match self.model.holds.get(&id) {
            Some(hold) if hold.account == at && hold.asked == asked => {
                let ask = amounts(&asked);
                let held =
                    self.book.hold(now, HoldId(id), account, &facets, ask, deadline).unwrap();
                assert_eq!((held.amounts, held.again), (amounts(&hold.held), true));
                assert_eq!(held.taken_at.micros(), hold.taken_at);
                assert_eq!(held.deadline.micros(), hold.deadline);
                self.tally.count("held again");
            }
            _ => {
                let ask = amounts(&asked);
                let refusal = self.book.hold(now, HoldId(id), account, &facets, ask, deadline);
                assert_eq!(refusal.unwrap_err().why, Why::DuplicateHold);
                self.tally.count("refused: duplicate");
            }
        }
    }

    /// The id of a hold: most often an open one, at times one that has ended or never was.
    fn known_id(&mut self) -> Option<u128> {
        let open = self.model.holds.len() as u64;
        if open > 0 && !self.dice.once_in(8) {
            let place = self.dice.below(open) as usize;
            return self.model.holds.keys().nth(place).copied();
        }
        let ended = self.model.ended.len() as u64;
        if ended > 0 && !self.dice.once_in(8) {
            let place = self.dice.below(ended) as usize;
            return self.model.ended.get(place).copied();
        }
        Some(u128::from(self.dice.below(self.next_id as u64)))
    }

    fn extend(&mut self) {
        let Some(id) = self.known_id() else { return };
        let now = self.clock();
        let mut more = self.ask();
        if !self.dice.once_in(10) {
            (more[0], more[1]) = (0, 0);
        }
        let answer = self.book.extend(now, HoldId(id), amounts(&more));
        let model = &mut self.model;
        let now = model.now;
        let Some(hold) = model.holds.get_mut(&id) else {
            assert_eq!(answer.unwrap_err().why, Why::NoSuchHold);
            return;
        };
        let mut shorts = Vec::new();
        let mut last: Vec<usize> = Vec::new();
        for (at, part) in hold.parts.iter().enumerate() {
            if hold.parts[at + 1..].iter().any(|later| later.limit == part.limit) {
                continue;
            }
            last.push(at);
            let kept = &model.limits[part.limit];
            let account = &model.accounts[kept.account];
            let amount = amount_of(kept.limit.metric, &more, 0);
            let room = kept.room_for(account.place, now, part);
            if i128::from(amount) > room {
                shorts.push(Short { kept, account, amount, room });
            }
        }
        if let Err(refusal) = answer {
            let told = shorts.iter().find(|short| *refusal.limit_key == *short.kept.key);
            let told = told.expect("the limit that refuses isn't short");
            assert!(told.room < i128::from(refusal.asked));
            self.tally.count("extension refused");
        } else {
            assert!(shorts.is_empty(), "a limit was passed over");
            self.tally.count("extended");
            for at in last {
                let part = hold.parts[at];
                let kept = &mut model.limits[part.limit];
                let amount = amount_of(kept.limit.metric, &more, 0);
                let place = model.accounts[kept.account].place;
                if amount == 0 {
                    continue;
                }
                let place = kept.take_more(place, now, &part, amount);
                if place == part.place {
                    hold.parts[at].amount += amount;
                } else {
                    hold.parts.push(Part { place, amount, ..part });
                }
            }
            for (held, more) in hold.held.iter_mut().zip(more) {
                *held += more;
            }
        }
        let account = hold.account;
        self.compare(account);
    }

    fn settle(&mut self) {
        let Some(id) = self.known_id() else { return };
        let now = self.clock();
        let dice = &mut self.dice;
        let held = self.model.holds.get(&id).map_or([1, 100, 100, 1_000], |hold| hold.held);
        let mut used = held.map(|part| dice.size(part as u64 + 1) as i64);
        used[0] = held[0];
        if dice.once_in(6) {
            used = held.map(|part| dice.below(2 * part as u64 + 2) as i64);
        }
        if dice.once_in(500) {
            let cost = Money::from_nanos(-1);
            let answer = self.book.settle(now, HoldId(id), Amounts { cost, ..amounts(&used) });
            let expected = match self.model.ends.get(&id) {
                _ if self.model.holds.contains_key(&id) => Settlement::Overflow,
                None => Settlement::Unknown,
                Some(End::Expired(_)) => Settlement::Overflow,
                Some(end) => Settlement::Again(outcome(end)),
            };
            assert_eq!(answer, expected);
        }
        let answer = self.book.settle(now, HoldId(id), amounts(&used));
        self.finish(id, Some(used), answer);
    }

    fn release(&mut self) {
        let Some(id) = self.known_id() else { return };
        let now = self.clock();
        let answer = self.book.release(now, HoldId(id));
        self.finish(id, None, answer);
    }

    fn finish(&mut self, id: u128, used: Option<Four>, answer: Settlement) {
        self.tally.count(match answer {
            Settlement::Settled { overrun: false } => "settled",
            Settlement::Settled { overrun: true } => "settled with overrun",
            Settlement::Released => "released",
            Settlement::Late { overrun: false, .. } => "late",
            Settlement::Late { overrun: true, .. } => "late with overrun",
            Settlement::Again(_) => "settled again",
            Settlement::Unknown => "unknown",
            Settlement::Overflow => "overflow",
        });
        let posted = used.unwrap_or_default();
        let exceeds = |held: &Four| {
            Metric::ALL.iter().any(|m| amount_of(*m, &posted, 0) > amount_of(*m, held, 0))
        };
        if let Some(hold) = self.model.holds.remove(&id) {
            let overrun = exceeds(&hold.held);
            self.model_post(&hold, &posted, true);
            let end = if used.is_some() { End::Settled(overrun) } else { End::Released };
            assert_eq!(answer, Settlement::from(outcome(&end)));
            self.model_end(id, end);
            return self.compare(hold.account);
        }
        match self.model.ends.get(&id).cloned() {
            None => assert_eq!(answer, Settlement::Unknown),
            Some(End::Expired(hold)) => {
                let overrun = exceeds(&hold.held);
                let mut change = posted;
                for (change, held) in change.iter_mut().zip(hold.held) {
                    *change -= held;
                }
                self.model_post(&hold, &posted, false);
                let end = End::Late(change, overrun);
                assert_eq!(answer, Settlement::from(outcome(&end)));
                self.model.ends.insert(id, end);
                self.compare(hold.account);
            }
            Some(end) => assert_eq!(answer, Settlement::Again(outcome(&end))),
        }
    }

    /// Posts what was used: out of what is held, or as a correction of what was charged.
    fn model_post(&mut self, hold: &Hold, used: &Four, is_held: bool) {
        let model = &mut self.model;
        let mut rest: std::collections::HashMap<usize, i64> = std::collections::HashMap::new();
        for (at, part) in hold.parts.iter().enumerate() {
            let kept = &mut model.limits[part.limit];
            let left = rest.entry(part.limit).or_insert(amount_of(kept.limit.metric, used, 0));
            let is_last = hold.parts[at + 1..].iter().all(|later| later.limit != part.limit);
            let here = if is_last { *left } else { part.amount.min(*left) };
            *left -= here;
            match (&kept.state, is_held) {
                (State::Flight(_), true) => kept.change(model.now, 0, -1, 0),
                (State::Flight(_), false) => {}
                (_, true) => kept.change(model.now, part.place, -part.amount, here),
                (_, false) => kept.change(model.now, part.place, 0, here - part.amount),
            }
        }
        for at in model.accounts[hold.account].chain.clone() {
            for (place, total) in model.accounts[at].totals.iter_mut().enumerate() {
                *total += used[place] - if is_held { 0 } else { hold.held[place] };
            }
        }
    }

    fn model_end(&mut self, id: u128, end: End) {
        if self.model.ended.len() == self.model.remembered
            && let Some(oldest) = self.model.ended.pop_front()
        {
            self.model.ends.remove(&oldest);
        }
        self.model.ended.push_back(id);
        self.model.ends.insert(id, end);
    }

    fn expire(&mut self) {
        let now = self.clock();
        let expired = self.book.expire(now);
        let over = self.model.holds.iter().filter(|(_, hold)| hold.deadline <= self.model.now);
        let mut over: Vec<(i64, u128)> = over.map(|(id, hold)| (hold.deadline, *id)).collect();
        over.sort_unstable();
        let ids: Vec<u128> = expired.iter().map(|id| id.0).collect();
        assert_eq!(ids, over.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        for id in ids {
            let hold = self.model.holds.remove(&id).unwrap();
            self.model_post(&hold, &hold.held.clone(), true);
            self.model_end(id, End::Expired(hold));
            self.tally.count("expired");
        }
    }
}
