//! An auction feed: people who register, auctions that they open, bids.
//!
//! After Nexmark (Tucker et al., 2002; the query suite of the Apache Beam and Flink projects): of 50 events one is a
//! person, three are auctions, 46 are bids; a few auctions and bidders are hot. Prices rise from bid to bid, people live
//! in real cities in proportion to population, and some bids come late. The events are a function of the seed, the
//! starting ids and the times given.

use chrono::DateTime;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::cities::Cities;

/// A person has registered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) city_id: i64,
    pub(crate) country: String,
    pub(crate) at: String,
}

/// An auction has been opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Auction {
    pub(crate) id: i64,
    pub(crate) item: String,
    pub(crate) category: &'static str,
    pub(crate) seller: i64,
    pub(crate) initial_bid: i64,
    pub(crate) reserve: Option<i64>,
    pub(crate) at: String,
    pub(crate) expires: String,
}

/// A bid has been made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Bid {
    pub(crate) auction: i64,
    pub(crate) bidder: i64,
    pub(crate) price: i64,
    pub(crate) channel: &'static str,
    pub(crate) url: Option<String>,
    pub(crate) at: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Into `people`.
    Person(Person),
    /// Into `auctions`.
    Auction(Auction),
    /// Into `bids`.
    Bid(Bid),
}

/// The largest ids that exist already; 0 when there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LastIds {
    pub(crate) person: i64,
    pub(crate) auction: i64,
}

/// Makes events.
#[derive(Debug)]
pub(crate) struct Generator {
    rng: StdRng,
    cities: Cities,
    last: LastIds,
    events: u64,
    open: Vec<Open>,
}

/// An auction that takes bids.
#[derive(Debug)]
struct Open {
    id: i64,
    price: i64,
    bids: u32,
}

/// Auctions that take bids at a time.
const OPEN_MAX: usize = 100;
/// Every so many auctions one is hot, and half of all bids are for hot ones.
const HOT_EVERY: i64 = 20;
/// Only so many of the newest people take part.
const ACTIVE_PEOPLE: i64 = 2_000;
/// An auction's length in event time.
const AUCTION_MS: i64 = 10 * 60 * 1_000;
/// Most of the late bids' lateness; below the streams' watermark of 5 s.
const LATE_MS: i64 = 4_000;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bo", "Chidi", "Dana", "Emil", "Fatima", "Goro", "Hana", "Ivo", "Jun", "Kofi", "Lena",
    "Mei", "Noor", "Omar", "Priya",
];
const LAST_NAMES: [&str; 16] = [
    "Abe", "Berg", "Costa", "Diallo", "Endo", "Fischer", "Gupta", "Haddad", "Ito", "Jansen", "Kim",
    "Lopez", "Mensah", "Novak", "Okafor", "Park",
];
const ADJECTIVES: [&str; 10] = [
    "antique",
    "blue",
    "carved",
    "early",
    "folding",
    "hand-made",
    "large",
    "rare",
    "signed",
    "unused",
];
const CATEGORIES: [(&str, [&str; 4]); 5] = [
    ("art", ["print", "watercolour", "bust", "poster"]),
    ("books", ["atlas", "first edition", "comic", "manual"]),
    ("home", ["armchair", "lamp", "clock", "carpet"]),
    ("music", ["cello", "record", "amplifier", "accordion"]),
    ("transport", ["bicycle", "sledge", "kayak", "scooter"]),
];
const CHANNELS: [&str; 4] = ["app", "web", "phone", "partner"];

impl Generator {
    /// A generator that goes on after `last`.
    pub(crate) fn new(seed: u64, cities: Cities, last: LastIds) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            cities,
            last,
            events: 0,
            open: Vec::new(),
        }
    }

    /// The next event, at `at_ms` (milliseconds since the epoch).
    pub(crate) fn event(&mut self, at_ms: i64) -> Event {
        let turn = self.events % 50;
        self.events += 1;
        match turn {
            0 => Event::Person(self.person(at_ms)),
            1 | 17 | 34 => Event::Auction(self.auction(at_ms)),
            _ => Event::Bid(self.bid(at_ms)),
        }
    }

    fn person(&mut self, at_ms: i64) -> Person {
        self.last.person += 1;
        let id = self.last.person;
        let first = self.pick(&FIRST_NAMES);
        let last = self.pick(&LAST_NAMES);
        let city = self.cities.pick(self.rng.random());
        let (city_id, country) = (city.id, city.country.clone());
        Person {
            id,
            name: format!("{first} {last}"),
            email: self.rng.random_bool(0.9).then(|| {
                format!(
                    "{}.{}{id}@mail.example",
                    first.to_lowercase(),
                    last.to_lowercase()
                )
            }),
            city_id,
            country,
            at: timestamp(at_ms),
        }
    }

    fn auction(&mut self, at_ms: i64) -> Auction {
        self.last.auction += 1;
        let id = self.last.auction;
        // Few books, much transport.
        let category = self.skewed(CATEGORIES.len(), 1.5);
        let (category, nouns) = CATEGORIES[category];
        let item = format!("{} {}", self.pick(&ADJECTIVES), self.pick(&nouns));
        // From 10 to 3,000, most of them low.
        let initial_bid = (10.0 * 300_f64.powf(self.rng.random::<f64>())) as i64;
        let reserve = self.rng.random_bool(0.7).then(|| initial_bid * 2);
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Open {
            id,
            price: initial_bid,
            bids: 0,
        });
        Auction {
            id,
            item,
            category,
            seller: self.somebody(),
            initial_bid,
            reserve,
            at: timestamp(at_ms),
            expires: timestamp(at_ms + AUCTION_MS),
        }
    }

    fn bid(&mut self, at_ms: i64) -> Bid {
        let bidder = self.somebody();
        let channel = CHANNELS[self.skewed(CHANNELS.len(), 2.0)];
        let which = self.auction_for_bid();
        let chance: f64 = self.rng.random();
        let (auction, price) = match self.open.get_mut(which) {
            Some(open) => {
                // Bidders hesitate more the longer it goes on.
                let raise = 1.0 + chance * 0.12 / (1.0 + f64::from(open.bids) / 10.0);
                open.price = ((open.price as f64 * raise) as i64).max(open.price + 1);
                open.bids += 1;
                (open.id, open.price)
            }
            None => (self.last.auction.max(1), 100),
        };
        let late_ms = if self.rng.random_bool(0.02) {
            self.rng.random_range(0..LATE_MS)
        } else {
            0
        };
        Bid {
            auction,
            bidder,
            price,
            channel,
            url: (channel == "web" || channel == "partner")
                .then(|| format!("https://auctions.example/{auction}?from={channel}")),
            at: timestamp(at_ms - late_ms),
        }
    }

    /// Which of the open auctions the next bid is for.
    fn auction_for_bid(&mut self) -> usize {
        let hot: Vec<usize> = (0..self.open.len())
            .filter(|at| {
                self.open
                    .get(*at)
                    .is_some_and(|open| open.id % HOT_EVERY == 0)
            })
            .collect();
        if !hot.is_empty() && self.rng.random_bool(0.5) {
            let at = self.rng.random_range(0..hot.len());
            return hot.get(at).copied().unwrap_or(0);
        }
        self.skewed(self.open.len(), 1.0)
    }

    /// A person: one in three times one of a few regulars, else any recent one.
    fn somebody(&mut self) -> i64 {
        let last = self.last.person.max(1);
        let oldest = (last - ACTIVE_PEOPLE).max(0) + 1;
        if self.rng.random_bool(0.35) {
            let regulars = (last - oldest + 1).min(20);
            oldest + self.skewed(usize::try_from(regulars).unwrap_or(1), 2.0) as i64
        } else {
            self.rng.random_range(oldest..=last)
        }
    }

    /// A number below `below`, the low ones more often the larger `power` is; 0 when there is no choice.
    fn skewed(&mut self, below: usize, power: f64) -> usize {
        let at = (self.rng.random::<f64>().powf(power) * below as f64) as usize;
        at.min(below.saturating_sub(1))
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let at = self.rng.random_range(0..from.len().max(1));
        from.get(at).copied().unwrap_or_default()
    }
}

/// `2024-05-01T12:00:00.250`.
fn timestamp(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%S%.3f")
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn events(count: usize, last: LastIds) -> Vec<Event> {
        let mut generator = Generator::new(7, Cities::load().unwrap(), last);
        (0..count)
            .map(|at| generator.event(1_700_000_000_000 + at as i64 * 5))
            .collect()
    }

    fn bids(events: &[Event]) -> Vec<&Bid> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::Bid(bid) => Some(bid),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_events() {
        assert_eq!(
            events(500, LastIds::default()),
            events(500, LastIds::default())
        );
    }

    #[test]
    fn bids_name_people_and_auctions_that_exist() {
        let (mut people, mut auctions) = (0, 0);
        for event in events(5_000, LastIds::default()) {
            match event {
                Event::Person(person) => {
                    people += 1;
                    assert_eq!(person.id, people);
                    assert_eq!(person.country.len(), 2);
                }
                Event::Auction(auction) => {
                    auctions += 1;
                    assert_eq!(auction.id, auctions);
                    assert!((1..=people).contains(&auction.seller));
                }
                Event::Bid(bid) => {
                    assert!((1..=people).contains(&bid.bidder));
                    assert!((1..=auctions).contains(&bid.auction));
                }
            }
        }
    }

    #[test]
    fn ids_go_on_after_a_restart() {
        let last = LastIds {
            person: 41,
            auction: 99,
        };
        let events = events(50, last);
        assert!(matches!(&events[0], Event::Person(person) if person.id == 42));
        assert!(matches!(&events[1], Event::Auction(auction) if auction.id == 100));
        assert!(
            bids(&events)
                .iter()
                .all(|bid| bid.auction >= 100 && bid.bidder <= 42)
        );
    }

    #[test]
    fn prices_rise_within_an_auction_and_some_are_high() {
        let events = events(50_000, LastIds::default());
        let mut highest: HashMap<i64, i64> = HashMap::new();
        for bid in bids(&events) {
            let before = highest.insert(bid.auction, bid.price);
            assert!(before.is_none_or(|before| before < bid.price));
        }
        let all = bids(&events);
        let high = all.iter().filter(|bid| bid.price > 9_000).count();
        let share = high as f64 / all.len() as f64;
        assert!((0.005..0.3).contains(&share), "{share} of bids are high");
    }

    #[test]
    fn a_few_auctions_get_most_bids() {
        let events = events(20_000, LastIds::default());
        let mut counts: HashMap<i64, usize> = HashMap::new();
        for bid in bids(&events) {
            *counts.entry(bid.auction).or_default() += 1;
        }
        let mut counts: Vec<usize> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let top: usize = counts.iter().take(counts.len() / 10).sum();
        let all: usize = counts.iter().sum();
        assert!(top * 10 > all * 2, "the top tenth has {top} of {all}");
    }
}
