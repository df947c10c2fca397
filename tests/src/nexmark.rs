//! Nexmark: the events of an online auction, and the queries of `benches/nexmark`.
//!
//! Events are those of the crate `nexmark`, which gives the same ones for the same number. The queries keep the meaning of
//! those of the Nexmark suite for Flink (<https://github.com/nexmark/nexmark>), in Weir's words.

use std::fmt::Write as _;

use chrono::DateTime;
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::Event;

use crate::queries::{Query, queries_of, statements_of};

/// 2015-07-14 23:59:40 UTC: the canonical start, but for the 20 seconds that let any run see two days.
const FIRST_MS: u64 = 1_436_918_380_000;

/// The streams that hold the events, in the order of [`Portion::streams`].
pub const STREAMS: [&str; 3] = ["person", "auction", "bid"];

/// Events without end, the same in every run.
#[derive(Debug)]
pub struct Events(EventGenerator);

/// Some events, as lines of JSON for each stream.
#[derive(Debug, Default)]
pub struct Portion {
    /// Rows of each of [`STREAMS`].
    pub streams: [String; 3],
    /// How many rows each has.
    pub rows: [u64; 3],
}

impl Events {
    /// Events of which so many happen in a second of their own time.
    pub fn new(a_second: usize) -> Self {
        let config = NexmarkConfig {
            base_time: FIRST_MS,
            first_rate: a_second,
            next_rate: a_second,
            // Canonically in capitals.
            us_states: ["AZ", "CA", "ID", "OR", "WA", "WY"]
                .map(String::from)
                .to_vec(),
            ..NexmarkConfig::default()
        };
        Self(EventGenerator::new(config))
    }

    /// The next events, of all kinds together.
    pub fn portion(&mut self, events: usize) -> Portion {
        let mut portion = Portion::default();
        for event in self.0.by_ref().take(events) {
            portion.add(&event);
        }
        portion
    }
}

impl Portion {
    fn add(&mut self, event: &Event) {
        let (stream, line) = match event {
            Event::Person(person) => (
                0,
                format!(
                    r#"{{"id":{},"name":"{}","email_address":"{}","credit_card":"{}","city":"{}","state":"{}","date_time":"{}","extra":"{}"}}"#,
                    person.id,
                    person.name,
                    person.email_address,
                    person.credit_card,
                    person.city,
                    person.state,
                    time(person.date_time),
                    person.extra
                ),
            ),
            Event::Auction(auction) => (
                1,
                format!(
                    r#"{{"id":{},"item_name":"{}","description":"{}","initial_bid":{},"reserve":{},"date_time":"{}","expires":"{}","seller":{},"category":{},"extra":"{}"}}"#,
                    auction.id,
                    auction.item_name,
                    auction.description,
                    auction.initial_bid,
                    auction.reserve,
                    time(auction.date_time),
                    time(auction.expires),
                    auction.seller,
                    auction.category,
                    auction.extra
                ),
            ),
            Event::Bid(bid) => (
                2,
                format!(
                    r#"{{"auction":{},"bidder":{},"price":{},"channel":"{}","url":"{}","date_time":"{}","extra":"{}"}}"#,
                    bid.auction,
                    bid.bidder,
                    bid.price,
                    bid.channel,
                    bid.url,
                    time(bid.date_time),
                    bid.extra
                ),
            ),
        };
        let _ = writeln!(self.streams[stream], "{line}");
        self.rows[stream] += 1;
    }
}

/// Milliseconds since 1970 as a timestamp in text.
fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).expect("an event is of our time");
    let time = DateTime::from_timestamp_millis(ms).expect("an event is of our time");
    time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// q0 to q23.
///
/// # Panics
/// When they are not there.
pub fn queries() -> Vec<Query> {
    let queries = queries_of("benches/nexmark");
    assert_eq!(queries.len(), 24, "the queries of Nexmark are q0 to q23");
    queries
}

/// The statements that make what the queries read.
pub fn schema() -> Vec<String> {
    statements_of("benches/nexmark/schema.sql")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_each_time_and_of_all_kinds() {
        let mut first = Events::new(100);
        let all = first.portion(200);
        assert_eq!(all.rows, [4, 12, 184]);
        let mut second = Events::new(100);
        let (front, back) = (second.portion(70), second.portion(130));
        for stream in 0..STREAMS.len() {
            let parts = [front.streams[stream].as_str(), &back.streams[stream]].concat();
            assert_eq!(parts, all.streams[stream]);
            for line in parts.lines() {
                let row: serde_json::Value = serde_json::from_str(line).expect("a row is JSON");
                assert!(
                    row["date_time"]
                        .as_str()
                        .unwrap()
                        .starts_with("2015-07-14T23:59:4")
                );
            }
        }
    }

    #[test]
    fn queries_are_in_the_order_of_their_numbers() {
        let names: Vec<String> = queries().into_iter().map(|query| query.name).collect();
        let wanted: Vec<String> = (0..24).map(|number| format!("q{number}")).collect();
        assert_eq!(names, wanted);
        assert_eq!(schema().len(), 5);
    }
}
