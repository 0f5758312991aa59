//! The book through its public face.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod admission;
mod algorithms;
mod bench;
mod configuring;
mod edges;
mod periods;
mod properties;
mod reached;
mod recovery;
mod scars;
mod words;
