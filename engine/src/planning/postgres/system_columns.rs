//! Columns that every relation of PostgreSQL has and no list shows: `tableoid`, `xmin`.
//!
//! `t.tableoid` is the number of the relation that `t` is, which its name says already. `xmin`, by which clients find out what has
//! changed since they last looked, is the version of the catalog for every row: of each, something may have changed since an older one.

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, Select, TableFactor};

use super::{call, called, text};
use crate::postgres::facts;
use crate::statements::normalized;

/// The relations of the queries that an expression stands in, the innermost last.
#[derive(Default)]
pub(super) struct Scopes(Vec<Vec<Relation>>);

struct Relation {
    alias: String,
    name: ObjectName,
    /// Whether it has a column of its own by one of these names.
    own: Vec<String>,
}

impl Scopes {
    /// Goes into a query.
    pub(super) fn enter(
        &mut self,
        select: &Select,
        columns_of: &dyn Fn(&ObjectName) -> Vec<String>,
    ) {
        let factors = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        let relations = factors.filter_map(|factor| relation(factor, columns_of));
        self.0.push(relations.collect());
    }

    /// Comes out of it.
    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// Puts a value in the place of such a column.
    pub(super) fn settle(&self, expr: &mut Expr) {
        let (alias, column) = match &*expr {
            Expr::Identifier(column) => (None, column),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [alias, column] => (Some(normalized(alias)), column),
                _ => return,
            },
            _ => return,
        };
        let column = normalized(column);
        if !matches!(column.as_str(), "tableoid" | "xmin") {
            return;
        }
        let found = match &alias {
            // The nearest one of that name is meant.
            Some(alias) => {
                let mut scopes = self.0.iter().rev();
                scopes.find_map(|scope| scope.iter().find(|it| it.alias == *alias))
            }
            // Without a name it must be that of one relation.
            None => match self.0.last().map(Vec::as_slice) {
                Some([relation]) => Some(relation),
                _ => None,
            },
        };
        let Some(relation) = found.filter(|relation| !relation.own.contains(&column)) else {
            return;
        };
        *expr = match column.as_str() {
            "tableoid" => as_oid(call("regclassin", [text(relation.name.to_string())])),
            _ => call("catalog_xmin", []),
        };
    }
}

fn as_oid(expr: Expr) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type: ast::DataType::Custom(ObjectName::from(vec![Ident::new("oid")]), vec![]),
        array: false,
        format: None,
    }
}

fn relation(
    factor: &TableFactor,
    columns_of: &dyn Fn(&ObjectName) -> Vec<String>,
) -> Option<Relation> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = factor
    else {
        return None;
    };
    let own = match called(name).and_then(|name| facts::relation("pg_catalog", &name)) {
        Some(system) => system.columns.iter().map(|it| it.name.to_owned()).collect(),
        None => columns_of(name),
    };
    // Of what is no stored relation nothing is known.
    if own.is_empty() {
        return None;
    }
    let alias = match alias {
        Some(alias) => normalized(&alias.name),
        None => normalized(name.0.last()?.as_ident()?),
    };
    Some(Relation {
        alias,
        name: name.clone(),
        own,
    })
}
