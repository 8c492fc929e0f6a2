"""`python train.py`: train a supernet, or with arch=... or model=... one network on its own."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from shiftaddnas.cli.app import start

if TYPE_CHECKING:  # torch and Lightning are imported when a job runs, so that --help answers at once
    from shiftaddnas.cli.session import Session


def main() -> None:
    start("train", run)


def run(config: DictConfig) -> float | None:
    """One training, from config to results.json; its score, for sweepers that optimise it."""
    from shiftaddnas.cli.session import open_session
    from shiftaddnas.cli.training import prepare_training
    from shiftaddnas.report import print_training_summary
    from shiftaddnas.tracking.rank import is_main_process

    with open_session(config, prepare_training) as (session, state):
        if state != "finished":
            if session.config["model"] is not None:
                _train_model(session)
            elif session.config["arch"] is None:
                _train_supernet(session)
            else:
                _train_subnet(session)
        if is_main_process():
            if state != "finished":
                session.draw()
            print_training_summary(session.folder, session.console)
        return session.score()


def _train_supernet(session: "Session") -> None:
    from shiftaddnas.cli.training import fit_supernet, validate_supernet

    if session.optimization.ema_decay is not None:
        session.console.print("note: optim.ema_decay averages single networks; a supernet is trained without")
    supernet = session.supernet_or_loaded()
    with session.timed("supernet"):
        fit_supernet(session, supernet)
    session.wandb.log_artifact(session.folder.supernet, type="model")
    session.write_results(
        {
            "kind": "supernet",
            "sharing": session.sharing.name,
            "num_params": sum(parameter.numel() for parameter in supernet.parameters()),
            "val": validate_supernet(session, supernet),
            "checkpoint": session.folder.supernet.name,
        }
    )


def _train_subnet(session: "Session") -> None:
    from shiftaddnas.cli.archs import find_arch
    from shiftaddnas.cli.training import fit_subnet
    from shiftaddnas.spaces import write_arch
    from shiftaddnas.tracking.rank import is_main_process

    arch = find_arch(session.config["arch"], session.space)
    inherits = session.config["ckpt"] is not None
    network = session.supernet_or_loaded().extract(arch) if inherits else session.standalone(arch)
    if is_main_process():
        write_arch(arch, session.folder.arch)
    with session.timed("subnet"):
        test = fit_subnet(session, network, "subnet", session.folder.subnet)
    session.wandb.log_artifact(session.folder.arch, type="arch")
    session.wandb.log_artifact(session.folder.subnet, type="model")
    session.write_results(
        {
            "kind": "subnet",
            "arch_id": arch.id,
            "label": session.space.describe(arch),
            "notations": list(session.space.notations(arch)),
            "num_params": sum(parameter.numel() for parameter in network.parameters()),
            "costs": session.costs(arch),
            "test": test,
            "checkpoint": session.folder.subnet.name,
        }
    )


def _train_model(session: "Session") -> None:
    from shiftaddnas.cli.model import shown
    from shiftaddnas.cli.training import fit_subnet

    network = session.model
    with session.timed("subnet"):
        test = fit_subnet(session, network, "subnet", session.folder.subnet, average=session.model_average)
    session.wandb.log_artifact(session.folder.subnet, type="model")
    session.write_results(
        {
            "kind": "model",
            "model": session.config["model"],
            "label": shown(session.config["model"]),
            "num_params": sum(parameter.numel() for parameter in network.parameters()),
            "costs": session.model_costs,
            "test": test,
            "checkpoint": session.folder.subnet.name,
        }
    )


if __name__ == "__main__":  # how Lightning starts the other processes of `shiftaddnas train`
    main()
