//! Tasks in Python, from the experiment file to results.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::harness::{Scratch, pallium, program, read_json, results, root, skipped, start, text, wait_for};

/// The Python to test with: the interpreter itself, not a launcher.
static PYTHON: LazyLock<Option<String>> = LazyLock::new(|| {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
});

fn python() -> Option<&'static str> {
    if PYTHON.is_none() {
        skipped("there is no python3 here");
    }
    PYTHON.as_deref()
}

const REST: &str = "runs = 1\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 16\n\
    [training]\nepochs = 3\ntrials = 256\nvalidation = 32\ntest = 128\nbatch = 16\n\
    [model]\nuse = \"rnn.vanilla\"\nlearning_rate = 0.01\n\
    [metrics]\nuse = []\n\
    [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\nconstraints = [\"spatial.l1\"]\n\
    [defaults.\"spatial.l1\"]\nstrength = 0.0001\n";

/// An experiment on `tasks`, in a folder that has `lab.py`.
fn written(folder: &Path, lab: &str, tasks: &str) -> PathBuf {
    std::fs::write(folder.join("lab.py"), lab).unwrap();
    let file = folder.join("mine.toml");
    std::fs::write(&file, format!("tasks = [{tasks}]\n{REST}")).unwrap();
    file
}

/// The environment that the documentation shows.
fn documented() -> String {
    let page = std::fs::read_to_string(root().join("docs/python-task.md")).unwrap();
    page.split("```python\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn a_network_learns_the_documented_environment() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let task = format!(
        "{{ use = \"python.task\", environment = \"Remember\", path = \"lab.py\", python = \"{python}\" }}"
    );
    let file = written(scratch.path(), &documented(), &task);
    let out = scratch.path().join("out");
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let rows = results(&out);
    let of = |split: &str, measure: &str| -> f64 {
        let row = rows.iter().find(|r| r["split"] == split && r["measure"] == measure).unwrap();
        assert_eq!(row["status"], "ok");
        row["value"].parse().unwrap()
    };
    // Always fixating is never correct in the decision.
    assert!(of("test", "accuracy") > 0.6, "{}", of("test", "accuracy"));
    let cells: Vec<_> = std::fs::read_dir(out.join("cells")).unwrap().map(|e| e.unwrap().path()).collect();
    let cell = read_json(&cells[0].join("cell.json")).to_string();
    assert!(cell.contains("\"data python.task\""), "the training depends on the file: {cell}");

    // Another environment makes a new training.
    let change = documented().replace("randint(2, 5)", "randint(3, 5)");
    assert_ne!(change, documented());
    std::fs::write(scratch.path().join("lab.py"), change).unwrap();
    let again = pallium(&["run", text(&file), "--out", text(&out)]).ok();
    assert!(again.stderr.contains("not part of this experiment as it is now"), "{}", again.stderr);
}

#[test]
fn a_killed_process_fails_only_its_training() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let lab = format!(
        "{}\n\n\
         class Killed(Remember):\n    count = 0\n\n    def reset(self, seed=None):\n        \
         Killed.count += 1\n        if Killed.count == 250:\n            \
         import os, signal, sys\n            print('the amplifier is gone', file=sys.stderr, flush=True)\n            \
         os.kill(os.getpid(), signal.SIGKILL)\n        return super().reset(seed)\n",
        documented()
    );
    let one = |class: &str| {
        format!(
            "{{ use = \"python.task\", name = \"{class}\", environment = \"{class}\", path = \"lab.py\", python = \"{python}\" }}"
        )
    };
    let tasks = format!("{}, \"cognition.go-no-go\", {}", one("Killed"), one("Remember"));
    let file = written(scratch.path(), &lab, &tasks);
    let out = scratch.path().join("out");
    let ended = pallium(&["run", text(&file), "--out", text(&out)]);
    assert_eq!(ended.code, Some(3), "failed cells: {}", ended.stderr);
    let failures: Vec<_> =
        std::fs::read_dir(out.join("failed")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(failures.len(), 1);
    let failure = read_json(&failures[0]).to_string();
    for part in ["the Python task `Killed` was interrupted 2 times", "signal 9", "the amplifier is gone"] {
        assert!(failure.contains(part), "no «{part}» in {failure}");
    }
    let done = results(&out);
    let fine =
        done.iter().filter(|r| r["split"] == "test" && r["measure"] == "accuracy" && r["status"] == "ok");
    assert_eq!(fine.count(), 2, "the other two cells are done");
}

#[test]
fn a_process_killed_from_outside_is_started_again() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    // Slow enough to be killed; it writes its process id.
    let lab = format!(
        "{}\n\n\
         import os, time\n\n\
         class Slow(Remember):\n    count = 0\n\n    def reset(self, seed=None):\n        \
         Slow.count += 1\n        if Slow.count > 250:\n            time.sleep(0.02)\n        \
         if Slow.count == 251:\n            open(str(os.getpid()) + '.pid', 'w').close()\n        return super().reset(seed)\n",
        documented()
    );
    let task = format!(
        "{{ use = \"python.task\", environment = \"Slow\", path = \"lab.py\", python = \"{python}\" }}"
    );
    let file = written(scratch.path(), &lab, &task);
    let run = |out: &Path| {
        let mut command = program(&["run", text(&file), "--out", text(out)]);
        command.current_dir(scratch.path());
        start(command)
    };
    let pid = || {
        let names = std::fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().path());
        names
            .filter(|p| p.extension().is_some_and(|e| e == "pid"))
            .map(|p| {
                let pid = p.file_stem().unwrap().to_str().unwrap().to_owned();
                let _ = std::fs::remove_file(p);
                pid
            })
            .next()
    };
    let out = scratch.path().join("out");
    let child = run(&out);
    let victim = wait_for("the slow part of the task", pid);
    assert!(Command::new("kill").args(["-9", &victim]).status().unwrap().success());
    child.wait().ok();
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    assert!(log.contains("ended by signal 9") && log.contains("restarting it"), "{log}");
    let undisturbed = scratch.path().join("undisturbed");
    run(&undisturbed).wait().ok();
    let values = |out: &Path| -> Vec<_> {
        let rows = results(out).into_iter().filter(|r| !r["measure"].starts_with("seconds_"));
        rows.map(|r| r["value"].clone()).collect()
    };
    assert_eq!(values(&out), values(&undisturbed));
}

#[test]
fn a_missing_program_or_class_is_reported_before_the_run() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let plan = |task: &str| {
        let file = written(scratch.path(), &documented(), &format!("{{ use = \"python.task\", {task} }}"));
        pallium(&["plan", text(&file)]);
        pallium(&["run", text(&file), "--out", text(&scratch.path().join("none"))])
    };
    plan("environment = \"lab:Remember\", python = \"/no/such/python\"")
        .refused(&["`/no/such/python`: no such program", "PALLIUM_PYTHON"]);
    plan(&format!("environment = \"no_such_lab:Task\", python = \"{python}\""))
        .refused(&["there is no Python module `no_such_lab` in", "-m pip install no_such_lab"]);
    plan(&format!("environment = \"Rember\", path = \"lab.py\", python = \"{python}\""))
        .refused(&["lab.py has no `Rember`", "did you mean `Remember`?"]);
    plan(&format!("environment = \"Remember\", path = \"lib.py\", python = \"{python}\""))
        .refused(&["lib.py"]);
    plan("").refused(&["`environment` is empty"]);
    assert!(!scratch.path().join("none/cells").exists(), "nothing was begun");
}
