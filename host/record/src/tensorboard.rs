//! Learning curves for TensorBoard: `tensorboard --logdir OUT/tensorboard`.
//!
//! Each training has a folder with one event file. During the training, running
//! loss and accuracy of each epoch are appended; afterwards the rest of the
//! curve and the final values.
//!
//! The file is a sequence of records: length (u64), its checksum (u32), a
//! protocol buffer `Event` of one scalar, its checksum (u32), little-endian.
//! Checksums are CRC-32C, rotated and shifted so that a checksum of checksums
//! is not trivial.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pallium_core::{Error, Result};

use crate::curves;
use crate::finished::{Finished, Record, Records};
use crate::identity::Cell;
use crate::machine::Machine;
use crate::store::Store;

/// The columns of `curves.csv` that are known during a training.
const LIVE: [&str; 2] = ["running_loss", "running_accuracy"];

/// A value at a step.
type Scalar = (String, u32, f64);

/// Writes the event files of a run's trainings.
pub struct TensorBoardWriter<'a> {
    store: &'a Store,
    /// The files of trainings in progress by folder, and the first epoch
    /// written.
    live: BTreeMap<String, (File, Option<u32>)>,
}

impl<'a> TensorBoardWriter<'a> {
    /// A writer for the run folder of `store`.
    pub fn new(store: &'a Store) -> Self {
        TensorBoardWriter { store, live: BTreeMap::new() }
    }

    /// Creates the file of a training.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn start(&mut self, cell: &Cell) -> Result<()> {
        let place = self.place(cell);
        let file = begin(&place).map_err(|e| Error::io(&place, &e))?;
        self.live.insert(cell.folder.clone(), (file, None));
        Ok(())
    }

    /// Appends an epoch to the file of a training in progress.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn epoch(&mut self, cell: &Cell, epoch: u32, loss: f64, accuracy: Option<f64>) -> Result<()> {
        let place = self.place(cell);
        if let Some((file, first)) = self.live.get_mut(&cell.folder) {
            first.get_or_insert(epoch);
            let scalars = LIVE.map(str::to_owned).into_iter().zip([Some(loss), accuracy]);
            let scalars: Vec<Scalar> =
                scalars.filter_map(|(tag, value)| Some((tag, epoch, value?))).collect();
            file.write_all(&records(&scalars)).map_err(|e| Error::io(&place, &e))?;
        }
        Ok(())
    }

    /// Appends what is missing to the file of a finished training.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn finish(&mut self, cell: &Cell) -> Result<()> {
        let live = self.live.remove(&cell.folder);
        let Some(Record::Finished(finished)) = self.store.record(cell)? else { return Ok(()) };
        let scalars = scalars(&finished);
        match live {
            // The file has every epoch, so only the other scalars are missing.
            Some((mut file, Some(1))) => {
                let rest: Vec<Scalar> =
                    scalars.into_iter().filter(|(tag, ..)| !LIVE.contains(&tag.as_str())).collect();
                file.write_all(&self::records(&rest)).map_err(|e| Error::io(&self.place(cell), &e))
            }
            _ => self.rewrite(cell, &scalars),
        }
    }

    /// Closes the file of a training that did not finish here.
    pub fn abandon(&mut self, cell: &Cell) {
        self.live.remove(&cell.folder);
    }

    /// Writes the files of finished trainings that were not followed in this
    /// process.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn complete(&self, plan: &[Cell], records: &Records) -> Result<()> {
        for (cell, record) in plan.iter().zip(records) {
            if let Some(Record::Finished(finished)) = record {
                let scalars = scalars(finished);
                // Every scalar is one record, so the length does not depend on
                // their order.
                if length(&self.place(cell)) != Some(encode(&scalars).len() as u64) {
                    self.rewrite(cell, &scalars)?;
                }
            }
        }
        Ok(())
    }

    fn place(&self, cell: &Cell) -> PathBuf {
        self.store.root().join("tensorboard").join(&cell.folder)
    }

    fn rewrite(&self, cell: &Cell, scalars: &[Scalar]) -> Result<()> {
        let place = self.place(cell);
        let write = || begin(&place)?.write_all(&records(scalars));
        write().map_err(|e| Error::io(&place, &e))
    }
}

/// All scalars of a finished training: its curve, and its values under `final/`
/// at the last epoch.
fn scalars(finished: &Finished) -> Vec<Scalar> {
    let mut scalars = Vec::new();
    let mut last = 0;
    for epoch in &finished.curve {
        last = epoch.epoch;
        for (values, task) in curves::rows(epoch).map(|(values, _, task)| (values, task)) {
            let tag = |column: &str| if task.is_empty() { column.into() } else { format!("{task}/{column}") };
            let named = curves::COLUMNS.iter().skip(1).zip(values);
            scalars.extend(
                named.filter(|(_, value)| value.is_finite()).map(|(name, value)| (tag(name), last, value)),
            );
        }
    }
    for value in &finished.values {
        let parts = [&value.task, &value.split].into_iter().filter(|part| !part.is_empty());
        let split: String = parts.map(|part| format!("{part}/")).collect();
        if let Some(number) = value.value {
            scalars.push((format!("final/{split}{}", value.measure), last, number));
        }
    }
    scalars
}

/// Recreates the folder, with a file without scalars.
fn begin(place: &Path) -> io::Result<File> {
    match fs::remove_dir_all(place) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => fs::create_dir_all(place)?,
    }
    let machine = Machine::current().name.unwrap_or_else(|| "machine".into());
    let name = format!("events.out.tfevents.{:010}.{machine}.{}", now() as u64, std::process::id());
    let mut file = File::create(place.join(name))?;
    file.write_all(&header())?;
    Ok(file)
}

/// Total size of the files in a training's folder.
fn length(place: &Path) -> Option<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(place).ok()? {
        sum += entry.ok()?.metadata().ok()?.len();
    }
    Some(sum)
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn encode(scalars: &[Scalar]) -> Vec<u8> {
    [header(), records(scalars)].concat()
}

/// The first event of a file, which states the kind of file.
fn header() -> Vec<u8> {
    record(&[fixed64(1, now()), bytes(3, b"brain.Event:2")].concat())
}

fn records(scalars: &[Scalar]) -> Vec<u8> {
    let event = |(tag, step, value): &Scalar| {
        #[expect(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are f32")]
        let value = [bytes(1, tag.as_bytes()), fixed32(2, *value as f32)].concat();
        let step = [vec![key(2, 0)], varint(u64::from(*step))].concat();
        record(&[fixed64(1, now()), step, bytes(5, &bytes(1, &value))].concat())
    };
    scalars.iter().flat_map(event).collect()
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), event, &checksum(event)].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

// In protocol buffers a field is its number and kind, followed by its content.

fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

fn fixed64(field: u8, value: f64) -> Vec<u8> {
    [&[key(field, 1)][..], &value.to_le_bytes()].concat()
}

fn fixed32(field: u8, value: f32) -> Vec<u8> {
    [&[key(field, 5)][..], &value.to_le_bytes()].concat()
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [vec![key(field, 2)], varint(content.len() as u64), content.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_published_format() {
        // RFC 3720, B.4: 32 bytes of zeros have CRC-32C 8a9136aa.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(0), [0]);
        let record = record(b"abc");
        assert_eq!(record.len(), 8 + 4 + 3 + 4);
        assert_eq!(record[..8], 3u64.to_le_bytes());
        assert_eq!(record[12..15], *b"abc");
        let event = records(&[("x".into(), 300, 0.5)]);
        let tail: Vec<u8> =
            [&[0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'x', 0x15][..], &0.5f32.to_le_bytes()].concat();
        let body = &event[12..event.len() - 4];
        assert_eq!(body[0], 0x09);
        assert_eq!(body[9..], tail);
    }

    #[test]
    fn the_length_does_not_depend_on_the_order() {
        let scalars: Vec<Scalar> = (1..200).map(|at| (format!("tag{}", at % 7), at, f64::from(at))).collect();
        let backwards: Vec<Scalar> = scalars.iter().rev().cloned().collect();
        assert_eq!(encode(&scalars).len(), encode(&backwards).len());
    }
}
