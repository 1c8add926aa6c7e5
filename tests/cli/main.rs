//! The program as its users meet it: through the command line.

mod errors;
mod figures;
mod inspect;
mod kills;
mod methods;
mod program;
mod robots;
mod runs;
