# SPDX-License-Identifier: MIT
"""chart.py - charts as SVG, for tests/bench/report.

In:   a chart of a benchmark's results (bench.h says what it is made of), and rows.
Out:  SVG texts: one for each value of the chart's `split`. They are readable on light and on dark pages, in colours
      that the colour-blind tell apart and with a marker of its own for each line.
"""

import html
import math

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 20, 44, 96
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
N_COLOURS = 6

# page, text, grid, then lines and bars
LIGHT = ("#ffffff", "#1f2328", "#d8dee4", "#0072b2", "#c84e00", "#00835f", "#a8498a", "#9a6700", "#57606a")
DARK = ("#0d1117", "#e6edf3", "#30363d", "#58a6ff", "#ff9a57", "#3fd0a4", "#e59bd0", "#e3b341", "#9aa4af")


def colours(page, ink, grid, *series):
    rules = [f".page {{ fill: {page}; }}", f"text {{ fill: {ink}; }}", f".axis {{ stroke: {ink}; }}",
             f".grid {{ stroke: {grid}; }}"]
    for i, colour in enumerate(series):
        rules += [f".s{i} {{ stroke: {colour}; }}", f".f{i} {{ fill: {colour}; }}"]
    return "\n".join(rules)


STYLE = f"""
text {{ font: 12px system-ui, sans-serif; }}
.title {{ font-size: 15px; font-weight: 600; }}
.small {{ font-size: 10px; }}
polyline, line {{ fill: none; stroke-width: 2; }}
.grid, .axis {{ stroke-width: 1; }}
{colours(*LIGHT)}
@media (prefers-color-scheme: dark) {{
{colours(*DARK)}
}}
"""


def number_text(value):
    """As many digits as say something."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e6:
        return f"{value / 1e6:.3g}M"
    if magnitude >= 1e4:
        return f"{value / 1e3:.3g}k"
    if magnitude >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


class Axis:
    """From values to places between `start` and `end`, and where its ticks are."""

    def __init__(self, values, start, end, is_log, ticks=None):
        self.start, self.end, self.is_log = start, end, is_log
        if is_log:
            self.low, self.high = self.decades(values)
            self.ticks = ticks or self.log_ticks()
        else:
            step = self.step_of(max(values))
            self.low, self.high = 0.0, step * math.ceil(max(values) / step)
            self.ticks = ticks or [step * i for i in range(round(self.high / step) + 1)]
        if ticks:
            self.low, self.high = (min(ticks) if is_log else 0.0), max(ticks)
        if self.high <= self.low:
            self.high = self.low * 2 or 1.0

    @staticmethod
    def decades(values):
        values = [value for value in values if value > 0]
        return 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))

    @staticmethod
    def step_of(most):
        if most <= 0:
            return 1.0
        raw = most / 5
        power = 10.0 ** math.floor(math.log10(raw))
        return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)

    def log_ticks(self):
        n_decades = round(math.log10(self.high / self.low))
        factors = (1, 2, 5) if n_decades <= 2 else (1,)
        ticks = [10.0 ** (math.log10(self.low) + i) * factor for i in range(n_decades + 1) for factor in factors]
        return [tick for tick in ticks if tick <= self.high * 1.0001]

    def at(self, value):
        if self.is_log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def text(x, y, content, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{html.escape(str(content))}</text>'


def line(x0, y0, x1, y1, kind):
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{kind}"/>'


def marker(x, y, i):
    """Each line's own: circle, square, diamond, triangle."""
    shapes = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="f{i}"/>',
        f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" class="f{i}"/>',
        f'<path d="M{x:.1f},{y - 5:.1f} l5,5 l-5,5 l-5,-5 z" class="f{i}"/>',
        f'<path d="M{x:.1f},{y - 5:.1f} l5,9 h-10 z" class="f{i}"/>',
    ]
    return shapes[i % len(shapes)]


def frame(title, chart, y_axis):
    """What all charts have: page, title, grid, the axes' names."""
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" class="page"/>', text(LEFT, 24, title, "start", 'class="title"')]
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts += [line(LEFT, y, WIDTH - RIGHT, y, "grid"), text(LEFT - 8, y + 4, number_text(tick), "end")]
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts.append(text(LEFT + INNER_WIDTH / 2, HEIGHT - BOTTOM + 38, chart.get("x_label", chart["x"])))
    middle = TOP + INNER_HEIGHT / 2
    parts.append(text(16, middle, chart.get("y_label", chart["y"]), more=f'transform="rotate(-90 16 {middle:.1f})"'))
    return parts


def legend(what, names, mark):
    """Below, in as many lines as it takes."""
    if not what:
        return []
    y = HEIGHT - BOTTOM + 60
    parts, x = [text(LEFT, y, f"{what}:", "start")], LEFT + 16 + 7 * len(what)
    for i, name in enumerate(names):
        width = 30 + 7 * len(str(name))
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = LEFT, y + 18
        parts += [mark(x + 6, y - 4, i % N_COLOURS), text(x + 16, y, name, "start")]
        x += width
    return parts


def distinct(rows, key):
    """In the order in which they come; [None] without a key."""
    return list(dict.fromkeys(row.get(key) for row in rows)) if key else [None]


def line_chart(title, chart, rows):
    x_key, y_key, by = chart["x"], chart["y"], chart.get("by")
    xs = sorted({row[x_key] for row in rows})
    has_own_ticks = chart.get("log_x") and len(xs) <= 8
    x_axis = Axis(xs, LEFT + 16, WIDTH - RIGHT - 16, chart.get("log_x", False), xs if has_own_ticks else None)
    ys = [value for row in rows for value in (row[y_key], row.get(y_key + "_high")) if value]
    y_axis = Axis(ys or [1], HEIGHT - BOTTOM, TOP, chart.get("log_y", False))
    parts = frame(title, chart, y_axis)
    for tick in x_axis.ticks:
        parts.append(text(x_axis.at(tick), HEIGHT - BOTTOM + 18, number_text(tick)))
    names = distinct(rows, by)
    for i, name in enumerate(names):
        colour = i % N_COLOURS
        mine = sorted((row for row in rows if not by or row.get(by) == name), key=lambda row: row[x_key])
        points = [(x_axis.at(row[x_key]), y_axis.at(row[y_key])) for row in mine]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="s{colour}"/>')
        for row, (x, y) in zip(mine, points):
            if row.get(y_key + "_low") and row.get(y_key + "_high"):
                parts.append(line(x, y_axis.at(row[y_key + "_low"]), x, y_axis.at(row[y_key + "_high"]), f"s{colour}"))
            parts.append(marker(x, y, colour))
    return parts + legend(by, names, marker)


def bar_chart(title, chart, rows):
    x_key, y_key, by = chart["x"], chart["y"], chart.get("by")
    ys = [row[y_key] for row in rows if row[y_key]]
    y_axis = Axis(ys or [1], HEIGHT - BOTTOM, TOP, chart.get("log_y", False))
    parts = frame(title, chart, y_axis)
    groups, names = distinct(rows, x_key), distinct(rows, by)
    group_width = INNER_WIDTH / len(groups)
    width = min(40.0, group_width * 0.86 / len(names))
    for g, group in enumerate(groups):
        centre = LEFT + (g + 0.5) * group_width
        parts.append(text(centre, HEIGHT - BOTTOM + 18, group))
        for i, name in enumerate(names):
            for row in rows:
                if row[x_key] != group or (by and row.get(by) != name):
                    continue
                x, y = centre + (i - len(names) / 2) * width, y_axis.at(row[y_key])
                parts.append(f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" '
                             f'height="{max(HEIGHT - BOTTOM - y, 0):.1f}" class="f{i % N_COLOURS}"/>')
                parts.append(text(x + width / 2, y - 4, number_text(row[y_key]), more='class="small"'))

    def square(x, y, i):
        return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" class="f{i}"/>'

    return parts + legend(by, names, square)


def rows_of(chart, rows):
    where = chart.get("where", {})
    return [row for row in rows
            if isinstance(row.get(chart["y"]), (int, float)) and row.get(chart["x"]) is not None
            and all(row.get(key) == value for key, value in where.items())]


def draw(chart, rows):
    """Returns [(title, svg)]; none where there is nothing to draw."""
    charts = []
    rows = rows_of(chart, rows)
    split = chart.get("split")
    for value in distinct(rows, split) if rows else []:
        mine = [row for row in rows if not split or row.get(split) == value]
        title = chart["title"] + (f" ({value})" if value is not None else "")
        parts = (bar_chart if chart.get("kind") == "bar" else line_chart)(title, chart, mine)
        charts.append((title, f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                              f'width="{WIDTH}" height="{HEIGHT}" role="img"><title>{html.escape(title)}</title>'
                              f'<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"))
    return charts
