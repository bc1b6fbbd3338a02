// Renders the OpenAPI document of this server. Every text of the document goes
// into the page as text, never as markup.
"use strict";

const methods = ["get", "post", "put", "patch", "delete"];

function el(name, props, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined) continue;
    if (key === "class") node.className = value;
    else node.setAttribute(key, value);
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null) node.append(child);
  }
  return node;
}

function resolve(doc, schema) {
  if (!schema || !schema.$ref) return [schema || {}, ""];
  const name = schema.$ref.split("/").pop();
  return [doc.components.schemas[name] || {}, name];
}

function typeOf(doc, schema) {
  const [s, name] = resolve(doc, schema);
  if (name) return name;
  const type = Array.isArray(s.type) ? s.type.filter((t) => t !== "null").join(" | ") : s.type;
  if (type === "array") return typeOf(doc, s.items) + "[]";
  if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(" | ");
  return (type || "any") + (s.format ? " (" + s.format + ")" : "");
}

function fields(doc, schema, seen) {
  let [s, name] = resolve(doc, schema);
  if (s.items) [s, name] = resolve(doc, s.items);
  if (!s.properties || (name && seen.includes(name))) return null;
  const rows = Object.entries(s.properties).map(([key, value]) => {
    const [target] = resolve(doc, value);
    const text = value.description || target.description || "";
    const mark = (s.required || []).includes(key) ? " *" : "";
    return [
      el("div", {}, el("code", {}, key + mark), " ", el("em", {}, typeOf(doc, value)), text ? " - " + text : ""),
      fields(doc, value, seen.concat(name || [])),
    ];
  });
  return el("div", { class: "fields" }, rows.flat());
}

function example(doc, schema, depth) {
  const [s] = resolve(doc, schema);
  if (s.examples && s.examples.length) return s.examples[0];
  if (s.default !== undefined) return s.default;
  if (s.enum) return s.enum[0];
  const type = Array.isArray(s.type) ? s.type[0] : s.type;
  switch (type) {
    case "object": {
      const out = {};
      if (depth < 4) {
        for (const key of s.required || []) {
          if (s.properties && s.properties[key]) out[key] = example(doc, s.properties[key], depth + 1);
        }
      }
      return out;
    }
    case "array": return depth < 4 ? [example(doc, s.items, depth + 1)] : [];
    case "string": return s.format === "date-time" ? "2026-01-01T00:00:00Z" : "…";
    case "integer": case "number": return s.minimum || 1;
    case "boolean": return true;
    default: return {};
  }
}

function content(doc, body) {
  return Object.entries((body && body.content) || {}).map(([kind, media]) => [
    el("div", {}, el("code", {}, kind), " ", el("em", {}, typeOf(doc, media.schema))),
    fields(doc, media.schema, []),
  ]).flat();
}

function curl(doc, path, method, op) {
  const lines = ["curl -X " + method.toUpperCase() + " " + location.origin + path];
  if ((op.security || []).length) lines.push('-H "Authorization: Bearer $TENON_KEY"');
  for (const p of op.parameters || []) {
    if (p.in === "header" && p.name === "X-Namespace") lines.push('-H "X-Namespace: prod"');
  }
  const json = op.requestBody && op.requestBody.content && op.requestBody.content["application/json"];
  if (json) {
    lines.push('-H "Content-Type: application/json"');
    lines.push("-d '" + JSON.stringify(example(doc, json.schema, 0)) + "'");
  }
  return lines.join(" \\\n  ");
}

function operation(doc, path, method, op) {
  const parameters = (op.parameters || []).map((p) => el("tr", {},
    el("td", {}, el("code", {}, p.name + (p.required ? " *" : ""))),
    el("td", {}, p.in), el("td", {}, typeOf(doc, p.schema)), el("td", {}, p.description || (p.schema && p.schema.description) || "")));
  const answers = Object.entries(op.responses || {}).map(([status, r]) => [
    el("div", {}, el("code", {}, status), " " + (r.description || "")),
    Number(status) < 300 ? content(doc, r) : null,
  ]).flat(2);
  const scope = op["x-tenon-scope"], permission = op["x-tenon-permission"];
  return el("details", { class: "operation", id: op.operationId },
    el("summary", {}, el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path), " " + (op.summary || "")),
    el("div", {},
      el("p", {}, op.description || ""),
      el("p", {}, scope ? el("span", { class: "tag" }, "scope: " + scope) : null, permission ? el("span", { class: "tag" }, "permission: " + permission) : null),
      parameters.length ? [el("h3", {}, "Parameters"), el("table", {}, parameters)] : [],
      op.requestBody ? [el("h3", {}, "Body"), content(doc, op.requestBody)].flat() : [],
      el("h3", {}, "Answers"), answers,
      el("h3", {}, "Try it"), el("pre", {}, curl(doc, path, method, op))));
}

function render(doc) {
  document.getElementById("about").textContent = doc.info.description + " Version " + doc.info.version + ".";
  const groups = new Map();
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      if (!item[method]) continue;
      const tag = (item[method].tags || ["Other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, item[method]]);
    }
  }
  const main = document.getElementById("operations"), nav = document.getElementById("index");
  main.replaceChildren();
  for (const [tag, ops] of [...groups].sort()) {
    main.append(el("section", {}, el("h2", {}, tag), ops.map(([p, m, o]) => operation(doc, p, m, o))));
    nav.append(el("strong", {}, tag), ...ops.map(([, , o]) => el("a", { href: "#" + o.operationId }, o.summary)));
  }
}

function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}

function filter(event) {
  const wanted = event.target.value.toLowerCase();
  for (const node of document.querySelectorAll("details.operation")) {
    node.hidden = !node.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
}

document.getElementById("filter").addEventListener("input", filter);
window.addEventListener("hashchange", open);
fetch("/openapi.json")
  .then((r) => r.json())
  .then((doc) => { render(doc); open(); })
  .catch(() => { document.getElementById("operations").textContent = "The document could not be loaded."; });
