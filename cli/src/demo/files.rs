//! The example files, carried by the binary, so that `weir serve --demo` needs nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Cities of 100,000 people and more: Parquet.
pub(crate) const CITIES: &[u8] = include_bytes!("../../../examples/data/cities.parquet");

/// File names and contents. The source and licence of each stand in `examples/README.md`.
const FILES: [(&str, &[u8]); 4] = [
    ("cities.parquet", CITIES),
    (
        "countries.csv",
        include_bytes!("../../../examples/data/countries.csv"),
    ),
    (
        "continents.ndjson",
        include_bytes!("../../../examples/data/continents.ndjson"),
    ),
    (
        "README.md",
        include_bytes!("../../../examples/data/README.md"),
    ),
];

/// Puts the example files below `data_dir` and returns their folder, as an absolute path.
///
/// # Errors
/// [`Error::File`] when the folder or a file cannot be written.
pub(crate) fn unpack(data_dir: &Path) -> Result<PathBuf> {
    let folder = data_dir.join("examples");
    fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, error))?;
    let folder = folder
        .canonicalize()
        .map_err(|error| Error::file(&folder, error))?;
    for (name, content) in FILES {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|found| found == content) {
            continue;
        }
        // Renamed into place: a start that is killed half-way leaves no half file behind.
        let new = folder.join(format!("{name}.new"));
        fs::write(&new, content)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| Error::file(&path, error))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_once_and_repaired_when_changed() {
        let data = tempfile::tempdir().unwrap();
        let folder = unpack(data.path()).unwrap();
        let countries = folder.join("countries.csv");
        fs::write(&countries, "broken").unwrap();
        assert_eq!(unpack(data.path()).unwrap(), folder);
        assert!(
            fs::read_to_string(&countries)
                .unwrap()
                .contains("\nNA,Namibia,AF,")
        );
        assert_eq!(fs::read_dir(&folder).unwrap().count(), FILES.len());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("file");
        fs::write(&file, "").unwrap();
        let error = unpack(&file).unwrap_err();
        assert!(error.to_string().contains("file/examples"), "{error}");
    }
}
