'use strict';

// Rooms of socket.io: `subscribe` SUBJECT joins one, `publish` SUBJECT PAYLOAD sends its members the event `e`. Both are acknowledged.

const http = require('node:http');
const { Server } = require('socket.io');

const HOUR_MS = 3_600_000;
const server = http.createServer((request, response) => {
    response.end('ok\n');
});
const io = new Server(server, {
    transports: ['websocket'],
    allowUpgrades: false,
    serveClient: false,
    perMessageDeflate: false,
    httpCompression: false,
    pingInterval: HOUR_MS,
    pingTimeout: HOUR_MS,
    connectTimeout: 60_000,
});

// Their own advice for many connections: the first request of a connection is not needed any more.
io.engine.on('connection', connection => {
    connection.request = null;
});

io.on('connection', socket => {
    socket.on('subscribe', (subject, answer) => {
        socket.join(subject);
        answer();
    });
    socket.on('publish', (subject, payload, answer) => {
        io.to(subject).emit('e', payload);
        answer();
    });
});

server.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
