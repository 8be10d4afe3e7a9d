//! Lesions: which units are silenced and which connections are cut, and the
//! matched random lesions that they are compared with.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools;
use ndarray::Array2;
use pallium_core::{Error, Result, nearest, random};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// What a lesion removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Elements {
    /// Units, with all of their outgoing connections.
    Units,
    /// Connections between units, in every recurrent block.
    Connections,
}

/// How many elements a lesion removes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Amount {
    /// A number.
    Count(usize),
    /// A share of all elements, from 0 to 1.
    Share(f64),
}

/// What random lesions have in common with the lesion that they are compared with,
/// besides the number of elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Matched {
    /// Only the number of elements.
    #[default]
    Number,
    /// Also strength: equally many elements from each decile of strength.
    Strength,
    /// Also length: equally many connections from each decile of distance.
    Distance,
}

impl Matched {
    fn name(self) -> &'static str {
        match self {
            Matched::Number => "number",
            Matched::Strength => "strength",
            Matched::Distance => "distance",
        }
    }
}

/// A lesion, as `units:strongest:10%`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesion {
    /// How it was written.
    pub text: String,
    /// What it removes.
    pub elements: Elements,
    /// The class of elements.
    pub class: String,
    /// What follows the class: an amount, a list or a name.
    pub of: Option<String>,
}

const UNITS: [&str; 9] = [
    "strongest",
    "weakest",
    "most-active",
    "least-active",
    "random",
    "all",
    "community",
    "population",
    "list",
];
const CONNECTIONS: [&str; 14] = [
    "strongest",
    "weakest",
    "longest",
    "shortest",
    "like-to-like",
    "unlike",
    "excitatory",
    "inhibitory",
    "within",
    "between",
    "diagonal",
    "random",
    "all",
    "list",
];

impl Lesion {
    /// Parses a lesion; one for each of several amounts. `nothing` removes nothing,
    /// `recurrence` is short for `connections:all`.
    ///
    /// # Errors
    /// If there is no such class, or the amount is not one.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let wrong = |why: String| Error::input(format!("--lesion {text}: {why}"));
        let long = match text {
            "nothing" => "units:random:0",
            "recurrence" => "connections:all",
            other => other,
        };
        let mut parts = long.splitn(3, ':');
        let (elements, classes): (_, &[&str]) = match parts.next().unwrap_or_default() {
            "units" => (Elements::Units, &UNITS),
            "connections" => (Elements::Connections, &CONNECTIONS),
            short @ ("nothing" | "recurrence") => {
                return Err(wrong(format!("`{short}` has no parts")).help(format!("write --lesion {short}")));
            }
            other => {
                return Err(wrong(format!("`{other}` is neither `units` nor `connections`"))
                    .help("such as units:strongest:10%, connections:longest:100, recurrence or nothing"));
            }
        };
        let class = parts.next().unwrap_or_default();
        if !classes.contains(&class) {
            let error = wrong(format!("there is no class `{class}`"));
            return Err(match nearest(class, classes.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("classes: {}", classes.join(", "))),
            });
        }
        let of = parts.next();
        let lesion = |text: String, of: Option<&str>| Lesion {
            text,
            elements,
            class: class.to_owned(),
            of: of.map(str::to_owned),
        };
        if matches!(class, "list" | "population") {
            if of.is_none_or(str::is_empty) {
                let example = match (class, elements) {
                    ("population", _) => "units:population:excitatory",
                    (_, Elements::Units) => "units:list:0,5,9",
                    (_, Elements::Connections) => "connections:list:3>7,8>2",
                };
                return Err(wrong(format!("the {class} is missing")).help(format!("such as {example}")));
            }
            let lesion = lesion(text.to_owned(), of);
            if class == "list" {
                lesion.listed()?;
            }
            return Ok(vec![lesion]);
        }
        if matches!(class, "all" | "diagonal") {
            return match of {
                None => Ok(vec![lesion(text.to_owned(), None)]),
                Some(_) => Err(wrong(format!("`{class}` takes no amount")).help("leave the amount out")),
            };
        }
        let optional = matches!(class, "community" | "excitatory" | "inhibitory" | "within" | "between");
        match of {
            None if optional => Ok(vec![lesion(text.to_owned(), None)]),
            None => Err(wrong("the amount is missing".into())
                .help(format!("a number or a share, such as {text}:10%; several as {text}:5%,10%,20%"))),
            Some(amounts) => amounts
                .split(',')
                .map(|one| {
                    if class == "community" {
                        one.parse::<usize>()
                            .map_err(|_| wrong(format!("`{one}` is not the number of a community")))?;
                    } else {
                        amount(one).map_err(|why| {
                            wrong(why).help("write a number or a share of at most 100%, such as 25 or 10%")
                        })?;
                    }
                    let name = if amounts == one {
                        text.to_owned()
                    } else {
                        format!("{}{one}", &text[..text.len() - amounts.len()])
                    };
                    Ok(lesion(name, Some(one)))
                })
                .collect(),
        }
    }

    /// The elements of a list.
    fn listed(&self) -> Result<Vec<(usize, usize)>> {
        let list = self.of.as_deref().unwrap_or_default();
        let wrong = |part: &str| {
            let (what, example) = match self.elements {
                Elements::Units => ("a unit", "0,5,9"),
                Elements::Connections => ("a connection", "3>7,8>2"),
            };
            Error::input(format!("--lesion {}: `{part}` is not {what}", self.text))
                .help(format!("units are counted from 0: {example}"))
        };
        list.split(',')
            .map(|part| {
                let ends = match self.elements {
                    Elements::Units => part.trim().parse().ok().map(|unit| (unit, unit)),
                    Elements::Connections => part
                        .split_once('>')
                        .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?))),
                };
                ends.ok_or_else(|| wrong(part))
            })
            .collect()
    }

    /// Whether distances between units are needed.
    pub fn needs_distance(&self) -> bool {
        matches!(self.class.as_str(), "longest" | "shortest")
    }

    /// Whether the recorded correlation of the neurons is needed.
    pub fn needs_similarity(&self) -> bool {
        matches!(self.class.as_str(), "like-to-like" | "unlike")
    }

    /// Whether the activity of the units is needed.
    pub fn needs_activity(&self) -> bool {
        matches!(self.class.as_str(), "most-active" | "least-active")
    }

    /// Whether communities are needed.
    pub fn needs_communities(&self) -> bool {
        matches!(self.class.as_str(), "community" | "within" | "between")
    }
}

fn amount(text: &str) -> Result<Amount, String> {
    let wrong = || format!("`{text}` is neither a number nor a share");
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            match (0.0..=100.0).contains(&percent) {
                true => Ok(Amount::Share(percent / 100.0)),
                false => Err(format!("`{text}` is not between 0% and 100%")),
            }
        }
        None => text.trim().parse().map(Amount::Count).map_err(|_| wrong()),
    }
}

/// What is known of a network's units and connections. Matrices are units × units;
/// unknown values are NaN.
pub(super) struct Anatomy {
    pub signed: Array2<f64>,
    pub strength: Array2<f64>,
    pub distance: Option<Array2<f64>>,
    pub similarity: Option<Array2<f64>>,
    /// Mean activity of each unit.
    pub activity: Option<Vec<f64>>,
    /// Community of each unit, and number of communities of at least two units.
    pub community: Option<(Vec<usize>, usize)>,
    /// First and last unit of each population, by name.
    pub populations: Vec<(String, std::ops::Range<usize>)>,
}

/// The elements that a lesion removes: (unit, unit) for a unit, (from, to) for a
/// connection.
pub(super) type Chosen = Vec<(usize, usize)>;

/// A lesion of one network.
pub(super) struct Selection {
    /// The lesion, with the number of the community.
    pub text: String,
    pub elements: Elements,
    pub chosen: Chosen,
    /// What random lesions are drawn from; empty if none are comparable.
    pub candidates: Chosen,
}

impl Anatomy {
    fn units(&self) -> usize {
        self.strength.nrows()
    }

    /// Existing connections between different units.
    fn connections(&self) -> Chosen {
        let all = self.strength.indexed_iter().filter(|((i, j), w)| i != j && **w > 0.0);
        all.map(|(at, _)| at).collect()
    }

    /// Σ|w| of all connections of each unit, without the one to itself.
    fn unit_strength(&self) -> Vec<f64> {
        let of = |unit: usize| {
            let both = self.strength.row(unit).sum() + self.strength.column(unit).sum();
            both - 2.0 * self.strength[[unit, unit]]
        };
        (0..self.units()).map(of).collect()
    }

    /// The elements of `lesion`; several selections for all communities.
    pub fn select(&self, lesion: &Lesion, seed: u64) -> Result<Vec<Selection>> {
        let wrong = |why: String| Error::input(format!("--lesion {}: {why}", lesion.text));
        let needs = |what: &str| wrong(format!("the network has no {what}"));
        let units: Chosen = (0..self.units()).map(|unit| (unit, unit)).collect();
        let candidates = match lesion.elements {
            Elements::Units => units,
            Elements::Connections => self.connections(),
        };
        let one = |chosen: Chosen, candidates: Chosen| {
            Ok(vec![Selection { text: lesion.text.clone(), elements: lesion.elements, chosen, candidates }])
        };
        let take = |mut ranked: Vec<(f64, (usize, usize))>, descending: bool| -> Result<Chosen> {
            ranked.retain(|(value, _)| !value.is_nan());
            ranked.sort_by(|a, b| if descending { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
            let count = self.count(lesion, candidates.len())?;
            if count > ranked.len() {
                return Err(wrong(format!("{count} elements, but there are only {}", ranked.len())));
            }
            Ok(ranked.into_iter().take(count).map(|(_, at)| at).collect())
        };
        let values = |matrix: &Array2<f64>| candidates.iter().map(|&at| (matrix[at], at)).collect_vec();
        let per_unit = |values: &[f64]| candidates.iter().map(|&at| (values[at.0], at)).collect_vec();
        let descending =
            matches!(lesion.class.as_str(), "strongest" | "longest" | "like-to-like" | "most-active");
        let chosen = match (lesion.elements, lesion.class.as_str()) {
            (_, "random") => {
                let count = self.count(lesion, candidates.len())?;
                let mut all = candidates.clone();
                all.shuffle(&mut random::stream(seed, &format!("lesion {}", lesion.text)));
                all.truncate(count);
                all
            }
            (Elements::Units, "all") => candidates.clone(),
            (Elements::Connections, "all") => {
                let all = self.strength.indexed_iter().filter(|(_, w)| **w > 0.0);
                return one(all.map(|(at, _)| at).collect(), Vec::new());
            }
            (_, "diagonal") => {
                (0..self.units()).map(|i| (i, i)).filter(|at| self.strength[*at] > 0.0).collect()
            }
            (_, "list") => {
                let list = lesion.listed()?;
                if let Some((from, to)) = list.iter().find(|at| at.0.max(at.1) >= self.units()) {
                    let last = self.units().saturating_sub(1);
                    return Err(wrong(format!("there is no unit {}", from.max(to)))
                        .help(format!("the units of this network are 0 to {last}")));
                }
                list.into_iter().unique().collect()
            }
            (_, "population") => {
                let name = lesion.of.as_deref().unwrap_or_default();
                let Some((_, range)) = self.populations.iter().find(|(known, _)| known == name) else {
                    let known = self.populations.iter().map(|(name, _)| name).join(", ");
                    return Err(wrong(format!("the network has no population `{name}`"))
                        .help(format!("its populations: {known}")));
                };
                range.clone().map(|unit| (unit, unit)).collect()
            }
            (_, "community") => return self.communities(lesion, candidates),
            (Elements::Units, "strongest" | "weakest") => take(per_unit(&self.unit_strength()), descending)?,
            (Elements::Units, _) => {
                let activity = self.activity.as_ref().ok_or_else(|| needs("recorded activity"))?;
                take(per_unit(activity), descending)?
            }
            (_, "strongest" | "weakest") => take(values(&self.strength), descending)?,
            (_, "longest" | "shortest") => {
                let distance = self.distance.as_ref().ok_or_else(|| needs("positions of its units"))?;
                take(values(distance), descending)?
            }
            (_, "like-to-like" | "unlike") => {
                let similarity = self.similarity.as_ref().ok_or_else(|| needs("recorded correlation"))?;
                take(values(similarity), descending)?
            }
            (_, class @ ("excitatory" | "inhibitory")) => {
                let sign = if class == "excitatory" { 1.0 } else { -1.0 };
                let of_sign =
                    candidates.iter().filter(|at| self.signed[**at] * sign > 0.0).copied().collect();
                self.some(lesion, of_sign, seed)?
            }
            (_, class) => {
                let (community, _) = self.community.as_ref().ok_or_else(|| needs("communities"))?;
                let within = class == "within";
                let fits = |at: &&(usize, usize)| (community[at.0] == community[at.1]) == within;
                self.some(lesion, candidates.iter().filter(fits).copied().collect(), seed)?
            }
        };
        let candidates = if lesion.class == "all" { Vec::new() } else { candidates };
        one(chosen, candidates)
    }

    /// The number of elements that a lesion removes of `all`.
    fn count(&self, lesion: &Lesion, all: usize) -> Result<usize> {
        let text = lesion.of.as_deref().unwrap_or("100%");
        Ok(match amount(text).map_err(Error::bug)? {
            Amount::Count(count) if count > all => {
                return Err(Error::input(format!("--lesion {}: there are only {all} elements", lesion.text))
                    .help("set a smaller number, or a share such as 10%"));
            }
            Amount::Count(count) => count,
            Amount::Share(share) => (share * all as f64).round() as usize,
        })
    }

    /// A random part of a class, or all of it.
    fn some(&self, lesion: &Lesion, mut class: Chosen, seed: u64) -> Result<Chosen> {
        if lesion.of.is_some() {
            let count = self.count(lesion, class.len())?;
            class.shuffle(&mut random::stream(seed, &format!("lesion {}", lesion.text)));
            class.truncate(count);
        }
        Ok(class)
    }

    fn communities(&self, lesion: &Lesion, candidates: Chosen) -> Result<Vec<Selection>> {
        let wrong = |why: String| Error::input(format!("--lesion {}: {why}", lesion.text));
        let (community, count) =
            self.community.as_ref().ok_or_else(|| wrong("there are no communities".into()))?;
        let wanted = lesion.of.as_deref().and_then(|number| number.parse::<usize>().ok());
        if let Some(number) = wanted.filter(|number| number >= count) {
            return Err(wrong(format!("there is no community {number}")).help(format!(
                "this network has {count} communities of at least two units, counted from 0"
            )));
        }
        let numbers = wanted.map_or(0..*count, |number| number..number + 1);
        Ok(numbers
            .map(|number| {
                let members = candidates.iter().filter(|at| community[at.0] == number);
                Selection {
                    text: format!("units:community:{number}"),
                    elements: Elements::Units,
                    chosen: members.copied().collect(),
                    candidates: candidates.clone(),
                }
            })
            .collect())
    }

    /// A random selection that is matched to `selection`; `None` if nothing random is
    /// comparable. It may share elements with the selection, so that a class that is no
    /// different from random ones is among them.
    pub fn control(&self, selection: &Selection, matched: Matched, seed: u64) -> Result<Option<Chosen>> {
        if selection.candidates.len() < selection.chosen.len() || selection.candidates.is_empty() {
            return Ok(None);
        }
        let strength = self.unit_strength();
        let covariate = |at: &(usize, usize)| match (matched, selection.elements, &self.distance) {
            (Matched::Number, ..) => Ok(0.0),
            (Matched::Strength, Elements::Units, _) => Ok(strength[at.0]),
            (Matched::Strength, Elements::Connections, _) => Ok(self.strength[*at]),
            (Matched::Distance, Elements::Connections, Some(distance)) => Ok(distance[*at]),
            (Matched::Distance, Elements::Units, _) => {
                Err(Error::input(format!("--match distance: {}: units have no length", selection.text))
                    .help("use --match strength, or use a separate command for lesions of units"))
            }
            (Matched::Distance, _, None) => {
                Err(Error::input("--match distance: the network has no positions")
                    .help("use --match strength, or a substrate with positions"))
            }
        };
        let values: Vec<f64> = selection.candidates.iter().map(covariate).collect::<Result<_>>()?;
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let edges: Vec<f64> =
            (1..10).filter_map(|tenth| sorted.get(tenth * sorted.len() / 10).copied()).collect();
        let bin = |value: f64| edges.partition_point(|edge| *edge <= value);
        let mut bins: BTreeMap<usize, Chosen> = BTreeMap::new();
        for (at, value) in selection.candidates.iter().zip(&values) {
            bins.entry(bin(*value)).or_default().push(*at);
        }
        let chosen: BTreeSet<_> = selection.chosen.iter().collect();
        let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
        let mut known = 0;
        for (at, value) in selection.candidates.iter().zip(&values) {
            if chosen.contains(at) {
                *wanted.entry(bin(*value)).or_default() += 1;
                known += 1;
            }
        }
        // Elements outside of the candidates, such as self-connections, have no bin.
        if known < selection.chosen.len() {
            (bins, wanted) = (
                BTreeMap::from([(0, selection.candidates.clone())]),
                BTreeMap::from([(0, selection.chosen.len())]),
            );
        }
        let forced = |(bin, count): (&usize, &usize)| bins.get(bin).is_some_and(|all| all.len() <= *count);
        if matched != Matched::Number && !wanted.is_empty() && wanted.iter().all(forced) {
            return Err(Error::input(format!(
                "--lesion {} with --match {}: it removes all elements of these deciles, so every matched random \
                 lesion equals it",
                selection.text,
                matched.name()
            ))
            .help("remove a smaller share, or leave out --match"));
        }
        let mut rng = random::stream(seed, &format!("control of {}", selection.text));
        let mut control = Vec::with_capacity(selection.chosen.len());
        for (bin, count) in wanted {
            let mut all = bins.remove(&bin).unwrap_or_default();
            all.shuffle(&mut rng);
            control.extend(all.into_iter().take(count));
        }
        Ok(Some(control))
    }
}
