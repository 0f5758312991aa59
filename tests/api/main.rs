//! The gateway over its sockets: who may call, what is refused and how, what is forwarded, how a
//! reply is relayed, and what the figures say afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]
#![expect(clippy::panic, reason = "a test that cannot go on says why by panicking")]

#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "each kind of test uses its part of the harness")]
mod harness;

mod admin;
mod agents;
mod alerts;
mod anthropic;
mod audio;
mod batches;
mod budgets;
mod cache;
mod cache_policies;
mod callers;
mod cli;
mod connections;
mod corrections;
mod deferring;
mod dialects;
mod files;
mod forwarding;
mod gemini;
mod handovers;
mod hedging;
mod holds;
mod images;
mod imports;
mod injection;
mod input;
mod lanes;
mod lifecycle;
mod limits;
mod markup;
mod messages;
mod odd_usage;
mod organization;
mod plans;
mod prices;
mod priorities;
mod prompts;
mod prompts_typed;
mod quote;
mod repeats;
mod reports;
mod responses;
mod responses_wire;
mod routing;
mod runs;
mod shadow;
mod sharing;
mod signing;
mod streams;
mod together;
mod tokenizers;
