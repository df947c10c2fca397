//! The relations and table functions that a statement mentions.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Statement, TableFactor, Visit, Visitor,
};

/// What a statement mentions, in order of appearance, each once.
#[derive(Debug, Default)]
pub(crate) struct Mentioned {
    /// Names in `FROM`, and the target of an `INSERT`.
    pub(crate) relations: Vec<ObjectName>,
    /// Calls in `FROM`, such as `read_parquet('…')` and `TABLE(tumble(…))`.
    pub(crate) calls: Vec<TableFactor>,
    /// Names of common table expressions anywhere in the statement, in lower case unless quoted.
    pub(crate) ctes: HashSet<String>,
}

/// Collects what `statement` mentions.
pub(crate) fn mentioned(statement: &Statement) -> Mentioned {
    let mut mentioned = Mentioned::default();
    let mut collector = Collector {
        mentioned: &mut mentioned,
        functions: HashSet::new(),
    };
    let _ = Visit::visit(statement, &mut collector);
    let functions = collector.functions;
    mentioned.relations.retain(|name| !functions.contains(name));
    mentioned
}

struct Collector<'a> {
    mentioned: &'a mut Mentioned,
    functions: HashSet<ObjectName>,
}

impl Visitor for Collector<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query
            .with
            .iter()
            .flat_map(|with| &with.cte_tables)
            .map(|cte| normalized(&cte.alias.name));
        self.mentioned.ctes.extend(names);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if !self.mentioned.relations.contains(relation) {
            self.mentioned.relations.push(relation.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        } = factor
        {
            self.functions.insert(name.clone());
            self.mentioned.calls.push(factor.clone());
        }
        if let TableFactor::TableFunction { .. } = factor {
            self.mentioned.calls.push(factor.clone());
        }
        ControlFlow::Continue(())
    }
}

fn normalized(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> (Vec<String>, usize) {
        let parsed = crate::text::parse_one(sql).unwrap();
        let weir_sql::Statement::Query(query) = parsed.statement else {
            panic!("no query")
        };
        let mentioned = mentioned(&Statement::Query(query.query));
        let names = mentioned
            .relations
            .iter()
            .filter(|name| !mentioned.ctes.contains(&name.to_string()))
            .map(ToString::to_string)
            .collect();
        (names, mentioned.calls.len())
    }

    #[test]
    fn relations_are_found_wherever_they_stand() {
        assert_eq!(
            of("SELECT * FROM a JOIN b USING (x) WHERE x IN (SELECT x FROM s.c)").0,
            ["a", "b", "s.c"]
        );
        assert_eq!(
            of("WITH t AS (SELECT * FROM a) SELECT * FROM t, t AS u").0,
            ["a"]
        );
        assert_eq!(
            of("SELECT * FROM generate_series(1, 3), a"),
            (vec!["a".to_owned()], 1)
        );
        assert_eq!(of("SELECT 1").0, Vec::<String>::new());
    }
}
