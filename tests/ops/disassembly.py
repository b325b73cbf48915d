"""A kernel's instructions and loops, read from nvdisasm's text by following its branches."""

import re
from dataclasses import dataclass


@dataclass
class Kernel:
    """One kernel's instructions, and for each backward branch those that can run between its target and it."""

    name: str
    instructions: list[str]
    loops: list[set[int]]

    def within_loops(self, pattern: re.Pattern[str]) -> list[str]:
        """The instructions of loops that match."""
        return [self.instructions[i] for i in sorted(set().union(*self.loops)) if pattern.search(self.instructions[i])]

    def packed_loops(self) -> list[set[int]]:
        """The loops that read 128 bits at a time: those over packs, single entries aside."""
        return [loop for loop in self.loops if any(self.instructions[i].startswith("LDG.E.128") for i in loop)]

    def outside_loops(self) -> int:
        """Instructions that a thread issues once at most."""
        once = set(range(len(self.instructions))).difference(*self.loops)
        return sum(not self.instructions[i].startswith("NOP") for i in once)

    def count(self, opcode: str) -> int:
        """Instructions whose opcode starts so."""
        return sum(instruction.startswith(opcode) for instruction in self.instructions)


def parsed(name: str, body: str) -> Kernel:
    """A kernel of nvdisasm's text."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    always: set[int] = set()  # instructions without a predicate
    for line in body.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?(.+?) ;", line):
            if not found[1]:
                always.add(len(instructions))
            instructions.append(found[2])
    following = _following(instructions, labels, always)
    before: list[list[int]] = [[] for _ in instructions]
    for at, targets in enumerate(following):
        for target in targets:
            before[target].append(at)
    ends = [(at, to) for at, targets in enumerate(following) for to in targets if to < at]
    return Kernel(name, instructions, [_reached(to, following) & _reached(at, before) for at, to in ends])


def _following(instructions: list[str], labels: dict[str, int], always: set[int]) -> list[list[int]]:
    """The instructions that may come after each; what a called function does is left out."""
    joins: dict[str, int] = {}  # barrier -> where the threads that wait at it go on
    following = []
    for at, text in enumerate(instructions):
        opcode, found = re.split(r"[ .]", text)[0], re.search(r"`\((\.L_\w+)\)", text)
        target = labels.get(found[1]) if found else None
        if opcode == "BSSY" and target is not None:
            joins[text.split()[1].rstrip(",")] = target
        goes = [target] if opcode == "BRA" else [joins.get(text.split()[-1])] if opcode == "BSYNC" else []
        if at not in always or opcode not in ("BRA", "BSYNC", "EXIT", "RET"):
            goes.append(at + 1)
        following.append([to for to in goes if to is not None and to < len(instructions)])
    return following


def _reached(start: int, following: list[list[int]]) -> set[int]:
    """What can be reached from an instruction, itself included."""
    seen, waiting = {start}, [start]
    while waiting:
        new = [to for to in following[waiting.pop()] if to not in seen]
        seen.update(new)
        waiting += new
    return seen
