//! What is drawn of tests: results over conditions, signed evidence, parameters and
//! changes, and answers.

use itertools::Itertools;
use pallium_conditions::{evidence, scale};
use pallium_stats as stats;

use super::{Answers, SHOWN, TestCurves, TestFigure, TestLine, TestRow, Tested, Tests, slug};
use crate::table::{Table, TableCell};
use crate::text::three;

impl Tests<'_> {
    /// Of the intact network: each measure over the conditions.
    pub(super) fn by_condition(&self, found: &mut Tested) {
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
            let numbers = scale(&conditions);
            for measure in self.measures() {
                let (across, labels, lines) = match &numbers {
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
    pub(super) fn by_settings(&self, found: &mut Tested) {
        let own = |row: &TestRow| row.kind == "intact" && row.condition.is_empty();
        let settings: Vec<&str> =
            self.rows.iter().filter(|row| own(row)).map(|row| row.settings.as_str()).unique().collect();
        if settings.len() < 2 {
            return;
        }
        let at = |among: &[&str], row: &TestRow| among.iter().position(|known| *known == row.settings);
        let labels: Vec<String> = settings.iter().map(|&name| name.to_owned()).collect();
        // Settings of one parameter with numbers have an axis of their own.
        let names = settings.iter().map(|text| parameters(text)).unique();
        let groups = names.map(|names| -> Vec<&str> {
            settings.iter().copied().filter(|text| parameters(text) == names).collect()
        });
        let (scaled, others): (Vec<_>, Vec<_>) =
            groups.map(|group| (scale(&group), group)).partition(|(scale, _)| scale.is_some());
        let others: Vec<&str> = others.into_iter().flat_map(|(_, group)| group).collect();
        for measure in self.measures() {
            let all =
                self.lines(measure, false, &|row| Some(at(&settings, row).filter(|_| own(row))? as f64));
            if all.is_empty() {
                continue;
            }
            found.tables.push(self.table("settings", &self.title, measure, "parameters", &labels, &all));
            let mut curve = |across: String, labels: Vec<String>, lines: Vec<TestLine>| {
                found.curves.push(TestCurves {
                    figure: TestFigure::Settings,
                    title: self.title.clone(),
                    across,
                    labels,
                    measure: measure.into(),
                    lines,
                });
            };
            for (scale, group) in &scaled {
                let Some(scale) = scale else { continue };
                let place = |row: &TestRow| Some(scale.values[at(group, row).filter(|_| own(row))?]);
                curve(scale.name.clone(), Vec::new(), self.lines(measure, false, &place));
            }
            if others.len() > 1 {
                let place = |row: &TestRow| Some(at(&others, row).filter(|_| own(row))? as f64);
                let labels = others.iter().map(|&name| name.to_owned()).collect();
                curve("parameters".into(), labels, self.lines(measure, false, &place));
            }
        }
    }

    /// Lesions with their matched random ones, and perturbations: the accuracy over the
    /// number of removed elements, or the strength.
    pub(super) fn by_change(&self, found: &mut Tested) {
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
    pub(super) fn answers(&self, found: &mut Tested) {
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

    /// Of the intact network: how often it gives the last of its answers over signed
    /// evidence, for conditions that have it; one panel for each combination of their other
    /// factors.
    pub(super) fn by_evidence(&self, found: &mut Tested) {
        let own = |row: &TestRow| {
            row.kind == "intact" && !row.condition.is_empty() && row.measure.starts_with("answer_")
        };
        let answers = self.rows.iter().filter(|row| own(row)).map(|row| row.measure.as_str());
        let Some(answer) = answers.max_by_key(|measure| measure[7..].parse::<u32>().unwrap_or(0)) else {
            return;
        };
        for settings in self.rows.iter().filter(|row| own(row)).map(|row| row.settings.as_str()).unique() {
            let own = |row: &TestRow| own(row) && row.settings == settings;
            let conditions: Vec<&str> =
                self.rows.iter().filter(|row| own(row)).map(|row| row.condition.as_str()).unique().collect();
            let Some(evidence) = evidence(&conditions) else { continue };
            let place = |row: &TestRow| conditions.iter().position(|known| *known == row.condition);
            let other = |at: usize| evidence.others.iter().map(|factor| factor.of[at]).collect::<Vec<_>>();
            let across = match &evidence.alternatives {
                Some([_, positive]) => format!("signed {}, + {positive}", evidence.name),
                None => evidence.name.clone(),
            };
            for others in (0..conditions.len()).map(other).unique() {
                let levels = evidence.others.iter().zip(&others).map(|(factor, &at)| &factor.levels[at]);
                let mut parts = std::iter::once(&self.title).chain(levels);
                let mut title = parts.join(", ");
                if !settings.is_empty() {
                    title = format!("{title} ({settings})");
                }
                let within = |row: &TestRow| place(row).filter(|&at| own(row) && other(at) == others);
                let lines = self.lines(answer, false, &|row| Some(evidence.values[within(row)?]));
                let values: Vec<f64> = lines
                    .iter()
                    .flat_map(|line| line.points.iter().map(|point| point.x))
                    .sorted_by(f64::total_cmp)
                    .dedup()
                    .collect();
                if values.len() < 3 {
                    continue;
                }
                let labels: Vec<String> = values.iter().map(|value| format!("{value}")).collect();
                let by_place = |row: &TestRow| {
                    let value = evidence.values[within(row)?];
                    values.iter().position(|known| *known == value).map(|at| at as f64)
                };
                let of_table = self.lines(answer, false, &by_place);
                found.tables.push(self.table("evidence", &title, answer, &across, &labels, &of_table));
                found.curves.push(TestCurves {
                    figure: TestFigure::Evidence,
                    title,
                    across: across.clone(),
                    labels: Vec::new(),
                    measure: answer.to_owned(),
                    lines,
                });
            }
        }
    }
}

/// The names of the parameters in `delay=20,sigma=1.0`.
fn parameters(settings: &str) -> Vec<&str> {
    settings.split(',').filter_map(|part| Some(part.split_once('=')?.0)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

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
