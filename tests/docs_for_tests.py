"""The code blocks of the pages, and how each kind of them is tried.

A fence has one of the languages python, toml, bash and text; text is output. What a
block needs to be tried in seconds stands in a comment right before its fence,
`<!-- test: ...; ... -->`, entries separated by semicolons:

- `A => B`: with A replaced by B, as often as it is there;
- `file NAME`: a run file, or a module, is written under that name beside the page;
- `part of FILE`: sections of a run file are checked in the place of those in FILE;
- `run`, or `run --set a.b=1 ...`: commands are carried out, with these overrides, or
  with `tiny`, those of a small run; otherwise command line and run file are checked;
- `with run`: a small finished run is there as the directory `run`.

`<!-- python:`, lines of Python, `-->`: run in the place where it stands, not shown.
"""

import dataclasses
import pathlib
import re
import shlex
import shutil
import tomllib

import typer
from typer.testing import CliRunner

from genlat import cli
from genlat.runs.file import config
from genlat.runs.scan import scan_request, study_request

ROOT = pathlib.Path(__file__).parents[1]
LANGUAGES = ("python", "toml", "bash", "text")
FENCE = re.compile(r"^( *)(`{3,})(.*)$")
NOTE = re.compile(r"<!-- test: (.*?) -->", re.DOTALL)
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
# A small run of φ⁴; one for all, so that it is compiled once
TINY = [
    "theory.shape=[4,2]",
    "mcmc.chains=8",
    "mcmc.samples=130",
    "mcmc.therm=20",
    "mcmc.keep=800",
    "model.features=2",
    "model.channels=1",
    "model.kernel_terms=2",
    "model.mixing_terms=1",
    "model.n_steps=2",
    "train.steps=4",
    "train.batch=8",
    "estimate.samples=400",
    "estimate.batch=100",
    "estimate.chains=4",
    "estimate.n_steps=2",
    'estimate.methods=["nis","nmcmc","p_estimator","bar"]',
]
FOLDERS = ("examples", "benchmarks", "reproductions")


@dataclasses.dataclass(frozen=True)
class Block:
    """`place` is PAGE:LINE, `notes` what the comment before it says."""

    place: str
    language: str
    text: str
    notes: tuple[str, ...] = ()

    def noted(self, word):
        """What stands after `word` in the note that begins with it; None if none."""
        found = [
            x for x in self.notes if x.split()[: len(word.split())] == word.split()
        ]
        return found[0].removeprefix(word).strip() if found else None

    @property
    def code(self):
        """The text as it is tried, replacements made."""
        text = self.text
        for old, new in (x.split("=>") for x in self.notes if "=>" in x):
            if old.strip() not in text:
                raise ValueError(f"{self.place}: no {old.strip()!r} to replace")
            text = text.replace(old.strip(), new.strip())
        return text


def blocks(text, name):
    """Every fence of a page but directives of MyST, in order."""
    lines, found, at, before = text.splitlines(), [], 0, []
    while at < len(lines):
        if lines[at] == "<!-- python:":
            end = lines.index("-->", at)
            hidden = "\n".join(lines[at + 1 : end])
            found.append(Block(f"{name}:{at + 1}", "python", hidden))
            at, before = end + 1, []
            continue
        opened = FENCE.match(lines[at])
        if not opened:
            before = [*before, lines[at]] if lines[at].strip() else before
            at += 1
            continue
        indent, ticks, info = opened.groups()
        end = next(
            n
            for n in range(at + 1, len(lines))
            if lines[n].strip().startswith(ticks) and not lines[n].strip("` ")
        )
        body = "\n".join(line.removeprefix(indent) for line in lines[at + 1 : end])
        if not info.startswith("{"):
            notes = _notes("\n".join(before))
            found.append(Block(f"{name}:{at + 1}", info.strip(), body, notes))
        at, before = end + 1, []
    return found


def _notes(before):
    """Of a comment that ends what stands before a fence."""
    if not before.endswith("-->"):
        return ()
    said = NOTE.findall(before[before.rindex("<!--") :])
    return tuple(x.strip() for x in said[0].split(";")) if said else ()


class Page:
    """Blocks are tried one after the other in a folder, Python in one namespace."""

    def __init__(self, folder, small_run):
        self.folder, self.small_run = folder, small_run
        self.namespace = {"__name__": "page"}
        for name in FOLDERS:
            (folder / name).symlink_to(ROOT / name)

    def attempt(self, block):
        """**Raises:** whatever is wrong with the block."""
        if block.language not in LANGUAGES:
            raise ValueError(f"{block.place}: the language {block.language!r}")
        if block.noted("with run") is not None:
            shutil.copytree(self.small_run, self.folder / "run", dirs_exist_ok=True)
        if name := block.noted("file"):
            (self.folder / name).write_text(block.code)
        if block.language == "toml":
            self._check(block)
        elif block.language == "python":
            source = compile(block.code, block.place, "exec")
            exec(source, self.namespace)
        elif block.language == "bash":
            for words in commands(block.code):
                self._command(words, block)

    def _check(self, block):
        found = tomllib.loads(block.code)
        if whole := block.noted("part of"):
            found = tomllib.loads((self.folder / whole).read_text()) | found
        if name := block.noted("file"):
            config.load(self.folder / name, [])
        else:
            config.check(found, block.place)

    def _command(self, words, block):
        program, rest = words[0], words[1:]
        is_run = block.noted("run") is not None
        if program == "genlat":
            is_cheap = rest[0] in ("check", "list")
            if is_run or is_cheap:
                self._carry_out(rest, overrides(block.noted("run") or ""))
            else:
                look_at(rest)
        elif program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
            assert rest[0] in targets, f"make {rest[0]}"
        elif program == "pip":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            for name in re.findall(r"genlat\[(.*?)\]", " ".join(rest)):
                assert name in extras["optional-dependencies"], name
        elif program == "python" and rest[0].endswith(".py"):
            script = (ROOT / rest[0]).read_text()
            for option in (x for x in rest if x.startswith("--")):
                assert f'"{option}"' in script, f"{rest[0]} {option}"
        elif program == "mv" and is_run:
            shutil.move(*rest)
        else:
            assert program in ("mv", "git", "cd"), f"{block.place}: {program}"

    def _carry_out(self, words, added):
        is_new = words[0] in ("run", "scan", "check") and "--continue" not in words
        ended = CliRunner().invoke(cli.app, [*words, *(added if is_new else [])])
        if ended.exit_code:
            message = f"genlat {shlex.join(words)}: {ended.output}"
            raise AssertionError(message) from ended.exception


def overrides(noted):
    """The options that a note adds."""
    words = shlex.split(noted.removeprefix("tiny"))
    tiny = [x for field in TINY for x in ("--set", field)]
    return tiny + words if noted.startswith("tiny") else words


def commands(text):
    """The words of every command of a block, comments and prompts left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [x for line in lines if (x := shlex.split(line, comments=True))]


def look_at(words):
    """Parse a command line of genlat, and check the run file that it names.

    **Raises:** what the program ends with.
    """
    group = typer.main.get_command(cli.app)
    with group.make_context("genlat", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))
        with command.make_context(name, rest, parent=context) as inner:
            given = inner.params
    file, overrides = given.get("file"), given.get("overrides") or []
    if name == "scan":
        asked = (overrides, given["warm_steps"])
        if len(given["over"]) == 1:
            scan_request.plan(file, given["over"][0], *asked)
        else:
            study_request.plan(file, given["over"], *asked)
    elif file is not None and pathlib.Path(file).suffix == ".toml":
        config.load(file, overrides)


def links(text):
    """Targets of a page's links to other files of the repository."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    plain = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [x for x in LINK.findall(plain) if not re.match(r"[a-z]+:", x)]


def anchors(text):
    """Of every heading, as GitHub and MyST make them."""
    found = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", x.lower()).replace(" ", "-") for x in found}
