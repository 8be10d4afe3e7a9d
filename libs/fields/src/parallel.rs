//! Work shared among threads, with the same result whatever their number.

use std::sync::{Mutex, PoisonError};

/// Calls `work` once for each item, on `threads` threads (0 means 1). Whoever
/// is free takes the next item, so items may be of unequal size; an item's
/// result must not depend on another's.
pub fn for_each<T: Send>(items: impl Iterator<Item = T> + Send, threads: usize, work: impl Fn(T) + Sync) {
    if threads <= 1 {
        return items.for_each(work);
    }
    let queue = Mutex::new(items);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = next() {
                    work(item);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in [0, 1, 2, 7] {
            let mut squares = vec![0_u64; 1000];
            for_each(squares.iter_mut().zip(0_u64..), threads, |(square, k)| *square += k * k);
            assert!(squares.iter().zip(0_u64..).all(|(square, k)| *square == k * k), "{threads}");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_passed_on() {
        for_each(0..10, 2, |k| assert!(k < 5));
    }
}
