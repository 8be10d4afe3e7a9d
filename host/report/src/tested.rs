//! Tables of `pallium evaluate` in a report: results by condition, by the tested
//! parameters, and of lesions and perturbations.

use std::collections::BTreeMap;
use std::path::Path;

use itertools::Itertools;
use pallium_core::{Error, Result, random};
use serde::Deserialize;

use super::folder::RunFolder;
use super::run_table::ends;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, estimate, estimate_caption, measure_name, three};
use pallium_stats as stats;

/// A row of a table of `pallium evaluate`.
#[derive(Clone, Debug, Deserialize)]
struct TestRow {
    variant: String,
    trained_on: String,
    run: u32,
    task: String,
    settings: String,
    lesion: String,
    perturbation: String,
    kind: String,
    removed: usize,
    condition: String,
    trials: f64,
    measure: String,
    value: Option<f64>,
}

/// Results of tests, for figures and tables.
#[derive(Clone, Debug, Default)]
pub struct Tested {
    /// Curves, each a panel.
    pub curves: Vec<TestCurves>,
    /// Shares of answers, each a panel.
    pub answers: Vec<Answers>,
    /// Tables of the same numbers.
    pub tables: Vec<Table>,
}

/// A measure over conditions, parameters, or what was removed.
#[derive(Clone, Debug)]
pub struct TestCurves {
    /// The figure that it belongs to.
    pub figure: TestFigure,
    /// What was tested.
    pub title: String,
    /// Name of the horizontal axis.
    pub across: String,
    /// Labels of the positions 0, 1, …; of numbers if empty.
    pub labels: Vec<String>,
    /// The measure.
    pub measure: String,
    /// One line each.
    pub lines: Vec<TestLine>,
}

/// The figures of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestFigure {
    /// Over the conditions of a task.
    Conditions,
    /// Over the parameters that were set.
    Settings,
    /// Over what was removed or perturbed.
    Changes,
}

/// A line of one variant.
#[derive(Clone, Debug)]
pub struct TestLine {
    /// Index of the variant.
    pub variant: usize,
    /// Whether it shows matched random lesions.
    pub control: bool,
    /// Its points by position.
    pub points: Vec<TestPoint>,
}

/// The runs of a variant at one position.
#[derive(Clone, Copy, Debug)]
pub struct TestPoint {
    /// The position.
    pub x: f64,
    /// Mean over runs.
    pub mean: f64,
    /// Ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// Number of runs.
    pub runs: usize,
}

/// How often a variant gives each answer in each condition: a confusion matrix.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Index of the variant.
    pub variant: usize,
    /// What was tested.
    pub title: String,
    /// The conditions, in rows.
    pub conditions: Vec<String>,
    /// The answers, in columns.
    pub classes: Vec<String>,
    /// Shares as means over runs, by condition, then answer.
    pub shares: Vec<Vec<Option<f64>>>,
}

/// The measures that curves show: the first that a table has of each list.
const SHOWN: [&[&str]; 2] = [&["accuracy", "r2"], &["reaction_ms", "reaction_steps"]];

impl Tested {
    /// Reads tables that `pallium evaluate` wrote for this run.
    ///
    /// # Errors
    /// If a file cannot be read, is not such a table, or is about other variants.
    pub fn read(run: &RunFolder, files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut rows = Vec::new();
        for file in files {
            rows.extend(read(run, file.as_ref())?);
        }
        let mut found = Tested::default();
        let order = |row: &TestRow| (row.trained_on.clone(), row.task.clone());
        for key in rows.iter().map(order).unique() {
            let own: Vec<&TestRow> = rows.iter().filter(|row| order(row) == key).collect();
            let tests = Tests { run, title: title(run, &key.0, &key.1), rows: own };
            tests.by_condition(&mut found);
            tests.by_settings(&mut found);
            tests.by_change(&mut found);
            tests.answers(&mut found);
        }
        Ok(found)
    }
}

fn read(run: &RunFolder, file: &Path) -> Result<Vec<TestRow>> {
    let wrong = |what: String| {
        Error::input(format!("{}: {what}", file.display()))
            .help("name a table that `pallium evaluate RUN --out FILE.csv` wrote for this run")
    };
    let mut table = csv::Reader::from_path(file).map_err(|e| wrong(e.to_string()))?;
    let rows: Vec<TestRow> =
        table.deserialize().collect::<Result<_, csv::Error>>().map_err(|e| wrong(e.to_string()))?;
    if rows.is_empty() {
        return Err(wrong("it has no rows".into()));
    }
    match rows.iter().find(|row| !run.variants.contains(&row.variant)) {
        Some(row) => Err(wrong(format!("variant `{}` is not one of {}", row.variant, run.root.display()))),
        None => Ok(rows),
    }
}

fn title(run: &RunFolder, trained_on: &str, task: &str) -> String {
    let short = |label: &str| match run.tasks.iter().find(|known| known.label == label) {
        Some(known) => known.short().to_owned(),
        None => label.to_owned(),
    };
    match trained_on == task {
        true => short(task),
        false => format!("{} after {}", short(task), short(trained_on)),
    }
}

/// By run, the sum of values by their trials, and these trials.
type RunSums = BTreeMap<u32, (f64, f64)>;

/// The tests of networks that were trained on one task, on one task.
struct Tests<'a> {
    run: &'a RunFolder,
    title: String,
    rows: Vec<&'a TestRow>,
}

impl Tests<'_> {
    /// The measures of curves that the table has.
    fn measures(&self) -> Vec<&'static str> {
        let has =
            |measure: &&&str| self.rows.iter().any(|row| row.measure == **measure && row.value.is_some());
        SHOWN.iter().filter_map(|list| list.iter().find(has).copied()).collect()
    }

    /// The line of each variant through the rows that `position` places.
    fn lines(
        &self,
        measure: &str,
        control: bool,
        position: &dyn Fn(&TestRow) -> Option<f64>,
    ) -> Vec<TestLine> {
        let mut lines = Vec::new();
        for (variant, name) in self.run.variants.iter().enumerate() {
            // Of each run the mean over draws and over conditions, by their trials.
            let mut at: Vec<(f64, RunSums)> = Vec::new();
            for row in self.rows.iter().filter(|row| row.variant == *name && row.measure == measure) {
                let (Some(x), Some(value)) = (position(row), row.value) else { continue };
                let place = at.iter().position(|(known, _)| *known == x).unwrap_or_else(|| {
                    at.push((x, RunSums::new()));
                    at.len() - 1
                });
                let sums = at[place].1.entry(row.run).or_default();
                *sums = (sums.0 + value * row.trials, sums.1 + row.trials);
            }
            at.sort_by(|a, b| a.0.total_cmp(&b.0));
            let points = at.into_iter().map(|(x, runs)| {
                let values: Vec<f64> = runs.values().map(|(sum, weight)| sum / weight).collect();
                let purpose = format!("interval {} {name} {measure} {x}", self.title);
                let seed = random::derive(self.run.manifest.seed, 0, &purpose);
                let interval = ends(&values, self.run.interval, seed);
                TestPoint { x, mean: stats::mean(&values), interval, runs: values.len() }
            });
            let points: Vec<TestPoint> = points.collect();
            if !points.is_empty() {
                lines.push(TestLine { variant, control, points });
            }
        }
        lines
    }

    /// Of the intact network: each measure over the conditions.
    fn by_condition(&self, found: &mut Tested) {
        let intact = |row: &TestRow| row.kind == "intact" && !row.condition.is_empty();
        for settings in self.rows.iter().filter(|row| intact(row)).map(|row| row.settings.as_str()).unique() {
            let own = |row: &TestRow| intact(row) && row.settings == settings;
            let conditions: Vec<&str> =
                self.rows.iter().filter(|row| own(row)).map(|row| row.condition.as_str()).unique().collect();
            if conditions.len() < 2 {
                continue;
            }
            let title = match settings {
                "" => self.title.clone(),
                settings => format!("{} ({settings})", self.title),
            };
            let place = |row: &TestRow| conditions.iter().position(|known| *known == row.condition);
            let scale = Scale::new(&conditions);
            for measure in self.measures() {
                let (across, labels, lines) = match &scale {
                    Some(scale) => {
                        let at = |row: &TestRow| Some(scale.values[place(row).filter(|_| own(row))?]);
                        (scale.name.clone(), Vec::new(), self.lines(measure, false, &at))
                    }
                    None => {
                        let at = |row: &TestRow| Some(place(row).filter(|_| own(row))? as f64);
                        let labels = conditions.iter().map(|&name| name.to_owned()).collect();
                        ("condition".to_owned(), labels, self.lines(measure, false, &at))
                    }
                };
                if !lines.is_empty() {
                    found.curves.push(TestCurves {
                        figure: TestFigure::Conditions,
                        title: title.clone(),
                        across,
                        labels,
                        measure: measure.into(),
                        lines,
                    });
                }
                // In full, also where the figure shows means over other features.
                let at = |row: &TestRow| Some(place(row).filter(|_| own(row))? as f64);
                let labels: Vec<String> = conditions.iter().map(|&name| name.to_owned()).collect();
                let lines = self.lines(measure, false, &at);
                if !lines.is_empty() {
                    found.tables.push(self.table("condition", &title, measure, "condition", &labels, &lines));
                }
            }
        }
    }

    /// Of the intact network: each measure over the parameters that were set.
    fn by_settings(&self, found: &mut Tested) {
        let own = |row: &TestRow| row.kind == "intact" && row.condition.is_empty();
        let settings: Vec<&str> =
            self.rows.iter().filter(|row| own(row)).map(|row| row.settings.as_str()).unique().collect();
        if settings.len() < 2 {
            return;
        }
        let place = |row: &TestRow| settings.iter().position(|known| *known == row.settings);
        let scale = Scale::new(&settings);
        let labels: Vec<String> = settings.iter().map(|&name| name.to_owned()).collect();
        for measure in self.measures() {
            let by_place = |row: &TestRow| Some(place(row).filter(|_| own(row))? as f64);
            let lines = self.lines(measure, false, &by_place);
            if lines.is_empty() {
                continue;
            }
            found.tables.push(self.table("settings", &self.title, measure, "parameters", &labels, &lines));
            let (across, labels, lines) = match &scale {
                Some(scale) => {
                    let at = |row: &TestRow| Some(scale.values[place(row).filter(|_| own(row))?]);
                    (scale.name.clone(), Vec::new(), self.lines(measure, false, &at))
                }
                None => ("parameters".to_owned(), labels.clone(), lines),
            };
            found.curves.push(TestCurves {
                figure: TestFigure::Settings,
                title: self.title.clone(),
                across,
                labels,
                measure: measure.into(),
                lines,
            });
        }
    }

    /// Lesions with their matched random ones, and perturbations: the accuracy over the
    /// number of removed elements, or the strength.
    fn by_change(&self, found: &mut Tested) {
        let Some(measure) = self.measures().into_iter().find(|measure| SHOWN[0].contains(measure)) else {
            return;
        };
        let change = |row: &TestRow| -> String {
            if row.lesion.is_empty() { row.perturbation.clone() } else { row.lesion.clone() }
        };
        let whole = |row: &TestRow| row.condition.is_empty() && row.settings.is_empty();
        let changes: Vec<String> =
            self.rows.iter().filter(|row| whole(row)).map(|row| change(row)).unique().collect();
        if changes.len() < 2 {
            return;
        }
        for class in changes.iter().map(|text| class_of(text)).filter(|class| !class.is_empty()).unique() {
            let own = |row: &TestRow| whole(row) && class_of(&change(row)) == class;
            let is_lesion = self.rows.iter().any(|row| own(row) && !row.lesion.is_empty());
            let at = |row: &TestRow| match (row.kind.as_str(), is_lesion) {
                ("intact", _) if whole(row) => Some(0.0),
                (_, true) if own(row) => Some(row.removed as f64),
                (_, false) if own(row) => strength_of(&row.perturbation),
                _ => None,
            };
            let of = |control: bool| {
                self.lines(measure, control, &|row| {
                    at(row).filter(|_| row.kind == "intact" || (row.kind == "control") == control)
                })
            };
            let lines: Vec<TestLine> = match is_lesion {
                true => [of(false), of(true)].concat(),
                false => of(false),
            };
            // A curve needs more than the intact network and one change.
            let lines: Vec<TestLine> = lines.into_iter().filter(|line| line.points.len() > 2).collect();
            if !lines.is_empty() {
                found.curves.push(TestCurves {
                    figure: TestFigure::Changes,
                    title: format!("{}: {class}", self.title),
                    across: if is_lesion { "removed".into() } else { "strength".into() },
                    labels: Vec::new(),
                    measure: measure.into(),
                    lines,
                });
            }
        }
        let mut labels = changes.clone();
        labels.iter_mut().filter(|label| label.is_empty()).for_each(|label| *label = "intact".into());
        let place = |row: &TestRow, control: bool| {
            let matches = whole(row) && (row.kind == "control") == control;
            Some(changes.iter().position(|known| *known == change(row)).filter(|_| matches)? as f64)
        };
        let lines = self.lines(measure, false, &|row| place(row, false));
        let controls = self.lines(measure, true, &|row| place(row, true));
        found.tables.push(self.table("changes", &self.title, measure, "change", &labels, &lines));
        if !controls.is_empty() {
            let title = format!("{}, matched random lesions", self.title);
            found.tables.push(self.table("controls", &title, measure, "change", &labels, &controls));
        }
    }

    /// The share of each answer in each condition.
    fn answers(&self, found: &mut Tested) {
        let own = |row: &TestRow| {
            row.kind == "intact"
                && row.settings.is_empty()
                && !row.condition.is_empty()
                && row.measure.starts_with("answer_")
        };
        let unique = |of: fn(&TestRow) -> &str| -> Vec<String> {
            self.rows.iter().filter(|row| own(row)).map(|row| of(row).to_owned()).unique().collect()
        };
        let (conditions, classes) = (unique(|row| &row.condition), unique(|row| &row.measure));
        for (variant, name) in self.run.variants.iter().enumerate() {
            let share = |condition: &String, class: &String| {
                let rows = self.rows.iter().filter(|row| {
                    own(row) && row.variant == *name && row.condition == *condition && row.measure == *class
                });
                let values: Vec<f64> = rows.filter_map(|row| row.value).collect();
                (!values.is_empty()).then(|| stats::mean(&values))
            };
            let shares: Vec<Vec<Option<f64>>> =
                conditions.iter().map(|at| classes.iter().map(|class| share(at, class)).collect()).collect();
            if shares.iter().flatten().all(Option::is_none) {
                continue;
            }
            let classes: Vec<String> =
                classes.iter().map(|class| class.trim_start_matches("answer_").to_owned()).collect();
            let title = format!("Answers of {name}, {}", self.title);
            let id = slug(&format!("answers-{name}-{}", self.title));
            let mut table =
                Table::new(id, title, "Share of each answer in each condition, the mean over runs.")
                    .columns(["condition"])
                    .columns(classes.iter().map(|class| format!("#answer {class}")));
            for (condition, shares) in conditions.iter().zip(&shares) {
                let cells = shares
                    .iter()
                    .map(|share| TableCell::number(*share, share.map_or_else(|| "–".into(), three)));
                table.row(std::iter::once(TableCell::text(condition)).chain(cells).collect());
            }
            found.tables.push(table);
            found.answers.push(Answers {
                variant,
                title: self.title.clone(),
                conditions: conditions.clone(),
                classes,
                shares,
            });
        }
    }

    /// A table with a row for each label and a column for each variant.
    fn table(
        &self,
        kind: &str,
        title: &str,
        measure: &str,
        first: &str,
        labels: &[String],
        lines: &[TestLine],
    ) -> Table {
        let name = measure_name(measure);
        let has_ends = lines.iter().flat_map(|line| &line.points).any(|point| point.interval.is_some());
        let shown = estimate_caption(self.run.interval, has_ends);
        let caption = format!("Of finished networks: {shown} over runs.");
        let head = format!("{}{} by {first}, {title}", name[..1].to_uppercase(), &name[1..]);
        let mut table = Table::new(slug(&format!("{kind}-{measure}-{title}")), head, caption)
            .columns([first])
            .columns(lines.iter().map(|line| format!("#{}", self.run.variants[line.variant])));
        for (place, label) in labels.iter().enumerate() {
            let cell = |line: &TestLine| match line.points.iter().find(|point| point.x == place as f64) {
                Some(point) => {
                    let text = estimate(Some(point.mean), point.interval, self.run.interval);
                    TableCell::interval(Some(point.mean), point.interval, text).note(count(point.runs, "run"))
                }
                None => TableCell::text("–").emphasis(Emphasis::Faint),
            };
            let row: Vec<TableCell> =
                std::iter::once(TableCell::text(label)).chain(lines.iter().map(cell)).collect();
            if row[1..].iter().any(|cell| cell.sort.is_some()) {
                table.row(row);
            }
        }
        table
    }
}

/// A lesion or perturbation without its amount.
fn class_of(change: &str) -> String {
    match change.rsplit_once(':') {
        Some((class, _)) if class.contains(':') => class.to_owned(),
        _ => change.to_owned(),
    }
}

fn strength_of(perturbation: &str) -> Option<f64> {
    perturbation.rsplit_once(':')?.1.parse().ok()
}

fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}

/// A number that names have in common, such as the coherence of conditions.
#[derive(Clone, Debug, PartialEq)]
struct Scale {
    /// What it is.
    name: String,
    /// That of each name.
    values: Vec<f64>,
}

impl Scale {
    /// The number with the most different values, at least three, that every name has in
    /// the same words.
    fn new(names: &[&str]) -> Option<Self> {
        let parts: Vec<Vec<(String, f64)>> = names.iter().map(|name| numbers(name)).collect();
        let first = parts.first()?;
        let scales = (0..first.len()).filter_map(|at| {
            let same = parts.iter().all(|own| own.get(at).is_some_and(|part| part.0 == first[at].0));
            let values: Vec<f64> = parts.iter().filter_map(|own| own.get(at)).map(|part| part.1).collect();
            let different = values.iter().map(|value| value.to_bits()).unique().count();
            (same && different > 2).then(|| (different, Scale { name: first[at].0.clone(), values }))
        });
        // Of several, the first.
        scales.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, scale)| scale)
    }
}

/// The numbers of a name's parts, each with the words around it.
fn numbers(name: &str) -> Vec<(String, f64)> {
    let part = |part: &str| {
        let begin = part.find(|c: char| c.is_ascii_digit())?;
        let begin = begin - usize::from(part[..begin].ends_with('-'));
        let rest = &part[begin..];
        let length = rest
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && *c == '-')))
            .map_or(rest.len(), |(at, _)| at);
        let value: f64 = rest[..length].parse().ok()?;
        let words = format!("{} {}", part[..begin].trim_end_matches(['=', ' ']), rest[length..].trim());
        Some((words.trim().to_owned(), value))
    };
    name.split([',', ';']).filter_map(|text| part(text.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_with_a_number_in_common_have_a_scale() {
        let names = [
            "direction 0°, coherence 6.4 %",
            "direction 0°, coherence 0 %",
            "direction 180°, coherence 25.6 %",
        ];
        assert_eq!(
            Scale::new(&names),
            Some(Scale { name: "coherence %".into(), values: vec![6.4, 0.0, 25.6] })
        );
        assert_eq!(
            Scale::new(&["delay=5", "delay=10", "delay=20"]),
            Some(Scale { name: "delay".into(), values: vec![5.0, 10.0, 20.0] })
        );
        assert_eq!(Scale::new(&["bias -0.5", "bias 0", "bias 0.5"]).unwrap().values, [-0.5, 0.0, 0.5]);
        assert_eq!(Scale::new(&["go", "no-go"]), None);
        assert_eq!(Scale::new(&["coherence 1", "coherence 2"]), None, "two values are two conditions");
        assert_eq!(Scale::new(&["a 1", "b 2", "c 3"]), None);
        assert_eq!(Scale::new(&["", "delay=5", "delay=9", "delay=10"]), None);
    }

    #[test]
    fn changes_are_grouped_without_their_amount() {
        assert_eq!(class_of("units:strongest:10%"), "units:strongest");
        assert_eq!(class_of("weights:noise:0.1"), "weights:noise");
        assert_eq!(
            [class_of("recurrence"), class_of("connections:diagonal")],
            ["recurrence", "connections:diagonal"]
        );
        assert_eq!(strength_of("weights:noise:0.1"), Some(0.1));
    }
}
