//! The program as its users meet it: through the command line.

mod errors;
mod program;
mod runs;
