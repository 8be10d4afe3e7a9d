//! `pallium report`: tables, statistics and figures of a run folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ndarray::Array2;
use pallium_core::{Error, Result};
use pallium_record::training::TrainingFile;
use pallium_report::figure::{COLUMNS, Figure};
use pallium_report::folder::RunFolder;
use pallium_report::likeness::Likeness;
use pallium_report::table::{Table, latex, markdown, terminal};
use pallium_report::tested::Tested;
use pallium_report::{Material, Report, figures, page};
use serde_json::json;

use super::output::{check, check_folder, is_stdout, write};
use super::support;
use crate::experiment::Experiment;
use crate::plugins::Catalogue;
use crate::run::workers::Workers;

/// Default file name of a report.
pub const PAGE: &str = "report.html";

/// Makes a report of a run folder: tables, statistics and figures in one HTML
/// file that needs no network, or in separate files for a paper.
///
/// It contains the finished trainings, so it can be made during a run. Without
/// further options, it is written to DIR/report.html.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium report runs/quickstart --figures figures --latex tables.tex
  pallium report runs/quickstart --tested delay.csv --tested lesions.csv

Figures are written as NAME-one-column and NAME-two-column (85 and 176 mm wide), each as SVG and PDF. Their numbers \
are written as NAME.csv, unless results.csv or curves.csv contains them. Results are compared with the published \
tables if the run has the same variants, tasks and neurons.")]
pub struct ReportArgs {
    /// The run folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Also show a table that `pallium evaluate RUN --out FILE.csv` wrote; may be
    /// repeated.
    #[arg(long = "tested", value_name = "FILE.csv")]
    tested: Vec<PathBuf>,
    /// Also show how measures develop over training, from a table that `pallium measure
    /// RUN --snapshots --out FILE.csv` wrote; may be repeated.
    #[arg(long = "development", value_name = "FILE.csv")]
    development: Vec<PathBuf>,
    /// Also show a table that `pallium likeness RUN --out FILE.csv` wrote; may be repeated.
    #[arg(long = "likeness", value_name = "FILE.csv")]
    likeness: Vec<PathBuf>,
    /// Write the page to this file; `-` is standard output.
    #[arg(long, value_name = "FILE|-")]
    html: Option<PathBuf>,
    /// Write each figure to this folder, as SVG and PDF, and its numbers as CSV unless
    /// the run folder has them.
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    /// Write the tables as LaTeX (with booktabs); `-` is standard output.
    #[arg(long, value_name = "FILE|-")]
    latex: Option<PathBuf>,
    /// Write the tables as Markdown; `-` is standard output.
    #[arg(long, value_name = "FILE|-")]
    markdown: Option<PathBuf>,
    /// Replace files that exist. The page in the run folder is always replaced.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the folder does not contain a run with results, or a file cannot be written.
pub fn report(args: &ReportArgs) -> Result<()> {
    let begun = Instant::now();
    let named = [&args.html, &args.latex, &args.markdown];
    let on_stdout = named.into_iter().flatten().filter(|file| is_stdout(file)).count();
    if on_stdout + usize::from(args.json) > 1 {
        return Err(Error::input("only one document can be written to standard output")
            .help("name a file for all but one of --json, --html, --latex and --markdown"));
    }
    let mut files = named.into_iter().flatten().filter(|file| file.as_os_str() != "/dev/null");
    if let Some(file) = files.clone().find(|file| files.clone().filter(|other| other == file).count() > 1) {
        return Err(Error::input(format!("{} is named for two documents", file.display()))
            .help("name another file for each of --html, --latex and --markdown"));
    }
    files.try_for_each(|file| check(file, args.force))?;
    args.figures.iter().try_for_each(|folder| check_folder(folder))?;
    let mut report = Report::read(&args.folder)?;
    report.tested = Tested::read(&report.run, &args.tested)?;
    report.tested.add_development(&report.run, &args.development)?;
    report.likeness = Likeness::read(&report.run, &args.likeness)?;
    let files = [&args.figures, &args.latex, &args.markdown].iter().any(|f| f.is_some());
    let page_file = match &args.html {
        Some(file) => Some(file.clone()),
        None => (!files && !args.json).then(|| args.folder.join(PAGE)),
    };
    // Figures first.
    let mut written = Vec::new();
    let mut pictures = 0;
    if page_file.is_some() || args.figures.is_some() {
        let material = Material::read(&report.run, &positions);
        let figures = figures(&report, &material);
        if let Some(folder) = &args.figures {
            written = write_figures(folder, &figures, args.force)?;
            pictures = written.len();
        }
        if let Some(file) = &page_file {
            let page = page::page(&report, &material, &figures)?;
            // Its own page is replaced without a question.
            write(file, page.as_bytes(), args.force || args.html.is_none())?;
            written.push(file.clone());
        }
    }
    type Render = fn(&Table) -> String;
    let texts: [(&Option<PathBuf>, Render); 2] = [(&args.latex, latex), (&args.markdown, markdown)];
    for (file, render) in texts {
        let Some(file) = file else { continue };
        let text = report.for_paper().iter().map(render).collect::<Vec<_>>().join("\n");
        write(file, text.as_bytes(), args.force)?;
        written.push(file.clone());
    }
    let files = written.split_off(pictures);
    written.extend(files.into_iter().filter(|file| !is_stdout(file)));
    if args.json {
        let mut document = report.document();
        if let Some(object) = document.as_object_mut() {
            object.insert(
                "written".into(),
                json!(written.iter().map(|file| file.display().to_string()).collect::<Vec<_>>()),
            );
        }
        support::print_json(&document)?;
    } else if on_stdout == 0 {
        support::print(&text(&report))?;
    }
    if let Some(folder) = &args.figures {
        status!("written: {pictures} files of figures in {}", folder.display());
    }
    for file in &written[pictures..] {
        status!("written: {}", file.display());
    }
    tracing::info!(seconds = begun.elapsed().as_secs_f64(), "report made");
    Ok(())
}

fn text(report: &Report) -> String {
    let sentences: Vec<String> = report.in_short().iter().map(|s| format!("- {s}")).collect();
    let tables = [report.overview(), report.steps_table()];
    let tables: Vec<String> = tables.iter().filter(|t| !t.rows.is_empty()).map(terminal).collect();
    format!("{}\n\n{}", sentences.join("\n"), tables.join("\n"))
}

/// Writes figures in both widths and both formats; returns the paths.
fn write_figures(folder: &Path, figures: &[Figure<'_>], replace: bool) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let mut written = Vec::new();
    for figure in figures {
        for (name, width) in COLUMNS {
            let stem = format!("{}-{name}", pallium_record::spec::file_name(&figure.id));
            for (ending, bytes) in [("svg", figure.svg(width).into_bytes()), ("pdf", figure.pdf(width))] {
                written.push((folder.join(format!("{stem}.{ending}")), bytes));
            }
        }
        if let Some(data) = &figure.data {
            let name = pallium_record::spec::file_name(&figure.id);
            written.push((folder.join(format!("{name}.csv")), data.clone().into_bytes()));
        }
    }
    // All or none.
    written.iter().try_for_each(|(file, _)| check(file, replace))?;
    written.into_iter().map(|(file, bytes)| write(&file, &bytes, replace).map(|()| file)).collect()
}

/// Writes the page of a run folder to its default path, at the end of a run;
/// returns the path.
///
/// # Errors
/// As [`report`].
pub fn page_of(folder: &Path) -> Result<PathBuf> {
    let report = Report::read(folder)?;
    let material = Material::read(&report.run, &positions);
    let figures = figures(&report, &material);
    let file = folder.join(PAGE);
    // With a temporary name of the run folder, so that an interrupted write is
    // removed with its other unfinished files.
    pallium_record::durable::replace(&file, page::page(&report, &material, &figures)?.as_bytes())?;
    Ok(file)
}

/// Positions of a training's neurons, N×3 in micrometres, from the source that
/// it was trained with, read in a worker process.
fn positions(run: &RunFolder, about: &TrainingFile) -> Result<Array2<f64>> {
    let spec = &about.spec;
    // The experiment file of the run may name plugins.
    let file = run.root.join("experiment.toml");
    let places = Experiment::load(&file, &[]).map(|e| e.plugin_path).unwrap_or_default();
    let cache = support::cache_folder();
    let catalogue = Catalogue::discover(&places, cache.as_deref())?;
    let mut cell = spec.clone();
    // The connectome as stored: restoring its order takes time, and it is not
    // drawn.
    if let Some(sttc) = cell.substrate.params.get_mut("sttc") {
        *sttc = "released".into();
    }
    Workers::new(cache)?.positions(&cell, &catalogue)
}
