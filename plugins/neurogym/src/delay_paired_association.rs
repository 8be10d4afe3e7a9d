//! Delayed paired association: respond to some pairs of stimuli and not to
//! others.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATE, FIXATION, Frame, check_length, task};
use crate::duration::{Duration, ms};

pallium_core::params! {
    /// Timing.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the first stimulus, in ms.
        fixation: Duration = ms(0.0),
        /// Duration of the first stimulus, in ms.
        stim1: Duration = ms(1000.0),
        /// Delay between the stimuli, in ms.
        delay_btw_stim: Duration = ms(1000.0),
        /// Duration of the second stimulus, in ms.
        stim2: Duration = ms(1000.0),
        /// Delay between the second stimulus and the decision, in ms.
        delay_aft_stim: Duration = ms(1000.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(500.0),
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Pairs of stimuli, by their channels, and whether to respond.
const PAIRS: [([usize; 2], bool); 4] = [([1, 3], true), ([1, 4], false), ([2, 3], false), ([2, 4], true)];

/// Channel 0: fixation, 1 except in the decision. Channels 1…4: four stimuli,
/// of which 1 or 2 comes first and 3 or 4 second. Classes: 0 withhold, 1 go.
/// Conditions: pair.
pub struct DelayPairedAssociation {
    pub frame: Frame,
}

const STIM1: usize = 1;
const STIM2: usize = 3;
const DECISION: usize = 5;

impl Component for DelayPairedAssociation {
    const ID: &'static str = "neurogym.delay-paired-association";
    const ABOUT: &'static str = "respond if two stimuli, separated by a delay, belong together";
    const CITE: &'static str =
        "Zhang et al. 2019; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, DelayPairedAssociation)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stim1", params.stim1),
                ("delay_btw_stim", params.delay_btw_stim),
                ("stim2", params.stim2),
                ("delay_aft_stim", params.delay_aft_stim),
                ("decision", params.decision),
            ],
            inputs: 5,
            classes: 2,
            fixation_weight: params.fixation_weight,
            noise: 0.0,
        };
        frame.check(&["stim1", "stim2", "decision"])?;
        check_length(DelayPairedAssociation { frame })
    }
}

impl Design for DelayPairedAssociation {
    /// Index of the pair.
    type Trial = usize;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> usize {
        stream.random_range(0..PAIRS.len())
    }

    fn lay(&self, &pair: &usize, canvas: &mut Canvas<'_>) -> u32 {
        let ([first, second], go) = PAIRS[pair];
        canvas.show(&[0, 1, 2, 3, 4], FIXATION, 1.0);
        canvas.show(&[STIM1], first, 1.0);
        canvas.show(&[STIM2], second, 1.0);
        canvas.decide(DECISION, if go { 1 } else { FIXATE });
        pair as u32
    }

    fn conditions(&self) -> Vec<String> {
        PAIRS
            .map(|([first, second], go)| {
                format!("{first}, then {second}: {}", if go { "go" } else { "withhold" })
            })
            .into()
    }

    fn levels(&self) -> Levels {
        Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) }
    }
}
task!(DelayPairedAssociation);
