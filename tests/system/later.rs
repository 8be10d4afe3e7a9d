//! What is added to a run folder later: metrics of finished trainings, and more
//! epochs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Scratch, pallium, text};

const EXPERIMENT: &str = "seed = 5\nruns = 2\ntasks = [\"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 12\n\
    [training]\nepochs = 3\ntrials = 32\nbatch = 8\n\
    [metrics]\nuse = [\"organization.density\"]\n\
    [[variant]]\nname = \"-W\"\nweights = \"init.orthogonal\"\ngeometry = \"none\"\n";

fn experiment(folder: &Path) -> PathBuf {
    let file = folder.join("small.toml");
    fs::write(&file, EXPERIMENT).unwrap();
    file
}

/// Number of rows of a measure in `results.csv`.
fn rows(out: &Path, measure: &str) -> usize {
    let table = fs::read_to_string(out.join("results.csv")).unwrap();
    table.lines().filter(|line| line.contains(&format!(",{measure},"))).count()
}

#[test]
fn a_metric_that_is_measured_later_stays_in_the_run() {
    let scratch = Scratch::new();
    let (file, out) = (experiment(scratch.path()), scratch.path().join("run"));
    let run = ["run", text(&file), "--out", text(&out)];
    pallium(&run).ok();
    assert_eq!((rows(&out, "density"), rows(&out, "participation_ratio")), (2, 0));
    pallium(&["measure", text(&out)]).refused(&["no metric is named", "--metric"]);
    pallium(&["measure", text(&out), "--metric", "activity.participation-ratio"]).ok();
    assert_eq!((rows(&out, "density"), rows(&out, "participation_ratio")), (2, 2));
    let measured = fs::read(out.join("results.csv")).unwrap();
    // The file of the experiment does not have it, and the run keeps it.
    pallium(&run).ok();
    assert_eq!(fs::read(out.join("results.csv")).unwrap(), measured);
    let mut more = run.to_vec();
    more.extend(["--set", "runs=3", "--only", "-W/*/2"]);
    pallium(&more).ok();
    assert_eq!(rows(&out, "participation_ratio"), 3);
}

#[test]
fn more_epochs_continue_and_equal_one_go() {
    let scratch = Scratch::new();
    let file = experiment(scratch.path());
    let run = |name: &str, sets: &[&str]| {
        let out = scratch.path().join(name);
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        pallium(&arguments).ok().stderr
    };
    run("two steps", &[]);
    let second = run("two steps", &["training.epochs=6"]);
    assert!(second.contains("2 of them continue from a finished training with fewer epochs"), "{second}");
    run("one go", &["training.epochs=6"]);
    let mut compared = 0;
    for cell in fs::read_dir(scratch.path().join("one go/cells")).unwrap() {
        let cell = cell.unwrap();
        let other = scratch.path().join("two steps/cells").join(cell.file_name());
        for name in ["results.csv", "curves.csv", "weights.safetensors", "state.safetensors"] {
            assert_eq!(
                fs::read(cell.path().join(name)).unwrap(),
                fs::read(other.join(name)).unwrap(),
                "{name}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 8);
    run("cosine", &["training.schedule=\"cosine\""]);
    let again = run("cosine", &["training.schedule=\"cosine\"", "training.epochs=6"]);
    assert!(again.contains("start again: a cosine schedule"), "{again}");
}

#[test]
fn outputs_replace_only_what_they_may() {
    let scratch = Scratch::new();
    let weights = |out: &Path, more: &[&str]| {
        let all = ["weights", "init.orthogonal", "--neurons", "5", "--seed", "1", "--out", text(out)];
        pallium(&[&all[..], more].concat())
    };
    let file = scratch.path().join("w.npy");
    weights(&file, &[]).ok();
    weights(&file, &[]).refused(&["exists already", "--force"]);
    weights(&file, &["--force"]).ok();
    #[cfg(unix)]
    {
        let link = scratch.path().join("link.npy");
        std::os::unix::fs::symlink("w.npy", &link).unwrap();
        fs::write(&file, "old").unwrap();
        weights(&link, &["--force"]).ok();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read(&file).unwrap().starts_with(b"\x93NUMPY"));
    }
}
