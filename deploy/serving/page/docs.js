"use strict";
// The interface for people, drawn from openapi.json: each address with its fields, an example that can be sent, and its answers.

const at = (id) => document.getElementById(id);

function made(name, text = "", more = {}) {
  const element = Object.assign(document.createElement(name), more);
  element.textContent = text;
  return element;
}

function headers(kind) {
  const given = kind ? { "content-type": kind } : {};
  if (at("key").value) given.authorization = `Bearer ${at("key").value}`;
  return given;
}

async function start() {
  const answer = await fetch("openapi.json", { headers: headers("") });
  if (answer.status === 401) for (const id of ["key", "key-label"]) at(id).hidden = false;
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message);
  at("problem").hidden = true;
  at("about").textContent = told.info.description;
  const operations = Object.entries(told.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => drawn(method.toUpperCase(), path, about)));
  at("operations").replaceChildren(...operations);
}

function kindOf(schema) {
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.type === "array") return `list of ${kindOf(schema.items || {})}s`;
  return { string: "text", object: "object", boolean: "true or false", integer: "whole number", number: "number" }[schema.type] || "any";
}

function table(columns, rows) {
  const drawnTable = made("table", "", { className: "fields" });
  const head = drawnTable.createTHead().insertRow();
  for (const column of columns) head.append(made("th", column));
  const body = drawnTable.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }
  return drawnTable;
}

function drawn(method, path, about) {
  const details = made("details", "", { className: "operation", open: about["x-served"] === true });
  const summary = made("summary");
  summary.append(made("code", `${method} ${path}`), made("span", ` ${about.summary}`));
  details.append(summary);
  const content = (about.requestBody || {}).content || {};
  const schema = (content["application/json"] || {}).schema || {};
  const required = new Set(schema.required || []);
  const fields = Object.entries(schema.properties || {}).map(([name, one]) => [
    name, kindOf(one), required.has(name) ? "needed" : "", one.description || "",
  ]);
  for (const one of about.parameters || []) fields.push([one.name, kindOf(one.schema || {}), one.required ? "needed" : "", `in the ${one.in}`]);
  if (fields.length) details.append(table(["field", "kind", "", "meaning"], fields));
  if (!path.includes("{")) details.append(trial(method, path, content));
  const answers = Object.entries(about.responses || {}).map(([code, one]) => [code, one.description || ""]);
  details.append(made("p", "Answers", { className: "note" }), table(["code", "when"], answers));
  return details;
}

function trial(method, path, content) {
  const form = made("form");
  const kinds = Object.keys(content);
  const body = made("textarea", "", { rows: 4, spellcheck: false });
  body.setAttribute("aria-label", `Body of ${method} ${path}`);
  const kind = made("select");
  kind.setAttribute("aria-label", "Content type");
  kind.append(...kinds.map((one) => new Option(one, one)));
  const example = () => {
    const value = Object.values((content[kind.value] || {}).examples || {})[0]?.value ?? "";
    body.value = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  };
  kind.addEventListener("change", example);
  if (kinds.length) form.append(body);
  if (kinds.length > 1) form.append(kind);
  example();
  const result = made("pre", "", { hidden: true });
  form.append(made("button", "Send"), result);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    result.hidden = false;
    try {
      const options = { method, headers: headers(kind.value), body: kinds.length ? body.value : undefined };
      const answer = await fetch(path.slice(1) || "./", options);
      const text = await answer.text();
      result.textContent = `${answer.status}\n${pretty(text)}`;
    } catch (error) {
      result.textContent = error.message;
    }
  });
  return form;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function fail(error) {
  at("problem").textContent = error.message;
  at("problem").hidden = false;
}

at("key").addEventListener("change", () => start().catch(fail));
start().catch(fail);
