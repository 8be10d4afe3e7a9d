//! `optimizer.sgd`: stochastic gradient descent.

use pallium_core::prelude::*;

use crate::memory::{Memory, below_one};

pallium_core::params! {
    /// Parameters of gradient descent.
    pub struct Params {
        /// Learning rate; at least 0.
        learning_rate: f64 = 1e-2,
        /// Momentum μ: share of the previous update that is added; at least 0, below 1.
        momentum: f64 = 0.0,
        /// Whether to use Nesterov momentum: the gradient one step ahead.
        nesterov: bool = false,
    }
}

/// Gradient descent as PyTorch computes it: b ← μ·b + g, and w ← w − rate·b, or
/// w − rate·(g + μ·b) with `nesterov`.
pub(crate) struct Sgd {
    params: Params,
    memory: Memory,
}

impl Component for Sgd {
    const ID: &'static str = "optimizer.sgd";
    const ABOUT: &'static str = "stochastic gradient descent, with momentum";
    const CITE: &'static str = "Robbins and Monro 1951, Ann. Math. Stat. 22:400; momentum: Sutskever, Martens, \
                                Dahl, Hinton 2013, ICML 1139";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("learning_rate", params.learning_rate)?;
        below_one("momentum", params.momentum)?;
        if params.nesterov && params.momentum == 0.0 {
            return Err(Error::input("parameter `nesterov` is true, but `momentum` is 0")
                .help("set `momentum`, such as 0.9, or leave `nesterov` out"));
        }
        let kinds: &[&str] = if params.momentum > 0.0 { &["momentum"] } else { &[] };
        Ok(Sgd { params, memory: Memory::new(kinds) })
    }
}
pallium_core::register!(Optimizer, Sgd);

impl Optimizer for Sgd {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        self.memory.begin(parameters)?;
        let rate = (self.params.learning_rate * at.factor) as f32;
        let momentum = self.params.momentum as f32;
        if momentum == 0.0 {
            for parameter in parameters {
                for (w, g) in parameter.values.iter_mut().zip(parameter.gradient) {
                    *w -= rate * g;
                }
            }
            return Ok(());
        }
        for (parameter, [last]) in self.memory.each(parameters) {
            for ((w, &g), last) in parameter.values.iter_mut().zip(parameter.gradient).zip(last) {
                *last = momentum * *last + g;
                *w -= rate * if self.params.nesterov { g + momentum * *last } else { *last };
            }
        }
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
