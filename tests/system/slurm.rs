//! Experiments submitted to batch systems: to a Slurm that the test starts, and to a
//! stand-in for HyperQueue.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Ended, Scratch, execute, pallium, program, results, skipped, text, wait_for};

/// Twelve trainings, most of some seconds.
const EXPERIMENT: &str = "seed = 5\nruns = 3\n\
    tasks = [\"cognition.one-choice\", \"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 40\n\
    [training]\nepochs = EPOCHS\ntrials = 256\nbatch = 32\n\
    [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\ngeometry = \"none\"\nconstraints = [\"spatial.l1\"]\n\
    [[variant]]\nname = \"W*C\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
    constraints = [\"spatial.communicability\"]\n";
const CELLS: usize = 12;

fn experiment(folder: &Path, epochs: usize) -> PathBuf {
    let file = folder.join("small.toml");
    fs::write(&file, EXPERIMENT.replace("EPOCHS", &epochs.to_string())).unwrap();
    file
}

/// Results and weights of the finished trainings, by training and file.
fn finished(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let Ok(cells) = fs::read_dir(out.join("cells")) else { return files };
    for cell in cells {
        let cell = cell.unwrap();
        let name = cell.file_name().into_string().unwrap();
        if name.starts_with('.') {
            continue;
        }
        for file in ["results.csv", "curves.csv", "weights.safetensors"] {
            files.insert(format!("{name}/{file}"), fs::read(cell.path().join(file)).unwrap());
        }
    }
    files
}

/// A cluster of one node: this machine.
struct Slurm {
    place: Scratch,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Starts it, or returns why it cannot be started.
    fn start() -> Result<Slurm, String> {
        let missing: Vec<_> = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel"]
            .into_iter()
            .filter(|name| !["/usr/sbin", "/usr/bin"].iter().any(|p| Path::new(p).join(name).exists()))
            .collect();
        if !missing.is_empty() {
            return Err(format!("{} is not installed", missing.join(", ")));
        }
        let user = Command::new("id").arg("-u").output().map_err(|e| e.to_string())?;
        if String::from_utf8_lossy(&user.stdout).trim() != "0" {
            return Err("its daemons run as root only".into());
        }
        let place = Scratch::new();
        let here = place.path();
        fs::set_permissions(here, PermissionsExt::from_mode(0o755)).map_err(|e| e.to_string())?;
        for folder in ["state", "spool", "munge"] {
            fs::create_dir(here.join(folder)).map_err(|e| e.to_string())?;
        }
        let key = here.join("munge/key");
        fs::write(&key, [7; 128]).map_err(|e| e.to_string())?;
        fs::set_permissions(&key, PermissionsExt::from_mode(0o400)).map_err(|e| e.to_string())?;
        let name = fs::read_to_string("/proc/sys/kernel/hostname").map_err(|e| e.to_string())?;
        let memory = fs::read_to_string("/proc/meminfo").map_err(|e| e.to_string())?;
        let memory =
            memory.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // A port that was free a moment ago.
        let ports = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = ports.each_ref().map(|p| p.local_addr().unwrap().port());
        drop(ports);
        let path = here.display();
        let name = name.trim();
        let configuration = format!(
            "ClusterName=test\nSlurmctldHost={name}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={path}/munge/socket\n\
             SlurmctldPort={controller}\nSlurmdPort={node}\n\
             SlurmctldPidFile={path}/ctld.pid\nSlurmdPidFile={path}/d.pid\n\
             SlurmctldLogFile={path}/ctld.log\nSlurmdLogFile={path}/d.log\n\
             StateSaveLocation={path}/state\nSlurmdSpoolDir={path}/spool\n\
             ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nMpiDefault=none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\nSchedulerType=sched/backfill\n\
             ReturnToService=2\nKillWait=5\nMinJobAge=2\n\
             NodeName=localhost NodeHostname={name} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory}\n\
             PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(here.join("slurm.conf"), configuration).map_err(|e| e.to_string())?;
        let mut slurm = Slurm { place, daemons: Vec::new() };
        let within = |name: &str| slurm.place.path().join(name).display().to_string();
        let munge = |name: &str| format!("--{name}={}", within(&format!("munge/{name}")));
        let arguments: [(&str, Vec<String>); 3] = [
            (
                "munged",
                vec![
                    "--foreground".into(),
                    "--force".into(),
                    munge("socket"),
                    munge("pid-file"),
                    munge("log-file"),
                    munge("seed-file"),
                    format!("--key-file={}", within("munge/key")),
                ],
            ),
            ("slurmctld", vec!["-D".into(), "-f".into(), within("slurm.conf")]),
            ("slurmd", vec!["-D".into(), "-f".into(), within("slurm.conf")]),
        ];
        let configured = within("slurm.conf");
        for (daemon, arguments) in arguments {
            let mut command = Command::new(daemon);
            command.args(arguments).env("SLURM_CONF", &configured).env("PATH", search_path(&[]));
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            slurm.daemons.push(child.map_err(|e| format!("{daemon}: {e}"))?);
            sleep(Duration::from_millis(300));
        }
        for _ in 0..150 {
            if slurm.ask("sinfo", &["--noheader", "--format=%T"]).trim() == "idle" {
                return Ok(slurm);
            }
            sleep(Duration::from_millis(200));
        }
        let log = |name: &str| fs::read_to_string(slurm.place.path().join(name)).unwrap_or_default();
        Err(format!("its node does not come up:\n{}\n{}", log("ctld.log"), log("d.log")))
    }

    fn run(&self, command: &mut Command) -> Ended {
        execute(command.env("SLURM_CONF", self.place.path().join("slurm.conf")).env("PATH", search_path(&[])))
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        self.run(Command::new(program).args(arguments)).stdout
    }

    fn submit(&self, arguments: &[&str]) -> Value {
        self.run(program(&["submit"]).args(arguments).arg("--json")).ok().json()
    }

    /// Queued and running tasks, as `TASK STATE` lines.
    fn queue(&self, job: &str) -> Vec<String> {
        let answer = self.ask("squeue", &["--noheader", "--array", "--format=%K %T", "--job", job]);
        answer.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn wait(&self, job: &str) {
        wait_for("the end of a job", || {
            sleep(Duration::from_millis(200));
            self.queue(job).is_empty().then_some(())
        });
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.ask("scancel", &["--state=PENDING", "--user=root"]);
        self.ask("scancel", &["--full", "--signal=KILL", "--user=root"]);
        for _ in 0..50 {
            if self.ask("squeue", &["--noheader"]).trim().is_empty() {
                break;
            }
            sleep(Duration::from_millis(200));
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            for _ in 0..100 {
                if !matches!(daemon.try_wait(), Ok(None)) {
                    break;
                }
                sleep(Duration::from_millis(50));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn search_path(first: &[&Path]) -> std::ffi::OsString {
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let all = first
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&usual))
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    std::env::join_paths(all).unwrap()
}

#[test]
fn submitting_again_repeats_a_killed_task() {
    let slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => {
            return skipped(&format!("Slurm cannot be started here: {why}"));
        }
    };
    let scratch = Scratch::new();
    let file = experiment(scratch.path(), 150);
    let out = scratch.path().join("out");
    let again = ["--engine", "slurm", "--array-size", "4", "--out", text(&out)];
    let arguments = [&[text(&file)], &again[..]].concat();

    let first = slurm.submit(&arguments);
    let job = first["job"].as_str().unwrap();
    assert_eq!((first["tasks"].as_u64(), first["cells"].as_u64()), (Some(4), Some(CELLS as u64)));
    assert!(Path::new(first["script"].as_str().unwrap()).starts_with(&out));

    // A task that has finished a training and has more to do.
    let killed = wait_for("a task at work that has finished a cell", || {
        sleep(Duration::from_millis(50));
        let running =
            slurm.queue(job).into_iter().find_map(|line| line.strip_suffix(" RUNNING").map(str::to_owned));
        running.filter(|_| !finished(&out).is_empty())
    });
    slurm.ask("scancel", &["--full", "--signal=KILL", &format!("{job}_{killed}")]);
    slurm.wait(job);
    let done = finished(&out);
    let cells = done.len() / 3;
    println!("task {killed} killed; {cells} of {CELLS} cells are done");
    assert!(cells > 0 && cells < CELLS, "{cells} cells: the kill was not in the middle");

    let second = slurm.submit(&arguments);
    assert_eq!(second["cells"].as_u64(), Some((CELLS - cells) as u64));
    assert!(second["tasks"].as_u64() < Some(4), "tasks without work are submitted again: {second}");
    slurm.wait(second["job"].as_str().unwrap());
    let whole = finished(&out);
    let log = fs::read_to_string(out.join(format!("submissions/2/task-{killed}.log")));
    assert_eq!(whole.len(), 3 * CELLS, "{log:?}");
    assert!(
        done.iter().all(|(name, bytes)| whole.get(name) == Some(bytes)),
        "finished trainings were changed"
    );
    let rows = results(&out);
    let accuracies = rows.iter().filter(|r| r["split"] == "test" && r["measure"] == "accuracy").count();
    assert_eq!(accuracies, CELLS);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    assert!(out.join("results.parquet").exists() && out.join("curves.csv").exists());

    // Nothing is left to do, and a run without Slurm agrees.
    let third = slurm.submit(&arguments);
    assert!(third["job"].is_null() && third["tasks"] == 0);
    let plain = scratch.path().join("plain");
    pallium(&["run", text(&file), "--out", text(&plain)]).ok();
    assert!(finished(&plain) == whole, "the array gave different results than one process");
}

#[test]
fn a_submission_that_slurm_refuses_is_reported() {
    let scratch = Scratch::new();
    let file = experiment(scratch.path(), 1);
    let out = scratch.path().join("out");
    let fake = scratch.path().join("bin");
    fs::create_dir(&fake).unwrap();
    script(&fake.join("sbatch"), "echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1");
    let mut command = program(&["submit", text(&file), "--engine", "slurm", "--out", text(&out)]);
    execute(command.args(["--", "--partition=nowhere"]).env("PATH", search_path(&[&fake])))
        .refused(&["invalid partition", "submit.sh"]);
}

#[test]
fn a_dry_run_only_writes_the_script() {
    let scratch = Scratch::new();
    let file = experiment(scratch.path(), 1);
    let out = scratch.path().join("out");
    let arguments = ["submit", text(&file), "--engine", "slurm", "--out", text(&out), "--only", "W/*/*"];
    let ended = pallium(&[&arguments[..], &["--array-size", "3", "--dry-run"]].concat()).ok();
    assert!(ended.stdout.contains("not submitted: 6 of 6 trainings as 3 tasks"), "{}", ended.stdout);
    let script = fs::read_to_string(out.join("submissions/1/submit.sh")).unwrap();
    for part in ["#SBATCH --array=1-3\n", "#SBATCH --time=", "#SBATCH --mem=", "'--only=W/*/*'"] {
        assert!(script.contains(part), "no {part} in\n{script}");
    }
    assert!(!out.join("cells").exists());
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn hyperqueue_runs_the_complete_array() {
    let scratch = Scratch::new();
    let file = experiment(scratch.path(), 1);
    let out = scratch.path().join("out");
    let fake = scratch.path().join("bin");
    fs::create_dir(&fake).unwrap();
    // It records its arguments, runs each task of the array, and answers like
    // HyperQueue.
    let kept = scratch.path().join("arguments");
    script(
        &fake.join("hq"),
        &format!(
            "echo \"$@\" > {}\n\
             for last; do :; done\n\
             count=$(sed -n 's/^#HQ --array=1-//p' \"$last\")\n\
             for task in $(seq \"$count\"); do\n\
               HQ_TASK_ID=$task \"$last\" > /dev/null 2> \"$(dirname \"$last\")/task-$task.err.log\" || exit 1\n\
             done\n\
             echo '{{\"id\": 7}}'",
            text(&kept)
        ),
    );
    let mut command = program(&["submit", text(&file), "--engine", "hyperqueue", "--out", text(&out)]);
    command.args(["--array-size", "3", "--", "--priority=5"]).env("PATH", search_path(&[&fake]));
    let ended = execute(&mut command).ok();
    assert!(ended.stdout.contains("submitted as job 7: 12 of 12 trainings as 3 tasks"), "{}", ended.stdout);
    assert!(ended.stdout.contains("hq job progress 7"), "{}", ended.stdout);
    let arguments = fs::read_to_string(kept).unwrap();
    assert!(
        arguments.starts_with("--output-mode=json submit --directives=always --priority=5 /"),
        "{arguments}"
    );
    let script = fs::read_to_string(out.join("submissions/1/submit.sh")).unwrap();
    for line in ["#HQ --array=1-3", "#HQ --cpus=1", "#HQ --name=small"] {
        assert!(script.lines().any(|l| l == line), "no {line} in\n{script}");
    }
    assert_eq!(finished(&out).len(), 3 * CELLS);
    assert_eq!(
        results(&out).iter().filter(|r| r["measure"] == "accuracy" && r["split"] == "test").count(),
        CELLS
    );
}
