//! What clients ask for, below HTTP.

/// A query of the Pushlet door that publishes.
pub(crate) const QUERY: &[u8] = b"p_event=publish&p_id=AAZvKX1nq0-cPz3uTqGxwE9g&p_subject=%2Fchat%2Flobby&name=somebody&text=it%27s+quiet+in+here%2C+isn%27t+it%3F";

/// The same as the bodies that a POST may have: a form, a tag and an object.
pub(crate) const BODIES: [(&str, &[u8]); 3] = [
    ("form", QUERY),
    (
        "tag",
        br#"<event p_event="publish" p_id="AAZvKX1nq0-cPz3uTqGxwE9g" p_subject="/chat/lobby" name="somebody" text="it's quiet in here, isn't it?"/>"#,
    ),
    (
        "json",
        br#"{"p_event":"publish","p_id":"AAZvKX1nq0-cPz3uTqGxwE9g","p_subject":"/chat/lobby","name":"somebody","text":"it's quiet in here, isn't it?"}"#,
    ),
];

/// One item for `/v1/publish`.
pub(crate) const ITEM: &[u8] =
    br#"{"subject":"/chat/lobby","event":"line","data":{"name":"somebody","text":"it's quiet in here, isn't it?"}}"#;

/// A message of a WebSocket that publishes and wants an answer.
pub(crate) const MESSAGE: &str = r#"{"type":"publish","id":17,"subject":"/chat/lobby","event":"line","data":{"name":"somebody","text":"it's quiet in here, isn't it?"}}"#;
