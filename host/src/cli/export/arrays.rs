//! `pallium export RUN --what …`: what networks do on trials, as arrays.

use std::fs;
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result};
use pallium_record::identity::Cell;
use pallium_record::spec::file_name;

use super::Export;
use crate::cli::finished::FinishedRun;
use crate::cli::output::{check_folder, folder_of};
use crate::cli::support;
use crate::dataset::Format;
use crate::run::each::Given;
use crate::run::evaluation::Test;
use crate::run::protocol::Work;

/// Endings of other formats, which are more likely a mistake than the name of a folder.
const OTHER_FORMATS: [&str; 11] =
    ["nc", "nc4", "netcdf", "h5", "hdf5", "mat", "csv", "npy", "pkl", "json", "parquet"];

/// A file to write.
struct Planned<'a> {
    cell: &'a Cell,
    test: Test,
    /// Where it appears in the end.
    place: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the folder does not hold finished trainings, a task does not fit a network, a
/// file exists, or one cannot be written.
pub fn export(args: &Export) -> Result<()> {
    let run = FinishedRun::open(&args.folder, &args.on.only)?;
    let ending = Format::of(&args.out);
    if let (Some(of_name), Some(format)) = (ending, args.format)
        && of_name != format
    {
        return Err(Error::input(format!(
            "the ending of {} does not match --format {}",
            args.out.display(),
            format.ending()
        ))
        .help("leave out --format: it follows from the ending of the file"));
    }
    let other = args.out.extension().filter(|_| ending.is_none()).map(|other| other.to_string_lossy());
    if let Some(other) = other.filter(|other| OTHER_FORMATS.contains(&other.to_lowercase().as_str())) {
        return Err(Error::input(format!("{}: networks are not recorded as .{other}", args.out.display()))
            .help("name a file that ends in .npz, .safetensors or .zarr, or a folder without such an ending; in Python, \
                   xarray.open_zarr(FILE).to_netcdf(…) writes NetCDF"));
    }
    let format = ending.or(args.format).unwrap_or(Format::Npz);
    let mut planned = Vec::new();
    for cell in &run.cells {
        let tests = run.tests(cell, &args.on)?;
        let several = tests.len() > 1;
        for test in tests {
            let mut name = cell.folder.clone();
            if several {
                name = format!("{name}.{}", file_name(&format!("{} {}", test.task, test.settings)));
            }
            let place = match ending {
                // The target of a link is replaced, never the link.
                Some(_) => pallium_files::link_target(&args.out),
                None => args.out.join(format!("{name}.{}", format.ending())),
            };
            planned.push(Planned { cell, test, place });
        }
    }
    if ending.is_some() && planned.len() > 1 {
        return Err(Error::input(format!(
            "{} is one file, but {} networks or tasks are selected",
            args.out.display(),
            planned.len()
        ))
        .help("select one with --only variant/task/run, or name a folder"));
    }
    if ending.is_none() {
        check_folder(&args.out)?;
    }
    planned.iter().try_for_each(|one| check(&one.place, format, args.force))?;
    let parent = match ending {
        Some(_) => folder_of(&pallium_files::link_target(&args.out)).to_owned(),
        None => args.out.clone(),
    };
    let failed = |e: std::io::Error| Error::io(&parent, &e);
    if ending.is_some() && !parent.is_dir() {
        return Err(
            Error::input(format!("the folder {} does not exist", parent.display())).help("create it first")
        );
    }
    fs::create_dir_all(&parent).map_err(failed)?;
    // Nothing appears before all of it is written.
    let scratch = tempfile::Builder::new().prefix(".pallium-").tempdir_in(&parent).map_err(failed)?;
    let scratch_path = std::path::absolute(scratch.path()).map_err(failed)?;
    support::path_text(&scratch_path)?;
    let (workers, jobs) = run.workers(&args.on)?;
    status!("{} to record, in {}", planned.len(), args.folder.display());
    let mut what = args.what.clone();
    what.sort_unstable();
    what.dedup();
    let cells: Vec<&Cell> = planned.iter().map(|one| one.cell).collect();
    workers.each(jobs, &cells, &run.catalogue, &|at| {
        let Planned { cell, test, .. } = &planned[at];
        let work = Work::Trace {
            cell: Box::new((*cell).clone()),
            store: run.store.root().to_owned(),
            test: Box::new(test.clone()),
            what: what.clone(),
            file: scratch_path.join(at.to_string()),
            format,
        };
        Ok(Given { work, tasks: vec![test.component.clone()] })
    })?;
    for (at, one) in planned.iter().enumerate() {
        if one.place.is_dir() {
            fs::remove_dir_all(&one.place).map_err(|e| Error::io(&one.place, &e))?;
        }
        fs::rename(scratch_path.join(at.to_string()), &one.place).map_err(|e| Error::io(&one.place, &e))?;
    }
    support::print(&format!("{}\n", args.out.display()))
}

/// Refuses to replace what exists, unless it may be replaced and is such a file.
fn check(place: &Path, format: Format, force: bool) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    if !force {
        return Err(Error::input(format!("`{}` exists already", place.display()))
            .help("choose another name, or replace it with --force"));
    }
    let same = match format {
        Format::Zarr => place.join(".zgroup").is_file(),
        _ => place.is_file(),
    };
    match same {
        true => Ok(()),
        false => Err(Error::input(format!("`{}` is not an earlier export", place.display()))
            .help("choose another name")),
    }
}
