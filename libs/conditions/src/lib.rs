//! The design of a task, read from the names of its conditions: names such as
//! `direction 180°, coherence 6.4 %` consist of parts between commas or semicolons, and
//! each part that differs is a factor.

/// A part of the names that differs between conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// What it is: the words around its numbers, or its levels.
    pub name: String,
    /// The different texts, in the order in which they first occur.
    pub levels: Vec<String>,
    /// The number in each level, if all have one in the same words.
    pub values: Option<Vec<f64>>,
    /// The level of each condition.
    pub of: Vec<usize>,
}

/// The factors of conditions with these names, in the order of their parts; none if the
/// names do not have equally many parts.
pub fn factors<S: AsRef<str>>(names: &[S]) -> Vec<Factor> {
    let parts: Vec<Vec<&str>> = names.iter().map(|name| parts(name.as_ref()).collect()).collect();
    let Some(first) = parts.first() else { return Vec::new() };
    if parts.iter().any(|own| own.len() != first.len()) {
        return Vec::new();
    }
    let all = (0..first.len()).map(|at| Factor::new(parts.iter().map(|own| own[at])));
    all.filter(|factor| factor.levels.len() > 1).collect()
}

fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split([',', ';']).map(str::trim)
}

impl Factor {
    fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let (mut levels, mut of): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
        for text in texts {
            let level = levels.iter().position(|known| *known == text).unwrap_or_else(|| {
                levels.push(text);
                levels.len() - 1
            });
            of.push(level);
        }
        let numbers: Option<Vec<(String, f64)>> = levels.iter().map(|level| number(level)).collect();
        let numbers = numbers.filter(|all| all.iter().all(|(words, _)| *words == all[0].0));
        let name = match &numbers {
            Some(numbers) => numbers[0].0.clone(),
            None => levels.join(" or "),
        };
        let values = numbers.map(|all| all.into_iter().map(|(_, value)| value).collect());
        Factor { name, levels: levels.into_iter().map(str::to_owned).collect(), values, of }
    }
}

/// The number in a text, with the words around it.
fn number(text: &str) -> Option<(String, f64)> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let begin = begin - usize::from(text[..begin].ends_with('-'));
    let rest = &text[begin..];
    let length = rest
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && *c == '-')))
        .map_or(rest.len(), |(at, _)| at);
    let value: f64 = rest[..length].parse().ok()?;
    let words = format!("{} {}", text[..begin].trim_end_matches(['=', ' ']), rest[length..].trim());
    Some((words.trim().to_owned(), value))
}

/// A number of each condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What it is.
    pub name: String,
    /// That of each condition.
    pub values: Vec<f64>,
}

/// The number with the most different values, at least three, that every name has in the
/// same words; of several, the first.
pub fn scale<S: AsRef<str>>(names: &[S]) -> Option<Scale> {
    let parts: Vec<Vec<(String, f64)>> =
        names.iter().map(|name| parts(name.as_ref()).filter_map(number).collect()).collect();
    let first = parts.first()?;
    let scales = (0..first.len()).filter_map(|at| {
        let same = parts.iter().all(|own| own.get(at).is_some_and(|part| part.0 == first[at].0));
        let values: Vec<f64> = parts.iter().filter_map(|own| own.get(at)).map(|part| part.1).collect();
        let different = different(&values);
        (same && different > 2).then(|| (different, Scale { name: first[at].0.clone(), values }))
    });
    scales.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, scale)| scale)
}

fn different(values: &[f64]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted.len()
}

/// Evidence for one of two alternatives, with its sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it measures, such as `coherence %`.
    pub name: String,
    /// The alternatives of negative and of positive evidence; none if the names have the
    /// sign themselves.
    pub alternatives: Option<[String; 2]>,
    /// That of each condition.
    pub values: Vec<f64>,
    /// The other factors.
    pub others: Vec<Factor>,
}

/// The signed evidence of conditions: a factor of at least three numbers that has both
/// signs, or of at least two numbers that are not negative, after a factor of two levels,
/// of which the first is the negative one. Angles without a negative one are directions,
/// not amounts of evidence.
pub fn evidence<S: AsRef<str>>(names: &[S]) -> Option<Evidence> {
    let mut factors = factors(names);
    let values = |factor: &Factor| factor.values.clone().unwrap_or_default();
    let both_signs = |factor: &Factor| {
        let values = values(factor);
        values.len() > 2 && values.iter().any(|&v| v < 0.0) && values.iter().any(|&v| v > 0.0)
    };
    if let Some(at) = factors.iter().position(both_signs) {
        let own = factors.remove(at);
        let signed = own.of.iter().map(|&level| values(&own)[level]).collect();
        return Some(Evidence { name: own.name, alternatives: None, values: signed, others: factors });
    }
    let at = (0..factors.len())
        .filter(|&at| values(&factors[at]).len() > 1 && values(&factors[at]).iter().all(|&v| v >= 0.0))
        .filter(|&at| !factors[at].name.ends_with('°'))
        // Of several, that with the most levels.
        .max_by_key(|&at| (factors[at].levels.len(), at))?;
    let sign = (0..at).rev().find(|&other| factors[other].levels.len() == 2)?;
    let [strength, alternative] = [&factors[at], &factors[sign]];
    let signs = alternative.of.iter().map(|&level| if level == 0 { -1.0 } else { 1.0 });
    let found = Evidence {
        name: strength.name.clone(),
        alternatives: Some([alternative.levels[0].clone(), alternative.levels[1].clone()]),
        // Adding 0 makes a negative zero positive.
        values: signs.zip(&strength.of).map(|(sign, &level)| sign * values(strength)[level] + 0.0).collect(),
        others: factors
            .iter()
            .enumerate()
            .filter(|(other, _)| ![at, sign].contains(other))
            .map(|(_, factor)| factor.clone())
            .collect(),
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOTION: [&str; 6] = [
        "direction 0°, coherence 0 %",
        "direction 0°, coherence 6.4 %",
        "direction 0°, coherence 25.6 %",
        "direction 180°, coherence 0 %",
        "direction 180°, coherence 6.4 %",
        "direction 180°, coherence 25.6 %",
    ];

    #[test]
    fn parts_that_differ_are_factors() {
        let found = factors(&MOTION);
        let names: Vec<&str> = found.iter().map(|factor| factor.name.as_str()).collect();
        assert_eq!(names, ["direction °", "coherence %"]);
        assert_eq!(found[0].levels, ["direction 0°", "direction 180°"]);
        assert_eq!(found[0].of, [0, 0, 0, 1, 1, 1]);
        assert_eq!(found[1].values.as_deref(), Some(&[0.0, 6.4, 25.6][..]));
        let found = factors(&["no-go", "go"]);
        assert_eq!((found[0].name.as_str(), &found[0].values), ("no-go or go", &None));
        assert_eq!(
            factors(&["goal 1; left; up", "goal 1; right; up"]).len(),
            1,
            "what is equal is no factor"
        );
        assert!(factors(&["a, b", "c"]).is_empty() && factors::<&str>(&[]).is_empty());
    }

    #[test]
    fn conditions_with_a_number_in_common_have_a_scale() {
        let found = scale(&[MOTION[1], MOTION[0], MOTION[5]]);
        assert_eq!(found, Some(Scale { name: "coherence %".into(), values: vec![6.4, 0.0, 25.6] }));
        let found = scale(&["delay=5", "delay=10", "delay=20"]);
        assert_eq!(found, Some(Scale { name: "delay".into(), values: vec![5.0, 10.0, 20.0] }));
        assert_eq!(scale(&["bias -0.5", "bias 0", "bias 0.5"]).unwrap().values, [-0.5, 0.0, 0.5]);
        assert_eq!(scale(&["go", "no-go"]), None);
        assert_eq!(scale(&["coherence 1", "coherence 2"]), None, "two values are two conditions");
        assert_eq!(scale(&["a 1", "b 2", "c 3"]), None);
        assert_eq!(scale(&["", "delay=5", "delay=9", "delay=10"]), None);
    }

    #[test]
    fn evidence_has_the_sign_of_its_alternative() {
        let found = evidence(&MOTION).unwrap();
        assert_eq!(found.values, [0.0, -6.4, -25.6, 0.0, 6.4, 25.6]);
        assert_eq!(found.alternatives, Some(["direction 0°".into(), "direction 180°".into()]));
        assert_eq!((found.name.as_str(), found.others.len()), ("coherence %", 0));
        let names = [
            "context 1, left, coherence 5 %",
            "context 2, right, coherence 5 %",
            "context 1, right, coherence 15 %",
        ];
        let found = evidence(&names).unwrap();
        assert_eq!((found.values, found.others[0].name.as_str()), (vec![-5.0, 5.0, 15.0], "context"));
        let found = evidence(&["bias -0.5", "bias 0", "bias 0.5"]).unwrap();
        assert_eq!((found.values, found.alternatives), (vec![-0.5, 0.0, 0.5], None));
        assert_eq!(evidence(&["go", "no-go"]), None);
        assert_eq!(evidence(&["0°, coherence 3 %", "45°, coherence 3 %", "90°, coherence 9 %"]), None);
    }

    #[test]
    fn directions_are_no_amount_of_evidence() {
        let names = ["modality 1, 0°", "modality 1, 90°", "modality 2, 0°", "modality 2, 90°"];
        assert_eq!(factors(&names).len(), 2);
        assert_eq!(evidence(&names), None);
        let angles = ["modality 1, tilt -5°", "modality 1, tilt 5°", "modality 2, tilt 0°"];
        assert_eq!(evidence(&angles).unwrap().values, [-5.0, 5.0, 0.0]);
    }
}
