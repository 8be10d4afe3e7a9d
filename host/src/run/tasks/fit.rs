//! Whether the stages of a curriculum, and several tasks, fit one network.

use pallium_core::{Error, Levels, Result, TaskInfo};
use pallium_record::spec::Watched;

use super::Member;

/// The stages of a curriculum are one task with other parameters: the network and
/// the loss stay.
pub(super) fn check_stages(member: &Member) -> Result<()> {
    let last = member.info();
    for (number, stage) in member.stages.iter().enumerate() {
        let info = &stage.info;
        let differs = |what: &str, own: String, last: String| {
            Err(Error::input(format!(
                "stage {} of the curriculum of `{}` has {own} {what}, but the task itself has {last}",
                number + 1,
                member.id
            ))
            .help("a curriculum can change only the trials: leave out parameters that change the network"))
        };
        if info.inputs != last.inputs {
            return differs("input channels", info.inputs.to_string(), last.inputs.to_string());
        }
        if info.outputs != last.outputs {
            return differs("outputs", info.outputs.to_string(), last.outputs.to_string());
        }
        if info.loss != last.loss || info.judges != last.judges {
            return differs("as its loss", info.loss.to_string(), last.loss.to_string());
        }
        if info.reacts.is_empty() != last.reacts.is_empty() {
            let text = |reacts: &[usize]| if reacts.is_empty() { "no" } else { "some" }.to_owned();
            return differs("reactions to answers", text(&info.reacts), text(&last.reacts));
        }
        if info.step_ms != last.step_ms {
            let text = |ms: Option<f64>| ms.map_or("no".into(), |ms| ms.to_string());
            return differs("ms a step", text(info.step_ms), text(last.step_ms));
        }
        let watched = stage.until.as_ref().and_then(|until| until.reached).map(|(measure, _)| measure);
        let accuracy = matches!(watched, Some(Watched::ValidationAccuracy | Watched::RunningAccuracy));
        if accuracy && !info.has_accuracy() {
            return Err(Error::input(format!(
                "a stage of the curriculum ends at an accuracy, but `{}` has none",
                member.id
            ))
            .help("let it end at a validation_loss, or after a number of epochs"));
        }
    }
    Ok(())
}

/// The description of several tasks together.
pub(super) fn together(members: &[Member], inputs: usize) -> Result<TaskInfo> {
    let infos = || members.iter().map(|member| (&member.name, member.info()));
    let Some((first_name, first)) = infos().next() else { return Err(Error::bug("there are no tasks")) };
    for (name, info) in infos() {
        if info.loss != first.loss {
            return Err(Error::input(format!(
                "`{first_name}` has the loss {}, and `{name}` the loss {}: one network cannot learn both",
                first.loss, info.loss
            ))
            .help("combine tasks of the same loss; tasks of classes and of values need separate networks"));
        }
        if !info.loss.of_classes() && info.outputs != first.outputs {
            return Err(Error::input(format!(
                "`{first_name}` needs values of {} outputs, and `{name}` of {}",
                first.outputs, info.outputs
            ))
            .help("combine tasks of values that have the same number of outputs"));
        }
    }
    let mut durations = infos().filter_map(|(name, info)| Some((name, info.step_ms?)));
    if let Some((known, ms)) = durations.next()
        && let Some((name, other)) = durations.find(|(_, other)| *other != ms)
    {
        return Err(Error::input(format!(
            "a step of `{known}` lasts {ms} ms, and one of `{name}` {other} ms"
        ))
        .help("give all tasks of a network steps of the same duration (`step_ms` or `dt_ms`)"));
    }
    let most = |of: fn(&TaskInfo) -> usize| infos().map(|(_, info)| of(info)).max().unwrap_or(0);
    let mut info = match first.loss.of_classes() {
        true => TaskInfo::classes(inputs, most(|info| info.outputs), most(|info| info.steps)),
        false => TaskInfo::values(inputs, first.outputs, most(|info| info.steps), first.loss),
    };
    info.judges = infos().any(|(_, info)| info.judges) && infos().all(|(_, info)| info.has_accuracy());
    info.reacts = infos().flat_map(|(_, info)| info.reacts.clone()).collect();
    info.reacts.sort_unstable();
    info.reacts.dedup();
    info.step_ms = infos().find_map(|(_, info)| info.step_ms);
    info.conditions = members.iter().flat_map(Member::conditions).collect();
    let mean = |of: &dyn Fn(&Levels) -> Option<f64>| -> Option<f64> {
        let values: Option<Vec<f64>> = infos().map(|(_, info)| of(info.levels.as_ref()?)).collect();
        values.map(|values| values.iter().sum::<f64>() / members.len() as f64)
    };
    info.levels = mean(&|levels| Some(levels.chance)).map(|chance| Levels {
        chance,
        memoryless: mean(&|levels| levels.memoryless),
        ideal: mean(&|levels| levels.ideal),
    });
    Ok(info)
}
