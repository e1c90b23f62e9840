//! Randomness of the operating system, as text.
//!
//! Owns: [`hex`]. Invariant: every byte comes from the kernel; nothing here is seeded or predictable.

use std::fmt::Write;

/// `bytes` random bytes as lower-case hexadecimal digits, twice as many characters.
///
/// # Panics
/// When the kernel has no randomness to give: an id or a secret that can be guessed is worse than none.
pub fn hex<const BYTES: usize>() -> String {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).expect("the kernel gives random bytes");
    to_hex(&random)
}

/// Bytes as lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_many_as_asked_for_and_never_the_same() {
        assert_eq!(to_hex(&[0, 0x0f, 0xa0]), "000fa0");
        let first = hex::<8>();
        assert_eq!(first.len(), 16);
        assert!(
            first
                .bytes()
                .all(|digit| b"0123456789abcdef".contains(&digit))
        );
        assert_ne!(first, hex::<8>());
    }
}
