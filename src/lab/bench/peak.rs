//! What this machine can do at best: the highest rate of `f32` products that is known of it, on all threads of the present
//! rayon pool. Ours and those of the crate `matrixmultiply` are measured at 1024³, which no near cache holds, and at 256³,
//! which is the size of a piece's products and lies in the second cache; a twin's are heard of. Pieces are measured as a share of the best.

use std::time::Instant;

use rayon::prelude::*;

use crate::nn::cpu::epilogue::Plain;
use crate::nn::cpu::gemm;
use crate::nn::cpu::gemm::ProductStart;
use crate::nn::cpu::lanes::padded;
use crate::nn::cpu::matrix::{Rows, RowsMut};
use crate::nn::cpu::pack;
use crate::rng::Rng;

/// Rows that our own kernel takes at a time of a product that threads share: 192 kB of the left matrix at 1024³, which stay in
/// the cache.
const BLOCK: usize = 48;
/// Measurements of each product, of which the best counts.
const REPEATS: usize = 5;

/// The best rates seen so far.
pub struct Peak {
    large: Product,
    /// One for each thread, so many times in a row that the threads' start does not show.
    small: Vec<Product>,
    own: f64,
    library: f64,
    heard: f64,
}

impl Default for Peak {
    fn default() -> Self {
        Self::new()
    }
}

impl Peak {
    const LARGE: usize = 1024;
    const SMALL: usize = 256;
    /// Small products a measurement: some two milliseconds.
    const RUNS: usize = 16;

    /// Random matrices, nothing measured yet.
    pub fn new() -> Self {
        let large = Product::new(Self::LARGE);
        Self { large, small: Vec::new(), own: 0.0, library: 0.0, heard: 0.0 }
    }

    /// Measures anew; what counts is the best of all measurements.
    pub fn measure(&mut self) {
        let Self { large, small, own, library, .. } = self;
        small.resize_with(rayon::current_num_threads(), || Product::new(Self::SMALL));
        let large_work = Product::operations(Self::LARGE);
        let small_work = Product::operations(Self::SMALL) * (Self::RUNS * small.len()) as f64;
        for _ in 0..REPEATS {
            let large_rates = [
                rate(large_work, || large.multiply_shared()),
                rate(large_work, || large.multiply_shared_by_library()),
            ];
            let mut each = |multiply: fn(&mut Product)| {
                rate(small_work, || {
                    small.par_iter_mut().for_each(|product| {
                        (0..Self::RUNS).for_each(|_| multiply(product));
                    });
                })
            };
            let small_rates = [each(Product::multiply), each(Product::multiply_by_library)];
            for [ours, theirs] in [large_rates, small_rates] {
                *own = own.max(ours);
                *library = library.max(theirs);
            }
        }
    }

    /// Takes a rate into account that another program reached on the same threads, in 10⁹ operations a second.
    pub fn hear(&mut self, gflops: f64) {
        self.heard = self.heard.max(gflops);
    }

    /// 10⁹ operations a second, the best known.
    pub fn gflops(&self) -> f64 {
        self.own.max(self.library).max(self.heard)
    }

    /// 10⁹ operations a second of our own kernel, and of the crate `matrixmultiply`.
    pub fn both(&self) -> (f64, f64) {
        (self.own, self.library)
    }
}

/// 10⁹ operations a second.
fn rate(operations: f64, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    operations / started.elapsed().as_secs_f64() * 1e-9
}

/// Two square matrices, and their product.
struct Product {
    size: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    panels: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    fn new(size: usize) -> Self {
        let mut rng = Rng::new(0, "peak");
        let mut random = || {
            let mut matrix = vec![0.0_f32; size * size];
            rng.fill_normal(&mut matrix);
            matrix
        };
        let (left, right) = (random(), random());
        let mut panels = vec![0.0; size * padded(size)];
        pack::pack(&right, size, &mut panels);
        Self { size, left, right, panels, out: vec![0.0; size * size] }
    }

    fn operations(size: usize) -> f64 {
        2.0 * (size as f64).powi(3)
    }

    fn multiply(&mut self) {
        own_rows(&self.left, &self.panels, &mut self.out, self.size);
    }

    fn multiply_by_library(&mut self) {
        library_rows(&self.left, &self.right, &mut self.out, self.size);
    }

    /// Blocks of rows, shared by threads.
    fn multiply_shared(&mut self) {
        let Self { left, panels, out, size, .. } = self;
        let blocks = left.par_chunks(BLOCK * *size).zip(out.par_chunks_mut(BLOCK * *size));
        blocks.for_each(|(a, c)| own_rows(a, panels, c, *size));
    }

    /// As many rows for each thread.
    fn multiply_shared_by_library(&mut self) {
        let Self { left, right, out, size, .. } = self;
        let part = size.div_ceil(rayon::current_num_threads()) * *size;
        let parts = left.par_chunks(part).zip(out.par_chunks_mut(part));
        parts.for_each(|(a, c)| library_rows(a, right, c, *size));
    }
}

fn own_rows(a: &[f32], panels: &[f32], c: &mut [f32], size: usize) {
    gemm::product(
        Rows { data: a, columns: size, stride: size },
        panels,
        size,
        ProductStart::Zero,
        RowsMut { data: c, columns: size, stride: size },
        &mut Plain,
    );
}

fn library_rows(a: &[f32], right: &[f32], c: &mut [f32], size: usize) {
    let (rows, stride) = (a.len() / size, size as isize);
    assert!(right.len() == size * size && c.len() == rows * size);
    // SAFETY: a and c hold `rows` rows of `size` numbers, `right` `size` of them, and c overlaps nothing.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            size,
            size,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_multiply() {
        let mut product = Product::new(Peak::LARGE);
        product.multiply_shared();
        let own = product.out.clone();
        product.out.fill(0.0);
        product.multiply_shared_by_library();
        let worst = own.iter().zip(&product.out).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        // Sums of 1024 products of unit variance, rounded at magnitudes up to a few hundred.
        assert!(worst < 1e-2, "{worst}");
        assert!(own.iter().any(|&x| x.abs() > 10.0));
    }

    #[test]
    fn the_best_rate_known_counts() {
        let mut peak = Peak::new();
        (peak.own, peak.library) = (120.0, 140.0);
        assert_eq!(peak.gflops(), 140.0);
        peak.hear(163.0);
        peak.hear(90.0);
        assert_eq!(peak.gflops(), 163.0);
        assert_eq!(peak.both(), (120.0, 140.0));
    }
}
