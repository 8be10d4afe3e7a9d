//! Reports of run folders as tables, figures, a page and JSON.
//!
//! [`folder`] reads a run folder; [`summary`] averages and tests its runs;
//! [`published`] compares them with the paper's tables; [`network`] reads single
//! networks. [`tables`] and [`figure`] show the results, [`page`] writes one HTML
//! file, [`document`] writes JSON; [`compare`] compares several folders. A report
//! reads only finished trainings and changes nothing.

pub mod compare;
mod compare_tables;
pub mod design;
pub mod document;
mod effect_tables;
pub mod effects;
pub mod figure;
pub mod folder;
pub mod learning;
pub mod likeness;
pub mod network;
pub mod page;
pub mod published;
pub mod run_table;
pub mod short;
pub mod study;
pub mod summary;
pub mod table;
pub mod tables;
pub mod tested;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trajectories;

use std::path::Path;

use itertools::Itertools;
use pallium_core::Result;

use effects::TaskStatistics;
use figure::Figure;
use figure::curves::LearningCurves;
use figure::matrices::Pictures;
use figure::spectra::Spectra;
use folder::RunFolder;
use learning::TaskLearning;
use likeness::Likeness;
use network::TrainedNetwork;
use published::Paper;
use study::Counterpart;
use summary::Group;
use tested::Tested;
use trajectories::Trajectories;

/// Measures of organization that are shown: more columns and panels are not read,
/// and metrics of single neurons give thousands.
pub const MAX_MEASURES: usize = 40;

/// The content of a report.
pub struct Report {
    /// The run.
    pub run: RunFolder,
    /// The variants of the study that the run's variants are, by task, then
    /// variant.
    pub counterparts: Vec<Vec<Option<Counterpart>>>,
    /// Accuracies that tables show, by task, then variant.
    pub accuracy: Vec<Vec<Group>>,
    /// Running accuracies, which the paper publishes; in the same order.
    pub running: Vec<Vec<Group>>,
    /// Measures of organization, up to [`MAX_MEASURES`].
    pub measures: Vec<String>,
    /// Number of measures beyond these.
    pub other_measures: usize,
    /// Their values, by task, then measure, then variant.
    pub organization: Vec<Vec<Vec<Group>>>,
    /// Tests, by task.
    pub statistics: Vec<TaskStatistics>,
    /// How fast the variants learn, by task.
    pub learning: Vec<TaskLearning>,
    /// Tests of finished networks, if there are any.
    pub tested: Tested,
    /// Likeness of finished networks, if it was measured.
    pub likeness: Likeness,
}

impl Report {
    /// Reads and analyses the run folder at `root`.
    ///
    /// # Errors
    /// As [`RunFolder::read`].
    pub fn read(root: &Path) -> Result<Self> {
        let run = RunFolder::read(root)?;
        let mut measures = run.network_measures();
        let other_measures = measures.len().saturating_sub(MAX_MEASURES);
        measures.truncate(MAX_MEASURES);
        let (tasks, variants) = (0..run.tasks.len(), 0..run.variants.len());
        let counterpart = |variant, task| match run.example_on(variant, task) {
            Some(training) => Counterpart::of(training),
            None => Ok(None),
        };
        let counterparts: Vec<Vec<Option<Counterpart>>> = tasks
            .clone()
            .map(|t| variants.clone().map(|v| counterpart(v, t)).collect())
            .collect::<Result<_>>()?;
        let groups = |task: usize, split: &str, measure: &str| -> Result<Vec<Group>> {
            let of =
                |v: usize| summary::group(&run, counterparts[task][v].as_ref(), v, task, (split, measure));
            variants.clone().map(of).collect()
        };
        let accuracy = tasks
            .clone()
            .map(|t| {
                let (split, headline) = run.headline_on(t);
                groups(t, &split, &headline)
            })
            .collect::<Result<_>>()?;
        let running = tasks.clone().map(|t| groups(t, "train", "running_accuracy")).collect::<Result<_>>()?;
        let organization = tasks
            .clone()
            .map(|t| measures.iter().map(|m| groups(t, "", m)).collect())
            .collect::<Result<_>>()?;
        let statistics: Vec<TaskStatistics> = tasks.clone().map(|t| effects::statistics(&run, t)).collect();
        let learning = tasks.map(|t| learning::learning(&run, t, &statistics[t].effects)).collect();
        Ok(Report {
            counterparts,
            accuracy,
            running,
            organization,
            statistics,
            learning,
            tested: Tested::default(),
            likeness: Likeness::default(),
            measures,
            other_measures,
            run,
        })
    }

    /// The tables with the study's values of the run's variants, each once.
    pub fn papers(&self) -> Vec<Paper> {
        self.counterparts.iter().flatten().flatten().map(|c| c.paper).unique().collect()
    }

    /// What differs from the study in the variants that are the study's, each
    /// once.
    pub fn departures(&self) -> Vec<String> {
        self.counterparts.iter().flatten().flatten().flat_map(|c| c.departures.clone()).unique().collect()
    }
}

/// What figures need beyond the numbers.
pub struct Material {
    /// Learning curves.
    pub curves: LearningCurves,
    /// Networks of median accuracy, by task, then variant.
    pub networks: Vec<TrainedNetwork>,
    /// Images of their matrices, in the same order.
    pub pictures: Vec<Pictures>,
    /// Eigenvalues of their matrices, in the same order.
    pub spectra: Vec<Spectra>,
    /// Paths of their activity, of those whose metrics stored them.
    pub trajectories: Vec<Trajectories>,
    /// Positions of their neurons, in the same order, or why they are unknown.
    pub places: Vec<network::NeuronPositions>,
}

impl Material {
    /// Reads curves, networks and, through `positions`, where the neurons are.
    /// Anything that cannot be read is left out, with a warning in the log.
    pub fn read(run: &RunFolder, positions: &network::PositionLookup<'_>) -> Self {
        let networks = network::representatives(run);
        Material {
            curves: LearningCurves::read(run),
            pictures: Pictures::draw(&networks),
            spectra: Spectra::of(&networks),
            trajectories: trajectories::read(run, &networks),
            places: network::places(run, &networks, positions),
            networks,
        }
    }
}

/// All figures that have something to show.
pub fn figures<'a>(report: &'a Report, material: &'a Material) -> Vec<Figure<'a>> {
    let run = &report.run;
    let mut figures = vec![figure::accuracy::figure(run, &report.accuracy)];
    if run.swept() {
        figures.push(figure::sweep::figure(run, &report.accuracy));
    }
    if !material.curves.is_empty() {
        figures.push(figure::curves::figure(run, &material.curves));
    }
    if report.has_learning() {
        figures.push(figure::criterion::figure(run, &report.learning));
    }
    figures.extend(figure::tested::figures(run, &report.tested));
    figures.extend(figure::likeness::figure(run, &report.likeness.matrices));
    // Without a test, as of one run, sizes of effects mean nothing.
    if report.statistics.iter().flat_map(|s| &s.effects).any(|e| !e.p.is_nan()) {
        figures.push(figure::effects::figure(run, &report.statistics));
    }
    for task in run.whole_tasks() {
        if !report.measures.is_empty() {
            figures.push(figure::organization::figure(run, task, &report.measures));
        }
    }
    for task in run.whole_tasks() {
        if material.networks.iter().any(|n| n.task == task) {
            figures.push(figure::matrices::figure(run, task, &material.networks, &material.pictures));
        }
    }
    for task in run.whole_tasks() {
        if material.networks.iter().any(|n| n.task == task) {
            figures.push(figure::spectra::figure(run, task, &material.networks, &material.spectra));
        }
        figures.extend(figure::trajectories::figure(run, task, &material.trajectories));
    }
    if !material.networks.is_empty() {
        figures.push(figure::weights::figure(run, &material.networks));
    }
    for task in run.whole_tasks() {
        let mut known = material.networks.iter().zip(&material.places);
        if known.any(|(network, place)| network.task == task && place.is_ok()) {
            figures.push(figure::space::figure(run, task, &material.networks, &material.places));
        }
    }
    figures
}
