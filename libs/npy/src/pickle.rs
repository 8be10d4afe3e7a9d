//! Reads pickles of object arrays without executing them.
//!
//! A pickle is a program, and a general reader calls any function that it names.
//! This reader understands only what numpy writes for an object array of numeric
//! arrays, with pickle protocols 2 to 5 and numpy 1 and 2. It calls nothing: the
//! few names that occur are looked up in a list, and every other name is refused.
//! Opcodes: `Lib/pickletools.py`.
//!
//! Memory is bounded by the length of the pickle and the number of its arrays:
//! a pickle that creates more values per array than numpy does is refused, as are
//! arrays that are together longer than the pickle.

use std::borrow::Cow;

use crate::dtype::Dtype;

/// Why a pickle was not read.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong.
    pub what: String,
    /// How to fix it.
    pub remedy: &'static str,
}

const UNSUPPORTED: &str = "only an object array of numeric arrays, as numpy.save writes it, is read; \
     do not open this file with numpy unless you trust its source";
const AS_ARRAYS: &str = "save arrays instead of lists: \
     numpy.save(file, numpy.fromiter((numpy.asarray(t, float) for t in lists), object, len(lists)))";
const DAMAGED: &str = "copy the file again from its source";

type Result<T> = std::result::Result<T, Refused>;

fn foreign<T>(what: impl Into<String>) -> Result<T> {
    Err(Refused { what: what.into(), remedy: UNSUPPORTED })
}

/// An object array of lists rather than arrays.
fn lists() -> Refused {
    Refused {
        what: "the object array holds Python lists of numbers instead of arrays".into(),
        remedy: AS_ARRAYS,
    }
}

fn damaged(what: impl Into<String>) -> Refused {
    Refused { what: what.into(), remedy: DAMAGED }
}

/// A numeric array within the object array.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Bytes of the elements; their number matches the shape.
    pub bytes: Cow<'a, [u8]>,
}

/// The names that numpy uses.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    /// Creates an empty array that is filled later.
    Reconstruct,
    /// The class of arrays.
    NdArray,
    /// The class of element types.
    DtypeClass,
    /// Creates an array from bytes (protocol 5).
    FromBuffer,
    /// Encodes text as bytes (protocol 2 has no bytes).
    Encode,
    /// Creates empty bytes (protocol 2).
    EmptyBytes,
}

fn name(module: &str, name: &str) -> Result<Name> {
    Ok(match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Name::Reconstruct,
        ("numpy", "ndarray") => Name::NdArray,
        ("numpy", "dtype") => Name::DtypeClass,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Name::FromBuffer,
        ("_codecs", "encode") => Name::Encode,
        ("__builtin__", "bytes") => Name::EmptyBytes,
        _ => {
            return foreign(format!(
                "the pickle names `{module}.{name}`, which is not part of a numpy array"
            ));
        }
    })
}

/// Maximum length of tuples and type codes.
const LONGEST: usize = 16;
/// The first byte of every pickle of protocol 2 or later.
pub const FIRST: u8 = 0x80;
/// Maximum numbers of values and of instructions per array; numpy uses at most
/// forty of each.
const VALUES_PER_ARRAY: usize = 64;
const STEPS_PER_ARRAY: usize = 192;

/// Index of a value.
type Id = usize;

#[derive(Clone, Debug, PartialEq)]
enum Element {
    Object,
    Number { code: String, order: Option<char> },
}

enum Value<'a> {
    None,
    False,
    True,
    Int(i64),
    Text(&'a str),
    Bytes(Cow<'a, [u8]>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Name(Name),
    Dtype(Element),
    /// Created but not yet filled.
    Empty,
    Array {
        element: Element,
        shape: Vec<usize>,
        data: Id,
    },
}

struct Machine<'a> {
    rest: &'a [u8],
    length: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    encoded: usize,
    /// Maximum number of values.
    most_values: usize,
    /// Remaining number of instructions.
    steps: usize,
}

/// Reads the pickle of an object array with one axis and this shape.
///
/// # Errors
/// If it is anything else.
pub fn object_array<'a>(pickle: &'a [u8], shape: &[usize]) -> Result<Vec<Piece<'a>>> {
    // Two more, for the object array itself and the prologue.
    let arrays = shape.iter().fold(1_usize, |all, &side| all.saturating_mul(side)).saturating_add(2);
    let mut machine = Machine {
        rest: pickle,
        length: pickle.len(),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        encoded: 0,
        most_values: arrays.saturating_mul(VALUES_PER_ARRAY),
        steps: arrays.saturating_mul(STEPS_PER_ARRAY),
    };
    let root = machine.run()?;
    machine.pieces(root, shape)
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id> {
        loop {
            let at = self.length - self.rest.len();
            self.steps = match self.steps.checked_sub(1) {
                Some(left) if self.values.len() <= self.most_values => left,
                // The numbers of a list are single values, those of an array are not.
                _ if self.holds_lists() => return Err(lists()),
                _ => return foreign("the pickle is longer than its arrays need"),
            };
            match self.byte()? {
                // PROTO, FRAME
                0x80 => match self.byte()? {
                    2..=5 => {}
                    other => {
                        return foreign(format!(
                            "the pickle uses protocol {other}; protocols 2 to 5 are supported"
                        ));
                    }
                },
                0x95 => {
                    self.take(8)?;
                }
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::True),
                0x89 => self.push(Value::False),
                // BININT, BININT1, BININT2, LONG1
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                b'K' => {
                    let value = self.byte()?;
                    self.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                0x8a => {
                    let size = self.byte()?.into();
                    let bytes = self.take(size)?;
                    if size > 8 {
                        return foreign("the pickle holds an integer of more than 64 bits");
                    }
                    let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
                    let mut wide = [if sign { 0xff } else { 0 }; 8];
                    wide[..size].copy_from_slice(bytes);
                    self.push(Value::Int(i64::from_le_bytes(wide)));
                }
                // SHORT_BINUNICODE, BINUNICODE
                0x8c => {
                    let size = self.byte()?.into();
                    self.text(size)?;
                }
                b'X' => {
                    let size = u32::from_le_bytes(self.array()?) as usize;
                    self.text(size)?;
                }
                // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
                b'C' => {
                    let size = self.byte()?.into();
                    self.bytes(size)?;
                }
                b'B' => {
                    let size = u32::from_le_bytes(self.array()?) as usize;
                    self.bytes(size)?;
                }
                0x8e | 0x96 => {
                    let size = usize::try_from(u64::from_le_bytes(self.array()?))
                        .map_err(|_| damaged("the pickle is truncated"))?;
                    self.bytes(size)?;
                }
                b')' => self.push(Value::Tuple(Vec::new())),
                b']' => self.push(Value::List(Vec::new())),
                count @ 0x85..=0x87 => {
                    let count = usize::from(count - 0x84);
                    let items = self.split(self.stack.len().checked_sub(count))?;
                    self.push(Value::Tuple(items));
                }
                b't' => {
                    let mark = self.marks.pop();
                    let items = self.split(mark)?;
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let mark = self.marks.pop();
                    let items = self.split(mark)?;
                    self.append(items)?;
                }
                // BINFLOAT
                b'G' => return Err(lists()),
                // GLOBAL, STACK_GLOBAL
                b'c' => {
                    let (module, object) = (self.line()?, self.line()?);
                    self.push(Value::Name(name(module, object)?));
                }
                0x93 => {
                    let (object, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(object)) =
                        (&self.values[module], &self.values[object])
                    else {
                        return Err(damaged(format!("the pickle is malformed at byte {at}")));
                    };
                    let found = name(module, object)?;
                    self.push(Value::Name(found));
                }
                b'R' => self.reduce(at)?,
                b'b' => self.build(at)?,
                // BINPUT, LONG_BINPUT, MEMOIZE
                b'q' => {
                    let key = self.byte()?.into();
                    self.remember(key)?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?) as usize;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len())?,
                // BINGET, LONG_BINGET
                b'h' => {
                    let key = self.byte()?.into();
                    self.recall(key)?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?) as usize;
                    self.recall(key)?;
                }
                other => {
                    return foreign(format!(
                        "the pickle has opcode 0x{other:02x} at byte {at}, which numpy arrays do not use"
                    ));
                }
            }
        }
    }

    /// Whether most values are integers, and some of them in lists.
    fn holds_lists(&self) -> bool {
        let integers = self.values.iter().filter(|value| matches!(value, Value::Int(_))).count();
        integers > self.values.len() / 2 && self.values.iter().any(|value| matches!(value, Value::List(_)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| damaged("the pickle is truncated"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.rest.iter().position(|&b| b == b'\n');
        let end = end.ok_or_else(|| damaged("the pickle is truncated"))?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| damaged("the pickle contains a name that is not UTF-8"))
    }

    fn text(&mut self, size: usize) -> Result<()> {
        let text = std::str::from_utf8(self.take(size)?)
            .map_err(|_| damaged("the pickle contains text that is not UTF-8"))?;
        self.push(Value::Text(text));
        Ok(())
    }

    fn bytes(&mut self, size: usize) -> Result<()> {
        let bytes = self.take(size)?;
        self.push(Value::Bytes(Cow::Borrowed(bytes)));
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id> {
        self.stack.pop().ok_or_else(|| damaged("the pickle is malformed: stack underflow"))
    }

    /// Everything above `height` on the stack.
    fn split(&mut self, height: Option<usize>) -> Result<Vec<Id>> {
        match height {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(damaged("the pickle is malformed: stack underflow")),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        match self.stack.last().map(|&list| &mut self.values[list]) {
            Some(Value::List(list)) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(damaged("the pickle is malformed: it appends to a value that is not a list")),
        }
    }

    fn remember(&mut self, key: usize) -> Result<()> {
        // Keys are consecutive, so they cannot exceed the number of values.
        if key > self.values.len() {
            return Err(damaged(format!("the pickle is malformed: memo key {key} is too large")));
        }
        if self.memo.len() <= key {
            self.memo.resize(key + 1, None);
        }
        self.memo[key] = self.stack.last().copied();
        Ok(())
    }

    fn recall(&mut self, key: usize) -> Result<()> {
        let id = self.memo.get(key).copied().flatten();
        self.stack
            .push(id.ok_or_else(|| damaged(format!("the pickle is malformed: memo key {key} is unknown")))?);
        Ok(())
    }

    /// The values of a tuple of at most [`LONGEST`] elements.
    fn tuple(&self, id: Id) -> Option<(&[Id], Vec<&Value<'a>>)> {
        match &self.values[id] {
            Value::Tuple(ids) if ids.len() <= LONGEST => {
                Some((ids, ids.iter().map(|&i| &self.values[i]).collect()))
            }
            _ => None,
        }
    }

    fn reduce(&mut self, at: usize) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let made = match (&self.values[callable], self.tuple(arguments)) {
            (Value::Name(callable), Some((ids, arguments))) => self.call(*callable, ids, &arguments),
            _ => None,
        };
        let Some(made) = made else {
            return foreign(format!("the pickle creates a value at byte {at} that numpy arrays do not use"));
        };
        if let Value::Bytes(Cow::Owned(bytes)) = &made {
            // The same text may be encoded repeatedly.
            self.encoded += bytes.len();
            if self.encoded > self.length {
                return foreign("the pickle's arrays are together longer than the pickle");
            }
        }
        self.push(made);
        Ok(())
    }

    /// The result of numpy's constructors for the arguments that numpy uses.
    fn call(&self, callable: Name, ids: &[Id], arguments: &[&Value<'a>]) -> Option<Value<'a>> {
        match (callable, arguments) {
            (Name::Reconstruct, [Value::Name(Name::NdArray), Value::Tuple(_), Value::Bytes(_)]) => {
                Some(Value::Empty)
            }
            (Name::DtypeClass, [Value::Text(code), ..]) if code.len() <= LONGEST => {
                Some(Value::Dtype(match *code {
                    "O8" | "O4" | "O" => Element::Object,
                    other => Element::Number { code: other.to_owned(), order: None },
                }))
            }
            (Name::Encode, [Value::Text(text), Value::Text("latin1" | "latin-1")]) => {
                let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                bytes.map(|bytes| Value::Bytes(Cow::Owned(bytes)))
            }
            (Name::EmptyBytes, []) => Some(Value::Bytes(Cow::Borrowed(&[]))),
            (
                Name::FromBuffer,
                [Value::Bytes(_), Value::Dtype(element), Value::Tuple(sides), Value::Text("C" | "F")],
            ) => Some(Value::Array { element: element.clone(), shape: self.sides(sides)?, data: ids[0] }),
            _ => None,
        }
    }

    fn sides(&self, ids: &[Id]) -> Option<Vec<usize>> {
        if ids.len() > LONGEST {
            return None;
        }
        ids.iter()
            .map(|&id| match self.values[id] {
                Value::Int(side) => usize::try_from(side).ok(),
                _ => None,
            })
            .collect()
    }

    fn build(&mut self, at: usize) -> Result<()> {
        let state = self.pop()?;
        let target = self.stack.last().copied().ok_or_else(|| damaged("the pickle is malformed"))?;
        let filled = self.state(target, state);
        self.values[target] = filled.ok_or_else(|| Refused {
            what: format!("the pickle sets a state at byte {at} that numpy arrays do not use"),
            remedy: UNSUPPORTED,
        })?;
        Ok(())
    }

    /// `target` after its state has been set.
    fn state(&self, target: Id, state: Id) -> Option<Value<'a>> {
        let (ids, parts) = self.tuple(state)?;
        match (&self.values[target], parts.as_slice()) {
            (Value::Dtype(element), [Value::Int(3 | 4), Value::Text(order), ..]) => {
                let mut element = element.clone();
                if let Element::Number { order: known, .. } = &mut element {
                    *known = Some(order.chars().next()?);
                }
                Some(Value::Dtype(element))
            }
            (
                Value::Empty,
                [
                    Value::Int(1),
                    Value::Tuple(sides),
                    Value::Dtype(element),
                    Value::False | Value::True,
                    Value::Bytes(_) | Value::List(_),
                ],
            ) => Some(Value::Array { element: element.clone(), shape: self.sides(sides)?, data: ids[4] }),
            _ => None,
        }
    }

    fn pieces(&self, root: Id, expected: &[usize]) -> Result<Vec<Piece<'a>>> {
        let Value::Array { element: Element::Object, shape, data } = &self.values[root] else {
            return foreign("the pickle is not an object array");
        };
        let Value::List(items) = &self.values[*data] else {
            return foreign("the pickle's object array holds no list");
        };
        if shape != expected || shape.as_slice() != [items.len()] {
            return foreign(format!(
                "the header has shape {expected:?}, the pickle {shape:?} with {} elements: \
                 an object array with one axis is expected",
                items.len()
            ));
        }
        let mut total = 0;
        items
            .iter()
            .enumerate()
            .map(|(i, &id)| {
                let (code, order, shape, data) = match &self.values[id] {
                    Value::Array { element: Element::Number { code, order }, shape, data } => {
                        (code, order, shape, data)
                    }
                    Value::List(_) | Value::Tuple(_) => return Err(lists()),
                    _ => {
                        return foreign(format!(
                            "element {i} of the object array is not an array of numbers"
                        ));
                    }
                };
                let Value::Bytes(bytes) = &self.values[*data] else {
                    return foreign(format!("element {i} of the object array holds no bytes"));
                };
                let text = order.map_or_else(|| code.clone(), |order| format!("{order}{code}"));
                let Some(dtype) = Dtype::parse(&text) else {
                    return foreign(format!("element {i} of the object array holds `{text}`, not numbers"));
                };
                let needed = shape.iter().try_fold(dtype.size, |total, &side| total.checked_mul(side));
                if needed != Some(bytes.len()) {
                    return Err(damaged(format!(
                        "element {i} of the object array has {} bytes for shape {shape:?}",
                        bytes.len()
                    )));
                }
                // A few bytes can refer to the same array again, and each reference
                // is copied.
                total += bytes.len();
                if total > self.length {
                    return foreign("the pickle's arrays are together longer than the pickle");
                }
                Ok(Piece { dtype, shape: shape.clone(), bytes: bytes.clone() })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(pickle: &[u8], count: usize) -> Vec<Vec<f64>> {
        let pieces = object_array(pickle, &[count]).unwrap();
        pieces.iter().map(|piece| piece.dtype.floats(&piece.bytes)).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    // numpy 2.4.6: a = numpy.empty(3, object); a[:] = [array([1.5, -2.0]),
    // array([], float), array([3, -200], '>i4')]; pickle.dumps(a, protocol).
    const SAMPLES: [(u8, &str); 4] = [
        (
            2,
            "8002636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a \
             6e6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c61 \
             74696e317105867106527107877108527109284b014b0385710a636e756d70790a64747970650a710b58020000004f38 \
             710c898887710d52710e284b0358010000007c710f4e4e4e4affffffff4affffffff4b3f74711062895d711128680068 \
             014b008571126807877113527114284b014b02857115680b5802000000663871168988877117527118284b0358010000 \
             003c71194e4e4e4affffffff4affffffff4b0074711a628968035812000000000000000000c3b83f00000000000000c3 \
             80711b680586711c52711d74711e62680068014b0085711f6807877120527121284b014b00857122681889635f5f6275 \
             696c74696e5f5f0a62797465730a71232952712474712562680068014b008571266807877127527128284b014b028571 \
             29680b58020000006934712a898887712b52712c284b0358010000003e712d4e4e4e4affffffff4affffffff4b007471 \
             2e62896803580b00000000000003c3bfc3bfc3bf38712f68058671305271317471326265747133622e",
        ),
        (
            3,
            "8003636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a \
             6e6461727261790a71014b008571024301627103877104527105284b014b03857106636e756d70790a64747970650a71 \
             0758020000004f387108898887710952710a284b0358010000007c710b4e4e4e4affffffff4affffffff4b3f74710c62 \
             895d710d28680068014b0085710e680387710f527110284b014b02857111680758020000006638711289888771135271 \
             14284b0358010000003c71154e4e4e4affffffff4affffffff4b0074711662894310000000000000f83f000000000000 \
             00c0711774711862680068014b00857119680387711a52711b284b014b0085711c6814894300711d74711e6268006801 \
             4b0085711f6803877120527121284b014b0285712268075802000000693471238988877124527125284b035801000000 \
             3e71264e4e4e4affffffff4affffffff4b007471276289430800000003ffffff387128747129626574712a622e",
        ),
        (
            4,
            "80049544010000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e73747275 \
             63749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b03859468038c05 \
             64747970659493948c024f3894898887945294284b038c017c944e4e4e4affffffff4affffffff4b3f749462895d9428 \
             680268054b008594680787945294284b014b028594680c8c02663894898887945294284b038c013c944e4e4e4affffff \
             ff4affffffff4b00749462894310000000000000f83f00000000000000c094749462680268054b008594680787945294 \
             284b014b008594681989430094749462680268054b008594680787945294284b014b028594680c8c0269349489888794 \
             5294284b038c013e944e4e4e4affffffff4affffffff4b0074946289430800000003ffffff3894749462657494622e",
        ),
        (
            5,
            "8005955b010000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e73747275 \
             63749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b03859468038c05 \
             64747970659493948c024f3894898887945294284b038c017c944e4e4e4affffffff4affffffff4b3f749462895d9428 \
             8c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d62756666657294939428961000000000000000 \
             000000000000f83f00000000000000c094680c8c02663894898887945294284b038c013c944e4e4e4affffffff4affff \
             ffff4b007494624b0285948c014394749452946815289600000000000000009468194b008594681d7494529468152896 \
             080000000000000000000003ffffff3894680c8c02693494898887945294284b038c013e944e4e4e4affffffff4affff \
             ffff4b007494624b028594681d74945294657494622e",
        ),
    ];

    #[test]
    fn more_values_than_the_arrays_need_are_refused() {
        // Each instruction has one or two bytes and would take eighty in memory.
        for instruction in [&b"N"[..], b"]", b")", b"(", b"K\x00", b"N0"] {
            let mut pickle = vec![0x80, 4];
            (0..1 << 20).for_each(|_| pickle.extend(instruction));
            let refused = object_array(&pickle, &[3]).unwrap_err();
            assert!(refused.what.contains("longer than its arrays need") || refused.what.contains("opcode"));
        }
        // A value is recalled repeatedly, with two bytes each.
        let mut pickle = b"\x80\x04N\x94".to_vec();
        (0..1 << 20).for_each(|_| pickle.extend(b"h\x00"));
        assert!(object_array(&pickle, &[3]).unwrap_err().what.contains("longer than its arrays need"));
        // A memo key far beyond the number of values.
        let mut pickle = b"\x80\x02Nr\xff\xff\xff\x00".to_vec();
        pickle.resize(1 << 25, b'N');
        assert!(object_array(&pickle, &[3]).unwrap_err().what.contains("memo key 16777215"));
    }

    #[test]
    fn object_arrays_of_lists_are_refused_with_a_way_to_save_them() {
        // numpy 2.4.6: a = numpy.empty(2, object); a[0], a[1] = lists; pickle.dumps(a, 2)
        // ends with these elements, after what all object arrays of two share.
        let head = "8002636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a \
             6e6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c61 \
             74696e317105867106527107877108527109284b014b0285710a636e756d70790a64747970650a710b58020000004f38 \
             710c898887710d52710e284b0358010000007c710f4e4e4e4affffffff4affffffff4b3f74711062895d7111";
        let floats = "285d711228473fe0000000000000474000000000000000655d711347bff00000000000006165747114622e";
        let integers = format!("285d711228{}655d7113284b014b026565747114622e", "4b07".repeat(400));
        for elements in [floats, integers.as_str(), "285d71125d711365747114622e"] {
            let refused = object_array(&unhex(&format!("{head}{elements}")), &[2]).unwrap_err();
            assert!(refused.what.contains("Python lists"), "{}", refused.what);
            assert!(refused.remedy.contains("numpy.asarray"), "{}", refused.remedy);
        }
    }

    #[test]
    fn every_protocol_of_numpy_is_read() {
        for (protocol, hex) in SAMPLES {
            let expected = [vec![1.5, -2.0], vec![], vec![3.0, -200.0]];
            assert_eq!(floats(&unhex(hex), 3), expected, "protocol {protocol}");
        }
    }

    #[test]
    fn the_names_of_numpy_1_are_read() {
        // Protocol 2 names modules in lines of text, so one can be replaced.
        let new = unhex(SAMPLES[0].1);
        let at = new.windows(7).position(|w| w == b"numpy._").unwrap();
        let old = [&new[..at + 6], &new[at + 7..]].concat();
        assert!(old.windows(22).any(|w| w == b"cnumpy.core.multiarray"));
        assert_eq!(floats(&old, 3)[0], [1.5, -2.0]);
    }

    #[test]
    fn other_names_are_refused() {
        let refused = |pickle: &[u8]| object_array(pickle, &[1]).unwrap_err().what;
        // pickle.dumps of an object whose __reduce__ is (os.system, ("true",)).
        let named = refused(b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.");
        assert_eq!(named, "the pickle names `posix.system`, which is not part of a numpy array");
        let named = refused(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94.");
        assert_eq!(named, "the pickle names `os.system`, which is not part of a numpy array");
        assert!(refused(b"\x80\x02cnumpy\nsave\n.").contains("`numpy.save`"));
        assert!(refused(b"\x80\x02c__builtin__\neval\n.").contains("`__builtin__.eval`"));
        // Known names work only with the arguments of an array.
        assert!(
            refused(b"\x80\x02c__builtin__\nbytes\nK\x09\x85R.").contains("that numpy arrays do not use")
        );
        assert!(
            refused(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.")
                .contains("byte")
        );
        assert!(refused(b"\x80\x02}.").contains("opcode 0x7d at byte 2"));
        assert!(refused(b"\x80\x01.").contains("protocol 1"));
        assert!(refused(b"\x80\x02K\x01.").contains("not an object array"));
    }

    #[test]
    fn damage_gives_errors_rather_than_panics() {
        for (_, hex) in SAMPLES {
            let good = unhex(hex);
            for length in 0..good.len() {
                assert!(object_array(&good[..length], &[3]).is_err(), "{length}");
            }
            // Any single byte changed: an error or other numbers, never a panic.
            for at in 0..good.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut bytes = good.clone();
                    bytes[at] ^= change;
                    let _ = object_array(&bytes, &[3]);
                }
            }
            assert!(object_array(&good, &[4]).unwrap_err().what.contains("[4]"));
        }
    }

    #[test]
    fn repeated_references_cannot_fill_the_memory() {
        let repeated = b"\x80\x03cnumpy._core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85C\x01b\x87R\
            (K\x01K\x02\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R\x89](\
            h\x00h\x01K\x00\x85C\x01b\x87R(K\x01K\x20\x85cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R\x89C\x20\
            ................................tbq\x02h\x02h\x02h\x02h\x02h\x02h\x02h\x02h\x02h\x02etb.";
        let error = object_array(repeated, &[2]).unwrap_err();
        assert!(error.what.contains("[2]"), "{}", error.what);
        let mut many = repeated.to_vec();
        let at = many.windows(4).position(|w| w == b"K\x01K\x02").unwrap();
        many[at + 3] = 10;
        let error = object_array(&many, &[10]).unwrap_err();
        assert!(error.what.contains("longer than the pickle"), "{}", error.what);
    }
}
