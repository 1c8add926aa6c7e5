//! What this processor offers: instruction sets, and the float types that everything is computed in.

/// Numbers that a hot loop handles as one: a cache line of `f32`, two AVX2 registers or one of AVX-512.
pub const LANES: usize = 16;

pub mod isa;
pub mod real;

pub use real::Real;
