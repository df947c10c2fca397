//! Which files of a folder belong to a table.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A rule that files of a folder must meet.
///
/// It travels in the user part of internal URLs, hex-encoded, so that the registry can apply it without keeping a
/// table's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// The folder that the rule is about.
    pub(crate) base: String,
    /// A pattern for the path below the folder. `*` does not cross a slash, `**` does.
    pub(crate) glob: Option<String>,
    /// How names may end, lower case, with the dot. Empty: in any way.
    pub(crate) extensions: Vec<String>,
}

impl Filter {
    pub(crate) fn encode(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        text.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// None for a URL without a rule.
    pub(crate) fn decode(text: &str) -> Option<crate::Result<CompiledFilter>> {
        if text.is_empty() {
            return None;
        }
        let internal = || Error::new(weir_base::Kind::Internal, "an internal URL is malformed");
        let bytes: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2))
            .map(|hex| hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .collect();
        Some(
            bytes
                .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
                .ok_or_else(internal)
                .and_then(Self::compile),
        )
    }

    pub(crate) fn compile(self) -> crate::Result<CompiledFilter> {
        let matcher = match &self.glob {
            None => None,
            Some(glob) => Some(
                GlobBuilder::new(glob)
                    .literal_separator(true)
                    .build()
                    .map_err(|error| {
                        Error::invalid(format!("{glob:?} is not a valid pattern: {}", error.kind()))
                    })?
                    .compile_matcher(),
            ),
        };
        Ok(CompiledFilter {
            filter: self,
            matcher,
        })
    }
}

/// A rule, ready to be applied.
#[derive(Debug, Clone)]
pub(crate) struct CompiledFilter {
    filter: Filter,
    matcher: Option<GlobMatcher>,
}

impl CompiledFilter {
    pub(crate) fn matches(&self, location: &Path) -> bool {
        let Some(below) = location.as_ref().strip_prefix(&self.filter.base) else {
            return false;
        };
        let below = match below.strip_prefix('/') {
            Some(below) => below,
            None if self.filter.base.is_empty() => below,
            // A neighbour whose name starts alike, or the folder itself: stores keep empty objects as marks of folders.
            None => return false,
        };
        // As in Hive and Spark, `_SUCCESS`, `.crc` and the like are no data, unless a pattern asks for them.
        let hidden =
            |part: &str| part.starts_with('.') || (part.starts_with('_') && !part.contains('='));
        let asked = |glob: &str| glob.split('/').any(hidden);
        if below.split('/').any(hidden) && !self.filter.glob.as_deref().is_some_and(asked) {
            return false;
        }
        if let Some(matcher) = &self.matcher
            && !matcher.is_match(below)
        {
            return false;
        }
        let name = below.to_lowercase();
        self.filter.extensions.is_empty()
            || self
                .filter
                .extensions
                .iter()
                .any(|extension| name.ends_with(extension.as_str()))
    }
}

/// A store whose listings show what a rule lets through.
#[derive(Debug)]
pub(crate) struct FilteredStore {
    store: Arc<dyn ObjectStore>,
    filter: Arc<CompiledFilter>,
}

impl FilteredStore {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, filter: CompiledFilter) -> Self {
        Self {
            store,
            filter: Arc::new(filter),
        }
    }
}

impl fmt::Display for FilteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for FilteredStore {
    async fn put_opts(
        &self,
        to: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(to, data, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(from, options).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let filter = Arc::clone(&self.filter);
        self.store
            .list(prefix)
            .try_filter(move |meta| futures::future::ready(filter.matches(&meta.location)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut found = self.store.list_with_delimiter(prefix).await?;
        found
            .objects
            .retain(|meta| self.filter.matches(&meta.location));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: Option<&str>, extensions: &[&str], path: &str) -> bool {
        let filter = Filter {
            base: "t".into(),
            glob: glob.map(str::to_owned),
            extensions: extensions
                .iter()
                .map(|extension| (*extension).to_owned())
                .collect(),
        };
        let decoded = Filter::decode(&filter.encode()).unwrap().unwrap();
        decoded.matches(&Path::from(path))
    }

    #[test]
    fn globs_keep_to_their_segment() {
        assert!(matches(Some("*.csv"), &[], "t/a.csv"));
        assert!(!matches(Some("*.csv"), &[], "t/b/a.csv"));
        assert!(matches(Some("**/*.csv"), &[], "t/b/c/a.csv"));
        assert!(matches(Some("day=*/x?.{csv,tsv}"), &[], "t/day=1/x1.tsv"));
        assert!(!matches(Some("[ab].csv"), &[], "t/c.csv"));
    }

    #[test]
    fn folders_hide_what_is_no_data() {
        assert!(matches(None, &[".csv"], "t/b/A.CSV"));
        assert!(!matches(None, &[".csv"], "t/a.csv.crc"));
        for hidden in ["t/_SUCCESS", "t/.a.csv", "t/_temporary/a.csv", "t"] {
            assert!(!matches(None, &[], hidden), "{hidden}");
        }
        assert!(matches(None, &[], "t/_day=1/a"));
        assert!(matches(Some("_*"), &[], "t/_SUCCESS"));
        assert!(
            !matches(None, &[], "tt/a.csv"),
            "a neighbour's name starts alike"
        );
    }
}
