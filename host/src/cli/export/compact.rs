//! The finished trainings of a run folder in one file, without weights.

use pallium_core::Result;
use pallium_record::compact::{self, CompactTraining};

use super::Export;
use crate::cli::finished::{existing, located, none_finished};
use crate::cli::{output, support};
use crate::experiment::Experiment;

/// Writes the file.
///
/// # Errors
/// If the folder does not contain a finished training, or the file cannot be written.
pub(super) fn export(args: &Export) -> Result<()> {
    args.on.refuse("--layout")?;
    output::check(&args.out, args.force)?;
    let store = existing(&args.folder)?;
    let experiment = Experiment::load(&args.folder.join("experiment.toml"), &[])?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let mut cells = experiment.expansion(&catalogue)?.cells;
    experiment.add_metrics(&mut cells, &store.manifest()?.added_metrics, &catalogue)?;
    let plan = located(cells, &store, &catalogue)?;
    let mut trainings = Vec::new();
    for cell in &plan {
        if store.holds(cell)? {
            trainings.push(CompactTraining::new(&store, cell)?);
        }
    }
    if trainings.is_empty() {
        return Err(none_finished(&args.folder, &store, &plan));
    }
    if trainings.len() < plan.len() {
        tracing::warn!(
            "{} of {} trainings are not finished and left out",
            plan.len() - trainings.len(),
            plan.len()
        );
    }
    output::write(&args.out, &compact::write(&trainings)?, args.force)?;
    if output::is_stdout(&args.out) {
        return Ok(());
    }
    support::print(&format!("{}\n", args.out.display()))
}
