//! Google's endpoints.

pub(super) mod generate;
