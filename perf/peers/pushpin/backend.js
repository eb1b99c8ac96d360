'use strict';

// What stands behind pushpin: it answers `GET /stream/SUBJECT` with the order to hold the connection on the channel SUBJECT.

const http = require('node:http');

const PREFIX = '/stream/';
const server = http.createServer({ keepAliveTimeout: 3_600_000 }, (request, response) => {
    if (!request.url.startsWith(PREFIX)) {
        response.writeHead(200, { 'Content-Type': 'text/plain' });
        response.end('ok\n');
        return;
    }
    const channel = request.url.slice(PREFIX.length);
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Grip-Hold': 'stream', 'Grip-Channel': channel });
    response.end('ready\n');
});

server.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
