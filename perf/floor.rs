//! What a delivery costs at least on this machine, and how much more it costs with a real server.
//!
//! ```text
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --sessions 10000 --events 5 --rounds 15
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport sse --sessions 10000 --floor uring
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport sse --against stream --against-format xml --sessions 5000
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport sse --publish http --sessions 10000 --json \
//!       --against-url http://127.0.0.1:18090/ --against-dialect nchan-sse --against-pid PID,PID
//! floor --pair floor:uring --floor send --sessions 10000
//! floor --listen 127.0.0.1:18090 --bytes 190
//! ```
//!
//! The floor (`bare`) is a bare program: it accepts connections and sends the same bytes to each, by one `send` a connection, or in batches by
//! io_uring (`ring`). It has no sessions or queues, and understands as much of the Pushlet protocol as it takes to be driven by the same load
//! generator. `--pair` starts one, and sends rounds of events to the server and to the floor in turn (`pair`); of each round it takes the
//! processor time of both for each delivery, and prints the median of their ratios with a 95 % interval (`statistics`, `report`). With
//! `--against-url` the other side is another server, and with `--against` the same one, whose sessions listen in another way.

use std::io::{self, Write as _};
use std::process::ExitCode;

#[path = "floor/bare.rs"]
mod bare;
#[path = "floor/pair.rs"]
mod pair;
#[path = "floor/process.rs"]
mod process;
#[path = "floor/report.rs"]
mod report;
#[path = "floor/ring.rs"]
mod ring;
#[path = "floor/sending.rs"]
mod sending;
#[path = "floor/statistics.rs"]
mod statistics;
#[path = "floor/words.rs"]
mod words;

use bare::Floor;
use sending::Sending;
use words::Words;

/// The command line makes no sense.
const USAGE: u8 = 2;

fn run(words: &Words) -> io::Result<bool> {
    match words {
        Words::Listen { address, bytes, way, batch, cpus, parent } => {
            process::prepare(cpus, *parent)?;
            let (floor, local) = Floor::bind(address, *bytes, Sending::new(*way, *batch)?)?;
            println!("listening on {local}");
            io::stdout().flush()?;
            floor.run().map(|()| true)
        }
        Words::Pair(words) => {
            let outcome = pair::run(words, |turn| {
                if !words.json {
                    println!("{}", turn.line(words));
                }
            })?;
            if words.json {
                println!("{}", outcome.json(words));
            } else {
                println!("{}", outcome.line(words));
            }
            Ok(outcome.good)
        }
    }
}

fn main() -> ExitCode {
    let words = match words::read(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(error) => {
            // Help that was asked for goes to standard output. There is nobody to tell if that fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("floor: the limit of open files stays as it is: {error}");
    }
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("floor: an event was lost, repeated or out of order");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}
