"use strict";
// The page to try a served model by hand. No framework and no build: what is here is what runs.

const at = (id) => document.getElementById(id);
let served = null; // the version that answers, as GET /models tells it
let shown = 0; // which example
let maps = null;

async function call(path, body) {
  const headers = {};
  if (body) headers["content-type"] = "application/json";
  if (at("key").value) headers.authorization = `Bearer ${at("key").value}`;
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  if (answer.status === 401) for (const id of ["key", "key-label"]) at(id).hidden = false;
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ message: `the server answered ${answer.status}` }));
    throw new Error(told.message);
  }
  return answer;
}

function fail(error) {
  at("problem").textContent = error.message;
  at("problem").hidden = false;
}

async function start() {
  const told = await (await call("models")).json();
  served = told.versions.find((one) => one.role === "champion");
  if (!served) throw new Error("No version is loaded yet. Reload this page in a moment.");
  at("problem").hidden = true;
  document.title = at("name").textContent = told.model;
  const score = served.score ? `, ${served.metric.replaceAll("_", " ").replace(/\bf1\b/, "F1")} ${Number(served.score).toFixed(3)}` : "";
  at("about").textContent = `Version ${served.version} (${told.alias}): ${served.network}${score}.`;
  const image = served.input === "image";
  at("text").hidden = image;
  at("image").hidden = !image;
  at("text-label").textContent = image ? "Image" : "Text";
  at("text-label").htmlFor = image ? "image" : "text";
  at("example").hidden = image;
  const options = Object.entries(served.options.properties || {});
  at("more").hidden = !options.length;
  const given = options.filter(([, about]) => about.default !== undefined && about.default !== null).slice(0, 3);
  at("options-example").textContent = JSON.stringify(Object.fromEntries(given.map(([name, about]) => [name, about.default])));
  if (!image && !at("text").value) example();
}

function example() {
  if (served) at("text").value = served.examples[shown++ % served.examples.length];
}

function readImage() {
  const file = at("image").files[0];
  if (!file) throw new Error("Choose an image.");
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] || "");
    reader.onerror = () => failed(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function ask() {
  if (!served) await start();
  let options;
  try {
    options = JSON.parse(at("options").value || "{}");
  } catch {
    throw new Error("Options are not JSON.");
  }
  const began = performance.now();
  if (served.input === "image") return answered(await call(served.endpoint.slice(1), { images: await readImage(), options }), began);
  const text = at("text").value;
  const body = { inputs: text, options };
  if (served.streams && ["/v1/generate", "/v1/translate"].includes(served.endpoint)) {
    await streamed(await call(served.endpoint.slice(1), { ...body, stream: true }), began);
  } else {
    await answered(await call(served.endpoint.slice(1), body), began);
  }
  await look(text);
}

async function answered(answer, began) {
  const told = await answer.json();
  const { prediction, ...more } = told.answers[0];
  const vector = Array.isArray(prediction);
  show(vector ? `${prediction.length} numbers: ${prediction.slice(0, 6).map((x) => x.toFixed(3)).join(", ")}…` : String(prediction), more);
  by(told.version, answer, began);
}

async function streamed(answer, began) {
  show("", {});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = JSON.parse(event.split("\n").find((line) => line.startsWith("data: ")).slice(6));
      if (event.startsWith("event: error")) throw new Error(data.message);
      if (data.piece) at("prediction").textContent += data.piece;
      if (data.version) by(data.version, answer, began);
      if (data.truncated) show(at("prediction").textContent, data);
    }
  }
}

function show(prediction, more) {
  at("prediction").textContent = prediction;
  const { truncated, tokens_read, tokens_given, top, ...others } = more;
  if (truncated) others["read"] = `${tokens_read} of ${tokens_given} tokens: the text is longer than the model reads`;
  for (const one of top || []) others[one.label] = one.probability;
  const rows = Object.entries(others).map(([name, value]) => {
    const row = document.createElement("tr");
    for (const text of [name.replaceAll("_", " "), typeof value === "number" ? String(+value.toFixed(4)) : String(value)]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  at("details").replaceChildren(...rows);
  at("answer").hidden = false;
}

function by(version, answer, began) {
  const trace = answer.headers.get("x-trace-id");
  at("by").textContent = `Version ${version}, ${Math.round(performance.now() - began)} ms, trace ${trace}`;
}

async function look(text) {
  const told = await (await call("v1/attention", { input: text })).json();
  maps = told;
  at("attention-note").textContent = told.note;
  const names = Object.keys(told.maps);
  at("attention").hidden = false;
  at("head").hidden = !names.length;
  const before = at("head").value;
  at("head").replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(before)) at("head").value = before;
  draw();
}

function draw() {
  const map = maps.maps[at("head").value];
  at("map").replaceChildren();
  if (!map) return;
  const strongest = Math.max(...map.flat());
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.append(document.createElement("th"));
  for (const piece of maps.pieces) head.append(named(piece));
  const body = table.createTBody();
  map.forEach((weights, row) => {
    const line = body.insertRow();
    line.append(named(maps.pieces[row]));
    weights.forEach((weight, column) => {
      const cell = line.insertCell();
      cell.style.backgroundColor = `rgba(37, 99, 235, ${strongest ? weight / strongest : 0})`;
      cell.addEventListener("pointerenter", () => {
        at("cell").textContent = `“${maps.pieces[row].trim()}” looks at “${maps.pieces[column].trim()}” with ${weight.toFixed(3)}`;
      });
    });
  });
  at("map").append(table);
}

function named(piece) {
  const cell = document.createElement("th");
  cell.textContent = piece.trim() || "␣";
  return cell;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("problem").hidden = true;
  at("ask").disabled = true;
  await ask().catch(fail);
  at("ask").disabled = false;
});
at("example").addEventListener("click", example);
at("head").addEventListener("change", draw);
start().catch(fail);
