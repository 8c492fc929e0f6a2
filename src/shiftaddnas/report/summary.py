"""What a user sees when a run ends, or when a finished one is asked for again: made from its folder alone.

The tables fit 80 columns. Paths and commands are never wrapped, so that they can be copied, and read from a pipe.
"""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from shiftaddnas.report.numbers import (
    cost_column,
    cost_title,
    cost_value,
    count,
    duration,
    is_share,
    metric_value,
    significant,
)
from shiftaddnas.report.search_run import Network, SearchRun, read_results
from shiftaddnas.search import Record
from shiftaddnas.tracking import RunFolder

MAX_ROWS = 12
MAX_TABLE_WIDTH = 500
MIN_NAME_WIDTH = 20
TABLE_COSTS = ("energy_mj", "latency_ms", "num_params", "num_mults", "num_adds", "num_shifts")


def print_summary(folder: RunFolder, console: Console) -> None:
    """The outcome of a finished search: its front, its winner beside the baselines, and what to do next.

    Raises:
        UserError: the folder holds no finished search.
    """
    run = SearchRun.read(folder)
    results = run.results
    space = results["space"]
    _line(console)
    _line(console, f"Search on {results['task']} finished", style="bold")
    _line(
        console,
        f"space {space['name']} ({space['size']:,} archs), sharing {results['sharing']}, "
        f"hardware {results['hardware']}, seed {results['seed']}",
    )
    params = count(results["supernet"]["num_params"])
    _line(console, f"{results['evaluated']} archs evaluated in a supernet of {params} params")
    _line(console, f"limits: {results['limits'] or 'none'}")
    failed = len(run.records) - len(run.scored)
    if failed:
        _line(console, f"{failed} of them failed; {folder.search_log.name} says why", style="yellow")
    _line(console)
    _print_whole(console, _front_table(run))
    _line(console)
    _print_whole(console, _network_table(run))
    _line(console)
    for sentence in verdicts(run):
        console.print(Text(sentence))
    _line(console)
    for text in results["winner"].get("notations", []):
        _line(console, f"The winner in its space's notation: {text}")
    _line(console, "Train the winner again, on its own:")
    _line(console, f"  {results['retrain_command']}", style="bold")
    _files(console, folder, [folder.report, folder.pareto, folder.best_arch], results["seconds"])


def print_training_summary(folder: RunFolder, console: Console) -> None:
    """The outcome of a finished training of a supernet or of one network.

    Raises:
        UserError: the folder holds no finished training.
    """
    results = read_results(folder)
    _line(console)
    _line(console, f"Training of a {results['kind']} on {results['task']} finished", style="bold")
    table = Table.grid(padding=(0, 2))
    if "arch_id" in results:
        table.add_row("arch", f"{results['arch_id']}  {results['label']}")
    for text in results.get("notations", []):
        table.add_row("notation", Text(text))
    if "model" in results:
        table.add_row("model", results["label"])
    for part, title in (("val", "validation"), ("test", "test")):
        for name, value in results.get(part, {}).items():
            table.add_row(_metric_title(title, name), metric_value(name, "", value))
    table.add_row("params", count(results["num_params"]))
    for name, value in results.get("costs", {}).items():
        title, unit = cost_title(name)
        table.add_row(title, f"{cost_value(name, value)} {unit}".rstrip())
    _print_whole(console, table)
    _files(console, folder, [folder.path / results["checkpoint"]], results["seconds"])


def _metric_title(part: str, name: str) -> str:
    """Such as "test accuracy"; what the moving average of the weights reaches is said to be its own."""
    metric = name.removesuffix("_ema")
    return f"{part} {metric.replace('_', ' ')}{', EMA' if metric != name else ''}"


def verdicts(run: SearchRun) -> list[str]:
    """How the winner compares with each baseline, in words, whichever way it came out."""
    winner, *baselines = run.networks
    title, unit = cost_title(run.objective)
    sentences = []
    for baseline in baselines:
        if baseline.arch_id == winner.arch_id:
            sentences.append(f"The winner is the {baseline.role} network of its shape.")
            continue
        cost, reference = winner.costs[run.objective], baseline.costs[run.objective]
        if reference > 0:
            price = f"{significant(100 * cost / reference)} % of its {title}"
        else:
            price = f"{cost_value(run.objective, cost)} {unit} {title}"
        sentence = f"Against the {baseline.role} network, the winner is {_quality(run, winner, baseline)} at {price}"
        sentences.append(f"{sentence}{_conclusion(run, winner, baseline)}.")
    if sentences:
        sentences.append("Each network was trained once: small differences may be chance.")
    return sentences


def shown_costs(rows: Sequence[Mapping[str, float]], objectives: Sequence[str]) -> list[str]:
    """The costs that tables show, the objectives first, as far as some row has them."""
    names = dict.fromkeys((*objectives, *TABLE_COSTS))
    return [name for name in names if any(name in row for row in rows)]


def _quality(run: SearchRun, winner: Network, baseline: Network) -> str:
    if winner.test is None or baseline.test is None:
        return f"of unknown {run.metric}"
    difference = winner.test - baseline.test
    if difference == 0:
        return f"equal in test {run.metric}"
    word = "better" if (difference > 0) == run.maximize else "worse"
    points = is_share(run.metric, run.unit) or run.unit == "%"
    size = f"{abs(run.shown(difference)):.2f} points" if points else significant(abs(difference))
    return f"{size} {word} in test {run.metric}"


def _conclusion(run: SearchRun, winner: Network, baseline: Network) -> str:
    """What follows where one of the two is at least as good in both respects."""
    if winner.test is None or baseline.test is None:
        return ""
    gain = (winner.test - baseline.test) * (1 if run.maximize else -1)
    saving = baseline.costs[run.objective] - winner.costs[run.objective]
    if gain <= 0 and saving <= 0:
        return ": here the search found nothing better than this baseline"
    return ": better in both" if gain > 0 and saving > 0 else ""


def _front_table(run: SearchRun) -> Table:
    """At most `MAX_ROWS` archs of the front, evenly spread, the winner among them."""
    winner = run.networks[0]
    rows = _spread(run.front, winner.arch_id)
    more = f", {len(rows)} of {len(run.front)} archs" if len(rows) < len(run.front) else ""
    costs = shown_costs([record.costs for record in rows], run.objectives)
    table = _table(f"Pareto front{more}", ["arch", *map(_heading, costs), f"supernet\n{run.score}"])
    columns = [cost_column(name, [record.costs.get(name) for record in rows]) for name in costs]
    for record, *values in zip(rows, *columns, strict=True):
        is_winner = record.arch_id == winner.arch_id
        score = metric_value(run.score, run.unit, record.score)
        label = f"* {record.label}" if is_winner else f"  {record.label}"
        table.add_row(Text(label), *values, score, style="bold" if is_winner else "")
    table.caption = "* the winner, by supernet score"
    return table


def _network_table(run: SearchRun) -> Table:
    winner = run.networks[0]
    costs = [name for name in shown_costs([winner.costs], run.objectives) if name not in ("num_adds", "num_shifts")]
    title, _ = cost_title(run.objective)
    headings = ["network", f"test\n{run.metric}", *run.final, *map(_heading, costs), f"{title}\nrelative"]
    table = _table("Trained on their own", headings)
    reference = next((one for one in run.networks if one.role == "all-multiplication"), winner).costs[run.objective]
    columns = [cost_column(name, [network.costs.get(name) for network in run.networks]) for name in costs]
    for network, *values in zip(run.networks, *columns, strict=True):
        relative = f"{100 * network.costs[run.objective] / reference:.1f} %" if reference > 0 else "-"
        test = metric_value(run.metric, run.unit, network.test)
        scores = [metric_value(name, "", network.final[name]) for name in run.final]
        table.add_row(network.role, test, *scores, *values, relative, style="bold" if network is winner else "")
    return table


def _spread(front: Sequence[Record], winner_id: str) -> list[Record]:
    if len(front) <= MAX_ROWS:
        return list(front)
    chosen = {round(step * (len(front) - 1) / (MAX_ROWS - 1)) for step in range(MAX_ROWS)}
    at = next((index for index, record in enumerate(front) if record.arch_id == winner_id), None)
    if at is not None and at not in chosen:
        inner = chosen - {0, len(front) - 1}
        chosen = chosen - {min(inner, key=lambda index: abs(index - at))} | {at}
    return [front[index] for index in sorted(chosen)]


def _heading(name: str) -> str:
    title, unit = cost_title(name)
    return f"{title}\n{unit}".rstrip()


def _print_whole(console: Console, table: Table) -> None:
    """Print a table; where a terminal is too narrow for its numbers, it breaks their lines and hides no column."""
    natural = Measurement.get(console, console.options.update(max_width=MAX_TABLE_WIDTH), table).maximum
    names = max(cell_len(str(cell)) for cell in table.columns[0].cells)
    needed = natural - max(0, names - MIN_NAME_WIDTH)  # names may be folded
    if needed > console.width:
        table.width = needed
    console.print(table, crop=False)


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.title_style = "bold"
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=index > 0, overflow="fold")
    return table


def _files(console: Console, folder: RunFolder, files: Sequence[object], seconds: dict[str, float]) -> None:
    _line(console)
    times = ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items())
    if times:
        _line(console, f"took {times}")
    _line(console, f"run folder {folder.path}")
    for file in files:
        _line(console, f"  {file}")


def _line(console: Console, text: str = "", style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
