//! The checks, proved on small texts.

use super::lexer::{Source, crate_paths, functions};
use super::*;

fn problems(findings: Vec<Finding>) -> Vec<(usize, String)> {
    findings.into_iter().map(|found| (found.line, found.problem)).collect()
}

fn lines(findings: Vec<Finding>) -> Vec<usize> {
    findings.into_iter().map(|found| found.line).collect()
}

fn edges(path: &str, text: &str) -> Vec<String> {
    crate_paths(&Source::new(path, text)).into_iter().map(|(_, room)| room).collect()
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = r####"
let a = "dbg!( \" dbg!(" ; // dbg!(
/* dbg!( /* dbg!( */ dbg!( */
let b = r#"dbg!( " dbg!("#;
let c = ('"', '\'', '\\', b'"', 'x'); let d: &'static str = b"dbg!(";
let e = r"\"; let r#type = br"dbg!("; let f = '中';
dbg!(e);
"####;
    let source = Source::new("src/wire/x.rs", text);
    assert_eq!(source.lines_with_word("dbg!").collect::<Vec<_>>(), [7]);
    assert_eq!(source.line_count(), 7);
    assert_eq!(source.comment(2), "// dbg!(");
    assert!(source.comment(3).starts_with("/*") && source.comment(4).is_empty());
}

#[test]
fn test_code_is_told_apart() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn c() {}\n}\nfn d() {}\n";
    let source = Source::new("src/wire/x.rs", text);
    let tests: Vec<usize> = (1..=source.line_count()).filter(|line| source.is_test(*line)).collect();
    assert_eq!(tests, [2, 3, 5, 6, 7, 8, 9]);
    for path in ["src/wire/tests.rs", "src/wire/x_tests.rs", "src/wire/tests/mod.rs", "tests/wire.rs"] {
        assert!(Source::new(path, "fn a() {}\n").is_test(1), "{path}");
    }
}

#[test]
fn words_are_whole() {
    let source =
        Source::new("src/wire/x.rs", "#![deny(unsafe_code)]\nlet my_async = 1;\nunsafe { x }\nasync fn y() {}\n");
    assert_eq!(source.lines_with_word("unsafe").collect::<Vec<_>>(), [3]);
    assert_eq!(source.lines_with_word("async").collect::<Vec<_>>(), [4]);
}

#[test]
fn edges_between_rooms_are_found_however_they_are_written() {
    assert_eq!(edges("src/wire/x.rs", "use crate::broker::Broker;"), ["broker"]);
    assert_eq!(
        edges("src/wire/x.rs", "use crate::{limits, shell::{a, b}, time::Now as N};"),
        ["limits", "shell", "time"]
    );
    assert_eq!(edges("src/wire/x.rs", "let a = crate::broker::new(crate::shell::x());"), ["broker", "shell"]);
    assert_eq!(edges("src/wire/mod.rs", "use super::broker::Broker;"), ["broker"]);
    assert_eq!(edges("src/wire/x.rs", "use super::http; use super::super::broker::Broker;"), ["broker"]);
    assert_eq!(
        edges("src/wire/x.rs", "mod tests {\n use super::*;\n use super::super::y; use super::super::super::shell;\n}"),
        ["shell"]
    );
    assert_eq!(edges("src/limits.rs", "use super::{time, wire::http};"), ["time", "wire"]);
    assert_eq!(edges("src/wire/x.rs", "use crate::*;"), ["*"]);
    assert_eq!(
        edges("src/wire/x.rs", "pub(crate) fn a() {} // crate::shell\nlet b = \"crate::shell\";"),
        Vec::<String>::new()
    );
    assert_eq!(edges("src/main.rs", "use pushletd::shell::boot;"), ["shell"]);
}

#[test]
fn a_room_that_names_a_room_above_it_is_told_where() {
    let source = Source::new("src/wire/x.rs", "use crate::limits::X;\n\nuse crate::broker::Broker;\n");
    let found = problems(check_rooms(&source));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, 3);
    assert!(found[0].1.contains("`wire` names `broker`"), "{found:?}");
    assert_eq!(check_rooms(&Source::new("src/broker/x.rs", "use crate::broker::Y; use crate::session::X;\n")), []);
    assert_eq!(lines(check_rooms(&Source::new("src/attic/x.rs", "\n"))), [1]);
    assert_eq!(check_rooms(&Source::new("src/lib.rs", "pub mod attic;\n")), []);
}

#[test]
fn rooms_stand_in_order() {
    for (at, (room, allowed)) in ROOMS.iter().enumerate() {
        for named in *allowed {
            assert!(
                ROOMS[..at].iter().any(|(earlier, _)| earlier == named),
                "{room} may name {named}, which is not above it"
            );
        }
    }
}

#[test]
fn the_kernel_is_for_the_shell() {
    let text = "use std::net::TcpStream;\nuse std::{fmt, fs};\nlet a = Instant::now();\nuse core::net::SocketAddr;\n\
                async fn x() {}\n#[cfg(test)]\nmod tests { use std::fs; }\n";
    assert_eq!(lines(check_kernel(&Source::new("src/wire/x.rs", text))), [2, 1, 3, 5]);
    assert_eq!(check_kernel(&Source::new("src/shell/x.rs", text)), []);
    assert_eq!(check_kernel(&Source::new("src/main.rs", text)), []);
    assert_eq!(check_kernel(&Source::new("tests/x.rs", text)), []);
}

#[test]
fn function_bodies_are_counted_without_comments_and_blanks() {
    let text = "impl A {\n    fn one(a: [u8; 3]) -> fn(u8) -> bool\n    where\n        T: X,\n    {\n        // no\n\n        let a = \"{\n \
                }\";\n        if b { c }\n    }\n    fn none(&self);\n}\nfn short() { a }\n";
    let found = functions(&Source::new("src/wire/x.rs", text));
    let found: Vec<(&str, usize, usize)> =
        found.iter().map(|one| (one.name.as_str(), one.line, one.code_lines)).collect();
    assert_eq!(found, [("one", 2, 3), ("short", 14, 0)]);
}

#[test]
fn long_functions_and_files_are_found() {
    let function = |lines: usize| format!("fn a() {{\n{}}}\n", "    b();\n".repeat(lines));
    let check = |path: &str, text: &str| lines(check_lengths(&Source::new(path, text)));
    assert_eq!(check("src/wire/x.rs", &function(70)), [] as [usize; 0]);
    assert_eq!(check("src/wire/x.rs", &function(71)), [1]);
    assert_eq!(check("src/wire/tests.rs", &function(120)), [] as [usize; 0]);
    assert_eq!(check("src/wire/tests.rs", &function(121)), [1]);
    assert_eq!(check("src/wire/x.rs", &"\n".repeat(800)), [] as [usize; 0]);
    assert_eq!(check("src/wire/x.rs", &"\n".repeat(801)), [1]);
    assert_eq!(check("benches/x.rs", &function(500)), [] as [usize; 0]);
}

#[test]
fn forbidden_words_are_found_where_they_are_forbidden() {
    let check = |path: &str, text: &str| check_words(&Source::new(path, text)).len();
    for word in ["dbg!(x)", "todo!()", "unimplemented!()", "#[ignore]", "#[ignore = \"slow\"]", "unsafe { x }"] {
        for path in ["src/wire/x.rs", "src/shell/x.rs", "tests/x.rs", "benches/x.rs"] {
            assert_eq!(check(path, word), 1, "{word} in {path}");
        }
        assert_eq!(check("src/wire/x.rs", &format!("// {word}")), 0, "{word} in a comment");
    }
    assert_eq!(check(UNSAFE_FILES[0], "unsafe { x }"), 0);
    for word in ["println!(\"\")", "eprint!(\"\")"] {
        assert_eq!(check("src/wire/x.rs", word), 1, "{word}");
        assert_eq!(check("src/shell/x.rs", word) + check("src/main.rs", word) + check("tests/x.rs", word), 0, "{word}");
    }
    let sleep = "std::thread::sleep(x);";
    assert_eq!(check("tests/x.rs", sleep) + check("src/wire/tests.rs", sleep), 2);
    assert_eq!(check("src/shell/x.rs", sleep) + check("tests/support/mod.rs", sleep), 0);
}

#[test]
fn leftovers_are_found_in_comments() {
    for word in leftovers() {
        assert_eq!(lines(check_leftovers(&Source::new("src/wire/x.rs", &format!("a(); // {word}: later\n")))), [1]);
        assert_eq!(check_leftovers(&Source::new("src/wire/x.rs", &format!("let a = \"{word}\"; // {word}S\n"))), []);
    }
}

#[test]
fn rules_are_counted_by_their_whole_number() {
    assert_eq!(rules_cited("P-1, P-12 and (P-3); rules P-4..P-6").collect::<Vec<_>>(), [1, 12, 3, 4, 6]);
    assert_eq!(rules_cited("HTTP-1 XP-2 P- P-x -P-3").count(), 0);
}

#[test]
fn a_rule_needs_code_and_test() {
    let missing = |sources: &[Source], rule: usize| {
        let found = check_rules(sources).into_iter().map(|found| found.problem);
        found.filter(|problem| problem.starts_with(&format!("rule P-{rule} is"))).count()
    };
    let code = Source::new("src/wire/x.rs", "// P-7: so\nfn a() {}\nlet b = \"P-8\";\n");
    let test = Source::new("tests/x.rs", "/// P-7: proved\nfn a() {}\n");
    let limit = Source::new("src/limits.rs", "/// Rule P-7.\n");
    assert_eq!(missing(&[], 7), 2);
    assert_eq!(missing(std::slice::from_ref(&code), 7), 1);
    assert_eq!(missing(std::slice::from_ref(&code), 8), 2, "a string cites nothing");
    assert_eq!(missing(&[limit, test], 7), 1);
    let test = Source::new("src/wire/tests.rs", "// P-7\n");
    assert_eq!(missing(&[code, test], 7), 0);
    let unknown = check_rules(&[Source::new("src/wire/x.rs", "\n// P-36\n")]);
    assert!(unknown.iter().any(|found| found.line == 2 && found.problem.contains("no rule P-36")));
}

#[test]
fn private_words_are_found() {
    for word in private_words() {
        assert_eq!(lines(check_private("README.md", &format!("x\na{word}b\n"))), [2]);
    }
    assert_eq!(check_private("README.md", "the work of others, shared\n"), []);
}

#[test]
fn links_are_followed_from_their_page() {
    let text = "[a](docs/a.md) [b](b.md#part) [c](#here) [d](https://x/y) [e](mailto:x)\n`[f](f.md)`\n```\n[g](g.md)\n```\n![h](h.png \"t\")\n";
    let targets = [(1, "docs/a.md"), (1, "b.md"), (6, "h.png")].map(|(line, target)| (line, target.to_owned()));
    assert_eq!(links(text), targets);
    let exists = |path: &Path| path == Path::new("docs/b.md");
    assert_eq!(lines(check_links("docs/x.md", "[b](b.md)\n[a](a.md)\n", exists)), [2]);
}

#[test]
fn the_version_needs_its_heading() {
    let manifest = "[package]\nname = \"x\"\nversion = \"1.2.3\"\n[dependencies]\nversion = \"9\"\n";
    assert_eq!(package_version(manifest), Some("1.2.3"));
    assert_eq!(check_changelog(manifest, "# Changes\n## [1.2.3] - today\n"), []);
    assert_eq!(lines(check_changelog(manifest, "# Changes\n## [1.2.2]\nsince 1.2.3\n")), [1]);
}
