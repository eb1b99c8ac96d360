//! The secret that a tool presents to the server: from a file or from the environment, never from the command line, where everybody on the
//! machine can read it.

use std::fmt;
use std::io::Read as _;

use crate::limits::KEY_FILE_BYTES_MAX;

/// The variable that holds the secret where no file is named.
pub(in crate::shell) const KEY_VARIABLE: &str = "PUSHLETD_KEY";

/// Longest secret, in bytes: it has to fit into a header field of any server.
const SECRET_BYTES_MAX: usize = 4096;

/// A secret. It is not shown, not even in debugging output.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::shell) struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(...)")
    }
}

impl Key {
    /// The secret of `file`, or else of the environment; `None` if neither is there.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no secret that can be sent; in words for the person who named it.
    pub(in crate::shell) fn find(file: Option<&str>) -> Result<Option<Self>, String> {
        if let Some(path) = file {
            let mut text = String::new();
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(KEY_FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text));
            read.map_err(|error| format!("cannot read the key {path:?}: {error}"))?;
            if text.len() > KEY_FILE_BYTES_MAX {
                return Err(format!("the key file {path:?} has more than {KEY_FILE_BYTES_MAX} bytes"));
            }
            return Self::read(&text).map(Some).map_err(|what| format!("the key file {path:?} {what}"));
        }
        match std::env::var(KEY_VARIABLE) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Self::read(&text).map(Some).map_err(|what| format!("{KEY_VARIABLE} {what}")),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{KEY_VARIABLE} is not UTF-8")),
        }
    }

    /// The first line that is neither empty nor a comment: a server's key file holds more of them while keys change.
    fn read(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines().map(str::trim);
        let secret = lines.find(|line| !line.is_empty() && !line.starts_with('#')).ok_or("holds no secret")?;
        if secret.len() > SECRET_BYTES_MAX {
            return Err("holds a secret that is too long");
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds a secret with blanks or characters that are not ASCII");
        }
        Ok(Self(secret.to_owned()))
    }

    /// The secret itself, for whoever writes the field.
    pub(in crate::shell) fn secret(&self) -> &str {
        &self.0
    }

    /// The header field that presents it (RFC 6750, section 2.1), line end included.
    pub(in crate::shell) fn header(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_secret_of_a_file_counts() {
        let key = Key::read("# rotated in May\n\n  s3cret \nolder\n").expect("a secret");
        assert_eq!(key.header(), "Authorization: Bearer s3cret\r\n");
        assert!(!format!("{key:?}").contains("s3cret"));
        for bad in ["", "# only\n", "a b", "caf\u{e9}", &"x".repeat(SECRET_BYTES_MAX + 1)] {
            assert!(Key::read(bad).is_err(), "{bad:?}");
        }
        let endless = Key::find(Some("/dev/zero")).expect_err("it has no end");
        assert!(endless.contains("more than"), "{endless}");
        assert!(Key::find(Some("/nowhere/key")).expect_err("no such file").contains("/nowhere/key"));
    }
}
