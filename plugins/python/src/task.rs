//! `python.task`: a task with correct answers, written in Python.

use std::collections::BTreeMap;
use std::time::Duration;

use pallium_core::ndarray::s;
use pallium_core::prelude::*;
use pallium_core::schemars::JsonSchema;
use pallium_core::serde::{Deserialize, Serialize};
use pallium_core::serde_json::{Map, Value, json};
use pallium_core::{schema_of, tracing};

use crate::describe;
use crate::params::interpreter;
use crate::process::{Answer, Failure, Process};

/// What the component is.
pub const ABOUT: &str =
    "a task written in Python: NeuroGym's, PsychRNN's, Gymnasium-style, or a class of your own";
/// Its source.
pub const CITE: &str =
    "Molano-Mazón et al. 2022 (NeuroGym); Towers et al. 2024 (Gymnasium); Ehrlich et al. 2021 (PsychRNN)";

/// Trials per request.
const TRIALS_PER_REQUEST: usize = 256;

/// Trials drawn to determine a task's size.
const PROBE_TRIALS: usize = 200;

/// Maximum number of input values in one draw of trials (8 GiB).
const MAX_VALUES: usize = 1 << 31;

/// Maximum number of trials in one draw.
const MAX_TRIALS: usize = 100_000_000;

pallium_core::choice! {
    /// Steps that count in the accuracy.
    pub enum Score {
        /// The period `decision`, if the environment has one. Otherwise, for
        /// environments with new_trial(), the steps whose correct answer is not
        /// class 0 (the last step if there are none), and for environments with
        /// step(), every step with a correct answer.
        Auto = "auto",
        /// Steps of the period `decision`, as in NeuroGym.
        Decision = "decision",
        /// Steps whose correct answer is not class 0; the last step if a trial
        /// has none.
        Answers = "answers",
        /// The last step with a correct answer.
        Last = "last",
        /// Every step with a correct answer.
        All = "all",
    }
}

/// The environment, and how its trials are used. All other parameters are keyword
/// arguments of the environment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "pallium_core::serde", default)]
#[schemars(crate = "pallium_core::schemars")]
pub struct Params {
    /// The environment: `module:Class`, the id of a registered environment
    /// such as `DelayMatchSample-v0`, or the name of a class in the file
    /// `path`.
    pub environment: String,
    /// Name of the class if `environment` is not set, as for other components in
    /// Python. In an experiment file, it is also the task's name in tables.
    pub name: String,
    /// A Python file with the class, or a folder to import modules from.
    /// Its content is part of a training's identity.
    pub path: Option<String>,
    /// Keyword arguments of the environment.
    pub arguments: Map<String, Value>,
    /// The Python interpreter: a name or a path, for example in a virtual
    /// environment. Default: $PALLIUM_PYTHON, which the Python package `pallium` sets
    /// to its own Python if it is not set; otherwise python3.
    pub python: Option<String>,
    /// Number of classes, if the environment does not define it.
    pub classes: Option<u32>,
    /// Steps that count in the accuracy.
    pub score: Score,
    /// Weight in the loss of each step that has a correct answer but does
    /// not count in the accuracy.
    pub fixation_weight: f64,
    /// Accuracy of guessing. Default: one over the number of answers that
    /// occur in 200 trials, or the share of the most frequent answer if
    /// that is significantly higher.
    pub chance: Option<f64>,
    /// Best accuracy without memory, if known.
    pub memoryless: Option<f64>,
    /// Best possible accuracy, if known.
    pub ideal: Option<f64>,
    /// Maximum number of steps of a trial.
    pub most_steps: u32,
    /// Maximum time to wait for 256 trials, or for the environment to be
    /// created, in seconds.
    pub patience_s: f64,
    /// Maximum number of restarts of a process that dies during a draw of
    /// trials. The draw is then repeated and gives the same trials.
    pub restarts: u32,
    /// SHA-256 of the code. Pallium sets it when it reads an experiment, and refuses
    /// code that changes during a run. Do not set it yourself.
    pub contents: String,
    /// Keyword arguments of the environment.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            environment: String::new(),
            name: String::new(),
            path: None,
            arguments: Map::new(),
            python: None,
            classes: None,
            score: Score::Auto,
            fixation_weight: 1.0,
            chance: None,
            memoryless: None,
            ideal: None,
            most_steps: 10_000,
            patience_s: 120.0,
            restarts: 1,
            contents: String::new(),
            own: Map::new(),
        }
    }
}

impl Params {
    /// The parameter that names the environment.
    fn environment(&self) -> &str {
        if self.environment.is_empty() { &self.name } else { &self.environment }
    }

    /// All keyword arguments of the environment.
    fn arguments(&self) -> Map<String, Value> {
        self.arguments.clone().into_iter().chain(self.own.clone()).collect()
    }

    /// What they have in common with other components in Python.
    fn code(&self) -> crate::params::Params {
        crate::params::Params {
            path: self.path.clone(),
            name: self.environment().to_owned(),
            python: self.python.clone(),
            patience_s: self.patience_s,
            ..crate::params::Params::default()
        }
    }
}

/// Trials of an environment in a Python process.
///
/// Every draw of trials creates and seeds a new environment, so the same seed gives
/// the same trials if the environment uses the seeded generators. Channels are the
/// numbers of an observation in order; classes are the actions; a trial's condition
/// is its last correct answer that counts.
pub struct PythonTask {
    params: Params,
    python: String,
    threads: usize,
    process: Option<Process>,
    info: TaskInfo,
}

/// The trials of one draw.
struct Drawn {
    channels: usize,
    lengths: Vec<u32>,
    /// Inputs of all steps of all trials, concatenated.
    inputs: Vec<f32>,
    targets: Vec<u32>,
    /// Whether a step has a correct answer, and whether it counts.
    has_answer: Vec<f32>,
    scored: Vec<f32>,
}

impl Component for PythonTask {
    const ID: &'static str = "python.task";
    const ABOUT: &'static str = ABOUT;
    const CITE: &'static str = CITE;
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        let described = describe::task(&params.code(), schema_of::<Params>())?;
        Ok(described.map(|mut described| {
            if !params.environment.is_empty() {
                // What tables call a task does not matter to it.
                described.resolved.insert("name".into(), "".into());
            }
            described
        }))
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        if params.environment().trim().is_empty() {
            return Err(Error::input("parameter `environment` is empty")
                .help("set it to the environment, such as `module:Class` or `DelayMatchSample-v0`"));
        }
        one_of_range("fixation_weight", params.fixation_weight, 0.0, 1e6)?;
        one_of_range("patience_s", params.patience_s, 0.001, 1e6)?;
        one_of_range("most_steps", params.most_steps.into(), 1.0, 1e6)?;
        one_of_range("restarts", params.restarts.into(), 0.0, 100.0)?;
        if let Some(classes) = params.classes {
            one_of_range("classes", classes.into(), 2.0, 1e6)?;
        }
        for (name, level) in
            [("chance", params.chance), ("memoryless", params.memoryless), ("ideal", params.ideal)]
        {
            level.map_or(Ok(()), |level| one_of_range(name, level, 0.0, 1.0))?;
        }
        let python = interpreter(params.python.as_deref());
        let info = TaskInfo::classes(0, 0, 0);
        let mut task = PythonTask { params, python, threads: setting.threads, process: None, info };
        task.probe()?;
        Ok(task)
    }
}

impl PythonTask {
    /// Its name in messages.
    fn name(&self) -> String {
        format!("the Python task `{}`", self.params.environment())
    }

    /// Starts a process and creates the environment.
    fn open(&self) -> Result<(Process, Value), Failure> {
        let patience = Duration::from_secs_f64(self.params.patience_s);
        let mut process = Process::start(&self.python, self.threads, patience).map_err(Failure::Refused)?;
        let request = json!({
            "do": "open",
            "environment": self.params.environment(),
            "arguments": self.params.arguments(),
            "contents": self.params.contents,
            "path": self.params.path,
            "classes": self.params.classes,
            "score": self.params.score,
            "most_steps": self.params.most_steps,
        });
        let (about, _) = process.request(&request)?;
        tracing::debug!(environment = self.params.environment(), python = %about["python"], "opened");
        Ok((process, about))
    }

    /// Determines the task's size from trials.
    fn probe(&mut self) -> Result<()> {
        let opened = self.open().map_err(|failure| self.with_name(failure))?;
        let (process, about) = opened;
        self.process = Some(process);
        self.info.outputs = about["classes"].as_u64().unwrap_or(0) as usize;
        self.info.step_ms = about["step_ms"].as_f64();
        if self.info.outputs < 2 {
            return Err(Error::input(format!("{} has {} classes", self.name(), self.info.outputs))
                .help("there must be at least two classes: correct its action_space, or set `classes`"));
        }
        let drawn = self.draw(PROBE_TRIALS, 0)?;
        self.info.inputs = drawn.channels;
        self.info.steps = drawn.lengths.iter().copied().max().unwrap_or(1).max(1) as usize;
        self.info.conditions = (0..self.info.outputs).map(|class| format!("answer {class}")).collect();
        let counted = drawn.targets.iter().zip(&drawn.scored).filter(|(_, scored)| **scored > 0.0);
        let mut occurring: BTreeMap<u32, usize> = BTreeMap::new();
        for (class, _) in counted {
            *occurring.entry(*class).or_default() += 1;
        }
        let levels = Levels { chance: 0.0, memoryless: self.params.memoryless, ideal: self.params.ideal };
        let known = levels.memoryless.or(levels.ideal).unwrap_or(1.0);
        let chance = self.params.chance.unwrap_or(guessing(&occurring).min(known));
        self.info.levels = Some(Levels { chance, ..levels });
        Ok(())
    }

    fn with_name(&self, failure: Failure) -> Error {
        match failure {
            Failure::Died(error) | Failure::Refused(error) => error.context(self.name()),
        }
    }

    /// Draws `count` trials; restarts the process if it dies.
    fn draw(&mut self, count: usize, seed: u64) -> Result<Drawn> {
        let mut restarts = 0;
        loop {
            match self.attempt(count, seed) {
                Ok(drawn) => return Ok(drawn),
                Err(Failure::Refused(error)) => {
                    return Err(error.context(format!("{} returns no trials", self.name())));
                }
                Err(Failure::Died(error)) => {
                    self.process = None;
                    if restarts == self.params.restarts {
                        let times =
                            if restarts == 0 { String::new() } else { format!(" {} times", restarts + 1) };
                        let error = error.context(format!("{} was interrupted{times}", self.name()));
                        return Err(match error.help {
                            Some(_) => error,
                            None => error.help(
                                "run it directly in Python to find the cause; other trainings continue",
                            ),
                        });
                    }
                    restarts += 1;
                    tracing::warn!("{}: {error}; restarting it", self.name());
                }
            }
        }
    }

    fn attempt(&mut self, count: usize, seed: u64) -> Result<Drawn, Failure> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.open()?.0,
        };
        // Python's and numpy's generators take 32 bits.
        let seed = (seed ^ (seed >> 32)) & u64::from(u32::MAX);
        process.request(&json!({"do": "seed", "seed": seed}))?;
        let mut all = Drawn {
            channels: self.info.inputs,
            lengths: Vec::new(),
            inputs: Vec::new(),
            targets: Vec::new(),
            has_answer: Vec::new(),
            scored: Vec::new(),
        };
        let mut left = count;
        while left > 0 {
            let now = left.min(TRIALS_PER_REQUEST);
            let answer = process.request(&json!({"do": "trials", "count": now}))?;
            all.append(now, &answer).map_err(Failure::Refused)?;
            left -= now;
        }
        self.process = Some(process);
        Ok(all)
    }
}

/// Accuracy of guessing: one over the number of answers, or the share of the most
/// frequent answer if that is higher by three standard errors.
fn guessing(occurring: &BTreeMap<u32, usize>) -> f64 {
    let total = occurring.values().sum::<usize>().max(1) as f64;
    let even = 1.0 / occurring.len().max(1) as f64;
    let most = occurring.values().copied().max().unwrap_or(0) as f64 / total;
    if most - even > 3.0 * (even * (1.0 - even) / total).sqrt() { most } else { even }
}

impl Drawn {
    /// Appends an answer with `count` trials.
    fn append(&mut self, count: usize, (about, bytes): &Answer) -> Result<()> {
        let number = |name: &str| about[name].as_u64().unwrap_or(0) as usize;
        let (steps, channels) = (number("steps"), number("channels"));
        if self.channels == 0 {
            self.channels = channels;
        }
        if channels == 0 || channels != self.channels {
            return Err(Error::input(format!(
                "an observation has {channels} numbers instead of {}",
                self.channels
            ))
            .help("every observation must have the same number, at least one"));
        }
        let sizes = [count, steps * channels, steps, steps, steps];
        if bytes.len() != 4 * sizes.iter().sum::<usize>() {
            return Err(Error::bug(format!("{} bytes for {count} trials of {steps} steps", bytes.len())));
        }
        let mut rest = bytes.as_slice();
        let mut next = |size: usize| {
            let (head, tail) = rest.split_at(4 * size);
            rest = tail;
            head.as_chunks::<4>().0.iter()
        };
        self.lengths.extend(next(sizes[0]).map(|b| u32::from_le_bytes(*b)));
        self.inputs.extend(next(sizes[1]).map(|b| f32::from_le_bytes(*b)));
        self.targets.extend(next(sizes[2]).map(|b| u32::from_le_bytes(*b)));
        self.has_answer.extend(next(sizes[3]).map(|b| f32::from_le_bytes(*b)));
        self.scored.extend(next(sizes[4]).map(|b| f32::from_le_bytes(*b)));
        if self.inputs.len() > MAX_VALUES {
            return Err(Error::input(format!("the trials have more than {MAX_VALUES} values"))
                .help("draw fewer trials at a time"));
        }
        Ok(())
    }
}

impl Task for PythonTask {
    fn info(&self) -> TaskInfo {
        self.info.clone()
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        if count > MAX_TRIALS {
            return Err(Error::input(format!("{count} trials exceed the maximum of {MAX_TRIALS}"))
                .help("draw fewer trials at a time"));
        }
        let drawn = self.draw(count, seed)?;
        let longest = drawn.lengths.iter().copied().max().unwrap_or(0) as usize;
        let steps = longest.max(self.info.steps);
        let channels = self.info.inputs;
        if count.saturating_mul(steps).saturating_mul(channels) > MAX_VALUES {
            return Err(Error::input(format!(
                "{count} trials of {steps} steps and {channels} channels are more than {MAX_VALUES} values"
            ))
            .help("draw fewer trials at a time"));
        }
        let mut batch = Batch::zeros(count, steps, channels);
        let mut scored = batch.mask.clone();
        let weight = self.params.fixation_weight as f32;
        let mut at = 0;
        for (trial, &length) in drawn.lengths.iter().enumerate() {
            for step in 0..length as usize {
                let values = &drawn.inputs[at * channels..(at + 1) * channels];
                let mut row = batch.inputs.slice_mut(s![trial, step, ..]);
                row.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                batch.set_class(trial, step, drawn.targets[at]);
                scored[[trial, step]] = drawn.scored[at];
                batch.mask[[trial, step]] =
                    if drawn.scored[at] > 0.0 { 1.0 } else { weight * drawn.has_answer[at] };
                if drawn.scored[at] > 0.0 {
                    batch.conditions[trial] = drawn.targets[at];
                }
                at += 1;
            }
            batch.lengths[trial] = length;
        }
        batch.scored = (scored != batch.mask).then_some(scored);
        Ok(batch)
    }
}
pallium_core::register!(Task, PythonTask);
