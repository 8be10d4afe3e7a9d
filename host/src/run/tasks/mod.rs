//! The tasks of a training: one, or several in one network, each with the stages of
//! its curriculum.
//!
//! Several tasks share their stimulus channels and outputs: a task with fewer
//! channels leaves the last ones at 0. After the stimulus follow the rule inputs, one
//! channel for each task.

mod answers;
mod batches;
mod fit;
#[cfg(test)]
mod tests;

use std::ops::Range;

use ndarray::{Array3, Axis, s};
use pallium_core::{Batch, Error, Result, Setting, Split, Task, TaskInfo, random};
use pallium_record::outcome::Epoch;
use pallium_record::spec::{CellSpec, Order, Stage, Until, Use, Watched};

use batches::drawn;
pub(super) use batches::gather;
use fit::{check_stages, together};

use super::components::build_task;
use crate::plugins::Catalogue;

/// A task with the parameters of one stage.
struct StageTask {
    task: Box<dyn Task>,
    info: TaskInfo,
    /// When the stage ends; `None` for the last one.
    until: Option<Until>,
}

/// One task of the training.
pub(super) struct Member {
    /// Its label among several tasks; empty for a single one.
    pub name: String,
    /// For messages.
    id: String,
    pub share: f64,
    /// The stages of its curriculum; the last one is the task itself.
    stages: Vec<StageTask>,
    /// The stage that its training and validation trials belong to.
    pub stage: usize,
    /// Number of conditions of the members before it.
    first_condition: u32,
}

impl Member {
    /// The task itself.
    pub fn info(&self) -> &TaskInfo {
        &self.stages[self.last_stage()].info
    }

    pub fn last_stage(&self) -> usize {
        self.stages.len() - 1
    }

    pub fn has_curriculum(&self) -> bool {
        self.stages.len() > 1
    }

    /// Names of the conditions, at least one. An earlier stage may have more than the
    /// task itself.
    fn conditions(&self) -> Vec<String> {
        let mut names = self.info().conditions.clone();
        for stage in &self.stages {
            let known = names.len();
            names.extend(stage.info.conditions.iter().skip(known).cloned());
        }
        if names.is_empty() {
            return vec![self.name.clone()];
        }
        names.into_iter().map(|condition| format!("{}: {condition}", self.name)).collect()
    }

    /// The index of a condition of all members among its own.
    pub fn own_condition(&self, condition: u32) -> u32 {
        condition.saturating_sub(self.first_condition)
    }

    /// The name of a condition of all members, without that of the task.
    pub fn condition_name(&self, condition: u32) -> String {
        let own = self.own_condition(condition);
        self.info().conditions.get(own as usize).cloned().unwrap_or_else(|| format!("condition {own}"))
    }

    /// Its conditions among those of all members.
    fn range(&self) -> Range<u32> {
        let count = u32::try_from(self.conditions().len()).unwrap_or(u32::MAX);
        self.first_condition..self.first_condition.saturating_add(count)
    }
}

/// The tasks of a training.
pub(super) struct Tasks {
    pub members: Vec<Member>,
    pub order: Order,
    /// Number of channels of the stimulus, before the rule inputs.
    stimulus: usize,
    /// Whether there are rule inputs.
    rules: bool,
    /// Whether there are several tasks, even if only one is trained at a time.
    pub several: bool,
    /// What the network sees: the task, or all tasks together.
    pub info: TaskInfo,
    /// After how many epochs each member ends, if they follow one another.
    ends: Vec<u32>,
}

impl Tasks {
    /// Builds the tasks of `spec`.
    ///
    /// # Errors
    /// If a task refuses its parameters, or tasks or stages do not fit each other.
    pub fn build(spec: &CellSpec, catalogue: &Catalogue, base: &Setting<'_>) -> Result<Self> {
        let member = |name: &str, component: &Use, share: f64, curriculum: &[Stage]| -> Result<Member> {
            let mut stages = Vec::with_capacity(curriculum.len() + 1);
            let earlier = curriculum.iter().map(|stage| (&stage.component, Some(stage.until.clone())));
            for (component, until) in earlier.chain([(component, None)]) {
                let task = build_task(spec, component, catalogue, base)?;
                let info = task.info();
                stages.push(StageTask { task, info, until });
            }
            let id = component.id.clone();
            let member = Member { name: name.into(), id, share, stages, stage: 0, first_condition: 0 };
            check_stages(&member)?;
            Ok(member)
        };
        let Some(several) = &spec.members else {
            let member = member("", &spec.task_component, 1.0, &spec.curriculum)?;
            let info = member.info().clone();
            let (order, stimulus) = (Order::Interleaved, info.inputs);
            let members = vec![member];
            return Ok(Tasks { members, order, stimulus, rules: false, several: false, info, ends: vec![] });
        };
        let mut members = several
            .tasks
            .iter()
            .map(|task| member(&task.name, &task.component, task.share, &task.curriculum))
            .collect::<Result<Vec<_>>>()?;
        let mut conditions = 0;
        for member in &mut members {
            member.first_condition = conditions;
            conditions = member.range().end;
        }
        let stimulus = members.iter().map(|member| member.info().inputs).max().unwrap_or(0);
        let info = together(&members, stimulus + if several.rules { members.len() } else { 0 })?;
        let ends = match several.order {
            Order::Sequential => several.ends(spec.training.epochs),
            _ => Vec::new(),
        };
        let reacting = members.iter().find(|member| !member.info().reacts.is_empty());
        if let (Order::Mixed, Some(member)) = (several.order, reacting) {
            return Err(Error::unsupported(format!(
                "the stimuli of `{}` depend on the network's answers, so its trials cannot be mixed with others",
                member.name
            ))
            .help("set `order` to \"interleaved\", where each batch belongs to one task"));
        }
        let starts = std::iter::once(&0).chain(&ends);
        if let Some(at) = starts.zip(&ends).position(|(start, end)| start == end) {
            return Err(Error::input(format!(
                "{} epochs leave none for `{}`, one of {} sequential tasks",
                spec.training.epochs,
                members[at].name,
                members.len()
            ))
            .help("set more `training.epochs`, or a larger `share` of this task"));
        }
        Ok(Tasks { members, order: several.order, stimulus, rules: several.rules, several: true, info, ends })
    }

    /// The member that is trained in `epoch`, if they follow one another.
    pub fn active(&self, epoch: u32) -> Option<usize> {
        let last = self.ends.len().checked_sub(1)?;
        Some(self.ends.iter().position(|&end| epoch <= end).unwrap_or(last))
    }

    /// The stage of each member after the epochs of `curves`. It depends on the
    /// curves alone, so that a training that continues has the stages of an
    /// uninterrupted one.
    pub fn stages(&self, curves: &[Epoch]) -> Vec<usize> {
        (0..self.members.len()).map(|at| self.stage(at, curves)).collect()
    }

    fn stage(&self, at: usize, curves: &[Epoch]) -> usize {
        let (mut stage, mut in_stage, mut in_a_row) = (0, 0, 0);
        for epoch in curves {
            // A task that is not trained does not advance.
            let Some(until) = self.members[at].stages.get(stage).and_then(|stage| stage.until.as_ref())
            else {
                break;
            };
            if self.active(epoch.epoch).is_some_and(|active| active != at) {
                continue;
            }
            in_stage += 1;
            let reached = until.reached.is_some_and(|(measure, goal)| {
                self.watched(at, epoch, measure).is_some_and(|value| match measure {
                    Watched::ValidationAccuracy | Watched::RunningAccuracy => value >= goal,
                    Watched::ValidationLoss | Watched::RunningLoss => value <= goal,
                })
            });
            in_a_row = if reached { in_a_row + 1 } else { 0 };
            let long = until.at_most.is_some_and(|most| in_stage >= most);
            if long || (reached && in_a_row >= until.for_epochs) {
                (stage, in_stage, in_a_row) = (stage + 1, 0, 0);
            }
        }
        stage
    }

    fn watched(&self, at: usize, epoch: &Epoch, measure: Watched) -> Option<f64> {
        match (epoch.tasks.get(at), measure) {
            (Some(task), Watched::ValidationAccuracy) => task.validation_accuracy,
            (Some(task), Watched::ValidationLoss) => task.validation_loss,
            (Some(task), Watched::RunningAccuracy) => task.running_accuracy,
            (Some(task), Watched::RunningLoss) => task.running_loss,
            (None, Watched::ValidationAccuracy) => epoch.validation_accuracy,
            (None, Watched::ValidationLoss) => epoch.validation_loss,
            (None, Watched::RunningAccuracy) => epoch.running_accuracy,
            (None, Watched::RunningLoss) => Some(epoch.running_loss),
        }
    }

    /// Sets the stages of training and validation trials.
    pub fn enter(&mut self, stages: &[usize]) {
        for (member, &stage) in self.members.iter_mut().zip(stages) {
            member.stage = stage;
        }
    }

    pub fn last_stages(&self) -> Vec<usize> {
        self.members.iter().map(Member::last_stage).collect()
    }

    /// Number of training trials of each member in an epoch: `trials` in proportion to
    /// the shares, or all of them if the members follow one another.
    ///
    /// # Errors
    /// If a member has none.
    pub fn counts(&self, trials: usize) -> Result<Vec<usize>> {
        if !self.ends.is_empty() {
            return Ok(vec![trials; self.members.len()]);
        }
        let all: f64 = self.members.iter().map(|member| member.share).sum();
        let (mut sum, mut taken) = (0.0, 0);
        let mut counts = Vec::with_capacity(self.members.len());
        for member in &self.members {
            sum += member.share;
            let end = (trials as f64 * sum / all).round() as usize;
            if end == taken && trials > 0 {
                return Err(Error::input(format!(
                    "`{}` gets none of the {trials} training trials",
                    member.name
                ))
                .help("set more `training.trials`, or a larger `share` of this task"));
            }
            counts.push(end - taken);
            taken = end;
        }
        Ok(counts)
    }

    /// `count` trials of a member in a stage, as the network sees them.
    ///
    /// # Errors
    /// If the task fails, or its trials are not what it states.
    pub fn draw(&mut self, at: usize, stage: usize, split: Split, count: usize, seed: u64) -> Result<Batch> {
        let (rules, stimulus, several, members) =
            (self.rules, self.stimulus, self.several, self.members.len());
        let member = &mut self.members[at];
        let StageTask { task, info, .. } = &mut member.stages[stage];
        if count == 0 {
            return Ok(Batch::zeros(0, info.steps, self.info.inputs));
        }
        // Several tasks draw from streams of their own, even if they are one component.
        let seed = if several { random::derive(seed, at as u64, "task") } else { seed };
        let batch = drawn(task.as_mut(), info, split, count, seed)
            .map_err(|e| e.context(format!("{} trials of `{}`", split.name(), member.id)))?;
        if !several {
            return Ok(batch);
        }
        let (trials, steps, own) = batch.inputs.dim();
        let channels = stimulus + if rules { members } else { 0 };
        let mut inputs = Array3::zeros((trials, steps, channels));
        inputs.slice_mut(s![.., .., ..own]).assign(&batch.inputs);
        if rules {
            for (mut trial, &length) in inputs.axis_iter_mut(Axis(0)).zip(&batch.lengths) {
                trial.slice_mut(s![..length as usize, stimulus + at]).fill(1.0);
            }
        }
        let conditions = batch.conditions.iter().map(|&c| member.first_condition + c).collect();
        let mut batch = batch;
        (batch.inputs, batch.conditions) = (inputs, conditions);
        Ok(batch)
    }
}
