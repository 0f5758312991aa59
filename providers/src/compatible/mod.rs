//! Providers that speak OpenAI's wire and differ in data only: one row each.

use crate::openai::{OpenAi, Profile, STANDARD};

/// Every provider that is a row.
pub static ALL: [OpenAi; 1] = [OpenAi::new(&COMPATIBLE)];

/// Any host that speaks OpenAI's chat wire. Its address is the operator's to give, and it is taken
/// to know the older name of the output cap, as nearly all such servers do.
static COMPATIBLE: Profile =
    Profile { name: "compatible", base_url: None, cap_field: "max_tokens", ..STANDARD };
