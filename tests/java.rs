//! The Java client of `clients/java` against the real program, by the JDK alone: it is compiled without a warning, and its own tests run. They are in
//! `clients/java/test`; one of them runs the programs of docs/java.md.
#![cfg(feature = "server")]

use std::path::Path;
use std::process::Command;

const SOURCES: [&str; 3] = [
    "clients/java/org/pushletd/client/PushletClient.java",
    "clients/java/test/org/pushletd/client/TestTools.java",
    "clients/java/test/org/pushletd/client/PushletClientTest.java",
];

/// Runs a tool of the JDK to its end and returns what it said; it must have succeeded.
fn run(command: &mut Command) -> String {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{tool} is needed to check the Java client, please install a JDK ({error})"));
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{tool}: {}\n{told}", output.status);
    told
}

#[test]
fn the_java_client() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let classes = tempfile::tempdir().expect("a folder for classes");
    let mut compiler = Command::new("javac");
    compiler.args(["--release", "17", "-encoding", "UTF-8", "-Xlint:all", "-Werror", "-d"]).arg(classes.path());
    run(compiler.args(SOURCES.map(|source| root.join(source))));

    let mut tests = Command::new("java");
    tests.arg("-XX:TieredStopAtLevel=1").arg("-cp").arg(classes.path());
    tests.arg(concat!("-Dpushletd=", env!("CARGO_BIN_EXE_pushletd")));
    tests.arg(format!("-Dpage={}", root.join("docs/java.md").display()));
    let told = run(tests.arg("org.pushletd.client.PushletClientTest"));
    println!("{told}");
    assert!(told.contains("tests passed"), "the tests did not come to their end:\n{told}");
}
