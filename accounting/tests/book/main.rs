//! The book through its public face.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod admission;
mod bench;
mod periods;
mod properties;
mod scars;
