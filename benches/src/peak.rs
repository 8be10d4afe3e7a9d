//! The machine's peak rate of fused multiply-adds.
//!
//! Sixteen independent chains of f32 vectors are kept in registers, so that
//! only the arithmetic units limit the loop. The widest vectors of the
//! processor are chosen at run time.

use std::hint::black_box;
use std::time::Instant;

/// Number of independent chains, above the product of latency and throughput of
/// current processors.
const CHAINS: usize = 16;
/// Multiply-adds of a chain between two readings of the clock, about 5 ms.
const ROUNDS: u64 = 1_000_000;

/// Current FLOP/s of one core in f32, counting a multiply-add as two; the best
/// of several measurements of about 5 ms each.
pub fn one_core() -> f64 {
    (0..6).map(|_| stretch()).fold(0.0, f64::max)
}

/// FLOP/s of `threads` cores at once.
pub fn cores(threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| (0..6).map(|_| stretch()).sum::<f64>() / 6.0)).collect();
        all.into_iter().map(|one| one.join().unwrap_or(f64::NAN)).sum()
    })
}

fn stretch() -> f64 {
    let clock = Instant::now();
    let lanes = black_box(run(black_box(ROUNDS)));
    2.0 * (lanes * CHAINS) as f64 * ROUNDS as f64 / clock.elapsed().as_secs_f64()
}

/// Runs the loop and returns the number of lanes of a vector.
fn run(rounds: u64) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the instructions were found to be there on the line above")]
            return unsafe { avx512(rounds) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "the instructions were found to be there on the line above")]
            return unsafe { avx2(rounds) };
        }
    }
    portable(rounds)
}

// Each chain is x ← x·c + d with a fixed point at 1, so it neither overflows
// nor reaches denormal numbers.
const FACTOR: f32 = 0.999;
const TERM: f32 = 0.001;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: u64) -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, term) = (_mm512_set1_ps(black_box(FACTOR)), _mm512_set1_ps(black_box(TERM)));
    let mut chains = [_mm512_set1_ps(black_box(0.5)); CHAINS];
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_fmadd_ps(*x, factor, term);
        }
    }
    black_box(chains.map(|x| _mm512_reduce_add_ps(x)));
    16
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u64) -> usize {
    use std::arch::x86_64::{_mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, term) = (_mm256_set1_ps(black_box(FACTOR)), _mm256_set1_ps(black_box(TERM)));
    // Sixteen registers in all: two hold the constants.
    let mut chains = [_mm256_set1_ps(black_box(0.5)); 12];
    for _ in 0..rounds * CHAINS as u64 / 12 {
        for x in &mut chains {
            *x = _mm256_fmadd_ps(*x, factor, term);
        }
    }
    black_box(chains.map(|x| _mm256_cvtss_f32(x)));
    8
}

/// Four lanes, which every 64-bit processor has; the compiler vectorises them.
fn portable(rounds: u64) -> usize {
    let (factor, term) = (black_box([FACTOR; 4]), black_box([TERM; 4]));
    let mut chains = [[black_box(0.5_f32); 4]; CHAINS];
    for _ in 0..rounds {
        for x in &mut chains {
            for lane in 0..4 {
                x[lane] = x[lane].mul_add(factor[lane], term[lane]);
            }
        }
    }
    black_box(chains);
    4
}
