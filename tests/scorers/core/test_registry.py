"""The registry: it loads on demand, refuses name collisions, and tells whose mistake an error is."""

import subprocess
import sys

import pytest

from eidolon.scorers.core import registry
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.registry import Registry


def write_plugin(root, package, entries, module="value = 'plugged in'\n"):
    """Lay out an installed distribution that provides `entries` in the group `test.things`."""
    info = root / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[test.things]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
    )
    (root / f"{package}.py").write_text(module)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def things():
    return Registry("thing", "test.things", {"pi": "math:pi", "broken": "no_such_module_here:x"})


def test_gets_what_is_named():
    assert things().get("pi") == pytest.approx(3.14159, rel=1e-5)
    assert things().names() == ("broken", "pi")


def test_suggests_the_name_that_was_meant():
    with pytest.raises(UserError, match=r"^unknown thing 'brokne'; did you mean 'broken'\?$"):
        things().get("brokne")
    with pytest.raises(UserError, match=r"^unknown thing 'xyz'; known: broken, pi$"):
        things().get("xyz")


def test_a_failure_in_our_own_module_is_a_bug_not_the_users():
    with pytest.raises(ModuleNotFoundError):
        things().get("broken")


def test_describes_without_loading(site):
    write_plugin(
        site,
        "plug_told",
        {"told": "plug_told:Thing", "untold": "plug_told:other", "gone": "plug_none:x"},
        module='1 / 0\n\nclass Thing:\n    """Does it all,\n    e.g. this. Then more."""\n\nother = 1\n',
    )
    registered = things()
    assert registered.describe("told") == "Does it all, e.g. this"
    assert [registered.describe(name) for name in ("untold", "gone", "broken", "pi")] == [""] * 4
    with pytest.raises(UserError, match="unknown thing 'tld'"):
        registered.describe("tld")
    assert "plug_told" not in sys.modules


def test_finds_plugins(site):
    write_plugin(site, "plug_found", {"extra": "plug_found:value"})
    assert things().names() == ("broken", "extra", "pi")
    assert things().get("extra") == "plugged in"


def test_names_the_plugin_that_cannot_be_loaded(site):
    write_plugin(site, "plug_bad", {"bad": "plug_bad:value"}, module="1 / 0\n")
    registered = things()
    assert "bad" in registered.names()
    with pytest.raises(UserError, match=r"'bad' of the plug-in plug_bad 1\.2 .* ZeroDivisionError") as caught:
        registered.get("bad")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_two_plugins_cannot_share_a_name(site):
    write_plugin(site, "plug_a", {"same": "plug_a:value"})
    write_plugin(site, "plug_b", {"same": "plug_b:value"})
    with pytest.raises(UserError, match=r"plug_a 1\.2 and plug_b 1\.2 both provide the thing 'same'"):
        things().names()


def test_a_plugin_cannot_replace_a_built_in(site):
    write_plugin(site, "plug_pi", {"pi": "plug_pi:value"})
    with pytest.raises(UserError, match=r"plug_pi 1\.2 takes the name of the built-in thing 'pi'"):
        things().get("pi")


def test_the_metrics_load_and_answer_to_their_names():
    for name in ("chair", "objects"):
        metric = registry.metrics.get(name)()
        assert metric.family == name
        assert list(metric.compute(metric.statistics([]).sum(axis=0))) == [q.name for q in metric.quantities]
        assert metric.statistics([]).shape == (0, len(metric.columns))
    assert "lexicon" in registry.judges.names()


def test_importing_registry_and_scores_stays_light():
    program = (
        "import sys, eidolon.scorers.core.registry, eidolon.scorers.metrics.scoring;"
        "print([m for m in ('torch', 'spacy', 'scipy', 'nltk', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_says_how_to_install_a_package_of_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        UserError, match=r"^thing 'heavy' needs the package torch; pip install 'eidolon-bench\[models\]'"
    ):
        Registry("thing", "test.things", {"heavy": "torch:Tensor"}).get("heavy")
    missing = r"^thing 'heavy' needs the package torch; pip install 'eidolon-bench\[models\]'"
    with pytest.raises(UserError, match=missing):
        Registry("thing", "test.things", {"heavy": "torch:Tensor"}).get("heavy")
