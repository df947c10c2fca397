//! SQL: Weir's statements on top of DataFusion's parser.
//!
//! It turns text into a tree. It knows no catalog and no plan, and runs nothing: whether a table is there, and whether a
//! statement may run, is the engine's to say. Start at [`parse`] and [`Statement`].
//!
//! Queries, expressions and types are parsed by `sqlparser`, in the [`dialect()`] given here, and are its trees; all other
//! statements are ours. Whatever is in a query's tree and DataFusion's planner would pass over in silence is found by
//! [`unsupported::first_ignored`] and [`calls::decorated_calls`].

pub mod asof;
mod balance;
pub mod calls;
pub mod dialect;
pub mod error;
pub mod hidden;
pub mod keywords;
mod limits;
pub mod literals;
mod parser;
mod source;
pub mod split;
pub mod statement;
pub mod unsupported;
mod walk;

pub use datafusion_sql::sqlparser::ast;
pub use dialect::{WeirDialect, dialect};
pub use error::{Error, Result};
pub use keywords::keywords;
pub use source::with_words_replaced;
pub use split::{Piece, split};
pub use statement::{Parsed, Statement};

/// Parses the statements in `sql`, which semicolons separate; none when there is only space and comments.
///
/// # Errors
/// The first thing that is wrong, with its line and column, and a hint where there is one to give.
///
/// ```
/// use weir_sql::{Statement, parse};
///
/// let parsed = parse("SELECT * FROM bids EMIT CHANGES; FLUSH").unwrap();
/// assert!(matches!(&parsed[0].statement, Statement::Query(query) if query.emit.is_some()));
/// assert_eq!(parsed[1].sql, "FLUSH");
/// ```
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    parser::parse(sql)
}

/// Parses one expression: a default, a check or a watermark that was kept as text.
///
/// # Errors
/// As [`parse`].
pub fn parse_expr(sql: &str) -> Result<ast::Expr> {
    parser::parse_expr(sql)
}

/// Parses one query: a view's, that was kept as text.
///
/// # Errors
/// As [`parse`].
pub fn parse_query(sql: &str) -> Result<Box<ast::Query>> {
    parser::parse_query(sql)
}

/// Parses one type, as `BIGINT` or `ARRAY<STRUCT<a INT>>`.
///
/// # Errors
/// As [`parse`].
pub fn parse_data_type(sql: &str) -> Result<ast::DataType> {
    parser::parse_data_type(sql)
}
