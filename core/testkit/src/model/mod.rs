//! Checks of models.

mod gradient;
mod parameters;
mod passes;
mod step;
mod survives;
mod training;

use ndarray::{Array2, ArrayView3};

use crate::adam::Adam;
use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::toy::Toy;
use crate::{Check, Note, Subject, World, passed};
use pallium_core::{
    Batch, BatchView, Error, LossSums, Matrix, Mode, Model, ModelInfo, ParameterInfo, Result, Tensor,
};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "description of the network",
        about: "populations, parameters and states are consistent, and the activity has the stated shape",
        run: parameters::description,
    },
    Check {
        name: "lent parameters",
        about: "all ways to the parameters lead to the same values, in the order of the description",
        run: parameters::parameters,
    },
    Check {
        name: "outputs",
        about: "the outputs of each scored step depend on the inputs of its trial alone",
        run: passes::outputs,
    },
    Check {
        name: "passes",
        about: "passes change no parameter, and an evaluation between two of them changes no gradient",
        run: passes::passes,
    },
    Check {
        name: "deterministic",
        about: "the same seeds give bit-identical results, in a second training and in another instance",
        run: training::deterministic,
    },
    Check {
        name: "gradient",
        about: "the gradient of every trained parameter is the derivative of the loss and of a term on activity",
        run: gradient::gradient,
    },
    Check { name: "fixed", about: "parameters that are not trained do not change", run: training::fixed },
    Check {
        name: "own updates",
        about: "a model that updates itself learns, and follows penalties if it lends its gradients",
        run: training::own_updates,
    },
    Check { name: "learns", about: "learns to remember a stimulus for three steps", run: training::learns },
    Check { name: "restores", about: "a restored model continues bit-identically", run: training::restores },
    Check {
        name: "step",
        about: "the step in double precision is the forward pass without noise, and its gradient is right",
        run: step::step,
    },
    Check {
        name: "connections",
        about: "on a set of connections the outputs are those of the same matrix, also after connections changed",
        run: crate::connections::model,
    },
    Check {
        name: "survives",
        about: "calls out of order, wrong shapes and inputs that are not finite cause at most an error",
        run: survives::survives,
    },
    Check { name: "time", about: "how long a training step takes", run: time },
];

/// A model with what trains it.
struct Trainee {
    model: Box<dyn Model>,
    info: ModelInfo,
    toy: Toy,
    adam: Adam,
}

/// Near the identity, so that inputs are not forgotten immediately.
fn start(world: &World) -> Matrix {
    let n = world.substrate().neurons;
    world.weights(5) * 0.3 + Matrix::eye(n) * 0.8
}

impl Trainee {
    fn new(subject: &Subject<'_>, world: &World, toy: Toy, seed: u64) -> Result<Self> {
        let mut model = subject.model(&world.setting_of(toy))?;
        model.initialise(start(world).view(), seed)?;
        let info = model.info();
        Ok(Trainee { model, info, toy, adam: Adam::default() })
    }

    /// The same for each toy task that the model can be built for: a model may
    /// refuse values.
    fn each(subject: &Subject<'_>, world: &World, seed: u64) -> Result<Vec<Self>> {
        let mut trainees = vec![Trainee::new(subject, world, Toy::Classes, seed)?];
        match Trainee::new(subject, world, Toy::Values, seed) {
            Ok(trainee) => trainees.push(trainee),
            Err(error) => orderly("a task of values", Err(error))?,
        }
        Ok(trainees)
    }

    /// Outputs of the scored steps, scored × outputs; NaN where the model writes
    /// none.
    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Array2<f32>> {
        let mut outputs = Array2::from_elem((batch.scored().count(), self.toy.outputs()), f32::NAN);
        self.model.forward(batch, mode, outputs.view_mut())?;
        Ok(outputs)
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<LossSums> {
        let batch = batch.view();
        let outputs = self.forward(&batch, Mode::Evaluate)?;
        self.toy.loss().compare(&batch, outputs.view(), None)
    }

    /// The gradient of the loss in the outputs of a training pass.
    fn loss_gradient(&mut self, batch: &Batch, noise_seed: u64) -> Result<(LossSums, Array2<f32>)> {
        let batch = batch.view();
        let outputs = self.forward(&batch, Mode::Train { noise_seed })?;
        let mut gradient = Array2::zeros(outputs.dim());
        let sums = self.toy.loss().compare(&batch, outputs.view(), Some(gradient.view_mut()))?;
        Ok((sums, gradient))
    }

    /// Forward and backward pass; with the gradient of a term on activity.
    fn differentiate(
        &mut self,
        batch: &Batch,
        noise_seed: u64,
        term: Option<ArrayView3<'_, f32>>,
    ) -> Result<LossSums> {
        let (sums, gradient) = self.loss_gradient(batch, noise_seed)?;
        self.model.backward(gradient.view(), term)?;
        Ok(sums)
    }

    /// Changes the parameters after a backward pass.
    fn update(&mut self) -> Result<()> {
        if self.info.updates_itself {
            return self.model.update_itself();
        }
        self.adam.update(&mut self.model.learned()?);
        Ok(())
    }

    /// A training step without constraints.
    fn step(&mut self, batch: &Batch, noise_seed: u64) -> Result<LossSums> {
        let sums = self.differentiate(batch, noise_seed, None)?;
        self.update()?;
        Ok(sums)
    }

    /// Copies of all parameters.
    fn parameters(&self) -> Result<Vec<Tensor>> {
        Ok(self.model.parameters()?.iter().map(|parameter| parameter.to_tensor()).collect())
    }

    /// The gradients that the model lends, by the names of the parameters.
    fn gradients(&mut self) -> Result<Vec<Tensor>> {
        let learned = self.model.learned()?;
        let all = learned.into_iter().map(|learned| {
            let info = &self.info.parameters[learned.index];
            Tensor::new(&info.name, &*info.shape, learned.gradient.to_vec())
        });
        Ok(all.collect())
    }

    /// Overwrites a parameter.
    fn set(&mut self, index: usize, values: &[f32]) -> Result<()> {
        match self.model.parameters_mut()?.into_iter().nth(index) {
            Some(parameter) => parameter.copy_from_slice(values),
            None => return Err(Error::bug(format!("there is no parameter {index}"))),
        }
        Ok(())
    }
}

/// Where entry `at` of a parameter is, for messages.
fn place(info: &ParameterInfo, at: usize) -> String {
    match *info.shape {
        [_, columns] => {
            format!("row {}, column {} of `{}`", at / columns.max(1), at % columns.max(1), info.name)
        }
        _ => format!("entry {at} of `{}`", info.name),
    }
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(100, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let batch = Toy::Classes.trials(128, 1);
    let each = repeat(|| trainee.step(&batch, 1).map(drop))?;
    passed(format!("{} per training step (N = 100, 128 trials of 6 steps)", duration(each)))
}
