//! Optimizers, schedules, clipping, early stopping and fresh trials in experiment
//! files: what they do to a training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Scratch, pallium, read_json, results, tensors, text, trainings};

/// A finished run.
struct Ran {
    folder: Scratch,
    trainings: BTreeMap<String, PathBuf>,
}

/// Runs an experiment with these lines at its top and these variants.
fn run(top: &str, variants: &str) -> Ran {
    let folder = Scratch::new();
    let file = folder.path().join("x.toml");
    std::fs::write(
        &file,
        format!(
            "seed = 5\nruns = 1\ntasks = [\"cognition.one-choice\"]\n{top}\
             [substrate]\nuse = \"synthetic.field\"\nneurons = 10\n[metrics]\nuse = []\n{variants}"
        ),
    )
    .unwrap();
    let out = folder.path().join("out");
    pallium(&["run", text(&file), "--out", text(&out), "--jobs", "2"]).ok();
    assert!(results(&out).iter().all(|row| row["status"] == "ok"));
    let trainings = trainings(&out);
    Ran { folder, trainings }
}

impl Ran {
    /// All trained parameters of a variant, one after another.
    fn parameters(&self, variant: &str) -> Vec<f32> {
        let tensors = tensors(&self.trainings[variant].join("weights.safetensors"));
        tensors
            .into_iter()
            .filter(|(name, _)| name != "initial")
            .flat_map(|(_, (_, values))| values)
            .collect()
    }

    fn tensor(&self, variant: &str, name: &str) -> Vec<f32> {
        tensors(&self.trainings[variant].join("weights.safetensors"))
            .remove(name)
            .expect("the model has it")
            .1
    }

    /// A column of a variant's learning curves.
    fn curve(&self, variant: &str, column: &str) -> Vec<f64> {
        let mut reader = csv::Reader::from_path(self.trainings[variant].join("curves.csv")).unwrap();
        let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
        reader.records().map(|row| row.unwrap()[at].parse().unwrap()).collect()
    }

    fn spec(&self, variant: &str) -> Value {
        read_json(&self.trainings[variant].join("cell.json"))["spec"].clone()
    }

    fn value(&self, variant: &str, split: &str, measure: &str) -> f64 {
        let rows = results(&self.folder.path().join("out"));
        let row =
            rows.iter().find(|r| (&*r["variant"], &*r["split"], &*r["measure"]) == (variant, split, measure));
        row.expect("the run has it")["value"].parse().unwrap()
    }
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn difference(one: &[f32], two: &[f32]) -> f64 {
    assert_eq!(one.len(), two.len());
    norm(one.iter().zip(two).map(|(a, b)| f64::from(a - b)))
}

#[test]
fn a_schedule_multiplies_the_rate_of_any_optimizer() {
    for optimizer in ["optimizer.sgd", "optimizer.adam", "optimizer.adamw", "optimizer.rmsprop"] {
        let ran = run(
            &format!("[optimizer]\nuse = \"{optimizer}\"\n[training]\nepochs = 4\ntrials = 64\nbatch = 16\n"),
            // With a factor of 0 nothing changes after the first epoch.
            "[[variant]]\nname = \"one epoch\"\ntraining = { epochs = 1 }\n\
             [[variant]]\nname = \"four\"\ntraining = { schedule = { use = \"step\", factor = 0.0 } }\n\
             [[variant]]\nname = \"constant\"\n",
        );
        assert_eq!(ran.parameters("one epoch"), ran.parameters("four"), "{optimizer}");
        assert!(difference(&ran.parameters("constant"), &ran.parameters("four")) > 1e-4, "{optimizer}");
    }
}

#[test]
fn a_warm_up_of_one_epoch_takes_equal_steps_to_the_rate() {
    // Gradient descent on one batch an epoch: the first update has half the rate in a
    // warm-up of two epochs.
    let ran = run(
        "[optimizer]\nuse = \"optimizer.sgd\"\nlearning_rate = 0.5\n\
         [training]\nepochs = 2\ntrials = 32\nbatch = 32\n",
        "[[variant]]\nname = \"warm\"\ntraining = { schedule = { warm_up = 2 } }\n\
         [[variant]]\nname = \"half\"\noptimizer = { learning_rate = 0.25 }\n\
         [[variant]]\nname = \"full\"\n",
    );
    let first = |variant: &str| ran.curve(variant, "validation_loss")[0];
    assert_eq!(first("warm"), first("half"));
    assert_ne!(first("warm"), first("full"));
    assert_ne!(ran.parameters("warm"), ran.parameters("half"), "the second update has the full rate");
}

#[test]
fn clipping_bounds_the_gradient_of_all_parameters_together() {
    let ran = run(
        "[optimizer]\nuse = \"optimizer.sgd\"\nlearning_rate = 2.0\n\
         [training]\nepochs = 1\ntrials = 32\nbatch = 32\n",
        "[[variant]]\nname = \"1\"\ntraining = { clip_norm = 0.001 }\n\
         [[variant]]\nname = \"3\"\ntraining = { clip_norm = 0.003 }\n\
         [[variant]]\nname = \"value\"\ntraining = { clip_value = 1e-5 }\n\
         [[variant]]\nname = \"decay\"\ntraining = { clip_norm = 0.001, weight_decay = 0.25 }\n\
         [[variant]]\nname = \"free\"\n",
    );
    // One update along the same direction: the difference is the rate times that of the
    // norms, 2·(0.003 − 0.001).
    let [one, three, free] = ["1", "3", "free"].map(|name| ran.parameters(name));
    let found = difference(&one, &three);
    assert!((found / 0.004 - 1.0).abs() < 2e-3, "{found}");
    assert!(difference(&one, &free) > 0.01);
    // What is decayed is added after clipping: with a rate of 2 and a factor of 0.25,
    // half of the initial weights are left.
    let initial = ran.tensor("decay", "initial");
    let [one, decay] = ["1", "decay"].map(|name| ran.tensor(name, "recurrent"));
    for ((one, decayed), initial) in one.iter().zip(&decay).zip(&initial) {
        assert!((one - 0.5 * initial - decayed).abs() < 1e-6, "{one} {decayed} {initial}");
    }
    // No entry moves by more than the rate times the limit.
    let (moved, initial) = (ran.tensor("value", "recurrent"), ran.tensor("value", "initial"));
    let most = moved.iter().zip(&initial).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most > 0.0 && most < 2.1e-5, "{most}");
}

#[test]
fn a_training_stops_where_its_curve_says() {
    let ran = run(
        "[training]\nepochs = 30\ntrials = 64\nbatch = 32\n",
        "[[variant]]\nname = \"immediately\"\ntraining = { early_stopping = { patience = 2, least = 100.0 } }\n\
         [[variant]]\nname = \"curve\"\ntraining = { early_stopping = { measure = \"running_loss\", patience = 2 } }\n\
         [[variant]]\nname = \"never\"\ntraining = { epochs = 5, early_stopping = { patience = 9 } }\n",
    );
    // The first epoch improves on nothing, however large an improvement must be.
    assert_eq!(ran.curve("immediately", "epoch"), [1.0, 2.0, 3.0]);
    assert_eq!(ran.curve("never", "epoch").len(), 5);
    let losses = ran.curve("curve", "running_loss");
    let (mut best, mut waiting, mut end) = (f64::INFINITY, 0, losses.len());
    for (epoch, &loss) in losses.iter().enumerate() {
        (best, waiting) = if loss < best { (loss, 0) } else { (best, waiting + 1) };
        if waiting == 2 {
            end = epoch + 1;
            break;
        }
    }
    assert_eq!(losses.len(), end, "{losses:?}");
}

#[test]
fn fresh_trials_are_new_in_every_epoch() {
    let ran = run(
        "[training]\nepochs = 3\ntrials = 64\nbatch = 32\n",
        "[[variant]]\nname = \"same\"\n[[variant]]\nname = \"fresh\"\ntraining = { fresh = true }\n",
    );
    let [same, fresh] = ["same", "fresh"].map(|name| ran.curve(name, "running_loss"));
    assert_eq!(same[0], fresh[0], "the first trials are the same");
    assert!(same[1] != fresh[1] && same[2] != fresh[2], "{same:?} {fresh:?}");
}

#[test]
fn a_variant_has_its_own_model_optimizer_and_training() {
    let ran = run(
        "model = { use = \"rnn.vanilla\", noise = 0.0 }\n\
         [optimizer]\nuse = \"optimizer.adam\"\nlearning_rate = 0.02\n\
         [training]\nepochs = 2\ntrials = 64\nbatch = 32\n",
        "[[variant]]\nname = \"usual\"\n\
         [[variant]]\nname = \"model\"\nmodel = \"rnn.gru\"\n\
         [[variant]]\nname = \"parameter\"\noptimizer = { beta1 = 0.5 }\n\
         [[variant]]\nname = \"optimizer\"\noptimizer = { use = \"optimizer.sgd\", momentum = 0.9 }\n\
         [[variant]]\nname = \"training\"\ntraining = { epochs = 3, batch = 16 }\n",
    );
    let of = |variant: &str, part: &str| ran.spec(variant)[part].clone();
    let (usual, other) = (of("usual", "optimizer"), of("parameter", "optimizer"));
    assert_eq!((&usual["use"], &usual["params"]["learning_rate"]), (&"optimizer.adam".into(), &0.02.into()));
    assert_eq!((&other["params"]["learning_rate"], &other["params"]["beta1"]), (&0.02.into(), &0.5.into()));
    // Another component does not inherit the parameters of the experiment's.
    let sgd = of("optimizer", "optimizer");
    assert_eq!((&sgd["use"], &sgd["params"]["learning_rate"]), (&"optimizer.sgd".into(), &Value::Null));
    assert_eq!(of("model", "model")["use"], "rnn.gru");
    assert_eq!(of("usual", "model")["params"]["noise"], 0.0);
    let training = of("training", "training");
    assert_eq!(
        ["epochs", "batch", "trials"].map(|key| training[key].as_u64()),
        [Some(3), Some(16), Some(64)]
    );
    assert_eq!(ran.curve("training", "epoch").len(), 3);
    assert_eq!(ran.curve("usual", "epoch").len(), 2);
    let all = ["usual", "parameter", "optimizer", "training"].map(|name| ran.parameters(name));
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
    }
}

#[test]
fn the_learning_rate_of_a_model_is_its_optimizer_s() {
    let top = |rate: &str| format!("{rate}\n[training]\nepochs = 1\ntrials = 64\nbatch = 32\n");
    let variants = "[[variant]]\nname = \"a\"\n";
    let old = run(&top("model = { use = \"rnn.vanilla\", learning_rate = 0.03 }"), variants);
    let new = run(&top("optimizer = { learning_rate = 0.03 }"), variants);
    let usual = run(&top(""), variants);
    assert_eq!(old.parameters("a"), new.parameters("a"));
    assert_ne!(old.parameters("a"), usual.parameters("a"));
    assert_eq!(old.spec("a")["optimizer"], new.spec("a")["optimizer"]);
    assert_eq!(old.trainings["a"].file_name(), new.trainings["a"].file_name(), "one identity");
}

#[test]
fn constraints_act_on_the_parameters_that_they_name() {
    let ran = run(
        "[training]\nepochs = 2\ntrials = 64\nbatch = 32\n",
        "[[variant]]\nname = \"free\"\n\
         [[variant]]\nname = \"input\"\nconstraints = [{ use = \"spatial.non-negative\", on = [\"input\"] }]\n\
         [[variant]]\nname = \"both\"\nconstraints = [{ use = \"spatial.non-negative\", on = [\"recurrent\", \"readout\"] }]\n\
         [[variant]]\nname = \"penalty\"\nconstraints = [{ use = \"spatial.l1\", strength = 0.01, on = [\"input\", \"recurrent\"] }]\n",
    );
    let least =
        |variant: &str, name: &str| ran.tensor(variant, name).into_iter().fold(f32::INFINITY, f32::min);
    for (variant, bound) in [("free", &[][..]), ("input", &["input"]), ("both", &["recurrent", "readout"])] {
        for name in ["input", "recurrent", "readout"] {
            assert_eq!(least(variant, name) >= 0.0, bound.contains(&name), "{name} of {variant}");
        }
    }
    // λ·Σ|w| over both parameters.
    let sum = |name: &str| ran.tensor("penalty", name).iter().map(|w| f64::from(w.abs())).sum::<f64>();
    let expected = 0.01 * (sum("input") + sum("recurrent"));
    let found = ran.value("penalty", "test", "penalty");
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} and not {expected}");
}

/// Each wrong value is refused before the run, with its place and a remedy.
#[test]
fn wrong_values_are_refused_with_file_and_line() {
    let base = "runs = 1\ntasks = [\"cognition.go-no-go\"]\n[substrate]\nneurons = 8\n";
    let variant = "[[variant]]\nname = \"a\"\n";
    let of_training = |line: &str| format!("{base}[training]\nepochs = 2\n{line}\n{variant}");
    let of_variant = |line: &str| format!("{base}{variant}{line}\n");
    let of_optimizer = |line: &str| format!("{base}[optimizer]\nuse = \"optimizer.sgd\"\n{line}\n{variant}");
    // The line after those of `base` and of the table's head.
    let cases: Vec<(String, &[&str])> = vec![
        (of_training("clip_norm = 0.0"), &["x.toml:7: `training.clip_norm` is 0", "above 0"]),
        (of_training("clip_value = -1"), &["x.toml:7: `training.clip_value` is -1", "above 0"]),
        (of_training("clip_norm = \"much\""), &["x.toml:7:", "`training.clip_norm`", "a number"]),
        (of_training("weight_decay = -0.1"), &["x.toml:7: `training.weight_decay` is -0.1", "at least 0"]),
        (of_training("fresh = 1"), &["x.toml:7:", "`training.fresh`", "true or false"]),
        (of_training("learning_rate = 0.1"), &["x.toml:7:", "learning_rate", "optimizer = { learning_rate"]),
        (of_training("schedule = \"cosin\""), &["x.toml:7: there is no schedule `cosin`", "cosine"]),
        (
            of_training("schedule = { use = \"cosine\", factor = 0.5 }"),
            &["x.toml:7: this schedule has no `factor`", "it takes to and warm_up"],
        ),
        (
            of_training("schedule = { use = \"step\", every = 0 }"),
            &["x.toml:7: `every` of `training.schedule` is 0", "at least 1"],
        ),
        (
            of_training("schedule = { use = \"step\", factor = 1.5 }"),
            &["x.toml:7: `factor` of `training.schedule` is 1.5", "between 0 and 1"],
        ),
        (
            of_training("schedule = { use = \"cosine\", to = -0.5 }"),
            &["x.toml:7: `to` of `training.schedule` is -0.5", "between 0 and 1"],
        ),
        (
            of_training("schedule = { warm_up = 3 }"),
            &["x.toml:7: the learning rate warms up for 3 epochs, but a training has 2", "shorten `warm_up`"],
        ),
        (
            of_training("early_stopping = { measure = \"loss\" , patience = 1 }"),
            &["x.toml:7: `loss` cannot be watched", "validation_loss"],
        ),
        (of_training("early_stopping = {}"), &["x.toml:7:", "has no `patience`"]),
        (
            of_training("early_stopping = { patience = 0 }"),
            &["x.toml:7: `patience` of `training.early_stopping` is 0", "at least 1"],
        ),
        (
            of_training("early_stopping = { patience = 1, least = -1.0 }"),
            &["x.toml:7: `least` of `training.early_stopping` is -1", "at least 0"],
        ),
        (of_training("early_stopping = { patiense = 1 }"), &["x.toml:7:", "did you mean `patience`?"]),
        (
            of_optimizer("learning_rat = 0.1"),
            &["x.toml:7: `optimizer.sgd` has no parameter", "learning_rate"],
        ),
        (
            of_optimizer("momentum = \"a\""),
            &["x.toml:7: parameter `momentum` of `optimizer.sgd`", "a number"],
        ),
        (of_optimizer("momentum = 1.0"), &["x.toml:7: training a/", "`momentum` is 1", "below 1"]),
        (of_optimizer("nesterov = true"), &["x.toml:7: training a/", "`nesterov` is true", "set `momentum`"]),
        (
            format!("{base}[optimizer]\nuse = \"optimizer.sdg\"\n{variant}"),
            &["x.toml:6: there is no component `optimizer.sdg`", "did you mean `optimizer.sgd`?"],
        ),
        (
            format!("{base}[optimizer]\nuse = \"rnn.vanilla\"\n{variant}"),
            &["x.toml:6: `rnn.vanilla` is a model component and cannot serve as optimizer"],
        ),
        (
            format!(
                "model = {{ learning_rate = 0.1 }}\noptimizer = {{ learning_rate = 0.2 }}\n{base}{variant}"
            ),
            &[
                "x.toml:1: `learning_rate` is set for the model and for the optimizer",
                "remove it from the model",
            ],
        ),
        (
            of_variant("constraints = [{ use = \"spatial.l1\", on = [\"inputs\"] }]"),
            &[
                "x.toml:6: training a/",
                "acts on `inputs`, which is not a parameter of `rnn.vanilla`",
                "input",
            ],
        ),
        (
            of_variant("constraints = [{ use = \"spatial.l1\", on = [1] }]"),
            &["x.toml:7:", "an entry of `on`"],
        ),
        (of_variant("training = { clip_norm = 0 }"), &["x.toml:7: `training.clip_norm` is 0", "above 0"]),
        (
            of_variant("model = \"rnn.vanila\""),
            &["x.toml:7: there is no component `rnn.vanila`", "rnn.vanilla"],
        ),
    ];
    for (file, parts) in cases {
        let folder = Scratch::new();
        let path: &Path = &folder.path().join("x.toml");
        std::fs::write(path, &file).unwrap();
        let out = folder.path().join("out");
        println!("{file}");
        pallium(&["run", text(path), "--out", text(&out)]).refused(parts);
        assert!(!out.exists(), "an error must not leave files");
    }
}

#[test]
fn neurons_that_constraints_cut_off_are_reported() {
    let two = |first: &str, second: &str| {
        format!(
            "[[variant]]\nname = \"a\"\nweights = \"microns.functional\"\nconstraints = [\"{first}\", \"{second}\"]\n"
        )
    };
    for (first, second) in
        [("circuit.dale", "spatial.non-negative"), ("spatial.non-negative", "circuit.dale")]
    {
        let ran = run("[training]\nepochs = 1\ntrials = 32\nbatch = 8\n", &two(first, second));
        let weights = ran.tensor("a", "recurrent");
        let silent = weights.chunks(10).filter(|row| row.iter().all(|w| *w == 0.0)).count();
        let cell = read_json(&ran.trainings["a"].join("cell.json"));
        let warnings = cell["warnings"].to_string();
        assert!(silent > 0, "the premise of the test");
        let have = if silent == 1 { "neurons has" } else { "neurons have" };
        assert!(warnings.contains(&format!("{silent} of 10 {have} no outgoing")), "{silent}: {warnings}");
        assert!(warnings.contains(&format!("{first}, {second}")), "{warnings}");
    }
    let one = run("", "[[variant]]\nname = \"a\"\nconstraints = [\"circuit.dale\"]\n");
    assert!(read_json(&one.trainings["a"].join("cell.json"))["warnings"].is_null());
}

#[test]
fn a_null_model_that_changes_nothing_is_reported() {
    let variant = "[[variant]]\nname = \"a\"\nweights = \"init.identity\"\nnull = \"null.degrees\"\n";
    let ran = run("[training]\nepochs = 1\ntrials = 32\nbatch = 8\n", variant);
    let warnings = read_json(&ran.trainings["a"].join("cell.json"))["warnings"].to_string();
    assert!(warnings.contains("`null.degrees` cannot change these weights"), "{warnings}");

    let out = ran.folder.path().join("w.npy");
    let weights = |null: &str| {
        let draw = ["weights", "init.identity", "--neurons", "10", "--seed", "1", "--null", null];
        pallium(&[&draw[..], &["--out", text(&out), "--force"]].concat()).ok().stderr
    };
    for null in ["null.degrees", "null.eigenvalues"] {
        assert!(weights(null).contains(&format!("`{null}` cannot change these weights")), "{null}");
    }
    assert_eq!(weights("null.density"), "");
}
