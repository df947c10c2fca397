//! Completion of keywords and of what the catalog has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::backslash::HELP;
use super::catalog;
use crate::client::Client;
use crate::error::Result;

/// The names in the catalog, shared between the prompt and the task that fetches them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<RwLock<Catalog>>);

#[derive(Debug, Default)]
struct Catalog {
    /// Name, as it is written in SQL, to what it is.
    relations: BTreeMap<String, String>,
    schemas: BTreeSet<String>,
    /// Columns of each relation.
    columns: BTreeMap<String, BTreeSet<String>>,
}

const COLUMNS: &str =
    "SELECT table_schema, table_name, column_name FROM information_schema.columns";

impl Names {
    /// Fetches all names.
    pub(super) async fn refresh(&self, client: &Client) -> Result<()> {
        let mut names = Catalog::default();
        for row in client.texts(COLUMNS).await? {
            if let [Some(schema), Some(table), Some(column)] = row.as_slice() {
                names
                    .add(schema, table, "system table")
                    .insert(quoted(column));
            }
        }
        for row in client.texts(catalog::RELATIONS).await? {
            if let [Some(schema), Some(name), Some(kind)] = row.as_slice() {
                names.add(schema, name, kind);
            }
        }
        // A panic elsewhere leaves at worst old names here.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(())
    }
}

impl Catalog {
    /// Adds a relation, or says what kind it is; answers its columns.
    fn add(&mut self, schema: &str, table: &str, kind: &str) -> &mut BTreeSet<String> {
        let table = quoted(table);
        let name = if schema == "public" {
            table
        } else {
            format!("{}.{table}", quoted(schema))
        };
        self.schemas.insert(quoted(schema));
        self.relations.insert(name.clone(), kind.to_owned());
        self.columns.entry(name).or_default()
    }

    /// What could stand at the end of `before`.
    fn suggestions(&self, before: &str) -> Vec<Suggestion> {
        let start = word_start(before);
        let word = before.get(start..).unwrap_or_default();
        let span = Span::new(start, before.len());
        if let Some(command) = before.trim_start().strip_prefix('\\')
            && !command.contains(char::is_whitespace)
        {
            return backslash_commands(command, span);
        }
        if word.is_empty() {
            return Vec::new();
        }
        let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
        let lower = word.to_lowercase();
        let fits = |name: &str| name.to_lowercase().starts_with(&lower);
        for (name, kind) in self.relations.iter().filter(|(name, _)| fits(name)) {
            found.insert(name.clone(), Some(kind.clone()));
        }
        let qualifier = word.rsplit_once('.').map(|(qualifier, _)| qualifier);
        for (relation, columns) in &self.columns {
            for column in columns {
                match qualifier {
                    Some(qualifier) => {
                        let name = format!("{qualifier}.{column}");
                        if relation == qualifier && fits(&name) {
                            found.insert(name, Some(format!("column of {relation}")));
                        }
                    }
                    None if fits(column) => {
                        let about = found.entry(column.clone()).or_insert(None);
                        *about = Some(match about.take() {
                            None => format!("column of {relation}"),
                            Some(about) => format!("{about}, {relation}"),
                        });
                    }
                    None => {}
                }
            }
        }
        for schema in self.schemas.iter().filter(|schema| fits(schema)) {
            found
                .entry(format!("{schema}."))
                .or_insert(Some("schema".to_owned()));
        }
        if qualifier.is_none() {
            let upper = word.to_uppercase();
            let keywords = weir_sql::keywords()
                .iter()
                .filter(|k| k.starts_with(&upper));
            for keyword in keywords {
                let typed_lower = word.chars().all(|c| !c.is_uppercase());
                let keyword = if typed_lower {
                    keyword.to_lowercase()
                } else {
                    (*keyword).to_owned()
                };
                found.entry(keyword).or_insert(None);
            }
        }
        found
            .into_iter()
            .map(|(value, description)| Suggestion {
                append_whitespace: !value.ends_with('.'),
                value,
                description,
                span,
                ..Suggestion::default()
            })
            .collect()
    }
}

/// Completes from [`Names`].
#[derive(Debug)]
pub(super) struct SqlCompleter(pub(super) Names);

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let before = line.get(..pos).unwrap_or(line);
        let catalog = self.0.0.read().unwrap_or_else(PoisonError::into_inner);
        CompletionResult::fresh(catalog.suggestions(before))
    }
}

fn backslash_commands(typed: &str, span: Span) -> Vec<Suggestion> {
    HELP.lines()
        .filter_map(|line| {
            let (command, about) = line.strip_prefix('\\')?.split_once("  ")?;
            let name = command.split_whitespace().next()?;
            name.starts_with(typed).then(|| Suggestion {
                value: format!("\\{name}"),
                description: Some(about.trim().to_owned()),
                span: Span::new(span.end.saturating_sub(typed.len() + 1), span.end),
                append_whitespace: true,
                ..Suggestion::default()
            })
        })
        .collect()
}

/// Where the word that ends `before` starts; a qualified name is one word.
fn word_start(before: &str) -> usize {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '$');
    before
        .char_indices()
        .rev()
        .take_while(|(_, c)| part(*c))
        .last()
        .map_or(before.len(), |(at, _)| at)
}

/// A name as SQL writes it: in double quotes unless it is plain lower case and no keyword.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(before: &str) -> Vec<String> {
        let mut catalog = Catalog::default();
        for (schema, name, column) in [
            ("public", "bids", "auction"),
            ("public", "bids", "price"),
            ("public", "auctions", "id"),
            ("sales", "Orders", "id"),
        ] {
            catalog
                .add(schema, name, "stream")
                .insert(column.to_owned());
        }
        catalog
            .suggestions(before)
            .into_iter()
            .map(|suggestion| suggestion.value)
            .collect()
    }

    #[test]
    fn relations_columns_and_keywords_are_offered() {
        let found = values("SELECT auc");
        assert!(found.contains(&"auction".to_owned()) && found.contains(&"auctions".to_owned()));
        assert!(values("sel").contains(&"select".to_owned()));
        assert!(values("SEL").contains(&"SELECT".to_owned()));
        assert_eq!(values("SELECT bids.p"), ["bids.price"]);
        assert_eq!(values("FROM sales."), ["sales.\"Orders\""]);
        assert!(values("SELECT ").is_empty());
    }

    #[test]
    fn commands_are_offered_after_a_backslash() {
        assert_eq!(values("\\ti"), ["\\timing"]);
        assert!(values("\\d bi").contains(&"bids".to_owned()));
    }

    #[test]
    fn a_suggestion_replaces_the_word_before_the_cursor() {
        let catalog = Catalog::default();
        let suggestions = catalog.suggestions("  \\tim");
        assert_eq!((suggestions[0].span.start, suggestions[0].span.end), (2, 6));
        assert_eq!(word_start("a + s.b\"C"), 4);
        assert_eq!(word_start("é é"), 3);
    }
}
