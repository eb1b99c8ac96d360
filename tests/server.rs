//! The program as its clients see it, friendly and hostile ones: over real sockets, on both I/O drivers.
//!
//! Nothing here sleeps to let something happen. A test waits for what must come, with a deadline that fails; to prove that something does
//! not come it waits for what was sent after it.

#[path = "server/access.rs"]
mod access;
#[path = "server/churn.rs"]
mod churn;
#[path = "server/cores.rs"]
mod cores;
#[path = "server/deadlines.rs"]
mod deadlines;
#[path = "server/disconnect.rs"]
mod disconnect;
#[path = "server/exchange.rs"]
mod exchange;
#[path = "server/fair.rs"]
mod fair;
#[path = "server/full.rs"]
mod full;
#[path = "server/full_cores.rs"]
mod full_cores;
#[path = "server/garbage.rs"]
mod garbage;
#[path = "server/methods.rs"]
mod methods;
#[path = "server/modern.rs"]
mod modern;
#[path = "server/modern_lines.rs"]
mod modern_lines;
#[path = "server/modern_poll.rs"]
mod modern_poll;
#[path = "server/modern_problems.rs"]
mod modern_problems;
#[path = "server/modern_sse.rs"]
mod modern_sse;
#[path = "server/moves.rs"]
mod moves;
#[path = "server/node.rs"]
mod node;
#[path = "server/pages.rs"]
mod pages;
#[path = "server/pressure.rs"]
mod pressure;
#[path = "server/refused.rs"]
mod refused;
#[path = "server/shutdown.rs"]
mod shutdown;
#[path = "server/slow.rs"]
mod slow;
#[path = "server/start.rs"]
mod start;
mod support;
#[path = "server/websocket_client.rs"]
mod websocket_client;
#[path = "server/web.rs"]
mod web;
#[path = "server/web_end.rs"]
mod web_end;
#[path = "server/web_flow.rs"]
mod web_flow;
