//! SQL: Weir's statements on top of DataFusion's parser.
//!
//! It turns text into a tree and knows no catalog, no data and no plan. Start at [`Statement`].

pub mod statement;

pub use datafusion_sql::sqlparser::ast;
pub use statement::{Parsed, Statement};
