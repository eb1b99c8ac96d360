//! Whether a host with an optional port is well formed (RFC 9110 section 7.2, RFC 3986 section 3.2).

/// Whether `authority` is a host name, an IPv4 address or an IPv6 address in brackets, with or without `:port`. The empty host is.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    let (host_is_valid, rest) = match authority.strip_prefix(b"[") {
        Some(inner) => {
            let end = inner.iter().position(|&byte| byte == b']').unwrap_or(inner.len());
            (is_ipv6(&inner[..end]), inner.get(end + 1..))
        }
        None => {
            let end = authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len());
            (is_name(&authority[..end]), authority.get(end..))
        }
    };
    host_is_valid && rest.is_some_and(is_port)
}

/// Whether `rest` is nothing, or a colon and a port number, which may be missing.
fn is_port(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0, |port: u32, digit| port * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
        }
        _ => false,
    }
}

/// A registered name. The comma, which RFC 3986 allows, is refused: no host has one, and it would be two Host fields joined.
fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        at += match byte {
            b'%' if matches!(name.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()) => {
                3
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => 1,
            _ if byte.is_ascii_alphanumeric() => 1,
            _ => return false,
        };
    }
    true
}

/// Looks like an IPv6 address; nothing is ever connected to it.
fn is_ipv6(inner: &[u8]) -> bool {
    inner.len() <= 45
        && inner.iter().filter(|&&byte| byte == b':').count() >= 2
        && inner.iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn hosts_of_every_form_are_told_from_what_is_none() {
        for good in
            ["", "a", "example.org", "example.org:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:65535", "x%2dy", "a_b"]
        {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a,b", "a/b", "u@h", "a:65536", "a:+1", "a:1:2", "[::1", "::1", "[::1]x", "[1]", "a%2", "a%zz", "é",
            "a?b", "a\\b",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
