// Write each vector of the package to its own file: `key: value` lines, an empty line, the age file (inflated).

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inflateSync } from "node:zlib";

const [, , index, out] = process.argv;
const vectors = await import(pathToFileURL(resolve(index)).href);

for (const [name, bytes] of Object.entries(vectors)) {
        if (!/^[a-z0-9_]+$/.test(name) || !(bytes instanceof Uint8Array))
                throw new Error(`unexpected export '${name}'`);
        const file = Buffer.from(bytes);
        const end = file.indexOf("\n\n");
        const lines = file.subarray(0, end).toString("latin1").split("\n");
        const body = file.subarray(end + 2);
        const isCompressed = lines.includes("compressed: zlib");
        const header = lines.filter((line) => !line.startsWith("compressed: ")).join("\n") + "\n\n";
        writeFileSync(join(out, name), Buffer.concat([Buffer.from(header, "latin1"), isCompressed ? inflateSync(body) : body]));
}
