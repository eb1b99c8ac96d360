package org.pushletd.client;

import static org.pushletd.client.TestTools.await;
import static org.pushletd.client.TestTools.check;
import static org.pushletd.client.TestTools.client;
import static org.pushletd.client.TestTools.end;
import static org.pushletd.client.TestTools.illegal;
import static org.pushletd.client.TestTools.refused;
import static org.pushletd.client.TestTools.same;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.pushletd.client.PushletClient.Event;
import org.pushletd.client.PushletClient.PushletClientListener;
import org.pushletd.client.PushletClient.PushletException;
import org.pushletd.client.PushletClient.State;
import org.pushletd.client.TestTools.Action;
import org.pushletd.client.TestTools.Heard;
import org.pushletd.client.TestTools.Relay;
import org.pushletd.client.TestTools.Script;
import org.pushletd.client.TestTools.Server;

/**
 * The Java client against the real server, and against servers that fail. Arguments are names of tests; none means all.
 * {@code -Dpushletd=FILE} is the server's program, {@code -Dpage=FILE} is docs/java.md.
 */
public final class PushletClientTest {
    private static final Map<String, Action> TESTS = new TreeMap<>();
    /** Turns that take no time worth waiting for. */
    private static final String[] QUICK = {"[pushlet]", "pull_wait = '100ms'", "pull_refresh_wait_min = '10ms'",
        "pull_refresh_wait_max = '20ms'", "poll_refresh_wait_min = '10ms'", "poll_refresh_wait_max = '20ms'"};
    private static final String JOIN_ACK = "[{\"p_event\":\"join-ack\",\"p_id\":\"i\",\"p_from\":\"f\"}\n]";
    private static final String LISTEN_ACK = "{\"p_event\":\"listen-ack\",\"p_id\":\"i\",\"p_mode\":\"stream\"}\n";

    private PushletClientTest() {
    }

    public static void main(String[] names) throws Exception {
        add();
        List<String> chosen = names.length > 0 ? List.of(names) : new ArrayList<>(TESTS.keySet());
        // They wait more than they work.
        ExecutorService pool = Executors.newFixedThreadPool(6);
        Map<String, Future<Long>> runs = new LinkedHashMap<>();
        for (String name : chosen) {
            Action test = TESTS.get(name);
            check(test != null, "there is no test " + name);
            runs.put(name, pool.submit(() -> {
                long beganNs = System.nanoTime();
                test.run();
                return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - beganNs);
            }));
        }
        boolean failed = false;
        long untilNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        for (Map.Entry<String, Future<Long>> run : runs.entrySet()) {
            try {
                System.out.println("ok " + run.getKey() + " ("
                        + run.getValue().get(untilNs - System.nanoTime(), TimeUnit.NANOSECONDS) + " ms)");
            } catch (java.util.concurrent.ExecutionException | TimeoutException failure) {
                failed = true;
                System.out.println("FAILED " + run.getKey());
                (failure.getCause() == null ? failure : failure.getCause()).printStackTrace(System.out);
            }
        }
        System.out.println(failed ? "some of " + runs.size() + " tests failed" : runs.size() + " tests passed");
        // Whatever still hangs ends here, servers too.
        System.exit(failed ? 1 : 0);
    }

    private static void add() {
        TESTS.put("stream", () -> mode("stream"));
        TESTS.put("pull", () -> mode("pull"));
        TESTS.put("poll", () -> mode("poll"));
        TESTS.put("forced_pull", PushletClientTest::forcedPull);
        TESTS.put("texts", PushletClientTest::texts);
        TESTS.put("unicast", PushletClientTest::unicast);
        TESTS.put("subscriptions", PushletClientTest::subscriptions);
        TESTS.put("two_thousand", PushletClientTest::twoThousand);
        TESTS.put("many_publishers", PushletClientTest::manyPublishers);
        TESTS.put("chat", PushletClientTest::chat);
        TESTS.put("restart", PushletClientTest::restart);
        TESTS.put("killed", PushletClientTest::killed);
        TESTS.put("refused_again", PushletClientTest::refusedAgain);
        TESTS.put("page", PushletClientTest::page);
        TESTS.put("cut_stream", () -> cut("stream"));
        TESTS.put("cut_pull", () -> cut("pull"));
        TESTS.put("detached", PushletClientTest::detached);
        TESTS.put("lease", PushletClientTest::lease);
        TESTS.put("slow_drops", PushletClientTest::slowDrops);
        TESTS.put("slow_aborts", PushletClientTest::slowAborts);
        TESTS.put("addresses", PushletClientTest::addresses);
        TESTS.put("keys", PushletClientTest::keys);
        TESTS.put("close_listening", PushletClientTest::closeListening);
        TESTS.put("close_hanging", PushletClientTest::closeHanging);
        TESTS.put("ends_in_callbacks", PushletClientTest::endsInCallbacks);
        TESTS.put("listen_again", PushletClientTest::listenAgain);
        TESTS.put("throwing_callbacks", PushletClientTest::throwingCallbacks);
        TESTS.put("interrupts", PushletClientTest::interrupts);
        TESTS.put("doubtful_subscribe", PushletClientTest::doubtfulSubscribe);
        TESTS.put("moved", PushletClientTest::moved);
        TESTS.put("interrupted_listener", PushletClientTest::interruptedListener);
        TESTS.put("publish_once", PushletClientTest::publishOnce);
        TESTS.put("silence", PushletClientTest::silence);
        TESTS.put("busy", PushletClientTest::busy);
        TESTS.put("hints", PushletClientTest::hints);
        TESTS.put("nonsense", PushletClientTest::nonsense);
        TESTS.put("json", PushletClientTest::json);
        TESTS.put("backoff", PushletClientTest::backoff);
        TESTS.put("bad_calls", PushletClientTest::badCalls);
    }

    // The protocol as it should be

    /** P-14, P-15, P-16: the three modes. */
    private static void mode(String mode) throws Exception {
        try (Server server = new Server(QUICK); PushletClient one = client(server.port);
                PushletClient two = client(server.port)) {
            same(one.getState(), State.IDLE);
            same(one.getId(), null);
            Heard heard = new Heard();
            one.joinListen(heard, mode, "/a");
            same(one.getMode(), mode);
            heard.next("state LISTENING");
            heard.next("hb");
            same(one.getState(), State.LISTENING);
            two.join();
            same(two.getState(), State.JOINED);
            for (int n = 0; n < 3; n++) {
                two.publish("/a/b", Map.of("n", n));
            }
            heard.awaitEvents(3);
            for (int n = 0; n < 3; n++) {
                Event event = heard.events().get(n);
                same(event.getEventType(), "data");
                same(event.getSubject(), "/a/b");
                same(event.getField("n"), Integer.toString(n));
                same(event.getField("nothing"), null);
                same(event.getField("nothing", "x"), "x");
                same(event.getFrom(), two.getAddress());
                check(!event.isOwn(), "published by another");
                check(event.getFieldNames().hasNext() && event.getFields().containsKey("p_time"), "names");
            }
            one.publish("/a", Map.of());
            heard.awaitEvents(4);
            Event own = heard.events().get(3);
            check(own.isOwn(), "P-22: the own copy");
            check(!own.toString().contains(one.getId()), "no secret in a log");
            one.unsubscribe();
            two.publish("/a", Map.of("n", "unheard"));
            one.publishTo(one.getAddress(), "/x", Map.of("n", "last"));
            heard.next("data last");
            same(heard.events().size(), 5);
            one.leave();
            same(one.getState(), State.IDLE);
            same(heard.count("error"), 0L);
            same(heard.count("lost"), 0L);
        }
    }

    /** P-18. */
    private static void forcedPull() throws Exception {
        String[] settings = QUICK.clone();
        settings[0] = "[pushlet]\nforce_pull_all = true";
        try (Server server = new Server(settings); PushletClient client = client(server.port)) {
            Heard heard = new Heard();
            client.joinListen(heard, PushletClient.MODE_STREAM, "/a");
            same(client.getMode(), "pull");
            client.publish("/a", Map.of("n", 1));
            heard.next("data 1");
        }
    }

    /** P-2, P-12: any text arrives as it was, wherever it stands. */
    private static void texts() throws Exception {
        List<String> texts = List.of("", " ", "+", "&", "=", "%", "%41", "%zz", ";", "a+b&c=d%e;f", "\n", "\r\n", "\t",
                "\u0000\u0001\u001f", "\"'\\/<>", "</script>", "{\"a\":[1]}", "]", ",", "[", "\u4e2d\u6587", "\u00e9",
                "\u2028\u2029", "\ud83d\ude00", "\ufeff\uffff", "x".repeat(100_000));
        try (Server server = new Server(); PushletClient client = client(server.port)) {
            for (String mode : List.of("stream", "pull")) {
                Heard heard = new Heard();
                client.joinListen(heard, mode, null);
                String subject = "/t +&=%;\u4e2d\"\\";
                String sid = client.subscribe(subject, "l +&=%;\u6587");
                Map<String, String> wanted = new LinkedHashMap<>();
                for (int at = 0; at < texts.size(); at++) {
                    wanted.put("v" + at, texts.get(at));
                    String name = texts.get(at);
                    if (!name.isEmpty() && name.length() < 100) {
                        wanted.put(name, "name");
                    }
                }
                client.publish(subject, wanted);
                heard.awaitEvents(1);
                Event event = heard.events().get(0);
                same(event.getSubject(), subject);
                same(event.getField("p_label"), "l +&=%;\u6587");
                same(event.getField("p_sid"), sid);
                wanted.forEach((name, value) -> same(event.getField(name), value));
            }
            illegal(() -> client.publish("/a", Map.of("half", "\ud83d")));
        }
    }

    /** P-21, P-22, P-23. */
    private static void unicast() throws Exception {
        try (Server server = new Server(2); PushletClient one = client(server.port);
                PushletClient two = client(server.port)) {
            Heard first = new Heard();
            Heard second = new Heard();
            one.joinListen(first);
            two.joinListen(second);
            one.publishTo(two.getAddress(), "/x", Map.of("n", 1, "p_to", "not this", "p_from", "forged"));
            second.next("data 1");
            Event event = second.events().get(0);
            same(event.getField("p_from"), one.getAddress());
            same(event.getField("p_sid"), null);
            // As programs of the classic client say it.
            two.publish("/y", Map.of("n", 2, "p_to", event.getFrom()));
            first.next("data 2");
            same(second.events().size(), 1);
            one.publishTo("nobody", "/x", Map.of("n", 3));
        }
    }

    /** P-19, P-20: subscriptions and what becomes of their names. */
    private static void subscriptions() throws Exception {
        try (Server server = new Server(); PushletClient client = client(server.port)) {
            Heard heard = new Heard();
            client.join();
            String list = client.subscribe("/a, /b");
            String longer = client.subscribe("/a/long", "L");
            client.listen(heard);
            client.publish("/b", Map.of("n", 1));
            client.publish("/a/longer", Map.of("n", 2));
            client.unsubscribe(longer);
            client.publish("/a/longer", Map.of("n", 3));
            heard.awaitEvents(3);
            List<Event> events = heard.events();
            same(events.stream().map(event -> event.getField("p_sid")).toList(), List.of(list, longer, list));
            same(events.get(1).getField("p_label"), "L");
            same(events.get(2).getField("p_label"), null);
            same(refused(() -> client.unsubscribe(longer)).getMessage(), "no subscription for sid=" + longer);
            PushletException nack = refused(() -> client.subscribe("x".repeat(257)));
            check(nack.isRefused() && !nack.isInDoubt() && nack.getStatus() == 200, "a nack");
            check(nack.getMessage().contains("at most 256"), nack.getMessage());
            PushletException large = refused(() -> client.publish("/a", Map.of("x", "y".repeat(300_000))));
            same(large.getStatus(), 413);
            client.publish("/a", Map.of("n", 4));
            heard.next("data 4");
            same(heard.count("error"), 0L);
        }
    }

    private static void twoThousand() throws Exception {
        try (Server server = new Server(2); PushletClient one = client(server.port);
                PushletClient two = client(server.port)) {
            Heard heard = new Heard();
            one.joinListen(heard, "stream", "/n");
            two.join();
            for (int n = 0; n < 2_000; n++) {
                two.publish("/n", Map.of("n", n));
            }
            heard.awaitEvents(2_000);
            for (int n = 0; n < 2_000; n++) {
                same(heard.events().get(n).getField("n"), Integer.toString(n));
            }
            same(heard.count("error") + heard.count("lost"), 0L);
            same(one.getLostCount(), 0L);
        }
    }

    /** One client is used by many threads: everything arrives once, and in the order of each thread. */
    private static void manyPublishers() throws Exception {
        int threads = 8;
        int each = 40;
        try (Server server = new Server(2); PushletClient client = client(server.port)) {
            Heard heard = new Heard();
            client.joinListen(heard, "stream", "/m");
            List<Thread> publishers = new ArrayList<>();
            AtomicReference<Throwable> failure = new AtomicReference<>();
            for (int thread = 0; thread < threads; thread++) {
                int number = thread;
                publishers.add(new Thread(() -> {
                    try {
                        for (int n = 0; n < each; n++) {
                            client.publish("/m", Map.of("thread", number, "n", n));
                            if (n % 8 == number) {
                                client.unsubscribe(client.subscribe("/other"));
                            }
                        }
                    } catch (PushletException | RuntimeException thrown) {
                        failure.set(thrown);
                    }
                }));
            }
            publishers.forEach(Thread::start);
            for (Thread publisher : publishers) {
                end(publisher);
            }
            same(failure.get(), null);
            heard.awaitEvents(threads * each);
            int[] next = new int[threads];
            for (Event event : heard.events()) {
                int thread = Integer.parseInt(event.getField("thread"));
                same(Integer.parseInt(event.getField("n")), next[thread]++);
            }
            same(heard.events().size(), threads * each);
        }
    }

    /** Two who answer each other, each from its callback. */
    private static void chat() throws Exception {
        int rounds = 50;
        CountDownLatch over = new CountDownLatch(1);
        try (Server server = new Server(2); PushletClient one = client(server.port);
                PushletClient two = client(server.port)) {
            for (PushletClient each : List.of(one, two)) {
                each.joinListen(new Heard() {
                    @Override
                    public void onData(Event event) {
                        if (event.isOwn()) {
                            return;
                        }
                        int n = Integer.parseInt(event.getField("n"));
                        try {
                            if (n < rounds) {
                                each.publish("/chat", Map.of("n", n + 1));
                            } else {
                                over.countDown();
                            }
                        } catch (PushletException failure) {
                            throw new IllegalStateException(failure);
                        }
                    }
                }, "stream", "/chat");
            }
            one.publish("/chat", Map.of("n", 1));
            await(over);
        }
    }

    // Outages

    /** P-32: the server says that it stops; another one takes its place. */
    private static void restart() throws Exception {
        Heard heard = new Heard();
        try (Server first = new Server(); Server second = new Server(); Relay relay = new Relay(first.port);
                PushletClient client = client(relay.port); PushletClient other = client(second.port)) {
            client.joinListen(heard, "stream", null);
            String gone = client.subscribe("/gone");
            String kept = client.subscribe("/kept", "label");
            client.unsubscribe(gone);
            String before = client.getId();
            first.terminate();
            same(heard.next("abort"), "abort the server is shutting down");
            heard.next("state WAITING");
            relay.leadTo(second.port);
            same(heard.next("reconnect"), "reconnect false");
            same(client.getState(), State.LISTENING);
            check(!client.getId().equals(before), "a new session");
            // The second server calls it as the first one called `gone`, and the next as the first one called `kept`.
            String later = client.subscribe("/later");
            check(!later.equals(kept), "a name of its own: " + later);
            other.join();
            other.publish("/kept", Map.of("n", 1));
            other.publish("/later", Map.of("n", 2));
            heard.awaitEvents(2);
            same(heard.events().get(0).getField("p_sid"), kept);
            same(heard.events().get(0).getField("p_label"), "label");
            same(heard.events().get(1).getField("p_sid"), later);
            client.unsubscribe(kept);
            other.publish("/kept", Map.of("n", 3));
            other.publish("/later", Map.of("n", 4));
            heard.next("data 4");
            same(heard.count("data 3"), 0L);
            same(heard.count("error"), 0L);
            same(heard.count("abort"), 1L);
        }
    }

    /** The server is gone without a word. While it is away calls say so and are not repeated. */
    private static void killed() throws Exception {
        Heard heard = new Heard();
        try (Server first = new Server(); Server second = new Server(); Relay relay = new Relay(first.port);
                PushletClient client = client(relay.port)) {
            client.joinListen(heard, "stream", "/a");
            first.kill();
            relay.leadTo(0);
            check(heard.next("error").contains("listening again"), "what is done about it");
            heard.next("state WAITING");
            same(client.getState(), State.WAITING);
            heard.next("retry 1");
            heard.next("retry 2");
            refused(() -> client.publish("/a", Map.of("n", "lost")));
            relay.leadTo(second.port);
            same(heard.next("reconnect"), "reconnect false");
            client.publish("/a", Map.of("n", 1));
            heard.next("data 1");
            same(heard.events().size(), 1);
            same(heard.count("error"), 1L);
        }
    }

    /** What the next server does not allow any more is told, and the rest is restored. */
    private static void refusedAgain() throws Exception {
        Heard heard = new Heard();
        try (Server first = new Server(); Server second = new Server("[[access]]", "subject = '/secret'",
                "publish = 'anyone'", "subscribe = 'nobody'"); Relay relay = new Relay(first.port);
                PushletClient client = client(relay.port)) {
            client.joinListen(heard, "stream", null);
            String secret = client.subscribe("/secret");
            client.subscribe("/a");
            relay.leadTo(second.port);
            first.kill();
            String told = heard.next(text -> text.contains("may not subscribe to /secret"));
            check(told.startsWith("error"), told);
            same(heard.next("reconnect"), "reconnect false");
            client.publish("/secret", Map.of("n", 1));
            client.publish("/a", Map.of("n", 2));
            heard.next("data 2");
            same(heard.events().size(), 1);
            check(refused(() -> client.unsubscribe(secret)).getMessage().contains("no subscription"), "it is gone");
        }
    }

    /** P-31: a connection breaks; what is published meanwhile comes afterwards, in the same session. */
    private static void cut(String mode) throws Exception {
        Heard heard = new Heard();
        String[] settings = QUICK.clone();
        settings[1] = "pull_wait = '20s'";
        try (Server server = new Server(settings); Relay relay = new Relay(server.port);
                PushletClient client = client(relay.port); PushletClient other = client(server.port)) {
            client.joinListen(heard, mode, "/a");
            other.join();
            String id = client.getId();
            for (int round = 0; round < 3; round++) {
                // The data request is there: a first event comes by it.
                other.publish("/a", Map.of("n", 10 * round));
                heard.next("data " + 10 * round);
                relay.leadTo(0);
                heard.next("state WAITING");
                other.publish("/a", Map.of("n", 10 * round + 1));
                relay.leadTo(server.port);
                same(heard.next("reconnect"), "reconnect true");
                heard.next("data " + (10 * round + 1));
            }
            same(client.getId(), id);
            same(heard.count("error"), 3L);
            same(heard.events().size(), 6);
        }
    }

    /** The server did not keep the session: another one is begun, and that is told. */
    private static void detached() throws Exception {
        Heard heard = new Heard();
        Heard clock = new Heard();
        try (Server server = new Server("heartbeat = '100ms'", "[pushlet]", "detached_timeout = '100ms'");
                Relay relay = new Relay(server.port); PushletClient client = client(relay.port);
                PushletClient other = client(server.port)) {
            client.joinListen(heard, "stream", "/a");
            other.joinListen(clock);
            String id = client.getId();
            relay.leadTo(0);
            heard.next("state WAITING");
            clock.next("hb");
            for (int beat = 0; beat < 5; beat++) {
                clock.next("hb");
            }
            relay.leadTo(server.port);
            same(heard.next("reconnect"), "reconnect false");
            check(!id.equals(client.getId()), "another session");
            other.publish("/a", Map.of("n", 1));
            heard.next("data 1");
        }
    }

    /** P-28: who publishes rarely may find its session expired. Nothing is lost by it. */
    private static void lease() throws Exception {
        Heard clock = new Heard();
        try (Server server = new Server("heartbeat = '100ms'", "session_timeout = '1s'");
                PushletClient client = client(server.port); PushletClient other = client(server.port)) {
            other.joinListen(clock, "stream", "/a");
            client.join();
            String id = client.getId();
            for (int beat = 0; beat < 15; beat++) {
                clock.next("hb");
            }
            client.publish("/a", Map.of("n", 1));
            clock.next("data 1");
            check(!id.equals(client.getId()), "another session");
            client.heartbeat();
            same(clock.events().size(), 1);
        }
    }

    /** P-30: who is slow loses the oldest, and is told how many. */
    private static void slowDrops() throws Exception {
        int all = 150;
        CountDownLatch read = new CountDownLatch(1);
        LinkedBlockingQueue<Long> counts = new LinkedBlockingQueue<>();
        Heard heard = new Heard() {
            @Override
            public void onData(Event event) {
                try {
                    await(read);
                } catch (InterruptedException unexpected) {
                    throw new IllegalStateException(unexpected);
                }
                super.onData(event);
            }

            @Override
            public void onLost(long count, Event next) {
                counts.add(count);
            }
        };
        try (Server server = new Server(); PushletClient slow = client(server.port);
                PushletClient other = client(server.port)) {
            slow.setQueue("drop-oldest", 4);
            slow.joinListen(heard, "stream", "/a");
            other.join();
            String large = "x".repeat(200_000);
            for (int n = 0; n < all; n++) {
                other.publish("/a", Map.of("n", n, "large", large));
            }
            read.countDown();
            heard.next("data " + (all - 1));
            long lost = counts.stream().mapToLong(Long::longValue).sum();
            check(lost > 0, "30 MB fit into the buffers of this machine");
            same(lost + heard.events().size(), (long) all);
            same(slow.getLostCount(), lost);
            same(heard.count("error"), 0L);
        }
    }

    /** P-30: without a wish of its own a slow stream is ended, says so, and goes on with a new session. */
    private static void slowAborts() throws Exception {
        CountDownLatch read = new CountDownLatch(1);
        Heard heard = new Heard() {
            @Override
            public void onData(Event event) {
                try {
                    await(read);
                } catch (InterruptedException unexpected) {
                    throw new IllegalStateException(unexpected);
                }
                super.onData(event);
            }
        };
        try (Server server = new Server("queue_size = 4"); PushletClient slow = client(server.port);
                PushletClient other = client(server.port)) {
            slow.joinListen(heard, "stream", "/a");
            other.join();
            String large = "x".repeat(200_000);
            String id = slow.getId();
            // First the buffers on the way fill, then the queue. The server keeps its last words for 10 s only.
            for (int n = 0; isAlive(server, id); n++) {
                check(n < 500, "100 MB fit into the buffers of this machine");
                other.publish("/a", Map.of("n", n, "large", large));
            }
            read.countDown();
            same(heard.next("abort"), "abort the client reads too slowly and its queue is full");
            same(heard.next("reconnect"), "reconnect false");
            other.publish("/a", Map.of("n", "after"));
            heard.next("data after");
        }
    }

    /** Whether the server has this session, asked by no client of ours. */
    private static boolean isAlive(Server server, String id) throws IOException {
        URI url = URI.create("http://127.0.0.1:" + server.port + "/pushlet.srv?p_event=hb&p_id=" + id);
        return ((HttpURLConnection) url.toURL().openConnection()).getResponseCode() == 200;
    }

    // Servers that are not there, or are not ours

    private static void addresses() throws Exception {
        for (String bad : List.of("", "nonsense", "ftp://h/pushlet.srv", "http://", "http:///pushlet.srv",
                "http://u:p@h/pushlet.srv", "http://h/pushlet.srv?p_event=join", "http://h/pushlet.srv#a",
                "http://h:70000/pushlet.srv", "http://a b/pushlet.srv")) {
            illegal(() -> new PushletClient(bad).close());
        }
        illegal(() -> new PushletClient("a/b", 80).close());
        int nobody;
        try (Server server = new Server(); Script passing = new Script((request, socket) -> false)) {
            nobody = passing.port;
            for (String path : List.of("", "/", "/pushlet/", "/app/pushlet.srv;v=1")) {
                try (PushletClient client = new PushletClient("http://127.0.0.1:" + server.port + path)) {
                    client.join();
                    check(client.getId() != null && client.getAddress() != null, "a session");
                }
            }
            try (PushletClient client = new PushletClient("http://127.0.0.1:" + server.port + "/elsewhere")) {
                PushletException failure = refused(client::join);
                same(failure.getStatus(), 404);
                check(failure.getMessage().contains("/elsewhere answers with status 404"), failure.getMessage());
                same(client.getState(), State.IDLE);
            }
        }
        try (PushletClient client = client(nobody)) {
            PushletException failure = refused(() -> client.joinListen(new Heard()));
            check(failure.getMessage().contains("nobody accepts connections there"), failure.getMessage());
            check(!failure.isInDoubt(), "it cannot have arrived");
        }
        try (PushletClient client = new PushletClient("http://no-such-host.invalid/pushlet.srv")) {
            String message = refused(client::join).getMessage();
            check(message.contains("nobody knows this host"), message);
        }
        try (Script moved = new Script((request, socket) -> Script.reply(socket, "302 Found",
                "Location: http://127.0.0.1:1/pushlet.srv\r\n", "")); PushletClient client = client(moved.port)) {
            same(refused(client::join).getStatus(), 302);
        }
    }

    private static void keys() throws Exception {
        try (Server server = new Server("[[key]]", "name = 'app'", "file = 'test.key'", "[[access]]",
                "subject = '**'", "publish = ['app']", "subscribe = ['app']");
                PushletClient none = client(server.port); PushletClient wrong = client(server.port);
                PushletClient right = client(server.port)) {
            wrong.setKey("0123456789abcdef-wrong");
            PushletException unknown = refused(() -> wrong.joinListen(new Heard(), "stream", "/a"));
            check(unknown.getMessage().contains("key that was presented") && unknown.isRefused(), unknown.getMessage());
            same(wrong.getState(), State.IDLE);
            none.join();
            PushletException needs = refused(() -> none.publish("/a", Map.of()));
            check(needs.getMessage().contains("needs a key") && needs.isRefused(), needs.getMessage());
            check(refused(() -> none.listen(new Heard(), "stream", "/a")).isRefused(), "no right to listen");
            same(none.getState(), State.JOINED);
            right.setKey("0123456789abcdef-right");
            Heard heard = new Heard();
            right.joinListen(heard, "pull", "/a");
            right.publish("/a", Map.of("n", 1));
            heard.next("data 1");
            check(!heard.events().get(0).getFields().toString().contains("0123456789abcdef"), "the key is nobody's");
            illegal(() -> right.setKey("two\r\nlines"));
            illegal(() -> right.setKey(""));
        }
    }

    // Ends

    private static void closeListening() throws Exception {
        try (Server server = new Server(); Relay relay = new Relay(server.port)) {
            Heard heard = new Heard();
            PushletClient client = client(relay.port);
            client.joinListen(heard, "stream", "/a");
            heard.next("hb");
            Thread listener = threads("pushlet-listener").stream().filter(Thread::isAlive).findAny().orElseThrow();
            check(listener.isDaemon(), "it does not keep a program alive");
            client.close();
            client.close();
            same(client.getState(), State.CLOSED);
            String asked = "";
            while (!asked.contains("p_event=leave")) {
                asked = relay.requests.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS);
                check(asked != null, "the server was not told");
            }
            refused(client::join);
            refused(() -> client.publish("/a", Map.of()));
            same(heard.count("error"), 0L);
        }
    }

    private static List<Thread> threads(String name) {
        return Thread.getAllStackTraces().keySet().stream().filter(each -> each.getName().equals(name)).toList();
    }

    /** A server that takes everything and answers nothing holds nobody who closes. */
    private static void closeHanging() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        try (Script mute = new Script((request, socket) -> never.await(1, TimeUnit.HOURS))) {
            PushletClient client = client(mute.port);
            AtomicReference<PushletException> failure = new AtomicReference<>();
            Thread joins = new Thread(() -> {
                try {
                    client.join();
                } catch (PushletException thrown) {
                    failure.set(thrown);
                }
            });
            joins.start();
            check(mute.requests.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS) != null, "no join");
            long beganNs = System.nanoTime();
            client.close();
            end(joins);
            check(System.nanoTime() - beganNs < TimeUnit.SECONDS.toNanos(15), "it waited for the answer");
            check(failure.get() != null, "the join failed");
            // The same with a time limit only.
            try (PushletClient hasty = client(mute.port)) {
                hasty.setRequestTimeout(Duration.ofMillis(100));
                PushletException late = refused(hasty::join);
                check(late.isInDoubt() && late.getMessage().contains("100 ms"), late.getMessage());
            }
        }
    }

    /** leave, stopListen and close in a callback do not wait for themselves, and nothing is heard afterwards. */
    private static void endsInCallbacks() throws Exception {
        interface End {
            void of(PushletClient client) throws PushletException;
        }
        List<End> ends = List.of(PushletClient::leave, PushletClient::stopListen, PushletClient::close);
        for (End end : ends) {
            CountDownLatch ended = new CountDownLatch(1);
            try (Server server = new Server(); PushletClient client = client(server.port);
                    PushletClient other = client(server.port)) {
                Heard heard = new Heard() {
                    @Override
                    public void onData(Event event) {
                        super.onData(event);
                        try {
                            end.of(client);
                        } catch (PushletException failure) {
                            throw new IllegalStateException(failure);
                        }
                        ended.countDown();
                    }
                };
                client.joinListen(heard, "stream", "/a");
                other.join();
                other.publish("/a", Map.of("n", 1));
                other.publish("/a", Map.of("n", 2));
                await(ended);
                other.publish("/a", Map.of("n", 3));
                check(client.getState() != State.LISTENING, "it does not listen");
                same(heard.events().size(), 1);
                same(heard.count("error"), 0L);
            }
        }
    }

    /** A second listen takes the place of the first, also in a callback; the events go on. */
    private static void listenAgain() throws Exception {
        try (Server server = new Server(QUICK); PushletClient client = client(server.port)) {
            Heard pulls = new Heard();
            Heard polls = new Heard();
            Heard streams = new Heard() {
                @Override
                public void onData(Event event) {
                    super.onData(event);
                    try {
                        client.listen(pulls, "pull");
                    } catch (PushletException failure) {
                        throw new IllegalStateException(failure);
                    }
                }
            };
            client.joinListen(streams, "stream", "/a");
            client.publish("/a", Map.of("n", 1));
            pulls.next("state LISTENING");
            client.publish("/a", Map.of("n", 2));
            pulls.next("data 2");
            client.listen(polls, "poll");
            client.publish("/a", Map.of("n", 3));
            polls.next("data 3");
            client.stopListen();
            same(client.getState(), State.JOINED);
            client.publish("/a", Map.of("n", 4));
            Heard last = new Heard();
            client.listen(last, "pull");
            last.next("data 4");
            String id = client.getId();
            client.join();
            check(!client.getId().equals(id), "a second join is a new session");
            same(client.getState(), State.JOINED);
            for (Heard heard : List.of(streams, pulls, polls, last)) {
                same(heard.events().size(), 1);
                same(heard.count("error"), 0L);
            }
        }
    }

    /** What callbacks throw is told and harms nothing, not even if onError throws, too. */
    private static void throwingCallbacks() throws Exception {
        LinkedBlockingQueue<String> calls = new LinkedBlockingQueue<>();
        PushletClientListener bad = new PushletClientListener() {
            private RuntimeException called(String what) {
                calls.add(what);
                return new IllegalStateException(what);
            }

            @Override
            public void onAbort(Event event) {
                throw called("abort");
            }

            @Override
            public void onData(Event event) {
                Thread.currentThread().interrupt();
                calls.add("data " + event.getField("n"));
                throw new StackOverflowError("on purpose");
            }

            @Override
            public void onHeartbeat(Event event) {
                throw called("hb");
            }

            @Override
            public void onError(String message) {
                throw called("error " + message);
            }

            @Override
            public void onState(State state) {
                throw called("state " + state);
            }
        };
        List<String> wanted = List.of("state LISTENING", "hb", "data 1", "data 2", "data 3");
        try (Server server = new Server(); PushletClient client = client(server.port)) {
            client.joinListen(bad, "stream", "/a");
            for (int n = 1; n <= 3; n++) {
                client.publish("/a", Map.of("n", n));
            }
            for (String call : wanted) {
                same(calls.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS), call);
                String told = calls.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS);
                check(told != null && told.startsWith("error on") && told.contains(" threw "), "told: " + told);
            }
        }
    }

    private static void interrupts() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        try (Script mute = new Script((request, socket) -> never.await(1, TimeUnit.HOURS));
                PushletClient client = client(mute.port)) {
            AtomicReference<PushletException> failure = new AtomicReference<>();
            AtomicInteger marked = new AtomicInteger();
            Thread joins = new Thread(() -> {
                try {
                    client.join();
                } catch (PushletException thrown) {
                    failure.set(thrown);
                    marked.set(Thread.currentThread().isInterrupted() ? 1 : 0);
                }
            });
            joins.start();
            check(mute.requests.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS) != null, "no join");
            joins.interrupt();
            end(joins);
            check(failure.get() != null && failure.get().getMessage().contains("interrupted"), "it says so");
            same(marked.get(), 1);
        }
    }

    // Doubts

    /** Nobody knows whether a subscribe arrived: the session is given up, so that what is subscribed is known. */
    private static void doubtfulSubscribe() throws Exception {
        Heard heard = new Heard();
        try (Server server = new Server(); Relay relay = new Relay(server.port);
                PushletClient client = client(relay.port); PushletClient other = client(server.port)) {
            client.joinListen(heard, "stream", "/a");
            other.join();
            String id = client.getId();
            relay.swallowAnswerTo("p_subject=%2Fdoubt");
            check(refused(() -> client.subscribe("/doubt")).isInDoubt(), "it may have arrived");
            same(heard.next("reconnect"), "reconnect false");
            check(!id.equals(client.getId()), "another session");
            other.publish("/doubt", Map.of("n", 1));
            other.publish("/a", Map.of("n", 2));
            heard.next("data 2");
            same(heard.events().size(), 1);
        }
    }

    /** A publish finds out that the session is gone: it is made on a new one, and the listener moves there at once. */
    private static void moved() throws Exception {
        AtomicInteger joins = new AtomicInteger();
        LinkedBlockingQueue<String> publishes = new LinkedBlockingQueue<>();
        CountDownLatch never = new CountDownLatch(1);
        Script.Answer answer = (request, socket) -> {
            if (request.contains("p_event=join")) {
                return Script.reply(socket, JOIN_ACK.replace("\"i\"", "\"i" + joins.incrementAndGet() + "\""));
            } else if (request.contains("p_event=listen")) {
                Script.begin(socket);
                Script.chunk(socket, LISTEN_ACK);
                return never.await(1, TimeUnit.HOURS);
            } else if (request.contains("p_event=publish")) {
                publishes.add(request);
            }
            return request.contains("p_id=i1")
                    ? Script.reply(socket, "400 Bad Request", "", "Invalid or expired id: i1\n")
                    : Script.reply(socket, "[{\"p_event\":\"some-ack\"}\n]");
        };
        try (Script script = new Script(answer); PushletClient client = client(script.port)) {
            Heard heard = new Heard();
            client.joinListen(heard, "stream", null);
            same(client.getId(), "i1");
            client.publish("/a", Map.of("n", 1));
            same(client.getId(), "i2");
            same(heard.next("reconnect"), "reconnect false");
            same(heard.count("retry"), 0L);
            same(heard.count("error"), 1L);
            same(publishes.size(), 2);
            check(publishes.take().contains("p_id=i1") && publishes.take().contains("p_id=i2"), "once on each");
            same(joins.get(), 2);
        }
    }

    /** Who interrupts the listener's thread ends it; that is told, and the session stays. */
    private static void interruptedListener() throws Exception {
        AtomicReference<Thread> thread = new AtomicReference<>();
        try (Server server = new Server(); PushletClient client = client(server.port)) {
            Heard heard = new Heard() {
                @Override
                public void onHeartbeat(Event event) {
                    thread.set(Thread.currentThread());
                    super.onHeartbeat(event);
                }
            };
            client.joinListen(heard, "stream", "/a");
            heard.next("hb");
            long untilNs = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(TestTools.PATIENCE_MS);
            // An interrupt during a callback is the program's own affair and does not count.
            while (thread.get().isAlive()) {
                check(System.nanoTime() < untilNs, "it does not end");
                thread.get().interrupt();
                thread.get().join(50);
            }
            check(heard.next("error").contains("interrupted"), "it says so");
            same(client.getState(), State.JOINED);
            Heard again = new Heard();
            client.listen(again);
            client.publish("/a", Map.of("n", 1));
            again.next("data 1");
        }
    }

    /** A publish is sent once, whatever becomes of it: also on a connection that was used before. */
    private static void publishOnce() throws Exception {
        AtomicInteger publishes = new AtomicInteger();
        Script.Answer answer = (request, socket) -> {
            if (request.contains("p_event=publish")) {
                publishes.incrementAndGet();
                return false;
            }
            return Script.reply(socket, request.contains("p_event=join") ? JOIN_ACK : "[{\"p_event\":\"hb-ack\"}\n]");
        };
        try (Script script = new Script(answer); PushletClient client = client(script.port)) {
            client.join();
            for (int n = 1; n <= 3; n++) {
                client.heartbeat();
                PushletException failure = refused(() -> client.publish("/a", Map.of("n", 1)));
                check(failure.isInDoubt(), "it may have arrived: " + failure);
                same(publishes.get(), n);
            }
        }
    }

    // Failing servers

    /** A connection that says nothing is dead. */
    private static void silence() throws Exception {
        AtomicInteger streams = new AtomicInteger();
        CountDownLatch never = new CountDownLatch(1);
        Script.Answer answer = (request, socket) -> {
            if (!request.contains("p_event=listen") && !request.contains("p_event=refresh")) {
                return Script.reply(socket, JOIN_ACK);
            }
            streams.incrementAndGet();
            Script.begin(socket);
            Script.chunk(socket, LISTEN_ACK);
            return never.await(1, TimeUnit.HOURS);
        };
        try (Script script = new Script(answer); PushletClient client = client(script.port)) {
            client.setHeartbeatTimeout(Duration.ofMillis(300));
            Heard heard = new Heard();
            client.joinListen(heard, "stream", null);
            String told = heard.next("error");
            check(told.contains("nothing came for 300 ms"), told);
            same(heard.next("reconnect"), "reconnect true");
            check(streams.get() >= 2, "it asked again");
        }
    }

    /** 503 with Retry-After: a call throws and tells it, a listener waits at least so long. */
    private static void busy() throws Exception {
        LinkedBlockingQueue<Long> asked = new LinkedBlockingQueue<>();
        AtomicInteger listens = new AtomicInteger();
        Script.Answer answer = (request, socket) -> {
            if (request.contains("p_event=listen") || request.contains("p_event=refresh")) {
                asked.add(System.nanoTime());
                if (listens.getAndIncrement() == 1) {
                    return Script.reply(socket, "503 Service Unavailable", "Retry-After: 1\r\n", "full\n");
                }
                Script.begin(socket);
                Script.chunk(socket, LISTEN_ACK);
                return false;
            }
            return request.contains("p_event=publish")
                    ? Script.reply(socket, "503 Service Unavailable", "Retry-After: 7\r\n", "full\n")
                    : Script.reply(socket, JOIN_ACK);
        };
        try (Script script = new Script(answer); PushletClient client = client(script.port)) {
            Heard heard = new Heard();
            client.joinListen(heard, "stream", null);
            PushletException full = refused(() -> client.publish("/a", Map.of()));
            same(full.getStatus(), 503);
            same(full.getRetryAfter(), Duration.ofSeconds(7));
            check(!full.isInDoubt() && full.getMessage().endsWith("503: full"), full.getMessage());
            asked.take();
            long refusedNs = asked.take();
            Long againNs = asked.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS);
            check(againNs != null && againNs - refusedNs >= TimeUnit.SECONDS.toNanos(1), "it came too early");
        }
        same(PushletClient.retryAfterMs(""), 0L);
        same(PushletClient.retryAfterMs("soon"), 0L);
        same(PushletClient.retryAfterMs("-1"), 0L);
        same(PushletClient.retryAfterMs("5"), 5_000L);
        same(PushletClient.retryAfterMs("999999999"), 60_000L);
        ZonedDateTime soon = ZonedDateTime.now(ZoneOffset.UTC).plusSeconds(30);
        long ms = PushletClient.retryAfterMs(DateTimeFormatter.RFC_1123_DATE_TIME.format(soon));
        check(ms > 10_000 && ms <= 30_000, "a date: " + ms);
        same(PushletClient.retryAfterMs("Sun, 06 Nov 1994 08:49:37 GMT"), 0L);
    }

    /** P-17: p_wait of a refresh, and p_wait of an abort. */
    private static void hints() throws Exception {
        LinkedBlockingQueue<Long> asked = new LinkedBlockingQueue<>();
        AtomicInteger turns = new AtomicInteger();
        String ack = "[{\"p_event\":\"refresh-ack\"}\n,";
        Script.Answer answer = (request, socket) -> {
            boolean listens = request.contains("p_event=listen");
            if (!listens && !request.contains("p_event=refresh")) {
                return Script.reply(socket, JOIN_ACK);
            }
            asked.add(System.nanoTime());
            if (turns.getAndIncrement() == 1) {
                return Script.reply(socket, ack + "{\"p_event\":\"abort\",\"p_reason\":\"r\",\"p_wait\":\"600\"}\n]");
            }
            return Script.reply(socket, ack + "{\"p_event\":\"refresh\",\"p_wait\":\"400\",\"p_url\":\"/x\"}\n]");
        };
        try (Script script = new Script(answer); PushletClient client = client(script.port)) {
            Heard heard = new Heard();
            client.joinListen(heard, "pull", null);
            same(heard.next("abort"), "abort r");
            same(heard.next("reconnect"), "reconnect false");
            long firstNs = asked.take();
            long secondNs = asked.take();
            long thirdNs = asked.take();
            check(secondNs - firstNs >= TimeUnit.MILLISECONDS.toNanos(400), "before p_wait of the refresh");
            check(thirdNs - secondNs >= TimeUnit.MILLISECONDS.toNanos(600), "before p_wait of the abort");
            same(heard.count("error"), 0L);
        }
    }

    /** Whatever an answer is: a call throws, a listener tells it and comes again. */
    private static void nonsense() throws Exception {
        List<String> bodies = List.of("", "[]", "<html>", "[{\"p_event\":\"join-ack\",\"p_id\":\"i\"}\n",
                "[{\"p_event\":\"join-ack\",\"p_id\":\"i\"}\n]x", "[{\"p_event\":\"join-ack\",\"p_id\":\"i\"}\n]\n[",
                "[{\"p_event\":\"join-ack\"}\n]", "[{\"p_event\":\"data\"}\n]",
                "[{\"p_event\":\"join-ack\",\"p_id\":1}\n]",
                "[{\"p_event\":\"join-ack\",\"p_id\":\"i\"}\n{}\n]", "\ufffd", "x".repeat(3_000_000));
        for (String body : bodies) {
            try (Script script = new Script((request, socket) -> Script.reply(socket, body));
                    PushletClient client = client(script.port)) {
                PushletException failure = refused(client::join);
                check(failure.isInDoubt() && !failure.isRefused(), "an unreadable answer: " + failure);
            }
        }
        for (String first : List.of("", "garbage\n", "[\n", "{\"p_event\":\"data\"}\n")) {
            try (Script script = listens(first, first); PushletClient client = client(script.port)) {
                PushletException failure = refused(() -> client.joinListen(new Heard()));
                check(!failure.isRefused(), "an unreadable answer: " + failure);
                same(client.getState(), State.IDLE);
            }
        }
        String loss = LISTEN_ACK + "{\"p_event\":\"data\",\"n\":\"1\",\"p_lost\":\"2\"}\n{\"p_event\":\"new-kind\"}\n";
        for (String rest : List.of("{\"a\":\n", "{\"p_event\":\"refresh\",\"p_wait\":\"soon\"}\n",
                "{\"p_event\":\"refresh\",\"p_wait\":\"-1\"}\n", "x".repeat(3_000_000), "[]\n")) {
            try (Script script = listens(LISTEN_ACK + rest, loss); PushletClient client = client(script.port)) {
                Plain plain = new Plain();
                client.joinListen(plain, "stream", null);
                String outage = plain.told.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS);
                check(outage != null && outage.contains("listening again"), "told: " + outage);
                same(plain.told.poll(TestTools.PATIENCE_MS, TimeUnit.MILLISECONDS),
                        "2 events were lost: this client is too slow");
                check(client.getLostCount() >= 2, "counted");
            }
        }
    }

    /** A server that answers data requests with these streams, which break off: the last one again and again. */
    private static Script listens(String first, String others) throws IOException {
        AtomicInteger turns = new AtomicInteger();
        return new Script((request, socket) -> {
            if (!request.contains("p_event=listen") && !request.contains("p_event=refresh")) {
                return Script.reply(socket, JOIN_ACK);
            }
            String stream = turns.getAndIncrement() == 0 ? first : others;
            Script.begin(socket);
            if (!stream.isEmpty()) {
                Script.chunk(socket, stream);
            }
            return false;
        });
    }

    /** Has only what the classic listener has. */
    private static final class Plain implements PushletClientListener {
        final LinkedBlockingQueue<String> told = new LinkedBlockingQueue<>();

        @Override
        public void onAbort(Event event) {
            told.add("abort");
        }

        @Override
        public void onData(Event event) {
            // Nobody asks.
        }

        @Override
        public void onHeartbeat(Event event) {
            // Nobody asks.
        }

        @Override
        public void onError(String message) {
            told.add(message);
        }
    }

    // The page

    /** The programs of docs/java.md, as their reader would run them: one hears what the other one publishes. */
    private static void page() throws Exception {
        String text = Files.readString(Path.of(System.getProperty("page")));
        Map<String, String> programs = new LinkedHashMap<>();
        Matcher blocks = Pattern.compile("(?ms)^```java\n(.*?)^```$").matcher(text);
        while (blocks.find()) {
            Matcher name = Pattern.compile("public class (\\w+)").matcher(blocks.group(1));
            check(name.find(), "a block that is no program:\n" + blocks.group(1));
            programs.put(name.group(1), blocks.group(1));
        }
        same(programs.keySet(), Set.of("Listen", "Publish"));
        Path folder = Files.createTempDirectory("pushletd-page-");
        try (Server server = new Server(); TestTools.Program listen = run(folder, "Listen", programs, server)) {
            listen.awaitLine("listening");
            try (TestTools.Program publish = run(folder, "Publish", programs, server)) {
                publish.awaitEnd();
            }
            listen.awaitLine("It works & is 100 % right; \u4e2d\u6587");
        } finally {
            for (String name : programs.keySet()) {
                Files.deleteIfExists(folder.resolve(name + ".java"));
            }
            Files.delete(folder);
        }
    }

    private static TestTools.Program run(Path folder, String name, Map<String, String> programs, Server server)
            throws IOException {
        String here = "\"localhost\", 8080";
        check(programs.get(name).contains(here), name + " does not say " + here);
        String text = programs.get(name).replace(here, "\"localhost\", " + server.port);
        Path file = Files.writeString(folder.resolve(name + ".java"), text);
        return new TestTools.Program(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", System.getProperty("java.class.path"),
                file.toString());
    }

    // Parts

    private static void json() throws Exception {
        same(PushletClient.Json.object("{}"), Map.of());
        same(PushletClient.Json.object(" { \"a\" : \"b\" , \"c\":\"\" } "), Map.of("a", "b", "c", ""));
        same(PushletClient.Json.object("{\"a\":\"1\",\"a\":\"2\"}"), Map.of("a", "1"));
        same(PushletClient.Json.object("{\"\\u00e9\\\"\":\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud83d\\ude00\\u4E2d\"}"),
                Map.of("\u00e9\"", "\\/\b\f\n\r\t\u0000\ud83d\ude00\u4e2d"));
        StringBuilder many = new StringBuilder("{\"n\":\"\"");
        for (int n = 0; n < 512; n++) {
            many.append(",\"").append(n).append("\":\"\"");
        }
        for (String bad : List.of("", "{", "}", "[]", "null", "\"a\"", "{a:\"b\"}", "{\"a\"}", "{\"a\":}", "{\"a\":1}",
                "{\"a\":null}", "{\"a\":{}}", "{\"a\":[]}", "{\"a\":\"b\"", "{\"a\":\"b\",}", "{\"a\":\"b\"}x",
                "{\"a\":\"b\"}{}", "{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u+123\"}",
                "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\ude00\\ud83d\"}", "{\"a\":\"b", "{\"a\":\"b\\", "{\"a\":'b'}",
                "{}\u0000", "{\"a\":\"\\u\u0661\u0661\u0661\u0661\"}", many + "}")) {
            try {
                PushletClient.Json.object(bad);
            } catch (IOException wanted) {
                continue;
            }
            throw new AssertionError("taken: " + bad);
        }
    }

    private static void backoff() {
        PushletClient.Backoff backoff = new PushletClient.Backoff();
        double highest = Math.nextDown(1.0);
        for (long ceiling : new long[] {500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000}) {
            long pause = backoff.pauseMs(0, highest);
            check(pause > ceiling - 2 && pause <= ceiling, pause + " is not " + ceiling);
        }
        same(backoff.pauseMs(0, 0), 100L);
        // A short time of success changes nothing, a minute does, and it begins when listening does.
        backoff.opened(1_000);
        backoff.opened(50_000);
        check(backoff.pauseMs(60_999, highest) > 19_000, "not stable yet");
        backoff.opened(100_000);
        backoff.opened(159_000);
        check(backoff.pauseMs(160_000, highest) <= 500, "stable for a minute");
        same(backoff.failures(), 1);
        for (int n = 0; n < 100; n++) {
            check(backoff.pauseMs(0, highest) <= 20_000, "no overflow");
        }
    }

    private static void badCalls() throws Exception {
        try (Server server = new Server(); PushletClient client = client(server.port)) {
            for (Action early : List.<Action>of(() -> client.publish("/a", Map.of()), () -> client.subscribe("/a"),
                    () -> client.listen(new Heard()), client::unsubscribe, client::heartbeat)) {
                check(refused(early).getMessage().contains("join first"), "before a join");
            }
            client.leave();
            client.stopListen();
            client.join();
            Map<String, String> nothing = new LinkedHashMap<>();
            nothing.put("a", null);
            illegal(() -> client.publish("/a", nothing));
            illegal(() -> client.publish("/a", Map.of("", "x")));
            illegal(() -> client.setQueue("wait", 0));
            illegal(() -> client.setQueue(null, -1));
            illegal(() -> client.setHeartbeatTimeout(Duration.ZERO));
            illegal(() -> client.setRequestTimeout(Duration.ofDays(2)));
            check(refused(() -> client.publish("", Map.of())).isRefused(), "P-7: an empty subject");
            Heard heard = new Heard();
            client.listen(heard, "brook", "/a");
            same(client.getMode(), "brook");
            client.publish("/a", Map.of("n", 1));
            heard.next("data 1");
        }
    }
}
