//! The run's only source of randomness: xoshiro256++ (Blackman & Vigna, 2019), seeded through SplitMix64.
//!
//! Every consumer owns a stream of its own, named when it is made, so that drawing more in one place never shifts
//! the draws of another. The state is four words and goes into the checkpoint.

mod normal;

use crate::machine::Real;

/// A pseudo-random stream. Equal seeds and stream names give equal draws on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

fn split_mix(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *word;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream `name` of a run with seed `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name separates the streams of one seed.
        let label = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)
        });
        let mut word = seed;
        let mixed = split_mix(&mut word) ^ label;
        Self::from_word(mixed)
    }

    /// A stream grown from one word, for the pieces of a parallel computation: the parent draws a word a piece.
    pub fn from_word(mut word: u64) -> Self {
        Self { state: std::array::from_fn(|_| split_mix(&mut word)) }
    }

    /// The four words to store; [`Rng::from_state`] continues the stream from them.
    pub fn state(&self) -> [u64; 4] {
        self.state
    }

    /// Continues a stream. All-zero words are no state of this generator: `None`.
    pub fn from_state(state: [u64; 4]) -> Option<Self> {
        (state != [0; 4]).then_some(Self { state })
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A uniform index below `n` (Lemire's multiply-and-reject, unbiased). `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "an index below 0 was asked for");
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as usize;
            }
        }
    }

    /// One standard normal draw. Nothing is kept back for the next call, so the state stays four words.
    pub fn normal(&mut self) -> f64 {
        let mut one = [0.0];
        self.fill_normal(&mut one);
        one[0]
    }

    /// Fills `out` with standard normal draws, two a pair of words.
    pub fn fill_normal<T: Real>(&mut self, out: &mut [T]) {
        let mut pairs = [0.0; 2 * normal::PAIRS];
        for block in out.chunks_mut(2 * normal::PAIRS) {
            let (first, second) = pairs.split_at_mut(normal::PAIRS);
            let n = block.len().div_ceil(2);
            for (u, v) in first.iter_mut().zip(second.iter_mut()).take(n) {
                *u = normal::unit(self.next_u64());
                *v = normal::unit(self.next_u64());
            }
            normal::box_muller(&mut first[..n], &mut second[..n]);
            for (pair, (&a, &b)) in block.chunks_mut(2).zip(first.iter().zip(&*second)) {
                pair[0] = T::from_f64(a);
                if let Some(other) = pair.get_mut(1) {
                    *other = T::from_f64(b);
                }
            }
        }
    }

    /// Shuffles uniformly (Fisher & Yates).
    pub fn shuffle<U>(&mut self, items: &mut [U]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_match_the_published_generator() {
        // Reference: xoshiro256++ from the state (1, 2, 3, 4), as listed by the rand_xoshiro crate's test vector.
        let mut rng = Rng::from_state([1, 2, 3, 4]).unwrap();
        let words: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(words, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, name| Rng::new(seed, name).next_u64();
        assert_eq!(draw(0, "policy"), draw(0, "policy"));
        assert_ne!(draw(0, "policy"), draw(0, "critic"));
        assert_ne!(draw(0, "policy"), draw(1, "policy"));
    }

    #[test]
    fn draws_do_not_depend_on_how_many_are_asked_for_at_once() {
        let draw = |sizes: &[usize]| -> Vec<f64> {
            let mut rng = Rng::new(1, "blocks");
            let mut all = Vec::new();
            for &n in sizes {
                let mut x = vec![0.0; n];
                rng.fill_normal(&mut x);
                all.extend(x);
            }
            all
        };
        assert_eq!(draw(&[150]), draw(&[2, 100, 32, 4, 12]));
        assert_eq!(Rng::new(1, "blocks").normal(), draw(&[2])[0]);
    }

    #[test]
    fn normal_moments() {
        let mut x = vec![0.0_f64; 200_001];
        Rng::new(3, "moments").fill_normal(&mut x);
        let n = x.len() as f64;
        let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / n;
        // Six standard errors of each moment's estimate.
        assert!(moment(1).abs() < 6.0 * (1.0 / n).sqrt());
        assert!((moment(2) - 1.0).abs() < 6.0 * (2.0 / n).sqrt());
        assert!(moment(3).abs() < 6.0 * (15.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 6.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn below_is_uniform_and_shuffle_permutes() {
        let mut rng = Rng::new(5, "below");
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7)] += 1;
        }
        assert!(counts.iter().all(|&c| (f64::from(c) - 10_000.0).abs() < 6.0 * 92.6), "{counts:?}");
        let mut items: Vec<usize> = (0..100).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
