//! Standard input, files and pages.

use std::fs::{File, OpenOptions, rename};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::fs::{FileType, Mode};

use crate::support::pushlet::{Event, SOON};
use crate::support::server::{Server, wait_for};
use crate::{LATER, figure, listen, start, told, wait_figure};

/// P-35, P-23: lines of standard input, for all and for one.
#[test]
fn standard_input_is_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("input");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    // Open for reading too, so that nobody waits for the other end.
    let mut input = OpenOptions::new().read(true).write(true).open(&pipe).expect("the pipe");
    let toml = "[[source]]\nkind = \"stdin\"\nsubject = \"/in\"\n";
    let server = Server::start_fed(&pipe, &["--log-level", "debug"], toml);
    let (_session, mut channel) = listen(&server, "/in");
    let (other, mut others) = listen(&server, "/nothing");
    input.write_all(b"a=1 half").expect("written");
    wait_figure(&server, "active", "stdin-1", |active| active == 1);
    input.write_all(b"\r\n{\"b\":\"\xe4\xb8\xad\"}\n\n").expect("written");
    let events = channel.wait_data(2);
    assert_eq!((events[0].field("line"), events[1].field("b")), ("a=1 half", "中"));
    writeln!(input, "p_to={} c=1 subject=/in/x", other.address).expect("written");
    let event = &others.wait_data(1)[0];
    assert_eq!((event.field("c"), event.field("p_subject"), event.get("p_to").is_some()), ("1", "/in/x", false));
    input.write_all(b"last=1\n").expect("written");
    assert_eq!(channel.wait_data(3).len(), 3);
    assert_eq!(figure(&server, "events", "stdin-1"), 4);
    // Whoever has no input says so, and the server goes on.
    let server = Server::start_fed(Path::new("/dev/null"), &[], toml);
    server.wait_stderr("standard input has ended", SOON);
    wait_figure(&server, "active", "stdin-1", |active| active == 0);
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the file");
    file.write_all(text.as_bytes()).expect("written");
}

/// P-35: what is added to a file, and nothing that stood there before; through truncation, rotation, and before it exists.
#[test]
fn a_file_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, late) = (folder.path().join("log"), folder.path().join("late"));
    append(&log, "old=1\nhalf=");
    let source = |name: &str, path: &Path| {
        format!("[[source]]\nkind = \"file\"\nname = \"{name}\"\nsubject = \"/f\"\npath = \"{}\"\n", path.display())
    };
    let server = start(&format!("{}{}{}", source("log", &log), source("late", &late), source("folder", folder.path())));
    let (_session, mut channel) = listen(&server, "/f");
    server.wait_stderr("source=\"log\" from=11", SOON);
    server.wait_stderr("the file is not there yet", SOON);
    append(&log, "\nn=1\nn=");
    append(&log, "2\n");
    let mut expect = |due: &[&str]| {
        let events = channel.wait_data(due.len());
        let found: Vec<String> = events.iter().map(|event| event.get("n").unwrap_or("?").to_owned()).collect();
        assert_eq!(found, due);
    };
    // The end of a line whose beginning stood there before is an empty line.
    expect(&["1", "2"]);
    // Truncated in place, as some rotate.
    File::options().write(true).open(&log).and_then(|file| file.set_len(0)).expect("truncated");
    append(&log, "n=3\n");
    expect(&["1", "2", "3"]);
    // Moved away, written to once more, and made anew.
    rename(&log, folder.path().join("log.1")).expect("moved");
    append(&folder.path().join("log.1"), "n=4\nn=5");
    append(&log, "n=6\n");
    expect(&["1", "2", "3", "4", "5", "6"]);
    // One that comes late is read from its first line.
    append(&late, "n=7\n");
    expect(&["1", "2", "3", "4", "5", "6", "7"]);
    wait_figure(&server, "failures", "folder", |failures| failures >= 2);
    assert_eq!(told(&server, "cannot be read: it is not a regular file"), 1, "{}", server.stderr());
    assert_eq!((figure(&server, "failures", "log"), figure(&server, "failures", "late")), (0, 0));
}

/// P-35: after a look that failed nothing is published that stood there before.
#[test]
fn a_file_that_could_not_be_read_is_no_news() {
    let folder = tempfile::tempdir().expect("a folder");
    let (name, log) = (folder.path().join("name"), folder.path().join("log"));
    append(&log, "n=old\n");
    let link = |to: &Path| std::os::unix::fs::symlink(to, &name).expect("a link");
    let mend = || {
        let next = folder.path().join("next");
        std::os::unix::fs::symlink(&log, &next).and_then(|()| rename(&next, &name)).expect("mended");
    };
    link(&name);
    let toml =
        format!("[[source]]\nkind = \"file\"\nname = \"log\"\nsubject = \"/f\"\npath = \"{}\"\n", name.display());
    let server = start(&toml);
    let (_session, mut channel) = listen(&server, "/f");
    wait_figure(&server, "failures", "log", |failures| failures >= 1);
    mend();
    server.wait_stderr("source=\"log\" from=6", LATER);
    append(&log, "n=1\n");
    let events = channel.wait_data(1);
    assert_eq!(events[0].get("n"), Some("1"), "{events:?}");
}

/// A server of pages: each request gets the next answer, the last one again and again. An empty one is never sent.
pub(crate) fn pages(answers: Vec<String>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        let mut answers = answers.into_iter().peekable();
        let mut last = String::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let answer = answers.next().unwrap_or_else(|| last.clone());
            if answer.is_empty() {
                kept.push(stream);
                continue;
            }
            let _ = stream.write_all(answer.replace("HERE", &address.to_string()).as_bytes());
            last = answer;
        }
    });
    address
}

pub(crate) fn page(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// P-35: a page every so often: an array, an object, lines; and what fails in between is counted and tried again.
#[test]
fn a_url_is_fetched() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://HERE/again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut answers = vec![
        page("200 OK", "[{\"n\":1},{\"n\":2,\"subject\":\"/h/below\"}]"),
        page("500 Oh No", "n=wrong"),
        page("200 OK", " {\n  \"n\": 3,\n  \"m\": [4]\n}\n"),
        redirect.to_owned(),
        page("200 OK", "n=4\nn=5\n"),
        page("200 OK", "[{\"n\":6},7]"),
        page("404 Not Found", ""),
        page("200 OK", &"x".repeat(1_100_000)),
        // One that never answers.
        String::new(),
        page("200 OK", "n=8"),
    ];
    answers.push(page("200 OK", "after=1"));
    let address = pages(answers);
    let server = start(&format!(
        "[[source]]\nkind = \"http\"\nname = \"web\"\nsubject = \"/h\"\nevery = \"10ms\"\nurl = \"http://{address}/data\"\n"
    ));
    let (_session, mut channel) = listen(&server, "/h");
    let events = channel.wait_for(2 * LATER, |events| events.iter().any(|event| event.get("after").is_some()));
    let numbers: Vec<&str> = events.iter().filter_map(|event| event.get("n")).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "8"]);
    let with = |number: &str| events.iter().find(|event: &&Event| event.get("n") == Some(number)).expect("it came");
    assert_eq!((with("2").field("p_subject"), with("3").field("m")), ("/h/below", "[4]"));
    assert_eq!(figure(&server, "failures", "web"), 5, "{}", server.stderr());
    for words in ["http status: 500", "http status: 404", "timeout", "an element of the answer cannot be read: no JSON"]
    {
        assert_eq!(told(&server, words), 1, "{words}: {}", server.stderr());
    }
}

/// A server that sends its client in circles, and one that is not there.
#[test]
fn a_url_that_leads_nowhere_is_a_failure() {
    let circle = "HTTP/1.1 302 Found\r\nLocation: http://HERE/again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let address = pages(vec![circle.to_owned()]);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let source = |name: &str, url: String| {
        format!("[[source]]\nkind = \"http\"\nname = \"{name}\"\nsubject = \"/h\"\nevery = \"10ms\"\nurl = \"{url}\"\n")
    };
    let server =
        start(&(source("circle", format!("http://{address}/")) + &source("nobody", format!("http://{nobody}/"))));
    let (_session, _channel) = listen(&server, "/h");
    for name in ["circle", "nobody"] {
        wait_figure(&server, "failures", name, |failures| failures >= 2);
    }
    assert_eq!(
        (told(&server, "too many redirects"), told(&server, "Connection refused")),
        (1, 1),
        "{}",
        server.stderr()
    );
}

/// The program checks sources without starting them, and says what is wrong.
#[test]
fn check_config_knows_sources() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output =
            Command::new(env!("CARGO_BIN_EXE_pushletd")).arg("check-config").arg(&file).output().expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let proof = folder.path().join("proof");
    let good = format!("[[source]]\nsubject = \"/a\"\ncommand = \"touch {}\"\n", proof.display());
    assert_eq!(check(&good), (true, String::new()));
    assert!(!proof.exists());
    let (is_good, errors) = check(&good.replace("subject", "subjct"));
    assert!(
        !is_good && errors.contains(":2: unknown key `subjct` in [[source]]; the nearest known one is `subject`"),
        "{errors}"
    );
    assert!(wait_for(SOON, || !proof.exists()));
}
