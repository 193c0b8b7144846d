"""The command line: parse, call one journey, print. No logic; torch is loaded inside the commands, so help is quick."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dualpix import __version__
from dualpix.errors import DualpixError


class Doors(TyperGroup):
    """The sub-commands. What a user can put right is one sentence on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DualpixError as error:
            message = str(error)
        except MemoryError:
            message = "The memory ran out; free some, or use smaller pictures."
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            message = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(130) from None
        say(f"dualpix: {message}")
        raise typer.Exit(1)


app = typer.Typer(
    cls=Doors,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Weights = Annotated[
    str | None,
    typer.Option("--weights", "-w", metavar="NAME|FILE", help="Shipped weights, or a .safetensors file of your own."),
]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="The most memory to use, such as 2GB.")]
Precision = Annotated[str, typer.Option(metavar="NAME", help="fp32, bf16, or auto: the faster one.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, ..., or auto: a GPU if there is one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


def main() -> None:
    """Run the command line."""
    app(prog_name="dualpix")


def say(text: str) -> None:
    """Print to stderr, which is for people; stdout is for results."""
    typer.echo(text, err=True)


@app.callback(invoke_without_command=True)
def _dualpix(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.", is_eager=True)] = False,
) -> None:
    """Turn the two views of a dual-pixel photograph into one picture that is sharp everywhere.

    \b
    Example:  dualpix deblur left.png right.png -o sharp.png
    """
    if version:
        typer.echo(f"dualpix {__version__}")
        raise typer.Exit()


@app.command()
def deblur(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="The left view: PNG, TIFF, JPEG or WebP.")],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="The right view of the same photograph.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The picture to write.")],
    weights: Weights = None,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    depth: Annotated[int | None, typer.Option(metavar="BITS", help="8 or 16; without it, that of the views.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on if the pair looks odd, as if swapped.")] = False,
) -> None:
    """Deblur a pair: two views in, one sharp picture out.

    \b
    Example:  dualpix deblur left.png right.png -o sharp.png
    """
    if depth not in (None, 8, 16):
        raise typer.BadParameter("choose 8 or 16", param_hint="--depth")
    from dualpix import checkpoint
    from dualpix.deblurring import deblur_pair
    from dualpix.images import check_output, read_pair, write_picture

    check_output(output, overwrite, [left, right])
    pair = read_pair(left, right)
    opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    start = time.perf_counter()
    done = deblur_pair(
        dict(pair),
        opened,
        memory=memory,
        precision=precision,
        device=device,
        strict=not anyway,
        progress=_progress("band"),
    )
    for warning in done.warnings:
        say(f"Note: {warning}")
    write_picture(output, done.picture, depth or pair["depth"], overwrite)
    height, width = done.picture.shape[1:]
    typer.echo(f"{output}: {width} x {height} pixels, {time.perf_counter() - start:.1f} s ({done.plan})")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")] = Path("demo"),
    weights: Weights = None,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Deblur the bundled pair and score it.

    Writes result.png and side-by-side.png (blurred, result, truth) into FOLDER, over those of an earlier run.

    \b
    Example:  dualpix demo -o demo
    """
    from dualpix.demonstrating import demonstrate

    done = demonstrate(output, weights, memory=memory, precision=precision, device=device, progress=_progress("band"))
    if done.about:
        typer.echo(done.about)
    for words, scores in (("before", done.before), ("after", done.after)):
        typer.echo(f"{words:7} PSNR {scores['psnr']:.2f} dB   SSIM {scores['ssim']:.4f}")
    typer.echo(f"gain    {done.after['psnr'] - done.before['psnr']:+.2f} dB in {done.seconds:.1f} s ({done.plan})")
    typer.echo(f"wrote   {done.result}, {done.side_by_side} (blurred, result, truth)")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="tiny (seconds), cpu (hours) or paper (GPU days).")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="Fields of the recipe to change.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The run folder.")] = Path("run"),
    photos: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Sharp photographs to simulate pairs from; repeatable."),
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Or a data set of real pairs.")] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="What to validate on; repeatable.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that share the work.")] = 1,
) -> None:
    """Train a network by a recipe.

    The weights to use are best.safetensors in FOLDER. Ctrl-C stops after the current step with everything kept; the
    same command resumes.

    \b
    Examples:
      dualpix train tiny --photos photos -o run
      dualpix train cpu rate=3e-4 'arguments={"max_disparity": 12}' --photos photos -o run
      dualpix train cpu --processes 2 --photos photos -o run
    """
    from dualpix.recipes import find_recipe
    from dualpix.training import launch
    from dualpix.training import train as run

    chosen = find_recipe(recipe, _changes(changes or []))
    if processes > 1:
        options = [("-o", output), *(("--photos", folder) for folder in photos or ())]
        options += [("--data", data)] if data else []
        options += [("--validation", folder) for folder in validation or ()]
        words = [recipe, *(changes or ()), *(str(word) for option in options for word in option)]
        raise typer.Exit(launch(processes, ["train", *words]))
    reached = [0]

    def report(line: dict[str, Any]) -> None:
        reached[0] = line.get("step", line.get("resumed_at_step", reached[0]))
        typer.echo(_told(line, chosen.steps))

    best = run(chosen, output, photos=photos or (), data=data, validation=validation or (), report=report)
    if 0 < reached[0] < chosen.steps:
        say(f"Stopped after step {reached[0]} of {chosen.steps}; the same command resumes.")
        raise typer.Exit(130)
    if reached[0]:  # Silent in all but the first of several processes.
        typer.echo(f"{best}: ready for `dualpix deblur --weights`")


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of pairs with sharp pictures, or DPDD.")],
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", metavar="[LABEL=]THING", help="Weights, or pictures by others; repeatable."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where pictures and tables go.")
    ] = Path("evaluation"),
    protocol: Annotated[str, typer.Option(metavar="NAME", help="dpdd-16bit, dpdd-8bit or wang.")] = "dpdd-16bit",
    extra: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help="One more metric, such as lpips; repeatable.")
    ] = None,
    scenes: Annotated[int, typer.Option(min=0, metavar="N", help="Rows of the comparison picture.")] = 6,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Run, score and compare methods on pairs.

    THING is the name or file of weights, or a folder of pictures made by any other program. Writes the pictures,
    pictures.csv, summary.md and comparison.png into FOLDER.

    \b
    Examples:
      dualpix evaluate pairs
      dualpix evaluate DPDD -m mine=run/best.safetensors -m DPDNet=their_pictures -o results
    """
    from dualpix.evaluating import evaluate as run

    done = run(
        data,
        _labelled(method) if method else None,
        output,
        protocol=protocol,
        extra=extra or (),
        memory=memory,
        precision=precision,
        device=device,
        overwrite=overwrite,
        scenes=scenes,
        progress=lambda label, at, total: _progress(label)(at, total),
    )
    typer.echo(done.summary)
    for (label, name), warning in done.warnings.items():
        say(f"Note: {label}, {name}: {warning}")
    if done.failures:
        say(f"dualpix: {len(done.failures)} pictures failed; {done.folder / 'summary.md'} says why.")
        raise typer.Exit(1)


@app.command()
def methods() -> None:
    """List the networks and the shipped weights.

    \b
    Example:  dualpix methods
    """
    from dualpix import checkpoint
    from dualpix.networks import NETWORKS, create
    from dualpix.networks.counting import count

    height, width = 1120, 1680
    typer.echo(f"{'network':14} {'takes':16} {'parameters':>11} {'GMAC at ' + f'{width} x {height}':>20}")
    for name in NETWORKS:
        network: Any = create(name)
        counts = count(network, height, width)
        cost = f"{counts.conv_macs / 1e9:.0f} + {counts.attention_macs / 1e9:.0f}"
        typer.echo(f"{name:14} {', '.join(network.views):16} {counts.parameters / 1e6:9.2f} M {cost:>20}")
    typer.echo(f"\n{'weights':14} {'network':14} scores")
    for name in checkpoint.WEIGHTS:
        try:
            card = checkpoint.read_card(name)
        except DualpixError:
            typer.echo(f"{name:14} not part of this installation")
            continue
        default = " (default)" if name == checkpoint.DEFAULT_WEIGHTS else ""
        scores = ", ".join(f"{key} {value:.4g}" for key, value in card["scores"].items() if isinstance(value, float))
        typer.echo(f"{name:14} {card['network']:14} {scores}{default}")


def _changes(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for field, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{field!r} is no change; write FIELD=VALUE", param_hint="FIELD=VALUE")
    return {field: value for field, _, value in pairs}


def _told(line: dict[str, Any], steps: int) -> str:
    """A line of the training log, for people."""
    if "validation" in line:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in line["validation"].items())
        return f"step {line['step']}: validation {scores}" + (" (best so far)" if line["best"] else "")
    if "loss" in line:
        loss = "none" if line["loss"] is None else f"{line['loss']:.5f}"
        left = f"{60 * line['hours_left']:.0f} min left"
        return f"step {line['step']} of {steps}: loss {loss}, {line['pictures_per_s']:.1f} crops/s, {left}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.items())


def _labelled(things: list[str]) -> dict[str, str]:
    """From label to thing: `label=thing`, or a thing alone, which is called by its own name."""
    labelled: dict[str, str] = {}
    for text in things:
        label, equals, thing = text.partition("=")
        if not equals or Path(text).exists():
            path = Path(text)
            label, thing = path.stem if path.suffix == ".safetensors" else path.name, text
        if label in labelled:
            raise typer.BadParameter(f"two methods are called {label!r}; write LABEL=THING", param_hint="--method")
        labelled[label] = thing
    return labelled


def _progress(what: str) -> Callable[[int, int], None]:
    """A line that counts, for people who watch; nothing in logs and pipes, and nothing where there is only one."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and total > 1:
            typer.echo(f"\r{what} {done} of {total}" + "\n" * (done == total), nl=False, err=True)

    return show


if __name__ == "__main__":
    main()
