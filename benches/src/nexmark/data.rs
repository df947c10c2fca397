//! Nexmark's events in files, made once and kept between runs.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use weir_tests::nexmark::{Events, STREAMS};

/// Events of a second of their own time.
const EVENTS_A_SECOND: usize = 10_000;
/// So many in turn go into each partition.
const PORTION_EVENTS: u64 = 10_000;
/// Lines that are written in one request.
const PIECE_BYTES: usize = 4 << 20;
pub(super) const PARTITIONS: usize = 2;

/// A folder with a folder for each stream, in it a file for each partition with a line of JSON for each event.
pub(super) struct Data {
    pub(super) folder: PathBuf,
}

/// The folder with the same files without a line, within that with all events.
const NONE: &str = "none";

/// The first so many events.
pub(super) fn data(folder: &Path, events: u64) -> io::Result<Data> {
    let whole = folder.join(format!("nexmark-{events}"));
    if whole.is_dir() {
        return Ok(Data { folder: whole });
    }
    let part = folder.join(format!("nexmark-{events}.part"));
    if part.is_dir() {
        fs::remove_dir_all(&part)?;
    }
    let mut files = Vec::new();
    for stream in STREAMS {
        let folder = part.join(stream);
        fs::create_dir_all(&folder)?;
        let partitions =
            (0..PARTITIONS).map(|partition| File::create(folder.join(format!("{partition}.json"))));
        let partitions = partitions.collect::<io::Result<Vec<_>>>()?;
        files.push(
            partitions
                .into_iter()
                .map(BufWriter::new)
                .collect::<Vec<_>>(),
        );
    }
    let mut all = Events::new(EVENTS_A_SECOND);
    for (number, first) in (0..events).step_by(PORTION_EVENTS as usize).enumerate() {
        let count = PORTION_EVENTS.min(events - first);
        let portion = all.portion(usize::try_from(count).expect("a portion is small"));
        for (partitions, rows) in files.iter_mut().zip(portion.streams) {
            partitions[number % PARTITIONS].write_all(rows.as_bytes())?;
        }
    }
    for file in files.iter_mut().flatten() {
        file.flush()?;
    }
    side_input(&part)?;
    for folder in STREAMS.iter().chain(&["side_input"]) {
        let folder = part.join(NONE).join(folder);
        fs::create_dir_all(&folder)?;
        File::create(folder.join("0.json"))?;
    }
    fs::rename(&part, &whole)?;
    Ok(Data { folder: whole })
}

/// What `schema.sql` has as a table.
fn side_input(folder: &Path) -> io::Result<()> {
    let folder = folder.join("side_input");
    fs::create_dir_all(&folder)?;
    let mut file = BufWriter::new(File::create(folder.join("0.json"))?);
    for key in 0..10_000 {
        writeln!(file, r#"{{"key":{key},"value":"side {key}"}}"#)?;
    }
    file.flush()
}

impl Data {
    pub(super) fn none(&self) -> PathBuf {
        self.folder.join(NONE)
    }

    /// A stream's lines in bodies of requests, from its partitions in turn, so that times stay about in order.
    pub(super) fn pieces(&self, stream: &str) -> impl Iterator<Item = io::Result<String>> {
        let folder = self.folder.join(stream);
        let files = (0..PARTITIONS)
            .map(move |partition| File::open(folder.join(format!("{partition}.json"))))
            .map(|file| file.map(BufReader::new));
        let mut files: Vec<io::Result<BufReader<File>>> = files.collect();
        let mut turn = 0;
        let mut ended = 0;
        std::iter::from_fn(move || {
            while ended < PARTITIONS {
                let file = files[turn % PARTITIONS].as_mut();
                turn += 1;
                match file.map_err(|error| error.kind().into()).and_then(piece) {
                    Ok(piece) if piece.is_empty() => ended += 1,
                    Ok(piece) => {
                        ended = 0;
                        return Some(Ok(piece));
                    }
                    error => {
                        ended = PARTITIONS;
                        return Some(error);
                    }
                }
            }
            None
        })
    }
}

/// The next lines.
fn piece(file: &mut BufReader<File>) -> io::Result<String> {
    let mut piece = String::with_capacity(PIECE_BYTES + 4096);
    while piece.len() < PIECE_BYTES && file.read_line(&mut piece)? > 0 {}
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_events_are_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = data(folder.path(), 25_000).unwrap();
        let again = data(folder.path(), 25_000).unwrap();
        assert_eq!(first.folder, again.folder);
        for (stream, rows) in STREAMS.iter().zip([500, 1500, 23_000]) {
            let pieces = again.pieces(stream).map(Result::unwrap);
            assert_eq!(
                pieces.map(|piece| piece.lines().count()).sum::<usize>(),
                rows
            );
            assert!(again.none().join(stream).join("0.json").is_file());
        }
    }
}
