//! What one session has for itself, laid over a version of the catalog that all share.

use std::sync::Arc;

use crate::{Entry, ObjectId, ObjectKind, ObjectName, Snapshot};

/// How a statement calls the schema of its session's temporary objects, whatever that is.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

impl ObjectId {
    /// Temporary objects have their identities from here on, the catalog's below. OIDs, which are made of identities, have room for both.
    pub const FIRST_TEMPORARY: Self = Self(1 << 27);

    /// Whether it is that of a temporary object.
    pub fn is_temporary(self) -> bool {
        self >= Self::FIRST_TEMPORARY
    }
}

impl Entry {
    /// Whether one session alone has it.
    pub fn is_temporary(&self) -> bool {
        self.id.is_temporary()
    }
}

impl Snapshot {
    /// This version with the temporary objects of a session: to look things up and to plan changes on. What they read may be gone, as
    /// the catalog does not know of them.
    pub fn with_temporary<'a>(
        &self,
        schema: &Arc<Entry>,
        objects: impl IntoIterator<Item = &'a Arc<Entry>>,
    ) -> Self {
        let mut all = self.clone();
        all.temporary_schema = Some(schema.name.name.clone());
        all.schemas
            .insert(schema.name.name.clone(), Arc::clone(schema));
        all.by_id.insert(schema.id, Arc::clone(schema));
        for entry in objects {
            all.by_id.insert(entry.id, Arc::clone(entry));
            all.relations.insert(entry.name.clone(), Arc::clone(entry));
            for needed in entry.depends_on.iter().chain([&schema.id]) {
                all.dependants.entry(*needed).or_default().insert(entry.id);
            }
            if let Some((_, topic)) = entry.topic() {
                all.by_topic
                    .entry(topic)
                    .or_default()
                    .push(Arc::clone(entry));
            }
        }
        all
    }

    /// This version, in which the next new object gets that identity.
    #[must_use]
    pub fn numbering_from(&self, next_id: ObjectId) -> Self {
        let mut numbered = self.clone();
        numbered.next_id = next_id;
        numbered
    }

    /// The schema that the session's temporary objects lie in, where it has any.
    pub fn temporary_schema(&self) -> Option<&str> {
        self.temporary_schema.as_deref()
    }

    /// The temporary relation that goes by `name` alone: it comes before all others.
    pub fn temporary(&self, name: &str) -> Option<&Arc<Entry>> {
        let schema = self.temporary_schema()?;
        let entry = self.get(&ObjectName::new(schema, name))?;
        (entry.kind() != ObjectKind::Connection).then_some(entry)
    }

    /// What is meant by a schema's name: [`TEMPORARY_SCHEMA`] is that of the session.
    pub fn meant_schema<'a>(&'a self, schema: &'a str) -> &'a str {
        match schema {
            TEMPORARY_SCHEMA => self.temporary_schema().unwrap_or(schema),
            schema => schema,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Body, Column, View};

    fn entry(id: u64, name: ObjectName, body: Body) -> Arc<Entry> {
        Arc::new(Entry {
            id: ObjectId(id),
            name,
            body,
            comment: None,
            sql: String::new(),
            depends_on: BTreeSet::from([ObjectId(1)]),
            created_at_ms: 0,
            owner: None,
        })
    }

    fn view() -> Body {
        Body::View(View {
            sql: "SELECT 1 AS a".to_owned(),
            default_schema: "public".to_owned(),
            columns: vec![Column::new(
                "a".to_owned(),
                arrow_schema::DataType::Int64,
                "BIGINT".to_owned(),
            )],
            named_columns: false,
        })
    }

    #[test]
    fn temporary_objects_come_first_and_leave_no_trace() {
        let base = Snapshot::initial();
        let first = ObjectId::FIRST_TEMPORARY.0;
        let schema = entry(first, ObjectName::global("pg_temp_1"), Body::Schema);
        let own = entry(first + 1, ObjectName::new("pg_temp_1", "v"), view());
        let laid = base.with_temporary(&schema, [&own]);
        assert_eq!(laid.temporary("v").map(|entry| entry.id), Some(own.id));
        assert_eq!(laid.temporary("w"), None);
        assert_eq!(laid.meant_schema("pg_temp"), "pg_temp_1");
        assert_eq!(base.meant_schema("pg_temp"), "pg_temp");
        assert!(own.is_temporary() && !ObjectId(1).is_temporary());
        // What it reads cannot be dropped without it; but the catalog itself knows nothing of it.
        assert_eq!(laid.dependants(ObjectId(1)).len(), 1);
        assert_eq!(base.dependants(ObjectId(1)).len(), 0);
        assert_eq!(laid.next_id(), base.next_id());
        assert_eq!(laid.numbering_from(ObjectId(7)).next_id(), ObjectId(7));
    }
}
