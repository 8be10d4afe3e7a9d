//! What Mod-Cog adds to Yang's tasks (Khona, Chandra, Ma and Fiete 2023): the stimulus or
//! the answer moves along the ring with the delay ("int"), and the answer moves during
//! the decision ("seq").

use std::f64::consts::TAU;

/// Movement in a millisecond: in channels of the ring, or in radians where a stimulus
/// is turned.
const SPEED: f64 = 0.01;

pallium_core::choice! {
    /// The class of an answer.
    pub enum Classes {
        /// Class c points to channel c − 1 of the ring, class 0 fixates.
        Ring = "ring",
        /// As in Mod-Cog's code, which takes classes modulo the number of channels: the
        /// last channel has class 0, as fixation.
        Wrapped = "wrapped",
    }
}

/// The extension of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extension {
    /// Direction of the movement with the delay: 1 to higher channels, −1 to lower ones,
    /// or 0.
    pub integrate: i8,
    /// Direction of the movement during the decision, likewise.
    pub sequence: i8,
    /// The class of an answer.
    pub classes: Classes,
    /// Whether trials with noise are laid out as in Mod-Cog: fixation lasts until the
    /// decision instead of the first stimulus, and in decisions its channel is noisy, too.
    pub mod_cog: bool,
}

impl Extension {
    /// Yang's tasks as they are.
    pub const NONE: Extension =
        Extension { integrate: 0, sequence: 0, classes: Classes::Ring, mod_cog: false };

    /// The angle at which the stimulus of an answer at `angle` is shown before a delay of
    /// so many steps.
    pub fn turned(&self, angle: f64, delay: usize, dt_ms: u32) -> f64 {
        match self.integrate {
            0 => angle,
            direction => (angle + f64::from(direction) * path(delay, dt_ms)).rem_euclid(TAU),
        }
    }

    /// The channel that is reached after a delay.
    pub fn moved(&self, channel: usize, delay: usize, dt_ms: u32, channels: usize) -> usize {
        let moved = channel as f64 + f64::from(self.integrate) * path(delay, dt_ms);
        moved.rem_euclid(channels as f64) as usize % channels
    }

    /// The class of an answer that begins at `channel`, some steps after its begin.
    pub fn class(&self, channel: usize, step: usize, dt_ms: u32, channels: usize) -> u32 {
        let moved = channel as i64 + i64::from(self.sequence) * path(step, dt_ms) as i64;
        let class = match self.classes {
            Classes::Ring => 1 + moved.rem_euclid(channels as i64),
            Classes::Wrapped => (1 + moved).rem_euclid(channels as i64),
        };
        class as u32
    }

    /// Of the periods before the decision, those with fixation.
    pub fn fixates<'a>(&self, before: &'a [usize]) -> &'a [usize] {
        if self.mod_cog { before } else { &before[..1] }
    }

    /// The first noisy channel of decisions.
    pub fn first_noisy(&self) -> usize {
        usize::from(!self.mod_cog)
    }

    /// Share of the answers whose class is that of fixating.
    pub fn shared(&self, channels: usize) -> f64 {
        match self.classes {
            Classes::Ring => 0.0,
            Classes::Wrapped => 1.0 / channels as f64,
        }
    }
}

/// The way of so many steps.
fn path(steps: usize, dt_ms: u32) -> f64 {
    SPEED * (steps as f64 * f64::from(dt_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_move_one_channel_in_100_ms_and_stay_on_the_ring() {
        let right = Extension { integrate: 1, sequence: 1, ..Extension::NONE };
        let left = Extension { integrate: -1, sequence: -1, classes: Classes::Wrapped, mod_cog: true };
        let classes = |of: Extension, channel| -> Vec<u32> {
            (0..5).map(|step| of.class(channel, step, 50, 4)).collect()
        };
        // Two steps of 50 ms for each channel.
        assert_eq!(classes(right, 2), [3, 3, 4, 4, 1]);
        assert_eq!(classes(left, 0), [1, 1, 0, 0, 3]);
        assert_eq!([right.moved(3, 5, 100, 16), left.moved(3, 5, 100, 16)], [8, 14]);
        assert_eq!(Extension::NONE.moved(3, 5, 100, 16), 3);
        assert!((right.turned(6.0, 5, 100) - (11.0 - TAU)).abs() < 1e-12);
        assert_eq!((right.fixates(&[0, 1]), left.fixates(&[0, 1])), (&[0][..], &[0, 1][..]));
    }
}
