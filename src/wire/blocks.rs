//! Looking at many bytes side by side.

/// Bytes that are looked at together: what one register holds.
const BLOCK: usize = 16;

/// How many bytes at the front of `bytes` hold. `holds` has no branch in it, so that the compiler looks at whole blocks side by side: use `&`
/// and `|`, not `&&` and `||`.
pub(super) fn leading(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    for block in bytes.as_chunks::<BLOCK>().0 {
        let faults = block.iter().fold(0_u8, |faults, byte| faults | u8::from(!holds(*byte)));
        if faults != 0 {
            break;
        }
        at += BLOCK;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| !holds(*byte)).unwrap_or(rest.len())
}

/// Whether all of `bytes` hold.
pub(super) fn all(bytes: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let faults = |bytes: &[u8]| bytes.iter().fold(0_u8, |faults, byte| faults | u8::from(!holds(*byte)));
    blocks.iter().all(|block| faults(block) == 0) && faults(rest) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_found_wherever_it_is() {
        for len in 0..70 {
            for fault in 0..=len {
                let mut bytes = vec![b'x'; len];
                if let Some(byte) = bytes.get_mut(fault) {
                    *byte = b'"';
                }
                if let Some(byte) = bytes.get_mut(fault + 7) {
                    *byte = b'"';
                }
                assert_eq!(leading(&bytes, |byte| byte != b'"'), fault, "{len} bytes");
                assert_eq!(all(&bytes, |byte| byte != b'"'), fault == len);
            }
        }
    }
}
