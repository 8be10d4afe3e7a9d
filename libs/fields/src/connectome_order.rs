//! The order of released connectomes: that in which CPython iterates over a set
//! of the root ids.
//!
//! The connectomes of the released fields were made by a program that looped
//! over a Python `set` of the root ids, so their rows and columns follow the
//! slots of CPython's hash table (`Objects/setobject.c`, unchanged in this
//! respect since Python 3.7). Filling the same table with the same ids gives
//! the order back.

use pallium_core::prelude::*;

/// Slots tried after the first one before the probe jumps.
const LINEAR_PROBES: usize = 9;
/// Integers are hashed modulo this Mersenne prime.
const MODULUS: u64 = (1 << 61) - 1;
/// Sets with more elements than this grow by two instead of four.
const LARGE: usize = 50_000;

/// Indices of `ids` in the order of `list(set(ids))`.
///
/// # Errors
/// If an id occurs twice: the set would be smaller than the list.
pub fn set_order(ids: &[i64]) -> Result<Vec<usize>> {
    let mut sorted: Vec<(i64, usize)> = ids.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let (id, first, second) = (pair[0].0, pair[0].1, pair[1].1);
        return Err(Error::input(format!("id {id} occurs twice, for neurons {first} and {second}")));
    }
    let mut table: Vec<Option<usize>> = vec![None; 8];
    for (used, &id) in (1..).zip(ids) {
        insert(&mut table, used - 1, id);
        let mask = table.len() - 1;
        if used * 5 >= mask * 3 {
            let wanted = if used > LARGE { used * 2 } else { used * 4 };
            let mut size = 8;
            while size <= wanted {
                size *= 2;
            }
            let old = std::mem::replace(&mut table, vec![None; size]);
            for index in old.into_iter().flatten() {
                insert(&mut table, index, ids[index]);
            }
        }
    }
    Ok(table.into_iter().flatten().collect())
}

/// CPython's `hash(int)` for 64-bit integers, as the unsigned number that the
/// probing works on.
fn hash(id: i64) -> u64 {
    let magnitude = (id.unsigned_abs() % MODULUS).cast_signed();
    let hash = if id < 0 { -magnitude } else { magnitude };
    // −1 is CPython's error code, so no hash has that value.
    (if hash == -1 { -2 } else { hash }).cast_unsigned()
}

fn insert(table: &mut [Option<usize>], index: usize, id: i64) {
    let mask = table.len() - 1;
    let mut perturb = hash(id);
    let mut slot = perturb as usize & mask;
    loop {
        let last = if slot + LINEAR_PROBES <= mask { slot + LINEAR_PROBES } else { slot };
        if let Some(free) = table[slot..=last].iter_mut().find(|s| s.is_none()) {
            *free = Some(index);
            return;
        }
        perturb >>= 5;
        slot = slot.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb as usize) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_testing::{golden_json, real_field};

    /// Σ k·order\[k\].
    fn checksum(order: &[usize]) -> usize {
        order.iter().enumerate().map(|(k, i)| k * i).sum()
    }

    #[test]
    fn agrees_with_cpython() {
        // list(set(...)) of CPython 3.11 on ids that start as those of a field
        // do, negative numbers and numbers above 2^61.
        let order = set_order(&[5, -1, -2, 1 << 61, 3, 0, 8, 16, 24, 7]).unwrap();
        let values: Vec<i64> = order.iter().map(|&i| [5, -1, -2, 1 << 61, 3, 0, 8, 16, 24, 7][i]).collect();
        assert_eq!(values, PYTHON_SMALL);
        // ids = [864691135000000000 + (k * k * 7919) % 1000003 * 1009 for k in range(1500)]
        let ids: Vec<i64> =
            (0..1500).map(|k| 864_691_135_000_000_000 + (k * k * 7919) % 1_000_003 * 1009).collect();
        let order = set_order(&ids).unwrap();
        assert_eq!(order[..8], PYTHON_HEAD);
        assert_eq!(checksum(&order), PYTHON_CHECKSUM);
        // Beyond 50,000 elements, where a set grows by two.
        let ids: Vec<i64> = (0..120_000).map(|k: i64| k * 1_000_003 % 1_000_000_007 * 131_071 + k).collect();
        let order = set_order(&ids).unwrap();
        assert_eq!(order[..8], PYTHON_LARGE_HEAD);
        assert_eq!(checksum(&order), PYTHON_LARGE_CHECKSUM);
    }

    const PYTHON_SMALL: [i64; 10] = [0, 1 << 61, 3, 5, 7, 8, 16, -2, 24, -1];
    const PYTHON_HEAD: [usize; 8] = [449, 246, 1174, 1068, 1323, 232, 823, 1455];
    const PYTHON_CHECKSUM: usize = 844_260_575;
    const PYTHON_LARGE_HEAD: [usize; 8] = [0, 26619, 101247, 67591, 7316, 33935, 108563, 48288];
    const PYTHON_LARGE_CHECKSUM: usize = 431_993_675_664_572;

    #[test]
    fn restores_the_order_of_released_fields() {
        let Some(golden) = golden_json() else { return };
        for field in ["5_3_8", "5_3_4", "6_6_2"] {
            let Some(folder) = real_field(field) else { return };
            let ids = pallium_npy::read_ids(&folder.join(format!("root_ids_{field}.npy")), &pallium_npy::any)
                .unwrap();
            let order = set_order(&ids).unwrap();
            let expected = &golden[field]["connectome"];
            assert_eq!(checksum(&order) as u64, expected["order_checksum"].as_u64().unwrap());
            for (k, head) in expected["order_head"].as_array().unwrap().iter().enumerate() {
                assert_eq!(order[k] as u64, head.as_u64().unwrap());
            }
        }
    }

    #[test]
    fn a_repeated_id_is_refused() {
        let error = set_order(&[7, 8, 7]).unwrap_err();
        assert_eq!(error.message, "id 7 occurs twice, for neurons 0 and 2");
    }
}
