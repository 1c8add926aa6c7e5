//! The methods. One file each: its objective and the order of its updates, nothing that another file holds too.

pub mod adjoint;
pub mod ddppo;
pub mod report;
pub mod saved;

pub use ddppo::Ddppo;
