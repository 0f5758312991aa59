//! OpenAI's endpoints, one file each.

pub(super) mod audio;
pub(super) mod batches;
pub(super) mod chat;
pub(super) mod completions;
pub(super) mod embeddings;
pub(super) mod files;
pub(super) mod images;
mod lists;
pub(super) mod models;
pub(super) mod organization;
pub(super) mod responses;
pub(super) mod tasks;
