//! A program with pushletd inside: it says hello every second while anyone listens, and ends on Enter or at the end of its input.
//!
//! Run it by `cargo run --example hello`, and listen by `pushletd sub http://127.0.0.1:8080/ /hello`.

use std::error::Error;
use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pushletd::config::{self, Inputs};
use pushletd::{Message, PublishError, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| String::from("127.0.0.1:8080"));
    let flags = [("listen", address), ("admin", String::from("off"))].map(|(name, text)| (name.to_owned(), text));
    let config =
        config::load(&Inputs { flags: flags.into(), ..Inputs::default() }).map_err(|errors| errors[0].clone())?;
    let server = Server::start(&config)?;
    println!("listening on http://{}/", server.address());

    let (publisher, ends) = (server.publisher(), Arc::new(AtomicBool::new(false)));
    let (interest, ended) = (publisher.watch("/hello")?, Arc::clone(&ends));
    let waker = interest.waker();
    let greeter = thread::spawn(move || -> Result<(), PublishError> {
        let mut count = 0_u64;
        while !ended.load(Ordering::Relaxed) {
            if interest.wait(true, Duration::MAX) {
                count += 1;
                publisher.multicast(Message::new("/hello")?.field("text", "hello")?.field("count", count)?)?;
                // A second passes, or the last one who listened is gone.
                let _ = interest.wait(false, Duration::from_secs(1));
            }
        }
        Ok(())
    });

    stdin().lock().read_line(&mut String::new())?;
    ends.store(true, Ordering::Relaxed);
    waker.wake();
    greeter.join().map_err(|_| "the greeter has panicked")??;
    server.stop()?;
    Ok(())
}
