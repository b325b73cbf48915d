"""Finds the images that a label file names, within a root that none may leave."""

import itertools
import logging
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.words import SPLIT_FOLDERS
from mlcfast.documents import special_kind
from mlcfast.errors import MissingImageError, UsageError
from mlcfast.registry import hint_path

ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
UPLOADED = re.compile(r"(.*?[/\\]|)[0-9a-f]{8}-([^/\\]+)")

UNITS = {".json": "entry", ".parquet": "row", ".arrow": "row", ".feather": "row"}

LOGGER = logging.getLogger("mlcfast")


def plain_path(name: str) -> str:
    """One spelling of a file's name: `img/a.jpg` for `./img/a.jpg`, `img\\a.jpg`, `img//a.jpg`, `img/x/../a.jpg`."""
    if "\\" in name or "./" in name or "//" in name:
        return posixpath.normpath(name.replace("\\", "/"))
    return name


def unit_of(path: Path) -> str:
    """What the places in a file of labels are called that a message names: its lines, or the entries of a JSON list."""
    if path.suffix.lower() in UNITS or not path.is_dir():
        return UNITS.get(path.suffix.lower(), "line")
    return "image"


def is_address(name: str) -> bool:
    """Whether a name is an address in a network, such as `https://example.org/a.jpg`."""
    return ADDRESS.match(name) is not None


def _spellings(name: str) -> list[str]:
    """Other spellings of a name that does not lead to a file.

    Of an address what follows its host, from each of its folders on; `my photo.jpg` for `my%20photo.jpg`; accented
    letters in one character, and in two as macOS keeps them; `cat.jpg` for `1a2b3c4d-cat.jpg`, as Label Studio calls
    what was uploaded; `123` for `123.0`, as pandas writes a column of numbers with a blank cell.
    """
    address = ADDRESS.match(name)
    uploaded = UPLOADED.fullmatch(name)
    if name.endswith(".0") and name[:-2].isdecimal():
        return [name[:-2]]
    if address is None and uploaded is None and name.isascii() and "%" not in name:
        return []
    names = [name, unquote(name), *([f"{uploaded[1]}{uploaded[2]}", uploaded[2]] if uploaded else [])]
    if address is not None:
        parts = unquote(re.split(r"[?#]", name[address.end() :])[0]).split("/")
        names = [] if ".." in parts else ["/".join(parts[number:]) for number in range(1, len(parts))]
    forms = [unicodedata.normalize(form, each) for each in names if each for form in ("NFC", "NFD")]
    return [each for each in dict.fromkeys([*names, *forms]) if each and each != name]


class ImageFinder:
    """Paths of images by the name a file gives them; folders are listed once.

    A name is relative to `root`, or absolute. One without its folder or without its ending is looked for below the
    root and must then be the only one of its name. One whose folder is not on this machine, as where the file was
    written on another, is looked for below the root by its end; the first in a folder decides where that begins. One
    that names no file is looked for in other spellings, see _spellings. `moved` says what was found so. A name that
    leads out of the root to a file is an error, and refuse_outside makes one of those that lead out to none. preferred:
    the folder of which a file is taken where several have the name, such as `train` for those of train.csv.
    """

    def __init__(self, root: Path, allow_outside: bool = False, preferred: Path | None = None):
        self.root, self.allow_outside = root, allow_outside
        self.preferred = os.path.join(preferred, "") if preferred is not None else ""
        self._in_preferred = 0
        self.real_root = os.path.realpath(root)
        self._top = os.path.join(root, "")
        self._folders: dict[str, dict[str, bool | None]] = {}
        self._inside: dict[str, bool] = {}
        self._index: dict[str, list[str]] | None = None
        self._elsewhere_at: dict[str, None] = {}  # folders of another machine that the root stands for
        self._folder_is_there: dict[str, bool] = {}
        self._respelt: list[tuple[str, str]] = []  # names and what they were found as
        self._in_folders: dict[tuple[str, str], list[str]] | None = None
        self._below: list[tuple[str, str]] = []  # names with folders, and where in others these lie

    @property
    def moved(self) -> list[str]:
        """What was assumed of names that are not those of files; empty where nothing was."""
        said = []
        if self._elsewhere_at:
            at, *others = self._elsewhere_at
            more = f", and so for {len(others)} other folders" if others else ""
            absent = f"{at} is not on this machine" if at.strip("/") else "absolute names are not of this machine"
            said.append(f"{absent}: what follows {'it' if at.strip('/') else at} is looked for in {self.root}{more}")
        if self._in_preferred:
            folder = os.path.relpath(self.preferred, self.root)
            shown = f"{self._in_preferred} images of names that several have are taken from {folder!r}"
            said.append(f"{shown}, as the table is called")
        if self._below:
            name, path = self._below[0]
            shown = f"{len(self._below)} images are found in a folder below"
            said.append(f"{shown}, first {name!r} as {os.path.relpath(path, self.root)!r}")
        if self._respelt:
            name, path = self._respelt[0]
            shown = f"{len(self._respelt)} images are found under another spelling"
            said.append(f"{shown}, first {name!r} as {os.path.relpath(path, self.root)!r}")
        return said

    def find(self, name: str, where: str) -> str | None:
        """The path of one image, None if there is none; UsageError naming `where` if it leaves the root."""
        if "/" not in name and "\\" not in name and self._entries(self._top).get(name) is False:  # a plain file in it
            return self._top + name
        return self._find(name, where, is_address(name)) or self._find_respelt(name, where)

    def refuse_outside(self, names: Sequence[str], paths: Sequence[str | None], wheres: Sequence[str]) -> None:
        """UsageError for the first name of no file that leads out of the root as it is written, `../../x/a.jpg`.

        One in a folder of another machine that the root stands for is merely missing, and so is an absolute one.
        paths: what `find` gave for each name, all of them being looked for before; wheres: where each is written.
        """
        for name, path, where in zip(names, paths, wheres, strict=True):
            if path is None and not self.allow_outside and self._leads_out(name.replace("\\", "/")):
                raise UsageError(f"{where}: {name!r} lies outside {self.root}: data.allow_outside=true allows that")

    def _leads_out(self, name: str) -> bool:
        if ".." not in name.split("/") or ABSOLUTE.match(name) or is_address(name):
            return False
        if any(name.startswith(f"{place}/") for place in self._elsewhere_at):
            return False
        top, folder = os.path.abspath(self.root), os.path.dirname(name)
        inside = os.path.join(os.path.normpath(os.path.join(top, folder)), "").startswith(os.path.join(top, ""))
        return not (inside or self._is_inside(os.path.join(self.root, folder)))

    def lost_zeros(self, name: str) -> str:
        """What to say of a name that leads to no file, a number that a file has with zeros before it; else nothing."""
        stem, ending = os.path.splitext(name)
        if not stem.isdecimal():
            return ""
        padded = re.compile(f"0+{re.escape(stem + ending.lower())}")
        found = next((paths[0] for key, paths in self._all().items() if padded.fullmatch(key)), None)
        return f": {os.path.relpath(found, self.root)} is there, so zeros before {stem} may be lost" if found else ""

    def there(self, name: str) -> str:
        """What to say of files that a name that leads to none may mean: see lost_zeros, begun and alike."""
        if not self._all():
            return f": no images are found in {self.root}: name their directory in data.root, or with --images"
        return self.lost_zeros(name) or self.begun(name) or self.alike(name) or self.in_another(name)

    def alike(self, name: str) -> str:
        """What to say of a name that leads to no file, where one is the same but for capitals and its ending."""
        wanted = os.path.splitext(name.replace("\\", "/").lower())[0]
        paths = self._all().get(wanted.rpartition("/")[2], [])
        named = [os.path.relpath(path, self.root) for path in paths]
        found = [each for each in named if os.path.splitext(each)[0].lower() == wanted]
        return f": is {found[0]} meant?" if len(found) == 1 else ""

    def in_another(self, name: str) -> str:
        """What to say of a name with folders that leads to no file, where one file in another folder is called so."""
        plain = plain_path(name)
        found = self._all().get(plain.rpartition("/")[2].lower(), []) if "/" in plain else []
        if len(found) != 1:
            return ""
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], _from_the_end(plain, found[0])))
        folder = os.path.join(*Path(found[0]).parts[:-same]) if same else os.path.dirname(found[0])
        return f": if {os.path.relpath(found[0], self.root)} is meant, name {folder} in data.root, or with --images"

    def begun(self, name: str) -> str:
        """What to say of a name that leads to no file and that several files begin with, `x_red.png`; else nothing."""
        stem = os.path.splitext(name)[0] if name.lower().endswith(IMAGE_ENDINGS) else name
        start = stem.replace("\\", "/").rpartition("/")[2].lower()
        if not start:
            return ""
        ends = (f"{start}_", f"{start}-")
        paths = {path for key, held in self._all().items() if key.startswith(ends) for path in held}
        if len(paths) < 2:
            return ""
        first, second, *more = sorted(os.path.relpath(path, self.root) for path in paths)
        several = f" and {len(more)} more" if more else ""
        return (
            f": {first}, {second}{several} begin with that name: join them to one image that is called so, or name one "
            "of them for each image"
        )

    def _find_respelt(self, name: str, where: str) -> str | None:
        for other in _spellings(name):
            path = self._find(other, where, is_address(name))
            if path is not None:
                self._respelt.append((name, path))
                return path
        return None

    def _find(self, name: str, where: str, as_given: bool = False) -> str | None:
        plain_name = name.replace("\\", "/")
        path = os.path.join(self.root, plain_name) if as_given else self._here(plain_name)
        folder, base = os.path.split(path)
        plain = ".." not in path.split("/") or self._is_inside(folder)
        if not (self.allow_outside or (plain and self._is_inside(folder))):
            if not os.path.lexists(os.path.join(os.path.realpath(folder), base)):
                return None
            raise UsageError(f"{where}: {name!r} lies outside {self.root}: data.allow_outside=true allows that")
        entries = self._entries(folder)
        if base in entries:
            _refuse_special(path, entries[base], name, where)
            if entries[base] and not self.allow_outside and not self._holds(os.path.realpath(path)):
                raise UsageError(
                    f"{where}: {name!r} is a link that leaves {self.root}: data.allow_outside=true allows that"
                )
            return path
        return self._elsewhere(name, base, where)

    def _here(self, name: str) -> str:
        """Where a name leads; one whose folder is not on this machine leads to what its end names below the root."""
        path, above = os.path.join(self.root, name), os.path.dirname(name)
        if not above or self._is_folder(os.path.dirname(path)):
            return path
        place = name
        while place := place.rpartition("/")[0]:
            if place in self._elsewhere_at:
                return os.path.join(self.root, name.removeprefix(f"{place}/"))
        drive = ABSOLUTE.match(name)
        start = drive[0] if drive else ""
        parts = name[len(start) :].split("/")
        for number in range(0 if drive else 1, len(parts)):
            end = os.path.join(self.root, *parts[number:])
            if ".." not in parts[number:] and os.path.isfile(end):
                self._elsewhere_at[start + "/".join(parts[:number])] = None
                return end
        return path

    def _is_folder(self, folder: str) -> bool:
        if folder not in self._folder_is_there:
            self._folder_is_there[folder] = os.path.isdir(folder)
        return self._folder_is_there[folder]

    def _elsewhere(self, name: str, base: str, where: str) -> str | None:
        plain = plain_path(name)
        whole = base.lower().endswith(IMAGE_ENDINGS)
        found = self._by_end(plain, base) or (self._in_part(plain) if whole else [])
        if not found and not (whole and "/" in plain):
            found = self._all().get(base.lower(), [])
        if len(found) > 1 and self.preferred:
            there = [path for path in found if path.startswith(self.preferred)]
            self._in_preferred += len(there) == 1
            found = there if len(there) == 1 else found
        if len(found) > 1:
            shown = " and ".join(os.path.relpath(path, self.root) for path in found[:2])
            folders = list(dict.fromkeys(os.path.dirname(path) for path in found))
            place = f", or, if one folder holds all, name it with --images {min(folders)}" if folders[1:] else ""
            raise UsageError(f"{where}: {name!r} may be {shown}: write its folder and its ending{place}")
        if found and not self.allow_outside and not self._holds(os.path.realpath(found[0])):
            raise UsageError(
                f"{where}: {name!r} is a link that leaves {self.root}: data.allow_outside=true allows that"
            )
        if found:
            _refuse_special(found[0], self._entries(os.path.dirname(found[0]))[os.path.basename(found[0])], name, where)
        if found and whole and "/" in plain:
            self._below.append((name, found[0]))
        return found[0] if found else None

    def _by_end(self, name: str, base: str) -> list[str]:
        """The image files below the root whose paths end in a name that holds a folder: `images/x/a.jpg` for `x/a.jpg`.

        None where that folder is there itself. They are listed by folder and name, of which many may share either.
        """
        folder = name.rpartition("/")[0]
        if not folder or name.startswith(("/", "../")) or self._is_folder(os.path.join(self.root, folder)):
            return []
        if self._in_folders is None:
            self._in_folders = {}
            for key, paths in self._all().items():
                for path in paths:
                    self._in_folders.setdefault((os.path.basename(os.path.dirname(path)), key), []).append(path)
        alike = self._in_folders.get((folder.rpartition("/")[2], base.lower()), [])
        return [path for path in alike if os.path.dirname(path).endswith(os.sep + folder)]

    def _in_part(self, name: str) -> list[str]:
        """The file in the preferred folder that the longest end of a name leads to that keeps a folder.

        None where the folder that is named is there itself, or is one of another part of the data.
        """
        parts = name.split("/")
        if not self.preferred or ".." in parts or self._is_folder(os.path.join(self.root, *parts[:-1])):
            return []
        own = os.path.basename(os.path.dirname(self.preferred)).lower()
        if any(part.lower() in SPLIT_FOLDERS and part.lower() != own for part in parts):
            return []
        paths = (os.path.join(self.preferred, *parts[start:]) for start in range(1, len(parts) - 1))
        return [path for path in paths if os.path.isfile(path)][:1]

    def _all(self) -> dict[str, list[str]]:
        """Image files below the root by name and by name without ending, in lower case."""
        if self._index is None:
            self._index = {}
            for folder, folders, files in os.walk(self.root):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for file in files:
                    if file.lower().endswith(IMAGE_ENDINGS):
                        for key in (file.lower(), os.path.splitext(file)[0].lower()):
                            self._index.setdefault(key, []).append(os.path.join(folder, file))
        return self._index

    def _entries(self, folder: str) -> dict[str, bool | None]:
        """The names in a folder, but those of folders, and whether each is a link; None for what is no file either."""
        if folder not in self._folders:
            try:
                with os.scandir(folder) as entries:
                    self._folders[folder] = {
                        entry.name: entry.is_symlink() or (None if not entry.is_file(follow_symlinks=False) else False)
                        for entry in entries
                        if not entry.is_dir(follow_symlinks=False)
                    }
            except (OSError, ValueError):
                self._folders[folder] = {}
        return self._folders[folder]

    def _is_inside(self, folder: str) -> bool:
        if folder not in self._inside:
            self._inside[folder] = self._holds(os.path.realpath(folder))
        return self._inside[folder]

    def _holds(self, real: str) -> bool:
        return real == self.real_root or real.startswith(os.path.join(self.real_root, ""))


def _refuse_special(path: str, is_link: bool | None, name: str, where: str) -> None:
    """UsageError for a named pipe, a socket or a device in the place of an image, also behind a link.

    is_link: whether the path is a link, None where it is no file; a plain file is not looked at again.
    """
    kind = "" if is_link is False else special_kind(path)
    if kind:
        raise UsageError(f"{where}: {name!r} is {kind}, not a file: take it out, or put the image in its place")


def _from_the_end(name: str, path: str) -> Iterator[tuple[str, str]]:
    """The parts of two paths in pairs, the last first, but for the file that both are called as."""
    return zip(reversed(name.split("/")), reversed(Path(path).parts), strict=False)


def require_images(
    root: Path,
    names: Sequence[str],
    listed_in: Path,
    wheres: Sequence[str],
    allow_outside: bool = False,
    preferred: Path | None = None,
) -> list[str]:
    """The path of each named image, see ImageFinder; UsageError with the first that is missing and how many are."""
    finder = ImageFinder(root, allow_outside, preferred)
    paths = [finder.find(name, f"{listed_in}: {where}") for name, where in zip(names, wheres, strict=True)]
    for line in finder.moved:
        LOGGER.info("%s: %s", listed_in, line)
    finder.refuse_outside(names, paths, [f"{listed_in}: {where}" for where in wheres])
    missing = [row for row, path in enumerate(paths) if path is None]
    if missing:
        count = f"{len(missing)} of {len(names)} images listed in {listed_in} are missing, first {wheres[missing[0]]}"
        if is_address(names[missing[0]]):
            remedy = f"download them into {root}, and name the files"
            raise UsageError(f"{names[missing[0]]}: images must be on this machine: {count}: {remedy}")
        first = os.path.join(root, names[missing[0]])
        near = "" if os.path.isdir(os.path.dirname(first)) else hint_path(first)  # its neighbour is another image
        raise MissingImageError(f"{first}: no such image; {count}{finder.there(names[missing[0]]) or near}")
    refuse_one_file_twice(paths, names, listed_in, wheres)
    return [path for path in paths if path is not None]


def refuse_one_file_twice(
    paths: Sequence[str | None], names: Sequence[str], listed_in: Path, wheres: Sequence[str]
) -> None:
    """UsageError where two names, such as `a` and `a.jpg`, lead to one file; wheres: where each is written."""
    absolute = any(name.startswith("/") for name in names)
    files = [path and (os.path.abspath(path) if absolute else plain_path(path)) for path in paths]
    known = [file for file in files if file is not None]
    if len(set(known)) == len(known):
        return
    first: dict[str, int] = {}
    for row, file in enumerate(files):
        if file is not None and (other := first.setdefault(file, row)) != row:
            raise UsageError(
                f"{listed_in}: {wheres[other]} names {names[other]!r} and {wheres[row]} {names[row]!r}, which are one "
                f"file, {file}: name each image once"
            )


def without_notes(folder: Path, images: Sequence[str]) -> list[str]:
    """A warning of the images in a directory, not below it, that are none of those its annotations name."""
    bases = {plain_path(name).rpartition("/")[2] for name in images}
    named = bases | {base.rpartition(".")[0] for base in bases}
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_ENDINGS)
    left = sorted(file.name for file in files if file.stem not in named)
    said = f"{len(left)} images in {folder.name} have no annotation file, first {left[0] if left else ''}"
    return [f"{said}: they are left out"] if left else []
