//! Trials of a task, and the steps of them that are scored.

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, s};

use crate::{Error, Result, TaskInfo};

/// The correct answers of trials.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// The correct class at each step, trials × steps; ignored where the mask is
    /// zero.
    Classes(Array2<u32>),
    /// The correct value of each output at each step, trials × steps × outputs;
    /// ignored where the mask is zero.
    Values(Array3<f32>),
}

impl Targets {
    /// All targets, borrowed.
    pub fn view(&self) -> TargetsView<'_> {
        match self {
            Targets::Classes(classes) => TargetsView::Classes(classes.view()),
            Targets::Values(values) => TargetsView::Values(values.view()),
        }
    }
}

/// Borrowed [`Targets`] of consecutive trials.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TargetsView<'a> {
    /// The correct class at each step, trials × steps.
    Classes(ArrayView2<'a, u32>),
    /// The correct value of each output at each step, trials × steps × outputs.
    Values(ArrayView3<'a, f32>),
}

impl<'a> TargetsView<'a> {
    /// (trials, steps).
    pub fn dim(&self) -> (usize, usize) {
        match self {
            TargetsView::Classes(classes) => classes.dim(),
            TargetsView::Values(values) => (values.dim().0, values.dim().1),
        }
    }

    /// The targets of the trials in `range`.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            TargetsView::Classes(classes) => TargetsView::Classes(classes.slice_move(s![range, ..])),
            TargetsView::Values(values) => TargetsView::Values(values.slice_move(s![range, .., ..])),
        }
    }

    /// The classes.
    ///
    /// # Errors
    /// If the targets are values.
    pub fn classes(self) -> Result<ArrayView2<'a, u32>> {
        match self {
            TargetsView::Classes(classes) => Ok(classes),
            TargetsView::Values(_) => {
                Err(Error::unsupported("the task's targets are values, but classes are needed"))
            }
        }
    }

    /// The values.
    ///
    /// # Errors
    /// If the targets are classes.
    pub fn values(self) -> Result<ArrayView3<'a, f32>> {
        match self {
            TargetsView::Values(values) => Ok(values),
            TargetsView::Classes(_) => {
                Err(Error::unsupported("the task's targets are classes, but values are needed"))
            }
        }
    }
}

/// Trials of a task. Trials may differ in length: steps after the end of a trial
/// have zero inputs and a zero mask.
///
/// Made by [`Batch::zeros`] or [`Batch::of_values`] and then filled.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Inputs, trials × steps × channels; ignored past a trial's end.
    pub inputs: Array3<f32>,
    /// The correct answers; ignored where the mask is 0.
    pub targets: Targets,
    /// Weight of each step in the loss and in the accuracy, trials × steps. A
    /// trial with one label at its end has the mask 1 at its last step and 0
    /// elsewhere.
    pub mask: Array2<f32>,
    /// Weight of each step in the accuracy, trials × steps, if it differs from
    /// the weight in the loss: a task may train fixation at every step and count
    /// only the decisions. Models never see it.
    pub scored: Option<Array2<f32>>,
    /// Number of steps of each trial, one value a trial.
    pub lengths: Vec<u32>,
    /// Condition of each trial, an index into [`TaskInfo::conditions`],
    /// for analyses that group trials.
    pub conditions: Vec<u32>,
    /// Period of each step (fixation, stimulus, delay, …), trials × steps, an index
    /// into [`TaskInfo::periods`], for analyses; ignored past a trial's end. `None`
    /// if the task does not say. Models never see it.
    pub periods: Option<Array2<u32>>,
}

impl Batch {
    /// An all-zero batch of classes: no step is scored, every trial has `steps`
    /// steps.
    pub fn zeros(trials: usize, steps: usize, channels: usize) -> Self {
        Batch {
            inputs: Array3::zeros((trials, steps, channels)),
            targets: Targets::Classes(Array2::zeros((trials, steps))),
            mask: Array2::zeros((trials, steps)),
            scored: None,
            lengths: vec![u32::try_from(steps).unwrap_or(u32::MAX); trials],
            conditions: vec![0; trials],
            periods: None,
        }
    }

    /// An all-zero batch whose targets are values of `outputs` outputs; otherwise
    /// as [`Batch::zeros`].
    pub fn of_values(trials: usize, steps: usize, channels: usize, outputs: usize) -> Self {
        let targets = Targets::Values(Array3::zeros((trials, steps, outputs)));
        Batch { targets, ..Batch::zeros(trials, steps, channels) }
    }

    /// Number of trials.
    pub fn trials(&self) -> usize {
        self.inputs.dim().0
    }

    /// Sets the correct class of a step, without changing the mask.
    ///
    /// # Panics
    /// If there is no such step, or the targets are values.
    pub fn set_class(&mut self, trial: usize, step: usize, class: u32) {
        match &mut self.targets {
            Targets::Classes(classes) => classes[[trial, step]] = class,
            Targets::Values(_) => panic!("the targets of this batch are values, not classes"),
        }
    }

    /// Sets the correct values of a step, one for each output, without changing
    /// the mask.
    ///
    /// # Panics
    /// If there is no such step, the targets are classes, or the number of values
    /// is not the number of outputs.
    pub fn set_values(&mut self, trial: usize, step: usize, correct: &[f32]) {
        match &mut self.targets {
            Targets::Values(values) => {
                values.slice_mut(s![trial, step, ..]).assign(&ndarray::aview1(correct))
            }
            Targets::Classes(_) => panic!("the targets of this batch are classes, not values"),
        }
    }

    /// Sets the label of a trial: `class` at its last step, with mask 1.
    ///
    /// # Panics
    /// If there is no such trial, or the targets are values.
    pub fn label_at_end(&mut self, trial: usize, class: u32) {
        if let Some(last) = (self.lengths[trial] as usize).checked_sub(1) {
            self.set_class(trial, last, class);
            self.mask[[trial, last]] = 1.0;
        }
    }

    /// Weight of each step in the accuracy, trials × steps: `scored`, or else
    /// `mask`.
    pub fn accuracy_mask(&self) -> ArrayView2<'_, f32> {
        self.scored.as_ref().unwrap_or(&self.mask).view()
    }

    /// The trials in `range`, borrowed, with [`accuracy_mask`](Batch::accuracy_mask)
    /// as their mask.
    pub fn slice_scored(&self, range: Range<usize>) -> BatchView<'_> {
        let mask = self.scored.as_ref().unwrap_or(&self.mask).slice(s![range.clone(), ..]);
        BatchView { mask, ..self.slice(range) }
    }

    /// The trials in `range`, borrowed.
    pub fn slice(&self, range: Range<usize>) -> BatchView<'_> {
        BatchView {
            inputs: self.inputs.slice(s![range.clone(), .., ..]),
            targets: self.targets.view().slice(range.clone()),
            mask: self.mask.slice(s![range.clone(), ..]),
            lengths: &self.lengths[range.clone()],
            conditions: &self.conditions[range],
        }
    }

    /// All trials, borrowed.
    pub fn view(&self) -> BatchView<'_> {
        self.slice(0..self.trials())
    }

    /// Checks shapes and values against what the task states of itself.
    ///
    /// # Errors
    /// Naming the first trial and step that is wrong.
    pub fn check(&self, info: &TaskInfo) -> Result<()> {
        let (trials, steps, found) = self.inputs.dim();
        let wrong = |what: String| Err(Error::plugin(format!("a batch of trials is malformed: {what}")));
        if found != info.inputs {
            return wrong(format!("{found} input channels, but the task states {}", info.inputs));
        }
        if self.targets.view().dim() != (trials, steps) || self.mask.dim() != (trials, steps) {
            return wrong("targets and mask must have the shape trials × steps".into());
        }
        if self.scored.as_ref().is_some_and(|scored| scored.dim() != (trials, steps)) {
            return wrong("`scored` must have the shape trials × steps".into());
        }
        if self.lengths.len() != trials || self.conditions.len() != trials {
            return wrong("lengths and conditions must have one value a trial".into());
        }
        if let Some(length) = self.lengths.iter().find(|&&l| l as usize > steps) {
            return wrong(format!("a trial has {length} steps, but the batch has {steps}"));
        }
        // Without names, all trials have the condition 0.
        let known = info.conditions.len().max(1);
        if let Some((trial, condition)) =
            self.conditions.iter().enumerate().find(|(_, c)| **c as usize >= known)
        {
            return wrong(format!(
                "trial {trial} has condition {condition}, but the task names {} conditions",
                info.conditions.len()
            ));
        }
        if let Some(periods) = &self.periods {
            if periods.dim() != (trials, steps) {
                return wrong("`periods` must have the shape trials × steps".into());
            }
            let unknown = periods.indexed_iter().find(|((trial, step), period)| {
                *step < self.lengths[*trial] as usize && **period as usize >= info.periods.len()
            });
            if let Some(((trial, step), period)) = unknown {
                return wrong(format!(
                    "trial {trial} is in period {period} at step {step}, but the task states {} periods",
                    info.periods.len()
                ));
            }
        }
        if self.inputs.iter().any(|v| !v.is_finite()) {
            return wrong("an input is not finite".into());
        }
        match (&self.targets, info.loss.of_classes()) {
            (Targets::Classes(_), true) => {}
            (Targets::Values(values), false) if values.dim().2 == info.outputs => {}
            (Targets::Values(values), false) => {
                return wrong(format!(
                    "targets of {} outputs, but the task states {}",
                    values.dim().2,
                    info.outputs
                ));
            }
            (Targets::Classes(_), false) => {
                return wrong(format!("targets are classes, but the loss `{}` needs values", info.loss));
            }
            (Targets::Values(_), true) => {
                return wrong(format!("targets are values, but the loss `{}` needs classes", info.loss));
            }
        }
        let masks = || std::iter::once(&self.mask).chain(&self.scored);
        if masks().flatten().any(|v| !v.is_finite() || *v < 0.0) {
            return wrong("a mask value is negative or not finite".into());
        }
        for (trial, row) in masks().flat_map(|mask| mask.axis_iter(Axis(0)).enumerate()) {
            for (step, _) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                if step >= self.lengths[trial] as usize {
                    return wrong(format!("trial {trial} is scored at step {step}, after its end"));
                }
                match &self.targets {
                    Targets::Classes(classes) if classes[[trial, step]] as usize >= info.outputs => {
                        return wrong(format!(
                            "trial {trial}, step {step} has class {}, but the task states {} classes",
                            classes[[trial, step]],
                            info.outputs
                        ));
                    }
                    Targets::Values(values) => {
                        let correct = values.slice(s![trial, step, ..]);
                        if let Some((output, value)) = correct.indexed_iter().find(|(_, v)| !v.is_finite()) {
                            return wrong(format!(
                                "trial {trial}, step {step} has the target {value} for output {output}"
                            ));
                        }
                        if info.loss == crate::Loss::Poisson
                            && let Some((output, value)) = correct.indexed_iter().find(|(_, v)| **v < 0.0)
                        {
                            return wrong(format!(
                                "trial {trial}, step {step} has the target {value} for output {output}; a count cannot be negative"
                            ));
                        }
                    }
                    Targets::Classes(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Consecutive trials of a [`Batch`], borrowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BatchView<'a> {
    /// Inputs, trials × steps × channels.
    pub inputs: ArrayView3<'a, f32>,
    /// The correct answers.
    pub targets: TargetsView<'a>,
    /// Weight of each step, trials × steps.
    pub mask: ArrayView2<'a, f32>,
    /// Number of steps of each trial.
    pub lengths: &'a [u32],
    /// Condition of each trial.
    pub conditions: &'a [u32],
}

/// A step of a trial that is scored: one row of a model's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The trial, counted within the batch.
    pub trial: usize,
    /// The step of the trial.
    pub step: usize,
}

impl<'a> BatchView<'a> {
    /// Trials from their parts.
    pub fn new(
        inputs: ArrayView3<'a, f32>,
        targets: TargetsView<'a>,
        mask: ArrayView2<'a, f32>,
        lengths: &'a [u32],
        conditions: &'a [u32],
    ) -> Self {
        BatchView { inputs, targets, mask, lengths, conditions }
    }

    /// (trials, steps, channels).
    pub fn dim(&self) -> (usize, usize, usize) {
        self.inputs.dim()
    }

    /// The scored steps, whose mask is above 0, in the order of a model's rows of
    /// outputs: by step, and by trial within a step.
    pub fn scored(&self) -> impl Iterator<Item = Scored> + use<'a> {
        let mask = self.mask;
        let (trials, steps) = mask.dim();
        (0..steps)
            .flat_map(move |step| (0..trials).map(move |trial| Scored { trial, step }))
            .filter(move |at| mask[[at.trial, at.step]] > 0.0)
    }
}
