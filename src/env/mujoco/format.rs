//! Files that are no MJCF, told apart by what they begin with, and what to do about each.

/// Refuses what MuJoCo's XML loader would misunderstand, or load as a robot without motors.
pub(crate) fn check(content: &[u8]) -> Result<(), String> {
    match foreign(content) {
        None => Ok(()),
        Some(message) => Err(message.to_owned()),
    }
}

const URDF: &str = "this is a URDF file, which says nothing of motors' control: load it once with MuJoCo (its program \
    `compile robot.urdf robot.xml`, or `mujoco.mj_saveLastXML` in Python), add an <actuator> section to the MJCF that it \
    writes, and train on that";
const SDFORMAT: &str = "this is an SDFormat file (Gazebo), which MuJoCo does not read: convert it to MJCF, and add an \
    <actuator> section";
const USD: &str = "this is a USD scene: export it as MJCF, which `ddppo` reads";
const MJB: &str = "this is a compiled MuJoCo model (.mjb), which holds for one version of MuJoCo only: give the MJCF that it \
    was made from";
const GZIP: &str =
    "this is a gzip archive: unpack it (`gunzip`, or `tar xf`) and give the MJCF file inside";
const ZIP: &str = "this is a ZIP archive: unpack it and give the MJCF file inside";
const ARCHIVE: &str = "this is a compressed archive: unpack it and give the MJCF file inside";
const WIDE: &str = "this XML is in UTF-16 or UTF-32: save it as UTF-8";
const NO_XML: &str = "this is no XML: a model is an MJCF file, which begins with <mujoco";
const EMPTY: &str = "the file is empty: a model is an MJCF file, which begins with <mujoco";

fn foreign(content: &[u8]) -> Option<&'static str> {
    let begins = |mark: &[u8]| content.starts_with(mark);
    if begins(&[0x1f, 0x8b]) {
        return Some(GZIP);
    }
    if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") {
        return Some(ZIP);
    }
    if begins(b"BZh")
        || begins(&[0xfd, b'7', b'z', b'X', b'Z'])
        || begins(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return Some(ARCHIVE);
    }
    if begins(b"PXR-USDC") || begins(b"#usda") {
        return Some(USD);
    }
    // MuJoCo's mark of its binary models.
    if begins(&54_321_u32.to_le_bytes()) {
        return Some(MJB);
    }
    if begins(&[0xff, 0xfe]) || begins(&[0xfe, 0xff]) || begins(&[0, 0]) {
        return Some(WIDE);
    }
    match root(content) {
        Root::Element(b"robot") => Some(URDF),
        Root::Element(b"sdf" | b"gazebo") => Some(SDFORMAT),
        Root::Element(_) | Root::Unclear => None,
        Root::NoXml => Some(NO_XML),
        Root::Nothing => Some(EMPTY),
    }
}

enum Root<'a> {
    /// The name of the first element.
    Element(&'a [u8]),
    /// A comment or declaration without an end: MuJoCo's parser will say so.
    Unclear,
    NoXml,
    Nothing,
}

/// The root element: what comes first but for declarations and comments.
fn root(content: &[u8]) -> Root<'_> {
    let mut rest = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Root::Nothing;
        }
        let Some(inside) = rest.strip_prefix(b"<") else { return Root::NoXml };
        let end: &[u8] = match inside {
            [b'!', b'-', b'-', ..] => b"-->",
            [b'?', ..] => b"?>",
            [b'!', ..] => b">",
            _ => {
                let length = inside
                    .iter()
                    .position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))
                    .unwrap_or(inside.len());
                return Root::Element(&inside[..length]);
            }
        };
        match inside.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &inside[at + end.len()..],
            None => return Root::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mjcf_is_named() {
        for (content, expected) in [
            (
                &b"<?xml version=\"1.0\"?>\n<!-- <mujoco> -->\n<robot name=\"a\"></robot>"[..],
                Some(URDF),
            ),
            (b"\xef\xbb\xbf<robot/>", Some(URDF)),
            (b"<sdf version='1.9'>", Some(SDFORMAT)),
            (b"#usda 1.0\n", Some(USD)),
            (b"PXR-USDC\0\0", Some(USD)),
            (&[0x31, 0xd4, 0, 0, 9], Some(MJB)),
            (&[0x1f, 0x8b, 8], Some(GZIP)),
            (b"PK\x03\x04rest", Some(ZIP)),
            (b"BZh9", Some(ARCHIVE)),
            (&[0xff, 0xfe, b'<', 0], Some(WIDE)),
            (b"solid cube", Some(NO_XML)),
            (b" \n", Some(EMPTY)),
            (b"", Some(EMPTY)),
            (b"<!-- robot --><mujoco><body/></mujoco>", None),
            (b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!-- gr\xfc\xdfe --><mujoco/>", None),
            (b"<mujoco", None),
            (b"<!-- never ends", None),
        ] {
            assert_eq!(foreign(content), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}
