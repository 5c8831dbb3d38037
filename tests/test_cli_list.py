"""`genlat list`: topics, sections, and what every field may be."""

import pytest
from typer.testing import CliRunner

from genlat import cli
from genlat.runs.file import catalogue


def listed(*arguments):
    return CliRunner().invoke(cli.app, ["list", *arguments])


def test_one_topic_or_one_section():
    text = listed("theories").stdout
    assert text.splitlines()[0] == "theories"
    assert len(text.splitlines()) == 1 + len(catalogue.THEORIES)
    text = listed("mcmc").stdout
    assert text.startswith("[mcmc] ")
    assert "[train]" not in text
    for word in ('"hmc" | "metropolis"', '["leapfrog" | "minimum_norm"]'):
        assert word in text


def test_the_choices_of_fields_and_the_names_of_sections():
    text = listed().stdout
    assert '[model] name = "realnvp" | "nice" | "spline":' in text
    assert '["checkerboard" | "stripe" | "even_odd"]' in text
    assert '["reverse_kl" | ' in text
    assert '["path" | ' in text


def test_an_unknown_topic_is_one_line():
    result = listed("theory_of_everything")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("theory_of_everything: nothing of that name; there")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("sine_gordon", ""), ("isng", "did you mean ising? ")]
)
def test_only_what_is_near_is_meant(name, hint):
    said = catalogue.unknown_name("theory", name, catalogue.THEORIES)
    assert said.startswith(f"unknown theory; {hint}this version has")
