"""Everything that the page displays of a session, as plain data for JSON."""

from base64 import b64encode
from typing import Any

import numpy
import torch

from mann.addressing import WeightsAre
from mann.evaluation.memory_use import BOUND, SlotAccess, Usage, by_first_write, slot_access, usage_of
from mann.page.learner import PresentedDrawing, Snapshot
from mann.page.session import Session
from mann.support.trees import map_leaves


def session_view(session: Session) -> dict[str, Any]:
    """Return the drawings, names, answers and use of memory of a session."""
    learner, now = session.learner, session.now
    return {
        "model": learner.model,
        "classes": learner.config.classes,
        "slots": None if learner.memory is None else learner.memory.slots,
        "size": learner.config.size,
        "sources": list(session.decks),
        "names": now.names,
        "suggestion": session.suggestion,
        "undo": session.can_undo,
        "drawings": [
            {**_drawing_view(drawing), "name": name} for drawing, name in zip(now.drawings, now.named, strict=True)
        ],
        "pending": None
        if now.pending is None
        else {**_drawing_view(now.pending), "strokes": now.pending.strokes, "truth": now.pending.truth},
        "memory": memory_view(now, "weightings" if learner.memory is None else learner.memory.scheme.weights_are),
    }


def _drawing_view(drawing: PresentedDrawing) -> dict[str, Any]:
    """Return a drawing and the answer to it."""
    return {
        "image": b64encode(drawing.image.tobytes()).decode(),
        "probabilities": [round(probability, 6) for probability in drawing.answer.probabilities],
        "new": round(drawing.answer.new, 6),
        "best": drawing.answer.best,
    }


def memory_view(snapshot: Snapshot, weights_are: WeightsAre = "weightings") -> dict[str, Any]:
    """Return the use of memory at all drawings, the pending one included.

    Steps and slots count from 0; drawing `k` is presented at step `k`.

    Returns:
        rows: The slots in use, in the order of their first write. Each has its writes and reads by step, with the
            drawing that each write belongs to (see `mann.evaluation.memory_use.slot_access`); the drawings that it
            held, each with the step from which it held it; and its usage at the last step.
        reads: The reads of the last step, the largest weight first, with the drawing that each slot holds.
        writes: The slots written at the last step.
        usage: A description of the usage counts; None if the addressing scheme has none.
        place: What a row is: a "slot", or where weights are features, the "step" whose write it is; None where the
            network has no memory to show.
    """
    drawings = snapshot.drawings if snapshot.pending is None else (*snapshot.drawings, snapshot.pending)
    place = "step" if weights_are == "features" else "slot"
    accesses = [drawing.access for drawing in drawings if drawing.access is not None]
    if not accesses:
        return {"place": None if drawings else place, "rows": [], "reads": [], "writes": []}
    access = map_leaves(lambda *steps: torch.cat(steps), *accesses)
    # Every drawing is a class of its own here: the number of the drawing instead of its class.
    seen = slot_access(access, numpy.arange(len(drawings)), weights_are)
    usage = usage_of(access)
    rows = [_slot_row(slot, seen, usage) for slot in by_first_write(seen).tolist()]
    held = {row["slot"]: row["held"][-1]["drawing"] for row in rows if row["held"]}
    writes, reads = seen.writes[-1], seen.reads[-1]
    return {
        "place": place,
        "usage": None if usage is None else usage.title,
        "rows": rows,
        "reads": [
            {"slot": slot, "weight": round(float(reads[slot]), 4), "drawing": held.get(slot)}
            for slot in numpy.argsort(-reads, kind="stable").tolist()
            if reads[slot] > BOUND
        ],
        "writes": numpy.flatnonzero(writes > BOUND).tolist(),
    }


def _slot_row(slot: int, seen: SlotAccess, usage: Usage | None) -> dict[str, Any]:
    """Return the writes, reads, content and usage of a slot; see `memory_view`."""
    writes, reads, drawings = (values[:, slot].tolist() for values in (seen.writes, seen.reads, seen.classes))
    image_writes = seen.image_writes[:, slot]
    written = numpy.flatnonzero(image_writes | seen.label_writes[:, slot])
    # A name that is added to a slot leaves the drawing in it. The first write counts in any case.
    changes = numpy.union1d(written[:1], numpy.flatnonzero(image_writes))
    return {
        "slot": slot,
        "usage": None if usage is None else round(float(usage.values[-1, slot]), 4),
        "writes": [
            {"step": step, "weight": round(writes[step], 4), "drawing": drawings[step]} for step in written.tolist()
        ],
        "reads": [
            {"step": step, "weight": round(reads[step], 4)}
            for step in numpy.flatnonzero(seen.reads[:, slot] > BOUND).tolist()
        ],
        "held": [{"since": step, "drawing": drawings[step]} for step in changes.tolist()],
    }
