//! `SHOW …`.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::Parser;
use crate::error::Result;
use crate::keywords::did_you_mean;
use crate::statement::{Listing, Show, Statement};

const LISTINGS: [(&[&str], Listing); 12] = [
    (&["EXTERNAL", "TABLES"], Listing::ExternalTables),
    (&["MATERIALIZED", "VIEWS"], Listing::MaterializedViews),
    (&["SCHEMAS"], Listing::Schemas),
    (&["STREAMS"], Listing::Streams),
    (&["SOURCES"], Listing::Streams),
    (&["TABLES"], Listing::Tables),
    (&["VIEWS"], Listing::Views),
    (&["SINKS"], Listing::Sinks),
    (&["CONNECTIONS"], Listing::Connections),
    (&["JOBS"], Listing::Jobs),
    (&["QUERIES"], Listing::Queries),
    (&["FUNCTIONS"], Listing::Functions),
];

/// What may follow `SHOW`, for hints.
const WORDS: [&str; 15] = [
    "ALL",
    "COLUMNS",
    "CONNECTIONS",
    "CREATE",
    "EXTERNAL",
    "FUNCTIONS",
    "JOBS",
    "MATERIALIZED",
    "QUERIES",
    "SCHEMAS",
    "SINKS",
    "SOURCES",
    "STREAMS",
    "TABLES",
    "VIEWS",
];

impl Parser<'_, '_> {
    pub(super) fn show(&mut self) -> Result<Statement> {
        self.bump();
        self.show_what().map(Statement::Show)
    }

    fn show_what(&mut self) -> Result<Show> {
        if self.take(&["CREATE"]) {
            let start = self.at;
            let mut kind = self.object_kind();
            if self.at_end() {
                // SHOW CREATE stream: an object of that name.
                (self.at, kind) = (start, None);
            }
            let name = self.object_name("a name")?;
            return Ok(Show::Create { kind, name });
        }
        for word in ["COLUMNS", "FIELDS"] {
            if self.take(&[word]) {
                if !self.take(&["IN"]) {
                    self.expect(&["FROM"])?;
                }
                let name = self.object_name("the name of a table or a view")?;
                return Ok(Show::Columns {
                    name,
                    like: self.like()?,
                });
            }
        }
        for (words, what) in LISTINGS {
            if self.take(words) {
                let schema = if self.take(&["FROM"]) || self.take(&["IN"]) {
                    Some(self.ident("the name of a schema")?)
                } else {
                    None
                };
                return Ok(Show::List {
                    what,
                    schema,
                    like: self.like()?,
                });
            }
        }
        if self.take(&["ALL"]) {
            return Ok(Show::All);
        }
        if self.take(&["TIME", "ZONE"]) {
            return Ok(Show::Variable("timezone".to_owned()));
        }
        if self.take(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
            return Ok(Show::Variable("transaction_isolation".to_owned()));
        }
        if self.peek_words(&["DATABASES"]) {
            return Err(self.unsupported(
                "SHOW DATABASES",
                Some("the one database is weir; write SHOW SCHEMAS"),
            ));
        }
        let word = self.peek_word();
        let meant = word.and_then(|word| did_you_mean(&word.value, &WORDS));
        if meant.is_some() && *self.peek_second() != Token::Period {
            return Err(self
                .expected("STREAMS, TABLES, VIEWS, or the name of a setting")
                .or_hint(|| meant));
        }
        Ok(Show::Variable(self.setting()?))
    }

    fn like(&mut self) -> Result<Option<String>> {
        if self.take(&["LIKE"]) {
            return self.string("a pattern").map(Some);
        }
        Ok(None)
    }

    /// The name of a setting: `a.b.c`, in lower case.
    pub(super) fn setting(&mut self) -> Result<String> {
        let mut name = self.ident("the name of a setting")?.value;
        while self.take_token(&Token::Period) {
            name.push('.');
            name.push_str(&self.ident("the rest of a setting's name")?.value);
        }
        Ok(name.to_lowercase())
    }
}
