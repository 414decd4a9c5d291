"""SVG pictures of a result, without a library: bars side by side, and bars in layers."""
import html

WIDTH, BAR, GAP, LEFT, TOP, SCALE_LINES = 760, 16, 10, 230, 56, 4
COLOURS = ("#7f7f7f", "#d95f02", "#1b6ca8", "#66a61e", "#7570b3", "#e6ab02", "#a6761d", "#e7298a", "#1b9e77", "#666666",
           "#b3cde3", "#fbb4ae", "#ccebc5")


def _text(x, y, text, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
            f'{html.escape(str(text))}</text>')


def _frame(title, unit, height, largest, legend, body):
    span = WIDTH - LEFT - 70
    lines = []
    for i in range(SCALE_LINES + 1):
        x = LEFT + span * i / SCALE_LINES
        lines.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 24}" stroke="#ddd"/>')
        lines.append(_text(x, height - 8, f"{largest * i / SCALE_LINES:.0f}", "middle", 11))
    x, keys = LEFT, []
    for name, colour in legend:
        keys.append(f'<rect x="{x}" y="30" width="12" height="12" fill="{colour}"/>' + _text(x + 16, 40, name, size=11))
        x += 26 + 6.4 * len(name)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(WIDTH, x)}" height="{height}" font-family="sans-serif">'
            f'<rect width="100%" height="100%" fill="white"/>{_text(10, 20, title, size=14, weight="bold")}'
            f'{_text(10, height - 8, unit, size=11)}{"".join(keys)}{"".join(lines)}{"".join(body)}</svg>\n')


def side_by_side(title, unit, rows):
    """rows: {label: {series: value}}."""
    rows = {label: {s: v for s, v in values.items() if v is not None} for label, values in rows.items()}
    series = list(dict.fromkeys(s for values in rows.values() for s in values))
    colours = dict(zip(series, COLOURS * 3))
    largest = max((v for values in rows.values() for v in values.values()), default=1) or 1
    y, body, span = TOP + 6, [], WIDTH - LEFT - 70
    for label, values in rows.items():
        body.append(_text(LEFT - 8, y + BAR * max(1, len(values)) / 2 + 4, label, "end"))
        for name, value in values.items():
            body.append(f'<rect x="{LEFT}" y="{y}" width="{span * value / largest:.1f}" height="{BAR - 2}" '
                        f'fill="{colours[name]}"/>')
            body.append(_text(LEFT + span * value / largest + 4, y + BAR - 5, f"{value:.0f}", size=11))
            y += BAR
        y += GAP
    return _frame(title, unit, y + 30, largest, colours.items(), body)


def layered(title, unit, rows):
    """The same, each row one bar made of its series."""
    series = list(dict.fromkeys(s for values in rows.values() for s in values))
    colours = dict(zip(series, COLOURS * 3))
    largest = max((sum(values.values()) for values in rows.values()), default=1) or 1
    y, body, span = TOP + 6, [], WIDTH - LEFT - 70
    for label, values in rows.items():
        body.append(_text(LEFT - 8, y + BAR, label, "end"))
        x = float(LEFT)
        for name in series:
            width = span * values.get(name, 0) / largest
            body.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR * 1.6}" fill="{colours[name]}">'
                        f'<title>{html.escape(name)}: {values.get(name, 0):.0f}</title></rect>')
            x += width
        body.append(_text(x + 4, y + BAR, f"{sum(values.values()):.0f}", size=11))
        y += BAR * 1.6 + GAP
    return _frame(title, unit, y + 30, largest, colours.items(), body)
