//! New components in Python, as written by `pallium plugins new --language python`: a
//! file with a class, and an experiment that uses it.

use std::path::Path;

use pallium_core::{Error, Result, Role};

use super::{all_or_nothing, template, type_name, write_files};

const EXPERIMENT: &str = include_str!("templates/experiment.toml.in");

fn source(role: Role) -> Result<&'static str> {
    Ok(match role {
        Role::Substrate => include_str!("templates/python/substrate.py.in"),
        Role::Weights => include_str!("templates/python/weights.py.in"),
        Role::Constraint => include_str!("templates/python/constraint.py.in"),
        Role::Task => include_str!("templates/python/task.py.in"),
        Role::Model => include_str!("templates/python/model.py.in"),
        Role::Metric => include_str!("templates/python/metric.py.in"),
        _ => {
            return Err(Error::unsupported(format!("there are no {role} components in Python"))
                .help("leave out --language python to write it in Rust"));
        }
    })
}

/// A new component in Python.
#[derive(Debug)]
pub struct Scaffold {
    /// Its role.
    pub role: Role,
    /// Name of its class.
    pub class: String,
    /// Name of its file.
    pub file: String,
}

impl Scaffold {
    /// A component called `name`.
    ///
    /// # Errors
    /// If the name is not allowed, or there are no components of this role in Python.
    pub fn new(name: &str, role: Role) -> Result<Self> {
        source(role)?;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let keyword = ["actions", "torch", "numpy", "random", "test"].contains(&name);
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || name.ends_with('-')
            || !name.chars().all(allowed)
            || keyword
        {
            return Err(Error::input(format!("a component cannot have the name `{name}`")).help(
                "use lower-case letters, digits and hyphens, starting with a letter, such as long-wires",
            ));
        }
        Ok(Scaffold { role, class: type_name(name), file: format!("{}.py", name.replace('-', "_")) })
    }

    /// The files: their names and their contents.
    ///
    /// # Errors
    /// If there is no template for the role.
    pub fn files(&self) -> Result<Vec<(String, String)>> {
        let (class, file, role) = (&self.class, &self.file, self.role);
        // In a task's table `name` is what tables call the task.
        let key = if role == Role::Task { "environment" } else { "name" };
        let keys = [
            format!("use = \"python.{role}\""),
            format!("path = \"{file}\""),
            format!("{key} = \"{class}\""),
        ];
        let uses = template(role, None)?
            .uses
            .replace("use = \"@ID@\"", &keys.join("\n"))
            .replace("\"@ID@\"", &format!("{{ {} }}", keys.join(", ")));
        let experiment = EXPERIMENT
            .replace("plugin_path = [\"target/release\"]\n", "")
            .replace("@ID@", class)
            .replace("@USES@", uses.trim_end());
        Ok(vec![
            (file.clone(), source(role)?.replace("@FILE@", file).replace("@CLASS@", class)),
            ("experiment.toml".into(), experiment),
        ])
    }

    /// Writes the files to `folder`, which must not exist.
    ///
    /// # Errors
    /// If the folder exists or cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let files = self.files()?;
        if folder.exists() {
            return Err(Error::input(format!("{} exists already", folder.display()))
                .help("choose another name, or another folder with --dir"));
        }
        all_or_nothing(folder, |folder| write_files(folder, files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_but_optimizers_has_a_class_and_a_valid_experiment() {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Optimizer) {
            let files = Scaffold::new("long-wires", role).unwrap().files().unwrap();
            assert_eq!(files[0].0, "long_wires.py");
            assert!(files[0].1.contains("class LongWires"), "{role}");
            let experiment: toml::Table = files[1].1.parse().unwrap();
            assert!(!experiment.contains_key("plugin_path"));
            for (_, text) in &files {
                assert!(!text.contains('@') || !text.contains("@ID@"), "{text}");
            }
            assert!(files[1].1.contains(&format!("python.{role}")), "{}", files[1].1);
        }
        assert!(Scaffold::new("lion", Role::Optimizer).is_err());
        assert!(Scaffold::new("Long", Role::Metric).is_err());
    }
}
