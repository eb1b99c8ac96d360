// A graph of the last minutes on a canvas: crisp on any screen, in the colours of the page, redrawn when its size or the theme changes.

const FONT_PX = 12;
const MARGIN = { top: 8, right: 4, bottom: 20, left: 4 };

/** A value as it is, without the last digits of binary fractions: 0.6 and not 0.6000000000000001. */
const plain = (value) => String(Number(value.toPrecision(6)));

export class Graph {
    #canvas;
    #points = []; // { time, values }, oldest first
    #seconds;
    #most;
    #colours;
    #format;

    /**
     * @param canvas what to draw on; its box on the page gives the size
     * @param seconds how far back the graph goes
     * @param colours one custom property of the page for each line, such as "--line-1"
     * @param most where the scale ends; without it the scale follows the values
     * @param format makes the text of a value on the scale
     */
    constructor(canvas, { seconds = 120, colours = ["--line-1"], most, format = plain } = {}) {
        this.#canvas = canvas;
        this.#seconds = seconds;
        this.#colours = colours;
        this.#most = most;
        this.#format = format;
        new ResizeObserver(() => this.draw()).observe(canvas);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    /** Adds one value for each line, as of now. */
    add(...values) {
        const time = performance.now();
        this.#points.push({ time, values });
        // One point beyond the left edge stays, so that the line comes from there.
        while (this.#points.length > 1 && time - this.#points[1].time > this.#seconds * 1000) this.#points.shift();
        this.draw();
    }

    draw() {
        const { clientWidth: width, clientHeight: height } = this.#canvas;
        if (width === 0 || height === 0) return;
        const scale = devicePixelRatio;
        const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
        if (this.#canvas.width !== w || this.#canvas.height !== h) [this.#canvas.width, this.#canvas.height] = [w, h];
        const pen = this.#canvas.getContext("2d");
        pen.setTransform(scale, 0, 0, scale, 0, 0);
        pen.clearRect(0, 0, width, height);

        const style = getComputedStyle(this.#canvas);
        const box = {
            left: MARGIN.left,
            top: MARGIN.top,
            right: width - MARGIN.right,
            bottom: height - MARGIN.bottom,
        };
        const step = this.#step();
        const most = Math.max(step, Math.ceil(this.#highest() / step) * step);
        const now = performance.now();
        const x = (time) => box.right - ((now - time) / (this.#seconds * 1000)) * (box.right - box.left);
        const y = (value) => box.bottom - (Math.min(value, most) / most) * (box.bottom - box.top);

        this.#grid(pen, box, { y, most, step, style });
        for (const [index, colour] of this.#colours.entries()) {
            this.#line(pen, box, { x, y, index, colour: style.getPropertyValue(colour) });
        }
    }

    #line(pen, box, { x, y, index, colour }) {
        pen.save();
        pen.beginPath();
        pen.rect(box.left, 0, box.right - box.left, box.bottom + 2);
        pen.clip();
        for (const run of this.#runs(index)) {
            pen.beginPath();
            for (const { time, value } of run) pen.lineTo(x(time), y(value));
            pen.lineWidth = 2;
            pen.lineJoin = "round";
            pen.lineCap = "round";
            pen.strokeStyle = colour;
            pen.stroke();
            if (index > 0) continue; // Shades of several lines on each other say nothing.
            pen.lineTo(x(run.at(-1).time), box.bottom);
            pen.lineTo(x(run[0].time), box.bottom);
            pen.globalAlpha = 0.12;
            pen.fillStyle = colour;
            pen.fill();
            pen.globalAlpha = 1;
        }
        pen.restore();
    }

    #grid(pen, box, { y, most, step, style }) {
        pen.font = `${FONT_PX}px ${style.fontFamily}`;
        pen.fillStyle = style.getPropertyValue("--soft");
        pen.strokeStyle = style.getPropertyValue("--edge");
        pen.lineWidth = 1;
        pen.textAlign = "left";
        for (let value = 0; value <= most + step / 2; value += step) {
            const line = Math.round(y(value)) + 0.5;
            pen.beginPath();
            pen.moveTo(box.left, line);
            pen.lineTo(box.right, line);
            pen.stroke();
            pen.textBaseline = "top";
            if (value > 0) pen.fillText(this.#format(value), box.left, line + 3);
        }
        pen.textBaseline = "alphabetic";
        pen.fillText(`${this.#seconds / 60} min ago`, box.left, box.bottom + FONT_PX + 4);
        pen.textAlign = "right";
        pen.fillText("now", box.right, box.bottom + FONT_PX + 4);
    }

    /** The values of one line in pieces: where nothing was told for a while (more than three times the usual) there is a gap, not a line. */
    #runs(index) {
        const times = this.#points.map((point) => point.time);
        const usual = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : Infinity;
        const runs = [];
        let before = -Infinity;
        for (const { time, values } of this.#points) {
            if (!Number.isFinite(values[index])) continue;
            if (time - before > 3 * usual || runs.length === 0) runs.push([]);
            runs.at(-1).push({ time, value: values[index] });
            before = time;
        }
        return runs;
    }

    #highest() {
        const values = this.#points.flatMap((point) => point.values).filter(Number.isFinite);
        return this.#most ?? Math.max(1, ...values);
    }

    /** The distance of the lines of the grid: 1, 2 or 5 times a power of ten, two to four of them. */
    #step() {
        const rough = this.#highest() / 4;
        const power = 10 ** Math.floor(Math.log10(rough));
        return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= rough);
    }
}
