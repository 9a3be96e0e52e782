"""Fails where a package of the users' set is installed in another version than its lower bound says."""

from __future__ import annotations

import re
import sys
from importlib.metadata import requires, version

EXTRAS = ("offline", "video", "pdf", "heif")


def release(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", text)[:4]]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


wrong = []
for line in requires("multimodal-batch") or ():
    requirement, _, marker = line.partition(";")
    extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
    bound = re.fullmatch(r"([\w.-]+)\s*[>=]=([\w.]+)", requirement.strip())
    if bound is None or (extra is not None and extra[1] not in EXTRAS):
        continue
    found = version(bound[1])
    if release(found) != release(bound[2]):
        wrong.append(f"{bound[1]}: the lower bound is {bound[2]}, but {found} is installed: raise the bound")
sys.exit("\n".join(wrong) or 0)
