//! What this machine can do at best: the rate of a product of two 1024 × 1024 `f32` matrices, on all threads of the
//! present rayon pool, by the better of two implementations. Pieces are measured as a share of it.

use std::time::Instant;

use rayon::prelude::*;

use crate::nn::cpu::epilogue::Plain;
use crate::nn::cpu::gemm;
use crate::nn::cpu::gemm::Start;
use crate::nn::cpu::lanes::padded;
use crate::nn::cpu::matrix::{Rows, RowsMut};
use crate::nn::cpu::pack;
use crate::rng::Rng;

const SIZE: usize = 1024;
/// Rows that our own kernel takes at a time: 192 kB of the left matrix, which stay in the cache.
const BLOCK: usize = 48;
/// Products a measurement, of which the best counts.
const REPEATS: usize = 5;

/// The best rates seen so far.
pub struct Peak {
    left: Vec<f32>,
    right: Vec<f32>,
    panels: Vec<f32>,
    out: Vec<f32>,
    own: f64,
    library: f64,
}

impl Default for Peak {
    fn default() -> Self {
        Self::new()
    }
}

impl Peak {
    /// Random matrices, nothing measured yet.
    pub fn new() -> Self {
        let mut rng = Rng::new(0, "peak");
        let mut random = || {
            let mut matrix = vec![0.0_f32; SIZE * SIZE];
            rng.fill_normal(&mut matrix);
            matrix
        };
        let (left, right) = (random(), random());
        let mut panels = vec![0.0; SIZE * padded(SIZE)];
        pack::pack(&right, SIZE, &mut panels);
        Self { left, right, panels, out: vec![0.0; SIZE * SIZE], own: 0.0, library: 0.0 }
    }

    /// Measures anew; what counts is the best of all measurements.
    pub fn measure(&mut self) {
        let rate = |started: Instant| {
            2.0 * (SIZE * SIZE * SIZE) as f64 / started.elapsed().as_secs_f64() * 1e-9
        };
        for _ in 0..REPEATS {
            let started = Instant::now();
            self.multiply();
            self.own = self.own.max(rate(started));
            let started = Instant::now();
            self.multiply_by_library();
            self.library = self.library.max(rate(started));
        }
    }

    /// 10⁹ operations a second of the better implementation.
    pub fn gflops(&self) -> f64 {
        self.own.max(self.library)
    }

    /// 10⁹ operations a second of our own kernel, and of the crate `matrixmultiply`.
    pub fn both(&self) -> (f64, f64) {
        (self.own, self.library)
    }

    fn multiply(&mut self) {
        let (left, panels) = (&self.left, &self.panels);
        let blocks = left.par_chunks(BLOCK * SIZE).zip(self.out.par_chunks_mut(BLOCK * SIZE));
        blocks.for_each(|(a, c)| {
            gemm::product(
                Rows { data: a, columns: SIZE, stride: SIZE },
                panels,
                SIZE,
                Start::Zero,
                RowsMut { data: c, columns: SIZE, stride: SIZE },
                &mut Plain,
            );
        });
    }

    /// As many rows a thread.
    fn multiply_by_library(&mut self) {
        let (left, right) = (&self.left, &self.right);
        let share = SIZE.div_ceil(rayon::current_num_threads()) * SIZE;
        left.par_chunks(share).zip(self.out.par_chunks_mut(share)).for_each(|(a, c)| {
            let (rows, stride) = (a.len() / SIZE, SIZE as isize);
            // SAFETY: a and c hold `rows` rows of SIZE numbers, `right` SIZE of them, and c overlaps nothing.
            unsafe {
                matrixmultiply::sgemm(
                    rows,
                    SIZE,
                    SIZE,
                    1.0,
                    a.as_ptr(),
                    stride,
                    1,
                    right.as_ptr(),
                    stride,
                    1,
                    0.0,
                    c.as_mut_ptr(),
                    stride,
                    1,
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_multiply() {
        let mut peak = Peak::new();
        peak.multiply();
        let own = std::mem::replace(&mut peak.out, vec![0.0; SIZE * SIZE]);
        peak.multiply_by_library();
        let worst = own.iter().zip(&peak.out).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        // Sums of 1024 products of unit variance, rounded at magnitudes up to a few hundred.
        assert!(worst < 1e-2, "{worst}");
        assert!(own.iter().any(|&x| x.abs() > 10.0));
    }
}
