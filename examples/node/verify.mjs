// Reads the card of a model.onnx and checks that the file gives the same outputs in Node as where it was exported.
//
//   npm install --prefix examples/node
//   node examples/node/verify.mjs model.onnx           natively, by onnxruntime-node
//   node examples/node/verify.mjs model.onnx --wasm    as WebAssembly, by onnxruntime-web, as a browser would
//
// The exit code is 0 if all outputs for the golden images are within the card's tolerance, else 1.

import { readFile } from "node:fs/promises";

const METADATA = 14; // the field number of `metadata_props` in ONNX's ModelProto
const PANES = [2, 4, 8, 16];
const SHAPES = [[1, 1], [3, 1], [1, 2], [4, 3]]; // width and height, of images at their own shapes

/** The fields of a protobuf message as [number, content]; varint fields are skipped. */
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
    const wireType = tag % 8;
    if (wireType === 0) varint();
    else {
      const length = wireType === 2 ? varint() : wireType === 1 ? 8 : 4;
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    }
  }
}

/** The card, read from the file itself: onnxruntime's JavaScript API does not return a model's metadata. */
function cardOf(file) {
  for (const [number, entry] of fields(file)) {
    if (number !== METADATA) continue;
    const [key, value] = [...fields(entry)].map(([, content]) => Buffer.from(content).toString("utf8"));
    if (key === "vitrail") return JSON.parse(value);
  }
  throw new Error("this file has no vitrail card");
}

/** A golden image by the recipe mosaic-1: panes of flat colour, row by row. */
function mosaic(panes, seed, height, width) {
  let state = seed;
  const colours = Uint8Array.from({ length: panes * panes * 3 }, () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state >>> 24;
  });
  const pixels = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const pane = Math.floor((row * panes) / height) * panes + Math.floor((column * panes) / width);
      pixels.set(colours.subarray(3 * pane, 3 * pane + 3), 3 * (row * width + column));
    }
  }
  return { pixels, height, width };
}

function goldenImages({ size, resize, patch }) {
  if (resize === "native") {
    const grids = SHAPES.map(([width, height]) => gridWithin(width, height, Math.floor(size / patch) ** 2));
    return grids.map(([rows, columns], k) => mosaic(PANES[k], k + 1, rows * patch, columns * patch));
  }
  const canvases = PANES.map((panes, k) => mosaic(panes, k + 1, size, size));
  return [...canvases, mosaic(4, 5, Math.floor((size * 3) / 2) + 1, 2 * size)];
}

/** Rows and columns of the patches of an image at its own shape: docs/model-file.md has the rule. */
function gridWithin(width, height, most) {
  const near = (number, top) => [Math.floor(number), Math.ceil(number)].map((n) => Math.min(Math.max(1, n), top));
  const byFirst = (ratio) => near(Math.sqrt(most * ratio), most)
    .flatMap((first) => near(first / ratio, Math.floor(most / first)).map((second) => [first, second]));
  const rounded = (number) => Math.round(number * 1e9) / 1e9;
  const misfit = ([rows, columns]) => {
    const distortion = rounded(Math.abs(Math.log((columns * height) / (rows * width))));
    return [rounded(2 * distortion + Math.log(most / (rows * columns))), distortion];
  };
  const grids = [...byFirst(height / width), ...byFirst(width / height).map(([columns, rows]) => [rows, columns])];
  const better = (a, b) => misfit(a)[0] - misfit(b)[0] || misfit(a)[1] - misfit(b)[1];
  return grids.sort(better)[0];
}

/** The inputs of the file for one image: the image itself, or where images keep their shapes its patches. */
function inputsOf(ort, { pixels, height, width }, { resize, patch }) {
  if (resize !== "native") return { image: new ort.Tensor("uint8", pixels, [1, height, width, 3]) };
  const [rows, columns, line] = [height / patch, width / patch, 3 * patch];
  const patches = new Uint8Array(pixels.length);
  const positions = new BigInt64Array(2 * rows * columns);
  for (let n = 0; n < rows * columns; n++) {
    const [row, column] = [Math.floor(n / columns), n % columns];
    positions.set([BigInt(row), BigInt(column)], 2 * n);
    for (let y = 0; y < patch; y++) {
      const start = 3 * ((row * patch + y) * width + column * patch);
      patches.set(pixels.subarray(start, start + line), (n * patch + y) * line);
    }
  }
  return {
    patches: new ort.Tensor("uint8", patches, [1, rows * columns, patch * line]),
    positions: new ort.Tensor("int64", positions, [1, rows * columns, 2]),
    mask: new ort.Tensor("bool", new Uint8Array(rows * columns).fill(1), [1, rows * columns]),
  };
}

const norm = (vector) => Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));

function standardDeviation(numbers) {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
}

/** The largest differences of logits and embeddings from those in the card, each with its tolerance. */
async function check(ort, session, card) {
  const expected = card.golden.logits;
  const tolerance = card.golden.tolerance.CPUExecutionProvider;
  const longest = Math.max(...card.golden.embedding_lengths);
  const largest = { logits: 0, embedding: 0 };
  for (const [k, image] of goldenImages(card.input).entries()) {
    const { logits, embedding } = await session.run(inputsOf(ort, image, card.input));
    const differences = expected[k].map((x, index) => Math.abs(x - logits.data[index]));
    largest.logits = Math.max(largest.logits, ...differences);
    const difference = Math.abs(norm(embedding.data) - card.golden.embedding_lengths[k]);
    largest.embedding = Math.max(largest.embedding, difference / longest);
    console.log(`image ${k}: ${card.classes[logits.data.indexOf(Math.max(...logits.data))]}`);
  }
  return [
    ["logits", largest.logits, tolerance * Math.max(1, standardDeviation(expected.flat()))],
    ["embedding", largest.embedding, tolerance],
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
  console.error(`this example checks models of the task classification; the task of this one is ${card.task}`);
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
