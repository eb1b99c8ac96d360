//! The address of a server as a program gives it, taken apart.

use std::fmt;

/// Where a server's WebSocket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    path: String,
}

/// The path of the door, below that of the server.
const DOOR: &str = "/v1/ws";

impl Url {
    /// Reads `ws://host:port/`, the same with `http://`, or the whole URL of the door; what is missing of its path is added, a query is left out.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in words for the person who wrote it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = match url.split_once("://") {
            Some(("ws" | "http", rest)) => rest,
            Some(("wss" | "https", _)) => {
                return Err(format!("{url}: no TLS is spoken here; put a proxy in front and use its ws:// address"));
            }
            Some((scheme, _)) => return Err(format!("{url}: only ws:// and http:// are understood, not {scheme}://")),
            None => return Err(format!("{url}: an address begins with ws://")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(format!("{url}: a user name in the address is not supported; there is the option key"));
        }
        let (host, port) = split_authority(authority).ok_or_else(|| format!("{url}: host:port is not understood"))?;
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{url:?} is no address: there is no host name"));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{url}: the path must be percent-encoded"));
        }
        let root = path.trim_end_matches('/');
        let root = root.strip_suffix(DOOR).unwrap_or(root);
        Ok(Self { host: host.to_owned(), port, path: format!("{root}{DOOR}") })
    }

    /// Name or address, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path of the door.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority(), self.path)
    }
}

/// A host and a port as they stand in a URL and in `Host`: an IPv6 address in brackets, the usual port left out.
pub(crate) fn authority(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 80 { host } else { format!("{host}:{port}") }
}

/// The host and the port of an authority; 80 if it names none. `None` if it is no authority.
pub(crate) fn split_authority(authority: &str) -> Option<(&str, u16)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match rest.strip_prefix(':') {
        None => rest.is_empty().then_some((host, 80)),
        Some(port) => Some((host, port.parse().ok().filter(|port| *port != 0)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_completed() {
        for (url, whole) in [
            ("ws://localhost:8080/", "ws://localhost:8080/v1/ws"),
            ("ws://localhost", "ws://localhost/v1/ws"),
            ("http://h:81/app//", "ws://h:81/app/v1/ws"),
            ("ws://h/app/v1/ws?subject=/a#x", "ws://h/app/v1/ws"),
            ("ws://[::1]:8080", "ws://[::1]:8080/v1/ws"),
        ] {
            assert_eq!(Url::parse(url).map(|url| url.to_string()).as_deref(), Ok(whole), "{url}");
        }
        let url = Url::parse("ws://[::1]:8080").expect("an address");
        assert_eq!((url.host(), url.port(), url.path()), ("::1", 8080, "/v1/ws"));
    }

    #[test]
    fn other_texts_are_refused_in_words() {
        for (url, word) in [
            ("wss://h/", "proxy"),
            ("https://h/", "proxy"),
            ("ftp://h/", "ws://"),
            ("h:80", "begins with ws://"),
            ("ws:///x", "host name"),
            ("ws://h:0", "host:port"),
            ("ws://h:99999", "host:port"),
            ("ws://[::1", "host:port"),
            ("ws://a@h", "user name"),
            ("ws://h/a b", "percent-encoded"),
            ("ws://h\r\nX: y/", "host:port"),
            ("ws://h\n", "host name"),
        ] {
            let said = Url::parse(url).expect_err(url);
            assert!(said.contains(word), "{url:?}: {said}");
        }
    }
}
