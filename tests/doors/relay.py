"""A port that stays while the server behind it changes, as a load balancer's does."""

import contextlib
import socket
import threading

BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 20\r\nConnection: close\r\n\r\n"
    b"<h1>Bad Gateway</h1>"
)


class Relay:
    """Passes connections on to the server that it leads to at the moment; without one it says 502, like its likes."""

    def __init__(self, to=None):
        self._to, self._open, self._lock = to, set(), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, server):
        self._to = server

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to.port)) if self._to else None
            except OSError:
                server = None
            if server is None:
                threading.Thread(target=self._refuse, args=(client,), daemon=True).start()
                continue
            with self._lock:
                self._open |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _refuse(client):
        with client:
            try:
                client.recv(65536)
                client.sendall(BAD_GATEWAY)
                client.shutdown(socket.SHUT_WR)
                # What is not read when a socket is closed takes the answer with it.
                while client.recv(65536):
                    pass
            except OSError:
                pass  # the client has gone

    def _pump(self, source, target):
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, target):
                with contextlib.suppress(OSError):  # it is down already
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Accept does not return when its socket is closed, but it does when it is shut down.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._open:
                end.close()
