//! Any text is split and parsed, or refused with a place, without a panic and within the stack; and the text of a
//! statement that was read is that statement again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_base::Classify;
use weir_sql::{hidden, parse, split, unsupported};

fuzz_target!(|sql: &str| {
    let pieces = split(sql);
    match parse(sql) {
        Err(error) => {
            assert!(error.position().is_some());
            let _ = (error.to_string(), error.hint(), error.sqlstate());
        }
        Ok(parsed) => {
            assert_eq!(parsed.len(), pieces.len());
            for parsed in &parsed {
                let _ = (parsed.statement.tag(), parsed.statement.reads_only());
                let _ = unsupported::first_ignored(&parsed.statement);
                let _ = weir_sql::calls::decorated_calls(&parsed.statement);
                let _ = hidden::references_hidden(&parsed.statement);
                let _ = parsed.clone();
                assert_eq!(parse(&parsed.sql).map(|again| again.len()), Ok(1));
            }
        }
    }
});
