//! Checks of tasks.

mod judge;
mod levels;
mod react;

use std::collections::BTreeSet;

use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::{Check, Note, Subject, World, broken, passed, world};
use pallium_core::{Batch, Error, Result, Setting, Split, Targets, Task, TaskInfo};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "description of trials",
        about: "channels, outputs, steps, reactions, names and levels are ones that a task can have",
        run: info,
    },
    Check {
        name: "trials",
        about: "trials of every split have the requested number, are finite and match the description",
        run: trials,
    },
    Check {
        name: "deterministic",
        about: "the same seed gives the same trials, in a second call and in another instance; another seed gives others",
        run: deterministic,
    },
    Check {
        name: "chance",
        about: "the stated chance level is what guessing reaches on the task's trials",
        run: levels::chance,
    },
    Check {
        name: "memoryless",
        about: "the stated memoryless level is what an observer of only the last inputs reaches",
        run: levels::memoryless,
    },
    Check {
        name: "ideal",
        about: "the stated ideal level is not below what an observer of complete trials reaches",
        run: levels::ideal,
    },
    Check {
        name: "judge",
        about: "judges one answer a row, always the same way, and the correct answer to be correct",
        run: judge::judge,
    },
    Check {
        name: "react",
        about: "reacts to answers always the same way, and changes only later steps",
        run: react::react,
    },
    Check {
        name: "survives",
        about: "no trial, one trial and any seed cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long a call takes", run: time },
];

fn built(subject: &Subject<'_>) -> Result<Box<dyn Task>> {
    let world = World::new(world::NEURONS, 1);
    subject.task(&Setting {
        seed: 1,
        substrate: Some(world.substrate()),
        neurons: Some(world::NEURONS),
        threads: 1,
        ..Setting::default()
    })
}

fn info(subject: &Subject<'_>) -> Result<Note> {
    let info = built(subject)?.info();
    info.check()?;
    passed(format!(
        "{} channels, {} {} ({}), {} steps, {} conditions",
        info.inputs,
        info.outputs,
        if info.loss.of_classes() { "classes" } else { "outputs" },
        info.loss,
        info.steps,
        info.conditions.len()
    ))
}

/// The number of trials that fit into about 100 MB, at most `most`.
fn count(info: &TaskInfo, most: usize) -> usize {
    let values = if info.loss.of_classes() { 1 } else { info.outputs };
    let each = info.steps.saturating_mul(info.inputs.saturating_add(values));
    (25_000_000 / each.max(1)).clamp(1, most)
}

fn trials(subject: &Subject<'_>) -> Result<Note> {
    let mut task = built(subject)?;
    let info = task.info();
    let mut longest = 0;
    let mut shortest = usize::MAX;
    let mut occurring = BTreeSet::new();
    let many = count(&info, 6000);
    for wanted in [1, 7, many] {
        let batch = task.trials(wanted, 3)?;
        if batch.trials() != wanted {
            return broken(format!("{} trials instead of {wanted}", batch.trials()));
        }
        batch.check(&info)?;
        if batch.inputs.dim().1 > info.steps {
            return broken(format!(
                "trials of {} steps, but it states {} at most",
                batch.inputs.dim().1,
                info.steps
            ));
        }
        longest = longest.max(batch.lengths.iter().copied().max().unwrap_or(0) as usize);
        shortest = shortest.min(batch.lengths.iter().copied().min().unwrap_or(0) as usize);
        occurring.extend(batch.conditions.iter().copied());
        if let Some(trial) = (0..wanted).find(|&t| batch.accuracy_mask().row(t).iter().all(|&m| m == 0.0)) {
            return broken(format!("trial {trial} of {wanted} is scored at no step"));
        }
        if batch.mask.iter().all(|&weight| weight == 0.0) {
            return Err(Error::plugin(format!(
                "`mask` is 0 at every step of {wanted} trials, so nothing is trained"
            ))
            .help("`mask` weighs steps in the loss; `scored` changes only their weights in the accuracy"));
        }
    }
    for split in Split::ALL {
        let of = |e: Error| e.context(format!("trials of the split `{}`", split.name()));
        let batch = task.trials_of(split, 7, 3).map_err(of)?;
        batch.check(&info).map_err(of)?;
        if batch.trials() != 7 {
            return broken(format!("{} trials instead of 7 of the split `{}`", batch.trials(), split.name()));
        }
    }
    // If lengths vary, the longest may be rare.
    if longest == shortest && longest != info.steps {
        return Err(Error::plugin(format!("it states {} steps, and every trial has {longest}", info.steps))
            .help("`steps` in `info` is the number of steps of the longest trial"));
    }
    // With fewer trials, a rare condition may be missing. If conditions are the
    // classes, a class such as fixation may never be the answer of a trial.
    let classes = info.loss.of_classes() && info.conditions.len() == info.outputs;
    let never = (0..info.conditions.len()).find(|&c| !occurring.contains(&(c as u32)));
    if let Some(never) = never.filter(|_| many >= 1000 && !classes) {
        return Err(Error::plugin(format!(
            "condition {never}, `{}`, occurs in none of {many} trials",
            info.conditions[never]
        ))
        .help("name the conditions that occur, in the order of their indices in `Batch::conditions`"));
    }
    passed(format!("the longest of {many} has {longest} steps"))
}

fn same(one: &Batch, two: &Batch) -> bool {
    let bits = |b: &Batch| {
        let scored = b.scored.as_ref().map(|scored| scored.mapv(f32::to_bits));
        (b.inputs.mapv(f32::to_bits), b.mask.mapv(f32::to_bits), scored)
    };
    // Values that are not scored may be NaN.
    let targets = match (&one.targets, &two.targets) {
        (Targets::Values(one), Targets::Values(two)) => one.mapv(f32::to_bits) == two.mapv(f32::to_bits),
        (one, two) => one == two,
    };
    let labels = |b: &Batch| (b.lengths.clone(), b.conditions.clone(), periods(b));
    bits(one) == bits(two) && targets && labels(one) == labels(two)
}

/// The period of each step before a trial's end.
fn periods(batch: &Batch) -> Option<Vec<u32>> {
    let before_end = |((trial, step), period): ((usize, usize), &u32)| {
        (step < batch.lengths[trial] as usize).then_some(*period)
    };
    batch.periods.as_ref().map(|periods| periods.indexed_iter().filter_map(before_end).collect())
}

fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let mut task = built(subject)?;
    let n = count(&task.info(), 200);
    let first = task.trials(n, 7)?;
    let other = task.trials(n, 8)?;
    let help = "draw only from pallium_core::random::stream(seed, …), created in each call";
    for (what, second) in
        [("a second call", task.trials(n, 7)?), ("another instance", built(subject)?.trials(n, 7)?)]
    {
        if !same(&first, &second) {
            return Err(Error::plugin(format!("{what} gives other trials for the same seed")).help(help));
        }
    }
    // Rare deviations need many calls.
    let start = std::time::Instant::now();
    let mut repeated = 0;
    while repeated < 200 && start.elapsed().as_secs_f64() < 0.5 {
        repeated += 1;
        if !same(&first, &task.trials(n, 7)?) {
            return Err(Error::plugin(format!("call {} gives other trials for the same seed", repeated + 3))
                .help(help));
        }
    }
    if n > 50 && same(&first, &other) {
        return Err(Error::plugin("another seed gives the same trials").help(help));
    }
    deterministic_splits(subject, &mut *task)?;
    passed("")
}

/// Trials of every split are the same for a seed, whatever was drawn before.
fn deterministic_splits(subject: &Subject<'_>, task: &mut dyn Task) -> Result<()> {
    let n = count(&task.info(), 100);
    for split in Split::ALL {
        let first = task.trials_of(split, n, 7)?;
        task.trials_of(Split::Train, 3, 8)?;
        for (what, again) in [
            ("a second call", task.trials_of(split, n, 7)?),
            ("another instance", built(subject)?.trials_of(split, n, 7)?),
        ] {
            if !same(&first, &again) {
                return Err(Error::plugin(format!(
                    "{what} gives other trials of the split `{}` for the same seed",
                    split.name()
                ))
                .help("draw only from pallium_core::random::stream(seed, …), created in each call"));
            }
        }
    }
    Ok(())
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    for (wanted, seed) in [(0, 1), (1, 0), (2, u64::MAX)] {
        orderly(
            &format!("{wanted} trials with seed {seed}"),
            built(subject)?.trials(wanted, seed).map(drop),
        )?;
    }
    orderly("more trials than any memory holds", built(subject)?.trials(usize::MAX / 2, 1).map(drop))?;
    passed("4 cases")
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let mut task = built(subject)?;
    let each = repeat(|| task.trials(128, 1).map(drop))?;
    passed(format!("{} for 128 trials", duration(each)))
}
