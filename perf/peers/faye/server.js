'use strict';

// Bayeux below /faye, all channels open, the engine in memory.

const http = require('node:http');
const faye = require('faye');

const HOUR_SECONDS = 3600;
const server = http.createServer((request, response) => {
    response.end('ok\n');
});
const bayeux = new faye.NodeAdapter({ mount: '/faye', timeout: HOUR_SECONDS });

bayeux.attach(server);
server.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 });
