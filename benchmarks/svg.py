"""A small writer of SVG: a card with a title, readable in light and in dark surroundings."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

__all__ = ("WIDTH", "Card")

WIDTH = 880

# The card brings its own background: an image in a page does not know the colours of the page.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: #1f2733; }
.card { fill: #ffffff; stroke: #e3e7ed; }
.title { font-size: 17px; font-weight: 600; }
.muted { fill: #667080; font-size: 12px; }
.figure { font-variant-numeric: tabular-nums; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.ours { font-weight: 600; }
.grid { stroke: #e6eaf0; fill: none; }
.one { stroke: #a3acb9; fill: none; }
.band { fill: #eef1f5; }
.c-ours { fill: #0d8f80; stroke: #0d8f80; } .c-door { fill: #3b7dd8; stroke: #3b7dd8; }
.c-bare { fill: #98a2b0; stroke: #98a2b0; } .c-hand { fill: #9a6bd0; stroke: #9a6bd0; }
.c-old { fill: #d97d0e; stroke: #d97d0e; } .c-peer { fill: #c2488b; stroke: #c2488b; }
.c-httpx { fill: #9b6a44; stroke: #9b6a44; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.soft { fill-opacity: 0.22; stroke-opacity: 0; }
.good { fill: #d5f0e8; } .fair { fill: #fdecc8; } .poor { fill: #f9d8d6; } .none { fill: #eef1f5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e9f0; }
  .card { fill: #151a21; stroke: #2b333f; }
  .muted { fill: #9aa5b4; }
  .grid { stroke: #29313c; } .one { stroke: #5d6877; } .band { fill: #1f2630; }
  .c-ours { fill: #2cc9b5; stroke: #2cc9b5; } .c-door { fill: #6aa5f2; stroke: #6aa5f2; }
  .c-hand { fill: #b896e6; stroke: #b896e6; } .c-old { fill: #f0a03c; stroke: #f0a03c; }
  .c-peer { fill: #e57ab2; stroke: #e57ab2; } .c-httpx { fill: #c79a78; stroke: #c79a78; }
  .good { fill: #12443c; } .fair { fill: #4f3c12; } .poor { fill: #552524; } .none { fill: #1f2630; }
}
"""


class Card:
    """Collects shapes and writes them out.

    :param title: what it shows.
    :param subtitle: how to read it.
    """

    def __init__(self, title: str, subtitle: str) -> None:
        self._title = title
        self._subtitle = subtitle
        self._shapes: list[str] = []
        self.text(28, 38, title, "title")
        self.text(28, 60, subtitle, "muted")

    def text(self, x: float, y: float, text: str, style: str = "", hint: str = "") -> None:
        """Write; `style` names classes, `hint` shows when the mouse rests on it."""
        title = f"<title>{escape(hint)}</title>" if hint else ""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{title}{escape(text)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, more: str = "") -> None:
        """Draw a straight line."""
        self._shapes.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}" {more}/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, style: str, radius: float = 0
    ) -> None:
        """Draw a filled rectangle."""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
            f' rx="{radius}" class="{style}"/>'
        )

    def dot(self, x: float, y: float, radius: float, style: str) -> None:
        """Draw a filled circle."""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{style}"/>')

    def path(self, points: list[tuple[float, float]], style: str, more: str = "") -> None:
        """Draw a line through points."""
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._shapes.append(f'<path d="{d}" class="{style}" {more}/>')

    def written(self, height: float) -> str:
        """The whole image."""
        label = quoteattr(f"{self._title}. {self._subtitle}")
        body = "\n".join(self._shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
            f' width="{WIDTH}" height="{height:.0f}" role="img" aria-label={label}>\n'
            f"<style>{_STYLE}</style>\n"
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10"'
            f' class="card"/>\n{body}\n</svg>\n'
        )
