//! Sans-I/O adapters: a unified request to bytes, bytes to events.
