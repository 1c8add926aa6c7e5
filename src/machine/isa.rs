//! Instruction sets: every hot loop is written once, in plain Rust, and compiled for several of them. The machine is
//! asked once which it has, so that a build made anywhere runs at full speed everywhere.

use std::sync::LazyLock;

use super::real::Real;
pub use super::real::{Isa, Separate};

/// Numbers of type `f32` in a cache line.
pub(crate) const LINE: usize = 16;

/// Asks for a cache line that will be read soon, into the nearest cache.
#[inline(always)]
pub(crate) fn prefetch<T>(line: &[T]) {
    fetch::<T, false>(line);
}

/// Asks for a cache line that will be read a little later, into the second cache.
#[inline(always)]
pub(crate) fn prefetch_far<T>(line: &[T]) {
    fetch::<T, true>(line);
}

#[inline(always)]
fn fetch<T, const FAR: bool>(line: &[T]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of every x86-64, and a prefetch of any address is harmless.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let line = line.as_ptr().cast();
        if FAR { _mm_prefetch::<_MM_HINT_T1>(line) } else { _mm_prefetch::<_MM_HINT_T0>(line) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// One instruction, one rounding.
pub struct Fused;
impl Isa for Fused {
    #[inline(always)]
    fn fma<T: Real>(a: T, b: T, c: T) -> T {
        a.mul_add(b, c)
    }
}

/// The same with 32 registers, each of which holds a panel's row: taller tiles, since some processors begin two such multiply-adds a
/// cycle, and six sums do not keep them busy.
pub struct FusedWide;
impl Isa for FusedWide {
    const TILE_ROWS: usize = 8;
    const PAIRS: bool = true;

    #[inline(always)]
    fn fma<T: Real>(a: T, b: T, c: T) -> T {
        a.mul_add(b, c)
    }
}

/// What this processor offers, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum Level {
    /// With FMA, AVX2 and BMI1, which kernels compiled for it use, too.
    Avx512,
    /// With FMA.
    Avx2,
    /// What every processor of the architecture has.
    Baseline,
}

/// The best level of this processor. Cheap: the standard library remembers the answer.
#[inline]
pub(crate) fn level() -> Level {
    #[cfg(test)]
    if let Some((level, _)) = FORCED.get() {
        return level;
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi1");
        return if wide { Level::Avx512 } else { Level::Avx2 };
    }
    Level::Baseline
}

#[cfg(test)]
thread_local! {
    /// A level to be used on this thread instead of the best, and whether it has wide tiles.
    pub(crate) static FORCED: std::cell::Cell<Option<(Level, bool)>> =
        const { std::cell::Cell::new(None) };
}

/// Whether register tiles of two panels pay: with AVX-512, since its 32 registers hold their sums and most processors that have it
/// begin two multiply-adds a cycle. Zen 4 begins one, which tiles of one panel keep busy.
#[inline]
pub(crate) fn has_wide_tiles() -> bool {
    #[cfg(test)]
    if let Some((_, wide)) = FORCED.get() {
        return wide;
    }
    static ZEN_4: LazyLock<bool> = LazyLock::new(is_zen_4);
    level() == Level::Avx512 && !*ZEN_4
}

/// AMD's family 19h. Asked for once: a virtual machine may answer slowly.
fn is_zen_4() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        let vendor = __cpuid(0);
        let version = __cpuid(1).eax;
        let family = ((version >> 8) & 0xF) + ((version >> 20) & 0xFF);
        // "AuthenticAMD", in this order of registers.
        let vendor: Vec<u8> =
            [vendor.ebx, vendor.edx, vendor.ecx].iter().flat_map(|r| r.to_le_bytes()).collect();
        vendor == b"AuthenticAMD" && family == 0x19
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Name of the level in use, for reports.
pub fn instruction_set() -> &'static str {
    match level() {
        Level::Avx512 => "AVX-512",
        Level::Avx2 => "AVX2",
        Level::Baseline => "baseline",
    }
}

/// The rounding of the baseline build: NEON is part of every aarch64 and has the fused instruction.
#[cfg(target_arch = "aarch64")]
pub(crate) type BaselineIsa = Fused;
#[cfg(not(target_arch = "aarch64"))]
pub(crate) type BaselineIsa = Separate;

/// Defines a function whose body is compiled once for each instruction set and chosen at run time. In the body,
/// `I` is the [`Isa`].
macro_rules! dispatched {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$T:ident, $I:ident $(, $E:ident: $bound:path)?>($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$T: $crate::machine::Real $(, $E: $bound)?>($($arg: $ty),*) {
            #[allow(unused_imports)]
            use $crate::machine::isa::{BaselineIsa, Fused, FusedWide, Isa, Level, level};
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters, clippy::too_many_arguments)]
            fn body<$T: $crate::machine::Real, $I: Isa $(, $E: $bound)?>($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2<$T: $crate::machine::Real $(, $E: $bound)?>($($arg: $ty),*) {
                body::<$T, Fused $(, $E)?>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn avx512<$T: $crate::machine::Real $(, $E: $bound)?>($($arg: $ty),*) {
                body::<$T, FusedWide $(, $E)?>($($arg),*)
            }
            match level() {
                // SAFETY: `level` saw these features on this processor.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512::<$T $(, $E)?>($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2::<$T $(, $E)?>($($arg),*) },
                _ => body::<$T, BaselineIsa $(, $E)?>($($arg),*),
            }
        }
    };
}
pub(crate) use dispatched;
