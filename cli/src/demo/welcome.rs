//! What `weir serve --demo` prints: where things are, and three commands to paste.

use std::path::Path;

/// What the text speaks of.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    /// The server's address, `http://127.0.0.1:8080`.
    pub(crate) url: &'a str,
    /// Rows a second.
    pub(crate) rate: u32,
    /// The folder of all data.
    pub(crate) data_dir: &'a Path,
    /// How to call this binary.
    pub(crate) weir: &'a str,
}

/// The queries that are printed, and what each shows.
pub(crate) const QUERIES: [(&str, &str, &str); 3] = [
    (
        "The auctions with the most bids so far, as CSV",
        "-s %URL%/v1/sql -H 'Accept: text/csv'",
        "SELECT auction, count(*) AS bids, max(price) AS price FROM bids GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
    ),
    (
        "History, then every high bid the moment it is made (Ctrl-C ends it)",
        "-sN %URL%/v1/sql -H 'Accept: application/x-ndjson'",
        "SELECT * FROM bids WHERE price > 9000 EMIT CHANGES",
    ),
    (
        "Where bidders live: two streams joined with a CSV and a JSON file",
        "-s %URL%/v1/sql -H 'Accept: text/csv'",
        "SELECT k.name AS continent, c.name AS country, count(*) AS bids, max(b.price) AS highest
  FROM bids b JOIN people p ON b.bidder = p.id JOIN countries c ON p.country = c.code
  JOIN continents k ON c.continent = k.code GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 8",
    ),
];

impl Welcome<'_> {
    /// The text, of less than a screen.
    pub(crate) fn render(&self) -> String {
        let Self {
            url,
            rate,
            data_dir,
            weir,
        } = self;
        let mut text = format!(
            "\nWeir is running, and {rate} rows/s go into its streams bids, auctions and people.\n\
             Files to join them with: cities (Parquet), countries (CSV), continents (JSON).\n\n  \
             REST {url}/v1/sql   API {url}/openapi.json   metrics {url}/metrics\n  \
             data {}: the next start goes on there; Ctrl-C stops\n\n\
             Paste into another terminal:\n",
            data_dir.display()
        );
        for (shows, options, query) in QUERIES {
            let options = options.replace("%URL%", url);
            text.push_str(&format!(
                "\n# {shows}\ncurl {options} --data \\\n '{query}'\n"
            ));
        }
        text.push_str(&format!(
            "\n# A prompt (\\d lists what there is)\n{weir} sql --url {url}\n"
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_on_a_screen_and_names_the_real_port() {
        let text = Welcome {
            url: "http://127.0.0.1:43210",
            rate: 200,
            data_dir: Path::new("weir-data"),
            weir: "weir",
        }
        .render();
        assert!(text.lines().count() <= 26, "{text}");
        assert!(!text.contains('%') && !text.contains("8080"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        assert_eq!(text.matches("curl ").count(), 3);
    }

    #[test]
    fn queries_can_stand_in_single_quotes_of_a_shell() {
        assert!(QUERIES.iter().all(|(_, _, query)| !query.contains('\'')));
    }
}
