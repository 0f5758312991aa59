//! Shadow traffic: a share of a name's calls is made once more at another target, for the operator to
//! compare. The second call walks the path of any other and is the operator's: its hold, its row, its
//! account's limits. The client's call does not wait for it and knows nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tollgate_accounting::Terms;

use super::together::Detached;
use super::{
    Answered, CacheUse, Inbound, Making, Operation, Reply, Runtime, Served, Worker, admit,
};
use crate::clock;
use crate::ledger::{CallId, Ledger};
use crate::routing::Route;
use crate::tenants::{Allowed, Caller, Holds, Priority};

/// What stands in a shadow's row where others have the id of a credential.
const KEY: &str = "shadow";

/// Where a share of a name's calls is made once more, and who pays.
pub struct Shadow {
    route: Arc<Route>,
    payer: Payer,
    /// Of a hundred calls, so many.
    percent: u64,
    /// Shadows in flight at once; beyond them a call has none.
    room: Arc<Semaphore>,
    /// Calls that could have had one.
    seen: AtomicU64,
}

/// The operator's account that shadows are charged to.
#[derive(Clone, Debug)]
pub struct Payer {
    /// Its path.
    pub account: Arc<str>,
    /// How much its calls hold.
    pub holds: Holds,
    /// What a target must be tagged with.
    pub require: Arc<[Arc<str>]>,
    /// On what terms its calls are charged.
    pub terms: Terms,
    /// Its share of what calls wait for.
    pub share: u32,
}

impl Shadow {
    /// Of a hundred calls `percent` are made at the route's target too, at most `at_once` at a time.
    pub fn new(route: Route, payer: Payer, percent: u32, at_once: usize) -> Shadow {
        Shadow {
            route: Arc::new(route),
            payer,
            percent: u64::from(percent.min(100)),
            room: Arc::new(Semaphore::new(at_once)),
            seen: AtomicU64::new(0),
        }
    }

    /// A call was accepted by a provider: if it is one of the share and there is room, its shadow is
    /// started. Nothing is waited for, and whatever becomes of the shadow, nobody is told but its row.
    pub(super) fn follow(
        &self,
        worker: &Worker,
        runtime: &Arc<Runtime>,
        caller: &Caller,
        inbound: &Inbound,
        operation: &Operation<'_>,
    ) {
        let services = &worker.services;
        if matches!(operation, Operation::Task(_) | Operation::Media(_)) || !self.is_due() {
            return;
        }
        if !services.load.has_spare(runtime.max_calls) {
            return;
        }
        let Ok(place) = self.room.clone().try_acquire_owned() else { return };
        let Some(payer) = self.payer.caller(&services.ledger) else { return };
        let own = Inbound {
            id: CallId::new(),
            received_at: clock::now(),
            tags: Some(format!("shadow=true,shadow_of={}", inbound.id).into()),
            deadline: None,
            defer: false,
            key: None,
            priority: Some(Priority::Low),
            // What the tenant was promised of its data holds for every copy of it.
            require: inbound.required(caller).to_vec(),
            cache: CacheUse::NoStore,
            prompt: None,
            dialect_headers: inbound.dialect_headers.clone(),
        };
        let making = Making {
            runtime: runtime.clone(),
            route: self.route.clone(),
            cap: admit::cap(&self.route, operation),
            key: None,
            fill: None,
            cached: None,
            shadow: None,
            stays: false,
        };
        let call = Detached::new(worker, Arc::new(payer), own, operation, runtime.bounds);
        let stop = services.stop.clone();
        services.drains.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = to_its_end(call, making) => {}
            }
            drop(place);
        });
    }

    /// Spreads the share evenly: of any hundred calls in a row it is exactly so many.
    fn is_due(&self) -> bool {
        let nth = self.seen.fetch_add(1, Ordering::Relaxed) % 100;
        (nth + 1) * self.percent / 100 > nth * self.percent / 100
    }
}

impl Payer {
    /// A caller without a credential; none where the ledger does not know the account.
    fn caller(&self, ledger: &Ledger) -> Option<Caller> {
        let charged = ledger.with_book(|book| book.account(&self.account))?;
        Some(Caller {
            account: self.account.clone(),
            key: KEY.into(),
            charged,
            charged_path: self.account.clone(),
            holds: self.holds,
            // The name was allowed to the tenant; it is the operator that asks for it here.
            models: Allowed::All,
            require: self.require.clone(),
            terms: self.terms,
            share: self.share,
            priority: Priority::Low,
            expires_at: None,
            run: None,
        })
    }
}

/// Makes the call and reads its reply, which settles it.
async fn to_its_end(call: Detached, making: Making) {
    if let Ok(Served::Made(Answered { reply: Reply::Stream(mut reply), .. })) =
        call.run(making, &mut None).await
    {
        while let Some(Ok(_)) = reply.next().await {}
    }
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::Terms;

    use super::*;
    use crate::routing::{Order, Route};

    fn due(percent: u32, calls: usize) -> usize {
        let payer = Payer {
            account: "lab".into(),
            holds: Holds::Adaptive,
            require: Arc::default(),
            terms: Terms::default(),
            share: 1,
        };
        let route = Route::new(Order::Ordered, Vec::new());
        let shadow = Shadow::new(route, payer, percent, 1);
        (0..calls).filter(|_| shadow.is_due()).count()
    }

    #[test]
    fn of_a_hundred_calls_so_many_have_a_shadow_and_they_are_spread_evenly() {
        for percent in 1..=100 {
            assert_eq!(due(percent, 100), percent as usize);
            assert_eq!(due(percent, 1000), 10 * percent as usize);
        }
        assert_eq!((due(25, 4), due(25, 8), due(50, 10)), (1, 2, 5));
    }
}
