//! Accuracies of observers that learn a task from its trials.

use std::collections::BTreeMap;

use ndarray::s;

use pallium_core::{Batch, Result};

/// What an observer sees of a trial before it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing but the frequency of each class.
    Nothing,
    /// The inputs at the step that is scored.
    Last,
    /// All inputs up to that step.
    Everything,
}

/// A question to the observer: a scored step and its correct class.
struct Question {
    seen: Vec<f32>,
    class: u32,
    weight: f64,
}

/// The scored steps of a task's trials: an observer learns from the first half and
/// is tested on the second.
pub(crate) struct Observed {
    learn: Vec<Question>,
    answer: Vec<Question>,
    trials: usize,
}

/// The accuracy that an observer reached.
pub(crate) struct Reached {
    /// Fraction of correct answers.
    pub accuracy: f64,
    /// Whether every possible observation occurred often, so that no observer can
    /// be better.
    pub exhaustive: bool,
    /// Whether an observation has so few numbers that this observer is close to the
    /// best possible one.
    pub few_numbers: bool,
}

/// Number of nearest neighbours that vote.
const NEIGHBOURS: usize = 25;
/// Largest number of questions to search for neighbours, and to answer.
const MAX_QUESTIONS: usize = 2000;

impl Observed {
    /// The observer's questions about a batch.
    ///
    /// # Errors
    /// If the targets are values.
    pub(crate) fn new(batch: &Batch, seen: Seen) -> Result<Self> {
        let targets = batch.targets.view().classes()?;
        let half = batch.trials() / 2;
        let questions = |trials: std::ops::Range<usize>| {
            let mut all = Vec::new();
            for trial in trials {
                for (step, &weight) in batch.accuracy_mask().row(trial).iter().enumerate() {
                    if weight > 0.0 {
                        let from = if seen == Seen::Last { step } else { 0 };
                        let seen = match seen {
                            Seen::Nothing => Vec::new(),
                            _ => batch.inputs.slice(s![trial, from..=step, ..]).iter().copied().collect(),
                        };
                        all.push(Question { seen, class: targets[[trial, step]], weight: f64::from(weight) });
                    }
                }
            }
            all
        };
        Ok(Observed {
            learn: questions(0..half),
            answer: questions(half..batch.trials()),
            trials: batch.trials() - half,
        })
    }

    /// Share of each class among all answers.
    pub(crate) fn shares(&self) -> Vec<(u32, f64)> {
        let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
        let mut total = 0.0;
        for question in self.learn.iter().chain(&self.answer) {
            *shares.entry(question.class).or_default() += question.weight;
            total += question.weight;
        }
        shares.into_iter().map(|(class, weight)| (class, weight / total)).collect()
    }

    /// Five standard errors of a share, answers of one trial counting as one.
    pub(crate) fn slack(&self, share: f64) -> f64 {
        let share = share.clamp(0.02, 0.98);
        5.0 * (share * (1.0 - share) / self.trials.max(1) as f64).sqrt()
    }

    /// The best of several observers.
    pub(crate) fn reached(&self) -> Reached {
        let mut kinds: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
        for question in &self.learn {
            *kinds.entry(key(&question.seen)).or_default() += 1;
        }
        // A table learns nothing if observations differ in every trial.
        let exhaustive = kinds.len() * 20 <= self.learn.len();
        let few_numbers = self.learn.iter().map(|q| q.seen.len()).max().unwrap_or(0) <= 8;
        let mut accuracy = self.table();
        if !exhaustive {
            accuracy = accuracy.max(self.neighbours()).max(self.means());
        }
        Reached { accuracy, exhaustive, few_numbers }
    }

    fn score(&self, questions: &[Question], answer: impl Fn(&Question) -> Option<u32>) -> f64 {
        let (mut right, mut total) = (0.0, 0.0);
        for question in questions {
            total += question.weight;
            if answer(question) == Some(question.class) {
                right += question.weight;
            }
        }
        if total > 0.0 { right / total } else { 0.0 }
    }

    /// The accuracy of an observer that remembers the most frequent answer to
    /// each observation.
    fn table(&self) -> f64 {
        let mut all: BTreeMap<Vec<u32>, BTreeMap<u32, f64>> = BTreeMap::new();
        for question in &self.learn {
            *all.entry(key(&question.seen)).or_default().entry(question.class).or_default() +=
                question.weight;
        }
        let usual = winner(&votes(self.learn.iter()));
        self.score(&self.answer, |question| all.get(&key(&question.seen)).map_or(usual, winner))
    }

    /// The accuracy of an observer that answers like the nearest neighbours of
    /// an observation, among observations of the same length.
    fn neighbours(&self) -> f64 {
        let learn = &self.learn[..self.learn.len().min(MAX_QUESTIONS)];
        let questions = &self.answer[..self.answer.len().min(MAX_QUESTIONS)];
        let scale = self.scale();
        self.score(questions, |question| {
            let mut near: Vec<(f64, &Question)> =
                learn.iter().map(|other| (distance(&question.seen, &other.seen, &scale), other)).collect();
            let count = NEIGHBOURS.min(near.len());
            if count > 0 && count < near.len() {
                near.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0));
            }
            winner(&votes(near[..count].iter().map(|(_, question)| *question)))
        })
    }

    /// The accuracy of an observer that answers with the class whose mean is
    /// nearest, each number in units of its variance within classes: the best
    /// possible for classes that are shifted copies of one normal distribution
    /// with independent channels.
    fn means(&self) -> f64 {
        let width = self.learn.iter().map(|q| q.seen.len()).max().unwrap_or(0);
        let mut sums: BTreeMap<u32, (f64, Vec<f64>)> = BTreeMap::new();
        for question in &self.learn {
            let (weight, sum) = sums.entry(question.class).or_insert_with(|| (0.0, vec![0.0; width]));
            *weight += question.weight;
            sum.iter_mut().zip(&question.seen).for_each(|(sum, v)| *sum += question.weight * f64::from(*v));
        }
        let means: BTreeMap<u32, Vec<f64>> = sums
            .into_iter()
            .map(|(class, (weight, sum))| (class, sum.iter().map(|s| s / weight).collect()))
            .collect();
        let mut within = vec![0.0; width];
        for question in &self.learn {
            if let Some(mean) = means.get(&question.class) {
                for ((sum, v), mean) in within.iter_mut().zip(&question.seen).zip(mean) {
                    *sum += (f64::from(*v) - mean).powi(2);
                }
            }
        }
        let count = self.learn.len().max(1) as f64;
        let distance = |seen: &[f32], mean: &[f64]| -> f64 {
            let each = seen.iter().zip(mean).zip(&within);
            each.map(|((v, m), s)| (f64::from(*v) - m).powi(2) / (s / count + 1e-9)).sum()
        };
        self.score(&self.answer, |question| {
            let near = means
                .iter()
                .min_by(|a, b| distance(&question.seen, a.1).total_cmp(&distance(&question.seen, b.1)));
            near.map(|(class, _)| *class)
        })
    }

    /// Variance of each number of the observations.
    fn scale(&self) -> Vec<f64> {
        let width = self.learn.iter().map(|q| q.seen.len()).max().unwrap_or(0);
        let count = self.learn.len().max(1) as f64;
        let (mut sum, mut square) = (vec![0.0; width], vec![0.0; width]);
        for question in &self.learn {
            for (at, v) in question.seen.iter().enumerate() {
                sum[at] += f64::from(*v);
                square[at] += f64::from(*v).powi(2);
            }
        }
        sum.iter().zip(&square).map(|(s, q)| (q / count - (s / count).powi(2)).max(0.0) + 1e-9).collect()
    }
}

fn key(seen: &[f32]) -> Vec<u32> {
    seen.iter().map(|v| v.to_bits()).collect()
}

fn votes<'a>(questions: impl Iterator<Item = &'a Question>) -> BTreeMap<u32, f64> {
    let mut votes = BTreeMap::new();
    for question in questions {
        *votes.entry(question.class).or_default() += question.weight;
    }
    votes
}

fn winner(votes: &BTreeMap<u32, f64>) -> Option<u32> {
    votes.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| *class)
}

fn distance(one: &[f32], two: &[f32], scale: &[f64]) -> f64 {
    if one.len() != two.len() {
        return f64::INFINITY;
    }
    one.iter().zip(two).zip(scale).map(|((a, b), s)| f64::from(a - b).powi(2) / s).sum()
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use pallium_core::random;

    fn batch(trial: impl Fn(&mut random::Stream) -> (Vec<f32>, u32)) -> Batch {
        let mut stream = random::stream(1, "levels");
        let mut batch = Batch::zeros(6000, 2, 2);
        for t in 0..6000 {
            let (inputs, class) = trial(&mut stream);
            batch.inputs.slice_mut(s![t, .., ..]).iter_mut().zip(inputs).for_each(|(to, from)| *to = from);
            batch.label_at_end(t, class);
        }
        batch
    }

    #[test]
    fn a_table_is_optimal_for_few_inputs() {
        // The first step identifies the class, the last one only class 2.
        let batch = batch(|stream| {
            let class: u32 = stream.random_range(0..3);
            let last = if class == 2 { 1.0 } else { 0.0 };
            (vec![class as f32, 0.0, last, 0.0], class)
        });
        let of = |seen| Observed::new(&batch, seen).unwrap().reached();
        let (last, all) = (of(Seen::Last), of(Seen::Everything));
        assert!(last.exhaustive && (last.accuracy - 2.0 / 3.0).abs() < 0.03, "{}", last.accuracy);
        assert!(all.exhaustive && all.accuracy == 1.0);
        let shares = Observed::new(&batch, Seen::Nothing).unwrap().shares();
        assert!(shares.len() == 3 && shares.iter().all(|(_, s)| (s - 1.0 / 3.0).abs() < 0.03));
    }

    #[test]
    fn noisy_inputs_are_classified_nearly_optimally() {
        // Two channels, means ±1 in one of them, noise 1: the best accuracy is Φ(1)
        // = 0.8413.
        let batch = batch(|stream| {
            let class = u32::from(stream.random::<bool>());
            let noise: [f32; 4] = std::array::from_fn(|_| StandardNormal.sample(&mut *stream));
            let sign = if class == 0 { -1.0 } else { 1.0 };
            (vec![noise[0], noise[1], sign + noise[2], noise[3]], class)
        });
        let reached = Observed::new(&batch, Seen::Last).unwrap().reached();
        assert!(!reached.exhaustive && reached.few_numbers);
        assert!((reached.accuracy - 0.8413).abs() < 0.03, "{}", reached.accuracy);
    }
}
