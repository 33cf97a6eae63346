"""The report: one HTML file with all tables and pictures in it, which needs no network and no other file."""

import base64
import re
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from model.durable_files import write_durably
from training.compare.pictures import PICTURES
from training.compare.prefixes import Group, prefix_groups
from training.compare.rows import REFERENCE
from training.compare.runner import Comparison
from training.compare.tables import Section, heading, sections

RESOLUTION = 120

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1360px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 9px; text-align: right; border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; }
td:first-child { background: #fff; min-width: 15rem; }
td.text { text-align: left; white-space: normal; min-width: 9rem; }
th { background: #f4f6f8; } th.text { text-align: left; } em { color: #8a5a00; }
img.figure { max-width: 100%; } p.note { color: #57606a; font-size: 13px; }
.group { margin: 0 0 12px; } .group h3 { font-size: 13px; margin: 0 0 4px; font-weight: 600; }
.items { display: flex; flex-wrap: wrap; gap: 8px; }
figure { margin: 0; width: 100px; font-size: 10.5px; line-height: 1.25; }
figure img { height: 96px; max-width: 100px; object-fit: contain; display: block; }
figure .none { height: 96px; width: 80px; background: #eef0f3; }
"""


def write_report(summary: dict[str, Any], comparison: Comparison, path: Path) -> None:
    """Writes the report of a comparison; items are shown by prefix where the published method was run."""
    parts = ["<h1>Comparison</h1>", f"<p>{_inline(heading(summary))}</p>"]
    tables = [_table(section) for section in sections(summary)]
    parts += tables[: 2 * len(summary["passes"])]
    for title, draw in PICTURES.items():
        figure = draw(summary)
        if figure is not None:
            note = escape((draw.__doc__ or "").strip())
            parts.append(f'<h2>{escape(title)}</h2><p class="note">{note}</p>{_image(figure, title)}')
    parts += tables[2 * len(summary["passes"]) :]
    parts += _prefix_view(comparison)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    write_durably(path, [page.encode()])


def _table(section: Section) -> str:
    """The table; columns of words stand on the left, columns of figures on the right."""
    columns = zip(*section.rows, strict=True)
    classes = [' class="text"' if any(map(_is_words, column)) else "" for column in columns] or [""] * len(section.head)

    def row(cells: list[str], tag: str) -> str:
        shown = zip(cells, classes, strict=True)
        return "<tr>" + "".join(f"<{tag}{kind}>{_inline(cell)}</{tag}>" for cell, kind in shown) + "</tr>"

    body = "".join(row(cells, "td") for cells in section.rows)
    note = f'<p class="note">{_inline(section.note)}</p>' if section.note else ""
    table = f'<div class="table"><table><thead>{row(section.head, "th")}</thead><tbody>{body}</tbody></table></div>'
    below = f'<p class="note">{_inline(section.below)}</p>' if section.below else ""
    return f"<h2>{escape(section.title)}</h2>{note}{table}{below}"


def _is_words(cell: str) -> bool:
    """Whether a cell holds words; a remark in place of a figure does not count."""
    return not cell.startswith("*") and re.search(r"[a-z]{3}", cell) is not None


def _inline(text: str) -> str:
    """Escaped text with the markup of the tables' cells."""
    text = escape(text)
    for pattern, tag in ((r"\*\*(.+?)\*\*", "b"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        text = re.sub(pattern, rf"<{tag}>\1</{tag}>", text)
    return text


def _image(figure: Figure, title: str) -> str:
    stored = BytesIO()
    figure.savefig(stored, format="png", dpi=RESOLUTION)
    data = base64.b64encode(stored.getvalue()).decode()
    return f'<img class="figure" alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _prefix_view(comparison: Comparison) -> list[str]:
    """Items that share a first code, under the IDs of the published method's first seed."""
    jobs = [job for job in comparison.jobs() if job.row.name == REFERENCE and comparison.result(job) is not None]
    folders = comparison.folders(jobs[0]) if jobs else None
    if folders is None:
        return []
    groups = prefix_groups(folders["assign"], folders["prepare"], comparison.data)
    note = "The first codes with the most items, and some of the items that share them."
    return [f'<h2>Items by prefix</h2><p class="note">{note}</p>', *map(_group, groups)]


def _group(group: Group) -> str:
    shown = "".join(_item(title, picture) for title, picture in group.items)
    title = f"{escape(group.modality)}, first code {group.code}: {group.size} items"
    return f'<div class="group"><h3>{title}</h3><div class="items">{shown}</div></div>'


def _item(title: str, picture: str | None) -> str:
    image = f'<img alt="" src="{picture}">' if picture else '<div class="none"></div>'
    return f"<figure>{image}{escape(title)}</figure>"
