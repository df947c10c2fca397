//! PostgreSQL's own operators, casts, operator classes, relations and keywords, as far as their types are ours.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Type, named};

/// A row of `pg_operator`.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) can_merge: bool,
    pub(crate) can_hash: bool,
    /// `oprleft`, `oprright`, `oprresult`, `oprcom`, `oprnegate`, `oprcode`.
    pub(crate) numbers: [u32; 6],
}

/// A row of `pg_cast`.
#[derive(Debug)]
pub(crate) struct Cast {
    /// `oid`, `castsource`, `casttarget`, `castfunc`.
    pub(crate) numbers: [u32; 4],
    pub(crate) context: &'static str,
    pub(crate) method: &'static str,
}

/// A row of `pg_opclass`, of B-trees.
#[derive(Debug)]
pub(crate) struct OperatorClass {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) family: u32,
    pub(crate) input: u32,
    pub(crate) is_default: bool,
    pub(crate) key: u32,
    pub(crate) family_name: &'static str,
}

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(crate) struct SystemRelation {
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) oid: u32,
    /// `r` for a table, `v` for a view.
    pub(crate) kind: char,
    pub(crate) columns: Vec<SystemColumn>,
}

/// One of its columns.
#[derive(Debug)]
pub(crate) struct SystemColumn {
    pub(crate) name: &'static str,
    pub(crate) pg_type: &'static Type,
    pub(crate) not_null: bool,
}

/// A word of SQL: `pg_get_keywords()`.
#[derive(Debug)]
pub(crate) struct Keyword {
    pub(crate) word: &'static str,
    /// `U`, `C`, `T` or `R`.
    pub(crate) category: &'static str,
    pub(crate) is_bare_label: bool,
}

/// All operators, in order of number.
pub(crate) fn operators() -> &'static [Operator] {
    static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
        read(include_str!("data/operators.txt"), |word| {
            Some(Operator {
                oid: number(word()?)?,
                name: word()?,
                kind: word()?,
                can_merge: word()? == "t",
                can_hash: word()? == "t",
                numbers: numbers(word)?,
            })
        })
    });
    &OPERATORS
}

/// All casts, in order of number.
pub(crate) fn casts() -> &'static [Cast] {
    static CASTS: LazyLock<Vec<Cast>> = LazyLock::new(|| {
        read(include_str!("data/casts.txt"), |word| {
            Some(Cast {
                numbers: numbers(word)?,
                context: word()?,
                method: word()?,
            })
        })
    });
    &CASTS
}

/// The operator classes of B-trees, in order of number.
pub(crate) fn operator_classes() -> &'static [OperatorClass] {
    static CLASSES: LazyLock<Vec<OperatorClass>> = LazyLock::new(|| {
        read(include_str!("data/opclasses.txt"), |word| {
            let oid = number(word()?)?;
            word()?;
            Some(OperatorClass {
                oid,
                name: word()?,
                family: number(word()?)?,
                input: number(word()?)?,
                is_default: word()? == "t",
                key: number(word()?)?,
                family_name: word()?,
            })
        })
    });
    &CLASSES
}

/// The operator class that an index over a type has, 0 for none.
pub(crate) fn operator_class_of(pg_type: &Type) -> u32 {
    let input = match pg_type.name {
        "varchar" => 25,
        _ => pg_type.oid,
    };
    operator_classes()
        .iter()
        .find(|class| class.input == input && class.is_default)
        .map_or(0, |class| class.oid)
}

/// All keywords, in order.
pub(crate) fn keywords() -> &'static [Keyword] {
    static KEYWORDS: LazyLock<Vec<Keyword>> = LazyLock::new(|| {
        read(include_str!("data/keywords.txt"), |word| {
            Some(Keyword {
                word: word()?,
                category: word()?,
                is_bare_label: word()? == "t",
            })
        })
    });
    &KEYWORDS
}

/// All relations that PostgreSQL fills, those of `pg_catalog` first, in order of name.
pub(crate) fn relations() -> &'static [SystemRelation] {
    static RELATIONS: LazyLock<Vec<SystemRelation>> = LazyLock::new(|| {
        read(include_str!("data/relations.txt"), |word| {
            let (schema, name) = word()?.split_once('.')?;
            let oid = number(word()?)?;
            let kind = word()?.chars().next()?;
            let mut columns = Vec::new();
            while let Some(column) = word() {
                columns.push(system_column(column)?);
            }
            Some(SystemRelation {
                schema,
                name,
                oid,
                kind,
                columns,
            })
        })
    });
    &RELATIONS
}

/// The relation of this name.
pub(crate) fn relation(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), &'static SystemRelation>> =
        LazyLock::new(|| {
            let all = relations().iter();
            all.map(|relation| ((relation.schema, relation.name), relation))
                .collect()
        });
    BY_NAME.get(&(schema, name)).copied()
}

/// The relation of this number.
pub(crate) fn numbered(oid: u32) -> Option<&'static SystemRelation> {
    static BY_OID: LazyLock<HashMap<u32, &'static SystemRelation>> = LazyLock::new(|| {
        let all = relations().iter();
        all.map(|relation| (relation.oid, relation)).collect()
    });
    BY_OID.get(&oid).copied()
}

/// A column as `name:type`, with `!` behind it where it is never null.
fn system_column(word: &'static str) -> Option<SystemColumn> {
    let (name, type_name) = word.split_once(':')?;
    let (type_name, not_null) = match type_name.strip_suffix('!') {
        Some(type_name) => (type_name, true),
        None => (type_name, false),
    };
    // Types of statistics and of foreign objects' views, which have no values here, are texts.
    let fallback = if type_name.starts_with('_') {
        "_text"
    } else {
        "text"
    };
    Some(SystemColumn {
        name,
        pg_type: named(type_name).or_else(|| named(fallback))?,
        not_null,
    })
}

type Word<'a> = &'a mut dyn FnMut() -> Option<&'static str>;

/// Reads a table, line by line; a unit test holds that no line is passed over.
fn read<T>(text: &'static str, row: impl Fn(Word<'_>) -> Option<T>) -> Vec<T> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            row(&mut || words.next())
        })
        .collect()
}

fn number(word: &str) -> Option<u32> {
    word.parse().ok()
}

fn numbers<const N: usize>(word: Word<'_>) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    for it in &mut numbers {
        *it = number(word()?)?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        let lines = |text: &str| text.lines().count();
        assert_eq!(operators().len(), lines(include_str!("data/operators.txt")));
        assert_eq!(casts().len(), lines(include_str!("data/casts.txt")));
        let classes = lines(include_str!("data/opclasses.txt"));
        assert_eq!(operator_classes().len(), classes);
        assert_eq!(keywords().len(), lines(include_str!("data/keywords.txt")));
        assert_eq!(relations().len(), lines(include_str!("data/relations.txt")));
        let class = relation("pg_catalog", "pg_class").unwrap();
        assert_eq!((class.oid, class.columns.len()), (1259, 33));
    }
}
