//! `circuit.dale`: each neuron either excites or inhibits.

use pallium_core::ndarray::s;
use pallium_core::prelude::*;
use pallium_core::rand::seq::SliceRandom;

use crate::shapes::{check_shape, neuron, no_penalty};

pallium_core::choice! {
    /// Which neurons are inhibitory.
    pub enum Assignment {
        /// Drawn with the run's seed.
        Drawn = "drawn",
        /// The last ones.
        Last = "last",
        /// Those that the substrate marks as inhibitory, and a share, drawn with the run's
        /// seed, of those whose kind is unknown.
        Measured = "measured",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.dale`.
    pub struct Params {
        /// Share of excitatory neurons (0 to 1); their number is rounded. With
        /// `assignment = "measured"`, it applies to neurons whose kind is unknown.
        excitatory: f64 = 0.8,
        /// Which neurons are inhibitory if `inhibitory` does not list them.
        assignment: Assignment = Assignment::Drawn,
        /// Indices of the inhibitory neurons, counted from 0. If given,
        /// `excitatory` and `assignment` are ignored, and units that are not neurons
        /// are excitatory.
        inhibitory: Option<Vec<u32>> = None,
    }
}

/// Dale's law: all weights from an excitatory neuron (its row of W) are at least
/// 0, all weights from an inhibitory one at most 0. After each update, weights
/// of the wrong sign are set to 0, which gives the nearest matrix that obeys the
/// law. There is no penalty. NaN stays NaN.
///
/// `assignment = "measured"` reads the substrate's ids `inhibitory` (1, 0, or −1 if
/// unknown): `microns.tables` with `cell_types` and `field.edges` with `transmitter` have
/// them.
///
/// In connections from a part of the neurons, each row follows its neuron. Units
/// that stand for no neuron are assigned among themselves in the same way.
pub struct Dale {
    /// For each row, whether its neuron inhibits.
    inhibits: Vec<bool>,
    columns: usize,
}

impl Component for Dale {
    const ID: &'static str = "circuit.dale";
    const ABOUT: &'static str = "hard: each neuron's outgoing weights share one sign (Dale's law); weights of the wrong sign become 0, so \
                         inhibitory neurons start silent unless some initial weights are negative";
    const CITE: &'static str = "Eccles, Fatt, Koketsu 1954, J. Physiol. 126:524; in trained networks: \
                                Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("excitatory", params.excitatory, 0.0, 1.0)?;
        let (rows, columns) = match setting.connections {
            Some(connections) => connections.dim(),
            None => setting.shape()?,
        };
        let n = match setting.rows {
            Some(_) => setting.neurons.unwrap_or(0),
            None => rows,
        };
        let mut inhibits = vec![false; n];
        if let Some(listed) = params.inhibitory {
            for index in listed {
                let Some(neuron) = inhibits.get_mut(index as usize) else {
                    return Err(Error::input(format!(
                        "parameter `inhibitory` lists neuron {index}, but there are {n} neurons"
                    ))
                    .help("neurons are counted from 0"));
                };
                if std::mem::replace(neuron, true) {
                    return Err(Error::input(format!("parameter `inhibitory` lists neuron {index} twice"))
                        .help("list each neuron once"));
                }
            }
            let free = vec![false; rows];
            return Ok(Dale { inhibits: of_rows(rows, setting, &inhibits, &free)?, columns });
        }
        let assign = |inhibits: &mut [bool], purpose: &str| {
            let n = inhibits.len();
            let excitatory = (params.excitatory * n as f64).round() as usize;
            inhibits[excitatory.min(n)..].fill(true);
            if params.assignment != Assignment::Last {
                inhibits.shuffle(&mut random::stream(setting.seed, purpose));
            }
        };
        if params.assignment == Assignment::Measured {
            measured(&mut inhibits, setting, &assign)?;
        } else {
            assign(&mut inhibits, "inhibitory neurons");
        }
        let mut free = vec![false; (0..rows).filter(|&row| neuron(setting.rows, row).is_none()).count()];
        assign(&mut free, "inhibitory free units");
        Ok(Dale { inhibits: of_rows(rows, setting, &inhibits, &free)?, columns })
    }
}

/// The kinds that the substrate knows; those of other neurons are assigned by `assign`.
fn measured(inhibits: &mut [bool], setting: &Setting<'_>, assign: &dyn Fn(&mut [bool], &str)) -> Result<()> {
    let substrate = setting.substrate()?;
    let kinds = substrate.ids.get("inhibitory").ok_or_else(|| {
        Error::input(format!("substrate `{}` does not know which neurons are inhibitory", substrate.name))
            .help("use `microns.tables` with `cell_types` or `field.edges` with `transmitter`, or another `assignment`")
    })?;
    if kinds.len() != inhibits.len() {
        return Err(Error::input(format!(
            "substrate `{}` knows the kind of {} neurons, but there are {}",
            substrate.name,
            kinds.len(),
            inhibits.len()
        )));
    }
    if !kinds.iter().any(|kind| [0, 1].contains(kind)) {
        return Err(Error::input(format!(
            "substrate `{}` knows of no neuron whether it is excitatory or inhibitory",
            substrate.name
        ))
        .help("check the names of kinds in its table of neurons, or use another `assignment`"));
    }
    let mut unknown = vec![false; kinds.iter().filter(|kind| ![0, 1].contains(*kind)).count()];
    assign(&mut unknown, "inhibitory neurons");
    let mut unknown = unknown.into_iter();
    for (inhibits, kind) in inhibits.iter_mut().zip(kinds.iter()) {
        *inhibits = match kind {
            0 => false,
            1 => true,
            _ => unknown.next().unwrap_or(false),
        };
    }
    Ok(())
}

/// For each row whether it inhibits, from the neurons and the free units in their
/// order.
fn of_rows(rows: usize, setting: &Setting<'_>, neurons: &[bool], free: &[bool]) -> Result<Vec<bool>> {
    let mut free = free.iter();
    let of_row = |row| match neuron(setting.rows, row) {
        Some(neuron) => neurons.get(neuron).copied().ok_or_else(|| {
            Error::input(format!(
                "row {row} stands for neuron {neuron}, but there are {} neurons",
                neurons.len()
            ))
        }),
        None => Ok(free.next().copied().unwrap_or(false)),
    };
    (0..rows).map(of_row).collect()
}

impl Dale {
    fn shape_of(&self, at: &Point<'_>) -> Option<(usize, usize)> {
        Some(at.connections.map_or((self.inhibits.len(), self.columns), |on| (1, on.len())))
    }
}

impl Constraint for Dale {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        no_penalty(self.shape_of(at), &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        check_shape("weights", self.shape_of(at), weights.dim())?;
        for (row, &inhibits) in self.inhibits.iter().enumerate() {
            let mut row = match at.connections {
                Some(connections) => weights.slice_mut(s![0, connections.range(row)]),
                None => weights.row_mut(row),
            };
            // Comparisons, not min and max, which would turn NaN into a
            // plausible 0.
            if inhibits {
                row.mapv_inplace(|w| if w > 0.0 { 0.0 } else { w });
            } else {
                row.mapv_inplace(|w| if w < 0.0 { 0.0 } else { w });
            }
        }
        Ok(())
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, Dale);
