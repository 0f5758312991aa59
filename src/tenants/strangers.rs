//! Clients that show no valid credential, by the address they come from: so often each may be refused
//! before it is told to wait. Who shows a valid one is never counted here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

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
    book: Book,
    known: HashSet<IpAddr>,
    last: u128,
}

impl Strangers {
    /// These limits for each address; none at all lets everybody try for ever.
    pub fn new(limits: Vec<Limit>) -> Strangers {
        let (book, known) = (Book::remembering(1), HashSet::new());
        Strangers { limits: Mutex::new(Addresses { limits, book, known, last: 0 }) }
    }

    /// Makes these the limits; what was counted before is forgotten where they changed.
    pub fn configure(&self, limits: Vec<Limit>) {
        let mut addresses = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.limits != limits {
            *addresses = Addresses {
                limits,
                book: Book::remembering(1),
                known: HashSet::new(),
                last: addresses.last,
            };
        }
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

    fn limits(text: &str) -> Vec<Limit> {
        vec![text.parse().unwrap()]
    }

    #[test]
    fn an_address_waits_once_it_was_refused_too_often_and_others_do_not() {
        let strangers = Strangers::new(limits("3 requests per minute, fixed window"));
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
        let strangers = Strangers::new(limits("1 requests per hour"));
        let now = Timestamp::from_micros(0);
        assert_eq!(strangers.refused("2001:db8::1".parse().unwrap(), now), None);
        assert!(strangers.refused("2001:db8::2".parse().unwrap(), now).is_some());
        assert_eq!(strangers.refused("2001:db8:0:1::1".parse().unwrap(), now), None);
        assert_eq!(strangers.refused("::ffff:10.0.0.9".parse().unwrap(), now), None);
        assert!(strangers.refused("10.0.0.9".parse().unwrap(), now).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let strangers = Strangers::new(limits("1 requests per hour"));
        let now = Timestamp::from_micros(0);
        for n in 0..=MOST {
            let address = std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap());
            assert_eq!(strangers.refused(address.into(), now), None);
        }
        assert_eq!(strangers.limits.lock().unwrap().known.len(), 1);
    }
}
