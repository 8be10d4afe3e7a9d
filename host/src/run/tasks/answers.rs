//! The network's answers: which are correct, and what they change in the trials.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use pallium_core::{Batch, BatchView, Error, LossSums, Result, Targets, TargetsView, largest};

use super::batches::{select, select_all};
use super::{StageTask, Tasks};

/// Fills an array with the network's outputs at the scored steps of a batch.
pub type Forward<'a> = dyn FnMut(&BatchView<'_>, ArrayViewMut2<'_, f32>) -> Result<()> + 'a;

impl Tasks {
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

    /// Whether each answer to trials of a member is correct; none is if the task has no
    /// accuracy.
    ///
    /// # Errors
    /// If the task cannot judge the answers.
    pub fn judged(
        &mut self,
        at: usize,
        batch: &BatchView<'_>,
        outputs: ArrayView2<'_, f32>,
    ) -> Result<Vec<bool>> {
        if self.members[at].info().judges {
            return self.judge(at, batch, outputs);
        }
        let TargetsView::Classes(classes) = batch.targets else { return Ok(vec![false; outputs.nrows()]) };
        let answers = outputs.outer_iter().map(|row| largest(row.iter().copied()));
        Ok(batch.scored().zip(answers).map(|(at, answer)| answer == classes[[at.trial, at.step]]).collect())
    }

    fn judge(&mut self, at: usize, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
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
            batch.conditions.iter_mut().for_each(|c| *c = member.own_condition(*c));
        }
        batch
    }

    /// Whether the stimuli of a member depend on the network's answers.
    pub fn reacts(&self, at: usize) -> bool {
        let member = &self.members[at];
        !member.stages[member.stage].info.reacts.is_empty()
    }

    /// The trials of a member with the stimuli that follow from the network's answers.
    /// Each reaction needs a pass over the steps before it.
    ///
    /// # Errors
    /// If model or task fail, or the task changes more than later steps.
    pub fn roll_out(&mut self, at: usize, batch: Batch, forward: &mut Forward<'_>) -> Result<Batch> {
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
                forward(&so_far, found.view_mut())?;
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
            let trials: Vec<usize> =
                (0..batch.lengths.len()).filter(|&trial| range.contains(&batch.conditions[trial])).collect();
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
