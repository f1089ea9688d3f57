"""The page, the table and the JSON of `dftlrp evaluate`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dftlrp.evaluation.experiment import AMPLITUDE, BESIDE, GRID, OCCLUSION, Experiment
from dftlrp.evaluation.outcome import EvaluationData
from dftlrp.evaluation.summary import SPREAD, Cell, Figure
from dftlrp.results.figure import render_figure
from dftlrp.results.panels import INK, style_axes
from dftlrp.results.report import fill_page
from dftlrp.results.report.media import make_uri
from dftlrp.results.words import clean_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe, Ito
GREYS = ("#4d4d4d", "#000000", "#8c8c8c", "#bfbfbf")
DPI_OF_CURVES = 130
QUESTIONS = {
    "zero": "silence", "mean": "the mean", "noise": "noise as strong as each unit",
    "stationary": "noise with the recording's spectrum",
}  # fmt: skip


def render_evaluation(found: EvaluationData) -> str:
    """Return the comparison as one self-contained HTML page."""
    experiment = found.experiment
    return fill_page(
        "evaluation.html.j2",
        model=experiment.model.replace("\\", "/").rpartition("/")[2],
        recordings=found.recordings,
        first=experiment.first,
        amplitude=AMPLITUDE,
        candidates=experiment.candidates,
        verdicts=list_verdicts(found),
        cells=found.cells,
        questions=QUESTIONS,
        pictures=[_draw_domain(experiment, found.cells, d) for d in experiment.domains]
        if found.cells
        else [],
        tables=_list_tables(found),
        warnings=found.warnings,
        notes=found.notes,
        skipped=found.skipped,
        facts=_collect_settings(experiment),
    )


def list_verdicts(found: EvaluationData) -> list[str]:
    """Return one sentence for each variant: where it is clearly better and worse than others."""
    usable = [cell for cell in found.cells if not cell.warning]
    return [_tell_verdict(name, usable, found.experiment) for name in found.experiment.variants
            if usable]  # fmt: skip


def _tell_verdict(name: str, cells: Sequence[Cell], experiment: Experiment) -> str:
    told = []
    for other in (AMPLITUDE, experiment.first):
        if other == name:
            continue
        gains = [cell.against[other][name] for cell in cells]
        better, worse = (sum(g.clear and s * g.mean > 0 for g in gains) for s in (1, -1))
        told.append(f"clearly better than {other} in {better} and worse in {worse}")
    best = sum(
        max((k for k in cell.srg if k != OCCLUSION), key=lambda k: cell.srg[k].mean) == name
        for cell in cells
    )
    below = sum(cell.srg[name].clear and cell.srg[name].mean < 0 for cell in cells)
    end = f"; clearly worse than random in {below}" if below else ""
    told[-1] += f" of {len(cells)} cells"
    return f"{name}: {', '.join(told)}; the best of all but occlusion in {best}{end}"


def _draw_domain(experiment: Experiment, cells: Sequence[Cell], domain: str) -> dict[str, str]:
    """Return a picture of the curves of a domain, one panel for each replacement."""
    from matplotlib.figure import Figure as Drawing

    own = [cell for cell in cells if cell.domain == domain]
    fig = Drawing(figsize=(3.3 * len(own) + 1.9, 2.9), layout="constrained")
    for panel, cell in zip(fig.subplots(1, len(own), squeeze=False)[0], own, strict=True):
        _draw_cell(panel, experiment, cell)
    _add_legend(fig)
    title = f"Score while units are removed, {domain}"
    return {"title": title, "uri": make_uri("image/png", render_figure(fig, dpi=DPI_OF_CURVES))}


def _draw_cell(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    colours = choose_colours(experiment)
    for name, (most, least) in cell.curves.items():
        wide = 1.0 if name in BESIDE else 1.8
        told = clean_text(name)
        panel.plot(GRID, most, color=colours[name], linewidth=wide, label=told)
        panel.plot(GRID, least, color=colours[name], linewidth=wide, linestyle=(0, (3, 2)))
    panel.set_title(f"replaced by {QUESTIONS[cell.replacement]}", fontsize=8, color=INK)
    panel.set_xlabel("share of the units removed", fontsize=8)
    panel.set_ylabel("score", fontsize=8)
    style_axes(panel)


def _add_legend(fig: Drawing) -> None:
    handles, labels = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


def choose_colours(experiment: Experiment) -> dict[str, str]:
    """Return a colour for each candidate: greys for what is always beside."""
    own = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(experiment.variants)}
    return own | dict(zip(BESIDE, GREYS, strict=True))


def _list_tables(found: EvaluationData) -> list[dict[str, Any]]:
    """Return the tables of all other checks: caption, columns, and rows of figures."""
    tables = []
    for domain, by_name in found.complexity.items():
        tables.append(_make_table(f"Complexity of the units, {domain}", SPREAD, by_name))
    others = (
        ("Share of the explained score that arrives at the input", found.arrival),
        ("Stability: correlation with the explanation of a changed recording", found.stability),
        ("Sound: what is heard through the mask of the explanation, and in the rest", found.sound),
        ("Randomisation: rank correlation after layers lost weights", found.randomisation),
    )
    for caption, by_name in others:
        if by_name:
            tables.append(_make_table(caption, [*next(iter(by_name.values()))], by_name))
    return tables


def _make_table(
    caption: str, columns: Sequence[str], by_name: Mapping[str, Mapping[str, Figure]]
) -> dict[str, Any]:
    rows = {name: [figures[c] for c in columns] for name, figures in by_name.items()}
    return {"caption": caption, "columns": columns, "rows": rows}


def _collect_settings(experiment: Experiment) -> dict[str, str]:
    facts = {f"variant {k}": ", ".join(f"{a}={v}" for a, v in given.items()) or "all as by default"
             for k, given in experiment.variants.items()}  # fmt: skip
    facts |= {k: str(v) for k, v in experiment.common.items()}
    return facts | {"checks": ", ".join(experiment.checks)}


def make_table_of_cells(found: EvaluationData) -> str:
    """Return faithfulness as CSV: a line for each domain, replacement and candidate."""
    out = io.StringIO()
    writer = csv.writer(out)
    first = found.experiment.first
    writer.writerow(["domain", "replacement", "candidate", "recordings", "srg", "srg_error",
                     "deletion", "insertion", "span", "minus_default", "minus_default_error",
                     "minus_amplitude", "minus_amplitude_error"])  # fmt: skip
    none = Figure(0.0, 0.0, 0)
    for cell in found.cells:
        for name, reached in cell.srg.items():
            gains = [cell.against[other].get(name, none) for other in (first, AMPLITUDE)]
            numbers = [reached.mean, reached.error, cell.deletion[name].mean,
                       cell.insertion[name].mean, cell.span.mean,
                       *(v for g in gains for v in (g.mean, g.error))]  # fmt: skip
            writer.writerow([cell.domain, cell.replacement, name, reached.count,
                             *(f"{v:.6g}" for v in numbers)])  # fmt: skip
    return out.getvalue()


def describe_in_json(found: EvaluationData) -> dict[str, Any]:
    """Return all numbers as values that JSON can hold; what is not finite is None."""
    cells = [
        {
            "domain": cell.domain, "replacement": cell.replacement, "span": cell.span,
            "srg": cell.srg, "deletion": cell.deletion, "insertion": cell.insertion,
            "against": cell.against, "warning": cell.warning,
        }
        for cell in found.cells
    ]  # fmt: skip
    whole = {
        "model": found.experiment.model, "recordings": found.recordings,
        "variants": {k: {a: str(v) for a, v in given.items()}
                     for k, given in found.experiment.variants.items()},
        "faithfulness": cells, "complexity": found.complexity, "arrival": found.arrival,
        "stability": found.stability,
        "sound": found.sound, "randomisation": found.randomisation,
        "verdicts": list_verdicts(found), "warnings": found.warnings,
        "notes": found.notes, "skipped": dict(found.skipped),
    }  # fmt: skip
    made: dict[str, Any] = _make_plain(whole)
    return made


def _make_plain(value: Any) -> Any:
    if isinstance(value, Figure):
        return _make_plain({"mean": value.mean, "error": value.error, "count": value.count})
    if isinstance(value, Mapping):
        return {str(k): _make_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
