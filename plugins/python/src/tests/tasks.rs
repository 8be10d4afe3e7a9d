//! Tests with the tasks of `fixtures/lab.py`, which need only Python, and with
//! NeuroGym's tasks if `PALLIUM_NEUROGYM` names a Python with NeuroGym.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{Kind, parse_parameters};
use pallium_testkit as testkit;

use crate::task::{Params, PythonTask};

/// The interpreter for the tests, not a launcher, which would be slow.
static PYTHON: LazyLock<Option<String>> = LazyLock::new(|| {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
});

/// Whether Python is available; prints a note if not.
fn python() -> bool {
    if PYTHON.is_none() {
        println!("skipped: python3 is not available");
    }
    PYTHON.is_some()
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn built(parameters: &Value) -> Result<PythonTask> {
    let params: Params = parse_parameters(PythonTask::ID, &parameters.to_string())?;
    PythonTask::build(params, &Setting::default())
}

fn lab(environment: &str, more: Value) -> Value {
    let mut all = json!({"environment": environment, "path": fixture("lab.py"), "python": *PYTHON});
    all.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    all
}

#[track_caller]
fn refused(parameters: &Value, parts: &[&str]) -> Error {
    let error = built(parameters).err().unwrap_or_else(|| panic!("{parameters} is accepted"));
    for part in parts {
        assert!(error.to_string().contains(part), "no «{part}» in: {error}");
    }
    error
}

#[test]
fn the_task_conforms() {
    if python() {
        testkit::assert_conforms(
            "python.task",
            &lab("Remember", json!({"score": "last", "ideal": 1.0, "memoryless": 0.5})),
        );
    }
}

#[test]
fn stepped_environments_give_trials() {
    if !python() {
        return;
    }
    let mut task =
        built(&lab("Remember", json!({"score": "answers", "arguments": {"loudness": 2.5}}))).unwrap();
    let info = task.info();
    assert_eq!((info.inputs, info.outputs, info.step_ms), (3, 3, None));
    assert_eq!(info.levels.unwrap(), Levels { chance: 0.5, memoryless: None, ideal: None });
    // More than one request.
    let batch = task.trials(700, 5).unwrap();
    batch.check(&info).unwrap();
    let (scored, mut cues) = (batch.scored.as_ref().unwrap(), [0, 0]);
    for trial in 0..700 {
        let length = batch.lengths[trial] as usize;
        assert!((2..=5).contains(&length));
        let cue = batch.inputs.row(trial, 0).iter().position(|&v| v == 2.5).unwrap();
        cues[cue - 1] += 1;
        assert_eq!(batch.conditions[trial] as usize, cue);
        for step in 0..batch.mask.ncols() {
            let is_last = step + 1 == length;
            assert_eq!(
                batch.targets.view().classes().unwrap()[[trial, step]] as usize,
                if is_last { cue } else { 0 },
                "{trial} {step}"
            );
            assert_eq!(batch.mask[[trial, step]], f32::from(u8::from(step < length)));
            assert_eq!(scored[[trial, step]], f32::from(u8::from(is_last)));
        }
    }
    assert!(cues.iter().all(|&count| count > 280), "{cues:?}");
    // Fixation counts as an answer as well.
    let info = built(&lab("Remember", json!({"score": "all"}))).unwrap().info();
    assert!(info.levels.unwrap().chance > 0.5, "{}", info.levels.unwrap().chance);
    let by_function =
        built(&lab("through_a_function", json!({"score": "all"}))).unwrap().trials(9, 5).unwrap();
    assert_eq!(by_function.scored, None, "every step counts");
    assert_eq!(by_function.lengths, batch.lengths[..9]);
}

/// Channels of one step.
trait Row {
    fn row(&self, trial: usize, step: usize) -> Vec<f32>;
}
impl Row for ndarray::Array3<f32> {
    fn row(&self, trial: usize, step: usize) -> Vec<f32> {
        self.slice(ndarray::s![trial, step, ..]).to_vec()
    }
}

#[test]
fn environments_with_new_trial_give_trials() {
    if !python() {
        return;
    }
    let mut task = built(&lab("Whole", json!({"fixation_weight": 0.25}))).unwrap();
    assert_eq!((task.info().inputs, task.info().steps, task.info().step_ms), (2, 6, Some(20.0)));
    let batch = task.trials(50, 1).unwrap();
    assert_eq!(batch, task.trials(50, 1).unwrap(), "a draw depends on earlier draws");
    for trial in 0..50 {
        let last = batch.lengths[trial] as usize - 1;
        assert_eq!(
            batch.targets.view().classes().unwrap()[[trial, last]] as f32,
            batch.inputs.row(trial, 0)[1]
        );
        assert_eq!((batch.mask[[trial, last]], batch.mask[[trial, 0]]), (1.0, 0.25));
        assert_eq!(batch.scored.as_ref().unwrap().row(trial).sum(), 1.0);
    }
}

#[test]
fn environments_with_parameters_of_trials_give_trials() {
    if !python() {
        return;
    }
    let mut task = built(&lab("Discriminate", json!({}))).unwrap();
    let info = task.info();
    assert_eq!((info.inputs, info.outputs, info.steps, info.step_ms), (2, 2, 3, Some(10.0)));
    assert_eq!(info.levels.unwrap().chance, 0.5);
    let batch = task.trials(50, 1).unwrap();
    assert_eq!(batch, task.trials(50, 1).unwrap(), "a draw depends on earlier draws");
    for trial in 0..50 {
        let first = batch.inputs.row(trial, 0);
        // Each fifth has no answer and is left out.
        assert_eq!(first[0], (trial + trial / 4) as f32, "batches and trials are counted");
        assert_eq!(batch.targets.view().classes().unwrap()[[trial, 1]] as f32, first[1]);
        assert_eq!(batch.mask.row(trial).to_vec(), [0.0, 1.0, 0.0]);
    }
    assert_eq!(batch.scored, None, "every step with an answer counts");
    refused(
        &lab("Discriminate", json!({"broken": true})),
        &["generate_trial() of `Discriminate` returns dict", "inputs, targets and mask"],
    );
}

#[test]
fn modules_are_imported_from_a_folder() {
    if !python() {
        return;
    }
    let folder = json!({"environment": "lab:Whole", "path": fixture(""), "python": *PYTHON});
    assert_eq!(built(&folder).unwrap().info().inputs, 2);
    assert!(!fixture("__pycache__").exists(), "importing changed the folder");
    refused(
        &json!({"environment": "no_such_module:Task", "python": *PYTHON}),
        &["there is no Python module `no_such_module` in ", "pip install no_such_module"],
    );
}

#[test]
fn objects_that_are_not_environments_are_reported() {
    if !python() {
        return;
    }
    refused(&json!({}), &["`environment` is empty"]);
    refused(
        &json!({"environment": "nonsense", "python": *PYTHON}),
        &["`environment` is `nonsense`", "`module:Class`"],
    );
    refused(&lab("Rember", json!({})), &["lab.py has no `Rember`", "did you mean `Remember`?"]);
    refused(&lab("NUMBER", json!({})), &["`NUMBER` is a int, not a class"]);
    refused(
        &lab("Nothing", json!({})),
        &["`Nothing` is not an environment", "neither new_trial() nor reset()"],
    );
    refused(&lab("Unknown", json!({})), &["does not define the number of answers", "`classes`"]);
    refused(&lab("Continuous", json!({})), &["only a discrete choice"]);
    refused(&lab("Silent", json!({})), &["gives no correct answer in info[\"gt\"]"]);
    refused(&lab("Endless", json!({"most_steps": 50})), &["does not end within 50 steps"]);
    refused(&lab("Infinite", json!({})), &["at step 1 is not finite: [inf, 0.0]"]);
    refused(&lab("Strange", json!({})), &["is 7, but `Strange` has 2 classes"]);
    refused(&lab("Ragged", json!({})), &["an observation has 1 numbers, but the first had 2"]);
    refused(&lab("Remember", json!({"score": "decision"})), &["has no period `decision`"]);
    refused(
        &lab("Remember", json!({"arguments": {"lodness": 1}})),
        &["`Remember` has no argument `lodness`", "did you mean `loudness`?"],
    );
    refused(
        &lab("Dies", json!({"arguments": {"at": 3, "how": "boo"}})),
        &["ValueError: boo (", "lab.py, line"],
    );
    let at = |name: &str| json!({"environment": "Task", "path": fixture(name), "python": *PYTHON});
    refused(
        &at("needs.py"),
        &["`needs.py` needs the Python module `a_module_that_is_not_there`", "pip install"],
    );
    refused(&at("broken.py"), &["SyntaxError", "broken.py, line 1"]);
    refused(&at("nowhere.py"), &["nowhere.py"]);
    let error = refused(
        &json!({"environment": "a:B", "python": "/no/such/python"}),
        &["/no/such/python", "no such program"],
    );
    assert_eq!(error.kind, Kind::Input);
    // The message depends on the packages of this Python.
    let id = refused(&json!({"environment": "NoSuchTask-v0", "python": *PYTHON}), &["NoSuchTask-v0"]);
    assert!(id.help.is_some());
}

#[test]
fn a_restarted_process_gives_the_same_trials() {
    if !python() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let once = here.path().join("died");
    let expected = built(&lab("Whole", json!({}))).unwrap().trials(400, 3).unwrap();
    for how in ["kill", "exit"] {
        let _ = std::fs::remove_file(&once);
        let arguments = json!({"arguments": {"at": 300, "once": once, "how": how}});
        let mut task = built(&lab("Dies", arguments)).unwrap();
        assert!(!once.exists());
        let found = task.trials(400, 3).unwrap();
        assert!(once.exists(), "the process did not die");
        assert_eq!(found, expected);
    }
}

#[test]
fn a_process_that_always_dies_is_reported() {
    if !python() {
        return;
    }
    let died = |more: Value, count: usize| built(&lab("Dies", more)).unwrap().trials(count, 3).unwrap_err();
    let error = died(json!({"arguments": {"at": 300}}), 400).to_string();
    for part in ["the Python task `Dies` was interrupted 2 times", "ended by signal 9", "about to go"] {
        assert!(error.contains(part), "no «{part}» in: {error}");
    }
    let error = died(json!({"arguments": {"at": 300, "how": "exit"}, "restarts": 0}), 400).to_string();
    assert!(error.contains("ended with exit code 3"), "{error}");
    #[cfg(unix)]
    {
        let here = tempfile::tempdir().unwrap();
        let arguments = json!({"at": 300, "how": "orphan", "once": here.path().join("died")});
        let error = died(json!({"arguments": arguments, "restarts": 0}), 400).to_string();
        assert!(error.contains("ended with exit code 3") && error.contains("about to go"), "{error}");
        let ended = here.path().join("died and its orphan ended");
        assert!(!ended.exists(), "it waited for a child process of the task");
    }
    let error = died(json!({"arguments": {"at": 300, "how": "read"}}), 400).to_string();
    assert!(error.contains("EOFError"), "the task could read requests: {error}");
    let more = json!({"arguments": {"at": 300, "how": "hang"}, "restarts": 0, "patience_s": 2.0});
    let error = died(more, 400).to_string();
    assert!(error.contains("did not answer within 2 s") && error.contains("`patience_s`"), "{error}");
}

#[test]
fn tasks_of_neurogym_run() {
    let Ok(python) = std::env::var("PALLIUM_NEUROGYM") else {
        println!("skipped: set PALLIUM_NEUROGYM to a Python with neurogym 2.2.0");
        return;
    };
    let neurogym = |environment: &str, arguments: Value| {
        built(&json!({"environment": environment, "python": python, "arguments": arguments}))
    };
    let mut task = neurogym("DelayMatchSample-v0", json!({"dim_ring": 8})).unwrap();
    let info = task.info();
    assert_eq!((info.inputs, info.outputs, info.steps, info.step_ms), (9, 3, 32, Some(100.0)));
    assert_eq!(info.levels.unwrap().chance, 0.5);
    let batch = task.trials(100, 9).unwrap();
    assert_eq!(batch, task.trials(100, 9).unwrap());
    assert_ne!(batch, task.trials(100, 8).unwrap());
    assert_eq!(batch.scored.as_ref().unwrap().sum(), 900.0, "the decision has nine steps");
    assert_eq!(batch.mask.sum(), 3200.0);

    // Wrapped and scheduled environments, and random lengths.
    let mut task = neurogym("yang19.dms-v0", json!({})).unwrap();
    assert_eq!((task.info().inputs, task.info().outputs), (33, 17));
    assert_eq!(task.trials(64, 2).unwrap(), task.trials(64, 2).unwrap());
    let mut task = neurogym("neurogym.envs.native.readysetgo:ReadySetGo", json!({"gain": 2})).unwrap();
    let batch = task.trials(64, 2).unwrap();
    assert!(batch.lengths.iter().any(|l| *l != batch.lengths[0]));
    assert_eq!(batch.scored.unwrap().sum(), 64.0, "the step at which to go");

    let error = neurogym("DelayMatchSampel-v0", json!({})).err().unwrap().to_string();
    assert!(error.contains("did you mean `DelayMatchSample-v0`?"), "{error}");
    let error = neurogym("Bandit-v0", json!({})).err().unwrap().to_string();
    assert!(error.contains("Bandit-v0"), "{error}");
}
