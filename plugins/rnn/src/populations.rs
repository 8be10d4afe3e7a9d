//! `rnn.populations`: excitatory and inhibitory units with recurrent weights of
//! their own between each pair of populations.

use std::ops::Range;

use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2};
use pallium_core::prelude::*;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;

use crate::common::{expect_square, leak_of, no_gradient, sizes};
use crate::dynamics::Layer;
use crate::recurrence::Rectified;
use crate::step;
use crate::trained::{Start, Trained};
use crate::wiring::{UnitChoice, Wiring};

pallium_core::choice! {
    /// Which neurons are inhibitory.
    pub enum Assignment {
        /// Drawn with the run's seed.
        Drawn = "drawn",
        /// The last ones.
        Last = "last",
    }
}

pallium_core::choice! {
    /// Populations that are connected to the inputs or outputs.
    pub enum Side {
        /// Both.
        All = "all",
        /// The excitatory one.
        Excitatory = "excitatory",
        /// The inhibitory one.
        Inhibitory = "inhibitory",
    }
}

pallium_core::params! {
    /// Parameters of the network of two populations.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// α = dt/τ, the fraction of the state that is replaced at each step;
        /// above 0 and at most 1.
        leak: f64 = 1.0,
        /// Share of excitatory neurons (0 to 1); their number is rounded.
        excitatory: f64 = 0.8,
        /// Which neurons are inhibitory if `inhibitory` does not list them.
        assignment: Assignment = Assignment::Drawn,
        /// Indices of the inhibitory neurons, counted from 0. If given,
        /// `excitatory` and `assignment` are ignored.
        inhibitory: Option<Vec<u32>> = None,
        /// Number of excitatory units that are not neurons of the substrate (0 to
        /// 10,000).
        free_excitatory: u32 = 0,
        /// Number of inhibitory units that are not neurons of the substrate (0 to
        /// 10,000).
        free_inhibitory: u32 = 0,
        /// g: weights from and to free units are drawn from a normal distribution
        /// with the standard deviation g/√U, U being the number of units; at
        /// least 0.
        free_scale: f64 = 1.0,
        /// Populations that receive input. Input weights of the other one are 0 and
        /// stay 0.
        input_to: Side = Side::All,
        /// Populations that are read out, as for `input_to`.
        readout_from: Side = Side::All,
    }
}

/// The dynamics of `rnn.vanilla` with an excitatory and an inhibitory population. A
/// population without units is left out, and so are its parameters.
///
/// Units are ordered by population, and within one: its neurons in their order,
/// then free units.
///
/// The recurrent weights are four parameters, so that constraints can differ
/// between them: `recurrent_ee`, `recurrent_ei`, `recurrent_ie` and `recurrent_ii`.
/// The first letter is the population that connections come from (rows), the second
/// that to which they lead (columns). Input weights and read-out are divided in the
/// same way (`input_e`, `input_i`, `readout_e`, `readout_i`).
///
/// A weight between two neurons starts as the given matrix says, all other
/// recurrent weights are normally distributed. The model itself restricts no signs:
/// use `circuit.dale` with `excitatory = 1.0` on the blocks from the excitatory
/// population, and with `excitatory = 0.0` on the others.
pub(crate) struct Populations {
    /// The same network with one matrix for all units.
    whole: Trained<Rectified>,
    /// The neuron of each unit.
    neurons: Vec<Option<u32>>,
    neuron_count: usize,
    groups: Vec<Group>,
    free_scale: f32,
    blocks: Vec<Block>,
    parameters: Vec<ParameterInfo>,
    /// Whether the blocks may differ from the whole network's parameters.
    lent: bool,
    differentiated: bool,
}

/// A parameter: a part of a parameter of the whole network.
struct Block {
    /// Place among the whole network's parameters, and its number of columns.
    of: usize,
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    values: Vec<f32>,
    gradient: Vec<f32>,
}

impl Block {
    /// The ranges of the block's rows in the whole parameter.
    fn lines(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (width, columns) = (self.width, self.columns.clone());
        self.rows.clone().map(move |row| row * width + columns.start..row * width + columns.end)
    }

    fn write_to(&self, whole: &mut [f32]) {
        for (line, row) in self.lines().zip(self.values.chunks_exact(self.columns.len())) {
            whole[line].copy_from_slice(row);
        }
    }

    fn read(&self, whole: &[f32]) -> Vec<f32> {
        self.lines().flat_map(|line| &whole[line]).copied().collect()
    }
}

/// Largest number of free units of a population: the matrix of twice as many units has
/// 1.6 GB.
const MOST_FREE: f64 = 1e4;

/// A population that has units.
struct Group {
    name: &'static str,
    letter: &'static str,
    units: Range<usize>,
}

/// Names of the populations, and their letters in the names of parameters.
const NAMES: [(&str, &str); 2] = [("excitatory", "e"), ("inhibitory", "i")];

impl Side {
    /// The units of this side; `None` for all. `parameter` is for messages.
    fn units(self, parameter: &str, groups: &[Group]) -> Result<Option<UnitChoice>> {
        let [(excitatory, _), (inhibitory, _)] = NAMES;
        let name = match self {
            Side::All => return Ok(None),
            Side::Excitatory => excitatory,
            Side::Inhibitory => inhibitory,
        };
        let Some(group) = groups.iter().find(|group| group.name == name) else {
            return Err(Error::input(format!(
                "parameter `{parameter}` is \"{name}\", but there are no {name} units"
            ))
            .help("change `excitatory` or `inhibitory`, or add free units"));
        };
        Ok(Some(UnitChoice::Listed(group.units.clone().map(|unit| unit as u32).collect())))
    }
}

impl Component for Populations {
    const ID: &'static str = "rnn.populations";
    const ABOUT: &'static str = "rectified units in an excitatory and an inhibitory population, with a block of weights for each pair";
    const CITE: &'static str = "Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792; Werbos 1990";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("excitatory", params.excitatory, 0.0, 1.0)?;
        one_of_range("free_scale", params.free_scale, 0.0, 1e6)?;
        for (name, count) in
            [("free_excitatory", params.free_excitatory), ("free_inhibitory", params.free_inhibitory)]
        {
            one_of_range(name, count.into(), 0.0, MOST_FREE)?;
        }
        let leak = leak_of(params.leak)?;
        let (neuron_count, channels, outputs) = sizes(setting)?;
        let inhibits = inhibitory(&params, neuron_count, setting.seed)?;
        let (mut neurons, mut groups) = (Vec::new(), Vec::new());
        let free = [params.free_excitatory, params.free_inhibitory];
        for ((name, letter), free) in NAMES.into_iter().zip(free) {
            let start = neurons.len();
            let own = (0..neuron_count as u32).filter(|&n| inhibits[n as usize] == (letter == "i"));
            neurons.extend(own.map(Some));
            neurons.resize(neurons.len() + free as usize, None);
            if neurons.len() > start {
                groups.push(Group { name, letter, units: start..neurons.len() });
            }
        }
        let units = neurons.len();
        let wiring = Wiring {
            input: params.input_to.units("input_to", &groups)?,
            readout: params.readout_from.units("readout_from", &groups)?,
        };
        let whole_setting = Setting { neurons: Some(units), ..setting.reborrow() };
        let whole = Trained::new(Rectified { leak }, params.noise, Start::Same, wiring, &whole_setting)?;
        let (parameters, blocks) = layout(&groups, channels, outputs);
        let mut model = Populations {
            whole,
            neurons,
            neuron_count,
            groups,
            free_scale: params.free_scale as f32,
            blocks,
            parameters,
            lent: false,
            differentiated: false,
        };
        model.initialise(Matrix::zeros((neuron_count, neuron_count)).view(), setting.seed)?;
        Ok(model)
    }
}
pallium_core::register!(Model, Populations);

/// For each neuron, whether it is inhibitory.
fn inhibitory(params: &Params, neurons: usize, seed: u64) -> Result<Vec<bool>> {
    let mut inhibits = vec![false; neurons];
    let Some(listed) = &params.inhibitory else {
        let excitatory = (params.excitatory * neurons as f64).round() as usize;
        inhibits[excitatory.min(neurons)..].fill(true);
        if params.assignment == Assignment::Drawn {
            inhibits.shuffle(&mut random::stream(seed, "inhibitory neurons"));
        }
        return Ok(inhibits);
    };
    for &index in listed {
        let wrong = |what: &str| Error::input(format!("parameter `inhibitory` lists neuron {index}{what}"));
        match inhibits.get_mut(index as usize) {
            None => {
                return Err(
                    wrong(&format!(", but there are {neurons} neurons")).help("neurons are counted from 0")
                );
            }
            Some(true) => return Err(wrong(" twice").help("list each neuron once")),
            Some(neuron) => *neuron = true,
        }
    }
    Ok(inhibits)
}

/// The parameters, as blocks of the whole network's parameters: recurrent weights,
/// input weights, biases, read-out and its biases, in this order there too.
fn layout(groups: &[Group], channels: usize, outputs: usize) -> (Vec<ParameterInfo>, Vec<Block>) {
    use ParameterKind::{Input, Other, Readout, Recurrent};
    let units = groups.last().map_or(0, |group| group.units.end);
    let (mut parameters, mut blocks) = (Vec::new(), Vec::new());
    let mut push =
        |info: ParameterInfo, of: usize, width: usize, rows: Range<usize>, columns: Range<usize>| {
            let zeros = vec![0.0; info.len()];
            blocks.push(Block { of, width, rows, columns, values: zeros.clone(), gradient: zeros });
            parameters.push(info);
        };
    for from in groups {
        for to in groups {
            let shape = [from.units.len(), to.units.len()];
            let name = format!("recurrent_{}{}", from.letter, to.letter);
            let info = ParameterInfo::new(name, shape, Recurrent).between(from.name, to.name);
            let info = info.titled(format!("{} to {}", from.name, to.name));
            push(info, 0, units, from.units.clone(), to.units.clone());
        }
    }
    for to in groups {
        let info = ParameterInfo::new(format!("input_{}", to.letter), [channels, to.units.len()], Input);
        push(info.between("", to.name), 1, units, 0..channels, to.units.clone());
    }
    push(ParameterInfo::new("bias", [units], Other), 2, units, 0..1, 0..units);
    for from in groups {
        let info =
            ParameterInfo::new(format!("readout_{}", from.letter), [from.units.len(), outputs], Readout);
        push(info.between(from.name, ""), 3, outputs, from.units.clone(), 0..outputs);
    }
    push(ParameterInfo::new("readout_bias", [outputs], Other), 4, outputs, 0..1, 0..outputs);
    (parameters, blocks)
}

impl Populations {
    /// Copies the parameters to the whole network if they may have changed.
    fn settle(&mut self) -> Result<()> {
        if self.lent {
            let mut parameters = self.whole.parameters_mut()?;
            self.blocks.iter().for_each(|block| block.write_to(parameters[block.of]));
            self.lent = false;
        }
        Ok(())
    }

    /// The whole network's layer with the parameters as they are now.
    fn layer(&self) -> Layer<Rectified> {
        self.whole.layer_with(|parameters| {
            for block in &self.blocks {
                if let Some(parameter) = parameters.get_mut(block.of) {
                    block.write_to(parameter);
                }
            }
        })
    }
}

impl Model for Populations {
    fn info(&self) -> ModelInfo {
        let mut info = self.whole.info();
        info.parameters.clone_from(&self.parameters);
        let population =
            |group: &Group| Population::of_neurons(group.name, self.neurons[group.units.clone()].to_vec());
        info.populations = self.groups.iter().map(population).collect();
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        expect_square(recurrent, self.neuron_count)?;
        let units = self.neurons.len();
        let mut stream = random::stream(seed, "weights of free units");
        let scale = self.free_scale / (units as f32).sqrt();
        let whole =
            Matrix::from_shape_fn((units, units), |(i, j)| match (self.neurons[i], self.neurons[j]) {
                (Some(i), Some(j)) => recurrent[[i as usize, j as usize]],
                _ => scale * stream.sample::<f32, _>(StandardNormal),
            });
        self.whole.initialise(whole.view(), seed)?;
        let parameters = self.whole.parameters()?;
        for block in &mut self.blocks {
            block.values = block.read(parameters[block.of].values);
        }
        (self.lent, self.differentiated) = (false, false);
        Ok(())
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode, outputs: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.settle()?;
        if mode != Mode::Evaluate {
            self.differentiated = false;
        }
        self.whole.forward(batch, mode, outputs)
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        self.whole.activity()
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        if self.lent {
            return Err(crate::common::no_pass());
        }
        self.whole.backward(outputs, activity)?;
        let whole = self.whole.lend()?;
        for block in &mut self.blocks {
            block.gradient = block.read(whole[block.of].gradient);
        }
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let all = self.parameters.iter().zip(&self.blocks);
        Ok(all
            .map(|(info, block)| TensorView { name: &info.name, shape: &info.shape, values: &block.values })
            .collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        (self.lent, self.differentiated) = (true, false);
        Ok(self.blocks.iter_mut().map(|block| block.values.as_mut_slice()).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if !self.differentiated {
            return Err(no_gradient());
        }
        self.lent = true;
        let all = self.blocks.iter_mut().enumerate();
        Ok(all
            .map(|(index, block)| LearnedMut {
                index,
                values: &mut block.values,
                gradient: &mut block.gradient,
            })
            .collect())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        step::step(&self.layer(), states, inputs)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        step::step_gradient(&self.layer(), states, inputs, cotangents)
    }
}
