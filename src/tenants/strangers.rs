//! Clients that show no valid credential, by the address they come from: so often each may be refused
//! before it is told to wait. Who shows a valid one is never counted here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use tollgate_accounting::{
    AccountSpec, Amounts, Book, Facets, HoldId, Limit, Money, RefusalKind, Timestamp,
};

/// The most addresses that are remembered. Beyond it all begin anew: who has so many addresses is not
/// held up by a limit of each.
const MOST: usize = 65_536;

/// Limits of addresses.
pub struct Strangers {
    limits: Mutex<Addresses>,
}

struct Addresses {
    limits: Vec<Limit>,
    proxies: Vec<IpNet>,
    book: Book,
    known: HashSet<IpAddr>,
    last: u128,
}

impl Strangers {
    /// These limits for each address; none at all lets everybody try for ever. Clients may come
    /// through these proxies.
    pub fn new(limits: Vec<Limit>, proxies: Vec<IpNet>) -> Strangers {
        let (book, known) = (Book::remembering(1), HashSet::new());
        Strangers { limits: Mutex::new(Addresses { limits, proxies, book, known, last: 0 }) }
    }

    /// Makes these the limits and the proxies; what was counted before is forgotten where the limits
    /// changed.
    pub fn configure(&self, limits: Vec<Limit>, proxies: Vec<IpNet>) {
        let mut addresses = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.proxies = proxies;
        if addresses.limits != limits {
            addresses.limits = limits;
            addresses.book = Book::remembering(1);
            addresses.known.clear();
        }
    }

    /// The client's address: the other end of the connection, or where that is a trusted proxy the
    /// last address of `X-Forwarded-For` that is none. What stands before it anybody can write.
    pub fn client(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let addresses = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = peer.to_canonical();
        for hop in forwarded_for.into_iter().flat_map(|hops| hops.rsplit(',')) {
            if !addresses.proxies.iter().any(|network| network.contains(&client)) {
                break;
            }
            // A proxy that writes what is no address is taken for the client.
            let Some(hop) = hop_address(hop.trim()) else { break };
            client = hop.to_canonical();
        }
        client
    }

    /// Counts a refusal; with an instant where the address has had too many before then.
    pub fn refused(&self, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let mut addresses = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.count(site(address), now)
    }
}

impl Addresses {
    fn count(&mut self, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        if self.limits.is_empty() {
            return None;
        }
        let path = address.to_string();
        if !self.known.contains(&address) {
            if self.known.len() >= MOST {
                self.known.clear();
                self.book = Book::remembering(1);
            }
            let (limits, zone) = (self.limits.clone(), "UTC".to_owned());
            self.book.put(now, &AccountSpec { path: path.clone(), zone, limits }).ok()?;
            self.known.insert(address);
        }
        let account = self.book.account(&path)?;
        self.last += 1;
        let id = HoldId(self.last);
        let one = Amounts { requests: 1, input_tokens: 0, output_tokens: 0, cost: Money::ZERO };
        match self.book.hold(now, id, account, &Facets::default(), one, now) {
            Ok(_) => {
                self.book.settle(now, id, one);
                // Nothing of it is durable.
                self.book.take_dirty();
                None
            }
            Err(refusal) => match refusal.kind {
                RefusalKind::Later { retry_at } => Some(retry_at),
                RefusalKind::Never => Some(Timestamp::MAX),
            },
        }
    }
}

/// An address of `X-Forwarded-For`, which some proxies write with a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|hop: SocketAddr| hop.ip());
    text.parse().ok().or_else(with_port)
}

/// What one client can have of addresses: a whole /64 of IPv6 (RFC 6177).
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(text: &str) -> Strangers {
        Strangers::new(vec![text.parse().unwrap()], Vec::new())
    }

    #[test]
    fn a_clients_address_is_what_a_trusted_proxy_says_and_nobody_else() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let strangers = Strangers::new(Vec::new(), proxies.to_vec());
        for (peer, forwarded, client) in [
            ("192.0.2.1", None, "192.0.2.1"),
            ("192.0.2.1", Some("198.51.100.7"), "192.0.2.1"),
            ("10.0.0.1", Some("198.51.100.7"), "198.51.100.7"),
            ("::ffff:10.0.0.1", Some("198.51.100.7"), "198.51.100.7"),
            ("10.0.0.1", Some("1.1.1.1, 198.51.100.7"), "198.51.100.7"),
            ("10.0.0.1", Some("1.1.1.1,198.51.100.7 , 10.0.0.2"), "198.51.100.7"),
            ("10.0.0.1", Some("198.51.100.7:4711"), "198.51.100.7"),
            ("2001:db8::1", Some("[2001:470::5]:80"), "2001:470::5"),
            ("10.0.0.1", Some("unknown"), "10.0.0.1"),
            ("10.0.0.1", Some("1.1.1.1, unknown"), "10.0.0.1"),
            ("10.0.0.1", None, "10.0.0.1"),
        ] {
            let found = strangers.client(peer.parse().unwrap(), forwarded);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn an_address_waits_once_it_was_refused_too_often_and_others_do_not() {
        let strangers = limited("3 requests per minute, fixed window");
        let (one, other): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let now = Timestamp::from_micros(1_000_000);
        for _ in 0..3 {
            assert_eq!(strangers.refused(one, now), None);
        }
        let minute = Timestamp::from_micros(60_000_000);
        assert_eq!(strangers.refused(one, now), Some(minute));
        assert_eq!(strangers.refused(other, now), None);
        assert_eq!(strangers.refused(one, minute), None);
    }

    #[test]
    fn neighbours_of_one_ipv6_network_are_one_client() {
        let strangers = limited("1 requests per hour");
        let now = Timestamp::from_micros(0);
        assert_eq!(strangers.refused("2001:db8::1".parse().unwrap(), now), None);
        assert!(strangers.refused("2001:db8::2".parse().unwrap(), now).is_some());
        assert_eq!(strangers.refused("2001:db8:0:1::1".parse().unwrap(), now), None);
        assert_eq!(strangers.refused("::ffff:10.0.0.9".parse().unwrap(), now), None);
        assert!(strangers.refused("10.0.0.9".parse().unwrap(), now).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let strangers = limited("1 requests per hour");
        let now = Timestamp::from_micros(0);
        for n in 0..=MOST {
            let address = std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap());
            assert_eq!(strangers.refused(address.into(), now), None);
        }
        assert_eq!(strangers.limits.lock().unwrap().known.len(), 1);
    }
}
