//! A folder that grows by commits, and what a crash leaves of one.

use datafusion::arrow::array::{Int64Array, StringViewArray};
use datafusion::execution::TaskContext;
use weir_base::Options;

use super::*;

fn schema() -> datafusion::arrow::datatypes::SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("day", DataType::Utf8View, true),
    ]))
}

fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let days: Vec<Option<&str>> = rows.iter().map(|(_, day)| *day).collect();
    let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringViewArray::from(days)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

impl House {
    fn folder(&self, partitioned_by: &[&str], pairs: &[(&str, &str)]) -> Result<FolderWriter> {
        let mut options = Options::new(options(pairs));
        let writer = FolderWriter::new(
            &self.stores,
            schema(),
            &format!("{}/", self.path("out")),
            None,
            partitioned_by
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            "w".to_owned(),
            &mut options,
        )?;
        options.finish().unwrap();
        Ok(writer)
    }

    async fn commit(
        &self,
        writer: &mut FolderWriter,
        rows: &[(i64, Option<&str>)],
        position: &str,
    ) -> Result<()> {
        let state = self.context.state();
        let context = Arc::new(TaskContext::from(&state));
        writer
            .commit(&state, &context, &[batch(rows)], position)
            .await
    }

    /// All rows that a reader of the folder sees.
    async fn seen(&self) -> String {
        self.table(&FileTable {
            format: Some("parquet".into()),
            ..at(format!("{}/", self.path("out")))
        })
        .await;
        self.rows("SELECT id, day FROM t ORDER BY id").await
    }
}

#[tokio::test]
async fn rows_and_position_are_there_after_a_commit() {
    let house = House::new();
    let mut writer = house.folder(&["day"], &[]).unwrap();
    assert_eq!(writer.recover().await.unwrap(), None);
    house
        .commit(&mut writer, &[(1, Some("a/b")), (2, Some("c"))], "one")
        .await
        .unwrap();
    house.commit(&mut writer, &[], "two").await.unwrap();
    house
        .commit(&mut writer, &[(3, Some("c"))], "three")
        .await
        .unwrap();
    insta::assert_snapshot!(house.seen().await, @r"
    +----+-----+
    | id | day |
    +----+-----+
    | 1  | a/b |
    | 2  | c   |
    | 3  | c   |
    +----+-----+
    ");
    let mut next = house.folder(&["day"], &[]).unwrap();
    assert_eq!(next.recover().await.unwrap().as_deref(), Some("three"));
    // Another with the same name has written: this one's commit would be the same number.
    house
        .commit(&mut next, &[(4, Some("c"))], "four")
        .await
        .unwrap();
    let late = house.commit(&mut writer, &[(9, Some("c"))], "nine").await;
    assert!(late.is_err());
    assert_eq!(writer.recover().await.unwrap().as_deref(), Some("four"));
}

#[tokio::test]
async fn a_start_ends_what_was_committed_and_removes_what_was_not() {
    let house = House::new();
    let mut writer = house.folder(&[], &[]).unwrap();
    for (id, position) in [(1, "one"), (2, "two")] {
        house
            .commit(&mut writer, &[(id, Some("x"))], position)
            .await
            .unwrap();
    }
    // It died after the commit, and before its file was in its place; and once more, before a commit.
    let staged = house.path("out/_weir/w/staged");
    std::fs::create_dir_all(&staged).unwrap();
    let placed = house.path("out/w-0000000002-0.parquet");
    std::fs::rename(&placed, format!("{staged}/2-0")).unwrap();
    std::fs::write(format!("{staged}/3-0"), "half a file").unwrap();
    let mut next = house.folder(&[], &[]).unwrap();
    assert_eq!(next.recover().await.unwrap().as_deref(), Some("two"));
    assert!(Path::new(&placed).exists());
    assert_eq!(std::fs::read_dir(&staged).unwrap().count(), 0);
    insta::assert_snapshot!(house.seen().await, @r"
    +----+-----+
    | id | day |
    +----+-----+
    | 1  | x   |
    | 2  | x   |
    +----+-----+
    ");
}

#[tokio::test]
async fn what_no_folder_can_be_is_refused() {
    let house = House::new();
    for (partitioned_by, pairs, wanted) in [
        (&["dai"][..], &[][..], "\"dai\""),
        (&["id", "day"], &[], "every column is a partition column"),
        (&[], &[("format", "avro")], "not written"),
        (&[], &[("format", "x")], "format"),
        (
            &[],
            &[("format", "json"), ("array", "true")],
            "one object a line",
        ),
    ] {
        let error = house.folder(partitioned_by, pairs).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let mut writer = house.folder(&["day"], &[]).unwrap();
    let error = house.commit(&mut writer, &[(1, None)], "one").await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("is NULL"), "{error}");
    assert_eq!(writer.recover().await.unwrap(), None);
}

#[tokio::test]
async fn commits_of_long_ago_are_forgotten() {
    let house = House::new();
    let mut writer = house.folder(&[], &[]).unwrap();
    writer.recover().await.unwrap();
    for (id, position) in (1..).zip(["one", "two", "three", "four"]) {
        let committed = house.commit(&mut writer, &[(id, None)], position).await;
        committed.unwrap();
    }
    let commits = || {
        let listed = std::fs::read_dir(house.path("out/_weir/w")).unwrap();
        let names = listed.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
        names.sort_unstable();
        names
    };
    let there = commits();
    assert_eq!(there.len(), 4);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 60 * 60);
    for name in [&there[0], &there[1], &there[3]] {
        let path = format!("{}/{name}", house.path("out/_weir/w"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let mut next = house.folder(&[], &[]).unwrap();
    assert_eq!(next.recover().await.unwrap().as_deref(), Some("four"));
    // Those before the first that is not old, and never the last.
    assert_eq!(commits(), there[2..]);
    house.commit(&mut next, &[(5, None)], "five").await.unwrap();
    assert_eq!(commits().len(), 3);
}
