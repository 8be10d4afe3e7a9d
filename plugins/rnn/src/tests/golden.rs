//! Comparison with values computed by other implementations.

use std::fs::File;

use ndarray_npy::NpzReader;
use pallium_core::ndarray::{Array2, Array3, ArrayBase, Axis, IxDyn, OwnedRepr, array};
use pallium_core::prelude::*;

use super::{Adam, Size, build, distance, gradients, lent, put, quiet, tensor, train, weights};
use crate::vanilla::Params;

/// Names of the tensors in the reference file and in the model's state.
const NAMES: [(&str, &str); 5] = [
    ("kernel", "input"),
    ("recurrent", "recurrent"),
    ("bias", "bias"),
    ("dense_kernel", "readout"),
    ("dense_bias", "readout_bias"),
];

/// λ of the reference's penalty λ·Σ|W|∘D.
const STRENGTH: f64 = 1e-3;

/// An array of the reference file, flat.
fn flat(file: &mut NpzReader<File>, name: &str) -> (Vec<usize>, Vec<f64>) {
    let array: ArrayBase<OwnedRepr<f64>, IxDyn> = file.by_name(name).unwrap();
    (array.shape().to_vec(), array.iter().copied().collect())
}

/// Twenty updates in double precision by an independent implementation
/// (N = 42, 16 trials, 50 steps, 8 channels, 4 classes, no noise).
#[test]
fn follows_the_reference_trajectory() {
    let Some(path) = pallium_testing::golden("rnn_trajectory.npz") else { return };
    let mut file = NpzReader::new(File::open(path).unwrap()).unwrap();
    let inputs: Array3<f64> = file.by_name("x").unwrap();
    let targets: pallium_core::ndarray::Array1<i64> = file.by_name("y").unwrap();
    let metric: Array2<f64> = file.by_name("distance").unwrap();
    let losses: Array2<f64> = file.by_name("losses").unwrap();

    let (trials, steps, channels) = inputs.dim();
    let neurons = metric.nrows();
    let mut model = build(Size { neurons, channels, outputs: 4, trials, steps }, 1, quiet());
    for (theirs, ours) in NAMES {
        let start: Vec<f32> = flat(&mut file, theirs).1.iter().map(|&v| v as f32).collect();
        put(&mut model, ours, &start);
    }
    let mut adam = Adam::new(1e-3);
    let mut batch = Batch::zeros(trials, steps, channels);
    batch.inputs = inputs.mapv(|v| v as f32);
    for (trial, &class) in targets.iter().enumerate() {
        batch.label_at_end(trial, class as u32);
    }

    let mut worst: f64 = 0.0;
    for (update, expected) in losses.outer_iter().enumerate() {
        let pass = train(&mut model, &batch, 0);
        model.backward(pass.gradient.view(), None).unwrap();
        let mut penalty = 0.0;
        let weights = weights(&model);
        let gradient = &mut *model.learned().unwrap()[0].gradient;
        for ((&w, &d), g) in weights.iter().zip(&metric).zip(gradient) {
            penalty += STRENGTH * f64::from(w.abs()) * d;
            let sign = if w == 0.0 { 0.0 } else { w.signum() };
            *g += (STRENGTH * d) as f32 * sign;
        }
        for (found, expected) in [(pass.sums.mean(), expected[0]), (penalty, expected[1])] {
            worst = worst.max((found - expected).abs());
            assert!((found - expected).abs() < 1e-5, "before update {update}: {found}, not {expected}");
        }
        if update == 0 {
            let (_, last) = flat(&mut file, "hidden_last");
            let activity = model.activity().unwrap();
            let found = distance(activity.index_axis(Axis(0), steps - 1), last);
            assert!(found < 1e-5, "hidden states are off by {found}");
        }
        if update == 0 {
            let gradients = lent(&mut model);
            for (theirs, name) in NAMES {
                let (_, values) = gradients.iter().find(|(ours, _)| ours == name).unwrap();
                let found = distance(values, flat(&mut file, &format!("grad0_{theirs}")).1);
                println!("gradient in {name}: relative error {found:.1e}");
                assert!(found < 1e-5, "the gradient in {name} is off by {found}");
            }
        }
        adam.update(&mut model);
        if [1, 5, 20].contains(&(update + 1)) {
            for (theirs, name) in NAMES {
                let (_, expected) = flat(&mut file, &format!("after{}_{theirs}", update + 1));
                let found = distance(&tensor(&model, name), expected);
                println!("{name} after {} updates: relative error {found:.1e}", update + 1);
                assert!(found < 1e-4, "{name} is off by {found} after {} updates", update + 1);
            }
        }
    }
    println!("losses and penalties: largest error {worst:.1e}");
}

/// ((k·a + b) mod m − ⌊m/2⌋)/s over the flat index k.
fn pattern(count: usize, a: usize, b: usize, m: usize, s: f64) -> Vec<f32> {
    (0..count).map(|k| ((((k * a + b) % m) as f64 - (m / 2) as f64) / s) as f32).collect()
}

/// Values from numpy in double precision for a network of 5 neurons, with
/// gradients from central differences instead of backpropagation: trials of 4,
/// 3 and 2 steps, varying masks, no argument of a relu within 7e-4 of its kink,
/// a term Σ A∘h on the activity, with and without leak; then six updates of
/// Adam at a rate of 0.01.
#[test]
fn agrees_with_numerical_gradients_in_double_precision() {
    struct Expected {
        leak: f64,
        rows: [[f64; 5]; 2],
        norms: [f64; 5],
        losses: [f64; 6],
        bias: [f64; 5],
    }
    let expected = [
        Expected {
            leak: 1.0,
            rows: [
                [-0.0448299, -0.0112854, 0.1040227, -0.0016429, -0.120582],
                [-0.0326293, -0.0128255, 0.0259379, 0.0080954, -0.0300669],
            ],
            norms: [0.682865, 0.185321, 0.395578, 0.335936, 0.546357],
            losses: [1.0841371, 1.044492, 1.0071896, 0.9707209, 0.9355567, 0.9018168],
            bias: [0.016452, -0.014744, -0.05873, 0.05989, 0.109951],
        },
        Expected {
            leak: 0.3,
            rows: [
                [0.0007651, 0.0035024, 0.01657, -0.0136673, -0.0214719],
                [0.0005569, 0.0012571, 0.008876, -0.006037, -0.0115018],
            ],
            norms: [0.154979, 0.034772, 0.186215, 0.188138, 0.597673],
            losses: [1.1286362, 1.1070919, 1.0858048, 1.0650046, 1.044603, 1.0244582],
            bias: [-0.014764, -0.014399, -0.028376, 0.060014, 0.146914],
        },
    ];
    let size = Size { neurons: 5, channels: 2, outputs: 3, trials: 3, steps: 4 };
    let mut batch = Batch::zeros(3, 4, 2);
    batch.inputs = Array3::from_shape_vec((3, 4, 2), pattern(24, 7, 3, 13, 5.0)).unwrap();
    batch.targets =
        Targets::Classes(Array2::from_shape_fn((3, 4), |(trial, step)| ((trial * 4 + step) % 3) as u32));
    batch.lengths = vec![4, 3, 2];
    batch.mask = array![[0.0, 0.5, 0.0, 2.0], [1.0, 0.0, 1.0, 0.0], [0.0, 3.0, 0.0, 0.0]];
    let activity = Array3::from_shape_vec((4, 3, 5), pattern(60, 5, 2, 17, 100.0)).unwrap();

    for expected in expected {
        let mut model = build(size, 1, Params { leak: expected.leak, ..quiet() });
        for (name, values) in [
            ("recurrent", pattern(25, 7, 1, 11, 9.0)),
            ("input", pattern(10, 3, 2, 7, 4.0)),
            ("bias", pattern(5, 2, 1, 5, 23.0)),
            ("readout", pattern(15, 5, 3, 13, 6.0)),
            ("readout_bias", pattern(3, 1, 0, 3, 8.0)),
        ] {
            put(&mut model, name, &values);
        }
        let mut adam = Adam::new(0.01);
        for (update, loss) in expected.losses.into_iter().enumerate() {
            let pass = train(&mut model, &batch, 0);
            let found = pass.sums.mean();
            assert!((found - loss).abs() < 1e-6, "leak {}, update {update}: {found}", expected.leak);
            let gradients = gradients(&mut model, &pass, Some(&activity));
            if update == 0 {
                for (row, expected) in [1, 3].into_iter().zip(expected.rows) {
                    for (found, expected) in gradients[0].1[5 * row..].iter().zip(expected) {
                        assert!((f64::from(*found) - expected).abs() < 3e-7, "{found} for {expected}");
                    }
                }
                let norms = NAMES.iter().zip(expected.norms);
                for ((_, name), expected) in norms {
                    let (_, values) = gradients.iter().find(|(ours, _)| ours == name).unwrap();
                    let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    assert!((norm - expected).abs() < 3e-6, "{name}: {norm} for {expected}");
                }
            }
            adam.update(&mut model);
        }
        for (found, expected) in tensor(&model, "bias").into_iter().zip(expected.bias) {
            assert!((f64::from(found) - expected).abs() < 3e-6, "{found} for {expected}");
        }
    }
}
