"""`python search.py`: train a supernet, search it, retrain the winner, and test it beside two baselines."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import start

if TYPE_CHECKING:  # torch and Lightning are imported when a job runs, so that --help answers at once
    from shiftaddnas.cli.session import Session
    from shiftaddnas.search import Record, Searcher
    from shiftaddnas.spaces import Arch
    from shiftaddnas.supernets import Supernet


def main() -> None:
    start("search", run)


def run(config: DictConfig) -> float | None:
    """One search, from config to results.json; the winner's score, for sweepers that optimise it."""
    from shiftaddnas.cli.session import open_session
    from shiftaddnas.cli.training import prepare_training
    from shiftaddnas.errors import UserError
    from shiftaddnas.report import print_summary
    from shiftaddnas.tracking.rank import is_main_process

    def prepare(session: "Session") -> None:
        prepare_training(session)
        if session.config["trainer"]["limit_val_batches"] == 0:
            raise UserError(
                "trainer.limit_val_batches=0 leaves no batch to score archs with; give at least 1, or 1.0 for all"
            )
        _retrain_command(session)  # whatever is wrong with it is found before anything is trained

    with open_session(config, prepare) as (session, state):
        if state != "finished":
            searcher = _searcher(session)
            supernet, records = _searched_supernet(session, searcher)
            _finish(session, searcher, supernet, records)
        if is_main_process():
            if not session.folder.report.exists():
                session.draw()
            print_summary(session.folder, session.console)
        return session.score()


def _searcher(session: "Session") -> "Searcher":
    from shiftaddnas.cli.build import build
    from shiftaddnas.search import Feasibility, Limits, split_limits
    from shiftaddnas.tracking import child_generator

    bounds, settings = split_limits(session.config["search"])
    limits = Limits.from_settings(bounds, session.cost, session.space.name)
    for note in limits.notes:
        session.console.print(f"note: {note}")
    feasible = Feasibility(session.cost, limits)
    rng = child_generator(session.seed, "search")
    return build(settings, "search", space=session.space, feasible=feasible, rng=rng)  # type: ignore[no-any-return]


def _searched_supernet(session: "Session", searcher: "Searcher") -> "tuple[Supernet, list[Record]]":
    """The supernet with its records: loaded where it is trained already, else trained and searched in one go."""
    from shiftaddnas.cli.training import fit_supernet
    from shiftaddnas.search import follow_search, read_records
    from shiftaddnas.search.callback import SearchCallback
    from shiftaddnas.tracking.rank import is_main_process

    given = session.config["ckpt"]
    path = Path(given) if given is not None else session.folder.supernet
    if given is not None or path.is_file():
        supernet = session.load_supernet(path)
        if not is_main_process():
            return supernet, follow_search(searcher, session.folder.search_log, session.task.maximize)
        return supernet, _search(session, searcher, supernet)
    supernet = session.supernet()
    callback = SearchCallback(lambda _: _search(session, searcher, supernet))
    with session.timed("supernet"):
        fit_supernet(session, supernet, [callback])
    # The main process has searched while the others waited.
    return supernet, callback.records or read_records(session.folder.search_log)


def _search(session: "Session", searcher: "Searcher", supernet: "Supernet") -> "list[Record]":
    import torch

    from shiftaddnas.cli.progress import SearchProgress
    from shiftaddnas.engine import SupernetEvaluator
    from shiftaddnas.search import SearchLog, run_search

    # Scored alike, whether it was trained just now in the trainer's precision or was read from its file.
    if next(supernet.parameters()).dtype != torch.float32:
        supernet = copy.deepcopy(supernet).float()
    data: Any = session.task.datamodule()
    limit = session.config["trainer"]["limit_val_batches"]
    evaluator = SupernetEvaluator(supernet, session.task, data, score=session.score_name, limit_val_batches=limit)
    log = SearchLog(session.folder.search_log)
    with (
        session.timed("search"),
        SearchProgress(session.console, searcher, evaluator.maximize) as progress,
    ):
        records = run_search(searcher, evaluator, session.cost, log, on_record=progress.update)
    feasible = searcher.feasible
    if feasible.num_failed:
        note = f"note: {feasible.num_failed} of {feasible.num_asked} archs were left out: {feasible.last_failure}"
        session.console.print(note, soft_wrap=True, markup=False)
    return records


def _finish(session: "Session", searcher: "Searcher", supernet: "Supernet", records: "list[Record]") -> None:
    """Retrain the winner and, of the same shape, the networks that only multiply and that hardly do; record it all."""
    from dataclasses import asdict

    from shiftaddnas.report import write_pareto
    from shiftaddnas.search import best
    from shiftaddnas.spaces import as_choice, write_arch
    from shiftaddnas.tracking.rank import is_main_process

    folder, space = session.folder, session.space
    record = best(records, session.task.maximize)
    winner = space.arch({name: as_choice(value) for name, value in record.arch.items()})
    if is_main_process():
        write_arch(winner, folder.best_arch)
        front = write_pareto(folder, objectives=session.objectives, maximize=session.task.maximize)
        session.wandb.log_candidates([asdict(one) for one in records])
        session.wandb.log_pareto(front, objective=session.objective)

    networks = _trained_alone(session, winner)
    session.wandb.log_artifact(folder.best_arch, type="arch")
    session.wandb.log_artifact(folder.best_subnet, type="model")
    if folder.supernet.is_file():
        session.wandb.log_artifact(folder.supernet, type="model")
    session.write_results(
        {
            "space": {"name": space.name, "size": space.size()},
            "sharing": session.sharing.name,
            "hardware": session.cost.name,
            "metric": {
                "name": session.task.metric,
                "unit": session.task.unit,
                "maximize": session.task.maximize,
                "final": list(session.task.final_metrics),
            },
            "objective": session.objective,
            "objectives": list(session.objectives),
            "score": session.score_name,
            "limits": str(searcher.feasible.limits),
            "searcher": searcher.state_dict(),
            "evaluated": len(records),
            "supernet": {
                "num_params": sum(parameter.numel() for parameter in supernet.parameters()),
                "checkpoint": session.config["ckpt"] or folder.supernet.name,
            },
            "winner": networks.pop("winner") | {"score": record.score},
            "baselines": networks,
            "retrain_command": _retrain_command(session),
        }
    )


def _trained_alone(session: "Session", winner: "Arch") -> dict[str, dict[str, Any]]:
    """The winner and, of the same shape, the networks that only multiply and that hardly do, each trained and tested.

    A baseline that the cost model fails on is left out.
    """
    from shiftaddnas.cli.training import retrain

    space = session.space
    archs = {
        "winner": winner,
        "all_multiplication": space.all_multiplication(winner),
        "all_cheap": space.all_cheap(winner),
    }
    networks: dict[str, dict[str, Any]] = {}
    for role, arch in archs.items():
        costs = session.costs(arch)
        same = next((other for other in networks if archs[other] == arch), None)
        if same is not None:
            networks[role] = networks[same]
        elif costs:
            final = session.folder.best_subnet if role == "winner" else session.folder.baseline(role)
            with session.timed("retrain"):
                test = retrain(session, arch, f"retrain/{role}", final)
            networks[role] = {
                "arch_id": arch.id,
                "label": space.describe(arch),
                "notations": list(space.notations(arch)),
                "test": test,
                "costs": costs,
            }
    return networks


def _retrain_command(session: "Session") -> str:
    """The command that does for the winner what the search did."""
    from hydra.core.hydra_config import HydraConfig

    from shiftaddnas.cli.repeat import train_command

    trainer = session.config["trainer"] | {"max_epochs": session.config["retrain"]["max_epochs"]}
    settings = {**session.config, "trainer": trainer}
    return train_command(settings, HydraConfig.get().runtime.choices, str(session.folder.best_arch))


if __name__ == "__main__":  # how Lightning starts the other processes of `shiftaddnas search`
    main()
