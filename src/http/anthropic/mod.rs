//! Anthropic's endpoints, one file each.

pub(super) mod messages;
