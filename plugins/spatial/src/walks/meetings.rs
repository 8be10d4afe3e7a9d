//! Where walks from both ends meet, which depends on the connections alone.

/// Where walks from both ends meet: for each incoming connection, the places of the
/// rows that are in the lists of both its neurons.
#[derive(Default)]
pub(super) struct Meetings {
    /// Where the pairs of each connection begin, and last their number.
    begin: Vec<u32>,
    /// Places in the source's list at the middle, and in the target's list after it.
    pairs: Vec<[u16; 2]>,
    /// Whether there are too many to be kept.
    given_up: bool,
}

impl Meetings {
    /// Whether those of all connections are kept.
    pub(super) fn complete(&self, connections: usize) -> bool {
        !self.given_up && self.begin.len() == connections + 1
    }

    pub(super) fn of(&self, connection: usize) -> &[[u16; 2]] {
        &self.pairs[self.begin[connection] as usize..self.begin[connection + 1] as usize]
    }

    pub(super) fn begin(&mut self) {
        self.begin.clear();
        self.begin.push(0);
        self.pairs.clear();
    }

    /// Keeps those of the next connection, as long as all take at most `most` times 4 bytes.
    pub(super) fn add(&mut self, found: &[[u16; 2]], most: usize) {
        if self.given_up {
            return;
        }
        if self.pairs.len() + found.len() + self.begin.len() > most {
            *self = Meetings { given_up: true, ..Meetings::default() };
            return;
        }
        self.pairs.extend_from_slice(found);
        self.begin.push(self.pairs.len() as u32);
    }
}

/// Finds the rows that have a place: their places among `rows`, and the others' from 0.
#[inline(always)]
pub(super) fn find(rows: &[u32], places: &[u16], found: &mut Vec<[u16; 2]>) {
    found.clear();
    found.resize(rows.len(), [0; 2]);
    let mut count = 0;
    for (i, &row) in rows.iter().enumerate() {
        let place = places[row as usize];
        // Written in any case and overwritten if it does not count: no branch to miss.
        found[count] = [i as u16, place.wrapping_sub(1)];
        count += usize::from(place != 0);
    }
    found.truncate(count);
}
