//! The program as its users meet it: through the command line.

mod errors;
mod faults;
mod figures;
mod folders;
mod inspect;
mod kills;
mod methods;
mod program;
mod reports;
mod robots;
mod robots_again;
mod runs;
mod signals;
mod trust;
mod typed;
