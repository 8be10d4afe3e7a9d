//! Pickles of object arrays, without the header of a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pallium_npy::pickle::object_array;

fuzz_target!(|bytes: &[u8]| {
    // The first byte is the number of arrays.
    let Some((&arrays, pickle)) = bytes.split_first() else { return };
    if let Ok(pieces) = object_array(pickle, &[arrays.into()]) {
        assert_eq!(pieces.len(), usize::from(arrays));
        assert!(pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>() <= pickle.len());
        for piece in pieces {
            assert_eq!(piece.dtype.floats(&piece.bytes).len() * piece.dtype.size, piece.bytes.len());
        }
    }
});
