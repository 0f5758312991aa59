//! The rules of Tollgate money: pure, without clock, float, I/O or logging.
//!
//! Reading order: units first (`money`, `usage`, `time`), then what they cost (`price`).
//! Every operation is checked: what cannot be computed is a typed error and refuses the call;
//! it never wraps, clamps or becomes zero.

mod money;
mod price;
mod time;
mod usage;

pub use money::{BadAmount, Money, Overflow, Rounding, UnitPrice};
pub use price::{CostLine, PriceCard, PriceError, Rates, Tier};
pub use time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
pub use usage::{Class, Provenance, Usage};
