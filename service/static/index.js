"use strict";

const byId = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

const element = (tag, text, ...children) => {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  node.append(...children);
  return node;
};

const shape = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

const headers = more => {
  const key = byId("key").value;
  return key ? {...more, Authorization: "Bearer " + key} : more;
};

const isPlanar = ({network, dataset}) => network.type === "fully_connected" &&
  network.widths.length === 3 && dataset.x[0].length === 2;

/* Examples as dots and neurons |v| w as lines from the origin, each kind in its own scale. */
const plane = ({dataset, parameters: [hidden, [output]]}) => {
  const neurons = hidden.map((w, j) => w.map(value => Math.abs(output[j]) * value));
  const size = points => Math.max(...points.flat().map(Math.abs)) || 1;
  const shapes = [shape("line", {x1: -60, x2: 60, y1: 0, y2: 0, class: "axis"}),
    shape("line", {x1: 0, x2: 0, y1: -60, y2: 60, class: "axis"})];
  neurons.forEach(([a, b], j) => shapes.push(shape("line", {x1: 0, y1: 0,
    x2: 50 * a / size(neurons), y2: -50 * b / size(neurons),
    class: output[j] < 0 ? "neuron downward" : "neuron"})));
  dataset.x.forEach(([a, b], i) => shapes.push(shape("circle", {r: 4,
    cx: 50 * a / size(dataset.x), cy: -50 * b / size(dataset.x),
    class: dataset.y[i] < 0 ? "negative" : "example"})));
  return {shapes, box: "-60 -60 120 120", title: `${dataset.x.length} examples in the plane and ` +
    `${neurons.length} neurons as lines from the origin`};
};

/* The weights of every layer as cells, one block a layer. */
const weights = ({parameters}) => {
  const shapes = [];
  let left = 0, height = 1;
  for (const layer of parameters) {
    const rows = Array.isArray(layer[0]) ? layer : layer.map(value => [value]);
    rows.forEach((row, k) => row.forEach((value, j) => shapes.push(shape("rect",
      {x: left + j + .05, y: k + .05, width: .9, height: .9, class: value > 0 ?
        "positive-weight" : value < 0 ? "negative-weight" : "no-weight"}))));
    left += rows[0].length + 1;
    height = Math.max(height, rows.length);
  }
  return {shapes, box: `-1 -1 ${left + 1} ${height + 2}`,
    title: `The weights of ${parameters.length} layers as cells: positive, negative or zero`};
};

const picture = request => {
  const {shapes, box, title} = isPlanar(request) ? plane(request) : weights(request);
  const node = shape("svg", {viewBox: box, role: "img", "aria-label": title});
  node.append(...shapes);
  return node;
};

const show = (word, ...children) => {
  const box = byId("answer");
  box.className = word;
  box.replaceChildren(...children);
  box.hidden = false;
  box.focus();
  box.scrollIntoView({block: "nearest"});
};

const openReport = async id => {
  const page = await fetch(`/v1/certificates/${id}/report`, {headers: headers({})});
  if (!page.ok) throw new Error(`the report: ${page.status}`);
  window.location = URL.createObjectURL(await page.blob());
};

const reportLink = id => {
  const link = element("a", "Open the report");
  link.href = `/v1/certificates/${id}/report`;
  link.addEventListener("click", event => {
    if (!byId("key").value) return;  // a plain link cannot carry the key
    event.preventDefault();
    openReport(id).catch(error => show("refused", element("p", String(error))));
  });
  return link;
};

const showAnswer = answer => {
  const list = element("dl", null);
  for (const [key, label] of [["kkt", "KKT point"], ["local", "local optimum"],
    ["global", "global optimum"]])
    if (answer[key]) list.append(element("dt", label), element("dd", answer[key].answer));
  const whole = element("details", null, element("summary", "The whole answer"),
    element("pre", JSON.stringify(answer, null, 2)));
  show(answer.verdict, element("h3", answer.verdict.replaceAll("_", " ")),
    element("p", answer.summary), list, element("p", null, reportLink(answer.id)), whole);
};

/* The normalized margin over the logarithm of the norm, the ends of both axes written out. */
const marginCurve = trajectory => {
  const norms = trajectory.map(sample => sample.log_norm);
  const margins = trajectory.map(sample => sample.normalized_margin);
  const [left, right] = [Math.min(...norms), Math.max(...norms)];
  const [low, high] = [Math.min(...margins), Math.max(...margins)];
  const x = value => 44 + 246 * (value - left) / (right - left || 1);
  const y = value => 108 - 92 * (value - low) / (high - low || 1);
  const course = `from ${margins[0].toPrecision(4)} to ${margins.at(-1).toPrecision(4)}`;
  const node = shape("svg", {viewBox: "0 0 300 130", role: "img",
    "aria-label": `The normalized margin goes ${course} while the norm grows`});
  const write = (text, x, y, anchor) => {
    const label = shape("text", {x, y, "text-anchor": anchor});
    label.textContent = text;
    return label;
  };
  node.append(shape("path", {d: "M44 12V112H294", class: "frame"}),
    shape("polyline", {class: "margin",
      points: norms.map((norm, k) => `${x(norm).toFixed(1)},${y(margins[k]).toFixed(1)}`).join(" ")}),
    write(high.toPrecision(3), 40, 20, "end"), write(low.toPrecision(3), 40, 112, "end"),
    write(left.toPrecision(3), 44, 126, "start"), write("log of the norm", 169, 126, "middle"),
    write(right.toPrecision(3), 294, 126, "end"));
  return element("figure", null, node,
    element("figcaption", `Normalized margin against the logarithm of the norm: ${course}.`));
};

const showFlow = answer => {
  const found = answer.certification;
  const list = element("dl", null);
  const say = (label, value) => list.append(element("dt", label), element("dd", value));
  if (answer.monotone_margin !== null)
    say("normalized margin", answer.monotone_margin ? "never falls" : "falls");
  say("limit", found ? found.verdict.replaceAll("_", " ") :
    `not certified: ${answer.certification_reason}`);
  const parts = [element("h3", "Gradient flow"), element("p", answer.summary), list];
  if (answer.trajectory.length > 1) parts.push(marginCurve(answer.trajectory));
  show(found ? found.verdict : "", ...parts, element("p", null, reportLink(answer.id)));
};

const showProblem = problem => {
  const errors = (problem.errors || []).map(e => element("li", `${e.pointer || "/"}: ${e.message}`));
  show("refused", element("h3", problem.title), element("p", problem.detail),
    element("ul", null, ...errors));
};

const isFlow = body => {
  try {
    return "initial_parameters" in JSON.parse(body);
  } catch {
    return false;  // the service says what is wrong with it
  }
};

const send = async (body, button) => {
  const flow = isFlow(body);
  button.disabled = true;
  try {
    const response = await fetch(flow ? "/v1/flow" : "/v1/certify",
      {method: "POST", headers: headers({"Content-Type": "application/json"}), body});
    const answer = await response.json();
    (response.ok ? flow ? showFlow : showAnswer : showProblem)(answer);
  } catch (error) {
    show("refused", element("h3", "No answer"), element("p", String(error)));
  } finally {
    button.disabled = false;
  }
};

const action = (label, spoken, request) => {
  const button = element("button", label);
  button.setAttribute("aria-label", spoken);
  button.addEventListener("click", () => {
    byId("request").value = JSON.stringify(request, null, 1);
    send(JSON.stringify(request), button);
  });
  return button;
};

/* Nets outside class N have no verdict: they only flow. */
const card = ({name, title, request, expected, initial_parameters}) => {
  const buttons = element("div", null);
  if ("verdict" in expected) buttons.append(action("Certify", `Certify ${name}`, request));
  if (initial_parameters) {
    const {parameters, ...rest} = request;
    buttons.append(action("Follow the flow", `Follow the flow of ${name}`,
      {...rest, initial_parameters}));
  }
  return element("li", null, picture(request), element("h3", name), element("p", title), buttons);
};

const load = async () => {
  const response = await fetch("/v1/examples", {headers: headers({})});
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  byId("examples").replaceChildren(...answer.examples.map(card));
};

const loadOrSay = () => load().catch(error => {
  byId("examples").replaceChildren(element("li", String(error)));
});

byId("form").addEventListener("submit", event => {
  event.preventDefault();
  send(byId("request").value, event.submitter);
});
byId("access").addEventListener("submit", event => event.preventDefault());
byId("key").addEventListener("change", loadOrSay);
loadOrSay();
