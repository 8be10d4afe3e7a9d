//! `optimizer.adamw`: Adam with decoupled weight decay (Loshchilov and Hutter 2019).

use pallium_core::prelude::*;

use crate::adam::{Form, MOMENTS, Rule};
use crate::memory::Memory;

pallium_core::params! {
    /// Parameters of AdamW, with PyTorch's defaults.
    pub struct Params {
        /// Learning rate; at least 0.
        learning_rate: f64 = 1e-3,
        /// β1, decay rate of the mean gradient; at least 0, below 1.
        beta1: f64 = 0.9,
        /// β2, decay rate of the mean squared gradient; at least 0, below 1.
        beta2: f64 = 0.999,
        /// ε, added to √v̂; above 0.
        epsilon: f64 = 1e-8,
        /// Decay: every parameter is first multiplied by 1 − learning rate × decay;
        /// at least 0.
        weight_decay: f64 = 1e-2,
    }
}

/// AdamW: Adam in PyTorch's form, with a decay of all parameters that does not
/// pass through the moments.
pub(crate) struct AdamW {
    rule: Rule,
    decay: f64,
    memory: Memory,
}

impl Component for AdamW {
    const ID: &'static str = "optimizer.adamw";
    const ABOUT: &'static str = "Adam with decoupled weight decay";
    const CITE: &'static str = "Loshchilov and Hutter 2019, ICLR, arXiv 1711.05101; Kingma and Ba 2015";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("weight_decay", params.weight_decay)?;
        let Params { learning_rate, beta1, beta2, epsilon, weight_decay } = params;
        let rule = Rule { learning_rate, beta1, beta2, epsilon, form: Form::Torch }.check()?;
        Ok(AdamW { rule, decay: weight_decay, memory: Memory::new(MOMENTS) })
    }
}
pallium_core::register!(Optimizer, AdamW);

impl Optimizer for AdamW {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        let count = self.memory.begin(parameters)?;
        let keep = (1.0 - self.rule.learning_rate * at.factor * self.decay) as f32;
        for parameter in parameters.iter_mut() {
            parameter.values.iter_mut().for_each(|w| *w *= keep);
        }
        self.rule.update(&mut self.memory, count, at.factor, parameters);
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(self.memory.state())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        self.memory.restore(state)
    }

    fn rewired(&mut self, parameter: &str, change: &RewiringView<'_>) -> Result<()> {
        self.memory.rewired(parameter, change)
    }
}
