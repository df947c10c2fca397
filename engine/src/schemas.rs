//! The schema registry, as a session sees it: questions and changes, away from the threads that answer requests.

use std::sync::Arc;

use weir_catalog::Catalog;
use weir_connectors::topic::{NewSchema, Schemas};
use weir_schemas::{Parsed, Planned, Registry, SchemaId};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::panicked;
use crate::session::Session;

/// Why a request to the schema registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refuses it.
    #[error(transparent)]
    Refused(#[from] weir_schemas::Error),
    /// It could not be carried out.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Finds schemas in the catalog.
#[derive(Debug)]
struct CatalogSchemas(Arc<Catalog>);

impl Schemas for CatalogSchemas {
    fn schema(&self, id: SchemaId) -> weir_schemas::Result<Arc<Parsed>> {
        self.0.registry().parsed(id)
    }

    fn latest(&self, subject: &str) -> weir_schemas::Result<Option<(SchemaId, Arc<Parsed>)>> {
        self.0.registry().latest(subject)
    }
}

impl Shared {
    /// The schemas that values of streams are read by.
    pub(crate) fn schemas(&self) -> Arc<dyn Schemas> {
        Arc::new(CatalogSchemas(Arc::clone(&self.catalog)))
    }

    /// Registers what a stream's columns make; it is on disk when this returns.
    pub(crate) async fn register_schema(self: &Arc<Self>, new: NewSchema) -> Result<()> {
        let engine = Arc::clone(self);
        let registered = tokio::task::spawn_blocking(move || {
            engine.catalog.change_registry(|registry| {
                registry.register(&new.subject, &new.definition, false, None, None)
            })
        });
        registered.await.map_err(panicked)??;
        Ok(())
    }
}

impl Session {
    /// The schema registry as it is now.
    pub fn registry(&self) -> Arc<Registry> {
        self.engine().catalog.registry()
    }

    /// Asks the schema registry what takes computing: reading and comparing schemas.
    ///
    /// # Errors
    /// As `question`.
    pub async fn ask_registry<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Registry) -> weir_schemas::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = self.registry();
        let answer = tokio::task::spawn_blocking(move || question(&registry)).await;
        Ok(answer.map_err(panicked)??)
    }

    /// Carries out what `plan` makes of the schema registry; it is on disk when this returns.
    ///
    /// # Errors
    /// As `plan`, or when the catalog cannot be written.
    pub async fn change_registry<T: Send + 'static>(
        &self,
        plan: impl FnOnce(&Registry) -> weir_schemas::Result<Planned<T>> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let engine = Arc::clone(self.engine());
        let done = tokio::task::spawn_blocking(move || engine.catalog.change_registry(plan)).await;
        done.map_err(panicked)?.map_err(|error| match error {
            weir_catalog::Error::Registry(refused) => RegistryError::Refused(refused),
            other => RegistryError::Failed(other.into()),
        })
    }
}
