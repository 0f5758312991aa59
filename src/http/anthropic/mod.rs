//! Anthropic's endpoints, one file each.

pub(super) mod messages;
pub(super) mod version;
