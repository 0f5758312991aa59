//! Requests that a model answers without writing: to judge texts, to put texts in order.

use super::chat::Source;
use super::text::Text;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// To say whether texts are harmful.
    Moderate,
    /// To order documents by how well they answer a query.
    Rank,
}

/// One such request. Its answer is the provider's own, byte for byte.
#[derive(Debug)]
pub struct TaskRequest<'a> {
    /// What is asked for.
    pub task: Task,
    /// The model as the client named it.
    pub model: Text<'a>,
    /// What each document is read together with; nothing where texts are judged by themselves.
    pub query: Option<Text<'a>>,
    /// The texts to judge, or the documents.
    pub texts: Vec<Text<'a>>,
    /// Where all this came from.
    pub source: Source<'a>,
}
