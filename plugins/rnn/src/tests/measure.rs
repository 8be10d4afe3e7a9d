//! Prints the speed of training steps: `cargo test --release -p pallium-rnn speed --
//! --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_linalg::{View, Write, product};

use super::{Adam, FULL, Size, batch, build, build_any, evaluate, learn, train};
use crate::layout::Layout;
use crate::vanilla::{Params, Vanilla};

/// Minimum and median of many runs, in milliseconds.
fn times(runs: usize, mut work: impl FnMut()) -> (f64, f64) {
    work();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[runs / 2])
}

/// Chains of dependent fused multiply-adds: enough to hide latency, few enough
/// to stay in registers.
struct Chains;

impl Chains {
    const COUNT: usize = 12;
    const REPEATS: usize = 1_000_000;
}

impl pulp::WithSimd for Chains {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> usize {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut sums = [simd.splat_f32s(1.0); Chains::COUNT];
        for _ in 0..Chains::REPEATS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        black_box(sums);
        Chains::REPEATS * Chains::COUNT * S::F32_LANES * 2
    }
}

/// The best rate of f32 fused multiply-adds in registers, in GFLOP/s.
fn peak() -> f64 {
    let mut work = 0;
    let (least, _) = times(15, || work = pulp::Arch::new().dispatch(Chains));
    work as f64 / least / 1e6
}

/// The rate of the recurrent product, in GFLOP/s.
fn product_rate(size: Size) -> f64 {
    let (b, n) = (size.trials, size.neurons);
    let (left, right, mut out) = (vec![0.3_f32; b * n], vec![0.2_f32; n * n], vec![0.0_f32; b * n]);
    let (least, _) = times(200, || {
        product(&mut out, Write::Replace, View::new(&left, n), View::new(&right, n), 1.0);
    });
    (2 * b * n * n) as f64 / least / 1e6
}

#[test]
#[ignore = "measures; needs a quiet machine"]
fn speed() {
    let peak = peak();
    println!("peak of fused multiply-adds (f32, one core): {peak:.0} GFLOP/s");
    println!("one product 128×312×312 with faer, repeated: {:.0} GFLOP/s", product_rate(FULL));
    let trials = batch(FULL, 1);
    let mut every = trials.clone();
    every.mask.fill(1.0);
    let n = FULL.neurons;
    // Three products per step except the first, and those of the inputs.
    let work = (6 * FULL.trials * n * n * (FULL.steps - 1)
        + 4 * FULL.trials * FULL.steps * (FULL.channels + 1) * n) as f64;
    let report = |name: &str, threads: usize, batch: &Batch, params: Params| {
        let mut model: Vanilla = build(FULL, threads, params);
        let mut adam = Adam::new(1e-3);
        let step = times(40, || drop(learn(&mut model, &mut adam, batch, 1)));
        let rate = work / step.0 / 1e6;
        let forward = times(15, || assert!(train(&mut model, batch, 1).sums.loss > 0.0));
        let pass = train(&mut model, batch, 1);
        let backward = times(15, || model.backward(pass.gradient.view(), None).unwrap());
        let both = times(40, || {
            let pass = train(&mut model, batch, 1);
            model.backward(pass.gradient.view(), None).unwrap();
        });
        let evaluate = times(15, || assert!(evaluate(&mut model, batch).sums.loss > 0.0));
        println!(
            "{name}, {threads} thread(s): step {:.2} ms (median {:.2}; {rate:.0} GFLOP/s, {:.0} % of one core's \
             peak); forward {:.2}, backward {:.2}, both {:.2}, evaluate {:.2} ms",
            step.0,
            step.1,
            100.0 * rate / peak,
            forward.0,
            backward.0,
            both.0,
            evaluate.0
        );
    };
    report("label at the end", 1, &trials, Params::default());
    report("label at the end, no noise", 1, &trials, Params { noise: 0.0, ..Params::default() });
    report("label at the end, leak 0.2", 1, &trials, Params { leak: 0.2, ..Params::default() });
    report("every step scored", 1, &every, Params::default());
    report("label at the end", 2, &trials, Params::default());
}

/// All models.
#[test]
#[ignore = "measures; needs a quiet machine"]
fn speed_of_models() {
    use crate::{candle::Candle, gru::Gru, leaky::Leaky, lstm::Lstm};
    use crate::{populations::Populations, reservoir::Reservoir, trained::Trained};
    fn report<M: Component + Model>(params: Value, trials: &Batch) {
        let mut model: M = build_any(&params, &FULL.setting(1));
        model.initialise((Matrix::eye(FULL.neurons) * 0.5).view(), 1).unwrap();
        let blocks = model.info().recurrent().count();
        let mut adam = Adam::new(1e-3);
        let own = model.info().updates_itself;
        let (least, median) = times(10, || {
            let pass = train(&mut model, trials, 1);
            model.backward(pass.gradient.view(), None).unwrap();
            if own { model.update_itself().unwrap() } else { adam.update(&mut model) }
        });
        println!("{} {params}: step {least:.1} ms (median {median:.1}), {blocks} blocks", M::ID);
    }
    let trials = batch(FULL, 1);
    report::<Vanilla>(json!({}), &trials);
    report::<Vanilla>(json!({"leak": 0.2}), &trials);
    report::<Layout<Leaky>>(json!({}), &trials);
    report::<Layout<Leaky>>(json!({"recurrent_noise": 0.0}), &trials);
    report::<Trained<Gru>>(json!({}), &trials);
    report::<Trained<Lstm>>(json!({}), &trials);
    report::<Candle>(json!({}), &trials);
    report::<Populations>(json!({}), &trials);
    report::<Reservoir>(json!({}), &trials);
}
