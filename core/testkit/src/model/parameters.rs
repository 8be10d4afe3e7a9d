//! Checks of a model's description and of the ways to its parameters.

use std::collections::BTreeSet;

use super::{Trainee, start};
use crate::toy::Toy;
use crate::{Note, Subject, World, broken, passed, world};
use pallium_core::{Error, Mode, ModelInfo, ParameterKind, Population, Result};

/// Refuses empty and repeated names.
fn unique<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return broken(format!("`{}` cannot be the name of a {what}", name.escape_debug()));
        }
        if !seen.insert(name) {
            return broken(format!("duplicate {what} `{name}`"));
        }
    }
    Ok(())
}

/// The population of that name; the first one if the name is empty.
fn population<'a>(info: &'a ModelInfo, name: &str, parameter: &str) -> Result<&'a Population> {
    let found = match name {
        "" => info.populations.first(),
        name => info.populations.iter().find(|population| population.name == name),
    };
    found.ok_or_else(|| {
        Error::plugin(format!("`{parameter}` connects the population `{name}`, which it does not state"))
    })
}

fn consistent(info: &ModelInfo, neurons: usize) -> Result<()> {
    unique("population", info.populations.iter().map(|p| &p.name))?;
    unique("parameter", info.parameters.iter().map(|p| &p.name))?;
    unique("part of the state", info.states.iter().map(|p| &p.name))?;
    let units: usize = info.populations.iter().map(|p| p.units).sum();
    if info.units == 0 || units != info.units {
        return broken(format!("its populations have {units} units, but it states {}", info.units));
    }
    for Population { name, units, neurons: listed, .. } in &info.populations {
        let Some(listed) = listed else { continue };
        if listed.len() != *units {
            return broken(format!("population `{name}` lists {} neurons for {units} units", listed.len()));
        }
        if let Some(neuron) = listed.iter().flatten().find(|&&neuron| neuron as usize >= neurons) {
            return broken(format!("a unit of `{name}` is neuron {neuron}, but there are {neurons}"));
        }
    }
    let mut neurons_of_units = BTreeSet::new();
    for neuron in info.neurons().into_iter().flatten() {
        if !neurons_of_units.insert(neuron) {
            return broken(format!("two units are neuron {neuron}; a unit that is none has `None`"));
        }
    }
    for (_, block) in info.recurrent() {
        let rows = population(info, &block.rows, &block.name)?.units;
        let columns = population(info, &block.columns, &block.name)?.units;
        if block.shape != [rows, columns] {
            return broken(format!(
                "recurrent block `{}` is {:?}, but connects {rows} units to {columns}",
                block.name, block.shape
            ));
        }
    }
    match info.recurrent().next() {
        None => broken("it has no parameter of the kind `Recurrent`"),
        Some((_, first)) if whole(info) && first.shape != [neurons, neurons] => broken(format!(
            "its first recurrent block `{}` is {:?}, but must be {neurons}×{neurons}",
            first.name, first.shape
        )),
        Some(_) if info.count() == 0 => broken("it trains no parameter"),
        Some(_) => Ok(()),
    }
}

/// Whether the units of the first recurrent block are all neurons, in their order.
/// Blocks between several populations share the given matrix.
fn whole(info: &ModelInfo) -> bool {
    matches!(&*info.populations, [Population { neurons: None, .. }])
}

/// Checks that the weights between neurons start from the given matrix: in the first
/// recurrent block, or in the first one between each two populations. Further ones
/// become what the model documents.
fn starts_from_given(trainee: &Trainee, world: &World) -> Result<()> {
    let (info, given) = (&trainee.info, start(world));
    let parameters = trainee.model.parameters()?;
    let all = info.neurons();
    let neurons = |name: &str| {
        let at = info.populations.iter().position(|population| population.name == name).unwrap_or(0);
        let first: usize = info.populations[..at].iter().map(|population| population.units).sum();
        &all[first..first + info.populations[at].units]
    };
    let mut seen = BTreeSet::new();
    for (index, block) in info.recurrent() {
        if !seen.insert((&block.rows, &block.columns)) {
            continue;
        }
        let (rows, columns) = (neurons(&block.rows), neurons(&block.columns));
        for ((row, column), &weight) in parameters[index].matrix()?.indexed_iter() {
            let (Some(i), Some(j)) = (rows[row], columns[column]) else { continue };
            let wanted = given[[i as usize, j as usize]];
            if weight != wanted {
                return Err(Error::plugin(format!(
                    "after `initialise`, `{}` is {weight} from unit {row} to unit {column}, but the given matrix is {wanted} from neuron {i} to neuron {j}",
                    block.name
                ))
                .help("each block between populations holds the part of the given matrix between their neurons"));
            }
        }
    }
    Ok(())
}

pub(super) fn description(subject: &Subject<'_>) -> Result<Note> {
    let n = world::NEURONS;
    let world = World::new(n, 1);
    for mut trainee in Trainee::each(subject, &world, 1)? {
        consistent(&trainee.info, n)?;
        if let Some(empty) = trainee.info.states.iter().find(|part| part.length == 0) {
            return broken(format!("part `{}` of the state has no values", empty.name));
        }
        // Without a read-out of the right size a model cannot answer.
        let outputs = trainee.toy.outputs();
        let readouts = trainee.info.parameters.iter().filter(|p| p.kind == ParameterKind::Readout);
        if let Some(readout) = readouts.into_iter().find(|p| !p.shape.contains(&outputs)) {
            return broken(format!("`{}` is {:?} for {outputs} outputs", readout.name, readout.shape));
        }
        starts_from_given(&trainee, &world)?;
        let batch = trainee.toy.trials(5, 1);
        for mode in [Mode::Train { noise_seed: 1 }, Mode::Record] {
            trainee.forward(&batch.view(), mode)?;
            let (found, expected) = (trainee.model.activity()?.dim(), (6, 5, trainee.info.units));
            if found != expected {
                return broken(format!(
                    "activity is {found:?}, but must be {expected:?} (steps, trials, units)"
                ));
            }
        }
    }
    let info = Trainee::new(subject, &world, Toy::Classes, 1)?.info;
    let blocks = info.recurrent().count();
    passed(format!(
        "{blocks} recurrent block{}, {} trained values of {}",
        if blocks == 1 { "" } else { "s" },
        info.count(),
        info.parameters.iter().map(|p| p.len()).sum::<usize>()
    ))
}

/// A value that marks entry `at` of parameter `index`; `round` tells marks of two
/// rounds apart. Exact in f32.
fn mark(round: usize, index: usize, at: usize) -> f32 {
    (1 + round + 2 * index) as f32 + (at % 1024) as f32 / 1024.0
}

pub(super) fn parameters(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let infos = trainee.info.parameters.clone();
    for (index, parameter) in trainee.model.parameters_mut()?.into_iter().enumerate() {
        parameter.iter_mut().enumerate().for_each(|(at, value)| *value = mark(0, index, at));
    }
    marked(&trainee, "`parameters_mut`", |_| Some(0))?;

    // Lent by another way, the same values must be there and can be changed.
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let before = trainee.parameters()?;
    trainee.differentiate(&Toy::Classes.trials(8, 1), 1, None)?;
    let mut lent = Vec::new();
    for learned in trainee.model.learned()? {
        let info = &infos[learned.index];
        if !info.trained {
            return broken(format!("`learned` lends `{}`, which is not trained", info.name));
        }
        if before[learned.index].slice::<f32>()? != learned.values {
            return broken(format!("`learned` lends other values of `{}` than `parameters`", info.name));
        }
        if let Some(at) = learned.gradient.iter().position(|g| !g.is_finite()) {
            return broken(format!(
                "the gradient is {} at entry {at} of `{}`",
                learned.gradient[at], info.name
            ));
        }
        if lent.last().is_some_and(|&last| last >= learned.index) {
            return broken(format!("`learned` lends `{}` twice or out of order", info.name));
        }
        lent.push(learned.index);
        learned.values.iter_mut().enumerate().for_each(|(at, value)| *value = mark(1, learned.index, at));
    }
    let missing = (0..infos.len()).find(|index| infos[*index].trained && !lent.contains(index));
    if let Some(index) = missing
        && !trainee.info.updates_itself
    {
        return Err(Error::plugin(format!(
            "`learned` does not lend `{}`, which is trained",
            infos[index].name
        ))
        .help("lend every trained parameter with its gradient, or describe it as `fixed`"));
    }
    marked(&trainee, "`learned`", |index| lent.contains(&index).then_some(1))?;
    passed(format!("{} parameters, {} lent with gradients", infos.len(), lent.len()))
}

/// Checks that marks of a round can be read from each parameter that has one.
fn marked(trainee: &Trainee, by: &str, round: impl Fn(usize) -> Option<usize>) -> Result<()> {
    for (index, parameter) in trainee.model.parameters()?.into_iter().enumerate() {
        let Some(round) = round(index) else { continue };
        if let Some(at) =
            (0..parameter.values.len()).find(|&at| parameter.values[at] != mark(round, index, at))
        {
            return Err(Error::plugin(format!(
                "{} written through {by} is not what `parameters` returns",
                super::place(&trainee.info.parameters[index], at)
            ))
            .help("keep the order of `ModelInfo::parameters` in all three, and lend the values that the passes use"));
        }
    }
    Ok(())
}
