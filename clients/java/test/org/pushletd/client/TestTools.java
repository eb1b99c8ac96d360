package org.pushletd.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.pushletd.client.PushletClient.Event;
import org.pushletd.client.PushletClient.PushletClientListener;
import org.pushletd.client.PushletClient.PushletException;
import org.pushletd.client.PushletClient.State;

/** What the tests need: servers that are the real program, relays that fail on demand, and listeners that remember. */
final class TestTools {
    /** Much longer than anything takes on a busy machine. */
    static final long PATIENCE_MS = 60_000;

    private TestTools() {
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void same(Object is, Object wanted) {
        if (!Objects.equals(is, wanted)) {
            throw new AssertionError("is " + is + ", not " + wanted);
        }
    }

    interface Action {
        void run() throws Exception;
    }

    static PushletException refused(Action action) throws Exception {
        try {
            action.run();
        } catch (PushletException failure) {
            return failure;
        }
        throw new AssertionError("no exception");
    }

    static void illegal(Action action) throws Exception {
        try {
            action.run();
        } catch (IllegalArgumentException wanted) {
            return;
        }
        throw new AssertionError("no IllegalArgumentException");
    }

    static void await(CountDownLatch latch) throws InterruptedException {
        check(latch.await(PATIENCE_MS, TimeUnit.MILLISECONDS), "not within the patience of a test");
    }

    static void end(Thread thread) throws InterruptedException {
        thread.join(PATIENCE_MS);
        check(!thread.isAlive(), thread + " does not end");
    }

    static PushletClient client(int port) {
        PushletClient client = new PushletClient("127.0.0.1", port);
        client.setRequestTimeout(Duration.ofSeconds(20));
        return client;
    }

    /** Another program: what it says is gathered, and it ends with its test. */
    static final class Program implements AutoCloseable {
        private static final Set<Process> RUNNING = ConcurrentHashMap.newKeySet();

        static {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> RUNNING.forEach(Process::destroyForcibly)));
        }

        final Process process;
        private final LinkedBlockingQueue<String> lines = new LinkedBlockingQueue<>();
        private final StringBuffer said = new StringBuffer();

        Program(String... command) throws IOException {
            process = new ProcessBuilder(command).redirectErrorStream(true).start();
            RUNNING.add(process);
            Thread reader = new Thread(() -> process.inputReader(StandardCharsets.UTF_8).lines().forEach(line -> {
                said.append(line).append('\n');
                lines.add(line);
            }));
            reader.setDaemon(true);
            reader.start();
        }

        /** Waits for a line with this in it. */
        String awaitLine(String part) throws IOException {
            long untilNs = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            try {
                String line = "";
                while (line != null && !line.contains(part)) {
                    line = lines.poll(untilNs - System.nanoTime(), TimeUnit.NANOSECONDS);
                }
                check(line != null, "a program did not say " + part + " but\n" + said);
                return line;
            } catch (InterruptedException interrupted) {
                throw new IOException(interrupted);
            }
        }

        void awaitEnd() throws InterruptedException {
            check(process.waitFor(PATIENCE_MS, TimeUnit.MILLISECONDS), "a program does not end; it said\n" + said);
            same(process.exitValue() + said.toString(), "0" + said);
        }

        @Override
        public void close() {
            process.destroyForcibly().onExit().orTimeout(PATIENCE_MS, TimeUnit.MILLISECONDS).join();
            RUNNING.remove(process);
        }
    }

    /** A pushletd on a free port. */
    static final class Server implements AutoCloseable {
        private static final Pattern LISTENING = Pattern.compile("listening on http://[^:]+:(\\d+)/");

        final int port;
        private final Program program;
        private final Path folder;

        Server(String... settings) throws IOException {
            this(1, settings);
        }

        Server(int cores, String... settings) throws IOException {
            folder = Files.createTempDirectory("pushletd-java-");
            Path key = folder.resolve("test.key");
            Files.writeString(key, "0123456789abcdef-right\n");
            check(key.toFile().setReadable(false, false) && key.toFile().setReadable(true, true), "a private file");
            Path config = Files.writeString(folder.resolve("pushletd.toml"), String.join("\n", settings) + "\n");
            program = new Program(System.getProperty("pushletd"), "--listen", "127.0.0.1:0", "--admin", "off", "--demo",
                    "off", "--drain-time", "2s", "--cores", Integer.toString(cores), "--config", config.toString());
            Matcher match = LISTENING.matcher(program.awaitLine("listening on "));
            check(match.find(), "no address");
            port = Integer.parseInt(match.group(1));
        }

        /** Ends it as an operator does, and waits until it has ended. */
        void terminate() throws InterruptedException {
            program.process.destroy();
            check(program.process.waitFor(PATIENCE_MS, TimeUnit.MILLISECONDS), "the server does not end");
        }

        /** Ends it as an accident does. */
        void kill() {
            program.close();
        }

        @Override
        public void close() throws IOException {
            program.close();
            for (String name : List.of("test.key", "pushletd.toml")) {
                Files.deleteIfExists(folder.resolve(name));
            }
            Files.delete(folder);
        }
    }

    /** A port that stays while the server behind it changes. It fails on demand. */
    static final class Relay implements AutoCloseable {
        final int port;
        private final ServerSocket door = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
        private volatile int to;
        /** An answer to a request with this text in it does not get through: the connection breaks instead. */
        private volatile String swallow;
        /** Data requests that came. */
        final LinkedBlockingQueue<String> requests = new LinkedBlockingQueue<>();

        Relay(int to) throws IOException {
            this.to = to;
            port = door.getLocalPort();
            Thread thread = new Thread(this::accept, "relay");
            thread.setDaemon(true);
            thread.start();
        }

        /** New connections lead there; 0: they break. Those that there are break in any case. */
        void leadTo(int to) {
            this.to = to;
            cut();
        }

        void cut() {
            sockets.forEach(Relay::hangUp);
            sockets.clear();
        }

        void swallowAnswerTo(String text) {
            swallow = text;
        }

        private static void hangUp(Socket socket) {
            try {
                socket.close();
            } catch (IOException already) {
                // It is closed.
            }
        }

        private void accept() {
            while (true) {
                try {
                    Socket client = door.accept();
                    int there = to;
                    if (there == 0) {
                        hangUp(client);
                        continue;
                    }
                    Socket server = new Socket(InetAddress.getLoopbackAddress(), there);
                    sockets.add(client);
                    sockets.add(server);
                    AtomicInteger swallowing = new AtomicInteger();
                    pump(client, server, swallowing, true);
                    pump(server, client, swallowing, false);
                } catch (IOException ended) {
                    if (door.isClosed()) {
                        return;
                    }
                }
            }
        }

        private void pump(Socket from, Socket into, AtomicInteger swallowing, boolean isRequest) {
            Thread thread = new Thread(() -> {
                try (from; into) {
                    byte[] piece = new byte[65_536];
                    for (int size = from.getInputStream().read(piece); size >= 0;
                            size = from.getInputStream().read(piece)) {
                        if (isRequest) {
                            String text = new String(piece, 0, size, StandardCharsets.UTF_8);
                            String unwanted = swallow;
                            if (unwanted != null && text.contains(unwanted)) {
                                swallow = null;
                                swallowing.set(1);
                            }
                            requests.add(text);
                        } else if (swallowing.get() == 1) {
                            return;
                        }
                        into.getOutputStream().write(piece, 0, size);
                    }
                } catch (IOException broken) {
                    // That is what it is for.
                }
            }, "relay");
            thread.setDaemon(true);
            thread.start();
        }

        @Override
        public void close() throws IOException {
            door.close();
            cut();
        }
    }

    /** A server of a few lines: it answers each request with what the script says, and remembers the requests. */
    static final class Script implements AutoCloseable {
        /** Answers one request: writes to the socket, and says whether the connection goes on. */
        interface Answer {
            boolean to(String request, Socket socket) throws Exception;
        }

        final int port;
        /** Head and body of each request. */
        final LinkedBlockingQueue<String> requests = new LinkedBlockingQueue<>();
        private final ServerSocket door = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
        private final Answer answer;

        Script(Answer answer) throws IOException {
            this.answer = answer;
            port = door.getLocalPort();
            start(() -> {
                while (true) {
                    Socket socket = door.accept();
                    sockets.add(socket);
                    start(() -> serve(socket));
                }
            });
        }

        private void start(Action action) {
            Thread thread = new Thread(() -> {
                try {
                    action.run();
                } catch (Exception ended) {
                    // The test is over, or the client has gone.
                }
            }, "script");
            thread.setDaemon(true);
            thread.start();
        }

        private void serve(Socket socket) throws Exception {
            try (socket) {
                InputStream in = socket.getInputStream();
                boolean goesOn = true;
                while (goesOn) {
                    String request = read(in);
                    requests.add(request);
                    goesOn = answer.to(request, socket);
                }
            }
        }

        private static String read(InputStream in) throws IOException {
            ByteArrayOutputStream head = new ByteArrayOutputStream();
            while (!head.toString(StandardCharsets.US_ASCII).endsWith("\r\n\r\n")) {
                int next = in.read();
                if (next < 0) {
                    throw new IOException("the client has gone");
                }
                head.write(next);
            }
            String text = head.toString(StandardCharsets.US_ASCII);
            Matcher length = Pattern.compile("(?i)content-length: (\\d+)").matcher(text);
            return text + (length.find() ? new String(in.readNBytes(Integer.parseInt(length.group(1)))) : "");
        }

        static void send(Socket socket, String text) throws IOException {
            socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
            socket.getOutputStream().flush();
        }

        /** A whole answer. */
        static boolean reply(Socket socket, String status, String fields, String body) throws IOException {
            send(socket, "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: "
                    + body.getBytes(StandardCharsets.UTF_8).length + "\r\n\r\n" + body);
            return true;
        }

        static boolean reply(Socket socket, String body) throws IOException {
            return reply(socket, "200 OK", "Content-Type: application/json\r\n", body);
        }

        /** The beginning of an answer that goes on. */
        static void begin(Socket socket) throws IOException {
            send(socket, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
        }

        static void chunk(Socket socket, String text) throws IOException {
            int size = text.getBytes(StandardCharsets.UTF_8).length;
            send(socket, Integer.toHexString(size) + "\r\n" + text + "\r\n");
        }

        @Override
        public void close() throws IOException {
            door.close();
            sockets.forEach(Relay::hangUp);
        }
    }

    /** Remembers what it hears, as texts, in order. */
    static class Heard implements PushletClientListener {
        private final List<String> all = new ArrayList<>();
        private final List<Event> events = new ArrayList<>();
        private int at;

        private synchronized void add(String text) {
            all.add(text);
            notifyAll();
        }

        @Override
        public void onData(Event event) {
            synchronized (this) {
                events.add(event);
            }
            add("data " + event.getField("n", "-"));
        }

        @Override
        public void onAbort(Event event) {
            add("abort " + event.getField(P_REASON));
        }

        @Override
        public void onHeartbeat(Event event) {
            add("hb");
        }

        @Override
        public void onError(String message) {
            add("error " + message);
        }

        @Override
        public void onLost(long count, Event next) {
            add("lost " + count);
        }

        @Override
        public void onReconnect(boolean sameSession) {
            add("reconnect " + sameSession);
        }

        @Override
        public void onRetry(String reason, int tries, Duration pause) {
            add("retry " + tries);
        }

        @Override
        public void onState(State state) {
            add("state " + state);
        }

        /** The next text of this kind; skips the others. */
        synchronized String next(Predicate<String> wanted) throws InterruptedException {
            long untilNs = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            while (true) {
                while (at < all.size()) {
                    String text = all.get(at++);
                    if (wanted.test(text)) {
                        return text;
                    }
                }
                long leftMs = TimeUnit.NANOSECONDS.toMillis(untilNs - System.nanoTime());
                check(leftMs > 0, "not heard; heard was " + all);
                wait(leftMs);
            }
        }

        String next(String begin) throws InterruptedException {
            return next(text -> text.startsWith(begin));
        }

        synchronized List<Event> events() {
            return List.copyOf(events);
        }

        synchronized List<String> all() {
            return List.copyOf(all);
        }

        synchronized long count(String begin) {
            return all.stream().filter(text -> text.startsWith(begin)).count();
        }

        synchronized void awaitEvents(int count) throws InterruptedException {
            long untilNs = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            while (events.size() < count) {
                long leftMs = TimeUnit.NANOSECONDS.toMillis(untilNs - System.nanoTime());
                check(leftMs > 0, events.size() + " events, not " + count + "; heard was " + all);
                wait(leftMs);
            }
        }
    }
}
