//! Making files and folders so that a power cut leaves the old or the new one, and nothing between.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The ending of files that are not finished; a start removes them.
pub(crate) const UNFINISHED: &str = "tmp";

/// Replaces the file at `path` by one that holds `bytes`, in one step. With `sync` it is on disk on return, but for the
/// folder's entry: see [`sync_dir`].
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let unfinished = path.with_added_extension(UNFINISHED);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // The next start would remove it too.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Makes a folder with all that lead to it, as far as they are missing, and makes their names durable.
pub(crate) fn create_dir_all(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        match made.parent() {
            Some(parent) if parent != Path::new("") => sync_dir(parent)?,
            Some(_) => sync_dir(Path::new("."))?,
            None => {}
        }
    }
    Ok(())
}

/// Makes the entries of a folder durable: which files there are, by which names.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether an error says that there is no room left, by disk, quota or limit of file size.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
