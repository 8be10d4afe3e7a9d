//! Writes a field's folder, without pickles. [`folder`](crate::folder) reads back
//! exactly the same field.

use std::path::Path;

use pallium_core::{
    Kind,
    ndarray::{ArrayBase, ArrayView2, Data, Dimension, aview1},
    prelude::*,
};

use pallium_npy::Element;

use crate::events::check_events;
use crate::field_toml::{FIELD_TOML, FieldToml, StoredOrder, VERSION};
use crate::listing::MATRICES;
use crate::released::refuse_repeats;

/// Writes `substrate` into the new folder `folder`.
///
/// The files are written into a temporary folder beside it, which is renamed at
/// the end, so `folder` is never incomplete.
///
/// # Errors
/// If the folder exists and is not empty, or cannot be written.
pub fn write(substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
    substrate.check()?;
    if substrate.positions.is_none() && substrate.matrices.is_empty() && substrate.events.is_none() {
        return Err(Error::input(format!(
            "`{}` has no positions, matrices or events, so it cannot be stored as a field",
            substrate.name
        ))
        .help("add at least one of these"));
    }
    if let Some(events) = &substrate.events {
        check_events(events, substrate.recording)
            .map_err(|e| e.context(format!("storing `{}`", substrate.name)))?;
    }
    if let Some(name) = substrate
        .matrices
        .keys()
        .chain(substrate.ids.keys())
        .find(|name| name.is_empty() || name.contains("_ids") || name.as_str() != file_name(name))
    {
        return Err(Error::input(format!("`{name}` cannot be part of a file name"))
            .help("names may contain letters, digits, - and _"));
    }
    if let Some(sttc) = substrate.matrices.get(Substrate::STTC).map(|sttc| sttc.view())
        && !substrate.derived.contains(Substrate::STTC)
        && let Some(((i, j), value)) = sttc.indexed_iter().find(|((i, j), v)| **v != sttc[[*j, *i]])
    {
        return Err(Error::input(format!(
            "the `sttc` matrix has {value} at row {i}, column {j}, but {} at row {j}, column {i}",
            sttc[[j, i]]
        ))
        .help("a spike time tiling matrix must be symmetric"));
    }
    // A folder with such ids could not be read again.
    for (kind, ids) in &substrate.ids {
        refuse_repeats(Path::new(&format!("ids `{kind}` of `{}`", substrate.name)), ids)?;
    }
    if folder.exists() {
        let mut entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
        if entries.next().is_some() {
            return Err(Error::input(format!("{} exists and is not empty", folder.display()))
                .help("choose another folder, or remove this one first"));
        }
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
    let beside =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    // One level down, because the temporary folder itself is private.
    let inside = beside.path().join("field");
    std::fs::create_dir(&inside).map_err(|e| Error::io(&inside, &e))?;
    fill(substrate, &inside)?;
    std::fs::rename(&inside, folder).map_err(|e| Error::io(folder, &e))
}

fn fill(substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
    let field = file_name(&substrate.name);
    if let Some(positions) = &substrate.positions {
        array(&folder.join(format!("positions_{field}.npy")), &positions.values.view())?;
    }
    for (name, matrix) in &substrate.matrices {
        if name == Substrate::CONNECTOME {
            let root = substrate.ids.get("root").map(|ids| &**ids);
            connectome(&folder.join(format!("connectome_{field}.csv")), matrix.view(), root)?;
            continue;
        }
        let known = MATRICES.iter().find(|(_, known)| known == name);
        let file = known.map_or_else(|| format!("matrix_{name}.npy"), |(file, _)| (*file).to_owned());
        array(&folder.join(file), &matrix.view())?;
    }
    for (name, ids) in &substrate.ids {
        array(&folder.join(format!("{name}_ids_{field}.npy")), &aview1(ids))?;
    }
    if let Some(events) = &substrate.events {
        let times: Vec<f64> = events.iter().flatten().copied().collect();
        let ends = events.iter().scan(0, |end, times| {
            *end += times.len() as i64;
            Some(*end)
        });
        let offsets: Vec<i64> = std::iter::once(0).chain(ends).collect();
        array(&folder.join(format!("event_times_{field}.npy")), &aview1(&times))?;
        array(&folder.join(format!("event_offsets_{field}.npy")), &aview1(&offsets))?;
    }
    let metadata = FieldToml {
        version: Some(VERSION),
        name: Some(substrate.name.clone()),
        position_unit_um: substrate.positions.as_ref().map(|p| p.unit_um),
        connectome_order: Some(StoredOrder::Neurons),
        sttc: None,
        frame_hz: substrate.frame_hz,
        recording: substrate.recording,
        derived: substrate.derived.clone(),
        notes: substrate.notes.clone(),
    };
    let path = folder.join(FIELD_TOML);
    let text =
        toml::to_string(&metadata).map_err(|e| Error::bug(format!("cannot write {FIELD_TOML}: {e}")))?;
    std::fs::write(&path, text).map_err(|e| Error::io(&path, &e))
}

/// `name` with everything but letters, digits, `-` and `_` replaced.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let safe: String = name.chars().map(safe).collect();
    if safe.is_empty() { "field".into() } else { safe }
}

fn array<T: Element, D: Dimension>(path: &Path, array: &ArrayBase<impl Data<Elem = T>, D>) -> Result<()> {
    let file = std::fs::File::create_new(path).map_err(|e| Error::io(path, &e))?;
    pallium_npy::write(file, array).map_err(|e| Error::io(path, &e))
}

fn connectome(path: &Path, wiring: ArrayView2<'_, f64>, root: Option<&[i64]>) -> Result<()> {
    let labels: Vec<String> = match root {
        Some(ids) => ids.iter().map(ToString::to_string).collect(),
        None => (0..wiring.nrows()).map(|i| i.to_string()).collect(),
    };
    let failed = |e: csv::Error| Error::new(Kind::Io, format!("{}: {e}", path.display()));
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(std::iter::once("").chain(labels.iter().map(String::as_str))).map_err(failed)?;
    for (label, row) in labels.iter().zip(wiring.rows()) {
        let counts = row.iter().map(ToString::to_string);
        writer.write_record(std::iter::once(label.clone()).chain(counts)).map_err(failed)?;
    }
    writer.flush().map_err(|e| Error::io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{self, ConnectomeOrder, ReadOptions, Sttc};
    use pallium_testing::{Folder, real_field};

    const READING: ReadOptions =
        ReadOptions { order: ConnectomeOrder::Restored, sttc: Sttc::HalfFrame, frame_hz: None, events: true };

    #[test]
    fn a_stored_field_reads_back_unchanged() {
        let Some(path) = real_field("5_3_8") else { return };
        let field = folder::read(&path, &READING).unwrap();
        let scratch = Folder::new();
        let folder = scratch.path().join("new").join("field");
        write(&field, &folder).unwrap();
        assert_eq!(folder::read(&folder, &READING).unwrap(), field);
        // Storing what was read changes nothing.
        let again = scratch.path().join("again");
        std::fs::create_dir(&again).unwrap();
        write(&folder::read(&folder, &READING).unwrap(), &again).unwrap();
        assert_eq!(folder::read(&again, &READING).unwrap(), field);
        let left: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "temporary files remain: {left:?}");
    }

    #[test]
    fn unusual_names_and_values_survive() {
        let mut odd = Substrate { name: "a b/ü".into(), neurons: 2, ..Substrate::default() };
        odd.matrices.insert("connectome".into(), ndarray::array![[0.0, 0.1], [3.0, 1e-20]].into());
        odd.matrices.insert("axon-length".into(), ndarray::array![[0.0, 0.3], [-3.0, 1e300]].into());
        odd.matrices.insert("sttc".into(), ndarray::array![[1.0, 0.3], [0.2, 1.0]].into());
        odd.derived.insert("sttc".into());
        odd.frame_hz = Some(30.0);
        odd.ids.insert("root".into(), vec![i64::MAX, i64::MIN].into());
        odd.events = Some(vec![vec![], vec![-0.1, 0.30000000000000004]]);
        odd.recording = Some((-0.3, 1e9 + 0.1));
        odd.notes = vec!["say \"this\"\nand that".into()];
        let scratch = Folder::new();
        let folder = scratch.path().join("odd");
        write(&odd, &folder).unwrap();
        assert_eq!(folder::read(&folder, &READING).unwrap(), odd);
    }

    #[test]
    fn existing_files_are_not_overwritten() {
        let scratch = Folder::new();
        scratch.file("something", b"");
        let field = Substrate {
            neurons: 1,
            matrices: [("sttc".into(), ndarray::array![[1.0]].into())].into(),
            ..Substrate::default()
        };
        let error = write(&field, scratch.path()).unwrap_err();
        assert!(error.kind == Kind::Input && error.message.contains("not empty"), "{error}");
        let mut bad = field.clone();
        bad.matrices.insert("a/b".into(), ndarray::array![[1.0]].into());
        assert!(write(&bad, &scratch.path().join("x")).unwrap_err().message.contains("`a/b`"));
        let mut bad = field.clone();
        (bad.neurons, bad.ids) = (2, [("roi".into(), vec![7, 7].into())].into());
        bad.matrices.insert("sttc".into(), ndarray::array![[1.0, 0.0], [0.0, 1.0]].into());
        let error = write(&bad, &scratch.path().join("x")).unwrap_err();
        assert!(
            error.message.contains("ids `roi`") && error.message.contains("id 7 occurs twice"),
            "{error}"
        );
        let mut bad = field;
        bad.neurons = 2;
        assert!(write(&bad, &scratch.path().join("x")).is_err());
        assert!(!scratch.path().join("x").exists());
    }
}
