//! Comparison of every task with trials of NeuroGym 2.2.0.
//!
//! `fixtures/neurogym-2.2.0.json` was written by `fixtures/golden.py`. With
//! `PALLIUM_NEUROGYM` set to a Python that has neurogym, `side_by_side` makes a
//! larger file of the same kind, with other seeds, and compares again; likewise with
//! Mod-Cog's code, `mod-cog.json` and `PALLIUM_MOD_COG`, the folder of that code.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use pallium_core::parse_parameters;
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value};
use pallium_testkit as testkit;

use crate::design::{Design, blank, lay_out, trials};
use crate::yang19::mod_cog::Built;
use crate::yang19::{Decision, Matching, Reach};
use crate::{
    anti_reach, context_decision_making, delay_comparison, delay_match_sample, delay_paired_association,
    interval_discrimination, multisensory_integration, ready_set_go, yang19,
};

/// Converts a trial's parameters from and to the names in the file.
trait Named: Design {
    fn parse(&self, drawn: &Value) -> Self::Trial;
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)>;
}

fn index(drawn: &Value, name: &str) -> usize {
    drawn[name].as_u64().unwrap_or_else(|| panic!("no {name} in {drawn}")) as usize
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl Named for delay_match_sample::DelayMatchSample {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        delay_match_sample::Trial { matches: index(drawn, "matches") == 1, sample: index(drawn, "sample") }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![("matches", flag(trial.matches)), ("sample", trial.sample as f64)]
    }
}

impl Named for context_decision_making::ContextDecisionMaking {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        context_decision_making::Trial {
            context: index(drawn, "context"),
            choice: index(drawn, "choice"),
            other: index(drawn, "other"),
            coherences: [index(drawn, "coherence_1"), index(drawn, "coherence_2")],
        }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![
            ("context", trial.context as f64),
            ("choice", trial.choice as f64),
            ("other", trial.other as f64),
            ("coherence_1", trial.coherences[0] as f64),
            ("coherence_2", trial.coherences[1] as f64),
        ]
    }
}

impl Named for delay_comparison::DelayComparison {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        delay_comparison::Trial { in_order: index(drawn, "in_order") == 1, pair: index(drawn, "pair") }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![("in_order", flag(trial.in_order)), ("pair", trial.pair as f64)]
    }
}

impl Named for multisensory_integration::MultisensoryIntegration {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        multisensory_integration::Trial {
            choice: index(drawn, "choice"),
            coherence: index(drawn, "coherence"),
            share: drawn["share"].as_f64().unwrap(),
        }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![("choice", trial.choice as f64), ("coherence", trial.coherence as f64)]
    }
}

impl Named for ready_set_go::ReadySetGo {
    fn parse(&self, _: &Value) -> Self::Trial {}
    fn name(&self, (): &Self::Trial) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

impl Named for interval_discrimination::IntervalDiscrimination {
    fn parse(&self, _: &Value) -> Self::Trial {}
    fn name(&self, (): &Self::Trial) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

impl Named for anti_reach::AntiReach {
    fn parse(&self, drawn: &Value) -> usize {
        index(drawn, "choice")
    }
    fn name(&self, choice: &usize) -> Vec<(&'static str, f64)> {
        vec![("choice", *choice as f64)]
    }
}

impl Named for delay_paired_association::DelayPairedAssociation {
    fn parse(&self, drawn: &Value) -> usize {
        index(drawn, "pair")
    }
    fn name(&self, pair: &usize) -> Vec<(&'static str, f64)> {
        vec![("pair", *pair as f64)]
    }
}

impl Named for Reach {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        yang19::reach::Trial { modality: index(drawn, "modality"), choice: index(drawn, "choice") }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![("modality", trial.modality as f64), ("choice", trial.choice as f64)]
    }
}

impl Named for Decision {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        let strengths = |modality: u32| {
            let of = |at: u32| drawn[format!("strength_{at}_{modality}")].as_f64();
            Some([of(1)?, of(2)?])
        };
        yang19::decision::Trial {
            directions: [index(drawn, "first"), index(drawn, "second")],
            strengths: [strengths(1), strengths(2)],
            // It decides only where the strengths do not.
            tie: if index(drawn, "first_wins") == 1 { 1e-7 } else { -1e-7 },
        }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        let mut all = vec![("first", trial.directions[0] as f64), ("second", trial.directions[1] as f64)];
        let names = [["strength_1_1", "strength_2_1"], ["strength_1_2", "strength_2_2"]];
        for (names, pair) in names.into_iter().zip(trial.strengths) {
            all.extend(names.into_iter().zip(pair.into_iter().flatten()));
        }
        all
    }
}

impl Named for Matching {
    fn parse(&self, drawn: &Value) -> Self::Trial {
        yang19::matching::Trial {
            modality: index(drawn, "modality"),
            matches: index(drawn, "matches") == 1,
            sample: index(drawn, "sample"),
            test: index(drawn, "test"),
        }
    }
    fn name(&self, trial: &Self::Trial) -> Vec<(&'static str, f64)> {
        vec![
            ("modality", trial.modality as f64),
            ("matches", flag(trial.matches)),
            ("sample", trial.sample as f64),
            ("test", trial.test as f64),
        ]
    }
}

/// What is compared: a task of the file and its design here.
trait Compare {
    fn compare(&self, case: &Value);
}

impl<D: Named> Compare for D {
    fn compare(&self, case: &Value) {
        for trial in case["trials"].as_array().unwrap() {
            same_trial(self, case, trial);
        }
        if case["counts"].is_object() {
            same_noise(self, case);
            same_shares(self, case);
        }
    }
}

fn built(id: &str, parameters: &Value) -> Box<dyn Compare> {
    fn component<C: Component>(parameters: &Value) -> C {
        let params = parse_parameters::<C::Params>(C::ID, &parameters.to_string()).unwrap();
        C::build(params, &Setting::default()).unwrap()
    }
    if id == yang19::mod_cog::ModCog::ID {
        let params = parse_parameters(id, &parameters.to_string()).unwrap();
        return match yang19::mod_cog::Built::new(params).unwrap() {
            Built::Reach(design) => Box::new(design),
            Built::Decision(design) => Box::new(design),
            Built::Matching(design) => Box::new(design),
        };
    }
    macro_rules! one_of {
        ($($component:ty $(, $field:tt)?;)*) => {
            match id {
                $(<$component as Component>::ID =>
                    Box::new(component::<$component>(parameters) $(.$field)?),)*
                _ => panic!("there is no {id} here"),
            }
        };
    }
    one_of! {
        delay_match_sample::DelayMatchSample;
        context_decision_making::ContextDecisionMaking;
        delay_comparison::DelayComparison;
        multisensory_integration::MultisensoryIntegration;
        ready_set_go::ReadySetGo;
        anti_reach::AntiReach;
        interval_discrimination::IntervalDiscrimination;
        delay_paired_association::DelayPairedAssociation;
        yang19::reach::Go, 0;
        yang19::reach::Anti, 0;
        yang19::reach::RtGo, 0;
        yang19::reach::RtAnti, 0;
        yang19::reach::DlyGo, 0;
        yang19::reach::DlyAnti, 0;
        yang19::decision::Dm1, 0;
        yang19::decision::Dm2, 0;
        yang19::decision::CtxDm1, 0;
        yang19::decision::CtxDm2, 0;
        yang19::decision::MultiDm, 0;
        yang19::decision::DlyDm1, 0;
        yang19::decision::DlyDm2, 0;
        yang19::decision::CtxDlyDm1, 0;
        yang19::decision::CtxDlyDm2, 0;
        yang19::decision::MultiDlyDm, 0;
        yang19::matching::Dms, 0;
        yang19::matching::Dnms, 0;
        yang19::matching::Dmc, 0;
        yang19::matching::Dnmc, 0;
    }
}

fn range(trial: &Value, period: &str) -> Range<usize> {
    let ends = &trial["periods"][period];
    ends[0].as_u64().unwrap_or_else(|| panic!("no period {period} in {trial}")) as usize
        ..ends[1].as_u64().unwrap() as usize
}

/// Rows of a run-length list.
fn rows(runs: &Value) -> Vec<&Value> {
    let all = runs.as_array().unwrap().iter();
    all.flat_map(|run| std::iter::repeat_n(&run[1], run[0].as_u64().unwrap() as usize)).collect()
}

/// Compares timing, channels and correct answers of one noiseless trial.
fn same_trial<D: Named>(design: &D, case: &Value, trial: &Value) {
    let frame = design.frame();
    let what = format!("{} {} {}", case["task"], case["parameters"], trial["drawn"]);
    assert_eq!(frame.inputs as u64, case["inputs"].as_u64().unwrap(), "{what}");
    assert_eq!(frame.classes as u64, case["classes"].as_u64().unwrap(), "{what}");
    let steps: Vec<usize> = frame.periods.iter().map(|(name, _)| range(trial, name).len()).collect();
    for ((name, duration), &steps) in frame.periods.iter().zip(&steps) {
        let possible = duration.distribution(frame.dt_ms);
        assert!(possible.contains_key(&steps), "{what}: {name} has {steps} steps, and may have {possible:?}");
    }
    let mut batch = blank(design, 1).unwrap();
    lay_out(design, &design.parse(&trial["drawn"]), &steps, &mut batch, 0, None);

    let inputs = rows(&trial["inputs"]);
    assert_eq!(batch.lengths[0] as usize, inputs.len(), "{what}: length");
    for (step, expected) in inputs.iter().enumerate() {
        for (channel, expected) in expected.as_array().unwrap().iter().enumerate() {
            let (found, expected) = (batch.inputs[[0, step, channel]], expected.as_f64().unwrap() as f32);
            // Cosines and exponentials of different libraries may differ in
            // the last bit.
            assert!(
                (found - expected).abs() <= f32::EPSILON * expected.abs().max(1e-3),
                "{what}: {found} and not {expected} at step {step}, channel {channel}"
            );
        }
    }
    let targets: Vec<u64> = rows(&trial["targets"]).into_iter().map(|t| t.as_u64().unwrap()).collect();
    let found: Vec<u64> =
        batch.targets.view().classes().unwrap().row(0).iter().take(inputs.len()).map(|&t| t.into()).collect();
    assert_eq!(found, targets, "{what}: right answers");

    let decision = ["decision", "production"].into_iter().find(|name| trial["periods"][name].is_array());
    let decision = range(trial, decision.unwrap());
    for step in 0..batch.mask.ncols() {
        assert_eq!(batch.mask[[0, step]] > 0.0, step < inputs.len(), "{what}: loss at step {step}");
        let scored = batch.scored.as_ref().unwrap()[[0, step]] > 0.0;
        assert_eq!(scored, decision.contains(&step), "{what}: accuracy at step {step}");
    }
}

/// Compares where noise is added and its strength, and checks that it is normal
/// and independent.
fn same_noise<D: Named>(design: &D, case: &Value) {
    let frame = design.frame();
    let trial = &case["trials"][0];
    let steps: Vec<usize> = frame.periods.iter().map(|(name, _)| range(trial, name).len()).collect();
    let drawn = design.parse(&trial["drawn"]);
    let mut clean = blank(design, 1).unwrap();
    lay_out(design, &drawn, &steps, &mut clean, 0, None);
    // Where the ring in use is first, it is so in the file.
    let first = match case["noise"].as_object().unwrap().is_empty() {
        false if trial["drawn"]["modality"].is_u64() => {
            index(&trial["drawn"], "modality") * (frame.inputs - 1) / 2
        }
        _ => 0,
    };
    let mut stream = random::stream(9, "test");
    let mut values: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for _ in 0..400 {
        let mut noisy = blank(design, 1).unwrap();
        lay_out(design, &drawn, &steps, &mut noisy, 0, Some(&mut stream));
        for ((at, two), one) in noisy.inputs.indexed_iter().zip(&clean.inputs) {
            if two != one {
                values.entry((at.1, at.2)).or_default().push(f64::from(*two) - f64::from(*one));
            }
        }
    }
    for (period, _) in &frame.periods {
        for step in range(trial, period) {
            for channel in 0..frame.inputs {
                let there = channel.checked_sub(if channel > 0 { first } else { 0 });
                let theirs = there.map_or(&Value::Null, |at| &case["noise"][period][at.to_string()]);
                let ours = values.get(&(step, channel)).map(Vec::as_slice).unwrap_or_default();
                let what = format!("{} {period}, step {step}, channel {channel}", case["task"]);
                assert_eq!(ours.is_empty(), theirs.is_null(), "{what}: noisy or not");
                if let [count, mean, sd] = theirs.as_array().map(Vec::as_slice).unwrap_or_default() {
                    let count = count.as_f64().unwrap();
                    let (mean, sd) = (mean.as_f64().unwrap(), sd.as_f64().unwrap());
                    // Both must agree with the stated value within five
                    // standard errors.
                    let stated = frame.noise;
                    assert!(mean.abs() < 5.0 * stated / count.sqrt(), "{what}: their mean {mean}");
                    assert!((sd / stated - 1.0).abs() < 5.0 / (2.0 * count).sqrt(), "{what}: their sd {sd}");
                    let n = ours.len() as f64;
                    let mean = ours.iter().sum::<f64>() / n;
                    let sd = (ours.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
                    assert!(mean.abs() < 5.0 * stated / n.sqrt(), "{what}: mean {mean}");
                    assert!((sd / stated - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "{what}: sd {sd}");
                }
            }
        }
    }
    let all: Vec<f64> = values.into_values().flatten().map(|v| v / frame.noise).collect();
    if !all.is_empty() {
        let within = all.iter().filter(|v| v.abs() < 1.0).count() as f64;
        let (n, p) = (all.len() as f64, 0.682_689_492_137_085_9);
        assert!((within - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt(), "{}: not normal", case["task"]);
        let next = all.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
        assert!(next.abs() < 5.0 / n.sqrt(), "{}: neighbours correlate by {next}", case["task"]);
    }
}

/// Checks that durations and parameters take each value as often as in
/// NeuroGym.
fn same_shares<D: Named>(design: &D, case: &Value) {
    let frame = design.frame();
    let theirs = case["counts"]["trials"].as_f64().unwrap();
    let ours = 10_000;
    let mut lengths: BTreeMap<(String, usize), f64> = BTreeMap::new();
    let mut drawn: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut stream = random::stream(5, "test");
    for _ in 0..ours {
        let steps = frame.draw_steps(&mut stream);
        for ((name, _), &steps) in frame.periods.iter().zip(&steps) {
            *lengths.entry(((*name).into(), steps)).or_default() += 1.0;
        }
        for (name, value) in design.name(&design.draw(&mut stream)) {
            *drawn.entry((name.into(), rounded(value))).or_default() += 1.0;
        }
    }
    let ours = f64::from(ours);
    let close = |what: &str, here: f64, there: f64| {
        let p = (here + there) / (ours + theirs);
        let slack = 5.0 * (p * (1.0 - p) * (1.0 / ours + 1.0 / theirs)).sqrt();
        assert!(
            (here / ours - there / theirs).abs() <= slack,
            "{} {what}: {here} of {ours}, and {there} of {theirs} in NeuroGym",
            case["task"]
        );
    };
    for (name, _) in &frame.periods {
        let known = case["counts"]["lengths"][name].as_object().unwrap();
        for (steps, there) in known {
            let key = (name.to_string(), steps.parse().unwrap());
            let here = lengths.remove(&key).unwrap_or(0.0);
            close(&format!("{name} of {steps} steps"), here, there.as_f64().unwrap());
        }
    }
    for ((name, steps), here) in lengths {
        close(&format!("{name} of {steps} steps"), here, 0.0);
    }
    let mut names: Vec<&String> = drawn.keys().map(|(name, _)| name).collect();
    names.dedup();
    for name in names {
        let known = case["counts"]["drawn"][name].as_object().unwrap();
        let here: BTreeMap<_, _> =
            drawn.iter().filter(|((n, _), _)| n == name).map(|((_, v), count)| (v, *count)).collect();
        for (value, there) in known {
            let value = rounded(value.parse().unwrap());
            let found = here.get(&value).copied().unwrap_or(0.0);
            close(&format!("{name} = {value}"), found, there.as_f64().unwrap());
        }
        assert_eq!(here.len(), known.len(), "{}: {name} takes other values", case["task"]);
    }
}

fn rounded(value: f64) -> String {
    format!("{value:.5}")
}

fn compare_all(text: &str, expected: usize) -> usize {
    let file: Value = serde_json::from_str(text).unwrap();
    assert_eq!(file["neurogym"], "2.2.0");
    let cases = file["cases"].as_array().unwrap();
    let mut trials = 0;
    for case in cases {
        built(case["task"].as_str().unwrap(), &case["parameters"]).compare(case);
        trials += case["trials"].as_array().unwrap().len();
    }
    let mut tasks: Vec<_> = cases.iter().map(|case| (&case["task"], &case["parameters"]["name"])).collect();
    tasks.dedup();
    assert_eq!(tasks.len(), expected, "every task is in the file");
    trials
}

#[test]
fn trials_match_neurogym() {
    compare_all(include_str!("../fixtures/neurogym-2.2.0.json"), 28);
}

#[test]
fn trials_match_mod_cog() {
    compare_all(include_str!("../fixtures/mod-cog.json"), 82);
}

#[test]
fn side_by_side() {
    let Some(python) = std::env::var_os("PALLIUM_NEUROGYM") else {
        println!("skipped: PALLIUM_NEUROGYM names no Python that has neurogym 2.2.0");
        return;
    };
    let compare = |script: &str, tasks: usize| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(script);
        let output = Command::new(&python)
            .arg(script)
            .args(["--trials", "60", "--counted", "8000", "--seed", "20"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let trials = compare_all(&String::from_utf8(output.stdout).unwrap(), tasks);
        println!("{trials} trials compared");
    };
    compare("golden.py", 28);
    if std::env::var_os("PALLIUM_MOD_COG").is_some() {
        compare("mod_cog.py", 82);
    } else {
        println!("skipped: PALLIUM_MOD_COG names no folder with mod_cog_tasks.py");
    }
}

#[test]
fn the_same_seed_gives_the_same_trials_and_a_shorter_draw_is_the_beginning() {
    let task = task::<context_decision_making::ContextDecisionMaking>("{}").unwrap();
    let all = trials(&task, 60, 3).unwrap();
    assert_eq!(all, trials(&task, 60, 3).unwrap());
    assert_ne!(all, trials(&task, 60, 4).unwrap());
    let head = trials(&task, 20, 3).unwrap();
    assert_eq!(head.inputs, all.inputs.slice(ndarray::s![..20, .., ..]));
    assert_eq!(head.lengths, all.lengths[..20]);
    assert!(all.lengths.iter().any(|l| *l != all.lengths[0]), "trials differ in length");
    assert_eq!(all.scored.as_ref().unwrap().sum(), 60.0, "one step of decision each");
}

#[test]
fn with_fixation_weight_0_loss_and_accuracy_use_the_same_steps() {
    let task = task::<delay_match_sample::DelayMatchSample>(r#"{"fixation_weight": 0}"#).unwrap();
    let batch = trials(&task, 10, 1).unwrap();
    assert_eq!((batch.scored, batch.mask.sum()), (None, 90.0));
}

fn task<C: Component>(parameters: &str) -> Result<C> {
    C::build(parse_parameters(C::ID, parameters)?, &Setting::default())
}

#[test]
fn levels_match_the_formulas() {
    fn ideal<C: Component + Design>(parameters: &str) -> Option<f64> {
        task::<C>(parameters).unwrap().levels().ideal
    }
    let close = |found: Option<f64>, expected: f64| {
        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?} and not {expected}");
    };
    // scipy.stats.norm.cdf; 7 steps of stimulus, noise 0.1.
    // mean of cdf([.05, .15, .5] * sqrt(7 / 2) / .1)
    close(ideal::<context_decision_making::ContextDecisionMaking>("{}"), 0.9409021511218688);
    // mean of cdf([.05, .15, .5] * sqrt(7) / .2)
    close(ideal::<multisensory_integration::MultisensoryIntegration>("{}"), 0.907407920401161);
    // cdf(1 / 6 * sqrt(5 / 2) / .1)
    close(ideal::<delay_comparison::DelayComparison>("{}"), 0.9957960027113754);
    // p = cdf(sqrt(5 / 2) / (20 / 10)); p² + (1 - p)²
    close(ideal::<delay_match_sample::DelayMatchSample>(r#"{"sigma": 20}"#), 0.6629090025196915);
    let intervals = task::<interval_discrimination::IntervalDiscrimination>("{}").unwrap().levels();
    // Durations of 3 to 7 steps with shares 1, 4, 4, 4, 2 of 15.
    let ties = (1.0 + 16.0 + 16.0 + 16.0 + 4.0) / 225.0;
    close(intervals.memoryless, ties + (1.0 - ties) / 2.0);
    let ties = |parameters: &str| task::<yang19::decision::MultiDm>(parameters).unwrap().0.levels().ideal;
    assert_eq!(ties("{}"), None, "with noise it is not known");
    close(ties(r#"{"sigma": 0}"#), 1.0 - 0.5 / 8.0);
}

#[test]
fn impossible_parameters_are_refused() {
    fn refused<C: Component>(parameters: &str, part: &str) {
        let e = task::<C>(parameters).err().unwrap_or_else(|| panic!("{parameters} is accepted"));
        assert!(e.to_string().contains(part) && e.help.is_some(), "{parameters}: {e}");
    }
    use delay_match_sample::DelayMatchSample as Match;
    refused::<Match>(r#"{"sample": 50}"#, "`sample` may be as short as 0 steps of 100 ms");
    refused::<Match>(r#"{"decision": {"uniform": [50, 300]}}"#, "`decision` may be as short as 0 steps");
    refused::<Match>(r#"{"delay": 3.6e6, "dt_ms": 1}"#, "may have 3602200 steps");
    refused::<Match>(r#"{"dt_ms": 0}"#, "`dt_ms` is 0");
    refused::<Match>(r#"{"dim_ring": 1}"#, "`dim_ring` is 1");
    refused::<Match>(r#"{"fixation_weight": -1}"#, "`fixation_weight` is -1");
    refused::<Match>(r#"{"delay": "long"}"#, "a duration is a number of milliseconds, or { uniform");
    refused::<delay_comparison::DelayComparison>(r#"{"pairs": [[1, 2]]}"#, "`pairs[0]` is [1, 2]");
    refused::<delay_comparison::DelayComparison>(r#"{"pairs": []}"#, "`pairs` has 0 pairs");
    refused::<context_decision_making::ContextDecisionMaking>(r#"{"implicit_modality": 2}"#, "is 2");
    refused::<ready_set_go::ReadySetGo>(r#"{"gain": 0.01}"#, "`gain` is 0.01");
    refused::<ready_set_go::ReadySetGo>(r#"{"ready": 900}"#, "`ready` may be longer");
    refused::<yang19::matching::Dms>(r#"{"dim_ring": 7}"#, "`dim_ring` is 7");
    refused::<yang19::decision::DlyDm1>(r#"{"coherences": [0.5]}"#, "`coherences` has 1 values");
    refused::<yang19::decision::Dm1>(r#"{"coherences": [1.5]}"#, "`coherences[0]` is 1.5");
    use yang19::mod_cog::ModCog;
    refused::<ModCog>(r#"{"name": "goint"}"#, "`goint` is not a task of Mod-Cog");
    refused::<ModCog>(r#"{"name": "dm1intr"}"#, "`dm1` has no delay to integrate");
    refused::<ModCog>(r#"{"name": "dmsintr", "dim_ring": 7}"#, "`dim_ring` is 7");
    // What a task does not have cannot be set for it.
    refused::<ModCog>(r#"{"name": "rtgo", "delay": 300}"#, "`rtgo` has no delay");
    refused::<ModCog>(r#"{"name": "ctxdm1seqr", "delay": 300}"#, "`ctxdm1` has no delay");
    refused::<ModCog>(r#"{"name": "rtantiseql", "stimulus": 300}"#, "`rtanti` has no stimulus");
    refused::<ModCog>(r#"{"name": "dms", "coherences": [0.1]}"#, "`dms` has no coherences");
    refused::<ModCog>(r#"{"name": "go", "sigma": -1}"#, "`sigma`");
}

#[test]
fn extensions_of_mod_cog_are_composed() {
    let task = |name: &str| {
        let delay = if name.contains("dly") { r#", "delay": 700"# } else { "" };
        let parameters = format!(r#"{{"name": "{name}", "sigma": 0{delay}}}"#);
        task::<yang19::mod_cog::ModCog>(&parameters).unwrap()
    };
    // Both extensions of one task: the answer moves on from where the delay moved it.
    let answers = |name: &str, count: usize| -> Vec<Vec<u32>> {
        let batch = task(name).trials(count, 3).unwrap();
        let (targets, scored) = (batch.targets.view().classes().unwrap(), batch.scored.as_ref().unwrap());
        let decided = |trial: usize| {
            let row = targets.row(trial).into_iter().zip(scored.row(trial));
            row.filter(|(_, scored)| **scored > 0.0).map(|(class, _)| *class).collect()
        };
        (0..count).map(decided).collect()
    };
    for (base, moved) in answers("dlydm1", 20).into_iter().zip(answers("dlydm1intlseqr, long", 20)) {
        let begin = i64::from(base[0]) - 1;
        let expected: Vec<u32> = (0..10).map(|step| (begin - 7 + step).rem_euclid(16) as u32 + 1).collect();
        assert_eq!(moved, expected);
    }
    // Of the 126 names of the paper every one is a task.
    let mut count = 0;
    for base in
        ["go", "rtgo", "dlygo", "anti", "rtanti", "dlyanti", "dm1", "dm2", "ctxdm1", "ctxdm2", "multidm"]
            .into_iter()
            .chain(["dlydm1", "dlydm2", "ctxdlydm1", "ctxdlydm2", "multidlydm", "dms", "dnms", "dmc", "dnmc"])
    {
        let waits = base.contains("dly") || base.ends_with("ms") || base.ends_with("mc");
        for integrate in if waits { &["", "intr", "intl"][..] } else { &[""] } {
            for sequence in ["", "seqr", "seql"] {
                task(&format!("{base}{integrate}{sequence}"));
                count += 1;
            }
        }
    }
    assert_eq!(count, 126);
}

/// The conformance checks of all tasks, with small rings to save time.
#[test]
fn conforms() {
    for registration in pallium_core::registrations() {
        let small = match (registration.schema)()["properties"].get("dim_ring") {
            Some(_) => serde_json::json!({ "dim_ring": 4 }),
            None => Value::Null,
        };
        testkit::assert_conforms(registration.id, &small);
    }
}
