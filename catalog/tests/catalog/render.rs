//! `SHOW CREATE`, as text. That it parses back is tested where a parser is at hand, in the engine.

use weir_catalog::{Body, ObjectName, create_statement};

use crate::build::*;

#[test]
fn each_kind_renders_as_the_statement_that_makes_it() {
    let scratch = Scratch::new();
    scratch.create(schema("s")).unwrap();
    scratch.create(bids()).unwrap();
    scratch.create(connection("lake", "hunter2")).unwrap();
    scratch.create(external("trips", Some("lake"))).unwrap();
    let mut people = table(&scratch.snapshot(), ObjectName::new("s", "People"));
    people.comment = Some("who's who".to_owned());
    let Body::Table(body) = &mut people.body else {
        unreachable!()
    };
    body.columns[1].default = Some("'?'".to_owned());
    body.columns[1].comment = Some("in full".to_owned());
    let people = scratch.create(people).unwrap();
    let mut hot = view(ObjectName::public("hot"), &[people]);
    let Body::View(body) = &mut hot.body else {
        unreachable!()
    };
    body.named_columns = true;
    scratch.create(hot).unwrap();

    let snapshot = scratch.snapshot();
    let rendered: Vec<String> = snapshot
        .entries()
        .map(|entry| create_statement(entry, &snapshot))
        .collect();
    assert_eq!(
        rendered.join(";\n\n"),
        "\
CREATE SCHEMA public;

CREATE SCHEMA s;

CREATE CONNECTION lake
WITH (region = 'eu-1', secret_access_key = '***', type = 's3');

CREATE STREAM public.bids (
  auction BIGINT NOT NULL,
  price BIGINT,
  \"at\" TIMESTAMP,
  CONSTRAINT bids_price_check CHECK (price > 0 AND bids.price < 'price'),
  WATERMARK FOR \"at\" AS at - INTERVAL '5' SECOND
)
WITH (format = 'json', key = 'auction', partitions = 4, \"retention.time\" = '7d');

CREATE VIEW public.hot (x) AS
SELECT id AS x FROM t;

CREATE EXTERNAL TABLE public.trips
STORED AS PARQUET
LOCATION 's3://bucket/trips/'
PARTITIONED BY (day DATE)
WITH (connection = 'lake');

CREATE TABLE s.\"People\" (
  id BIGINT NOT NULL,
  name TEXT DEFAULT '?',
  PRIMARY KEY (id)
);
COMMENT ON TABLE s.\"People\" IS 'who''s who';
COMMENT ON COLUMN s.\"People\".name IS 'in full'"
    );
}

#[test]
fn a_view_of_another_schema_says_where_its_names_were_looked_for() {
    let scratch = Scratch::new();
    let mut hot = view(ObjectName::public("hot"), &[]);
    let Body::View(body) = &mut hot.body else {
        unreachable!()
    };
    body.default_schema = "Sales".to_owned();
    let hot = scratch.create(hot).unwrap();
    let snapshot = scratch.snapshot();
    assert_eq!(
        create_statement(snapshot.by_id(hot).unwrap(), &snapshot),
        "SET search_path = \"Sales\";\nCREATE VIEW public.hot AS\nSELECT id AS x FROM t"
    );
}
