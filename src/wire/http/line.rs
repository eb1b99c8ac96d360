//! The request line: method, target, version (RFC 9112 section 3).

use std::sync::Arc;

use super::error::HttpError;
use super::host;

/// What a client wants done. Methods are case-sensitive (RFC 9110 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`: like GET, answered without content and without side effects (rule P-4).
    Head,
    /// `POST`.
    Post,
    /// `OPTIONS`.
    Options,
    /// Any other token. The router answers it with 405 (rule P-4).
    Other,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, no `100 Continue`, a connection lives on only if the client asks for it.
    Http10,
    /// HTTP/1.1, or a later 1.x, which RFC 9110 section 2.5 tells us to treat as the highest that we know.
    Http11,
}

/// A request line taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) path: Arc<str>,
    pub(super) query: Vec<u8>,
    pub(super) raw_target: bool,
    pub(super) version: Version,
    /// Host and port of an absolute target: they replace the Host field (RFC 9112 section 3.2.2).
    pub(super) authority: Option<String>,
}

/// A target taken apart: authority, path, query.
type Target<'a> = (Option<&'a str>, &'a str, &'a str);

const NO_AUTHORITY: HttpError = HttpError::bad("The absolute request target names no valid host.");

/// The methods that exist; a variant of one in other letters is a broken client, not an extension.
const KNOWN_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE"];

/// Parses a request line without its line end. The scanner let no control byte through.
pub(super) fn parse(line: &[u8]) -> Result<RequestLine, HttpError> {
    // Exactly one space each: a recipient that takes other white space reads another target than the proxy before it.
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target, version) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, Some(version)),
        (Some(method), Some(target), None, _) if !target.is_empty() => (method, target, None),
        _ => {
            return Err(HttpError::bad("The request line is not a method, a target and a version, one space between."));
        }
    };
    let known = parse_method(method)?;
    let version = parse_version(version)?;
    if method == b"CONNECT" {
        return Err(HttpError::new(405, "CONNECT is for proxies, and this is none."));
    }
    let target = std::str::from_utf8(target)
        .map_err(|_| HttpError::bad("The request target holds bytes that are neither ASCII nor UTF-8."))?;
    let (authority, path, query) = split_target(known, target)?;
    Ok(RequestLine {
        method: known,
        path: Arc::from(path),
        query: query.as_bytes().to_vec(),
        // P-2: raw UTF-8 is for the router to accept or refuse; it depends on the URL.
        raw_target: !target.is_ascii(),
        version,
        authority: authority.map(str::to_owned),
    })
}

fn parse_method(word: &[u8]) -> Result<Method, HttpError> {
    let method = match word {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"OPTIONS" => Method::Options,
        _ if word.is_empty() || !word.iter().all(|&byte| is_token(byte)) => {
            return Err(HttpError::bad("The method is not a token; is this plain HTTP?"));
        }
        _ if KNOWN_METHODS
            .iter()
            .any(|known| known.as_bytes() != word && known.as_bytes().eq_ignore_ascii_case(word)) =>
        {
            return Err(HttpError::bad("Methods are written in upper case."));
        }
        _ => Method::Other,
    };
    Ok(method)
}

/// The bytes of a token (RFC 9110 section 5.6.2).
pub(in crate::wire) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

fn parse_version(word: Option<&[u8]>) -> Result<Version, HttpError> {
    match word {
        None => Err(HttpError::new(505, "The request names no HTTP version; we speak 1.0 and 1.1.")),
        Some(b"HTTP/1.0") => Ok(Version::Http10),
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9']) => Ok(Version::Http11),
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(HttpError::new(505, "We speak HTTP/1.0 and HTTP/1.1."))
        }
        Some(_) => Err(HttpError::bad("The HTTP version cannot be read.")),
    }
}

/// The authority, the path and the query of a target (RFC 9112 section 3.2).
fn split_target(method: Method, target: &str) -> Result<Target<'_>, HttpError> {
    if target.contains('#') {
        return Err(HttpError::bad("The request target holds a fragment."));
    }
    if target == "*" {
        return match method {
            Method::Options => Ok((None, target, "")),
            _ => Err(HttpError::bad("The request target * is for OPTIONS only.")),
        };
    }
    if target.starts_with('/') {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        return Ok((None, path, query));
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(HttpError::bad("The request target is neither a path nor a whole URL."));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HttpError::bad("The URL in the request target is not http or https."));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // RFC 9110 sections 4.2.1 and 4.2.4: an empty host or user information make the URL invalid.
    if authority.is_empty() || authority.starts_with(':') || !host::is_valid(authority.as_bytes()) {
        return Err(NO_AUTHORITY);
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match path {
        // RFC 9112 section 3.2.4: this is how a proxy is asked for `OPTIONS *`.
        "" if method == Method::Options && rest.is_empty() => "*",
        "" => "/",
        path => path,
    };
    Ok((Some(authority), path, query))
}
