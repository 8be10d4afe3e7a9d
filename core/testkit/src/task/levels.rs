//! Checks of the levels of accuracy that a task states.

use super::{built, count};
use crate::levels::{Observed, Seen};
use crate::{Note, Subject, broken, passed, skipped};
use pallium_core::{Error, Levels, Result, TaskInfo};

/// What an observer finds in the task's trials, with what the task states, or why
/// there is nothing to compare.
enum Found {
    Stated(Box<TaskInfo>, Levels, Observed),
    Nothing(&'static str),
}

fn observed(subject: &Subject<'_>, seen: Seen) -> Result<Found> {
    let mut task = built(subject)?;
    let info = task.info();
    let Some(levels) = info.levels else { return Ok(Found::Nothing("it states none")) };
    if info.judges || !info.loss.of_classes() {
        return Ok(Found::Nothing("the task judges answers itself"));
    }
    if !info.reacts.is_empty() {
        return Ok(Found::Nothing("what follows in a trial depends on the network's answers"));
    }
    let batch = task.trials(count(&info, 6000), 11)?;
    batch.check(&info)?;
    let observed = Observed::new(&batch, seen)?;
    Ok(Found::Stated(Box::new(info), levels, observed))
}

pub(super) fn chance(subject: &Subject<'_>) -> Result<Note> {
    let (info, levels, observed) = match observed(subject, Seen::Nothing)? {
        Found::Stated(info, levels, observed) => (info, levels, observed),
        Found::Nothing(why) => return skipped(why),
    };
    let stated = levels.chance;
    let shares = observed.shares();
    let occurring = shares.iter().filter(|(_, share)| *share > 0.0).count().max(1);
    // Guessing uniformly among all classes, or among those that occur, or
    // always the most frequent class.
    let most = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    let slack = observed.slack(most);
    let even = [info.outputs, occurring].map(|n| 1.0 / n as f64);
    if even.iter().any(|e| (e - stated).abs() < 1e-6) || (stated - most).abs() <= slack {
        return passed(format!(
            "{stated:.4}; {occurring} of {} classes occur, the most frequent in {most:.3}",
            info.outputs
        ));
    }
    Err(Error::plugin(format!(
        "it states {stated}; guessing evenly reaches {:.4}, and always guessing the most frequent class {most:.3} ± {slack:.3} on its own trials",
        even[0]
    ))
    .help("chance is 1 / classes, or the share of the most frequent class"))
}

pub(super) fn memoryless(subject: &Subject<'_>) -> Result<Note> {
    compare(observed(subject, Seen::Last)?, |levels| levels.memoryless, "only the last inputs")
}

pub(super) fn ideal(subject: &Subject<'_>) -> Result<Note> {
    compare(observed(subject, Seen::Everything)?, |levels| levels.ideal, "the complete trial")
}

fn compare(found: Found, level: fn(Levels) -> Option<f64>, of: &str) -> Result<Note> {
    let (levels, observed) = match found {
        Found::Stated(_, levels, observed) => (levels, observed),
        Found::Nothing(why) => return skipped(why),
    };
    let Some(stated) = level(levels) else { return skipped("it states none") };
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
