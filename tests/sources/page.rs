//! docs/sources.md: every example is run, and what it says will come does come.

use std::fs::OpenOptions;
use std::io::Write as _;

use rustix::fs::{FileType, Mode};

use crate::document::Document;
use crate::feeds::{page, pages};
use crate::support::pushlet::{Event, SOON};
use crate::support::server::{Server, wait_for};
use crate::{listen, wait_figure};

/// Whether the event is what a line of the page says: `SUBJECT name=value ...`, where `*` is anything.
fn is_told(line: &str, event: &Event) -> bool {
    let (subject, rest) = line.split_once(' ').expect("a subject and fields");
    let fits = |due: &str, is: &str| match due.strip_suffix('*') {
        Some(start) => is.starts_with(start),
        None => due.trim_matches('"') == is,
    };
    let mut due: Vec<(String, String)> = Vec::new();
    for word in rest.split(' ') {
        match (word.split_once('='), due.last_mut()) {
            // A blank within quotes.
            (_, Some((_, value))) if value.starts_with('"') && (value.len() == 1 || !value.ends_with('"')) => {
                value.push(' ');
                value.push_str(word);
            }
            (Some((name, value)), _) => due.push((name.to_owned(), value.to_owned())),
            (None, _) => panic!("{word:?} in {line}"),
        }
    }
    let fields: Vec<(&str, &str)> = event.fields().filter(|(name, _)| !name.starts_with("p_")).collect();
    // The reader of events keeps no order.
    let same = |(name, value): &(String, String)| fields.iter().any(|(known, is)| known == name && fits(value, is));
    fits(subject, event.field("p_subject")) && fields.len() == due.len() && due.iter().all(same)
}

/// P-35: the page says what happens.
#[test]
fn the_examples_of_the_page_do_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pipe, log) = (folder.path().join("input"), folder.path().join("app.log"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    let mut input = OpenOptions::new().read(true).write(true).open(&pipe).expect("the pipe");
    let mut file = OpenOptions::new().append(true).create(true).open(&log).expect("the file");
    let body = r#"[{"pair":"EUR/USD","rate":1.08},{"pair":"EUR/GBP","rate":0.85}]"#;
    let text = Document::read("docs/sources.md");
    assert!(text.text().contains(&format!("For `{body}`")), "the page names another body");
    let address = pages(vec![page("200 OK", body)]);
    let blocks = text.blocks();
    let (mut tables, mut due) = (String::new(), Vec::new());
    for block in &blocks {
        let lines = block.lines.iter().map(|(_, line)| line.clone());
        match block.language.as_str() {
            "toml" => lines.for_each(|line| tables.push_str(&(line + "\n"))),
            "text" => due.extend(lines),
            other => panic!("a block of {other:?}"),
        }
    }
    let tables = tables.replace("/var/log/app.log", &log.display().to_string());
    let tables = tables.replace("https://example.org/now.json", &format!("http://{address}/"));
    let server = Server::start_fed(&pipe, &["--log-level", "debug"], &tables);
    let (_session, mut channel) = listen(&server, "/,$server/mine");
    server.wait_stderr("the file is followed", SOON);
    wait_figure(&server, "active", "stdin-1", |active| active == 1);
    for end in [&mut input, &mut file] {
        end.write_all(b"level=error text='disk full'\n").expect("written");
    }
    assert_eq!(due.len(), 10, "{due:#?}");
    for line in due {
        let came = wait_for(SOON, || channel.data().iter().any(|event| is_told(&line, event)));
        let subject =
            line.split(' ').next().map(|subject| subject.trim_end_matches('*').to_owned()).unwrap_or_default();
        let near = channel.data().into_iter().find(|event| event.field("p_subject").starts_with(&subject));
        assert!(came, "{line} is due, and {near:?} came");
    }
}
