//! Entries of the CORS allow-list (rule P-33): exact origins as browsers send them.

use core::net::Ipv6Addr;

/// P-33: reads one entry, `*` or `scheme://host[:port]`, in the lower-case form that browsers send.
///
/// What no browser ever sends is refused, because an entry that never matches looks like a working one.
///
/// # Errors
///
/// What is wrong with the entry, as the second half of a sentence that begins with it.
pub(super) fn read_origin(entry: &str) -> Result<String, &'static str> {
    let entry = entry.trim().to_ascii_lowercase();
    if entry == "*" {
        return Ok(entry);
    }
    let (scheme, authority) = entry.split_once("://").ok_or("is not * and has no scheme://")?;
    if !scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
        || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return Err("has a malformed scheme");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("has a path; an origin ends after the host or the port, without a slash");
    }
    if authority.contains('@') {
        return Err("has a user name; an origin has none");
    }
    let (host, port) = split_port(authority)?;
    check_host(host)?;
    if let Some(port) = port {
        check_port(scheme, port)?;
    }
    Ok(entry)
}

/// The host, an IPv6 one with its brackets, and the port behind it.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let host_end = if authority.starts_with('[') {
        authority.find(']').ok_or("has an opening bracket and no closing one")? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err("has something other than a port behind the host"),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|_| ()).map_err(|_| "has a malformed IPv6 address");
    }
    if host.is_empty() {
        return Err("has no host");
    }
    if !host.is_ascii() {
        return Err("has a host that is not ASCII; browsers send it in its xn-- form");
    }
    if host.contains('*') {
        return Err("has a pattern; only exact origins or a single * are understood");
    }
    let well_formed = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if well_formed { Ok(()) } else { Err("has a malformed host") }
}

fn check_port(scheme: &str, port: &str) -> Result<(), &'static str> {
    let canonical = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    match (scheme, port) {
        _ if !canonical => Err("has a malformed port"),
        ("http" | "ws", "80") | ("https" | "wss", "443") => Err("names the default port, which browsers leave out"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-33: the allow-list holds what browsers send, letter for letter.
    #[test]
    fn origins_as_browsers_send_them() {
        for (entry, read) in [
            ("*", "*"),
            ("https://example.org", "https://example.org"),
            (" HTTPS://Example.ORG ", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("https://xn--fiqs8s.cn", "https://xn--fiqs8s.cn"),
            ("http://a_b.example:65535", "http://a_b.example:65535"),
        ] {
            assert_eq!(read_origin(entry).as_deref(), Ok(read), "{entry}");
        }
    }

    /// P-33: an entry that no browser would ever send is refused.
    #[test]
    fn other_entries_are_refused() {
        for entry in [
            "",
            "null",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/app",
            "https://example.org?x",
            "https://*.example.org",
            "https://user@example.org",
            "https://example.org:443",
            "http://example.org:80",
            "http://example.org:",
            "http://example.org:0",
            "http://example.org:+1",
            "http://example.org:080",
            "http://example.org:65536",
            "http://[::1",
            "http://[::1]x",
            "http://[zz]",
            "http://\u{4e2d}\u{56fd}.cn",
            "http://a b",
            "1http://a",
            "://a",
            "http://a,http://b",
        ] {
            assert!(read_origin(entry).is_err(), "{entry}");
        }
    }
}
