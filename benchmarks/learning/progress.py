"""What a training that never stops has come to, as text. Loads no PyTorch, so it is there in a moment."""

from pathlib import Path
from typing import Any

from learning import lock
from learning.folders import STORES, Line, Stage, last_of, pace, read_json, read_log, spent_hours, stages_of, trunks_of
from learning.settings import Plan, Settings

MINUTES = 30.0
LOSSES = 5
STAGES = 12
VERDICTS = 2
MOST_LINES = 40
SHIPPED = Path("src/dualpix/weights")


def progress(settings: Settings) -> str:
    process, plan = lock.holder(settings.folder), read_json(settings.folder / "plan.json")
    doing = f"{plan['doing']}, since {plan['since']}" if plan else "nothing was begun"
    lines = [f"Running, process {process or '?'}: {doing}." if process is not None else f"Not running ({doing})."]
    missing = [str(path) for path in (*settings.photos, *settings.validation) if not path.is_dir()]
    lines += [f"Left out, as they are not there: {', '.join(missing)}."] if missing else []
    if not settings.judge.exists():
        lines.append(f"No stage is judged: {settings.judge} is not there.")
    for network in settings.networks:
        lines += ["", network.name, *(f"  {line}".rstrip() for line in _of_network(settings, network))]
    return "\n".join(lines)


def _of_network(settings: Settings, plan: Plan) -> list[str]:
    home = settings.home(plan)
    trunks, stages = trunks_of(home), stages_of(home)
    logs = [read_log(trunk) for trunk in trunks]
    trouble = home / "trouble.txt"
    lines = [f"IN TROUBLE, tried again: {trouble.read_text().strip()}"] if trouble.exists() else []
    recipes = [read_json(trunk / "recipe.json") for trunk in trunks]
    begun = [(log, recipe) for log, recipe in zip(logs, recipes, strict=True) if last_of(log, "step") and recipe]
    if not begun:
        scenes = sum(1 for _ in home.glob(f"scenes/{STORES}/*.npy"))
        return [*lines, f"no step yet; {scenes} scenes rendered"]
    lines += _crops(begun, trunks[-1].name, spent_hours(home))
    log, recipe = begun[-1]
    speed, losses = pace([log, *(read_log(stage.folder) for stage in stages[-2:])], recipe["batch"], MINUTES)
    if speed is not None:
        lines.append(f"{speed:.2f} crops a second over the last {MINUTES:g} minutes in which it learnt")
    if losses:
        last = " ".join(f"{loss:.5f}" for loss in losses[-LOSSES:])
        lines.append(f"loss {last}; mean over these minutes {sum(losses) / len(losses):.5f}")
    lines += _validated(log)
    lines += _stages(stages, recipe)
    return lines + _shipping(stages, plan)


def _crops(begun: list[tuple[list[Line], dict[str, Any]]], trunk: str, hours: float) -> list[str]:
    steps = sum(last_of(log, "step") for log, _ in begun)
    crops = sum(last_of(log, "step") * recipe["batch"] for log, recipe in begun)
    alike = sum(last_of(log, "step") * recipe["batch"] * (recipe["crop"] / 128) ** 2 for log, recipe in begun)
    log, recipe = begun[-1]
    step = last_of(log, "step")
    each = step * recipe["batch"] / (recipe["pool"] + step * recipe["fresh"])
    in_the_end = f", {recipe['batch'] / recipe['fresh']:.2f} in the long run" if recipe["fresh"] else ""
    more = f", {step:,} of them in {trunk}" if len(begun) > 1 else f" in {trunk}"
    return [
        f"{steps:,} steps{more}; {hours:.2f} hours with its stages",
        f"{crops:,} crops seen, of {recipe['crop']} px; as much as {alike:,.0f} of 128 px",
        f"{each:.2f} crops cut from each scene so far{in_the_end}",
    ]


def _validated(log: list[Line]) -> list[str]:
    found = [line for line in log if "validation" in line][-3:]
    shown = ", ".join(f"{line['validation'].get('psnr', float('nan')):.2f} at {line['step']:,}" for line in found)
    return [f"validation of its running mean, dB: {shown}"] if found else []


def _stages(stages: list[Stage], recipe: dict[str, Any]) -> list[str]:
    lines = [f"{len(stages)} stages, the last {STAGES}:"] if len(stages) > STAGES else []
    lines += [f"{stage.name}: {_stage(stage, recipe['batch'])}" for stage in stages[-STAGES:]]
    for stage in [stage for stage in stages if "judged" in stage.record][-VERDICTS:]:
        text = stage.folder / "judge.txt"
        printed = text.read_text(errors="replace").splitlines() if text.exists() else []
        lines += [f"the judge of {stage.name}:", *(f"  {line}" for line in printed[-MOST_LINES:])]
    return lines


def _stage(stage: Stage, batch: int) -> str:
    record = stage.record
    cut = (
        f"{record['trunk']} at step {record['step']:,}, {record['step'] * batch:,} crops, then {record['fall']:,} steps"
    )
    if "failed" in record:
        return f"{cut}; failed: {record['failed']}"
    if "finished" not in record:
        return f"{cut}, not done yet"
    before, after = (f"{psnr:.2f}" if psnr else "?" for psnr in (record["trunk_psnr"], record["psnr"]))
    done = f"{cut} in {record['minutes']:.1f} minutes, done {record['finished']}; validation {before} -> {after} dB"
    if "judged" not in record:
        return f"{done}; not judged"
    if "failed" in record["judged"]:
        return f"{done}; the judge failed: {record['judged']['failed']}"
    verdict = stage.verdict()
    if verdict is None:
        return f"{done}; judged, without a verdict"
    score, objections = verdict
    shown = "" if score is None else f", score {score:.3f}"
    return f"{done}; {'does not ship' if objections else 'SHIPS'}{shown}"


def _shipping(stages: list[Stage], plan: Plan) -> list[str]:
    """The best of the stages that may ship; those judged beside what has been replaced since do not count."""
    shipped = SHIPPED / f"{plan.yardstick}.safetensors"
    since = shipped.stat().st_mtime if shipped.exists() else 0.0
    found = [
        (verdict[0] or 0.0, stage.folder.name, stage.weights)
        for stage in stages
        if (verdict := stage.verdict()) and not verdict[1] and stage.weights.exists()
        if (stage.folder / "judge.json").stat().st_mtime > since
    ]
    return [f"ships: cp {max(found)[2]} {shipped}"] if found else []
