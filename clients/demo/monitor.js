// The system monitor: gauges and graphs of the machine, fed by the server's built-in source of kind "system".
import { Graph } from "./graph.js";
import { connect } from "./line.js";
import { at, badge, figure, put, silence, span } from "./page.js";

const MINUTES = 5;
const KIB_PER_GIB = 1024 * 1024;
const HIGH_PERCENT = 75;
const FULL_PERCENT = 90;

const percent = (value) => `${value} %`;
const use = new Graph(at("use"), {
    seconds: MINUTES * 60,
    colours: ["--line-1", "--line-2"],
    most: 100,
    format: percent,
});
const loads = new Graph(at("loads"), { seconds: MINUTES * 60, colours: ["--line-1", "--line-2", "--line-3"] });
const showState = badge(at("state"));
const figures = silence((quiet) => (at("quiet").hidden = !quiet));

const client = connect((state) => {
    showState(state);
    figures.state(state);
});
client.subscribe("$server/system", ({ data }) => {
    figures.news();
    show(data);
});

function show(event) {
    const cpus = Number(event.cpus);
    const [cpu, memory] = [Number(event.cpu_percent), Number(event.mem_used_percent)];
    const used = Number(event.mem_total_kib) - Number(event.mem_available_kib);
    const processors = `${figure(cpus)} CPU${cpus === 1 ? "" : "s"}`;
    gauge(at("cpu"), cpu, percent(figure(cpu)), `of ${processors}`);
    gauge(at("memory"), memory, percent(figure(memory)), `${gib(used)} of ${gib(event.mem_total_kib)} GiB`);
    gauge(at("load"), (100 * Number(event.load1)) / cpus, Number(event.load1).toFixed(2), `on ${processors}`);
    put(at("facts"), `The machine is up for ${span(event.uptime_s)}.`);
    use.add(cpu, memory);
    loads.add(Number(event.load1), Number(event.load5), Number(event.load15));
}

function gib(kib) {
    return (Number(kib) / KIB_PER_GIB).toFixed(1);
}

/** The arc is 100 units long, whatever its size: a dash as long as the value, and a gap that covers the rest. */
function gauge(element, value, text, note) {
    const level = Number.isFinite(value) ? Math.min(100, Math.max(0, value)) : 0;
    element.querySelector(".level").setAttribute("stroke-dasharray", `${level} 200`);
    element.dataset.level = level >= FULL_PERCENT ? "full" : level >= HIGH_PERCENT ? "high" : "";
    element.setAttribute("aria-valuenow", String(Math.round(level)));
    element.setAttribute("aria-valuetext", `${text}, ${note}`);
    put(element.querySelector("b"), text);
    put(element.querySelector("small"), note);
}
