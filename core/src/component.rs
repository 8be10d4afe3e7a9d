//! How a component describes itself, and how the components of a plugin are
//! found.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Constraint, Error, Metric, Model, Optimizer, Result, Setting, SubstrateSource, Task, WeightSource,
    parse_parameters, schema_of,
};

/// What a component does in an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// Supplies the neurons and the data recorded from them: [`SubstrateSource`].
    Substrate,
    /// Supplies the initial recurrent weights: [`WeightSource`].
    Weights,
    /// Acts on the recurrent weights during training: [`Constraint`].
    Constraint,
    /// Generates trials: [`Task`].
    Task,
    /// The network that is trained: [`Model`].
    Model,
    /// Updates the parameters: [`Optimizer`].
    Optimizer,
    /// Measures a network: [`Metric`].
    Metric,
}

impl Role {
    /// All roles, in the order in which an experiment uses them.
    pub const ALL: [Role; 7] = [
        Role::Substrate,
        Role::Weights,
        Role::Constraint,
        Role::Task,
        Role::Model,
        Role::Optimizer,
        Role::Metric,
    ];

    /// The role's name in experiment files and commands, such as `constraint`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Substrate => "substrate",
            Role::Weights => "weights",
            Role::Constraint => "constraint",
            Role::Task => "task",
            Role::Model => "model",
            Role::Optimizer => "optimizer",
            Role::Metric => "metric",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A component: its id, its source, its parameters, and how it is built.
pub trait Component: Sized + 'static {
    /// Unique id: `family.name` in lower-case letters, digits and hyphens, such
    /// as `spatial.communicability-emd`.
    const ID: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// Its source: a paper, or "this work".
    const CITE: &'static str;
    /// Its parameters; declare them with [`params!`](crate::params).
    type Params: DeserializeOwned + Serialize + Default + JsonSchema;
    /// Values of parameters under the profiles of experiments, for parameters
    /// whose value decides whether a published computation is repeated as it was.
    ///
    /// A parameter without a value under a profile has its default there. A switch
    /// of an experiment replaces the values of the parameter that it names.
    const PROFILES: &'static [ProfileValue] = &[];
    /// Names of capabilities that the host must have for this component; a host
    /// that lacks one refuses the component with an error that names it.
    const REQUIRES: &'static [&'static str] = &[];
    /// Whether the component takes recurrent weights on a set of connections
    /// ([`Connections`](crate::Connections)) and not only as a matrix; its role
    /// documents what then differs. A component that takes only matrices receives
    /// one in networks up to a certain size, and is refused in larger ones.
    const CONNECTIONS: bool = false;

    /// Description and parameters of the component with these parameters, if they
    /// depend on them: a component whose code is in a file named by a parameter is
    /// known only once the file is read. `None` (the default) stands for the
    /// constants and [`Component::Params`].
    ///
    /// The host asks components whose `Params` accept further names (a map with
    /// `#[serde(flatten)]` instead of [`params!`](crate::params)), before it reads
    /// their parameters.
    ///
    /// # Errors
    /// If the parameters name something that cannot be read.
    fn describe(params: &Self::Params) -> Result<Option<Description>> {
        let _ = params;
        Ok(None)
    }

    /// Builds the component from its parameters, which are already checked for
    /// names and types, and the setting of the experiment.
    ///
    /// # Errors
    /// If a parameter is out of range, or the setting lacks something that the
    /// component needs.
    fn build(params: Self::Params, setting: &Setting<'_>) -> Result<Self>;
}

/// The value of a parameter under a profile; see [`Component::PROFILES`].
///
/// ```
/// use pallium_core::ProfileValue;
///
/// const PROFILES: &[ProfileValue] = &[
///     ProfileValue::new("published", "floor", "1e-10"),
///     ProfileValue::new("corrected", "start", r#""rescaled""#).with_constraint("spatial.non-negative"),
/// ];
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProfileValue {
    /// Name of the profile, such as `published`.
    pub profile: &'static str,
    /// Name of the parameter.
    pub parameter: &'static str,
    /// Its value, as JSON: `"\"released\""`, `"true"`, `"0.1"`.
    pub json: &'static str,
    /// Id of the constraint without which the value does not hold, if there is one.
    pub constraint: Option<&'static str>,
}

impl ProfileValue {
    /// The value of `parameter` under `profile`, as JSON.
    pub const fn new(profile: &'static str, parameter: &'static str, json: &'static str) -> Self {
        ProfileValue { profile, parameter, json, constraint: None }
    }

    /// The value holds only in variants that use the constraint with this id, and
    /// there takes precedence over one that holds in all.
    #[must_use]
    pub const fn with_constraint(self, id: &'static str) -> Self {
        ProfileValue { constraint: Some(id), ..self }
    }
}

/// What a component is, where this depends on its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// What it does, in one line.
    pub about: String,
    /// Its source.
    pub cite: String,
    /// JSON schema of its parameters.
    pub schema: serde_json::Value,
    /// Values of parameters that follow from the others and belong to the
    /// specification of a training, such as the hash of the code that a parameter
    /// names.
    #[serde(default)]
    pub resolved: serde_json::Map<String, serde_json::Value>,
    /// If the parameters name a file and choose nothing in it: what it offers.
    #[serde(default)]
    pub offers: Vec<Offer>,
}

impl Description {
    /// A description from its parts.
    pub fn new(about: impl Into<String>, cite: impl Into<String>, schema: serde_json::Value) -> Self {
        Description {
            about: about.into(),
            cite: cite.into(),
            schema,
            resolved: serde_json::Map::new(),
            offers: Vec::new(),
        }
    }
}

/// A component that a file offers, and the parameters that choose it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Id of the component.
    pub id: String,
    /// Its parameters.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// Builds a boxed component from a JSON object of parameters and a setting.
pub type Build<T> = fn(&str, &Setting<'_>) -> Result<Box<T>>;

/// The function that builds a component, by role.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Builder {
    /// Builds a [`SubstrateSource`].
    Substrate(Build<dyn SubstrateSource>),
    /// Builds a [`WeightSource`].
    Weights(Build<dyn WeightSource>),
    /// Builds a [`Constraint`].
    Constraint(Build<dyn Constraint>),
    /// Builds a [`Task`].
    Task(Build<dyn Task>),
    /// Builds a [`Model`].
    Model(Build<dyn Model>),
    /// Builds an [`Optimizer`].
    Optimizer(Build<dyn Optimizer>),
    /// Builds a [`Metric`].
    Metric(Build<dyn Metric>),
}

/// A component's entry in its library's registry, made by
/// [`register!`](crate::register).
pub struct Registration {
    /// Its role.
    pub role: Role,
    /// Its id.
    pub id: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its source.
    pub cite: &'static str,
    /// JSON schema of its parameters.
    pub schema: fn() -> serde_json::Value,
    /// Values of its parameters under profiles.
    pub profiles: &'static [ProfileValue],
    /// Capabilities that it requires of the host.
    pub requires: &'static [&'static str],
    /// Whether it takes sets of connections.
    pub connections: bool,
    /// Its description with parameters given as a JSON object.
    pub describe: fn(&str) -> Result<Option<Description>>,
    /// The function that builds it.
    pub builder: Builder,
}

inventory::collect!(Registration);

macro_rules! registration {
    ($function:ident, $trait:ident, $role:ident) => {
        impl Registration {
            #[doc = concat!("The registry entry of a [`", stringify!($trait), "`].")]
            pub const fn $function<T: Component + $trait>() -> Self {
                Registration {
                    role: Role::$role,
                    id: T::ID,
                    about: T::ABOUT,
                    cite: T::CITE,
                    schema: schema_of::<T::Params>,
                    profiles: T::PROFILES,
                    requires: T::REQUIRES,
                    connections: T::CONNECTIONS,
                    describe: |json| T::describe(&parse_parameters(T::ID, json)?),
                    builder: Builder::$role(|json, setting| {
                        let params: T::Params = parse_parameters(T::ID, json)?;
                        let component = T::build(params, setting)
                            .map_err(|e| e.context(format!("cannot build `{}`", T::ID)))?;
                        Ok(Box::new(component))
                    }),
                }
            }
        }
    };
}
registration!(substrate, SubstrateSource, Substrate);
registration!(weights, WeightSource, Weights);
registration!(constraint, Constraint, Constraint);
registration!(task, Task, Task);
registration!(model, Model, Model);
registration!(optimizer, Optimizer, Optimizer);
registration!(metric, Metric, Metric);

/// The components of this library, sorted by id, since the order of the registry
/// changes between builds.
pub fn registrations() -> Vec<&'static Registration> {
    let mut all: Vec<_> = inventory::iter::<Registration>.into_iter().collect();
    all.sort_by_key(|r| r.id);
    all
}

/// The component of this library with this id.
pub(crate) fn registration(id: &str) -> Result<&'static Registration> {
    registrations()
        .into_iter()
        .find(|r| r.id == id)
        .ok_or_else(|| Error::bug(format!("this library has no component `{id}`")))
}

/// Registers a component under the trait of its role, next to its definition:
/// `pallium_core::register!(Metric, Modularity);`
#[macro_export]
macro_rules! register {
    (SubstrateSource, $component:ty) => { $crate::register!(@ substrate, $component); };
    (WeightSource, $component:ty) => { $crate::register!(@ weights, $component); };
    (Constraint, $component:ty) => { $crate::register!(@ constraint, $component); };
    (Task, $component:ty) => { $crate::register!(@ task, $component); };
    (Model, $component:ty) => { $crate::register!(@ model, $component); };
    (Optimizer, $component:ty) => { $crate::register!(@ optimizer, $component); };
    (Metric, $component:ty) => { $crate::register!(@ metric, $component); };
    (@ $role:ident, $component:ty) => {
        $crate::inventory::submit! { $crate::Registration::$role::<$component>() }
    };
}
