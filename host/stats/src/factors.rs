//! Factors of a design and their levels in each variant.

use std::path::Path;

use pallium_core::{Error, Result};

use super::table::{self, Text};

/// A factor of the design, such as the origin of the initial weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// Its levels; others are compared with the first.
    pub levels: Vec<String>,
}

/// Factors, and the levels of variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// The factors.
    pub factors: Vec<Factor>,
    /// For each variant the position of its level in each factor; `None` if the
    /// factor does not apply to the variant (distance, in a variant without
    /// distances).
    pub variants: Vec<Vec<Option<usize>>>,
}

impl Design {
    /// The study's design, from the paper's names: initial weights `W`, `W*` or
    /// `W!`; distances none, `D` or `D*`; communicability none, `C` or `C*`. A
    /// variant with another name has no levels.
    ///
    /// A variant without distances has no level of D, since the question is
    /// whether real distances differ from a grid's; a variant without
    /// communicability has the level `none`.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Self {
        let factor = |name: &str, levels: &[&str]| Factor {
            name: name.into(),
            levels: levels.iter().map(|&l| l.into()).collect(),
        };
        Design {
            factors: vec![
                factor("W", &["W", "W*", "W!"]),
                factor("D", &["D", "D*"]),
                factor("C", &["none", "C", "C*"]),
            ],
            variants: names
                .iter()
                .map(|name| levels_of(name.as_ref()).unwrap_or([None; 3]).to_vec())
                .collect(),
        }
    }

    /// Reads a CSV file: the first column names variants, every other column is
    /// a factor; an empty cell means that the factor does not apply to the
    /// variant. Levels are compared with those further up.
    ///
    /// Variants of `names` that are not in the file have no levels.
    ///
    /// # Errors
    /// If the file cannot be read, has a variant twice or one that is not in
    /// `names`, has no factor, or two of one name or one without a name.
    pub fn read<S: AsRef<str>>(path: &Path, names: &[S]) -> Result<Self> {
        let Text { header, rows } = table::read_text(path)?;
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let Some((_, titles)) = header.split_first().filter(|(_, factors)| !factors.is_empty()) else {
            return Err(Error::input(format!("{} has no factor column", path.display()))
                .help("the first column names variants, every other column is a factor"));
        };
        for (place, title) in titles.iter().enumerate() {
            let wrong = match title.as_str() {
                "" => "has no name".to_owned(),
                _ if titles[..place].contains(title) => format!("repeats the factor `{title}`"),
                _ => continue,
            };
            return Err(Error::input(format!("{}, line 1, column {} {wrong}", path.display(), place + 2))
                .help("give every factor a name of its own"));
        }
        let mut factors: Vec<Factor> =
            titles.iter().map(|name| Factor { name: name.clone(), levels: Vec::new() }).collect();
        let mut variants = vec![vec![None; factors.len()]; names.len()];
        let mut seen: Vec<&str> = Vec::new();
        for (line, row) in &rows {
            let Some((variant, levels)) = row.split_first() else { continue };
            let place = names.iter().position(|name| name == variant).ok_or_else(|| {
                Error::input(format!(
                    "{}, line {line}: `{variant}` is not a column of the table",
                    path.display()
                ))
                .help(format!("the columns are {}", names.join(", ")))
            })?;
            if seen.contains(&names[place]) {
                return Err(Error::input(format!(
                    "{}, line {line}: duplicate variant `{variant}`",
                    path.display()
                ))
                .help("keep one line for each variant"));
            }
            seen.push(names[place]);
            for ((factor, level), known) in levels.iter().zip(&mut variants[place]).zip(&mut factors) {
                if factor.is_empty() {
                    continue;
                }
                let at = known.levels.iter().position(|l| l == factor).unwrap_or_else(|| {
                    known.levels.push(factor.clone());
                    known.levels.len() - 1
                });
                *level = Some(at);
            }
        }
        Ok(Design { factors, variants })
    }

    /// Whether a variant has any level.
    pub fn knows(&self, variant: usize) -> bool {
        self.variants.get(variant).is_some_and(|levels| levels.iter().any(Option::is_some))
    }

    /// Values of all variants with one level of a factor, for each level.
    pub fn pooled(&self, factor: usize, samples: &[&[f64]]) -> Vec<Vec<f64>> {
        let of_level = |level: usize| {
            self.variants
                .iter()
                .zip(samples)
                .filter(|(levels, _)| levels[factor] == Some(level))
                .flat_map(|(_, sample)| sample.iter().copied())
                .collect()
        };
        (0..self.factors[factor].levels.len()).map(of_level).collect()
    }

    /// Pairs of variants that differ in one factor alone: `upper` has one of
    /// its levels and `lower` another.
    pub fn matched(&self, factor: usize, lower: usize, upper: usize) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (i, low) in self.variants.iter().enumerate() {
            for (j, high) in self.variants.iter().enumerate() {
                let apart = low[factor] == Some(lower) && high[factor] == Some(upper);
                let alike = (0..self.factors.len()).all(|k| k == factor || low[k] == high[k]);
                if apart && alike {
                    pairs.push((i, j));
                }
            }
        }
        pairs
    }
}

/// Levels of W, D and C from a name such as `W!D*C`.
fn levels_of(name: &str) -> Option<[Option<usize>; 3]> {
    let rest = name.trim().strip_prefix('W')?;
    let (weights, rest) = match rest.strip_prefix('*') {
        Some(rest) => (1, rest),
        None => rest.strip_prefix('!').map_or((0, rest), |rest| (2, rest)),
    };
    let starred = |rest: &'_ str| rest.starts_with('*');
    let (distance, rest) = match rest.strip_prefix('D') {
        Some(rest) => (Some(usize::from(starred(rest))), rest.strip_prefix('*').unwrap_or(rest)),
        None => (None, rest),
    };
    let (communicability, rest) = match rest.strip_prefix('C') {
        Some(rest) => (1 + usize::from(starred(rest)), rest.strip_prefix('*').unwrap_or(rest)),
        None => (0, rest),
    };
    rest.is_empty().then_some([Some(weights), distance, Some(communicability)])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn names_of_the_paper_are_parsed() {
        let of = |name| levels_of(name).map(|[w, d, c]| (w.unwrap(), d, c.unwrap()));
        assert_eq!(of("W*D*C"), Some((1, Some(1), 1)));
        assert_eq!(of("W!D*C*"), Some((2, Some(1), 2)));
        assert_eq!(of("WDC"), Some((0, Some(0), 1)));
        assert_eq!(of("WD*"), Some((0, Some(1), 0)));
        assert_eq!(of("W*DC*"), Some((1, Some(0), 2)));
        assert_eq!(of("WD"), Some((0, Some(0), 0)));
        assert_eq!(of("W"), Some((0, None, 0)));
        for name in ["", "D*C", "W**", "WX", "Wide", "W*!", "WCD"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn matched_pairs_differ_in_one_factor() {
        let names = ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W"];
        let design = Design::from_names(&names);
        assert_eq!(design.matched(0, 0, 1), [(1, 0)]);
        assert_eq!(design.matched(1, 0, 1), [(2, 1), (4, 3)]);
        assert_eq!(design.matched(2, 0, 1), [(3, 1), (4, 2)]);
        let samples: Vec<Vec<f64>> = (0..6).map(|i| vec![f64::from(i)]).collect();
        let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
        assert_eq!(design.pooled(2, &samples), [vec![3.0, 4.0, 5.0], vec![0.0, 1.0, 2.0], vec![]]);
        assert_eq!(design.pooled(1, &samples), [vec![2.0, 4.0], vec![0.0, 1.0, 3.0]]);
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_file_may_define_the_levels() {
        let file = written("variant,init,mask\na,random,none\nb,bio,none\nc,bio,\n");
        let design = Design::read(file.path(), &["b", "a", "c", "d"]).unwrap();
        assert_eq!(design.factors[0].levels, ["random", "bio"]);
        let expected =
            [vec![Some(1), Some(0)], vec![Some(0), Some(0)], vec![Some(1), None], vec![None, None]];
        assert_eq!(design.variants, expected);
        assert!(design.knows(2) && !design.knows(3));
        let read = |text| Design::read(written(text).path(), &["a"]).unwrap_err().message;
        assert!(read("variant,f\nz,1\n").ends_with("line 2: `z` is not a column of the table"));
        assert!(read("variant,f\na,1\na,2\n").ends_with("line 3: duplicate variant `a`"));
        assert!(read("variant\na\n").ends_with("has no factor column"));
        assert!(read("variant,f,f\na,1,2\n").ends_with("line 1, column 3 repeats the factor `f`"));
        assert!(read("variant,f,\na,1,2\n").ends_with("line 1, column 3 has no name"));
    }
}
