//! Writing a conversation for wires where the roles take turns: what one role says in a row is one
//! message, and the results of tools are the user's.

use crate::dialect::json::put_str;
use crate::unified::{BadRequest, Role};

/// An array of messages that is being written.
pub(crate) struct Turns<'o> {
    out: &'o mut Vec<u8>,
    /// What the wire calls the list in a message.
    list: &'static str,
    open: Option<&'static str>,
}

impl<'o> Turns<'o> {
    /// Opens the array.
    pub(crate) fn open(out: &'o mut Vec<u8>, list: &'static str) -> Self {
        out.push(b'[');
        Turns { out, list, open: None }
    }

    /// Adds what a role says: elements of the list, commas between them. Saying nothing adds nothing.
    pub(crate) fn add(&mut self, role: &'static str, said: &[u8]) {
        if said.is_empty() {
            return;
        }
        if self.open == Some(role) {
            self.out.push(b',');
        } else {
            if self.open.is_some() {
                self.out.extend_from_slice(b"]},");
            }
            self.out.extend_from_slice(b"{\"role\":");
            put_str(self.out, role);
            self.out.push(b',');
            put_str(self.out, self.list);
            self.out.extend_from_slice(b":[");
            self.open = Some(role);
        }
        self.out.extend_from_slice(said);
    }

    /// Closes the array. A conversation in which nobody says anything is refused by these wires.
    pub(crate) fn close(self) -> Result<(), BadRequest> {
        if self.open.is_none() {
            let message = "`messages` says nothing: this provider takes no empty conversation";
            return Err(BadRequest::field("messages", message));
        }
        self.out.extend_from_slice(b"]}]");
        Ok(())
    }
}

/// Whose turn it is, with the wire's name for the model; nobody's for what stands apart as a system prompt.
pub(crate) fn turn(role: Role, model: &'static str) -> Option<&'static str> {
    match role {
        Role::System | Role::Developer => None,
        Role::Assistant => Some(model),
        Role::User | Role::Tool => Some("user"),
    }
}
