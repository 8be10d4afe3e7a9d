//! Checks of tasks.

use std::collections::BTreeSet;

use crate::common::orderly;
use crate::constraint::{duration, repeat};
use crate::levels::{Observed, Seen};
use crate::{Check, Note, Subject, World, broken, passed, world};
use pallium_core::{Batch, Error, Result, Setting, Task, TaskInfo};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "description of trials",
        about: "channels, classes, steps, conditions and levels are plausible",
        run: info,
    },
    Check {
        name: "trials",
        about: "trials have the requested number, are finite and match the description",
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
        run: chance,
    },
    Check {
        name: "memoryless",
        about: "the stated memoryless level is what an observer of only the last inputs reaches",
        run: memoryless,
    },
    Check {
        name: "ideal",
        about: "the stated ideal level is not below what an observer of complete trials reaches",
        run: ideal,
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
    for (what, count, least) in
        [("input channels", info.inputs, 1), ("classes", info.classes, 2), ("steps", info.steps, 1)]
    {
        if count < least {
            return broken(format!("{count} {what}"));
        }
    }
    let names: BTreeSet<&String> = info.conditions.iter().collect();
    if names.len() != info.conditions.len() || names.iter().any(|n| n.trim().is_empty()) {
        return broken(format!("conditions must have unique names, found {:?}", info.conditions));
    }
    if info.step_ms.is_some_and(|ms| !ms.is_finite() || ms <= 0.0) {
        return broken("a step must last longer than 0 ms");
    }
    let levels = [
        Some(("chance", info.levels.chance)),
        info.levels.memoryless.map(|l| ("memoryless", l)),
        info.levels.ideal.map(|l| ("ideal", l)),
    ];
    let mut before: Option<(&str, f64)> = None;
    for (name, level) in levels.into_iter().flatten() {
        if !(0.0..=1.0).contains(&level) {
            return broken(format!("the {name} level is {level}; it must be between 0 and 1"));
        }
        if let Some((lower, value)) = before
            && level < value - 1e-9
        {
            return broken(format!("the {name} level {level} is below the {lower} level {value}"));
        }
        before = Some((name, level));
    }
    passed(format!(
        "{} channels, {} classes, {} steps, {} conditions",
        info.inputs,
        info.classes,
        info.steps,
        info.conditions.len()
    ))
}

/// The number of trials that fit into about 100 MB, at most `most`.
fn count(info: &TaskInfo, most: usize) -> usize {
    (25_000_000 / (info.steps * info.inputs).max(1)).clamp(1, most)
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
        batch.check(info.inputs, info.classes)?;
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
        if let Some(&kind) = batch.conditions.iter().find(|&&c| c as usize >= info.conditions.len().max(1)) {
            return broken(format!(
                "a trial has condition {kind}, but only {} have a name",
                info.conditions.len()
            ));
        }
        if let Some(trial) = (0..wanted).find(|&t| batch.accuracy_mask().row(t).iter().all(|&m| m == 0.0)) {
            return broken(format!("trial {trial} of {wanted} is scored at no step"));
        }
    }
    // If lengths vary, the longest may be rare.
    if longest == shortest && longest != info.steps {
        return Err(Error::plugin(format!("it states {} steps, and every trial has {longest}", info.steps))
            .help("`steps` in `info` is the number of steps of the longest trial"));
    }
    // With fewer trials, a rare condition may be missing. If conditions are the
    // classes, a class such as fixation may never be the answer of a trial.
    let classes = info.conditions.len() == info.classes;
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
    one.inputs.dim() == two.inputs.dim()
        && bits(one) == bits(two)
        && (&one.targets, &one.lengths, &one.conditions) == (&two.targets, &two.lengths, &two.conditions)
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
    passed("")
}

fn observed(subject: &Subject<'_>, seen: Seen) -> Result<(TaskInfo, Observed)> {
    let mut task = built(subject)?;
    let info = task.info();
    let batch = task.trials(count(&info, 6000), 11)?;
    batch.check(info.inputs, info.classes)?;
    Ok((info.clone(), Observed::new(&batch, seen)))
}

fn chance(subject: &Subject<'_>) -> Result<Note> {
    let (info, observed) = observed(subject, Seen::Nothing)?;
    let stated = info.levels.chance;
    let shares = observed.shares();
    let occurring = shares.iter().filter(|(_, share)| *share > 0.0).count().max(1);
    // Guessing uniformly among all classes, or among those that occur, or
    // always the most frequent class.
    let most = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    let slack = observed.slack(most);
    let even = [info.classes, occurring].map(|n| 1.0 / n as f64);
    if even.iter().any(|e| (e - stated).abs() < 1e-6) || (stated - most).abs() <= slack {
        return passed(format!(
            "{stated:.4}; {occurring} of {} classes occur, the most frequent in {most:.3}",
            info.classes
        ));
    }
    Err(Error::plugin(format!(
        "it states {stated}; guessing evenly reaches {:.4}, and always guessing the most frequent class {most:.3} ± {slack:.3} on its own trials",
        even[0]
    ))
    .help("chance is 1 / classes, or the share of the most frequent class"))
}

fn memoryless(subject: &Subject<'_>) -> Result<Note> {
    let (info, observed) = observed(subject, Seen::Last)?;
    let Some(stated) = info.levels.memoryless else { return crate::skipped("it states none") };
    judge(stated, &observed, "only the last inputs")
}

fn ideal(subject: &Subject<'_>) -> Result<Note> {
    let (info, observed) = observed(subject, Seen::Everything)?;
    let Some(stated) = info.levels.ideal else { return crate::skipped("it states none") };
    judge(stated, &observed, "the complete trial")
}

fn judge(stated: f64, observed: &Observed, of: &str) -> Result<Note> {
    let reached = observed.reached();
    let slack = observed.slack(reached.accuracy);
    if reached.accuracy > stated + slack {
        return broken(format!(
            "it states {stated}, but an observer of {of} reaches {:.3} ± {slack:.3} on its own trials",
            reached.accuracy
        ));
    }
    // With few different observations, a table of them is the best observer;
    // otherwise a somewhat better one than ours may exist.
    let below = if reached.exhaustive { Some(slack) } else { reached.few_numbers.then_some(slack + 0.1) };
    if let Some(below) = below
        && reached.accuracy < stated - below
    {
        return broken(format!(
            "it states {stated}, but the best observer of {of} reaches only {:.3} ± {slack:.3} on its own trials",
            reached.accuracy
        ));
    }
    let how = if below.is_some() { "" } else { "; a better observer may exist" };
    passed(format!("{stated:.4}; {:.3} ± {slack:.3} reached{how}", reached.accuracy))
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
