//! Tollgate: an AI model gateway whose token accounting is exactly right.
//!
//! Modules in reading order, from the top of the house down. A floor imports only what is below it.

// FLOOR 4
pub mod http;
// FLOOR 3
pub mod alerts;
pub mod batches;
pub mod call;
pub mod control;
// FLOOR 2
pub mod cache;
pub mod ledger;
pub mod prompts;
pub mod routing;
pub mod tenants;
pub mod upstream;
// FLOOR 1
pub mod clock;
// FLOOR 5
pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
