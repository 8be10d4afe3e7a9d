//! The tasks on which `pallium evaluate` and `pallium export` test finished
//! networks: a training's own or another one, with parameters set on the command
//! line.

use pallium_core::{Error, Result, Role};
use pallium_record::spec::{CellSpec, Member, Use};

use super::tree::{Node, Value};
use super::{Component, Experiment, read, sweep};
use crate::plugins::Catalogue;

/// A task with everything set.
#[derive(Clone, Debug, PartialEq)]
pub struct TestedTask {
    /// Its label in tables.
    pub label: String,
    /// The parameters that the command line sets, as `delay=20,sigma=0`.
    pub settings: String,
    /// Index of the task that it stands for among several that the network was trained
    /// on; 0 for one.
    pub member: usize,
    /// The component.
    pub component: Use,
}

/// The `task` table of `--set task.…=…`, one for each point of its sweeps.
fn points(sets: &[String]) -> Result<Vec<Node>> {
    let Some(tree) = sets.iter().map(|text| Node::parse_set(text)).reduce(|all, one| all?.overlay(one?))
    else {
        return Ok(Vec::new());
    };
    let tree = tree?;
    for (key, node) in tree.table("--set")? {
        if key != "task" || !matches!(node.value, Value::Table(_)) {
            return Err(node
                .at
                .error(format!("`{key}` is not a parameter of the task"))
                .help("the network is finished, so only the task can change: --set task.NAME=VALUE"));
        }
    }
    let (_, points) = sweep::spread(&tree)?;
    let trees =
        if points.is_empty() { vec![tree] } else { points.into_iter().map(|(_, tree)| tree).collect() };
    trees.into_iter().map(|tree| Ok(tree.table("--set")?["task"].clone())).collect()
}

impl Experiment {
    /// The tasks on which the network of `spec` is tested: each of `names`, or its own
    /// if there are none, at each point of `sets` (`task.NAME=VALUE`; a value may be a
    /// sweep). A name is that of a task of the experiment, or a component's id. A network
    /// that was trained on several tasks is tested on each of them, or on those of `names`.
    ///
    /// # Errors
    /// If there is no such task, or it does not have a parameter.
    pub fn tested_tasks(
        &self,
        catalogue: &Catalogue,
        spec: &CellSpec,
        names: &[String],
        sets: &[String],
    ) -> Result<Vec<TestedTask>> {
        let mut bases = Vec::new();
        if let Some(several) = &spec.members {
            bases = of_several(spec, &several.tasks, names)?;
        }
        for name in names.iter().filter(|_| spec.members.is_none()) {
            let known = self.tasks.iter().find(|task| task.name == *name && task.members.is_none());
            let several = name
                .split_once('/')
                .filter(|(all, _)| self.tasks.iter().any(|task| task.name == *all && task.members.is_some()));
            let given = match (known, several) {
                (Some(task), _) => self.named_task(catalogue, task, &task.component)?,
                (None, Some((all, _))) => {
                    return Err(Error::input(format!(
                        "`{name}` is a task of the networks of `{all}`, and {} was not trained on it",
                        spec.label()
                    ))
                    .help(format!("select these networks with --only '*/{all}/*'")));
                }
                _ => read::plain_component(name, &format!("--task {name}")),
            };
            bases.push((name.clone(), 0, self.resolve(catalogue, Role::Task, &given, &[])?));
        }
        if bases.is_empty() {
            bases.push((spec.task.clone(), 0, spec.task_component.clone()));
        }
        let points = points(sets)?;
        let mut tested = Vec::new();
        for (label, member, base) in bases {
            if points.is_empty() {
                tested.push(TestedTask { label, settings: String::new(), member, component: base });
                continue;
            }
            let schema = &catalogue.find(&base.id, Role::Task)?.schema;
            for point in &points {
                let given = read::parameters_of(&base.id, point)?;
                let params = self.checked(schema, &given, &base.params)?;
                let component = Use { params: sorted(params), ..base.clone() };
                tested.push(TestedTask {
                    label: label.clone(),
                    settings: settings(&given),
                    member,
                    component,
                });
            }
        }
        if let Some(twice) = duplicate(&tested) {
            return Err(Error::input(format!("the task `{twice}` is tested twice with the same parameters"))
                .help("remove the second `--task` or the duplicate value of `--set`"));
        }
        Ok(tested)
    }
}

fn sorted(
    mut params: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    params.sort_keys();
    params
}

/// A task's label, its index among several, and its component.
type Base = (String, usize, Use);

/// The tasks of `names` among those of a network that was trained on several; all
/// without names. A task is named alone, or with the name of all tasks before it, as in
/// `results.csv`.
fn of_several(spec: &CellSpec, members: &[Member], names: &[String]) -> Result<Vec<Base>> {
    let label = |member: &Member| format!("{}/{}", spec.task, member.name);
    let all = || members.iter().enumerate().map(|(at, one)| (label(one), at, one.component.clone()));
    let mut found = Vec::new();
    for name in names {
        let fits = |(whole, at, _): &Base| [&members[*at].name, whole, &spec.task].contains(&name);
        let before = found.len();
        found.extend(all().filter(fits));
        if found.len() == before {
            return Err(Error::input(format!(
                "the network of {} was trained on several tasks, and `{name}` is not one of them",
                spec.label()
            ))
            .help(format!("its tasks: {}", all().map(|(label, ..)| label).collect::<Vec<_>>().join(", "))));
        }
    }
    Ok(if names.is_empty() { all().collect() } else { found })
}

fn duplicate(tested: &[TestedTask]) -> Option<&str> {
    let key = |task: &TestedTask| (task.label.clone(), task.settings.clone());
    let mut seen = std::collections::BTreeSet::new();
    tested.iter().find(|task| !seen.insert(key(task))).map(|task| task.label.as_str())
}

fn settings(given: &Component) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = given.component.params.iter().map(|(name, value)| format!("{name}={}", text(value)));
    all.collect::<Vec<_>>().join(",")
}
