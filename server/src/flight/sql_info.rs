//! `GetSqlInfo`: what the server says that it can do. Drivers build whole dialects on it, and Tableau stops where it is not
//! answered; so nothing is claimed here that a statement would refuse.

use std::collections::BTreeMap;

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType,
    SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert,
    SqlTransactionIsolationLevel, SupportedSqlGrammar,
};

/// The version of the Arrow format that is spoken.
const ARROW_FORMAT: &str = "1.5";

/// Functions of JDBC's lists (its specification's appendix C) that are there by the same name.
const NUMERIC_FUNCTIONS: &[&str] = &[
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEILING", "COS", "COT", "DEGREES", "EXP", "FLOOR",
    "LOG", "LOG10", "MOD", "PI", "POWER", "RADIANS", "ROUND", "SIGN", "SIN", "SQRT", "TAN",
];
const STRING_FUNCTIONS: &[&str] = &[
    "ASCII",
    "CHARACTER_LENGTH",
    "CHAR_LENGTH",
    "CONCAT",
    "LEFT",
    "LENGTH",
    "LOWER",
    "LTRIM",
    "OCTET_LENGTH",
    "POSITION",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SUBSTRING",
    "TRIM",
    "UPPER",
];
const SYSTEM_FUNCTIONS: &[&str] = &["COALESCE", "NULLIF"];
const DATETIME_FUNCTIONS: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "EXTRACT",
    "NOW",
];
/// Words that PostgreSQL reserves and SQL:2003 does not, and our own: identifiers like these must be quoted.
const KEYWORDS: &[&str] = &[
    "ANALYSE",
    "ANALYZE",
    "EMIT",
    "ILIKE",
    "ISNULL",
    "LIMIT",
    "NOTNULL",
    "OFFSET",
    "PLACING",
    "RETURNING",
    "SUBSCRIBE",
    "VARIADIC",
];

/// All that is said.
///
/// # Errors
/// Never for what is written here.
pub(super) fn describe() -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    language(&mut info);
    limits(&mut info);
    transactions(&mut info);
    results(&mut info);
    info.build()
}

/// A set of an enumeration's members, as one bit each.
fn set<T: Into<i32>>(members: impl IntoIterator<Item = T>) -> i32 {
    members
        .into_iter()
        .fold(0, |set, member| set | (1 << member.into()))
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Weir");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_FORMAT);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::Savepoint as i32,
    );
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, true);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn language(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    let lower = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64;
    info.append(SqlInfo::SqlIdentifierCase, lower);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    let exact = SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i64;
    info.append(SqlInfo::SqlQuotedIdentifierCase, exact);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    let nulls = SqlNullOrdering::SqlNullsSortedHigh as i64;
    info.append(SqlInfo::SqlNullOrdering, nulls);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by = set([
        SqlSupportedGroupBy::SqlGroupByUnrelated,
        SqlSupportedGroupBy::SqlGroupByBeyondSelect,
    ]);
    info.append(SqlInfo::SqlSupportedGroupBy, group_by);
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    let grammar = set([
        SupportedSqlGrammar::SqlMinimumGrammar,
        SupportedSqlGrammar::SqlCoreGrammar,
    ]);
    info.append(SqlInfo::SqlSupportedGrammar, grammar);
    // Whole levels of the standard need more than there is: cursors that change rows, CHECK, foreign keys.
    info.append(SqlInfo::SqlAnsi92SupportedLevel, 0_i32);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    let joins = SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32;
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, 1 << joins);
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "database");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    info.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = set([
        SqlSupportedSubqueries::SqlSubqueriesInComparisons,
        SqlSupportedSubqueries::SqlSubqueriesInExists,
        SqlSupportedSubqueries::SqlSubqueriesInIns,
    ]);
    info.append(SqlInfo::SqlSupportedSubqueries, subqueries);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = set([
        SqlSupportedUnions::SqlUnion,
        SqlSupportedUnions::SqlUnionAll,
    ]);
    info.append(SqlInfo::SqlSupportedUnions, unions);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// What `CAST` makes of what: each type, and those that it becomes.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Convert;
    let numbers = [
        Convert::SqlConvertBigint,
        Convert::SqlConvertDecimal,
        Convert::SqlConvertFloat,
        Convert::SqlConvertInteger,
        Convert::SqlConvertNumeric,
        Convert::SqlConvertReal,
        Convert::SqlConvertSmallint,
        Convert::SqlConvertTinyint,
    ];
    let moments = [Convert::SqlConvertDate, Convert::SqlConvertTimestamp];
    let texts = [Convert::SqlConvertVarchar, Convert::SqlConvertLongvarchar];
    let numbers_and_text = [&numbers[..], &texts].concat();
    let everything = [&numbers[..], &moments, &texts].concat();
    let codes = |targets: &[Convert]| targets.iter().map(|target| *target as i32).collect();
    let mut conversions = BTreeMap::new();
    for from in numbers {
        conversions.insert(from as i32, codes(&numbers_and_text));
    }
    for from in moments {
        conversions.insert(from as i32, codes(&[&moments[..], &texts].concat()));
    }
    for from in texts {
        conversions.insert(from as i32, codes(&everything));
    }
    conversions
}

/// Bounds that JDBC asks for; 0 says that there is none, or none that is known.
fn limits(info: &mut SqlInfoDataBuilder) {
    for unbounded in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(unbounded, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    // A transaction sees one moment, whatever it asks for.
    let one_moment = SqlTransactionIsolationLevel::SqlTransactionRepeatableRead;
    info.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        i64::from(one_moment as i32),
    );
    info.append(SqlInfo::SqlTransactionsSupported, true);
    let levels = set([
        SqlTransactionIsolationLevel::SqlTransactionReadCommitted,
        one_moment,
    ]);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, levels);
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(SqlInfo::SqlSavepointsSupported, true);
}

fn results(info: &mut SqlInfoDataBuilder) {
    let forward = set([SqlSupportedResultSetType::SqlResultSetTypeForwardOnly]);
    info.append(SqlInfo::SqlSupportedResultSetTypes, forward);
    let read = set([SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly]);
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        0_i32,
    );
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        read,
    );
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        0_i32,
    );
    info.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
        0_i32,
    );
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
}
