//! From an [`Experiment`] to its cells, checked against what is loaded.

use pallium_core::{Error, Result, Role};
use serde_json::{Map, Value};

use super::{Component, Experiment, profile, schema};
use crate::cell::{CellSpec, Use};
use crate::plugins::Catalogue;

impl Experiment {
    /// Every cell: all of run 0, then all of run 1, and so on, so that a study
    /// that is interrupted has whole runs; within a run by task, then by
    /// variant, in the order of the file.
    ///
    /// A parameter comes from where the component is named, else from
    /// `[defaults]`, else from the switches, else it is the component's own.
    ///
    /// # Errors
    /// If a component is not loaded, plays another role, or does not take a
    /// parameter that it is given.
    pub fn expand(&self, catalogue: &Catalogue) -> Result<Vec<CellSpec>> {
        for (id, given) in &self.defaults {
            let entry = catalogue.get(id).map_err(|e| placed(e, &given.at))?;
            self.checked(&entry.schema, given, &Map::new())?;
        }
        let substrate = self.resolve(catalogue, Role::Substrate, &self.substrate, &[])?;
        self.check_substrate(catalogue, &substrate)?;
        let model = self.resolve(catalogue, Role::Model, &self.model, &[])?;
        let metrics = self.resolve_all(catalogue, Role::Metric, &self.metrics, &[])?;
        let tasks = self
            .tasks
            .iter()
            .map(|task| Ok((&task.name, self.resolve(catalogue, Role::Task, &task.component, &[])?)))
            .collect::<Result<Vec<_>>>()?;
        let variants = self
            .variants
            .iter()
            .map(|variant| {
                let ids: Vec<_> = variant.constraints.iter().map(|c| c.component.id.as_str()).collect();
                let weights = self.resolve(catalogue, Role::Weights, &variant.weights, &ids)?;
                let constraints =
                    self.resolve_all(catalogue, Role::Constraint, &variant.constraints, &ids)?;
                Ok((variant, weights, constraints))
            })
            .collect::<Result<Vec<_>>>()?;

        let mut cells = Vec::new();
        for run in 0..self.runs {
            for (task, task_component) in &tasks {
                for (variant, weights, constraints) in &variants {
                    cells.push(CellSpec {
                        variant: variant.name.clone(),
                        task: (*task).clone(),
                        run,
                        seed: self.seed,
                        data_seed: self.data_seed,
                        substrate: substrate.clone(),
                        weights: weights.clone(),
                        geometry: variant.geometry.clone(),
                        constraints: constraints.clone(),
                        task_component: task_component.clone(),
                        model: model.clone(),
                        metrics: metrics.clone(),
                        training: self.training.clone(),
                    });
                }
            }
        }
        Ok(cells)
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

    /// A component with everything that it is told, sorted by name so that the
    /// same cell always has the same text.
    fn resolve(
        &self,
        catalogue: &Catalogue,
        role: Role,
        given: &Component,
        constraints: &[&str],
    ) -> Result<Use> {
        let id = &given.component.id;
        let entry = catalogue.find(id, role).map_err(|e| placed(e, &given.at))?;
        let switched = profile::parameters(&self.switches, id, constraints)?;
        for (name, value) in &switched {
            if !schema::properties(&entry.schema).contains_key(name)
                || schema::check_value(&entry.schema, name, value).is_err()
            {
                return Err(Error::input(format!(
                    "the profile `{}` sets parameter `{name}` of `{id}` to {value}, which `{id}` does not take",
                    self.profile
                ))
                .help("the plugin is of another version than this executable: build both anew"));
            }
        }
        let mut params = switched;
        if let Some(defaults) = self.defaults.get(id) {
            params = self.checked(&entry.schema, defaults, &params)?;
        }
        params = self.checked(&entry.schema, given, &params)?;
        params.sort_keys();
        Ok(Use { id: id.clone(), params })
    }

    /// `below` with the parameters of `given` over it, each checked.
    fn checked(
        &self,
        schema: &Value,
        given: &Component,
        below: &Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let id = &given.component.id;
        let mut params = below.clone();
        for (name, value) in &given.component.params {
            let at = given.parameters_at.get(name).unwrap_or(&given.at);
            schema::check_name(id, schema, name, at)?;
            if let Err(must) = schema::check_value(schema, name, value) {
                return Err(at
                    .error(format!("parameter `{name}` of `{id}` cannot be {value}: it must be {must}"))
                    .help(format!("`pallium plugins show {id}` tells its type and default")));
            }
            params.insert(name.clone(), value.clone());
        }
        Ok(params)
    }

    /// A substrate that is read from a path needs one that exists.
    fn check_substrate(&self, catalogue: &Catalogue, substrate: &Use) -> Result<()> {
        let properties = schema::properties(&catalogue.get(&substrate.id)?.schema);
        let Some(property) = properties.get("path") else { return Ok(()) };
        let is_empty = |value: Option<&Value>| value.is_none_or(|v| v.is_null() || v == "");
        let given = substrate.params.get("path");
        if is_empty(given) && is_empty(property.get("default")) {
            return Err(self
                .substrate
                .at
                .error(format!("the substrate `{}` needs a path", substrate.id))
                .help("say which data to use: --set substrate.path=FOLDER, or path = \"FOLDER\" under [substrate]"));
        }
        if let Some(path) = given.and_then(Value::as_str)
            && !std::path::Path::new(path).exists()
        {
            let at = [Some(&self.substrate), self.defaults.get(&substrate.id)]
                .into_iter()
                .flatten()
                .find_map(|c| c.parameters_at.get("path"))
                .unwrap_or(&self.substrate.at);
            return Err(at.error(format!("there is nothing at `{path}`")).help(
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
