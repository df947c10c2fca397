//! `ASOF LEFT JOIN` and `LEFT ASOF JOIN`, for a parser that knows `ASOF JOIN` alone.
//!
//! The parser also knows `GLOBAL` in front of any join, and notes it in the tree. Nothing else that we read has that word, so a left
//! join is handed over as a global one. Tokens keep their text and their places; only what they are taken for changes.

use datafusion_sql::sqlparser::ast::Join;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use crate::source::is_space;

/// Whether an `ASOF JOIN` keeps the rows of its left side that have no partner.
pub fn keeps_left(join: &Join) -> bool {
    join.global
}

/// Words behind which a relation is named: `FROM asof LEFT JOIN b` joins a relation of that name.
const BEFORE_A_NAME: [Keyword; 8] = [
    Keyword::FROM,
    Keyword::JOIN,
    Keyword::AS,
    Keyword::INTO,
    Keyword::LATERAL,
    Keyword::ONLY,
    Keyword::TABLE,
    Keyword::UPDATE,
];

/// Writes the kinds of `ASOF JOIN` such that the parser reads them.
pub(crate) fn settle(tokens: &mut [TokenWithSpan]) {
    let is_asof = |token: &TokenWithSpan| keyword(&token.token) == Some(Keyword::ASOF);
    if !tokens.iter().any(is_asof) {
        return;
    }
    let words: Vec<usize> = (0..tokens.len())
        .filter(|at| tokens.get(*at).is_some_and(|token| !is_space(&token.token)))
        .collect();
    let known = |tokens: &[TokenWithSpan], nth: usize| {
        let token = words.get(nth).and_then(|at| tokens.get(*at))?;
        keyword(&token.token)
    };
    for nth in 0..words.len() {
        let next = |ahead: usize| known(tokens, nth + ahead);
        let as_what: &[Option<Keyword>] = match [next(0), next(1), next(2), next(3)]
            .map(|word| word.unwrap_or(Keyword::NoKeyword))
        {
            [Keyword::GLOBAL, Keyword::ASOF, Keyword::JOIN, _] => &[Some(Keyword::NoKeyword)],
            [Keyword::LEFT, Keyword::ASOF, Keyword::JOIN, _] => &[Some(Keyword::GLOBAL)],
            [Keyword::LEFT, Keyword::OUTER, Keyword::ASOF, Keyword::JOIN] => {
                &[Some(Keyword::GLOBAL), None]
            }
            [Keyword::INNER, Keyword::ASOF, Keyword::JOIN, _] => &[None],
            [Keyword::ASOF, Keyword::LEFT, Keyword::JOIN, _]
                if follows_relation(tokens, &words, nth) =>
            {
                &[Some(Keyword::GLOBAL), Some(Keyword::ASOF)]
            }
            [Keyword::ASOF, Keyword::LEFT, Keyword::OUTER, Keyword::JOIN]
                if follows_relation(tokens, &words, nth) =>
            {
                &[Some(Keyword::GLOBAL), Some(Keyword::ASOF), None]
            }
            [Keyword::ASOF, Keyword::INNER, Keyword::JOIN, _]
                if follows_relation(tokens, &words, nth) =>
            {
                &[Some(Keyword::ASOF), None]
            }
            _ => continue,
        };
        for (ahead, word) in as_what.iter().enumerate() {
            let token = words.get(nth + ahead).and_then(|at| tokens.get_mut(*at));
            if let Some(token) = token {
                take_for(&mut token.token, *word);
            }
        }
    }
}

/// Whether what stands before a word ends a relation.
fn follows_relation(tokens: &[TokenWithSpan], words: &[usize], nth: usize) -> bool {
    let before = nth.checked_sub(1).and_then(|nth| words.get(nth));
    let Some(before) = before.and_then(|at| tokens.get(*at)) else {
        return false;
    };
    match &before.token {
        Token::RParen => true,
        Token::Word(_) => keyword(&before.token).is_none_or(|word| !BEFORE_A_NAME.contains(&word)),
        _ => false,
    }
}

/// The keyword that a token is, unless it stands in quotes.
fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Makes the parser take a word for a keyword, or for nothing at all.
fn take_for(token: &mut Token, keyword: Option<Keyword>) {
    match (&mut *token, keyword) {
        (Token::Word(word), Some(keyword)) => word.keyword = keyword,
        (token, _) => *token = Token::Whitespace(Whitespace::Space),
    }
}

#[cfg(test)]
mod tests {
    use datafusion_sql::sqlparser::ast::{JoinOperator, SetExpr};

    use super::*;
    use crate::Statement;

    /// The kinds of the joins of a query, and whether each is an ASOF one that keeps left rows.
    fn joins(sql: &str) -> Vec<(bool, bool)> {
        let Statement::Query(query) = crate::parse(sql).unwrap().remove(0).statement else {
            panic!("{sql} is no query")
        };
        let SetExpr::Select(select) = *query.query.body else {
            panic!("{sql} is no SELECT")
        };
        let joins = select.from.iter().flat_map(|from| &from.joins);
        let joins = joins.map(|join| {
            let is_asof = matches!(join.join_operator, JoinOperator::AsOf { .. });
            (is_asof, keeps_left(join))
        });
        joins.collect()
    }

    #[test]
    fn both_ways_to_keep_rows_are_read() {
        for kind in [
            "ASOF LEFT",
            "LEFT ASOF",
            "asof left outer",
            "LEFT OUTER ASOF",
        ] {
            let sql = format!("SELECT * FROM a {kind} JOIN b MATCH_CONDITION (a.t >= b.t)");
            assert_eq!(joins(&sql), [(true, true)], "{sql}");
        }
        for kind in ["ASOF", "ASOF INNER", "INNER ASOF", "x ASOF", "global ASOF"] {
            let sql =
                format!("SELECT * FROM a {kind} JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k");
            assert_eq!(joins(&sql), [(true, false)], "{sql}");
        }
    }

    #[test]
    fn a_relation_may_be_called_so() {
        assert_eq!(
            joins("SELECT * FROM asof LEFT JOIN b ON true"),
            [(false, false)]
        );
        assert_eq!(
            joins("SELECT * FROM (asof INNER JOIN b ON true)"),
            Vec::new()
        );
        assert_eq!(
            joins("SELECT * FROM t AS asof LEFT JOIN b ON true"),
            [(false, false)]
        );
        assert_eq!(
            joins("SELECT * FROM a CROSS JOIN asof LEFT JOIN b ON true"),
            [(false, false), (false, false)]
        );
    }
}
