//! Files as a table: what a definition and the files found make of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use weir_base::{Kind, Options};

use super::connection::ConnectionSpec;
use super::detect;
use super::format::{Format, FormatOptions, compression_extension};
use super::listing::{Filter, FilteredStore};
use super::provider::{FileTableProvider, Found};
use super::stores::{FileStores, Place, store_error};
use crate::{Error, Result};

/// A table of files as a statement defines it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileTable {
    /// Where the files are, as the user wrote it: a file, a folder, or a pattern.
    pub location: String,
    /// The format's name. None: as the files' names tell.
    pub format: Option<String>,
    /// Declared columns. None: as the files tell.
    pub columns: Option<SchemaRef>,
    /// Declared Hive partition columns, in the order of the folders; without a type, the values tell it.
    pub partitioned_by: Vec<(String, Option<DataType>)>,
    /// Options of the format and of the table. `connection` names the connection, and is resolved by the caller.
    pub options: BTreeMap<String, String>,
}

impl FileTable {
    /// The connection that the options name.
    pub fn connection(&self) -> Option<&str> {
        self.options
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("connection"))
            .map(|(_, name)| name.as_str())
    }
}

/// The format that a location's name tells, such as `csv` of `s3://lake/trips.csv.gz`.
pub fn format_of_location(location: &str) -> Option<&'static str> {
    let location = location.split(['?', '#']).next().unwrap_or(location);
    Format::of_name(location)
        .or_else(|| Format::of_name(location.trim_end_matches('*')))
        .map(|(format, _)| format.name())
}

/// What remains of a table's options once format and table have taken theirs.
struct TableOptions {
    format: Option<(Format, String)>,
    file_extension: Option<String>,
    hive_partitioning: Option<bool>,
    rest: Options,
}

impl TableOptions {
    fn take(table: &FileTable) -> Result<Self> {
        let mut options = Options::new(table.options.clone());
        options.take::<String>("connection")?;
        let named = match (&table.format, options.take::<String>("format")?) {
            (Some(one), Some(other)) if !one.eq_ignore_ascii_case(&other) => {
                return Err(Error::invalid(format!(
                    "the format is given twice: {one} and {other}"
                )));
            }
            (Some(named), _) => Some(named.clone()),
            (None, named) => named,
        };
        let format = named
            .map(|named| match named.parse::<Format>() {
                Ok(format) => Ok((format, named)),
                Err(reason) => Err(Error::invalid(format!("format {reason}"))),
            })
            .transpose()?;
        Ok(Self {
            format,
            file_extension: options.take("file_extension")?,
            hive_partitioning: options.take("hive_partitioning")?,
            rest: options,
        })
    }

    fn format(mut self, format: Format, named: &str) -> Result<FormatOptions> {
        let taken = FormatOptions::take(format, named, &mut self.rest)?;
        self.rest.finish()?;
        Ok(taken)
    }
}

/// Opens a table of files: finds them, and their format, compression, partitions and columns, as far as the definition
/// does not say.
///
/// # Errors
/// What is wrong with the definition; denied by policy or store; not found, or unavailable.
pub async fn open_table(
    stores: &FileStores,
    session: &dyn Session,
    table: &FileTable,
    connection: Option<&ConnectionSpec>,
) -> Result<Arc<FileTableProvider>> {
    check_session(session)?;
    let options = TableOptions::take(table)?;
    let place = stores
        .resolve(&table.location, connection)?
        .settle()
        .await?;
    let found = find(&place).await?;
    let named = options
        .format
        .clone()
        .or_else(|| named_by(&place, &found))
        .ok_or_else(|| match found.is_empty() {
            true => not_found(&place),
            false => Error::invalid(format!(
                "the names of the files at {} do not tell their format",
                place.shown
            ))
            .with_hint("say which: STORED AS PARQUET, CSV, JSON, AVRO or ARROW"),
        })?;
    let (file_extension, hive) = (options.file_extension.clone(), options.hive_partitioning);
    let format = options.format(named.0, &named.1)?;
    let chosen = choose(&place, &format, file_extension.as_deref(), found)?;
    if chosen.files.is_empty() && (table.columns.is_none() || !place.is_folder) {
        return Err(not_found(&place));
    }
    let partitions = partitions(table, &place, &chosen.files, hive)?;
    let array = match (format.format, format.array) {
        (Format::Json, None) => {
            detect::is_json_array(&place, &chosen.files, chosen.compression).await?
        }
        (_, array) => array.unwrap_or(false),
    };
    let file_format = format.build(session, chosen.compression, array);
    let file_schema = match &table.columns {
        Some(declared) => without(declared, &partitions),
        None => {
            let inferred = detect::infer_schema(
                session,
                &place,
                &chosen.files,
                &format,
                &file_format,
                chosen.compression,
                array,
            )
            .await?;
            without_folders_columns(inferred, &partitions, format.format)?
        }
    };
    FileTableProvider::new(
        stores,
        session,
        Found {
            filter: Filter {
                base: place.path.to_string(),
                glob: place.glob.clone(),
                extensions: chosen.extensions,
            },
            place,
            file_schema,
            partitions,
            format,
            compression: chosen.compression,
            array,
        },
    )
    .map(Arc::new)
}

/// Checks a definition as far as that needs no look at the files: options, format, location, connection, policy.
///
/// # Errors
/// As [`open_table`], but for what only the files can tell.
pub fn check_table(
    stores: &FileStores,
    table: &FileTable,
    connection: Option<&ConnectionSpec>,
) -> Result<()> {
    let options = TableOptions::take(table)?;
    stores.resolve(&table.location, connection)?;
    let named = options.format.clone().or_else(|| {
        format_of_location(&table.location)
            .and_then(|name| Some((name.parse().ok()?, name.to_owned())))
    });
    match named {
        Some((format, named)) => options.format(format, &named).map(|_| ()),
        None => Ok(()),
    }
}

fn check_session(session: &dyn Session) -> Result<()> {
    let execution = &session.config_options().execution;
    if execution.listing_table_ignore_subdirectory || execution.keep_partition_by_columns {
        return Err(Error::new(
            Kind::Internal,
            "the session was not configured for tables of files",
        ));
    }
    Ok(())
}

pub(crate) fn internal(error: DataFusionError) -> Error {
    match Error::find(&error) {
        Some(ours) => ours.retell(),
        None => Error::invalid(error.strip_backtrace()).with_source(error),
    }
}

/// All files at a place that a folder or pattern may mean, in the order of their names.
pub(crate) async fn find(place: &Place) -> Result<Vec<ObjectMeta>> {
    if !place.is_folder {
        return match place.mount.head(&place.path).await {
            Ok(meta) => Ok(vec![meta]),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(store_error(&place.shown, &error)),
        };
    }
    let filter = Filter {
        base: place.path.to_string(),
        glob: place.glob.clone(),
        extensions: Vec::new(),
    };
    let store = FilteredStore::new(place.store(), filter.compile()?);
    let mut files: Vec<ObjectMeta> = store
        .list(Some(&place.path))
        .try_collect()
        .await
        .map_err(|error| store_error(&place.shown, &error))?;
    files.sort_by(|one, other| one.location.cmp(&other.location));
    Ok(files)
}

fn not_found(place: &Place) -> Error {
    let what = if place.is_folder {
        "no files at"
    } else {
        "no file"
    };
    Error::new(Kind::NotFound, format!("{what} {}", place.shown))
}

fn named_by(place: &Place, found: &[ObjectMeta]) -> Option<(Format, String)> {
    let names = std::iter::once(place.path.as_ref())
        .filter(|_| !place.is_folder)
        .chain(place.glob.as_deref())
        .chain(found.iter().map(|meta| meta.location.as_ref()));
    for name in names {
        if let Some((format, _)) = Format::of_name(name) {
            let tabs = name.to_lowercase().contains(".tsv");
            return Some((format, if tabs { "tsv" } else { format.name() }.to_owned()));
        }
    }
    None
}

struct Chosen {
    files: Vec<ObjectMeta>,
    /// What names must end with, so that files that come later are judged alike. Empty: anything.
    extensions: Vec<String>,
    compression: CompressionTypeVariant,
}

/// Which of the files found are the table's, and how they are compressed.
fn choose(
    place: &Place,
    format: &FormatOptions,
    file_extension: Option<&str>,
    found: Vec<ObjectMeta>,
) -> Result<Chosen> {
    let told = |meta: &ObjectMeta| {
        let (_, compression) = super::format::split_compression(meta.location.as_ref());
        match format.format.is_text() {
            true => format.compression.unwrap_or(compression),
            false => CompressionTypeVariant::UNCOMPRESSED,
        }
    };
    if let Some(extension) = file_extension {
        let extension = extension.to_lowercase();
        let files: Vec<_> = found
            .into_iter()
            .filter(|meta| meta.location.as_ref().to_lowercase().ends_with(&extension))
            .collect();
        return alike(place, format, files, vec![extension], told);
    }
    // A file or a pattern says itself which files are meant.
    if !place.is_folder || place.glob.is_some() {
        return alike(place, format, found, Vec::new(), told);
    }
    let of_format = |meta: &ObjectMeta| {
        let tells = Format::of_name(meta.location.as_ref());
        tells.is_some_and(|(found, _)| found == format.format)
    };
    let nothing_told = |meta: &ObjectMeta| {
        let name = meta.location.filename().unwrap_or_default();
        !name.contains('.')
    };
    if found.iter().any(of_format) || found.is_empty() {
        let files: Vec<_> = found.into_iter().filter(of_format).collect();
        let mut chosen = alike(place, format, files, Vec::new(), told)?;
        let end = match format.format.is_text() {
            true => compression_extension(chosen.compression),
            false => "",
        };
        chosen.extensions = format
            .format
            .extensions()
            .iter()
            .map(|extension| format!("{extension}{end}"))
            .collect();
        return Ok(chosen);
    }
    if found.iter().all(nothing_told) {
        return alike(place, format, found, Vec::new(), told);
    }
    let example = found.iter().find(|meta| !nothing_told(meta));
    Err(Error::new(
        Kind::NotFound,
        format!(
            "no {} files at {}, but files such as {:?}",
            format.format,
            place.shown,
            example
                .and_then(|meta| meta.location.filename())
                .unwrap_or_default(),
        ),
    )
    .with_hint(
        "the option file_extension says which files to read, or use a pattern such as *.dat",
    ))
}

fn alike(
    place: &Place,
    format: &FormatOptions,
    files: Vec<ObjectMeta>,
    extensions: Vec<String>,
    told: impl Fn(&ObjectMeta) -> CompressionTypeVariant,
) -> Result<Chosen> {
    let compression = files.first().map_or(
        format
            .compression
            .unwrap_or(CompressionTypeVariant::UNCOMPRESSED),
        &told,
    );
    if let Some(other) = files.iter().find(|meta| told(meta) != compression) {
        return Err(Error::unsupported(format!(
            "the files at {} are not all compressed alike: {:?} differs from the first",
            place.shown,
            other.location.filename().unwrap_or_default(),
        ))
        .with_hint("choose files that are alike with a pattern such as *.csv.gz"));
    }
    Ok(Chosen {
        files,
        extensions,
        compression,
    })
}

/// The partition columns: those declared, or those that all folders agree on.
fn partitions(
    table: &FileTable,
    place: &Place,
    files: &[ObjectMeta],
    wanted: Option<bool>,
) -> Result<Vec<FieldRef>> {
    let declared = &table.partitioned_by;
    if !declared.is_empty() {
        if wanted == Some(false) {
            return Err(Error::invalid(
                "hive_partitioning = 'false' contradicts PARTITIONED BY",
            ));
        }
        if !place.is_folder {
            return Err(Error::invalid(format!(
                "{} is one file; a partitioned table is a folder",
                place.shown
            )));
        }
    }
    if wanted == Some(false) || !place.is_folder {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = declared.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        let folders = detect::partition_names(place, files);
        names = match (folders, &table.columns, wanted) {
            (Some(folders), None, _) | (Some(folders), _, Some(true)) => folders,
            // As in Hive, a declared column that folders are named after is theirs, not the files'.
            (Some(folders), Some(declared), _)
                if folders
                    .iter()
                    .all(|name| declared.field_with_name(name).is_ok()) =>
            {
                folders
            }
            (None, _, Some(true)) => {
                return Err(Error::invalid(format!(
                    "the folders below {} are not all partitioned alike as column=value",
                    place.shown
                )));
            }
            _ => return Ok(Vec::new()),
        };
    }
    let values = detect::partition_values(place, files, &names)?;
    let fields = names.iter().enumerate().map(|(at, name)| {
        let declared_type = declared
            .get(at)
            .and_then(|(_, data_type)| data_type.clone())
            .or_else(|| {
                let declared = table.columns.as_ref()?.field_with_name(name).ok()?;
                Some(declared.data_type().clone())
            });
        let data_type = declared_type
            .unwrap_or_else(|| detect::partition_type(values.iter().filter_map(|row| row.get(at))));
        Arc::new(Field::new(name, data_type, false))
    });
    Ok(fields.collect())
}

/// Declared columns without those that folders give.
pub(crate) fn without(schema: &SchemaRef, partitions: &[FieldRef]) -> SchemaRef {
    let is_partition = |field: &FieldRef| partitions.iter().any(|part| part.name() == field.name());
    let fields: Vec<FieldRef> = schema
        .fields()
        .iter()
        .filter(|field| !is_partition(field))
        .cloned()
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Inferred columns without those that folders give too: the folder's value wins where the format finds columns by name.
fn without_folders_columns(
    schema: SchemaRef,
    partitions: &[FieldRef],
    format: Format,
) -> Result<SchemaRef> {
    let twice = partitions
        .iter()
        .find(|part| schema.field_with_name(part.name()).is_ok());
    match (twice, format) {
        (None, _) => Ok(schema),
        (Some(_), Format::Parquet | Format::Json) => Ok(without(&schema, partitions)),
        (Some(part), _) => Err(Error::invalid(format!(
            "column {:?} is in the files and in the names of their folders",
            part.name()
        ))
        .with_hint("add hive_partitioning = 'false' to read the files' column")),
    }
}
