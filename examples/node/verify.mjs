// Reads the card of a model.onnx and checks that the file answers in Node as it did where it was made.
//
//   npm install --prefix examples/node
//   node examples/node/verify.mjs model.onnx           natively, by onnxruntime-node
//   node examples/node/verify.mjs model.onnx --wasm    as WebAssembly, by onnxruntime-web, as a browser would
//
// Ends with 0 where every golden answer lies within the tolerance of the card, and with 1 where one does not.

import { readFile } from "node:fs/promises";

const METADATA = 14; // the field of ONNX's ModelProto that holds pairs of key and value
const PANES = [2, 4, 8, 16];

/** The fields of a protobuf message: [number, content]; of numbers in it, only lengths are needed. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) varint();
    else {
      const length = wire === 2 ? varint() : wire === 1 ? 8 : 4;
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

/** The card: onnxruntime's JavaScript does not tell a model's metadata, so it is read from the file itself. */
function cardOf(file) {
  for (const [number, entry] of fields(file)) {
    if (number !== METADATA) continue;
    const [key, value] = [...fields(entry)].map(([, content]) => Buffer.from(content).toString("utf8"));
    if (key === "vitrail") return JSON.parse(value);
  }
  throw new Error("this file has no vitrail card");
}

/** A golden image, recipe mosaic-1: panes of flat colour, as an input tensor [1, height, width, 3]. */
function mosaic(ort, panes, seed, height, width) {
  let state = seed;
  const glass = Uint8Array.from({ length: panes * panes * 3 }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state >>> 24;
  });
  const pixels = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const pane = Math.floor((row * panes) / height) * panes + Math.floor((column * panes) / width);
      pixels.set(glass.subarray(3 * pane, 3 * pane + 3), 3 * (row * width + column));
    }
  }
  return new ort.Tensor("uint8", pixels, [1, height, width, 3]);
}

function goldenImages(ort, size) {
  const canvases = PANES.map((panes, k) => mosaic(ort, panes, k + 1, size, size));
  return [...canvases, mosaic(ort, 4, 5, Math.floor((size * 3) / 2) + 1, 2 * size)];
}

const length = (vector) => Math.sqrt(vector.reduce((sum, one) => sum + one * one, 0));

function deviation(numbers) {
  const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, one) => sum + (one - mean) ** 2, 0) / numbers.length);
}

/** How far logits and embeddings lie from those of the card, and how far they may. */
async function check(ort, session, card) {
  const expected = card.golden.logits;
  const tolerance = card.golden.tolerance.CPUExecutionProvider;
  const longest = Math.max(...card.golden.embedding_lengths);
  const found = { logits: 0, embedding: 0 };
  for (const [k, image] of goldenImages(ort, card.input.size).entries()) {
    const { logits, embedding } = await session.run({ image });
    const off = expected[k].map((one, index) => Math.abs(one - logits.data[index]));
    found.logits = Math.max(found.logits, ...off);
    const apart = Math.abs(length(embedding.data) - card.golden.embedding_lengths[k]);
    found.embedding = Math.max(found.embedding, apart / longest);
    console.log(`image ${k}: ${card.classes[logits.data.indexOf(Math.max(...logits.data))]}`);
  }
  return [
    ["logits", found.logits, tolerance * Math.max(1, deviation(expected.flat()))],
    ["embedding", found.embedding, tolerance],
  ];
}

const [path, option] = process.argv.slice(2);
if (!path || (option && option !== "--wasm")) {
  console.error("usage: node verify.mjs model.onnx [--wasm]");
  process.exit(2);
}
const [library, provider] = option ? ["onnxruntime-web", "wasm"] : ["onnxruntime-node", "cpu"];
const ort = await import(library);
const file = await readFile(path);
const card = cardOf(file);
if ((card.task ?? "classification") !== "classification") {
  console.error(`this example checks models of one label an image; this one answers with ${card.task}`);
  process.exit(2);
}
const session = await ort.InferenceSession.create(file, { executionProviders: [provider] });
let passed = true;
for (const [name, off, allowed] of await check(ort, session, card)) {
  passed &&= off <= allowed;
  console.log(`${name}: off by ${off.toExponential(2)}, allowed ${allowed.toExponential(2)}`);
}
console.log(`${passed ? "verified" : "DIFFERS"} with ${library} ${ort.env.versions.common}`);
process.exit(passed ? 0 : 1);
