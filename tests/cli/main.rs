//! The program as its users meet it: through the command line.

mod errors;
mod kills;
mod program;
mod runs;
