//! Arranges a vocabulary into the tables that counting reads. The build script does it for the
//! built-in ones, and a process for those it loads.

pub(crate) mod place;
pub(crate) mod tables;
pub(crate) mod trie;
