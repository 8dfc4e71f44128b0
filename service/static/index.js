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

const showProblem = problem => {
  const errors = (problem.errors || []).map(e => element("li", `${e.pointer || "/"}: ${e.message}`));
  show("refused", element("h3", problem.title), element("p", problem.detail),
    element("ul", null, ...errors));
};

const certify = async (body, button) => {
  button.disabled = true;
  try {
    const response = await fetch("/v1/certify",
      {method: "POST", headers: headers({"Content-Type": "application/json"}), body});
    const answer = await response.json();
    (response.ok ? showAnswer : showProblem)(answer);
  } catch (error) {
    show("refused", element("h3", "No answer"), element("p", String(error)));
  } finally {
    button.disabled = false;
  }
};

const card = ({name, title, request}) => {
  const button = element("button", "Certify");
  button.setAttribute("aria-label", `Certify ${name}`);
  button.addEventListener("click", () => {
    byId("request").value = JSON.stringify(request, null, 1);
    certify(JSON.stringify(request), button);
  });
  return element("li", null, picture(request), element("h3", name), element("p", title), button);
};

const load = async () => {
  const response = await fetch("/v1/examples", {headers: headers({})});
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  const certifiable = answer.examples.filter(example => "verdict" in example.expected);
  byId("examples").replaceChildren(...certifiable.map(card));
};

const loadOrSay = () => load().catch(error => {
  byId("examples").replaceChildren(element("li", String(error)));
});

byId("form").addEventListener("submit", event => {
  event.preventDefault();
  certify(byId("request").value, event.submitter);
});
byId("access").addEventListener("submit", event => event.preventDefault());
byId("key").addEventListener("change", loadOrSay);
loadOrSay();
