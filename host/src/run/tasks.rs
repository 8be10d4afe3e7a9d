//! The tasks of a training: one, or several in one network, each with the stages of
//! its curriculum.
//!
//! Several tasks share their stimulus channels and outputs: a task with fewer
//! channels leaves the last ones at 0. After the stimulus follow the rule inputs, one
//! channel for each task.

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use pallium_core::{
    Batch, BatchView, Error, Levels, LossSums, Mode, Model, Result, Setting, Split, Targets, TargetsView, Task,
    TaskInfo, largest, random,
};
use pallium_record::outcome::Epoch;
use pallium_record::spec::{CellSpec, Order, Stage, Until, Use, Watched};

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
                "{} epochs leave none for `{}`, one of {} tasks that follow one another",
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
                return Err(Error::input(format!("`{}` has none of the {trials} training trials", member.name))
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
    pub fn draw(
        &mut self,
        at: usize,
        stage: usize,
        split: Split,
        count: usize,
        seed: u64,
    ) -> Result<Batch> {
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

    /// Weight of the correct answers to `batch`, whose trials belong to the member
    /// `of` or to several, given the outputs and the sums of its loss.
    ///
    /// # Errors
    /// If a task cannot judge the answers.
    pub fn correct(
        &mut self,
        of: Option<usize>,
        batch: &BatchView<'_>,
        outputs: ArrayView2<'_, f32>,
        sums: &LossSums,
    ) -> Result<f64> {
        let judged = match of {
            Some(at) if self.members[at].info().judges => self.judge(at, batch, outputs)?,
            None if self.info.judges => self.judge_mixed(batch, outputs)?,
            _ => return Ok(sums.correct),
        };
        let weights = batch.scored().map(|at| f64::from(batch.mask[[at.trial, at.step]]));
        Ok(weights.zip(judged).filter(|(_, correct)| *correct).map(|(weight, _)| weight).sum())
    }

    fn judge(
        &mut self,
        at: usize,
        batch: &BatchView<'_>,
        outputs: ArrayView2<'_, f32>,
    ) -> Result<Vec<bool>> {
        let own = if self.several { Some(self.own(at, select_all(batch))) } else { None };
        let member = &mut self.members[at];
        let StageTask { task, info, .. } = &mut member.stages[member.stage];
        let judged = match own {
            Some(own) => task.judge(&own.view(), outputs.slice(s![.., ..info.outputs]))?,
            None => task.judge(batch, outputs)?,
        };
        if judged.len() != outputs.nrows() {
            let (judged, answers) = (judged.len(), outputs.nrows());
            return Err(Error::plugin(format!("the task judged {judged} of {answers} answers")));
        }
        Ok(judged)
    }

    /// Trials of a member as the task itself drew them: without rule inputs, and with
    /// its own conditions.
    fn own(&self, at: usize, mut batch: Batch) -> Batch {
        if self.several {
            let member = &self.members[at];
            batch.inputs = batch.inputs.slice(s![.., .., ..member.info().inputs]).to_owned();
            batch.conditions.iter_mut().for_each(|c| *c = c.saturating_sub(member.first_condition));
        }
        batch
    }

    /// Whether the stimuli of a member depend on the network's answers.
    pub fn reacts(&self, at: usize) -> bool {
        let member = &self.members[at];
        !member.stages[member.stage].info.reacts.is_empty()
    }

    /// The trials of a member with the stimuli that follow from the answers of `model`,
    /// without noise. Each reaction needs a pass over the steps before it.
    ///
    /// # Errors
    /// If model or task fail, or the task changes more than later steps.
    pub fn roll_out(&mut self, at: usize, model: &mut dyn Model, batch: Batch) -> Result<Batch> {
        let outputs = self.info.outputs;
        let mut shown = batch;
        for step in self.members[at].stages[self.members[at].stage].info.reacts.clone() {
            let (trials, steps, _) = shown.inputs.dim();
            let going: Vec<usize> =
                (0..trials).filter(|&trial| shown.lengths[trial] as usize > step).collect();
            if step + 1 >= steps || going.is_empty() {
                continue;
            }
            let mut answers = Array2::zeros((trials, outputs));
            {
                let mut mask = Array2::zeros((trials, step + 1));
                going.iter().for_each(|&trial| mask[[trial, step]] = 1.0);
                let lengths: Vec<u32> = shown.lengths.iter().map(|&l| l.min(step as u32 + 1)).collect();
                let targets = match &shown.targets {
                    Targets::Values(values) => TargetsView::Values(values.slice(s![.., ..=step, ..])),
                    Targets::Classes(classes) => TargetsView::Classes(classes.slice(s![.., ..=step])),
                    _ => return Err(Error::bug("targets of an unknown kind")),
                };
                let inputs = shown.inputs.slice(s![.., ..=step, ..]);
                let so_far = BatchView::new(inputs, targets, mask.view(), &lengths, &shown.conditions);
                let mut found = Array2::zeros((going.len(), outputs));
                model.forward(&so_far, Mode::Evaluate, found.view_mut())?;
                for (row, &trial) in found.outer_iter().zip(&going) {
                    answers.row_mut(trial).assign(&row);
                }
            }
            let own = self.own(at, shown.clone());
            let member = &mut self.members[at];
            let StageTask { task, info, .. } = &mut member.stages[member.stage];
            let wrong = |what: &str| {
                Error::plugin(format!("`{}` reacts to step {step} with {what}", member.id))
                    .help("`react` changes inputs, targets and weights of later steps, and nothing else")
            };
            let changed = task.react(own.clone(), step, answers.slice(s![.., ..info.outputs]))?;
            changed.check(info)?;
            if changed.inputs.dim() != own.inputs.dim() || changed.lengths != own.lengths {
                return Err(wrong("trials of another shape or length"));
            }
            let past = |batch: &Batch| batch.inputs.slice(s![.., ..=step, ..]).to_owned();
            if past(&changed) != past(&own) {
                return Err(wrong("other stimuli before it"));
            }
            shown.inputs.slice_mut(s![.., .., ..info.inputs]).assign(&changed.inputs);
            (shown.targets, shown.mask, shown.scored) = (changed.targets, changed.mask, changed.scored);
        }
        Ok(shown)
    }

    /// Judges the answers of each member's trials.
    fn judge_mixed(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        let mut judged = vec![false; outputs.nrows()];
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let range = member.range();
            let trials: Vec<usize> = (0..batch.lengths.len())
                .filter(|&trial| range.contains(&batch.conditions[trial]))
                .collect();
            let rows: Vec<usize> = batch
                .scored()
                .enumerate()
                .filter(|(_, scored)| trials.binary_search(&scored.trial).is_ok())
                .map(|(row, _)| row)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let own = outputs.select(Axis(0), &rows);
            let answers = if member.info().judges {
                let selected = select(batch, &trials);
                self.judge(at, &selected.view(), own.view())?
            } else {
                let classes = batch.targets.classes()?;
                let correct = |row: &usize| batch.scored().nth(*row).map(|s| classes[[s.trial, s.step]]);
                let largest = own.outer_iter().map(|row| largest(row.iter().copied()));
                rows.iter().zip(largest).map(|(row, answer)| correct(row) == Some(answer)).collect()
            };
            for (row, answer) in rows.into_iter().zip(answers) {
                judged[row] = answer;
            }
        }
        Ok(judged)
    }
}

/// Trials of a task, checked.
fn drawn(task: &mut dyn Task, info: &TaskInfo, split: Split, count: usize, seed: u64) -> Result<Batch> {
    let batch = task.trials_of(split, count, seed)?;
    batch.check(info)?;
    if batch.trials() != count {
        return Err(Error::plugin(format!("{} trials instead of {count}", batch.trials())));
    }
    let scored = |mask: ArrayView2<'_, f32>| mask.iter().any(|&m| m > 0.0);
    if !scored(batch.mask.view()) || !scored(batch.accuracy_mask()) {
        return Err(Error::plugin("no step of any trial is scored"));
    }
    Ok(batch)
}

/// The stages of a curriculum are one task with other parameters: the network and
/// the loss stay.
fn check_stages(member: &Member) -> Result<()> {
    let last = member.info();
    for (number, stage) in member.stages.iter().enumerate() {
        let info = &stage.info;
        let differs = |what: &str, own: String, last: String| {
            Err(Error::input(format!(
                "stage {} of the curriculum of `{}` has {own} {what}, but the task itself has {last}",
                number + 1,
                member.id
            ))
            .help("a curriculum changes trials alone: leave out parameters that change the network"))
        };
        if info.inputs != last.inputs {
            return differs("input channels", info.inputs.to_string(), last.inputs.to_string());
        }
        if info.outputs != last.outputs {
            return differs("outputs", info.outputs.to_string(), last.outputs.to_string());
        }
        if info.loss != last.loss || info.judges != last.judges {
            return differs("as its loss", info.loss.to_string(), last.loss.to_string());
        }
        if info.reacts.is_empty() != last.reacts.is_empty() {
            let text = |reacts: &[usize]| if reacts.is_empty() { "no" } else { "some" }.to_owned();
            return differs("reactions to answers", text(&info.reacts), text(&last.reacts));
        }
        if info.step_ms != last.step_ms {
            let text = |ms: Option<f64>| ms.map_or("no".into(), |ms| ms.to_string());
            return differs("ms a step", text(info.step_ms), text(last.step_ms));
        }
        let watched = stage.until.as_ref().and_then(|until| until.reached).map(|(measure, _)| measure);
        let accuracy = matches!(watched, Some(Watched::ValidationAccuracy | Watched::RunningAccuracy));
        if accuracy && !info.has_accuracy() {
            return Err(Error::input(format!(
                "a stage of the curriculum ends at an accuracy, but `{}` has none",
                member.id
            ))
            .help("let it end at a validation_loss, or after a number of epochs"));
        }
    }
    Ok(())
}

/// The description of several tasks together.
fn together(members: &[Member], inputs: usize) -> Result<TaskInfo> {
    let infos = || members.iter().map(|member| (&member.name, member.info()));
    let Some((first_name, first)) = infos().next() else { return Err(Error::bug("there are no tasks")) };
    for (name, info) in infos() {
        if info.loss != first.loss {
            return Err(Error::input(format!(
                "`{first_name}` has the loss {}, and `{name}` the loss {}: one network cannot learn both",
                first.loss, info.loss
            ))
            .help("join tasks of one loss; tasks of classes and tasks of values need networks of their own"));
        }
        if !info.loss.of_classes() && info.outputs != first.outputs {
            return Err(Error::input(format!(
                "`{first_name}` asks for values of {} outputs, and `{name}` of {}",
                first.outputs, info.outputs
            ))
            .help("join tasks of values that have the same number of outputs"));
        }
    }
    let mut durations = infos().filter_map(|(name, info)| Some((name, info.step_ms?)));
    if let Some((known, ms)) = durations.next()
        && let Some((name, other)) = durations.find(|(_, other)| *other != ms)
    {
        return Err(Error::input(format!("a step of `{known}` lasts {ms} ms, and one of `{name}` {other} ms"))
            .help("give all tasks of a network the same `dt_ms`"));
    }
    let most = |of: fn(&TaskInfo) -> usize| infos().map(|(_, info)| of(info)).max().unwrap_or(0);
    let mut info = match first.loss.of_classes() {
        true => TaskInfo::classes(inputs, most(|info| info.outputs), most(|info| info.steps)),
        false => TaskInfo::values(inputs, first.outputs, most(|info| info.steps), first.loss),
    };
    info.judges = infos().any(|(_, info)| info.judges) && infos().all(|(_, info)| info.has_accuracy());
    info.reacts = infos().flat_map(|(_, info)| info.reacts.clone()).collect();
    info.reacts.sort_unstable();
    info.reacts.dedup();
    info.step_ms = infos().find_map(|(_, info)| info.step_ms);
    info.conditions = members.iter().flat_map(Member::conditions).collect();
    let mean = |of: &dyn Fn(&Levels) -> Option<f64>| -> Option<f64> {
        let values: Option<Vec<f64>> = infos().map(|(_, info)| of(info.levels.as_ref()?)).collect();
        values.map(|values| values.iter().sum::<f64>() / members.len() as f64)
    };
    info.levels = mean(&|levels| Some(levels.chance)).map(|chance| Levels {
        chance,
        memoryless: mean(&|levels| levels.memoryless),
        ideal: mean(&|levels| levels.ideal),
    });
    Ok(info)
}

/// A copy of a batch.
fn select_all(batch: &BatchView<'_>) -> Batch {
    select(batch, &(0..batch.lengths.len()).collect::<Vec<_>>())
}

/// Some trials of a batch.
fn select(batch: &BatchView<'_>, trials: &[usize]) -> Batch {
    let (_, steps, channels) = batch.dim();
    let mut out = Batch::zeros(trials.len(), steps, channels);
    out.inputs = batch.inputs.select(Axis(0), trials);
    out.targets = match batch.targets {
        TargetsView::Values(values) => Targets::Values(values.select(Axis(0), trials)),
        other => match other.classes() {
            Ok(classes) => Targets::Classes(classes.select(Axis(0), trials)),
            Err(_) => out.targets,
        },
    };
    out.mask = batch.mask.select(Axis(0), trials);
    out.lengths = trials.iter().map(|&trial| batch.lengths[trial]).collect();
    out.conditions = trials.iter().map(|&trial| batch.conditions[trial]).collect();
    out
}

/// Trials of several batches, each given by its batch and its place there, as one
/// batch; shorter ones are padded. The batches have the same channels and kind of
/// targets.
pub(super) fn gather(batches: &[Batch], places: &[(usize, usize)]) -> Batch {
    let of = |&(at, _): &(usize, usize)| &batches[at];
    let steps = places.iter().map(|place| of(place).inputs.dim().1).max().unwrap_or(0);
    let channels = places.first().map_or(0, |place| of(place).inputs.dim().2);
    let mut out = match places.first().map(|place| &of(place).targets) {
        Some(Targets::Values(values)) => Batch::of_values(places.len(), steps, channels, values.dim().2),
        _ => Batch::zeros(places.len(), steps, channels),
    };
    if places.iter().any(|place| of(place).scored.is_some()) {
        out.scored = Some(out.mask.clone());
    }
    for (trial, place) in places.iter().enumerate() {
        let (from, at) = (of(place), place.1);
        let own = from.inputs.dim().1;
        out.inputs.slice_mut(s![trial, ..own, ..]).assign(&from.inputs.index_axis(Axis(0), at));
        out.mask.slice_mut(s![trial, ..own]).assign(&from.mask.row(at));
        if let Some(scored) = &mut out.scored {
            scored.slice_mut(s![trial, ..own]).assign(&from.accuracy_mask().row(at));
        }
        match (&mut out.targets, &from.targets) {
            (Targets::Classes(to), Targets::Classes(from)) => {
                to.slice_mut(s![trial, ..own]).assign(&from.row(at));
            }
            (Targets::Values(to), Targets::Values(from)) => {
                to.slice_mut(s![trial, ..own, ..]).assign(&from.index_axis(Axis(0), at));
            }
            _ => {}
        }
        out.lengths[trial] = from.lengths[at];
        out.conditions[trial] = from.conditions[at];
    }
    out
}
