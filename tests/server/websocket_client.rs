//! The Rust client of `/v1/ws` against the program, on both drivers.

use std::time::Duration;

use pushletd::client::{Client, Error, Options, Pending, Publication, Told};

use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once};

fn connect(server: &Server, options: Options) -> Client {
    Client::connect(&format!("ws://{}/", server.addr()), options).expect("a session")
}

fn next(client: &Client) -> Told {
    client.wait_for(SOON).expect("something is told")
}

/// The next event's data, as JSON; a loss on the way is a fault.
fn data(client: &Client) -> String {
    loop {
        match next(client) {
            Told::Event(event) => return event.data().unwrap_or_default().to_owned(),
            Told::Joined(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Two clients that are subscribed hear a thousand events of a third in order, on one core and on three.
#[test]
fn a_thousand_events_come_in_order() {
    on_both_drivers_at_once(|driver| {
        for cores in ["1", "3"] {
            let server = Server::start(driver, &["--cores", cores, "--queue-size", "4096"], "");
            let listeners = [0, 1].map(|_| connect(&server, Options::new().subject("/news/*")));
            // Its answer comes behind those to the subscriptions.
            for client in &listeners {
                client.ping().and_then(Pending::wait).expect("a pong");
            }
            let publisher = connect(&server, Options::new());
            let Told::Joined(session) = next(&publisher) else { panic!("no session") };
            let pending: Vec<Pending> =
                (0..1000).map(|number| publisher.publish("/news/x", &number).expect("it is sent")).collect();
            for (number, pending) in pending.into_iter().enumerate() {
                let ack = pending.wait().expect("an ack");
                assert_eq!(ack.accepted, Some(1), "{number}");
            }
            for client in &listeners {
                for number in 0..1000 {
                    assert_eq!(data(client), number.to_string());
                }
            }
            let [first, second] = listeners;
            let publication = Publication::bytes("/news/y", "image/png", &[0, 255]).named("picture");
            publisher.send(&publication).and_then(Pending::wait).expect("an ack");
            let Told::Event(event) = next(&first) else { panic!("no event") };
            assert_eq!(
                (event.subject(), event.name(), event.bytes()),
                ("/news/y", Some("picture"), Some(vec![0, 255]))
            );
            assert_eq!(event.from(), Some(session.address.as_str()), "P-23: who published over a session is named");
            first.unsubscribe("/news/*").and_then(Pending::wait).expect("an ack");
            let unknown = first.unsubscribe("/news/*").and_then(Pending::wait);
            assert!(matches!(&unknown, Err(Error::Nack(nack)) if nack.status == 404), "{unknown:?}");
            publisher.publish("/news/x", &"for the second").and_then(Pending::wait).expect("an ack");
            first.ping().and_then(Pending::wait).expect("a pong");
            assert_eq!(first.wait_for(Duration::ZERO), None, "who has unsubscribed hears no more");
            assert!(matches!(next(&second), Told::Event(event) if event.name() == Some("picture")));
            assert_eq!(data(&second), "\"for the second\"");
            for client in [first, second, publisher] {
                client.close();
            }
        }
    });
}

/// A server that is restarted is found again: the client says what it may have missed, and its subscriptions are back.
#[test]
fn a_restart_is_told_and_survived() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start(driver, &[], "");
        let client = connect(&server, Options::new().subject("/a"));
        client.subscribe("/b/**").and_then(Pending::wait).expect("an ack");
        assert!(matches!(next(&client), Told::Joined(_)));
        let address = server.addr().to_string();
        server.signal(rustix::process::Signal::TERM);
        assert!(server.wait(SOON).is_some(), "it does not end");
        let server = Server::start_at(&address, driver, &[]);
        loop {
            match next(&client) {
                Told::Disconnected { again_in, .. } => assert!(again_in <= Duration::from_secs(26), "{again_in:?}"),
                Told::Joined(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(next(&client), Told::Reset { .. }));
        for subject in ["/a", "/b/c/d"] {
            client.publish(subject, &subject).and_then(Pending::wait).expect("an ack");
            assert_eq!(data(&client), format!("\"{subject}\""));
        }
        client.close();
        drop(server);
    });
}

/// Who may not is told so, request by request; with the key everything opens.
#[test]
fn refused_access_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("backend.key");
    std::fs::write(&path, "the-secret-of-the-backend\n").expect("the secret is written");
    let rules = format!(
        "[[key]]\nname = \"backend\"\nfile = {path:?}\n\
         [[access]]\nsubject = \"/closed/**\"\npublish = [\"backend\"]\nsubscribe = [\"backend\"]\n\
         [[access]]\nsubject = \"/**\"\npublish = \"anyone\"\nsubscribe = \"anyone\"\n"
    );
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], &rules);
        let client = connect(&server, Options::new().subject("/closed/a").subject("/open"));
        assert!(matches!(next(&client), Told::Joined(_)));
        let told = next(&client);
        assert!(
            matches!(&told, Told::Refused { subject, nack } if subject == "/closed/a" && [401, 403].contains(&nack.status)),
            "{told:?}"
        );
        for pending in [client.subscribe("/closed/b"), client.publish("/closed/a", &1)] {
            let refused = pending.and_then(Pending::wait);
            assert!(matches!(&refused, Err(Error::Nack(nack)) if [401, 403].contains(&nack.status)), "{refused:?}");
        }
        client.publish("/open", &1).and_then(Pending::wait).expect("an ack");
        assert_eq!(data(&client), "1");
        let keyed = connect(&server, Options::new().key("the-secret-of-the-backend").subject("/closed/a"));
        keyed.publish("/closed/a", &2).and_then(Pending::wait).expect("an ack");
        assert_eq!(data(&keyed), "2");
        let url = format!("ws://{}/", server.addr());
        let wrong = Client::connect(&url, Options::new().key("a-secret-that-is-wrong"));
        assert!(matches!(&wrong, Err(Error::Refused(refusal)) if refusal.status == 401), "{wrong:?}");
        let elsewhere = Client::connect(&format!("ws://{}/x/y", server.addr()), Options::new());
        assert!(matches!(&elsewhere, Err(Error::Refused(refusal)) if refusal.status == 404), "{elsewhere:?}");
    });
}
