//! An event as it came over a WebSocket.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

/// An event of a subject that the session is subscribed to, or that was sent to its address.
///
/// Invariant: `data` is a range of `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    text: String,
    subject: Box<str>,
    name: Option<Box<str>>,
    data: Option<Range<usize>>,
    content_type: Option<Box<str>>,
    base64: Option<Box<str>>,
    time: Option<u64>,
    from: Option<Box<str>>,
    lost: u64,
}

/// An event as it is written. Members that are not known are of a later time.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(default)]
    lost: u64,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    event: Option<Box<str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    content_type: Option<Box<str>>,
    base64: Option<Box<str>>,
    time: Option<u64>,
    from: Option<Box<str>>,
}

/// `null` is data like any other.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Event {
    /// The event that `text` tells of.
    pub(super) fn read(text: String) -> Result<Self, serde_json::Error> {
        let written: Written<'_> = serde_json::from_str(&text)?;
        let data = written.data.map(|raw| {
            // What serde_json hands out unparsed is a part of the text.
            let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            start..start + raw.get().len()
        });
        let Written { lost, subject, event: name, content_type, base64, time, from, .. } = written;
        let subject = subject.into_owned().into_boxed_str();
        Ok(Self { subject, name, data, content_type, base64, time, from, lost, text })
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What its publisher calls it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its data as JSON text; `None` if it is bytes, which [`Event::bytes`] has.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        let range = self.data.clone().filter(|_| self.content_type.is_none())?;
        self.text.get(range)
    }

    /// Its data as a value.
    ///
    /// # Errors
    ///
    /// It is of another form. Bytes are `null` here.
    pub fn read_data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data().unwrap_or("null"))
    }

    /// The media type of its data, if that is bytes.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Its data, if that is bytes of a media type.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.content_type.as_ref()?;
        if let Some(base64) = &self.base64 {
            return STANDARD.decode(base64.as_bytes()).ok();
        }
        serde_json::from_str::<String>(self.text.get(self.data.clone()?)?).ok().map(String::into_bytes)
    }

    /// When the server accepted it, in seconds since 1970.
    #[must_use]
    pub const fn time(&self) -> Option<u64> {
        self.time
    }

    /// The address of the session that published it, if one did (rule P-23).
    #[must_use]
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// So many events of this session were lost directly before it, because its client read too slowly (rule P-30).
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The whole event, the JSON object that came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event::read(text.to_owned()).expect("an event")
    }

    #[test]
    fn events_are_what_they_say() {
        let told = event(
            r#"{"lost":3,"subject":"/a\"b","event":"tick","data": [1.0, {"x":null}] ,"time":7,"from":"F","later":[{}]}"#,
        );
        assert_eq!((told.subject(), told.name(), told.data()), ("/a\"b", Some("tick"), Some(r#"[1.0, {"x":null}]"#)));
        assert_eq!((told.time(), told.from(), told.lost(), told.bytes()), (Some(7), Some("F"), 3, None));
        let null = event(r#"{"subject":"/a","data":null}"#);
        assert_eq!((null.data(), null.read_data::<Option<u8>>().expect("null")), (Some("null"), None));
        assert_eq!(event(r#"{"subject":"/a","data":[1,2]}"#).read_data::<Vec<u8>>().expect("numbers"), [1, 2]);
        let text = event(r#"{"subject":"/a","content_type":"text/plain","data":"a\nb"}"#);
        assert_eq!(
            (text.data(), text.content_type(), text.bytes()),
            (None, Some("text/plain"), Some(b"a\nb".to_vec()))
        );
        let bytes = event(r#"{"subject":"/a","content_type":"image/png","base64":"AP8="}"#);
        assert_eq!(bytes.bytes(), Some(vec![0, 255]));
        assert_eq!(event(r#"{"subject":"/a","content_type":"x","base64":"?"}"#).bytes(), None);
        for bad in ["", "[]", "{}", "{\"subject\":1}", "{\"subject\":\"/a\",\"lost\":-1}", "{"] {
            assert!(Event::read(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
