package org.pushletd.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import javax.net.ssl.SSLHandshakeException;

/**
 * A client of pushletd: joins, listens, subscribes and publishes, and comes again by itself when the connection or the
 * server fails. One file for JDK 17 and later, without any dependency.
 *
 * <p>A program that was written for the classic client of Pushlet changes its imports and little else; docs/java.md has
 * the table. All types that it knew are nested here: {@link PushletClientListener}, {@link Event}, {@link Protocol} and
 * {@link PushletException}.
 *
 * <p>All methods may be called by any thread, also in callbacks. Callbacks come one at a time, from one daemon thread.
 * Requests wait for their answer. A request that fails throws and is not made again; only where the server says that it
 * does not know the session (so it did nothing), a new session is begun and the request made once more.
 *
 * <p>The data comes in format {@code json} (rule P-9 of docs/protocol.md): one object a line, so that an event is whole
 * as soon as its line is, and every name and value can be said in it, which XML cannot. Requests go by POST, so that
 * neither ids nor texts stand in the logs of proxies, and nothing below this class repeats a publish.
 */
public final class PushletClient implements AutoCloseable {
    /** See {@link Protocol#MODE_STREAM}. */
    public static final String MODE_STREAM = Protocol.MODE_STREAM;
    /** See {@link Protocol#MODE_PULL}. */
    public static final String MODE_PULL = Protocol.MODE_PULL;
    /** See {@link Protocol#MODE_POLL}. */
    public static final String MODE_POLL = Protocol.MODE_POLL;

    /** Longest line of an answer, in bytes: any event that the server accepts, however it is escaped. */
    private static final int LINE_BYTES_MAX = 2 * 1024 * 1024;
    /** Longest part of an error page that is repeated. */
    private static final int ERROR_CHARS_MAX = 200;
    private static final Duration CONNECT = Duration.ofSeconds(10);
    /** How long the end of a program waits for the server to hear of it. */
    private static final long LEAVE_MS = 2_000;
    /** How long an end of listening waits for a callback that is under way. */
    private static final long END_MS = 1_000;
    /** After an abort for shutdown everybody comes again: at random between these. */
    private static final long SHUTDOWN_MIN_MS = 1_000;
    private static final long SHUTDOWN_MAX_MS = 5_000;
    /** No server makes this class ask without a pause. */
    private static final long WAIT_MIN_MS = 10;
    /** The server cannot say more in `p_wait` (rule P-17). */
    private static final long WAIT_MAX_MS = 600_000;
    /** A `Retry-After` counts up to this. */
    private static final long HINT_MAX_MS = 60_000;
    /** Fields of a publish that are the server's or this class's own (rule P-21): they are left out. */
    private static final Set<String> RESERVED = Set.of("p_event", "p_id", "p_subject", "p_sid", "p_seq", "p_from",
            "p_label", "p_lost", "p_key");
    private static final System.Logger LOG = System.getLogger("org.pushletd.client");

    private final URI url;
    private volatile HttpClient http;
    private volatile String authorization;
    private volatile String overflow;
    private volatile int queueSize;
    private volatile long heartbeatMs = 45_000;
    private volatile long requestMs = 30_000;
    private volatile boolean debug;

    /** Held while sessions and subscriptions change, across their requests. Who holds it never waits for a callback. */
    private final ReentrantLock control = new ReentrantLock();
    /** Held while a callback runs, so that there is one at a time. Never taken by who holds {@code control}. */
    private final ReentrantLock callbacks = new ReentrantLock();
    /** The session with the server; none before a join, after a leave, and when the server has lost it. */
    private final AtomicReference<Session> session = new AtomicReference<>();
    /** What the program has subscribed to, in its order. Guarded by {@code control}. */
    private final List<Subscription> subscriptions = new ArrayList<>();
    /** What could not be restored and is still to be told. */
    private final Queue<String> notices = new ConcurrentLinkedQueue<>();
    /** Answers that are being read. */
    private final Set<Body> open = ConcurrentHashMap.newKeySet();
    private final AtomicLong lost = new AtomicLong();
    private volatile Listening listening;
    /** The program wants a session. */
    private volatile boolean joined;
    private volatile boolean closed;

    // Making one

    /**
     * A client of the server at this URL. Nothing is sent yet.
     *
     * @param url such as {@code http://localhost:8080/pushlet/pushlet.srv}; if its path ends with a slash or is empty,
     *     {@code pushlet.srv} is added
     * @throws IllegalArgumentException it is no http or https URL, or has user, query or fragment
     */
    public PushletClient(String url) {
        this.url = checked(url);
    }

    /**
     * A client of {@code http://HOST:PORT/pushlet/pushlet.srv}.
     *
     * @throws IllegalArgumentException these are no host and port
     */
    public PushletClient(String host, int port) {
        this("http://" + (host.indexOf(':') >= 0 && !host.startsWith("[") ? "[" + host + "]" : host) + ":" + port
                + "/pushlet/pushlet.srv");
        if (url.getPort() != port) {
            throw new IllegalArgumentException("not the name of a host: " + host);
        }
    }

    private static URI checked(String url) {
        URI uri = URI.create(Objects.requireNonNull(url, "url"));
        boolean web = "http".equalsIgnoreCase(uri.getScheme()) || "https".equalsIgnoreCase(uri.getScheme());
        if (!web || uri.getHost() == null || uri.getPort() == 0 || uri.getPort() > 65_535) {
            throw new IllegalArgumentException("not the http or https URL of a server: " + url);
        }
        if (uri.getRawUserInfo() != null || uri.getRawQuery() != null || uri.getRawFragment() != null) {
            throw new IllegalArgumentException("the URL of a server has no user, query or fragment: " + url);
        }
        String path = uri.getRawPath();
        if (path.isEmpty() || path.endsWith("/")) {
            return uri.resolve(path.isEmpty() ? "/pushlet.srv" : path + "pushlet.srv");
        }
        return uri;
    }

    /**
     * Presents this key to a server that asks for one (docs/access.md). A session is its key's for its whole life: set
     * it before {@link #join}.
     *
     * @param key visible ASCII characters; null presents none
     */
    public void setKey(String key) {
        if (key != null && (key.isEmpty() || !key.chars().allMatch(letter -> letter > ' ' && letter < 127))) {
            throw new IllegalArgumentException("a key is of visible ASCII characters");
        }
        authorization = key == null ? null : "Bearer " + key;
    }

    /** Uses this in place of the JDK's default: for proxies, for certificates of your own, for client certificates. */
    public void setHttpClient(HttpClient client) {
        http = Objects.requireNonNull(client, "client");
    }

    /**
     * Gives up a data channel on which nothing has come for so long. The default is 45 s; a server with a longer
     * {@code --heartbeat} or {@code pull_wait} than 20 s needs more than twice of that.
     */
    public void setHeartbeatTimeout(Duration silence) {
        heartbeatMs = positive(silence);
    }

    /** Gives up a request that is not answered within this time; 30 s by default. */
    public void setRequestTimeout(Duration patience) {
        requestMs = positive(patience);
    }

    private static long positive(Duration time) {
        if (time.isNegative() || time.isZero() || time.compareTo(Duration.ofDays(1)) > 0) {
            throw new IllegalArgumentException("a time between 1 ms and a day");
        }
        return Math.max(1, time.toMillis());
    }

    /**
     * What the server is to do when this client reads too slowly (rule P-30), from the next listen on.
     *
     * @param policy {@code disconnect}, {@code drop-oldest} or {@code conflate}; null for the server's choice
     * @param events how many events may wait; 0 for the server's choice
     */
    public void setQueue(String policy, int events) {
        if (policy != null && !Set.of("disconnect", "drop-oldest", "conflate").contains(policy) || events < 0) {
            throw new IllegalArgumentException("disconnect, drop-oldest or conflate, and a number of events");
        }
        overflow = policy;
        queueSize = events;
    }

    /** Tells standard error what is asked and answered; ids and keys are not shown. */
    public void setDebug(boolean on) {
        debug = on;
    }

    // What it is at

    /** What a client is doing. */
    public enum State {
        /** It has no session. */
        IDLE,
        /** It has a session and does not listen. */
        JOINED,
        /** It listens: events come. */
        LISTENING,
        /** The connection or the server has failed; it comes again by itself. */
        WAITING,
        /** {@link PushletClient#close} was called. */
        CLOSED
    }

    /** What this client is doing. */
    public State getState() {
        Listening now = listening;
        if (closed) {
            return State.CLOSED;
        }
        if (now == null || now.heardOn == null) {
            return joined ? State.JOINED : State.IDLE;
        }
        return now.down ? State.WAITING : State.LISTENING;
    }

    /** The id of the session, a secret; null without one. It changes when a session had to be begun anew. */
    public String getId() {
        Session now = session.get();
        return now == null ? null : now.id;
    }

    /** The public address of the session, for {@link #publishTo} (rule P-22); null without a session. */
    public String getAddress() {
        Session now = session.get();
        return now == null ? null : now.address;
    }

    /** The mode that the server chose for the newest listen (rule P-18); null before. */
    public String getMode() {
        Listening now = listening;
        return now == null ? null : now.effectiveMode;
    }

    /** How many events the server has said that this client lost, in all. */
    public long getLostCount() {
        return lost.get();
    }

    // Sessions

    /**
     * Begins a session. One that there is already is left.
     *
     * @throws PushletException the server cannot be reached, or refuses
     */
    public void join() throws PushletException {
        Listening before = null;
        control.lock();
        try {
            if (closed) {
                throw PushletException.plain("this client is closed");
            }
            before = part(LEAVE_MS);
            session.set(begin());
            joined = true;
        } finally {
            control.unlock();
            await(before);
        }
    }

    /**
     * Ends the session, and listening. Without a session it does nothing.
     *
     * @throws PushletException the server did not hear of it; the session then ends there by its lease, and here now
     */
    public void leave() throws PushletException {
        Listening before = null;
        control.lock();
        try {
            Session old = session.get();
            before = part(0);
            if (old != null) {
                control(old.form("leave"), requestMs);
            }
        } catch (PushletException failure) {
            if (!failure.gone) {
                throw failure;
            }
        } finally {
            control.unlock();
            await(before);
        }
    }

    /** Leaves, for at most two seconds, and ends everything that waits. Never throws; the client is of no more use. */
    @Override
    public void close() {
        closed = true;
        boolean interrupted = false;
        for (boolean locked = false; !locked;) {
            // Whoever holds the lock waits for one of these.
            open.forEach(Body::cancel);
            try {
                locked = control.tryLock(20, TimeUnit.MILLISECONDS);
            } catch (InterruptedException interruption) {
                interrupted = true;
            }
        }
        Listening before = null;
        try {
            before = part(LEAVE_MS);
        } finally {
            control.unlock();
            await(before);
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends what there is; the server is told if {@code leaveMs} is positive. Returns what listened. */
    private Listening part(long leaveMs) {
        Listening before = listening;
        listening = null;
        joined = false;
        if (before != null) {
            before.stop();
        }
        subscriptions.clear();
        notices.clear();
        Session old = session.getAndSet(null);
        if (old != null && leaveMs > 0) {
            leave(old, leaveMs);
        }
        return before;
    }

    private void leave(Session old, long patienceMs) {
        try {
            control(old.form("leave"), patienceMs);
        } catch (PushletException failure) {
            // Its lease ends it.
            debug("leave: " + failure.getMessage());
        }
    }

    private static void await(Listening before) {
        if (before != null) {
            before.awaitEnd();
        }
    }

    /** Tells the server that this session is in use (rule P-28). Listening does that, too. */
    public void heartbeat() throws PushletException {
        ask(now -> now.form("hb"));
    }

    /** A request that changes nothing here. It is made once more on a new session if the server does not know ours. */
    private void ask(Function<Session, Form> form) throws PushletException {
        Session now = current();
        try {
            control(form.apply(now), requestMs);
        } catch (PushletException failure) {
            if (!failure.gone) {
                throw failure;
            }
            forget(now);
            control(form.apply(current()), requestMs);
        }
    }

    /** The session; begins a new one in place of one that was lost. */
    private Session current() throws PushletException {
        Session now = session.get();
        if (now != null) {
            return now;
        }
        control.lock();
        try {
            if (closed || !joined) {
                throw PushletException.plain(closed ? "this client is closed" : "join first: there is no session");
            }
            now = session.get();
            if (now == null) {
                now = begin();
                session.set(now);
            }
            return now;
        } finally {
            control.unlock();
        }
    }

    /** A new session with all subscriptions. Holds {@code control}. */
    private Session begin() throws PushletException {
        Map<String, String> ack = control(new Form().add("p_event", "join").add("p_format", "json"), requestMs);
        Session begun = new Session(needed(ack, "p_id"), ack.getOrDefault("p_from", ""));
        for (Subscription wanted : List.copyOf(subscriptions)) {
            try {
                subscribe(begun, wanted);
            } catch (PushletException failure) {
                if (!failure.refused || failure.mayPass()) {
                    throw failure;
                }
                subscriptions.remove(wanted);
                notices.add("the new session may not subscribe to " + wanted.subject + ": " + failure.getMessage());
            }
        }
        return begun;
    }

    /** The server does not know this session any more, or is not to use it: the next who needs one begins anew. */
    private void forget(Session old) {
        if (session.compareAndSet(old, null)) {
            Listening now = listening;
            if (now != null) {
                now.cancel();
            }
        }
    }

    // Subscriptions

    /** See {@link #subscribe(String, String)}. */
    public String subscribe(String subject) throws PushletException {
        return subscribe(subject, null);
    }

    /**
     * Subscribes to all subjects that begin with this one, or with one of a comma list (rule P-19).
     *
     * @param label comes back as {@code p_label} in the events of this subscription; null for none
     * @return the id of the subscription: {@code p_sid} of its events. It stays the same when a session is begun anew
     * @throws PushletException the server cannot be reached, or refuses; then nothing is subscribed
     */
    public String subscribe(String subject, String label) throws PushletException {
        Objects.requireNonNull(subject, "subject");
        control.lock();
        try {
            Subscription wanted = new Subscription(subject, label);
            Session now = certain(s -> subscribe(s, wanted));
            wanted.sid = freeName(wanted.sidOnServer);
            now.sids.put(wanted.sidOnServer, wanted.sid);
            subscriptions.add(wanted);
            return wanted.sid;
        } finally {
            control.unlock();
        }
    }

    private void subscribe(Session now, Subscription wanted) throws PushletException {
        Form form = now.form("subscribe").add("p_subject", wanted.subject);
        if (wanted.label != null) {
            form.add("p_label", wanted.label);
        }
        wanted.sidOnServer = needed(control(form, requestMs), "p_sid");
        if (wanted.sid != null) {
            now.sids.put(wanted.sidOnServer, wanted.sid);
        }
    }

    /** A sid that none of ours has: after a new session the server's own numbers begin anew. Holds {@code control}. */
    private String freeName(String theirs) {
        String name = theirs;
        for (int number = 1;; number++) {
            String candidate = name;
            if (subscriptions.stream().noneMatch(other -> candidate.equals(other.sid))) {
                return candidate;
            }
            name = theirs + "." + number;
        }
    }

    /** Ends all subscriptions. */
    public void unsubscribe() throws PushletException {
        control.lock();
        try {
            certain(now -> control(now.form("unsubscribe"), requestMs)).sids.clear();
            subscriptions.clear();
        } finally {
            control.unlock();
        }
    }

    /**
     * Ends one subscription.
     *
     * @param sid what {@link #subscribe} returned, or {@code p_sid} of an event
     * @throws PushletException there is none of that id; or the server cannot be reached
     */
    public void unsubscribe(String sid) throws PushletException {
        control.lock();
        try {
            Subscription ended = subscriptions.stream().filter(each -> each.sid.equals(sid)).findFirst()
                    .orElseThrow(() -> PushletException.plain("no subscription for sid=" + sid));
            Step step = now -> control(now.form("unsubscribe").add("p_sid", ended.sidOnServer), requestMs);
            certain(step).sids.remove(ended.sidOnServer);
            subscriptions.remove(ended);
        } finally {
            control.unlock();
        }
    }

    /** A request on a session. */
    private interface Step {
        void on(Session session) throws PushletException;
    }

    /**
     * A request that changes what is subscribed. If nobody knows whether it arrived the session is given up: the next
     * one has what it had before. Returns the session that it was made on.
     */
    private Session certain(Step step) throws PushletException {
        Session now = current();
        try {
            try {
                step.on(now);
            } catch (PushletException failure) {
                if (!failure.gone) {
                    throw failure;
                }
                forget(now);
                now = current();
                step.on(now);
            }
            return now;
        } catch (PushletException failure) {
            if (failure.inDoubt) {
                forget(now);
                farewell(now);
            }
            throw failure;
        }
    }

    /** A leave that nobody waits for. */
    private void farewell(Session old) {
        HttpRequest request = request(old.form("leave")).timeout(Duration.ofMillis(LEAVE_MS)).build();
        try {
            http().sendAsync(request, HttpResponse.BodyHandlers.discarding());
        } catch (RuntimeException unable) {
            debug("leave: " + unable);
        }
    }

    // Publishing

    /**
     * Publishes to all who are subscribed to the subject.
     *
     * @param attributes names and values, any text (values by {@code toString}); nothing is to be encoded. Names that
     *     are the server's ({@code p_from} and the like, rule P-21) are left out; {@code p_to} is for one session only
     * @throws PushletException the event was refused, or nobody knows whether it arrived: {@link
     *     PushletException#isInDoubt()}
     * @throws IllegalArgumentException a name or value is null, a name is empty, or a text is no Unicode
     */
    public void publish(String subject, Map<String, ?> attributes) throws PushletException {
        publish(subject, null, attributes);
    }

    /**
     * Publishes to one session, which needs no subscription but must listen (rule P-23).
     *
     * @param address {@code p_from} of an event, or {@link #getAddress()} of the receiver
     */
    public void publishTo(String address, String subject, Map<String, ?> attributes) throws PushletException {
        publish(subject, Objects.requireNonNull(address, "address"), attributes);
    }

    private void publish(String subject, String to, Map<String, ?> attributes) throws PushletException {
        Form event = new Form().add("p_subject", Objects.requireNonNull(subject, "subject"));
        if (to != null) {
            event.add("p_to", to);
        }
        for (Map.Entry<String, ?> each : attributes.entrySet()) {
            String name = each.getKey();
            if (name == null || name.isEmpty() || each.getValue() == null) {
                throw new IllegalArgumentException("a name and a value for each attribute: " + each);
            }
            if (!RESERVED.contains(name) && !(to != null && name.equals("p_to"))) {
                event.add(name, each.getValue().toString());
            }
        }
        ask(now -> now.form("publish").add(event));
    }

    // Listening

    /** Listens by a stream. */
    public void listen(PushletClientListener listener) throws PushletException {
        listen(listener, MODE_STREAM);
    }

    /** Listens in this mode: {@code stream}, {@code pull} or {@code poll}. */
    public void listen(PushletClientListener listener, String mode) throws PushletException {
        listen(listener, mode, null);
    }

    /**
     * Listens, and subscribes to a subject before. It returns when the server has accepted it; from then on a daemon
     * thread calls the listener, and listens again by itself after whatever happens, until {@link #stopListen}, {@link
     * #leave} or {@link #close}. A second listen takes the place of the first.
     *
     * @param mode {@code stream} (also null), {@code pull} or {@code poll}
     * @param subject a subject or a comma list; null for none
     * @throws PushletException the server cannot be reached, or refuses; then nothing listens
     */
    public void listen(PushletClientListener listener, String mode, String subject) throws PushletException {
        Listening now = new Listening(Objects.requireNonNull(listener, "listener"), mode == null ? MODE_STREAM : mode);
        Listening before = null;
        String sid = null;
        control.lock();
        try {
            current();
            sid = subject == null ? null : subscribe(subject);
            before = listening;
            if (before != null) {
                before.stop();
            }
            listening = now;
            now.thread.start();
        } finally {
            control.unlock();
            await(before);
        }
        try {
            now.awaitAck();
        } catch (PushletException failure) {
            if (sid != null) {
                takeBack(sid);
            }
            throw failure;
        }
    }

    private void takeBack(String sid) {
        try {
            unsubscribe(sid);
        } catch (PushletException failure) {
            debug("unsubscribe: " + failure.getMessage());
        }
    }

    /** Joins and listens by a stream. */
    public void joinListen(PushletClientListener listener) throws PushletException {
        joinListen(listener, MODE_STREAM, null);
    }

    /** Joins, subscribes to a subject (or a comma list; null for none) and listens. */
    public void joinListen(PushletClientListener listener, String mode, String subject) throws PushletException {
        join();
        try {
            listen(listener, mode, subject);
        } catch (PushletException failure) {
            control.lock();
            try {
                part(LEAVE_MS);
            } finally {
                control.unlock();
            }
            throw failure;
        }
    }

    /** Stops listening; the session and its subscriptions stay. No callback comes any more. */
    public void stopListen() {
        Listening before = null;
        control.lock();
        try {
            before = listening;
            listening = null;
            if (before != null) {
                before.stop();
            }
        } finally {
            control.unlock();
            await(before);
        }
    }

    /** One listen: its thread, and what it knows. */
    private final class Listening implements Runnable {
        private final PushletClientListener listener;
        private final String mode;
        private final Thread thread = new Thread(this, "pushlet-listener");
        private final CompletableFuture<Void> acked = new CompletableFuture<>();
        private final CountDownLatch stopped = new CountDownLatch(1);
        private final CountDownLatch ended = new CountDownLatch(1);
        private final Backoff backoff = new Backoff();
        /** The session of the newest ack. */
        private volatile Session heardOn;
        private volatile String effectiveMode;
        /** An outage has been told and is not over. */
        private volatile boolean down;
        /** A session was begun anew without a pause, and there was no ack since. */
        private boolean began;
        private volatile Body body;

        Listening(PushletClientListener listener, String mode) {
            this.listener = listener;
            this.mode = mode;
            thread.setDaemon(true);
        }

        boolean isStopped() {
            return closed || stopped.getCount() == 0;
        }

        void stop() {
            stopped.countDown();
            cancel();
        }

        void cancel() {
            Body now = body;
            if (now != null) {
                now.cancel();
            }
        }

        /** Waits for the thread, but not for a callback that takes its time or is what called. */
        void awaitEnd() {
            if (Thread.currentThread() == thread) {
                return;
            }
            try {
                ended.await(END_MS, TimeUnit.MILLISECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        void awaitAck() throws PushletException {
            try {
                acked.get();
            } catch (InterruptedException interrupted) {
                end();
                throw PushletException.interrupted();
            } catch (ExecutionException failure) {
                if (failure.getCause() instanceof PushletException cause) {
                    throw cause;
                }
                throw new IllegalStateException(failure.getCause());
            }
        }

        /** Stops, and is not the one that listens any more. */
        private void end() {
            stop();
            control.lock();
            try {
                if (listening == this) {
                    listening = null;
                }
            } finally {
                control.unlock();
            }
        }

        @Override
        public void run() {
            try {
                while (!isStopped()) {
                    long pauseMs = turn();
                    if (pauseMs > 0 && stopped.await(pauseMs, TimeUnit.MILLISECONDS)) {
                        break;
                    }
                }
            } catch (InterruptedException interrupted) {
                tell("onError", () -> listener.onError("the listener's thread was interrupted: it stops"));
            } catch (RuntimeException | Error unexpected) {
                LOG.log(System.Logger.Level.ERROR, "listening stops", unexpected);
                tell("onError", () -> listener.onError("listening stops: " + unexpected));
            } finally {
                end();
                acked.completeExceptionally(PushletException.plain("listening was stopped"));
                ended.countDown();
            }
        }

        /** One data request. Returns the time until the next one, in ms. */
        private long turn() throws InterruptedException {
            Session now = null;
            try {
                now = current();
                return answer(now);
            } catch (PushletException failure) {
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
                if (isStopped()) {
                    return 0;
                }
                boolean anew = now != null && (failure.gone || session.get() != now);
                if (anew) {
                    forget(now);
                }
                // A session that is gone shows itself by a refusal: a new one is begun at once, but not twice in a row.
                if (anew && !failure.aborted && !began) {
                    began = true;
                    begins(failure);
                    return 0;
                }
                return failed(failure);
            }
        }

        /** The beginning of an outage. */
        private void begins(PushletException failure) {
            if (heardOn != null && !down) {
                down = true;
                String what = failure.getMessage() + "; listening again, events may be missed";
                tell("onError", () -> listener.onError(what));
                tell("onState", () -> listener.onState(State.WAITING));
            }
        }

        private long failed(PushletException failure) {
            if (heardOn == null) {
                acked.completeExceptionally(failure);
                stopped.countDown();
                return 0;
            }
            begins(failure);
            long pauseMs = backoff.pauseMs(nowMs(), ThreadLocalRandom.current().nextDouble()) + failure.retryMs;
            int tries = backoff.failures();
            debug("listening again in " + pauseMs + " ms: " + failure.getMessage());
            tell("onRetry", () -> listener.onRetry(failure.getMessage(), tries, Duration.ofMillis(pauseMs)));
            return pauseMs;
        }

        /** Reads one data answer (rules P-14 to P-16). Returns the time until the next one, in ms. */
        private long answer(Session now) throws PushletException {
            Form form = now.form(now.listens == this ? "refresh" : "listen");
            if (now.listens != this) {
                form.add("p_mode", mode);
                if (queueSize > 0) {
                    form.add("p_queue", Integer.toString(queueSize));
                }
                if (overflow != null) {
                    form.add("p_overflow", overflow);
                }
            }
            try (Body reading = new Body()) {
                body = reading;
                if (isStopped() || session.get() != now) {
                    throw PushletException.plain("the session was begun anew");
                }
                exchange(form, reading, requestMs);
                return events(now, new Lines(reading));
            } catch (IOException failure) {
                throw session.get() == now ? PushletException.broken(url, failure)
                        : PushletException.plain("the session was begun anew");
            } catch (InterruptedException interrupted) {
                throw PushletException.interrupted();
            } finally {
                body = null;
            }
        }

        private long events(Session now, Lines lines) throws IOException, InterruptedException, PushletException {
            Map<String, String> first = lines.next(heartbeatMs);
            String type = first == null ? "" : first.getOrDefault("p_event", "");
            if (type.equals("nack")) {
                // It may be that the server does not know of the listen: say it again.
                now.listens = null;
                throw PushletException.refused(first);
            }
            if (!type.endsWith("-ack")) {
                throw new IOException("the answer does not begin with an ack");
            }
            accepted(now, first);
            while (true) {
                Map<String, String> next = lines.next(heartbeatMs);
                if (next == null) {
                    throw PushletException.plain("the server ended the answer");
                }
                String event = next.getOrDefault("p_event", "");
                if (event.equals("refresh")) {
                    long waitMs = waitMs(needed(next, "p_wait"));
                    if (lines.next(heartbeatMs) != null) {
                        throw new IOException("events behind a refresh");
                    }
                    return waitMs;
                }
                deliver(now, event, next);
            }
        }

        private void accepted(Session now, Map<String, String> ack) {
            boolean same = heardOn == now;
            boolean was = heardOn != null && down;
            boolean begun = heardOn == null;
            effectiveMode = ack.getOrDefault("p_mode", effectiveMode);
            now.listens = this;
            heardOn = now;
            down = false;
            began = false;
            backoff.opened(nowMs());
            acked.complete(null);
            for (String notice = notices.poll(); notice != null; notice = notices.poll()) {
                String text = notice;
                tell("onError", () -> listener.onError(text));
            }
            if (begun || was) {
                tell("onState", () -> listener.onState(State.LISTENING));
            }
            if (was) {
                debug("listening again");
                tell("onReconnect", () -> listener.onReconnect(same));
            }
        }

        private void deliver(Session now, String type, Map<String, String> fields) throws PushletException {
            String sid = fields.get("p_sid");
            if (sid != null) {
                fields.put("p_sid", ours(now, sid));
            }
            Event event = new Event(fields, now.id.equals(fields.get("p_from")));
            long count = event.getLost();
            if (count > 0) {
                lost.addAndGet(count);
                tell("onLost", () -> listener.onLost(count, event));
            }
            switch (type) {
                case "data" -> tell("onData", () -> listener.onData(event));
                case "hb" -> tell("onHeartbeat", () -> listener.onHeartbeat(event));
                case "abort" -> {
                    forget(now);
                    down = true;
                    tell("onAbort", () -> listener.onAbort(event));
                    tell("onState", () -> listener.onState(State.WAITING));
                    throw PushletException.aborted(event);
                }
                default -> debug("an event of a kind that nobody knows: " + type);
            }
        }

        /** The program's name of a subscription. */
        private String ours(Session now, String sid) {
            String name = now.sids.get(sid);
            if (name == null) {
                // Its subscribe is under way: whoever holds the lock is about to name it.
                control.lock();
                try {
                    name = now.sids.getOrDefault(sid, sid);
                } finally {
                    control.unlock();
                }
            }
            return name;
        }

        /** Calls the program. What it throws harms nobody and is told. */
        private void tell(String what, Runnable call) {
            callbacks.lock();
            try {
                if (!isStopped()) {
                    call.run();
                }
            } catch (Throwable thrown) {
                LOG.log(System.Logger.Level.WARNING, what + " threw", thrown);
                if (!what.equals("onError")) {
                    tell("onError", () -> listener.onError(what + " threw " + thrown));
                }
            } finally {
                callbacks.unlock();
                // An interrupt that a callback left behind is not for us.
                Thread.interrupted();
            }
        }
    }

    /** Pauses between attempts: full jitter below a ceiling of 0.5 s that doubles to 20 s. Has no clock of its own. */
    static final class Backoff {
        static final long FIRST_MS = 500;
        static final long LONGEST_MS = 20_000;
        static final long LEAST_MS = 100;
        static final long STABLE_MS = 60_000;

        private int failures;
        private long openedMs;
        private boolean isOpen;

        void opened(long nowMs) {
            if (!isOpen) {
                isOpen = true;
                openedMs = nowMs;
            }
        }

        /** The pause after a failure; {@code random} is at least 0 and below 1. */
        long pauseMs(long nowMs, double random) {
            if (isOpen && nowMs - openedMs >= STABLE_MS) {
                failures = 0;
            }
            isOpen = false;
            long ceilingMs = Math.min(LONGEST_MS, FIRST_MS << Math.min(failures, 10));
            failures++;
            return LEAST_MS + (long) (random * (ceilingMs - LEAST_MS));
        }

        int failures() {
            return failures;
        }
    }

    private static long nowMs() {
        return System.nanoTime() / 1_000_000;
    }

    // Requests

    private static final class Shared {
        static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(CONNECT).followRedirects(HttpClient.Redirect.NEVER).build();
    }

    private HttpClient http() {
        HttpClient own = http;
        return own == null ? Shared.CLIENT : own;
    }

    private HttpRequest.Builder request(Form form) {
        HttpRequest.Builder request = HttpRequest.newBuilder(url)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(form.toString(), StandardCharsets.US_ASCII));
        String key = authorization;
        if (key != null) {
            request.header("Authorization", key);
        }
        return request;
    }

    /** Sends a form and reads the answer to its end, so that the connection can be used again. Returns the ack. */
    private Map<String, String> control(Form form, long patienceMs) throws PushletException {
        long untilMs = nowMs() + patienceMs;
        try (Body body = new Body()) {
            exchange(form, body, patienceMs);
            Lines lines = new Lines(body);
            Map<String, String> first = lines.next(untilMs - nowMs());
            while (lines.next(untilMs - nowMs()) != null) {
                debug("one more event in an answer");
            }
            String type = first == null ? "" : first.getOrDefault("p_event", "");
            if (type.equals("nack")) {
                throw PushletException.refused(first);
            }
            if (!type.endsWith("-ack")) {
                throw new IOException("the answer is no ack");
            }
            debug(type);
            return first;
        } catch (IOException failure) {
            throw PushletException.broken(url, failure);
        } catch (InterruptedException interrupted) {
            throw PushletException.interrupted();
        }
    }

    /** Sends a form and waits for status 200; the answer is then to be read from {@code body}. */
    private void exchange(Form form, Body body, long patienceMs)
            throws PushletException, IOException, InterruptedException {
        CompletableFuture<HttpResponse<Body>> answer;
        try {
            answer = http().sendAsync(request(form).build(), info -> body);
        } catch (RuntimeException unable) {
            // An HttpClient of the program's own, which is shut down.
            throw new IOException(unable);
        }
        body.begin(answer);
        HttpResponse<Body> response;
        try {
            response = answer.get(patienceMs, TimeUnit.MILLISECONDS);
        } catch (CancellationException ended) {
            throw new IOException("it was closed here");
        } catch (TimeoutException late) {
            throw new HttpTimeoutException("no answer within " + patienceMs + " ms");
        } catch (ExecutionException failure) {
            throw failure.getCause() instanceof IOException cause ? cause : new IOException(failure.getCause());
        }
        int status = response.statusCode();
        if (status != 200) {
            long retryMs = retryAfterMs(response.headers().firstValue("Retry-After").orElse(""));
            throw PushletException.http(url, status, body.firstLine(), retryMs);
        }
    }

    /** RFC 9110 section 10.2.3: seconds or a date. */
    static long retryAfterMs(String text) {
        long ms = 0;
        try {
            if (text.matches("[0-9]{1,9}")) {
                ms = 1_000 * Long.parseLong(text);
            } else if (!text.isEmpty()) {
                ZonedDateTime at = ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME);
                ms = Duration.between(ZonedDateTime.now(at.getZone()), at).toMillis();
            }
        } catch (DateTimeException | ArithmeticException unreadable) {
            ms = 0;
        }
        return Math.max(0, Math.min(ms, HINT_MAX_MS));
    }

    private static long waitMs(String text) throws IOException {
        if (!text.matches("[0-9]{1,9}")) {
            throw new IOException("p_wait is no number of milliseconds");
        }
        return Math.max(WAIT_MIN_MS, Math.min(Long.parseLong(text), WAIT_MAX_MS));
    }

    private String needed(Map<String, String> event, String name) throws PushletException {
        String value = event.get(name);
        if (value == null) {
            throw PushletException.broken(url, new IOException("there is no " + name + " in the answer"));
        }
        return value;
    }

    private void debug(String text) {
        if (debug) {
            System.err.println("pushlet: " + text);
        }
    }

    /** A session as the server knows it. */
    private static final class Session {
        final String id;
        final String address;
        /** The server's names of subscriptions, and the program's. */
        final Map<String, String> sids = new ConcurrentHashMap<>();
        /** Who has had an ack of its listen: it goes on by refresh. */
        volatile Listening listens;

        Session(String id, String address) {
            this.id = id;
            this.address = address;
        }

        Form form(String event) {
            return new Form().add("p_event", event).add("p_id", id);
        }
    }

    /** What the program wants to hear. Its sids are guarded by {@code control}. */
    private static final class Subscription {
        final String subject;
        final String label;
        /** The program's name of it: it stays. */
        String sid;
        /** The name in the session that there is now. */
        String sidOnServer;

        Subscription(String subject, String label) {
            this.subject = subject;
            this.label = label;
        }
    }

    /** A body of type application/x-www-form-urlencoded (rule P-3). */
    static final class Form {
        private final StringBuilder text = new StringBuilder();

        Form add(String name, String value) {
            if (text.length() > 0) {
                text.append('&');
            }
            text.append(encoded(name)).append('=').append(encoded(value));
            return this;
        }

        Form add(Form more) {
            text.append('&').append(more.text);
            return this;
        }

        private static String encoded(String text) {
            if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
                throw new IllegalArgumentException("half of a surrogate pair is no text");
            }
            return URLEncoder.encode(text, StandardCharsets.UTF_8);
        }

        @Override
        public String toString() {
            return text.toString();
        }
    }

    /**
     * The body of an answer, read line by line by one thread as it comes. Nothing is asked of the connection before
     * what came is used, so that a slow listener fills the server's queue and its rules (P-30) are in force.
     */
    private final class Body implements HttpResponse.BodySubscriber<Body>, AutoCloseable {
        private static final Object END = new Object();

        private final LinkedBlockingQueue<Object> parts = new LinkedBlockingQueue<>();
        private final CompletableFuture<Flow.Subscription> source = new CompletableFuture<>();
        private final ByteArrayOutputStream line = new ByteArrayOutputStream();
        private volatile CompletableFuture<?> answer;
        private volatile boolean cancelled;
        private Iterator<ByteBuffer> buffers = Collections.emptyIterator();
        private ByteBuffer buffer = ByteBuffer.allocate(0);
        private boolean isOwed;
        private boolean ended;

        void begin(CompletableFuture<?> answer) {
            this.answer = answer;
            open.add(this);
            if (cancelled) {
                cancel();
            }
        }

        /** Ends the exchange, by any thread; who reads is told. */
        void cancel() {
            cancelled = true;
            CompletableFuture<?> now = answer;
            if (now != null) {
                now.cancel(true);
            }
            if (!source.cancel(false)) {
                source.thenAccept(Flow.Subscription::cancel);
            }
            parts.add(END);
        }

        @Override
        public void close() {
            open.remove(this);
            if (!ended) {
                cancel();
            }
        }

        @Override
        public CompletionStage<Body> getBody() {
            return CompletableFuture.completedStage(this);
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            if (source.complete(subscription)) {
                subscription.request(1);
            } else {
                subscription.cancel();
            }
        }

        @Override
        public void onNext(List<ByteBuffer> part) {
            parts.add(part);
        }

        @Override
        public void onError(Throwable failure) {
            parts.add(failure);
        }

        @Override
        public void onComplete() {
            parts.add(END);
        }

        /** The next line without its line feed; null at the end. A longer pause than {@code patienceMs} is an error. */
        String line(long patienceMs) throws IOException, InterruptedException {
            while (true) {
                if (cancelled) {
                    throw new IOException("it was closed here");
                }
                if (buffer.hasRemaining() && takeLine()) {
                    return taken();
                }
                if (buffers.hasNext()) {
                    buffer = buffers.next();
                } else if (!more(patienceMs)) {
                    return line.size() == 0 ? null : taken();
                }
            }
        }

        /** Takes what there is of a line; false if its end is not there. */
        private boolean takeLine() throws IOException {
            int from = buffer.position();
            int to = from;
            while (to < buffer.limit() && buffer.get(to) != '\n') {
                to++;
            }
            if (line.size() + (to - from) > LINE_BYTES_MAX) {
                throw new IOException("a line of more than " + LINE_BYTES_MAX + " bytes");
            }
            byte[] piece = new byte[to - from];
            buffer.get(piece);
            line.write(piece, 0, piece.length);
            boolean whole = buffer.hasRemaining();
            if (whole) {
                buffer.get();
            }
            return whole;
        }

        private String taken() throws CharacterCodingException {
            ByteBuffer bytes = ByteBuffer.wrap(line.toByteArray());
            line.reset();
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        }

        @SuppressWarnings("unchecked")
        private boolean more(long patienceMs) throws IOException, InterruptedException {
            if (ended) {
                return false;
            }
            if (isOwed) {
                isOwed = false;
                source.thenAccept(subscription -> subscription.request(1));
            }
            Object part = parts.poll(patienceMs, TimeUnit.MILLISECONDS);
            if (part == null) {
                throw new HttpTimeoutException("nothing came for " + patienceMs + " ms");
            }
            if (part == END) {
                if (cancelled) {
                    throw new IOException("it was closed here");
                }
                ended = true;
                return false;
            }
            if (part instanceof Throwable failure) {
                throw failure instanceof IOException known ? known : new IOException(failure);
            }
            buffers = ((List<ByteBuffer>) part).iterator();
            isOwed = true;
            return true;
        }

        /** What an error page says, in a few words. */
        String firstLine() throws InterruptedException {
            try {
                String text = line(LEAVE_MS);
                text = text == null ? "" : text.replaceAll("\\p{Cntrl}", " ").strip();
                return text.length() > ERROR_CHARS_MAX ? text.substring(0, ERROR_CHARS_MAX) + "..." : text;
            } catch (IOException unreadable) {
                return "";
            }
        }
    }

    /** Events of an answer: the lines of an array, or of a stream (rule P-9). */
    private static final class Lines {
        private final Body body;
        private boolean isArray;
        private boolean begun;
        private boolean ended;

        Lines(Body body) {
            this.body = body;
        }

        /** The next event; null at the end. */
        Map<String, String> next(long patienceMs) throws IOException, InterruptedException {
            while (true) {
                String line = body.line(Math.max(1, patienceMs));
                if (line == null) {
                    if (isArray != ended) {
                        throw new IOException("the answer was cut");
                    }
                    return null;
                }
                line = line.strip();
                boolean first = !begun;
                begun |= !line.isEmpty();
                if (first && line.startsWith("[")) {
                    isArray = true;
                    return Json.object(line.substring(1));
                } else if (isArray && !ended && line.equals("]")) {
                    ended = true;
                } else if (isArray && !ended && line.startsWith(",")) {
                    return Json.object(line.substring(1));
                } else if (!isArray && !line.isEmpty()) {
                    return Json.object(line);
                } else if (!line.isEmpty()) {
                    throw new IOException("a line that does not belong into the array of an answer");
                }
            }
        }
    }

    /** Reads one flat JSON object of strings (RFC 8259), strictly. The first of a repeated name wins. */
    static final class Json {
        private static final int FIELDS_MAX = 512;

        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Map<String, String> object(String text) throws IOException {
            return new Json(text).object();
        }

        private Map<String, String> object() throws IOException {
            Map<String, String> fields = new LinkedHashMap<>();
            expect('{');
            if (peek() == '}') {
                at++;
            } else {
                do {
                    String name = string();
                    expect(':');
                    fields.putIfAbsent(name, string());
                    if (fields.size() > FIELDS_MAX) {
                        throw new IOException("an event of more than " + FIELDS_MAX + " fields");
                    }
                } while (goesOn());
            }
            if (peek() != 0 || at < text.length()) {
                throw unreadable("something behind the object");
            }
            return fields;
        }

        private boolean goesOn() throws IOException {
            char next = peek();
            if (next != ',' && next != '}') {
                throw unreadable("no comma and no end");
            }
            at++;
            return next == ',';
        }

        /** The next character that is no white space; 0 at the end. */
        private char peek() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            return at < text.length() ? text.charAt(at) : 0;
        }

        private void expect(char wanted) throws IOException {
            if (peek() != wanted) {
                throw unreadable("no " + wanted);
            }
            at++;
        }

        private char take() throws IOException {
            if (at >= text.length()) {
                throw unreadable("the end of the line");
            }
            return text.charAt(at++);
        }

        private String string() throws IOException {
            expect('"');
            StringBuilder value = new StringBuilder();
            while (true) {
                char next = take();
                if (next == '"') {
                    break;
                } else if (next == '\\') {
                    value.append(escaped());
                } else if (next < ' ') {
                    throw unreadable("a control character");
                } else {
                    value.append(next);
                }
            }
            if (!StandardCharsets.UTF_8.newEncoder().canEncode(value)) {
                throw unreadable("half of a surrogate pair");
            }
            return value.toString();
        }

        private char escaped() throws IOException {
            char letter = take();
            return switch (letter) {
                case '"', '\\', '/' -> letter;
                case 'b' -> '\b';
                case 'f' -> '\f';
                case 'n' -> '\n';
                case 'r' -> '\r';
                case 't' -> '\t';
                case 'u' -> (char) (digit() << 12 | digit() << 8 | digit() << 4 | digit());
                default -> throw unreadable("an unknown escape");
            };
        }

        private int digit() throws IOException {
            char letter = take();
            int digit = letter < 128 ? Character.digit(letter, 16) : -1;
            if (digit < 0) {
                throw unreadable("no hexadecimal digit");
            }
            return digit;
        }

        private IOException unreadable(String what) {
            return new IOException("the answer is not the JSON that it should be: " + what + " at character " + at);
        }
    }

    // What the program sees

    /** Hears what comes. Whatever these methods throw is told to {@link #onError} and stops nothing. */
    public interface PushletClientListener extends Protocol {
        /** The server has ended the session, and {@code p_reason} says why. The client comes again by itself. */
        void onAbort(Event event);

        /** Somebody has published. */
        void onData(Event event);

        /** Nothing was published for a while. */
        void onHeartbeat(Event event);

        /**
         * Something went wrong, in one sentence. Listening goes on: an outage is told once at its beginning; {@link
         * #onReconnect} tells its end.
         */
        void onError(String message);

        /**
         * The server dropped events because this client was too slow (rule P-30). Without a method of your own it is an
         * error, so that it is not overlooked.
         *
         * @param count how many, directly before this event
         * @param next the event that comes next, which is given to its own method afterwards
         */
        default void onLost(long count, Event next) {
            onError(count + (count == 1 ? " event was lost" : " events were lost") + ": this client is too slow");
        }

        /**
         * It listens again after an outage, with all subscriptions.
         *
         * @param sameSession true: the events of the outage come now, except what was under way when the connection
         *     broke and what {@link #onLost} tells. False: there is a new session, and they are missed
         */
        default void onReconnect(boolean sameSession) {
        }

        /** An attempt to listen has failed; the next one is after this pause. */
        default void onRetry(String reason, int tries, Duration pause) {
        }

        /** It begins to listen ({@link State#LISTENING}), or is cut off ({@link State#WAITING}). */
        default void onState(State state) {
        }
    }

    /** An event of the server: names and values. It does not change. */
    public static final class Event {
        private final Map<String, String> fields;
        private final boolean own;

        private Event(Map<String, String> fields, boolean own) {
            this.fields = Collections.unmodifiableMap(fields);
            this.own = own;
        }

        /** What kind of event it is: {@code data}, {@code hb}, {@code abort}. */
        public String getEventType() {
            return getField(Protocol.P_EVENT, "");
        }

        /** What it is about; null if it is no {@code data}. */
        public String getSubject() {
            return getField(Protocol.P_SUBJECT);
        }

        /** The value of a field; null if there is none. */
        public String getField(String name) {
            return fields.get(name);
        }

        /** The value of a field, or another if there is none. */
        public String getField(String name, String otherwise) {
            return fields.getOrDefault(name, otherwise);
        }

        /** The names of all fields, in the order of the server. */
        public Iterator<String> getFieldNames() {
            return fields.keySet().iterator();
        }

        /** All fields, in the order of the server. */
        public Map<String, String> getFields() {
            return fields;
        }

        /** The address of the session that published it, for {@link PushletClient#publishTo}; null if it was none. */
        public String getFrom() {
            return getField(Protocol.P_FROM);
        }

        /** This client published it. Its {@code p_from} is then the secret id of the session (rule P-22). */
        public boolean isOwn() {
            return own;
        }

        /** How many events were dropped directly before this one (rule P-30). */
        public long getLost() {
            String count = getField(Protocol.P_LOST, "0");
            return count.matches("[0-9]{1,18}") ? Long.parseLong(count) : 0;
        }

        /** All fields but secret ids, for logs. */
        @Override
        public String toString() {
            Map<String, String> shown = new LinkedHashMap<>(fields);
            shown.remove(Protocol.P_ID);
            if (own) {
                shown.remove(Protocol.P_FROM);
            }
            return shown.toString();
        }
    }

    /** Why a request failed. */
    public static final class PushletException extends Exception {
        private static final long serialVersionUID = 1;

        /** HTTP status; 0 if there was none. */
        private final int status;
        private final boolean refused;
        private final boolean gone;
        private final boolean aborted;
        private final boolean inDoubt;
        private final long retryMs;

        private PushletException(String message, Throwable cause, int status, Kind kind, long retryMs) {
            super(message, cause);
            this.status = status;
            this.refused = kind == Kind.REFUSED;
            this.gone = kind == Kind.GONE;
            this.aborted = kind == Kind.ABORTED;
            this.inDoubt = kind == Kind.IN_DOUBT;
            this.retryMs = retryMs;
        }

        private enum Kind { PLAIN, REFUSED, GONE, ABORTED, IN_DOUBT }

        private static PushletException plain(String message) {
            return new PushletException(message, null, 0, Kind.PLAIN, 0);
        }

        /** Leaves the mark of the interrupt. */
        private static PushletException interrupted() {
            Thread.currentThread().interrupt();
            return new PushletException("interrupted while waiting for the server", null, 0, Kind.IN_DOUBT, 0);
        }

        private static PushletException refused(Map<String, String> nack) {
            String reason = nack.getOrDefault("p_reason", "the server refuses and does not say why");
            return new PushletException(reason, null, 200, Kind.REFUSED, hintMs(nack.get("p_wait")));
        }

        private static PushletException aborted(Event abort) {
            String reason = abort.getField("p_reason", "the server has ended the session");
            long pauseMs = hintMs(abort.getField("p_wait"));
            if (pauseMs == 0 && reason.contains("shutting down")) {
                // Why sessions end, number 6: everybody else comes again, too.
                pauseMs = ThreadLocalRandom.current().nextLong(SHUTDOWN_MIN_MS, SHUTDOWN_MAX_MS);
            }
            return new PushletException(reason, null, 200, Kind.ABORTED, pauseMs);
        }

        private static long hintMs(String text) {
            return text != null && text.matches("[0-9]{1,9}") ? Math.min(Long.parseLong(text), HINT_MAX_MS) : 0;
        }

        private static PushletException http(URI url, int status, String text, long retryMs) {
            boolean unknown = status == 400 && text.startsWith("Invalid or expired id");
            // What a server refuses it has not done; what a gateway lost it may have.
            boolean open = status < 300 || status >= 500 && status != 503;
            String message = unknown ? "the server does not know the session (any more)"
                    : url + " answers with status " + status + (text.isEmpty() ? "" : ": " + text);
            return new PushletException(message, null, status,
                    unknown ? Kind.GONE : open ? Kind.IN_DOUBT : Kind.PLAIN, retryMs);
        }

        private static PushletException broken(URI url, IOException failure) {
            boolean never = failure instanceof ConnectException || failure instanceof HttpConnectTimeoutException
                    || failure instanceof SSLHandshakeException;
            String what = failure.getMessage();
            if (failure.getCause() instanceof UnresolvedAddressException) {
                what = "nobody knows this host";
            } else if (failure instanceof ConnectException) {
                what = "nobody accepts connections there";
            } else if (what == null || what.isEmpty()) {
                what = failure.getClass().getSimpleName();
            } else if (what.contains("chunked transfer encoding") || what.contains("fixed content-length")) {
                what = "the connection was cut";
            }
            return new PushletException("no good answer from " + url + ": " + what, failure, 0,
                    never ? Kind.PLAIN : Kind.IN_DOUBT, 0);
        }

        /** A refusal that says nothing about the request: the server's state is the reason. */
        private boolean mayPass() {
            return getMessage().startsWith("overloaded") || getMessage().contains("shutting down");
        }

        /** The HTTP status of the answer, 200 for a nack; 0 if there was none. */
        public int getStatus() {
            return status;
        }

        /** The server understood and refuses; the message is its reason. */
        public boolean isRefused() {
            return refused;
        }

        /** The request may have been carried out: nobody knows. A publish may have arrived. */
        public boolean isInDoubt() {
            return inDoubt;
        }

        /** How long the server asks to wait before it is tried again; zero if it does not say. */
        public Duration getRetryAfter() {
            return Duration.ofMillis(retryMs);
        }
    }

    /** Words of the protocol. */
    public interface Protocol {
        /** One answer that goes on, with the events as they come. */
        String MODE_STREAM = "stream";
        /** Answers that wait for events. */
        String MODE_PULL = "pull";
        /** Answers that come at once, every few seconds. */
        String MODE_POLL = "poll";
        /** The kind of an event. */
        String P_EVENT = "p_event";
        /** The id of a session, a secret. */
        String P_ID = "p_id";
        /** What an event is about. */
        String P_SUBJECT = "p_subject";
        /** The address of the session that published it. */
        String P_FROM = "p_from";
        /** The address of the one session that is to get it. */
        String P_TO = "p_to";
        /** The subscription by which it came. */
        String P_SID = "p_sid";
        /** The label of that subscription. */
        String P_LABEL = "p_label";
        /** Its number in the answer. */
        String P_SEQ = "p_seq";
        /** How many events were dropped before it. */
        String P_LOST = "p_lost";
        /** When it was published, in seconds since 1970. */
        String P_TIME = "p_time";
        /** Why a session ended, or a request was refused. */
        String P_REASON = "p_reason";
        /** Somebody published. */
        String E_DATA = "data";
        /** Nobody did. */
        String E_HEARTBEAT = "hb";
        /** The session has ended. */
        String E_ABORT = "abort";
    }
}
