//! `[server]` and `[storage]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    reader::Section,
    snapshot::{Admin, Durability, Server, Storage},
};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8788);
const MAX_BODY_BYTES: u64 = 32 << 20;
/// With the buffers of a stream on both sides, so many take about a gigabyte.
const MAX_CALLS: u32 = 8_192;
const DRAIN_SECONDS: u64 = 30;
/// A shorter admin key can be guessed.
const ADMIN_KEY_LENGTH: usize = 16;

/// `[server]`: the listeners. All of it has defaults, except the admin plane's key.
pub(super) fn server(root: &Section<'_>) -> Server {
    let Some(table) = root.section("server") else {
        return Server {
            listen: LISTEN,
            admin: None,
            max_body_bytes: MAX_BODY_BYTES as usize,
            drain: Duration::from_secs(DRAIN_SECONDS),
            max_calls: MAX_CALLS,
            workers: None,
        };
    };
    let listen = table.get("listen").and_then(|field| field.address()).unwrap_or(LISTEN);
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let max_body = whole("max_body_bytes", 1_024..=1 << 30).unwrap_or(MAX_BODY_BYTES);
    let drain = whole("drain_seconds", 0..=3_600).unwrap_or(DRAIN_SECONDS);
    let max_calls = whole("max_calls", 1..=1 << 20);
    let workers = whole("workers", 1..=1_024);
    let admin = admin(&table, listen);
    table.done();
    Server {
        listen,
        admin,
        max_body_bytes: usize::try_from(max_body).unwrap_or(usize::MAX),
        drain: Duration::from_secs(drain),
        max_calls: max_calls.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_CALLS),
        workers: workers.and_then(|n| usize::try_from(n).ok()),
    }
}

/// The admin plane stands and falls with its key: there is no anonymous mode.
fn admin(table: &Section<'_>, listen: SocketAddr) -> Option<Admin> {
    let listen_field = table.get("admin_listen");
    let key_field = table.get("admin_key");
    let admin_listen = listen_field.as_ref().map_or(Some(ADMIN_LISTEN), |field| field.address());
    if let (Some(field), None) = (&listen_field, &key_field) {
        return field.error_help(
            "the admin plane has no key",
            "add admin_key = \"env:NAME\", or leave out admin_listen",
        );
    }
    let key = key_field.as_ref()?.secret();
    if let (Some(field), Some(key)) = (&key_field, &key)
        && key.expose().len() < ADMIN_KEY_LENGTH
    {
        let message = format!("the admin key is shorter than {ADMIN_KEY_LENGTH} characters");
        return field.error(&message);
    }
    let admin_listen = admin_listen?;
    if admin_listen == listen && listen.port() != 0 {
        let message = "the admin plane and the data plane listen on the same address";
        return listen_field.or(key_field)?.error(message);
    }
    Some(Admin { listen: admin_listen, key: key? })
}

/// `[storage]`: the ledger's database.
pub(super) fn storage(root: &Section<'_>) -> Storage {
    let default = root.reader.resolve("tollgate.db");
    let Some(table) = root.section("storage") else {
        return Storage { path: default, durability: Durability::Process };
    };
    let path = table.get("path").and_then(|field| field.text());
    let durability = table.get("durability").and_then(|field| {
        field.choice(&[("process", Durability::Process), ("power", Durability::Power)])
    });
    table.done();
    Storage {
        path: path.map_or(default, |path| root.reader.resolve(path)),
        durability: durability.unwrap_or(Durability::Process),
    }
}
