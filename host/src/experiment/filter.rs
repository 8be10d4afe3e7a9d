//! Selects trainings by pattern.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use pallium_core::{Error, Result, nearest};
use pallium_record::spec::CellSpec;

/// The trainings that match at least one pattern of `only`, in their order; all
/// of them without patterns.
///
/// A pattern is `variant/task/run`, or a part of that (`variant/task`,
/// `task/run`, `variant/run`, or one of the three), or `variant=…`, `task=…`,
/// `run=…`. Each part is a glob, except that a part which is an existing name
/// matches that name alone: `*` is a letter in `W*D*C`. A pattern without
/// existing names is also matched against the complete label, where `*` crosses
/// `/`.
///
/// # Errors
/// If a pattern is malformed or matches no training.
pub fn filter(cells: Vec<CellSpec>, only: &[String]) -> Result<Vec<CellSpec>> {
    if only.is_empty() {
        return Ok(cells);
    }
    let names = KnownNames::from_cells(&cells);
    let mut keep = vec![false; cells.len()];
    for text in only {
        let pattern = Pattern::parse(text, &names)?;
        let mut any = false;
        for (cell, keep) in cells.iter().zip(&mut keep) {
            let matches = pattern.matches(cell);
            any |= matches;
            *keep |= matches;
        }
        if !any {
            let error = Error::input(format!("--only {text}: no training matches"));
            let known = names.0.iter().flatten().map(String::as_str);
            // An existing name in the pattern is not the mistake.
            let near = nearest(text, known).filter(|near| !text.split('/').any(|part| part == *near));
            return Err(match near {
                Some(near) => {
                    error.help(format!("did you mean `{near}`? `pallium plan` lists the trainings"))
                }
                None => error.help(format!(
                    "a training is variant/task/run, such as `{}`; `pallium plan` lists them",
                    cells.first().map(CellSpec::label).unwrap_or_default()
                )),
            });
        }
    }
    Ok(cells.into_iter().zip(keep).filter_map(|(cell, keep)| keep.then_some(cell)).collect())
}

/// The existing names: variants, tasks, runs.
struct KnownNames([BTreeSet<String>; 3]);

impl KnownNames {
    fn from_cells(cells: &[CellSpec]) -> Self {
        KnownNames([
            cells.iter().map(|c| c.variant.clone()).collect(),
            cells.iter().map(|c| c.task.clone()).collect(),
            cells.iter().map(|c| c.run.to_string()).collect(),
        ])
    }
}

/// One part of a pattern.
enum Part {
    Name(String),
    Glob(GlobMatcher),
}

impl Part {
    fn parse(text: &str, names: &BTreeSet<String>, complete: &str) -> Result<Self> {
        if names.contains(text) {
            return Ok(Part::Name(text.to_string()));
        }
        Ok(Part::Glob(glob(text, complete)?))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Part::Name(own) => own == name,
            Part::Glob(glob) => glob.is_match(name),
        }
    }
}

/// Which of variant, task and run the parts of a pattern may be.
struct Pattern {
    readings: Vec<Vec<(usize, Part)>>,
    label: Option<GlobMatcher>,
}

impl Pattern {
    fn parse(text: &str, names: &KnownNames) -> Result<Self> {
        let is_name = names.0.iter().any(|all| all.contains(text));
        if !is_name
            && let Some((key, rest)) = text.split_once('=')
            && let Some(field) = ["variant", "task", "run"].iter().position(|known| *known == key.trim())
        {
            let part = Part::parse(rest.trim(), &names.0[field], text)?;
            return Ok(Pattern { readings: vec![vec![(field, part)]], label: None });
        }
        let parts: Vec<_> = text.split('/').collect();
        let fields: &[&[usize]] = match parts.len() {
            1 => &[&[0], &[1], &[2]],
            2 => &[&[0, 1], &[1, 2], &[0, 2]],
            3 => &[&[0, 1, 2]],
            _ => &[],
        };
        let mut readings = Vec::new();
        for fields in fields {
            let reading: Vec<_> = fields
                .iter()
                .zip(&parts)
                .map(|(&field, part)| Ok((field, Part::parse(part, &names.0[field], text)?)))
                .collect::<Result<_>>()?;
            readings.push(reading);
        }
        // The reading with the most existing names is the intended one.
        let named = |reading: &Vec<(usize, Part)>| {
            reading.iter().filter(|(_, part)| matches!(part, Part::Name(_))).count()
        };
        let most = readings.iter().map(named).max().unwrap_or(0);
        readings.retain(|reading| named(reading) == most);
        let label = if most == 0 { Some(glob(text, text)?) } else { None };
        Ok(Pattern { readings, label })
    }

    fn matches(&self, cell: &CellSpec) -> bool {
        let run = cell.run.to_string();
        let fields = [cell.variant.as_str(), cell.task.as_str(), run.as_str()];
        self.label.as_ref().is_some_and(|glob| glob.is_match(cell.label()))
            || self
                .readings
                .iter()
                .any(|parts| parts.iter().all(|(field, part)| part.matches(fields[*field])))
    }
}

fn glob(text: &str, complete: &str) -> Result<GlobMatcher> {
    GlobBuilder::new(text)
        .literal_separator(false)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|e| {
            Error::input(format!("--only {complete}: not a valid pattern: {}", e.kind()))
                .help("`*` matches any text, `?` any letter, `\\*` an asterisk")
        })
}
