//! Element types of numeric arrays, and their bytes as numbers.

/// Kind of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numeric {
    /// IEEE 754, 4 or 8 bytes.
    Float,
    /// Two's complement, 1 to 8 bytes.
    Signed,
    /// 1 to 8 bytes; also booleans.
    Unsigned,
}

/// Element type of a numeric array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    /// Kind of numbers.
    pub numeric: Numeric,
    /// Bytes per element.
    pub size: usize,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
}

impl Dtype {
    /// Parses numpy's short form, such as `<f8`, or `f8` for native byte order.
    pub fn parse(text: &str) -> Option<Dtype> {
        let (order, rest) = match text.chars().next()? {
            c @ ('<' | '>' | '|' | '=') => (c, &text[1..]),
            _ => ('=', text),
        };
        let size: usize = rest.get(1..)?.parse().ok()?;
        let numeric = match (rest.chars().next()?, size) {
            ('f', 4 | 8) => Numeric::Float,
            ('i', 1 | 2 | 4 | 8) => Numeric::Signed,
            ('u', 1 | 2 | 4 | 8) | ('b', 1) => Numeric::Unsigned,
            _ => return None,
        };
        let big_endian = order == '>' || (order == '=' && cfg!(target_endian = "big"));
        Some(Dtype { numeric, size, big_endian })
    }

    /// Elements as floats. Integers beyond 2^53 are rounded.
    pub fn floats(self, bytes: &[u8]) -> Vec<f64> {
        match (self.numeric, self.size) {
            (Numeric::Float, 4) => {
                self.elements(bytes).map(|bits| f64::from(f32::from_bits(bits as u32))).collect()
            }
            (Numeric::Float, _) => self.elements(bytes).map(f64::from_bits).collect(),
            (Numeric::Signed, _) => self.elements(bytes).map(|bits| self.extend(bits) as f64).collect(),
            (Numeric::Unsigned, _) => self.elements(bytes).map(|bits| bits as f64).collect(),
        }
    }

    /// Elements as integers; `None` for floats or if an element is too large.
    pub fn integers(self, bytes: &[u8]) -> Option<Vec<i64>> {
        match self.numeric {
            Numeric::Float => None,
            Numeric::Signed => Some(self.elements(bytes).map(|bits| self.extend(bits)).collect()),
            Numeric::Unsigned => self.elements(bytes).map(|bits| i64::try_from(bits).ok()).collect(),
        }
    }

    /// The bits of each element.
    fn elements(self, bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
        bytes.chunks_exact(self.size).map(move |chunk| {
            let mut raw = [0; 8];
            raw[..self.size].copy_from_slice(chunk);
            if self.big_endian {
                raw[..self.size].reverse();
            }
            u64::from_le_bytes(raw)
        })
    }

    /// Extends the sign of an element to 64 bits.
    fn extend(self, bits: u64) -> i64 {
        let unused = 64 - 8 * self.size;
        (bits << unused).cast_signed() >> unused
    }
}
