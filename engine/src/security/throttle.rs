//! How often somebody may fail to sign in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Failures that are free of charge.
const FREE: u32 = 5;
/// How long who failed once more than that has to wait; it doubles with each further failure.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait.
const WAIT_MAX_MS: i64 = 60_000;
/// After so long without a failure all is forgotten.
const FORGET_MS: i64 = 10 * 60_000;
/// Names and addresses that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;

/// Bytes of a name by which it is told apart: none that there is has more.
const NAME_BYTES: usize = 64;

/// Whose failures are counted: those of a name from one address, so that nobody locks out another; and those of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    User(String, IpAddr),
    Address(IpAddr),
}

/// Counts failures to sign in, and says who has to wait. It decides by the times that it is given.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<Who, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last_ms: i64,
}

impl Failures {
    fn blocked_until_ms(self, free: u32) -> i64 {
        match self.count.checked_sub(free) {
            None | Some(0) => i64::MIN,
            Some(over) => {
                let wait = FIRST_WAIT_MS << (over - 1).min(16);
                self.last_ms.saturating_add(wait.min(WAIT_MAX_MS))
            }
        }
    }
}

impl Throttle {
    /// How long `user` from `from` has to wait before it may try; `None` is not at all.
    pub(super) fn wait(&self, user: &str, from: IpAddr, now_ms: i64) -> Option<Duration> {
        let from = network(from);
        let until = keys(user, from)
            .into_iter()
            .filter_map(|(who, free)| Some(self.failures.get(&who)?.blocked_until_ms(free)))
            .max()?;
        let left = u64::try_from(until.saturating_sub(now_ms)).ok()?;
        (left > 0).then_some(Duration::from_millis(left))
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, user: &str, from: IpAddr, now_ms: i64) {
        let from = network(from);
        if self.failures.len() >= REMEMBERED_MAX {
            self.failures
                .retain(|_, failures| now_ms - failures.last_ms < FORGET_MS);
        }
        if self.failures.len() >= REMEMBERED_MAX {
            // Under attack from everywhere the oldest half is forgotten; who goes on failing is soon known again.
            let mut times: Vec<i64> = self.failures.values().map(|one| one.last_ms).collect();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or(now_ms);
            self.failures
                .retain(|_, failures| failures.last_ms > middle);
        }
        for (who, _) in keys(user, from) {
            let failures = self.failures.entry(who).or_insert(Failures {
                count: 0,
                last_ms: now_ms,
            });
            if now_ms - failures.last_ms >= FORGET_MS {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last_ms = now_ms;
        }
    }

    /// Forgets the failures of who has signed in. Those of the address stay: they may be those of tries at other names.
    pub(super) fn succeeded(&mut self, user: &str, from: IpAddr) {
        let [(who, _), _] = keys(user, network(from));
        self.failures.remove(&who);
    }
}

/// What counts as one address: of IPv6 a network of 64 bits, of which whoever has one address mostly has all.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let kept = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(std::net::Ipv6Addr::from_bits(kept))
        }
        address => address,
    }
}

/// What a try counts for, with how many failures are free there.
fn keys(user: &str, from: IpAddr) -> [(Who, u32); 2] {
    let user = user.get(..user.floor_char_boundary(NAME_BYTES));
    [
        (Who::User(user.unwrap_or_default().to_owned(), from), FREE),
        // One address may be that of many people.
        (Who::Address(from), FREE * 10),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn who_fails_often_waits_longer_each_time() {
        let mut throttle = Throttle::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            throttle.failed("ada", HERE, 0);
            waits.push(
                throttle
                    .wait("ada", HERE, 0)
                    .map_or(0, |wait| wait.as_secs()),
            );
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(throttle.wait("ada", HERE, 8_000), None);
        assert_eq!(throttle.wait("ada", THERE, 0), None, "others may go on");
        assert_eq!(throttle.wait("bob", HERE, 0), None);
        throttle.succeeded("ada", HERE);
        assert_eq!(throttle.wait("ada", HERE, 0), None);
    }

    #[test]
    fn who_tries_many_names_waits_too() {
        let mut throttle = Throttle::default();
        for number in 0..=FREE * 10 {
            throttle.failed(&format!("user{number}"), HERE, 0);
        }
        assert!(throttle.wait("somebody", HERE, 0).is_some());
        assert!(throttle.wait("somebody", THERE, 0).is_none());
    }

    #[test]
    fn one_who_has_many_addresses_or_long_names_counts_once() {
        let mut throttle = Throttle::default();
        let address = |last: u64| {
            let bits = (0x2001_0db8_u128 << 96) | u128::from(last);
            IpAddr::V6(std::net::Ipv6Addr::from_bits(bits))
        };
        for number in 0..=u64::from(FREE) {
            throttle.failed("ada", address(number), 0);
        }
        assert!(throttle.wait("ada", address(77), 0).is_some());
        assert!(throttle.wait("ada", HERE, 0).is_none());
        for number in 0..=FREE {
            throttle.failed(&format!("{}{number}", "x".repeat(1 << 20)), THERE, 0);
        }
        assert_eq!(
            throttle
                .failures
                .keys()
                .filter(|who| matches!(who, Who::User(_, from) if *from == THERE))
                .count(),
            1
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut throttle = Throttle::default();
        for number in 0..REMEMBERED_MAX as i64 * 2 {
            throttle.failed(&format!("user{number}"), HERE, number);
            assert!(throttle.failures.len() <= REMEMBERED_MAX + 1);
        }
    }
}
