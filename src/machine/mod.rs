//! What this processor offers: instruction sets, and the float types that everything is computed in.

pub mod isa;
pub mod real;

pub use real::Real;
