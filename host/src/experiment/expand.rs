//! Expands an [`Experiment`] into its cells and checks them against the loaded
//! components.

use std::collections::BTreeMap;

use itertools::Itertools;
use pallium_core::{Error, Result, Role, accepts_further_names};
use pallium_profile as profile;
use pallium_record::identity::without_path;
use pallium_record::spec::{CellSpec, FORMER_MODEL_PARAMETERS, Member, Members, Stage, Use};
use serde_json::{Map, Value};

use super::origins::Origins;
use super::sweep::{Coordinate, OWN_NAME, Swept};
use super::{Component, Experiment, Place, Task, schema};
use crate::plugins::{Catalogue, code};

/// What a specification holds of a task.
struct ResolvedTask {
    name: String,
    component: Use,
    curriculum: Vec<Stage>,
    members: Option<Members>,
}

/// Maximum number of trainings, far above any study.
const MOST_CELLS: u64 = 1_000_000;

/// The trainings of an experiment, and the meaning of their names.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// Every training, in order.
    pub cells: Vec<CellSpec>,
    /// The axes of sweeps, in order of first use.
    pub axes: Vec<String>,
    /// Profile of each variant.
    pub profiles: BTreeMap<String, String>,
    /// Each variant's name without its point on the axes, and the point.
    pub bases: BTreeMap<String, (String, Vec<Coordinate>)>,
    /// Coordinates of each variant and task on the axes that concern them.
    places: Vec<(String, String, Vec<Coordinate>)>,
}

impl Expansion {
    /// The axes as a table: a header, then one row per variant and task, with
    /// empty fields for axes that do not concern them. Empty without axes.
    pub fn axes_table(&self) -> Vec<Vec<String>> {
        if self.axes.is_empty() {
            return Vec::new();
        }
        let header = ["variant", "task"].into_iter().map(String::from).chain(self.axes.iter().cloned());
        let mut rows = vec![header.collect::<Vec<_>>()];
        for (variant, task, at) in &self.places {
            let value = |axis: &String| {
                at.iter().find(|c| c.axis == *axis).map(|c| c.value.clone()).unwrap_or_default()
            };
            rows.push(
                [variant.clone(), task.clone()].into_iter().chain(self.axes.iter().map(value)).collect(),
            );
        }
        rows
    }
}

impl Experiment {
    /// Every training: all of run 0, then all of run 1, and so on, so that an
    /// interrupted study has complete runs; within a run by task, then by
    /// variant, in the order of the file.
    ///
    /// A parameter comes from the place where the component is used, else from
    /// `[defaults]`, else from a switch that is set, else from the component's value
    /// under the profile, else it has the component's default.
    ///
    /// # Errors
    /// If a component is not loaded, plays another role, or does not take a
    /// parameter that it is given.
    pub fn expand(&self, catalogue: &Catalogue) -> Result<Vec<CellSpec>> {
        Ok(self.expansion(catalogue)?.cells)
    }

    /// Every component that the trainings use, each once with each set of parameters.
    /// Their data need not exist.
    ///
    /// # Errors
    /// If a component is not loaded, plays another role, or does not take a
    /// parameter that it is given.
    pub fn components(&self, catalogue: &Catalogue) -> Result<Vec<Use>> {
        let mut found: Vec<Use> = Vec::new();
        for (_, experiment) in self.points() {
            for component in experiment.grid(catalogue)?.iter().flatten().flat_map(CellSpec::components) {
                if !found.contains(component) {
                    found.push(component.clone());
                }
            }
        }
        Ok(found)
    }

    /// The experiment at each point of its sweeps.
    fn points(&self) -> Vec<(Vec<usize>, &Experiment)> {
        match self.sweep.points.as_slice() {
            [] => vec![(Vec::new(), self)],
            points => points.iter().map(|(at, experiment)| (at.clone(), experiment)).collect(),
        }
    }

    /// Every training, and the meaning of their names; see
    /// [`Experiment::expand`].
    ///
    /// # Errors
    /// As [`Experiment::expand`].
    pub fn expansion(&self, catalogue: &Catalogue) -> Result<Expansion> {
        let points = self.points();
        // The trainings of run 0 by task, then by variant, at each point.
        let grids: BTreeMap<&[usize], Vec<Vec<CellSpec>>> = points
            .iter()
            .map(|(at, experiment)| {
                let grid = experiment.grid(catalogue)?;
                if let Some(cell) = grid.iter().flatten().next() {
                    experiment.check_substrate(catalogue, &cell.substrate)?;
                }
                Ok((at.as_slice(), grid))
            })
            .collect::<Result<_>>()?;
        let axes = &self.sweep.axes;
        let mut out = Expansion::default();
        let mut variants = Vec::new();
        for (number, variant) in self.variants.iter().enumerate() {
            let of = |at: &[usize]| {
                grids.get(at).map(|tasks| tasks.iter().map(|t| t.get(number)).collect::<Vec<_>>())
            };
            // An axis that changes nothing here does not multiply.
            let matters: Vec<bool> = axes
                .iter()
                .enumerate()
                .map(|(axis, (_, values))| {
                    values.len() == 1
                        || points.iter().any(|(at, _)| {
                            let mut first = at.clone();
                            first[axis] = 0;
                            of(at) != of(&first)
                        })
                })
                .collect();
            let plain =
                self.names.0.get(&variant.name).cloned().unwrap_or_else(|| Swept::plain(&variant.name));
            for (at, experiment) in &points {
                if at.iter().zip(&matters).any(|(place, matters)| !matters && *place > 0) {
                    continue;
                }
                let mut name = plain.clone();
                for (((axis, values), place), _) in axes.iter().zip(at).zip(&matters).filter(|(_, m)| **m) {
                    if name.at.iter().any(|c| c.axis == *axis) {
                        let clash = format!("variant `{}` has two axes called `{axis}`", plain.base);
                        return Err(variant.at.error(clash).help(OWN_NAME));
                    }
                    let value = values.get(*place).cloned().unwrap_or_default();
                    name.at.push(Coordinate { axis: axis.clone(), value });
                }
                if out.profiles.insert(name.name(), experiment.profile.clone()).is_some() {
                    return Err(variant
                        .at
                        .error(format!("duplicate variant `{}`", name.name()))
                        .help("rename or remove one of them"));
                }
                out.bases.insert(name.name(), (name.base.clone(), name.at.clone()));
                variants.push((number, at.as_slice(), name));
            }
        }
        for (number, task) in self.tasks.iter().enumerate() {
            let swept = self.names.1.get(&task.name).map(|s| s.at.as_slice()).unwrap_or_default();
            for (variant, at, name) in &variants {
                let Some(cell) = grids.get(at).and_then(|g| g.get(number)?.get(*variant)) else { continue };
                let place = name.at.iter().chain(swept).cloned().collect::<Vec<_>>();
                for coordinate in &place {
                    if !out.axes.contains(&coordinate.axis) {
                        out.axes.push(coordinate.axis.clone());
                    }
                }
                out.cells.push(CellSpec { variant: name.name(), ..cell.clone() });
                out.places.push((name.name(), task.name.clone(), place));
            }
        }
        let all = out.cells.len() as u64 * u64::from(self.runs);
        if all > MOST_CELLS {
            return Err(Error::input(format!(
                "{} pairs of variant and task with {} runs each are {all} trainings",
                out.cells.len(),
                self.runs
            ))
            .help(format!("the maximum is {MOST_CELLS}; reduce `runs`")));
        }
        let first = std::mem::take(&mut out.cells);
        for run in 0..self.runs {
            out.cells.extend(first.iter().map(|cell| CellSpec { run, ..cell.clone() }));
        }
        let mut origins = Origins::default();
        for cell in &mut out.cells {
            origins.resolve(cell)?;
        }
        Ok(out)
    }

    /// An error of [`check`](crate::run::check::check), with the file and line of the
    /// component that cannot be built or of its parameter, else of the variant whose
    /// training cannot run.
    #[must_use]
    pub fn placed(&self, error: Error) -> Error {
        // A name in brackets comes from a sweep.
        let is = |known: &str, name: &str| known == name || Some(known) == name.split('[').next();
        let label = error.message.strip_prefix("training ").and_then(|rest| rest.split(" cannot run").next());
        let mut parts = label.unwrap_or_default().split('/');
        let (name, task) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let exactly = self.variants.iter().find(|variant| variant.name == name);
        let Some(variant) = exactly.or_else(|| self.variants.iter().find(|known| is(&known.name, name)))
        else {
            return error;
        };
        let components = [&variant.weights]
            .into_iter()
            .chain(variant.connections.iter().chain(&variant.null).chain(&variant.constraints))
            .chain([variant.model.as_ref().unwrap_or(&self.model)])
            .chain([variant.optimizer.as_ref().unwrap_or(&self.optimizer)])
            .chain(self.tasks.iter().filter(|known| is(&known.name, task)).flat_map(Task::components))
            .chain(&self.metrics)
            .chain([&self.substrate]);
        let at = self.fault(components, &error.causes.join("\n")).unwrap_or(&variant.at);
        Error { message: at.error(&error.message).message, ..error }
    }

    /// The place of the parameter that `causes` say is wrong, or else of its component.
    fn fault<'a>(
        &'a self,
        components: impl Iterator<Item = &'a Component>,
        causes: &str,
    ) -> Option<&'a super::Place> {
        let is_faulty = |id: &str| {
            causes.contains(&format!("cannot build `{id}`")) || causes.contains(&format!("` of `{id}`"))
        };
        let faulty: Vec<_> = components.filter(|component| is_faulty(&component.component.id)).collect();
        let defaults = faulty.iter().filter_map(|component| self.defaults.get(&component.component.id));
        let given: Vec<_> = faulty.iter().copied().chain(defaults).collect();
        // `coherences[1]` is one value of a parameter.
        let mut quoted = causes.split('`').skip(1).step_by(2).filter_map(|name| name.split('[').next());
        let parameter = quoted.find_map(|name| given.iter().find_map(|given| given.parameters_at.get(name)));
        parameter.or_else(|| Some(&faulty.first()?.at))
    }

    /// The trainings of run 0 at one point of a sweep, by task, then by
    /// variant. The data of the substrate need not exist.
    fn grid(&self, catalogue: &Catalogue) -> Result<Vec<Vec<CellSpec>>> {
        for (id, given) in &self.defaults {
            let entry = catalogue.get(id).map_err(|e| placed(e, &given.at))?;
            let mut given = given.clone();
            if entry.role == Role::Model {
                let theirs = schema::properties(&entry.schema);
                let former =
                    |name: &str| FORMER_MODEL_PARAMETERS.contains(&name) && !theirs.contains_key(name);
                given.component.params.retain(|name, _| !former(name));
            }
            self.checked(&entry.schema, &given, &Map::new())?;
        }
        let substrate = self.resolve(catalogue, Role::Substrate, &self.substrate, &[])?;
        let metrics = self.resolve_all(catalogue, Role::Metric, &self.metrics, &[])?;
        let tasks =
            self.tasks.iter().map(|task| self.resolve_task(catalogue, task)).collect::<Result<Vec<_>>>()?;
        let variants = self
            .variants
            .iter()
            .map(|variant| {
                let ids: Vec<_> = variant.constraints.iter().map(|c| c.component.id.as_str()).collect();
                let weights = self.resolve(catalogue, Role::Weights, &variant.weights, &ids)?;
                let other = |source: &Option<Component>| {
                    let resolve = |source| self.resolve(catalogue, Role::Weights, source, &ids);
                    source.as_ref().map(resolve).transpose()
                };
                let (connections, null) = (other(&variant.connections)?, other(&variant.null)?);
                let constraints =
                    self.resolve_all(catalogue, Role::Constraint, &variant.constraints, &ids)?;
                let model = variant.model.as_ref().unwrap_or(&self.model);
                let optimizer = variant.optimizer.as_ref().unwrap_or(&self.optimizer);
                let (model, optimizer) = self.resolve_network(catalogue, model, optimizer)?;
                Ok(CellSpec {
                    variant: variant.name.clone(),
                    task: String::new(),
                    run: 0,
                    seed: self.seed,
                    data_seed: self.data_seed,
                    substrate: substrate.clone(),
                    weights,
                    connections,
                    null,
                    geometry: variant.geometry.clone(),
                    constraints,
                    task_component: Use::new(""),
                    curriculum: Vec::new(),
                    members: None,
                    model,
                    optimizer,
                    metrics: metrics.clone(),
                    training: variant.training.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;

        let cell = |task: &ResolvedTask, variant: &CellSpec| CellSpec {
            task: task.name.clone(),
            task_component: task.component.clone(),
            curriculum: task.curriculum.clone(),
            members: task.members.clone(),
            ..variant.clone()
        };
        Ok(tasks.iter().map(|task| variants.iter().map(|variant| cell(task, variant)).collect()).collect())
    }

    /// The component of a task. `name` in its table is what tables call it, and also
    /// the parameter of that name, if the component has one.
    pub(super) fn named_task(
        &self,
        catalogue: &Catalogue,
        task: &Task,
        given: &Component,
    ) -> Result<Component> {
        let mut component = given.clone();
        let entry =
            catalogue.find(&component.component.id, Role::Task).map_err(|e| placed(e, &component.at))?;
        let label = self.names.1.get(&task.name).map_or(task.name.as_str(), |swept| swept.base.as_str());
        if label != entry.id && schema::properties(&entry.schema).contains_key("name") {
            component.component.params.entry("name").or_insert_with(|| label.into());
        }
        Ok(component)
    }

    /// Adds metrics, as a user named them, to trainings that do not have them.
    ///
    /// # Errors
    /// If a metric is not loaded or does not take a parameter.
    pub fn add_metrics(&self, cells: &mut [CellSpec], metrics: &[Use], catalogue: &Catalogue) -> Result<()> {
        for metric in metrics {
            let resolved = self.added_metric(metric, catalogue)?;
            // A file is known by its contents, wherever it is.
            let known = without_path(&resolved);
            for cell in cells.iter_mut() {
                if cell.metrics.iter().all(|metric| without_path(metric) != known) {
                    cell.metrics.push(resolved.clone());
                }
            }
        }
        Ok(())
    }

    /// A metric that a user gave to `pallium measure`, now or before, with all parameters.
    ///
    /// # Errors
    /// If there is no such metric, or it does not have these parameters.
    pub fn added_metric(&self, metric: &Use, catalogue: &Catalogue) -> Result<Use> {
        let at = Place::option(&format!("metric {}", metric.id));
        let parameters_at = metric.params.keys().map(|name| (name.clone(), at.clone())).collect();
        let given = Component { component: metric.clone(), at, parameters_at };
        self.resolve(catalogue, Role::Metric, &given, &[])
    }

    fn resolve_all(
        &self,
        catalogue: &Catalogue,
        role: Role,
        given: &[Component],
        constraints: &[&str],
    ) -> Result<Vec<Use>> {
        given.iter().map(|one| self.resolve(catalogue, role, one, constraints)).collect()
    }

    /// A component with all of its parameters, sorted by name so that the same
    /// training always has the same text.
    pub(super) fn resolve(
        &self,
        catalogue: &Catalogue,
        role: Role,
        given: &Component,
        constraints: &[&str],
    ) -> Result<Use> {
        let id = &given.component.id;
        let entry = catalogue.find(id, role).map_err(|e| placed(e, &given.at))?;
        let defaults = self.defaults.get(id);
        // What a file of code offers is known once it is read.
        let mut named = defaults.map(|defaults| defaults.component.params.clone()).unwrap_or_default();
        named.extend(given.component.params.clone());
        let described = catalogue.describe_with(entry, &named).map_err(|e| placed(e, &given.at))?;
        let schema = described.as_ref().map_or(&entry.schema, |described| &described.schema);
        let mut params =
            profile::parameters(&self.profile, &self.set_switches, &entry.profiles, constraints)?;
        if let Some(defaults) = defaults {
            params = self.checked(schema, defaults, &params)?;
        }
        params = self.checked(schema, given, &params)?;
        // What the file sets is checked; a declared value or a switch may be wrong.
        for (name, value) in &params {
            let known = schema::properties(schema).contains_key(name) || accepts_further_names(schema);
            if !known || schema::check_value(schema, name, value).is_err() {
                return Err(Error::input(format!(
                    "under the profile `{}` and its switches, parameter `{name}` of `{id}` is {value}, which `{id}` \
                     does not accept",
                    self.profile
                ))
                .help(format!(
                    "set {name} where `{id}` is used, or under [defaults.\"{id}\"]; `pallium plugins show {id}` \
                     shows the values that it declares, and `pallium plugins check FILE` tests them"
                )));
            }
        }
        let files = params.iter().filter(|(name, value)| schema::is_file(schema, name, value));
        let files = files.map(|(name, _)| name.clone()).sorted().collect();
        params.extend(described.map(|described| described.resolved).unwrap_or_default());
        params.sort_keys();
        Ok(Use { id: id.clone(), params, on: given.component.on.clone(), files })
    }

    /// A task, or several, with all parameters.
    fn resolve_task(&self, catalogue: &Catalogue, task: &Task) -> Result<ResolvedTask> {
        let members = match &task.members {
            None => None,
            Some(members) => {
                let tasks = members.tasks.iter().map(|(task, share)| {
                    let ResolvedTask { name, component, curriculum, .. } =
                        self.resolve_task(catalogue, task)?;
                    Ok(Member { name, component, share: *share, curriculum })
                });
                let tasks = tasks.collect::<Result<_>>()?;
                Some(Members { order: members.order, rules: members.rules, tasks })
            }
        };
        let component = match &members {
            Some(_) => task.component.component.clone(),
            None => {
                self.resolve(catalogue, Role::Task, &self.named_task(catalogue, task, &task.component)?, &[])?
            }
        };
        let stages = task.curriculum.iter().map(|stage| {
            let component = self.named_task(catalogue, task, &stage.component)?;
            let component = self.resolve(catalogue, Role::Task, &component, &[])?;
            Ok(Stage { component, until: stage.until.clone() })
        });
        let curriculum = stages.collect::<Result<_>>()?;
        Ok(ResolvedTask { name: task.name.clone(), component, curriculum, members })
    }

    /// A model and its optimizer. Parameters that models had before optimizers
    /// were components are taken from the model and given to the optimizer.
    fn resolve_network(
        &self,
        catalogue: &Catalogue,
        model: &Component,
        optimizer: &Component,
    ) -> Result<(Use, Use)> {
        let id = &model.component.id;
        let entry = catalogue.find(id, Role::Model).map_err(|e| placed(e, &model.at))?;
        let theirs = schema::properties(&entry.schema);
        let mut moved = Map::new();
        let mut split = |from: &Component| {
            let mut rest = from.clone();
            for name in FORMER_MODEL_PARAMETERS.iter().filter(|name| !theirs.contains_key(**name)) {
                if let Some(value) = rest.component.params.remove(*name) {
                    tracing::info!(
                        "`{name}` is a parameter of the optimizer, not of the model `{id}`: \
                         write optimizer.{name}"
                    );
                    moved.insert((*name).to_owned(), value);
                }
            }
            rest
        };
        let defaults = self.defaults.get(id).map(&mut split);
        let rest = split(model);
        let alone = Experiment {
            defaults: defaults.into_iter().map(|given| (id.clone(), given)).collect(),
            ..self.clone()
        };
        let resolved = alone.resolve(catalogue, Role::Model, &rest, &[])?;
        let mut given = optimizer.clone();
        for (name, value) in moved {
            if given.component.params.contains_key(&name) {
                let at = model.parameters_at.get(&name).unwrap_or(&model.at);
                return Err(at
                    .error(format!("`{name}` is set for the model and for the optimizer"))
                    .help("it is a parameter of the optimizer: remove it from the model"));
            }
            let at = model.parameters_at.get(&name).unwrap_or(&model.at);
            given.parameters_at.insert(name.clone(), at.clone());
            given.component.params.insert(name, value);
        }
        Ok((resolved, self.resolve(catalogue, Role::Optimizer, &given, &[])?))
    }

    /// `below` with the parameters in `given` replaced, each of them checked.
    pub(super) fn checked(
        &self,
        schema: &Value,
        given: &Component,
        below: &Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let id = &given.component.id;
        let mut params = below.clone();
        let own = &given.component.params;
        let shown = code::shown(id, |key| own.get(key).or_else(|| below.get(key)));
        for (name, value) in own {
            let at = given.parameters_at.get(name).unwrap_or(&given.at);
            schema::check_name(id, &shown, schema, name, at)?;
            if let Err(must) = schema::check_value(schema, name, value) {
                return Err(at
                    .error(format!("parameter `{name}` of `{id}` cannot be {value}: it must be {must}"))
                    .help(format!("`pallium plugins show {shown}` documents its type and default")));
            }
            let value = match value.as_str() {
                Some(path) if schema::is_file(schema, name, value) => at.absolute(path)?.into(),
                _ => value.clone(),
            };
            params.insert(name.clone(), value);
        }
        Ok(params)
    }

    /// A substrate that reads a path needs an existing one.
    fn check_substrate(&self, catalogue: &Catalogue, substrate: &Use) -> Result<()> {
        let properties = schema::properties(&catalogue.get(&substrate.id)?.schema);
        let Some(property) = properties.get("path") else { return Ok(()) };
        let is_empty = |value: Option<&Value>| value.is_none_or(|v| v.is_null() || v == "");
        let given = substrate.params.get("path");
        // If the default is null, the path is optional.
        let optional = property.get("default").is_some_and(Value::is_null);
        if is_empty(given) && is_empty(property.get("default")) && !optional {
            return Err(self
                .substrate
                .at
                .error(format!("the substrate `{}` needs a path", substrate.id))
                .help(
                    "name its data with --set substrate.path=FOLDER, or path = \"FOLDER\" under [substrate]",
                ));
        }
        if let Some(path) = given.and_then(Value::as_str)
            && !std::path::Path::new(path).exists()
        {
            let at = [Some(&self.substrate), self.defaults.get(&substrate.id)]
                .into_iter()
                .flatten()
                .find_map(|c| c.parameters_at.get("path"))
                .unwrap_or(&self.substrate.at);
            return Err(at.error(format!("`{path}` does not exist")).help(
                "a path in a file is relative to that file, a path given by --set to the current folder",
            ));
        }
        Ok(())
    }
}

fn placed(mut error: Error, at: &super::Place) -> Error {
    error.message = format!("{at}: {}", error.message);
    error
}
