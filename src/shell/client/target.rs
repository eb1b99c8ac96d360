//! The address that a person types, taken apart.

use std::fmt;

use super::key::Key;
use crate::client::url::{authority, split_authority};

/// Where a Pushlet server is: what to connect to, which path to ask for, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shell) struct Target {
    /// Name or address, without the brackets of an IPv6 address.
    pub(in crate::shell) host: String,
    /// The TCP port.
    pub(in crate::shell) port: u16,
    /// The path, which ends in `pushlet.srv` (rule P-1).
    pub(in crate::shell) path: String,
    /// What is presented with each request.
    pub(in crate::shell) key: Option<Key>,
}

/// The last segment of the path of every Pushlet server.
const SERVICE: &str = "pushlet.srv";
/// The ends of the URLs of the modern doors: whoever copies one of them means the server.
const DOORS: [&str; 5] = ["/v1/sse", "/v1/poll", "/v1/publish", "/v1/ws", "/v1"];

impl Target {
    /// Reads `http://host:port/`, `host:port`, the same with `ws://`, or the whole URL of a `pushlet.srv` or of a modern door; what is missing is added.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in words for the person who typed it.
    pub(in crate::shell) fn parse(url: &str) -> Result<Self, String> {
        let rest = match url.split_once("://") {
            None => url,
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                return Err(format!("{url}: this tool does not speak TLS; use the http:// or ws:// address"));
            }
            Some((scheme, _)) => return Err(format!("{url}: only http:// and ws:// are understood, not {scheme}://")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(format!("{url}: a user name in the address is not supported"));
        }
        let (host, port) = split_authority(authority).ok_or_else(|| format!("{url}: host:port is not understood"))?;
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(format!("{url:?} is no address: there is no host name"));
        }
        if path.contains(|letter: char| !letter.is_ascii_graphic()) {
            return Err(format!("{url}: the path must be percent-encoded"));
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let path = if last.split(';').next() == Some(SERVICE) {
            path.to_owned()
        } else {
            let path = path.trim_end_matches('/');
            let root = DOORS.iter().find_map(|door| path.strip_suffix(door)).unwrap_or(path);
            format!("{root}/{SERVICE}")
        };
        Ok(Self { host: host.to_owned(), port, path, key: None })
    }

    /// The path of a modern door, such as `v1/sse`: a sibling of the Pushlet service.
    pub(in crate::shell) fn door(&self, name: &str) -> String {
        format!("{}/{name}", self.path.rsplit_once('/').map_or("", |(root, _)| root))
    }

    /// The header field that presents the key, line end included; empty without one.
    pub(in crate::shell) fn key_header(&self) -> String {
        self.key.as_ref().map_or_else(String::new, Key::header)
    }

    /// The value of the `Host` header.
    pub(in crate::shell) fn host_header(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host_header(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-1: the service is `pushlet.srv` at the end of any path.
    #[test]
    fn urls_are_completed() {
        for (url, whole) in [
            ("http://localhost:8080/", "http://localhost:8080/pushlet.srv"),
            ("localhost:8080", "http://localhost:8080/pushlet.srv"),
            ("localhost", "http://localhost/pushlet.srv"),
            ("http://h/pushlet/pushlet.srv", "http://h/pushlet/pushlet.srv"),
            ("http://h/pushlet/pushlet.srv;jsessionid=1?x=y#z", "http://h/pushlet/pushlet.srv;jsessionid=1"),
            ("h:81/app//", "http://h:81/app/pushlet.srv"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x/pushlet.srv"),
            ("http://h/v1/sse", "http://h/pushlet.srv"),
            ("http://h/x/v1/publish?subject=/a", "http://h/x/pushlet.srv"),
            ("h/v1/", "http://h/pushlet.srv"),
            ("ws://h:81/x/v1/ws?subject=/a", "http://h:81/x/pushlet.srv"),
        ] {
            assert_eq!(Target::parse(url).map(|target| target.to_string()).as_deref(), Ok(whole), "{url}");
        }
    }

    #[test]
    fn the_modern_doors_are_beside_the_service() {
        for (url, door) in [
            ("http://localhost:8080/", "/v1/sse"),
            ("h/pushlet/pushlet.srv;jsessionid=1", "/pushlet/v1/sse"),
            ("h/x/v1/poll", "/x/v1/sse"),
        ] {
            assert_eq!(Target::parse(url).map(|target| target.door("v1/sse")).as_deref(), Ok(door), "{url}");
        }
    }

    #[test]
    fn other_texts_are_refused_in_words() {
        for (url, word) in [
            ("https://h/", "TLS"),
            ("wss://h/", "TLS"),
            ("ftp://h/", "http://"),
            ("http:///x", "host name"),
            ("", "host name"),
            ("h:0", "host:port"),
            ("h:99999", "host:port"),
            ("h:x", "host:port"),
            ("[::1", "host:port"),
            ("a@h", "user name"),
            ("h/a b", "percent-encoded"),
            ("h\r\nX: y", "host:port"),
            ("h\n", "host name"),
        ] {
            let said = Target::parse(url).expect_err(url);
            assert!(said.contains(word), "{url:?}: {said}");
        }
    }
}
