//! Joins with `USING` and `NATURAL`: the columns joined on come first in `*`, and of an outer join they are those of the side
//! that is there. (DataFusion takes them from the left side always.)

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByExpr, Select, SelectItem,
    SetExpr, TableFactor, VisitMut, VisitorMut,
};

use super::call;
use crate::error::{Error, Result};
use crate::statements::normalized;

/// Writes out the columns of such a join. `order_by` are the keys of the query that `select` is.
pub(super) fn settle(select: &mut Select, order_by: Option<&mut [OrderByExpr]>) -> Result<()> {
    let [from] = select.from.as_slice() else {
        return refuse_outer(select);
    };
    let [join] = from.joins.as_slice() else {
        return refuse_outer(select);
    };
    let (constraint, side) = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => (constraint, Side::Left),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (constraint, Side::Right)
        }
        JoinOperator::FullOuter(constraint) => (constraint, Side::Both),
        _ => return Ok(()),
    };
    let JoinConstraint::Using(names) = constraint else {
        return refuse_outer(select);
    };
    let using: Option<Vec<Ident>> = names
        .iter()
        .map(|name| match name.0.as_slice() {
            [part] => part.as_ident().cloned(),
            _ => None,
        })
        .collect();
    let (Some(using), Some(left), Some(right)) =
        (using, name_of(&from.relation), name_of(&join.relation))
    else {
        return refuse_outer(select);
    };
    let has_wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_)));
    if side == Side::Left && !has_wildcard {
        return Ok(());
    }
    let merged = Merged {
        using,
        left,
        right,
        side,
    };
    if has_wildcard {
        merged.write_out(select)?;
    }
    let merges = side != Side::Left;
    if merges {
        let mut columns = &merged;
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && merged.is_joined(name)
            {
                *item = SelectItem::ExprWithAlias {
                    expr: merged.value(name),
                    alias: name.clone(),
                };
            }
            let _ = item.visit(&mut columns);
        }
        let _ = select.selection.visit(&mut columns);
        let _ = select.group_by.visit(&mut columns);
        let _ = select.having.visit(&mut columns);
        for by in order_by.into_iter().flatten() {
            // A key that is a column of the answer is that.
            if !matches!(by.expr, Expr::Identifier(_)) {
                let _ = by.visit(&mut columns);
            }
        }
    }
    Ok(())
}

/// An outer join whose columns cannot be told here would give nulls in place of values.
fn refuse_outer(select: &Select) -> Result<()> {
    let merges = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Right(JoinConstraint::Using(_) | JoinConstraint::Natural)
                | JoinOperator::RightOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
                | JoinOperator::FullOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
        )
    };
    let joins = select.from.iter().flat_map(|from| &from.joins);
    if joins.into_iter().any(|join| merges(&join.join_operator)) {
        return Err(Error::unsupported(
            "RIGHT or FULL JOIN with NATURAL, or with USING beside other joins, is not supported",
        )
        .with_hint("write ON, and coalesce(a.key, b.key) AS key"));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Both,
}

struct Merged {
    using: Vec<Ident>,
    left: Vec<Ident>,
    right: Vec<Ident>,
    side: Side,
}

impl Merged {
    fn is_joined(&self, name: &Ident) -> bool {
        let name = normalized(name);
        self.using.iter().any(|column| normalized(column) == name)
    }

    /// The value of a column that is joined on.
    fn value(&self, column: &Ident) -> Expr {
        let of = |relation: &[Ident]| {
            let parts = relation.iter().chain([column]).cloned();
            Expr::CompoundIdentifier(parts.collect())
        };
        match self.side {
            Side::Left => of(&self.left),
            Side::Right => of(&self.right),
            Side::Both => call("coalesce", [of(&self.left), of(&self.right)]),
        }
    }

    /// `*` as the columns joined on, and then the others of either side.
    fn write_out(&self, select: &mut Select) -> Result<()> {
        let using: Vec<_> = self.using.iter().map(ToString::to_string).collect();
        let using = using.join(", ");
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            let SelectItem::Wildcard(options) = &item else {
                items.push(item);
                continue;
            };
            let has_options = options.opt_exclude.is_some()
                || options.opt_except.is_some()
                || options.opt_replace.is_some()
                || options.opt_rename.is_some();
            if has_options {
                if self.side == Side::Left {
                    items.push(item);
                    continue;
                }
                return Err(Error::unsupported(
                    "* EXCLUDE or REPLACE of a RIGHT or FULL JOIN with USING is not supported",
                ));
            }
            for column in &self.using {
                items.push(SelectItem::ExprWithAlias {
                    expr: self.value(column),
                    alias: column.clone(),
                });
            }
            for relation in [&self.left, &self.right] {
                let name = ObjectName::from(relation.clone());
                let rest = super::parsed(&format!("SELECT {name}.* EXCLUDE ({using}) FROM t"))?;
                if let SetExpr::Select(rest) = *rest.body {
                    items.extend(rest.projection);
                }
            }
        }
        select.projection = items;
        Ok(())
    }
}

impl VisitorMut for &Merged {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.is_joined(name)
        {
            *expr = self.value(name);
        }
        ControlFlow::Continue(())
    }
}

/// What a relation's columns are qualified with.
fn name_of(factor: &TableFactor) -> Option<Vec<Ident>> {
    let (alias, name) = match factor {
        TableFactor::Table {
            alias,
            name,
            args: None,
            ..
        } => (alias, Some(name)),
        TableFactor::Derived { alias, .. } => (alias, None),
        _ => return None,
    };
    if let Some(alias) = alias {
        return Some(vec![alias.name.clone()]);
    }
    let name = name?;
    Some(vec![name.0.last()?.as_ident()?.clone()])
}
