//! The checks of the fuzz targets (`fuzz/`) on random mutations of their seeds: short enough for every run of the suite.
//! With `DDPPO_WRITE_SEEDS=FOLDER` the seeds are written to `FOLDER/TARGET/` too, where libFuzzer starts from them.

use ddppo::rng::Rng;

#[path = "../fuzz/src/lib.rs"]
mod targets;

use targets::Seeds;

/// Damages a seed in up to four places: a byte changed, removed or doubled, a piece copied elsewhere, the end cut off.
fn mutate(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(6) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] = b"=[]{}\"':,.#\n0-9eE_ax"[rng.below(20)],
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            4 => {
                let from = rng.below(bytes.len());
                let to = (from + 1 + rng.below(12)).min(bytes.len());
                let piece = bytes[from..to].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ if rng.below(4) == 0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << rng.below(8),
        }
    }
    bytes
}

fn run(name: &str, seeds: Seeds, check: fn(&[u8]), times: usize) {
    assert!(!seeds.is_empty(), "{name}");
    if let Some(folder) = std::env::var_os("DDPPO_WRITE_SEEDS") {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
    let mut rng = Rng::new(0, name);
    seeds.iter().for_each(|seed| check(seed));
    for _ in 0..times {
        check(&mutate(&seeds[rng.below(seeds.len())], &mut rng));
    }
}

#[test]
fn configurations() {
    run("config", targets::config::seeds(), targets::config::check, 3000);
}

#[test]
fn task_files() {
    run("task_file", targets::task_file::seeds(), targets::task_file::check, 1000);
}

#[test]
fn checkpoints() {
    run("checkpoint", targets::checkpoint::seeds(), targets::checkpoint::check, 3000);
    targets::checkpoint::clean();
}

#[test]
fn metrics_files() {
    run("metrics", targets::metrics::seeds(), targets::metrics::check, 5000);
    targets::metrics::clean();
}

#[test]
fn run_folders() {
    run("run_folder", targets::run_folder::seeds(), targets::run_folder::check, 100);
    targets::run_folder::clean();
}

#[test]
fn robots() {
    run("robot", targets::robot::seeds(), targets::robot::check, 400);
    targets::robot::clean();
}
