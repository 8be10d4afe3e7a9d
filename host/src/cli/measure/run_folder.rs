//! `pallium measure RUN --metric ID`: further metrics of the finished trainings of
//! a run folder.
//!
//! The manifest records them, so that a later `pallium run` of the same experiment
//! file keeps them and computes them of new trainings too.

use std::collections::BTreeSet;
use std::path::Path;

use itertools::Itertools;
use pallium_core::Result;
use pallium_record::finished::{Record, Records};
use pallium_record::identity::Cell;
use pallium_record::spec::Use;
use pallium_record::store::Store;
use pallium_report::run_table;

use super::Param;
use crate::cli::finished::{located, none_finished};
use crate::cli::run::{SOME_FAILED, check, page_of_run, train};
use crate::cli::support;
use crate::experiment::Experiment;
use crate::plugins::Catalogue;
use crate::run::log;
use crate::run::pool::Pool;
use crate::run::workers::Workers;

/// Different reasons of failures that are shown.
const MOST_REASONS: usize = 5;

/// Computes `metrics` of every finished training in `folder` and writes its tables
/// and its report anew. Nothing is trained.
///
/// # Errors
/// If the folder has no finished training, or a metric is missing or wrongly set. A
/// metric that fails leaves a value with the reason.
pub fn measure(
    folder: &Path,
    metrics: Vec<(String, Vec<Param>)>,
    experiment: &Experiment,
    catalogue: &Catalogue,
) -> Result<u8> {
    support::path_text(folder)?;
    let store = Store::new(folder);
    let mut manifest = store.manifest()?;
    let mut chosen = Vec::new();
    for (id, params) in metrics {
        let mut metric = Use::new(id);
        metric.params.extend(params);
        // A later command may run in another folder.
        metric.files = experiment.added_metric(&metric, catalogue)?.files;
        metric.change_paths(|path| {
            let absolute = Path::new(path).canonicalize().ok();
            absolute.as_deref().and_then(Path::to_str).unwrap_or(path).to_owned()
        });
        metric.files.clear();
        if !manifest.added_metrics.contains(&metric) {
            manifest.added_metrics.push(metric.clone());
        }
        chosen.push(metric);
    }
    let mut expansion = experiment.expansion(catalogue)?;
    // Only the chosen metrics are computed, even if others are missing or failed.
    let mut only_chosen = expansion.cells.clone();
    only_chosen.iter_mut().for_each(|cell| cell.metrics.clear());
    experiment.add_metrics(&mut only_chosen, &chosen, catalogue)?;
    experiment.add_metrics(&mut expansion.cells, &manifest.added_metrics, catalogue)?;
    let plan = located(expansion.cells, &store, catalogue)?;
    let wanted = located(only_chosen, &store, catalogue)?;
    let (mut held, mut pending) = (0, Vec::<&Cell>::new());
    for cell in &wanted {
        if store.holds(cell)? {
            held += 1;
            if !store.is_complete(cell)? && pending.iter().all(|known| known.folder != cell.folder) {
                pending.push(cell);
            }
        }
    }
    if held == 0 {
        return Err(none_finished(folder, &store, &plan));
    }
    let pool = Pool {
        workers: Workers::new(support::cache_folder())?,
        jobs: support::jobs(None, plan.iter().map(|cell| &cell.spec)),
        fail_fast: false,
        checkpoint_every: 0,
        keep_state: experiment.keep_state,
        store: &store,
        profiles: &expansion.profiles,
    };
    if !pending.is_empty() {
        check(&pool, &pending, catalogue)?;
    }
    // Before the metrics are computed: after an interruption, this command or
    // `pallium run` computes the others.
    Store::open(folder, &manifest, &experiment.source_text)?;
    let _log = log::open(folder);
    let mut records = Records::new();
    if !pending.is_empty() {
        train(&pool, &pending, catalogue, experiment, &plan, &mut records, None)?;
    }
    store.export(&plan, &mut records)?;
    store.tidy();
    let summary =
        run_table::summarise(&plan, &records, experiment.accuracy, experiment.interval, experiment.seed);
    let mut failed = 0;
    let mut reasons: BTreeSet<String> = BTreeSet::new();
    for cell in &pending {
        let Some(Record::Finished(done)) = store.record(cell)? else { continue };
        let of_measures = done.values.iter().filter_map(|value| value.failed.clone()).collect_vec();
        failed += usize::from(done.unmeasured > 0 || !of_measures.is_empty());
        reasons.extend(of_measures);
    }
    for reason in reasons.iter().take(MOST_REASONS) {
        status!("failed: {reason}");
    }
    let failures = if failed > 0 { format!("; {failed} failed (see above)") } else { String::new() };
    status!("{} of {held} finished trainings measured now{failures}", pending.len() - failed);
    let page = page_of_run(folder);
    let report = page.map_or_else(String::new, |page| format!("report in {}\n", page.display()));
    support::print(&format!("{}\nresults in {}\n{report}", summary.render(), folder.display()))?;
    Ok(if failed > 0 { SOME_FAILED } else { 0 })
}
