//! The framing of event files (TFRecord): length, its checksum, the content, its checksum; all numbers little-endian.

use super::crc32c::crc32c;

/// A checksum as it is stored: turned and moved, because a checksum of what holds its own checksum says little.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A content in its frame.
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length, &masked(&length)[..], content, &masked(content)].concat()
}

/// The contents of a file, up to the first that is not whole.
pub(super) fn contents(mut file: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((content, rest)) = first(file) {
        all.push(content);
        file = rest;
    }
    all
}

/// The first content, and what is behind it.
fn first(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if *sum != masked(length) {
        return None;
    }
    let (content, rest) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    (*sum == masked(content)).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_read_up_to_the_damage() {
        let file = [framed(b"one"), framed(b""), framed(b"three")].concat();
        assert_eq!(contents(&file), [&b"one"[..], b"", b"three"]);
        for at in 0..file.len() {
            // A record has sixteen bytes around its content.
            let whole = [19, 35].iter().filter(|&&end| end <= at).count();
            assert_eq!(contents(&file[..at]).len(), whole, "cut at {at}");
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert_eq!(contents(&damaged).len(), whole, "damaged at {at}");
        }
        assert!(contents(&framed(b"x")[..12]).is_empty());
    }
}
