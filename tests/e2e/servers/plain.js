// An ordinary web service of node: binds its own port (dual stack, as node does), finishes what it has begun at SIGTERM.
// The environment says how it behaves; see tests/tools/server.c.
// Knows MODE good, careless (no handler for SIGTERM), exit, never-ready, hang, unhealthy, deaf, crash, slow-boot.
'use strict';
const http = require('http');

const mode = process.env.MODE || 'good';
const generation = process.env.TACET_GENERATION || process.env.GENERATION || '0';

const server = http.createServer((request, response) => {
        const body = `${generation} ${process.pid} ${mode}\n`;
        const answer = () => {
                const headers = {'Content-Length': body.length, 'Connection': 'close'};
                response.writeHead(mode === 'unhealthy' ? 503 : 200, headers);
                response.end(body);
        };
        if (request.url === '/slow')
                setTimeout(answer, 300);
        else if (request.url !== '/never')
                answer();
});

if (mode === 'exit')
        process.exit(1);
if (mode === 'hang' || mode === 'deaf')
        process.on('SIGTERM', () => {});
if (mode === 'hang' || mode === 'never-ready')
        setInterval(() => {}, 1000);
else
        setTimeout(() => server.listen(Number(process.env.PORT)), mode === 'slow-boot' ? 1500 : 0);
if (mode === 'crash')
        setTimeout(() => process.exit(1), Number(process.env.CRASH_MS || '500'));
if (!['hang', 'never-ready', 'deaf', 'careless'].includes(mode))
        process.on('SIGTERM', () => server.close(() => process.exit(0)));
