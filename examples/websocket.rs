//! A chat in the terminal: prints what is said below `/chat`, and says there each line that is typed.
//!
//! Run it by `cargo run --example websocket -- ws://127.0.0.1:8080/ my-name`, more than once, and take the server away meanwhile.

use std::error::Error;
use std::io::{BufRead as _, stdin};
use std::thread;

use pushletd::client::{Client, Options, Told};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| String::from("ws://127.0.0.1:8080/"));
    let subject = format!("/chat/{}", args.next().unwrap_or_else(|| String::from("somebody")));

    let client = Client::connect(&url, Options::new().subject("/chat/*"))?;
    let says = client.handle();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if let Err(problem) = says.publish(&subject, &line).and_then(|pending| pending.wait()) {
                eprintln!("not said: {problem}");
            }
        }
    });

    for told in &client {
        match told {
            Told::Event(event) => println!("{}: {}", event.subject(), event.data().unwrap_or("(bytes)")),
            Told::Lost(events) => eprintln!("{events} events were lost: this terminal reads too slowly"),
            Told::Reset { reason } => eprintln!("something may be missing here: {reason}"),
            Told::Joined(session) => eprintln!("connected; our address is {}", session.address),
            Told::Disconnected { why, again_in } => eprintln!("{why}; trying again in {:.1} s", again_in.as_secs_f64()),
            Told::Refused { subject, nack } => eprintln!("we may not listen to {subject}: {nack}"),
            Told::Closed(error) => return Err(error.into()),
        }
    }
    Ok(())
}
