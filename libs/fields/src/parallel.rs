//! Divides work among threads; the result does not depend on their number.

use std::sync::{Mutex, PoisonError};

/// Calls `work` once for each item on `threads` threads (0 means 1). A free
/// thread takes the next item, so items may differ in size; the result of an
/// item must not depend on other items.
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
    fn every_item_is_processed_once() {
        for threads in [0, 1, 2, 7] {
            let mut squares = vec![0_u64; 1000];
            for_each(squares.iter_mut().zip(0_u64..), threads, |(square, k)| *square += k * k);
            assert!(squares.iter().zip(0_u64..).all(|(square, k)| *square == k * k), "{threads}");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_propagated() {
        for_each(0..10, 2, |k| assert!(k < 5));
    }
}
