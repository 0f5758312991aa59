//! The rules of Tollgate money: pure, without clock, float, I/O or logging.
//!
//! Reading order: units first (`money`, `usage`, `time`), then what they cost (`price`) and how
//! that is booked (`charge`), then what a limit is (`period`, `limit`), what it remembers
//! (`state`), and the book that holds, settles and refuses (`book`, `refusal`). `sizes` learns how
//! much an adaptive hold asks for; `forecast` says where a period is heading.
//! Every operation is checked: what cannot be computed is a typed error and refuses the call;
//! it never wraps, clamps or becomes zero.

mod amounts;
mod book;
mod charge;
mod forecast;
mod limit;
mod money;
mod period;
mod price;
mod refusal;
mod sizes;
mod state;
mod tier;
mod time;
mod usage;

pub use amounts::{Amounts, Change, Totals};
pub use book::{
    AccountId, AccountSpec, Balance, Book, ConfigureError, Fit, Held, HoldId, HoldView, Outcome,
    Reached, RestoredHold, Settlement, Standing, Trial, Unrestorable, Violation,
};
pub use charge::{BadCharge, Charge, FailedAttempts, Markup, Terms};
pub use forecast::Forecast;
pub use limit::{Algorithm, BadLimit, Facets, Filter, Limit, Metric, Mode, Window};
pub use money::{BadAmount, Money, Overflow, Rounding, UnitPrice};
pub use period::{Calendar, Period, Zone};
pub use price::{CostLine, PriceCard, PriceError, Rates, Tier};
pub use refusal::{Refusal, RefusalKind, Why};
pub use sizes::OutputSizes;
pub use tier::{Hours, Listed, PriceList, ServiceTier};
pub use time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
pub use usage::{Class, Provenance, Usage};
