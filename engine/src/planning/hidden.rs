//! `SELECT *` without the hidden columns.
//!
//! A query that names `_offset` and its kin is planned on relations that have them. Every wildcard in it is then given an
//! `EXCLUDE` for those hidden columns that come from a stream or table itself; a column of that name which a subquery
//! gives out on purpose stays.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableFactor, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

/// Whether a query or an `INSERT` names a hidden column.
pub(crate) fn is_mentioned(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => weir_sql::hidden::query_references_hidden(query),
        Statement::Insert(insert) => insert
            .source
            .as_deref()
            .is_some_and(weir_sql::hidden::query_references_hidden),
        _ => false,
    }
}

/// Gives every wildcard of `statement` its `EXCLUDE`. `has_hidden` tells whether a name is a relation with hidden columns.
pub(crate) fn exclude_hidden(statement: &mut Statement, has_hidden: &dyn Fn(&ObjectName) -> bool) {
    let mut visitor = Wildcards {
        has_hidden,
        ctes: vec![],
    };
    let _ = VisitMut::visit(statement, &mut visitor);
}

struct Wildcards<'a> {
    has_hidden: &'a dyn Fn(&ObjectName) -> bool,
    /// Names of the common table expressions of the queries around.
    ctes: Vec<HashSet<String>>,
}

impl VisitorMut for Wildcards<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let names = query
            .with
            .iter()
            .flat_map(|with| &with.cte_tables)
            .map(|cte| cte.alias.name.value.to_lowercase());
        self.ctes.push(names.collect());
        rewrite_selects(&mut query.body, self);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }
}

fn rewrite_selects(body: &mut SetExpr, wildcards: &Wildcards<'_>) {
    // Chains of UNION lean to the left and can be long.
    let mut pending = vec![body];
    while let Some(body) = pending.pop() {
        match body {
            SetExpr::Select(select) => wildcards.rewrite(select),
            SetExpr::SetOperation { left, right, .. } => {
                pending.extend([left.as_mut(), right.as_mut()]);
            }
            _ => {}
        }
    }
}

impl Wildcards<'_> {
    fn rewrite(&self, select: &mut Select) {
        let from_stream: HashSet<String> = relations(select)
            .filter_map(|(factor, _)| self.stream_alias(factor))
            .collect();
        if from_stream.is_empty() {
            return;
        }
        let is_alone = relations(select).count() == 1;
        let mut items = Vec::with_capacity(select.projection.len());
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::Wildcard(options) if is_alone => exclude(options, &[]),
                SelectItem::Wildcard(options) => {
                    // Beside other relations, which may have columns of those names, each gets a wildcard of its own.
                    items.extend(self.one_wildcard_each(select, options));
                    continue;
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) if name
                    .0
                    .last()
                    .and_then(|part| part.as_ident())
                    .is_some_and(|part| from_stream.contains(&normalized(part))) =>
                {
                    exclude(options, &[]);
                }
                _ => {}
            }
            items.push(item);
        }
        select.projection = items;
    }

    fn one_wildcard_each(
        &self,
        select: &Select,
        options: &WildcardAdditionalOptions,
    ) -> Vec<SelectItem> {
        relations(select)
            .filter_map(|(factor, using)| {
                let mut options = options.clone();
                let alias = match self.stream_alias(factor) {
                    Some(alias) => {
                        exclude(&mut options, using);
                        Ident::with_quote('"', alias)
                    }
                    None => {
                        exclude_names(&mut options, using.iter().cloned());
                        alias_of(factor)?
                    }
                };
                let name = ObjectName::from(vec![alias]);
                Some(SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ))
            })
            .collect()
    }

    /// The name by which the query knows a relation that has hidden columns.
    fn stream_alias(&self, factor: &TableFactor) -> Option<String> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return None;
        };
        let last = name.0.last()?.as_ident()?;
        let is_cte = name.0.len() == 1
            && self
                .ctes
                .iter()
                .any(|names| names.contains(&last.value.to_lowercase()));
        if is_cte || !(self.has_hidden)(name) {
            return None;
        }
        Some(normalized(alias.as_ref().map_or(last, |alias| &alias.name)))
    }
}

fn alias_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { name, alias, .. } => alias
            .as_ref()
            .map(|alias| alias.name.clone())
            .or_else(|| name.0.last()?.as_ident().cloned()),
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
        _ => None,
    }
}

fn normalized(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// The relations of a `FROM`, each with the columns that a `USING` shows from its left side.
fn relations(select: &Select) -> impl Iterator<Item = (&TableFactor, &[ObjectName])> {
    select.from.iter().flat_map(|from| {
        let joined = from
            .joins
            .iter()
            .map(|join| (&join.relation, using_columns(&join.join_operator)));
        std::iter::once((&from.relation, [].as_slice())).chain(joined)
    })
}

fn using_columns(operator: &JoinOperator) -> &[ObjectName] {
    match operator {
        JoinOperator::Join(JoinConstraint::Using(columns))
        | JoinOperator::Inner(JoinConstraint::Using(columns))
        | JoinOperator::Left(JoinConstraint::Using(columns))
        | JoinOperator::LeftOuter(JoinConstraint::Using(columns))
        | JoinOperator::Right(JoinConstraint::Using(columns))
        | JoinOperator::RightOuter(JoinConstraint::Using(columns))
        | JoinOperator::FullOuter(JoinConstraint::Using(columns)) => columns,
        _ => &[],
    }
}

fn exclude(options: &mut WildcardAdditionalOptions, using: &[ObjectName]) {
    let hidden = weir_catalog::HIDDEN_COLUMNS
        .iter()
        .map(|name| ObjectName::from(vec![Ident::new(*name)]));
    exclude_names(options, hidden.chain(using.iter().cloned()));
}

fn exclude_names(options: &mut WildcardAdditionalOptions, names: impl Iterator<Item = ObjectName>) {
    let mut all: Vec<ObjectName> = match options.opt_exclude.take() {
        None => vec![],
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    let mut known: HashSet<String> = all
        .iter()
        .map(|name| name.to_string().to_lowercase())
        .collect();
    all.extend(names.filter(|name| known.insert(name.to_string().to_lowercase())));
    options.opt_exclude = (!all.is_empty()).then_some(ExcludeSelectItem::Multiple(all));
}
