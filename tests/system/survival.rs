//! Runs that are killed, interrupted, short of memory or disk, or shared, and their
//! results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::harness::{
    Ended, Running, Scratch, execute, fixture, pallium, pallium_with, program, results, shared, skipped,
    start, text, wait_for,
};

/// Many small trainings, with penalties, metrics and a model that is interrupted
/// between epochs.
const MANY: &str = "seed = 11\nruns = 4\n\
    tasks = [\"cognition.one-choice\", \"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
    [training]\nepochs = 4\ntrials = 32\nbatch = 8\n\
    [metrics]\nuse = [\"organization.entropy\", \"organization.modularity\"]\n\
    [[variant]]\nname = \"W\"\nconstraints = [\"spatial.l1\"]\n\
    [[variant]]\nname = \"W*D*C\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
    constraints = [\"spatial.communicability\"]\n\
    [[variant]]\nname = \"W*D*C*\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
    constraints = [\"spatial.communicability-emd\"]\n";

/// Number of its trainings.
const COUNT: usize = 24;

/// The results of [`MANY`] from one uninterrupted process.
static UNDISTURBED: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let folder = shared("survival");
    let file = folder.join("x.toml");
    std::fs::write(&file, MANY).unwrap();
    let out = folder.join("undisturbed");
    pallium(&["run", text(&file), "--out", text(&out), "--jobs", "1"]).ok();
    let files = result_files(&out);
    assert_eq!(files.len(), COUNT * 7 + 1);
    files
});

/// A folder with an experiment.
pub struct Scene {
    folder: Scratch,
    file: PathBuf,
}

impl Scene {
    pub fn new(experiment: &str) -> Self {
        let folder = Scratch::new();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, experiment).unwrap();
        Scene { folder, file }
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments<'a>(&'a self, out: &'a Path, extra: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["run", text(&self.file), "--out", text(out)];
        all.extend(extra);
        all
    }

    pub fn run(&self, out: &Path, extra: &[&str]) -> Ended {
        pallium(&self.arguments(out, extra))
    }

    fn start(&self, out: &Path, extra: &[&str]) -> Running {
        start(program(&self.arguments(out, extra)))
    }

    /// Starts a run and kills it once a training has written a checkpoint (or at once,
    /// if none is written); returns after its workers have ended.
    pub fn killed(&self, out: &Path, extra: &[&str]) {
        let mut run = self.start(out, extra);
        if !extra.ends_with(&["--checkpoint-every", "0"]) {
            wait_for("a checkpoint", || {
                assert!(!run.has_ended(), "the run ended before its first checkpoint");
                checkpoint(out)
            });
        }
        let workers = children(run.id());
        run.kill();
        run.wait();
        // Workers end with the run, except that one may finish replacing its
        // checkpoint.
        wait_for("the end of the workers", || {
            workers.iter().all(|&worker| !is_running(worker)).then_some(())
        });
    }
}

/// A complete checkpoint of a run; one that is being written has another name.
fn checkpoint(out: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(out.join("cells/.checkpoints")).ok()?;
    files.flatten().map(|file| file.path()).find(|path| !text(path).contains(".unfinished"))
}

/// All results in a run folder, by path, which must be equal for equal experiments.
/// Fails if temporary files are left.
#[track_caller]
pub fn result_files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = |folder: &Path| -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    for folder in [out.to_owned(), out.join("cells"), out.join("failed")] {
        let left: Vec<_> = names(&folder).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty(), "left in {}: {left:?}", folder.display());
    }
    assert_eq!(names(&out.join("failed")), Vec::<String>::new());
    let mut files = BTreeMap::new();
    for cell in names(&out.join("cells")) {
        let folder = out.join("cells").join(&cell);
        let mut found: Vec<String> =
            ["cell.json", "results.csv", "curves.csv", "weights.safetensors"].map(String::from).into();
        // A training that diverged has no state and no measures; snapshots are optional.
        let optional = ["state.safetensors", "snapshots.safetensors"];
        found.extend(names(&folder).into_iter().filter(|name| optional.contains(&name.as_str())));
        found.extend(names(&folder.join("measures")).into_iter().map(|name| format!("measures/{name}")));
        for name in found {
            files.insert(format!("{cell}/{name}"), std::fs::read(folder.join(&name)).unwrap());
        }
    }
    let rows: Vec<String> = results(out)
        .into_iter()
        .filter(|row| !row["measure"].starts_with("seconds_"))
        .map(|row| format!("{row:?}\n"))
        .collect();
    files.insert("results.csv".into(), rows.concat().into_bytes());
    files
}

#[track_caller]
pub fn same(out: &Path, reference: &BTreeMap<String, Vec<u8>>) {
    let found = result_files(out);
    let keys = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(reference));
    for (place, bytes) in reference {
        assert!(found[place] == *bytes, "{place} differs");
    }
}

/// Pseudo-random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// The state of a process (`Z` for a zombie) and its parent; `None` if it does not
/// exist.
fn state_and_parent(process: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    numbers.filter(|&id| state_and_parent(id).is_some_and(|(_, of)| of == parent)).collect()
}

fn is_running(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn signal(name: &str, process: u32) {
    // It may have ended.
    execute(Command::new("kill").args([name, &process.to_string()]));
}

#[test]
fn a_run_needs_no_folder_for_temporary_files_and_other_commands_name_it() {
    let scene = Scene::new(&MANY.replace("runs = 4", "runs = 1"));
    let out = scene.out("out");
    let without = |arguments: &[&str]| execute(program(arguments).env("TMPDIR", "/nonexistent/folder"));
    without(&scene.arguments(&out, &[])).ok();
    assert_eq!(results(&out).iter().filter(|row| row["status"] != "ok").count(), 0);
    let weights = scene.out("weights.npy");
    without(&["weights", "init.gaussian", "--neurons", "9", "--seed", "1", "--out", text(&weights)])
        .refused(&["cannot write to /nonexistent/folder", "set TMPDIR to a folder that you can write to"]);
}

#[test]
fn results_do_not_depend_on_the_number_of_jobs_and_machines() {
    let scene = Scene::new(MANY);
    let out = scene.out("four");
    scene.run(&out, &["--jobs", "4"]).ok();
    same(&out, &UNDISTURBED);

    // Three shards, in any order; each reports the state of the complete run.
    let out = scene.out("parts");
    let mut sizes = Vec::new();
    for (at, part) in ["3/3", "1/3", "2/3"].into_iter().enumerate() {
        let ended = scene.run(&out, &["--shard", part, "--jobs", "2", "--json"]).ok();
        sizes.push(ended.json()["cells"]["wanted"].as_u64().unwrap());
        let rows = results(&out);
        let cells = rows.iter().filter(|r| r["split"] == "test" && r["measure"] == "accuracy").count() as u64;
        assert_eq!(cells, sizes.iter().sum::<u64>(), "after part {at}");
    }
    assert_eq!(sizes.iter().sum::<u64>(), COUNT as u64);
    assert!(sizes.iter().all(|&size| (6..=10).contains(&size)), "{sizes:?}");
    same(&out, &UNDISTURBED);
    scene.run(&out, &["--shard", "4/3"]).refused(&["1/3, 2/3 or 3/3"]);

    // Three runs in one folder at once share the trainings.
    let out = scene.out("together");
    let runs = [(), (), ()].map(|()| scene.start(&out, &["--jobs", "1"]));
    let trained = runs.map(|run| {
        let ended = run.wait().ok();
        ended.stderr.lines().filter(|line| line.starts_with('[') && line.contains("accuracy")).count()
    });
    assert_eq!(trained.iter().sum::<usize>(), COUNT, "{trained:?}");
    same(&out, &UNDISTURBED);
}

/// The arguments of the processes that run one folder together.
const CREWS: [&[&[&str]]; 5] = [
    &[&["--jobs", "1"]],
    &[&["--jobs", "2"]],
    &[
        &["--shard", "1/3", "--jobs", "1"],
        &["--shard", "2/3", "--jobs", "2"],
        &["--shard", "3/3", "--jobs", "1"],
    ],
    &[&["--jobs", "4"]],
    &[&["--jobs", "1"], &["--jobs", "2"]],
];

/// Kills runs and workers at random moments, `PALLIUM_KILLS` times or 12, and
/// continues them. Finished folders are compared with the reference, and the next one
/// is started. Some folders are run by one process, some by several at once.
#[test]
fn killed_runs_and_workers_lose_nothing_and_leave_no_partial_files() {
    let kills: u32 = std::env::var("PALLIUM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let scene = Scene::new(MANY);
    let mut dice = Dice(u64::from(kills));
    let (mut done, mut rounds, mut mid_cell) = (0, 0, 0);
    while done < kills {
        let out = scene.out(&format!("round {rounds}"));
        let crew = CREWS[rounds % CREWS.len()];
        loop {
            let mut runs: Vec<Running> = crew.iter().map(|extra| scene.start(&out, extra)).collect();
            let end = Instant::now() + Duration::from_millis(dice.below(900));
            while Instant::now() < end && runs.iter_mut().any(|run| !run.has_ended()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // At least one process is killed.
            let first = dice.below(runs.len() as u64) as usize;
            for (at, run) in runs.iter_mut().enumerate() {
                if run.has_ended() || (at != first && dice.below(2) == 0) {
                    continue;
                }
                let workers = children(run.id());
                let hit = (!workers.is_empty()).then(|| workers[dice.below(workers.len() as u64) as usize]);
                // Only a worker: its training fails, the run continues. Only the run,
                // or both.
                let (worker_dies, run_dies) =
                    [(true, false), (false, true), (true, true)][dice.below(3) as usize];
                if let (Some(worker), true) = (hit, worker_dies) {
                    signal("-KILL", worker);
                }
                if run_dies {
                    run.kill();
                }
                let killed = run_dies || hit.is_some();
                done += u32::from(killed);
                mid_cell += u32::from(killed && hit.is_some());
            }
            // Killed processes have no exit code.
            let codes: Vec<Option<i32>> = runs.into_iter().map(|run| run.wait().code).collect();
            assert!(codes.iter().flatten().all(|code| matches!(code, 0 | 3)), "{codes:?}");
            if codes.iter().all(|&code| code == Some(0)) {
                break;
            }
            if done >= kills {
                // Enough kills; failed trainings are tried again.
                scene.run(&out, &["--jobs", "2"]).ok();
                break;
            }
        }
        same(&out, &UNDISTURBED);
        rounds += 1;
    }
    println!(
        "{done} kills, {mid_cell} of them with cells under way; {rounds} folders came to their end, all the same"
    );
}

#[test]
fn a_killed_training_continues_from_its_last_epoch_bit_for_bit() {
    let experiment = MANY.replace("epochs = 4", "epochs = 300").replace("runs = 4", "runs = 1");
    let scene = Scene::new(&experiment);
    let only = ["--only", "W*D*C/cognition.one-choice/0", "--jobs", "1"];
    let reference = scene.out("undisturbed");
    scene.run(&reference, &only).ok();
    let reference = result_files(&reference);

    let log = |out: &Path| {
        let cell = std::fs::read_dir(out.join("cells")).unwrap().next().unwrap().unwrap().path();
        std::fs::read_to_string(cell.join("log.txt")).unwrap()
    };
    // Damaged checkpoints are ignored; `--checkpoint-every 0` writes none.
    for (name, damage, every, expected) in [
        ("continued", false, "1", "continued from a checkpoint"),
        ("seldom", false, "50", "continued from a checkpoint"),
        ("damaged", true, "1", "is damaged"),
        ("never", false, "0", ""),
    ] {
        let out = scene.out(name);
        let mut all = only.to_vec();
        all.extend(["--checkpoint-every", every]);
        scene.killed(&out, &all);
        if damage {
            let place = checkpoint(&out).unwrap();
            let mut bytes = std::fs::read(&place).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&place, bytes).unwrap();
        }
        scene.run(&out, &all).ok();
        same(&out, &reference);
        assert!(log(&out).contains(expected), "{name}: {}", log(&out));
        assert_eq!(
            log(&out).contains("continued from"),
            expected.contains("continued"),
            "{name}: {}",
            log(&out)
        );
    }
}

/// The beginning of an experiment with components that fail.
const ROGUES: &str = "seed = 3\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
    [training]\nepochs = 2\ntrials = 32\nbatch = 16\n\
    [metrics]\nuse = [\"organization.entropy\"]\n[limits]\ncell_timeout = 15\n";

fn rogue_variant(mode: &str) -> String {
    format!(
        "[[variant]]\nname = \"{mode}\"\nconstraints = [{{ use = \"rogue.constraint\", mode = \"{mode}\" }}]\n"
    )
}

#[test]
fn every_failure_costs_one_training_and_has_its_own_reason() {
    let rogue = fixture("rogue");
    let weights = |mode: &str| {
        format!(
            "[[variant]]\nname = \"weights {mode}\"\nweights = {{ use = \"rogue.weights\", mode = \"{mode}\" }}\n"
        )
    };
    let bad = [
        ("panic-in-constructor", "failed: ", "panicked in its constructor: the constructor had enough"),
        ("panic-in-penalty", "failed: ", "panicked in penalty"),
        ("panic-in-drop", "failed: ", "panicked in drop"),
        ("abort", "failed: ", "; last plugin code: `penalty` of `rogue.constraint` (/"),
        ("segfault", "failed: ", "; last plugin code: `penalty` of `rogue.constraint` (/"),
        ("exit-zero", "failed: ", "exit code 0 without a result; last plugin code: `penalty` of `rogue.cons"),
        (
            "exit-in-constructor",
            "failed: ",
            "exit code 0 without a result; last plugin code: `build` of `rog",
        ),
        ("exit-in-drop", "failed: ", "exit code 0 without a result; last plugin code: `drop` of `rogue.cons"),
        ("segfault-in-constructor", "failed: ", "; last plugin code: `build` of `rogue.constraint` (/"),
        ("segfault-in-drop", "failed: ", "; last plugin code: `drop` of `rogue.constraint` (/"),
        ("hang", "failed: ", "longer than its limit of 15 s and was ended before the end of its first epoch"),
        (
            "hoard",
            "failed: ",
            "more than its limit of 1000 MB of memory: memory allocation of 10737418240 bytes failed",
        ),
        ("panic-without-memory", "failed: ", "panicked in penalty: ndarray: index "),
        ("nan", "diverged", ""),
        ("weights wrong-shape", "failed: ", "8×9 weights for 8 neurons"),
        ("weights nan", "failed: ", "gave the weight NaN from 0 to 0"),
    ];
    let mut experiment = ROGUES.to_string();
    for (number, (mode, ..)) in bad.iter().enumerate() {
        // Trainings that succeed between those that fail.
        experiment
            .push_str(&format!("[[variant]]\nname = \"good {number}\"\nconstraints = [{{ use = \"spatial.l1\", strength = {} }}]\n", number + 1));
        experiment.push_str(&mode.strip_prefix("weights ").map_or_else(|| rogue_variant(mode), weights));
    }
    let scene = Scene::new(&experiment);
    let out = scene.out("all");
    let run = |extra: &[&str]| pallium_with(&[&rogue], &scene.arguments(&out, extra));
    let ended = run(&["--jobs", "2", "--cell-memory", "1000"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let rows = results(&out);
    for (mode, status, reason) in bad {
        let row = rows.iter().find(|r| r["variant"] == mode && r["measure"] == "accuracy").unwrap();
        assert!(
            row["status"].starts_with(status) && row["status"].contains(reason),
            "{mode}: {}",
            row["status"]
        );
        assert_eq!(row["value"], "", "{mode}");
        // Failures are listed with their reasons and how to try again.
        assert_eq!(
            ended.stderr.contains(&format!("\n{mode}/cognition.go-no-go/0 ")),
            status != "diverged",
            "{mode}: {}",
            ended.stderr
        );
    }
    for part in ["16 of 32 trainings done, 1 diverged, 15 failed", "to run only these again:"] {
        assert!(ended.stderr.contains(part), "no «{part}» in:\n{}", ended.stderr);
    }
    // The others have the same results as without the failing ones.
    let alone = scene.out("alone");
    let good: Vec<String> = (0..bad.len()).map(|n| format!("good {n}")).collect();
    let mut arguments = scene.arguments(&alone, &[]);
    for name in &good {
        arguments.extend(["--only", name]);
    }
    pallium_with(&[&rogue], &arguments).ok();
    let reference = result_files(&alone);
    let cells = reference.keys().filter(|place| place.ends_with("/cell.json")).count();
    assert_eq!(cells, bad.len());
    for (place, bytes) in reference.iter().filter(|(place, _)| place.contains('/')) {
        assert!(std::fs::read(out.join("cells").join(place)).unwrap() == *bytes, "{place} differs");
    }
    // The same command tries only failed trainings again; logs are kept.
    let again = run(&["--jobs", "2", "--cell-memory", "1000", "--only", "abort", "--only", "good 1"]);
    assert_eq!(again.code, Some(3));
    assert!(again.stderr.contains("1 training to run; 1 is already in"), "{}", again.stderr);
    let first =
        run(&["--jobs", "1", "--fail-fast", "--only", "abort", "--only", "segfault", "--only", "exit-zero"]);
    assert_eq!(first.code, Some(3));
    assert_eq!(first.stderr.lines().filter(|line| line.starts_with('[')).count(), 1, "{}", first.stderr);
}

/// Trial runs before `plan` and `submit` may crash, which costs only an estimate.
#[test]
fn a_crash_during_a_trial_run_costs_only_its_estimate() {
    let rogue = fixture("rogue");
    let bad = [
        ("panic-in-constructor", "panicked in its constructor"),
        ("panic-in-penalty", "panicked in penalty"),
        ("abort", "its process was ended by signal 6 (abort)"),
        ("segfault", "its process was ended by signal 11 (segmentation fault)"),
        ("exit-zero", "exit code 0 without a result"),
    ];
    let mut experiment = ROGUES.to_string();
    for (mode, _) in bad {
        experiment.push_str(&rogue_variant(mode));
        experiment.push_str(&format!("[[variant]]\nname = \"good beside {mode}\"\n"));
    }
    let scene = Scene::new(&experiment);
    let plan = pallium_with(&[&rogue], &["plan", text(&scene.file), "--json"]).ok();
    for cell in plan.json().as_array().unwrap() {
        let variant = cell["variant"].as_str().unwrap();
        assert_eq!(cell["estimated_seconds"].is_number(), variant.starts_with("good"), "{cell}");
    }
    for (mode, reason) in bad {
        let line =
            plan.stderr.lines().find(|line| line.contains(&format!("{mode}/cognition.go-no-go/0 has")));
        assert!(line.is_some_and(|line| line.contains(reason)), "{mode}: {}", plan.stderr);
    }

    let out = scene.out("submitted");
    let all = ["submit", text(&scene.file), "--engine", "slurm", "--dry-run", "--out", text(&out)];
    let ended = pallium_with(&[&rogue], &all).ok();
    assert!(ended.stdout.contains("not submitted: 10 of 10 trainings"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn an_interrupted_run_exits_with_130_and_continues() {
    let scene = Scene::new(MANY);
    let out = scene.out("out");
    let mut run = scene.start(&out, &["--jobs", "2"]);
    wait_for("the first finished cells", || {
        assert!(!run.has_ended(), "the run ended before it was interrupted");
        (std::fs::read_dir(out.join("cells")).map_or(0, |cells| cells.count()) >= 4).then_some(())
    });
    signal("-INT", run.id());
    assert_eq!(run.wait().code, Some(130));
    // No claims are left, and results.csv lists the finished trainings.
    assert!(!out.join("cells/.claims").exists());
    let finished =
        results(&out).iter().filter(|r| r["split"] == "test" && r["measure"] == "accuracy").count();
    assert!((1..COUNT).contains(&finished), "{finished}");
    scene.run(&out, &[]).ok();
    same(&out, &UNDISTURBED);
}

/// A small file system, or `None` with a message.
struct Small(PathBuf);

impl Small {
    fn new(place: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&place).unwrap();
        let option = format!("size={size}");
        if execute(Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs", text(&place)])).code
            != Some(0)
        {
            skipped("a small file system cannot be mounted here, which takes root");
            return None;
        }
        Some(Small(place))
    }

    fn resize(&self, size: &str) {
        let option = format!("remount,size={size}");
        execute(Command::new("mount").args(["-o", &option, text(&self.0)])).ok();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        execute(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
fn a_full_disk_is_reported_and_the_run_continues_once_there_is_room() {
    let scene = Scene::new(MANY);
    let Some(small) = Small::new(scene.out("small"), "300k") else { return };
    let out = small.0.join("out");
    for _ in 0..2 {
        scene.run(&out, &["--jobs", "2"]).refused(&[
            "no space left for results",
            "free some space",
            "repeat the command",
        ]);
    }
    let failed = std::fs::read_dir(out.join("failed")).map_or(0, |files| files.count());
    assert_eq!(failed, 0, "a full disk must not fail a training");
    small.resize("50m");
    scene.run(&out, &["--jobs", "2"]).ok();
    same(&out, &UNDISTURBED);
}

#[test]
fn sweeps_are_run_under_their_names() {
    let experiment = "seed = 1\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
        [substrate]\nuse = \"synthetic.field\"\nneurons = { sweep = [6, 8] }\n\
        [training]\nepochs = 1\ntrials = 32\nbatch = 16\n[metrics]\nuse = []\n\
        [[variant]]\nname = \"W*D\"\ngeometry = \"soma\"\n\
        constraints = [{ use = \"spatial.distance\", strength = { sweep = { from = 0.01, to = 1, steps = 3, scale = \"log\" } } }]\n\
        [[variant]]\nname = \"W\"\n";
    let scene = Scene::new(experiment);
    let out = scene.out("out");
    scene.run(&out, &[]).ok();
    let axes = std::fs::read_to_string(out.join("axes.csv")).unwrap();
    assert_eq!(
        axes,
        "variant,task,strength,neurons\n\
         \"W*D[strength=0.01,neurons=6]\",cognition.go-no-go,0.01,6\n\
         \"W*D[strength=0.01,neurons=8]\",cognition.go-no-go,0.01,8\n\
         \"W*D[strength=0.1,neurons=6]\",cognition.go-no-go,0.1,6\n\
         \"W*D[strength=0.1,neurons=8]\",cognition.go-no-go,0.1,8\n\
         \"W*D[strength=1.0,neurons=6]\",cognition.go-no-go,1.0,6\n\
         \"W*D[strength=1.0,neurons=8]\",cognition.go-no-go,1.0,8\n\
         W[neurons=6],cognition.go-no-go,,6\n\
         W[neurons=8],cognition.go-no-go,,8\n"
    );
    let mut variants: Vec<_> = results(&out).into_iter().map(|row| row["variant"].clone()).collect();
    variants.dedup();
    assert_eq!(variants.len(), 8);
    // A name with brackets selects that training.
    let ended = scene.run(&out, &["--only", "W*D[strength=0.1,neurons=8]", "--json"]).ok();
    assert_eq!(ended.json()["cells"]["wanted"], 1);
}
