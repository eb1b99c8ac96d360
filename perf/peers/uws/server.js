'use strict';

// A small server of topics on uWebSockets. `GET /ws?subject=SUBJECT` subscribes and is told `ready`; a socket without a subject publishes
// by the text `SUBJECT\nPAYLOAD` and is told `ok`.

const uws = require('@trufflesuite/uws-js-unofficial');

const NEWLINE = 0x0a;
const app = uws.App();

app.ws('/ws', {
    compression: uws.DISABLED,
    idleTimeout: 0,
    maxLifetime: 0,
    sendPingsAutomatically: false,
    maxPayloadLength: 16 * 1024 * 1024,
    maxBackpressure: 64 * 1024 * 1024,
    closeOnBackpressureLimit: false,

    upgrade(response, request, context) {
        const subject = new URLSearchParams(request.getQuery()).get('subject');
        const key = request.getHeader('sec-websocket-key');
        const protocol = request.getHeader('sec-websocket-protocol');
        const extensions = request.getHeader('sec-websocket-extensions');
        response.upgrade({ subject }, key, protocol, extensions, context);
    },

    open(socket) {
        if (socket.subject) {
            socket.subscribe(socket.subject);
        }
        socket.send('ready');
    },

    message(socket, message) {
        const bytes = Buffer.from(message);
        const at = bytes.indexOf(NEWLINE);
        if (at < 1) {
            socket.send('no subject');
            return;
        }
        app.publish(bytes.toString('latin1', 0, at), bytes.subarray(at + 1), false);
        socket.send('ok');
    },
});

app.any('/*', response => {
    response.end('ok\n');
});

app.listen('127.0.0.1', Number(process.env.PORT), listening => {
    if (!listening) {
        console.error(`port ${process.env.PORT} is taken`);
        process.exit(1);
    }
});
