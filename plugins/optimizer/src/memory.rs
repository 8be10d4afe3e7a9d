//! What an optimizer remembers of each parameter.

use pallium_core::prelude::*;

/// Name of the tensor that counts updates.
const UPDATES: &str = "updates";

/// Buffers of the shape of each parameter, and the number of updates.
pub(crate) struct Memory {
    /// Names of the buffers.
    kinds: &'static [&'static str],
    parameters: Vec<Remembered>,
    updates: u64,
}

struct Remembered {
    name: String,
    shape: Vec<usize>,
    /// One for each kind.
    buffers: Vec<Vec<f32>>,
}

/// Stands between the names of a buffer and of its parameter.
const OF: char = '.';

impl Memory {
    /// No memory yet.
    pub fn new(kinds: &'static [&'static str]) -> Self {
        Memory { kinds, parameters: Vec::new(), updates: 0 }
    }

    /// Begins an update of `learned`: returns its number, from 1.
    ///
    /// # Errors
    /// If the parameters are not those of earlier updates.
    pub fn begin(&mut self, learned: &[Learned<'_>]) -> Result<u64> {
        if self.parameters.is_empty() {
            self.parameters = learned
                .iter()
                .map(|parameter| Remembered {
                    name: parameter.name.into(),
                    shape: parameter.shape.into(),
                    buffers: vec![vec![0.0; parameter.values.len()]; self.kinds.len()],
                })
                .collect();
        }
        let same = |(known, given): (&Remembered, &Learned<'_>)| {
            known.name == given.name && known.shape == given.shape
        };
        if self.parameters.len() != learned.len() || !self.parameters.iter().zip(learned).all(same) {
            let names = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
            return Err(Error::input(format!(
                "the optimizer was used for the parameters {}, but now for {}",
                names(&mut self.parameters.iter().map(|p| format!("{} {:?}", p.name, p.shape))),
                names(&mut learned.iter().map(|p| format!("{} {:?}", p.name, p.shape)))
            ))
            .help("use a new optimizer for another model"));
        }
        self.updates += 1;
        Ok(self.updates)
    }

    /// The parameters with their buffers.
    pub fn each<'a, 'b, const KINDS: usize>(
        &'a mut self,
        learned: &'a mut [Learned<'b>],
    ) -> impl Iterator<Item = (&'a mut Learned<'b>, [&'a mut [f32]; KINDS])> {
        learned.iter_mut().zip(&mut self.parameters).map(|(parameter, known)| {
            let mut buffers = known.buffers.iter_mut();
            (parameter, std::array::from_fn(|_| buffers.next().map(Vec::as_mut_slice).unwrap_or_default()))
        })
    }

    /// As [`Optimizer::rewired`]: added connections have an empty memory.
    ///
    /// # Errors
    /// If the parameter has another number of connections.
    pub fn rewired(&mut self, parameter: &str, change: &RewiringView<'_>) -> Result<()> {
        let known = self.parameters.iter_mut().filter(|known| known.name == parameter);
        for buffer in known.flat_map(|known| &mut known.buffers) {
            if buffer.len() != change.before || change.before != change.connections.len() {
                return Err(Error::input(format!(
                    "`{parameter}` has {} values, but {} connections became {}",
                    buffer.len(),
                    change.before,
                    change.connections.len()
                )));
            }
            *buffer = change.carry(buffer, 0.0);
        }
        Ok(())
    }

    /// As [`Optimizer::state`].
    pub fn state(&self) -> Vec<Tensor> {
        let mut state = vec![Tensor::new(UPDATES, [1], vec![self.updates])];
        for (index, kind) in self.kinds.iter().enumerate() {
            for known in &self.parameters {
                let name = format!("{kind}{OF}{}", known.name);
                state.push(Tensor::new(name, known.shape.clone(), known.buffers[index].clone()));
            }
        }
        state
    }

    /// As [`Optimizer::restore`].
    ///
    /// # Errors
    /// If a buffer of a parameter is missing or has another shape.
    pub fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        if state.is_empty() {
            *self = Memory::new(self.kinds);
            return Ok(());
        }
        let updates = Tensor::find::<u64>(state, UPDATES, &[1])?[0];
        let mut parameters = Vec::new();
        // Without buffers (plain gradient descent) there is nothing to restore.
        if let Some(first) = self.kinds.first() {
            let prefix = format!("{first}{OF}");
            for tensor in state {
                let Some(name) = tensor.name.strip_prefix(&prefix) else { continue };
                let buffer = |kind: &&str| {
                    let values = Tensor::find::<f32>(state, &format!("{kind}{OF}{name}"), &tensor.shape)?;
                    Ok(values.to_vec())
                };
                let buffers = self.kinds.iter().map(buffer).collect::<Result<_>>()?;
                parameters.push(Remembered { name: name.into(), shape: tensor.shape.clone(), buffers });
            }
        }
        *self = Memory { kinds: self.kinds, parameters, updates };
        Ok(())
    }
}

/// Refuses a value outside [0, 1).
pub(crate) fn below_one(name: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::input(format!("parameter `{name}` is {value}")).help("it must be at least 0 and below 1"))
}

/// Refuses an ε that is 0 in single precision.
pub(crate) fn above_zero(name: &str, value: f64) -> Result<()> {
    at_least_zero(name, value)?;
    // Compared after the conversion: the f32 that is used must not be 0.
    if value as f32 == 0.0 {
        return Err(Error::input(format!("parameter `{name}` is {value}"))
            .help("it must be above 0: a unit that was never active would divide 0 by 0"));
    }
    Ok(())
}
