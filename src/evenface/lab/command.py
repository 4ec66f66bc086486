"""`evenface lab`."""

from pathlib import Path

from evenface.errors import UserError
from evenface.lab.config import LabConfig
from evenface.lab.run import run
from evenface.progress import bars
from evenface.training.alone import alone
from evenface.training.arguments import parse_as
from evenface.training.config import to_toml
from evenface.training.record import write_figures

HELP = """One run of the quick lab: gradient histograms of real faces, a two-layer network, seconds a run.

examples
  evenface lab recipes/lab/cfp-to-lfw.toml --lab.cfp CFP --lab.lfw LFW -o runs/lab
  evenface lab recipes/lab/cfp-to-lfw.toml --loss arcface --loss.scale 64 --train.seed 1 -o runs/arcface
  evenface compare recipes/lab/losses-cfp-to-lfw.toml --lab.cfp CFP --lab.lfw LFW -o runs/losses

DIR gets config.toml, which repeats the run, and figures.json. The features are computed once and kept in
the user's cache (~/.cache/evenface, or below XDG_CACHE_HOME)."""


def lab(words: list[str], recipe: Path | None, output: Path | None) -> int:
    """Train, measure, write figures.json into `output`, and print the figures.

    Raises:
        UserError: a setting, a folder or a picture is wrong, or `output` has a run already.
    """
    config = parse_as(LabConfig, words, prog="evenface lab [RECIPE.toml]", description=HELP, recipe=recipe)
    if output is None:
        raise UserError("-o: name the folder that the run is written to, for example -o runs/lab")
    if (output / "figures.json").exists():
        raise UserError(f"{output}: already has a run; name another -o")
    with alone(output, "evenface lab"):
        with bars() as bar:
            sets, figures = run(config, lambda name: bar(f"features of {name}"))
        (output / "config.toml").write_text(to_toml(config), encoding="utf-8")
        write_figures(figures, output)
    print(sets)
    for name, value in figures.items():
        print(f"  {name:22} {value:.4f}")
    return 0
