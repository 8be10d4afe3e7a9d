//! Calls that a model must survive.

use ndarray::{Array2, Array3};

use super::Trainee;
use crate::common::orderly;
use crate::toy::{INPUTS, Toy};
use crate::{Note, Subject, World, passed, world};
use pallium_core::{Batch, Matrix, Mode, Model, Result, Tensor};

const TRAIN: Mode = Mode::Train { noise_seed: 1 };

fn forward(model: &mut dyn Model, batch: &Batch, mode: Mode) -> Result<Array2<f32>> {
    let batch = batch.view();
    let mut outputs = Array2::zeros((batch.scored().count(), Toy::Classes.outputs()));
    model.forward(&batch, mode, outputs.view_mut())?;
    Ok(outputs)
}

/// A complete training pass, and what can follow it.
fn complete(model: &mut dyn Model, batch: &Batch) -> Result<()> {
    let gradient = forward(model, batch, TRAIN)?;
    model.backward(gradient.view(), None)?;
    model.learned().map(drop)?;
    model.activity().map(drop)
}

pub(super) fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let n = world::NEURONS;
    let mut cases = 0;
    // Each on a model before `initialise`, which a host always calls first, and
    // on one after it.
    let mut call = |doing: &str, call: &dyn Fn(&mut dyn Model) -> Result<()>| {
        cases += 1;
        let mut model = subject.model(&world.setting())?;
        orderly(doing, call(&mut *model))?;
        let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
        orderly(doing, call(&mut *trainee.model))
    };
    let batch = Toy::Classes.ragged(4, 1);
    let nothing = Array2::zeros((0, 2));
    call("activity before a forward pass", &|m| m.activity().map(drop))?;
    call("backward before a forward pass", &|m| m.backward(nothing.view(), None))?;
    call("gradients before a backward pass", &|m| m.learned().map(drop))?;
    call("its own update before a backward pass", &|m| m.update_itself())?;
    call("reading parameters", &|m| m.parameters().map(drop))?;
    call("changing parameters", &|m| m.parameters_mut().map(drop))?;
    call("gradients after a forward pass alone", &|m| {
        forward(m, &batch, TRAIN)?;
        m.learned().map(drop)
    })?;
    call("backward after an evaluation alone", &|m| {
        let outputs = forward(m, &batch, Mode::Evaluate)?;
        m.backward(outputs.view(), None)
    })?;
    call("backward after a recording alone", &|m| {
        let outputs = forward(m, &batch, Mode::Record)?;
        m.backward(outputs.view(), None)
    })?;
    call("a matrix of another size", &|m| m.initialise(Matrix::zeros((n + 1, n + 1)).view(), 1))?;
    call("an empty state", &|m| m.restore(&[]))?;
    call("a state of other tensors", &|m| m.restore(&[Tensor::new("other", [2], vec![1.0_f32; 2])]))?;
    call("a batch of other channels", &|m| {
        forward(m, &Batch::zeros(3, 4, INPUTS + 1), Mode::Evaluate).map(drop)
    })?;
    call("a batch without trials", &|m| complete(m, &Batch::zeros(0, 4, INPUTS)))?;
    call("trials without steps", &|m| complete(m, &Batch::zeros(3, 0, INPUTS)))?;
    call("a batch without scored steps", &|m| complete(m, &Batch::zeros(3, 4, INPUTS)))?;
    let mut ended = Batch::zeros(3, 4, INPUTS);
    ended.lengths.fill(0);
    call("trials that end before their first step", &|m| complete(m, &ended))?;
    call("gradients of more outputs than were scored", &|m| {
        forward(m, &batch, TRAIN)?;
        m.backward(Array2::zeros((99, 2)).view(), None)
    })?;
    call("gradients of a wrong number of outputs", &|m| {
        let outputs = forward(m, &batch, TRAIN)?;
        m.backward(Array2::zeros((outputs.nrows(), 5)).view(), None)
    })?;
    call("an activity gradient of a wrong shape", &|m| {
        let outputs = forward(m, &batch, TRAIN)?;
        m.backward(outputs.view(), Some(Array3::zeros((2, 2, 2)).view()))
    })?;
    let mut nan = batch.clone();
    nan.inputs[[0, 0, 0]] = f32::NAN;
    call("inputs that are not finite", &|m| complete(m, &nan))?;
    call("parameters that are not finite", &|m| {
        m.parameters_mut()?.into_iter().for_each(|parameter| parameter.fill(f32::NAN));
        complete(m, &batch)
    })?;
    call("very large parameters", &|m| {
        m.parameters_mut()?.into_iter().for_each(|parameter| parameter.fill(1e30));
        complete(m, &batch)
    })?;
    steps(&mut call, n)?;
    let single = World::new(1, 1);
    match subject.model(&single.setting()) {
        // A model may need more of them.
        Err(error) => orderly("a single neuron", Err(error))?,
        Ok(mut model) => {
            orderly("a single neuron", model.initialise(Matrix::from_elem((1, 1), 0.5).view(), 1))?;
            orderly("a single neuron", complete(&mut *model, &batch))?;
        }
    }
    passed(format!("{} cases", cases + 1))
}

/// A call of a model.
type Call<'a> = &'a dyn Fn(&mut dyn Model) -> Result<()>;

/// Calls of the step with wrong shapes.
fn steps(call: &mut dyn FnMut(&str, Call) -> Result<()>, n: usize) -> Result<()> {
    let zeros = |rows, columns| Array2::<f64>::zeros((rows, columns));
    let length = |m: &dyn Model| m.info().states.iter().map(|part| part.length).sum::<usize>().max(n);
    call("a step of no rows", &|m| m.step(zeros(0, length(m)).view(), zeros(0, INPUTS).view()).map(drop))?;
    call("a step of states of a wrong length", &|m| {
        m.step(zeros(2, length(m) + 1).view(), zeros(2, INPUTS).view()).map(drop)
    })?;
    call("a step with other channels", &|m| {
        m.step(zeros(2, length(m)).view(), zeros(2, INPUTS + 1).view()).map(drop)
    })?;
    call("a step of more states than inputs", &|m| {
        m.step(zeros(3, length(m)).view(), zeros(2, INPUTS).view()).map(drop)
    })?;
    call("a gradient of a step with cotangents of a wrong shape", &|m| {
        let states = zeros(2, length(m));
        m.step_gradient(states.view(), zeros(2, INPUTS).view(), zeros(3, 1).view()).map(drop)
    })
}
