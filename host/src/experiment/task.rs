//! Reads the entries of `tasks`: one task, with a curriculum if it has one, or
//! several tasks of one network.

use pallium_core::{Error, Result, nearest};
use pallium_record::spec::{Order, SEVERAL_TASKS, Until, Watched};

use super::read::{component, label, narrow, parameters, plain, unique, within};
use super::tree::{Node, Table, Value, check_keys};
use super::{Members, Stage, Task};

/// Keys of an entry that are not parameters of its component.
const ONE: &[&str] = &["name", "curriculum"];
const SEVERAL: &[&str] = &["name", "members", "order", "rules"];
const MEASURES: [(&str, Watched); 4] = [
    ("validation_accuracy", Watched::ValidationAccuracy),
    ("validation_loss", Watched::ValidationLoss),
    ("running_accuracy", Watched::RunningAccuracy),
    ("running_loss", Watched::RunningLoss),
];

/// Reads an entry of `tasks`.
pub(super) fn read(node: &Node) -> Result<Task> {
    match &node.value {
        Value::Table(table) if table.contains_key("members") => several(node, table),
        Value::Table(table) if !table.contains_key("use") => Err(without_component(node, table)),
        _ => Ok(one(node, "a task", ONE)?.0),
    }
}

/// The error for an entry that has neither `use` nor `members`.
fn without_component(node: &Node, table: &Table) -> Error {
    let misspelt = table.keys().find_map(|key| Some((key, nearest(key, ["use", "members"])?)));
    node.at.error("a task does not name its component").help(match misspelt {
        Some((key, meant)) => format!("`{key}`: did you mean `{meant}`?"),
        None => "add use = \"…\", or members = […] for several tasks of one network; `pallium plugins list` lists \
                 the tasks"
            .into(),
    })
}

/// Reads `"id"` or `{ use = "id", … }`, and the table if it is one.
fn one<'a>(node: &'a Node, what: &str, reserved: &[&str]) -> Result<(Task, Option<&'a Table>)> {
    let component = component(node, what, None, reserved)?;
    let table = match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    };
    let named = table.and_then(|table| table.get("name"));
    let name = named.map(|name| label(name, "the task's name")).transpose()?;
    let mut task = Task {
        name: name.unwrap_or_else(|| component.component.id.clone()),
        component,
        curriculum: Vec::new(),
        members: None,
    };
    if let Some(stages) = table.and_then(|table| table.get("curriculum")) {
        let Value::List(list) = &stages.value else {
            return Err(stages
                .wrong("`curriculum`", "a list of stages")
                .help("write curriculum = [{ PARAMETER = …, until = { validation_accuracy = 0.9 } }]"));
        };
        task.curriculum = list.iter().map(|node| stage(node, &task)).collect::<Result<_>>()?;
    }
    Ok((task, table))
}

/// A stage has the parameters of the task, replaced by its own.
fn stage(node: &Node, task: &Task) -> Result<Stage> {
    let table = node.table("a stage of a curriculum")?;
    let Some(until) = table.get("until") else {
        return Err(node
            .at
            .error("a stage of a curriculum does not say when it ends")
            .help("add until = { validation_accuracy = 0.9 } or, for a number of epochs, until = 5"));
    };
    let own = parameters(&task.component.component.id, node, table, &["until"])?;
    if own.component.params.is_empty() {
        return Err(node.at.error("a stage of a curriculum sets no parameter").help(
            "set those that differ from the task's; the last stage is the task itself and is not listed",
        ));
    }
    let mut component = task.component.clone();
    component.component.params.extend(own.component.params);
    component.parameters_at.extend(own.parameters_at);
    Ok(Stage { component, until: self::until(until)? })
}

fn until(node: &Node) -> Result<Until> {
    let Value::Table(table) = &node.value else {
        let epochs = node.integer("`until`", 1, u64::from(u32::MAX)).map_err(|e| {
            e.help("write a number of epochs, or { validation_accuracy = 0.9, for_epochs = 2, at_most = 20 }")
        })?;
        return Ok(Until { reached: None, for_epochs: 1, at_most: Some(narrow(epochs)?) });
    };
    let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).chain(["for_epochs", "at_most"]).collect();
    check_keys(table, &names, "`until`")?;
    let mut reached = None;
    for (name, measure) in MEASURES {
        let Some(value) = table.get(name) else { continue };
        if reached.is_some() {
            return Err(value.at.error("`until` names two measures").help("name one of them"));
        }
        let what = format!("`{name}` of `until`");
        let value = match measure {
            Watched::ValidationAccuracy | Watched::RunningAccuracy => {
                within(value, &what, |v| v > 0.0 && v <= 1.0, "above 0 and at most 1")?
            }
            _ => value.number(&what)?,
        };
        reached = Some((measure, value));
    }
    let integer = |key: &str| {
        let of = |node: &Node| node.integer(&format!("`{key}` of `until`"), 1, u64::from(u32::MAX));
        table.get(key).map(of).transpose()
    };
    let (for_epochs, at_most) = (integer("for_epochs")?, integer("at_most")?);
    if let (None, Some(node)) = (&reached, table.get("for_epochs")) {
        return Err(node.at.error("`until` has `for_epochs` but no measure").help(MEASURES_HELP));
    }
    if reached.is_none() && at_most.is_none() {
        return Err(node.at.error("`until` names nothing that ends the stage").help(MEASURES_HELP));
    }
    let for_epochs = narrow(for_epochs.unwrap_or(1))?;
    Ok(Until { reached, for_epochs, at_most: at_most.map(narrow).transpose()? })
}

const MEASURES_HELP: &str = "name validation_accuracy, validation_loss, running_accuracy or running_loss with a value, or at_most = EPOCHS";

/// Reads `{ name = "both", members = ["id", { use = "id", share = 2 }], order = "mixed" }`.
fn several(node: &Node, table: &Table) -> Result<Task> {
    if let Some(used) = table.get("use") {
        return Err(used
            .at
            .error("an entry of `tasks` has both `use` and `members`")
            .help("name one component with `use`, or several tasks of one network with `members`"));
    }
    check_keys(table, SEVERAL, "several tasks of one network")?;
    let Some(name) = table.get("name") else {
        return Err(node.at.error("several tasks of one network have no name").help("add name = \"…\""));
    };
    let name = label(name, "the name of several tasks")?;
    let order = match table.get("order") {
        None => Order::default(),
        Some(node) => match node.text("`order`")?.as_str() {
            "interleaved" => Order::Interleaved,
            "mixed" => Order::Mixed,
            "sequential" => Order::Sequential,
            other => return Err(unknown_order(node, other)),
        },
    };
    let rules = table.get("rules").map(|node| node.boolean("`rules`")).transpose()?.unwrap_or(true);
    let mut tasks = Vec::new();
    for member in table.get("members").map(Node::list).unwrap_or_default() {
        if let Value::Table(table) = &member.value
            && let Some(inner) = table.get("members")
        {
            return Err(inner.at.error("members cannot have members").help("list all tasks in one list"));
        }
        let (task, table) = one(member, "a member", &["name", "curriculum", "share"])?;
        let share = match table.and_then(|table| table.get("share")) {
            Some(node) => within(node, "`share`", |share| share > 0.0 && share.is_finite(), "above 0")?,
            None => 1.0,
        };
        tasks.push((task, share));
    }
    if tasks.len() < 2 {
        return Err(node
            .at
            .error(format!("`{name}` needs at least two `members`, but has {}", tasks.len()))
            .help("list the tasks of the network in `members`, or name a single one with `use`"));
    }
    unique(tasks.iter().map(|(task, _)| (task.name.as_str(), &task.component.at)), "member")
        .map_err(|e| e.help("a task that is used twice needs two names: { use = \"…\", name = \"…\" }"))?;
    let component = plain(SEVERAL_TASKS, &node.at);
    Ok(Task { name, component, curriculum: Vec::new(), members: Some(Members { order, rules, tasks }) })
}

fn unknown_order(node: &Node, order: &str) -> Error {
    node.at.error(format!("there is no order `{order}`")).help(
        "it must be interleaved (a task for each batch), mixed (all tasks in each batch) or sequential (one task after another)",
    )
}
