"""`shiftaddnas <command>`, the same as `python -m shiftaddnas <command>`: every command of the framework."""

import importlib.util
import sys

COMMANDS = {
    "train": "train a supernet, or with arch=... one network on its own",
    "search": "train a supernet, search it, retrain the winner, compare it",
    "rank": "how well supernets, or any scores in a table, rank archs by their own quality",
    "price": "what an arch costs on a hardware, layer by layer, or the whole space",
    "draw": "the pictures of a run once more, or one arch as a drawing",
    "latency": "measure networks on this machine and fit a latency predictor to them",
    "translate": "text, a sentence a line, by a trained network",
    "export": "a trained network as ONNX, as a torch program, or in integers",
}


def main() -> None:
    """Hand the rest of the command line to a command.

    Exits with code 1 and one line where there is no such command.
    """
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
        print("\n".join(["usage: shiftaddnas <command> [setting=value ...]", "", *lines]))
        print("\nshiftaddnas <command> --help tells its settings.")
        return
    command = sys.argv[1]
    if command not in COMMANDS:
        print(f"error: {command} is no command; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(1)
    sys.argv[:2] = [f"shiftaddnas {command}"]
    module = f"shiftaddnas.cli.{command}"
    # No file has that name: who starts more processes like this one, as Lightning does, finds here what to run.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(module)
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
