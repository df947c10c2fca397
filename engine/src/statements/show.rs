//! `SHOW …` and `DESCRIBE`.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use weir_sql::statement::{self, Describe, Show};

use super::alter::catalog_kind;
use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::Reading;
use crate::system::{self, Asker, System};

impl Execution {
    pub(super) fn show(&self, show: Show) -> Result<Answer> {
        Ok(self.rows(self.shown(show)?))
    }

    /// The rows of a `SHOW`.
    pub(super) fn shown(&self, show: Show) -> Result<RecordBatch> {
        let snapshot = self.visible();
        let system = System::of(
            &self.engine,
            &snapshot,
            &self.variables,
            &self.rights,
            Asker {
                session: self.session.downgrade(),
                query: Some(self.running.id),
            },
        );
        match show {
            Show::List { what, schema, like } => {
                let schema = schema.as_ref().map(normalized);
                system::show(what, schema.as_deref(), like.as_deref(), &system)
            }
            Show::Columns { name, like } => match self.system_schema(&name, &system) {
                Some(schema) => system::describe_schema(&schema, like.as_deref()),
                None => {
                    let entry = snapshot.relation(&self.name(&name)?);
                    let entry = entry
                        .map_err(|error| Error::from(error).with_position(position_of(&name)))?;
                    system::describe_entry(entry, like.as_deref())
                }
            },
            Show::Create { kind, name } => {
                let entry = match kind {
                    Some(kind) => {
                        snapshot.require(catalog_kind(kind)?, &self.object_name(kind, &name)?)
                    }
                    None => snapshot.relation(&self.name(&name)?),
                };
                let entry =
                    entry.map_err(|error| Error::from(error).with_position(position_of(&name)))?;
                let topic = self.engine.topic_of(entry);
                system::show_create(entry, topic.ok().as_ref(), &snapshot)
            }
            Show::Variable(name) => system::show_variable(&name, &self.session.setting(&name)?),
            Show::All => system::show_all(system.facts.settings()),
        }
    }

    pub(super) async fn describe(&self, describe: Describe) -> Result<Answer> {
        Ok(self.rows(self.described(describe).await?))
    }

    /// The rows of a `DESCRIBE`.
    pub(super) async fn described(&self, describe: Describe) -> Result<RecordBatch> {
        match describe {
            Describe::Object(name) => self.shown(statement::Show::Columns { name, like: None }),
            Describe::Query(query) => {
                let planner = self.planner(self.snapshot(), Reading::Bounded);
                let plan = planner.query(&query, &self.request.parameters).await?;
                system::describe_schema(plan.schema().as_arrow(), None)
            }
        }
    }

    fn system_schema(
        &self,
        name: &datafusion::sql::sqlparser::ast::ObjectName,
        system: &System,
    ) -> Option<Arc<arrow::datatypes::Schema>> {
        let name = self.name(name).ok()?;
        system::table(&name, system).map(|table| table.schema())
    }
}
