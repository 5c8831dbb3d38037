"""Every code block of README and pages runs or is output; every link leads somewhere.

`docs_for_tests.py` says what a block may ask for.
"""

import tomllib

import jax
import pytest

from docs_for_tests import ROOT, TINY, Block, Page, anchors, blocks, links
from genlat.errors import RequestError
from genlat.report import page as reports
from genlat.report import scan_page as scan_reports
from genlat.runs import pipeline
from genlat.runs.file import config
from genlat.runs.stages.screen import Screen

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/reproductions/*.md",
        "reproductions/*/*.md",
    )
    for path in ROOT.glob(pattern)
)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "run"
    small = config.load(ROOT / "examples/phi4_16x8.toml", TINY)
    pipeline.start(small, path, Screen(quiet=True))
    return path


@pytest.fixture
def page(tmp_path, monkeypatch, small_run):
    """Reports are not drawn: other tests do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENLAT_NO_CACHE", "1")
    for module in (reports, scan_reports):
        monkeypatch.setattr(module, "write", lambda root: root / "report.html")
    precision = jax.config.jax_default_matmul_precision
    yield Page(tmp_path, small_run)
    jax.config.update("jax_default_matmul_precision", precision)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:`scipy.odr` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_block_runs(page, path):
    for block in blocks(read(path), str(path)):
        try:
            page.attempt(block)
        except BaseException as error:
            error.add_note(f"in the block at {block.place}")
            raise


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_link_leads_somewhere(path):
    for link in links(read(path)):
        name, _, anchor = link.partition("#")
        target = (ROOT / path).parent / name if name else ROOT / path
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_readme_shows_the_run_file_of_the_demo():
    found = blocks(read("README.md"), "README")
    shown = next(x for x in found if x.language == "toml")
    shipped = (ROOT / "examples/phi4_16x8.toml").read_text(encoding="utf-8")
    assert tomllib.loads(shown.text) == tomllib.loads(shipped)


# Negative controls: what is wrong is seen.


@pytest.mark.parametrize(
    ("language", "text", "notes", "error"),
    [
        ("", "genlat check", (), ValueError),
        ("python", "1 / 0", (), ZeroDivisionError),
        ("python", "x = 1", ("2 => 3",), ValueError),
        ("toml", "seed = 1\n[theory]\nname = 'phi5'", (), RequestError),
        (
            "toml",
            "[train]\nstep = 1",
            ("part of examples/phi4_16x8.toml",),
            RequestError,
        ),
        ("bash", "genlat run examples/phi4_16x8.toml", (), Exception),
        ("bash", "genlat check examples/none.toml", (), AssertionError),
        (
            "bash",
            "genlat scan examples/scan_64x8.toml --over theory.kapa=0.2,0.3 --out x",
            (),
            RequestError,
        ),
        ("bash", "make coffee", (), AssertionError),
        ("bash", "pip install 'genlat[coffee]'", (), AssertionError),
        ("bash", "python benchmarks/hmc.py --coffee", (), AssertionError),
        ("bash", "rm -rf /", (), AssertionError),
    ],
)
def test_a_wrong_block_is_seen(page, language, text, notes, error):
    with pytest.raises(error):
        page.attempt(Block("here:1", language, text, notes))


def test_blocks_are_found_with_what_is_said_of_them():
    text = "\n".join(
        [
            "<!-- test: file a.toml; 1 => 2 -->",
            "```toml",
            "seed = 1",
            "```",
            "",
            "```{toctree}",
            "x",
            "```",
            "```text",
            "out",
            "```",
        ]
    )
    first, second = blocks(text, "p")
    assert (first.noted("file"), first.code) == ("a.toml", "seed = 2")
    assert (second.place, second.language, second.notes) == ("p:9", "text", ())
    assert links("[x](a.md#b), [y](https://z)\n```text\n[z](c)\n```") == ["a.md#b"]
    assert anchors("## Two wells, three!") == {"two-wells-three"}
