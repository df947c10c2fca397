//! Views whose texts go on reading what is renamed. A view is kept as its text, so that the name is changed there.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName as SqlName, Query, SelectItemQualifiedWildcardKind, TableFactor,
    Visit, Visitor,
};
use weir_base::Position;
use weir_catalog::{Body, Entry, ObjectId, ObjectName, Snapshot, quote_ident};

use super::{ident_position, normalized};
use crate::planning::relation_named;

/// The texts of the views that read `entry`, for when it is called `to`. Views whose text cannot be followed are not among them, and nor is
/// what keeps rows by its text.
pub(super) fn texts_after_rename(
    snapshot: &Snapshot,
    entry: &Entry,
    to: &str,
) -> BTreeMap<ObjectId, String> {
    let dependants = snapshot.dependants(entry.id).into_iter();
    let views = dependants.filter_map(|dependant| match &dependant.body {
        Body::View(view) => {
            let text = renamed(&view.sql, &view.default_schema, &entry.name, to)?;
            Some((dependant.id, text))
        }
        _ => None,
    });
    views.collect()
}

/// A query's text in which the relation `of` is called `to`; none where it is not plain what each name means.
fn renamed(sql: &str, default_schema: &str, of: &ObjectName, to: &str) -> Option<String> {
    let parsed = crate::text::parse_one(sql).ok()?;
    let weir_sql::Statement::Query(query) = parsed.statement else {
        return None;
    };
    let mut finder = Finder {
        default_schema,
        of,
        places: Vec::new(),
        ctes: HashSet::new(),
        is_plain: true,
    };
    let _ = Visit::visit(&query.query, &mut finder);
    let is_hidden = finder.ctes.contains(&of.name);
    if !finder.is_plain || is_hidden || finder.places.is_empty() {
        return None;
    }
    let places = finder.places.iter().map(|place| {
        let name = quote_ident(to);
        let written = match place.has_alias {
            true => name,
            // Columns may be named with it.
            false => format!("{name} AS {}", quote_ident(&of.name)),
        };
        (place.at, written)
    });
    let text = weir_sql::with_words_replaced(sql, places)?;
    // What cannot be read any more is worse than what is refused.
    crate::text::parse_one(&text).is_ok().then_some(text)
}

/// Where the last part of a name of the relation stands.
struct Place {
    at: Position,
    has_alias: bool,
}

struct Finder<'a> {
    default_schema: &'a str,
    of: &'a ObjectName,
    places: Vec<Place>,
    ctes: HashSet<String>,
    /// Whether all names are among those that are understood here.
    is_plain: bool,
}

impl Finder<'_> {
    fn is_it(&self, name: &SqlName) -> bool {
        relation_named(name, self.default_schema).is_ok_and(|name| name == *self.of)
    }

    /// A name of a column, or of all, with the schema before the relation's name.
    fn refuse_qualified(&mut self, parts: &[Ident]) {
        let names: Vec<String> = parts.iter().map(normalized).collect();
        self.is_plain &= !names
            .windows(2)
            .any(|pair| pair == [self.of.schema.as_str(), self.of.name.as_str()]);
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes
            .extend(ctes.map(|cte| normalized(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let ast::SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) = item
            {
                let parts = name.0.iter().filter_map(|part| part.as_ident().cloned());
                self.refuse_qualified(&parts.collect::<Vec<_>>());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version,
                ..
            } if self.is_it(name) => {
                let last = name.0.last().and_then(|part| part.as_ident());
                let at = last.and_then(ident_position);
                let has_alias = alias.is_some();
                // An alias would have to come after what stands behind the name.
                self.is_plain &= at.is_some() && (has_alias || version.is_none());
                self.places.extend(at.map(|at| Place { at, has_alias }));
            }
            // A function's argument may name it, too.
            TableFactor::Table { args: Some(_), .. } | TableFactor::TableFunction { .. } => {
                let (written, name) = (factor.to_string(), &self.of.name);
                let mut words = written.split(|c| !is_of_name(c));
                self.is_plain &= !words.any(|word| word.eq_ignore_ascii_case(name));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && parts.len() > 2
        {
            self.refuse_qualified(parts);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a character may be in a name that has no quotes.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sql: &str) -> Option<String> {
        renamed(sql, "public", &ObjectName::public("a"), "B")
    }

    #[test]
    fn each_name_of_it_is_changed_and_no_other() {
        let same =
            |sql: &str, wanted: &str| assert_eq!(after(sql).as_deref(), Some(wanted), "{sql}");
        same("SELECT * FROM a", "SELECT * FROM \"B\" AS a");
        same(
            "SELECT a.x FROM A, s.a AS c",
            "SELECT a.x FROM \"B\" AS a, s.a AS c",
        );
        same(
            "SELECT 'a' AS a, x.a\nFROM public.\"a\" x -- a\nWHERE EXISTS (SELECT 1 FROM weir.public.a)",
            "SELECT 'a' AS a, x.a\nFROM public.\"B\" x -- a\nWHERE EXISTS (SELECT 1 FROM weir.public.\"B\" AS a)",
        );
        same(
            "SELECT y.x FROM s JOIN a FOR SYSTEM_TIME AS OF s.at AS y ON s.x = y.x ASOF JOIN a MATCH_CONDITION (s.at >= a.at) ON s.x = a.x",
            "SELECT y.x FROM s JOIN \"B\" FOR SYSTEM_TIME AS OF s.at AS y ON s.x = y.x ASOF JOIN \"B\" AS a MATCH_CONDITION (s.at >= a.at) ON s.x = a.x",
        );
        same(
            "SELECT * FROM a, generate_series(1, 2) AS g(v)",
            "SELECT * FROM \"B\" AS a, generate_series(1, 2) AS g(v)",
        );
        same(
            "WITH c AS (SELECT 'ü' FROM a) SELECT * FROM c JOIN a USING (x)",
            "WITH c AS (SELECT 'ü' FROM \"B\" AS a) SELECT * FROM c JOIN \"B\" AS a USING (x)",
        );
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for sql in [
            "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
            "SELECT public.a.x FROM public.a",
            "SELECT public.a.* FROM public.a",
            "SELECT * FROM TUMBLE(a, at, INTERVAL '1 second')",
            "SELECT a.x FROM s JOIN a FOR SYSTEM_TIME AS OF s.at ON s.x = a.x",
            "SELECT * FROM b",
        ] {
            assert_eq!(after(sql), None, "{sql}");
        }
    }
}
