//! The version of its wire that a client of Anthropic's names, held to what that version is.
//!
//! The rule is Anthropic's own: the header must be there and name a version there is; versions before
//! [`WITHOUT_SAMPLING`] take sampling parameters, and documents in the model's own turns, and from it on
//! both are refused, naming the field.

use http::HeaderMap;
use tollgate_providers::{BadRequest, Block, ChatRequest, Role};

const HEADER: &str = "anthropic-version";
/// The versions there are, in their order.
const VERSIONS: [&str; 3] = ["2023-01-01", "2023-06-01", WITHOUT_SAMPLING];
const WITHOUT_SAMPLING: &str = "2026-10-21";

/// Whether the request is one of the version that it names.
///
/// # Errors
/// No version, one that is not known, or what that version refuses.
pub(in crate::http) fn check(
    headers: &HeaderMap,
    request: &ChatRequest<'_>,
) -> Result<(), BadRequest> {
    let header = |message| Err(BadRequest::field(HEADER, message));
    let Some(named) = headers.get(HEADER).map(|value| value.to_str().unwrap_or("")) else {
        return header(format!("{HEADER}: header is required"));
    };
    match VERSIONS.into_iter().find(|version| *version == named.trim()) {
        None => header(format!("{HEADER}: not a version: there are {}", VERSIONS.join(", "))),
        Some(WITHOUT_SAMPLING) => newest(request),
        Some(_) => Ok(()),
    }
}

fn newest(request: &ChatRequest<'_>) -> Result<(), BadRequest> {
    if let Some((name, _)) = request.sampling.set().next() {
        let message = format!("{name}: not part of {HEADER} {WITHOUT_SAMPLING}");
        return Err(BadRequest::field(name, message));
    }
    let document = |block: &Block<'_>| match block {
        Block::File { .. } => true,
        Block::Other { kind, .. } => *kind == "document",
        _ => false,
    };
    let documents = |blocks: &[Block<'_>]| blocks.iter().any(document);
    let shown = request.messages.iter().filter(|message| message.role != Role::System);
    match shown.enumerate().find(|(_, m)| m.role == Role::Assistant && documents(&m.blocks)) {
        None => Ok(()),
        Some((i, _)) => {
            let param = format!("messages.{i}.content");
            let message = format!(
                "{param}: {HEADER} {WITHOUT_SAMPLING} has no documents in the model's turns"
            );
            Err(BadRequest::field(param, message))
        }
    }
}
