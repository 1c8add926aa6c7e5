//! The program as its users meet it: through the command line.

mod devices;
mod errors;
mod faults;
mod figures;
mod folders;
mod inspect;
mod kills;
mod methods;
mod plots;
#[path = "../support/plugin.rs"]
mod plugin;
mod program;
#[path = "../support/python.rs"]
mod python;
mod reports;
mod robots;
mod robots_again;
mod runs;
mod signals;
mod take_away;
mod tensorboard;
mod trust;
mod typed;
