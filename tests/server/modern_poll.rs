//! `/v1/poll` over real sockets, on one core and on three.

use serde_json::{Value, json};

use crate::modern::{json_of, problem_of, publish_well};
use crate::support::cores::{connections_on_each, core_of};
use crate::support::http::{Connection, get};
use crate::support::look::{settled_metric, wait_metric};
use crate::support::pushlet::{SOON, control};
use crate::support::server::{Server, on_both_drivers_at_once};

fn begin(connection: &mut Connection, query: &str) -> String {
    let answer = connection.ask(&get(&format!("/v1/poll?{query}")), SOON);
    assert_eq!((answer.head.status, answer.head.get("content-type")), (200, Some("application/json")));
    let first = json_of(&answer);
    assert_eq!((&first["events"], first["wait_ms"].as_u64()), (&json!([]), Some(20_000)));
    first["session"].as_str().expect("a name").to_owned()
}

fn numbers(answer: &Value) -> Vec<Value> {
    answer["events"].as_array().expect("events").iter().map(|event| event["data"].clone()).collect()
}

/// A session goes on on any connection, whichever core that is on: events wait for it, it waits for events, the newest request wins.
#[test]
fn a_long_poll_goes_on_on_any_core() {
    on_both_drivers_at_once(|driver| {
        for cores in [1_u16, 3] {
            let server = Server::start_with_admin(driver, &["--cores", &cores.to_string()], "");
            let mut connections = connections_on_each(&server, cores);
            let mut older = Connection::open(server.addr());
            for (at, connection) in connections.iter_mut().enumerate() {
                let id = begin(&mut Connection::open(server.addr()), &format!("subject=/{at}/*"));
                let home = core_of(&id, cores);
                let next = get(&format!("/v1/poll?session={id}"));
                publish_well(server.addr(), &json!({"subject": format!("/{at}/a"), "data": 1}));
                let kept = connection.ask(&next, SOON);
                assert_eq!(numbers(&json_of(&kept)), [1], "core {at} asks core {home}");
                assert_eq!(kept.head.get("cache-control"), Some("no-store"));

                older.request(&next);
                wait_metric(&server, "sessions_listening", 1, SOON);
                connection.request(&next);
                let superseded = json_of(&older.wait_answer(SOON));
                assert_eq!(superseded, json!({"session": id, "events": []}));
                publish_well(server.addr(), &json!([{"subject": format!("/{at}/b"), "data": 2}]));
                assert_eq!(numbers(&json_of(&connection.wait_answer(SOON))), [2]);

                let empty = connection.ask(&get(&format!("/v1/poll?session={id}&wait=0")), SOON);
                assert_eq!(json_of(&empty), json!({"session": id, "events": []}));
                wait_metric(&server, "sessions_listening", 0, SOON);
                connection.request(&next);
                wait_metric(&server, "sessions_listening", 1, SOON);
                control(server.addr(), &[("p_event", "leave"), ("p_id", &id)]);
                assert_eq!(json_of(&connection.wait_answer(SOON))["end"]["reason"], "leave");
                assert_eq!(problem_of(&connection.ask(&next, SOON), 404)["field"], "session");
                wait_metric(&server, "sessions_listening", 0, SOON);
            }
            assert_eq!(settled_metric(&server, "lost_total"), 0);
        }
    });
}

/// P-31: a connection that breaks while it waits costs no event, on whichever core it was.
#[test]
fn a_broken_wait_costs_no_event() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "3"], "");
        let mut connections = connections_on_each(&server, 3);
        let id = begin(&mut connections[0], "subject=/s");
        let next = get(&format!("/v1/poll?session={id}"));
        for number in 0..3 {
            let mut broken = connections.pop().expect("a connection for each core");
            broken.request(&next);
            wait_metric(&server, "sessions_listening", 1, SOON);
            broken.reset();
            wait_metric(&server, "sessions_listening", 0, SOON);
            publish_well(server.addr(), &json!([{"subject": "/s", "data": number}, {"subject": "/s", "data": "too"}]));
            let answer = json_of(&Connection::open(server.addr()).ask(&next, SOON));
            assert_eq!(numbers(&answer), [json!(number), json!("too")]);
            assert!(!answer.to_string().contains("lost"), "{answer}");
        }
    });
}
