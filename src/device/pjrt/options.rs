//! How programs are compiled, in the form that the interface takes: a message in protocol buffers' encoding, of which three kinds of
//! field are needed.

/// XLA's flags for each platform, by the beginning of its name: the same bits from run to run, whatever else the machine does.
const FLAGS: [(&str, &[(&str, Flag)]); 2] = [
    // Algorithms are chosen by rule instead of by timing, and nothing is summed by atomic additions.
    (
        "cuda",
        &[
            ("xla_gpu_autotune_level", Flag::Number(0)),
            ("xla_gpu_deterministic_ops", Flag::Truth(true)),
            ("xla_gpu_exclude_nondeterministic_ops", Flag::Truth(true)),
        ],
    ),
    ("cpu", &[]),
];

#[derive(Clone, Copy)]
enum Flag {
    Truth(bool),
    Number(u8),
}

/// The options for programs of a platform.
pub(super) fn compile_options(platform: &str) -> Vec<u8> {
    // ExecutableBuildOptions: device_ordinal (1) = −1, num_replicas (4) = 1, num_partitions (5) = 1.
    let mut build = vec![0x08];
    build.extend([0xFF; 9]);
    build.extend([0x01, 0x20, 1, 0x28, 1]);
    let mut options = message(3, &build);
    let flags = FLAGS.iter().find(|(name, _)| platform.starts_with(name));
    for (name, flag) in flags.map_or(&[][..], |(_, flags)| flags) {
        let value = match *flag {
            Flag::Truth(value) => [0x10, u8::from(value)],
            Flag::Number(value) => [0x18, value],
        };
        let mut entry = message(1, name.as_bytes());
        entry.extend(message(2, &value));
        options.extend(message(7, &entry));
    }
    options
}

/// A field with a length: a text or a message. All are shorter than 128 bytes, so lengths take one byte.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).ok().filter(|&n| n < 128);
    let mut all = vec![field << 3 | 2, length.expect("options are short")];
    all.extend(content);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_encoded_as_protocol_buffers_are() {
        let minus_one = [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        let plain: Vec<u8> =
            [0x1A, 15].into_iter().chain(minus_one).chain([0x20, 1, 0x28, 1]).collect();
        assert_eq!(compile_options("cpu"), plain);
        let cuda = compile_options("cuda");
        let flag = b"\x0a\x19xla_gpu_deterministic_ops\x12\x02\x10\x01";
        assert!(cuda.starts_with(&plain) && cuda.windows(flag.len()).any(|w| w == flag));
    }
}
