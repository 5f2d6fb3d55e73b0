// Shows the routes of docs.json. Strings from the document are set as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);

function make(name, content = [], properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...[content].flat());
  return made;
}

const code = (text) => make("code", text);
const block = (text) => make("pre", code(text), { tabIndex: 0 });

// A schema as example JSON: members in order, with the type of each value; `depth` is the indentation.
function shape(schema, named, depth = 0) {
  const deeper = "  ".repeat(depth + 1);
  const end = "  ".repeat(depth);
  if (schema.$ref) return shape(named[schema.$ref.split("/").pop()], named, depth);
  if (schema.oneOf) return schema.oneOf.map((one) => shape(one, named, depth)).join(`\n${end}or `);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") {
    const item = shape(schema.items, named, depth);
    return schema.maxItems === 1 ? `[${item}]` : `[${item}, …]`;
  }
  if (!schema.properties) return kind(schema);
  const members = Object.entries(schema.properties).map(([name, value]) => {
    const optional = schema.required.includes(name) ? "" : "?";
    return `${deeper}"${name}"${optional}: ${shape(value, named, depth + 1)}`;
  });
  return `{\n${members.join(",\n")}\n${end}}`;
}

function kind(schema) {
  const types = [schema.type].flat().join(" or ");
  if (schema.contentEncoding) return `${schema.contentEncoding} text`;
  if (schema.contentMediaType) return "the bytes of a file";
  const least = "minimum" in schema ? `, at least ${schema.minimum}` : "";
  const most = "maximum" in schema ? `, at most ${schema.maximum}` : "";
  const standard = "default" in schema ? `, default ${schema.default}` : "";
  return types + least + most + standard;
}

const TENSOR = `'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["'$(base64 -w0 photo.jpg)'"]}]}'`;

function example(path, method, operation, model) {
  const address = location.href.replace(/[^/]*([?#].*)?$/, "") + path.slice(1).replace("{name}", model);
  if (method === "get") return `curl ${address}`;
  if (path.startsWith("/v2/")) return `echo ${TENSOR} | \\\n  curl --json @- ${address}`;
  return `curl -F image=@photo.jpg '${address}${exampleQuery(operation)}'`;
}

function exampleQuery({ operationId }) {
  return { classify: "?top_k=3", explain: "?overlay=png" }[operationId] ?? "";
}

function pairs(title, rows) {
  return rows.length ? [make("h3", title), make("dl", rows.flat())] : [];
}

function parameters(operation) {
  return (operation.parameters ?? []).map(({ name, description, schema }) => [
    make("dt", code(name)),
    make("dd", [`${description} `, make("span", `(${schema.enum ? schema.enum.join(", ") : kind(schema)})`, { className: "kind" })]),
  ]);
}

function bodies(operation, named) {
  return Object.entries(operation.requestBody?.content ?? {}).map(([type, { schema }]) => [
    make("dt", code(type)),
    make("dd", schema.contentMediaType ? schema.description ?? "the bytes of one image" : block(shape(schema, named))),
  ]);
}

// Each response with its description and schema; the schema of a problem is shown only once, below all routes.
function responses(operation, named) {
  return Object.entries(operation.responses).map(([status, { description, content }]) => {
    const [[type, { schema }]] = Object.entries(content);
    const known = schema.$ref?.endsWith("/Problem") || !type.endsWith("json") || !(schema.$ref || schema.properties);
    const shown = known ? [] : [block(shape(schema, named))];
    return [
      make("dt", status, { className: status < 400 ? "good" : "bad" }),
      make("dd", [description, make("span", known && status < 400 ? ` (${type})` : "", { className: "kind" }), ...shown]),
    ];
  });
}

function route(path, method, operation, named, model) {
  const body = pairs("Body", bodies(operation, named));
  if (body.length) body.splice(1, 0, make("p", `${operation.requestBody.description}, in one of these forms`));
  return make(
    "section",
    [
      make("h2", [make("span", method.toUpperCase(), { className: "method" }), code(path)]),
      make("p", make("strong", operation.summary)),
      ...(operation.description ? [make("p", operation.description)] : []),
      block(example(path, method, operation, model)),
      ...pairs("Parameters", parameters(operation)),
      ...body,
      ...pairs("Responses", responses(operation, named)),
    ],
    { id: operation.operationId },
  );
}

function problem(named) {
  const text =
    "A status above 399 without a schema of its own is application/problem+json (RFC 9457); below /v2 " +
    "the detail is also in the member error:";
  const parts = [make("h2", "Every error"), make("p", text), block(shape(named.Problem, named))];
  return make("section", parts, { id: "errors" });
}

// Pages, styles and scripts, and the paths with a model version, are listed in docs.json only.
const isHidden = (path) => /\.(css|js)$|^\/$|^\/docs$|\/versions\//.test(path);

async function modelName() {
  const response = await fetch("v1/model");
  return response.ok ? (await response.json()).name : "NAME";
}

async function start() {
  const response = await fetch("docs.json");
  const { info, paths, components } = await response.json();
  const model = await modelName();
  element("about").textContent = `${info.version}. ${info.description}`;
  for (const [path, methods] of Object.entries(paths).filter(([path]) => !isHidden(path))) {
    for (const [method, operation] of Object.entries(methods)) {
      element("contents").append(make("a", path, { href: `#${operation.operationId}` }));
      element("routes").append(route(path, method, operation, components.schemas, model));
    }
  }
  element("contents").append(make("a", "errors", { href: "#errors" }));
  element("routes").append(problem(components.schemas));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

start().catch((fault) => {
  element("about").textContent = `docs.json cannot be shown: ${fault.message}`;
});
