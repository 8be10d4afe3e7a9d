//! Which comparisons a report makes, as an experiment file states them.

use serde::{Deserialize, Serialize};

/// The table `[analysis]` of an experiment file. It describes no training, so no
/// identity depends on it. Names are those of variants; in a sweep they stand for
/// the variant at each point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The variant that others are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The factors of the design, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<AnalysisFactor>,
    /// Planned comparisons: each variant with the one that it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contrasts: Vec<(String, String)>,
    /// The accuracy that counts as learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<f64>,
    /// The largest difference in accuracy that does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalence: Option<f64>,
}

/// A factor and its levels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisFactor {
    /// Its name.
    pub name: String,
    /// Each level and its variants; others are compared with the first.
    pub levels: Vec<(String, Vec<String>)>,
}

impl Analysis {
    /// Whether nothing is stated, so that comparisons follow from what differs
    /// between the variants.
    pub fn is_empty(&self) -> bool {
        *self == Analysis::default()
    }
}
