//! Quotas: how fast a client may produce and fetch (KIP-13). One that is faster is answered, told for how long it is throttled,
//! and not heard until then (KIP-219).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use weir_base::ByteSize;

/// A client may be ahead of its rate by what it may do in so long.
const BURST: Duration = Duration::from_secs(1);
/// The longest that a client is told to wait at once, as Kafka's quota window.
const THROTTLE_MAX: Duration = Duration::from_secs(10);
/// Clients that are remembered; those that owe nothing make room.
const CLIENTS_MAX: usize = 10_000;

/// What clients use, by their client ids.
#[derive(Debug)]
pub(super) struct Quotas {
    produce: Option<u64>,
    fetch: Option<u64>,
    /// The moment at which a client would have used what it did, at its rate.
    used: Mutex<HashMap<(Use, String), Instant>>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Use {
    Produce,
    Fetch,
}

/// Until when a connection is not heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Mute(Arc<Mutex<Option<Instant>>>);

impl Mute {
    /// Mutes the connection for so long from now on.
    pub(super) fn during(&self, throttle: Duration) {
        if throttle > Duration::ZERO {
            let until = Instant::now() + throttle;
            let mut muted = self.0.lock();
            *muted = Some(muted.map_or(until, |other| other.max(until)));
        }
    }

    /// Until when it is muted, if it is.
    pub(super) fn until(&self) -> Option<Instant> {
        let mut muted = self.0.lock();
        if muted.is_some_and(|until| until <= Instant::now()) {
            *muted = None;
        }
        *muted
    }
}

impl Quotas {
    /// Rates in bytes a second for each client; none is no bound.
    pub(super) fn new(produce: Option<ByteSize>, fetch: Option<ByteSize>) -> Self {
        let rate = |size: Option<ByteSize>| size.map(|size| size.0.max(1));
        Self {
            produce: rate(produce),
            fetch: rate(fetch),
            used: Mutex::default(),
        }
    }

    /// Counts what a client has moved, and says for how long it is throttled.
    pub(super) fn count(&self, what: Use, client_id: &str, bytes: usize) -> Duration {
        let rate = match what {
            Use::Produce => self.produce,
            Use::Fetch => self.fetch,
        };
        match rate {
            Some(rate) => self.count_at(what, client_id, bytes, rate, Instant::now()),
            None => Duration::ZERO,
        }
    }

    fn count_at(
        &self,
        what: Use,
        client_id: &str,
        bytes: usize,
        rate: u64,
        now: Instant,
    ) -> Duration {
        let mut used = self.used.lock();
        if used.len() >= CLIENTS_MAX {
            used.retain(|_, until| *until > now);
        }
        let key = (what, client_id.to_owned());
        if used.len() >= CLIENTS_MAX && !used.contains_key(&key) {
            // As many clients as this are at their bounds: one more waits for them.
            return BURST;
        }
        let until = used.entry(key).or_insert(now);
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        *until = (*until).max(now) + takes.min(THROTTLE_MAX * 6);
        let ahead = until.saturating_duration_since(now);
        ahead.saturating_sub(BURST).min(THROTTLE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_goes_at_its_rate_and_others_at_theirs() {
        let quotas = Quotas::new(Some(ByteSize(1000)), None);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let produce =
            |client: &str, bytes, ms| quotas.count_at(Use::Produce, client, bytes, 1000, at(ms));
        assert_eq!(produce("a", 1000, 0), Duration::ZERO, "a burst");
        assert_eq!(produce("a", 500, 0), Duration::from_millis(500));
        assert_eq!(produce("b", 1000, 0), Duration::ZERO);
        // It waited, and goes on.
        assert_eq!(produce("a", 100, 600), Duration::ZERO);
        assert_eq!(produce("a", 1_000_000, 600), THROTTLE_MAX);
        assert_eq!(quotas.count(Use::Fetch, "a", 1 << 30), Duration::ZERO);
    }

    #[test]
    fn clients_that_owe_nothing_make_room() {
        let quotas = Quotas::new(Some(ByteSize(1000)), None);
        let start = Instant::now();
        for client in 0..CLIENTS_MAX {
            let client = client.to_string();
            quotas.count_at(Use::Produce, &client, 10, 1000, start);
        }
        let more = quotas.count_at(Use::Produce, "more", 10, 1000, start);
        assert_eq!(more, BURST);
        let later = start + Duration::from_secs(1);
        let more = quotas.count_at(Use::Produce, "more", 10, 1000, later);
        assert_eq!(more, Duration::ZERO);
        assert_eq!(quotas.used.lock().len(), 1);
    }

    #[test]
    fn a_connection_is_muted_until_the_last_moment_that_was_said() {
        let mute = Mute::default();
        assert_eq!(mute.until(), None);
        mute.during(Duration::from_secs(60));
        let until = mute.until();
        mute.during(Duration::from_secs(1));
        assert_eq!(mute.until(), until);
    }
}
