// Makes a component of a JavaScript file: `node build.mjs SOURCE WIT WORLD OUTPUT`. Run by `cargo xtask components`,
// beside the packages that package-lock.json names.

import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const [sourcePath, witPath, worldName, output] = process.argv.slice(2);
// `fetch` and its event are not used: the handler of requests is an export like any other.
const disableFeatures = ['http', 'fetch-event'];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(output, component);
