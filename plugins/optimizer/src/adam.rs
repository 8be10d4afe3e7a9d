//! `optimizer.adam`: Adam (Kingma and Ba 2015).

use pallium_core::prelude::*;
use pulp::Arch;

use crate::memory::{Memory, above_zero, below_one};

pallium_core::choice! {
    /// Where ε is added.
    pub enum Form {
        /// m/(√v + ε)·√(1 − β2ᵗ)/(1 − β1ᵗ), as Keras and TensorFlow compute it.
        Keras = "keras",
        /// m̂/(√v̂ + ε), as PyTorch and the paper compute it.
        Torch = "torch",
    }
}

pallium_core::params! {
    /// Parameters of Adam.
    pub struct Params {
        /// Learning rate; at least 0.
        learning_rate: f64 = 1e-3,
        /// β1, decay rate of the mean gradient; at least 0, below 1.
        beta1: f64 = 0.9,
        /// β2, decay rate of the mean squared gradient; at least 0, below 1.
        beta2: f64 = 0.999,
        /// ε; above 0. If left out, 1e-7 in the form of Keras and 1e-8 in that of
        /// PyTorch.
        epsilon: Option<f64> = None,
        /// Where ε is added; the two forms differ while gradients are small.
        form: Form = Form::Keras,
    }
}

/// Adam: steps along the running mean m of the gradient, divided by the root of
/// the running mean v of its square, both corrected for their start at 0.
pub(crate) struct Adam {
    rule: Rule,
    memory: Memory,
}

/// The arithmetic of Adam, without its memory.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub form: Form,
}

/// Names of the buffers.
pub(crate) const MOMENTS: &[&str] = &["first_moment", "second_moment"];

/// The factors of one update, in single precision.
#[derive(Clone, Copy)]
struct Factors {
    /// The learning rate with the corrections that stand outside the root.
    rate: f32,
    /// 1 − β1 and 1 − β2.
    first: f32,
    second: f32,
    /// Factor on √v.
    root: f32,
    epsilon: f32,
}

impl Rule {
    /// Refuses parameters that are out of range.
    pub fn check(self) -> Result<Self> {
        at_least_zero("learning_rate", self.learning_rate)?;
        below_one("beta1", self.beta1)?;
        below_one("beta2", self.beta2)?;
        above_zero("epsilon", self.epsilon)?;
        Ok(self)
    }

    fn factors(&self, count: u64, factor: f64) -> Factors {
        let correction = |beta: f64| 1.0 - beta.powf(count as f64);
        let (first, second) = (correction(self.beta1), correction(self.beta2).sqrt());
        let rate = self.learning_rate * factor;
        let (rate, root) = match self.form {
            Form::Keras => (rate * second / first, 1.0),
            Form::Torch => (rate / first, 1.0 / second),
        };
        Factors {
            rate: rate as f32,
            first: (1.0 - self.beta1) as f32,
            second: (1.0 - self.beta2) as f32,
            root: root as f32,
            epsilon: self.epsilon as f32,
        }
    }

    /// Update number `count` of all parameters.
    pub fn update(&self, memory: &mut Memory, count: u64, factor: f64, learned: &mut [Learned<'_>]) {
        let factors = self.factors(count, factor);
        for (parameter, [first, second]) in memory.each(learned) {
            let (values, gradient) = (&mut *parameter.values, parameter.gradient);
            Arch::new().dispatch(|| work(factors, values, gradient, first, second));
        }
    }
}

// A function of slices: only then does it vectorise.
#[inline(always)]
fn work(factors: Factors, parameters: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32]) {
    for (((w, &g), m), v) in parameters.iter_mut().zip(gradient).zip(m).zip(v) {
        *m += (g - *m) * factors.first;
        *v += (g * g - *v) * factors.second;
        *w -= factors.rate * *m / (v.sqrt() * factors.root + factors.epsilon);
    }
}

impl Component for Adam {
    const ID: &'static str = "optimizer.adam";
    const ABOUT: &'static str = "Adam: adaptive moment estimation, in the form of Keras or of PyTorch";
    const CITE: &'static str = "Kingma and Ba 2015, ICLR, arXiv 1412.6980";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let epsilon = params.epsilon.unwrap_or(match params.form {
            Form::Keras => 1e-7,
            Form::Torch => 1e-8,
        });
        let Params { learning_rate, beta1, beta2, form, .. } = params;
        let rule = Rule { learning_rate, beta1, beta2, epsilon, form }.check()?;
        Ok(Adam { rule, memory: Memory::new(MOMENTS) })
    }
}
pallium_core::register!(Optimizer, Adam);

impl Optimizer for Adam {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        let count = self.memory.begin(parameters)?;
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
