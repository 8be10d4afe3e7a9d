//! `modcog.task`: Yang's twenty tasks, and each with the extensions of Mod-Cog.

use pallium_core::prelude::*;

use super::decision::{self, Decision};
use super::extension::{Classes, Extension};
use super::matching::{Match, Matching};
use super::reach::Reach;
use crate::design::{self, Design, Frame, check_length, noise};
use crate::duration::{Duration, ms, uniform};

pallium_core::params! {
    /// Which task, its timing, noise, strengths, and size of the rings.
    pub struct Params {
        /// One of the tasks of `yang19`, such as `dlygo`. Tasks with a delay may be
        /// followed by `intr` or `intl`, and all tasks by `seqr` or `seql`: `dlygointr`,
        /// `goseql`, `dmsintrseql`. Text after a space or comma is ignored; it gives a task
        /// that is used twice two names.
        name: String = "go".to_owned(),
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation, in ms. Default: 500 in reaching tasks, drawn between 200
        /// and 500 in decision tasks, 300 in matching tasks.
        fixation: Option<Duration> = None,
        /// Duration of each stimulus, in ms; by default 500. Not for `rtgo` and `rtanti`,
        /// which show the stimulus during the decision.
        stimulus: Option<Duration> = None,
        /// Duration of the delay, in ms. Default: 500 in reaching and decision tasks, drawn
        /// between 200 and 1200 in matching tasks. With `int`, reaching and matching tasks
        /// draw one of 0, 100, …, 1100. Only for tasks with a delay, and for `go` and
        /// `anti`, which have one in Mod-Cog.
        delay: Option<Duration> = None,
        /// Duration of the decision, in ms. Default: 500 in reaching tasks, 200 in decision
        /// tasks, 900 in matching tasks; with `seq` 1000, except in `rtgo` and `rtanti`.
        decision: Option<Duration> = None,
        /// Strengths of stimuli in decision tasks (0 to 1), drawn equally often. Default:
        /// 0.08, 0.16, 0.32 and 0.64, which are differences between the stimuli; with a
        /// delay 0.3, 0.6 and 1.
        coherences: Option<Vec<f64>> = None,
        /// Strength of the noise while stimuli are shown: its standard deviation at a step
        /// is sigma / √dt_ms. Reaching tasks have no noise.
        sigma: f64 = 1.0,
        /// Number of channels of each ring, and of choices (2 to 1000; even in matching
        /// tasks).
        dim_ring: u32 = 16,
        /// The class of an answer.
        classes: Classes = Classes::Ring,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// A task of Mod-Cog, which composes each of Yang's tasks with movement along the ring
/// that networks of unconnected autapses cannot make. With `int`, the answer moves with
/// the delay, by one channel in 100 ms (in reaching tasks the stimulus is turned against
/// it, by 1 rad in 100 ms): to higher channels with `r`, to lower ones with `l`. With `seq`, it
/// moves during the decision, by one channel in 100 ms.
///
/// The 82 tasks of the paper have one extension at most. Its code draws the delay of a
/// matching task once for each environment; here it is drawn for each trial.
pub struct ModCog(Box<dyn Trials>);

/// A design, as a task.
trait Trials: Send + Sync {
    fn info(&self) -> TaskInfo;
    fn trials(&self, count: usize, seed: u64) -> Result<Batch>;
}

impl<D: Design> Trials for D {
    fn info(&self) -> TaskInfo {
        design::info(self)
    }

    fn trials(&self, count: usize, seed: u64) -> Result<Batch> {
        design::trials(self, count, seed)
    }
}

impl Component for ModCog {
    const ID: &'static str = "modcog.task";
    const ABOUT: &'static str =
        "Yang's twenty tasks with the extensions of Mod-Cog: answers that move along the ring";
    const CITE: &'static str = "Khona, Chandra, Ma and Fiete 2023, Neural Computation 35:1850, arXiv 2207.03523; \
                                Yang, Joglekar, Song, Newsome, Wang 2019";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(ModCog(match Built::new(params)? {
            Built::Reach(design) => Box::new(check_length(design)?),
            Built::Decision(design) => Box::new(check_length(design)?),
            Built::Matching(design) => Box::new(check_length(design)?),
        }))
    }
}

impl Task for ModCog {
    fn info(&self) -> TaskInfo {
        self.0.info()
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        self.0.trials(count, seed)
    }
}
pallium_core::register!(Task, ModCog);

/// The design of a task.
pub(crate) enum Built {
    Reach(Reach),
    Decision(Decision),
    Matching(Matching),
}

/// Yang's tasks.
const BASES: [(&str, Base); 20] = [
    ("go", Base::Reach { anti: false, reacts: false }),
    ("rtgo", Base::Reach { anti: false, reacts: true }),
    ("dlygo", Base::Reach { anti: false, reacts: false }),
    ("anti", Base::Reach { anti: true, reacts: false }),
    ("rtanti", Base::Reach { anti: true, reacts: true }),
    ("dlyanti", Base::Reach { anti: true, reacts: false }),
    ("dm1", Base::Decision(decision::FIRST)),
    ("dm2", Base::Decision(decision::SECOND)),
    ("ctxdm1", Base::Decision(decision::ONLY_FIRST)),
    ("ctxdm2", Base::Decision(decision::ONLY_SECOND)),
    ("multidm", Base::Decision(decision::BOTH)),
    ("dlydm1", Base::Decision(decision::FIRST)),
    ("dlydm2", Base::Decision(decision::SECOND)),
    ("ctxdlydm1", Base::Decision(decision::ONLY_FIRST)),
    ("ctxdlydm2", Base::Decision(decision::ONLY_SECOND)),
    ("multidlydm", Base::Decision(decision::BOTH)),
    ("dms", Base::Matching(Match::Sample, true)),
    ("dnms", Base::Matching(Match::Sample, false)),
    ("dmc", Base::Matching(Match::Category, true)),
    ("dnmc", Base::Matching(Match::Category, false)),
];

#[derive(Clone, Copy)]
enum Base {
    Reach { anti: bool, reacts: bool },
    Decision(decision::Rule),
    Matching(Match, bool),
}

/// The base and the directions of `int` and `seq` in a task's name.
fn parts(name: &str) -> Result<(&'static str, Base, [i8; 2])> {
    let word = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut rest = word;
    let mut direction = |extension: &str| {
        for (side, direction) in [("r", 1), ("l", -1)] {
            if let Some(before) = rest.strip_suffix(side).and_then(|rest| rest.strip_suffix(extension)) {
                rest = before;
                return direction;
            }
        }
        0
    };
    let sequence = direction("seq");
    let integrate = direction("int");
    let refused = |why: &str| {
        let names: Vec<&str> = BASES.iter().map(|(name, _)| *name).collect();
        Err(Error::input(format!("`{word}` is not a task of Mod-Cog{why}")).help(format!(
            "write one of {}, followed by intr or intl (if it has a delay), by seqr or seql, or both, \
             as in dlygointr",
            names.join(", ")
        )))
    };
    let Some(&(base, kind)) = BASES.iter().find(|(base, _)| *base == rest) else { return refused("") };
    let waits = base.contains("dly") || matches!(kind, Base::Matching(..));
    if integrate != 0 && !waits {
        return refused(&format!(": `{base}` has no delay to integrate"));
    }
    Ok((base, kind, [integrate, sequence]))
}

impl Built {
    pub(crate) fn new(params: Params) -> Result<Self> {
        let (base, kind, [integrate, sequence]) = parts(&params.name)?;
        let Params { dt_ms, dim_ring, sigma, fixation_weight, classes, .. } = params;
        let extension = Extension { integrate, sequence, classes, mod_cog: true };
        let reacts = matches!(kind, Base::Reach { reacts: true, .. });
        let absent = |parameter: &str, given: bool, why: &str| match given {
            true => Err(Error::input(format!("`{base}` has no {parameter}: {why}"))
                .help(format!("leave out `{parameter}`, or set it only for tasks that have it"))),
            false => Ok(()),
        };
        let decides = matches!(kind, Base::Decision(_));
        absent("coherences", params.coherences.is_some() && !decides, "its stimuli have one strength")?;
        let shown = "its stimulus is shown during the decision";
        absent("stimulus", params.stimulus.is_some() && reacts, shown)?;
        let waits = !reacts && (!decides || base.contains("dly"));
        absent("delay", params.delay.is_some() && !waits, "nothing separates its stimulus and its decision")?;
        noise(sigma, dt_ms)?;
        if matches!(kind, Base::Reach { .. }) && sigma != Params::default().sigma && sigma != 0.0 {
            pallium_core::tracing::warn!("`{base}` has no noise, so `sigma` changes nothing");
        }
        let or = |given: Option<Duration>, default: Duration| given.unwrap_or(default);
        let stimulus = or(params.stimulus, ms(500.0));
        let decision = |usual: f64| {
            let longer = sequence != 0 && !reacts;
            or(params.decision, ms(if longer { 1000.0 } else { usual }))
        };
        let delays = || {
            Duration::Drawn(crate::duration::Distribution::Choice(
                (0..12).map(|k| f64::from(100 * k)).collect(),
            ))
        };
        let purpose = ModCog::ID;
        let frame =
            |periods, noise| Frame { purpose, dt_ms, periods, inputs: 0, classes: 0, fixation_weight, noise };
        Ok(match kind {
            Base::Reach { anti, reacts: true } => {
                let periods =
                    vec![("fixation", or(params.fixation, ms(500.0))), ("decision", decision(500.0))];
                Built::Reach(
                    Reach::new(purpose, dt_ms, periods, dim_ring, fixation_weight, anti)?.extended(extension),
                )
            }
            Base::Reach { anti, .. } => {
                let delay = if integrate == 0 { ms(500.0) } else { delays() };
                let periods = vec![
                    ("fixation", or(params.fixation, ms(500.0))),
                    ("stimulus", stimulus),
                    ("delay", or(params.delay, delay)),
                    ("decision", decision(500.0)),
                ];
                Built::Reach(
                    Reach::new(purpose, dt_ms, periods, dim_ring, fixation_weight, anti)?.extended(extension),
                )
            }
            Base::Decision(rule) => {
                let fixation = ("fixation", or(params.fixation, uniform(200.0, 500.0)));
                let decision = ("decision", decision(200.0));
                let (periods, coherences) = match base.contains("dly") {
                    false => (vec![fixation, ("stimulus", stimulus), decision], vec![0.08, 0.16, 0.32, 0.64]),
                    true => {
                        let delay = ("delay", or(params.delay, ms(500.0)));
                        (
                            vec![fixation, ("stim1", stimulus.clone()), delay, ("stim2", stimulus), decision],
                            vec![0.3, 0.6, 1.0],
                        )
                    }
                };
                let frame = frame(periods, noise(sigma, dt_ms)?);
                let coherences = params.coherences.unwrap_or(coherences);
                Built::Decision(Decision::new(frame, dim_ring, coherences, rule)?.extended(extension))
            }
            Base::Matching(to, on_match) => {
                let delay = if integrate == 0 { uniform(200.0, 1200.0) } else { delays() };
                let periods = vec![
                    ("fixation", or(params.fixation, ms(300.0))),
                    ("sample", stimulus.clone()),
                    ("delay", or(params.delay, delay)),
                    ("test", stimulus),
                    ("decision", decision(900.0)),
                ];
                let frame = frame(periods, noise(sigma, dt_ms)?);
                Built::Matching(Matching::in_frame(frame, dim_ring, to, on_match)?.extended(extension))
            }
        })
    }
}
