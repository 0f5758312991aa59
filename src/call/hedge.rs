//! Hedged requests: where the first attempt has not begun to answer within a while, the next target is
//! asked as well, and whoever answers first is taken (Dean and Barroso, "The Tail at Scale", 2013). The
//! other attempt is given up, is a row of its own, and what it may have cost is owed.

use std::time::Duration;

use futures_util::future::{Either, join, select};
use tollgate_providers::Encoded;

use super::attempts::{Runner, gave_up, left, within};
use super::lanes::Sent;
use super::{Inbound, Worker};
use crate::ledger::{Beside, OpenHold};
use crate::routing::RetryBudget;
use crate::upstream::{Answer, SendError};

/// An attempt that is about to be sent.
pub(super) struct Ready<'p, 'r> {
    pub(super) runner: Runner<'p, 'r>,
    pub(super) encoded: Encoded,
}

/// Who decides the call.
pub(super) struct Finish<'p, 'r> {
    pub(super) runner: Runner<'p, 'r>,
    pub(super) sent: Sent,
    /// Whether a second was asked, and whether it was the one that answered.
    pub(super) hedged: Option<bool>,
}

/// Sends an attempt, and after a while without an answer the one that `rival` gives, if any, beside it.
pub(super) async fn race<'p, 'r>(
    worker: &Worker,
    inbound: &Inbound,
    hold: &OpenHold,
    first: Ready<'p, 'r>,
    (after, budget): (Duration, &RetryBudget),
    rival: impl FnOnce() -> Option<Ready<'p, 'r>>,
) -> Finish<'p, 'r> {
    let (present, Ready { runner: first, encoded }) = (hold.present(), first);
    let mut one = Box::pin(send(worker, inbound, &present, &first, encoded));
    let alone = |runner, answer| Finish { runner, sent: Sent::alone(answer), hedged: None };
    tokio::select! {
        biased;
        answer = &mut one => { drop(one); return alone(first, answer) }
        () = tokio::time::sleep(after) => {}
    }
    let Some(Ready { runner: second, encoded }) = rival() else {
        let answer = one.await;
        return alone(first, answer);
    };
    let Ok(beside) = hold.begin_beside(second.candidate.attempt()) else {
        // The account pays for what comes to nothing, and has no room for that.
        budget.give_back();
        let answer = one.await;
        return alone(first, answer);
    };
    let two = Box::pin(send(worker, inbound, &beside, &second, encoded));
    // Who answers first is taken; who fails first leaves it to the other.
    let (answer, second_decides) = match select(one, two).await {
        Either::Left((answer, _)) if is_good(&answer) => (answer, false),
        Either::Right((answer, _)) if is_good(&answer) => (answer, true),
        Either::Left((answer, two)) => {
            (join(gave_up(inbound, &first, &present, answer), two).await.1, true)
        }
        Either::Right((answer, one)) => {
            (join(gave_up(inbound, &second, &beside, answer), one).await.1, false)
        }
    };
    let (runner, attempt) = if second_decides { (second, beside) } else { (first, present) };
    attempt.decides();
    Finish { runner, sent: Sent::alone(answer), hedged: Some(second_decides) }
}

fn is_good(answer: &Result<Answer, SendError>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status.is_success())
}

async fn send(
    worker: &Worker,
    inbound: &Inbound,
    attempt: &Beside<'_>,
    runner: &Runner<'_, '_>,
    encoded: Encoded,
) -> Result<Answer, SendError> {
    let (endpoint, key) = (&runner.site.endpoint, runner.permit.key());
    within(left(inbound), worker.upstream.send(attempt, endpoint, key, encoded)).await.flatten()
}
