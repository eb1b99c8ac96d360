//! What a fair yield costs on each driver: `cargo bench --bench fair`.

use std::future::Future;
use std::time::{Duration, Instant};

use pushletd::shell::readiness::{Driver, Fair};

const YIELDS: u32 = 200_000;

/// Only `cargo bench` measures; otherwise, and with `-- --test`, it is only to be seen that it runs.
fn yields() -> u32 {
    let is_asked = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    if is_asked("--bench") && !is_asked("--test") { YIELDS } else { 100 }
}

async fn measure(driver: Driver) {
    let yields = yields();
    let fair = Fair::new(driver).expect("a yield");
    let begin = Instant::now();
    for _ in 0..yields {
        fair.yield_now().await;
    }
    let alone = begin.elapsed() / yields;
    // The same while a timer is pending, as it always is in the server.
    let timer = monoio::spawn(monoio::time::sleep(Duration::from_millis(100)));
    let begin = Instant::now();
    for _ in 0..yields {
        fair.yield_now().await;
    }
    let with_timer = begin.elapsed() / yields;
    timer.await;
    println!("{driver:?}: {} ns a yield, {} ns while a timer is pending", alone.as_nanos(), with_timer.as_nanos());
}

fn main() {
    let uring = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().build();
    match uring {
        Ok(mut runtime) => run(|future| runtime.block_on(future), Driver::IoUring),
        Err(error) => println!("io_uring is not to be had here: {error}"),
    }
    let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build().expect("epoll");
    run(|future| runtime.block_on(future), Driver::Epoll);
}

/// In a task, as everything in the server is; the main future of the runtime is polled in another way.
fn run(mut block_on: impl FnMut(std::pin::Pin<Box<dyn Future<Output = ()>>>), driver: Driver) {
    block_on(Box::pin(async move { monoio::spawn(measure(driver)).await }));
}
