"""One shard of an evaluation: a part of its tasks, kept for who puts all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensverify.errors import BadSetting
from sensverify.evaluation.doing import Part, do_parts, is_late
from sensverify.evaluation.folder import open_shard, read_finished
from sensverify.evaluation.gates import AskedGates
from sensverify.evaluation.prepared import Prepared, prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.requirements import with_specification
from sensverify.runs.progress import Listener
from sensverify.runs.shards import Begun, Shard, digest
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class ShardResult:
    """The tasks that a shard has done by now.

    Parameters
    ----------
    shard : Shard
    asked : int
        Its tasks.
    left : int
        Those of them that are not done.
    done, total : int
        Tasks of the whole evaluation that are done, and all of them.
    """

    shard: Shard
    asked: int
    left: int
    done: int
    total: int


def evaluate_shard(
    request: EvaluateRequest,
    shard: Shard,
    *,
    progress: Listener | None = None,
    watch: Watch | None = None,
) -> ShardResult:
    """Do one part of an evaluation, while others may be at work on theirs in the same folder.

    Parameters
    ----------
    request : EvaluateRequest
        The same for all shards. ``out`` is the folder, and ``resume`` about this shard alone; no
        gate is judged.
    shard : Shard
    progress, watch
        As for `evaluate`.

    Raises
    ------
    SensverifyError
        As by `evaluate`; or the folder's shards are of another plan or count.
    """
    if request.out is None:
        raise BadSetting("`shard` is kept in a folder that all shards see", "give it with `out`")
    prepared = prepare_evaluation(with_specification(request))
    # What is wrong with them is said before hours have gone by.
    AskedGates.of(prepared)
    watch = Watch() if watch is None else watch
    parts = shard_order(prepared)
    mine = shard.of(parts)
    with open_shard(
        request.out, prepared.deciding, shard, shard_plan(prepared), resume=request.resume
    ) as kept:
        tell = progress if progress is not None else lambda state: None
        found = do_parts(prepared, mine, kept, watch.within(request.timeout), tell)
        left = sum(is_late(task) for each in found for task in each)
        everything, _ = read_finished(request.out, prepared.deciding)
    done = sum(everything.get(key_of(prepared, part)) is not None for part in parts)
    return ShardResult(shard, len(mine), left, done, len(parts))


def shard_order(prepared: Prepared) -> list[Part]:
    """The tasks as shards are dealt them: network by network, so that each has as many of each."""
    return [(task, place) for place in range(len(prepared.models)) for task in prepared.plan.tasks]


def key_of(prepared: Prepared, part: Part) -> str:
    """The key of a part in journals."""
    task, place = part
    return prepared.key(prepared.models[place], task)


def shard_plan(prepared: Prepared) -> str:
    """Digest of what decides which shard has which task, and what it finds."""
    return digest([key_of(prepared, part) for part in shard_order(prepared)])


def missing_reasons(prepared: Prepared, begun: Sequence[Begun]) -> dict[Part, str]:
    """Why a task is not done yet, by whose it is, where shards are of this very plan."""
    parts = shard_order(prepared)
    if not begun or begun[0].plan != shard_plan(prepared):
        return {part: "it is not done yet" for part in parts}
    there = {each.shard for each in begun}
    found = {}
    for number in range(1, begun[0].shard.count + 1):
        shard = Shard(number, begun[0].shard.count)
        state = "" if shard in there else ", which was not begun"
        for part in shard.of(parts):
            found[part] = f"it is not done yet: it is of shard {shard}{state}"
    return found
