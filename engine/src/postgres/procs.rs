//! Functions, as `pg_proc` has them: those of PostgreSQL that we have, by its numbers, and our own.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A function of one list of arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proc {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    /// `f` for a function, `a` for an aggregate, `w` for a window function.
    pub(crate) kind: &'static str,
    /// `i` for immutable, `s` for stable, `v` for volatile.
    pub(crate) volatility: &'static str,
    pub(crate) is_strict: bool,
    pub(crate) returns_set: bool,
    pub(crate) result: u32,
    pub(crate) variadic: u32,
    pub(crate) defaults: i16,
    /// The types of what it is given.
    pub(crate) arguments: Vec<u32>,
    /// The types of all arguments, those that it gives included, where there are such.
    pub(crate) all_arguments: Vec<u32>,
    /// `i`, `o`, `b`, `v` or `t` for each of these.
    pub(crate) modes: &'static str,
    /// The names of all arguments, where they have some.
    pub(crate) names: Vec<&'static str>,
}

/// PostgreSQL's functions of the names that we know, in order of number.
pub(crate) fn postgres() -> &'static [Proc] {
    static PROCS: LazyLock<Vec<Proc>> = LazyLock::new(|| {
        include_str!("data/procs.txt")
            .lines()
            .filter_map(parse)
            .collect()
    });
    &PROCS
}

/// The function of this number.
pub(crate) fn numbered(oid: u32) -> Option<&'static Proc> {
    let procs = postgres();
    let at = procs.binary_search_by_key(&oid, |proc| proc.oid).ok()?;
    procs.get(at)
}

/// The functions of this name.
pub(crate) fn named(name: &str) -> impl Iterator<Item = &'static Proc> {
    static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Proc>>> = LazyLock::new(|| {
        let mut by_name: HashMap<&'static str, Vec<&'static Proc>> = HashMap::new();
        for proc in postgres() {
            by_name.entry(proc.name).or_default().push(proc);
        }
        by_name
    });
    BY_NAME.get(name).into_iter().flatten().copied()
}

fn parse(line: &'static str) -> Option<Proc> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let list = |word: &'static str| -> Option<Vec<u32>> {
        match word {
            "-" => Some(Vec::new()),
            word => word.split(',').map(|it| it.parse().ok()).collect(),
        }
    };
    Some(Proc {
        oid: word()?.parse().ok()?,
        name: word()?,
        kind: word()?,
        volatility: word()?,
        is_strict: word()? == "t",
        returns_set: word()? == "t",
        result: word()?.parse().ok()?,
        variadic: word()?.parse().ok()?,
        defaults: word()?.parse().ok()?,
        arguments: list(word()?)?,
        all_arguments: list(word()?)?,
        modes: match word()? {
            "-" => "",
            modes => modes,
        },
        names: match word()? {
            "-" => Vec::new(),
            names => names.split(',').collect(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_function() {
        let lines = include_str!("data/procs.txt").lines().count();
        assert_eq!(postgres().len(), lines);
        assert_eq!(named("format_type").count(), 1);
        assert_eq!(numbered(750).unwrap().name, "array_in");
    }
}
