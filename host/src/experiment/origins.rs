//! `training.from`: the finished training that each training begins with.

use std::collections::BTreeMap;
use std::path::Path;

use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_record::results;
use pallium_record::spec::{CellSpec, Origin};

/// A finished training of a run: its variant, task and run, and its folder's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finished {
    variant: String,
    task: String,
    run: u32,
    folder: String,
}

/// The trainings of run folders, each of which is read once.
#[derive(Default)]
pub(super) struct Origins(BTreeMap<String, Vec<Finished>>);

impl Origins {
    /// Puts the folder of a finished training in the place of the run folder that an
    /// experiment names: that of the same run, variant and task, unless the experiment
    /// names others or there is only one.
    ///
    /// # Errors
    /// If there is no such training.
    pub fn resolve(&mut self, cell: &mut CellSpec) -> Result<()> {
        let Some(origin) = &cell.training.from else { return Ok(()) };
        let folder = Path::new(&origin.path);
        if folder.join(pallium_record::training::FILE).is_file() {
            // It is the folder of a training, for all runs.
            cell.training.from = Some(Origin { path: origin.path.clone(), variant: None, task: None });
            return Ok(());
        }
        if !self.0.contains_key(&origin.path) {
            self.0.insert(origin.path.clone(), read(folder)?);
        }
        let finished = &self.0[&origin.path];
        let only =
            |of: fn(&Finished) -> &String| finished.iter().map(of).unique().exactly_one().ok().cloned();
        let named = |given: &Option<String>, own: &str, of: fn(&Finished) -> &String| {
            let has_own = finished.iter().any(|one| of(one) == own);
            let default =
                || if has_own { own.to_owned() } else { only(of).unwrap_or_else(|| own.to_owned()) };
            given.clone().unwrap_or_else(default)
        };
        let variant = named(&origin.variant, &cell.variant, |one| &one.variant);
        let task = named(&origin.task, &cell.task, |one| &one.task);
        let found =
            finished.iter().find(|one| one.variant == variant && one.task == task && one.run == cell.run);
        let Some(found) = found else {
            let known = finished.iter().map(|one| format!("{}/{}", one.variant, one.task)).unique().take(12);
            return Err(Error::input(format!(
                "training.from: {} has no finished training {variant}/{task}/{}, for {}",
                folder.display(),
                cell.run,
                cell.label()
            ))
            .help(format!(
                "name one with {{ path = …, variant = …, task = … }}; it has: {}",
                known.collect::<Vec<_>>().join(", ")
            )));
        };
        let place = folder.join("cells").join(&found.folder);
        let path = place.to_str().unwrap_or(&origin.path).to_owned();
        cell.training.from = Some(Origin { path, variant: None, task: None });
        Ok(())
    }
}

/// The finished trainings in the tables of a run folder.
fn read(folder: &Path) -> Result<Vec<Finished>> {
    let table = folder.join("results.csv");
    if !table.is_file() {
        return Err(Error::input(format!("training.from: {} does not contain a run", folder.display()))
            .help("name a folder that `pallium run` wrote, or the folder of one training in its cells/"));
    }
    let rows =
        results::read(&table)?.into_iter().filter(|row| row.status == pallium_record::outcome::Status::Ok);
    let of = |row: results::Row| {
        Some(Finished { variant: row.variant, task: row.task, run: row.run, folder: row.folder? })
    };
    Ok(rows.filter_map(of).sorted().dedup().collect())
}
