//! Adam (Kingma and Ba 2015) in the form that Keras computes.

use pallium_core::prelude::*;

use crate::elementwise::{AdamStep, adam};

/// Values above which a count in f32 would lose its last digit.
const DIGIT: u64 = 1 << 24;

/// Rates of the optimizer.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
}

impl Rates {
    /// The factors of update number `count`, counted from 1.
    pub fn step(&self, count: u64) -> AdamStep {
        let power = |beta: f64| 1.0 - beta.powf(count as f64);
        AdamStep {
            rate: (self.learning_rate * power(self.beta2).sqrt() / power(self.beta1)) as f32,
            first: (1.0 - self.beta1) as f32,
            second: (1.0 - self.beta2) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// Running means of a group of gradients and of their squares.
#[derive(Clone)]
pub(crate) struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl Moments {
    /// Moments of `count` parameters that have not been updated yet.
    pub fn zeros(count: usize) -> Self {
        Moments { first: vec![0.0; count], second: vec![0.0; count] }
    }

    /// Updates `parameters` along `gradient`; both begin `offset` parameters
    /// into the group.
    pub fn update(&mut self, step: AdamStep, offset: usize, parameters: &mut [f32], gradient: &[f32]) {
        let range = offset..offset + gradient.len();
        adam(step, parameters, gradient, &mut self.first[range.clone()], &mut self.second[range]);
    }
}

/// The number of updates as a tensor of two values, the higher first: one f32
/// would stop counting at 2^24.
pub(crate) fn count_tensor(name: &str, count: u64) -> Tensor {
    Tensor { name: name.into(), shape: vec![2], values: vec![(count / DIGIT) as f32, (count % DIGIT) as f32] }
}

/// Reads what [`count_tensor`] wrote.
pub(crate) fn count_of(name: &str, values: &[f32]) -> Result<u64> {
    let whole = |v: f32| (v >= 0.0 && v < DIGIT as f32 && v.fract() == 0.0).then_some(v as u64);
    match values {
        [high, low] if whole(*high).is_some() && whole(*low).is_some() => {
            Ok(*high as u64 * DIGIT + *low as u64)
        }
        _ => Err(Error::input(format!("tensor `{name}` is {values:?}, which is not a number of updates"))
            .help("the saved state is damaged; start from another one")),
    }
}

/// Values in f64 as a tensor with one more axis of 4: their bits, 16 at a time,
/// the highest first, each a whole number that f32 holds exactly.
pub(crate) fn exact_tensor(name: &str, shape: &[usize], values: &[f64]) -> Tensor {
    let parts = |v: &f64| [48, 32, 16, 0].map(|shift| f32::from((v.to_bits() >> shift) as u16));
    let shape = shape.iter().copied().chain([4]).collect();
    Tensor { name: name.into(), shape, values: values.iter().flat_map(parts).collect() }
}

/// Reads what [`exact_tensor`] wrote.
pub(crate) fn exact_of(name: &str, values: &[f32]) -> Result<Vec<f64>> {
    let part = |v: &f32| ((0.0..=65_535.0).contains(v) && v.fract() == 0.0).then_some(*v as u64);
    let whole =
        |four: &[f32]| four.iter().try_fold(0, |bits, v| Some(bits << 16 | part(v)?)).map(f64::from_bits);
    values.chunks_exact(4).map(whole).collect::<Option<_>>().ok_or_else(|| {
        Error::input(format!("tensor `{name}` of the saved state does not hold numbers in parts"))
            .help("the saved state is damaged; start from another one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_beyond_the_digits_of_f32() {
        for count in [0, 1, 400, DIGIT - 1, DIGIT, DIGIT + 1, 987_654_321_987] {
            assert_eq!(count_of("n", &count_tensor("n", count).values).unwrap(), count);
        }
        assert!(count_of("n", &[0.0, 0.5]).is_err());
        assert!(count_of("n", &[0.0, f32::NAN]).is_err());
        assert!(count_of("n", &[1.0]).is_err());
    }

    #[test]
    fn numbers_in_parts_are_exact() {
        let values = [0.0, -0.0, 1.0, -1e300, 5e-324, f64::MAX, std::f64::consts::PI, 1.0 / 3.0];
        let tensor = exact_tensor("x", &[2, 4], &values);
        assert_eq!((tensor.shape.as_slice(), tensor.values.len()), (&[2, 4, 4][..], 32));
        let back = exact_of("x", &tensor.values).unwrap();
        assert!(back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        for wrong in [0.5, -1.0, 65_536.0, f32::NAN] {
            assert!(exact_of("x", &[0.0, 0.0, wrong, 0.0]).is_err());
        }
    }

    #[test]
    fn follows_the_recursion_in_double_precision() {
        let rates = Rates { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
        let gradient = |t: u64, i: usize| ((t * 7 + i as u64 * 13) % 11) as f64 * 0.01 - 0.04;
        let (mut w, mut moments) = (vec![0.5_f32; 37], Moments::zeros(37));
        let (mut w64, mut m64, mut v64) = (vec![0.5; 37], vec![0.0; 37], vec![0.0; 37]);
        for t in 1..=50 {
            let g: Vec<f32> = (0..37).map(|i| gradient(t, i) as f32).collect();
            moments.update(rates.step(t), 0, &mut w, &g);
            let rate = 1e-3 * (1.0 - 0.999_f64.powi(t as i32)).sqrt() / (1.0 - 0.9_f64.powi(t as i32));
            for i in 0..37 {
                let g = gradient(t, i);
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.999 * v64[i] + 0.001 * g * g;
                w64[i] -= rate * m64[i] / (f64::sqrt(v64[i]) + 1e-7);
            }
        }
        for (w, w64) in w.iter().zip(&w64) {
            assert!((f64::from(*w) - w64).abs() < 1e-6, "{w} against {w64}");
        }
    }
}
