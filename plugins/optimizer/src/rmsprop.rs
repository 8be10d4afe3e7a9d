//! `optimizer.rmsprop`: RMSprop.

use pallium_core::prelude::*;

use crate::memory::{Memory, above_zero, below_one};

pallium_core::params! {
    /// Parameters of RMSprop, with PyTorch's defaults.
    pub struct Params {
        /// Learning rate; at least 0.
        learning_rate: f64 = 1e-2,
        /// Decay rate of the mean squared gradient; at least 0, below 1.
        decay: f64 = 0.99,
        /// ε, added to the root of the mean squared gradient; above 0.
        epsilon: f64 = 1e-8,
        /// Momentum: share of the previous update that is added; at least 0, below 1.
        momentum: f64 = 0.0,
        /// Whether the mean gradient is subtracted before squaring (Graves 2013).
        centered: bool = false,
    }
}

/// RMSprop as PyTorch computes it: the gradient divided by the root of the running
/// mean of its square, plus ε.
pub(crate) struct RmsProp {
    params: Params,
    memory: Memory,
}

impl Component for RmsProp {
    const ID: &'static str = "optimizer.rmsprop";
    const ABOUT: &'static str = "RMSprop: gradients divided by their running root mean square";
    const CITE: &'static str =
        "Tieleman and Hinton 2012, Coursera lecture 6.5; centred: Graves 2013, arXiv 1308.0850";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("learning_rate", params.learning_rate)?;
        below_one("decay", params.decay)?;
        above_zero("epsilon", params.epsilon)?;
        below_one("momentum", params.momentum)?;
        Ok(RmsProp { params, memory: Memory::new(&["mean_square", "mean", "momentum"]) })
    }
}
pallium_core::register!(Optimizer, RmsProp);

impl Optimizer for RmsProp {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        self.memory.begin(parameters)?;
        let rate = (self.params.learning_rate * at.factor) as f32;
        let (fresh, momentum) = ((1.0 - self.params.decay) as f32, self.params.momentum as f32);
        let (epsilon, centered) = (self.params.epsilon as f32, self.params.centered);
        for (parameter, [square, mean, last]) in self.memory.each(parameters) {
            let buffers = square.iter_mut().zip(mean).zip(last);
            for ((w, &g), ((square, mean), last)) in
                parameter.values.iter_mut().zip(parameter.gradient).zip(buffers)
            {
                *square += (g * g - *square) * fresh;
                let spread = if centered {
                    *mean += (g - *mean) * fresh;
                    // Rounding may make it negative where the gradient is constant.
                    (*square - *mean * *mean).max(0.0)
                } else {
                    *square
                };
                let step = g / (spread.sqrt() + epsilon);
                *last = momentum * *last + step;
                *w -= rate * *last;
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
