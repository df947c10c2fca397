//! What `SHOW` lists.

use super::*;

#[test]
fn show_lists_and_filters() {
    let system = system();
    let list = |listing, schema, like| show(listing, schema, like, &system);
    assert_shows(
        &list(Listing::Tables, None, None).unwrap(),
        "
+--------+-------+----------------+---------+
| schema | name  | type           | comment |
+--------+-------+----------------+---------+
| Sales  | users | table          |         |
| public | bids  | stream         |         |
| public | hot   | view           |         |
| public | trips | external table |         |
+--------+-------+----------------+---------+",
    );
    assert_shows(
        &list(Listing::Tables, Some("public"), Some("%i%s")).unwrap(),
        "
+--------+-------+----------------+---------+
| schema | name  | type           | comment |
+--------+-------+----------------+---------+
| public | bids  | stream         |         |
| public | trips | external table |         |
+--------+-------+----------------+---------+",
    );
    assert_shows(
        &list(Listing::Streams, None, None).unwrap(),
        "
+--------+------+------------+--------+---------+-------+---------+
| schema | name | partitions | format | records | bytes | comment |
+--------+------+------------+--------+---------+-------+---------+
| public | bids | 2          | json   | 129     | 2000  |         |
+--------+------+------------+--------+---------+-------+---------+",
    );
    let own = names().into_iter().filter(|name| name.schema == "weir");
    assert_eq!(
        list(Listing::Tables, Some("weir"), None)
            .unwrap()
            .num_rows(),
        own.count()
    );
    for listing in [Listing::MaterializedViews, Listing::Sinks, Listing::Jobs] {
        assert_eq!(list(listing, None, None).unwrap().num_rows(), 0);
    }
    for listing in [
        Listing::Schemas,
        Listing::ExternalTables,
        Listing::Views,
        Listing::Connections,
        Listing::Queries,
    ] {
        assert!(list(listing, None, None).unwrap().num_rows() > 0);
    }
    assert!(
        list(Listing::Functions, None, Some("regexp%"))
            .unwrap()
            .num_rows()
            > 2
    );

    let error = list(Listing::Tables, Some("sales"), None).unwrap_err();
    assert_eq!(
        (error.sqlstate().0, error.to_string().as_str()),
        ("3F000", "schema \"sales\" not found")
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean \"Sales\"?"));
    let error = list(Listing::Queries, Some("public"), None).unwrap_err();
    assert_eq!(
        (error.sqlstate().0, error.to_string().as_str()),
        ("0A000", "FROM schema does not apply to what this lists")
    );
}
