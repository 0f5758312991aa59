//! The providers and dialects from outside: real traffic, hostile traffic, and the bodies that requests become.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on is a test that failed")]

mod anthropic;
mod anthropic_client;
mod bad_input;
mod bedrock;
mod gemini;
mod gemini_client;
mod openai_responses_client;
mod other_places;
mod recordings;
mod refused;
mod responses_provider;
mod rewritten;
mod small_dialects;
mod splice;
mod support;
mod tables;
